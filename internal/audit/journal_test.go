package audit

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kura-s3/kura/policy"
)

var testKey = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))

func publicKey() ed25519.PublicKey { return testKey.Public().(ed25519.PublicKey) }

func managed(id string, readOnly bool) *Event {
	return &Event{
		ID: id, RequestID: id, Time: time.Unix(1_700_000_000, 0), Service: "s3", Operation: "CreateBucket", Class: Management, ReadOnly: readOnly,
		Principal: policy.Principal{Type: policy.IAMUser, Account: "111122223333", ARN: "arn:aws:iam::111122223333:user/u", UserID: "AIDA1", Name: "u"},
		Decisions: []Decision{{Action: "s3:CreateBucket", Resource: "arn:aws:s3:::b", Account: "111122223333", Allowed: true}}, Status: 200, Bucket: "b",
	}
}

func open(t testing.TB, c JournalConfig) *Journal {
	t.Helper()
	if c.Dir == "" {
		c.Dir = filepath.Join(t.TempDir(), "audit")
	}
	c.Stream, c.Key, c.Log, c.Node = StreamManagement, testKey, slog.New(slog.DiscardHandler), "n"
	j, err := OpenJournal(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func add(t testing.TB, j *Journal, durable bool, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if err := j.Append(durable, Lines(managed(id, !durable), CategoryManagement)...); err != nil {
			t.Fatal(err)
		}
	}
}

func find(t testing.TB, dir string, q Query) []string {
	t.Helper()
	var ids []string
	if err := Find(t.Context(), dir, StreamManagement, &q, func(e *Entry) bool { ids = append(ids, e.ID); return true }); err != nil {
		t.Fatal(err)
	}
	return ids
}

func verify(t testing.TB, dir string, kept ...Checkpoint) *Report {
	t.Helper()
	r, err := Verify(t.Context(), VerifyConfig{Dir: dir, Key: publicKey(), Kept: kept}, StreamManagement)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestJournalKeepsEveryEventOnceAndInAChain(t *testing.T) {
	j := open(t, JournalConfig{SegmentBytes: 16 << 10})
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Add(1)
		go func() {
			defer writers.Done()
			for i := range 50 {
				if err := j.Append(i%2 == 0, Lines(managed(fmt.Sprintf("%d-%d", w, i), false), CategoryManagement)...); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	writers.Wait()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	for _, id := range find(t, j.config.Dir, Query{}) {
		found[id]++
	}
	if len(found) != 400 {
		t.Errorf("%d events of 400", len(found))
	}
	for id, n := range found {
		if n != 1 {
			t.Errorf("%s stands there %d times", id, n)
		}
	}
	r := verify(t, j.config.Dir)
	if !r.Sound() || r.Events != 400 || r.Segments < 3 || r.Covered < r.Last-1 {
		t.Errorf("%+v", r)
	}
}

func TestWhatIsDurableIsFoundAfterACrash(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	j := open(t, JournalConfig{Dir: dir})
	add(t, j, true, "1", "2", "3")
	// The crash: the file ends within a line, and nobody closes it.
	name := j.segment.path()
	f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("half of a li"); err != nil {
		t.Fatal(err)
	}
	f.Close()
	j.file.Close()
	again := open(t, JournalConfig{Dir: dir})
	add(t, again, true, "4")
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(find(t, dir, Query{}), " "); got != "1 2 3 4" {
		t.Errorf("found %s", got)
	}
	if r := verify(t, dir); !r.Sound() {
		t.Errorf("%+v", r)
	}
}

// tamper changes the only open segment's lines.
func tamper(t *testing.T, dir string, change func(lines []string) []string) {
	t.Helper()
	all, err := segments(dir, StreamManagement)
	if err != nil || len(all) != 1 {
		t.Fatalf("%d segments, %v", len(all), err)
	}
	raw, err := os.ReadFile(all[0].path())
	if err != nil {
		t.Fatal(err)
	}
	lines := change(strings.SplitAfter(strings.TrimSuffix(string(raw), "\n"), "\n"))
	if err := os.WriteFile(all[0].path(), []byte(strings.TrimSuffix(strings.Join(lines, ""), "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestVerifyNamesEveryTampering(t *testing.T) {
	for name, change := range map[string]func([]string) []string{
		"changed":   func(l []string) []string { l[2] = strings.Replace(l[2], "user/u", "user/v", 1); return l },
		"removed":   func(l []string) []string { return append(l[:2:2], l[3:]...) },
		"reordered": func(l []string) []string { l[2], l[3] = l[3], l[2]; return l },
		"inserted":  func(l []string) []string { return append(l[:3:3], append([]string{l[2]}, l[3:]...)...) },
		"cut off":   func(l []string) []string { return l[:3] },
		"rewritten": func(l []string) []string { // with new hashes, but without the key
			var head hash
			out := []string{}
			for i, text := range l {
				p, err := parseLine([]byte(strings.TrimSuffix(text, "\n")))
				if err != nil {
					t.Fatal(err)
				}
				if i == 2 {
					p.record = bytes.Replace(p.record, []byte("user/u"), []byte("user/v"), 1)
				}
				var line []byte
				line, head = appendLine(nil, head, p.kind, p.record, p.note)
				out = append(out, string(line))
			}
			return out
		},
	} {
		t.Run(name, func(t *testing.T) {
			j := open(t, JournalConfig{})
			add(t, j, true, "1", "2", "3", "4")
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			if r := verify(t, j.config.Dir); !r.Sound() {
				t.Fatalf("before: %+v", r)
			}
			tamper(t, j.config.Dir, change)
			r := verify(t, j.config.Dir)
			if r.Sound() {
				t.Error("was not noticed")
			}
			t.Log(r.Problems)
		})
	}
}

func TestVerifyNamesWhatIsMissing(t *testing.T) {
	j := open(t, JournalConfig{SegmentBytes: 8 << 10})
	for i := range 60 {
		add(t, j, true, fmt.Sprint(i))
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	all, err := segments(j.config.Dir, StreamManagement)
	if err != nil || len(all) < 5 {
		t.Fatalf("%d segments, %v", len(all), err)
	}
	for name, s := range map[string]*segment{"first": all[0], "middle": all[2], "last": all[len(all)-1]} {
		t.Run(name, func(t *testing.T) {
			aside := filepath.Join(t.TempDir(), "aside")
			if err := os.Rename(s.path(), aside); err != nil {
				t.Fatal(err)
			}
			if r := verify(t, j.config.Dir); r.Sound() {
				t.Error("was not noticed")
			}
			if err := os.Rename(aside, s.path()); err != nil {
				t.Fatal(err)
			}
		})
	}
	if r := verify(t, j.config.Dir); !r.Sound() {
		t.Errorf("whole again: %+v", r.Problems)
	}
}

func TestAShortenedJournalIsNoticedAtTheStart(t *testing.T) {
	var head Checkpoint
	j := open(t, JournalConfig{Keep: func(c Checkpoint) { head = c }})
	add(t, j, true, "1", "2", "3", "4")
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	tamper(t, j.config.Dir, func(l []string) []string { return l[:3] })
	if err := os.Remove(HeadFile(j.config.Dir, StreamManagement)); err != nil {
		t.Fatal(err)
	}
	again := open(t, JournalConfig{Dir: j.config.Dir, Head: head})
	add(t, again, true, "5")
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	r := verify(t, j.config.Dir)
	if r.Sound() || !strings.Contains(fmt.Sprint(r.Problems), "cut off") {
		t.Errorf("%+v", r)
	}
}

func TestRetentionIsOnRecord(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	var passed atomic.Int64
	start := time.Now()
	now := func() time.Time { return start.Add(time.Duration(passed.Load())) }
	j := open(t, JournalConfig{Dir: dir, SegmentBytes: 8 << 10, MaxBytes: 20 << 10, Now: now})
	for i := range 120 {
		passed.Add(int64(30 * time.Second))
		add(t, j, true, fmt.Sprint(i))
	}
	for range 3000 { // sealing is beside the writer
		if all, err := segments(dir, StreamManagement); err != nil || len(all) < 12 {
			break
		}
		time.Sleep(10 * time.Millisecond)
		passed.Add(int64(time.Minute))
		add(t, j, true, "more")
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	r := verify(t, dir)
	if !r.Sound() || r.First == 1 {
		t.Errorf("%+v", r)
	}
}

// TestASegmentIsListedWhileItIsSealed: whoever reads, asks or verifies meanwhile would miss all of its lines.
func TestASegmentIsListedWhileItIsSealed(t *testing.T) {
	for look := range 2 {
		dir := t.TempDir()
		first, second := &segment{dir: dir, stream: StreamData, first: 1}, &segment{dir: dir, stream: StreamData, first: 9}
		for _, s := range []*segment{first, second} {
			if err := os.WriteFile(s.name(openSuffix), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		looks := 0
		all, err := segmentsBy(func(dir string) ([]fs.DirEntry, error) {
			entries, err := os.ReadDir(dir)
			if looks == look {
				if err := os.Rename(first.name(openSuffix), first.name(sealedSuffix)); err != nil {
					t.Fatal(err)
				}
			}
			looks++
			return entries, err
		}, dir, StreamData)
		if err != nil || len(all) != 2 || all[0].first != 1 || all[1].first != 9 {
			t.Errorf("sealed in look %d: %v, %v", look, all, err)
		}
	}
}

func TestReadersMissNothing(t *testing.T) {
	j := open(t, JournalConfig{SegmentBytes: 8 << 10})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	const total = 200
	got := make(chan []string)
	go func() {
		var ids []string
		at := uint64(0)
		for len(ids) < total {
			r := j.Reader(at) // a new one every time, as after a crash
			for range 3 {
				entries, err := r.Next(ctx, 7)
				if err != nil {
					t.Error(err)
					break
				}
				for _, e := range entries {
					ids = append(ids, e.ID)
					at = e.Seq
					if !json.Valid(e.Record) {
						t.Errorf("%s", e.Record)
					}
				}
				if len(ids) >= total {
					break
				}
			}
			r.Close()
			if ctx.Err() != nil {
				break
			}
		}
		got <- ids
	}()
	for i := range total {
		add(t, j, i%5 == 0, fmt.Sprint(i))
	}
	for i, id := range <-got {
		if id != fmt.Sprint(i) {
			t.Fatalf("entry %d is %s", i, id)
		}
	}
}

func TestFindByEverything(t *testing.T) {
	j := open(t, JournalConfig{SegmentBytes: 8 << 10})
	for i := range 100 {
		ev := managed(fmt.Sprintf("R%d", i), i%2 == 0)
		ev.Time = time.Unix(1_700_000_000+int64(i)*60, 0)
		ev.Bucket, ev.Key, ev.Class = fmt.Sprintf("b%d", i%10), fmt.Sprintf("dir%d/key%d", i%3, i), Data
		ev.SourceIP, ev.AccessKey = fmt.Sprintf("198.51.100.%d", i%7), fmt.Sprintf("AKIA%d", i%4)
		if i%9 == 0 {
			ev.ErrorCode, ev.Decisions[0].Allowed, ev.Decisions[0].Reason = "AccessDenied", false, "no"
		}
		if err := j.Append(false, Lines(ev, CategoryData)...); err != nil {
			t.Fatal(err)
		}
	}
	add(t, j, true, "last")
	yes := true
	check := func(when string) {
		t.Helper()
		for name, want := range map[string]struct {
			q Query
			n int
		}{
			"all":      {Query{}, 101},
			"bucket":   {Query{Bucket: "b3"}, 10},
			"key":      {Query{Key: "dir1/key4"}, 1},
			"prefix":   {Query{Prefix: "dir2/"}, 33},
			"ip":       {Query{IP: "198.51.100.6"}, 14},
			"key id":   {Query{KeyID: "AKIA2"}, 25},
			"user":     {Query{User: "u"}, 101},
			"user arn": {Query{User: "arn:aws:iam::111122223333:user/u"}, 101},
			"nobody":   {Query{User: "x"}, 0},
			"denied":   {Query{Decision: "denied"}, 12},
			"error":    {Query{Error: "AccessDenied", Bucket: "b0"}, 2},
			"time":     {Query{Since: time.Unix(1_700_000_000+10*60, 0), Until: time.Unix(1_700_000_000+20*60, 0)}, 10},
			"reads":    {Query{ReadOnly: &yes, Category: "Data"}, 50},
			"id":       {Query{ID: "R42"}, 1},
		} {
			want.q.Newest = len(name)%2 == 0
			if got := find(t, j.config.Dir, want.q); len(got) != want.n {
				t.Errorf("%s, %s: %d of %d: %v", when, name, len(got), want.n, got)
			}
		}
		newest := find(t, j.config.Dir, Query{Newest: true, Category: "Data"})
		if len(newest) != 100 || newest[0] != "R99" || newest[99] != "R0" {
			t.Errorf("%s: newest first: %v", when, newest)
		}
	}
	check("open")
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, JournalConfig{Dir: j.config.Dir})
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	check("sealed")
}

func TestALogRefusesWhatItCannotRecord(t *testing.T) {
	j, d := open(t, JournalConfig{}), open(t, JournalConfig{})
	l := NewLog(LogConfig{Management: j, Data: d})
	ctx := t.Context()
	j.file.Close() // what a vanished disk looks like
	if err := l.Complete(ctx, managed("1", false)); err == nil {
		t.Error("a write that failed was acknowledged")
	}
	if err := l.Begin(ctx, managed("2", false)); err == nil {
		t.Error("a journal that failed lets requests through")
	}
	data := managed("3", true)
	data.Class = Data
	l.WantData(func(*Event) bool { return true })
	d.file.Close()
	d.Append(true, Lines(data, CategoryData)...)
	if err := l.Begin(ctx, data); err != nil {
		t.Errorf("not strict: %v", err)
	}
	strict := NewLog(LogConfig{Management: j, Data: d, Strict: true})
	strict.WantData(func(*Event) bool { return true })
	if err := strict.Begin(ctx, data); err == nil {
		t.Error("strict, and the request goes on")
	}
}

func TestALogLeavesOutWhatNobodyAskedFor(t *testing.T) {
	j, d := open(t, JournalConfig{}), open(t, JournalConfig{})
	l := NewLog(LogConfig{Management: j, Data: d})
	data, unknown, stranger := managed("data", false), managed("unknown", false), managed("stranger", false)
	data.Class = Data
	unknown.Principal = policy.Principal{}
	stranger.Principal = policy.Principal{Type: policy.Anonymous}
	stranger.ErrorCode = "AccessDenied"
	for _, ev := range []*Event{data, unknown} {
		if l.Wants(ev) || l.Complete(t.Context(), ev) != nil {
			t.Errorf("%s is wanted", ev.ID)
		}
	}
	if !l.Wants(stranger) || l.destination(stranger) != d {
		t.Error("what a stranger was refused is not among the data events")
	}
	if got := find(t, j.config.Dir, Query{}); len(got) != 0 {
		t.Errorf("found %v", got)
	}
}

func TestALossIsOnRecord(t *testing.T) {
	j := open(t, JournalConfig{SyncEvery: time.Hour})
	j.mu.Lock()
	j.waiting.buf = make([]byte, maxWaiting+1)
	j.mu.Unlock()
	if err := j.Append(false, Lines(managed("1", true), CategoryManagement)...); !errors.Is(err, ErrJournal) {
		t.Errorf("%v", err)
	}
	j.mu.Lock()
	j.waiting.buf = nil
	j.mu.Unlock()
	add(t, j, true, "2")
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, j.config.Dir); !r.Sound() || r.Lost != 1 {
		t.Errorf("%+v", r)
	}
}

func TestJournalFilesArePrivate(t *testing.T) {
	j := open(t, JournalConfig{})
	info, err := os.Stat(j.segment.path())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}

// TestANewJournalIsSoundAtOnce: also before its first checkpoint is due.
func TestANewJournalIsSoundAtOnce(t *testing.T) {
	dir := t.TempDir()
	j := open(t, JournalConfig{Dir: dir, CheckpointEvery: time.Hour})
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	young := open(t, JournalConfig{Dir: t.TempDir(), CheckpointEvery: time.Hour})
	if r := verify(t, young.config.Dir); len(r.Problems) > 0 {
		t.Errorf("while it is open: %v", r.Problems)
	}
	if r := verify(t, dir); len(r.Problems) > 0 {
		t.Errorf("after it was closed: %v", r.Problems)
	}
}
