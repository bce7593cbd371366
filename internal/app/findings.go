package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/kura-s3/kura/internal/api/guardduty"
	"github.com/kura-s3/kura/internal/api/restjson"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/event"
	"github.com/kura-s3/kura/internal/finding"
	"github.com/kura-s3/kura/internal/job/finders"
	"github.com/kura-s3/kura/internal/job/quarantine"
	"github.com/kura-s3/kura/internal/object"
	"github.com/kura-s3/kura/internal/posture"
)

// openFindings opens GuardDuty. It comes after the event bus, which hears of what is found.
func (s *server) openFindings(ctx context.Context) error {
	threats, err := threatLists(s.config.ThreatLists)
	if err != nil {
		return err
	}
	s.findings, err = finding.Open(ctx, finding.Config{
		Meta: s.engines.Meta, Region: s.config.Region, Publish: s.publishFinding, Threats: threats, Log: s.log,
	})
	if err != nil {
		return err
	}
	listing, err := s.guard.System(ctx, "guardduty", authz.Demand{Action: "s3:ListBucket*", Resource: authz.Resource{ARN: "*"}})
	if err != nil {
		return err
	}
	s.finder, err = finders.New(ctx, finders.Config{
		Meta: s.engines.Meta, Feed: s.feed, Journal: s.record.Management(), Findings: s.findings, Source: s.watched, Bucket: s.watchedBucket,
		Empty: func(ctx context.Context, bucket string) bool { return s.emptyBucket(ctx, listing, bucket) }, Log: s.log,
	})
	return err
}

// threatLists reads the lists of addresses that hold for every account, by the names of their files.
func threatLists(files []string) (map[string]*finding.Table, error) {
	lists := map[string]*finding.Table{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("--threat-list: %w", err)
		}
		table, err := finding.ParseTable(text)
		if err != nil {
			return nil, fmt.Errorf("--threat-list %s: %w", file, err)
		}
		name := filepath.Base(file)
		if lists[name] != nil {
			return nil, fmt.Errorf("--threat-list %s: another list has that name", file)
		}
		lists[name] = table
	}
	return lists, nil
}

// startFindings begins to look for attacks.
func (s *server) startFindings(ctx context.Context) error {
	if err := s.recoverAdmin(ctx); err != nil {
		return err
	}
	s.background(s.findings.Work)
	s.background(s.finder.Run)
	return nil
}

// watchedBucket is a bucket of whichever account; nil when there is none.
func (s *server) watchedBucket(ctx context.Context, name string) (*posture.Resource, error) {
	b, err := s.objects.Bucket(name)
	if err != nil {
		return nil, nil
	}
	return s.watched.Resource(ctx, b.Owner.Account, posture.TypeBucket, name)
}

// emptyBucket tells whether a bucket has no object. One that cannot be looked into is not called empty.
func (s *server) emptyBucket(ctx context.Context, listing authz.Grant, name string) bool {
	page, err := s.objects.ListVersions(ctx, listing, &object.ListVersionsInput{Bucket: name, Max: 1})
	return err == nil && len(page.Versions) == 0
}

// screen looks for leaked access keys in what is uploaded; nil when nobody is to.
func (s *server) screen() func(*audit.Event, io.Reader) io.Reader {
	if !s.config.Quarantine {
		return nil
	}
	return s.quarantine().Scanner().Screen
}

func (s *server) quarantine() *quarantine.Quarantine {
	return quarantine.New(quarantine.Config{
		Identities: s.identities, Guard: s.guard, Record: s.record, AuditDir: auditDir(s.config.Data), Bus: s.bus, Findings: s.findings,
		Region: s.config.Region, Log: s.log,
	})
}

// recoverAdmin lets the first administrator in again whose key leaked, with a new key that the environment
// gives: who starts the server could read all of its data anyway.
func (s *server) recoverAdmin(ctx context.Context) error {
	admin, _, err := firstKeys(s.options.Environ)
	if err != nil || admin == nil {
		return err
	}
	done, err := s.quarantine().Recover(ctx, s.operator(), "admin", *admin)
	if done {
		s.log.Warn("the administrator's quarantine is lifted; his keys are deleted, and the one of the environment is his", "key", admin.ID)
	}
	return err
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
	return s.readObject(ctx, as, "guardduty.amazonaws.com", stored{Bucket: bucket, Key: key, Owner: owner}, most)
}
