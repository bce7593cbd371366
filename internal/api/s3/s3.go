// Package s3 is the S3 service: its table of operations, one file per sub-resource or data
// operation, its way of telling operations apart, and its errors. It stores nothing and decides
// nothing: what an operation demands stands in its declaration, the Guard decides, and package
// object does.
package s3

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/exposure"
	"github.com/kura-s3/kura/internal/api/s3/sse"
	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/job/lifecycle"
	"github.com/kura-s3/kura/internal/kms"
	"github.com/kura-s3/kura/internal/object"
	"github.com/kura-s3/kura/policy"
)

// Config of the service.
type Config struct {
	// Objects is the store. Required.
	Objects *object.Store
	// Authn finds out who signed. Required.
	Authn *authn.Authenticator
	// Region of this server, "us-east-1".
	Region string
	// Domains under which a bucket may stand in the host name, lower case, without a leading dot.
	Domains []string
	// Accounts tells of principals that policies and ACLs name. Required.
	Accounts Accounts
	// KMS keeps the keys of SSE-KMS. Nil: there are none, and what needs one is not implemented.
	KMS *kms.Store
	// AllowSSEC lets new buckets take SSE-C. As at AWS since April 2026, a bucket takes it otherwise once
	// its encryption configuration says so.
	AllowSSEC bool
	// Control makes the service that shares S3's signing name, for requests below its path. Default:
	// there is none.
	Control func(*Service) Control
	// Elsewhere tells whether a name is a destination of replication outside of this store for an account,
	// which then comes before a bucket of the name. Default: there is none.
	Elsewhere func(bucket, account string) bool
	// DisplayName is the name of an account. Default: none has one.
	DisplayName func(account string) string
	// UseMFA uses up a code of the caller's own MFA device. Default: there are no devices.
	UseMFA func(ctx context.Context, p *policy.Principal, serial, code string) error
	// Guard is asked whether log delivery may write into a bucket. Nil: it is not asked beforehand.
	Guard *authz.Guard
	// LifecycleDay is how long a day of lifecycle rules is. Default a day.
	LifecycleDay time.Duration
	// Exposes tells what strangers could do after a change of a bucket that they cannot do before, for the
	// condition keys of the exposure guard. Nil: nothing.
	Exposes func(before, after *object.Bucket) (exposure.Exposed, error)
	// ExposesObject tells the same of an object's list, over what the bucket gives.
	ExposesObject func(b *object.Bucket, key string, list []byte) (exposure.Exposed, error)
	// Outsiders tells who outside the owner's account a bucket's policy and ACL let in, for the guardrails of
	// classified buckets. Nil: nobody.
	Outsiders func(b *object.Bucket) ([]string, error)
	// Screen looks at what is uploaded while it is read, as plaintext. Nil: nobody looks.
	Screen func(*audit.Event, io.Reader) io.Reader
	// Counter is told of the requests that metrics configurations select. Optional.
	Counter Counter
	// Notices is where event notifications go to. Default: nowhere, and destinations are refused.
	Notices Notices
	Log     *slog.Logger
}

// Accounts tells of principals that policies and ACLs name. It decides nothing.
type Accounts interface {
	// UniqueID is the unique id of the user or role that bears an ARN now; ARNOf is its inverse, and
	// not ok once the entity is gone.
	UniqueID(arn string) (id string, ok bool)
	ARNOf(uniqueID string) (arn string, ok bool)
	// AccountOf is the account that a canonical user id stands for.
	AccountOf(canonicalID string) (account string, ok bool)
	// CanonicalIDByEmail is the canonical user id of the account with that address.
	CanonicalIDByEmail(address string) (canonicalID string, ok bool)
}

// Control is S3 Control: it takes the requests that it claims.
type Control interface {
	api.Service
	Claims(*http.Request) bool
}

// Service implements api.Service for S3.
type Service struct {
	config Config
	ops    []*api.Op
	router *router
	// post, preflight and the website's operation are in no API model.
	post, preflight *api.Op
	website         *site
	// replicas are the operations of replication: to make one, and to read one for elsewhere.
	replicas [2]*api.Op
	// keys is nil when there is no KMS.
	keys *sse.Keys
	// control is nil when there is none.
	control Control
}

