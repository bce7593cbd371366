package identity

import (
	"context"
	"slices"
	"strings"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/policy"
)

// inlineQuota is how large all inline policies of one entity may be together.
var inlineQuota = map[Kind]int{
	KindUser: policy.MaxInlineUser, KindGroup: policy.MaxInlineGroup, KindRole: policy.MaxInlineRole,
}

// InlinePolicy is a policy that is part of a user, group or role.
type InlinePolicy struct{ Name, Document string }

// editHolder changes a copy of the user, group or role that r names, under a Grant for action.
func (s *Store) editHolder(ctx context.Context, g authz.Grant, action string, r Ref, fn func(*change, holder) error) error {
	return s.change(ctx, g, func(tx *change) error {
		if err := g.Require(action, tx.arn(r)); err != nil {
			return err
		}
		h, err := tx.holder(r)
		if err != nil {
			return err
		}
		h = h.twin().(holder)
		if err := modifiable(h); err != nil {
			return err
		}
		if err := fn(tx, h); err != nil {
			return err
		}
		tx.set(h)
		return nil
	})
}

// modifiable errs for roles that only the service they belong to may change.
func modifiable(h resource) error {
	if r, ok := h.(*role); ok && r.Service != "" {
		return refuse(UnmodifiableEntity, "Cannot perform the operation on the protected role '%s' - this role is only modifiable by AWS", r.Name)
	}
	return nil
}

func (s *State) holder(r Ref) (holder, error) {
	e, err := s.ref(r)
	if err != nil {
		return nil, err
	}
	h, ok := e.(holder)
	if !ok {
		return nil, notFound(r.Kind, r.Name)
	}
	return h, nil
}

// readHolder finds the user, group or role that r names, under a Grant for action.
func (s *Store) readHolder(g authz.Grant, action string, r Ref) (*State, holder, error) {
	state := s.state.Load()
	if err := g.Require(action, state.arn(r)); err != nil {
		return nil, nil, err
	}
	h, err := state.holder(r)
	return state, h, err
}

// PutInlinePolicy is PutUserPolicy, PutGroupPolicy and PutRolePolicy: it adds or replaces.
func (s *Store) PutInlinePolicy(ctx context.Context, g authz.Grant, r Ref, name, document string) error {
	if err := checkPattern("policyName", name, 128, nameShape, namePattern); err != nil {
		return err
	}
	if _, err := parsePolicy(document, policy.Identity); err != nil {
		return err
	}
	return s.editHolder(ctx, g, "iam:Put"+titles[r.Kind]+"Policy", r, func(_ *change, h holder) error {
		b := h.bound()
		i, found := b.inlineAt(name)
		if found {
			b.Inline[i].Document = document
		} else {
			b.Inline = slices.Insert(b.Inline, i, inline{Name: name, Document: document})
		}
		return checkInlineSize(h)
	})
}

// inlineAt is where the inline policy of the name is, or would be inserted.
func (b *bindings) inlineAt(name string) (int, bool) {
	return slices.BinarySearchFunc(b.Inline, name, func(p inline, name string) int { return strings.Compare(p.Name, name) })
}

func checkInlineSize(h holder) error {
	total := 0
	for _, p := range h.bound().Inline {
		doc, err := parsePolicy(p.Document, policy.Identity)
		if err != nil {
			return err
		}
		total += doc.Size()
	}
	if limit := inlineQuota[h.kind()]; total > limit {
		return refuse(LimitExceeded, "Maximum policy size of %d bytes exceeded for %s %s", limit, h.kind(), h.head().Name)
	}
	return nil
}

// noInline is NoSuchEntity for an inline policy.
func noInline(h holder, name string) error {
	return refuse(NoSuchEntity, "The %s policy with name %s cannot be found.", h.kind(), name)
}

// GetInlinePolicy is GetUserPolicy, GetGroupPolicy and GetRolePolicy.
func (s *Store) GetInlinePolicy(_ context.Context, g authz.Grant, r Ref, name string) (*InlinePolicy, error) {
	_, h, err := s.readHolder(g, "iam:Get"+titles[r.Kind]+"Policy", r)
	if err != nil {
		return nil, err
	}
	i, found := h.bound().inlineAt(name)
	if !found {
		return nil, noInline(h, name)
	}
	return &InlinePolicy{Name: name, Document: h.bound().Inline[i].Document}, nil
}

// ListInlinePolicies is ListUserPolicies, ListGroupPolicies and ListRolePolicies.
func (s *Store) ListInlinePolicies(_ context.Context, g authz.Grant, r Ref, p Page) (*Listed[string], error) {
	_, h, err := s.readHolder(g, "iam:List"+titles[r.Kind]+"Policies", r)
	if err != nil {
		return nil, err
	}
	return pageOf(h.bound().Inline, p, func(p inline) string { return p.Name })
}

// DeleteInlinePolicy is DeleteUserPolicy, DeleteGroupPolicy and DeleteRolePolicy.
func (s *Store) DeleteInlinePolicy(ctx context.Context, g authz.Grant, r Ref, name string) error {
	return s.editHolder(ctx, g, "iam:Delete"+titles[r.Kind]+"Policy", r, func(_ *change, h holder) error {
		b := h.bound()
		i, found := b.inlineAt(name)
		if !found {
			return noInline(h, name)
		}
		b.Inline = slices.Delete(b.Inline, i, i+1)
		return nil
	})
}
