package posture

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/kura-s3/kura/policy"
)

// Names of bucket settings (docs/formats.md, "Access settings").
const (
	settingPolicy    = "policy"
	settingACL       = "acl"
	settingOwnership = "ownershipControls"
	settingBlock     = "publicAccessBlock"
)

// Groups that make an entry of an access control list public.
const (
	AllUsers           = "http://acs.amazonaws.com/groups/global/AllUsers"
	AuthenticatedUsers = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"
)

// Grant is an entry of an access control list: the canonical id of an account, or the URI of a group.
type Grant struct {
	ID         string `json:",omitempty"`
	URI        string `json:",omitempty"`
	Permission string `json:"P"`
}

// Public tells whether the entry is for everybody, or for everybody with an account.
func (g *Grant) Public() bool { return g.URI == AllUsers || g.URI == AuthenticatedUsers }

// Bucket is a bucket's configuration.
type Bucket struct {
	Name, Account, Canonical, Region string
	Created                          time.Time
	Versioning                       string // Off, Enabled, Suspended
	PolicyText                       string
	Policy                           *policy.Document // nil: none
	Ownership                        string           // BucketOwnerEnforced, …; "deleted"
	ACL                              []Grant
	Block                            policy.PublicAccessBlock
	BlockSet                         bool
	// Settings are all sub-resources as they are stored, by name.
	Settings map[string][]byte

	// public is what the policy lets everybody do, found once for all rules that ask.
	public func() access
}

// HasACLs tells whether access control lists mean anything in the bucket.
func (b *Bucket) HasACLs() bool { return b.Ownership != "BucketOwnerEnforced" }

// storedBucket is the form in which package object stores a bucket and tells of it.
type storedBucket struct {
	Name  string
	Owner struct{ Account, Canonical string }

	Region     string
	Created    time.Time
	Versioning uint8
	Tags       []struct{ Key, Value string }
	Settings   map[string][]byte
}

var versionings = []string{"Off", "Enabled", "Suspended"}

// allBlocked is what a bucket has on which nobody configured Block Public Access.
var allBlocked = policy.PublicAccessBlock{BlockPublicACLs: true, IgnorePublicACLs: true, BlockPublicPolicy: true, RestrictPublicBuckets: true}

// BucketFrom reads a bucket as package object stores it.
func BucketFrom(raw []byte) (*Resource, error) {
	var s storedBucket
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, fmt.Errorf("posture: bucket: %w", err)
	}
	if int(s.Versioning) >= len(versionings) {
		return nil, fmt.Errorf("posture: bucket %q: %w", s.Name, errUnknown)
	}
	b := &Bucket{
		Name: s.Name, Account: s.Owner.Account, Canonical: s.Owner.Canonical, Region: s.Region, Created: s.Created,
		Versioning: versionings[s.Versioning], Settings: s.Settings,
	}
	r := &Resource{
		Type: TypeBucket, ID: s.Name, Name: s.Name, ARN: "arn:aws:s3:::" + s.Name, Account: s.Owner.Account, Created: s.Created,
		Tags: map[string]string{}, Bucket: b,
	}
	for _, t := range s.Tags {
		r.Tags[t.Key] = t.Value
	}
	r.Broken = b.read()
	return r, nil
}

// read compiles the settings that decide about access.
func (b *Bucket) read() error {
	b.Ownership = "BucketOwnerEnforced"
	if raw := b.Settings[settingOwnership]; raw != nil {
		b.Ownership = string(raw)
	}
	if !slices.Contains([]string{"BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter", "deleted"}, b.Ownership) {
		return fmt.Errorf("%s: %w", settingOwnership, errUnknown)
	}
	b.Block, b.BlockSet = allBlocked, true
	if raw := b.Settings[settingBlock]; raw != nil {
		var stored struct {
			policy.PublicAccessBlock
			Deleted bool
		}
		if err := strictly(raw, &stored); err != nil {
			return fmt.Errorf("%s: %w", settingBlock, err)
		}
		b.Block, b.BlockSet = stored.PublicAccessBlock, !stored.Deleted
	}
	b.ACL = []Grant{{ID: b.Canonical, Permission: "FULL_CONTROL"}}
	if raw := b.Settings[settingACL]; raw != nil {
		var err error
		if b.ACL, err = readList(raw); err != nil {
			return err
		}
	}
	raw := b.Settings[settingPolicy]
	if raw == nil {
		return nil
	}
	b.PolicyText = string(raw)
	b.public = sync.OnceValue(func() access { return publicOf(b.Policy) })
	var err error
	if b.Policy, err = policy.Parse(bytes.Clone(raw), policy.Bucket); err != nil {
		return fmt.Errorf("%s: %w", settingPolicy, err)
	}
	return nil
}

// readList reads an access control list as it is stored.
func readList(raw []byte) ([]Grant, error) {
	var stored struct {
		Format int
		Grants []Grant
	}
	if err := strictly(raw, &stored); err != nil || stored.Format != 1 {
		return nil, fmt.Errorf("%s: %w", settingACL, errUnknown)
	}
	return stored.Grants, nil
}

// Effective is what Block Public Access says of the bucket, its own setting and its account's together.
func (b *Bucket) Effective(account Block) policy.PublicAccessBlock {
	return b.Block.Or(account.PublicAccessBlock)
}

// Grants are the entries of the access control list that have an effect.
func (b *Bucket) Grants(account Block) []Grant {
	if !b.HasACLs() {
		return nil
	}
	if !b.Effective(account).IgnorePublicACLs {
		return b.ACL
	}
	return slices.DeleteFunc(slices.Clone(b.ACL), func(g Grant) bool { return g.Public() })
}

// MFADelete tells whether versions can be deleted with a second factor only. Kura does not have it.
func (b *Bucket) MFADelete() bool { return false }

// Setting reads a sub-resource that is stored as JSON; found is false when there is none.
func (b *Bucket) Setting(name string, to any) (found bool, err error) {
	raw := b.Settings[name]
	if raw == nil {
		return false, nil
	}
	if err := json.Unmarshal(raw, to); err != nil {
		return true, fmt.Errorf("posture: %s of bucket %s: %w", name, b.Name, err)
	}
	return true, nil
}
