package kms

import (
	"context"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/exposure"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/kmswire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/kms"
	"github.com/kura-s3/kura/policy"
)

func (e edge) grants() []*api.Op {
	return []*api.Op{
		onKey(e, &kmswire.CreateGrant, api.Permissions, deed[kmswire.CreateGrantInput]{
			key:     func(in *kmswire.CreateGrantInput) *string { return in.KeyId },
			tokens:  func(in *kmswire.CreateGrantInput) []string { return in.GrantTokens },
			context: func(in *kmswire.CreateGrantInput) map[string]string { return pairs(in.Constraints) },
			keys:    grantKeys,
			passing: newGrant,
			exposing: func(in *kmswire.CreateGrantInput) exposure.Change {
				made := newGrant(in)
				return exposure.Change{Added: []exposure.Statement{allowed(made.Grantee, made.Operations)}}
			},
		}, e.createGrant),
		onKey(e, &kmswire.ListGrants, api.List, deed[kmswire.ListGrantsInput]{
			key:  func(in *kmswire.ListGrantsInput) *string { return in.KeyId },
			keys: func(*kmswire.ListGrantsInput) policy.Keys { return direct() },
		}, e.listGrants),
		act[kmswire.RevokeGrantInput, kmswire.RevokeGrantOutput](e, &kmswire.RevokeGrant, api.Permissions, deed[kmswire.RevokeGrantInput]{
			key:  func(in *kmswire.RevokeGrantInput) *string { return in.KeyId },
			keys: func(*kmswire.RevokeGrantInput) policy.Keys { return direct() },
		}, func(ctx context.Context, g authz.Grant, k *kms.Key, in *kmswire.RevokeGrantInput) error {
			return e.keys.EndGrant(ctx, g, "kms:RevokeGrant", k.ID, member.Text(in.GrantId), member.True(in.DryRun))
		}),
		e.retireGrant(),
		anywhere(&kmswire.ListRetirableGrants, api.List, nil, e.listRetirableGrants),
	}
}

// direct: the request is not one that an AWS service makes for itself.
func direct() policy.Keys { return policy.Keys{"kms:grantisforawsresource": {One: "false"}} }

// pairs are the pairs of the one constraint.
func pairs(c *kmswire.GrantConstraints) map[string]string {
	switch {
	case c == nil:
		return nil
	case len(c.EncryptionContextEquals) > 0:
		return c.EncryptionContextEquals
	}
	return c.EncryptionContextSubset
}

func newGrant(in *kmswire.CreateGrantInput) *kms.NewGrant {
	n := &kms.NewGrant{
		Name: member.Text(in.Name), Grantee: member.Text(in.GranteePrincipal), Retiring: member.Text(in.RetiringPrincipal), Operations: texts[kmswire.GrantOperation, string](in.Operations),
	}
	if in.Constraints != nil {
		n.Equals, n.Subset = in.Constraints.EncryptionContextEquals, in.Constraints.EncryptionContextSubset
	}
	return n
}

func grantKeys(in *kmswire.CreateGrantInput) policy.Keys {
	k := many(direct(), "kms:GrantOperations", texts[kmswire.GrantOperation, string](in.Operations))
	one(k, "kms:GranteePrincipal", member.Text(in.GranteePrincipal))
	one(k, "kms:RetiringPrincipal", member.Text(in.RetiringPrincipal))
	if c := in.Constraints; c != nil {
		switch {
		case len(c.EncryptionContextEquals) > 0:
			one(k, "kms:GrantConstraintType", "EncryptionContextEquals")
		case len(c.EncryptionContextSubset) > 0:
			one(k, "kms:GrantConstraintType", "EncryptionContextSubset")
		}
	}
	return k
}

func (e edge) createGrant(ctx context.Context, g authz.Grant, k *kms.Key, in *kmswire.CreateGrantInput) (*kmswire.CreateGrantOutput, error) {
	made, err := e.keys.CreateGrant(ctx, g, k.ID, *newGrant(in), member.True(in.DryRun))
	if err != nil {
		return nil, err
	}
	return &kmswire.CreateGrantOutput{GrantId: &made.ID, GrantToken: new(e.keys.Token(k, made.ID))}, nil
}

