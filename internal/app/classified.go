package app

import (
	"slices"
	"strings"

	"github.com/kura-s3/kura/internal/api/s3"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/classification"
	"github.com/kura-s3/kura/internal/object"
	"github.com/kura-s3/kura/internal/posture"
	"github.com/kura-s3/kura/policy"
)

// outsiders are who is let in by a bucket's policy and ACL from outside its account, whatever Block Public
// Access makes of it.
func (s *server) outsiders(b *object.Bucket) ([]string, error) {
	r, err := resourceOf(b)
	if err != nil {
		return nil, err
	}
	if r.Bucket != nil {
		r.Bucket.Block = policy.PublicAccessBlock{}
	}
	openings, err := posture.Openings(r, posture.Block{}, s.trust(b.Owner.Account))
	var who []string
	for i := range openings {
		who = append(who, openings[i].Principal)
	}
	slices.Sort(who)
	return slices.Compact(who), err
}

// recordsData keeps the data events of classified buckets, whatever the trails want: of the bucket that is
// addressed, and of every one that a decision was about (the source of a copy).
func (s *server) recordsData(ev *audit.Event) bool {
	if ev.Service != "s3" {
		return false
	}
	if s.holds(ev.Bucket, classification.RecordDataEvents) {
		return true
	}
	for i := range ev.Decisions {
		rest, ok := strings.CutPrefix(ev.Decisions[i].Resource, "arn:aws:s3:::")
		if !ok {
			continue
		}
		if name, _, _ := strings.Cut(rest, "/"); name != ev.Bucket && s.holds(name, classification.RecordDataEvents) {
			return true
		}
	}
	return false
}

func (s *server) holds(bucket string, g classification.Guardrail) bool {
	if bucket == "" {
		return false
	}
	b, err := s.objects.Bucket(bucket)
	return err == nil && s3.ClassOf(b).Holds(g)
}
