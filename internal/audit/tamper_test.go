package audit

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// filled is a closed journal of some segments, with the checkpoint that is kept elsewhere.
func filled(t *testing.T) (dir string, head Checkpoint) {
	t.Helper()
	j := open(t, JournalConfig{SegmentBytes: 8 << 10, Keep: func(c Checkpoint) { head = c }})
	for i := range 60 {
		add(t, j, true, fmt.Sprint(i))
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return j.config.Dir, head
}

// TestOneJournalDoesNotStandForAnother: the journals of a directory have one key.
func TestOneJournalDoesNotStandForAnother(t *testing.T) {
	dir, _ := filled(t)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if rest, ok := strings.CutPrefix(e.Name(), StreamManagement); ok {
			if err := os.Rename(filepath.Join(dir, e.Name()), filepath.Join(dir, StreamData+rest)); err != nil {
				t.Fatal(err)
			}
		}
	}
	r, err := Verify(t.Context(), VerifyConfig{Dir: dir, Key: publicKey()}, StreamData)
	if err != nil {
		t.Fatal(err)
	}
	if r.Sound() {
		t.Error("the management journal stands for the data journal, and nobody notices")
	}
}

// TestARewrittenJournalIsNotSignedAtTheStart: somebody puts other lines in place of the last ones, as many, and an
// older checkpoint's file.
func TestARewrittenJournalIsNotSignedAtTheStart(t *testing.T) {
	var first, head Checkpoint
	j := open(t, JournalConfig{Keep: func(c Checkpoint) {
		if first.Seq == 0 {
			first = c
		}
		head = c
	}})
	add(t, j, true, "1", "2", "3", "4")
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	dir := j.config.Dir
	tamper(t, dir, func(l []string) []string {
		var chained hash
		var out []string
		for i, text := range l {
			p, err := parseLine([]byte(strings.TrimSuffix(text, "\n")))
			if err != nil {
				t.Fatal(err)
			}
			if i > int(first.Seq) && p.kind == kindCheckpoint {
				break
			}
			record := p.record
			if i > int(first.Seq) {
				record = []byte(strings.Replace(string(p.record), "user/u", "user/v", 1))
			}
			var line []byte
			line, chained = appendLine(nil, chained, p.kind, record, p.note)
			out = append(out, string(line))
		}
		for range 2 { // more of them than there were
			line, next := appendLine(nil, chained, kindEvent, Lines(managed("x", false), CategoryManagement)[0].Record, []byte("{}"))
			out, chained = append(out, string(line)), next
		}
		return out
	})
	if err := os.WriteFile(HeadFile(dir, StreamManagement), mustJSON(first), 0o600); err != nil {
		t.Fatal(err)
	}
	again := open(t, JournalConfig{Dir: dir, Head: head})
	add(t, again, true, "5")
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, dir); r.Sound() || !strings.Contains(fmt.Sprint(r.Problems), "rewritten") {
		t.Errorf("a new past was signed: %+v", r)
	}
}

