package object

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/fault"
)

func (f *fixture) upload(in UploadInput) string {
	f.t.Helper()
	in.Owner = alice
	up, err := f.store.CreateUpload(f.t.Context(), f.grant, &in)
	if err != nil {
		f.t.Fatal(err)
	}
	return up.UploadID
}

func (f *fixture) part(bucket, key, id string, number int, data []byte) Part {
	f.t.Helper()
	p, err := f.store.PutPart(f.t.Context(), f.grant, &PartInput{Bucket: bucket, Key: key, UploadID: id, Number: number, Body: bytes.NewReader(data), Size: int64(len(data))})
	if err != nil {
		f.t.Fatal(err)
	}
	return *p
}

func (f *fixture) complete(bucket, key, id string, parts ...Part) (*Info, error) {
	return f.store.CompleteUpload(f.t.Context(), f.grant, &CompleteInput{Bucket: bucket, Key: key, UploadID: id, Parts: parts})
}

func TestMultipart(t *testing.T) {
	f := newFixture(t)
	f.bucket("videos", Unversioned)
	id := f.upload(UploadInput{Bucket: "videos", Key: "k", Attributes: Attributes{ContentType: "video/mp4"}, Tags: []Tag{{"a", "b"}}})
	pieces := map[int][]byte{1: pattern(1, MinPart), 3: pattern(3, MinPart+777), 7: pattern(7, 1000)}
	f.part("videos", "k", id, 3, pattern(9, 2<<20)) // replaced below
	f.part("videos", "k", id, 5, pattern(5, 2<<20)) // not used
	f.part("videos", "k", id, 6, []byte("small and not used"))
	var parts []Part
	var whole, sums []byte
	for _, n := range []int{1, 3, 7} {
		p := f.part("videos", "k", id, n, pieces[n])
		if p.ETag != md5Hex(pieces[n]) || p.Size != int64(len(pieces[n])) {
			t.Errorf("part %d: %+v", n, p)
		}
		parts = append(parts, p)
		whole = append(whole, pieces[n]...)
		sum := md5.Sum(pieces[n])
		sums = append(sums, sum[:]...)
	}
	page, err := f.store.ListParts(t.Context(), f.grant, nil, "videos", "k", id, 1, 2)
	if err != nil || len(page.Parts) != 2 || page.Parts[0].Number != 3 || page.Parts[0].ETag != md5Hex(pieces[3]) || !page.Truncated || page.Next != 5 {
		t.Errorf("parts %+v, %v", page, err)
	}
	for range 2 { // the second time is a client that did not hear the first answer
		info, err := f.complete("videos", "k", id, parts...)
		if err != nil {
			t.Fatal(err)
		}
		total := md5.Sum(sums)
		if want := hex.EncodeToString(total[:]) + "-3"; info.ETag != want || info.Size != int64(len(whole)) || info.Parts != 3 {
			t.Errorf("completed %+v, want ETag %s", info, want)
		}
		if !bytes.Equal(info.Checksum.Value, CRC64NVME.sum(whole)) || info.Checksum.Composite {
			t.Errorf("checksum %+v, want that of the bytes", info.Checksum)
		}
	}
	if _, err := f.store.Upload(t.Context(), f.grant, "videos", "k", id); !fault.Is(err, NoSuchUpload) {
		t.Errorf("a finished upload: %v", err)
	}
	o, data, err := f.get(&GetInput{Bucket: "videos", Key: "k"})
	if err != nil || !bytes.Equal(data, whole) || o.Attributes.ContentType != "video/mp4" || len(o.Tags) != 1 {
		t.Fatalf("got %d bytes, %+v, %v", len(data), o, err)
	}
	testRanges(f, "videos", "k", whole)
	at := int64(0)
	for _, n := range []int{1, 3, 7} {
		o, data, err := f.get(&GetInput{Bucket: "videos", Key: "k", PartNumber: n})
		if err != nil || !bytes.Equal(data, pieces[n]) || o.Offset != at || !o.Partial {
			t.Errorf("part %d: %+v, %v", n, o, err)
		}
		at += int64(len(pieces[n]))
	}
	for _, n := range []int{-1, 2, 8, 10001} {
		_, err := f.store.Stat(t.Context(), f.grant, &GetInput{Bucket: "videos", Key: "k", PartNumber: n})
		f.want(err, InvalidPartNumber)
	}
	got, truncated, err := f.store.Parts(t.Context(), f.grant, &GetInput{Bucket: "videos", Key: "k"}, 1, 1)
	if err != nil || !truncated || len(got) != 1 || got[0].Number != 3 {
		t.Errorf("parts %+v %v %v", got, truncated, err)
	}
	f.settle()
	if n := f.blobs(); n != 2 {
		t.Errorf("%d blobs, want those of parts 1 and 3", n)
	}
	f.check()
	f.put("videos", "k", nil)
	f.settle()
	if n := f.blobs() + f.rows(spaceBody) + f.rows(spaceManifest) + f.rows(spacePart); n != 0 {
		t.Errorf("%d things are left of an overwritten object", n)
	}
}

