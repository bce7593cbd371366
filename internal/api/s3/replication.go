package s3

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/s3wire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/object"
	"github.com/kura-s3/kura/policy"
)

func (s *Service) replicationOps() []*api.Op {
	return []*api.Op{
		api.Declare(api.Decl[s3wire.GetBucketReplicationInput, s3wire.GetBucketReplicationOutput]{
			Wire: &s3wire.GetBucketReplication, Class: audit.Management, Access: api.Read, Unsigned: true,
			Demands: onBucket[s3wire.GetBucketReplicationInput](s, "s3:GetReplicationConfiguration"),
			Do: func(_ context.Context, _ authz.Grant, c *api.Call, _ *s3wire.GetBucketReplicationInput) (*s3wire.GetBucketReplicationOutput, error) {
				b := at(c).found
				conf := b.Replication()
				if conf == nil {
					return nil, fault.New(noSuchReplication, "", "BucketName", b.Name)
				}
				return &s3wire.GetBucketReplicationOutput{ReplicationConfiguration: wireReplication(conf)}, nil
			},
		}),
		api.Declare(api.Decl[s3wire.PutBucketReplicationInput, empty]{
			Wire: &s3wire.PutBucketReplication, Class: audit.Management, Access: api.Write, Unsigned: true,
			Demands: s.putReplicationDemands, Do: s.putReplication,
		}),
		api.Declare(api.Decl[s3wire.DeleteBucketReplicationInput, empty]{
			Wire: &s3wire.DeleteBucketReplication, Class: audit.Management, Access: api.Write, Unsigned: true,
			Demands: onBucket[s3wire.DeleteBucketReplicationInput](s, "s3:PutReplicationConfiguration"),
			Do: func(ctx context.Context, g authz.Grant, c *api.Call, _ *s3wire.DeleteBucketReplicationInput) (*empty, error) {
				_, err := s.config.Objects.UpdateBucket(ctx, g, "s3:PutReplicationConfiguration", at(c).bucket, func(b *object.Bucket) error {
					delete(b.Settings, object.SettingReplication)
					return nil
				})
				return &empty{}, err
			},
		}),
	}
}

// roleARN is a role, and its account.
var roleARN = regexp.MustCompile(`^arn:aws:iam::([0-9]{12}):role/[\x21-\x7e]{1,512}$`)

// passedToS3 is the condition key of a role that is handed to S3.
type passedToS3 struct{}

// Lookup implements authz.Keys.
func (passedToS3) Lookup(key string) (policy.Values, bool) {
	return policy.Values{One: "s3.amazonaws.com"}, key == "iam:passedtoservice"
}

// putReplicationDemands: whoever hands S3 a role must be allowed to pass it on.
func (s *Service) putReplicationDemands(c *api.Call, in *s3wire.PutBucketReplicationInput) ([]authz.Demand, error) {
	demands, err := s.needChange(c, "s3:PutReplicationConfiguration", nil, func(b object.Bucket) *object.Bucket {
		conf, err := plainReplication(in.ReplicationConfiguration)
		if err != nil {
			return nil
		}
		raw, err := json.Marshal(conf)
		if err != nil {
			return nil
		}
		return with(b, object.SettingReplication, raw)
	})
	if err != nil {
		return nil, err
	}
	if in.ReplicationConfiguration == nil {
		return nil, fault.New(malformedXML, "")
	}
	role := member.Text(in.ReplicationConfiguration.Role)
	m := roleARN.FindStringSubmatch(role)
	if m == nil || m[1] != at(c).found.Owner.Account {
		return demands, nil // refused once the caller is known to be somebody who may configure
	}
	return c.Need("iam:PassRole", authz.Resource{ARN: role, Account: m[1]}, passedToS3{}), nil
}

func (s *Service) putReplication(ctx context.Context, g authz.Grant, c *api.Call, in *s3wire.PutBucketReplicationInput) (*empty, error) {
	if in.Token != nil {
		return nil, unsupported("x-amz-bucket-object-lock-token")
	}
	conf, err := plainReplication(in.ReplicationConfiguration)
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(conf)
	if err != nil {
		return nil, err
	}
	_, err = s.config.Objects.UpdateBucket(ctx, g, "s3:PutReplicationConfiguration", at(c).bucket, func(b *object.Bucket) error {
		if err := s.checkReplication(b, conf); err != nil {
			return err
		}
		b.Settings[object.SettingReplication] = raw
		return s.stillJudged(c, b)
	})
	return &empty{}, err
}

