package app

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/kura-s3/kura/internal/api/accessanalyzer"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/job/trail"
	"github.com/kura-s3/kura/internal/posture/generation"
)

// openGeneration opens the generation of policies from the record.
func (s *server) openGeneration() (err error) {
	s.generation, err = generation.Open(generation.Config{
		Meta: s.engines.Meta, Dir: auditDir(s.config.Data), Source: s.recordFor, Log: s.log,
		Exists: func(arn string) bool {
			_, ok := s.identities.UniqueID(arn)
			return ok
		},
	})
	return err
}

// recordFor is what of the record a job may read: with a role, what the trails have that the role may look
// at, and that were switched on long enough; without, all that the account has of it.
func (s *server) recordFor(ctx context.Context, account, role string, trails []generation.Trail) (generation.Source, error) {
	var mine []*trail.Trail
	if role == "" {
		mine = s.trails.Of(account)
	}
	for _, named := range trails {
		t, err := s.trails.Find(named.ARN)
		if err != nil || t.Account != account {
			return generation.Source{}, fault.New(generation.NotFound, "Unknown trail: "+named.ARN)
		}
		mine = append(mine, t)
	}
	source := generation.Source{Complete: func(since time.Time) bool {
		for _, t := range mine {
			if t.Logging && t.Everything() && !t.Started.After(since) {
				return true
			}
		}
		return false
	}}
	if role == "" {
		return source, nil
	}
	source.Takes = func(n *audit.Note) bool {
		for _, t := range mine {
			if t.Takes(n) {
				return true
			}
		}
		return false
	}
	return source, s.mayReadTrails(ctx, account, role, mine)
}

// mayReadTrails asks CloudTrail for the trails as the role: whoever it does not tell about a trail gets nothing
// of what that trail has.
func (s *server) mayReadTrails(ctx context.Context, account, role string, trails []*trail.Trail) error {
	as, err := s.as(ctx, accessanalyzer.Service, role, "PolicyGeneration", cause{"arn:aws:access-analyzer:" + s.config.Region + ":" + account + ":*", account})
	if err != nil {
		return err
	}
	for _, t := range trails {
		if err := s.mayReadTrail(ctx, as, t); err != nil {
			return err
		}
	}
	return nil
}

func (s *server) mayReadTrail(ctx context.Context, as *authz.Subject, t *trail.Trail) error {
	status, text, err := s.askJSON(ctx, as, accessanalyzer.Service, "cloudtrail", "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.GetTrail", map[string]string{"Name": t.ARN()})
	if err != nil {
		return err
	}
	var told struct {
		Message string `json:"message"`
	}
	if err := json.Unmarshal(text, &told); err != nil {
		return err
	}
	switch {
	case status == http.StatusOK:
		return nil
	case failedWith(text, "AccessDeniedException"):
		return fault.New(authz.Denied, told.Message)
	}
	return fmt.Errorf("cloudtrail answered %d: %s", status, text)
}
