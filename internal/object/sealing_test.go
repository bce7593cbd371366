package object

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/seal"
)

// strongbox gives the keys of the sealings that it made, as a key management service does.
type strongbox struct {
	keys  map[string]*Key
	asked int
}

func newTestKey() *Key {
	raw := seal.NewKey()
	k, err := NewKey(raw[:])
	if err != nil {
		panic(err)
	}
	return k
}

var errRefused = errors.New("refused")

func (b *strongbox) sealing(e Encryption) *Sealing {
	if b.keys == nil {
		b.keys = map[string]*Key{}
	}
	name := fmt.Sprintf("wrapped %d", len(b.keys))
	w := newTestKey()
	b.keys[name] = w
	return &Sealing{Key: w, Sealed: Sealed{Encryption: e, KeyARN: "arn:aws:kms:us-east-1:111122223333:key/k", Wrapped: []byte(name)}}
}

// Unseal implements Unsealer.
func (b *strongbox) Unseal(_ context.Context, s *Sealed) (*Key, error) {
	b.asked++
	if w := b.keys[string(s.Wrapped)]; w != nil {
		return w, nil
	}
	return nil, errRefused
}

// customer has one key.
type customer struct{ key []byte }

func (c *customer) Unseal(_ context.Context, s *Sealed) (*Key, error) {
	if c.key == nil {
		return nil, fault.New(KeyRequired, "")
	}
	return s.OpenForCustomer(c.key)
}

var kinds = []Encryption{SSEKMS, DSSEKMS, SSEC}

// with gives a sealing of a kind and whoever opens it.
func with(t *testing.T, e Encryption) (*Sealing, Unsealer) {
	t.Helper()
	if e != SSEC {
		box := &strongbox{}
		return box.sealing(e), box
	}
	c := &customer{key: bytes.Repeat([]byte("customer"), 4)}
	s, err := SealForCustomer(c.key)
	if err != nil {
		t.Fatal(err)
	}
	return s, c
}

func TestSealedRoundTrip(t *testing.T) {
	f := newFixture(t)
	f.bucket("photos", Unversioned)
	for _, e := range kinds {
		for i, n := range append(sizes, 5*seal.Block+1) {
			data := pattern(byte(i), n)
			s, u := with(t, e)
			info, err := f.tryPut(&PutInput{Bucket: "photos", Key: "k", Body: bytes.NewReader(data), Size: int64(n), Owner: alice, Seal: s})
			if err != nil {
				t.Fatalf("%v of %d bytes: %v", e, n, err)
			}
			if info.Encryption != e.String() || info.Sealed == nil || info.ETag == md5Hex(data) || !bytes.Equal(info.Checksum.Value, CRC64NVME.sum(data)) {
				t.Errorf("%v of %d bytes: %+v", e, n, info)
			}
			o, got, err := f.get(&GetInput{Bucket: "photos", Key: "k", Unsealer: u, Checksum: true})
			if err != nil || !bytes.Equal(got, data) || o.ETag != info.ETag || !bytes.Equal(o.Checksum.Value, info.Checksum.Value) {
				t.Fatalf("%v of %d bytes reads back as %d bytes, %v", e, n, len(got), err)
			}
			if n > 1 {
				r := &Range{First: int64(n) / 3, Last: int64(n)/3 + 70000}
				_, got, err = f.get(&GetInput{Bucket: "photos", Key: "k", Unsealer: u, Range: r})
				if err != nil || !bytes.Equal(got, data[r.First:min(int64(n), r.Last+1)]) {
					t.Errorf("%v: a range of %d bytes reads as %d bytes, %v", e, n, len(got), err)
				}
			}
			if _, _, err = f.get(&GetInput{Bucket: "photos", Key: "k"}); !fault.Is(err, KeyRequired) {
				t.Errorf("%v of %d bytes without a key: %v", e, n, err)
			}
			if n == 0 {
				continue
			}
			plain, err := f.store.Stat(t.Context(), f.grant, &GetInput{Bucket: "photos", Key: "k"})
			if err != nil || plain.Checksum.Value != nil || plain.Checksum.Algorithm != CRC64NVME {
				t.Errorf("%v: HEAD without a key: %+v, %v", e, plain.Checksum, err)
			}
		}
	}
}

