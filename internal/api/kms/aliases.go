package kms

import (
	"context"
	"strings"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/api/wire/kmswire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/kms"
	"github.com/kura-s3/kura/policy"
)

func (e edge) aliases() []*api.Op {
	return []*api.Op{
		onAlias(e, &kmswire.CreateAlias, func(in *kmswire.CreateAliasInput) (name, to *string) { return in.AliasName, in.TargetKeyId },
			func(ctx context.Context, g authz.Grant, account, name, to string) (*kmswire.CreateAliasOutput, error) {
				return &kmswire.CreateAliasOutput{}, e.keys.CreateAlias(ctx, g, account, name, to)
			}),
		onAlias(e, &kmswire.UpdateAlias, func(in *kmswire.UpdateAliasInput) (name, to *string) { return in.AliasName, in.TargetKeyId },
			func(ctx context.Context, g authz.Grant, account, name, to string) (*kmswire.UpdateAliasOutput, error) {
				return &kmswire.UpdateAliasOutput{}, e.keys.UpdateAlias(ctx, g, account, name, to)
			}),
		onAlias(e, &kmswire.DeleteAlias, func(in *kmswire.DeleteAliasInput) (name, to *string) { return in.AliasName, nil },
			func(ctx context.Context, g authz.Grant, account, name, _ string) (*kmswire.DeleteAliasOutput, error) {
				return &kmswire.DeleteAliasOutput{}, e.keys.DeleteAlias(ctx, g, account, name)
			}),
		anywhere(&kmswire.ListAliases, api.List, nil, e.listAliases),
	}
}

// onAlias declares an operation on an alias: it demands the action of its name on the alias, on the key
// that it points to, and on the one that it is to point to.
func onAlias[In, Out any](e edge, w *wire.Operation, read func(*In) (name, to *string), do func(ctx context.Context, g authz.Grant, account, name, to string) (*Out, error)) *api.Op {
	action := "kms:" + w.Name
	return api.Declare(api.Decl[In, Out]{
		Wire: w, Class: audit.Management, Access: api.Write,
		Demands: func(c *api.Call, in *In) ([]authz.Demand, error) {
			name, to := read(in)
			by := caller(c)
			// The key's policy has no say on the alias; the account's own policies have.
			demands := []authz.Demand{{Action: action, Resource: authz.Resource{
				ARN: kms.AliasARN(e.keys.Region(), by.Account, member.Text(name)), Account: by.Account,
			}, Keys: policy.Keys{"kms:calleraccount": {One: by.Account}}}}
			if from := e.keys.AliasTarget(by.Account, member.Text(name)); from != nil && w.Name != "CreateAlias" {
				demands = append(demands, e.keys.Demand(from, action, nil, "", by))
			}
			if to == nil {
				return demands, nil
			}
			t, err := e.aliasTarget(c, *to)
			if err != nil {
				return nil, err
			}
			return append(demands, e.demand(t, kms.Use{Action: action, By: by})), nil
		},
		Do: func(ctx context.Context, g authz.Grant, c *api.Call, in *In) (*Out, error) {
			name, to := read(in)
			id := ""
			if to != nil {
				t, err := e.aliasTarget(c, *to)
				if err != nil {
					return nil, err
				}
				id = t.ID
			}
			return do(ctx, g, caller(c).Account, member.Text(name), id)
		},
	})
}

// aliasTarget is the key that an alias is to point to, which is not named by an alias.
func (e edge) aliasTarget(c *api.Call, ref string) (target, error) {
	if strings.HasPrefix(ref, "alias/") || strings.Contains(ref, ":alias/") {
		return target{}, fault.New(kms.Invalid, "Aliases must refer to keys. Not aliases")
	}
	return e.find(c, &ref)
}

func (e edge) listAliases(_ context.Context, g authz.Grant, account string, in *kmswire.ListAliasesInput) (*kmswire.ListAliasesOutput, error) {
	id := ""
	if in.KeyId != nil {
		ref, err := kms.ParseRef(*in.KeyId, account, e.keys.Region())
		if err != nil {
			return nil, err
		}
		k, err := e.keys.Resolve(ref)
		if err != nil {
			return nil, err
		}
		if k.Account != account {
			return nil, fault.New(kms.NotFound, "Key '"+ref.ARN()+"' does not exist")
		}
		id = k.ID
	}
	list, err := e.keys.Aliases(g, account, id)
	if err != nil {
		return nil, err
	}
	p, err := pageOf(list, func(a *kms.Alias) string { return a.Name }, in.Limit, in.Marker, 50)
	if err != nil {
		return nil, err
	}
	return &kmswire.ListAliasesOutput{
		Aliases: member.Every(p.items, showAlias), Truncated: p.more, NextMarker: p.next,
	}, nil
}

func showAlias(a *kms.Alias) kmswire.AliasListEntry {
	shown := kmswire.AliasListEntry{AliasName: &a.Name, AliasArn: new(a.ARN())}
	if a.Target != "" {
		shown.TargetKeyId, shown.CreationDate, shown.LastUpdatedDate = &a.Target, &a.Created, &a.Updated
	}
	return shown
}
