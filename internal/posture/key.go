package posture

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/kura-s3/kura/policy"
)

// Key is a KMS key.
type Key struct {
	ID, ARN, Account string
	Manager          string // CUSTOMER or AWS
	State            string // Enabled, Disabled, PendingDeletion, PendingImport
	Spec             string // SYMMETRIC_DEFAULT, …
	Origin           string
	Usage            string
	Rotation         bool
	Description      string
	Created          time.Time
	Policy           string
	Grants           []KeyGrant
	Tags             []Tag

	// Document is Policy, compiled.
	Document *policy.Document
}

// KeyGrant is a grant of a KMS key. Grantee is an ARN, or the unique id behind one.
type KeyGrant struct {
	ID, Grantee string
	Operations  []string
}

// KeyFrom reads a key as the change feed tells of it, without its grants.
func KeyFrom(raw []byte) (*Resource, error) {
	var v struct {
		KeyID, ARN, Account, Description, State, Spec, Usage, Origin, Manager, Policy string
		Tags                                                                          []Tag
		Rotation                                                                      struct{ Enabled bool }
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		return nil, fmt.Errorf("posture: key: %w", err)
	}
	k := &Key{
		ID: v.KeyID, ARN: v.ARN, Account: v.Account, Manager: v.Manager, State: v.State, Spec: v.Spec, Origin: v.Origin, Usage: v.Usage,
		Rotation: v.Rotation.Enabled, Description: v.Description, Policy: v.Policy, Tags: v.Tags,
	}
	return k.Resource(), nil
}

// Resource is the key as a resource.
func (k *Key) Resource() *Resource {
	r := &Resource{Type: TypeKey, ID: k.ID, Name: k.ID, ARN: k.ARN, Account: k.Account, Created: k.Created, Tags: map[string]string{}, Key: k}
	for _, t := range k.Tags {
		r.Tags[t.Key] = t.Value
	}
	k.Document, r.Broken = policy.ParseString(k.Policy, policy.KeyPolicy)
	return r
}
