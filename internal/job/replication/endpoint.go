package replication

import (
	"bytes"
	"cmp"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/object"
)

// Credentials sign requests to an Endpoint.
type Credentials struct{ AccessKeyID, Secret, SessionToken string }

// EndpointConfig of an Endpoint.
type EndpointConfig struct {
	// URL of the S3 endpoint: scheme and host. Bucket is its bucket, Region what signatures name.
	URL            *url.URL
	Bucket, Region string
	Credentials    Credentials
	// Dial reaches it; it decides which addresses may be reached. Required.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Endpoint is a bucket of another S3 endpoint: of AWS, or of another Kura. Objects get a version id of
// their own there.
type Endpoint struct {
	config EndpointConfig
	client *http.Client
	// kept is until when the bucket is known to keep versions, in Unix nanoseconds.
	kept atomic.Int64
}

const (
	// answerTimeout is how long an endpoint may take to answer what it has got.
	answerTimeout = 2 * time.Minute
	// slowest bytes per second that an upload may go at.
	slowest = 64 << 10
	// maxAnswer bounds what is read of an answer.
	maxAnswer = 64 << 10
	// askVersioning is how long the answer counts that the bucket keeps versions.
	askVersioning = 5 * time.Minute
)

// NewEndpoint makes an Endpoint. It follows no redirections: they would lead where nobody configured.
func NewEndpoint(c EndpointConfig) *Endpoint {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Endpoint{config: c, client: &http.Client{
		Transport: &http.Transport{
			DialContext: c.Dial, TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: answerTimeout,
			MaxIdleConnsPerHost: 16, IdleConnTimeout: 90 * time.Second, ForceAttemptHTTP2: false,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// asked are the headers by which the endpoint holds the bucket to what the rule says of it.
func asked(by *object.ReplicationDestination) http.Header {
	h := http.Header{}
	if by.Account != "" {
		h.Set("X-Amz-Expected-Bucket-Owner", by.Account)
	}
	return h
}

// Put implements Elsewhere: attributes, tags and checksum travel with the bytes. What a KMS key sealed is sealed by
// the rule's there.
func (e *Endpoint) Put(ctx context.Context, by *object.ReplicationDestination, info *object.Info, body io.Reader) error {
	if info.Size > object.MaxSingle {
		return &Refusal{Reason: "objects of more than 5 GiB are not replicated to another endpoint"}
	}
	if err := e.keepsVersions(ctx); err != nil {
		return err
	}
	h, a := asked(by), &info.Attributes
	class := cmp.Or(by.StorageClass, a.StorageClass)
	if info.Sealed != nil && info.Sealed.Encryption.KMS() {
		h.Set("X-Amz-Server-Side-Encryption", info.Encryption)
		h.Set("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id", by.KMSKey)
	}
	for name, value := range map[string]string{
		"Content-Type": a.ContentType, "Content-Encoding": a.ContentEncoding, "Content-Disposition": a.ContentDisposition,
		"Content-Language": a.ContentLanguage, "Cache-Control": a.CacheControl, "Expires": a.Expires,
		"X-Amz-Website-Redirect-Location": a.WebsiteRedirect, "X-Amz-Storage-Class": class, "X-Amz-Tagging": tagQuery(info.Tags),
	} {
		if value != "" {
			h.Set(name, value)
		}
	}
	for _, m := range a.User {
		h.Set("X-Amz-Meta-"+m.Key, m.Value)
	}
	if sum := &info.Checksum; len(sum.Value) > 0 && !sum.Composite && sum.Algorithm != object.NoChecksum {
		h.Set("X-Amz-Checksum-"+sum.Algorithm.String(), base64.StdEncoding.EncodeToString(sum.Value))
	}
	return e.send(ctx, http.MethodPut, info.Key, "", h, body, info.Size)
}

// Tag implements Elsewhere.
func (e *Endpoint) Tag(ctx context.Context, by *object.ReplicationDestination, key string, tags []object.Tag) error {
	h := asked(by)
	if len(tags) == 0 {
		return e.send(ctx, http.MethodDelete, key, "tagging=", h, nil, 0)
	}
	type tagging struct {
		XMLName xml.Name     `xml:"Tagging"`
		Tags    []object.Tag `xml:"TagSet>Tag"`
	}
	body, err := xml.Marshal(tagging{Tags: tags})
	if err != nil {
		return err
	}
	sum := md5.Sum(body)
	h.Set("Content-Md5", base64.StdEncoding.EncodeToString(sum[:]))
	return e.send(ctx, http.MethodPut, key, "tagging=", h, bytes.NewReader(body), int64(len(body)))
}

// Delete implements Elsewhere.
func (e *Endpoint) Delete(ctx context.Context, by *object.ReplicationDestination, key string) error {
	if err := e.keepsVersions(ctx); err != nil {
		return err
	}
	return e.send(ctx, http.MethodDelete, key, "", asked(by), nil, 0)
}

// keepsVersions refuses a bucket without versioning: there an overwrite or a deletion would be for good, and
// whoever has the source could destroy the copies.
func (e *Endpoint) keepsVersions(ctx context.Context) error {
	if e.config.Now().UnixNano() < e.kept.Load() {
		return nil
	}
	text, err := e.ask(ctx, http.MethodGet, "", "versioning=", nil, nil, 0)
	if err != nil {
		var refused *Refusal
		if errors.As(err, &refused) {
			return &Refusal{Reason: "whether the bucket there keeps versions cannot be told (s3:GetBucketVersioning): " + refused.Reason}
		}
		return err
	}
	var told struct{ Status string }
	if err := xml.Unmarshal(text, &told); err != nil || told.Status != "Enabled" {
		return &Refusal{Reason: e.config.URL.Host + ": versioning of bucket " + e.config.Bucket + " is not enabled: what is overwritten or deleted there would be gone"}
	}
	e.kept.Store(e.config.Now().Add(askVersioning).UnixNano())
	return nil
}

func tagQuery(tags []object.Tag) string {
	values := url.Values{}
	for _, t := range tags {
		values.Set(t.Key, t.Value)
	}
	return values.Encode()
}

func (e *Endpoint) send(ctx context.Context, method, key, query string, h http.Header, body io.Reader, size int64) error {
	_, err := e.ask(ctx, method, key, query, h, body, size)
	return err
}

// ask makes a request about a key, or for the key "" about the bucket, and gives the answer's body.
func (e *Endpoint) ask(ctx context.Context, method, key, query string, h http.Header, body io.Reader, size int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*answerTimeout+time.Duration(size/slowest)*time.Second)
	defer cancel()
	u := *e.config.URL
	path := "/" + e.config.Bucket
	if key != "" {
		path += "/" + key
	}
	u.Path, u.RawPath, u.RawQuery = path, escapePath(path), query
	r, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, err
	}
	if h != nil {
		r.Header = h
	}
	if r.ContentLength = size; size == 0 {
		r.Body = http.NoBody
	}
	c := &e.config.Credentials
	if _, err := authn.Sign(r, authn.Signing{
		AccessKeyID: c.AccessKeyID, Secret: c.Secret, SessionToken: c.SessionToken, Region: e.config.Region, Service: "s3", Time: e.config.Now(),
	}); err != nil {
		return nil, err
	}
	answer, err := e.client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.config.URL.Host, unwrapURL(err))
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if answer.StatusCode < 300 {
		return text, err
	}
	return nil, refusedBy(answer, text)
}

// unwrapURL takes the URL out of an error: it is long, and known.
func unwrapURL(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

// refusedBy tells answers that stay from those that may change by themselves.
func refusedBy(answer *http.Response, text []byte) error {
	var told struct{ Code, Message string }
	_ = xml.Unmarshal(text, &told) // what does not read leaves the status to tell
	reason := answer.Request.URL.Host + ": " + strconv.Itoa(answer.StatusCode) + " " + told.Code + " " + told.Message
	switch s := answer.StatusCode; {
	case s == http.StatusRequestTimeout, s == http.StatusConflict, s == http.StatusTooManyRequests, s >= 500,
		told.Code == "RequestTimeout", told.Code == "RequestTimeTooSkewed", told.Code == "ExpiredToken":
		return errors.New(reason)
	}
	return &Refusal{Reason: reason}
}

// escapePath escapes everything but unreserved characters and slashes, as signatures want it.
func escapePath(path string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(path) {
		c := path[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~/", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.WriteString("%" + string(hex[c>>4]) + string(hex[c&15]))
	}
	return b.String()
}
