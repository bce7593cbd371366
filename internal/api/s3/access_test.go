package s3

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/policy"
)

var root = user{"AKIAROOTROOTROOTROO1", "root-secret-root-secret-root-secret-root"}

// newOpenBucket is a bucket without Block Public Access, with ACLs.
func newOpenBucket(t testing.TB) *harness {
	t.Helper()
	h := newAccessHarness(t)
	h.users[root.key] = &authn.Credential{AccessKeyID: root.key, Secret: root.secret, Active: true, Subject: authz.Subject{
		AccessKey: root.key, Principal: policy.Principal{
			Type: policy.RootUser, Account: testAccount, ARN: "arn:aws:iam::" + testAccount + ":root",
			UserID: testAccount, CanonicalID: canonicalID(testAccount),
		},
	}}
	h.must(admin, "PUT", "/bucket", "")
	h.must(admin, "DELETE", "/bucket?publicAccessBlock", "")
	h.config("ownershipControls", "<OwnershipControls><Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule></OwnershipControls>")
	h.must(admin, "PUT", "/bucket/key", "content")
	return h
}

// want checks status and, unless it is empty, code of an answer.
func want(t testing.TB, w *httptest.ResponseRecorder, status int, errorCode string) {
	t.Helper()
	if w.Code != status || errorCode != "" && code(w) != errorCode {
		t.Errorf("answered %d %s, want %d %s: %s", w.Code, code(w), status, errorCode, w.Body)
	}
}

func message(w *httptest.ResponseRecorder) string {
	_, rest, _ := strings.Cut(w.Body.String(), "<Message>")
	text, _, _ := strings.Cut(rest, "</Message>")
	return strings.NewReplacer("&#34;", `"`, "&quot;", `"`, "&#39;", "'", "&apos;", "'", "&lt;", "<", "&gt;", ">", "&amp;", "&").Replace(text)
}

func (h *harness) putPolicy(u user, document string) *httptest.ResponseRecorder {
	h.t.Helper()
	return h.do(u, "PUT", "/bucket?policy", document, "Content-Md5", checksumOfBody(document))
}

// TestBlockPublicAclsRefusesEveryWrite: whatever can carry a public ACL, however it says so.
func TestBlockPublicAclsRefusesEveryWrite(t *testing.T) {
	h := newOpenBucket(t)
	asks := map[string][]string{
		"canned":        {"X-Amz-Acl", "public-read"},
		"authenticated": {"X-Amz-Acl", "authenticated-read"},
		"granted":       {"X-Amz-Grant-Read-Acp", `uri="http://acs.amazonaws.com/groups/global/AllUsers"`},
	}
	writes := map[string]struct {
		method, uri, body string
		headers           []string
	}{
		"PutObject":             {"PUT", "/bucket/new", "x", nil},
		"CopyObject":            {"PUT", "/bucket/new", "", []string{"X-Amz-Copy-Source", "/bucket/key"}},
		"CreateMultipartUpload": {"POST", "/bucket/new?uploads", "", nil},
		"PutObjectAcl":          {"PUT", "/bucket/key?acl", "", []string{"Content-Md5", checksumOfBody("")}},
		"PutBucketAcl":          {"PUT", "/bucket?acl", "", []string{"Content-Md5", checksumOfBody("")}},
	}
	for _, level := range []string{"bucket", "account"} {
		block := policy.PublicAccessBlock{BlockPublicACLs: true}
		h.setBlock(policy.PublicAccessBlock{})
		h.setAccountBlock(policy.PublicAccessBlock{})
		for name, write := range writes {
			for how, headers := range asks {
				h.must(admin, write.method, write.uri, write.body, append(headers, write.headers...)...)
				if level == "bucket" {
					h.setBlock(block)
				} else {
					h.setAccountBlock(block)
				}
				w := h.do(admin, write.method, write.uri, write.body, append(headers, write.headers...)...)
				if w.Code != http.StatusForbidden || !strings.HasSuffix(message(w), "because public ACLs are prevented by the BlockPublicAcls setting in S3 Block Public Access.") {
					t.Errorf("%s, %s, %s: %d %s", level, name, how, w.Code, w.Body)
				}
				h.must(admin, write.method, write.uri, write.body, append([]string{"X-Amz-Acl", "private"}, write.headers...)...)
				h.setBlock(policy.PublicAccessBlock{})
				h.setAccountBlock(policy.PublicAccessBlock{})
			}
		}
		// A form upload names its ACL in a field.
		h.setBlock(block)
		fields := append([][2]string{{"key", "new"}, {"acl", "public-read"}},
			h.signPolicy(admin, `{"expiration":"2100-01-01T00:00:00Z","conditions":[{"bucket":"bucket"},{"key":"new"},{"acl":"public-read"}]}`)...)
		want(t, h.sendForm("/bucket", fields, "f", "x"), http.StatusForbidden, "AccessDenied")
		// A body says it in XML.
		body := `<AccessControlPolicy><Owner><ID>` + canonicalID(testAccount) + `</ID></Owner><AccessControlList><Grant><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="Group"><URI>` + allUsers + `</URI></Grantee><Permission>READ</Permission></Grant></AccessControlList></AccessControlPolicy>`
		want(t, h.do(admin, "PUT", "/bucket/key?acl", body, "Content-Md5", checksumOfBody(body)), http.StatusForbidden, "AccessDenied")
	}
}

