package s3

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/wire/s3wire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/object"
	"github.com/kura-s3/kura/policy"
)

func (s *Service) policyOps() []*api.Op {
	return []*api.Op{
		api.Declare(api.Decl[s3wire.GetBucketPolicyInput, policyOutput]{
			Wire: &s3wire.GetBucketPolicy, Class: audit.Management, Access: api.Read, Unsigned: true,
			Demands: onBucket[s3wire.GetBucketPolicyInput](s, "s3:GetBucketPolicy"), Do: s.getPolicy,
		}),
		api.Declare(api.Decl[s3wire.PutBucketPolicyInput, empty]{
			Wire: &s3wire.PutBucketPolicy, Class: audit.Management, Access: api.Permissions, Unsigned: true,
			Decode:  decodePolicy,
			Demands: exposing(s, "s3:PutBucketPolicy", settingPolicy, s.exposingPolicy), Do: s.putPolicy,
		}),
		api.Declare(api.Decl[s3wire.DeleteBucketPolicyInput, empty]{
			Wire: &s3wire.DeleteBucketPolicy, Class: audit.Management, Access: api.Permissions, Unsigned: true,
			Demands: exposing(s, "s3:DeleteBucketPolicy", settingPolicy, func(*api.Call, *object.Bucket, *s3wire.DeleteBucketPolicyInput) ([]byte, error) {
				return nil, nil
			}),
			Do: func(ctx context.Context, g authz.Grant, c *api.Call, _ *s3wire.DeleteBucketPolicyInput) (*empty, error) {
				if err := ownersOnly(c); err != nil {
					return nil, err
				}
				_, err := s.config.Objects.UpdateBucket(ctx, g, "s3:DeleteBucketPolicy", at(c).bucket, func(b *object.Bucket) error {
					delete(b.Settings, settingPolicy)
					return s.stillJudged(c, b)
				})
				return &empty{}, err
			},
		}),
		api.Declare(api.Decl[s3wire.GetBucketPolicyStatusInput, s3wire.GetBucketPolicyStatusOutput]{
			Wire: &s3wire.GetBucketPolicyStatus, Class: audit.Management, Access: api.Read, Unsigned: true,
			Demands: onBucket[s3wire.GetBucketPolicyStatusInput](s, "s3:GetBucketPolicyStatus"),
			Do: func(_ context.Context, _ authz.Grant, c *api.Call, _ *s3wire.GetBucketPolicyStatusInput) (*s3wire.GetBucketPolicyStatusOutput, error) {
				b := at(c).found
				a := accessOf(b)
				if a.policy == nil {
					return nil, fault.New(noSuchBucketPolicy, "", "BucketName", b.Name)
				}
				return &s3wire.GetBucketPolicyStatusOutput{PolicyStatus: &s3wire.PolicyStatus{IsPublic: &a.public}}, nil
			},
		}),
	}
}

// ownersOnly: a bucket policy is read and written by the owner's account alone, whatever it allows.
func ownersOnly(c *api.Call) error {
	if caller(c).Account != at(c).found.Owner.Account {
		return fault.New(methodNotAllowed, "", "Method", c.R.Method, "ResourceType", "BUCKETPOLICY")
	}
	return nil
}

// policyOutput is a policy on its way out: the document itself, not XML.
type policyOutput struct{ text string }

// Respond sends it.
func (o *policyOutput) Respond(c *api.Call) error {
	return c.W.Send(http.StatusOK, "application/json", []byte(o.text))
}

func (s *Service) getPolicy(_ context.Context, _ authz.Grant, c *api.Call, _ *s3wire.GetBucketPolicyInput) (*policyOutput, error) {
	if err := ownersOnly(c); err != nil {
		return nil, err
	}
	b := at(c).found
	doc := accessOf(b).policy
	if doc == nil {
		return nil, fault.New(noSuchBucketPolicy, "", "BucketName", b.Name)
	}
	names := map[string]string{}
	for _, id := range doc.UniqueIDs() {
		if arn, ok := s.config.Accounts.ARNOf(id); ok {
			names[id] = arn
		}
	}
	return &policyOutput{doc.Render(names)}, nil
}

// decodePolicy takes the body as the policy that it is, the empty one too: S3 finds it malformed, not
// missing.
func decodePolicy(c *api.Call, in *s3wire.PutBucketPolicyInput) error {
	body, err := c.Body()
	if err != nil {
		return err
	}
	text := string(body)
	in.Policy = &text
	return checkBody(c, body)
}

func (s *Service) putPolicy(ctx context.Context, g authz.Grant, c *api.Call, in *s3wire.PutBucketPolicyInput) (*empty, error) {
	if err := ownersOnly(c); err != nil {
		return nil, err
	}
	b := at(c).found
	doc, err := s.bucketPolicy(b, *in.Policy)
	if err != nil {
		return nil, err
	}
	_, err = s.config.Objects.UpdateBucket(ctx, g, "s3:PutBucketPolicy", b.Name, func(b *object.Bucket) error {
		// As the bucket is now, not as it was when the request came.
		if doc.IsPublic() && s.block(b, accessOf(b)).BlockPublicPolicy {
			return blocked(caller(c), b, "s3:PutBucketPolicy", b.ARN(), "policies", "BlockPublicPolicy")
		}
		b.Settings[settingPolicy] = []byte(doc.Source())
		return s.stillJudged(c, b)
	})
	return &empty{}, err
}

// bucketPolicy reads a bucket policy strictly: what S3 does not know is refused, and principals are
// pinned to the entities that bear their names now.
func (s *Service) bucketPolicy(b *object.Bucket, text string) (*policy.Document, error) {
	doc, err := policy.ParseString(text, policy.Bucket)
	if err != nil {
		return nil, malformedPolicy(err)
	}
	if err := doc.CheckBucket(b.ARN()); err != nil {
		return nil, malformedPolicy(err)
	}
	if doc.Size() > policy.MaxBucketPolicy {
		return nil, fault.New(badPolicy, "Normalized policy document exceeds the maximum allowed size of 20480 bytes")
	}
	pinned, err := doc.Resolve(s.config.Accounts.UniqueID)
	if err != nil {
		return nil, malformedPolicy(err)
	}
	return pinned, nil
}

// malformedPolicy tells in S3's words what is wrong, and where.
func malformedPolicy(err error) error {
	var syntax *policy.SyntaxError
	if !errors.As(err, &syntax) {
		return err
	}
	f := fault.New(badPolicy, syntax.S3Message())
	if syntax.Code == policy.CodePrincipal {
		f.Fields = append(f.Fields, fault.Field{Name: "Detail", Value: syntax.Detail})
	}
	f.Fields = append(f.Fields, fault.Field{Name: "Line", Value: strconv.Itoa(syntax.Line)},
		fault.Field{Name: "Column", Value: strconv.Itoa(syntax.Column)}, fault.Field{Name: "Reason", Value: syntax.Message})
	return f
}
