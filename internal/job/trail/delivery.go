package trail

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/pace"
)

// Bounds of a log file.
const (
	maxRecords = 20_000
	maxFile    = 16 << 20 // before compression
	readAtOnce = 100
	maxError   = 1_000
)

// delivery is the work on one trail: where it reads, and what it has read that makes no file yet.
type delivery struct {
	management, data *audit.Reader
	pending          *file
}

// own are the services whose uses of keys are part of a delivery of logs. They are records like others, but
// nothing else having happened, they are no reason for a file: it would be the cause of the next one, for ever.
var own = map[string]bool{Service: true, "logging.s3.amazonaws.com": true}

// ownUse tells so of a record by who made it: those services, and CloudWatch Logs of any region.
func ownUse(user string) bool {
	return own[user] || strings.HasPrefix(user, "logs.") && strings.HasSuffix(user, ".amazonaws.com")
}

func (d *delivery) close() {
	d.management.Close()
	d.data.Close()
}

// lock keeps deliveries of a trail apart.
func (s *Store) lock(arn string) (unlock func()) {
	s.mu.Lock()
	l := s.locks[arn]
	if l == nil {
		l = &sync.Mutex{}
		s.locks[arn] = l
	}
	s.mu.Unlock()
	s.waiting.Add(1)
	defer s.waiting.Add(-1)
	l.Lock()
	return l.Unlock
}

// forget gives up the readers of a trail. Under mu and the trail's lock, or when nobody delivers.
func (s *Store) forget(arn string) {
	if w := s.work[arn]; w != nil {
		w.close()
		delete(s.work, arn)
	}
}

// Run delivers until ctx ends. What is left then is delivered after the next start.
func (s *Store) Run(ctx context.Context) {
	tick := time.NewTicker(s.config.LogInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, t := range s.trails.Load().byARN {
			if !t.Logging {
				continue
			}
			err := s.config.Pace.Do(ctx, Job, func(ctx context.Context) error {
				s.deliver(ctx, t)
				return nil
			})
			if err != nil {
				return
			}
			s.logs(ctx, t)
		}
		s.config.Pace.Behind(Job, 0)
	}
}

// Job is the deliveries' name among those that a Pacer paces.
const Job = "trail"

// last delivers what there is, and a last digest. No other file follows before the call of unlock: no digest would have
// it.
func (s *Store) last(ctx context.Context, t *Trail) (unlock func()) {
	s.settle(t)
	unlock = s.lock(t.ARN())
	s.bring(context.WithoutCancel(ctx), t.ARN(), true)
	s.logs(context.WithoutCancel(ctx), t)
	return unlock
}

// deliver brings a trail up to date.
func (s *Store) deliver(ctx context.Context, t *Trail) {
	unlock := s.lock(t.ARN())
	defer unlock()
	s.bring(ctx, t.ARN(), false)
}

// bring does so under the trail's lock. With final the digest is due whatever the time.
func (s *Store) bring(ctx context.Context, arn string, final bool) {
	t, err := s.Find(arn)
	if err != nil || !t.Logging {
		return
	}
	s.mu.Lock()
	st := s.states[arn]
	if st == nil {
		st = &State{Format: format}
	}
	next := *st
	s.mu.Unlock()
	err = s.files(ctx, t, &next)
	if err == nil && t.Validation {
		err = s.digest(ctx, t, &next, final)
	}
	if err != nil && ctx.Err() == nil {
		s.failed(ctx, t, &next, err)
	}
}

// failed notes why a delivery did not succeed.
func (s *Store) failed(ctx context.Context, t *Trail, st *State, err error) {
	s.config.Log.Warn("trail: log files are not delivered", "trail", t.ARN(), "bucket", t.Bucket, "err", err)
	s.mu.Lock()
	if kept := s.states[t.ARN()]; kept != nil {
		*st = *kept
	}
	s.mu.Unlock()
	st.Attempted = s.config.Now().UTC()
	st.Error = clip(err.Error(), maxError)
	if err := s.keep(ctx, t, st); err != nil {
		s.config.Log.Error("trail: state not stored", "trail", t.ARN(), "err", err)
	}
}

