package kms

import (
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/policy"
)

// State of a key, in AWS's words.
type State string

// The states.
const (
	Enabled         State = "Enabled"
	DisabledState   State = "Disabled"
	PendingDeletion State = "PendingDeletion"
	PendingImport   State = "PendingImport"
)

// Spec is what kind of material a key has.
type Spec string

// Usage is what a key is for.
type Usage string

// The usages.
const (
	EncryptDecrypt    Usage = "ENCRYPT_DECRYPT"
	SignVerify        Usage = "SIGN_VERIFY"
	GenerateVerifyMAC Usage = "GENERATE_VERIFY_MAC"
	KeyAgreement      Usage = "KEY_AGREEMENT"
)

// Origin is where a key's material comes from.
type Origin string

// The origins.
const (
	OriginKMS      Origin = "AWS_KMS"
	OriginExternal Origin = "EXTERNAL"
)

// Manager is who manages a key.
type Manager string

// The managers.
const (
	ManagedByCustomer Manager = "CUSTOMER"
	ManagedByAWS      Manager = "AWS"
)

// Tag of a key.
type Tag struct{ Key, Value string }

// Rotation of a key's material.
type Rotation struct {
	Enabled bool
	// Days from one rotation to the next.
	Days int
	// Next is when the material is rotated by itself.
	Next time.Time
	// OnDemand counts the rotations that were asked for.
	OnDemand int
}

// MaterialInfo is what is known of one of a key's materials. The newest encrypts, all decrypt.
type MaterialInfo struct {
	Number uint32
	// ID is 64 hex digits that tell one material from another and nothing about it.
	ID      string
	Created time.Time
	// How it came into use: "AUTOMATIC", "ON_DEMAND", or "" for the first.
	How string `json:",omitempty"`
	// Gone: imported material that was deleted or has expired. The same may be imported again.
	Gone bool `json:",omitempty"`
	// Expires is when imported material is deleted; zero: never.
	Expires time.Time `json:",omitzero"`
}

// Key is a key as it was at one moment. Nobody changes it: a change makes another one.
type Key struct {
	ID, ARN, Account, Region string
	Description              string
	State                    State
	Spec                     Spec
	Usage                    Usage
	Origin                   Origin
	Manager                  Manager
	Created                  time.Time
	// Deletion is when a key that is pending deletion will be erased, and Window the days that were asked for.
	Deletion time.Time
	Window   int
	Tags     []Tag
	Rotation Rotation
	// Policy decides who may use the key. Users and roles stand in it by their unique ids.
	Policy *policy.Document
	// Written is the policy's text as it was put.
	Written string
	// Materials, oldest first. None until the first import.
	Materials []MaterialInfo
	// Aliases are the names of the aliases that point to the key, in order.
	Aliases []string

	revision engine.Version
	grants   *grantSet
}

// current is the material that encrypts; nil when there is none.
func (k *Key) current() *MaterialInfo {
	if n := len(k.Materials); n > 0 && !k.Materials[n-1].Gone {
		return &k.Materials[n-1]
	}
	return nil
}

// CurrentMaterial is the id of the material that encrypts, "" when there is none.
func (k *Key) CurrentMaterial() string {
	if m := k.current(); m != nil {
		return m.ID
	}
	return ""
}

// Expires is when the imported material expires; zero: never, or there is none.
func (k *Key) Expires() time.Time {
	if m := k.current(); m != nil {
		return m.Expires
	}
	return time.Time{}
}

// clone is a copy that may be changed.
func (k *Key) clone() *Key {
	next := *k
	next.Tags = slices.Clone(k.Tags)
	next.Materials = slices.Clone(k.Materials)
	next.Aliases = slices.Clone(k.Aliases)
	return &next
}

// symmetric tells the keys that wrap data under an encryption context.
func (k *Key) symmetric() bool { return k.Spec == SymmetricDefault }

// KeyARN is the ARN of a key.
func KeyARN(region, account, id string) string {
	return "arn:aws:kms:" + region + ":" + account + ":key/" + id
}

// AliasARN is the ARN of an alias by its name, which begins with "alias/".
func AliasARN(region, account, name string) string {
	return "arn:aws:kms:" + region + ":" + account + ":" + name
}

