package function

import (
	"context"
	"maps"
	"strings"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
)

// Concurrency of an account, and what of it no function can reserve.
const (
	Concurrency   = 1000
	minUnreserved = 100
)

// Reserve sets the reserved concurrency of a function, and needs lambda:PutFunctionConcurrency.
func (s *Store) Reserve(ctx context.Context, g authz.Grant, r Ref, n int) error {
	f, err := s.edit(ctx, g, "lambda:PutFunctionConcurrency", r, func(f *Function, _ *engine.Batch) error {
		if n < 0 {
			return invalid("1 validation error detected: Value '%d' at 'reservedConcurrentExecutions' failed to satisfy constraint: Member must have value greater than or equal to 0", n)
		}
		reserved := n
		for _, other := range s.of(f.Account) {
			if other.Reserved != nil && other.ID != f.ID {
				reserved += *other.Reserved
			}
		}
		if n > Concurrency || reserved > Concurrency-minUnreserved {
			return invalid("Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [%d].", minUnreserved)
		}
		f.Reserved = &n
		return nil
	})
	s.retire(f, err)
	return err
}

// Unreserve needs lambda:DeleteFunctionConcurrency.
func (s *Store) Unreserve(ctx context.Context, g authz.Grant, r Ref) error {
	f, err := s.edit(ctx, g, "lambda:DeleteFunctionConcurrency", r, func(f *Function, _ *engine.Batch) error {
		f.Reserved = nil
		return nil
	})
	s.retire(f, err)
	return err
}

// checkTags refuses names that are AWS's.
func checkTags(added map[string]string) error {
	for name := range added {
		if strings.HasPrefix(strings.ToLower(name), "aws:") {
			return invalid("System tags cannot be added or updated by requester: %s", name)
		}
	}
	return nil
}

// Tag needs lambda:TagResource.
func (s *Store) Tag(ctx context.Context, g authz.Grant, r Ref, added map[string]string) error {
	_, err := s.edit(ctx, g, "lambda:TagResource", r, func(f *Function, _ *engine.Batch) error {
		if err := checkTags(added); err != nil {
			return err
		}
		if f.Tags == nil {
			f.Tags = map[string]string{}
		}
		maps.Copy(f.Tags, added)
		if len(f.Tags) > maxTags {
			return invalid("The number of tags exceeds the limit of %d.", maxTags)
		}
		return nil
	})
	return err
}

// Untag needs lambda:UntagResource.
func (s *Store) Untag(ctx context.Context, g authz.Grant, r Ref, names []string) error {
	_, err := s.edit(ctx, g, "lambda:UntagResource", r, func(f *Function, _ *engine.Batch) error {
		for _, name := range names {
			delete(f.Tags, name)
		}
		return nil
	})
	return err
}
