package audit

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Whatever byte stands wherever: the text comes back, on one line of printable characters.
func TestEveryByteIsQuoted(t *testing.T) {
	for size := range 26 {
		for at := range size {
			for c := range 256 {
				s := strings.Repeat("x", at) + string([]byte{byte(c)}) + strings.Repeat("!", size-at-1)
				raw := appendQuoted(nil, s)
				var back string
				if err := json.Unmarshal(raw, &back); err != nil || back != strings.ToValidUTF8(s, "\ufffd") {
					t.Fatalf("%q became %s, %v", s, raw, err)
				}
				for _, b := range raw {
					if b < ' ' || b > '~' {
						t.Fatalf("%q became %q", s, raw)
					}
				}
			}
		}
	}
}

// An encoder that is used again says of an event what a new one says, and nothing of the event before.
func TestAnEncoderIsUsedAgain(t *testing.T) {
	e := &encoder{}
	for i := range 300 {
		ev := made(i)
		if ev.Bare = i%2 == 0; !ev.Bare {
			ev.Parameters = []byte(`{"Host":"s3.example.test","bucketName":"bucket1","key":"dir/1"}`)
		}
		if i%3 == 0 {
			ev.Decisions[0].Account = "444455556666" // two records
		}
		if i%7 == 0 {
			ev.URI = strings.Repeat("u", maxKept)
		}
		used, fresh := e.lines(ev, CategoryData), Lines(ev, CategoryData)
		if len(used) != len(fresh) {
			t.Fatalf("%d lines, %d", len(used), len(fresh))
		}
		for n := range used {
			if got, want := plainLine(t, &used[n]), plainLine(t, &fresh[n]); !bytes.Equal(got, want) {
				t.Fatalf("got  %s\nwant %s", got, want)
			}
			if used[n].millis != fresh[n].millis || len(used[n].tokens) != len(fresh[n].tokens) {
				t.Fatalf("%+v %+v", used[n], fresh[n])
			}
		}
	}
}

// A line is looked up by what its event says, whatever was remembered of the events before.
func TestALineHasTheTokensOfItsEvent(t *testing.T) {
	e := &encoder{}
	for i := range 300 {
		ev := made(i % 7 * 100) // some callers again and again, some of whom are refused
		ev.Key = []string{"", "dir/a", strings.Repeat("k", 2*maxText)}[i%3]
		ev.ID = strconv.Itoa(i)
		for _, line := range e.lines(ev, CategoryData) {
			var note Note
			note.describe(ev, CategoryData, "111122223333")
			got, want := slices.Sorted(slices.Values(line.tokens)), slices.Sorted(slices.Values(new(encoder).appendTokens(nil, &note)))
			if !slices.Equal(got, want) {
				t.Fatalf("%q of %s: got %d tokens, want %d", ev.Key, ev.Bucket, len(got), len(want))
			}
		}
	}
}

// plainLine is a line without what is random.
func plainLine(t *testing.T, l *Line) []byte {
	t.Helper()
	if l.data != nil {
		fields := strings.Split(string(l.data), "\t")
		if fields[11] != "" { // the shared id
			fields[11] = "UUID"
		}
		return []byte(strings.Join(fields, "\t"))
	}
	var note Note
	if err := json.Unmarshal(l.Note, &note); err != nil || !json.Valid(l.Record) {
		t.Fatalf("%v: %s %s", err, l.Record, l.Note)
	}
	var record struct{ SharedEventID string }
	if err := json.Unmarshal(l.Record, &record); err != nil {
		t.Fatal(err)
	}
	out := append(append(bytes.Clone(l.Record), '\t'), l.Note...)
	for _, random := range []string{note.Event, record.SharedEventID} {
		if random != "" {
			out = bytes.ReplaceAll(out, []byte(random), []byte("UUID"))
		}
	}
	return out
}

// A data event that is recorded makes no garbage but a few names.
func TestALineCostsLittle(t *testing.T) {
	e, ev := &encoder{}, made(1)
	if n := testing.AllocsPerRun(100, func() { e.lines(ev, CategoryData) }); n > 4 {
		t.Errorf("%v allocations", n)
	}
}
