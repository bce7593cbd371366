package s3

import (
	"context"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/wire/s3wire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/job/accesslog"
	"github.com/kura-s3/kura/internal/object"
	"github.com/kura-s3/kura/policy"
)

// badLogTarget: log files cannot go into the bucket that was named.
const badLogTarget fault.Kind = "s3.InvalidTargetBucketForLogging"

func (s *Service) loggingOps() []*api.Op {
	return []*api.Op{
		api.Declare(api.Decl[s3wire.GetBucketLoggingInput, s3wire.GetBucketLoggingOutput]{
			Wire: &s3wire.GetBucketLogging, Class: audit.Management, Access: api.Read, Unsigned: true,
			Demands: onBucket[s3wire.GetBucketLoggingInput](s, "s3:GetBucketLogging"),
			Do: func(_ context.Context, _ authz.Grant, c *api.Call, _ *s3wire.GetBucketLoggingInput) (*s3wire.GetBucketLoggingOutput, error) {
				t, err := accesslog.TargetOf(at(c).found)
				if err != nil || t == nil {
					return &s3wire.GetBucketLoggingOutput{}, err
				}
				return &s3wire.GetBucketLoggingOutput{LoggingEnabled: s.showLogging(t)}, nil
			},
		}),
		api.Declare(api.Decl[s3wire.PutBucketLoggingInput, empty]{
			Wire: &s3wire.PutBucketLogging, Class: audit.Management, Access: api.Write, Unsigned: true,
			Demands: onBucket[s3wire.PutBucketLoggingInput](s, "s3:PutBucketLogging"),
			Do:      s.putLogging,
		}),
	}
}

// putLogging switches logging on, or off with an empty status.
func (s *Service) putLogging(ctx context.Context, g authz.Grant, c *api.Call, in *s3wire.PutBucketLoggingInput) (*empty, error) {
	if in.BucketLoggingStatus == nil {
		return nil, fault.New(malformedXML, "")
	}
	var raw []byte
	if wanted := in.BucketLoggingStatus.LoggingEnabled; wanted != nil {
		t, err := s.logTarget(ctx, at(c).found, wanted)
		if err != nil {
			return nil, err
		}
		if raw, err = t.Encode(); err != nil {
			return nil, err
		}
		if t.Bucket == at(c).bucket {
			s.config.Log.Warn("a bucket logs into itself: every delivery makes its log longer", "bucket", t.Bucket)
		}
	}
	_, err := s.config.Objects.UpdateBucket(ctx, g, "s3:PutBucketLogging", at(c).bucket, func(b *object.Bucket) error {
		if raw == nil {
			delete(b.Settings, accesslog.Setting)
		} else {
			b.Settings[accesslog.Setting] = raw
		}
		return nil
	})
	return &empty{}, err
}

// logTarget reads and checks where a bucket's log shall go.
func (s *Service) logTarget(ctx context.Context, source *object.Bucket, in *s3wire.LoggingEnabled) (*accesslog.Target, error) {
	if in.TargetBucket == nil || *in.TargetBucket == "" || in.TargetPrefix == nil || len(*in.TargetPrefix) > maxLogPrefix {
		return nil, fault.New(malformedXML, "")
	}
	t := &accesslog.Target{Bucket: *in.TargetBucket, Prefix: *in.TargetPrefix}
	var err error
	if t.Keys, err = logKeys(in.TargetObjectKeyFormat); err != nil {
		return nil, err
	}
	target, err := s.config.Objects.Bucket(t.Bucket)
	if err != nil {
		return nil, fault.New(badLogTarget, "The target bucket for logging does not exist", "TargetBucket", t.Bucket)
	}
	if target.Owner.Account != source.Owner.Account {
		return nil, fault.New(badLogTarget, "The owner for the bucket to be logged and the target bucket must be the same.", "TargetBucket", t.Bucket)
	}
	hasACLs := accessOf(target).ownership.hasACLs()
	if len(in.TargetGrants) >= maxGrants { // the owner's comes to them: a longer list could never be delivered
		return nil, fault.New(malformedACL, "")
	}
	for _, grant := range in.TargetGrants {
		if !hasACLs {
			return nil, fault.New(unsupportedACL, "")
		}
		if grant.Grantee == nil {
			return nil, fault.New(malformedACL, "")
		}
		entry, err := s.grant(grant.Grantee, permission(grant.Permission))
		if err != nil {
			return nil, err
		}
		t.Grants = append(t.Grants, accesslog.Grant{ID: entry.ID, URI: entry.URI, Permission: string(entry.Permission)})
	}
	if s.mayDeliverLogs(ctx, source, target, t.Prefix) {
		return t, nil
	}
	if hasACLs {
		return nil, fault.New(badLogTarget, "You must give the log-delivery group WRITE and READ_ACP permissions to the target bucket", "TargetBucket", t.Bucket)
	}
	// AWS takes it too: the policy may come later.
	s.config.Log.Warn("a bucket is logged into one whose policy does not allow it: nothing is delivered", "source", source.Name, "target", target.Name)
	return t, nil
}

