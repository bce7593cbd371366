package s3control

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/exposure"
	"github.com/kura-s3/kura/internal/api/s3"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/authz/authztest"
	"github.com/kura-s3/kura/internal/engine/memory"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/keys"
	"github.com/kura-s3/kura/internal/object"
	"github.com/kura-s3/kura/policy"
)

const (
	mine     = "111122223333"
	theirs   = "444455556666"
	region   = "us-east-1"
	onBlock  = "/v20180820/configuration/publicAccessBlock"
	onBucket = "/v20180820/tags/arn%3Aaws%3As3%3A%3A%3Abucket"
	blockAll = `<PublicAccessBlockConfiguration xmlns="http://awss3control.amazonaws.com/doc/2018-08-20/"><BlockPublicPolicy>true</BlockPublicPolicy><RestrictPublicBuckets>true</RestrictPublicBuckets></PublicAccessBlockConfiguration>`
	tagBody  = `<TagResourceRequest xmlns="http://awss3control.amazonaws.com/doc/2018-08-20/"><Tags><Tag><Key>team</Key><Value>red</Value></Tag><Tag><Key>cost</Key><Value>7</Value></Tag></Tags></TagResourceRequest>`
)

// users are credentials by key id, and the accounts of S3's edge.
type users map[string]*authn.Credential

func (u users) Lookup(_ context.Context, id, _ string) (*authn.Credential, error) {
	if c, ok := u[id]; ok {
		return c, nil
	}
	return nil, fault.New(authn.UnknownKey, "", "AWSAccessKeyId", id)
}

func (u users) UniqueID(string) (string, bool)           { return "", false }
func (u users) ARNOf(string) (string, bool)              { return "", false }
func (u users) AccountOf(string) (string, bool)          { return "", false }
func (u users) CanonicalIDByEmail(string) (string, bool) { return "", false }

func (u users) add(t *testing.T, key, account, document string) {
	c := &authn.Credential{AccessKeyID: key, Secret: "secret-of-" + key, Active: true, Subject: authz.Subject{AccessKey: key, Principal: policy.Principal{
		Type: policy.IAMUser, Account: account, ARN: "arn:aws:iam::" + account + ":user/" + key, UserID: key, UniqueID: key, Name: key,
		CanonicalID: strings.Repeat(account, 5) + account[:4],
	}}}
	if document != "" {
		doc, err := policy.ParseString(document, policy.Identity)
		if err != nil {
			t.Fatal(err)
		}
		c.Subject.Policies.Identity = []*policy.Document{doc}
	}
	u[key] = c
}

type recorder struct {
	authztest.Forget
	broken bool
	last   audit.Event
}

func (r *recorder) Wants(*audit.Event) bool { return true }

func (r *recorder) Begin(context.Context, *audit.Event) error {
	if r.broken {
		return io.ErrShortWrite
	}
	return nil
}

func (r *recorder) Complete(_ context.Context, ev *audit.Event) error { r.last = *ev; return nil }

type harness struct {
	t        *testing.T
	users    users
	recorder *recorder
	server   *api.Server
	objects  *object.Store
	// exposes is asked of changes of the block where a policy asks; nil: nothing is exposed.
	exposes func() []string
}

func (h *harness) judge(string, policy.PublicAccessBlock) (found exposure.Exposed, err error) {
	if h.exposes != nil {
		found.To = h.exposes()
	}
	return found, nil
}

