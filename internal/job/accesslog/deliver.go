package accesslog

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/kura-s3/kura/internal/audit/deliver"
	"github.com/kura-s3/kura/internal/object"
	"github.com/kura-s3/kura/internal/pace"
)

// How lines are delivered.
const (
	flushEvery = 100 * time.Millisecond
	maxObject  = 8 << 20        // of lines
	maxHeld    = 16 << 20       // of all lines in memory
	keepFor    = 24 * time.Hour // what a target refuses
	// breatheEvery is after how many lines others have their turn.
	breatheEvery = 256
)

// DelivererConfig of a Deliverer.
type DelivererConfig struct {
	// Spool has the lines. Required.
	Spool *Spool
	// S3 makes the requests. Required.
	S3 deliver.OnBehalf
	// Interval between deliveries. Required.
	Interval time.Duration
	// Region of this server.
	Region string
	// Pace gives the turns in which is delivered. Nil: at once.
	Pace *pace.Pacer
}

// Deliverer puts what is in a Spool into buckets.
type Deliverer struct{ config DelivererConfig }

// NewDeliverer makes a Deliverer.
func NewDeliverer(c DelivererConfig) *Deliverer { return &Deliverer{c} }

// Run delivers until ctx ends. Lines go to the file system meanwhile, however long a delivery takes.
func (d *Deliverer) Run(ctx context.Context) {
	var flushing sync.WaitGroup
	flushing.Go(func() { d.flush(ctx) })
	defer flushing.Wait()
	tick := time.NewTicker(d.config.Interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-d.config.Spool.wake:
		}
		if err := d.config.Pace.Do(ctx, Job, d.Deliver); err != nil && ctx.Err() == nil {
			d.config.Spool.config.Log.Error("accesslog: delivery", "err", err)
		}
	}
}

// Job is the deliveries' name among those that a Pacer paces.
const Job = "accesslog"

func (d *Deliverer) flush(ctx context.Context) {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := d.config.Spool.Flush(); err != nil {
			d.config.Spool.config.Log.Error("accesslog: lines cannot be written", "err", err)
		}
	}
}

// Deliver puts everything that was taken so far into its targets.
func (d *Deliverer) Deliver(ctx context.Context) error {
	if err := d.config.Spool.rotate(); err != nil {
		return err
	}
	files, err := d.config.Spool.waiting()
	if err != nil {
		return err
	}
	for i := range files {
		if err := d.file(ctx, &files[i]); err != nil {
			return err
		}
	}
	return nil
}

// group are lines that go into the same object: those of a bucket and a day, until there are too many.
type group struct {
	bucket, date string
	lines        []byte // what the object holds
	first, next  int    // of the bucket and day: the lines by their place in the file
}

// batch is the delivery of one closed file. Of its lines only those are in memory that the next
// objects will hold.
type batch struct {
	d      *Deliverer
	file   *spooled
	groups map[string]*group
	held   int
	spare  [][]byte
	failed map[string][]span
	lines  int // of the file
	kept   int // of them those that failed
}

// span are lines that could not be delivered.
type span struct{ first, next int }