// checkReplication holds a configuration against the buckets that it is about.
func (s *Service) checkReplication(b *object.Bucket, conf *object.Replication) error {
	if b.Versioning != object.VersioningEnabled {
		return fault.New(invalidRequest, "Versioning must be 'Enabled' on the bucket to apply a replication configuration")
	}
	if m := roleARN.FindStringSubmatch(conf.Role); m == nil || m[1] != b.Owner.Account {
		return badArgument("Invalid IAM role ARN", "Role", conf.Role)
	}
	for i := range conf.Rules {
		if err := s.checkDestination(b, &conf.Rules[i].Destination); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) checkDestination(b *object.Bucket, d *object.ReplicationDestination) error {
	name := d.BucketName()
	if name == b.Name {
		return fault.New(invalidRequest, "Destination bucket cannot be the same as the source bucket.")
	}
	if s.config.Elsewhere != nil && s.config.Elsewhere(name, b.Owner.Account) {
		return nil // before buckets of the name: a target's name is nobody's to take
	}
	to, err := s.config.Objects.Bucket(name)
	switch {
	case err == nil && to.Versioning != object.VersioningEnabled:
		return fault.New(invalidRequest, "Destination bucket must have versioning enabled.")
	case err == nil:
		return s.checkLocks(b, to)
	}
	return fault.New(invalidRequest, "Destination bucket must exist.")
}

// checkLocks: what is locked at the source must not be free at the destination.
func (s *Service) checkLocks(from, to *object.Bucket) error {
	locked, err := from.ObjectLock()
	if err != nil || locked == nil {
		return err
	}
	there, err := to.ObjectLock()
	if err == nil && there == nil {
		err = fault.New(invalidRequest, "The destination bucket must have Object Lock enabled.")
	}
	return err
}

const (
	maxReplicationRules = 1000
	maxRuleID           = 255
	enabled             = "Enabled"
	developerGuide      = " for this version of Cross Region Replication configuration schema. Please refer to S3 Developer Guide for more information."
)

// plainReplication checks a configuration by itself and gives it in the form in which it is kept.
func plainReplication(in *s3wire.ReplicationConfiguration) (*object.Replication, error) {
	conf := &object.Replication{Format: object.FormatReplication, Role: member.Text(in.Role)}
	if n := len(in.Rules); n == 0 || n > maxReplicationRules {
		return nil, fault.New(malformedXML, "")
	}
	for i := range in.Rules {
		r, err := plainRule(&in.Rules[i])
		if err != nil {
			return nil, err
		}
		conf.Rules = append(conf.Rules, *r)
	}
	return conf, checkTogether(conf.Rules)
}

func plainRule(in *s3wire.ReplicationRule) (*object.ReplicationRule, error) {
	r := &object.ReplicationRule{ID: member.Text(in.ID), Priority: in.Priority, Enabled: in.Status == enabled, Prefix: in.Prefix}
	if in.Destination == nil || in.Status == "" || (in.Prefix == nil) == (in.Filter == nil) {
		return nil, fault.New(malformedXML, "")
	}
	if len(r.ID) > maxRuleID {
		return nil, badArgument("The maximum length of the rule ID is 255 characters", "ID", r.ID)
	}
	if r.ID == "" {
		r.ID = rand.Text()
	}
	if in.DeleteMarkerReplication != nil {
		r.DeleteMarkers = string(in.DeleteMarkerReplication.Status)
	}
	if in.ExistingObjectReplication != nil {
		r.ExistingObjects = string(in.ExistingObjectReplication.Status)
	}
	if c := in.SourceSelectionCriteria; c != nil {
		if c.SseKmsEncryptedObjects != nil {
			r.EncryptedObjects = string(c.SseKmsEncryptedObjects.Status)
		}
		if c.ReplicaModifications != nil {
			r.ReplicaModifications = string(c.ReplicaModifications.Status)
		}
	}
	if err := plainDestination(in.Destination, &r.Destination); err != nil {
		return nil, err
	}
	if in.Filter != nil {
		var err error
		if r.Filter, err = plainReplicationFilter(in.Filter); err != nil {
			return nil, err
		}
	}
	return r, checkRule(r)
}

func plainReplicationFilter(in *s3wire.ReplicationRuleFilter) (*object.ReplicationFilter, error) {
	f, given := &object.ReplicationFilter{Prefix: in.Prefix}, 0
	if in.Prefix != nil {
		given++
	}
	if in.Tag != nil {
		given++
		f.Tag = &plainTags([]s3wire.Tag{*in.Tag})[0]
	}
	if in.And != nil {
		given++
		f.And = &object.ReplicationAnd{Prefix: in.And.Prefix, Tags: plainTags(in.And.Tags)}
	}
	if given > 1 {
		return nil, fault.New(malformedXML, "")
	}
	_, tags := (&object.ReplicationRule{Filter: f}).Selected()
	return f, checkObjectTags(tags)
}

func plainDestination(in *s3wire.Destination, d *object.ReplicationDestination) error {
	d.Bucket, d.Account, d.StorageClass = member.Text(in.Bucket), member.Text(in.Account), string(in.StorageClass)
	if name, ok := strings.CutPrefix(d.Bucket, "arn:aws:s3:::"); !ok || object.CheckBucketName(name) != nil {
		return badArgument("Invalid bucket ARN.", "Bucket", d.Bucket)
	}
	if d.Account != "" && !accountID.MatchString(d.Account) {
		return badArgument("Invalid AWS account ID.", "Account", d.Account)
	}
	if d.StorageClass != "" && !storageClasses[d.StorageClass] {
		return fault.New(invalidStorageClass, "", "StorageClassRequested", d.StorageClass)
	}
	if in.AccessControlTranslation != nil {
		d.Owner = string(in.AccessControlTranslation.Owner)
	}
	if in.EncryptionConfiguration != nil {
		if d.KMSKey = member.Text(in.EncryptionConfiguration.ReplicaKmsKeyID); d.KMSKey == "" {
			return fault.New(malformedXML, "")
		}
	}
	if t := in.ReplicationTime; t != nil {
		if d.Time = string(t.Status); t.Time != nil {
			d.TimeMinutes = t.Time.Minutes
		}
	}
	if m := in.Metrics; m != nil {
		if d.Metrics = string(m.Status); m.EventThreshold != nil {
			d.MetricsMinutes = m.EventThreshold.Minutes
		}
	}
	return nil
}

// fifteen is the only time that S3 knows for replication.
func fifteen(minutes *int32) bool { return minutes != nil && *minutes == 15 }

// checkRule applies S3's rules on what goes with what.
func checkRule(r *object.ReplicationRule) error {
	d := &r.Destination
	_, tags := r.Selected()
	refuse := func(message string) error { return fault.New(invalidRequest, message) }
	switch {
	case r.Filter != nil && r.Priority == nil:
		return refuse("Priority must be specified" + developerGuide)
	case r.Filter != nil && r.DeleteMarkers == "":
		return refuse("DeleteMarkerReplication must be specified" + developerGuide)
	case r.Filter == nil && (r.Priority != nil || r.DeleteMarkers != ""):
		return refuse("Filter must be specified" + developerGuide)
	case len(tags) > 0 && r.DeleteMarkers == enabled:
		return refuse("Delete marker replication is not supported if any Tag filter is specified. Please refer to S3 Developer Guide for more information.")
	case r.Priority != nil && *r.Priority < 0:
		return badArgument("Priority must be a non-negative integer.", "Priority", "")
	case d.Owner != "" && d.Account == "":
		return refuse("Destination Account must be specified with AccessControlTranslation.")
	case r.EncryptedObjects == enabled && d.KMSKey == "":
		return refuse("EncryptionConfiguration must be specified if SseKmsEncryptedObjects tag is present.")
	case r.EncryptedObjects == "" && d.KMSKey != "":
		return refuse("SseKmsEncryptedObjects must be specified if EncryptionConfiguration tag is present.")
	case d.Time == enabled && (!fifteen(d.TimeMinutes) || d.Metrics != enabled):
		return refuse("ReplicationTime needs Metrics, and a time of 15 minutes.")
	case d.Metrics == enabled && d.MetricsMinutes != nil && !fifteen(d.MetricsMinutes):
		return refuse("The EventThreshold of Metrics must be 15 minutes.")
	}
	return nil
}

// checkTogether applies S3's rules on several rules of one configuration.
func checkTogether(rules []object.ReplicationRule) error {
	for i := range rules {
		r := &rules[i]
		for j := range rules[:i] {
			o := &rules[j]
			same := o.Destination.Bucket == r.Destination.Bucket
			switch {
			case o.ID == r.ID:
				return badArgument("Rule ID must be unique. Found same ID for more than one rule", "ID", r.ID)
			case (o.Filter == nil) != (r.Filter == nil):
				return fault.New(invalidRequest, "All rules must have a Filter, or none.")
			case r.Filter != nil && same && *o.Priority == *r.Priority:
				return fault.New(invalidRequest, "Found duplicate priority for rules with the same destination bucket.")
			case r.Filter == nil && !same:
				return fault.New(invalidRequest, "The number of distinct destination bucket ARNs cannot exceed 1.")
			case r.Filter == nil && (strings.HasPrefix(*o.Prefix, *r.Prefix) || strings.HasPrefix(*r.Prefix, *o.Prefix)):
				return fault.New(invalidRequest, "Found overlapping prefixes '"+*o.Prefix+"' and '"+*r.Prefix+"'.")
			}
		}
	}
	return nil
}

func wireReplication(conf *object.Replication) *s3wire.ReplicationConfiguration {
	out := &s3wire.ReplicationConfiguration{Role: &conf.Role}
	for i := range conf.Rules {
		out.Rules = append(out.Rules, wireRule(&conf.Rules[i]))
	}
	return out
}

func wireRule(r *object.ReplicationRule) s3wire.ReplicationRule {
	out := s3wire.ReplicationRule{ID: &r.ID, Priority: r.Priority, Prefix: r.Prefix, Status: s3wire.ReplicationRuleStatusDisabled}
	if r.Enabled {
		out.Status = s3wire.ReplicationRuleStatusEnabled
	}
	if f := r.Filter; f != nil {
		out.Filter = &s3wire.ReplicationRuleFilter{Prefix: f.Prefix}
		if f.Tag != nil {
			out.Filter.Tag = &wireTags([]object.Tag{*f.Tag})[0]
		}
		if f.And != nil {
			out.Filter.And = &s3wire.ReplicationRuleAndOperator{Prefix: f.And.Prefix, Tags: wireTags(slices.Clone(f.And.Tags))}
		}
	}
	if r.DeleteMarkers != "" {
		out.DeleteMarkerReplication = &s3wire.DeleteMarkerReplication{Status: s3wire.DeleteMarkerReplicationStatus(r.DeleteMarkers)}
	}
	if r.ExistingObjects != "" {
		out.ExistingObjectReplication = &s3wire.ExistingObjectReplication{Status: s3wire.ExistingObjectReplicationStatus(r.ExistingObjects)}
	}
	if r.EncryptedObjects != "" || r.ReplicaModifications != "" {
		c := &s3wire.SourceSelectionCriteria{}
		if r.EncryptedObjects != "" {
			c.SseKmsEncryptedObjects = &s3wire.SseKmsEncryptedObjects{Status: s3wire.SseKmsEncryptedObjectsStatus(r.EncryptedObjects)}
		}
		if r.ReplicaModifications != "" {
			c.ReplicaModifications = &s3wire.ReplicaModifications{Status: s3wire.ReplicaModificationsStatus(r.ReplicaModifications)}
		}
		out.SourceSelectionCriteria = c
	}
	out.Destination = wireDestination(&r.Destination)
	return out
}

func wireDestination(d *object.ReplicationDestination) *s3wire.Destination {
	out := &s3wire.Destination{Bucket: &d.Bucket, StorageClass: s3wire.StorageClass(d.StorageClass)}
	if d.Account != "" {
		out.Account = &d.Account
	}
	if d.Owner != "" {
		out.AccessControlTranslation = &s3wire.AccessControlTranslation{Owner: s3wire.OwnerOverride(d.Owner)}
	}
	if d.KMSKey != "" {
		out.EncryptionConfiguration = &s3wire.EncryptionConfiguration{ReplicaKmsKeyID: &d.KMSKey}
	}
	minutes := func(m *int32) *s3wire.ReplicationTimeValue {
		if m == nil {
			return nil
		}
		return &s3wire.ReplicationTimeValue{Minutes: m}
	}
	if d.Time != "" {
		out.ReplicationTime = &s3wire.ReplicationTime{Status: s3wire.ReplicationTimeStatus(d.Time), Time: minutes(d.TimeMinutes)}
	}
	if d.Metrics != "" {
		out.Metrics = &s3wire.Metrics{Status: s3wire.MetricsStatus(d.Metrics), EventThreshold: minutes(d.MetricsMinutes)}
	}
	return out
}