// TestAnHonestJournalIsNotCalledRewritten: after clean ends and kills, wherever the newest checkpoint is.
func TestAnHonestJournalIsNotCalledRewritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	var head Checkpoint
	for i := range 5 {
		j := open(t, JournalConfig{Dir: dir, SegmentBytes: 4 << 10, Head: head, Keep: func(c Checkpoint) { head = c }})
		for n := range 7 {
			add(t, j, true, fmt.Sprintf("%d-%d", i, n))
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if r := verify(t, dir); !r.Sound() {
		t.Errorf("%+v", r.Problems)
	}
}

// TestASegmentWithoutAHeaderIsBegunAnew: the disk was full, or the power went, when the segment was begun.
func TestASegmentWithoutAHeaderIsBegunAnew(t *testing.T) {
	for name, what := range map[string]string{"empty": "", "torn": "half of a head"} {
		t.Run(name, func(t *testing.T) {
			dir, head := filled(t)
			all, err := segments(dir, StreamManagement)
			if err != nil {
				t.Fatal(err)
			}
			report := verify(t, dir)
			next := segment{dir: dir, stream: StreamManagement, first: report.Last + 1}
			if err := os.WriteFile(next.path(), []byte(what), 0o600); err != nil {
				t.Fatal(err)
			}
			j := open(t, JournalConfig{Dir: dir, Head: head})
			add(t, j, true, "after")
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			if r := verify(t, dir); !r.Sound() || r.Last <= report.Last || r.Segments != len(all)+1 {
				t.Errorf("%+v", r)
			}
		})
	}
}

// TestAnIndexThatHidesAnEventIsFound: queries go by the index, which the chain does not cover.
func TestAnIndexThatHidesAnEventIsFound(t *testing.T) {
	dir, _ := filled(t)
	all, err := segments(dir, StreamManagement)
	if err != nil || !all[1].sealed {
		t.Fatalf("%+v %v", all, err)
	}
	for name, change := range map[string]func(b []*block) []*block{
		"filter":  func(b []*block) []*block { b[0].filter = bloom{}; return b },
		"time":    func(b []*block) []*block { b[0].oldest, b[0].newest = 1, 0; return b },
		"block":   func(b []*block) []*block { return b[:len(b)-1] },
		"numbers": func(b []*block) []*block { b[0].lines--; return b },
		"place":   func(b []*block) []*block { b[0].size = 1 << 40; return b },
	} {
		t.Run(name, func(t *testing.T) {
			blocks, err := all[1].blocks()
			if err != nil {
				t.Fatal(err)
			}
			whole := encodeIndex(blocks)
			if err := writeFile(all[1].name(indexSuffix), encodeIndex(change(blocks))); err != nil {
				t.Fatal(err)
			}
			if r := verify(t, dir); r.Sound() || !strings.Contains(fmt.Sprint(r.Problems), ".idx") {
				t.Errorf("%+v", r.Problems)
			}
			if err := writeFile(all[1].name(indexSuffix), whole); err != nil {
				t.Fatal(err)
			}
		})
	}
	if r := verify(t, dir); !r.Sound() {
		t.Errorf("whole again: %+v", r.Problems)
	}
}

// TestATouchedFileIsNoOlder: retention goes by the time that the chain has, or whoever may touch files has the record
// removed in its name.
func TestATouchedFileIsNoOlder(t *testing.T) {
	dir, head := filled(t)
	all, err := segments(dir, StreamManagement)
	if err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-1000 * time.Hour)
	for _, s := range all {
		if err := os.Chtimes(s.path(), long, long); err != nil {
			t.Fatal(err)
		}
	}
	j := open(t, JournalConfig{Dir: dir, Head: head, MaxAge: 100 * time.Hour})
	add(t, j, true, "more")
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, dir); !r.Sound() || r.First != 1 {
		t.Errorf("%+v", r)
	}
}

// TestVerifyTakesWhateverAClientSent: an index that was made while the lines were written says of them what is read
// from them.
func TestVerifyTakesWhateverAClientSent(t *testing.T) {
	j := open(t, JournalConfig{SegmentBytes: 8 << 10})
	for i := range 40 {
		ev := managed(fmt.Sprint(i), false)
		ev.Key, ev.UserAgent = "k\xff\xfe\n\x7f", "\xc3("
		ev.Decisions[0].Resource = "arn:aws:s3:::b/k\xff\xed\xa0\x80"
		ev.Principal.Name, ev.ErrorCode = "u\xff\u2028", "E\xf0\x9f"
		category := CategoryManagement
		if i%2 == 0 {
			ev.Class, ev.Bare, category = Data, true, CategoryData
		}
		if err := j.Append(true, Lines(ev, category)...); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, j.config.Dir); !r.Sound() || r.Segments < 3 {
		t.Errorf("%+v", r)
	}
	if got := find(t, j.config.Dir, Query{Resource: "arn:aws:s3:::b/k\ufffd\n\x7f"}); len(got) != 20 {
		t.Errorf("%d found", len(got))
	}
}
