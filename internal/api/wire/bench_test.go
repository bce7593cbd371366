package wire_test

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/api/wire/s3wire"
)

// page is an answer with n keys.
func page(n int) *s3wire.ListObjectsV2Output {
	out := &s3wire.ListObjectsV2Output{Contents: make([]s3wire.Object, n)}
	etag := `"d41d8cd98f00b204e9800998ecf8427e"`
	at := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	size := int64(123456)
	for i := range out.Contents {
		key := fmt.Sprintf("photos/2024/05/06/image-%06d.jpeg", i)
		out.Contents[i] = s3wire.Object{
			Key: &key, ETag: &etag, LastModified: &at, Size: &size,
			ChecksumAlgorithm: []s3wire.ChecksumAlgorithm{s3wire.ChecksumAlgorithmCrc64nvme},
			ChecksumType:      s3wire.ChecksumTypeFullObject,
			StorageClass:      s3wire.ObjectStorageClassStandard,
		}
	}
	return out
}

func BenchmarkEncodeListObjectsV2(b *testing.B) {
	out := page(1000)
	b.ReportAllocs()
	for b.Loop() {
		body, err := wire.Encode(&s3wire.ListObjectsV2, out, http.Header{})
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(body)))
	}
}

func BenchmarkDecodeDeleteObjects(b *testing.B) {
	body := []byte("<Delete>")
	for i := range 1000 {
		body = fmt.Appendf(body, "<Object><Key>photos/2024/05/06/image-%06d.jpeg</Key></Object>", i)
	}
	body = append(body, "<Quiet>true</Quiet></Delete>"...)
	req := bucketRequest(string(body))
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		var in s3wire.DeleteObjectsInput
		if err := wire.Decode(&s3wire.DeleteObjects, req, &in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodePutObjectHeaders(b *testing.B) {
	req := bucketRequest("")
	req.Header.Set("Content-Type", "text/plain")
	req.Header.Set("X-Amz-Meta-Owner", "me")
	req.Header.Set("X-Amz-Checksum-Crc32c", "AAAAAA==")
	b.ReportAllocs()
	for b.Loop() {
		var in s3wire.PutObjectInput
		if err := wire.Decode(&s3wire.PutObject, req, &in); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEncodingXML is the yardstick: the standard library on the same page.
func BenchmarkEncodingXML(b *testing.B) {
	type object struct {
		Key               string
		LastModified      time.Time
		ETag              string
		ChecksumAlgorithm string
		ChecksumType      string
		Size              int64
		StorageClass      string
	}
	var list struct {
		XMLName  xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListBucketResult"`
		Contents []object
	}
	for _, o := range page(1000).Contents {
		list.Contents = append(list.Contents, object{*o.Key, *o.LastModified, *o.ETag, "CRC64NVME", "FULL_OBJECT", *o.Size, "STANDARD"})
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := xml.Marshal(&list); err != nil {
			b.Fatal(err)
		}
	}
}
