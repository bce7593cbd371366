package identity

import (
	"context"
	"slices"
	"strings"

	"github.com/kura-s3/kura/internal/authz"
)

// attachQuota is how many managed policies one entity may have attached (AWS's raised quotas).
var attachQuota = map[Kind]int{KindUser: 20, KindGroup: 10, KindRole: 20}

// AttachedPolicy names a managed policy.
type AttachedPolicy struct{ Name, ARN string }

// AttachPolicy is AttachUserPolicy, AttachGroupPolicy and AttachRolePolicy. Attaching again changes
// nothing.
func (s *Store) AttachPolicy(ctx context.Context, g authz.Grant, r Ref, policyARN string) error {
	return s.editHolder(ctx, g, "iam:Attach"+titles[r.Kind]+"Policy", r, func(tx *change, h holder) error {
		p, err := tx.attachable(r.Account, policyARN)
		if err != nil {
			return err
		}
		b := h.bound()
		if slices.Contains(b.Attached, p.ID) {
			return nil
		}
		if limit := attachQuota[r.Kind]; len(b.Attached) >= limit {
			return refuse(LimitExceeded, "Cannot exceed quota for PoliciesPer%s: %d", titles[r.Kind], limit)
		}
		b.Attached = append(b.Attached, p.ID)
		return nil
	})
}

// DetachPolicy is DetachUserPolicy, DetachGroupPolicy and DetachRolePolicy.
func (s *Store) DetachPolicy(ctx context.Context, g authz.Grant, r Ref, policyARN string) error {
	return s.editHolder(ctx, g, "iam:Detach"+titles[r.Kind]+"Policy", r, func(tx *change, h holder) error {
		b := h.bound()
		p, ok := byARN[*managed](tx.State, policyARN)
		if !ok || !slices.Contains(b.Attached, p.ID) {
			return notFound(KindPolicy, policyARN)
		}
		b.Attached = slices.DeleteFunc(b.Attached, func(id string) bool { return id == p.ID })
		return nil
	})
}

// ListAttachedPolicies is ListAttachedUserPolicies and its like for groups and roles.
func (s *Store) ListAttachedPolicies(_ context.Context, g authz.Grant, r Ref, pathPrefix string, p Page) (*Listed[AttachedPolicy], error) {
	state, h, err := s.readHolder(g, "iam:ListAttached"+titles[r.Kind]+"Policies", r)
	if err != nil {
		return nil, err
	}
	return pageOf(state.attached(h.bound(), pathPrefix), p, func(p AttachedPolicy) AttachedPolicy { return p })
}

// attached are the managed policies of b whose path begins with pathPrefix.
func (s *State) attached(b *bindings, pathPrefix string) []AttachedPolicy {
	var list []AttachedPolicy
	for _, id := range b.Attached {
		if m, ok := byID[*managed](s, KindPolicy, id); ok && strings.HasPrefix(m.Path, pathPrefix) {
			list = append(list, AttachedPolicy{m.Name, arnOf(m)})
		}
	}
	return list
}

// PutPermissionsBoundary sets the boundary of a user or role.
func (s *Store) PutPermissionsBoundary(ctx context.Context, g authz.Grant, r Ref, policyARN string) error {
	if err := boundable(r); err != nil {
		return err
	}
	return s.editHolder(ctx, g, "iam:Put"+titles[r.Kind]+"PermissionsBoundary", r, func(tx *change, h holder) error {
		p, err := tx.attachable(r.Account, policyARN)
		if err != nil {
			return err
		}
		h.bound().Boundary = p.ID
		return nil
	})
}

// DeletePermissionsBoundary takes the boundary of a user or role away.
func (s *Store) DeletePermissionsBoundary(ctx context.Context, g authz.Grant, r Ref) error {
	if err := boundable(r); err != nil {
		return err
	}
	return s.editHolder(ctx, g, "iam:Delete"+titles[r.Kind]+"PermissionsBoundary", r, func(_ *change, h holder) error {
		h.bound().Boundary = ""
		return nil
	})
}

func boundable(r Ref) error {
	if r.Kind != KindUser && r.Kind != KindRole {
		return refuse(InvalidInput, "A %s cannot have a permissions boundary.", r.Kind)
	}
	return nil
}

// BoundaryARN is the permissions boundary of a user or role, "" for none: the condition key
// iam:PermissionsBoundary of operations on it.
func (s *Store) BoundaryARN(r Ref) string {
	state := s.state.Load()
	h, err := state.holder(r)
	if err != nil {
		return ""
	}
	return state.policyARN(h.bound().Boundary)
}