// TestSealedChecksums: what the client states is verified, an MD5 too, though the ETag is none.
func TestSealedChecksums(t *testing.T) {
	f := newFixture(t)
	f.bucket("photos", Unversioned)
	for _, n := range []int{100, 300000} {
		data := pattern(1, n)
		s, _ := with(t, SSEKMS)
		in := PutInput{Bucket: "photos", Key: "k", Size: int64(n), Owner: alice, Seal: s, Expect: Expected{MD5: make([]byte, 16)}}
		in.Body = bytes.NewReader(data)
		_, err := f.tryPut(&in)
		f.want(err, BadMD5)
		in.Expect = Expected{Algorithm: SHA256, Value: func() ([]byte, error) { return make([]byte, 32), nil }}
		in.Body = bytes.NewReader(data)
		_, err = f.tryPut(&in)
		f.want(err, BadChecksum)
	}
}

func TestOtherCustomerKey(t *testing.T) {
	f := newFixture(t)
	f.bucket("photos", Unversioned)
	s, _ := with(t, SSEC)
	if _, err := f.tryPut(&PutInput{Bucket: "photos", Key: "k", Body: bytes.NewReader([]byte("x")), Size: 1, Owner: alice, Seal: s}); err != nil {
		t.Fatal(err)
	}
	_, _, err := f.get(&GetInput{Bucket: "photos", Key: "k", Unsealer: &customer{key: make([]byte, 32)}})
	if !errors.Is(err, ErrOtherKey) {
		t.Errorf("another key: %v", err)
	}
	if n := f.store.Usage(t.Context()).DamagedReads; n != 0 {
		t.Errorf("another key counts as damage: %d", n)
	}
}

func TestSealedMultipart(t *testing.T) {
	for _, e := range kinds {
		f := newFixture(t)
		f.bucket("videos", Unversioned)
		s, u := with(t, e)
		id := f.upload(UploadInput{Bucket: "videos", Key: "k", Seal: s})
		pieces := [][]byte{pattern(1, MinPart), pattern(2, MinPart+99), pattern(3, 77)}
		var parts []Part
		for i, data := range pieces {
			in := &PartInput{Bucket: "videos", Key: "k", UploadID: id, Number: i + 1, Body: bytes.NewReader(data), Size: int64(len(data))}
			if _, err := f.store.PutPart(t.Context(), f.grant, in); !fault.Is(err, KeyRequired) {
				t.Fatalf("%v: a part without the key: %v", e, err)
			}
			in.Unsealer, in.Body = u, bytes.NewReader(data)
			p, err := f.store.PutPart(t.Context(), f.grant, in)
			again, againErr := f.store.PutPart(t.Context(), f.grant, &PartInput{Bucket: "videos", Key: "k", UploadID: id, Number: i + 1, Body: bytes.NewReader(data), Size: int64(len(data)), Unsealer: u})
			if againErr != nil || err == nil && again.ETag != p.ETag {
				t.Errorf("%v: a part sent again: %+v, %v", e, again, againErr)
			}
			if err != nil || p.Sealed == nil || p.Sealed.Encryption != e || p.ETag == md5Hex(data) {
				t.Fatalf("%v: part %+v, %v", e, p, err)
			}
			parts = append(parts, *p)
		}
		page, err := f.store.ListParts(t.Context(), f.grant, u, "videos", "k", id, 0, 10)
		if err != nil || len(page.Parts) != 3 || !bytes.Equal(page.Parts[1].Checksum.Value, CRC64NVME.sum(pieces[1])) {
			t.Errorf("%v: parts %+v, %v", e, page, err)
		}
		in := &CompleteInput{Bucket: "videos", Key: "k", UploadID: id, Parts: parts, Unsealer: u}
		info, err := f.store.CompleteUpload(t.Context(), f.grant, in)
		whole := bytes.Join(pieces, nil)
		if err != nil || info.Sealed.Encryption != e || !bytes.Equal(info.Checksum.Value, CRC64NVME.sum(whole)) {
			t.Fatalf("%v: completed %+v, %v", e, info, err)
		}
		if _, err := f.store.CompleteUpload(t.Context(), f.grant, in); err != nil {
			t.Errorf("%v: completed again: %v", e, err)
		}
		o, got, err := f.get(&GetInput{Bucket: "videos", Key: "k", Unsealer: u, Checksum: true})
		if err != nil || !bytes.Equal(got, whole) || !bytes.Equal(o.Checksum.Value, info.Checksum.Value) {
			t.Errorf("%v: reads back as %d bytes, %v", e, len(got), err)
		}
		list, _, err := f.store.Parts(t.Context(), f.grant, &GetInput{Bucket: "videos", Key: "k", Unsealer: u, Checksum: true}, 0, 10)
		if err != nil || !bytes.Equal(list[2].Checksum.Value, CRC64NVME.sum(pieces[2])) {
			t.Errorf("%v: parts of the object %+v, %v", e, list, err)
		}
	}
}