func clip(s string, most int) string {
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "")
	}
	return s
}

// keep stores how far the delivery is.
func (s *Store) keep(ctx context.Context, t *Trail, st *State) error {
	st.Format = format
	raw, err := json.Marshal(st)
	if err != nil {
		return err
	}
	kept := *st
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trails.Load().byARN[t.ARN()] == nil {
		return nil
	}
	var b engine.Batch
	b.Set([]byte(statePrefix+t.ARN()), raw)
	if err := s.config.Meta.Commit(ctx, &b); err != nil {
		return err
	}
	s.states[t.ARN()] = &kept
	return nil
}

// files delivers log files until nothing is left. After each the state is stored; a crash before
// that makes the same file again under the same name, or a longer one in its place.
func (s *Store) files(ctx context.Context, t *Trail, st *State) error {
	begun := time.Now()
	for {
		s.config.Pace.Behind(Job, time.Since(begun))
		f, management, data, err := s.collect(ctx, t, st)
		if err != nil {
			s.reopen(t)
			return err
		}
		if management == st.Management && data == st.Data {
			return nil
		}
		if f.records > 0 {
			if err := s.putFile(ctx, t, st, f); err != nil {
				s.reopen(t)
				return err
			}
		}
		st.Management, st.Data = management, data
		if f.records == 0 {
			// What nobody wants is read again after a restart: that is cheaper than to store it.
			s.remember(t, st)
			if !f.full {
				return nil
			}
			continue
		}
		if err := s.keep(ctx, t, st); err != nil {
			s.reopen(t)
			return err
		}
		if !f.full {
			return nil
		}
	}
}

func (s *Store) remember(t *Trail, st *State) {
	kept := *st
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.states[t.ARN()] != nil {
		s.states[t.ARN()] = &kept
	}
}

// Failing is the number of logging trails whose last delivery failed.
func (s *Store) Failing() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for arn, t := range s.trails.Load().byARN {
		if st := s.states[arn]; t.Logging && st != nil && st.Error != "" {
			n++
		}
	}
	return n
}

// reopen lets the next delivery read from the stored places.
func (s *Store) reopen(t *Trail) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(t.ARN())
}

// collect reads what t wants of both journals into f, and tells how far it came.
// Records of the trail's own making wait in memory for others.
func (s *Store) collect(ctx context.Context, t *Trail, st *State) (f *file, management, data uint64, err error) {
	s.mu.Lock()
	w := s.work[t.ARN()]
	if w == nil {
		w = &delivery{management: s.config.Record.Management().Reader(st.Management), data: s.config.Record.Data().Reader(st.Data)}
		s.work[t.ARN()] = w
	}
	s.mu.Unlock()
	if f = w.pending; f == nil {
		f = newFile(t.Validation)
	}
	w.pending = nil
	management, data = st.Management, st.Data
	for _, from := range []struct {
		r  *audit.Reader
		at *uint64
	}{{w.management, &management}, {w.data, &data}} {
		for !f.full {
			if s.waiting.Load() == 0 { // a request waits for the end of a delivery, and not for its turns
				if err := pace.Breathe(ctx); err != nil {
					return nil, 0, 0, err
				}
			}
			entries, err := from.r.Ready(readAtOnce)
			if err != nil {
				return nil, 0, 0, err
			}
			*from.at = max(*from.at, from.r.Position())
			if len(entries) == 0 {
				break
			}
			for i := range entries {
				if t.takes(&entries[i].Note) {
					f.add(&entries[i])
				}
			}
		}
	}
	if f.records > 0 && f.records == f.own && !f.full {
		w.pending = f
		return f, st.Management, st.Data, nil
	}
	return f, management, data, f.end()
}

// file is a log file in the making.
type file struct {
	packed         bytes.Buffer
	z              *gzip.Writer
	hash           hash.Hash // nil where nobody asks for it
	text           []byte    // that is not packed yet
	raw            int
	records        int
	own            int // of them those of deliveries
	oldest, newest time.Time
	full           bool
}

// packAtOnce is about how much text is packed at once.
const packAtOnce = 64 << 10

