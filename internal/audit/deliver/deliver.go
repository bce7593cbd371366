// Package deliver puts log files into buckets in the name of an AWS service.
//
// It promises that a delivery is a request like any other: the bucket's policy decides about it, it is
// on record, and the bucket's settings hold for it. There is no other way by which a log file gets into
// a bucket.
package deliver

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/policy"
)

// OnBehalf makes an S3 request in somebody's name.
type OnBehalf func(context.Context, *authz.Subject, *http.Request) (*http.Response, error)

// Agent is the service that delivers, and for whom.
type Agent struct {
	// Service is its principal, "cloudtrail.amazonaws.com".
	Service string
	// SourceARN and SourceAccount are aws:SourceArn and aws:SourceAccount of its requests.
	SourceARN, SourceAccount string
}

// Lookup implements authz.Keys.
func (a Agent) Lookup(key string) (policy.Values, bool) {
	switch key {
	case "aws:sourcearn":
		return policy.Values{One: a.SourceARN}, true
	case "aws:sourceaccount":
		return policy.Values{One: a.SourceAccount}, true
	}
	return policy.Values{}, false
}

func (a Agent) subject() *authz.Subject {
	return &authz.Subject{Principal: policy.Principal{Type: policy.Service, ARN: a.Service}, Keys: a}
}

// Refused is an answer of S3 other than success.
type Refused struct {
	Status        int
	Code, Message string
}

func (r *Refused) Error() string { return fmt.Sprintf("%d %s: %s", r.Status, r.Code, r.Message) }

// CodeOf is S3's error code in err, or "" when err is no answer of S3.
func CodeOf(err error) string {
	var r *Refused
	if errors.As(err, &r) {
		return r.Code
	}
	return ""
}

// Put stores an object with headers h.
func (a Agent) Put(ctx context.Context, s3 OnBehalf, bucket, key string, h http.Header, body []byte) error {
	r, err := request(ctx, http.MethodPut, bucket, key, "", body)
	if err != nil {
		return err
	}
	for name, values := range h {
		r.Header[http.CanonicalHeaderKey(name)] = values
	}
	_, err = a.do(ctx, s3, r)
	return err
}

// Get asks for a sub-resource of a bucket, "acl".
func (a Agent) Get(ctx context.Context, s3 OnBehalf, bucket, query string) ([]byte, error) {
	r, err := request(ctx, http.MethodGet, bucket, "", query, nil)
	if err != nil {
		return nil, err
	}
	return a.do(ctx, s3, r)
}

func request(ctx context.Context, method, bucket, key, query string, body []byte) (*http.Request, error) {
	u := &url.URL{Scheme: "http", Host: "s3.kura.internal", Path: "/" + bucket + "/" + key, RawQuery: query}
	if key == "" {
		u.Path = "/" + bucket
	}
	r, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.ContentLength = int64(len(body))
	return r, nil
}

const maxAnswer = 1 << 20

func (a Agent) do(ctx context.Context, s3 OnBehalf, r *http.Request) ([]byte, error) {
	answer, err := s3(ctx, a.subject(), r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	if answer.StatusCode/100 == 2 {
		return body, nil
	}
	refused := &Refused{Status: answer.StatusCode, Code: "InternalError"}
	var doc struct{ Code, Message string }
	if xml.Unmarshal(body, &doc) == nil && doc.Code != "" {
		refused.Code, refused.Message = doc.Code, doc.Message
	}
	return nil, refused
}
