// Package s3control is S3 Control: what is configured for a whole account (Block Public Access), and
// the tags of buckets by ARN. It has S3's signing name and speaks S3's errors in an envelope of its
// own; the S3 service hands over the requests that it claims. It stores nothing and decides nothing.
package s3control

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/exposure"
	"github.com/kura-s3/kura/internal/api/s3"
	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/api/wire/s3controlwire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/object"
	"github.com/kura-s3/kura/policy"
)

// Failures of this edge.
const (
	noPublicAccessBlock fault.Kind = "s3control.NoSuchPublicAccessBlockConfiguration"
	invalidRequest      fault.Kind = "s3control.InvalidRequest"
	invalidURI          fault.Kind = "s3control.InvalidURI"
)

// answers are the failures that S3 does not have, or tells otherwise.
var answers = map[fault.Kind]struct {
	code    string
	status  int
	message string
}{
	noPublicAccessBlock: {"NoSuchPublicAccessBlockConfiguration", 404, "The public access block configuration was not found"},
	invalidRequest:      {"InvalidRequest", 400, "Invalid Request"},
	invalidURI:          {"InvalidURI", 400, "Couldn't parse the specified URI."},
}

// Config of the service.
type Config struct {
	// Objects is the store. Required.
	Objects *object.Store
	// Authn finds out who signed. Required.
	Authn *authn.Authenticator
	// BucketSide resolves the bucket's side of a demand. Required.
	// Exposes tells what strangers could do after a change of an account's block that they cannot do before,
	// for the condition keys of the exposure guard. Nil: nothing.
	Exposes    func(account string, after policy.PublicAccessBlock) (exposure.Exposed, error)
	BucketSide func(p *policy.Principal, b *object.Bucket, action string) authz.Resource
	// NeedTags adds the demands of a change of a bucket's tags. Required.
	NeedTags func(c *api.Call, b *object.Bucket, action string, inner authz.Keys, tags []object.Tag) []authz.Demand
	Log      *slog.Logger
}

// Service implements api.Service for S3 Control.
type Service struct {
	config Config
	ops    []*api.Op
	routes map[route]*api.Op
}

// route is how requests tell operations apart: by method, and whether they are about tags.
type route struct {
	method string
	tags   bool
}

const (
	root      = "/v20180820/"
	blockPath = root + "configuration/publicAccessBlock"
	tagsPath  = root + "tags/"

	accountHeader = "X-Amz-Account-Id"
)

// New makes the service.
func New(c Config) *Service {
	s := &Service{config: c, routes: map[route]*api.Op{}}
	s.ops = append(s.blockOps(), s.tagOps()...)
	for _, op := range s.ops {
		s.routes[route{op.Wire().Method, strings.HasPrefix(op.Wire().URI, tagsPath)}] = op
	}
	return s
}

// Name is the signing name, which it shares with S3.
func (s *Service) Name() string { return "s3" }

// Ops are all operations.
func (s *Service) Ops() []*api.Op { return s.ops }

// Claims tells requests of S3 Control from those of S3 on a bucket whose name looks like its path: the
// SDKs always say for which account they are. The host, which they prefix with the account's id too,
// does not count.
func (s *Service) Claims(r *http.Request) bool {
	return len(r.Header[accountHeader]) > 0 && strings.HasPrefix(r.URL.Path, root)
}

// target is what a request addresses.
type target struct {
	account, arn string
	judged       *object.Bucket // as it was when the demands were made
	// still errs when a change of the account's block, let through because it exposed nothing, would expose something now.
	// Nil: nobody asked.
	still func() error
}

func at(c *api.Call) *target { return c.Target.(*target) }

// Route finds the operation.
func (s *Service) Route(c *api.Call) (*api.Op, error) {
	t := &target{account: c.R.Header.Get(accountHeader)}
	c.Target = t
	if len(c.R.Header[accountHeader]) != 1 {
		return nil, fault.New(invalidRequest, "x-amz-account-id must be given once")
	}
	path := c.R.URL.EscapedPath()
	if path == blockPath {
		return s.op(route{c.R.Method, false})
	}
	escaped, ok := strings.CutPrefix(path, tagsPath)
	if !ok {
		return nil, fault.New(api.NotImplemented, "")
	}
	var err error
	if t.arn, err = url.PathUnescape(escaped); err != nil {
		return nil, fault.New(invalidURI, "", "URI", path)
	}
	return s.op(route{c.R.Method, true})
}

