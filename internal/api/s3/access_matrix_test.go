package s3

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/authz/authztest"
	"github.com/kura-s3/kura/internal/object"
	"github.com/kura-s3/kura/policy"
)

// The matrix: every policy, ACL, ownership and Block Public Access of bucket and account, against every
// kind of caller, with real requests. What is expected is worked out here from AWS's words, without the
// policy engine.

const otherAccount = "444455556666"

var (
	otherAdmin    = user{"AKIAOTHEROTHEROTHER1", "other-secret-other-secret-other-secret-1"}
	otherStranger = user{"AKIAOTHERSTRANGER001", "other-stranger-secret-other-stranger-se1"}
	cdn           = user{"AKIASERVICESERVICE01", "service-secret-service-secret-service-s1"}
)

const everything = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`

func newAccessHarness(t testing.TB) *harness {
	t.Helper()
	h := newHarness(t)
	h.addUserOf(otherAccount, otherAdmin, "other-admin", everything)
	h.addUserOf(otherAccount, otherStranger, "other-stranger", "")
	h.users[cdn.key] = &authn.Credential{AccessKeyID: cdn.key, Secret: cdn.secret, Active: true, Subject: authz.Subject{
		AccessKey: cdn.key, Principal: policy.Principal{Type: policy.Service, ARN: "cloudfront.amazonaws.com"},
	}}
	return h
}

// matrixPolicy is a bucket policy with what it means.
type matrixPolicy struct {
	statements string
	public     bool
	// allows and denies say whom, by account: "*", "service" or an account.
	allows []string
	denies bool
}

const onAll = `"Action":["s3:GetObject","s3:ListBucket"],"Resource":["arn:aws:s3:::bucket","arn:aws:s3:::bucket/*"]`

var matrixPolicies = map[string]matrixPolicy{
	"none":    {},
	"public":  {`{"Effect":"Allow","Principal":"*",` + onAll + `}`, true, []string{"*"}, false},
	"shared":  {`{"Effect":"Allow","Principal":{"AWS":"` + otherAccount + `"},` + onAll + `}`, false, []string{otherAccount}, false},
	"both":    {`{"Effect":"Allow","Principal":{"AWS":"` + otherAccount + `"},` + onAll + `},{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"s3:GetObjectTorrent","Resource":"arn:aws:s3:::bucket/*"}`, true, []string{otherAccount}, false},
	"service": {`{"Effect":"Allow","Principal":{"Service":"cloudfront.amazonaws.com"},` + onAll + `}`, false, []string{"service"}, false},
	"deny":    {`{"Effect":"Deny","Principal":"*",` + onAll + `}`, false, nil, true},
	"limited": {`{"Effect":"Allow","Principal":"*",` + onAll + `,"Condition":{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}}`, false, nil, false},
	"here":    {`{"Effect":"Allow","Principal":"*",` + onAll + `,"Condition":{"IpAddress":{"aws:SourceIp":"127.0.0.0/8"}}}`, false, []string{"*"}, false},
}

type matrixCaller struct {
	user     user
	account  string // "", "service" or 12 digits
	identity bool
}

var matrixCallers = map[string]matrixCaller{
	"anonymous": {user{}, "", false}, "admin": {admin, testAccount, true}, "stranger": {stranger, testAccount, false},
	"other admin": {otherAdmin, otherAccount, true}, "other stranger": {otherStranger, otherAccount, false},
	"service": {cdn, "service", false},
}

var matrixACLs = map[string]string{
	"private": `X-Amz-Acl: private`, "public": `X-Amz-Acl: public-read`, "authenticated": `X-Amz-Acl: authenticated-read`,
	"shared": `X-Amz-Grant-Read: id="` + canonicalID(otherAccount) + `"`,
}

var matrixBlocks = map[string]policy.PublicAccessBlock{
	"off": {}, "ignore": {IgnorePublicACLs: true}, "restrict": {RestrictPublicBuckets: true},
	"on": {BlockPublicACLs: true, IgnorePublicACLs: true, BlockPublicPolicy: true, RestrictPublicBuckets: true},
}

var matrixOwnerships = []string{"BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter", "deleted"}

// cell is one state of the bucket, of the account and of the caller.
type cell struct {
	policy    matrixPolicy
	acl       string
	ownership string
	block     policy.PublicAccessBlock // of both levels
	caller    matrixCaller
}

// expected says whether AWS lets the caller read.
func (c *cell) expected() bool {
	who := c.caller
	outside := who.account != testAccount && who.account != "service"
	if c.policy.denies || c.policy.public && c.block.RestrictPublicBuckets && outside {
		return false
	}
	resource := c.aclAllows()
	for _, allowed := range c.policy.allows {
		resource = resource || allowed == "*" || allowed == who.account
	}
	switch who.account {
	case "", "service":
		return resource
	case testAccount:
		return who.identity || resource
	}
	return who.identity && resource
}

func (c *cell) aclAllows() bool {
	if c.ownership == "BucketOwnerEnforced" || c.caller.account == "service" {
		return false
	}
	switch c.acl {
	case "public":
		return !c.block.IgnorePublicACLs
	case "authenticated":
		return !c.block.IgnorePublicACLs && c.caller.account != ""
	case "shared":
		return c.caller.account == otherAccount
	}
	return false
}

func TestAccessMatrix(t *testing.T) {
	h := newAccessHarness(t)
	h.must(admin, "PUT", "/bucket", "")
	h.must(admin, "PUT", "/bucket/key", "content")
	cells := 0
	for aclName, header := range matrixACLs {
		for _, ownership := range matrixOwnerships {
			h.setACL(aclName, header, ownership)
			for policyName, p := range matrixPolicies {
				h.setPolicy(p.statements)
				for bucketBlock := range matrixBlocks {
					h.setBlock(matrixBlocks[bucketBlock])
					for accountBlock := range matrixBlocks {
						h.setAccountBlock(matrixBlocks[accountBlock])
						state := fmt.Sprintf("policy %s, ACL %s, %s, bucket %s, account %s", policyName, aclName, ownership, bucketBlock, accountBlock)
						c := cell{p, aclName, ownership, matrixBlocks[bucketBlock].Or(matrixBlocks[accountBlock]), matrixCaller{}}
						cells += h.tryCallers(state, c)
					}
				}
			}
		}
	}
	t.Logf("%d requests", cells)
	if cells < 10000 {
		t.Errorf("only %d cells", cells)
	}
}

// tryCallers sends what every caller can send in a state, and holds verdict and label to it.
func (h *harness) tryCallers(state string, c cell) (requests int) {
	h.t.Helper()
	open := false
	for name, who := range matrixCallers {
		c.caller = who
		for _, uri := range []string{"/bucket/key", "/bucket?list-type=2"} {
			requests++
			want := http.StatusForbidden
			if c.expected() {
				want = http.StatusOK
			}
			if w := h.do(who.user, "GET", uri, ""); w.Code != want {
				h.t.Errorf("%s: %s GET %s: %d, want %d", state, name, uri, w.Code, want)
			} else if name == "anonymous" && w.Code == http.StatusOK {
				open = true
			}
		}
	}
	if c.policy.statements != "" && !c.policy.denies {
		w := h.must(admin, "GET", "/bucket?policyStatus", "")
		if got := strings.Contains(w.Body.String(), "<IsPublic>true</IsPublic>"); got != c.policy.public {
			h.t.Errorf("%s: public %v", state, got)
		}
	}
	label := policy.Access(policy.Exposure{
		PolicyPublic: c.policy.public, ACLsDisabled: c.ownership == "BucketOwnerEnforced",
		BucketACLPublic: c.acl == "public" || c.acl == "authenticated", Block: c.block,
	})
	// A policy that names fixed addresses is not public, although the harness comes from one of them.
	fixed := strings.Contains(c.policy.statements, "127.0.0.0/8")
	if open && !fixed && label != policy.LabelPublic || label == policy.LabelOnlyAuthorized && open {
		h.t.Errorf("%s: anonymous callers get in, and the label is %q", state, label)
	}
	return requests
}

// setACL gives bucket and key a list, and then the bucket its ownership: what the list says counts or
// does not.
func (h *harness) setACL(name, header, ownership string) {
	h.t.Helper()
	h.setAccountBlock(policy.PublicAccessBlock{})
	h.setPolicy("")
	h.must(admin, "DELETE", "/bucket?publicAccessBlock", "")
	h.must(admin, "DELETE", "/bucket?ownershipControls", "")
	field, value, _ := strings.Cut(header, ": ")
	h.must(admin, "PUT", "/bucket/key?acl", "", field, value, "Content-Md5", checksumOfBody(""))
	if ownership == "BucketOwnerEnforced" { // refuses to be set while the bucket's own list shares something
		field, value = "X-Amz-Acl", "private"
	}
	h.must(admin, "PUT", "/bucket?acl", "", field, value, "Content-Md5", checksumOfBody(""))
	if ownership != "deleted" {
		h.config("ownershipControls", "<OwnershipControls><Rule><ObjectOwnership>"+ownership+"</ObjectOwnership></Rule></OwnershipControls>")
	}
}

func (h *harness) config(sub, body string) {
	h.t.Helper()
	h.must(admin, "PUT", "/bucket?"+sub, body, "Content-Md5", checksumOfBody(body))
}

func (h *harness) setPolicy(statements string) {
	h.t.Helper()
	h.setBlock(policy.PublicAccessBlock{})
	h.setAccountBlock(policy.PublicAccessBlock{})
	if statements == "" {
		h.must(admin, "DELETE", "/bucket?policy", "")
		return
	}
	h.config("policy", `{"Version":"2012-10-17","Statement":[`+statements+`]}`)
}

func (h *harness) setBlock(b policy.PublicAccessBlock) {
	h.t.Helper()
	h.config("publicAccessBlock", fmt.Sprintf("<PublicAccessBlockConfiguration><BlockPublicAcls>%v</BlockPublicAcls><IgnorePublicAcls>%v</IgnorePublicAcls>"+
		"<BlockPublicPolicy>%v</BlockPublicPolicy><RestrictPublicBuckets>%v</RestrictPublicBuckets></PublicAccessBlockConfiguration>",
		b.BlockPublicACLs, b.IgnorePublicACLs, b.BlockPublicPolicy, b.RestrictPublicBuckets))
}

// setAccountBlock goes to the store: the account's setting belongs to S3 Control, which has its own tests.
func (h *harness) setAccountBlock(b policy.PublicAccessBlock) {
	h.t.Helper()
	ctx := context.Background()
	g := authztest.Grant(h.t, "s3:PutAccountPublicAccessBlock", "*")
	_, err := h.objects.UpdateAccount(ctx, g, "s3:PutAccountPublicAccessBlock", testAccount, func(a *object.Account) error {
		a.Settings[object.SettingPublicAccessBlock] = []byte(fmt.Sprintf(`{"BlockPublicACLs":%v,"IgnorePublicACLs":%v,"BlockPublicPolicy":%v,"RestrictPublicBuckets":%v}`,
			b.BlockPublicACLs, b.IgnorePublicACLs, b.BlockPublicPolicy, b.RestrictPublicBuckets))
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

// damage makes a stored setting unreadable.
func (h *harness) damage(setting string) {
	h.t.Helper()
	g := authztest.Grant(h.t, "s3:PutBucketPolicy", "arn:aws:s3:::bucket")
	_, err := h.objects.UpdateBucket(context.Background(), g, "s3:PutBucketPolicy", "bucket", func(b *object.Bucket) error {
		b.Settings[setting] = []byte(`{"damaged":`)
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

// forward sends a request that was tampered with.
func (h *harness) forward(r *http.Request) *httptest.ResponseRecorder {
	h.t.Helper()
	w := httptest.NewRecorder()
	h.serve(w, r)
	return w
}

// requestWith is a signed request whose headers may have several values.
func (h *harness) requestWith(u user, method, uri string, header http.Header) *http.Request {
	h.t.Helper()
	r := httptest.NewRequest(method, "http://s3.local"+uri, nil)
	r.Header = header
	r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
	if _, err := authn.Sign(r, authn.Signing{
		AccessKeyID: u.key, Secret: u.secret, Region: testRegion, Service: "s3", Time: time.Now(), PayloadHash: "UNSIGNED-PAYLOAD",
	}); err != nil {
		h.t.Fatal(err)
	}
	return r
}
