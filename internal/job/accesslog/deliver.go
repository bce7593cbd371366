package accesslog

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/audit/deliver"
	"github.com/kura-s3/kura/internal/object"
)

// How lines are delivered.
const (
	flushEvery = 100 * time.Millisecond
	maxObject  = 8 << 20        // of lines
	keepFor    = 24 * time.Hour // what a target refuses
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
}

// Deliverer puts what is in a Spool into buckets.
type Deliverer struct{ config DelivererConfig }

// NewDeliverer makes a Deliverer.
func NewDeliverer(c DelivererConfig) *Deliverer { return &Deliverer{c} }

// Run delivers until ctx ends.
func (d *Deliverer) Run(ctx context.Context) {
	flush, tick := time.NewTicker(flushEvery), time.NewTicker(d.config.Interval)
	defer flush.Stop()
	defer tick.Stop()
	log := d.config.Spool.config.Log
	for {
		select {
		case <-ctx.Done():
			return
		case <-flush.C:
			if err := d.config.Spool.Flush(); err != nil {
				log.Error("accesslog: lines cannot be written", "err", err)
			}
			continue
		case <-tick.C:
		case <-d.config.Spool.wake:
		}
		if err := d.Deliver(ctx); err != nil && ctx.Err() == nil {
			log.Error("accesslog: delivery", "err", err)
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

// group are lines that go into the same object.
type group struct {
	bucket, date string
	lines        []byte // what the object holds
	spool        []byte // the same as in the spool
}

// file delivers one closed file. What could not be delivered stays in it.
func (d *Deliverer) file(ctx context.Context, f *spooled) error {
	src, err := os.Open(f.name)
	if err != nil {
		return err
	}
	defer src.Close()
	groups := map[string]*group{}
	var failed []byte
	put := func(g *group) error {
		err := d.put(ctx, f, g)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			if d.config.Spool.config.Now().Sub(f.at) < keepFor {
				failed = append(failed, g.spool...)
			}
			d.config.Spool.config.Log.Warn("accesslog: a log is not delivered", "source", g.bucket, "err", err)
		}
		return nil
	}
	lines := bufio.NewScanner(src)
	lines.Buffer(make([]byte, 0, 1<<20), 1<<20)
	for lines.Scan() {
		bucket, rest, ok := bytes.Cut(lines.Bytes(), []byte{'\t'})
		millis, line, ok2 := bytes.Cut(rest, []byte{'\t'})
		at, err := strconv.ParseInt(string(millis), 10, 64)
		if !ok || !ok2 || err != nil {
			continue // torn by a crash
		}
		name := string(bucket) + "\t" + day(time.UnixMilli(at))
		g := groups[name]
		if g == nil {
			g = &group{bucket: string(bucket), date: day(time.UnixMilli(at))}
			groups[name] = g
		}
		g.lines = append(append(g.lines, line...), '\n')
		g.spool = append(append(g.spool, lines.Bytes()...), '\n')
		if len(g.lines) >= maxObject {
			delete(groups, name)
			if err := put(g); err != nil {
				return err
			}
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	for _, g := range groups {
		if err := put(g); err != nil {
			return err
		}
	}
	return f.keep(failed)
}

// keep leaves what was not delivered, or nothing.
func (f *spooled) keep(lines []byte) error {
	if len(lines) == 0 {
		return os.Remove(f.name)
	}
	if int64(len(lines)) == f.size {
		return nil
	}
	tmp := f.name + ".tmp"
	if err := os.WriteFile(tmp, lines, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, f.name)
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
	h := http.Header{"Content-Type": {"text/plain"}}
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
