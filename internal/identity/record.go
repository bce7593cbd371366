package identity

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// recordFormat numbers the JSON of every record under recordPrefix. A reader refuses what it does
// not know; a change of meaning takes the next number and a migration at Open.
const recordFormat = 1

// Keys of the store.
const (
	recordPrefix   = "a/r/" // recordPrefix kind "/" id: one entity
	revisionKey    = "a/rev"
	notePrefix     = "a/log/" // notePrefix revision: the records that it wrote
	lastUsedPrefix = "a/u/"   // lastUsedPrefix access key id: a hint that may be lost
)

// entity is one record. It is immutable once it is in a State; a change starts from a clone.
type entity interface {
	kind() Kind
	id() string
	// indexes yields every index key under which the entity is found.
	indexes(yield func(key string))
	// prepare makes what is kept beside the record: compiled policies and empty caches.
	prepare()
}

// Tag of an entity.
type Tag struct{ Key, Value string }

// inline is a policy that is part of the entity it applies to.
type inline struct {
	Name, Document string
	compiled       *compiled
}

// bindings are the policies that apply to a user, group or role.
type bindings struct {
	Inline   []inline `json:",omitempty"` // by name
	Attached []string `json:",omitempty"` // unique ids of managed policies, in the order attached
	Boundary string   `json:",omitempty"` // unique id of a managed policy
}

// header is what all entities with an IAM ARN share.
type header struct {
	Format  int
	ID      string
	Account string
	Path    string
	Name    string
	Created time.Time
	Tags    []Tag `json:",omitempty"`
}

func (h *header) id() string { return h.ID }
func (h *header) named(kind Kind) string {
	return nameIndex(h.Account, kind, indexName(kind, h.Path, h.Name))
}
func (h *header) arn(kind Kind) string { return ARN(h.Account, kind, h.Path, h.Name) }
func (h *header) head() *header        { return h }

// indexName is what an entity is unique by in its account: its name, for MFA devices and OIDC
// providers also its path.
func indexName(kind Kind, path, name string) string {
	if kind == KindMFA || kind == KindOIDCProvider {
		return path + name
	}
	return name
}

func nameIndex(account string, kind Kind, name string) string {
	return "n\x00" + account + "\x00" + string(kind) + "\x00" + strings.ToLower(name)
}

// account is an AWS account, with its root user.
type account struct {
	Format      int
	ID          string
	Name        string `json:",omitempty"`
	Email       string `json:",omitempty"`
	CanonicalID string
	Alias       string `json:",omitempty"`
	Created     time.Time
	Password    *PasswordPolicy `json:",omitempty"`
	Org         *membership     `json:",omitempty"`
	roots       *subjectCache
}

// user is an IAM user.
type user struct {
	header
	bindings
	Groups   []string      `json:",omitempty"` // unique ids
	Login    *loginProfile `json:",omitempty"`
	subjects *subjectCache
}

// group is an IAM group.
type group struct {
	header
	bindings
}

// role is an IAM role.
type role struct {
	header
	bindings
	Trust       string // as written
	Pinned      string // with unique ids in place of user and role ARNs
	Description string `json:",omitempty"`
	MaxSession  int    // seconds
	Service     string `json:",omitempty"` // of a service-linked role
	trust       *compiled
	subjects    *subjectCache
}

// managed is a managed policy.
type managed struct {
	header
	Description string `json:",omitempty"`
	Updated     time.Time
	Versions    []policyVersion // oldest first
	Default     string          // "v1"
	Issued      int             // versions ever made; the next is Issued+1
	compiled    *compiled       // of the default version
	bounds      *compiled       // the same, as a permissions boundary
	session     *compiled       // the same, as a session policy
}

type policyVersion struct {
	ID       string
	Created  time.Time
	Document string
}

// accessKey is a long-term access key of a user or of an account's root user.
type accessKey struct {
	Format  int
	ID      string
	Account string
	Owner   string // unique id of the user; the account id for root
	Created time.Time
	Active  bool
	Sealed  []byte // the secret
	cache   *credentialCache
}

func (a *account) kind() Kind   { return kindAccount }
func (a *account) id() string   { return a.ID }
func (u *user) kind() Kind      { return KindUser }
func (g *group) kind() Kind     { return KindGroup }
func (r *role) kind() Kind      { return KindRole }
func (p *managed) kind() Kind   { return KindPolicy }
func (k *accessKey) kind() Kind { return kindKey }
func (k *accessKey) id() string { return k.ID }

