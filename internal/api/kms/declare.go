package kms

import (
	"context"
	"strings"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/exposure"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/kms"
	"github.com/kura-s3/kura/policy"
)

// deed says how an operation's input names its key, and what else decides.
type deed[In any] struct {
	// key is what names the key. Required.
	key func(*In) *string
	// context is the encryption context. Optional.
	context func(*In) map[string]string
	// tokens are the grant tokens. Optional.
	tokens func(*In) []string
	// keys are the condition keys of the operation's own. Optional.
	keys func(*In) policy.Keys
	// passing is the grant that is to be made. Optional.
	passing func(*In) *kms.NewGrant
	// exposing is what becomes of who may use the key: After or Added of a change. Optional.
	exposing func(*In) exposure.Change
}

// asked is what an input asks for, as far as it decides.
type asked struct {
	use    kms.Use
	tokens []string
}

func (d *deed[In]) use(in *In) asked {
	var a asked
	if d.keys != nil {
		a.use.Keys = d.keys(in)
	}
	if d.context != nil {
		a.use.Context = d.context(in)
	}
	if d.tokens != nil {
		a.tokens = d.tokens(in)
	}
	if d.passing != nil {
		a.use.Passing = d.passing(in)
	}
	return a
}

// target is the key that a request names.
type target struct {
	kms.Ref
	key *kms.Key
	// missing is why there is none.
	missing error
}

func caller(c *api.Call) *policy.Principal { return &c.Caller.Subject.Principal }

// find resolves what a request means by a key.
func (e edge) find(c *api.Call, ref *string) (target, error) {
	var t target
	var err error
	if t.Ref, err = kms.ParseRef(member.Text(ref), caller(c).Account, e.keys.Region()); err != nil {
		return t, err
	}
	t.key, t.missing = e.keys.Resolve(t.Ref)
	return t, nil
}

// demand asks for action on the target. Of a key that does not exist only the caller's own policies say
// whether the caller hears so.
func (e edge) demand(t target, u kms.Use) authz.Demand {
	if t.key == nil {
		return authz.Demand{Action: u.Action, Resource: authz.Resource{ARN: t.ARN(), Account: t.Account}, Keys: u.Keys}
	}
	u.Key, u.Alias = t.key, t.Alias
	return e.keys.DemandUse(u)
}

// demands of an operation on one key, which is nil where it is missing.
func (e edge) demands(c *api.Call, action string, a asked, ref *string) ([]authz.Demand, *kms.Key, error) {
	t, err := e.find(c, ref)
	if err == nil {
		err = e.keys.CheckTokens(a.tokens)
	}
	if err != nil {
		return nil, nil, err
	}
	a.use.Action, a.use.By = action, caller(c)
	return []authz.Demand{e.demand(t, a.use)}, t.key, nil
}

// exposed gives the demand of a change the condition keys of what it exposes. The key's grants decide beside its
// policy; the judgement holds for the key as it is.
func (e edge) exposed(d *authz.Demand, k *kms.Key, change func() exposure.Change) {
	d.Keys = e.exposes.Keys(d.Keys, func() exposure.Change {
		c := change()
		c.ARN, c.Account, c.Kind, c.Before, c.Was = k.ARN, k.Account, policy.KeyPolicy, k.Policy, k
		for _, g := range k.Grants() {
			c.Standing = append(c.Standing, standing(g))
		}
		return c
	})
}

// standing is what a grant allows. Those whom it names by unique ids are named so in policies too.
func standing(g *kms.Grant) exposure.Statement {
	grantee := g.GranteeID
	if grantee == "" {
		grantee = g.Grantee
	}
	s := allowed(grantee, g.Operations)
	if _, pairs := g.Constraint(); len(pairs) > 0 {
		equal := map[string]string{}
		for name, value := range pairs {
			equal["kms:EncryptionContext:"+name] = value
		}
		s.Condition = map[string]map[string]string{"StringEquals": equal}
	}
	return s
}

// allowed is a statement that allows a grant's operations.
func allowed(grantee string, operations []string) exposure.Statement {
	s := exposure.Statement{Principal: map[string]string{"AWS": grantee}}
	for _, op := range operations {
		s.Actions = append(s.Actions, "kms:"+op)
	}
	return s
}

