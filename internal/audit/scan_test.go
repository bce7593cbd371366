package audit

import (
	"encoding/json"
	"reflect"
	"testing"
)

func noteOf(ev *Event, category, account string) *Note {
	n := &Note{}
	n.describe(ev, category, account)
	n.Event = newUUID()
	return n
}

func encoded(n *Note) []byte {
	w := &writer{}
	n.encode(w)
	return w.b
}

func FuzzNote(f *testing.F) {
	f.Add("key", "arn:aws:iam::111122223333:user/u", "/b/k?x=1", int64(7))
	f.Add("a\"b", "\\", "\n", int64(0))
	f.Fuzz(func(t *testing.T, key, user, uri string, micros int64) {
		ev := made(1)
		ev.Key, ev.Principal.ARN, ev.URI = key, user, uri
		note := noteOf(ev, CategoryData, "111122223333")
		if note.Micros = micros; micros < 0 {
			note.Micros = 0
		}
		raw := encoded(note)
		var full, light Note
		if err := json.Unmarshal(raw, &full); err != nil {
			t.Fatalf("%v: %s", err, raw)
		}
		full.Verdicts = nil
		if light.scan(raw) && !reflect.DeepEqual(light, full) {
			t.Errorf("%+v\n%+v", light, full)
		}
	})
}

func TestUsualNotesAreScanned(t *testing.T) {
	var light, full Note
	raw := encoded(noteOf(made(100), CategoryData, "111122223333"))
	if !light.scan(raw) {
		t.Errorf("%s", raw)
	}
	if err := json.Unmarshal(raw, &full); err != nil {
		t.Fatal(err)
	}
	if full.Verdicts = nil; !reflect.DeepEqual(light, full) {
		t.Errorf("%+v\n%+v", light, full)
	}
	for i := range raw {
		new(Note).scan(raw[:i]) // does not panic
	}
}

func BenchmarkScan(b *testing.B) {
	raw := encoded(noteOf(made(1), CategoryData, "111122223333"))
	b.ReportAllocs()
	for b.Loop() {
		new(Note).scan(raw)
	}
}
