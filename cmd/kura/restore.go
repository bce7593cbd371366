package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

const restoreLong = `Make a versioned bucket again what it was at a time, through the S3 API: keys that were overwritten or deleted
since come back as copies of the version that was current then, and keys that were not there are hidden under a
delete marker. Nothing is destroyed, so undoing can be undone.

Without --apply it only says what it would do. Endpoint and credentials come from the environment, as client.env
sets it. S3 tells times to the second.`

// copyLimit is the largest object that one CopyObject takes.
const copyLimit = 5 << 30

// restoreOptions are the flags.
type restoreOptions struct {
	bucket, prefix, at, endpoint, output string
	apply                                bool
	workers                              int
}

func restoreCommand(p program) *cobra.Command {
	var o restoreOptions
	c := &cobra.Command{Use: "restore --bucket BUCKET --at TIME", Short: "Make a versioned bucket what it was at a time", Long: restoreLong, Args: noArguments}
	f := c.Flags()
	f.StringVar(&o.bucket, "bucket", "", "the bucket")
	f.StringVar(&o.at, "at", "", "the time, as 2026-11-22T09:00:00Z, or how long ago, as 90m")
	f.StringVar(&o.prefix, "prefix", "", "only keys that begin so")
	f.BoolVar(&o.apply, "apply", false, "do it; without it, only tell")
	f.StringVar(&o.endpoint, "endpoint", "", "the endpoint; default AWS_ENDPOINT_URL")
	f.IntVar(&o.workers, "workers", 8, "requests at the same time")
	outputFlag(c, &o.output)
	c.RunE = func(c *cobra.Command, _ []string) error {
		r, err := newRestore(p, &o)
		if err != nil {
			return err
		}
		ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGTERM, syscall.SIGINT)
		defer stop()
		return r.run(ctx)
	}
	return c
}

// restoring is one run of the command.
type restoring struct {
	restoreOptions
	client *client
	when   time.Time
	out    *restoreOutput
	bar    *progressBar
}

func newRestore(p program, o *restoreOptions) (*restoring, error) {
	asJSON, err := inJSON(o.output)
	if err != nil {
		return nil, err
	}
	if o.bucket == "" || o.workers < 1 || o.workers > 256 {
		return nil, errUsage{errors.New("needs --bucket, --at, and from 1 to 256 --workers")}
	}
	r := &restoring{restoreOptions: *o, out: &restoreOutput{w: p.stdout, json: asJSON}, bar: &progressBar{w: p.stderr, shown: terminal(p.stderr)}}
	if r.when, err = pointInTime(o.at, time.Now()); err != nil {
		return nil, errUsage{err}
	}
	r.client, err = newClient(environment(p.environ), o.endpoint)
	return r, err
}

// pointInTime reads a moment of the past.
func pointInTime(text string, now time.Time) (time.Time, error) {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		ago, err := time.ParseDuration(text)
		if err != nil || ago < 0 {
			return at, fmt.Errorf("--at %q is neither a time, such as 2026-11-22T09:00:00Z, nor how long ago, such as 90m", text)
		}
		at = now.Add(-ago)
	}
	if at.After(now) {
		return at, fmt.Errorf("--at %s has not come yet", at.Format(time.RFC3339))
	}
	return at, nil
}

func (r *restoring) run(ctx context.Context) error {
	if err := r.checkVersioned(ctx); err != nil {
		return err
	}
	r.bar.begin("looking", 0)
	tell := r.out.step
	if r.apply {
		tell = func(*step) {}
	}
	sum := restoreSummary{Bucket: r.bucket, At: r.when.UTC(), Applied: r.apply}
	err := r.each(ctx, func(s *step) error {
		sum.count(s)
		tell(s)
		return nil
	}, func() { sum.Unchanged++; r.bar.add(1) })
	r.bar.end()
	if err == nil && r.apply {
		err = r.execute(ctx, &sum)
	}
	if err != nil {
		return err
	}
	if err := r.out.end(&sum); err != nil {
		return err
	}
	if sum.Failed > 0 {
		return errReported
	}
	return nil
}

