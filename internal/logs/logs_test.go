package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/authz/authztest"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/engine/memory"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/keys"
	"github.com/kura-s3/kura/policy"
)

const account = "111122223333"

// clock of a test.
type clock struct{ at time.Time }

func (c *clock) now() time.Time {
	c.at = c.at.Add(time.Microsecond)
	return c.at
}

type nobody struct{}

func (nobody) UniqueID(string) (string, bool) { return "", false }

// theKMS has one key, "good", until it is gone.
type theKMS struct{ gone bool }

func (k *theKMS) NewDataKey(_ context.Context, _, key, _ string) (plain, wrapped []byte, err error) {
	if key != "good" {
		return nil, nil, errors.New("no such key")
	}
	plain = bytes.Repeat([]byte{7}, 32)
	return plain, plain, nil
}

func (k *theKMS) OpenDataKey(_ context.Context, _, _ string, wrapped []byte) ([]byte, error) {
	if k.gone {
		return nil, errors.New("disabled")
	}
	return wrapped, nil
}

type harness struct {
	t     *testing.T
	meta  engine.Meta
	ring  *keys.Ring
	clock *clock
	kms   *theKMS
	store *Store
	g     authz.Grant
}

func newHarness(t *testing.T) *harness {
	t.Helper()
	h := &harness{t: t, meta: memory.NewMeta(), clock: &clock{time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)}, kms: &theKMS{}}
	var err error
	if h.ring, err = keys.Open(t.Context(), h.meta, keys.NewKeyFile(filepath.Join(t.TempDir(), "root.key"))); err != nil {
		t.Fatal(err)
	}
	guard := authz.New(authz.Config{Recorder: authztest.Forget{}})
	if h.g, err = guard.System(t.Context(), "test", authz.Demand{Action: "logs:*", Resource: authz.Resource{ARN: "*"}}); err != nil {
		t.Fatal(err)
	}
	h.open()
	return h
}

// open opens the store anew, as after a crash.
func (h *harness) open() {
	h.t.Helper()
	var err error
	h.store, err = Open(h.t.Context(), Config{Meta: h.meta, Secrets: h.ring, Principals: nobody{}, Keys: h.kms, Region: "us-east-1", Now: h.clock.now})
	h.must(err)
}

func (h *harness) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *harness) group(name string, streams ...string) {
	h.t.Helper()
	h.must(h.store.CreateGroup(h.t.Context(), h.g, NewGroup{Account: account, Name: name}))
	for _, s := range streams {
		h.must(h.store.CreateStream(h.t.Context(), h.g, account, name, s))
	}
}

func (h *harness) put(group, stream string, events ...Input) Rejected {
	h.t.Helper()
	r, _, err := h.store.Put(h.t.Context(), h.g, account, group, stream, events)
	h.must(err)
	return r
}

func (h *harness) ms() int64 { return h.clock.at.UnixMilli() }

// messages of all pages of a search.
func (h *harness) filter(group string, f Filtering) (out []string) {
	h.t.Helper()
	if f.Range == (Range{}) {
		f.Range = Always
	}
	for range 1000 {
		events, next, err := h.store.Filter(h.t.Context(), h.g, account, group, f)
		h.must(err)
		for _, e := range events {
			out = append(out, e.Message)
		}
		if next == nil {
			return out
		}
		if next.compare(f.At) <= 0 {
			h.t.Fatalf("no progress from %v to %v", f.At, next)
		}
		f.At = *next
	}
	h.t.Fatal("no end")
	return nil
}

func (h *harness) read(group, stream string, r Reading) Page {
	h.t.Helper()
	if r.Range == (Range{}) {
		r.Range = Always
	}
	p, err := h.store.Read(h.t.Context(), h.g, account, group, stream, r)
	h.must(err)
	return p
}

func texts(p Page) (out []string) {
	for _, e := range p.Events {
		out = append(out, e.Message)
	}
	return out
}