func (s *Service) op(r route) (*api.Op, error) {
	if op := s.routes[r]; op != nil {
		return op, nil
	}
	return nil, fault.New(api.NotImplemented, "")
}

// Authenticate finds out who asks.
func (s *Service) Authenticate(c *api.Call) (*authn.Caller, error) {
	return s.config.Authn.Request(c.R, authn.Info{
		Host: c.R.Host, RawPath: c.R.URL.EscapedPath(), Secure: c.Peer.Secure, RemoteIP: c.Peer.IP,
	})
}

// WireRequest gives the generated decoder its view.
func (s *Service) WireRequest(c *api.Call, body []byte) (*wire.Request, error) {
	values, err := url.ParseQuery(c.R.URL.RawQuery)
	if err != nil {
		return nil, fault.New(invalidURI, "", "URI", c.R.URL.RawQuery)
	}
	return &wire.Request{
		Path: func(string) string { return at(c).arn }, Query: values, Header: c.R.Header, Body: body,
	}, nil
}

// Keys are the condition keys of the request.
func (s *Service) Keys(c *api.Call) authz.Keys { return api.RequestKeys{Call: c} }

// Succeed writes an output.
func (s *Service) Succeed(c *api.Call, out any) error {
	w := c.Op.Wire()
	body, err := wire.Encode(w, out, c.W.Header())
	if err != nil {
		return err
	}
	return c.W.Send(w.Status, "application/xml", body)
}

// Fail writes err as S3 Control's error document.
func (s *Service) Fail(c *api.Call, err error) (int, string) {
	e := wire.ErrorBody{
		Protocol: wire.RestXML, Wrapped: true, Namespace: "http://awss3control.amazonaws.com/doc/2018-08-20/",
		RequestID: c.Peer.RequestID, HostID: c.Peer.HostID,
	}
	var status int
	var f *fault.Error
	if a, own := answers[fault.Of(err)]; own && errors.As(err, &f) {
		status, e.Code, e.Message, e.Fields = a.status, a.code, a.message, f.Fields
		if f.Message != "" {
			e.Message = f.Message
		}
	} else {
		status, e.Code, e.Message, e.Fields = s3.Explain(err)
	}
	body, contentType := e.Encode()
	if err := c.W.Send(status, contentType, body); err != nil {
		s.config.Log.Debug("error answer not delivered", "requestId", c.Peer.RequestID, "err", err)
	}
	return status, e.Code
}

// onAccount makes the Demands of an operation on the account: the resource is no ARN, its owner is the
// account that the request names.
func onAccount[In any](action string) func(*api.Call, *In) ([]authz.Demand, error) {
	return func(c *api.Call, _ *In) ([]authz.Demand, error) {
		return c.Need(action, authz.Resource{ARN: "*", Account: at(c).account}, nil), nil
	}
}

func (s *Service) blockOps() []*api.Op {
	return []*api.Op{
		api.Declare(api.Decl[s3controlwire.GetPublicAccessBlockInput, s3controlwire.GetPublicAccessBlockOutput]{
			Wire: &s3controlwire.GetPublicAccessBlock, Class: audit.Management, Access: api.Read, Unsigned: true,
			Demands: onAccount[s3controlwire.GetPublicAccessBlockInput]("s3:GetAccountPublicAccessBlock"), Do: s.getBlock,
		}),
		api.Declare(api.Decl[s3controlwire.PutPublicAccessBlockInput, s3controlwire.PutPublicAccessBlockOutput]{
			Wire: &s3controlwire.PutPublicAccessBlock, Class: audit.Management, Access: api.Permissions, Unsigned: true,
			Demands: func(c *api.Call, in *s3controlwire.PutPublicAccessBlockInput) ([]authz.Demand, error) {
				return s.needBlock(c, wantedBlock(in.PublicAccessBlockConfiguration)), nil
			},
			Do: s.putBlock,
		}),
		api.Declare(api.Decl[s3controlwire.DeletePublicAccessBlockInput, deleted]{
			Wire: &s3controlwire.DeletePublicAccessBlock, Class: audit.Management, Access: api.Permissions, Unsigned: true,
			Demands: func(c *api.Call, _ *s3controlwire.DeletePublicAccessBlockInput) ([]authz.Demand, error) {
				return s.needBlock(c, policy.PublicAccessBlock{}), nil
			},
			Do: func(ctx context.Context, g authz.Grant, c *api.Call, _ *s3controlwire.DeletePublicAccessBlockInput) (*deleted, error) {
				return &deleted{}, s.setBlock(ctx, g, c, func(a *object.Account) { delete(a.Settings, object.SettingPublicAccessBlock) })
			},
		}),
	}
}