func (r *restoring) checkVersioned(ctx context.Context) error {
	_, body, err := r.client.do(ctx, "GET", r.bucket, "", url.Values{"versioning": {""}}, nil)
	if err != nil {
		return err
	}
	var doc struct{ Status string }
	if err := xml.Unmarshal(body, &doc); err != nil {
		return err
	}
	if doc.Status == "" {
		return fmt.Errorf("bucket %s never had versioning: what was overwritten or deleted in it is gone", r.bucket)
	}
	if r.apply && doc.Status != "Enabled" {
		// A copy would take the place of the version "null", and a marker too: for good.
		return fmt.Errorf("versioning of bucket %s is %s: what is current would be overwritten, not kept; enable versioning first", r.bucket, strings.ToLower(doc.Status))
	}
	return nil
}

// each gives a step for every key that is not what it was.
func (r *restoring) each(ctx context.Context, fn func(*step) error, unchanged func()) error {
	return r.client.eachKey(ctx, r.bucket, r.prefix, func(versions []keyVersion) error {
		s := planKey(versions, r.when)
		if s != nil && s.same {
			alike, err := r.alike(ctx, s)
			if err != nil {
				return err
			}
			if alike {
				s = nil
			}
		}
		if s == nil {
			unchanged()
			return nil
		}
		r.bar.add(1)
		return fn(s)
	})
}

// alike tells whether the current version also has the headers and tags of the one that is to come back: then
// a copy would change nothing.
func (r *restoring) alike(ctx context.Context, s *step) (bool, error) {
	now, _, err := r.client.do(ctx, "HEAD", r.bucket, s.Key, nil, nil)
	if err != nil {
		return false, err
	}
	then, _, err := r.client.do(ctx, "HEAD", r.bucket, s.Key, url.Values{"versionId": {s.VersionID}}, nil)
	if err != nil {
		return false, err
	}
	if describing(now) != describing(then) || now.Get("X-Amz-Tagging-Count") == "" {
		return describing(now) == describing(then), nil
	}
	_, tags, err := r.client.do(ctx, "GET", r.bucket, s.Key, url.Values{"tagging": {""}}, nil)
	if err != nil {
		return false, err
	}
	_, were, err := r.client.do(ctx, "GET", r.bucket, s.Key, url.Values{"tagging": {""}, "versionId": {s.VersionID}}, nil)
	return bytes.Equal(tags, were), err
}

// describing is what an object's headers say of it that a copy takes along.
func describing(h http.Header) string {
	var lines strings.Builder
	for _, name := range []string{"Content-Type", "Content-Encoding", "Content-Disposition", "Content-Language", "Cache-Control", "Expires",
		"X-Amz-Storage-Class", "X-Amz-Tagging-Count"} {
		fmt.Fprintf(&lines, "%s: %s\n", name, h.Get(name))
	}
	meta := http.Header{}
	for name, values := range h {
		if strings.HasPrefix(name, "X-Amz-Meta-") {
			meta[name] = values
		}
	}
	_ = meta.Write(&lines) // sorted; a strings.Builder takes everything
	return lines.String()
}

