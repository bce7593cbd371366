//lint:file-ignore SA1019 most programs still use the upload and download manager, and Kura serves them.

package acceptance

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/s3/manager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/minio/minio-go/v7"
	miniocredentials "github.com/minio/minio-go/v7/pkg/credentials"
)

// trusting is a transport that trusts the server's local CA and nothing else.
func (s *server) trusting(t *testing.T) *http.Transport {
	t.Helper()
	b, err := os.ReadFile(s.client["AWS_CA_BUNDLE"])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(b) {
		t.Fatal("AWS_CA_BUNDLE holds no certificate")
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// s3 is the AWS SDK as the administrator.
func (s *server) s3(t *testing.T, endpoint string) *s3.Client {
	t.Helper()
	return s3.New(s3.Options{
		BaseEndpoint: aws.String(endpoint), Region: s.client["AWS_REGION"], UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(s.client["AWS_ACCESS_KEY_ID"], s.client["AWS_SECRET_ACCESS_KEY"], ""),
		HTTPClient:  &http.Client{Transport: s.trusting(t)},
	})
}

func randomBytes(seed uint64, n int) []byte {
	b := make([]byte, n)
	var key [32]byte
	key[0] = byte(seed)
	if _, err := rand.NewChaCha8(key).Read(b); err != nil {
		panic(err) // it never fails
	}
	return b
}

func codeOf(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return ""
}

func TestAWSSDK(t *testing.T) {
	s := serve(t)
	ctx := context.Background()
	for name, endpoint := range map[string]string{"plain": s.plain, "tls": s.secure} {
		t.Run(name, func(t *testing.T) {
			c := s.s3(t, endpoint)
			bucket := aws.String("sdk-" + name)
			if _, err := c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: bucket}); err != nil {
				t.Fatal(err)
			}
			body := randomBytes(1, 20<<20+1)
			up := manager.NewUploader(c, func(u *manager.Uploader) { u.PartSize = 5 << 20 })
			if _, err := up.Upload(ctx, &s3.PutObjectInput{Bucket: bucket, Key: aws.String("big"), Body: bytes.NewReader(body), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32c}); err != nil {
				t.Fatal(err)
			}
			got := manager.NewWriteAtBuffer(nil)
			if _, err := manager.NewDownloader(c).Download(ctx, got, &s3.GetObjectInput{Bucket: bucket, Key: aws.String("big")}); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), body) {
				t.Error("other bytes came back")
			}
			// A stream of unknown length goes with a trailing checksum over TLS.
			if _, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: aws.String("a//b/../c"), Body: strings.NewReader("hello"), ChecksumAlgorithm: types.ChecksumAlgorithmSha256}); err != nil {
				t.Fatal(err)
			}
			o, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: aws.String("a//b/../c"), ChecksumMode: types.ChecksumModeEnabled})
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(o.Body)
			if err != nil || string(b) != "hello" || aws.ToString(o.ChecksumSHA256) == "" {
				t.Errorf("%q %v %v", b, aws.ToString(o.ChecksumSHA256), err)
			}
			_, err = c.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: aws.String("none")})
			if codeOf(err) != "NoSuchKey" {
				t.Errorf("a missing key: %v", err)
			}
			_, err = c.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: aws.String("big"), Body: strings.NewReader("x"), IfNoneMatch: aws.String("*")})
			if codeOf(err) != "PreconditionFailed" {
				t.Errorf("If-None-Match: %v", err)
			}
		})
	}
}

func TestMinIOClient(t *testing.T) {
	s := serve(t)
	ctx := context.Background()
	c, err := minio.New(strings.TrimPrefix(s.secure, "https://"), &minio.Options{
		Creds:  miniocredentials.NewStaticV4(s.client["AWS_ACCESS_KEY_ID"], s.client["AWS_SECRET_ACCESS_KEY"], ""),
		Secure: true, Transport: s.trusting(t), Region: "us-east-1",
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.MakeBucket(ctx, "mc", minio.MakeBucketOptions{}); err == nil {
		t.Error("a bucket name of two letters was accepted")
	}
	if err := c.MakeBucket(ctx, "minio-client", minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	body := randomBytes(2, 17<<20)
	// Of unknown size: the client streams parts.
	if _, err := c.PutObject(ctx, "minio-client", "stream", io.MultiReader(bytes.NewReader(body)), -1, minio.PutObjectOptions{PartSize: 5 << 20, UserMetadata: map[string]string{"Mood": "good"}}); err != nil {
		t.Fatal(err)
	}
	o, err := c.GetObject(ctx, "minio-client", "stream", minio.GetObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(o)
	if err != nil || !bytes.Equal(got, body) {
		t.Errorf("other bytes came back: %d, %v", len(got), err)
	}
	info, err := c.StatObject(ctx, "minio-client", "stream", minio.StatObjectOptions{})
	if err != nil || info.Size != int64(len(body)) || info.UserMetadata["Mood"] != "good" {
		t.Errorf("%+v %v", info, err)
	}
	n := 0
	for entry := range c.ListObjects(ctx, "minio-client", minio.ListObjectsOptions{Recursive: true}) {
		if entry.Err != nil {
			t.Fatal(entry.Err)
		}
		n++
	}
	if n != 1 {
		t.Errorf("%d objects are listed", n)
	}
	if err := c.RemoveObject(ctx, "minio-client", "stream", minio.RemoveObjectOptions{}); err != nil {
		t.Error(err)
	}
	if err := c.RemoveBucket(ctx, "minio-client"); err != nil {
		t.Error(err)
	}
}

func TestVirtualHostBuckets(t *testing.T) {
	s := serve(t, "--domain", "s3.test")
	c := s.s3(t, s.plain)
	ctx := context.Background()
	if _, err := c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("hosted")}); err != nil {
		t.Fatal(err)
	}
	// The name resolves nowhere: the transport dials the server whatever the host.
	tr := &http.Transport{DialContext: dialOnly(strings.TrimPrefix(s.plain, "http://"))}
	defer tr.CloseIdleConnections()
	virtual := s3.New(s3.Options{
		BaseEndpoint: aws.String("http://s3.test"), Region: "us-east-1",
		Credentials: c.Options().Credentials, HTTPClient: &http.Client{Transport: tr},
	})
	for _, key := range []string{"k", "-/live", "hosted/k"} {
		if _, err := virtual.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("hosted"), Key: aws.String(key), Body: strings.NewReader(key)}); err != nil {
			t.Fatal(err)
		}
		o, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("hosted"), Key: aws.String(key)})
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(o.Body); err != nil || string(b) != key {
			t.Errorf("%s: %q %v", key, b, err)
		}
	}
}
