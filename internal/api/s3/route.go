package s3

import (
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/s3/sse"
	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/api/wire/s3wire"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/object"
)

// level is what a request addresses.
type level uint8

const (
	levelService level = iota
	levelBucket
	levelKey
)

// target is what an S3 request addresses: one bucket and key, decoded once. Authorization and
// storage both use these values; nothing parses the path again.
type target struct {
	level       level
	bucket, key string
	virtual     bool // the bucket stood in the host name
	query       query
	found       *object.Bucket
	form        *form // of a POST upload
	// looked are the lookups of objects that the decision may make.
	looked []*objectKeys
	// hoisted are headers that a presigned URL carries in its query. The signature covers them there;
	// once it is verified they stand for the headers of their names.
	hoisted query
	// sse is what a write asks of encryption, nil when nothing; badSSE is what is wrong with it.
	sse    *sse.Request
	badSSE error
	// judged are the revisions of bucket and account under which a change was judged by the exposure
	// guard; zero when no policy asked.
	judged, judgedAccount uint64
}

func at(c *api.Call) *target { return c.Target.(*target) }

// query is a parsed query string, in order. Names keep their case.
type query []pair

type pair struct{ name, value string }

func (q query) get(name string) string {
	v, _ := q.lookup(name)
	return v
}

func (q query) lookup(name string) (string, bool) {
	for i := range q {
		if q[i].name == name {
			return q[i].value, true
		}
	}
	return "", false
}

func (q query) has(name string) bool {
	_, ok := q.lookup(name)
	return ok
}

func parseQuery(raw string) (query, error) {
	if raw == "" {
		return nil, nil
	}
	q := make(query, 0, 1+strings.Count(raw, "&"))
	for raw != "" {
		var part string
		part, raw, _ = strings.Cut(raw, "&")
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		var err error
		if name, err = unescape(name); err != nil {
			return nil, err
		}
		if value, err = unescape(value); err != nil {
			return nil, err
		}
		q = append(q, pair{name, value})
	}
	return q, nil
}

// hoistedHeaders are the x-amz- parameters of a presigned URL that are not about its signature.
func hoistedHeaders(q query) query {
	if !q.has("X-Amz-Signature") {
		return nil
	}
	var hoisted query
	for _, p := range q {
		if name := strings.ToLower(p.name); strings.HasPrefix(name, "x-amz-") && !signatureParameters[name] {
			hoisted = append(hoisted, pair{http.CanonicalHeaderKey(name), p.value})
		}
	}
	return hoisted
}

var signatureParameters = map[string]bool{
	"x-amz-algorithm": true, "x-amz-credential": true, "x-amz-date": true, "x-amz-expires": true,
	"x-amz-signedheaders": true, "x-amz-signature": true, "x-amz-security-token": true, "x-amz-content-sha256": true,
}

// hoist makes headers of the hoisted parameters. One that also came as a header must say the same.
func (t *target) hoist(h http.Header) error {
	for _, p := range t.hoisted {
		if p.name == sse.HeaderCustomerKey || strings.HasPrefix(p.name, "X-Amz-Copy-Source-Server-Side-Encryption-") {
			return badArgument("A customer's key travels in a header, never in a URL.", strings.ToLower(p.name), "")
		}
		if sent := h[p.name]; len(sent) > 0 && (len(sent) > 1 || sent[0] != p.value) {
			return badArgument("A header and a query parameter of the same name differ.", strings.ToLower(p.name), p.value)
		}
		h[p.name] = []string{p.value}
	}
	return nil
}

func unescape(s string) (string, error) {
	if !strings.ContainsAny(s, "%+") {
		return s, nil
	}
	out, err := url.QueryUnescape(s)
	if err != nil {
		return "", fault.New(invalidURI, "", "URI", s)
	}
	return out, nil
}

// parseTarget reads bucket and key from host and path.
func (s *Service) parseTarget(r *http.Request) (*target, error) {
	t := &target{}
	q, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return t, err
	}
	t.query = q
	t.hoisted = hoistedHeaders(q)
	path := strings.TrimPrefix(r.URL.EscapedPath(), "/")
	if bucket := s.hostBucket(r.Host); bucket != "" {
		t.bucket, t.virtual = bucket, true
	} else {
		var escaped string
		escaped, path, _ = strings.Cut(path, "/")
		if t.bucket, err = url.PathUnescape(escaped); err != nil {
			return t, fault.New(invalidURI, "", "URI", r.URL.EscapedPath())
		}
	}
	if t.key, err = url.PathUnescape(path); err != nil || !utf8.ValidString(t.key) || !utf8.ValidString(t.bucket) {
		return t, fault.New(invalidURI, "", "URI", r.URL.EscapedPath())
	}
	switch {
	case t.bucket == "":
		t.level = levelService
		if t.key != "" {
			return t, fault.New(invalidURI, "", "URI", r.URL.EscapedPath())
		}
	case t.key == "":
		t.level = levelBucket
	default:
		t.level = levelKey
	}
	return t, nil
}

