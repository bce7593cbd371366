// Package enginetest is the contracts of package engine as tests. A driver's own test calls TestMeta
// or TestBlob; what they find missing is a fault of the driver, by definition.
package enginetest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"sync"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/engine"
)

// MetaStore opens one store. Each call opens what the one before left behind, after that was closed.
type MetaStore func() (engine.Meta, error)

// MetaDriver is what TestMeta tries.
type MetaDriver struct {
	// New makes an empty store.
	New func(t *testing.T) MetaStore
	// Volatile drivers keep nothing over a Close.
	Volatile bool
}

// TestMeta runs the suite.
func TestMeta(t *testing.T, d MetaDriver) {
	for _, c := range []struct {
		name    string
		durable bool
		run     func(t *testing.T, s MetaStore)
	}{
		{"RecordsReadBack", false, testRecords},
		{"ValuesAreTheCallersOwn", false, testOwnership},
		{"ExpectationsDecide", false, testExpectations},
		{"CommitIsAllOrNothing", false, testAtomic},
		{"LaterStepsWin", false, testOrder},
		{"VersionsAreNeverReused", false, testVersions},
		{"ScanWalksInOrder", false, testScan},
		{"SeekMovesForwardOnly", false, testSeek},
		{"ScanIsASnapshot", false, testSnapshot},
		{"RangeDelete", false, testRangeDelete},
		{"WatchTellsOfChanges", false, testWatch},
		{"MalformedBatchesAreRefused", false, testMalformed},
		{"AgreesWithAModel", false, testModel},
		{"NoUpdateIsLost", false, testCounter},
		{"IsLinearizable", false, testLinearizable},
		{"SumIsConstant", false, testTransfers},
		{"ContextEndsACall", false, testContext},
		{"ClosedIsClosed", false, testClosed},
		{"SurvivesReopening", true, testReopen},
	} {
		if c.durable && d.Volatile {
			continue
		}
		t.Run(c.name, func(t *testing.T) { c.run(t, d.New(t)) })
	}
}

