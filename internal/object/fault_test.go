package object

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/engine/faulty"
	"github.com/kura-s3/kura/internal/engine/memory"
	"github.com/kura-s3/kura/internal/fault"
)

// story is a change to key "k" that must happen wholly or not at all.
type story struct {
	name string
	ops  []faulty.Op // whose failure it meets
	do   func(f *fixture) error
	want []byte // nil: no object
}

var (
	oldData   = pattern(1, 90_000)
	smallData = pattern(2, 1000)
	largeData = pattern(3, 700_000)
)

func stories() []story {
	put := func(data []byte) func(f *fixture) error {
		return func(f *fixture) error {
			_, err := f.tryPut(&PutInput{Bucket: "b-1", Key: "k", Body: bytes.NewReader(data), Size: int64(len(data))})
			return err
		}
	}
	write := []faulty.Op{faulty.Get, faulty.Commit, faulty.Create, faulty.Write, faulty.Finish}
	return []story{
		{"small put", []faulty.Op{faulty.Get, faulty.Commit}, put(smallData), smallData},
		{"large put", write, put(largeData), largeData},
		{"delete", []faulty.Op{faulty.Get, faulty.Commit}, func(f *fixture) error {
			_, err := f.store.Delete(f.t.Context(), f.grant, &DeleteInput{Bucket: "b-1", Key: "k"})
			return err
		}, nil},
		{"upload", append(slices.Clone(write), faulty.Scan), func(f *fixture) error {
			up, err := f.store.CreateUpload(f.t.Context(), f.grant, &UploadInput{Bucket: "b-1", Key: "k"})
			if err != nil {
				return err
			}
			part, err := f.store.PutPart(f.t.Context(), f.grant, &PartInput{Bucket: "b-1", Key: "k", UploadID: up.UploadID, Number: 1, Body: bytes.NewReader(largeData), Size: int64(len(largeData))})
			if err != nil {
				_ = f.store.AbortUpload(f.t.Context(), f.grant, "b-1", "k", up.UploadID)
				return err
			}
			_, err = f.complete("b-1", "k", up.UploadID, *part)
			return err
		}, largeData},
	}
}

// TestEngineFailures fails each call of each operation, before its effect and after it (the answer is
// lost). An acknowledged change holds, a failed one happened wholly or not at all, and after a new
// start nothing is left over.
func TestEngineFailures(t *testing.T) {
	broken := errors.New("the engine is broken")
	for _, st := range stories() {
		for _, op := range st.ops {
			for _, lost := range []bool{false, true} {
				for n := 1; n <= 6; n++ {
					t.Run(fmt.Sprintf("%s/%s %d/lost=%v", st.name, op, n, lost), func(t *testing.T) {
						failOnce(t, st, faulty.FailNth(op, n, broken), lost)
					})
				}
			}
		}
	}
}

func failOnce(t *testing.T, st story, rule faulty.Rule, lost bool) {
	var plan faulty.Plan
	meta, blob := memory.NewMeta(), memory.NewBlob()
	ring := newRing(t, meta)
	f := newFixtureOn(t, faulty.Meta{Meta: meta, Plan: &plan}, faulty.Blob{Blob: blob, Plan: &plan}, ring)
	f.bucket("b-1", Unversioned)
	f.put("b-1", "k", oldData)
	if lost {
		plan.Set(nil, rule)
	} else {
		plan.Set(rule, nil)
	}
	err := st.do(f)
	plan.Set(nil, nil)
	f.reopen()
	_, got, getErr := f.get(&GetInput{Bucket: "b-1", Key: "k"})
	if getErr != nil && !fault.Is(getErr, NoSuchKey) {
		t.Fatal(getErr)
	}
	isNew := bytes.Equal(got, st.want) && (st.want == nil) == (getErr != nil)
	if err == nil && !isNew || !isNew && !bytes.Equal(got, oldData) {
		t.Fatalf("told %v, found %d bytes (%v)", err, len(got), getErr)
	}
	f.settle()
	for _, id := range f.uploads() {
		if err := f.store.AbortUpload(t.Context(), f.grant, "b-1", "k", id); err != nil {
			t.Fatal(err)
		}
	}
	f.settle()
	f.check()
}

func (f *fixture) uploads() (ids []string) {
	f.t.Helper()
	page, err := f.store.ListUploads(f.t.Context(), f.grant, &ListUploadsInput{Bucket: "b-1", Max: 10})
	if err != nil {
		f.t.Fatal(err)
	}
	for _, u := range page.Uploads {
		ids = append(ids, u.UploadID)
	}
	return ids
}

