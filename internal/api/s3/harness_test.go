package s3

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/authz/authztest"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/engine/memory"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/keys"
	"github.com/kura-s3/kura/internal/kms"
	"github.com/kura-s3/kura/internal/object"
	"github.com/kura-s3/kura/policy"
)

// harness is the S3 service behind the whole staircase, on engines in memory, with users that a
// test makes up.
type harness struct {
	t        testing.TB
	server   *api.Server
	service  *Service
	objects  *object.Store
	meta     *countingMeta
	recorder *testRecorder
	users    testUsers
	kms      *kms.Store
	peer     api.Peer
}

type user struct{ key, secret string }

var (
	admin    = user{"AKIAADMINADMINADMIN1", "admin-secret-admin-secret-admin-secret-1"}
	stranger = user{"AKIASTRANGERSTRANGE1", "stranger-secret-stranger-secret-strange1"}
)

const (
	testAccount = "111122223333"
	testRegion  = "us-east-1"
)

// testUsers are credentials by key id.
type testUsers map[string]*authn.Credential

func (u testUsers) Lookup(_ context.Context, id, _ string) (*authn.Credential, error) {
	if c, ok := u[id]; ok {
		return c, nil
	}
	return nil, fault.New(authn.UnknownKey, "", "AWSAccessKeyId", id)
}

// testRecorder can be broken.
type testRecorder struct {
	authztest.Forget
	broken bool

	mu     sync.Mutex // requests made inside end after their answer began
	events []audit.Event
}

var errBroken = errors.New("the record cannot be written")

func (r *testRecorder) Wants(*audit.Event) bool { return true }

func (r *testRecorder) Begin(context.Context, *audit.Event) error {
	if r.broken {
		return errBroken
	}
	return nil
}

func (r *testRecorder) Complete(_ context.Context, ev *audit.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, *ev)
	return nil
}

// countingMeta counts what requests, not background jobs, do to storage.
type countingMeta struct {
	engine.Meta
	reads, commits int
	before         atomic.Pointer[func(key []byte)] // told of what a request is about to read; optional
}

type byRequest struct{}

func counted(ctx context.Context, n *int) {
	if ctx.Value(byRequest{}) != nil {
		*n++
	}
}

func (m *countingMeta) Get(ctx context.Context, key, buf []byte) ([]byte, engine.Version, error) {
	counted(ctx, &m.reads)
	if before := m.before.Load(); before != nil && ctx.Value(byRequest{}) != nil {
		(*before)(key)
	}
	return m.Meta.Get(ctx, key, buf)
}

func (m *countingMeta) Scan(ctx context.Context, lo, hi []byte) (engine.Iterator, error) {
	counted(ctx, &m.reads)
	return m.Meta.Scan(ctx, lo, hi)
}

func (m *countingMeta) Commit(ctx context.Context, b *engine.Batch) error {
	counted(ctx, &m.commits)
	return m.Meta.Commit(ctx, b)
}

