package app

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/identity"
	"github.com/kura-s3/kura/policy"
)

// cause are the condition keys that tell because of whose resource a service acts.
type cause struct{ arn, account string }

// Lookup implements authz.Keys.
func (c cause) Lookup(key string) (policy.Values, bool) {
	one := ""
	switch key {
	case "aws:sourcearn":
		one = c.arn
	case "aws:sourceaccount":
		one = c.account
	}
	return policy.Values{One: one}, one != ""
}

// servicePrincipal is an AWS service that acts because of a resource.
func servicePrincipal(name string, because cause) *authz.Subject {
	subject := identity.Service(name)
	subject.Keys = because
	return &subject
}

// assume begins a session of a role as a service does: with a request to STS that walks the staircase, so
// that the role's trust policy decides and the record has it. seconds 0 is STS's default.
func (s *server) assume(ctx context.Context, service *authz.Subject, role, session string, seconds int) (*identity.SessionCredentials, error) {
	form := url.Values{"Action": {"AssumeRole"}, "Version": {"2011-06-15"}, "RoleArn": {role}, "RoleSessionName": {session}}
	if seconds > 0 {
		form.Set("DurationSeconds", fmt.Sprint(seconds))
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://sts.inside/", strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	status, text, err := s.ask(ctx, service, service.Principal.ARN, r)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, notAssumed(role, status, text)
	}
	var told struct {
		Credentials struct {
			AccessKeyID  string `xml:"AccessKeyId"`
			SecretKey    string `xml:"SecretAccessKey"`
			SessionToken string
			Expiration   time.Time
		} `xml:"AssumeRoleResult>Credentials"`
	}
	if err := xml.Unmarshal(text, &told); err != nil {
		return nil, err
	}
	c := &told.Credentials
	return &identity.SessionCredentials{
		AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretKey, SessionToken: c.SessionToken, Expiration: c.Expiration,
	}, nil
}

func notAssumed(role string, status int, answer []byte) error {
	var told struct {
		Message string `xml:"Error>Message"`
	}
	if xml.Unmarshal(answer, &told) != nil || told.Message == "" {
		told.Message = "STS gave no reason"
	}
	reason := "cannot assume " + role + ": " + told.Message
	if status == http.StatusForbidden {
		return fault.New(authz.Denied, reason)
	}
	return errors.New(reason)
}

// sessions are those in which services act as roles, each used for a while. What a role may do is looked up
// at every use; whether it trusts the service, when a session begins.
type sessions struct {
	mu   sync.Mutex
	held map[sessionOf]heldSession
}

type sessionOf struct {
	service, role, name string
	because             cause
}

type heldSession struct {
	key, token string
	until      time.Time
}

const (
	sessionTime = 10 * time.Minute
	maxSessions = 1000
)

// as is the subject of a session of role that a service began because of a resource.
func (s *server) as(ctx context.Context, service, role, session string, because cause) (*authz.Subject, error) {
	id := sessionOf{service, role, session, because}
	s.sessions.mu.Lock()
	held, ok := s.sessions.held[id]
	s.sessions.mu.Unlock()
	if ok && time.Now().Before(held.until) {
		if c, err := s.identities.Lookup(ctx, held.key, held.token); err == nil {
			return &c.Subject, nil
		}
	}
	creds, err := s.assume(ctx, servicePrincipal(service, because), role, session, 0)
	s.sessions.keep(id, creds)
	if err != nil {
		return nil, err
	}
	c, err := s.identities.Lookup(ctx, creds.AccessKeyID, creds.SessionToken)
	if err != nil {
		return nil, err
	}
	return &c.Subject, nil
}

// keep holds a session in place of the one before; nil holds none.
func (s *sessions) keep(id sessionOf, c *identity.SessionCredentials) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.held, id)
	if c == nil {
		return
	}
	if s.held == nil || len(s.held) >= maxSessions {
		s.held = map[sessionOf]heldSession{}
	}
	s.held[id] = heldSession{c.AccessKeyID, c.SessionToken, time.Now().Add(sessionTime)}
}
