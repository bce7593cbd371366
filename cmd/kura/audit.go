package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/kura-s3/kura/internal/audit"
)

// auditCommand looks into the record: it reads the journals' files, of a server that runs or of a copy.
func auditCommand(p program) *cobra.Command {
	c := &cobra.Command{
		Use:   "audit",
		Short: "Verify and query the record of what was asked of a server",
		Args:  noArguments,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(auditVerifyCommand(p), auditQueryCommand(p))
	return c
}

// journalDir is the directory that --data or --dir name.
func journalDir(data, dir string) string {
	if dir != "" {
		return dir
	}
	return filepath.Join(data, "audit")
}

func interruptible(c *cobra.Command) (context.Context, func()) {
	ctx := c.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	return signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
}

func checkOutput(output string) error {
	if output != "text" && output != "json" {
		return errUsage{fmt.Errorf("--output is text or json, not %q", output)}
	}
	return nil
}

func auditVerifyCommand(p program) *cobra.Command {
	var data, dir, key, output string
	var kept []string
	c := &cobra.Command{
		Use:   "verify",
		Short: "Check that no event was changed, removed, put in or moved",
		Long: `Check that no event of the record was changed, removed, put in or moved, and that its end was not
cut off. It needs nothing but the files: a copy of DATA/audit will do, and the public key that its
checkpoints are signed with (public.pem). Keep that key, and from time to time a checkpoint (the files
*.head), where whoever can write to the directory cannot: then not even they can rewrite the past.`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			ctx, stop := interruptible(c)
			defer stop()
			config := audit.VerifyConfig{Dir: journalDir(data, dir)}
			if key == "" {
				key = config.Dir
			}
			var err error
			if config.Key, err = audit.PublicKey(key); err != nil {
				return fmt.Errorf("the public key: %w", err)
			}
			for _, name := range kept {
				checkpoint, err := readCheckpoint(name)
				if err != nil {
					return err
				}
				config.Kept = append(config.Kept, checkpoint)
			}
			return verifyAll(ctx, p.stdout, config, output == "json")
		},
	}
	f := c.Flags()
	f.StringVar(&data, "data", "./kura-data", "data directory")
	f.StringVar(&dir, "dir", "", "directory of the journals, where it is not DATA/audit")
	f.StringVar(&key, "key", "", "public key of the checkpoints; default: public.pem beside the journals")
	f.StringArrayVar(&kept, "checkpoint", nil, "file of a checkpoint that was kept elsewhere (repeatable)")
	f.StringVar(&output, "output", "text", "text or json")
	return c
}

func readCheckpoint(name string) (c audit.Checkpoint, err error) {
	raw, err := os.ReadFile(name)
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(raw, &c); err != nil || c.Seq == 0 {
		return c, fmt.Errorf("%s is not a checkpoint", name)
	}
	return c, nil
}

func verifyAll(ctx context.Context, w io.Writer, c audit.VerifyConfig, asJSON bool) error {
	sound := true
	var reports []*audit.Report
	for _, stream := range audit.Streams {
		r, err := audit.Verify(ctx, c, stream)
		if err != nil {
			return err
		}
		sound = sound && r.Sound()
		reports = append(reports, r)
	}
	if asJSON {
		out := struct {
			Sound   bool            `json:"sound"`
			Key     string          `json:"key"`
			Streams []*audit.Report `json:"streams"`
		}{sound, audit.KeyOf(c.Key), reports}
		if err := json.NewEncoder(w).Encode(out); err != nil {
			return err
		}
	} else {
		for _, r := range reports {
			tellReport(w, r)
		}
		fmt.Fprintf(w, "key %s\n", audit.KeyOf(c.Key))
	}
	if !sound {
		return errReported
	}
	return nil
}

