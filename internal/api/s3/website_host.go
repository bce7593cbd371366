package s3

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/s3/website"
	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/object"
)

// Websites are served on host names of their own. They know GET and HEAD, no signatures, and pages in
// place of XML; who reads is the anonymous caller, whatever the request carries.

// getWebsite is the one operation of a website. It is in no API model: its binding stands here.
var getWebsite = &wire.Operation{
	Service: "s3", Name: "GetWebsite", Protocol: wire.RestXML, Method: http.MethodGet, URI: "/{Key+}", Status: http.StatusOK,
	StreamingInput: true, StreamingOutput: true,
}

// websiteBucket is the bucket of a website's host name: BUCKET.s3-website.DOMAIN, and AWS's older and
// newer form with the region.
func (s *Service) websiteBucket(host string) (bucket string, ok bool) {
	if len(s.config.Domains) == 0 || !strings.Contains(host, ".s3-website") {
		return "", false
	}
	host = hostName(host)
	for _, domain := range s.config.Domains {
		rest, in := strings.CutSuffix(host, "."+domain)
		if !in {
			continue
		}
		for _, mark := range []string{".s3-website", ".s3-website-" + s.config.Region, ".s3-website." + s.config.Region} {
			if bucket, ok := strings.CutSuffix(rest, mark); ok && bucket != "" {
				return bucket, true
			}
		}
	}
	return "", false
}

// site is the service on those host names.
type site struct {
	*Service
	op *api.Op
}

func (s *site) declare() *api.Op {
	return api.Declare(api.Decl[siteInput, siteOutput]{
		Wire: getWebsite, Class: audit.Data, Access: api.Read, Unsigned: true,
		// A refusal is not the end: there are redirects and the error document.
		Each:   true,
		Decode: s.decode, Demands: s.demands, Do: s.get,
	})
}

// siteInput is a decoded request of a website.
type siteInput struct {
	place website.Place
	conf  *website.Config // nil: the bucket has none
}

// Ops are among those of S3.
func (s *site) Ops() []*api.Op { return nil }

// Authenticate finds nobody: websites take no signatures.
func (s *site) Authenticate(*api.Call) (*authn.Caller, error) { return s.anonymousCaller(), nil }

func (s *site) route(c *api.Call, bucket string) (*api.Op, error) {
	t := &target{level: levelKey, bucket: bucket, virtual: true}
	c.Target, c.Event.Bucket = t, bucket
	path, err := url.PathUnescape(strings.TrimPrefix(c.R.URL.EscapedPath(), "/"))
	if err != nil || !utf8.ValidString(path) || !utf8.ValidString(bucket) {
		return s.op, fault.New(invalidURI, "", "URI", c.R.URL.EscapedPath())
	}
	t.key, c.Event.Key = path, path
	if c.R.Method != http.MethodGet && c.R.Method != http.MethodHead {
		return s.op, fault.New(methodNotAllowed, "", "Method", c.R.Method, "ResourceType", "OBJECT")
	}
	s.share(c, t)
	return s.op, nil
}

func (s *site) decode(c *api.Call, in *siteInput) error {
	in.place = website.Place{Scheme: "http", Host: c.R.Host, Path: at(c).key, Query: c.R.URL.RawQuery}
	if c.Peer.Secure {
		in.place.Scheme = "https"
	}
	return nil
}

func (s *site) demands(c *api.Call, in *siteInput) ([]authz.Demand, error) {
	b, err := s.bucket(c)
	if err != nil {
		return nil, err
	}
	w := accessOf(b).web
	if w.siteErr != nil {
		return nil, w.siteErr
	}
	in.conf = w.site
	if in.conf != nil {
		at(c).key = in.conf.Key(in.place.Path)
	}
	return s.needKey(c, "s3:GetObject")
}

func (s *site) get(ctx context.Context, g authz.Grant, c *api.Call, in *siteInput) (*siteOutput, error) {
	conf, t := in.conf, at(c)
	if conf == nil {
		return nil, fault.New(noSuchWebsite, "", "BucketName", t.bucket)
	}
	if m := conf.All(in.place); m != nil {
		return moved(m), nil
	}
	if m := conf.Before(in.place); m != nil {
		return moved(m), nil
	}
	err := c.Refused[0]
	if err == nil {
		read := &readInput{GetInput: *addressed(c)}
		if r := c.R.Header["Range"]; len(r) > 0 {
			read.Range = parseRange(r[0])
		}
		read.conditions.read(c.R.Header, &plainConditions)
		var out *readOutput
		if out, err = s.open(ctx, g, c, read); err == nil {
			return s.found(out), nil
		}
		if folder := conf.Folder(in.place.Path); folder != "" && s.gone(ctx, g, c, err) && s.there(ctx, g, c, folder) {
			return moved(conf.Slash(in.place)), nil
		}
	}
	return s.failed(ctx, g, c, in, err)
}

// open reads the addressed object, or for HEAD its head.
func (s *site) open(ctx context.Context, g authz.Grant, c *api.Call, in *readInput) (*readOutput, error) {
	open := s.config.Objects.Get
	if c.R.Method == http.MethodHead {
		open = s.config.Objects.Stat
	}
	return s.read(ctx, g, c, in, open)
}

// gone tells whether the addressed object is not there, also where its reader was told that it may not
// know.
func (s *site) gone(ctx context.Context, g authz.Grant, c *api.Call, err error) bool {
	if !fault.Is(err, authz.Denied) {
		return missing(err)
	}
	_, err = s.config.Objects.Stat(ctx, g, addressed(c))
	return missing(err)
}

