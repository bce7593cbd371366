package audit

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/kura-s3/kura/policy"
)

func managed(id string, readOnly bool) *Event {
	return &Event{
		ID: id, RequestID: id, Time: time.Unix(0, 0), Service: "s3", Operation: "CreateBucket", Class: Management, ReadOnly: readOnly,
		Principal: policy.Principal{Type: policy.IAMUser, Account: "111122223333", ARN: "arn:aws:iam::111122223333:user/u"},
		Decisions: []Decision{{Action: "s3:CreateBucket", Resource: "arn:aws:s3:::b", Allowed: true}}, Status: 200,
	}
}

func open(t *testing.T, c JournalConfig) *Journal {
	t.Helper()
	if c.Dir == "" {
		c.Dir = filepath.Join(t.TempDir(), "audit")
	}
	j, err := OpenJournal(c)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// ids reads what stands in the journal's files.
func ids(t *testing.T, dir string) map[string]int {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			var l struct{ ID string }
			if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
				t.Fatalf("%s: %q: %v", name, lines.Text(), err)
			}
			found[l.ID]++
		}
		f.Close()
	}
	return found
}

func TestJournalKeepsManagementEventsOnce(t *testing.T) {
	j := open(t, JournalConfig{FileBytes: 4096, Files: 1000})
	ctx := context.Background()
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Add(1)
		go func() {
			defer writers.Done()
			for i := range 50 {
				ev := managed(string(rune('a'+w))+"-"+string(rune('0'+i/10))+string(rune('0'+i%10)), i%2 == 0)
				if err := j.Begin(ctx, ev); err != nil {
					t.Error(err)
				}
				if err := j.Complete(ctx, ev); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	writers.Wait()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	found := ids(t, j.config.Dir)
	if len(found) != 400 {
		t.Errorf("%d events of 400", len(found))
	}
	for id, n := range found {
		if n != 1 {
			t.Errorf("%s stands there %d times", id, n)
		}
	}
}

func TestJournalLeavesOutWhatNobodyAskedFor(t *testing.T) {
	j := open(t, JournalConfig{})
	ctx := context.Background()
	data, unknown := managed("data", false), managed("unknown", false)
	data.Class = Data
	unknown.Principal = policy.Principal{}
	for _, ev := range []*Event{data, unknown} {
		if err := j.Complete(ctx, ev); err != nil || j.Wants(ev) {
			t.Errorf("%s: %v", ev.ID, err)
		}
	}
	if found := ids(t, j.config.Dir); len(found) != 0 {
		t.Errorf("found %v", found)
	}
}

func TestJournalIsBounded(t *testing.T) {
	j := open(t, JournalConfig{FileBytes: 1024, Files: 3})
	for range 100 {
		if err := j.Complete(context.Background(), managed("x", true)); err != nil {
			t.Fatal(err)
		}
	}
	names, _ := filepath.Glob(filepath.Join(j.config.Dir, "*.jsonl"))
	if len(names) > 3 {
		t.Errorf("%d files", len(names))
	}
}

func TestFailedJournalRefusesEverything(t *testing.T) {
	j := open(t, JournalConfig{})
	ctx := context.Background()
	if err := j.file.Close(); err != nil { // what a vanished disk looks like
		t.Fatal(err)
	}
	if err := j.Complete(ctx, managed("1", false)); err == nil {
		t.Error("a write that failed was acknowledged")
	}
	if err := j.Begin(ctx, managed("2", false)); err == nil {
		t.Error("a journal that failed lets requests through")
	}
}

func TestJournalFilesArePrivate(t *testing.T) {
	j := open(t, JournalConfig{})
	info, err := os.Stat(j.file.Name())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}