func tellReport(w io.Writer, r *audit.Report) {
	for _, p := range r.Problems {
		where := ""
		if p.Line > 0 {
			where = fmt.Sprintf("line %d: ", p.Line)
		}
		if p.File != "" {
			where = filepath.Base(p.File) + ": " + where
		}
		fmt.Fprintf(w, "%s: %s%s\n", r.Stream, where, p.What)
	}
	verdict := "sound"
	if !r.Sound() {
		verdict = fmt.Sprintf("%d problem(s)", len(r.Problems))
	}
	fmt.Fprintf(w, "%s: %s: %d events in lines %d to %d, %d files; signed up to line %d\n", r.Stream, verdict, r.Events, r.First, r.Last, r.Segments, r.Covered)
	if r.Lost > 0 {
		fmt.Fprintf(w, "%s: %d events were not recorded, as the journal itself says\n", r.Stream, r.Lost)
	}
}

func auditQueryCommand(p program) *cobra.Command {
	var data, dir, output, stream, since, until string
	var limit int
	var follow bool
	var q audit.Query
	c := &cobra.Command{
		Use:   "query",
		Short: "Find who did what, when, from where, and how it was decided",
		Long: `Find events of the record. What is not given does not matter; all that is given must be so.

  kura audit query --bucket reports --key 2026/q3.pdf --since 2026-11-17 --until 2026-11-20
  kura audit query --decision denied --since 24h --output json
  kura audit query --what PutBucketPolicy --newest --limit 1`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := errors.Join(checkOutput(output), readTimes(&q, since, until), checkQuery(&q, stream)); err != nil {
				return errUsage{err}
			}
			ctx, stop := interruptible(c)
			defer stop()
			streams := audit.Streams
			if stream != "all" {
				streams = []string{stream}
			}
			t := teller{w: p.stdout, asJSON: output == "json", left: limit}
			return t.query(ctx, journalDir(data, dir), streams, q, follow)
		},
	}
	f := c.Flags()
	f.StringVar(&data, "data", "./kura-data", "data directory")
	f.StringVar(&dir, "dir", "", "directory of the journals, where it is not DATA/audit")
	f.StringVar(&stream, "stream", "all", "management, data or all")
	f.StringVar(&since, "since", "", "from this time on: 2026-11-17, 2026-11-17T09:00:00Z, or 24h ago")
	f.StringVar(&until, "until", "", "before this time")
	f.StringVar(&q.User, "who", "", "ARN, or name of a user or role session")
	f.StringVar(&q.Name, "what", "", "event name: PutBucketPolicy")
	f.StringVar(&q.Source, "service", "", "event source: s3.amazonaws.com")
	f.StringVar(&q.Bucket, "bucket", "", "bucket")
	f.StringVar(&q.Key, "key", "", "object key")
	f.StringVar(&q.Prefix, "prefix", "", "beginning of the object key")
	f.StringVar(&q.Resource, "resource", "", "ARN or name of the resource")
	f.StringVar(&q.Account, "account", "", "account whose record it is")
	f.StringVar(&q.KeyID, "access-key", "", "access key id")
	f.StringVar(&q.IP, "ip", "", "source address")
	f.StringVar(&q.Decision, "decision", "", "allowed or denied")
	f.StringVar(&q.Error, "error", "", "error code")
	f.StringVar(&q.ID, "id", "", "decision id, which is the request id")
	f.StringVar(&q.Event, "event", "", "event id")
	f.BoolVar(&q.Newest, "newest", false, "the newest first")
	f.IntVar(&limit, "limit", 0, "at most so many; 0: all")
	f.BoolVar(&follow, "follow", false, "go on with what happens")
	f.StringVar(&output, "output", "text", "text, or json: one object on each line")
	return c
}

func checkQuery(q *audit.Query, stream string) error {
	if q.Decision != "" && q.Decision != "allowed" && q.Decision != "denied" {
		return fmt.Errorf("--decision is allowed or denied, not %q", q.Decision)
	}
	if stream != "all" && stream != audit.StreamManagement && stream != audit.StreamData {
		return fmt.Errorf("--stream is management, data or all, not %q", stream)
	}
	return nil
}