func newHarness(t *testing.T) *harness {
	ctx, log, meta := context.Background(), slog.New(slog.DiscardHandler), memory.NewMeta()
	ring, err := keys.Open(ctx, meta, keys.NewKeyFile(filepath.Join(t.TempDir(), "root.key")))
	if err != nil {
		t.Fatal(err)
	}
	objects, err := object.Open(ctx, object.Config{Meta: meta, Blob: memory.NewBlob(), Keys: ring, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = objects.Close(ctx) })
	h := &harness{t: t, users: users{}, recorder: &recorder{}, objects: objects}
	all := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`
	h.users.add(t, "AKIAADMIN00000000001", mine, all)
	h.users.add(t, "AKIAOTHER00000000001", theirs, all)
	h.users.add(t, "AKIANOBODY0000000001", mine, "")
	auth := authn.New(authn.Config{Credentials: h.users, Region: region, Anonymous: authz.Subject{Principal: policy.Principal{Type: policy.Anonymous}}})
	edge := s3.New(s3.Config{Objects: objects, Authn: auth, Accounts: h.users, Region: region, Log: log, Control: func(s *s3.Service) s3.Control {
		return New(Config{Objects: objects, Authn: auth, BucketSide: s.BucketSide, NeedTags: s.NeedTags, Exposes: h.judge, Log: log})
	}})
	h.server, err = api.NewServer(api.Config{
		Services: []api.Service{edge}, Recorder: h.recorder, Log: log, Region: region,
		Guard: authz.New(authz.Config{Recorder: h.recorder}),
		Peer: func(*http.Request) api.Peer {
			return api.Peer{IP: netip.MustParseAddr("127.0.0.1"), RequestID: "0123456789ABCDEF", HostID: "host"}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	h.want("AKIAADMIN00000000001", "PUT", "/bucket", "", 200, "")
	return h
}

// do sends a request for the account that the URI begins with, if any: "444455556666!/v20180820/…".
func (h *harness) do(key, method, uri, body string) *httptest.ResponseRecorder {
	h.t.Helper()
	account, path, named := strings.Cut(uri, "!")
	if !named {
		account, path = mine, uri
	}
	r := httptest.NewRequest(method, "http://"+account+".kura.test"+path, strings.NewReader(body))
	if strings.HasPrefix(path, "/v2018") {
		r.Header.Set("X-Amz-Account-Id", account)
	}
	if key != "" {
		r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
		if _, err := authn.Sign(r, authn.Signing{
			AccessKeyID: key, Secret: "secret-of-" + key, Region: region, Service: "s3", Time: time.Now(), PayloadHash: "UNSIGNED-PAYLOAD",
		}); err != nil {
			h.t.Fatal(err)
		}
	}
	w := httptest.NewRecorder()
	h.server.ServeHTTP(w, r)
	return w
}

func (h *harness) want(key, method, uri, body string, status int, text string) {
	h.t.Helper()
	if w := h.do(key, method, uri, body); w.Code != status || !strings.Contains(w.Body.String(), text) {
		h.t.Errorf("%s %s %s: %d %s, want %d %q", key, method, uri, w.Code, w.Body, status, text)
	}
}

// requests are a request for every operation, in an order that makes sense.
var requests = []struct{ name, method, uri, body string }{
	{"PutPublicAccessBlock", "PUT", onBlock, blockAll},
	{"GetPublicAccessBlock", "GET", onBlock, ""},
	{"DeletePublicAccessBlock", "DELETE", onBlock, ""},
	{"TagResource", "POST", onBucket, tagBody},
	{"ListTagsForResource", "GET", onBucket, ""},
	{"UntagResource", "DELETE", onBucket + "?tagKeys=team", ""},
}

// TestEveryOperationIsGuarded: each refuses strangers, anonymous callers and other accounts, and
// whatever cannot be recorded.
func TestEveryOperationIsGuarded(t *testing.T) {
	h := newHarness(t)
	declared := map[string]bool{}
	for _, op := range h.server.Ops() {
		if op.Wire().Service == "s3control" {
			declared[op.Name()] = true
		}
	}
	for _, r := range requests {
		if !declared[r.name] {
			t.Errorf("%s is not in the table", r.name)
		}
		delete(declared, r.name)
		for _, key := range []string{"", "AKIANOBODY0000000001", "AKIAOTHER00000000001"} {
			h.want(key, r.method, r.uri, r.body, 403, "<ErrorResponse xmlns=\"http://awss3control.amazonaws.com/doc/2018-08-20/\"><Error><Code>AccessDenied</Code>")
		}
		h.want("AKIAADMIN00000000001", r.method, theirs+"!"+r.uri, r.body, 403, "<Code>AccessDenied</Code>")
		h.recorder.broken = true
		h.want("AKIAADMIN00000000001", r.method, r.uri, r.body, 503, "<Code>ServiceUnavailable</Code>")
		h.recorder.broken = false
		if w := h.do("AKIAADMIN00000000001", r.method, r.uri, r.body); w.Code >= 300 || h.recorder.last.Operation != r.name {
			t.Errorf("%s: taken for %s, %d %s", r.name, h.recorder.last.Operation, w.Code, w.Body)
		}
	}
	if len(declared) > 0 {
		t.Errorf("not tested: %v", declared)
	}
}

func TestAccountBlock(t *testing.T) {
	h := newHarness(t)
	admin := "AKIAADMIN00000000001"
	h.want(admin, "GET", onBlock, "", 404, "<Error><Code>NoSuchPublicAccessBlockConfiguration</Code><Message>The public access block configuration was not found</Message><AccountId>"+mine+"</AccountId>")
	h.want(admin, "PUT", onBlock, "<PublicAccessBlockConfiguration/>", 400, "Must specify at least one configuration.")
	h.want(admin, "PUT", onBlock, blockAll, 200, "")
	h.want(admin, "GET", onBlock, "", 200, "<BlockPublicAcls>false</BlockPublicAcls><IgnorePublicAcls>false</IgnorePublicAcls><BlockPublicPolicy>true</BlockPublicPolicy><RestrictPublicBuckets>true</RestrictPublicBuckets>")
	if a := h.objects.Account(theirs); len(a.Settings) != 0 {
		t.Errorf("another account has %v", a.Settings)
	}
	if w := h.do(admin, "DELETE", onBlock, ""); w.Code != http.StatusNoContent {
		t.Errorf("deleted: %d %s", w.Code, w.Body)
	}
	h.want(admin, "GET", onBlock, "", 404, "NoSuchPublicAccessBlockConfiguration")
}

// TestWhatDidNotExposeHoldsForTheBucketsThatWereJudged: between the judgement of a change of the block and the change no
// bucket becomes public behind the block, and nobody else changes the block.
func TestWhatDidNotExposeHoldsForTheBucketsThatWereJudged(t *testing.T) {
	h := newHarness(t)
	admin, wary := "AKIAADMIN00000000001", "AKIAWARY000000000001"
	h.users.add(t, wary, mine, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},
		{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"Bool":{"kura:ExposesData":"true"}}}]}`)
	for _, request := range []struct{ method, body string }{{"DELETE", ""}, {"PUT", strings.ReplaceAll(blockAll, "true", "false")}} {
		h.want(admin, "PUT", onBlock, blockAll, 200, "")
		asked := 0
		h.exposes = func() []string {
			if asked++; asked == 1 {
				return nil
			}
			return []string{"*"} // a bucket's policy came between
		}
		h.want(wary, request.method, onBlock, request.body, 409, "OperationAborted")
		if asked != 2 || h.objects.Account(mine).Settings[object.SettingPublicAccessBlock] == nil {
			t.Errorf("asked %d times; the account has %v", asked, h.objects.Account(mine).Settings)
		}
		h.want(wary, request.method, onBlock, request.body, 403, "would expose data to *")
		asked = 0
		h.exposes = func() []string {
			if asked++; asked == 1 {
				h.want(admin, "PUT", onBlock, blockAll, 200, "")
			}
			return nil
		}
		h.want(wary, request.method, onBlock, request.body, 409, "OperationAborted")
		if w := h.do(wary, request.method, onBlock, request.body); w.Code/100 != 2 {
			t.Errorf("again: %d %s", w.Code, w.Body)
		}
	}
}