// file delivers one closed file. What could not be delivered stays in it.
func (d *Deliverer) file(ctx context.Context, f *spooled) error {
	b := &batch{d: d, file: f, groups: map[string]*group{}, failed: map[string][]span{}}
	err := f.each(func(l *spoolLine) error {
		g := b.groups[l.group]
		if g == nil {
			g = &group{bucket: l.bucket, date: l.date}
			b.groups[l.group] = g
		}
		if g.lines == nil && len(b.spare) > 0 {
			g.lines, b.spare = b.spare[len(b.spare)-1][:0], b.spare[:len(b.spare)-1]
		} else if g.lines == nil && len(b.groups) == 1 { // mostly there is no other
			g.lines = make([]byte, 0, min(f.size, maxObject)+4<<10)
		}
		g.lines = append(append(g.lines, l.text...), '\n')
		g.next++
		if b.lines++; b.lines%breatheEvery == 0 {
			if err := pace.Breathe(ctx); err != nil {
				return err
			}
		}
		b.held += len(l.text) + 1
		switch {
		case len(g.lines) >= maxObject:
			return b.put(ctx, l.group, g)
		case b.held >= maxHeld:
			return b.put(ctx, b.largest(), nil)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(b.groups)) {
		if err := b.put(ctx, name, nil); err != nil {
			return err
		}
	}
	if b.kept > 0 && b.kept == b.lines {
		return nil
	}
	return f.keep(b.failed)
}

func (b *batch) largest() (name string) {
	for other, g := range b.groups {
		if most := b.groups[name]; most == nil || len(g.lines) > len(most.lines) || len(g.lines) == len(most.lines) && other < name {
			name = other
		}
	}
	return name
}

// put delivers what a group has. An error ends the delivery of the file; what the target refuses does not.
func (b *batch) put(ctx context.Context, name string, g *group) error {
	if g == nil {
		g = b.groups[name]
	}
	if len(g.lines) == 0 {
		return nil
	}
	err := b.d.put(ctx, b.file, g)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	config := &b.d.config.Spool.config
	if err != nil {
		if config.Now().Sub(b.file.at) < keepFor {
			b.failed[name] = append(b.failed[name], span{g.first, g.next})
			b.kept += g.next - g.first
		}
		config.Log.Warn("accesslog: a log is not delivered", "source", g.bucket, "err", err)
	}
	b.held -= len(g.lines)
	b.spare = append(b.spare, g.lines)
	g.lines, g.first = nil, g.next
	return nil
}

// spoolLine is a line of a spool file.
type spoolLine struct {
	group, bucket, date string
	whole, text         []byte // with and without what only the spool has
}

// each calls fn for the lines of the file, in order.
func (f *spooled) each(fn func(*spoolLine) error) error {
	src, err := os.Open(f.name)
	if err != nil {
		return err
	}
	defer src.Close()
	lines := bufio.NewReaderSize(src, maxSpooled)
	var l spoolLine
	var days dayOf
	for {
		whole, err := nextLine(lines)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		bucket, rest, ok := bytes.Cut(whole, []byte{'\t'})
		millis, line, ok2 := bytes.Cut(rest, []byte{'\t'})
		at, err := strconv.ParseInt(string(millis), 10, 64)
		if !ok || !ok2 || err != nil {
			continue // torn by a crash
		}
		if date := days.text(at); l.bucket != string(bucket) || l.date != date {
			l.bucket, l.date = string(bucket), date
			l.group = l.bucket + "\t" + date
		}
		l.whole, l.text = whole, line
		if err := fn(&l); err != nil {
			return err
		}
	}
}

// maxSpooled is more than a line has. A longer one would be no line, and must not hold up the others.
const maxSpooled = 1 << 20

// nextLine is the next whole line, without its LF, good until the next call. One that is too long is left out, and so is
// what a crash tore at the end.
func nextLine(r *bufio.Reader) ([]byte, error) {
	for {
		line, err := r.ReadSlice('\n')
		if err == nil {
			return line[:len(line)-1], nil
		}
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = r.ReadSlice('\n')
		}
		if err != nil {
			return nil, err
		}
	}
}

// dayOf remembers the date that was asked for last.
type dayOf struct {
	number int64
	last   string
}

func (d *dayOf) text(millis int64) string {
	if number := millis / (24 * time.Hour).Milliseconds(); number != d.number || d.last == "" {
		d.number, d.last = number, day(time.UnixMilli(millis))
	}
	return d.last
}

// keep leaves the lines that were not delivered, or nothing.
func (f *spooled) keep(failed map[string][]span) error {
	if len(failed) == 0 {
		if err := os.Remove(f.name); !errors.Is(err, fs.ErrNotExist) { // the spool may have been too full
			return err
		}
		return nil
	}
	tmp, err := os.OpenFile(f.name+".tmp", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer tmp.Close()
	to := bufio.NewWriterSize(tmp, 64<<10)
	seen := map[string]int{}
	err = f.each(func(l *spoolLine) error {
		n := seen[l.group]
		seen[l.group] = n + 1
		for _, s := range failed[l.group] {
			if n >= s.first && n < s.next {
				to.Write(l.whole)
				return to.WriteByte('\n')
			}
		}
		return nil
	})
	if err := errors.Join(err, to.Flush()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), f.name)
}

// put delivers a group. Lines of a bucket that is gone, or not logged any more, are dropped.
func (d *Deliverer) put(ctx context.Context, f *spooled, g *group) error {
	b, err := d.config.Spool.config.Bucket(g.bucket)
	if err != nil {
		return nil
	}
	t, err := TargetOf(b)
	if err != nil || t == nil {
		return err
	}
	agent := deliver.Agent{Service: Service, SourceARN: b.ARN(), SourceAccount: b.Owner.Account}
	// The target was of the same account when it was named. Its name may be somebody else's by now.
	h := http.Header{"Content-Type": {"text/plain"}, "X-Amz-Expected-Bucket-Owner": {b.Owner.Account}}
	for name, value := range t.grantHeaders(b) {
		h.Set(name, value)
	}
	return agent.Put(ctx, d.config.S3, t.Bucket, t.key(d.config.Region, b, f, g), h, g.lines)
}

// key is the name of a log object. It follows from the file in the spool, so that a delivery which is
// repeated has the same one.
func (t *Target) key(region string, b *object.Bucket, f *spooled, g *group) string {
	first, _, _ := bytes.Cut(g.lines, []byte{'\n'})
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %d %s %s %s", f.number, f.at.UnixMilli(), g.bucket, g.date, first))
	unique := strings.ToUpper(hex.EncodeToString(sum[:8]))
	stamp := f.at.Format("2006-01-02-15-04-05")
	if t.Keys != EventTime && t.Keys != DeliveryTime {
		return t.Prefix + stamp + "-" + unique
	}
	if t.Keys == EventTime {
		stamp = g.date + "-00-00-00"
	}
	date := strings.ReplaceAll(stamp[:10], "-", "/")
	return t.Prefix + b.Owner.Account + "/" + region + "/" + b.Name + "/" + date + "/" + stamp + "-" + unique
}

// grantHeaders give what TargetGrants say, and the owner everything.
func (t *Target) grantHeaders(b *object.Bucket) map[string]string {
	if len(t.Grants) == 0 {
		return nil
	}
	names := map[string]string{"FULL_CONTROL": "X-Amz-Grant-Full-Control", "READ": "X-Amz-Grant-Read", "WRITE": "X-Amz-Grant-Write"}
	lists := map[string][]string{"X-Amz-Grant-Full-Control": {`id="` + b.Owner.Canonical + `"`}}
	for _, g := range t.Grants {
		who := `id="` + g.ID + `"`
		if g.URI != "" {
			who = `uri="` + g.URI + `"`
		}
		name := names[g.Permission]
		if !slices.Contains(lists[name], who) {
			lists[name] = append(lists[name], who)
		}
	}
	headers := map[string]string{}
	for name, list := range lists {
		headers[name] = strings.Join(list, ", ")
	}
	return headers
}