// TestConflicts: lost races are run again, and when there are too many the client hears of it.
func TestConflicts(t *testing.T) {
	var plan faulty.Plan
	meta := memory.NewMeta()
	f := newFixtureOn(t, faulty.Meta{Meta: meta, Plan: &plan}, memory.NewBlob(), newRing(t, meta))
	f.bucket("b-1", Unversioned)
	plan.Set(faulty.FailNth(faulty.Commit, 1, engine.ErrConflict), nil)
	f.put("b-1", "k", smallData)
	plan.Set(func(op faulty.Op, _ int) error {
		if op == faulty.Commit {
			return engine.ErrConflict
		}
		return nil
	}, nil)
	in := &PutInput{Bucket: "b-1", Key: "k", Body: bytes.NewReader(smallData), Size: int64(len(smallData))}
	_, err := f.tryPut(in)
	f.want(err, Busy)
	in.Body, in.If = bytes.NewReader(smallData), Precondition{IfMatch: "*"}
	_, err = f.tryPut(in)
	f.want(err, ConditionalConflict)
}

func TestFullDevice(t *testing.T) {
	var plan faulty.Plan
	meta := memory.NewMeta()
	f := newFixtureOn(t, faulty.Meta{Meta: meta, Plan: &plan}, faulty.Blob{Blob: memory.NewBlob(), Plan: &plan}, newRing(t, meta))
	f.bucket("b-1", Unversioned)
	for _, op := range []faulty.Op{faulty.Create, faulty.Write, faulty.Finish} {
		plan.Set(faulty.FailNth(op, 1, engine.ErrNoSpace), nil)
		_, err := f.tryPut(&PutInput{Bucket: "b-1", Key: "k", Body: bytes.NewReader(largeData), Size: int64(len(largeData))})
		f.want(err, OutOfSpace)
	}
	plan.Set(nil, nil)
	f.settle()
	plan.Set(faulty.FailNth(faulty.Commit, 1, engine.ErrNoSpace), nil)
	_, err := f.tryPut(&PutInput{Bucket: "b-1", Key: "k", Body: bytes.NewReader(smallData), Size: int64(len(smallData))})
	f.want(err, OutOfSpace)
	plan.Set(nil, nil)
	f.settle()
	f.check()
}

// flippingBlob flips one bit of everything that is read.
type flippingBlob struct {
	engine.Blob
	at int64 // -1: none
}

func (b *flippingBlob) Open(ctx context.Context, ref engine.Ref) (engine.BlobReader, error) {
	r, err := b.Blob.Open(ctx, ref)
	if err != nil {
		return nil, err
	}
	return flippingReader{r, b.at}, nil
}

type flippingReader struct {
	engine.BlobReader
	at int64
}

func (r flippingReader) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.BlobReader.ReadAt(p, off)
	if r.at >= off && r.at < off+int64(n) {
		p[r.at-off] ^= 0x10
	}
	return n, err
}

// TestFlippedBits: a bit that changed anywhere in a stored body is an error, and what was read before
// the error is right.
func TestFlippedBits(t *testing.T) {
	meta := memory.NewMeta()
	blob := &flippingBlob{Blob: memory.NewBlob(), at: -1}
	f := newFixtureOn(t, meta, blob, newRing(t, meta))
	b := f.bucket("b-1", Unversioned)
	f.put("b-1", "large", largeData)
	id := f.upload(UploadInput{Bucket: "b-1", Key: "parts"})
	if _, err := f.complete("b-1", "parts", id, f.part("b-1", "parts", id, 1, largeData)); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"large", "parts"} {
		for at := int64(0); at < int64(len(largeData)); at += 39_371 {
			blob.at = at
			_, data, err := f.get(&GetInput{Bucket: "b-1", Key: key})
			f.want(err, Damaged)
			if !bytes.HasPrefix(largeData, data) {
				t.Fatalf("%s, byte %d flipped: wrong bytes came out", key, at)
			}
		}
	}
	var problems []Problem
	note := func(p Problem) { problems = append(problems, p) }
	if _, err := f.store.Check(t.Context(), note); err != nil || len(problems) != 2 {
		t.Errorf("doctor: %v, %v", problems, err)
	}
	problems = nil
	if sum, err := f.store.Scrub(t.Context(), ScrubConfig{Report: note}); err != nil || len(problems) != 2 || sum.Bodies != 2 {
		t.Errorf("scrub: %v, %+v, %v", problems, sum, err)
	}
	blob.at = -1
	f.check()

	f.put("b-1", "small", smallData)
	f.put("b-1", "other", smallData)
	bodies := f.records(spaceBody)
	for i := range bodies {
		for at := range bodies[i].value {
			bad := bytes.Clone(bodies[i].value)
			bad[at] ^= 1
			f.write(bodies[i].key, bad)
			if at%97 != 0 {
				continue
			}
			_, _, err := f.get(&GetInput{Bucket: "b-1", Key: []string{"small", "other"}[i]})
			f.want(err, Damaged)
		}
		f.write(bodies[i].key, bodies[i].value)
	}
	f.check()
	// Another object's bytes, and another object's key, do not pass for one's own.
	f.write(bodies[0].key, bodies[1].value)
	_, _, err := f.get(&GetInput{Bucket: "b-1", Key: "small"})
	f.want(err, Damaged)
	f.write(bodies[0].key, bodies[0].value)
	var r, other record
	for key, r := range map[string]*record{"small": &r, "other": &other} {
		raw, _, err := meta.Get(t.Context(), headKey(b.ID, key), nil)
		if err != nil || r.decode(raw) != nil {
			t.Fatal(err)
		}
	}
	r.body.wrapped = other.body.wrapped
	f.write(headKey(b.ID, "small"), r.append(nil))
	_, _, err = f.get(&GetInput{Bucket: "b-1", Key: "small"})
	f.want(err, Damaged)
}