// execute does what was planned, some keys at a time. The bucket is walked again rather than kept in
// memory; what changed meanwhile is left alone.
func (r *restoring) execute(ctx context.Context, sum *restoreSummary) error {
	r.bar.begin("restoring", sum.Restored+sum.Hidden)
	*sum = restoreSummary{Bucket: sum.Bucket, At: sum.At, Applied: true}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	todo := make(chan *step)
	var mu sync.Mutex
	var workers sync.WaitGroup
	for range r.workers {
		workers.Go(func() {
			for s := range todo {
				if err := r.perform(ctx, s); err != nil {
					s.Error = err.Error()
				}
				mu.Lock()
				sum.count(s)
				r.out.step(s)
				mu.Unlock()
			}
		})
	}
	unchanged := int64(0)
	err := r.each(ctx, func(s *step) error {
		select {
		case todo <- s:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}, func() { unchanged++ })
	close(todo)
	workers.Wait()
	sum.Unchanged = unchanged
	r.bar.end()
	return err
}

// perform does one step, unless the key is no longer what it was when it was planned.
func (r *restoring) perform(ctx context.Context, s *step) error {
	headers := map[string]string{"If-None-Match": "*"}
	if s.current != "" {
		headers = map[string]string{"If-Match": `"` + s.current + `"`}
	}
	if s.Action == actionHide {
		_, _, err := r.client.do(ctx, "DELETE", r.bucket, s.Key, nil, headers)
		return err
	}
	if s.Size > copyLimit {
		return fmt.Errorf("larger than %d bytes, which is the most that a copy takes: aws s3 cp copies it in parts", int64(copyLimit))
	}
	headers["X-Amz-Copy-Source"] = escapeKey(r.bucket) + "/" + escapeKey(s.Key) + "?versionId=" + url.QueryEscape(s.VersionID)
	if s.class != "" && s.class != "STANDARD" {
		headers["X-Amz-Storage-Class"] = s.class
	}
	_, _, err := r.client.do(ctx, "PUT", r.bucket, s.Key, nil, headers)
	return err
}

// restoreSummary is the last thing that the command says.
type restoreSummary struct {
	Bucket    string    `json:"bucket"`
	At        time.Time `json:"at"`
	Applied   bool      `json:"applied"`
	Restored  int64     `json:"restored"`
	Hidden    int64     `json:"hidden"`
	Unchanged int64     `json:"unchanged"`
	Failed    int64     `json:"failed"`
}

func (s *restoreSummary) count(st *step) {
	switch {
	case st.Error != "":
		s.Failed++
	case st.Action == actionHide:
		s.Hidden++
	default:
		s.Restored++
	}
}

// restoreOutput writes what is, or would be, done: lines for people, or one JSON document whose keys
// are written as they come.
type restoreOutput struct {
	w     io.Writer
	json  bool
	begun bool
	err   error
}

func (o *restoreOutput) print(format string, args ...any) {
	if _, err := fmt.Fprintf(o.w, format, args...); o.err == nil {
		o.err = err
	}
}

func (o *restoreOutput) step(s *step) {
	if o.json {
		raw, err := json.Marshal(s)
		if o.err == nil {
			o.err = err
		}
		o.print("%s%s", o.separator(), raw)
		return
	}
	switch {
	case s.Error != "":
		o.print("failed   %q: %s\n", s.Key, s.Error)
	case s.Action == actionHide:
		o.print("hide     %q\n", s.Key)
	default:
		o.print("restore  %q  %d bytes of %s, version %s\n", s.Key, s.Size, s.Modified.Format(time.RFC3339), s.VersionID)
	}
}

func (o *restoreOutput) separator() string {
	if o.begun {
		return ","
	}
	o.begun = true
	return `{"keys":[`
}

func (o *restoreOutput) end(sum *restoreSummary) error {
	if o.json {
		raw, err := json.Marshal(sum)
		if err != nil {
			return err
		}
		if !o.begun {
			o.separator()
		}
		o.print("],\"summary\":%s}\n", raw)
		return o.err
	}
	verbs := "would be restored, %d hidden"
	if sum.Applied {
		verbs = "restored, %d hidden"
	}
	o.print("%s at %s: %d keys "+verbs+", %d unchanged, %d failed\n", sum.Bucket, sum.At.Format(time.RFC3339), sum.Restored, sum.Hidden, sum.Unchanged, sum.Failed)
	if !sum.Applied && sum.Restored+sum.Hidden > 0 {
		o.print("nothing was changed; --apply does it\n")
	}
	return o.err
}

// progressBar tells a person how far a run has come; it shows nothing where nobody looks.
type progressBar struct {
	mu          sync.Mutex
	w           io.Writer
	shown       bool
	what        string
	done, total int64
	last        time.Time
}

const (
	barWidth = 30
	barPause = 100 * time.Millisecond
)

func (b *progressBar) begin(what string, total int64) {
	b.what, b.done, b.total = what, 0, total
	b.draw()
}

func (b *progressBar) add(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done += n
	if time.Since(b.last) >= barPause {
		b.draw()
	}
}

func (b *progressBar) draw() {
	if !b.shown {
		return
	}
	b.last = time.Now()
	if b.total == 0 {
		fmt.Fprintf(b.w, "\r%s  %d keys", b.what, b.done)
		return
	}
	full := int(min(b.done, b.total) * barWidth / b.total)
	fmt.Fprintf(b.w, "\r%s  [%s%s]  %d of %d", b.what, strings.Repeat("#", full), strings.Repeat(".", barWidth-full), min(b.done, b.total), b.total)
}

func (b *progressBar) end() {
	b.draw()
	if b.shown {
		fmt.Fprintln(b.w)
	}
}
