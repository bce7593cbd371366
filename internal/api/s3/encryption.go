package s3

import (
	"context"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/s3/sse"
	"github.com/kura-s3/kura/internal/api/wire/s3wire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/kms"
	"github.com/kura-s3/kura/internal/object"
	"github.com/kura-s3/kura/policy"
)

// A bucket's default encryption, and what a write seals with.

func (s *Service) encryptionOps() []*api.Op {
	return []*api.Op{
		api.Declare(api.Decl[s3wire.GetBucketEncryptionInput, s3wire.GetBucketEncryptionOutput]{
			Wire: &s3wire.GetBucketEncryption, Class: audit.Management, Access: api.Read, Unsigned: true,
			Demands: onBucket[s3wire.GetBucketEncryptionInput](s, "s3:GetEncryptionConfiguration"), Do: getEncryption,
		}),
		api.Declare(api.Decl[s3wire.PutBucketEncryptionInput, empty]{
			Wire: &s3wire.PutBucketEncryption, Class: audit.Management, Access: api.Write, Unsigned: true,
			Demands: func(c *api.Call, in *s3wire.PutBucketEncryptionInput) ([]authz.Demand, error) {
				return s.needChange(c, "s3:PutEncryptionConfiguration", nil, func(b object.Bucket) *object.Bucket {
					conf, err := encryptionOf(in.ServerSideEncryptionConfiguration)
					if err != nil {
						return nil
					}
					raw, err := conf.Encode()
					if err != nil {
						return nil
					}
					return with(b, sse.Setting, raw)
				})
			},
			Do: s.putEncryption,
		}),
		api.Declare(api.Decl[s3wire.DeleteBucketEncryptionInput, empty]{
			Wire: &s3wire.DeleteBucketEncryption, Class: audit.Management, Access: api.Write, Unsigned: true,
			Demands: onBucket[s3wire.DeleteBucketEncryptionInput](s, "s3:PutEncryptionConfiguration"), Do: s.deleteEncryption,
		}),
	}
}

func getEncryption(_ context.Context, _ authz.Grant, c *api.Call, _ *s3wire.GetBucketEncryptionInput) (*s3wire.GetBucketEncryptionOutput, error) {
	conf, err := sse.Decode(at(c).found.Settings[sse.Setting])
	if err != nil {
		return nil, err
	}
	byDefault := &s3wire.ServerSideEncryptionByDefault{SSEAlgorithm: s3wire.ServerSideEncryption(conf.SSEAlgorithm)}
	if conf.KMSMasterKeyID != "" {
		byDefault.KMSMasterKeyID = &conf.KMSMasterKeyID
	}
	rule := s3wire.ServerSideEncryptionRule{ApplyServerSideEncryptionByDefault: byDefault, BucketKeyEnabled: &conf.BucketKeyEnabled}
	for _, blocked := range conf.BlockedEncryptionTypes {
		if rule.BlockedEncryptionTypes == nil {
			rule.BlockedEncryptionTypes = &s3wire.BlockedEncryptionTypes{}
		}
		rule.BlockedEncryptionTypes.EncryptionType = append(rule.BlockedEncryptionTypes.EncryptionType, s3wire.EncryptionType(blocked))
	}
	return &s3wire.GetBucketEncryptionOutput{ServerSideEncryptionConfiguration: &s3wire.ServerSideEncryptionConfiguration{
		Rules: []s3wire.ServerSideEncryptionRule{rule},
	}}, nil
}

// encryptionOf reads the one rule of a configuration.
func encryptionOf(in *s3wire.ServerSideEncryptionConfiguration) (*sse.Config, error) {
	if in == nil || len(in.Rules) != 1 {
		return nil, fault.New(malformedXML, "")
	}
	rule := &in.Rules[0]
	conf := &sse.Config{SSEAlgorithm: object.SSES3.String(), BucketKeyEnabled: member.True(rule.BucketKeyEnabled)}
	if d := rule.ApplyServerSideEncryptionByDefault; d != nil {
		conf.SSEAlgorithm = string(d.SSEAlgorithm)
		if d.KMSMasterKeyID != nil {
			conf.KMSMasterKeyID = *d.KMSMasterKeyID
		}
	}
	if b := rule.BlockedEncryptionTypes; b != nil {
		for _, t := range b.EncryptionType {
			conf.BlockedEncryptionTypes = append(conf.BlockedEncryptionTypes, string(t))
		}
	}
	return conf, conf.Check()
}

func (s *Service) putEncryption(ctx context.Context, g authz.Grant, c *api.Call, in *s3wire.PutBucketEncryptionInput) (*empty, error) {
	conf, err := encryptionOf(in.ServerSideEncryptionConfiguration)
	if err != nil {
		return nil, err
	}
	_, err = s.config.Objects.UpdateBucket(ctx, g, "s3:PutEncryptionConfiguration", at(c).bucket, func(b *object.Bucket) error {
		next := *conf
		if len(next.BlockedEncryptionTypes) == 0 { // clients that do not know it must not lift it
			before, err := sse.Decode(b.Settings[sse.Setting])
			if err != nil {
				return err
			}
			next.BlockedEncryptionTypes = before.BlockedEncryptionTypes
		}
		raw, err := next.Encode()
		if err != nil {
			return err
		}
		b.Settings[sse.Setting] = raw
		return s.stillJudged(c, b)
	})
	return &empty{}, err
}

