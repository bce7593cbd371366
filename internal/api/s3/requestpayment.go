package s3

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/wire/s3wire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/object"
	"github.com/kura-s3/kura/policy"
)

// Who pays for requests, and transfer acceleration. Kura charges nobody, but what Requester Pays
// demands of strangers holds: nobody anonymous, and everybody else says that they would pay.

const (
	settingPayer      = "requestPayment"
	settingAccelerate = "accelerate"
)

const (
	payerOwner     = "BucketOwner"
	payerRequester = "Requester"
)

func (s *Service) paymentOps() []*api.Op {
	return []*api.Op{
		api.Declare(api.Decl[s3wire.GetBucketRequestPaymentInput, s3wire.GetBucketRequestPaymentOutput]{
			Wire: &s3wire.GetBucketRequestPayment, Class: audit.Management, Access: api.Read, Unsigned: true,
			Demands: onBucket[s3wire.GetBucketRequestPaymentInput](s, "s3:GetBucketRequestPayment"),
			Do: func(_ context.Context, _ authz.Grant, c *api.Call, _ *s3wire.GetBucketRequestPaymentInput) (*s3wire.GetBucketRequestPaymentOutput, error) {
				payer := payerOwner
				if requesterPays(at(c).found) {
					payer = payerRequester
				}
				return &s3wire.GetBucketRequestPaymentOutput{Payer: s3wire.Payer(payer)}, nil
			},
		}),
		api.Declare(api.Decl[s3wire.PutBucketRequestPaymentInput, empty]{
			Wire: &s3wire.PutBucketRequestPayment, Class: audit.Management, Access: api.Write, Unsigned: true,
			Demands: onBucket[s3wire.PutBucketRequestPaymentInput](s, "s3:PutBucketRequestPayment"),
			Do: func(ctx context.Context, g authz.Grant, c *api.Call, in *s3wire.PutBucketRequestPaymentInput) (*empty, error) {
				conf := in.RequestPaymentConfiguration
				if conf == nil || conf.Payer != payerOwner && conf.Payer != payerRequester {
					return nil, fault.New(malformedXML, "")
				}
				return s.setSetting(ctx, g, c, "s3:PutBucketRequestPayment", settingPayer, conf.Payer)
			},
		}),
		api.Declare(api.Decl[s3wire.GetBucketAccelerateConfigurationInput, s3wire.GetBucketAccelerateConfigurationOutput]{
			Wire: &s3wire.GetBucketAccelerateConfiguration, Class: audit.Management, Access: api.Read, Unsigned: true,
			Demands: onBucket[s3wire.GetBucketAccelerateConfigurationInput](s, "s3:GetAccelerateConfiguration"),
			Do: func(_ context.Context, _ authz.Grant, c *api.Call, _ *s3wire.GetBucketAccelerateConfigurationInput) (*s3wire.GetBucketAccelerateConfigurationOutput, error) {
				out := &s3wire.GetBucketAccelerateConfigurationOutput{}
				raw := at(c).found.Settings[settingAccelerate]
				if raw == nil {
					return out, nil
				}
				return out, json.Unmarshal(raw, &out.Status)
			},
		}),
		api.Declare(api.Decl[s3wire.PutBucketAccelerateConfigurationInput, empty]{
			Wire: &s3wire.PutBucketAccelerateConfiguration, Class: audit.Management, Access: api.Write, Unsigned: true,
			Demands: onBucket[s3wire.PutBucketAccelerateConfigurationInput](s, "s3:PutAccelerateConfiguration"),
			Do: func(ctx context.Context, g authz.Grant, c *api.Call, in *s3wire.PutBucketAccelerateConfigurationInput) (*empty, error) {
				conf := in.AccelerateConfiguration
				switch {
				case conf == nil || conf.Status != "Enabled" && conf.Status != "Suspended":
					return nil, fault.New(malformedXML, "")
				case strings.Contains(at(c).bucket, "."):
					return nil, fault.New(invalidRequest, "S3 Transfer Acceleration is not supported for buckets with periods (.) in their names")
				}
				return s.setSetting(ctx, g, c, "s3:PutAccelerateConfiguration", settingAccelerate, conf.Status)
			},
		}),
	}
}

// requesterPays tells whether strangers must say that they pay. A setting that cannot be read says so
// too.
func requesterPays(b *object.Bucket) bool {
	raw := b.Settings[settingPayer]
	return raw != nil && string(raw) != `"`+payerOwner+`"`
}

const payerHeader = "X-Amz-Request-Payer"

// checkPayer refuses what a Requester Pays bucket does not take: requests for its objects by others than
// its account that do not say that they pay (S3 User Guide, "Using Requester Pays buckets").
func checkPayer(c *api.Call, b *object.Bucket) error {
	if !requesterPays(b) || c.Op == nil || c.Op.Class() != audit.Data {
		return nil
	}
	p := caller(c)
	if p.Account == b.Owner.Account || p.Type == policy.Service {
		return nil
	}
	says := c.R.Header.Get(payerHeader)
	if f := at(c).form; f != nil {
		says = f.values["x-amz-request-payer"]
	}
	if p.Type == policy.Anonymous || says != "requester" {
		return denied()
	}
	c.W.Header()["X-Amz-Request-Charged"] = []string{"requester"}
	return nil
}