type rawRecord struct{ key, value []byte }

func (f *fixture) records(space string) (out []rawRecord) {
	f.t.Helper()
	err := f.store.scanSome(f.t.Context(), []byte(space), 1<<20, func(key, value []byte) error {
		out = append(out, rawRecord{bytes.Clone(key), bytes.Clone(value)})
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return out
}

func (f *fixture) write(key, value []byte) {
	f.t.Helper()
	var b engine.Batch
	if value == nil {
		b.Delete(key)
	} else {
		b.Set(key, value)
	}
	if err := f.meta.Commit(f.t.Context(), &b); err != nil {
		f.t.Fatal(err)
	}
}

// TestDoctorNamesWhatIsWrong damages a store in each way and wants a problem told.
func TestDoctorNamesWhatIsWrong(t *testing.T) {
	for name, hurt := range map[string]func(f *fixture){
		"head":     func(f *fixture) { f.write(f.records(spaceHead)[0].key, []byte{9}) },
		"older":    func(f *fixture) { f.write(f.records(spaceVersion)[0].key, []byte{formatVersion}) },
		"place":    func(f *fixture) { r := f.records(spaceVersion)[0]; r.key[len(r.key)-1]--; f.write(r.key, r.value) },
		"marker":   func(f *fixture) { f.write(f.records(spaceMarker)[0].key, f.records(spaceHead)[0].value) },
		"null":     func(f *fixture) { f.write(f.records(spaceNull)[0].key, make([]byte, 8)) },
		"body":     func(f *fixture) { f.write(f.records(spaceBody)[0].key, nil) },
		"orphan":   func(f *fixture) { f.write(spaceKey(spaceBody, 1<<60), []byte("x")) },
		"page":     func(f *fixture) { f.write(f.records(spaceManifest)[0].key, nil) },
		"part":     func(f *fixture) { f.write(f.records(spacePart)[0].key, []byte("junk")) },
		"upload":   func(f *fixture) { f.write(f.records(spaceUpload)[0].key, []byte("junk")) },
		"finished": func(f *fixture) { f.write(f.records(spaceFinished)[0].key, []byte("junk")) },
		"counter":  func(f *fixture) { f.write([]byte(counterEpoch), []byte("junk")) },
		"bucket":   func(f *fixture) { f.write(bucketKey("other"), []byte("{}")) },
		"blob": func(f *fixture) {
			w, err := f.blob.Create(f.t.Context(), 10)
			if err == nil {
				_, err = w.Finish(f.t.Context())
			}
			if err != nil {
				f.t.Fatal(err)
			}
		},
		"lost blob": func(f *fixture) {
			var refs []engine.Ref
			f.blob.List(f.t.Context(), func(i engine.BlobInfo) error { refs = append(refs, i.Ref); return nil })
			if err := f.blob.Delete(f.t.Context(), refs...); err != nil {
				f.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.bucket("b-1", Unversioned)
			f.put("b-1", "a", smallData)
			f.versioning("b-1", VersioningEnabled)
			f.put("b-1", "a", largeData)
			f.put("b-1", "b", smallData)
			f.store.Delete(t.Context(), f.grant, &DeleteInput{Bucket: "b-1", Key: "b"})
			id := f.upload(UploadInput{Bucket: "b-1", Key: "m"})
			if _, err := f.complete("b-1", "m", id, f.part("b-1", "m", id, 1, smallData)); err != nil {
				t.Fatal(err)
			}
			f.part("b-1", "m", f.upload(UploadInput{Bucket: "b-1", Key: "m"}), 1, smallData)
			f.check()
			hurt(f)
			var problems []Problem
			if _, err := f.store.Check(t.Context(), func(p Problem) { problems = append(problems, p) }); err != nil || len(problems) == 0 {
				t.Errorf("%v, %v", problems, err)
			}
		})
	}
}

func TestReadOnlyChangesNothing(t *testing.T) {
	f := newFixture(t)
	f.bucket("b-1", Unversioned)
	f.put("b-1", "k", smallData)
	f.write(spaceKey(spaceIntent, 7), encodeIntent("gone"))
	f.store.Close(t.Context())
	s, err := Open(t.Context(), Config{Meta: f.meta, Blob: f.blob, Keys: f.ring, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	f.store = s
	if sum := f.check(); sum.Objects != 1 || f.rows(spaceIntent) != 1 {
		t.Errorf("%+v, %d intents", sum, f.rows(spaceIntent))
	}
	if _, err := f.tryPut(&PutInput{Bucket: "b-1", Key: "k", Body: io.LimitReader(nil, 0)}); !errors.Is(err, errReadOnly) {
		t.Errorf("put: %v", err)
	}
	if !bytes.Equal(f.mustGet("b-1", "k"), smallData) {
		t.Error("other bytes")
	}
}
