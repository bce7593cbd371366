package iam

import (
	"reflect"
	"strings"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/identity"
	"github.com/kura-s3/kura/policy"
)

// target is what a request is about.
type target struct {
	identity.Ref
	arn string
}

// resource of IAM belongs to the caller's account: there is no way to name another's.
func (on target) resource() authz.Resource { return authz.Resource{ARN: on.arn, Account: on.Account} }

// finder finds what a request is about. It tells nothing about whether that exists.
type finder func(e edge, p policy.Principal, in input) (target, error)

// The usual ways in which an input names what it is about.
var (
	user            = named(identity.KindUser, "UserName")
	userOrCaller    = namedOrCaller("UserName", false)
	userRootOrSelf  = namedOrCaller("UserName", true)
	group           = named(identity.KindGroup, "GroupName")
	role            = named(identity.KindRole, "RoleName")
	instanceProfile = named(identity.KindInstanceProfile, "InstanceProfileName")
	managedPolicy   = named(identity.KindPolicy, "PolicyArn")
	device          = named(identity.KindMFA, "SerialNumber")
	provider        = named(identity.KindOIDCProvider, "OpenIDConnectProviderArn")
)

// anything is for operations without a resource.
func anything(_ edge, p policy.Principal, _ input) (target, error) {
	return target{identity.Ref{Account: p.Account}, "*"}, nil
}

// named finds an entity by the member that has its name or ARN.
func named(kind identity.Kind, member string) finder {
	return func(e edge, p policy.Principal, in input) (target, error) {
		return e.target(identity.Ref{Kind: kind, Account: p.Account, Name: in.text(member)}), nil
	}
}

// rootName is what a root caller may call itself where the API model requires a name, unless a user
// bears it.
const rootName = "root"

// namedOrCaller finds a user by name, and the caller when the member is left out. Of root callers
// it means their account's root user where that is allowed.
func namedOrCaller(member string, root bool) finder {
	return func(e edge, p policy.Principal, in input) (target, error) {
		ref := identity.Ref{Kind: identity.KindUser, Account: p.Account, Name: in.text(member)}
		if root && p.Type == policy.RootUser && ref.Name == rootName {
			if _, taken := e.identities.UniqueID(e.identities.ResourceARN(ref)); !taken {
				ref.Name = ""
			}
		}
		if ref.Name == "" && !(root && p.Type == policy.RootUser) {
			var err error
			if ref.Name, err = identity.CallerName(p); err != nil {
				return target{}, err
			}
		}
		return e.target(ref), nil
	}
}

// self is for what users do for themselves only.
func self(e edge, p policy.Principal, _ input) (target, error) {
	name, err := identity.CallerName(p)
	return e.target(identity.Ref{Kind: identity.KindUser, Account: p.Account, Name: name}), err
}

// created is the entity that the request wants to make.
func created(kind identity.Kind, member string) finder {
	return func(_ edge, p policy.Principal, in input) (target, error) {
		path := in.text("Path")
		if path == "" {
			path = "/"
		}
		name := in.text(member)
		return target{identity.Ref{Kind: kind, Account: p.Account, Name: name}, identity.ARN(p.Account, kind, path, name)}, nil
	}
}

// principalARN is a user, group or role of the caller's account that is named by its ARN.
func principalARN(member string) finder {
	return func(e edge, p policy.Principal, in input) (target, error) {
		arn := in.text(member)
		ref := identity.Ref{Account: p.Account, Name: arn}
		if rest, ok := strings.CutPrefix(arn, "arn:aws:iam::"+p.Account+":"); ok {
			kind, _, _ := strings.Cut(rest, "/")
			ref.Kind, ref.Name = identity.Kind(kind), arn[strings.LastIndexByte(arn, '/')+1:]
		}
		return target{ref, arn}, nil
	}
}

func (e edge) target(ref identity.Ref) target {
	if ref.Kind == identity.KindUser && ref.Name == "" {
		return target{ref, identity.RootARN(ref.Account)}
	}
	return target{ref, e.identities.ResourceARN(ref)}
}

// input is a decoded input whose members go by their names.
type input struct{ reflect.Value }

func inputOf(in any) input { return input{reflect.ValueOf(in).Elem()} }

// text of a member; "" when it was left out. A member that the input does not have is a mistake in
// this package's tables, which the test of all operations finds.
func (in input) text(member string) string {
	s, _ := in.FieldByName(member).Interface().(*string)
	if s == nil {
		return ""
	}
	return *s
}

// has tells whether the input has the member, given or not.
func (in input) has(member string) bool { return in.FieldByName(member).IsValid() }