// uses are the operations that work with a key and change nothing: CloudTrail has them as read-only (KMS
// Developer Guide, "Log entries").
var uses = map[string]bool{
	"Encrypt": true, "Decrypt": true, "ReEncrypt": true, "GenerateDataKey": true, "GenerateDataKeyWithoutPlaintext": true, "GenerateDataKeyPair": true,
	"GenerateDataKeyPairWithoutPlaintext": true, "GenerateRandom": true, "GenerateMac": true, "VerifyMac": true, "Sign": true, "Verify": true,
	"DeriveSharedSecret": true,
}

// onKey declares an operation on one key: it demands the action of its name on that key.
func onKey[In, Out any](e edge, w *wire.Operation, access api.Access, d deed[In], do func(context.Context, authz.Grant, *kms.Key, *In) (*Out, error)) *api.Op {
	action := "kms:" + w.Name
	return api.Declare(api.Decl[In, Out]{
		Wire: w, Class: audit.Management, Access: access, ReadEvent: uses[w.Name],
		Demands: func(c *api.Call, in *In) ([]authz.Demand, error) {
			demands, k, err := e.demands(c, action, d.use(in), d.key(in))
			if k != nil && d.exposing != nil {
				e.exposed(&demands[0], k, func() exposure.Change { return d.exposing(in) })
			}
			return demands, err
		},
		Do: func(ctx context.Context, g authz.Grant, c *api.Call, in *In) (*Out, error) {
			t, err := e.find(c, d.key(in))
			if err == nil {
				err = t.missing
			}
			if err != nil {
				return nil, err
			}
			// Some operations are answered here, without the domain; this is their check.
			if err := g.Require(action, t.key.ARN); err != nil {
				return nil, err
			}
			return do(ctx, g, t.key, in)
		},
	})
}

// act is onKey for operations whose output has no members.
func act[In, Out any](e edge, w *wire.Operation, access api.Access, d deed[In], do func(context.Context, authz.Grant, *kms.Key, *In) error) *api.Op {
	return onKey(e, w, access, d, func(ctx context.Context, g authz.Grant, k *kms.Key, in *In) (*Out, error) {
		return new(Out), do(ctx, g, k, in)
	})
}

// anywhere declares an operation without a key: it demands the action of its name on "*".
func anywhere[In, Out any](w *wire.Operation, access api.Access, keys func(*In) policy.Keys, do func(context.Context, authz.Grant, string, *In) (*Out, error)) *api.Op {
	action := "kms:" + w.Name
	return api.Declare(api.Decl[In, Out]{
		Wire: w, Class: audit.Management, Access: access, ReadEvent: uses[w.Name],
		Demands: func(c *api.Call, in *In) ([]authz.Demand, error) {
			account := caller(c).Account
			k := policy.Keys{"kms:calleraccount": {One: account}}
			if keys != nil {
				for name, v := range keys(in) {
					k[name] = v
				}
			}
			return c.Need(action, authz.Resource{ARN: "*", Account: account}, k), nil
		},
		Do: func(ctx context.Context, g authz.Grant, c *api.Call, in *In) (*Out, error) {
			if err := g.Require(action, "*"); err != nil {
				return nil, err
			}
			return do(ctx, g, caller(c).Account, in)
		},
	})
}

// absent refuses members that ask for what Kura does not have (attested enclaves, custom key stores).
func absent(members ...bool) error {
	for _, asked := range members {
		if asked {
			return fault.New(api.NotImplemented, "")
		}
	}
	return nil
}

// one is a condition key with one value; none when it is empty.
func one(k policy.Keys, key, value string) policy.Keys {
	if value != "" {
		k[strings.ToLower(key)] = policy.Values{One: value}
	}
	return k
}

func many(k policy.Keys, key string, values []string) policy.Keys {
	if len(values) > 0 {
		k[strings.ToLower(key)] = policy.Values{Many: values, Multi: true}
	}
	return k
}

// flag is "true" or "false".
func flag(b bool) string {
	if b {
		return "true"
	}
	return "false"
}
