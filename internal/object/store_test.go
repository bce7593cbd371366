package object

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/authz/authztest"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/engine/memory"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/keys"
)

// bench is a store under test, and what is needed to open it again.
type fixture struct {
	t     testing.TB
	meta  engine.Meta
	blob  engine.Blob
	ring  Keyring
	store *Store
	grant authz.Grant
	now   func() time.Time // nil: the real clock
}

var (
	alice = Owner{Account: "111122223333", Canonical: "aa11"}
	bob   = Owner{Account: "444455556666", Canonical: "bb22"}
)

func newRing(t testing.TB, meta engine.Meta) Keyring {
	t.Helper()
	ring, err := keys.Open(t.Context(), meta, keys.NewKeyFile(filepath.Join(t.TempDir(), "root.key")))
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// newFixture is a store on the memory engines.
func newFixture(t testing.TB) *fixture {
	meta := memory.NewMeta()
	return newFixtureOn(t, meta, memory.NewBlob(), newRing(t, meta))
}

func newFixtureOn(t testing.TB, meta engine.Meta, blob engine.Blob, ring Keyring) *fixture {
	t.Helper()
	f := &fixture{t: t, meta: meta, blob: blob, ring: ring, grant: authztest.Grant(t, "s3:*", "*")}
	f.open()
	t.Cleanup(func() { f.store.Close(context.Background()) })
	return f
}

func (f *fixture) open() {
	f.t.Helper()
	s, err := Open(f.t.Context(), Config{Meta: f.meta, Blob: f.blob, Keys: f.ring, Log: slog.New(slog.DiscardHandler), Now: f.now})
	if err != nil {
		f.t.Fatal(err)
	}
	f.store = s
}

func (f *fixture) reopen() {
	f.t.Helper()
	if err := f.store.Close(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
	f.open()
}

func (f *fixture) bucket(name string, v Versioning) *Bucket {
	f.t.Helper()
	b, err := f.store.CreateBucket(f.t.Context(), f.grant, CreateBucketInput{Name: name, Owner: alice, Region: "us-east-1", Versioning: v})
	if err != nil {
		f.t.Fatal(err)
	}
	return b
}

func (f *fixture) versioning(name string, v Versioning) {
	f.t.Helper()
	_, err := f.store.UpdateBucket(f.t.Context(), f.grant, "s3:PutBucketVersioning", name, func(b *Bucket) error { b.Versioning = v; return nil })
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) put(bucket, key string, data []byte) *Info {
	f.t.Helper()
	info, err := f.tryPut(&PutInput{Bucket: bucket, Key: key, Body: bytes.NewReader(data), Size: int64(len(data)), Owner: alice})
	if err != nil {
		f.t.Fatalf("put %q: %v", key, err)
	}
	return info
}

func (f *fixture) tryPut(in *PutInput) (*Info, error) {
	return f.store.Put(f.t.Context(), f.grant, in)
}

func (f *fixture) get(in *GetInput) (*Object, []byte, error) {
	o, err := f.store.Get(f.t.Context(), f.grant, in)
	if err != nil {
		return o, nil, err
	}
	data, err := io.ReadAll(o.Body)
	if closeErr := o.Body.Close(); err == nil {
		err = closeErr
	}
	return o, data, err
}

func (f *fixture) mustGet(bucket, key string) []byte {
	f.t.Helper()
	_, data, err := f.get(&GetInput{Bucket: bucket, Key: key})
	if err != nil {
		f.t.Fatalf("get %q: %v", key, err)
	}
	return data
}

func (f *fixture) want(err error, kind fault.Kind) {
	f.t.Helper()
	if !fault.Is(err, kind) {
		f.t.Fatalf("got error %v, want %s", err, kind)
	}
}

// settle waits until the background work has nothing left.
func (f *fixture) settle() {
	f.t.Helper()
	for range 60_000 {
		if f.rows(spaceTrash) == 0 && f.store.drain.pending() == 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
	f.t.Fatalf("trash is left: %d", f.rows(spaceTrash))
}

func (f *fixture) rows(space string) int {
	f.t.Helper()
	n := 0
	lo, hi := prefixRange([]byte(space))
	it, err := f.meta.Scan(f.t.Context(), lo, hi)
	if err != nil {
		f.t.Fatal(err)
	}
	defer it.Close()
	for it.Next() {
		n++
	}
	if it.Err() != nil {
		f.t.Fatal(it.Err())
	}
	return n
}

func (f *fixture) blobs() int {
	f.t.Helper()
	n := 0
	if err := f.blob.List(f.t.Context(), func(engine.BlobInfo) error { n++; return nil }); err != nil {
		f.t.Fatal(err)
	}
	return n
}

// pattern is n bytes that differ from place to place and from seed to seed.
func pattern(seed byte, n int) []byte {
	out := make([]byte, n)
	x := uint32(seed)*2654435761 + 1
	for i := range out {
		x = x*1664525 + 1013904223
		out[i] = byte(x >> 24)
	}
	return out
}

func md5Hex(p []byte) string {
	sum := md5.Sum(p)
	return hex.EncodeToString(sum[:])
}

var sizes = []int{0, 1, 4096, DefaultInlineMax - 1, DefaultInlineMax, DefaultInlineMax + 1, chunkSize, chunkSize + 1, 3<<20 + 17}

func TestPutGetRoundTrip(t *testing.T) {
	f := newFixture(t)
	f.bucket("photos", Unversioned)
	for i, n := range sizes {
		data := pattern(byte(i), n)
		for _, known := range []bool{true, false} {
			in := &PutInput{Bucket: "photos", Key: "a/b", Body: bytes.NewReader(data), Size: int64(n), Owner: alice,
				Attributes: Attributes{ContentType: "text/plain", StorageClass: "STANDARD_IA", User: []Tag{{"x", "1"}, {"y", ""}}}, Tags: []Tag{{"team", "red"}}}
			if !known {
				in.Size = -1
			}
			info, err := f.tryPut(in)
			if err != nil {
				t.Fatalf("%d bytes: %v", n, err)
			}
			o, got, err := f.get(&GetInput{Bucket: "photos", Key: "a/b"})
			if err != nil || !bytes.Equal(got, data) {
				t.Fatalf("%d bytes came back as %d: %v", n, len(got), err)
			}
			if info.ETag != md5Hex(data) || o.ETag != info.ETag || o.Size != int64(n) || o.VersionID != NullVersion || o.Versioned {
				t.Errorf("%d bytes: info %+v, object %+v", n, info, o.Info)
			}
			if o.Attributes.ContentType != "text/plain" || o.Attributes.StorageClass != "STANDARD_IA" || len(o.Attributes.User) != 2 || len(o.Tags) != 1 || o.Owner != alice {
				t.Errorf("%d bytes: attributes %+v, tags %v", n, o.Attributes, o.Tags)
			}
			if want := CRC64NVME.sum(data); !bytes.Equal(o.Checksum.Value, want) || o.Checksum.Algorithm != CRC64NVME {
				t.Errorf("%d bytes: checksum %v, want %x", n, o.Checksum, want)
			}
		}
	}
	f.settle()
	if n := f.blobs(); n != 1 {
		t.Errorf("%d blobs stored, want the last one's", n)
	}
}

func TestZeroGrantOpensNothing(t *testing.T) {
	f := newFixture(t)
	f.bucket("photos", Unversioned)
	s, ctx, g := f.store, t.Context(), authz.Grant{}
	source := &GetInput{Bucket: "photos", Key: "k"}
	calls := map[string]func() error{
		"CreateBucket": func() error { _, err := s.CreateBucket(ctx, g, CreateBucketInput{Name: "other"}); return err },
		"DeleteBucket": func() error { return s.DeleteBucket(ctx, g, "photos") },
		"ListBuckets":  func() error { _, err := s.ListBuckets(ctx, g, alice.Account); return err },
		"UpdateBucket": func() error { _, err := s.UpdateBucket(ctx, g, "s3:PutBucketTagging", "photos", nil); return err },
		"Put":          func() error { _, err := s.Put(ctx, g, &PutInput{Bucket: "photos", Key: "k"}); return err },
		"Get":          func() error { _, err := s.Get(ctx, g, source); return err },
		"Stat":         func() error { _, err := s.Stat(ctx, g, source); return err },
		"Parts":        func() error { _, _, err := s.Parts(ctx, g, source, 0, 1); return err },
		"Delete":       func() error { _, err := s.Delete(ctx, g, &DeleteInput{Bucket: "photos", Key: "k"}); return err },
		"DeleteMany": func() error {
			return s.DeleteMany(ctx, []authz.Grant{g}, []*DeleteInput{{Bucket: "photos", Key: "k"}})[0].Err
		},
		"Copy": func() error {
			_, _, err := s.Copy(ctx, g, &CopyInput{Source: *source, Dest: PutInput{Bucket: "photos", Key: "k"}})
			return err
		},
		"Tags":         func() error { _, _, err := s.Tags(ctx, g, source); return err },
		"SetTags":      func() error { _, err := s.SetTags(ctx, g, "s3:PutObjectTagging", source, nil); return err },
		"CreateUpload": func() error { _, err := s.CreateUpload(ctx, g, &UploadInput{Bucket: "photos", Key: "k"}); return err },
		"Upload":       func() error { _, err := s.Upload(ctx, g, "photos", "k", "x"); return err },
		"PutPart":      func() error { _, err := s.PutPart(ctx, g, &PartInput{Bucket: "photos", Key: "k"}); return err },
		"CompleteUpload": func() error {
			_, err := s.CompleteUpload(ctx, g, &CompleteInput{Bucket: "photos", Key: "k"})
			return err
		},
		"AbortUpload":  func() error { return s.AbortUpload(ctx, g, "photos", "k", "x") },
		"ListParts":    func() error { _, err := s.ListParts(ctx, g, nil, "photos", "k", "x", 0, 1); return err },
		"ListUploads":  func() error { _, err := s.ListUploads(ctx, g, &ListUploadsInput{Bucket: "photos"}); return err },
		"List":         func() error { _, err := s.List(ctx, g, &ListInput{Bucket: "photos"}); return err },
		"ListVersions": func() error { _, err := s.ListVersions(ctx, g, &ListVersionsInput{Bucket: "photos"}); return err },
	}
	for name, call := range calls {
		if err := call(); !fault.Is(err, authz.NotGranted) {
			t.Errorf("%s without a grant: %v", name, err)
		}
	}
}

func TestBodyErrorsComeBackUnchangedAndStoreNothing(t *testing.T) {
	f := newFixture(t)
	f.bucket("photos", Unversioned)
	torn := errors.New("connection torn")
	for _, n := range []int{100, DefaultInlineMax * 2, 4 * chunkSize} {
		body := io.MultiReader(bytes.NewReader(pattern(1, n/2)), failingReader{torn})
		_, err := f.tryPut(&PutInput{Bucket: "photos", Key: "k", Body: body, Size: int64(n)})
		if err != torn {
			t.Errorf("%d bytes: error %v", n, err)
		}
		for _, announced := range []int{n - 1, n + 1} {
			_, err = f.tryPut(&PutInput{Bucket: "photos", Key: "k", Body: bytes.NewReader(pattern(1, n)), Size: int64(announced)})
			f.want(err, IncompleteBody)
		}
		_, err = f.tryPut(&PutInput{Bucket: "photos", Key: "k", Body: bytes.NewReader(pattern(1, n)), Size: int64(n), Expect: Expected{MD5: make([]byte, 16)}})
		f.want(err, BadMD5)
		wrong := Expected{Algorithm: SHA256, Value: func() ([]byte, error) { return make([]byte, 32), nil }}
		_, err = f.tryPut(&PutInput{Bucket: "photos", Key: "k", Body: bytes.NewReader(pattern(1, n)), Size: int64(n), Expect: wrong})
		f.want(err, BadChecksum)
		_, err = f.tryPut(&PutInput{Bucket: "photos", Key: "k", Body: bytes.NewReader(pattern(1, n)), Size: -1, MaxSize: int64(n - 1)})
		f.want(err, EntityTooLarge)
	}
	_, err := f.tryPut(&PutInput{Bucket: "photos", Key: "k", Body: bytes.NewReader(nil), Size: MaxSingle + 1})
	f.want(err, EntityTooLarge)
	f.settle()
	if f.rows(spaceHead)+f.rows(spaceBody)+f.rows(spaceIntent)+f.blobs() != 0 {
		t.Errorf("left: %d heads, %d bodies, %d intents, %d blobs", f.rows(spaceHead), f.rows(spaceBody), f.rows(spaceIntent), f.blobs())
	}
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

// check runs the doctor, which must find nothing wrong.
func (f *fixture) check() Summary {
	f.t.Helper()
	sum, err := f.store.Check(f.t.Context(), func(p Problem) { f.t.Errorf("doctor: %s: %s", p.Where, p.What) })
	if err != nil {
		f.t.Fatal(err)
	}
	return sum
}
