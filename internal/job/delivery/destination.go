package delivery

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/event"
	"github.com/kura-s3/kura/internal/event/queue"
	"github.com/kura-s3/kura/internal/fault"
)

// Authority decides what a delivery may do where it goes: as its role, or as the account that sends.
type Authority interface {
	Authorize(ctx context.Context, d *queue.Delivery, action string, on authz.Resource) (authz.Grant, error)
}

// Events is what this package needs of the event store.
type Events interface {
	Invocation(ctx context.Context, g authz.Grant, arn string) (*event.Invocation, error)
	BusARNResource(arn string) authz.Resource
	Forward(ctx context.Context, g authz.Grant, d *queue.Delivery, hops int) error
}

// Dial makes outbound connections.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// callTimeout is how long an endpoint has to answer (EventBridge User Guide, "API destinations").
const callTimeout = 5 * time.Second

// NewClient is an HTTP client for targets: it dials with dial, follows no redirect, and uses no proxy.
func NewClient(dial Dial) *http.Client {
	return &http.Client{
		Timeout:       callTimeout,
		Transport:     &http.Transport{DialContext: dial, MaxIdleConnsPerHost: abreast, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true, TLSHandshakeTimeout: callTimeout},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Destinations carries to API destinations.
type Destinations struct {
	// Events and Authority are required.
	Events    Events
	Authority Authority
	// Client makes the calls. Required.
	Client *http.Client
	// Endpoint says what is wrong with a URL, as when the API destination was made. Required.
	Endpoint func(string) error

	limits Limits // by ARN of the API destination

	mu     sync.Mutex
	tokens map[string]token // by ARN of the connection
}

// token is one of an OAuth connection.
type token struct {
	value   string
	expires time.Time
	of      time.Time // the connection's last change
}

// Carry implements Carrier.
func (s *Destinations) Carry(ctx context.Context, d *queue.Delivery) error {
	g, err := s.Authority.Authorize(ctx, d, "events:InvokeApiDestination", authz.Resource{ARN: d.Target, Account: d.Account})
	if err != nil {
		return Denied(err)
	}
	i, err := s.Events.Invocation(ctx, g, d.Target)
	if err != nil {
		if fault.Is(err, event.NotFound) {
			return &Refused{err.Error()}
		}
		return err
	}
	if err := s.limits.Wait(ctx, i.Destination.ARN, i.Destination.Rate); err != nil {
		return err
	}
	r, err := s.request(ctx, d, i)
	if err != nil {
		return err
	}
	answer, err := s.Client.Do(r)
	if err != nil {
		return Unnamed(err)
	}
	defer answer.Body.Close()
	if status := answer.StatusCode; status == http.StatusUnauthorized || status == http.StatusProxyAuthRequired {
		s.forget(i.ARN)
	}
	return Judge(answer)
}

// Denied makes a refusal of the Guard final.
func Denied(err error) error {
	if fault.Is(err, authz.Denied) {
		return &Refused{err.Error()}
	}
	return err
}

// Judge says what an answer means: 2xx arrived; 401, 407, 408, 409, 429 and 5xx are tried again; the rest is
// final (EventBridge User Guide, "API destinations").
func Judge(answer *http.Response) error {
	return JudgeBy(answer, func(status int) bool {
		return status == 401 || status == 407 || status == 408 || status == 409 || status == 429 || status >= 500
	})
}

// JudgeBy is Judge where others than 2xx are tried again if so says again.
func JudgeBy(answer *http.Response, again func(status int) bool) error {
	body, _ := io.ReadAll(io.LimitReader(answer.Body, 200)) // for people; the status decides
	status := answer.StatusCode
	if status >= 200 && status < 300 {
		return nil
	}
	reason := fmt.Sprintf("the endpoint answered %d: %q", status, body)
	if !again(status) {
		return &Refused{reason}
	}
	if seconds, err := strconv.Atoi(answer.Header.Get("Retry-After")); err == nil && seconds > 0 {
		return &Later{Reason: reason, Wait: time.Duration(seconds) * time.Second}
	}
	return errors.New(reason)
}

const (
	jsonType = "application/json; charset=utf-8"
	agent    = "Amazon/EventBridge/ApiDestinations"
)

func (s *Destinations) request(ctx context.Context, d *queue.Delivery, i *event.Invocation) (*http.Request, error) {
	var h event.HTTP
	if len(d.Options) > 0 {
		if err := json.Unmarshal(d.Options, &h); err != nil {
			return nil, &Refused{"options: " + err.Error()}
		}
	}
	endpoint := i.Destination.Endpoint
	for _, value := range h.Path {
		endpoint = strings.Replace(endpoint, "*", url.PathEscape(value), 1)
	}
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, &Refused{"the endpoint is not a URL"}
	}
	if err := s.Endpoint(endpoint); err != nil {
		return nil, &Refused{err.Error()}
	}
	query := u.Query()
	for name, value := range h.Query {
		query.Set(name, value)
	}
	for _, p := range i.Auth.Extra.Query {
		query.Set(p.Key, p.Value)
	}
	u.RawQuery = query.Encode()
	header := http.Header{"Content-Type": {jsonType}, "User-Agent": {agent}}
	for name, value := range h.Headers {
		header.Set(name, value)
	}
	for _, p := range i.Auth.Extra.Headers {
		header.Set(p.Key, p.Value)
	}
	if err := s.prove(ctx, i, header); err != nil {
		return nil, err
	}
	body, err := encode(header.Get("Content-Type"), d.Payload, i.Auth.Extra.Body)
	if err != nil {
		return nil, &Refused{err.Error()}
	}
	r, err := http.NewRequestWithContext(ctx, i.Destination.Method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, &Refused{"the request cannot be made"}
	}
	r.Header = header
	return r, nil
}

// prove adds what the connection authorizes with.
func (s *Destinations) prove(ctx context.Context, i *event.Invocation, header http.Header) error {
	switch i.Type {
	case event.Basic:
		r := http.Request{Header: header}
		r.SetBasicAuth(i.Auth.User, i.Auth.Password)
	case event.APIKey:
		header.Set(i.Auth.KeyName, i.Auth.KeyValue)
	case event.OAuth:
		t, err := s.token(ctx, i)
		if err != nil {
			return err
		}
		header.Set("Authorization", "Bearer "+t)
	}
	return nil
}

// encode is the body that a content type calls for: of a form, the members of the payload's object; of
// plain text, the payload's string; else the payload, with the connection's parameters in its object.
func encode(contentType string, payload []byte, extra []event.Parameter) ([]byte, error) {
	kind, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return nil, err
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(payload, &object) != nil || object == nil {
		var s string
		if kind != "application/json" && json.Unmarshal(payload, &s) == nil {
			return []byte(s), nil
		}
		return payload, nil
	}
	for _, p := range extra {
		raw, err := json.Marshal(p.Value)
		if err != nil {
			return nil, err
		}
		object[p.Key] = raw
	}
	if kind == "application/x-www-form-urlencoded" {
		return form(object), nil
	}
	if len(extra) == 0 {
		return payload, nil
	}
	return json.Marshal(object)
}

// form encodes an object's members: a string as it is, anything else as its JSON.
func form(object map[string]json.RawMessage) []byte {
	values := url.Values{}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		var s string
		if json.Unmarshal(object[name], &s) != nil {
			s = string(object[name])
		}
		values.Set(name, s)
	}
	return []byte(values.Encode())
}

