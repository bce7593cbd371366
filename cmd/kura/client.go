package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/authn"
)

// client sends the few requests that commands need, signed with the environment's credentials.
type client struct {
	endpoint *url.URL
	signing  authn.Signing
	http     *http.Client
}

func newClient(env map[string]string, endpoint string) (*client, error) {
	if endpoint == "" {
		endpoint = env["AWS_ENDPOINT_URL"]
	}
	c := &client{signing: authn.Signing{
		AccessKeyID: env["AWS_ACCESS_KEY_ID"], Secret: env["AWS_SECRET_ACCESS_KEY"], SessionToken: env["AWS_SESSION_TOKEN"], Region: env["AWS_REGION"],
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
	c.http, err = clientTrusting(env["AWS_CA_BUNDLE"])
	return c, err
}

// clientTrusting trusts the certificates of a bundle; without one, those of the system.
func clientTrusting(bundle string) (*http.Client, error) {
	if bundle == "" {
		return http.DefaultClient, nil
	}
	pem, err := os.ReadFile(bundle)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", bundle)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	return &http.Client{Transport: transport}, nil
}

// refusal is what a service says of a request that it refused.
type refusal struct {
	Status        int
	Code, Message string
}

func (e *refusal) Error() string {
	if e.Code == "" {
		return http.StatusText(e.Status)
	}
	return e.Code + ": " + e.Message
}

// maxClientAnswer bounds an answer, patience how long a service other than S3 may take for it.
const (
	maxClientAnswer = 16 << 20
	patience        = 30 * time.Second
)

// send signs r for a service and reads the answer.
func (c *client) send(r *http.Request, service, payloadHash string) (status int, header http.Header, body []byte, err error) {
	s := c.signing
	s.Service, s.Time, s.PayloadHash = service, time.Now(), payloadHash
	if _, err := authn.Sign(r, s); err != nil {
		return 0, nil, nil, err
	}
	w, err := c.http.Do(r)
	if err != nil {
		return 0, nil, nil, err
	}
	defer w.Body.Close()
	body, err = io.ReadAll(io.LimitReader(w.Body, maxClientAnswer))
	return w.StatusCode, w.Header, body, err
}

// post sends what a service of the JSON or the query protocol is asked.
func (c *client) post(ctx context.Context, service string, header http.Header, body []byte) (status int, answer []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	u := *c.endpoint
	u.Path = "/"
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	r.Header = header
	sum := sha256.Sum256(body)
	status, _, answer, err = c.send(r, service, hex.EncodeToString(sum[:]))
	return status, answer, err
}

type object = map[string]any

// events asks EventBridge for something.
func (c *client) events(ctx context.Context, operation string, in object) (object, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	status, raw, err := c.post(ctx, "events", http.Header{"Content-Type": {"application/x-amz-json-1.1"}, "X-Amz-Target": {"AWSEvents." + operation}}, body)
	if err != nil {
		return nil, err
	}
	out := object{}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &out); err != nil {
			return nil, fmt.Errorf("%s answered %d with something else than JSON", c.endpoint.Host, status)
		}
	}
	if status >= http.StatusMultipleChoices {
		code, _ := out["__type"].(string)
		message, _ := out["message"].(string)
		return nil, &refusal{status, code[strings.LastIndex(code, "#")+1:], message}
	}
	return out, nil
}

// query asks a service of the query protocol for something, and reads the answer into out, whose error has the
// form of AWS's.
func (c *client) query(ctx context.Context, service, version, action string, parameters url.Values, out any) error {
	form := url.Values{"Action": {action}, "Version": {version}}
	for name, values := range parameters {
		form[name] = values
	}
	status, raw, err := c.post(ctx, service, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, []byte(form.Encode()))
	if err != nil {
		return err
	}
	refused := struct {
		Code    string `xml:"Error>Code"`
		Message string `xml:"Error>Message"`
	}{}
	if status >= http.StatusMultipleChoices {
		out = &refused
	}
	if err := xml.Unmarshal(raw, out); err != nil {
		return fmt.Errorf("the answer (%d) is not of %s: %w", status, service, err)
	}
	if status >= http.StatusMultipleChoices {
		return &refusal{status, refused.Code, refused.Message}
	}
	return nil
}
