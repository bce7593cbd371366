package kms

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/policy"
)

// The records, each JSON with a format number but for material, and a counter that every commit moves.
const (
	recordPrefix   = "kms/"
	keyPrefix      = "kms/k/" // id: a key
	aliasRecords   = "kms/a/" // account/region/name: an alias
	grantPrefix    = "kms/g/" // id/grant id: a grant
	materialPrefix = "kms/m/" // id/number in hex: format number and sealed material
	counterKey     = "kms/n"

	recordFormat = 1
)

var errRecord = errors.New("kms: a record does not decode")

func keyRecordKey(id string) []byte { return []byte(keyPrefix + id) }

func aliasRecordKey(account, region, name string) []byte {
	return []byte(aliasRecords + account + "/" + region + "/" + name)
}

func grantRecordKey(id, grant string) []byte { return []byte(grantPrefix + id + "/" + grant) }

func materialRecordKey(id string, number uint32) []byte {
	return fmt.Appendf(nil, "%s%s/%08x", materialPrefix, id, number)
}

// keyRecord is a key as it is stored.
type keyRecord struct {
	Format              int
	ID, Account, Region string
	Description         string `json:",omitempty"`
	State               State
	Spec                Spec
	Usage               Usage
	Origin              Origin
	Manager             Manager
	Created             time.Time
	Deletion            time.Time `json:",omitzero"`
	Window              int       `json:",omitempty"`
	Tags                []Tag     `json:",omitempty"`
	Rotation            Rotation  `json:",omitzero"`
	Policy, Written     string
	Materials           []MaterialInfo `json:",omitempty"`
}

func (k *Key) encode() ([]byte, error) {
	return json.Marshal(keyRecord{
		Format: recordFormat, ID: k.ID, Account: k.Account, Region: k.Region, Description: k.Description, State: k.State, Spec: k.Spec,
		Usage: k.Usage, Origin: k.Origin, Manager: k.Manager, Created: k.Created, Deletion: k.Deletion, Window: k.Window, Tags: k.Tags,
		Rotation: k.Rotation, Policy: k.Policy.Source(), Written: k.Written, Materials: k.Materials,
	})
}

func decodeKey(raw []byte, v engine.Version) (*Key, error) {
	var r keyRecord
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, fmt.Errorf("%w: %w", errRecord, err)
	}
	if _, ok := parseID(r.ID); !ok || r.Format != recordFormat {
		return nil, fmt.Errorf("%w: key of format %d", errRecord, r.Format)
	}
	doc, err := policy.ParseString(r.Policy, policy.KeyPolicy)
	if err != nil {
		return nil, fmt.Errorf("%w: policy of key %s: %w", errRecord, r.ID, err)
	}
	return &Key{
		ID: r.ID, ARN: KeyARN(r.Region, r.Account, r.ID), Account: r.Account, Region: r.Region, Description: r.Description, State: r.State,
		Spec: r.Spec, Usage: r.Usage, Origin: r.Origin, Manager: r.Manager, Created: r.Created, Deletion: r.Deletion, Window: r.Window,
		Tags: r.Tags, Rotation: r.Rotation, Policy: doc, Written: r.Written, Materials: r.Materials, revision: v,
	}, nil
}

// Alias is a second name of a key.
type Alias struct {
	// Name begins with "alias/".
	Name, Account, Region string
	// Target is the key's id.
	Target           string
	Created, Updated time.Time
}

// ARN of the alias.
func (a *Alias) ARN() string { return AliasARN(a.Region, a.Account, a.Name) }

type aliasRecord struct {
	Format int
	Alias
}

func (a *Alias) encode() ([]byte, error) { return json.Marshal(aliasRecord{recordFormat, *a}) }

func decodeAlias(raw []byte) (*Alias, error) {
	var r aliasRecord
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, fmt.Errorf("%w: %w", errRecord, err)
	}
	if r.Format != recordFormat || !strings.HasPrefix(r.Name, aliasPrefix) {
		return nil, fmt.Errorf("%w: alias of format %d", errRecord, r.Format)
	}
	return &r.Alias, nil
}

type grantRecord struct {
	Format int
	Key    string
	Grant
}

func (g *Grant) encode(key string) ([]byte, error) {
	return json.Marshal(grantRecord{recordFormat, key, *g})
}

func decodeGrant(raw []byte) (key string, g *Grant, err error) {
	var r grantRecord
	if err := json.Unmarshal(raw, &r); err != nil {
		return "", nil, fmt.Errorf("%w: %w", errRecord, err)
	}
	if r.Format != recordFormat || r.ID == "" {
		return "", nil, fmt.Errorf("%w: grant of format %d", errRecord, r.Format)
	}
	return r.Key, &r.Grant, nil
}