// TestACLRequests: what lists can be asked for, and what they then are.
func TestACLRequests(t *testing.T) {
	h := newOpenBucket(t)
	put := func(headers ...string) *httptest.ResponseRecorder {
		return h.do(admin, "PUT", "/bucket/key?acl", "", append(headers, "Content-Md5", checksumOfBody(""))...)
	}
	for _, c := range []struct {
		headers []string
		status  int
		code    string
	}{
		{nil, 400, "MissingSecurityHeader"},
		{[]string{"X-Amz-Acl", "nonsense"}, 400, "InvalidArgument"},
		{[]string{"X-Amz-Acl", "log-delivery-write"}, 400, "InvalidArgument"}, // of buckets only
		{[]string{"X-Amz-Acl", "private", "X-Amz-Grant-Read", "id=x"}, 400, "InvalidRequest"},
		{[]string{"X-Amz-Grant-Read", "nobody"}, 400, "InvalidArgument"},
		{[]string{"X-Amz-Grant-Read", "id=" + strings.Repeat("9", 64)}, 400, "InvalidArgument"},
		{[]string{"X-Amz-Grant-Read", "uri=http://acs.amazonaws.com/groups/global/Everybody"}, 400, "InvalidArgument"},
		{[]string{"X-Amz-Grant-Read", "emailAddress=nobody@example.net"}, 400, "UnresolvableGrantByEmailAddress"},
		{[]string{"X-Amz-Grant-Read", strings.Repeat("uri="+allUsers+",", 101)}, 400, "MalformedACLError"},
		{[]string{"X-Amz-Grant-Read", "id=" + canonicalID(otherAccount) + `, emailAddress="` + otherAccount + `@example.com"`}, 200, ""},
		{[]string{"X-Amz-Acl", "aws-exec-read"}, 200, ""},
	} {
		want(t, put(c.headers...), c.status, c.code)
	}
	body := `<AccessControlPolicy><Owner><ID>` + canonicalID(otherAccount) + `</ID></Owner><AccessControlList/></AccessControlPolicy>`
	want(t, h.do(admin, "PUT", "/bucket/key?acl", body, "Content-Md5", checksumOfBody(body)), 403, "AccessDenied")
	want(t, h.do(admin, "PUT", "/bucket/key?acl", "<x/>", "Content-Md5", checksumOfBody("<x/>")), 400, "")
	want(t, put("X-Amz-Grant-Read", `emailAddress="`+otherAccount+`@example.com"`), 200, "")
	shown := h.must(admin, "GET", "/bucket/key?acl", "").Body.String()
	if !strings.Contains(shown, "<ID>"+canonicalID(otherAccount)+"</ID>") || strings.Contains(shown, "FULL_CONTROL") {
		t.Errorf("the address is shown as %s", shown)
	}
	// The owner of the object gave itself nothing, and may still change the list.
	want(t, put("X-Amz-Acl", "private"), 200, "")
	// What is ignored is not shown, and comes back.
	want(t, put("X-Amz-Acl", "public-read"), 200, "")
	h.setBlock(policy.PublicAccessBlock{IgnorePublicACLs: true})
	if shown := h.must(admin, "GET", "/bucket/key?acl", "").Body.String(); strings.Contains(shown, allUsers) {
		t.Errorf("an ignored grant is shown: %s", shown)
	}
	h.setBlock(policy.PublicAccessBlock{})
	if shown := h.must(admin, "GET", "/bucket/key?acl", "").Body.String(); !strings.Contains(shown, allUsers) {
		t.Errorf("the grant did not come back: %s", shown)
	}
}

