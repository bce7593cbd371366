package s3

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/wire/s3wire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/job/lifecycle"
	"github.com/kura-s3/kura/internal/object"
)

func (s *Service) lifecycleOps() []*api.Op {
	return []*api.Op{
		api.Declare(api.Decl[s3wire.GetBucketLifecycleConfigurationInput, s3wire.GetBucketLifecycleConfigurationOutput]{
			Wire: &s3wire.GetBucketLifecycleConfiguration, Class: audit.Management, Access: api.Read, Unsigned: true,
			Demands: onBucket[s3wire.GetBucketLifecycleConfigurationInput](s, "s3:GetLifecycleConfiguration"),
			Do:      getLifecycle,
		}),
		api.Declare(api.Decl[s3wire.PutBucketLifecycleConfigurationInput, s3wire.PutBucketLifecycleConfigurationOutput]{
			Wire: &s3wire.PutBucketLifecycleConfiguration, Class: audit.Management, Access: api.Write, Unsigned: true,
			Demands: onBucket[s3wire.PutBucketLifecycleConfigurationInput](s, "s3:PutLifecycleConfiguration"),
			Do:      s.putLifecycle,
		}),
		api.Declare(api.Decl[s3wire.DeleteBucketLifecycleInput, empty]{
			Wire: &s3wire.DeleteBucketLifecycle, Class: audit.Management, Access: api.Write, Unsigned: true,
			Demands: onBucket[s3wire.DeleteBucketLifecycleInput](s, "s3:PutLifecycleConfiguration"),
			Do: func(ctx context.Context, g authz.Grant, c *api.Call, _ *s3wire.DeleteBucketLifecycleInput) (*empty, error) {
				_, err := s.config.Objects.UpdateBucket(ctx, g, "s3:PutLifecycleConfiguration", at(c).bucket, func(b *object.Bucket) error {
					delete(b.Settings, lifecycle.Setting)
					return nil
				})
				return &empty{}, err
			},
		}),
	}
}

func getLifecycle(_ context.Context, _ authz.Grant, c *api.Call, _ *s3wire.GetBucketLifecycleConfigurationInput) (*s3wire.GetBucketLifecycleConfigurationOutput, error) {
	b := at(c).found
	raw := b.Settings[lifecycle.Setting]
	if raw == nil {
		return nil, fault.New(noSuchLifecycle, "", "BucketName", b.Name)
	}
	config, err := lifecycle.Decode(raw)
	if err != nil {
		return nil, err
	}
	out := &s3wire.GetBucketLifecycleConfigurationOutput{
		TransitionDefaultMinimumObjectSize: s3wire.TransitionDefaultMinimumObjectSize(config.MinimumSize),
	}
	for i := range config.Rules {
		out.Rules = append(out.Rules, wireLifecycleRule(&config.Rules[i]))
	}
	return out, nil
}

func (s *Service) putLifecycle(ctx context.Context, g authz.Grant, c *api.Call, in *s3wire.PutBucketLifecycleConfigurationInput) (*s3wire.PutBucketLifecycleConfigurationOutput, error) {
	config, err := lifecycleConfig(in)
	if err != nil {
		return nil, err
	}
	raw, err := config.Encode()
	if err != nil {
		return nil, err
	}
	_, err = s.config.Objects.UpdateBucket(ctx, g, "s3:PutLifecycleConfiguration", at(c).bucket, func(b *object.Bucket) error {
		if b.MFADelete == object.MFADeleteEnabled {
			return fault.New(object.InvalidBucketState, "Lifecycle configuration is not supported on a bucket with MFA delete enabled")
		}
		b.Settings[lifecycle.Setting] = raw
		return nil
	})
	return &s3wire.PutBucketLifecycleConfigurationOutput{
		TransitionDefaultMinimumObjectSize: s3wire.TransitionDefaultMinimumObjectSize(config.MinimumSize),
	}, err
}