// New makes the service.
func New(c Config) *Service {
	if c.DisplayName == nil {
		c.DisplayName = func(string) string { return "" }
	}
	if c.LifecycleDay <= 0 {
		c.LifecycleDay = lifecycle.Day
	}
	s := &Service{config: c}
	if c.KMS != nil {
		s.keys = sse.NewKeys(c.KMS, c.Region, nil)
	}
	s.post, s.preflight = s.postObject(), s.preflightOp()
	s.replicas[0], s.replicas[1] = s.replicaOps()
	s.website = &site{Service: s}
	s.website.op = s.website.declare()
	s.ops = slices.Concat(
		s.notificationOps(), s.bucketOps(), s.versioningOps(), s.bucketTaggingOps(),
		s.encryptionOps(), s.policyOps(), s.publicAccessOps(), s.ownershipOps(), s.aclOps(),
		s.readOps(), s.writeOps(), s.deleteOps(), s.attributesOps(), s.objectTaggingOps(),
		s.multipartOps(), s.listOps(), s.loggingOps(),
		s.corsOps(), s.websiteOps(), s.paymentOps(), s.storageConfigOps(), s.metricsOps(), s.inventoryOps(),
		s.objectLockOps(), s.lifecycleOps(), s.restoreOps(), s.replicationOps(),
	)
	s.router = newRouter(s.ops)
	if c.Control != nil {
		s.control = c.Control(s)
	}
	return s
}

// Name is the signing name.
func (s *Service) Name() string { return "s3" }

// Ops are all operations.
func (s *Service) Ops() []*api.Op {
	ops := append([]*api.Op{s.post, s.preflight, s.website.op, s.replicas[0], s.replicas[1]}, s.ops...)
	if s.control != nil {
		ops = append(ops, s.control.Ops()...)
	}
	return ops
}

// Route finds the operation.
func (s *Service) Route(c *api.Call) (*api.Op, error) {
	if r := replicaOf(c); r != nil {
		return s.routeReplica(c, r), nil
	}
	if s.control != nil && s.control.Claims(c.R) {
		c.Service = s.control
		return s.control.Route(c)
	}
	if bucket, ok := s.websiteBucket(c.R.Host); ok {
		c.Service = s.website
		return s.website.route(c, bucket)
	}
	t, err := s.parseTarget(c.R)
	c.Target = t
	s.share(c, t)
	c.Event.Bucket, c.Event.Key, c.Event.VersionID = t.bucket, t.key, t.query.get("versionId")
	if err != nil {
		return nil, err
	}
	if isFormUpload(c.R, t) {
		return s.post, nil
	}
	if c.R.Method == http.MethodOptions && t.level != levelService {
		return s.preflight, nil
	}
	w, op, err := s.router.match(c.R, t)
	if w != nil {
		c.Event.Operation = w.Name
	}
	return op, err
}

// Authenticate finds out who asks; a form upload carries its signature in its fields.
func (s *Service) Authenticate(c *api.Call) (*authn.Caller, error) {
	info := authn.Info{
		Host: c.R.Host, RawPath: c.R.URL.EscapedPath(), Secure: c.Peer.Secure, RemoteIP: c.Peer.IP,
	}
	switch c.Op {
	case s.post:
		return s.authenticateForm(c, info)
	case s.preflight:
		return s.anonymousCaller(), nil
	}
	caller, err := s.config.Authn.Request(c.R, info)
	if err != nil {
		return nil, err
	}
	return caller, at(c).hoist(c.R.Header)
}

// WireRequest gives the generated decoder its view.
func (s *Service) WireRequest(c *api.Call, body []byte) (*wire.Request, error) {
	t := at(c)
	if c.Op.Wire().ChecksumRequired {
		if err := checkBody(c, body); err != nil {
			return nil, err
		}
	}
	values := make(url.Values, len(t.query))
	for _, p := range t.query {
		values[p.name] = append(values[p.name], p.value)
	}
	return &wire.Request{
		Path: func(label string) string {
			if label == "Bucket" {
				return t.bucket
			}
			return t.key
		},
		Query: values, Header: c.R.Header, Body: body,
	}, nil
}

// Succeed writes a generated output.
func (s *Service) Succeed(c *api.Call, out any) error {
	w := c.Op.Wire()
	body, err := wire.Encode(w, out, c.W.Header())
	if err != nil {
		return err
	}
	return c.W.Send(w.Status, "application/xml", body)
}

// Keys are the condition keys of the request: the global ones, and S3's that mirror headers and
// query parameters.
func (s *Service) Keys(c *api.Call) authz.Keys { return requestKeys{api.RequestKeys{Call: c}} }

type requestKeys struct{ api.RequestKeys }

// Lookup implements authz.Keys.
func (k requestKeys) Lookup(key string) (policy.Values, bool) {
	if v, ok := k.RequestKeys.Lookup(key); ok {
		return v, true
	}
	if header, ok := strings.CutPrefix(key, "s3:"); ok && mirrored[header] {
		if t, ok := k.Target.(*target); ok && header == "x-amz-server-side-encryption-aws-kms-key-id" && t.sse != nil && t.sse.KeyARN != "" {
			return policy.Values{One: t.sse.KeyARN}, true
		}
		if values := k.sent()[http.CanonicalHeaderKey(header)]; len(values) > 0 {
			return headerKey(header, values), true
		}
	}
	return policy.Values{}, false
}

