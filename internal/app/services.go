package app

import (
	"context"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/events"
	"github.com/kura-s3/kura/internal/api/iam"
	"github.com/kura-s3/kura/internal/api/kms"
	"github.com/kura-s3/kura/internal/api/organizations"
	"github.com/kura-s3/kura/internal/api/s3"
	"github.com/kura-s3/kura/internal/api/sqs"
	"github.com/kura-s3/kura/internal/api/sts"
	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/front"
	"github.com/kura-s3/kura/internal/identity"
	"github.com/kura-s3/kura/internal/metrics"
)

// signingNames are the services, by the names that signatures have.
var signingNames = []string{
	"s3", "iam", "sts", "organizations", "events", "kms", "cloudtrail", "config", "access-analyzer",
	"sqs",
	"sns",
	"guardduty",
	"lambda",
	"logs",
}

// openServices puts the staircase on top of the stores, and the front before it.
func (s *server) openServices(ctx context.Context) error {
	registry := prometheus.NewRegistry()
	counters := metrics.New(registry)
	s.guard = authz.New(authz.Config{Recorder: s.record, Count: counters.Decision})
	if err := s.startEvents(ctx, registry); err != nil {
		return err
	}
	if err := s.openPosture(ctx); err != nil {
		return err
	}
	if err := s.openFindings(ctx); err != nil {
		return err
	}
	s.authn = authn.New(authn.Config{
		Credentials: s.identities, Anonymous: identity.Anonymous(), Region: s.config.Region,
		Services: signingNames,
	})
	var err error
	s.pipeline, err = api.NewServer(api.Config{
		Services:   s.services(registry),
		Guard:      s.guard,
		Recorder:   s.record,
		Peer:       s.peers(),
		Serves:     s.serves,
		Introduced: s.introduced,
		Meter:      counters,
		Observe:    s.finder.Note,
		Log:        s.log,
		Region:     s.config.Region,
	})
	if err != nil {
		return err
	}
	close(s.piped)
	if err := s.openFront(registry); err != nil {
		return err
	}
	s.startLifecycle(counters) // what is paced looks at the front
	s.gauges().Register(registry)
	s.recordMetrics(registry)
	s.topicMetrics(registry)
	return s.introduce()
}

// services are those that requests can be for.
func (s *server) services(registry prometheus.Registerer) []api.Service {
	return []api.Service{
		s3.New(s3.Config{
			Objects: s.objects, Authn: s.authn, Guard: s.guard, Region: s.config.Region, Domains: s.config.Domains, Log: s.log,
			DisplayName: s.accountName, Accounts: s3Accounts{s.identities}, Control: s.control, Elsewhere: s.replicatesTo, UseMFA: s.useMFA,
			Exposes: s.exposesBucket, ExposesObject: s.exposesObject, Outsiders: s.outsiders,
			Notices: s.notifier, Screen: s.screen(),
			KMS: s.kms, AllowSSEC: s.config.AllowSSEC,
			LifecycleDay: s.config.LifecycleDay,
			Counter:      metrics.NewBuckets(registry),
		}),
		iam.New(iam.Config{Identities: s.identities, Exposes: s.exposesPolicy, Authn: s.authn, Log: s.log}),
		sqs.New(sqs.Config{Queues: s.queues, Exposes: s.exposesPolicy, Authn: s.authn, Log: s.log}),
		s.sns(),
		organizations.New(organizations.Config{Identities: s.identities, Authn: s.authn, Log: s.log}),
		events.New(events.Config{Events: s.events, Exposes: s.exposesPolicy, Authn: s.authn, Log: s.log}),
		kms.New(kms.Config{Keys: s.kms, Exposes: s.exposesPolicy, Authn: s.authn, Log: s.log}),
		s.cloudtrail(),
		s.configService(),
		s.accessAnalyzer(),
		s.logsService(),
		s.guardDuty(),
		s.lambda(),
		sts.New(sts.Config{Identities: s.identities, Guard: s.guard, Authn: s.authn, Log: s.log}),
	}
}

// openFront makes what takes connections and hands their requests to the pipeline.
func (s *server) openFront(registry *prometheus.Registry) (err error) {
	limits := front.DefaultLimits()
	limits.Connections = s.config.MaxConnections
	limits.ConnectionsPerIP = s.config.MaxConnectionsPerIP
	limits.Unauthenticated = s.config.MaxUnauthenticated
	limits.Uploads = s.config.MaxUploads
	s.front, err = front.New(front.Config{
		Handler:        s.pipeline,
		Log:            s.log,
		TrustedProxies: s.config.TrustedProxies,
		Admit:          s.network.Admit,
		Reaches:        s.reaches,
		Domains:        s.config.Domains,
		Metrics:        metrics.Handler(registry),
		Public:         s.certificate,
		Authorize:      s.mayReadMetrics,
		Limits:         limits,
	})
	if err != nil {
		return err
	}
	// Serve shuts the front down; this is for an opening that fails further on.
	s.onClose(func() error { return s.front.Shutdown(context.Background()) })
	return nil
}

// accountName is what an account calls itself.
func (s *server) accountName(id string) string {
	account, _ := s.identities.Account(id)
	return account.Name
}

// peers tells the pipeline what the front knows of a request, and by which endpoint it came.
func (s *server) peers() func(*http.Request) api.Peer {
	vpcs := map[string]string{}
	for _, e := range s.config.Endpoints {
		vpcs[e.ID] = e.VPC
	}
	return func(r *http.Request) api.Peer {
		p := front.PeerOf(r.Context())
		peer := api.Peer{
			IP: p.IP, Secure: p.Secure, TLSVersion: p.TLSVersion, Listener: p.Listener,
			RequestID: p.RequestID, HostID: p.HostID, Policy: s.network.Policy(p.Listener),
		}
		if vpc, ok := vpcs[p.Listener]; ok {
			peer.Endpoint, peer.VPC = p.Listener, vpc
		}
		return peer
	}
}

// introduced tells the front whose connection has proved who they are, and notes the use of the key.
func (s *server) introduced(c *api.Call) {
	front.Authenticated(c.R.Context())
	subject := &c.Caller.Subject
	s.identities.NoteUse(subject.AccessKey, subject.Principal.UniqueID, c.Service.Name(), c.Caller.Region)
}

func (s *server) gauges() metrics.Gauges {
	return metrics.Gauges{
		Connections:     func() float64 { return float64(s.front.Stats().Connections) },
		Unauthenticated: func() float64 { return float64(s.front.Stats().Unauthenticated) },
		Uploads:         func() float64 { return float64(s.front.Stats().Uploads) },
		Refused:         s.refusedConnections,
		Version:         s.options.Build.Version, Commit: s.options.Build.Commit,
		StorageUsed: func() float64 {
			return float64(s.engines.Meta.Usage().BytesUsed + s.engines.Blob.Usage().BytesUsed)
		},
		StorageFree: func() float64 { return float64(s.engines.Blob.Usage().BytesFree) },
		Syncs: func() float64 {
			return float64(s.engines.Meta.Usage().Syncs + s.engines.Blob.Usage().Syncs)
		},
		Corrupt: func() float64 {
			return float64(s.engines.Meta.Usage().Corrupt+s.engines.Blob.Usage().Corrupt) + float64(s.objects.Usage(context.Background()).DamagedReads)
		},
		Pace:        s.paceStats,
		Replication: func() metrics.Replication { return metrics.Replication(s.replicationStats()) },
		Buckets:     func() float64 { return float64(s.objects.Usage(context.Background()).Buckets) },
	}
}