// deleted is the answer of DeletePublicAccessBlock. The model says 200; the service sends 204.
type deleted struct{}

// Respond sends the status alone.
func (deleted) Respond(c *api.Call) error { return c.W.Send(http.StatusNoContent, "", nil) }

func (s *Service) getBlock(_ context.Context, _ authz.Grant, c *api.Call, _ *s3controlwire.GetPublicAccessBlockInput) (*s3controlwire.GetPublicAccessBlockOutput, error) {
	raw := s.config.Objects.Account(at(c).account).Settings[object.SettingPublicAccessBlock]
	if raw == nil {
		return nil, fault.New(noPublicAccessBlock, "", "AccountId", at(c).account)
	}
	var block policy.PublicAccessBlock
	if err := json.Unmarshal(raw, &block); err != nil {
		return nil, err
	}
	return &s3controlwire.GetPublicAccessBlockOutput{PublicAccessBlockConfiguration: &s3controlwire.PublicAccessBlockConfiguration{
		BlockPublicAcls: &block.BlockPublicACLs, IgnorePublicAcls: &block.IgnorePublicACLs,
		BlockPublicPolicy: &block.BlockPublicPolicy, RestrictPublicBuckets: &block.RestrictPublicBuckets,
	}}, nil
}

// needBlock is the demand of a change of the account's block, with the condition keys of the exposure guard.
func (s *Service) needBlock(c *api.Call, after policy.PublicAccessBlock) []authz.Demand {
	account := at(c).account
	keys := exposure.Of(nil, func() (exposure.Exposed, error) {
		if s.config.Exposes == nil {
			return exposure.Exposed{}, nil
		}
		revision := s.config.Objects.Account(account).Revision
		found, err := s.config.Exposes(account, after)
		at(c).still = func() error {
			if s.config.Objects.Account(account).Revision != revision {
				return fault.New(object.Busy, "")
			}
			if len(found.To) > 0 {
				return nil
			}
			if now, err := s.config.Exposes(account, after); err != nil || len(now.To) > 0 {
				return &fault.Error{Kind: object.Busy, Cause: err}
			}
			return nil
		}
		return found, err
	})
	return c.Need("s3:PutAccountPublicAccessBlock", authz.Resource{ARN: "*", Account: account}, keys)
}

// wantedBlock is what a request asks for; what it does not name is off.
func wantedBlock(conf *s3controlwire.PublicAccessBlockConfiguration) policy.PublicAccessBlock {
	if conf == nil {
		return policy.PublicAccessBlock{}
	}
	is := func(b *bool) bool { return b != nil && *b }
	return policy.PublicAccessBlock{
		BlockPublicACLs: is(conf.BlockPublicAcls), IgnorePublicACLs: is(conf.IgnorePublicAcls),
		BlockPublicPolicy: is(conf.BlockPublicPolicy), RestrictPublicBuckets: is(conf.RestrictPublicBuckets),
	}
}

func (s *Service) putBlock(ctx context.Context, g authz.Grant, c *api.Call, in *s3controlwire.PutPublicAccessBlockInput) (*s3controlwire.PutPublicAccessBlockOutput, error) {
	conf := in.PublicAccessBlockConfiguration
	if conf == nil || conf.BlockPublicAcls == nil && conf.IgnorePublicAcls == nil && conf.BlockPublicPolicy == nil && conf.RestrictPublicBuckets == nil {
		return nil, fault.New(invalidRequest, "Must specify at least one configuration.")
	}
	raw, err := json.Marshal(wantedBlock(conf))
	if err != nil {
		return nil, err
	}
	return &s3controlwire.PutPublicAccessBlockOutput{}, s.setBlock(ctx, g, c, func(a *object.Account) { a.Settings[object.SettingPublicAccessBlock] = raw })
}

// setBlock changes the account's block. What exposed nothing when it was judged is judged again where no bucket changes
// any more: a bucket that the block made private may have come meanwhile.
func (s *Service) setBlock(ctx context.Context, g authz.Grant, c *api.Call, change func(*object.Account)) error {
	_, err := s.config.Objects.UpdateAccount(ctx, g, "s3:PutAccountPublicAccessBlock", at(c).account, func(a *object.Account) error {
		change(a)
		if still := at(c).still; still != nil {
			return still()
		}
		return nil
	})
	return err
}