// lifecycleConfig checks a configuration and takes it over.
func lifecycleConfig(in *s3wire.PutBucketLifecycleConfigurationInput) (*lifecycle.Config, error) {
	config := &lifecycle.Config{MinimumSize: string(in.TransitionDefaultMinimumObjectSize)}
	if config.MinimumSize == "" {
		config.MinimumSize = lifecycle.MinimumEverywhere
	} else if !in.TransitionDefaultMinimumObjectSize.Valid() {
		return nil, fault.New(invalidRequest, "Invalid TransitionDefaultMinimumObjectSize found: "+config.MinimumSize)
	}
	if in.LifecycleConfiguration == nil {
		return nil, fault.New(malformedXML, "")
	}
	rules := in.LifecycleConfiguration.Rules
	if len(rules) == 0 || len(rules) > maxLifecycleRules {
		return nil, fault.New(malformedXML, "")
	}
	seen := map[string]bool{}
	for i := range rules {
		rule := plainLifecycleRule(&rules[i])
		if err := checkLifecycleRule(&rules[i], &rule); err != nil {
			return nil, err
		}
		if seen[rule.ID] {
			return nil, badArgument("Rule ID must be unique. Found same ID for more than one rule", "ID", rule.ID)
		}
		seen[rule.ID] = true
		config.Rules = append(config.Rules, rule)
	}
	return config, nil
}

// plainLifecycleRule takes a rule over. What the two shapes do not share was or will be refused.
func plainLifecycleRule(r *s3wire.LifecycleRule) lifecycle.Rule {
	out := lifecycle.Rule{Enabled: r.Status == "Enabled", Prefix: r.Prefix}
	if r.ID != nil {
		out.ID = *r.ID
	}
	if out.ID == "" {
		var b [36]byte
		rand.Read(b[:])
		out.ID = base64.RawURLEncoding.EncodeToString(b[:])
	}
	if f := r.Filter; f != nil {
		out.Filter = &lifecycle.Filter{Prefix: f.Prefix, Greater: f.ObjectSizeGreaterThan, Less: f.ObjectSizeLessThan}
		if f.Tag != nil {
			out.Filter.Tag = &plainTags([]s3wire.Tag{*f.Tag})[0]
		}
		if a := f.And; a != nil {
			out.Filter.And = &lifecycle.And{Prefix: a.Prefix, Tags: plainTags(a.Tags), Greater: a.ObjectSizeGreaterThan, Less: a.ObjectSizeLessThan}
		}
	}
	if e := r.Expiration; e != nil {
		out.Expiration = &lifecycle.Expiration{Days: plainDays(e.Days), Markers: e.ExpiredObjectDeleteMarker}
		if e.Date != nil {
			out.Expiration.Date = e.Date.UTC()
		}
	}
	for i := range r.Transitions {
		t := &r.Transitions[i]
		to := lifecycle.Transition{Class: string(t.StorageClass)}
		if t.Date != nil {
			to.Date = t.Date.UTC()
		}
		if t.Days != nil {
			days := int(*t.Days)
			to.Days = &days
		}
		out.Transitions = append(out.Transitions, to)
	}
	if e := r.NoncurrentVersionExpiration; e != nil {
		out.NoncurrentExpiration = &lifecycle.NoncurrentExpiration{Days: plainDays(e.NoncurrentDays), Newer: plainDays(e.NewerNoncurrentVersions)}
	}
	for i := range r.NoncurrentVersionTransitions {
		t := &r.NoncurrentVersionTransitions[i]
		out.NoncurrentTransitions = append(out.NoncurrentTransitions, lifecycle.NoncurrentTransition{
			Days: plainDays(t.NoncurrentDays), Newer: plainDays(t.NewerNoncurrentVersions), Class: string(t.StorageClass),
		})
	}
	if a := r.AbortIncompleteMultipartUpload; a != nil {
		out.AbortDays = plainDays(a.DaysAfterInitiation)
	}
	return out
}

func plainDays(n *int32) int {
	if n == nil {
		return 0
	}
	return int(*n)
}