func testRanges(f *fixture, bucket, key string, whole []byte) {
	f.t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		first := random.Int64N(int64(len(whole)))
		last := first + random.Int64N(int64(len(whole)))
		o, data, err := f.get(&GetInput{Bucket: bucket, Key: key, Range: &Range{First: first, Last: last}})
		want := whole[first:min(last+1, int64(len(whole)))]
		if err != nil || !bytes.Equal(data, want) || o.Offset != first || o.Length != int64(len(want)) || !o.Partial {
			f.t.Fatalf("bytes %d-%d: %d bytes, %v", first, last, len(data), err)
		}
		o, err = f.store.Get(f.t.Context(), f.grant, &GetInput{Bucket: bucket, Key: key, Range: &Range{Suffix: last + 1}})
		if err != nil {
			f.t.Fatal(err)
		}
		var buf bytes.Buffer
		if _, err := io.Copy(&buf, o.Body); err != nil { // through WriteTo
			f.t.Fatal(err)
		}
		o.Body.Close()
		if n := min(last+1, int64(len(whole))); !bytes.Equal(buf.Bytes(), whole[int64(len(whole))-n:]) {
			f.t.Fatalf("last %d bytes: got %d", last+1, buf.Len())
		}
	}
}

func TestRanges(t *testing.T) {
	f := newFixture(t)
	f.bucket("b-1", Unversioned)
	for _, n := range []int{1, 5000, 300_001} {
		f.put("b-1", "k", pattern(1, n))
		testRanges(f, "b-1", "k", pattern(1, n))
		for _, r := range []Range{{First: int64(n), Last: -1}, {First: -1}, {First: 5, Last: 4}} {
			r.Header = "bytes=x"
			_, err := f.store.Get(t.Context(), f.grant, &GetInput{Bucket: "b-1", Key: "k", Range: &r})
			f.want(err, InvalidRange)
		}
	}
	f.put("b-1", "k", nil)
	_, err := f.store.Get(t.Context(), f.grant, &GetInput{Bucket: "b-1", Key: "k", Range: &Range{Suffix: 1}})
	f.want(err, InvalidRange)
	_, err = f.store.Get(t.Context(), f.grant, &GetInput{Bucket: "b-1", Key: "k", Range: &Range{Last: -1}, PartNumber: 1})
	f.want(err, InvalidRequest)
}

func TestCompleteRefuses(t *testing.T) {
	f := newFixture(t)
	f.bucket("videos", Unversioned)
	id := f.upload(UploadInput{Bucket: "videos", Key: "k"})
	one := f.part("videos", "k", id, 1, pattern(1, 100))
	two := f.part("videos", "k", id, 2, pattern(2, 100))
	wrong := one
	wrong.ETag = two.ETag
	damagedSum := one
	damagedSum.Checksum = Checksum{Algorithm: CRC64NVME, Value: make([]byte, 8)}
	size := int64(99)
	for name, c := range map[string]struct {
		in   CompleteInput
		want fault.Kind
	}{
		"no parts":         {CompleteInput{}, InvalidRequest},
		"order":            {CompleteInput{Parts: []Part{two, one}}, InvalidPartOrder},
		"twice":            {CompleteInput{Parts: []Part{one, one}}, InvalidPartOrder},
		"missing":          {CompleteInput{Parts: []Part{one, {Number: 3, ETag: one.ETag}}}, InvalidPart},
		"etag":             {CompleteInput{Parts: []Part{wrong}}, InvalidPart},
		"part checksum":    {CompleteInput{Parts: []Part{damagedSum}}, InvalidPart},
		"small":            {CompleteInput{Parts: []Part{one, two}}, EntityTooSmall},
		"size":             {CompleteInput{Parts: []Part{one}, Size: &size}, InvalidRequest},
		"whole checksum":   {CompleteInput{Parts: []Part{one}, Expect: &Checksum{Algorithm: CRC64NVME, Value: make([]byte, 8)}}, BadChecksum},
		"type of checksum": {CompleteInput{Parts: []Part{one}, Expect: &Checksum{Algorithm: CRC32, Composite: true}}, InvalidRequest},
		"if-match":         {CompleteInput{Parts: []Part{one}, If: Precondition{IfMatch: "x"}}, NoSuchKey},
		"other key":        {CompleteInput{Key: "other", Parts: []Part{one}}, NoSuchUpload},
		"other upload":     {CompleteInput{UploadID: strings.Repeat("0", 32), Parts: []Part{one}}, NoSuchUpload},
		"malformed upload": {CompleteInput{UploadID: "x", Parts: []Part{one}}, NoSuchUpload},
	} {
		c.in.Bucket = "videos"
		if c.in.Key == "" {
			c.in.Key = "k"
		}
		if c.in.UploadID == "" {
			c.in.UploadID = id
		}
		if _, err := f.store.CompleteUpload(t.Context(), f.grant, &c.in); !fault.Is(err, c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	if _, err := f.complete("videos", "k", id, one); err != nil {
		t.Errorf("after all that: %v", err)
	}
	_, err := f.store.PutPart(t.Context(), f.grant, &PartInput{Bucket: "videos", Key: "k", UploadID: id, Number: 1, Body: bytes.NewReader(nil)})
	f.want(err, NoSuchUpload)
	for _, n := range []int{0, -1, 10001} {
		_, err := f.store.PutPart(t.Context(), f.grant, &PartInput{Bucket: "videos", Key: "k", UploadID: id, Number: n})
		f.want(err, InvalidRequest)
	}
}

func TestMultipartChecksums(t *testing.T) {
	f := newFixture(t)
	f.bucket("videos", Unversioned)
	a, b := pattern(1, MinPart), pattern(2, 12345)
	for _, c := range []struct {
		algorithm Algorithm
		full      bool
		want      Checksum
	}{
		{CRC32, false, Checksum{CRC32, true, CRC32.sum(append(CRC32.sum(a), CRC32.sum(b)...))}},
		{SHA256, false, Checksum{SHA256, true, SHA256.sum(append(SHA256.sum(a), SHA256.sum(b)...))}},
		{SHA1, false, Checksum{SHA1, true, SHA1.sum(append(SHA1.sum(a), SHA1.sum(b)...))}},
		{CRC32, true, Checksum{CRC32, false, CRC32.sum(slices.Concat(a, b))}},
		{CRC32C, true, Checksum{CRC32C, false, CRC32C.sum(slices.Concat(a, b))}},
		{CRC64NVME, false, Checksum{CRC64NVME, false, CRC64NVME.sum(slices.Concat(a, b))}},
	} {
		id := f.upload(UploadInput{Bucket: "videos", Key: "k", Checksum: c.algorithm, FullObject: c.full})
		parts := []Part{f.part("videos", "k", id, 1, a), f.part("videos", "k", id, 2, b)}
		if !bytes.Equal(parts[0].Checksum.Value, c.algorithm.sum(a)) {
			t.Errorf("%v: part %+v", c.algorithm, parts[0])
		}
		bare := []Part{{Number: 1, ETag: parts[0].ETag}, {Number: 2, ETag: parts[1].ETag}}
		if c.want.Composite {
			_, err := f.complete("videos", "k", id, bare...)
			f.want(err, InvalidRequest)
		}
		_, err := f.store.PutPart(t.Context(), f.grant, &PartInput{Bucket: "videos", Key: "k", UploadID: id, Number: 1, Body: bytes.NewReader(a), Size: MinPart,
			Expect: Expected{Algorithm: 1 + c.algorithm%SHA256}})
		f.want(err, InvalidRequest)
		info, err := f.store.CompleteUpload(t.Context(), f.grant, &CompleteInput{Bucket: "videos", Key: "k", UploadID: id, Parts: parts, Expect: &c.want})
		if err != nil || info.Checksum.Composite != c.want.Composite || !bytes.Equal(info.Checksum.Value, c.want.Value) {
			t.Errorf("%v full=%v: %+v, %v", c.algorithm, c.full, info, err)
		}
	}
	for _, a := range []Algorithm{SHA1, SHA256, SHA256 + 1} {
		_, err := f.store.CreateUpload(t.Context(), f.grant, &UploadInput{Bucket: "videos", Key: "k", Checksum: a, FullObject: true})
		f.want(err, InvalidRequest)
	}
}

func TestAbortGivesSpaceBack(t *testing.T) {
	f := newFixture(t)
	f.bucket("videos", Unversioned)
	id := f.upload(UploadInput{Bucket: "videos", Key: "k"})
	for n := range 100 {
		f.part("videos", "k", id, n+1, pattern(byte(n), 1000+n%2*DefaultInlineMax))
	}
	f.check()
	if err := f.store.AbortUpload(t.Context(), f.grant, "videos", "k", id); err != nil {
		t.Fatal(err)
	}
	f.want(f.store.AbortUpload(t.Context(), f.grant, "videos", "k", id), NoSuchUpload)
	f.settle()
	if n := f.rows(spacePart) + f.rows(spaceBody) + f.blobs(); n != 0 {
		t.Errorf("%d things are left", n)
	}
}

func TestDeletedBucketGivesUpItsUploads(t *testing.T) {
	f := newFixture(t)
	f.bucket("videos", Unversioned)
	id := f.upload(UploadInput{Bucket: "videos", Key: "k"})
	f.part("videos", "k", id, 1, pattern(1, 100_000))
	f.upload(UploadInput{Bucket: "videos", Key: "l"})
	if err := f.store.DeleteBucket(t.Context(), f.grant, "videos"); err != nil {
		t.Fatal(err)
	}
	f.bucket("videos", Unversioned)
	_, err := f.complete("videos", "k", id, Part{Number: 1})
	f.want(err, NoSuchUpload)
	f.settle()
	if n := f.rows(spaceUpload) + f.rows(spacePart) + f.blobs(); n != 0 {
		t.Errorf("%d things are left", n)
	}
}

func TestListUploads(t *testing.T) {
	f := newFixture(t)
	f.bucket("videos", Unversioned)
	var want []string
	for _, key := range []string{"a", "a\x00", "a/x", "a/y", "b"} {
		for range 2 {
			want = append(want, fmt.Sprintf("%q %s", key, f.upload(UploadInput{Bucket: "videos", Key: key, Initiator: Initiator{ID: "i"}})))
		}
	}
	for size := 1; size < 12; size++ {
		in := &ListUploadsInput{Bucket: "videos", Max: size}
		var got []string
		for {
			page, err := f.store.ListUploads(t.Context(), f.grant, in)
			if err != nil {
				t.Fatal(err)
			}
			for _, u := range page.Uploads {
				got = append(got, fmt.Sprintf("%q %s", u.Key, u.UploadID))
			}
			if !page.Truncated {
				break
			}
			in.KeyMarker, in.UploadIDMarker = page.NextKeyMarker, page.NextUploadIDMarker
		}
		if !slices.Equal(got, want) {
			t.Fatalf("pages of %d: %q, want %q", size, got, want)
		}
	}
	page, err := f.store.ListUploads(t.Context(), f.grant, &ListUploadsInput{Bucket: "videos", Delimiter: "/", KeyMarker: "a\x00", Max: 2})
	if err != nil || len(page.Prefixes) != 1 || page.Prefixes[0] != "a/" || len(page.Uploads) != 1 || page.Uploads[0].Key != "b" || !page.Truncated {
		t.Errorf("page %+v, %v", page, err)
	}
}

// TestTenThousandParts completes the largest number of parts that S3 knows. The parts' sizes are
// claimed, since 50 GB would take long; what is checked is the work that grows with their number.
func TestTenThousandParts(t *testing.T) {
	f := newFixture(t)
	b := f.bucket("videos", Unversioned)
	id := f.upload(UploadInput{Bucket: "videos", Key: "k"})
	number, _, err := parseUploadID(id)
	if err != nil {
		t.Fatal(err)
	}
	small := f.part("videos", "k", id, 1, pattern(1, 10))
	tx := f.store.begin()
	raw, err := tx.get(t.Context(), partKey(number, 1))
	if err != nil {
		t.Fatal(err)
	}
	sample, _, err := decodePart(raw)
	if err != nil {
		t.Fatal(err)
	}
	tx = f.store.begin()
	var parts []Part
	for n := 1; n <= MaxPartNumber; n++ {
		p := sample
		p.number, p.size = n, MinPart
		p.body.id += uint64(n)
		tx.set(partKey(number, n), encodePart(&p, b.ID))
		parts = append(parts, Part{Number: n, ETag: small.ETag})
	}
	if err := tx.commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	info, err := f.complete("videos", "k", id, parts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("completed in %v", time.Since(begin))
	if info.Size != MaxPartNumber*MinPart || info.Parts != MaxPartNumber || f.rows(spacePart) != 0 {
		t.Errorf("completed %+v, %d parts left", info, f.rows(spacePart))
	}
	if n := f.rows(spaceManifest); n != (MaxPartNumber+partsPerPage-1)/partsPerPage {
		t.Errorf("%d pages", n)
	}
	o, err := f.store.Stat(t.Context(), f.grant, &GetInput{Bucket: "videos", Key: "k", PartNumber: 9999})
	if err != nil || o.Offset != 9998*MinPart || o.Length != MinPart {
		t.Errorf("part 9999: %+v, %v", o, err)
	}
	f.store.Delete(t.Context(), f.grant, &DeleteInput{Bucket: "videos", Key: "k"})
	f.settle()
	if n := f.rows(spaceManifest); n != 0 {
		t.Errorf("%d pages are left", n)
	}
}

func TestPartAndObjectCopies(t *testing.T) {
	f := newFixture(t)
	f.bucket("videos", VersioningEnabled)
	data := pattern(1, MinPart+3)
	f.put("videos", "source", data)
	id := f.upload(UploadInput{Bucket: "videos", Key: "k"})
	part, err := f.store.PutPart(t.Context(), f.grant, &PartInput{Bucket: "videos", Key: "k", UploadID: id, Number: 2,
		Source: &GetInput{Bucket: "videos", Key: "source", Range: &Range{First: 3, Last: -1}}})
	if err != nil || part.ETag != md5Hex(data[3:]) {
		t.Fatalf("part %+v, %v", part, err)
	}
	if _, err := f.complete("videos", "k", id, *part); err != nil {
		t.Fatal(err)
	}
	stop := fault.New(PreconditionFailed, "")
	_, _, err = f.store.Copy(t.Context(), f.grant, &CopyInput{Source: GetInput{Bucket: "videos", Key: "k"}, Dest: PutInput{Bucket: "videos", Key: "c"}, Check: func(*Info) error { return stop }})
	if err != stop {
		t.Errorf("refused copy: %v", err)
	}
	made, source, err := f.store.Copy(t.Context(), f.grant, &CopyInput{
		Source: GetInput{Bucket: "videos", Key: "k"},
		Dest:   PutInput{Bucket: "videos", Key: "c", Owner: bob, Attributes: Attributes{ContentType: "ignored"}, Tags: []Tag{{"new", "1"}}}, ReplaceTags: true,
	})
	if err != nil || made.ETag != md5Hex(data[3:]) || source.ETag == made.ETag || made.Owner != bob || made.Attributes.ContentType != "" || len(made.Tags) != 1 {
		t.Fatalf("copied %+v from %+v, %v", made, source, err)
	}
	if !bytes.Equal(f.mustGet("videos", "c"), data[3:]) {
		t.Error("the copy has other bytes")
	}
	gone, err := f.store.Delete(t.Context(), f.grant, &DeleteInput{Bucket: "videos", Key: "c"})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = f.store.Copy(t.Context(), f.grant, &CopyInput{Source: GetInput{Bucket: "videos", Key: "c", VersionID: gone.VersionID}, Dest: PutInput{Bucket: "videos", Key: "d"}})
	f.want(err, InvalidRequest)
	f.settle()
	f.check()
}
