package s3

import (
	"encoding/json"
	"maps"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/exposure"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/s3wire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/object"
	"github.com/kura-s3/kura/policy"
)

// The permissions to change who may reach a bucket have the condition keys of the exposure guard.

// needExposing is the demand of a change to a bucket that may expose it. After gives the bucket as it
// would be, nil when the change will be refused for what it says.
func (s *Service) needExposing(c *api.Call, action string, inner authz.Keys, after func(b object.Bucket) *object.Bucket) ([]authz.Demand, error) {
	return s.needChange(c, action, exposure.Of(inner, func() (exposure.Exposed, error) {
		t := at(c)
		next := after(*t.found)
		if next == nil || s.config.Exposes == nil {
			return exposure.Exposed{}, nil
		}
		s.noteJudged(c)
		found, err := s.config.Exposes(t.found, next)
		if err != nil {
			s.config.Log.Error("a change cannot be judged: it counts as exposing", "bucket", t.found.Name, "err", err)
		}
		return found, err
	}), after)
}

// exposing makes the Demands of an operation that sets or deletes one setting. A nil value deletes it.
func exposing[In any](s *Service, action, setting string, value func(c *api.Call, b *object.Bucket, in *In) ([]byte, error)) func(*api.Call, *In) ([]authz.Demand, error) {
	return func(c *api.Call, in *In) ([]authz.Demand, error) {
		return s.needExposing(c, action, nil, func(b object.Bucket) *object.Bucket {
			raw, err := value(c, &b, in)
			if err != nil {
				return nil
			}
			return with(b, setting, raw)
		})
	}
}

// with is a copy of a bucket with another setting.
func with(b object.Bucket, setting string, raw []byte) *object.Bucket {
	b.Settings = maps.Clone(b.Settings)
	if b.Settings == nil {
		b.Settings = map[string][]byte{}
	}
	b.Settings[setting] = raw
	if raw == nil {
		delete(b.Settings, setting)
	}
	return &b
}

// exposingNew are the keys of a request that makes a bucket with a list.
func (s *Service) exposingNew(c *api.Call, in *s3wire.CreateBucketInput) authz.Keys {
	if s.config.Exposes == nil {
		return nil
	}
	return exposure.Of(nil, func() (exposure.Exposed, error) {
		who := caller(c)
		b := object.Bucket{Name: at(c).bucket, Owner: object.Owner{Account: who.Account, Canonical: who.CanonicalID}}
		var err error
		if b.Settings, err = s.newBucketSettings(c.R.Header, in, who.CanonicalID); err != nil {
			return exposure.Exposed{}, nil // refused for what it says
		}
		return s.config.Exposes(with(b, settingACL, nil), &b)
	})
}

// exposingObject are the keys of a request that gives an object a list. A list that cannot be read counts as
// exposing.
func (s *Service) exposingObject(c *api.Call, inner authz.Keys, wanted func() (acl, error)) authz.Keys {
	if s.config.ExposesObject == nil {
		return inner
	}
	return exposure.Of(inner, func() (exposure.Exposed, error) {
		list, err := wanted()
		if err != nil {
			return exposure.Exposed{}, err
		}
		raw, err := list.encode()
		if err != nil {
			return exposure.Exposed{}, err
		}
		return s.config.ExposesObject(at(c).found, at(c).key, raw)
	})
}

// stillJudged refuses a change that was let through because it exposed or contradicted nothing, when the
// bucket or its account is no longer as it was judged, or has got another class.
func (s *Service) stillJudged(c *api.Call, b *object.Bucket) error {
	t := at(c)
	if classOf(b.Tags) != accessOf(t.found).class {
		return fault.New(object.Busy, "")
	}
	if t.judged == 0 || t.judged == uint64(b.Revision) && t.judgedAccount == uint64(s.config.Objects.Account(b.Owner.Account).Revision) {
		return nil
	}
	return fault.New(object.Busy, "")
}

// The settings as the operations would leave them.

func (s *Service) exposingPolicy(_ *api.Call, b *object.Bucket, in *s3wire.PutBucketPolicyInput) ([]byte, error) {
	doc, err := s.bucketPolicy(b, *in.Policy)
	if err != nil {
		return nil, err
	}
	return []byte(doc.Source()), nil
}

func (s *Service) exposingACL(c *api.Call, b *object.Bucket, in *s3wire.PutBucketAclInput) ([]byte, error) {
	list, err := s.wantedACL(c.R.Header, in.AccessControlPolicy, bucketCanned, b.Owner.Canonical, b.Owner.Canonical)
	if err != nil {
		return nil, err
	}
	return list.encode()
}

func exposingBlock(_ *api.Call, _ *object.Bucket, in *s3wire.PutPublicAccessBlockInput) ([]byte, error) {
	return json.Marshal(wantedBlock(in.PublicAccessBlockConfiguration))
}

// wantedBlock is what a request asks for; one without a configuration is refused later.
func wantedBlock(conf *s3wire.PublicAccessBlockConfiguration) publicBlock {
	if conf == nil {
		return allBlocked
	}
	return publicBlock{PublicAccessBlock: policy.PublicAccessBlock{
		BlockPublicACLs: member.True(conf.BlockPublicAcls), IgnorePublicACLs: member.True(conf.IgnorePublicAcls),
		BlockPublicPolicy: member.True(conf.BlockPublicPolicy), RestrictPublicBuckets: member.True(conf.RestrictPublicBuckets),
	}}
}
