package posture

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/kura-s3/kura/policy"
)

// Kinds of Entity, as package identity has them.
const (
	KindUser   = "user"
	KindGroup  = "group"
	KindRole   = "role"
	KindPolicy = "policy"
	KindRoot   = "root"
)

// Entity is a user, group, role, customer managed policy or root user, in the form in which package
// identity tells of it in the change feed.
type Entity struct {
	Kind, ID, Account, Path, Name, ARN string
	Created                            time.Time
	Tags                               []Tag

	Inline   []struct{ Name, Document string }
	Attached []struct{ Name, ARN string }
	Boundary string
	Groups   []struct{ Name, ARN string }

	Password        bool
	PasswordChanged time.Time
	MFA             []string
	Keys            []AccessKey

	Trust, Pinned, Description string
	MaxSession                 int
	Service                    string

	Versions []struct {
		ID       string
		Created  time.Time
		Document string
	}
	Default        string
	Updated        time.Time
	Bounds         bool // the policy is somebody's permissions boundary
	PasswordPolicy *PasswordPolicy

	// TrustPolicy is Pinned, compiled; of roles.
	TrustPolicy *policy.Document `json:"-"`
}

// Tag of an entity.
type Tag struct{ Key, Value string }

// AccessKey is an access key of an entity.
type AccessKey struct {
	ID      string
	Active  bool
	Created time.Time
}

// PasswordPolicy is what an account demands of passwords.
type PasswordPolicy struct {
	MinimumPasswordLength                                                                  int
	RequireSymbols, RequireNumbers, RequireUppercaseCharacters, RequireLowercaseCharacters bool
	AllowUsersToChangePassword, HardExpiry                                                 bool
	MaxPasswordAge, PasswordReusePrevention                                                int
}

var entityTypes = map[string]string{KindUser: TypeUser, KindGroup: TypeGroup, KindRole: TypeRole, KindPolicy: TypePolicy}

// EntityKinds are the kinds of entity by the type of their resource.
var EntityKinds = map[string]string{TypeUser: KindUser, TypeGroup: KindGroup, TypeRole: KindRole, TypePolicy: KindPolicy}

// EntityFrom reads an entity. The root user is part of the account and no resource of its own: nil.
func EntityFrom(raw []byte) (*Resource, error) {
	e := &Entity{}
	if err := json.Unmarshal(raw, e); err != nil {
		return nil, fmt.Errorf("posture: entity: %w", err)
	}
	return e.Resource(), nil
}

// Resource is the entity as a resource; nil for the root user.
func (e *Entity) Resource() *Resource {
	typ := entityTypes[e.Kind]
	if typ == "" {
		return nil
	}
	r := &Resource{Type: typ, ID: e.ID, Name: e.Name, ARN: e.ARN, Account: e.Account, Created: e.Created, Tags: map[string]string{}, Entity: e}
	for _, t := range e.Tags {
		r.Tags[t.Key] = t.Value
	}
	if e.Kind != KindRole {
		return r
	}
	text := e.Pinned
	if text == "" {
		text = e.Trust
	}
	e.TrustPolicy, r.Broken = policy.ParseString(text, policy.Trust)
	return r
}

// Document is the text of a managed policy's default version.
func (e *Entity) Document() string {
	for i := range e.Versions {
		if e.Versions[i].ID == e.Default {
			return e.Versions[i].Document
		}
	}
	return ""
}