// hostBucket is the bucket in a virtual-host style host name: BUCKET.DOMAIN for one of the domains
// that the server was given.
func (s *Service) hostBucket(host string) string {
	if len(s.config.Domains) == 0 {
		return ""
	}
	host = hostName(host)
	for _, domain := range s.config.Domains {
		if bucket, ok := strings.CutSuffix(host, "."+domain); ok && bucket != "" {
			return bucket
		}
	}
	return ""
}

// hostName is a Host header without its port, in lower case.
func hostName(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	return strings.ToLower(host)
}

// candidate is one operation that a method on a level may mean, with the marks that tell it from
// the plain one.
type candidate struct {
	wire   *wire.Operation
	op     *api.Op // nil: AWS has it, Kura does not
	query  []wire.Pair
	params []string // query parameters that must be there, with any value
	header string   // header that must be there
}

type slot struct {
	method string
	level  level
}

// marks tell apart operations which the model binds to the same method, path and query literal.
var marks = map[string]candidate{
	"UploadPart":              {params: []string{"partNumber", "uploadId"}},
	"UploadPartCopy":          {params: []string{"partNumber", "uploadId"}, header: "X-Amz-Copy-Source"},
	"CopyObject":              {header: "X-Amz-Copy-Source"},
	"CompleteMultipartUpload": {params: []string{"uploadId"}},
	"AbortMultipartUpload":    {params: []string{"uploadId"}},
	"ListParts":               {params: []string{"uploadId"}},

	"GetBucketAnalyticsConfiguration":          {params: []string{"id"}},
	"GetBucketIntelligentTieringConfiguration": {params: []string{"id"}},
	"GetBucketInventoryConfiguration":          {params: []string{"id"}},
	"GetBucketMetricsConfiguration":            {params: []string{"id"}},
}

// router tells operations apart.
type router struct {
	slots map[slot][]candidate
	// subresources are all query names that tell some operation of S3: one that the chosen
	// operation does not consume is never ignored.
	subresources map[string]bool
}

func newRouter(ops []*api.Op) *router {
	r := &router{slots: map[slot][]candidate{}, subresources: map[string]bool{}}
	declared := map[string]*api.Op{}
	for _, op := range ops {
		declared[op.Name()] = op
	}
	for name, w := range s3wire.Operations {
		c := marks[name]
		c.wire, c.op, c.query = w, declared[name], w.Query
		r.slots[slot{w.Method, levelOf(w.URI)}] = append(r.slots[slot{w.Method, levelOf(w.URI)}], c)
		for _, p := range w.Query {
			r.subresources[p.Name] = true
		}
	}
	delete(r.subresources, "x-id")
	r.subresources["session"] = true // CreateSession, which only directory buckets have
	return r
}

func levelOf(uri string) level {
	uri, _, _ = strings.Cut(uri, "?")
	switch {
	case strings.Contains(uri, "{Key+}"):
		return levelKey
	case strings.Contains(uri, "{Bucket}"):
		return levelBucket
	}
	return levelService
}

// match finds the most specific operation whose marks are all there.
func (r *router) match(req *http.Request, t *target) (*wire.Operation, *api.Op, error) {
	var best *candidate
	bestScore := -1
	candidates := r.slots[slot{req.Method, t.level}]
	for i := range candidates {
		if score := candidates[i].score(req, t); score > bestScore {
			best, bestScore = &candidates[i], score
		}
	}
	if best == nil {
		return nil, nil, fault.New(methodNotAllowed, "", "Method", req.Method, "ResourceType", resourceTypes[t.level])
	}
	if err := r.checkQuery(req.Method, t, best.wire); err != nil {
		return best.wire, nil, err
	}
	if best.op == nil {
		return best.wire, nil, fault.New(api.NotImplemented, "")
	}
	return best.wire, best.op, nil
}

var resourceTypes = [...]string{"SERVICE", "BUCKET", "OBJECT"}

// score counts the marks, or is -1 when one is missing.
func (c *candidate) score(req *http.Request, t *target) int {
	n, q := 0, t.query
	for _, p := range c.query {
		if p.Name == "x-id" {
			continue
		}
		v, ok := q.lookup(p.Name)
		if !ok || p.Value != "" && v != p.Value {
			return -1
		}
		n += 4
	}
	for _, p := range c.params {
		if !q.has(p) {
			return -1
		}
		n += 2
	}
	if c.header != "" {
		if len(req.Header[c.header]) == 0 && !t.hoisted.has(c.header) {
			return -1
		}
		n++
	}
	return n
}

// checkQuery refuses a sub-resource that the operation does not consume, and on requests that
// change something any parameter that it does not know: `DELETE /bucket?website` must never become
// `DELETE /bucket`.
func (r *router) checkQuery(method string, t *target, w *wire.Operation) error {
	for i := range t.query {
		name := t.query[i].name
		if w.TakesQuery(name) || ambient(name) || t.hoisted.has(http.CanonicalHeaderKey(name)) {
			continue
		}
		if r.subresources[name] || method != http.MethodGet && method != http.MethodHead {
			return fault.New(api.NotImplemented, "")
		}
	}
	return nil
}

// ambient parameters belong to every request: authentication and the SDKs' own marks.
func ambient(name string) bool {
	return name == "x-id" || name == "AWSAccessKeyId" || name == "Signature" || name == "Expires" ||
		signatureParameters[strings.ToLower(name)]
}
