package s3

import (
	"context"
	"net/http"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/s3/cors"
	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/api/wire/s3wire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/object"
	"github.com/kura-s3/kura/policy"
)

const (
	settingCORS = "cors"
	maxCORS     = 64 << 10
)

func (s *Service) corsOps() []*api.Op {
	return []*api.Op{
		api.Declare(api.Decl[s3wire.GetBucketCorsInput, s3wire.GetBucketCorsOutput]{
			Wire: &s3wire.GetBucketCors, Class: audit.Management, Access: api.Read, Unsigned: true,
			Demands: onBucket[s3wire.GetBucketCorsInput](s, "s3:GetBucketCORS"),
			Do: func(_ context.Context, _ authz.Grant, c *api.Call, _ *s3wire.GetBucketCorsInput) (*s3wire.GetBucketCorsOutput, error) {
				b := at(c).found
				raw := b.Settings[settingCORS]
				if raw == nil {
					return nil, fault.New(noSuchCORS, "", "BucketName", b.Name)
				}
				conf, err := decodeSetting[s3wire.CORSConfiguration](raw)
				if err != nil {
					return nil, err
				}
				return &s3wire.GetBucketCorsOutput{CORSRules: conf.CORSRules}, nil
			},
		}),
		api.Declare(api.Decl[s3wire.PutBucketCorsInput, empty]{
			Wire: &s3wire.PutBucketCors, Class: audit.Management, Access: api.Write, Unsigned: true, MaxBody: maxCORS,
			Demands: onBucket[s3wire.PutBucketCorsInput](s, "s3:PutBucketCORS"),
			Do:      s.putCORS,
		}),
		api.Declare(api.Decl[s3wire.DeleteBucketCorsInput, empty]{
			Wire: &s3wire.DeleteBucketCors, Class: audit.Management, Access: api.Write, Unsigned: true,
			Demands: onBucket[s3wire.DeleteBucketCorsInput](s, "s3:PutBucketCORS"),
			Do: func(ctx context.Context, g authz.Grant, c *api.Call, _ *s3wire.DeleteBucketCorsInput) (*empty, error) {
				return s.setSetting(ctx, g, c, "s3:PutBucketCORS", settingCORS, nil)
			},
		}),
	}
}

func (s *Service) putCORS(ctx context.Context, g authz.Grant, c *api.Call, in *s3wire.PutBucketCorsInput) (*empty, error) {
	if in.CORSConfiguration == nil || len(in.CORSConfiguration.CORSRules) == 0 {
		return nil, fault.New(malformedXML, "")
	}
	rules := make([]cors.Rule, len(in.CORSConfiguration.CORSRules))
	for i, r := range in.CORSConfiguration.CORSRules {
		if len(r.AllowedMethods) == 0 || len(r.AllowedOrigins) == 0 {
			return nil, fault.New(malformedXML, "")
		}
		rules[i] = cors.Rule(r)
	}
	conf := &cors.Config{CORSRules: rules}
	if wrong := conf.Check(); wrong != "" {
		return nil, fault.New(invalidRequest, wrong)
	}
	return s.setSetting(ctx, g, c, "s3:PutBucketCORS", settingCORS, conf)
}

// corsOf are the rules of a bucket, nil when it has none, or none that can be read.
func (s *Service) corsOf(b *object.Bucket) *cors.Config {
	return accessOf(b).web.cors
}

// share marks the answer to a page of another origin with what the bucket's rules allow it. What the
// request may do is decided as ever; a browser shows the page an answer only so.
func (s *Service) share(c *api.Call, t *target) {
	if len(c.R.Header["Origin"]) != 1 || t.bucket == "" {
		return
	}
	b, err := s.config.Objects.Bucket(t.bucket)
	if err != nil {
		return
	}
	asked := cors.Ask(c.R.Method, c.R.Header)
	if r := s.corsOf(b).Match(&asked); r != nil {
		r.Answer(c.W.Header(), &asked)
	}
}

// preflight is the question of a browser whether a page of another origin may make a request. It is in no
// API model: its binding stands here.
var preflight = &wire.Operation{
	Service: "s3", Name: "PreflightRequest", Protocol: wire.RestXML, Method: http.MethodOptions, URI: "/{Bucket}", Status: http.StatusOK,
}

// preflightInput is a decoded preflight, and what became of it.
type preflightInput struct {
	asked cors.Asked
	rule  *cors.Rule
}

// preflightOp declares it. Browsers never sign it, and whatever signature its address carries is for
// the request that they ask about: it is the anonymous caller's. It tells what the bucket's rules
// say about one origin, so it is a demand to read them, and the rules themselves grant it; bucket
// policy and Block Public Access have no say.
func (s *Service) preflightOp() *api.Op {
	return api.Declare(api.Decl[preflightInput, empty]{
		Wire: preflight, Class: audit.Data, Access: api.Read, Unsigned: true,
		Decode: func(c *api.Call, in *preflightInput) error {
			in.asked = cors.Ask(c.R.Method, c.R.Header)
			if in.asked.Origin == "" {
				return fault.New(badPreflight, "")
			}
			if in.asked.Method == "" {
				return fault.New(badPreflight, "Invalid Access-Control-Request-Method: null")
			}
			return nil
		},
		Demands: func(c *api.Call, in *preflightInput) ([]authz.Demand, error) {
			t := at(c)
			resource := authz.Resource{ARN: "arn:aws:s3:::" + t.bucket}
			if b, err := s.config.Objects.Bucket(t.bucket); err == nil {
				t.found, resource.Account = b, b.Owner.Account
				in.rule = s.corsOf(b).Match(&in.asked)
			}
			resource.Granted = in.rule != nil
			return c.Need("s3:GetBucketCORS", resource, nil), nil
		},
		Do: func(_ context.Context, _ authz.Grant, c *api.Call, in *preflightInput) (*empty, error) {
			in.rule.Answer(c.W.Header(), &in.asked)
			return &empty{}, nil
		},
	})
}

// anonymousCaller is who asks where no signature counts.
func (s *Service) anonymousCaller() *authn.Caller {
	return &authn.Caller{
		Subject:  authz.Subject{Principal: policy.Principal{Type: policy.Anonymous}},
		AuthType: authn.Anonymous, Body: http.NoBody, DecodedLength: 0,
	}
}

// refusedPreflight tells in S3's words why a preflight was refused.
func (s *Service) refusedPreflight(c *api.Call) error {
	t := at(c)
	resourceType := resourceTypes[t.level]
	pairs := []string{"Method", cors.Ask(c.R.Method, c.R.Header).Method, "ResourceType", resourceType}
	switch {
	case t.found == nil:
		return fault.New(accessForbidden, "CORSResponse: Bucket not found", pairs...)
	case s.corsOf(t.found) == nil:
		return fault.New(accessForbidden, "CORSResponse: CORS is not enabled for this bucket.", pairs...)
	}
	return fault.New(accessForbidden, "", pairs...)
}