// TestDisabledACLs (P16): a new bucket takes no ACL but the ones that say nothing new.
func TestDisabledACLs(t *testing.T) {
	h := newAccessHarness(t)
	h.must(admin, "PUT", "/bucket", "")
	want(t, h.do(admin, "PUT", "/bucket/k", "x", "X-Amz-Acl", "public-read"), 400, "AccessControlListNotSupported")
	want(t, h.do(admin, "PUT", "/bucket/k", "x", "X-Amz-Grant-Read", "uri="+allUsers), 400, "AccessControlListNotSupported")
	want(t, h.do(admin, "PUT", "/bucket/k", "x", "X-Amz-Acl", "bucket-owner-full-control"), 200, "")
	want(t, h.do(admin, "PUT", "/bucket/k?acl", "", "X-Amz-Acl", "public-read", "Content-Md5", checksumOfBody("")), 400, "AccessControlListNotSupported")
	want(t, h.do(admin, "PUT", "/bucket?acl", "", "X-Amz-Acl", "public-read", "Content-Md5", checksumOfBody("")), 400, "AccessControlListNotSupported")
	want(t, h.do(admin, "PUT", "/bucket?acl", "", "X-Amz-Acl", "private", "Content-Md5", checksumOfBody("")), 400, "AccessControlListNotSupported")
	want(t, h.do(admin, "PUT", "/bucket/k?acl", "", "X-Amz-Acl", "bucket-owner-full-control", "Content-Md5", checksumOfBody("")), 200, "")
	want(t, h.do(admin, "PUT", "/bucket?acl", "", "X-Amz-Grant-Full-Control", "id="+canonicalID(testAccount), "Content-Md5", checksumOfBody("")), 200, "")
	want(t, h.do(admin, "PUT", "/made", "", "X-Amz-Acl", "public-read"), 400, "InvalidBucketAclWithObjectOwnership")
	want(t, h.do(admin, "PUT", "/made", "", "X-Amz-Acl", "public-read", "X-Amz-Object-Ownership", "ObjectWriter"), 400, "InvalidBucketAclWithBlockPublicAccessError")
	want(t, h.do(admin, "PUT", "/made", "", "X-Amz-Object-Ownership", "Nobody"), 400, "InvalidArgument")
	want(t, h.do(admin, "PUT", "/made", "", "X-Amz-Object-Ownership", "BucketOwnerPreferred", "X-Amz-Grant-Read", "id="+canonicalID(otherAccount)), 200, "")
	want(t, h.do(otherAdmin, "GET", "/made", ""), 200, "")
	body := "<OwnershipControls><Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule></OwnershipControls>"
	want(t, h.do(admin, "PUT", "/made?ownershipControls", body, "Content-Md5", checksumOfBody(body)), 400, "InvalidBucketAclWithObjectOwnership")
	body = "<OwnershipControls><Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule><Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule></OwnershipControls>"
	want(t, h.do(admin, "PUT", "/made?ownershipControls", body, "Content-Md5", checksumOfBody(body)), 400, "MalformedXML")
	want(t, h.do(admin, "DELETE", "/made?ownershipControls", ""), 204, "")
	want(t, h.do(admin, "DELETE", "/made?ownershipControls", ""), 204, "")
	want(t, h.do(admin, "GET", "/made?ownershipControls", ""), 404, "OwnershipControlsNotFoundError")
}

