package main

import (
	"context"
	"encoding/xml"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	s3Tries      = 4
	s3Patience   = 15 * time.Minute // a copy of 5 GiB
	s3RetryPause = 200 * time.Millisecond
)

// do sends a request without a body and gives the answer's headers and document. What the server is too
// busy for is asked again.
func (c *client) do(ctx context.Context, method, bucket, key string, query url.Values, headers map[string]string) (http.Header, []byte, error) {
	for try := 1; ; try++ {
		h, body, err := c.once(ctx, method, bucket, key, query, headers)
		var refused *refusal
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

func (c *client) once(ctx context.Context, method, bucket, key string, query url.Values, headers map[string]string) (http.Header, []byte, error) {
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
	const unsigned = "UNSIGNED-PAYLOAD"
	r.Header.Set("X-Amz-Content-Sha256", unsigned)
	status, header, body, err := c.send(r, "s3", unsigned)
	if err != nil {
		return nil, nil, err
	}
	return header, body, readS3Error(status, body)
}

// readS3Error finds the error of an answer, also one that came with the status 200 (CopyObject).
func readS3Error(status int, body []byte) error {
	failed := &refusal{Status: status}
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