func newHarness(t testing.TB) *harness {
	t.Helper()
	ctx := context.Background()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	h := &harness{
		t: t, meta: &countingMeta{Meta: memory.NewMeta()}, recorder: &testRecorder{}, users: testUsers{},
		peer: api.Peer{IP: netip.MustParseAddr("127.0.0.1"), RequestID: "0123456789ABCDEF", HostID: "host"},
	}
	root := keys.NewKeyFile(filepath.Join(t.TempDir(), "root.key"))
	ring, err := keys.Open(ctx, h.meta, root)
	if err != nil {
		t.Fatal(err)
	}
	h.objects, err = object.Open(ctx, object.Config{Meta: h.meta, Blob: memory.NewBlob(), Keys: ring, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.objects.Close(ctx) })
	h.addUser(admin, "admin", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`)
	h.addUser(stranger, "stranger", "")
	h.kms, err = kms.Open(ctx, kms.Config{Meta: h.meta, Secrets: ring, Principals: h, Region: testRegion})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.kms.Close() })
	h.service = New(Config{
		KMS: h.kms, AllowSSEC: true,
		Accounts: h, Objects: h.objects, Region: testRegion, Domains: []string{"s3.test"}, Log: log,
		Authn: authn.New(authn.Config{
			Credentials: h.users, Region: testRegion,
			Anonymous: authz.Subject{Principal: policy.Principal{Type: policy.Anonymous}},
		}),
	})
	h.server, err = api.NewServer(api.Config{
		Services: []api.Service{h.service}, Recorder: h.recorder, Log: log, Region: testRegion,
		Guard: authz.New(authz.Config{Recorder: h.recorder}),
		Peer:  func(*http.Request) api.Peer { return h.peer },
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *harness) addUser(u user, name, document string) {
	h.t.Helper()
	h.addUserOf(testAccount, u, name, document)
}

// canonicalID is what the account is called in ACLs.
func canonicalID(account string) string { return strings.Repeat(account, 5) + account[:4] }

// uniqueID is the unique id of a user.
func uniqueID(name string) string {
	return "AIDA" + strings.ToUpper(strings.ReplaceAll(name, "-", "")) + "000000000000"
}

func (h *harness) addUserOf(account string, u user, name, document string) {
	h.t.Helper()
	arn := "arn:aws:iam::" + account + ":user/" + name
	subject := authz.Subject{AccessKey: u.key, Principal: policy.Principal{
		Type: policy.IAMUser, Account: account, ARN: arn, UserID: uniqueID(name), UniqueID: uniqueID(name), Name: name,
		CanonicalID: canonicalID(account),
	}}
	if document != "" {
		doc, err := policy.Parse([]byte(document), policy.Identity)
		if err != nil {
			h.t.Fatal(err)
		}
		subject.Policies.Identity = []*policy.Document{doc}
	}
	h.users[u.key] = &authn.Credential{AccessKeyID: u.key, Secret: u.secret, Active: true, Subject: subject}
}

// request makes a request signed by u; the zero user does not sign.
func (h *harness) request(u user, method, uri, body string, headers ...string) *http.Request {
	h.t.Helper()
	r := httptest.NewRequest(method, "http://s3.local"+uri, bytes.NewReader([]byte(body)))
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	if u.key == "" {
		return r
	}
	if r.Header.Get("X-Amz-Content-Sha256") == "" {
		r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
	}
	if _, err := authn.Sign(r, authn.Signing{
		AccessKeyID: u.key, Secret: u.secret, Region: testRegion, Service: "s3", Time: time.Now(),
		PayloadHash: r.Header.Get("X-Amz-Content-Sha256"),
	}); err != nil {
		h.t.Fatal(err)
	}
	return r
}

// do sends a request and gives the answer.
func (h *harness) do(u user, method, uri, body string, headers ...string) *httptest.ResponseRecorder {
	h.t.Helper()
	w := httptest.NewRecorder()
	h.serve(w, h.request(u, method, uri, body, headers...))
	return w
}

func (h *harness) serve(w http.ResponseWriter, r *http.Request) {
	h.server.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), byRequest{}, true)))
}

// must is do for requests that have to succeed.
func (h *harness) must(u user, method, uri, body string, headers ...string) *httptest.ResponseRecorder {
	h.t.Helper()
	w := h.do(u, method, uri, body, headers...)
	if w.Code >= 300 {
		h.t.Fatalf("%s %s: %d %s", method, uri, w.Code, w.Body)
	}
	return w
}

// code cuts the code out of an error document.
func code(w *httptest.ResponseRecorder) string {
	_, rest, ok := strings.Cut(w.Body.String(), "<Code>")
	if !ok {
		return ""
	}
	c, _, _ := strings.Cut(rest, "</Code>")
	return c
}

// postForm uploads bucket/key by a form with a signed policy that allows anything.
func (h *harness) postForm(u user) *httptest.ResponseRecorder {
	h.t.Helper()
	fields := [][2]string{{"key", "key"}}
	if u.key != "" {
		fields = append(fields, h.signPolicy(u, `{"expiration":"2100-01-01T00:00:00Z","conditions":[{"bucket":"bucket"},["starts-with","$key",""]]}`)...)
	}
	return h.sendForm("/bucket", fields, "file.txt", "content")
}

// signPolicy gives the fields that authenticate a form; conditions on the signature's own fields are
// added to the policy.
func (h *harness) signPolicy(u user, document string) [][2]string {
	h.t.Helper()
	now := time.Now().UTC()
	credential := u.key + "/" + now.Format("20060102") + "/" + testRegion + "/s3/aws4_request"
	date := now.Format("20060102T150405Z")
	document = strings.Replace(document, `"conditions":[`, `"conditions":[{"x-amz-algorithm":"AWS4-HMAC-SHA256"},{"x-amz-credential":"`+credential+`"},{"x-amz-date":"`+date+`"},`, 1)
	encoded := base64.StdEncoding.EncodeToString([]byte(document))
	key := []byte("AWS4" + u.secret)
	for _, part := range []string{now.Format("20060102"), testRegion, "s3", "aws4_request", encoded} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	return [][2]string{
		{"x-amz-algorithm", "AWS4-HMAC-SHA256"}, {"x-amz-credential", credential}, {"x-amz-date", date},
		{"policy", encoded}, {"x-amz-signature", hex.EncodeToString(key)},
	}
}

func (h *harness) sendForm(uri string, fields [][2]string, fileName, content string) *httptest.ResponseRecorder {
	h.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for _, f := range fields {
		if err := form.WriteField(f[0], f[1]); err != nil {
			h.t.Fatal(err)
		}
	}
	file, err := form.CreateFormFile("file", fileName)
	if err != nil {
		h.t.Fatal(err)
	}
	if _, err := io.WriteString(file, content); err != nil {
		h.t.Fatal(err)
	}
	if err := form.Close(); err != nil {
		h.t.Fatal(err)
	}
	r := httptest.NewRequest("POST", "http://s3.local"+uri, &body)
	r.Header.Set("Content-Type", form.FormDataContentType())
	w := httptest.NewRecorder()
	h.serve(w, r)
	return w
}

// checksumOfBody is the Content-MD5 of a body.
func checksumOfBody(body string) string {
	sum := md5.Sum([]byte(body))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// UniqueID implements Accounts, with ARNOf, AccountOf and CanonicalIDByEmail: everybody who is a user of
// the harness exists.
func (h *harness) UniqueID(arn string) (string, bool) {
	for _, c := range h.users {
		if c.Subject.Principal.ARN == arn {
			return c.Subject.Principal.UniqueID, true
		}
	}
	return "", false
}

func (h *harness) ARNOf(id string) (string, bool) {
	for _, c := range h.users {
		if c.Subject.Principal.UniqueID == id {
			return c.Subject.Principal.ARN, true
		}
	}
	return "", false
}

// PrincipalExists is what KMS asks beside.
func (h *harness) PrincipalExists(account string) bool { return account == testAccount }

func (h *harness) AccountOf(canonical string) (string, bool) {
	for _, c := range h.users {
		if c.Subject.Principal.CanonicalID == canonical {
			return c.Subject.Principal.Account, true
		}
	}
	return "", false
}

func (h *harness) CanonicalIDByEmail(address string) (string, bool) {
	account, ok := strings.CutSuffix(address, "@example.com")
	return canonicalID(account), ok
}