func openMeta(t *testing.T, s MetaStore) engine.Meta {
	t.Helper()
	m, err := s()
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func commit(t *testing.T, m engine.Meta, b *engine.Batch) {
	t.Helper()
	if err := m.Commit(t.Context(), b); err != nil {
		t.Fatalf("commit: %v", err)
	}
}

func put(t *testing.T, m engine.Meta, pairs ...string) engine.Version {
	t.Helper()
	var b engine.Batch
	for i := 0; i < len(pairs); i += 2 {
		b.Set([]byte(pairs[i]), []byte(pairs[i+1]))
	}
	commit(t, m, &b)
	return b.Version
}

func get(t *testing.T, m engine.Meta, key string) (string, engine.Version) {
	t.Helper()
	value, v, err := m.Get(t.Context(), []byte(key), nil)
	if err != nil {
		t.Fatalf("get %q: %v", key, err)
	}
	if (v == 0) != (value == nil) {
		t.Errorf("get %q: version %d with value %v", key, v, value)
	}
	return string(value), v
}

// dump is all records in [lo, hi) as "key=value".
func dump(t *testing.T, m engine.Meta, lo, hi []byte) []string {
	t.Helper()
	it, err := m.Scan(t.Context(), lo, hi)
	if err != nil {
		t.Fatalf("scan: %v", err)
	}
	defer it.Close()
	all := []string{}
	for it.Next() {
		all = append(all, string(it.Key())+"="+string(it.Value()))
		if it.Version() == 0 {
			t.Errorf("scan: %q has version 0", it.Key())
		}
	}
	if err := it.Err(); err != nil {
		t.Fatalf("scan: %v", err)
	}
	return all
}

func wantDump(t *testing.T, m engine.Meta, lo, hi string, want ...string) {
	t.Helper()
	var h []byte
	if hi != "" {
		h = []byte(hi)
	}
	if got := dump(t, m, []byte(lo), h); !slices.Equal(got, want) {
		t.Errorf("scan of [%q, %q): %q, want %q", lo, hi, got, want)
	}
}

func testRecords(t *testing.T, s MetaStore) {
	m := openMeta(t, s)
	if value, v := get(t, m, "absent"); v != 0 {
		t.Errorf("absent record reads %q", value)
	}
	cases := map[string]string{
		"a": "1", "empty": "", "\x01": "low", "\xff\xff\xff": "high", "with\x00zero": "\x00",
		string(bytes.Repeat([]byte("k"), 2000)): "long key", "large": string(bytes.Repeat([]byte("value"), 300_000)),
	}
	for k, v := range cases {
		put(t, m, k, v)
	}
	for k, want := range cases {
		if got, v := get(t, m, k); v == 0 || got != want {
			t.Errorf("%.20q reads %d bytes with version %d, want %d bytes", k, len(got), v, len(want))
		}
	}
	var b engine.Batch
	b.Delete([]byte("a"))
	b.Delete([]byte("was never there"))
	commit(t, m, &b)
	if _, v := get(t, m, "a"); v != 0 {
		t.Error("a deleted record is still there")
	}
}

func testOwnership(t *testing.T, s MetaStore) {
	m := openMeta(t, s)
	key, value := []byte("key"), []byte("value")
	var b engine.Batch
	b.Set(key, value)
	commit(t, m, &b)
	copy(key, "XXX")
	copy(value, "XXXXX")
	got, _ := get(t, m, "key")
	if got != "value" {
		t.Errorf("the store kept the caller's slices: %q", got)
	}
	buf := make([]byte, 2, 100)
	one, _, err := m.Get(t.Context(), []byte("key"), buf)
	if err != nil || string(one) != "value" {
		t.Fatalf("%q, %v", one, err)
	}
	if &one[0] != &buf[0] {
		t.Error("a buffer that is large enough was not used")
	}
	copy(one, "YYYYY")
	if got, _ := get(t, m, "key"); got != "value" {
		t.Errorf("writing to a value that was read changed the record: %q", got)
	}
	if small, _, err := m.Get(t.Context(), []byte("key"), make([]byte, 0, 2)); err != nil || string(small) != "value" {
		t.Errorf("with a small buffer: %q, %v", small, err)
	}
}

func testExpectations(t *testing.T, s MetaStore) {
	m := openMeta(t, s)
	v := put(t, m, "k", "1")
	if v == 0 {
		t.Fatal("Commit did not say its version")
	}
	if _, have := get(t, m, "k"); have != v {
		t.Errorf("Commit said version %d, Get says %d", v, have)
	}
	for _, c := range []struct {
		key  string
		v    engine.Version
		want error
	}{
		{"k", v, nil}, {"k", 0, engine.ErrConflict}, {"k", v + 1, engine.ErrConflict}, {"k", v - 1, engine.ErrConflict},
		{"none", 0, nil}, {"none", v, engine.ErrConflict},
	} {
		var only engine.Batch
		only.Require([]byte(c.key), c.v)
		if err := m.Commit(t.Context(), &only); !errors.Is(err, c.want) {
			t.Errorf("%s expected at %d: %v, want %v", c.key, c.v, err, c.want)
		}
		b := only
		b.Set([]byte("other"), []byte(c.key))
		if err := m.Commit(t.Context(), &b); !errors.Is(err, c.want) {
			t.Errorf("write if %s at %d: %v, want %v", c.key, c.v, err, c.want)
		}
	}
	if err := m.Commit(t.Context(), &engine.Batch{}); err != nil {
		t.Errorf("an empty batch: %v", err)
	}
}

func testAtomic(t *testing.T, s MetaStore) {
	m := openMeta(t, s)
	put(t, m, "a", "1", "r/1", "x", "r/2", "y")
	var b engine.Batch
	b.Set([]byte("a"), []byte("2"))
	b.Set([]byte("b"), []byte("2"))
	b.Delete([]byte("r/1"))
	b.DeleteRange([]byte("r/"), []byte("r0"))
	b.Require([]byte("a"), 12345)
	if err := m.Commit(t.Context(), &b); !errors.Is(err, engine.ErrConflict) {
		t.Fatal(err)
	}
	wantDump(t, m, "", "", "a=1", "r/1=x", "r/2=y")
}

func testOrder(t *testing.T, s MetaStore) {
	m := openMeta(t, s)
	put(t, m, "p/0", "old", "q", "old")
	var b engine.Batch
	b.Set([]byte("a"), []byte("first"))
	b.Set([]byte("a"), []byte("second"))
	b.Set([]byte("b"), []byte("x"))
	b.Delete([]byte("b"))
	b.Delete([]byte("c"))
	b.Set([]byte("c"), []byte("after its delete"))
	b.Set([]byte("p/1"), []byte("gone"))
	b.DeleteRange([]byte("p/"), []byte("p0"))
	b.Set([]byte("p/2"), []byte("after the range"))
	commit(t, m, &b)
	wantDump(t, m, "", "", "a=second", "c=after its delete", "p/2=after the range", "q=old")
}

func testVersions(t *testing.T, s MetaStore) {
	m := openMeta(t, s)
	seen := map[engine.Version]bool{}
	for i := range 50 {
		put(t, m, "k", "the same value")
		_, v := get(t, m, "k")
		if seen[v] {
			t.Fatalf("version %d came twice", v)
		}
		seen[v] = true
		if i%3 == 0 {
			var b engine.Batch
			b.Delete([]byte("k"))
			commit(t, m, &b)
		}
	}
}

func testScan(t *testing.T, s MetaStore) {
	m := openMeta(t, s)
	put(t, m, "b", "2", "a", "1", "c", "3", "ab", "12", "\xff", "end", "\x01", "begin")
	wantDump(t, m, "", "", "\x01=begin", "a=1", "ab=12", "b=2", "c=3", "\xff=end")
	wantDump(t, m, "a", "c", "a=1", "ab=12", "b=2")
	wantDump(t, m, "aa", "b", "ab=12")
	wantDump(t, m, "b\x00", "c")
	wantDump(t, m, "c", "a")
	wantDump(t, m, "c", "c")
	if got := dump(t, m, nil, nil); len(got) != 6 {
		t.Errorf("scan of everything: %q", got)
	}
	if got := dump(t, m, []byte("b"), []byte{}); len(got) != 0 {
		t.Errorf("scan up to the empty key: %q", got)
	}
}

func testSeek(t *testing.T, s MetaStore) {
	m := openMeta(t, s)
	for i := range 100 {
		put(t, m, fmt.Sprintf("k%02d", i), fmt.Sprint(i))
	}
	it, err := m.Scan(t.Context(), []byte("k10"), []byte("k90"))
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	for _, step := range []struct{ seek, want string }{
		{"a", "k10"}, {"", "k11"}, {"k20", "k20"}, {"k20", "k20"}, {"k15", "k20"}, {"", "k21"}, {"k455", "k46"}, {"k46\x00", "k47"},
		{"k89", "k89"}, {"", "-"}, {"k50", "-"}, {"", "-"},
	} {
		var ok bool
		if step.seek == "" {
			ok = it.Next()
		} else {
			ok = it.SeekGE([]byte(step.seek))
		}
		got := "-"
		if ok {
			got = string(it.Key())
			if want := step.want[1:]; fmt.Sprintf("%02s", it.Value()) != want {
				t.Errorf("%q has value %q", got, it.Value())
			}
		}
		if got != step.want {
			t.Fatalf("seek %q: at %s, want %s", step.seek, got, step.want)
		}
	}
	past, err := m.Scan(t.Context(), []byte("k10"), []byte("k90"))
	if err != nil {
		t.Fatal(err)
	}
	defer past.Close()
	if past.SeekGE([]byte("k95")) || past.Next() || past.SeekGE([]byte("k20")) {
		t.Error("an iterator that was moved past its end found something")
	}
}

func testSnapshot(t *testing.T, s MetaStore) {
	m := openMeta(t, s)
	for i := range 20 {
		put(t, m, fmt.Sprintf("k%02d", i), "old")
	}
	it, err := m.Scan(t.Context(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	var b engine.Batch
	b.DeleteRange([]byte("k00"), []byte("k05"))
	b.Delete([]byte("k07"))
	b.Set([]byte("k08"), []byte("new"))
	b.Set([]byte("k085"), []byte("new"))
	commit(t, m, &b)
	n := 0
	for it.Next() {
		if want := fmt.Sprintf("k%02d", n); string(it.Key()) != want || string(it.Value()) != "old" {
			t.Errorf("record %d is %s=%s", n, it.Key(), it.Value())
		}
		n++
	}
	if n != 20 || it.Err() != nil {
		t.Errorf("%d records, %v", n, it.Err())
	}
}

func testRangeDelete(t *testing.T, s MetaStore) {
	m := openMeta(t, s)
	fill := func() {
		put(t, m, "a", "1", "p/1", "1", "p/2", "2", "p/\xff", "3", "p0", "4", "z", "5")
	}
	fill()
	var b engine.Batch
	b.DeleteRange([]byte("p/"), engine.PrefixEnd([]byte("p/")))
	commit(t, m, &b)
	wantDump(t, m, "", "", "a=1", "p0=4", "z=5")
	if _, v := get(t, m, "p/2"); v != 0 {
		t.Error("a record of the deleted range is still read")
	}
	fill()
	wantDump(t, m, "p/", "p0", "p/1=1", "p/2=2", "p/\xff=3")
	var odd engine.Batch
	odd.DeleteRange([]byte("z"), []byte("a"))
	odd.DeleteRange([]byte("a"), []byte("a"))
	odd.DeleteRange([]byte("q"), []byte("r"))
	commit(t, m, &odd)
	if n := len(dump(t, m, nil, nil)); n != 6 {
		t.Errorf("%d records after deleting empty ranges", n)
	}
}

func told(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	case <-time.After(2 * time.Second):
		return false
	}
}

func silent(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return false
	case <-time.After(20 * time.Millisecond):
		return true
	}
}

func testWatch(t *testing.T, s MetaStore) {
	m := openMeta(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ch, err := m.Watch(ctx, []byte("w/"))
	if err != nil {
		t.Fatal(err)
	}
	put(t, m, "v", "1", "w", "1", "w0", "1")
	if !silent(ch) {
		t.Error("told of a change elsewhere")
	}
	put(t, m, "w/a", "1")
	if !told(ch) {
		t.Fatal("not told of a write")
	}
	for range 100 {
		put(t, m, "w/a", "2") // coalesced, and nobody listens
	}
	if !told(ch) || !silent(ch) {
		t.Error("100 changes are not one token")
	}
	var conflict engine.Batch
	conflict.Set([]byte("w/a"), []byte("3"))
	conflict.Require([]byte("w/a"), 0)
	if err := m.Commit(t.Context(), &conflict); !errors.Is(err, engine.ErrConflict) || !silent(ch) {
		t.Errorf("told of a refused commit (%v)", err)
	}
	var del engine.Batch
	del.Delete([]byte("w/a"))
	commit(t, m, &del)
	if !told(ch) {
		t.Error("not told of a delete")
	}
	var rng engine.Batch
	rng.DeleteRange([]byte("a"), []byte("w/a"))
	commit(t, m, &rng)
	if !told(ch) {
		t.Error("not told of a range delete")
	}
	all, err := m.Watch(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	put(t, m, "anything", "1")
	if !told(all) {
		t.Error("a watch of everything was not told")
	}
}

func testMalformed(t *testing.T, s MetaStore) {
	m := openMeta(t, s)
	put(t, m, "k", "v")
	long := bytes.Repeat([]byte("k"), engine.MaxKey+1)
	for name, b := range map[string]*engine.Batch{
		"no key":           {Writes: []engine.Write{{Op: engine.OpSet}}},
		"reserved key":     {Writes: []engine.Write{{Op: engine.OpSet, Key: []byte("\x00format")}}},
		"long key":         {Writes: []engine.Write{{Op: engine.OpSet, Key: long}}},
		"huge value":       {Writes: []engine.Write{{Op: engine.OpSet, Key: []byte("k"), Value: make([]byte, engine.MaxValue+1)}}},
		"unknown op":       {Writes: []engine.Write{{Op: 9, Key: []byte("k")}}},
		"range open above": {Writes: []engine.Write{{Op: engine.OpDeleteRange, Key: []byte("a")}}},
		"expect no key":    {Expect: []engine.Expect{{}}},
	} {
		b.Writes = append(b.Writes, engine.Write{Op: engine.OpDelete, Key: []byte("k")})
		if err := m.Commit(t.Context(), b); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	wantDump(t, m, "", "", "k=v")
	if _, v := get(t, m, ""); v != 0 {
		t.Error("there is a record under the empty key")
	}
	if _, v := get(t, m, "\x00format"); v != 0 {
		t.Error("the driver's own record can be read")
	}
}

// testModel compares random batches with a map.
func testModel(t *testing.T, s MetaStore) {
	m := openMeta(t, s)
	rng := rand.New(rand.NewPCG(11, 12))
	type record struct {
		value   string
		version engine.Version
	}
	model := map[string]record{}
	key := func() string { return fmt.Sprintf("%c%d", 'a'+rng.IntN(3), rng.IntN(30)) }
	for step := range 400 {
		var b engine.Batch
		after := map[string]*string{}
		holds := true
		for range rng.IntN(3) {
			k := key()
			v := model[k].version
			if rng.IntN(6) == 0 {
				v++
				holds = false
			}
			b.Require([]byte(k), v)
		}
		for range 1 + rng.IntN(5) {
			k := key()
			switch rng.IntN(8) {
			case 0:
				end := key()
				b.DeleteRange([]byte(k), []byte(end))
				for _, in := range []map[string]bool{keysOf(model), keysOf(after)} {
					for x := range in {
						if k <= x && x < end {
							after[x] = nil
						}
					}
				}
			case 1, 2:
				b.Delete([]byte(k))
				after[k] = nil
			default:
				v := fmt.Sprint(step, rng.Uint64())
				b.Set([]byte(k), []byte(v))
				after[k] = &v
			}
		}
		err := m.Commit(t.Context(), &b)
		if holds != (err == nil) || err != nil && !errors.Is(err, engine.ErrConflict) {
			t.Fatalf("step %d: %v, expectations hold: %v", step, err, holds)
		}
		if err == nil {
			for k, v := range after {
				delete(model, k)
				if v != nil {
					model[k] = record{*v, b.Version}
				}
			}
		}
		k := key()
		if got, v := get(t, m, k); got != model[k].value || v != model[k].version {
			t.Fatalf("step %d: %s reads %q at %d, want %+v", step, k, got, v, model[k])
		}
		if step%40 == 39 {
			want := []string{}
			for k, r := range model {
				want = append(want, k+"="+r.value)
			}
			sort.Slice(want, func(i, j int) bool { return bytes.Compare(keyOf(want[i]), keyOf(want[j])) < 0 })
			wantDump(t, m, "", "", want...)
		}
	}
}

func keyOf(pair string) []byte {
	k, _, _ := bytes.Cut([]byte(pair), []byte("="))
	return k
}

func keysOf[V any](m map[string]V) map[string]bool {
	all := map[string]bool{}
	for k := range m {
		all[k] = true
	}
	return all
}

// increment adds one to the number under key, and tries again when another was faster.
func increment(ctx context.Context, m engine.Meta, key []byte) (uint64, error) {
	for {
		value, v, err := m.Get(ctx, key, nil)
		if err != nil {
			return 0, err
		}
		n := uint64(1)
		if v != 0 {
			n += binary.BigEndian.Uint64(value)
		}
		var b engine.Batch
		b.Require(key, v)
		b.Set(key, binary.BigEndian.AppendUint64(nil, n))
		if err := m.Commit(ctx, &b); !errors.Is(err, engine.ErrConflict) {
			return n, err
		}
	}
}

func testCounter(t *testing.T, s MetaStore) {
	m := openMeta(t, s)
	const workers, each = 8, 50
	results := make(chan uint64, workers*each)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			last := uint64(0)
			for range each {
				n, err := increment(t.Context(), m, []byte("counter"))
				if err != nil || n <= last {
					t.Errorf("increment to %d after %d: %v", n, last, err)
					return
				}
				last = n
				results <- n
			}
		})
	}
	wg.Wait()
	close(results)
	seen := map[uint64]bool{}
	for n := range results {
		if seen[n] {
			t.Errorf("two increments made %d", n)
		}
		seen[n] = true
	}
	if value, _ := get(t, m, "counter"); !t.Failed() && binary.BigEndian.Uint64([]byte(value)) != workers*each {
		t.Errorf("counter is %x, want %d", value, workers*each)
	}
}

// testTransfers moves amounts between accounts, all in one commit each, and scans meanwhile.
func testTransfers(t *testing.T, s MetaStore) {
	m := openMeta(t, s)
	const accounts, total = 10, 1000
	var b engine.Batch
	name := func(i int) []byte { return fmt.Appendf(nil, "acc/%02d", i) }
	for i := range accounts {
		b.Set(name(i), binary.BigEndian.AppendUint64(nil, total/accounts))
	}
	commit(t, m, &b)
	ctx, stop := context.WithCancel(t.Context())
	var movers, reader sync.WaitGroup
	for w := range 4 {
		movers.Go(func() {
			rng := rand.New(rand.NewPCG(21, uint64(w)))
			for range 60 {
				from, to := rng.IntN(accounts), rng.IntN(accounts)
				if err := transfer(ctx, m, name(from), name(to)); err != nil && !errors.Is(err, engine.ErrConflict) {
					t.Error(err)
					return
				}
			}
		})
	}
	reader.Go(func() {
		for ctx.Err() == nil {
			it, err := m.Scan(t.Context(), []byte("acc/"), []byte("acc0"))
			if err != nil {
				t.Error(err)
				return
			}
			sum := uint64(0)
			for it.Next() {
				sum += binary.BigEndian.Uint64(it.Value())
			}
			if err := errors.Join(it.Err(), it.Close()); err != nil || sum != total {
				t.Errorf("a scan adds up to %d, want %d (%v)", sum, total, err)
				return
			}
		}
	})
	movers.Wait()
	stop()
	reader.Wait()
}

func transfer(ctx context.Context, m engine.Meta, from, to []byte) error {
	if bytes.Equal(from, to) {
		return nil
	}
	a, va, err := m.Get(ctx, from, nil)
	if err != nil {
		return err
	}
	c, vc, err := m.Get(ctx, to, nil)
	if err != nil {
		return err
	}
	var b engine.Batch
	b.Require(from, va)
	b.Require(to, vc)
	b.Set(from, binary.BigEndian.AppendUint64(nil, binary.BigEndian.Uint64(a)-1))
	b.Set(to, binary.BigEndian.AppendUint64(nil, binary.BigEndian.Uint64(c)+1))
	return m.Commit(ctx, &b)
}

func testContext(t *testing.T, s MetaStore) {
	m := openMeta(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := m.Get(ctx, []byte("k"), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Get: %v", err)
	}
	if _, err := m.Scan(ctx, nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Scan: %v", err)
	}
	if err := m.Commit(ctx, &engine.Batch{Writes: []engine.Write{{Key: []byte("k")}}}); !errors.Is(err, context.Canceled) {
		t.Errorf("Commit: %v", err)
	}
	if got := dump(t, m, nil, nil); len(got) != 0 {
		t.Errorf("a cancelled commit wrote %q", got)
	}
}

func testClosed(t *testing.T, s MetaStore) {
	m := openMeta(t, s)
	put(t, m, "k", "v")
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if _, _, err := m.Get(t.Context(), []byte("k"), nil); !errors.Is(err, engine.ErrClosed) {
		t.Errorf("Get: %v", err)
	}
	if _, err := m.Scan(t.Context(), nil, nil); !errors.Is(err, engine.ErrClosed) {
		t.Errorf("Scan: %v", err)
	}
	if err := m.Commit(t.Context(), &engine.Batch{}); !errors.Is(err, engine.ErrClosed) {
		t.Errorf("Commit: %v", err)
	}
	if _, err := m.Watch(t.Context(), nil); !errors.Is(err, engine.ErrClosed) {
		t.Errorf("Watch: %v", err)
	}
	m.Usage()
}

func testReopen(t *testing.T, s MetaStore) {
	versions := map[string]engine.Version{}
	latest := engine.Version(0)
	for round := range 4 {
		m := openMeta(t, s)
		for k, v := range versions {
			if value, have := get(t, m, k); have != v || value != "value of "+k {
				t.Fatalf("round %d: %s reads %q at %d, want version %d", round, k, value, have, v)
			}
		}
		if n := len(dump(t, m, nil, nil)); n != len(versions) {
			t.Fatalf("round %d: %d records, want %d", round, n, len(versions))
		}
		for i := range 30 {
			k := fmt.Sprintf("r%d/%d", round, i)
			versions[k] = put(t, m, k, "value of "+k)
			if versions[k] <= latest {
				t.Fatalf("version %d after %d", versions[k], latest)
			}
			latest = versions[k]
		}
		var b engine.Batch
		k := fmt.Sprintf("r%d/7", round)
		b.Delete([]byte(k))
		delete(versions, k)
		commit(t, m, &b)
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