func TestEventsComeBackInOrder(t *testing.T) {
	h := newHarness(t)
	h.group("g", "a", "b")
	now := h.ms()
	// Batches overlap, cross spans, and come late.
	var want []string
	for i := range 40 {
		stream := []string{"a", "b"}[i%2]
		var batch []Input
		for j := range 25 {
			at := now - int64((40-i)*60_000) + int64(j)*20_000
			batch = append(batch, Input{at, fmt.Sprintf("%020d %02d %02d", at, i, j)})
			want = append(want, batch[j].Message)
		}
		h.put("g", stream, batch...)
	}
	slices.Sort(want)
	for _, limit := range []int{0, 1, 7, 333, 10000} {
		if got := h.filter("g", Filtering{Limit: limit}); !slices.Equal(got, want) {
			t.Fatalf("a search by %d: %d events of %d", limit, len(got), len(want))
		}
	}
	only := slices.DeleteFunc(slices.Clone(want), func(m string) bool { return (m[22]-'0')%2 == 1 })
	if got := h.filter("g", Filtering{Limit: 9, Streams: []string{"a"}}); !slices.Equal(got, only) {
		t.Errorf("one stream: %d events of %d", len(got), len(only))
	}
	if got := h.filter("g", Filtering{Limit: 100, Prefix: "a"}); !slices.Equal(got, only) {
		t.Errorf("one stream by prefix: %d events of %d", len(got), len(only))
	}
	if got := h.filter("g", Filtering{Prefix: "none"}); len(got) != 0 {
		t.Errorf("no stream: %v", got)
	}
	var matched []string
	for _, m := range want {
		if strings.HasSuffix(m, "13") {
			matched = append(matched, m)
		}
	}
	if got := h.filter("g", Filtering{Limit: 3, Match: func(m []byte) bool { return bytes.HasSuffix(m, []byte("13")) }}); !slices.Equal(got, matched) {
		t.Errorf("matching: %v", got)
	}
	from, to := now-20*60_000, now-5*60_000
	var within []string
	for _, m := range want {
		if at := m[:20]; at >= fmt.Sprintf("%020d", from) && at < fmt.Sprintf("%020d", to) {
			within = append(within, m)
		}
	}
	if got := h.filter("g", Filtering{Limit: 50, Range: Range{from, to}}); !slices.Equal(got, within) {
		t.Errorf("within: %d of %d", len(got), len(within))
	}
	h.walksBothWays("g", "a", only)
}

// walksBothWays reads a stream from its head and from its tail.
func (h *harness) walksBothWays(group, stream string, want []string) {
	h.t.Helper()
	for _, limit := range []int{1, 10, 10000} {
		var got []string
		r := Reading{Limit: limit, FromHead: true}
		for {
			p := h.read(group, stream, r)
			if r.At != nil && *r.At == p.Forward {
				break
			}
			got = append(got, texts(p)...)
			r = Reading{Limit: limit, At: &p.Forward, Forward: true}
		}
		if !slices.Equal(got, want) {
			h.t.Errorf("forward by %d: %d of %d", limit, len(got), len(want))
		}
		got = nil
		r = Reading{Limit: limit}
		for {
			p := h.read(group, stream, r)
			if r.At != nil && *r.At == p.Backward {
				break
			}
			got = append(texts(p), got...)
			r = Reading{Limit: limit, At: &p.Backward}
		}
		if !slices.Equal(got, want) {
			h.t.Errorf("backward by %d: %d of %d", limit, len(got), len(want))
		}
	}
}