func formatID(u [16]byte) string {
	h := hex.EncodeToString(u[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// parseID reads the id of a key; ok is false for what is none.
func parseID(id string) (u [16]byte, ok bool) {
	if len(id) != 36 || id[8] != '-' || id[13] != '-' || id[18] != '-' || id[23] != '-' || id != strings.ToLower(id) {
		return u, false
	}
	raw, err := hex.DecodeString(strings.ReplaceAll(id, "-", ""))
	if err != nil || len(raw) != len(u) {
		return u, false
	}
	return [16]byte(raw), true
}

// Ref is what a request means by a key id: a key's id or ARN, or an alias's name or ARN.
type Ref struct {
	Account, Region string
	// ID is the key's id, or "" where an alias was named.
	ID string
	// Alias is the alias's name, "alias/…", or "".
	Alias string
}

// ARN of what the reference names, whether or not it exists.
func (r Ref) ARN() string {
	if r.Alias != "" {
		return AliasARN(r.Region, r.Account, r.Alias)
	}
	return KeyARN(r.Region, r.Account, r.ID)
}

// ParseRef reads what a request means by a key. Names without an ARN are of account and region.
func ParseRef(ref, account, region string) (Ref, error) {
	r := Ref{Account: account, Region: region}
	rest := ref
	if strings.HasPrefix(ref, "arn:") {
		part := strings.SplitN(ref, ":", 6)
		if len(part) != 6 || part[1] != "aws" || part[2] != "kms" || len(part[4]) != 12 {
			return r, refuse(InvalidARN, "Invalid arn %s", ref)
		}
		if r.Region = part[3]; r.Region != region {
			return r, refuse(NotFound, "Invalid arn %s", part[3])
		}
		r.Account, rest = part[4], part[5]
		if id, ok := strings.CutPrefix(rest, "key/"); ok {
			rest = id
		} else if !strings.HasPrefix(rest, aliasPrefix) {
			return r, refuse(InvalidARN, "Invalid arn %s", ref)
		}
	}
	if strings.HasPrefix(rest, aliasPrefix) {
		r.Alias = rest
		return r, nil
	}
	if _, ok := parseID(rest); !ok {
		return r, refuse(NotFound, "Invalid keyId '%s'", rest)
	}
	r.ID = rest
	return r, nil
}

// Find resolves ref for a caller of account: the id or ARN of a key, or the name or ARN of an alias.
// What is not an ARN is the account's own; without an account only ARNs are found. It decides nothing.
func (s *Store) Find(ref, account, region string) (*Key, error) {
	r, err := ParseRef(ref, account, region)
	if err != nil {
		return nil, err
	}
	return s.Resolve(r)
}

// Resolve finds the key that r names.
func (s *Store) Resolve(r Ref) (*Key, error) {
	id := r.ID
	if r.Alias != "" {
		a, ok := s.alias(r.Account, r.Region, r.Alias)
		if !ok {
			return nil, refuse(NotFound, "Alias %s is not found.", r.ARN())
		}
		id = a.Target
	}
	if k := s.key(id); k != nil && k.Account == r.Account && k.Region == r.Region && !s.erased(k) {
		return k, nil
	}
	return nil, refuse(NotFound, "Key '%s' does not exist", KeyARN(r.Region, r.Account, id))
}

// erased tells whether the key's time has come, though its record may still be there.
func (s *Store) erased(k *Key) bool {
	return k.State == PendingDeletion && !s.now().Before(k.Deletion)
}

// StateOf is the key's state at this moment: imported material that has expired is no longer there,
// whether or not it was deleted yet.
func (s *Store) StateOf(k *Key) State {
	if at := k.Expires(); k.Origin == OriginExternal && !at.IsZero() && !s.now().Before(at) && k.State != PendingDeletion {
		return PendingImport
	}
	return k.State
}

// usable refuses a key that cannot be used now.
func (s *Store) usable(k *Key) error {
	switch s.StateOf(k) {
	case Enabled:
		return nil
	case DisabledState:
		return refuse(Disabled, "%s is disabled.", k.ARN)
	case PendingDeletion:
		return refuse(InvalidState, "%s is pending deletion.", k.ARN)
	}
	return refuse(InvalidState, "%s is pending import.", k.ARN)
}