func readTimes(q *audit.Query, since, until string) error {
	var err, err2 error
	q.Since, err = readTime("since", since)
	q.Until, err2 = readTime("until", until)
	return errors.Join(err, err2)
}

func readTime(flag, v string) (time.Time, error) {
	if v == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(v); err == nil {
		return time.Now().Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.Parse(layout, v); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("--%s %q is not a time: 2026-11-17, 2026-11-17T09:00:00Z, or 24h", flag, v)
}

// teller prints events.
type teller struct {
	w      io.Writer
	asJSON bool
	left   int // 0: no bound
	told   int
	failed error
}

// ahead bounds what is read of a stream before the other one.
const ahead = 256

// query merges the streams by time.
func (t *teller) query(ctx context.Context, dir string, streams []string, q audit.Query, follow bool) error {
	last := map[string]uint64{}
	if err := t.once(ctx, dir, streams, q, last); err != nil || !follow {
		return err
	}
	q.Newest = false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(200 * time.Millisecond):
		}
		for _, stream := range streams {
			next := q
			next.After = last[stream]
			if err := t.once(ctx, dir, []string{stream}, next, last); err != nil {
				return err
			}
		}
	}
}

func (t *teller) once(ctx context.Context, dir string, streams []string, q audit.Query, last map[string]uint64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	found := make([]chan audit.Entry, len(streams))
	failed := make(chan error, len(streams))
	for i, stream := range streams {
		found[i] = make(chan audit.Entry, ahead)
		go func() {
			defer close(found[i])
			failed <- audit.Find(ctx, dir, stream, &q, func(e *audit.Entry) bool {
				select {
				case found[i] <- *e:
					return true
				case <-ctx.Done():
					return false
				}
			})
		}()
	}
	heads := make([]*audit.Entry, len(streams))
	for {
		best := -1
		for i := range streams {
			if heads[i] == nil {
				if e, ok := <-found[i]; ok {
					heads[i] = &e
				}
			}
			if heads[i] != nil && (best < 0 || (heads[i].Millis < heads[best].Millis) != q.Newest) {
				best = i
			}
		}
		if best < 0 {
			break
		}
		last[streams[best]] = max(last[streams[best]], heads[best].Seq)
		if !t.tell(heads[best]) {
			return t.failed
		}
		heads[best] = nil
	}
	for range streams {
		if err := <-failed; err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// tell prints one event, and is false when no more are wanted.
func (t *teller) tell(e *audit.Entry) bool {
	if t.asJSON {
		t.failed = json.NewEncoder(t.w).Encode(struct {
			Line     uint64          `json:"line"`
			Decision string          `json:"decision"`
			Note     audit.Note      `json:"note"`
			Record   json.RawMessage `json:"record"`
		}{e.Seq, e.Decision(), e.Note, e.Record})
	} else {
		_, t.failed = fmt.Fprintln(t.w, textOf(e))
	}
	t.told++
	return t.failed == nil && (t.left == 0 || t.told < t.left)
}

// textOf is an event on one line: when, decision, what, on what, who, from where, and why not.
func textOf(e *audit.Entry) string {
	who := e.User
	if who == "" {
		who = "anonymous"
	}
	on := e.ARN
	if on == "" {
		on = "-"
	}
	line := fmt.Sprintf("%s %-7s %s %s %s from %s by %s", e.Time().Format("2006-01-02T15:04:05.000Z"), e.Decision(),
		strings.TrimSuffix(e.Source, ".amazonaws.com")+":"+e.Name, printable(on), printable(who), orDash(e.IP), orDash(e.Auth))
	if e.KeyID != "" {
		line += " key " + e.KeyID
	}
	line += fmt.Sprintf(" id %s %d", e.ID, e.Status)
	if e.Error != "" {
		line += " " + e.Error
	}
	return line
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// printable keeps what a client chose from being more than a word on a terminal.
func printable(s string) string {
	quoted := fmt.Sprintf("%q", s)
	if plain := quoted[1 : len(quoted)-1]; plain == s && !strings.Contains(s, " ") {
		return s
	}
	return quoted
}