// TestCustomerUploadWithoutKeyAtItsEnd: S3 wants SSE-C's headers there only where a checksum was named.
func TestCustomerUploadWithoutKeyAtItsEnd(t *testing.T) {
	f := newFixture(t)
	f.bucket("videos", Unversioned)
	for _, named := range []Algorithm{NoChecksum, CRC32} {
		s, u := with(t, SSEC)
		id := f.upload(UploadInput{Bucket: "videos", Key: "k", Seal: s, Checksum: named, FullObject: named != NoChecksum})
		p, err := f.store.PutPart(t.Context(), f.grant, &PartInput{Bucket: "videos", Key: "k", UploadID: id, Number: 1, Body: bytes.NewReader([]byte("x")), Size: 1, Unsealer: u})
		if err != nil {
			t.Fatal(err)
		}
		page, err := f.store.ListParts(t.Context(), f.grant, &customer{}, "videos", "k", id, 0, 10)
		if err != nil || len(page.Parts) != 1 || page.Parts[0].Checksum.Value != nil {
			t.Errorf("parts without the key: %+v, %v", page, err)
		}
		info, err := f.store.CompleteUpload(t.Context(), f.grant, &CompleteInput{Bucket: "videos", Key: "k", UploadID: id, Parts: []Part{{Number: 1, ETag: p.ETag}}, Unsealer: &customer{}})
		switch {
		case named != NoChecksum:
			f.want(err, KeyRequired)
		case err != nil || info.Checksum.Algorithm != NoChecksum:
			t.Errorf("%+v, %v", info, err)
		}
	}
}

// TestCopiesAreSealedAnew: from each kind to each.
func TestCopiesAreSealedAnew(t *testing.T) {
	f := newFixture(t)
	f.bucket("photos", Unversioned)
	data := pattern(4, 200000)
	for _, from := range append(kinds, SSES3) {
		var s *Sealing
		var u Unsealer
		if from != SSES3 {
			s, u = with(t, from)
		}
		if _, err := f.tryPut(&PutInput{Bucket: "photos", Key: "from", Body: bytes.NewReader(data), Size: int64(len(data)), Owner: alice, Seal: s}); err != nil {
			t.Fatal(err)
		}
		for _, to := range append(kinds, SSES3) {
			var s2 *Sealing
			var u2 Unsealer
			if to != SSES3 {
				s2, u2 = with(t, to)
			}
			made, _, err := f.store.Copy(t.Context(), f.grant, &CopyInput{Source: GetInput{Bucket: "photos", Key: "from", Unsealer: u}, Dest: PutInput{Bucket: "photos", Key: "to", Owner: alice, Seal: s2}})
			if err != nil || made.Encryption != to.String() {
				t.Fatalf("%v to %v: %+v, %v", from, to, made, err)
			}
			if _, got, err := f.get(&GetInput{Bucket: "photos", Key: "to", Unsealer: u2}); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%v to %v: %v", from, to, err)
			}
		}
	}
}