func (e edge) listGrants(_ context.Context, g authz.Grant, k *kms.Key, in *kmswire.ListGrantsInput) (*kmswire.ListGrantsOutput, error) {
	list, err := e.keys.ListGrants(g, k, member.Text(in.GrantId), member.Text(in.GranteePrincipal))
	if err != nil {
		return nil, err
	}
	p, err := pageOf(list, func(x *kms.Grant) string { return x.ID }, in.Limit, in.Marker, 50)
	if err != nil {
		return nil, err
	}
	return &kmswire.ListGrantsOutput{
		Grants:    member.Every(p.items, func(x *kms.Grant) kmswire.GrantListEntry { return e.showGrant(k, x) }),
		Truncated: p.more, NextMarker: p.next,
	}, nil
}

func (e edge) listRetirableGrants(_ context.Context, g authz.Grant, _ string, in *kmswire.ListRetirableGrantsInput) (*kmswire.ListRetirableGrantsOutput, error) {
	list, err := e.keys.ListRetirable(g, member.Text(in.RetiringPrincipal))
	if err != nil {
		return nil, err
	}
	p, err := pageOf(list, func(x kms.KeyGrant) string { return x.ID }, in.Limit, in.Marker, 50)
	if err != nil {
		return nil, err
	}
	return &kmswire.ListRetirableGrantsOutput{
		Grants:    member.Every(p.items, func(x kms.KeyGrant) kmswire.GrantListEntry { return e.showGrant(x.Key, x.Grant) }),
		Truncated: p.more, NextMarker: p.next,
	}, nil
}

func (e edge) showGrant(k *kms.Key, x *kms.Grant) kmswire.GrantListEntry {
	grantee, retiring := e.keys.Shown(x)
	shown := kmswire.GrantListEntry{
		KeyId: &k.ARN, GrantId: &x.ID, Name: &x.Name, CreationDate: &x.Created, GranteePrincipal: &grantee, RetiringPrincipal: member.Given(retiring),
		IssuingAccount: new("arn:aws:iam::" + x.Issuer + ":root"), Operations: texts[string, kmswire.GrantOperation](x.Operations),
	}
	if len(x.Equals)+len(x.Subset) > 0 {
		shown.Constraints = &kmswire.GrantConstraints{EncryptionContextEquals: x.Equals, EncryptionContextSubset: x.Subset}
	}
	return shown
}

// retireGrant names its grant by a token, or by the key's ARN and the grant's id. Who the grant names as its
// retiring principal may, and its grantee when it says so, whatever policies allow.
func (e edge) retireGrant() *api.Op {
	type input = kmswire.RetireGrantInput
	const action = "kms:RetireGrant"
	find := func(c *api.Call, in *input) (target, string, error) {
		if in.GrantToken != nil {
			k, grant, err := e.keys.ReadToken(*in.GrantToken)
			if err != nil {
				return target{}, "", err
			}
			return target{Ref: kms.Ref{Account: k.Account, Region: k.Region, ID: k.ID}, key: k}, grant, nil
		}
		if in.KeyId == nil || in.GrantId == nil {
			return target{}, "", fault.New(kms.Invalid, "You must specify a grant token, or a grant ID and a key ARN.")
		}
		t, err := e.find(c, in.KeyId)
		return t, *in.GrantId, err
	}
	return api.Declare(api.Decl[input, kmswire.RetireGrantOutput]{
		Wire: &kmswire.RetireGrant, Class: audit.Management, Access: api.Permissions,
		Demands: func(c *api.Call, in *input) ([]authz.Demand, error) {
			t, grant, err := find(c, in)
			if err != nil {
				return nil, err
			}
			u := kms.Use{Action: action, By: caller(c)}
			if t.key != nil {
				u.Granted = e.keys.RetiredBy(t.key, grant, u.By)
				if x := t.key.GrantOf(grant); x != nil {
					kind, context := x.Constraint()
					u.Context, u.Keys = context, one(policy.Keys{}, "kms:GrantConstraintType", kind)
				}
			}
			return []authz.Demand{e.demand(t, u)}, nil
		},
		Do: func(ctx context.Context, g authz.Grant, c *api.Call, in *input) (*kmswire.RetireGrantOutput, error) {
			t, grant, err := find(c, in)
			if err == nil {
				err = t.missing
			}
			if err != nil {
				return nil, err
			}
			return &kmswire.RetireGrantOutput{}, e.keys.EndGrant(ctx, g, action, t.key.ID, grant, member.True(in.DryRun))
		},
	})
}