// there tells whether the caller can read key.
func (s *site) there(ctx context.Context, g authz.Grant, c *api.Call, key string) bool {
	g, in, err := s.ask(ctx, g, c, key)
	if err != nil {
		return false
	}
	_, err = s.config.Objects.Stat(ctx, g, in)
	return err == nil
}

// ask wants to read a further key of the bucket.
func (s *site) ask(ctx context.Context, g authz.Grant, c *api.Call, key string) (authz.Grant, *object.GetInput, error) {
	t := at(c)
	in := &object.GetInput{Bucket: t.bucket, Key: key}
	d, err := s.keyDemand(c, t.found, in, "s3:GetObject", nil)
	if err != nil {
		return g, in, err
	}
	if g, err = g.Ask(ctx, d); err != nil {
		return g, in, err
	}
	return g, in, t.undecided()
}

// failed answers an error as the website wishes: by a redirect, or by its error document.
func (s *site) failed(ctx context.Context, g authz.Grant, c *api.Call, in *siteInput, err error) (*siteOutput, error) {
	_, a := explain(err)
	if !told[a.status] {
		return nil, err
	}
	if m := in.conf.After(in.place, a.status); m != nil {
		return moved(m), nil
	}
	key := in.conf.ErrorKey()
	if key == "" {
		return nil, err
	}
	g, read, second := s.ask(ctx, g, c, key)
	if second == nil {
		at(c).key = key
		var out *readOutput
		if out, second = s.open(ctx, g, c, &readInput{GetInput: *read}); second == nil {
			_, code := explain(err)
			c.Event.ErrorCode = code.code
			return &siteOutput{object: out, status: a.status}, nil
		}
	}
	return nil, &siteFailure{first: err, second: second, key: key}
}

// told are the errors of which an error document, or a routing rule, can tell.
var told = map[int]bool{http.StatusForbidden: true, http.StatusNotFound: true}

// siteFailure is an error whose error document could not be read either.
type siteFailure struct {
	first, second error
	key           string
}

func (f *siteFailure) Error() string { return f.first.Error() }
func (f *siteFailure) Unwrap() error { return f.first }

// siteOutput is an answer of a website: an object or a redirect.
type siteOutput struct {
	object *readOutput
	status int // 0: the object's own
	move   *website.Move
}

func moved(m *website.Move) *siteOutput { return &siteOutput{move: m} }

// found is an object, or where it says that its page is.
func (s *site) found(out *readOutput) *siteOutput {
	if to := out.object.Attributes.WebsiteRedirect; to != "" {
		out.close()
		return moved(&website.Move{Status: http.StatusMovedPermanently, Location: to})
	}
	return &siteOutput{object: out}
}

// Respond sends it.
func (o *siteOutput) Respond(c *api.Call) error {
	if o.move != nil {
		c.W.Header().Set("Location", o.move.Location)
		return c.W.Send(o.move.Status, "", nil)
	}
	if o.status == 0 {
		return o.object.Respond(c)
	}
	defer o.object.close()
	o.object.headers(c)
	c.W.WriteHeader(o.status)
	if o.object.object.Body == nil {
		return nil
	}
	_, err := io.Copy(&c.W, o.object.object.Body)
	return err
}

// Fail writes err as a page.
func (s *site) Fail(c *api.Call, err error) (int, string) {
	f, a := explain(err)
	h := c.W.Header()
	clearFailed(h)
	if extra := failureHeaders[f.Kind]; extra != nil {
		extra(h, f)
	}
	if f.Kind == methodNotAllowed {
		h.Set("Allow", "GET, HEAD")
	}
	if a.status == http.StatusNotModified {
		c.W.WriteHeader(a.status)
		return a.status, a.code
	}
	message, items := siteItems(f, a)
	h.Set("X-Amz-Error-Code", a.code)
	h.Set("X-Amz-Error-Message", message)
	for _, field := range f.Fields {
		if safeHeader(field.Value) {
			h.Set("X-Amz-Error-Detail-"+field.Name, headerText(field.Value))
		}
	}
	items = append(items, website.Item{Name: "RequestId", Value: c.Peer.RequestID}, website.Item{Name: "HostId", Value: c.Peer.HostID})
	var second []website.Item
	if failure := (*siteFailure)(nil); errors.As(err, &failure) {
		sf, sa := explain(failure.second)
		_, second = siteItems(sf, sa)
		if !slices.ContainsFunc(second, func(i website.Item) bool { return i.Name == "Key" }) {
			second = append(second, website.Item{Name: "Key", Value: failure.key})
		}
	}
	page := website.Page(a.status, items, second)
	if c.R.Method == http.MethodHead {
		page = nil
	}
	if err := c.W.Send(a.status, "text/html; charset=utf-8", page); err != nil {
		s.config.Log.Debug("error answer not delivered", "requestId", c.Peer.RequestID, "err", err)
	}
	return a.status, a.code
}

// siteItems are the lines of a page. A refusal says no more than that it is one.
func siteItems(f *fault.Error, a answer) (message string, items []website.Item) {
	message = a.message
	if f.Message != "" && f.Kind != authz.Denied {
		message = f.Message
	}
	items = []website.Item{{Name: "Code", Value: a.code}, {Name: "Message", Value: message}}
	for _, field := range f.Fields {
		items = append(items, website.Item{Name: field.Name, Value: field.Value})
	}
	return message, items
}
