package main

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/authn"
)

// s3Client sends the few S3 requests that commands need, signed with the environment's credentials.
type s3Client struct {
	endpoint *url.URL
	signing  authn.Signing
	client   *http.Client
}

func newS3Client(env map[string]string, endpoint string) (*s3Client, error) {
	if endpoint == "" {
		endpoint = env["AWS_ENDPOINT_URL"]
	}
	c := &s3Client{signing: authn.Signing{
		AccessKeyID: env["AWS_ACCESS_KEY_ID"], Secret: env["AWS_SECRET_ACCESS_KEY"], SessionToken: env["AWS_SESSION_TOKEN"],
		Region: env["AWS_REGION"], Service: "s3",
	}}
	if endpoint == "" || c.signing.AccessKeyID == "" || c.signing.Secret == "" {
		return nil, errUsage{errors.New("set AWS_ENDPOINT_URL (or --endpoint), AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; `source DIR/client.env` does")}
	}
	if c.signing.Region == "" {
		c.signing.Region = "us-east-1"
	}
	var err error
	if c.endpoint, err = url.Parse(endpoint); err != nil || c.endpoint.Host == "" {
		return nil, errUsage{fmt.Errorf("%q is not an endpoint, such as http://127.0.0.1:9000", endpoint)}
	}
	c.client, err = clientTrusting(env["AWS_CA_BUNDLE"])
	return c, err
}

// s3Error is what S3 says of a request that it refused.
type s3Error struct {
	Status  int
	Code    string
	Message string
}

func (e *s3Error) Error() string {
	if e.Code == "" {
		return http.StatusText(e.Status)
	}
	return e.Code + ": " + e.Message
}

const (
	maxS3Answer  = 16 << 20
	s3Tries      = 4
	s3Patience   = 15 * time.Minute // a copy of 5 GiB
	s3RetryPause = 200 * time.Millisecond
)

// do sends a request without a body and gives the answer's headers and document. What the server is too
// busy for is asked again.
func (c *s3Client) do(ctx context.Context, method, bucket, key string, query url.Values, headers map[string]string) (http.Header, []byte, error) {
	for try := 1; ; try++ {
		h, body, err := c.once(ctx, method, bucket, key, query, headers)
		var refused *s3Error
		busy := errors.As(err, &refused) && (refused.Status == http.StatusServiceUnavailable || refused.Code == "OperationAborted")
		if !busy || try == s3Tries {
			return h, body, err
		}
		select {
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		case <-time.After(time.Duration(try) * s3RetryPause):
		}
	}
}

func (c *s3Client) once(ctx context.Context, method, bucket, key string, query url.Values, headers map[string]string) (http.Header, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, s3Patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, c.endpoint.String(), nil)
	if err != nil {
		return nil, nil, err
	}
	r.URL.Path, r.URL.RawPath = "/"+bucket, "/"+escapeKey(bucket)
	if key != "" {
		r.URL.Path, r.URL.RawPath = r.URL.Path+"/"+key, r.URL.RawPath+"/"+escapeKey(key)
	}
	r.URL.RawQuery = strings.ReplaceAll(query.Encode(), "+", "%20")
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	s := c.signing
	s.Time, s.PayloadHash = time.Now(), "UNSIGNED-PAYLOAD"
	r.Header.Set("X-Amz-Content-Sha256", s.PayloadHash)
	if _, err := authn.Sign(r, s); err != nil {
		return nil, nil, err
	}
	w, err := c.client.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer w.Body.Close()
	body, err := io.ReadAll(io.LimitReader(w.Body, maxS3Answer))
	if err != nil {
		return nil, nil, err
	}
	return w.Header, body, readS3Error(w.StatusCode, body)
}

// readS3Error finds the error of an answer, also one that came with the status 200 (CopyObject).
func readS3Error(status int, body []byte) error {
	failed := &s3Error{Status: status}
	var doc struct {
		XMLName       xml.Name
		Code, Message string
	}
	if xml.Unmarshal(body, &doc) == nil && doc.XMLName.Local == "Error" {
		failed.Code, failed.Message = doc.Code, doc.Message
		return failed
	}
	if status >= 300 {
		return failed
	}
	return nil
}

// escapeKey encodes a key for a path, as SigV4 has it.
func escapeKey(key string) string {
	return strings.ReplaceAll(strings.ReplaceAll(url.QueryEscape(key), "+", "%20"), "%2F", "/")
}

// keyVersion is an entry of ListObjectVersions.
type keyVersion struct {
	Key, VersionID string
	Marker         bool // a delete marker
	Modified       time.Time
	ETag, Class    string
	Size           int64
}

// versionsPage is an answer of ListObjectVersions. Versions and markers stand in the order of keys,
// newest first: their elements are mixed.
type versionsPage struct {
	IsTruncated         bool
	NextKeyMarker       string
	NextVersionIDMarker string          `xml:"NextVersionIdMarker"`
	Versions            []listedVersion `xml:"Version"`
	Markers             []listedVersion `xml:"DeleteMarker"`
}

type listedVersion struct {
	Key          string
	VersionID    string `xml:"VersionId"`
	LastModified time.Time
	ETag         string
	Size         int64
	StorageClass string
	IsLatest     bool
}