// maxLogPrefix leaves room in a key for what follows the prefix.
const maxLogPrefix = 800

func logKeys(f *s3wire.TargetObjectKeyFormat) (string, error) {
	switch {
	case f == nil:
		return "", nil
	case f.SimplePrefix != nil && f.PartitionedPrefix == nil:
		return "Simple", nil
	case f.SimplePrefix == nil && f.PartitionedPrefix != nil:
		switch source := string(f.PartitionedPrefix.PartitionDateSource); source {
		case accesslog.EventTime, accesslog.DeliveryTime:
			return source, nil
		}
	}
	return "", fault.New(malformedXML, "")
}

// mayDeliverLogs asks the Guard whether log delivery could write into target now. Delivery asks again,
// every time.
func (s *Service) mayDeliverLogs(ctx context.Context, source, target *object.Bucket, prefix string) bool {
	if s.config.Guard == nil {
		return true
	}
	p := policy.Principal{Type: policy.Service, ARN: accesslog.Service}
	subject := authz.Subject{Principal: p, Keys: logKeysOf{source}}
	_, err := s.config.Guard.Decide(ctx, &authz.Inquiry{Subject: &subject, Event: &audit.Event{}}, authz.Demand{
		Action: "s3:PutObject", Resource: s.newKeyResource(&p, target, prefix+"2006-01-02-15-04-05-0123456789ABCDEF"),
	})
	return err == nil
}

// logKeysOf are the condition keys of a delivery for a bucket.
type logKeysOf struct{ source *object.Bucket }

func (k logKeysOf) Lookup(key string) (policy.Values, bool) {
	switch key {
	case "aws:sourcearn":
		return policy.Values{One: k.source.ARN()}, true
	case "aws:sourceaccount":
		return policy.Values{One: k.source.Owner.Account}, true
	case "aws:securetransport":
		return policy.Values{One: "true"}, true
	}
	return policy.Values{}, false
}

func (s *Service) showLogging(t *accesslog.Target) *s3wire.LoggingEnabled {
	shown := &s3wire.LoggingEnabled{TargetBucket: &t.Bucket, TargetPrefix: &t.Prefix}
	switch t.Keys {
	case "Simple":
		shown.TargetObjectKeyFormat = &s3wire.TargetObjectKeyFormat{SimplePrefix: &s3wire.SimplePrefix{}}
	case accesslog.EventTime, accesslog.DeliveryTime:
		shown.TargetObjectKeyFormat = &s3wire.TargetObjectKeyFormat{
			PartitionedPrefix: &s3wire.PartitionedPrefix{PartitionDateSource: s3wire.PartitionDateSource(t.Keys)},
		}
	}
	for _, g := range t.Grants {
		list := s.wireGrants(acl{{ID: g.ID, URI: g.URI, Permission: permission(g.Permission)}})
		shown.TargetGrants = append(shown.TargetGrants, s3wire.TargetGrant{Grantee: list[0].Grantee, Permission: s3wire.BucketLogsPermission(g.Permission)})
	}
	return shown
}