func TestTags(t *testing.T) {
	h := newHarness(t)
	admin := "AKIAADMIN00000000001"
	h.want(admin, "GET", onBucket, "", 200, "<Tags></Tags>")
	h.want(admin, "POST", onBucket, tagBody, 204, "")
	h.want(admin, "POST", onBucket, strings.ReplaceAll(tagBody, "red", "blue"), 204, "")
	h.want(admin, "GET", onBucket, "", 200, "<Key>team</Key><Value>blue</Value>")
	h.want(admin, "GET", "/bucket?tagging", "", 200, "<Key>cost</Key><Value>7</Value>")
	h.want(admin, "DELETE", onBucket+"?tagKeys=team&tagKeys=nothing", "", 204, "")
	h.want(admin, "GET", onBucket, "", 200, "<Tags><Tag><Key>cost</Key><Value>7</Value></Tag></Tags>")
	h.want(admin, "POST", onBucket, strings.ReplaceAll(tagBody, "team", "aws:team"), 400, "<Code>InvalidTag</Code>")
	h.want(admin, "GET", strings.Replace(onBucket, "bucket", "nothing", 1), "", 404, "<Code>NoSuchBucket</Code>")
	h.want(admin, "GET", "/v20180820/tags/arn%3Aaws%3As3%3Aus-east-1%3A111122223333%3Aaccesspoint%2Fx", "", 400, "<Code>InvalidRequest</Code>")
}

// TestClassification: these operations classify and declassify as those of S3 do.
func TestClassification(t *testing.T) {
	h := newHarness(t)
	admin, tagger := "AKIAADMIN00000000001", "AKIATAGGER0000000001"
	h.users.add(t, tagger, mine, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["s3:TagResource","s3:UntagResource"],"Resource":"*"}}`)
	classify := `<TagResourceRequest xmlns="http://awss3control.amazonaws.com/doc/2018-08-20/"><Tags><Tag><Key>classification</Key><Value>VALUE</Value></Tag></Tags></TagResourceRequest>`
	h.want(tagger, "POST", onBucket, strings.Replace(classify, "VALUE", "confidential", 1), 204, "")
	b, err := h.objects.Bucket("bucket")
	if err != nil || !strings.Contains(string(b.Settings["encryption"]), "aws:kms") {
		t.Errorf("the default encryption: %s %v", b.Settings["encryption"], err)
	}
	h.want(tagger, "POST", onBucket, tagBody, 204, "")
	h.want(tagger, "POST", onBucket, strings.Replace(classify, "VALUE", "public", 1), 403, "kura:DeclassifyBucket")
	h.want(tagger, "DELETE", onBucket+"?tagKeys=classification", "", 403, "kura:DeclassifyBucket")
	h.want(admin, "DELETE", onBucket+"?tagKeys=classification", "", 204, "")
}

// TestOnlyItsOwnRequests: without the account's header the path is a bucket's, and what is unknown is
// not taken for something else.
func TestOnlyItsOwnRequests(t *testing.T) {
	h := newHarness(t)
	admin := "AKIAADMIN00000000001"
	h.want(admin, "GET", "/v20180820/accesspoint", "", 501, "<Code>NotImplemented</Code>")
	h.want(admin, "POST", onBlock, "", 501, "<Code>NotImplemented</Code>")
	r := httptest.NewRequest("GET", "http://kura.test"+onBlock, nil)
	w := httptest.NewRecorder()
	h.server.ServeHTTP(w, r)
	if w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "NoSuchBucket") {
		t.Errorf("without the header: %d %s", w.Code, w.Body)
	}
}