// TestNothingOfTheSealedInTheClear looks at all that is stored.
func TestNothingOfTheSealedInTheClear(t *testing.T) {
	f := newFixture(t)
	f.bucket("photos", Unversioned)
	small, large := []byte("canary canary canary"), bytes.Repeat([]byte("canary "), 40000)
	var hidden [][]byte
	for _, e := range kinds {
		for _, data := range [][]byte{small, large} {
			s, _ := with(t, e)
			info, err := f.tryPut(&PutInput{Bucket: "photos", Key: fmt.Sprint(e, len(data)), Body: bytes.NewReader(data), Size: int64(len(data)), Owner: alice, Seal: s})
			if err != nil {
				t.Fatal(err)
			}
			hidden = append(hidden, info.Checksum.Value)
		}
	}
	hidden = append(hidden, []byte("canary"), bytes.Repeat([]byte("customer"), 4))
	f.everything(func(where string, p []byte) {
		for _, h := range hidden {
			if bytes.Contains(p, h) {
				t.Errorf("%s holds %x", where, h)
			}
		}
	})
}

func (f *fixture) everything(see func(where string, p []byte)) {
	f.t.Helper()
	it, err := f.meta.Scan(f.t.Context(), nil, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	defer it.Close()
	for it.Next() {
		see(fmt.Sprintf("%q", it.Key()), it.Value())
	}
	err = f.blob.List(f.t.Context(), func(info engine.BlobInfo) error {
		r, err := f.blob.Open(f.t.Context(), info.Ref)
		if err != nil {
			return err
		}
		defer r.Close()
		p, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
		see("blob", p)
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

// TestCheckOfLockedBodies: the doctor and the scrubber say how much they could not open, find what is
// missing all the same, and damage in what the store's own key seals.
func TestCheckOfLockedBodies(t *testing.T) {
	f := newFixture(t)
	f.bucket("photos", Unversioned)
	for _, e := range kinds {
		for _, n := range []int{100, 300000} {
			s, _ := with(t, e)
			if _, err := f.tryPut(&PutInput{Bucket: "photos", Key: fmt.Sprint(int(e), n), Body: bytes.NewReader(make([]byte, n)), Size: int64(n), Owner: alice, Seal: s}); err != nil {
				t.Fatal(err)
			}
		}
	}
	check := func() (Summary, []Problem) {
		var found []Problem
		sum, err := f.store.Check(t.Context(), func(p Problem) { found = append(found, p) })
		if err != nil {
			t.Fatal(err)
		}
		scrubbed, err := f.store.Scrub(t.Context(), ScrubConfig{Report: func(Problem) {}})
		if err != nil || scrubbed.Locked != sum.Locked || scrubbed.Problems != sum.Problems {
			t.Errorf("the scrubber sees %+v, the doctor %+v, %v", scrubbed, sum, err)
		}
		return sum, found
	}
	if sum, found := check(); sum.Locked != 6 || sum.Bodies != 6 || len(found) != 0 {
		t.Fatalf("%+v %v", sum, found)
	}
	lo, hi := prefixRange([]byte(spaceBody))
	it, err := f.meta.Scan(t.Context(), lo, hi)
	if err != nil {
		t.Fatal(err)
	}
	var b engine.Batch
	for it.Next() {
		value := bytes.Clone(it.Value())
		value[0] ^= 1
		b.Set(bytes.Clone(it.Key()), value)
	}
	it.Close()
	if err := f.meta.Commit(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	if sum, found := check(); sum.Problems != 1 { // the outer layer of DSSE-KMS
		t.Errorf("%+v %v", sum, found)
	}
}