// headerKey is the condition key that mirrors a header. It says what Kura acts upon: all of a list of
// grants, and the source of a copy as it is decoded, in both ways in which policies write it.
func headerKey(header string, values []string) policy.Values {
	if header == "x-amz-copy-source" {
		if source, err := parseCopySource(values[0]); err == nil {
			path := source.Bucket + "/" + source.Key
			return policy.Values{Many: []string{path, "/" + path}, Multi: true}
		}
	}
	if strings.HasPrefix(header, "x-amz-grant-") {
		return policy.Values{One: strings.Join(values, ",")}
	}
	return policy.Values{One: values[0]}
}

// sent are the headers, or the fields of a form that stand for them: then headers beside the form say
// nothing, for its policy does not cover them.
func (k requestKeys) sent() http.Header {
	if t, ok := k.Target.(*target); ok && t.form != nil {
		return t.form.headers()
	}
	return k.R.Header
}

// mirrored are the headers that S3 makes condition keys of, under their own names (Service
// Authorization Reference, "Condition keys for Amazon S3").
var mirrored = map[string]bool{
	"x-amz-acl": true, "x-amz-content-sha256": true, "x-amz-copy-source": true, "x-amz-grant-full-control": true,
	"x-amz-grant-read": true, "x-amz-grant-read-acp": true, "x-amz-grant-write": true, "x-amz-grant-write-acp": true,
	"x-amz-metadata-directive": true, "x-amz-object-ownership": true, "x-amz-server-side-encryption": true,
	"x-amz-server-side-encryption-aws-kms-key-id": true, "x-amz-server-side-encryption-customer-algorithm": true,
	"x-amz-storage-class": true, "x-amz-website-redirect-location": true,
}

// bucket resolves the addressed bucket from memory. A missing bucket is told to everybody, as AWS does.
func (s *Service) bucket(c *api.Call) (*object.Bucket, error) {
	t := at(c)
	if t.found == nil {
		b, err := s.config.Objects.Bucket(t.bucket)
		if err != nil {
			return nil, err
		}
		if err := checkExpectedOwner(c.R.Header.Get("X-Amz-Expected-Bucket-Owner"), b); err != nil {
			return nil, err
		}
		t.found = b
	}
	return t.found, checkPayer(c, t.found)
}

// needBucket is the usual demand: one action on the addressed bucket.
func (s *Service) needBucket(c *api.Call, action string) ([]authz.Demand, error) {
	return s.needBucketWith(c, action, nil)
}

// needBucketWith is needBucket with condition keys.
func (s *Service) needBucketWith(c *api.Call, action string, keys authz.Keys) ([]authz.Demand, error) {
	b, err := s.bucket(c)
	if err != nil {
		return nil, err
	}
	return c.Need(action, s.bucketResource(caller(c), b, action), keys), nil
}

// needKey is one action on the addressed key.
func (s *Service) needKey(c *api.Call, action string) ([]authz.Demand, error) {
	return s.needKeyWith(c, action, nil)
}

// needKeyWith is needKey with condition keys.
func (s *Service) needKeyWith(c *api.Call, action string, keys authz.Keys) ([]authz.Demand, error) {
	b, err := s.bucket(c)
	if err != nil {
		return nil, err
	}
	if err := checkKey(at(c).key); err != nil {
		return nil, err
	}
	d, err := s.keyDemand(c, b, addressed(c), action, keys)
	return c.Need(d.Action, d.Resource, d.Keys), err
}

// onBucket makes the Demands of an operation whose permission does not depend on its input.
func onBucket[In any](s *Service, action string) func(*api.Call, *In) ([]authz.Demand, error) {
	return func(c *api.Call, _ *In) ([]authz.Demand, error) { return s.needBucket(c, action) }
}

// versioned picks the Version variant of an object action when the request names a version.
func versioned(c *api.Call, plain, withVersion string) string {
	if at(c).query.has("versionId") {
		return withVersion
	}
	return plain
}

// empty is the answer of operations that return nothing.
type empty struct{}

// Respond sends the status alone.
func (empty) Respond(c *api.Call) error { return c.W.Send(c.Op.Wire().Status, "", nil) }

// hide turns "there is no such key" into a refusal for callers who may not list the bucket, so that
// nobody learns from an error which keys exist (S3 User Guide, "GetObject": permissions).
func (s *Service) hide(g authz.Grant, b *object.Bucket, key string, err error) error {
	if !missing(err) {
		return err
	}
	p := g.Principal()
	list := authz.Demand{Action: "s3:ListBucket", Resource: s.bucketResource(&p, b, "s3:ListBucket"), Keys: listKeys{prefix: key}}
	if g.May(list) {
		return err
	}
	return denied()
}
