package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/kura-s3/kura/internal/api/guardduty"
	"github.com/kura-s3/kura/internal/api/restjson"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/event"
	"github.com/kura-s3/kura/internal/finding"
)

// openFindings opens GuardDuty. It comes after the event bus, which hears of what is found.
func (s *server) openFindings(ctx context.Context) (err error) {
	s.findings, err = finding.Open(ctx, finding.Config{
		Meta: s.engines.Meta, Region: s.config.Region, Publish: s.publishFinding, Log: s.log,
	})
	return err
}

// startFindings begins to look for attacks.
func (s *server) startFindings(context.Context) error {
	s.background(s.findings.Work)
	return nil
}

// guardDuty is the edge of GuardDuty.
func (s *server) guardDuty() *restjson.Service {
	return guardduty.New(guardduty.Config{Findings: s.findings, Read: s.readAs, Authn: s.authn, Log: s.log})
}

// publishFinding puts an event on the default bus of its account.
func (s *server) publishFinding(ctx context.Context, b *engine.Batch, e finding.Event) (func(), error) {
	detail, err := json.Marshal(e.Detail)
	if err != nil {
		return nil, err
	}
	return s.bus.Publish(ctx, b, event.Event{
		Source: e.Source, DetailType: e.DetailType, Account: e.Account, Region: s.config.Region, Time: e.Time, Resources: e.Resources, Detail: detail,
	})
}

// readAs reads an object with the permissions of somebody.
func (s *server) readAs(ctx context.Context, as *authz.Subject, bucket, key, owner string, most int64) ([]byte, error) {
	u := url.URL{Scheme: "https", Host: "s3.amazonaws.com", Path: "/" + bucket + "/" + key}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("User-Agent", "guardduty.amazonaws.com")
	if owner != "" {
		r.Header.Set("X-Amz-Expected-Bucket-Owner", owner)
	}
	answer, err := s.onBehalf(ctx, as, r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("s3 answered %d", answer.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, most+1))
	if err == nil && int64(len(text)) > most {
		err = errors.New("it is too large")
	}
	return text, err
}