func (s *Destinations) forget(connection string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tokens, connection)
}

// token gives the connection's access token, from memory while it is good.
func (s *Destinations) token(ctx context.Context, i *event.Invocation) (string, error) {
	s.mu.Lock()
	t, ok := s.tokens[i.ARN]
	s.mu.Unlock()
	if ok && t.of.Equal(i.Modified) && time.Now().Before(t.expires) {
		return t.value, nil
	}
	t, err := s.fetchToken(ctx, i)
	if err != nil {
		return "", fmt.Errorf("the connection's token: %w", err)
	}
	s.keep(i.ARN, t, time.Now())
	return t.value, nil
}

// keep keeps a connection's token in memory, and none whose time has passed: the connection may be gone.
func (s *Destinations) keep(connection string, t token, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tokens == nil {
		s.tokens = map[string]token{}
	}
	maps.DeleteFunc(s.tokens, func(_ string, t token) bool { return now.After(t.expires) })
	s.tokens[connection] = t
}

// Lifetimes of tokens whose endpoint says nothing, and how long before its end a token is renewed.
const (
	tokenLife  = 5 * time.Minute
	tokenSpare = 30 * time.Second
	maxToken   = 64 << 10
)

func (s *Destinations) fetchToken(ctx context.Context, i *event.Invocation) (token, error) {
	r, err := s.tokenRequest(ctx, i)
	if err != nil {
		return token{}, err
	}
	answer, err := s.Client.Do(r)
	if err != nil {
		return token{}, Unnamed(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode/100 != 2 {
		return token{}, fmt.Errorf("the authorization endpoint answered %d", answer.StatusCode)
	}
	var body struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
	}
	if err := json.NewDecoder(io.LimitReader(answer.Body, maxToken)).Decode(&body); err != nil || body.AccessToken == "" {
		return token{}, errors.New("the authorization endpoint gave no access_token")
	}
	life := tokenLife
	if body.ExpiresIn > 0 {
		life = min(time.Duration(body.ExpiresIn)*time.Second, 24*time.Hour)
	}
	return token{body.AccessToken, time.Now().Add(life - min(tokenSpare, life/2)), i.Modified}, nil
}

func (s *Destinations) tokenRequest(ctx context.Context, i *event.Invocation) (*http.Request, error) {
	a := &i.Auth
	if err := s.Endpoint(a.TokenEndpoint); err != nil {
		return nil, &Refused{err.Error()}
	}
	u, err := url.Parse(a.TokenEndpoint)
	if err != nil {
		return nil, &Refused{"the authorization endpoint is not a URL"}
	}
	values := url.Values{"grant_type": {"client_credentials"}, "client_id": {a.ClientID}, "client_secret": {a.ClientSecret}}
	for _, p := range a.TokenExtra.Body {
		values.Set(p.Key, p.Value)
	}
	query := u.Query()
	for _, p := range a.TokenExtra.Query {
		query.Set(p.Key, p.Value)
	}
	method := a.TokenMethod
	var body io.Reader
	if method == http.MethodGet {
		maps.Copy(query, values)
	} else {
		body = strings.NewReader(values.Encode())
	}
	u.RawQuery = query.Encode()
	r, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, &Refused{"the request for a token cannot be made"}
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, p := range a.TokenExtra.Headers {
		r.Header.Set(p.Key, p.Value)
	}
	return r, nil
}

// Buses carries events to other buses.
type Buses struct {
	// Events and Authority are required.
	Events    Events
	Authority Authority
}

// Carry implements Carrier.
func (s *Buses) Carry(ctx context.Context, d *queue.Delivery) error {
	var hop event.Hop
	if err := json.Unmarshal(d.Options, &hop); err != nil {
		return &Refused{"options: " + err.Error()}
	}
	g, err := s.Authority.Authorize(ctx, d, "events:PutEvents", s.Events.BusARNResource(d.Target))
	if err != nil {
		return Denied(err)
	}
	err = s.Events.Forward(ctx, g, d, hop.Hops)
	if fault.Is(err, event.NotFound) {
		return &Refused{err.Error()}
	}
	return err
}