// TestForeignObjects: what another account wrote is its own, until the bucket's owner owns everything.
func TestForeignObjects(t *testing.T) {
	h := newOpenBucket(t)
	h.setPolicy(`{"Effect":"Allow","Principal":{"AWS":"` + otherAccount + `"},"Action":["s3:PutObject","s3:PutObjectAcl","s3:GetObject"],"Resource":"arn:aws:s3:::bucket/*"},
		{"Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/closed"}`)
	h.must(otherAdmin, "PUT", "/bucket/theirs", "x")
	h.must(otherAdmin, "PUT", "/bucket/closed", "x")
	h.must(otherAdmin, "PUT", "/bucket/given", "x", "X-Amz-Acl", "bucket-owner-full-control")
	want(t, h.do(otherAdmin, "GET", "/bucket/theirs", ""), 200, "")
	want(t, h.do(admin, "GET", "/bucket/theirs", ""), 403, "AccessDenied")
	want(t, h.do(admin, "GET", "/bucket/theirs?acl", ""), 403, "AccessDenied")
	want(t, h.do(admin, "GET", "/bucket/theirs?tagging", ""), 403, "AccessDenied")
	want(t, h.do(admin, "GET", "/bucket/given?tagging", ""), 403, "AccessDenied") // tags are in no list
	want(t, h.do(admin, "GET", "/bucket/given", ""), 200, "")
	want(t, h.do(stranger, "GET", "/bucket/given", ""), 403, "AccessDenied")
	want(t, h.do(otherAdmin, "GET", "/bucket/closed", ""), 403, "AccessDenied") // a Deny binds what others own
	if shown := h.must(otherAdmin, "GET", "/bucket/given?acl", "").Body.String(); !strings.Contains(shown, "<Owner><ID>"+canonicalID(otherAccount)) {
		t.Errorf("the owner is shown as %s", shown)
	}
	h.config("ownershipControls", "<OwnershipControls><Rule><ObjectOwnership>BucketOwnerPreferred</ObjectOwnership></Rule></OwnershipControls>")
	h.must(otherAdmin, "PUT", "/bucket/preferred", "x", "X-Amz-Acl", "bucket-owner-full-control")
	if shown := h.must(admin, "GET", "/bucket/preferred?acl", "").Body.String(); !strings.Contains(shown, "<Owner><ID>"+canonicalID(testAccount)) {
		t.Errorf("the owner is shown as %s", shown)
	}
	h.config("ownershipControls", "<OwnershipControls><Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule></OwnershipControls>")
	want(t, h.do(admin, "GET", "/bucket/theirs", ""), 200, "")
	h.config("ownershipControls", "<OwnershipControls><Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule></OwnershipControls>")
	want(t, h.do(admin, "GET", "/bucket/theirs", ""), 403, "AccessDenied") // ownership came back
	want(t, h.do(admin, "PUT", "/bucket/copy", "", "X-Amz-Copy-Source", "/bucket/theirs"), 403, "AccessDenied")
	want(t, h.do(admin, "DELETE", "/bucket/theirs", ""), 204, "")
}

// TestWritersByACL: WRITE lets others create objects, which are theirs, and delete their own.
func TestWritersByACL(t *testing.T) {
	h := newOpenBucket(t)
	h.must(admin, "PUT", "/bucket?acl", "", "X-Amz-Acl", "public-read-write", "Content-Md5", checksumOfBody(""))
	want(t, h.do(user{}, "PUT", "/bucket/anonymous", "x"), 200, "")
	want(t, h.do(user{}, "GET", "/bucket/anonymous", ""), 403, "AccessDenied")
	want(t, h.do(admin, "GET", "/bucket/anonymous", ""), 403, "AccessDenied")
	want(t, h.do(user{}, "DELETE", "/bucket/anonymous", ""), 403, "AccessDenied")
	want(t, h.do(user{}, "DELETE", "/bucket/key", ""), 403, "AccessDenied")
	want(t, h.do(user{}, "POST", "/bucket/upload?uploads", ""), 403, "AccessDenied")
	want(t, h.do(otherAdmin, "PUT", "/bucket/theirs", "x", "X-Amz-Acl", "public-read"), 200, "")
	want(t, h.do(user{}, "GET", "/bucket/theirs", ""), 200, "")
	want(t, h.do(otherAdmin, "DELETE", "/bucket/key", ""), 403, "AccessDenied")
	want(t, h.do(otherAdmin, "DELETE", "/bucket/theirs", ""), 204, "")
	want(t, h.do(admin, "DELETE", "/bucket/anonymous", ""), 204, "")
	w := h.must(otherAdmin, "POST", "/bucket/parts?uploads", "", "X-Amz-Acl", "public-read")
	_, id, _ := strings.Cut(w.Body.String(), "<UploadId>")
	id, _, _ = strings.Cut(id, "</UploadId>")
	etag := h.must(otherAdmin, "PUT", "/bucket/parts?partNumber=1&uploadId="+id, "x").Header()[etagHeader][0]
	h.must(otherAdmin, "POST", "/bucket/parts?uploadId="+id, "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>"+etag+"</ETag></Part></CompleteMultipartUpload>")
	want(t, h.do(user{}, "GET", "/bucket/parts", ""), 200, "")
	if shown := h.must(otherAdmin, "GET", "/bucket/parts?acl", "").Body.String(); !strings.Contains(shown, "<Owner><ID>"+canonicalID(otherAccount)) {
		t.Errorf("the owner is shown as %s", shown)
	}
}

