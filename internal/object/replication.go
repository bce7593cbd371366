package object

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/kura-s3/kura/internal/fault"
)

// Replication is a bucket's replication configuration, as Settings[SettingReplication] holds it in
// JSON. Words and structure are S3's, kept as they were put.
type Replication struct {
	Format int
	Role   string
	Rules  []ReplicationRule
}

// FormatReplication is the number of the form above.
const FormatReplication = 1

// ReplicationRule is one rule. A nil pointer or an empty text is an element that was not given.
type ReplicationRule struct {
	ID       string
	Priority *int32 `json:",omitempty"`
	Enabled  bool
	// Prefix is that of the first form of the configuration, which has no Filter.
	Prefix *string            `json:",omitempty"`
	Filter *ReplicationFilter `json:",omitempty"`

	DeleteMarkers        string `json:",omitempty"` // Enabled, Disabled
	ExistingObjects      string `json:",omitempty"`
	EncryptedObjects     string `json:",omitempty"` // of SourceSelectionCriteria
	ReplicaModifications string `json:",omitempty"`

	Destination ReplicationDestination
}

// ReplicationFilter selects objects: at most one of its members is set.
type ReplicationFilter struct {
	Prefix *string         `json:",omitempty"`
	Tag    *Tag            `json:",omitempty"`
	And    *ReplicationAnd `json:",omitempty"`
}

// ReplicationAnd selects by prefix and tags together.
type ReplicationAnd struct {
	Prefix *string `json:",omitempty"`
	Tags   []Tag   `json:",omitempty"`
}

// ReplicationDestination says where replicas go and what they become there.
type ReplicationDestination struct {
	Bucket       string // ARN
	Account      string `json:",omitempty"`
	StorageClass string `json:",omitempty"`
	Owner        string `json:",omitempty"` // "Destination": the replica belongs to Account
	KMSKey       string `json:",omitempty"`
	// Time and Metrics as they were put; Minutes nil: not given.
	Time, Metrics               string `json:",omitempty"`
	TimeMinutes, MetricsMinutes *int32 `json:",omitempty"`
}

const on = "Enabled"

// BucketName is the destination's bucket.
func (d *ReplicationDestination) BucketName() string {
	return strings.TrimPrefix(d.Bucket, "arn:aws:s3:::")
}

// Selected are the prefix and the tags that an object must have for the rule.
func (r *ReplicationRule) Selected() (prefix string, tags []Tag) {
	text := func(p *string) string {
		if p == nil {
			return ""
		}
		return *p
	}
	f := r.Filter
	switch {
	case f == nil:
		return text(r.Prefix), nil
	case f.And != nil:
		return text(f.And.Prefix), f.And.Tags
	case f.Tag != nil:
		return "", []Tag{*f.Tag}
	}
	return text(f.Prefix), nil
}

// selects tells whether the rule is about an object with that key and those tags.
func (r *ReplicationRule) selects(key string, tags []Tag) bool {
	prefix, wanted := r.Selected()
	if !r.Enabled || !strings.HasPrefix(key, prefix) {
		return false
	}
	for _, t := range wanted {
		if !slices.Contains(tags, t) {
			return false
		}
	}
	return true
}

// marks tells whether the rule replicates delete markers: the first form of the configuration does,
// the second only when asked.
func (r *ReplicationRule) marks() bool {
	if r.Filter == nil {
		return true
	}
	_, tags := r.Selected()
	return r.DeleteMarkers == on && len(tags) == 0
}

// Replicates tells whether the rule is about a version.
func (r *ReplicationRule) Replicates(info *Info) bool {
	if info.DeleteMarker {
		return r.marks() && r.selects(info.Key, nil)
	}
	if s := info.Sealed; s != nil && (!s.Encryption.KMS() || r.EncryptedObjects != on) {
		return false // nobody can open what a customer's key seals
	}
	return r.selects(info.Key, info.Tags)
}

// AboutAll tells whether the rule selects by neither key nor tags.
func (r *ReplicationRule) AboutAll() bool {
	prefix, tags := r.Selected()
	return r.Enabled && prefix == "" && len(tags) == 0
}

// Existing tells whether the rule is also about what was there before it.
func (r *ReplicationRule) Existing() bool { return r.ExistingObjects == on }

// SyncsReplicas tells whether changes to the metadata of replicas go back.
func (r *ReplicationRule) SyncsReplicas() bool { return r.ReplicaModifications == on }

// priority orders rules: the highest wins.
func (r *ReplicationRule) priority() int32 {
	if r.Priority == nil {
		return 0
	}
	return *r.Priority
}

// For gives the rules that replicate a version: for each destination the one of the highest priority.
func (c *Replication) For(info *Info) []*ReplicationRule {
	var out []*ReplicationRule
	for i := range c.Rules {
		r := &c.Rules[i]
		if !r.Replicates(info) {
			continue
		}
		same := slices.IndexFunc(out, func(o *ReplicationRule) bool { return o.Destination.Bucket == r.Destination.Bucket })
		switch {
		case same < 0:
			out = append(out, r)
		case r.priority() > out[same].priority():
			out[same] = r
		}
	}
	return out
}

// Rule is the enabled rule with an id, nil when there is none.
func (c *Replication) Rule(id string) *ReplicationRule {
	for i := range c.Rules {
		if c.Rules[i].ID == id && c.Rules[i].Enabled {
			return &c.Rules[i]
		}
	}
	return nil
}

// checkReplicationChange keeps the versions that replication is about.
func checkReplicationChange(next *Bucket) error {
	if len(next.Settings[SettingReplication]) > 0 && next.Versioning != VersioningEnabled {
		return fault.New(InvalidBucketState, "A replication configuration is present on this bucket, so the versioning state cannot be changed.")
	}
	return nil
}

// DecodeReplication reads what Settings[SettingReplication] holds.
func DecodeReplication(raw []byte) (*Replication, error) {
	c := &Replication{}
	if err := json.Unmarshal(raw, c); err != nil {
		return nil, fmt.Errorf("%w: replication: %w", errRecord, err)
	}
	if c.Format != FormatReplication {
		return nil, fmt.Errorf("%w: replication", errRecord)
	}
	return c, nil
}

// Replication is the bucket's replication configuration, nil when it has none. What does not decode
// replicates nothing; writing it anew mends it.
func (b *Bucket) Replication() *Replication {
	raw := b.Settings[SettingReplication]
	if len(raw) == 0 {
		return nil
	}
	c, _ := b.replicas.of(func() any {
		c, err := DecodeReplication(raw)
		if err != nil {
			return (*Replication)(nil)
		}
		return c
	}).(*Replication)
	return c
}