func (s *Service) deleteEncryption(ctx context.Context, g authz.Grant, c *api.Call, _ *s3wire.DeleteBucketEncryptionInput) (*empty, error) {
	_, err := s.config.Objects.UpdateBucket(ctx, g, "s3:PutEncryptionConfiguration", at(c).bucket, func(b *object.Bucket) error {
		delete(b.Settings, sse.Setting)
		if err := s.beginEncryption(b.Settings); err != nil {
			return err
		}
		raised, err := raiseEncryption(b)
		b.Settings = raised.Settings
		return err
	})
	return &empty{}, err
}

// beginEncryption is what a bucket begins with.
func (s *Service) beginEncryption(settings map[string][]byte) error {
	if s.config.AllowSSEC {
		return nil
	}
	raw, err := sse.NewBucket()
	settings[sse.Setting] = raw
	return err
}

// readEncryption takes what a write asks for. What is wrong with it is told by seal, to whom the policies
// let through: they may forbid what is not well-formed, too.
func (s *Service) readEncryption(c *api.Call) {
	t := at(c)
	h := c.R.Header
	if t.form != nil {
		h = t.form.headers()
	}
	if t.sse, t.badSSE = sse.Parse(h, c.Peer.Secure); t.badSSE != nil || t.sse == nil || t.sse.KeyID == "" || s.keys == nil {
		return
	}
	// Policies name keys by their ARNs, whatever a request calls them.
	if b, err := s.config.Objects.Bucket(t.bucket); err == nil {
		t.sse.KeyARN = s.keys.ARN(&sse.Want{Bucket: b, KeyID: t.sse.KeyID, By: caller(c)})
	}
}

// seal gives what a write of an object seals with, by its request or its bucket's default. Nil is
// SSE-S3. It asks the permission of the KMS key.
func (s *Service) seal(ctx context.Context, g authz.Grant, c *api.Call, key string) (*object.Sealing, error) {
	t := at(c)
	if t.badSSE != nil {
		return nil, t.badSSE
	}
	b, asked := t.found, t.sse
	a := accessOf(b)
	if a.broken != nil {
		return nil, a.broken
	}
	conf := a.encryption
	if asked == nil {
		asked = &noEncryption
	}
	if asked.Customer != nil {
		if conf.BlocksSSEC() {
			return nil, fault.New(sse.Blocked, "")
		}
		return asked.Customer.Seal()
	}
	w := sse.Want{Bucket: b, Key: key, Kind: conf.Kind(), KeyID: conf.KMSMasterKeyID, Context: asked.Context, BucketKey: conf.BucketKeyEnabled, By: caller(c)}
	if asked.Algorithm != "" {
		w.Kind, w.KeyID = asked.Kind(), asked.KeyID
	}
	if !w.Kind.KMS() {
		return nil, nil
	}
	if asked.BucketKey != nil {
		w.BucketKey = *asked.BucketKey
	}
	if err := s.mayUseKMS(c); err != nil {
		return nil, err
	}
	return s.keys.Seal(ctx, g, &w)
}

var noEncryption sse.Request

const kmsRequests = "Requests specifying Server Side Encryption with AWS KMS managed keys "

// mayUseKMS refuses requests for which S3 uses no KMS key.
func (s *Service) mayUseKMS(c *api.Call) error {
	switch {
	case s.keys == nil:
		return unsupported("x-amz-server-side-encryption")
	case c.Caller.AuthType == authn.Anonymous || caller(c).Type == policy.Anonymous:
		return badArgument(kmsRequests+"require AWS Signature Version 4.", "Authorization", "null")
	case !c.Peer.Secure:
		return badArgument(kmsRequests+"must be made over a secure connection.", "Authorization", "null")
	}
	return nil
}

// kmsAnswers tells S3's callers what KMS refuses (recorded answers of S3).
var kmsAnswers = map[fault.Kind]answer{
	kms.NotFound:          {"KMS.NotFoundException", 400, "The key does not exist."},
	kms.InvalidARN:        {"KMS.NotFoundException", 400, "The key does not exist."},
	kms.UnknownCiphertext: {"KMS.NotFoundException", 400, "The key does not exist."},
	kms.Disabled:          {"KMS.DisabledException", 400, "The key is disabled."},
	kms.InvalidState:      {"KMS.KMSInvalidStateException", 400, "The key cannot be used in its state."},
	kms.InvalidKeyUsage:   {"KMS.InvalidKeyUsageException", 400, "The key cannot be used to encrypt objects."},
	kms.InvalidCiphertext: {"KMS.InvalidCiphertextException", 400, "The object's key does not decrypt."},
	kms.Invalid:           {"InvalidArgument", 400, "Invalid Argument"},
	kms.LimitExceeded:     {"KMS.LimitExceededException", 400, "A limit of KMS is exceeded."},

	sse.InvalidArgument:  {"InvalidArgument", 400, "Invalid Argument"},
	sse.InvalidRequest:   {"InvalidRequest", 400, "Invalid Request"},
	sse.InvalidAlgorithm: {"InvalidEncryptionAlgorithmError", 400, "The Encryption request you specified is not valid. Supported value: AES256."},
	sse.WrongKey:         {"AccessDenied", 403, "Requests specifying Server Side Encryption with Customer provided keys must provide the correct secret key."},
	sse.Blocked:          {"AccessDenied", 403, "The bucket's encryption configuration blocks Server Side Encryption with Customer provided keys (BlockedEncryptionTypes)."},
}
