package analyzer

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/posture"
)

// byARN finds a resource of an account; nil when there is none.
func (s *Store) byARN(ctx context.Context, account, typ, arn string) (*posture.Resource, error) {
	var ids []string
	switch typ {
	case posture.TypeRole:
		if !strings.HasPrefix(arn, "arn:aws:iam::"+account+":role/") {
			return nil, nil
		}
		var err error
		if ids, err = s.config.Source.IDs(ctx, account, typ); err != nil {
			return nil, err
		}
	default:
		ids = []string{idOf(typ, arn)}
	}
	for _, id := range ids {
		r, err := s.config.Source.Resource(ctx, account, typ, id)
		if err != nil {
			return nil, err
		}
		if r != nil && r.ARN == arn {
			return r, nil
		}
	}
	return nil, nil
}

// Analysis is what is known of an analyzed resource.
type Analysis struct {
	Resource *posture.Resource
	Findings []*Finding
}

// Resource tells of a resource that an analyzer covers. It needs access-analyzer:GetAnalyzedResource.
func (s *Store) Resource(ctx context.Context, g authz.Grant, account, arn, resource string) (*Analysis, error) {
	found, err := s.Findings(g, "access-analyzer:GetAnalyzedResource", account, arn, Filter{"resource": {Eq: []string{resource}}})
	if err != nil {
		return nil, err
	}
	name, err := s.nameOf(account, arn)
	if err != nil {
		return nil, err
	}
	s.mu.RLock()
	a := s.accounts[account][name]
	s.mu.RUnlock()
	if a == nil {
		return nil, notFound("Analyzer " + arn)
	}
	for _, covered := range s.covers(a) {
		for _, typ := range Analyzed {
			r, err := s.byARN(ctx, covered, typ, resource)
			if err != nil {
				return nil, err
			}
			if r != nil {
				return &Analysis{r, found}, nil
			}
		}
	}
	return nil, notFound("Resource " + resource)
}

// Resources lists what an analyzer covers. It needs access-analyzer:ListAnalyzedResources.
func (s *Store) Resources(ctx context.Context, g authz.Grant, account, arn, typ string) ([]*posture.Resource, error) {
	if err := g.Require("access-analyzer:ListAnalyzedResources", arn); err != nil {
		return nil, err
	}
	name, err := s.nameOf(account, arn)
	if err != nil {
		return nil, err
	}
	s.mu.RLock()
	a := s.accounts[account][name]
	s.mu.RUnlock()
	if a == nil {
		return nil, notFound("Analyzer " + arn)
	}
	var list []*posture.Resource
	for _, covered := range s.covers(a) {
		for _, t := range Analyzed {
			if typ != "" && typ != t {
				continue
			}
			ids, err := s.config.Source.IDs(ctx, covered, t)
			if err != nil {
				return nil, err
			}
			for _, id := range ids {
				r, err := s.config.Source.Resource(ctx, covered, t, id)
				if err != nil {
					return nil, err
				}
				if r != nil {
					list = append(list, &posture.Resource{Type: r.Type, ID: r.ID, ARN: r.ARN, Account: r.Account})
				}
			}
		}
	}
	slices.SortFunc(list, func(x, y *posture.Resource) int { return cmp.Compare(x.ARN, y.ARN) })
	return list, nil
}
