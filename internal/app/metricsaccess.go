package app

import (
	"fmt"
	"net/http"
	"time"

	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/front"
	"github.com/kura-s3/kura/policy"
)

// readMetrics is the permission to read the metrics from elsewhere: AWS's own for metrics.
const readMetrics = "cloudwatch:GetMetricData"

// mayReadMetrics asks the Guard, like everybody, whether the caller of /-/metrics may. The request
// is signed as for S3. Metrics are of the whole server, so they belong to the account that manages it.
func (s *server) mayReadMetrics(r *http.Request) error {
	p := front.PeerOf(r.Context())
	caller, err := s.authn.Request(r, authn.Info{Host: r.Host, RawPath: r.URL.EscapedPath(), Secure: p.Secure, RemoteIP: p.IP})
	if err != nil {
		return err
	}
	if caller.AuthType == authn.Anonymous {
		return fmt.Errorf("not signed")
	}
	front.Authenticated(r.Context())
	event := &audit.Event{
		RequestID: p.RequestID, Time: time.Now(), Service: "monitoring", Operation: "GetMetricData",
		Class: audit.Data, ReadOnly: true, Principal: caller.Subject.Principal, AccessKey: caller.Subject.AccessKey,
		AuthType: caller.AuthType.String(), SourceIP: p.IP.String(), TLS: p.TLSVersion, UserAgent: r.UserAgent(),
		Region: s.config.Region, Method: r.Method, URI: r.URL.Path, Host: r.Host,
	}
	_, err = s.guard.Decide(r.Context(), &authz.Inquiry{Subject: &caller.Subject, Keys: metricsKeys{p}, Endpoint: s.network.Policy(p.Listener), Event: event},
		authz.Demand{Action: readMetrics, Resource: authz.Resource{ARN: "*", Account: s.operator()}})
	return err
}

// metricsKeys are the condition keys of a request for the metrics.
type metricsKeys struct{ peer front.Peer }

// Lookup implements authz.Keys.
func (k metricsKeys) Lookup(key string) (policy.Values, bool) {
	switch key {
	case "aws:sourceip":
		return policy.Values{One: k.peer.IP.String()}, true
	case "aws:securetransport":
		return policy.Values{One: fmt.Sprint(k.peer.Secure)}, true
	case "aws:currenttime":
		return policy.Values{One: time.Now().UTC().Format(time.RFC3339)}, true
	case "aws:epochtime":
		return policy.Values{One: fmt.Sprint(time.Now().Unix())}, true
	}
	return policy.Values{}, false
}