// TestATokenAtTheEndWaits: events that come later are read from where reading stopped, there and back.
func TestATokenAtTheEndWaits(t *testing.T) {
	h := newHarness(t)
	h.group("g", "s")
	p := h.read("g", "s", Reading{})
	if len(p.Events) != 0 {
		t.Fatal(p)
	}
	again := h.read("g", "s", Reading{At: &p.Forward, Forward: true})
	if again.Forward != p.Forward {
		t.Errorf("%v became %v", p.Forward, again.Forward)
	}
	h.put("g", "s", Input{h.ms(), "one"})
	p = h.read("g", "s", Reading{At: &p.Forward, Forward: true})
	if got := texts(p); !slices.Equal(got, []string{"one"}) {
		t.Fatal(got)
	}
	h.put("g", "s", Input{h.ms(), "two"})
	p = h.read("g", "s", Reading{At: &p.Forward, Forward: true})
	if got := texts(p); !slices.Equal(got, []string{"two"}) {
		t.Fatal(got)
	}
	if got := texts(h.read("g", "s", Reading{At: &p.Backward})); !slices.Equal(got, []string{"one"}) {
		t.Fatal(got)
	}
}

func TestBatchesAreHeldToAWSsLimits(t *testing.T) {
	h := newHarness(t)
	h.group("g", "s")
	now := h.ms()
	many := make([]Input, maxBatchEvents+1)
	for i := range many {
		many[i] = Input{now, "x"}
	}
	for name, events := range map[string][]Input{
		"none":         {},
		"too many":     many,
		"too large":    {{now, strings.Repeat("x", maxBatchBytes-25)}},
		"empty":        {{now, ""}},
		"not UTF-8":    {{now, "\xff"}},
		"out of order": {{now, "x"}, {now - 1, "y"}},
		"too long":     {{now - maxBatchSpan - 1, "x"}, {now, "y"}},
		"negative":     {{-1, "x"}},
	} {
		if _, _, err := h.store.Put(t.Context(), h.g, account, "g", "s", events); !fault.Is(err, Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	h.put("g", "s", many[:maxBatchEvents]...)
	h.put("g", "s", Input{now, strings.Repeat("x", maxBatchBytes-26)})
	if got := h.filter("g", Filtering{}); len(got) != maxBatchEvents+1 {
		t.Errorf("%d events", len(got))
	}
	const hour = 3600_000
	told := func(r Rejected) [3]int32 {
		out := [3]int32{-1, -1, -1}
		for i, p := range []*int32{r.TooNew, r.TooOldEnd, r.ExpiredEnd} {
			if p != nil {
				out[i] = *p
			}
		}
		return out
	}
	now = h.ms()
	if got := told(h.put("g", "s", Input{now, "ok"}, Input{now + 3*hour, "new"})); got != [3]int32{1, -1, -1} {
		t.Errorf("too new: %v", got)
	}
	if got := told(h.put("g", "s", Input{now - 14*24*hour - 1000, "old"}, Input{now - 14*24*hour + 5000, "ok"})); got != [3]int32{-1, 1, -1} {
		t.Errorf("too old: %v", got)
	}
	h.must(h.store.SetRetention(t.Context(), h.g, account, "g", 3))
	if got := told(h.put("g", "s", Input{now - 4*24*hour, "expired"})); got != [3]int32{-1, -1, 1} {
		t.Errorf("expired: %v", got)
	}
	if got := told(h.put("g", "s", Input{now + 3*hour, "new"})); got != [3]int32{0, -1, -1} {
		t.Errorf("all too new: %v", got)
	}
}

func TestRetention(t *testing.T) {
	h := newHarness(t)
	h.group("g", "s", "t")
	now := h.ms()
	for i := range 700 {
		h.put("g", []string{"s", "t"}[i%2], Input{now + int64(i), "old"})
	}
	h.put("g", "s", Input{now + 3600_000, "young"})
	h.must(h.store.SetRetention(t.Context(), h.g, account, "g", 1))
	h.clock.at = h.clock.at.Add(24*time.Hour + 10*time.Minute)
	if got := h.filter("g", Filtering{}); !slices.Equal(got, []string{"young"}) {
		t.Errorf("before the sweep %d events", len(got))
	}
	h.must(h.store.Sweep(t.Context()))
	if n := h.count(bodyPrefix) + h.count(forthPrefix) + h.count(backPrefix); n != 3 {
		t.Errorf("%d records are left", n)
	}
	g, _ := h.store.Group(account, "g")
	if n := h.store.StoredBytes(g); n != 5+eventOverhead {
		t.Errorf("%d bytes", n)
	}
	h.open()
	g, _ = h.store.Group(account, "g")
	if n := h.store.StoredBytes(g); n != 5+eventOverhead {
		t.Errorf("%d bytes after a start", n)
	}
	if err := h.store.SetRetention(t.Context(), h.g, account, "g", 4); !fault.Is(err, Invalid) {
		t.Errorf("four days: %v", err)
	}
}

func (h *harness) count(prefix string) (n int) {
	h.t.Helper()
	h.must(engine.Each(h.t.Context(), h.store.meta, prefix, func([]byte, []byte, engine.Version) error { n++; return nil }))
	return n
}

func TestWhatIsDeletedIsGone(t *testing.T) {
	h := newHarness(t)
	h.group("g", "s", "t")
	for i := range 300 {
		h.put("g", "s", Input{h.ms() + int64(i), "gone"})
	}
	h.put("g", "t", Input{h.ms(), "stays"})
	h.must(h.store.DeleteStream(t.Context(), h.g, account, "g", "s"))
	if got := h.filter("g", Filtering{}); !slices.Equal(got, []string{"stays"}) {
		t.Errorf("%v", got)
	}
	h.must(h.store.CreateStream(t.Context(), h.g, account, "g", "s"))
	if p := h.read("g", "s", Reading{FromHead: true}); len(p.Events) != 0 {
		t.Errorf("a new stream has %d events", len(p.Events))
	}
	h.must(h.store.Sweep(t.Context()))
	if n := h.count(bodyPrefix); n != 1 {
		t.Errorf("%d chunks are left", n)
	}
	h.must(h.store.DeleteGroup(t.Context(), h.g, account, "g"))
	for _, prefix := range append(ofGroup, groupPrefix) {
		if n := h.count(prefix); n != 0 {
			t.Errorf("%d records are left below %s", n, prefix)
		}
	}
	if _, _, err := h.store.Put(t.Context(), h.g, account, "g", "t", []Input{{h.ms(), "x"}}); !fault.Is(err, NotFound) {
		t.Errorf("putting into nothing: %v", err)
	}
}

func TestStreamsAreListedInOrder(t *testing.T) {
	h := newHarness(t)
	h.group("g", "a", "b", "c", "d", "e")
	for i, s := range []string{"c", "a", "d"} {
		h.put("g", s, Input{h.ms() + int64(i), "x"})
	}
	h.put("g", "c", Input{h.ms() + 100, "x"})
	for _, c := range []struct {
		w    StreamsWanted
		want string
	}{
		{StreamsWanted{}, "abcde"},
		{StreamsWanted{Descending: true}, "edcba"},
		{StreamsWanted{ByTime: true, Descending: true}, "cdabe"},
		{StreamsWanted{ByTime: true}, "ebadc"},
		{StreamsWanted{Prefix: "b"}, "b"},
		{StreamsWanted{Prefix: "x"}, ""},
	} {
		for _, most := range []int{1, 2, 3, 50} {
			got, w := "", c.w
			w.Most = most
			for range 10 {
				page, next, err := h.store.Streams(t.Context(), h.g, account, "g", w)
				h.must(err)
				for _, s := range page {
					got += s.Name
				}
				if w.After = next; next == "" {
					break
				}
			}
			if got != c.want {
				t.Errorf("%+v by %d: %s", c.w, most, got)
			}
		}
	}
}

func TestGroupsWithAKey(t *testing.T) {
	h := newHarness(t)
	h.group("g", "s")
	h.put("g", "s", Input{h.ms(), "before"})
	if err := h.store.AssociateKey(t.Context(), h.g, account, "g", "bad"); !fault.Is(err, Invalid) {
		t.Errorf("a bad key: %v", err)
	}
	h.must(h.store.AssociateKey(t.Context(), h.g, account, "g", "good"))
	h.put("g", "s", Input{h.ms(), "under it"})
	h.must(h.store.DisassociateKey(t.Context(), h.g, account, "g"))
	h.put("g", "s", Input{h.ms(), "after"})
	if got := h.filter("g", Filtering{}); !slices.Equal(got, []string{"before", "under it", "after"}) {
		t.Errorf("%v", got)
	}
	h.kms.gone = true
	h.clock.at = h.clock.at.Add(2 * openedFor)
	if _, _, err := h.store.Filter(t.Context(), h.g, account, "g", Filtering{Range: Always}); !fault.Is(err, Invalid) {
		t.Errorf("without the key: %v", err)
	}
}

// TestNothingLiesInTheClear looks at all records.
func TestNothingLiesInTheClear(t *testing.T) {
	h := newHarness(t)
	h.group("g", "s")
	h.put("g", "s", Input{h.ms(), "SENSITIVE-SENSITIVE"})
	h.must(engine.Each(t.Context(), h.store.meta, "", func(k, v []byte, _ engine.Version) error {
		if bytes.Contains(v, []byte("SENSITIVE")) {
			t.Errorf("%q", k)
		}
		return nil
	}))
}

// TestAChunkStaysInItsPlace: what was moved or changed on disk does not open.
func TestAChunkStaysInItsPlace(t *testing.T) {
	h := newHarness(t)
	h.group("g", "s")
	h.put("g", "s", Input{h.ms(), "one"})
	var from, value []byte
	h.must(engine.Each(t.Context(), h.store.meta, bodyPrefix, func(k, v []byte, _ engine.Version) error {
		from, value = bytes.Clone(k), bytes.Clone(v)
		return nil
	}))
	for name, change := range map[string]func(k, v []byte){
		"another sequence": func(k, _ []byte) { k[len(bodyPrefix)+23]++ },
		"another time":     func(_, v []byte) { v[24]++ },
		"another length":   func(_, v []byte) { v[28]++ },
		"another bit":      func(_, v []byte) { v[len(v)-1] ^= 1 },
	} {
		k, v := bytes.Clone(from), bytes.Clone(value)
		change(k, v)
		c, err := bodyChunk(k)
		h.must(err)
		g, _ := h.store.Group(account, "g")
		if err := h.store.unpack(t.Context(), g, &c, v, func(Position, int64, []byte) {}); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}

func TestResourcePolicies(t *testing.T) {
	h := newHarness(t)
	statement := func(action string) string {
		return `{"Version":"2012-10-17","Statement":[{"Sid":"same","Effect":"Allow","Principal":{"Service":"events.amazonaws.com"},"Action":"` + action + `","Resource":"*"}]}`
	}
	put := func(name, text string) error {
		_, err := h.store.PutPolicy(t.Context(), h.g, account, name, text)
		return err
	}
	h.must(put("a", statement("logs:CreateLogStream")))
	h.must(put("b", statement("logs:PutLogEvents")))
	for _, text := range []string{"", "{", `{"Statement":[]}`, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"logs:*","Resource":"*"}}`} {
		if err := put("c", text); !fault.Is(err, Invalid) {
			t.Errorf("%s: %v", text, err)
		}
	}
	service := policy.Principal{Type: policy.Service, ARN: "events.amazonaws.com"}
	guard := authz.New(authz.Config{Recorder: authztest.Forget{}})
	may := func(action string) bool {
		_, err := guard.Decide(t.Context(), &authz.Inquiry{Subject: &authz.Subject{Principal: service}, Event: &audit.Event{}}, h.store.Demand(account, "g", "s", action))
		return err == nil
	}
	check := func(when string, create, put, get bool) {
		t.Helper()
		if may("logs:CreateLogStream") != create || may("logs:PutLogEvents") != put || may("logs:GetLogEvents") != get {
			t.Errorf("%s: not as the policies say", when)
		}
	}
	check("both", true, true, false)
	h.must(h.store.DeletePolicy(t.Context(), h.g, account, "a"))
	check("one", false, true, false)
	h.open()
	check("after a start", false, true, false)
	for i := range maxPolicies - 1 {
		h.must(put(fmt.Sprint(i), statement("logs:GetLogEvents")))
	}
	if err := put("one more", statement("logs:GetLogEvents")); !fault.Is(err, Limit) {
		t.Errorf("one more: %v", err)
	}
	if err := h.store.DeletePolicy(t.Context(), h.g, account, "none"); !fault.Is(err, NotFound) {
		t.Errorf("none: %v", err)
	}
}

func (h *harness) check() (found []string) {
	h.t.Helper()
	_, err := h.store.Check(h.t.Context(), func(where, what string) { found = append(found, where+": "+what) })
	h.must(err)
	return found
}

// TestCheck: what is sound is told so, and what is not is not.
func TestCheck(t *testing.T) {
	h := newHarness(t)
	h.group("g", "s", "t", "u")
	h.put("g", "s", Input{h.ms(), "one"})
	h.put("g", "t", Input{h.ms(), "two"})
	h.must(h.store.DeleteStream(t.Context(), h.g, account, "g", "t"))
	h.must(h.store.AssociateKey(t.Context(), h.g, account, "g", "good"))
	h.put("g", "u", Input{h.ms(), "three"})
	if found := h.check(); len(found) != 0 {
		t.Errorf("%v", found)
	}
	for prefix, change := range map[string]func(b *engine.Batch, k, v []byte){
		bodyPrefix:  func(b *engine.Batch, k, v []byte) { v[len(v)-1] ^= 1; b.Set(k, v) },
		backPrefix:  func(b *engine.Batch, k, _ []byte) { b.Delete(k) },
		namePrefix:  func(b *engine.Batch, k, _ []byte) { b.Delete(k) },
		forthPrefix: func(b *engine.Batch, k, _ []byte) { b.Delete(k) },
	} {
		h := newHarness(t)
		h.group("g", "s")
		h.put("g", "s", Input{h.ms(), "one"})
		var b engine.Batch
		h.must(engine.Each(t.Context(), h.store.meta, prefix, func(k, v []byte, _ engine.Version) error {
			change(&b, bytes.Clone(k), bytes.Clone(v))
			return nil
		}))
		h.must(h.meta.Commit(t.Context(), &b))
		if found := h.check(); len(found) != 1 {
			t.Errorf("%s: %v", prefix, found)
		}
	}
}

// TestManyWriteAtOnce: writers, readers, sweeps and changes of the group do not lose an acknowledged event.
func TestManyWriteAtOnce(t *testing.T) {
	h := newHarness(t)
	h.store.now = time.Now
	h.group("g", "a", "b")
	now := time.Now().UnixMilli()
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 25 {
				in := []Input{{now + int64(i), fmt.Sprintf("%d/%d", w, i)}}
				if _, _, err := h.store.Put(t.Context(), h.g, account, "g", []string{"a", "b"}[w%2], in); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for i := range 20 {
			if err := h.store.Tag(t.Context(), h.g, account, "g", map[string]string{"n": fmt.Sprint(i)}); err != nil {
				t.Error(err)
			}
			if err := h.store.Sweep(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	if got := h.filter("g", Filtering{Limit: 7}); len(got) != 200 {
		t.Errorf("%d events", len(got))
	}
	if found := h.check(); len(found) != 0 {
		t.Errorf("%v", found)
	}
}

// TestSearchesAreBounded: a page of a search over many chunks looks at a bounded part, and the next goes on.
func TestSearchesAreBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 80 MiB")
	}
	h := newHarness(t)
	h.group("g", "s")
	line := strings.Repeat("x", 1<<20-100)
	for i := range 80 {
		h.put("g", "s", Input{h.ms() + int64(i)*1000, line})
	}
	events, next, err := h.store.Filter(t.Context(), h.g, account, "g", Filtering{Range: Always, Match: func([]byte) bool { return false }})
	h.must(err)
	if len(events) != 0 || next == nil {
		t.Errorf("everything was looked at in one request: %v", next)
	}
	if got := h.filter("g", Filtering{}); len(got) != 80 {
		t.Errorf("%d events", len(got))
	}
}