func (a *account) indexes(yield func(string)) {
	yield("n\x00\x00account\x00" + a.ID)
	yield("c\x00" + a.CanonicalID)
	if a.Alias != "" {
		yield(aliasIndex(a.Alias))
	}
	if a.Email != "" {
		yield(emailIndex(a.Email))
	}
	if a.Org != nil {
		yield(childIndex(a.Org.Parent, kindAccount, a.ID))
		targetIndexes(a.Org.Policies, a.ID, yield)
	}
}

func aliasIndex(alias string) string { return "l\x00" + alias }
func emailIndex(email string) string { return "e\x00" + strings.ToLower(email) }

func (u *user) indexes(yield func(string)) {
	yield(u.named(KindUser))
	for _, g := range u.Groups {
		yield(memberIndex(g) + strings.ToLower(u.Name))
	}
	u.bindings.indexes(KindUser, u.Name, yield)
}

func memberIndex(groupID string) string { return "m\x00" + groupID + "\x00" }

func (g *group) indexes(yield func(string)) {
	yield(g.named(KindGroup))
	g.bindings.indexes(KindGroup, g.Name, yield)
}

func (r *role) indexes(yield func(string)) {
	yield(r.named(KindRole))
	r.bindings.indexes(KindRole, r.Name, yield)
}

func (b *bindings) indexes(kind Kind, name string, yield func(string)) {
	for _, p := range b.Attached {
		yield(attachIndex(p, false) + string(kind) + "\x00" + strings.ToLower(name))
	}
	if b.Boundary != "" {
		yield(attachIndex(b.Boundary, true) + string(kind) + "\x00" + strings.ToLower(name))
	}
}

// attachIndex is the prefix of the entities that a managed policy is attached to, or bounds.
func attachIndex(policyID string, boundary bool) string {
	if boundary {
		return "b\x00" + policyID + "\x00"
	}
	return "t\x00" + policyID + "\x00"
}

func (p *managed) indexes(yield func(string)) { yield(p.named(KindPolicy)) }

func (k *accessKey) indexes(yield func(string)) {
	yield(ownedIndex(k.Owner) + k.Created.UTC().Format(time.RFC3339Nano) + "\x00" + k.ID)
}

// ownedIndex is the prefix of the access keys that a user or root has, oldest first.
func ownedIndex(owner string) string { return "k\x00" + owner + "\x00" }

// blanks makes an empty entity of each kind, to decode into.
var blanks = map[Kind]func() entity{
	kindAccount:         func() entity { return new(account) },
	KindUser:            func() entity { return new(user) },
	KindGroup:           func() entity { return new(group) },
	KindRole:            func() entity { return new(role) },
	KindPolicy:          func() entity { return new(managed) },
	KindInstanceProfile: func() entity { return new(profile) },
	KindMFA:             func() entity { return new(mfaDevice) },
	KindOIDCProvider:    func() entity { return new(provider) },
	kindKey:             func() entity { return new(accessKey) },
	kindTokenKey:        func() entity { return new(tokenKey) },
	kindOrg:             func() entity { return new(organization) },
	kindOU:              func() entity { return new(unit) },
	kindSCP:             func() entity { return new(control) },
	kindAttempt:         func() entity { return new(attempt) },
}

// decode reads the record under key.
func decode(key string, value []byte) (entity, error) {
	kind, id, ok := cutRecordKey(key)
	blank := blanks[kind]
	if !ok || blank == nil {
		return nil, fmt.Errorf("identity: record %q is of no known kind", key)
	}
	var f struct{ Format int }
	if err := json.Unmarshal(value, &f); err != nil {
		return nil, fmt.Errorf("identity: record %q: %w", key, err)
	}
	if f.Format != recordFormat {
		return nil, fmt.Errorf("identity: record %q has format %d; this Kura knows %d", key, f.Format, recordFormat)
	}
	e := blank()
	if err := json.Unmarshal(value, e); err != nil {
		return nil, fmt.Errorf("identity: record %q: %w", key, err)
	}
	if e.id() != id {
		return nil, fmt.Errorf("identity: record %q holds the entity %q", key, e.id())
	}
	return e, nil
}

// cutRecordKey takes a storage key apart.
func cutRecordKey(key string) (kind Kind, id string, ok bool) {
	rest, ok := strings.CutPrefix(key, recordPrefix)
	k, id, found := strings.Cut(rest, "/")
	return Kind(k), id, ok && found
}