// TestMalformedPolicies: S3's words for what is wrong.
func TestMalformedPolicies(t *testing.T) {
	h := newOpenBucket(t)
	statement := func(s string) string { return `{"Version":"2012-10-17","Statement":[` + s + `]}` }
	big := make([]string, 400)
	for i := range big {
		big[i] = fmt.Sprintf(`{"Sid":"%d","Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/%d"}`, i, i)
	}
	for name, c := range map[string]struct{ document, message string }{
		"empty":       {"", "Policies must be valid JSON and the first byte must be '{'"},
		"no brace":    {`"Version":"2012-10-17"`, "Policies must be valid JSON and the first byte must be '{'"},
		"unclosed":    {`{"Version":"2012-10-17","Statement":[`, "This policy contains invalid Json"},
		"none":        {`{"Version":"2012-10-17"}`, "Missing required field Statement"},
		"no items":    {statement(""), "Could not parse the policy: Statement is empty!"},
		"effect":      {statement(`{"Effect":"allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/*"}`), "Invalid effect: allow"},
		"action":      {statement(`{"Effect":"Allow","Principal":"*","Action":"s3:HeadObject","Resource":"arn:aws:s3:::bucket/*"}`), "Policy has invalid action"},
		"other":       {statement(`{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket2/*"}`), "Policy has invalid resource"},
		"mismatch":    {statement(`{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket"}`), "Action does not apply to any resource(s) in statement"},
		"principal":   {statement(`{"Effect":"Deny","Principal":{"AWS":"arn:aws:iam::` + testAccount + `:user/nobody"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/*"}`), "Invalid principal in policy"},
		"id":          {statement(`{"Effect":"Deny","Principal":{"AWS":"AIDAADMIN000000000000"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/*"}`), "Invalid principal in policy"},
		"key":         {statement(`{"Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/*","Condition":{"StringEquals":{"s3:colour":"red"}}}`), "Policy has an invalid condition key"},
		"operator":    {statement(`{"Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/*","Condition":{"StringSame":{"aws:UserAgent":"x"}}}`), "Invalid Condition type : StringSame"},
		"combination": {statement(`{"Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/*","Condition":{"StringEquals":{"s3:prefix":"x"}}}`), "Conditions do not apply to combination of actions and resources in statement"},
		"address":     {statement(`{"Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/*","Condition":{"IpAddress":{"aws:SourceIp":"999.1.1.1"}}}`), "Invalid IP address in Conditions"},
		"too large":   {statement(strings.Join(big, ",")), "Normalized policy document exceeds the maximum allowed size of 20480 bytes"},
	} {
		w := h.putPolicy(admin, c.document)
		if w.Code != 400 || code(w) != "MalformedPolicy" || message(w) != c.message {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	want(t, h.do(admin, "GET", "/bucket?policy", ""), 404, "NoSuchBucketPolicy")
}

// TestPolicyIsPinned (P17): who bears a name later does not get what it was given before.
func TestPolicyIsPinned(t *testing.T) {
	h := newOpenBucket(t)
	document := `{"Statement": [{"Resource": "arn:aws:s3:::bucket/*", "Action": "s3:GetObject", "Principal": {"AWS": "arn:aws:iam::` + testAccount + `:user/stranger"}, "Effect": "Allow", "Sid": "one"}], "Version": "2012-10-17"}`
	want(t, h.putPolicy(admin, document), 204, "")
	want(t, h.do(stranger, "GET", "/bucket/key", ""), 200, "")
	w := h.must(admin, "GET", "/bucket?policy", "")
	if got, want := w.Body.String(), `{"Version":"2012-10-17","Statement":[{"Sid":"one","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::`+testAccount+`:user/stranger"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/*"}]}`; got != want {
		t.Errorf("shown as %s", got)
	}
	h.users[stranger.key].Subject.Principal.UniqueID = "AIDASOMEBODYELSE00000"
	want(t, h.do(stranger, "GET", "/bucket/key", ""), 403, "AccessDenied")
	if got := h.must(admin, "GET", "/bucket?policy", "").Body.String(); !strings.Contains(got, `"AWS":"`+uniqueID("stranger")+`"`) {
		t.Errorf("a principal that is gone is shown as %s", got)
	}
}

// TestLockedOut: only the root user of the owner's account gets back in, and only to the policy.
func TestLockedOut(t *testing.T) {
	h := newOpenBucket(t)
	document := `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::bucket","arn:aws:s3:::bucket/*"]}}`
	want(t, h.putPolicy(admin, document), 204, "")
	for _, method := range []string{"GET", "DELETE"} {
		want(t, h.do(admin, method, "/bucket?policy", ""), 403, "AccessDenied")
	}
	want(t, h.putPolicy(admin, document), 403, "AccessDenied")
	want(t, h.do(root, "GET", "/bucket/key", ""), 403, "AccessDenied")
	want(t, h.do(root, "GET", "/bucket?policy", ""), 200, "")
	want(t, h.putPolicy(root, document), 204, "")
	want(t, h.do(root, "DELETE", "/bucket?policy", ""), 204, "")
	want(t, h.do(admin, "GET", "/bucket/key", ""), 200, "")
}

// TestForeignPolicyEditors: another account cannot read or write the policy even when it is allowed to.
func TestForeignPolicyEditors(t *testing.T) {
	h := newOpenBucket(t)
	document := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + otherAccount + `"},"Action":"s3:*","Resource":["arn:aws:s3:::bucket","arn:aws:s3:::bucket/*"]}}`
	want(t, h.putPolicy(otherAdmin, document), 403, "AccessDenied")
	want(t, h.putPolicy(admin, document), 204, "")
	want(t, h.putPolicy(otherAdmin, document), 405, "MethodNotAllowed")
	want(t, h.do(otherAdmin, "GET", "/bucket?policy", ""), 405, "MethodNotAllowed")
	want(t, h.do(otherAdmin, "DELETE", "/bucket?policy", ""), 405, "MethodNotAllowed")
	want(t, h.do(otherStranger, "DELETE", "/bucket?policy", ""), 403, "AccessDenied")
}

// TestBlockPublicPolicy (B04): a public policy is refused with AWS's sentence, a limited one is not.
func TestBlockPublicPolicy(t *testing.T) {
	h := newAccessHarness(t)
	h.must(admin, "PUT", "/bucket", "")
	statement := func(principal, condition string) string {
		return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":` + principal + `,"Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/*"` + condition + `}}`
	}
	for _, c := range []struct {
		principal, condition string
		public               bool
	}{
		{`"*"`, "", true},
		{`{"AWS":"*"}`, "", true},
		{`{"Federated":"graph.facebook.com"}`, "", true},
		{`"*"`, `,"Condition":{"StringLike":{"aws:SourceVpc":"vpc-*"}}`, true},
		{`"*"`, `,"Condition":{"IpAddress":{"aws:SourceIp":"0.0.0.0/1"}}`, true},
		{`"*"`, `,"Condition":{"StringEquals":{"aws:PrincipalAccount":"${aws:ResourceAccount}"}}`, true},
		{`"*"`, `,"Condition":{"Bool":{"aws:SecureTransport":"true"}}`, true},
		{`"*"`, `,"Condition":{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}`, false},
		{`"*"`, `,"Condition":{"StringEquals":{"aws:SourceVpc":"vpc-0123"}}`, false},
		{`"*"`, `,"Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-abc"}}`, false},
		{`{"AWS":"` + otherAccount + `"}`, "", false},
		{`{"Service":"cloudfront.amazonaws.com"}`, `,"Condition":{"StringEquals":{"AWS:SourceArn":"arn:aws:cloudfront::111122223333:distribution/E1"}}`, false}, // P06
	} {
		w := h.putPolicy(admin, statement(c.principal, c.condition))
		if !c.public {
			want(t, w, 204, "")
			continue
		}
		sentence := "User: arn:aws:iam::" + testAccount + `:user/admin is not authorized to perform: s3:PutBucketPolicy on resource: "arn:aws:s3:::bucket" because public policies are prevented by the BlockPublicPolicy setting in S3 Block Public Access.`
		if w.Code != 403 || message(w) != sentence {
			t.Errorf("%s %s: %d %s", c.principal, c.condition, w.Code, w.Body)
		}
	}
	// Off at the bucket, on at the account.
	h.setBlock(policy.PublicAccessBlock{})
	h.setAccountBlock(policy.PublicAccessBlock{BlockPublicPolicy: true})
	want(t, h.putPolicy(admin, statement(`"*"`, "")), 403, "AccessDenied")
	h.setAccountBlock(policy.PublicAccessBlock{})
	want(t, h.putPolicy(admin, statement(`"*"`, "")), 204, "")
}

// TestExistingObjectTags: tags of the object decide, are read only when a policy asks, and not of what
// is being written.
func TestExistingObjectTags(t *testing.T) {
	h := newOpenBucket(t)
	h.config("ownershipControls", "<OwnershipControls><Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule></OwnershipControls>")
	h.must(admin, "PUT", "/bucket/open", "x", "X-Amz-Tagging", "class=open")
	h.must(admin, "PUT", "/bucket/secret", "x", "X-Amz-Tagging", "class=secret")
	h.setPolicy(`{"Effect":"Allow","Principal":"*","Action":["s3:GetObject","s3:GetObjectTagging","s3:PutObjectTagging"],"Resource":"arn:aws:s3:::bucket/*","Condition":{"StringEquals":{"s3:ExistingObjectTag/Class":"open"}}}`)
	want(t, h.do(user{}, "GET", "/bucket/open", ""), 200, "")
	want(t, h.do(user{}, "GET", "/bucket/secret", ""), 403, "AccessDenied")
	want(t, h.do(user{}, "GET", "/bucket/nothing", ""), 403, "AccessDenied")
	want(t, h.do(user{}, "GET", "/bucket/open?tagging", ""), 200, "")
	opening := "<Tagging><TagSet><Tag><Key>class</Key><Value>open</Value></Tag></TagSet></Tagging>"
	want(t, h.do(user{}, "PUT", "/bucket/secret?tagging", opening, "Content-Md5", checksumOfBody(opening)), 403, "AccessDenied")
	closing := strings.Replace(opening, "open", "shut", 1)
	want(t, h.do(user{}, "PUT", "/bucket/open?tagging", closing, "Content-Md5", checksumOfBody(closing)), 200, "")
	want(t, h.do(user{}, "GET", "/bucket/open", ""), 403, "AccessDenied")

	// The usual request reads nothing before it is decided.
	h.setPolicy(`{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/else"}`)
	reads := h.meta.reads
	want(t, h.do(user{}, "GET", "/bucket/open", ""), 403, "AccessDenied")
	if h.meta.reads != reads {
		t.Errorf("a refusal cost %d reads", h.meta.reads-reads)
	}
}

// TestUnreadableSettingsCloseTheBucket (RustFS j548): what does not decode is not absent.
func TestUnreadableSettingsCloseTheBucket(t *testing.T) {
	for _, setting := range []string{settingPolicy, settingACL, settingOwnership, settingBlock} {
		h := newOpenBucket(t)
		h.setPolicy(`{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/*"}`)
		want(t, h.do(user{}, "GET", "/bucket/key", ""), 200, "")
		h.damage(setting)
		for _, u := range []user{{}, admin, root, otherAdmin} {
			want(t, h.do(u, "GET", "/bucket/key", ""), 403, "AccessDenied")
			want(t, h.do(u, "GET", "/bucket", ""), 403, "AccessDenied")
		}
	}
}

// etagHeader is spelled as S3 spells it.
var etagHeader = "ETag"
