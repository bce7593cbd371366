package s3

import (
	"context"
	"encoding/json"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/s3/cors"
	"github.com/kura-s3/kura/internal/api/s3/website"
	"github.com/kura-s3/kura/internal/api/wire/s3wire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
)

const settingWebsite = "website"

// web is what a bucket says to browsers, compiled with its settings: the rules of cross-origin requests
// and its website. A setting that cannot be read opens nothing.
type web struct {
	cors    *cors.Config
	site    *website.Config
	siteErr error
	metrics []metricsFilter
}

func compileWeb(settings map[string][]byte) web {
	w := web{metrics: compileMetrics(settings)}
	if raw := settings[settingCORS]; raw != nil {
		if conf, err := decodeSetting[cors.Config](raw); err == nil {
			w.cors = conf
		}
	}
	if raw := settings[settingWebsite]; raw != nil {
		w.site, w.siteErr = decodeSetting[website.Config](raw)
	}
	return w
}

func (s *Service) websiteOps() []*api.Op {
	return []*api.Op{
		api.Declare(api.Decl[s3wire.GetBucketWebsiteInput, s3wire.GetBucketWebsiteOutput]{
			Wire: &s3wire.GetBucketWebsite, Class: audit.Management, Access: api.Read, Unsigned: true,
			Demands: onBucket[s3wire.GetBucketWebsiteInput](s, "s3:GetBucketWebsite"),
			Do: func(_ context.Context, _ authz.Grant, c *api.Call, _ *s3wire.GetBucketWebsiteInput) (*s3wire.GetBucketWebsiteOutput, error) {
				b := at(c).found
				raw := b.Settings[settingWebsite]
				if raw == nil {
					return nil, fault.New(noSuchWebsite, "", "BucketName", b.Name)
				}
				conf, err := decodeSetting[s3wire.WebsiteConfiguration](raw)
				if err != nil {
					return nil, err
				}
				return &s3wire.GetBucketWebsiteOutput{
					RedirectAllRequestsTo: conf.RedirectAllRequestsTo, IndexDocument: conf.IndexDocument,
					ErrorDocument: conf.ErrorDocument, RoutingRules: conf.RoutingRules,
				}, nil
			},
		}),
		api.Declare(api.Decl[s3wire.PutBucketWebsiteInput, empty]{
			Wire: &s3wire.PutBucketWebsite, Class: audit.Management, Access: api.Write, Unsigned: true,
			Demands: onBucket[s3wire.PutBucketWebsiteInput](s, "s3:PutBucketWebsite"),
			Do:      s.putWebsite,
		}),
		api.Declare(api.Decl[s3wire.DeleteBucketWebsiteInput, empty]{
			Wire: &s3wire.DeleteBucketWebsite, Class: audit.Management, Access: api.Write, Unsigned: true,
			Demands: onBucket[s3wire.DeleteBucketWebsiteInput](s, "s3:DeleteBucketWebsite"),
			Do: func(ctx context.Context, g authz.Grant, c *api.Call, _ *s3wire.DeleteBucketWebsiteInput) (*empty, error) {
				return s.setSetting(ctx, g, c, "s3:DeleteBucketWebsite", settingWebsite, nil)
			},
		}),
	}
}

func (s *Service) putWebsite(ctx context.Context, g authz.Grant, c *api.Call, in *s3wire.PutBucketWebsiteInput) (*empty, error) {
	if in.WebsiteConfiguration == nil {
		return nil, fault.New(malformedXML, "")
	}
	raw, err := json.Marshal(in.WebsiteConfiguration)
	if err != nil {
		return nil, err
	}
	conf, err := decodeSetting[website.Config](raw)
	if err != nil {
		return nil, err
	}
	if flaw := conf.Check(); flaw != nil {
		if flaw.Argument != "" {
			return nil, badArgument(flaw.Message, flaw.Argument, flaw.Value)
		}
		return nil, fault.New(invalidRequest, flaw.Message)
	}
	return s.setSetting(ctx, g, c, "s3:PutBucketWebsite", settingWebsite, conf)
}
