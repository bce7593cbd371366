package kms

import (
	"slices"
	"strconv"
	"strings"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/policy"
)

// Use is one use of a key that somebody asks for, as far as it decides whether it is allowed.
type Use struct {
	Key *Key
	// Action is "kms:Decrypt".
	Action string
	// Context is the encryption context.
	Context map[string]string
	// Via is the service that uses the key with the caller's own permission, as kms:ViaService has it
	// ("s3.us-east-1.amazonaws.com"); "" for direct calls.
	Via string
	// By is who asks.
	By *policy.Principal
	// Alias is the name of the alias by which the request named the key, or "".
	Alias string
	// Granted: the operation itself gives the caller this right (who retires a grant).
	Granted bool
	// Passing is the grant that kms:CreateGrant is to make. Who may make grants by a grant alone may pass on
	// no more than it has.
	Passing *NewGrant
	// Keys are condition keys of the action beside those of every use.
	Keys authz.Keys
}

// Demand asks for a use of k: action in an encryption context, directly or by a service with the
// caller's own permission. See Use.
func (s *Store) Demand(k *Key, action string, context map[string]string, viaService string, by *policy.Principal) authz.Demand {
	return s.DemandUse(Use{Key: k, Action: action, Context: context, Via: viaService, By: by})
}

// DemandUse is Demand with all that can decide.
func (s *Store) DemandUse(u Use) authz.Demand {
	return authz.Demand{Action: u.Action, Resource: s.resource(&u), Keys: &useKeys{s, u}, Forwarded: u.Via != ""}
}

// resource is the key with what decides on its side: its policy alone, or a grant.
func (s *Store) resource(u *Use) authz.Resource {
	k := u.Key
	return authz.Resource{
		ARN: k.ARN, Account: k.Account, Policy: k.Policy, MustAllow: true,
		Granted: u.Granted || u.granted(),
	}
}

// ViaService is the name of a service as kms:ViaService has it.
func ViaService(service, region string) string { return service + "." + region + ".amazonaws.com" }

// useKeys are the condition keys of a use (AWS KMS Developer Guide, "Condition keys for AWS KMS").
type useKeys struct {
	store *Store
	use   Use
}

// Lookup implements authz.Keys.
func (u *useKeys) Lookup(key string) (policy.Values, bool) {
	if key == "kms:trailingdayswithoutkeyusage" {
		return policy.Values{One: strconv.Itoa(u.store.DaysWithoutUse(u.use.Key))}, idle[u.use.Action]
	}
	if u.use.Keys != nil {
		if v, ok := u.use.Keys.Lookup(key); ok {
			return v, true
		}
	}
	if get, ok := usesKeys[key]; ok {
		return get(&u.use)
	}
	if name, ok := strings.CutPrefix(key, "kms:encryptioncontext:"); ok {
		return contextValue(u.use.Context, name)
	}
	if name, ok := strings.CutPrefix(key, "aws:resourcetag/"); ok {
		return tagValue(u.use.Key.Tags, name)
	}
	return policy.Values{}, false
}

// idle are the actions that know kms:TrailingDaysWithoutKeyUsage.
var idle = map[string]bool{"kms:DisableKey": true, "kms:ScheduleKeyDeletion": true}

func one(s string) (policy.Values, bool) { return policy.Values{One: s}, s != "" }

func many(list []string) (policy.Values, bool) {
	return policy.Values{Many: list, Multi: true}, len(list) > 0
}

var usesKeys = map[string]func(*Use) (policy.Values, bool){
	"kms:calleraccount": func(u *Use) (policy.Values, bool) { return one(u.By.Account) },
	"kms:viaservice":    func(u *Use) (policy.Values, bool) { return one(u.Via) },
	"aws:viaawsservice": func(u *Use) (policy.Values, bool) { return one(strconv.FormatBool(u.Via != "")) },
	"kms:encryptioncontextkeys": func(u *Use) (policy.Values, bool) {
		names := make([]string, 0, len(u.Context))
		for name := range u.Context {
			names = append(names, name)
		}
		slices.Sort(names)
		return many(names)
	},
	"kms:keyspec":     func(u *Use) (policy.Values, bool) { return one(string(u.Key.Spec)) },
	"kms:keyusage":    func(u *Use) (policy.Values, bool) { return one(string(u.Key.Usage)) },
	"kms:keyorigin":   func(u *Use) (policy.Values, bool) { return one(string(u.Key.Origin)) },
	"kms:multiregion": func(*Use) (policy.Values, bool) { return one("false") },
	"kms:customermasterkeyspec": func(u *Use) (policy.Values, bool) {
		return one(string(u.Key.Spec))
	},
	"kms:customermasterkeyusage": func(u *Use) (policy.Values, bool) { return one(string(u.Key.Usage)) },
	"kms:requestalias":           func(u *Use) (policy.Values, bool) { return one(u.Alias) },
	"kms:resourcealiases":        func(u *Use) (policy.Values, bool) { return many(u.Key.Aliases) },
}

// contextValue is the value of a context pair, whose name is the same whatever its case.
func contextValue(context map[string]string, name string) (policy.Values, bool) {
	for k, v := range context {
		if strings.EqualFold(k, name) {
			return policy.Values{One: v}, true
		}
	}
	return policy.Values{}, false
}

func tagValue(tags []Tag, name string) (policy.Values, bool) {
	for _, t := range tags {
		if strings.EqualFold(t.Key, name) {
			return policy.Values{One: t.Value}, true
		}
	}
	return policy.Values{}, false
}