// wireLifecycleRule is the inverse of plainLifecycleRule.
func wireLifecycleRule(r *lifecycle.Rule) s3wire.LifecycleRule {
	out := s3wire.LifecycleRule{ID: &r.ID, Prefix: r.Prefix, Status: "Disabled"}
	if r.Enabled {
		out.Status = "Enabled"
	}
	if f := r.Filter; f != nil {
		out.Filter = &s3wire.LifecycleRuleFilter{Prefix: f.Prefix, ObjectSizeGreaterThan: f.Greater, ObjectSizeLessThan: f.Less}
		if f.Tag != nil {
			out.Filter.Tag = &s3wire.Tag{Key: &f.Tag.Key, Value: &f.Tag.Value}
		}
		if a := f.And; a != nil {
			out.Filter.And = &s3wire.LifecycleRuleAndOperator{Prefix: a.Prefix, Tags: wireTags(a.Tags), ObjectSizeGreaterThan: a.Greater, ObjectSizeLessThan: a.Less}
		}
	}
	if e := r.Expiration; e != nil {
		out.Expiration = &s3wire.LifecycleExpiration{Days: positive(e.Days), Date: dateOf(e.Date), ExpiredObjectDeleteMarker: e.Markers}
	}
	for i := range r.Transitions {
		t := &r.Transitions[i]
		to := s3wire.Transition{Date: dateOf(t.Date), StorageClass: s3wire.TransitionStorageClass(t.Class)}
		if t.Days != nil {
			days := int32(*t.Days)
			to.Days = &days
		}
		out.Transitions = append(out.Transitions, to)
	}
	if e := r.NoncurrentExpiration; e != nil {
		out.NoncurrentVersionExpiration = &s3wire.NoncurrentVersionExpiration{NoncurrentDays: positive(e.Days), NewerNoncurrentVersions: positive(e.Newer)}
	}
	for i := range r.NoncurrentTransitions {
		t := &r.NoncurrentTransitions[i]
		days := int32(t.Days)
		out.NoncurrentVersionTransitions = append(out.NoncurrentVersionTransitions, s3wire.NoncurrentVersionTransition{
			NoncurrentDays: &days, NewerNoncurrentVersions: positive(t.Newer), StorageClass: s3wire.TransitionStorageClass(t.Class),
		})
	}
	if r.AbortDays > 0 {
		out.AbortIncompleteMultipartUpload = &s3wire.AbortIncompleteMultipartUpload{DaysAfterInitiation: positive(r.AbortDays)}
	}
	return out
}

func dateOf(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// compileLifecycle makes a judge of a bucket's rules; nil when there are none, or none that can be
// read: then nothing expires.
func compileLifecycle(settings map[string][]byte) *lifecycle.Judge {
	raw := settings[lifecycle.Setting]
	if raw == nil {
		return nil
	}
	config, err := lifecycle.Decode(raw)
	if err != nil {
		return nil
	}
	return config.Judge(lifecycle.Day)
}

// expiration is x-amz-expiration of a current version, "" when it does not expire.
func (s *Service) expiration(b *object.Bucket, info *object.Info) string {
	judge := accessOf(b).lifecycle
	if judge == nil || !info.Latest {
		return ""
	}
	when, rule, ok := judge.Expiry(info, s.config.LifecycleDay)
	if !ok {
		return ""
	}
	return `expiry-date="` + when.Format(http.TimeFormat) + `", rule-id="` + url.QueryEscape(rule) + `"`
}

const headerExpiration = "X-Amz-Expiration"

// tellExpiration puts it on the answer.
func (s *Service) tellExpiration(c *api.Call, info *object.Info) {
	if text := s.expiration(at(c).found, info); text != "" {
		c.W.Header()[headerExpiration] = []string{text}
	}
}

// transitionClasses are the classes into which rules move versions, from the warmest to the coldest.
var transitionClasses = []string{"STANDARD_IA", "INTELLIGENT_TIERING", "ONEZONE_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"}

func isTransitionClass(class string) bool { return slices.Contains(transitionClasses, class) }

func isColder(a, b s3wire.TransitionStorageClass) bool {
	return slices.Index(transitionClasses, string(a)) > slices.Index(transitionClasses, string(b))
}
