package app

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/kura-s3/kura/internal/authz"
)

// How the server asks services of its own for something, as somebody: by a request that walks the same staircase
// as one from outside.

// maxAnswer bounds what is read of an answer.
const maxAnswer = 64 << 10

// ask makes a request as somebody, for the sake of the service that agent names, and reads the answer.
func (s *server) ask(ctx context.Context, as *authz.Subject, agent string, r *http.Request) (status int, text []byte, err error) {
	return s.askFor(ctx, as, agent, r, maxAnswer)
}

func (s *server) askFor(ctx context.Context, as *authz.Subject, agent string, r *http.Request, most int64) (status int, text []byte, err error) {
	r.Header.Set("User-Agent", agent)
	answer, err := s.onBehalf(ctx, as, r)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	text, err = io.ReadAll(io.LimitReader(answer.Body, most))
	return answer.StatusCode, text, err
}

// askJSON asks a service of the JSON protocol.
func (s *server) askJSON(ctx context.Context, as *authz.Subject, agent, service, target string, input any) (status int, text []byte, err error) {
	r, err := jsonRequest(ctx, service, target, input)
	if err != nil {
		return 0, nil, err
	}
	return s.ask(ctx, as, agent, r)
}

// jsonRequest is a request inside to a service of the JSON protocol.
func jsonRequest(ctx context.Context, service, target string, input any) (*http.Request, error) {
	body, err := json.Marshal(input)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+service+".inside/", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("X-Amz-Target", target)
	r.Header.Set("Content-Type", "application/x-amz-json-1.0")
	return r, nil
}

// failedWith tells an answer of a JSON service with a code.
func failedWith(answer []byte, code string) bool {
	var told struct {
		Type string `json:"__type"`
	}
	return json.Unmarshal(answer, &told) == nil && (told.Type == code || strings.HasSuffix(told.Type, "#"+code))
}

// stored is an object to be read; Version and Owner, who has to own its bucket, may be empty.
type stored struct{ Bucket, Key, Version, Owner string }

// notRead is S3's refusal; Code is empty where it was none of S3's.
type notRead struct {
	status        int
	Code, Message string
}

func (e *notRead) Error() string { return fmt.Sprintf("s3 answered %d", e.status) }

// errTooLarge says that an object is larger than wanted.
var errTooLarge = errors.New("it is too large")

// readObject reads an object of at most so many bytes as somebody. Its error may be a notRead or errTooLarge.
func (s *server) readObject(ctx context.Context, as *authz.Subject, agent string, o stored, most int64) ([]byte, error) {
	u := url.URL{Scheme: "https", Host: "s3.inside", Path: "/" + o.Bucket + "/" + o.Key}
	if o.Version != "" {
		u.RawQuery = url.Values{"versionId": {o.Version}}.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	if o.Owner != "" {
		r.Header.Set("X-Amz-Expected-Bucket-Owner", o.Owner)
	}
	status, text, err := s.askFor(ctx, as, agent, r, most+1)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		refused := &notRead{status: status}
		_ = xml.Unmarshal(text, refused) // what is no error of S3 is told as one without a code
		return nil, refused
	}
	if int64(len(text)) > most {
		return nil, errTooLarge
	}
	return text, nil
}