func newFile(hashed bool) *file {
	f := &file{text: make([]byte, 0, packAtOnce+4<<10)}
	f.z, _ = gzip.NewWriterLevel(&f.packed, gzip.BestSpeed)
	if hashed {
		f.hash = sha256.New()
	}
	return f
}

func (f *file) write(b string) { f.text = append(f.text, b...) }

// pack takes what was written so far.
func (f *file) pack() {
	if f.hash != nil {
		f.hash.Write(f.text)
	}
	f.z.Write(f.text) // into memory: it cannot fail
	f.text = f.text[:0]
}

// sum is the hash of the file before compression.
func (f *file) sum() ([]byte, error) {
	if f.hash == nil { // the trail was not validated yet when the file was begun
		z, err := gzip.NewReader(bytes.NewReader(f.packed.Bytes()))
		if err != nil {
			return nil, err
		}
		f.hash = sha256.New()
		if _, err := io.Copy(f.hash, z); err != nil {
			return nil, err
		}
	}
	return f.hash.Sum(nil), nil
}

func (f *file) add(e *audit.Entry) {
	if f.records == 0 {
		f.write(`{"Records":[`)
		f.oldest, f.newest = e.Time(), e.Time()
	} else {
		f.write(",")
	}
	f.text = append(f.text, e.Record...)
	f.raw += len(e.Record)
	if len(f.text) >= packAtOnce {
		f.pack()
	}
	f.records++
	if ownUse(e.User) {
		f.own++
	}
	if at := e.Time(); at.Before(f.oldest) {
		f.oldest = at
	} else if at.After(f.newest) {
		f.newest = at
	}
	f.full = f.full || f.records >= maxRecords || f.raw >= maxFile
}

func (f *file) end() error {
	if f.records > 0 {
		f.write(`]}`)
	}
	f.pack()
	return f.z.Close()
}

// folder is where a trail's account has its files.
func (t *Trail) folder() string {
	prefix := t.Prefix
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		prefix += "/"
	}
	return prefix + "AWSLogs/" + t.Account + "/"
}

// headers of every delivery.
func (t *Trail) headers() http.Header {
	h := http.Header{"X-Amz-Acl": {"bucket-owner-full-control"}}
	if t.KMSKey != "" {
		h.Set("X-Amz-Server-Side-Encryption", "aws:kms")
		h.Set("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id", t.KMSKey)
	}
	return h
}

// unique is the part of a file's name that follows from where it begins in the journals.
func unique(parts ...any) string {
	h := sha256.New()
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			h.Write([]byte(p))
		case uint64:
			h.Write(binary.BigEndian.AppendUint64(nil, p))
		}
		h.Write([]byte{0})
	}
	return base32.StdEncoding.EncodeToString(h.Sum(nil))[:16]
}

func (s *Store) putFile(ctx context.Context, t *Trail, st *State, f *file) error {
	// The time in the name is stored before the file is, so that a repeated delivery has the same name.
	if st.Begun.IsZero() {
		st.Begun = s.config.Now().UTC()
		if err := s.keep(ctx, t, st); err != nil {
			return err
		}
	}
	at := st.Begun
	key := fmt.Sprintf("%sCloudTrail/%s/%s/%s_CloudTrail_%s_%s_%s.json.gz", t.folder(), t.Region, at.Format("2006/01/02"),
		t.Account, t.Region, at.Format("20060102T1504Z"), unique(t.ARN(), t.Started.String(), st.Management, st.Data))
	h := t.headers()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Encoding", "gzip")
	if err := agentOf(t).Put(ctx, s.config.S3, t.Bucket, key, h, f.packed.Bytes()); err != nil {
		return err
	}
	if err := s.tell(ctx, t, key); err != nil {
		return err
	}
	now := s.config.Now().UTC()
	st.Delivered, st.Attempted, st.Succeeded, st.Error = now, now, now, ""
	st.Begun = time.Time{}
	if t.Validation {
		sum, err := f.sum()
		if err != nil {
			return err
		}
		st.Digest.Files = append(st.Digest.Files, LogFile{
			Bucket: t.Bucket, Object: key, Hash: hex.EncodeToString(sum), Algorithm: "SHA-256", Newest: stamp(f.newest), Oldest: stamp(f.oldest),
		})
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }
