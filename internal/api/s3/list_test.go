package s3

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/api/wire/s3wire"
	"github.com/kura-s3/kura/internal/object"
)

// TestListingMatchesGeneratedEncoder holds the hand-written page to the bytes of the model's encoder.
func TestListingMatchesGeneratedEncoder(t *testing.T) {
	when := time.Date(2026, 11, 22, 1, 2, 3, 0, time.UTC)
	until, done := time.Now().Add(time.Hour).Truncate(time.Second).UTC(), false
	sum := object.Checksum{Algorithm: object.CRC32C, Value: []byte{1, 2, 3, 4}}
	infos := []object.Info{
		{Key: "a&b<c>", Size: 7, ETag: "0123", Modified: when, Owner: object.Owner{Canonical: "abc"}, Checksum: sum},
		{Key: "日本 +/x", Size: 1 << 40, ETag: "4567-3", Modified: when, Owner: object.Owner{Canonical: "abc"},
			Checksum: object.Checksum{Algorithm: object.SHA256, Composite: true, Value: []byte{1}}, Attributes: object.Attributes{StorageClass: "GLACIER"}, Restored: until},
	}
	for _, url := range []bool{false, true} {
		in := &listInput{v2: true, startAfter: "q r", hasToken: true, token: "1Zm9v", fetchOwner: true, url: url, restores: true,
			ListInput: object.ListInput{Bucket: "bucket", Prefix: "p/", Delimiter: "/", Max: 2}}
		page := &object.ListPage{Objects: infos, Prefixes: []string{"p/ä/"}, Truncated: true, Next: "p/ä/"}
		got := respond(t, &listOutput{in, page})

		keys, maximum := int32(3), int32(2)
		truncated, token := true, encodeToken("p/ä/")
		out := &s3wire.ListObjectsV2Output{
			Name: &in.Bucket, Prefix: shownKey(in.Prefix, url), StartAfter: shownKey(in.startAfter, url), ContinuationToken: &in.token,
			NextContinuationToken: &token, KeyCount: &keys, MaxKeys: &maximum, Delimiter: shownKey("/", url), IsTruncated: &truncated,
			CommonPrefixes: wirePrefixes(page.Prefixes, url),
		}
		if url {
			out.EncodingType = "url"
		}
		for i := range infos {
			o, etag := &infos[i], quote(infos[i].ETag)
			out.Contents = append(out.Contents, s3wire.Object{
				Key: shownKey(o.Key, url), LastModified: &when, ETag: &etag, Size: &o.Size,
				ChecksumAlgorithm: []s3wire.ChecksumAlgorithm{s3wire.ChecksumAlgorithm(o.Checksum.Algorithm.String())},
				ChecksumType:      s3wire.ChecksumType(checksumType(o.Checksum)),
				Owner:             &s3wire.Owner{ID: &o.Owner.Canonical}, StorageClass: s3wire.ObjectStorageClass(storageClass(o)),
			})
		}
		out.Contents[1].RestoreStatus = &s3wire.RestoreStatus{IsRestoreInProgress: &done, RestoreExpiryDate: &until}
		want, err := wire.Encode(&s3wire.ListObjectsV2, out, http.Header{})
		if err != nil {
			t.Fatal(err)
		}
		if a, b := elements(got), elements(want); !bytes.Equal(a, b) {
			t.Errorf("url=%v\n got %s\nwant %s", url, a, b)
		}
	}
}

// elements sorts nothing but the top level's scalars, whose order the model does not fix: it cuts
// the document at tags and gives them in a canonical order of lines.
func elements(doc []byte) []byte {
	lines := bytes.Split(bytes.ReplaceAll(doc, []byte("><"), []byte(">\n<")), []byte("\n"))
	sortLines(lines)
	return bytes.Join(lines, []byte("\n"))
}

func sortLines(lines [][]byte) {
	for i := 1; i < len(lines); i++ {
		for j := i; j > 0 && bytes.Compare(lines[j-1], lines[j]) > 0; j-- {
			lines[j-1], lines[j] = lines[j], lines[j-1]
		}
	}
}

// respond gives the body that an output writes.
func respond(t testing.TB, out api.Responder) []byte {
	t.Helper()
	w := httptest.NewRecorder()
	if err := out.Respond(api.NewCall(w, httptest.NewRequest(http.MethodGet, "/", nil))); err != nil {
		t.Fatal(err)
	}
	return w.Body.Bytes()
}

func BenchmarkListPage(b *testing.B) {
	when := time.Now()
	page := &object.ListPage{Objects: make([]object.Info, 1000)}
	for i := range page.Objects {
		page.Objects[i] = object.Info{Key: "some/prefix/object-0000001", Size: 4096, ETag: "d41d8cd98f00b204e9800998ecf8427e", Modified: when,
			Checksum: object.Checksum{Algorithm: object.CRC64NVME, Value: make([]byte, 8)}}
	}
	out := &listOutput{&listInput{v2: true, url: true}, page}
	b.ReportAllocs()
	for b.Loop() {
		respond(b, out)
	}
}
