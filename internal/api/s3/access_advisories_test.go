package s3

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/kura-s3/kura/policy"
)

// Each test is named by a published hole of an S3 server that concerns who may do what, and shows that
// Kura does not have it.

const allowAll = `{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::bucket","arn:aws:s3:::bucket/*"]}`

func deny(action, more string) string {
	return `{"Effect":"Deny","Principal":"*","Action":"` + action + `","Resource":["arn:aws:s3:::bucket","arn:aws:s3:::bucket/*"]` + more + `}`
}

// A form upload skipped the evaluation of policies.
func TestCVE202121362FormIsAuthorized(t *testing.T) {
	h := newOpenBucket(t)
	readOnly := user{"AKIAREADONLYREADONL1", "read-only-secret-read-only-secret-read-1"}
	h.addUser(readOnly, "reader", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:Get*","Resource":"*"}}`)
	want(t, h.postForm(readOnly), 403, "AccessDenied")
	want(t, h.postForm(user{}), 403, "AccessDenied")
	h.setPolicy(`{"Effect":"Allow","Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::bucket/*"}`)
	want(t, h.postForm(user{}), 204, "")
	h.setPolicy(deny("s3:PutObject", ""))
	want(t, h.postForm(admin), 403, "AccessDenied")
}

// Conditions on the ACL are held against the form's field; a header beside the form, which no
// signature covers, says nothing.
func TestFormConditionsComeFromFields(t *testing.T) {
	h := newOpenBucket(t)
	h.setPolicy(deny("s3:PutObject", `,"Condition":{"StringEquals":{"s3:x-amz-acl":"public-read"}}`))
	fields := func(acl string) [][2]string {
		return append([][2]string{{"key", "new"}, {"acl", acl}},
			h.signPolicy(admin, `{"expiration":"2100-01-01T00:00:00Z","conditions":[{"bucket":"bucket"},{"key":"new"},["starts-with","$acl",""]]}`)...)
	}
	want(t, h.sendForm("/bucket", fields("public-read"), "f", "x"), 403, "AccessDenied")
	want(t, h.sendForm("/bucket", fields("private"), "f", "x"), 204, "")
}

// An ordinary key counted as the owner's, and skipped the policy.
func TestCVE202141137NoOwnerBypass(t *testing.T) {
	h := newOpenBucket(t)
	h.setPolicy(deny("s3:GetObject", ""))
	for name, u := range map[string]user{"administrator": admin, "root": root, "other": otherAdmin, "anonymous": {}} {
		if w := h.do(u, "GET", "/bucket/key", ""); w.Code != 403 {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
}

// If-Modified-Since told anonymous callers which objects exist.
func TestCVE202436107NoOracle(t *testing.T) {
	h := newOpenBucket(t)
	ask := func(u user, uri string, headers ...string) string {
		w := h.do(u, "GET", uri, "", headers...)
		body, _, _ := strings.Cut(w.Body.String(), "<Resource>")
		return http.StatusText(w.Code) + strings.ReplaceAll(body, "bucket/nothing", "bucket/key") + strings.Join(w.Header().Values("Etag"), "")
	}
	for name, u := range map[string]user{"anonymous": {}, "stranger": stranger, "other account": otherAdmin} {
		for _, condition := range [][]string{
			nil, {"If-Modified-Since", "Mon, 02 Jan 2006 15:04:05 GMT"}, {"If-Unmodified-Since", "Mon, 02 Jan 2006 15:04:05 GMT"},
			{"If-Match", `"x"`}, {"If-None-Match", "*"}, {"Range", "bytes=100-200"},
		} {
			for _, query := range []string{"", "?acl", "?tagging", "?versionId=null", "?partNumber=7"} {
				there, absent := ask(u, "/bucket/key"+query, condition...), ask(u, "/bucket/nothing"+query, condition...)
				if there != absent {
					t.Errorf("%s %v %s: %q is not %q", name, condition, query, there, absent)
				}
			}
		}
	}
	// Who may get but not list learns as little of what is not there.
	h.setPolicy(`{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/*"},
		{"Effect":"Allow","Principal":"*","Action":"s3:ListBucket","Resource":"arn:aws:s3:::bucket","Condition":{"StringLike":{"s3:prefix":"open/*"}}}`)
	want(t, h.do(user{}, "GET", "/bucket/nothing", ""), 403, "AccessDenied")
	want(t, h.do(user{}, "GET", "/bucket/open/nothing", ""), 404, "NoSuchKey")
	want(t, h.do(user{}, "HEAD", "/bucket/open/nothing", ""), 404, "")
	want(t, h.do(user{}, "HEAD", "/bucket/nothing", ""), 403, "")
}

// The source address was taken from the client's headers.
func TestCVE202621862SourceAddressIsTheSockets(t *testing.T) {
	h := newOpenBucket(t)
	h.setPolicy(`{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/*","Condition":{"IpAddress":{"aws:SourceIp":"203.0.113.7"}}}`)
	forged := []string{"X-Forwarded-For", "203.0.113.7", "X-Real-Ip", "203.0.113.7", "Forwarded", "for=203.0.113.7", "True-Client-Ip", "203.0.113.7", "Aws-Sourceip", "203.0.113.7"}
	want(t, h.do(user{}, "GET", "/bucket/key", "", forged...), 403, "AccessDenied")
	for _, address := range []string{"203.0.113.7", "::ffff:203.0.113.7"} { // P10
		h.peer.IP = netip.MustParseAddr(address)
		want(t, h.do(user{}, "GET", "/bucket/key", ""), 200, "")
	}
}

// Request headers filled condition keys that the server derives.
func TestGHSA6r96HeadersFillNoDerivedKeys(t *testing.T) {
	h := newOpenBucket(t)
	keys := map[string]string{
		"aws:userid": "forged", "aws:username": "forged", "aws:PrincipalArn": "arn:aws:iam::" + testAccount + ":user/forged",
		"aws:PrincipalAccount": "000000000000", "aws:PrincipalTag/team": "forged", "aws:PrincipalType": "Forged", "aws:PrincipalOrgID": "o-forged",
		"aws:SecureTransport": "true", "aws:SourceVpce": "vpce-forged", "aws:SourceVpc": "vpc-forged", "aws:SourceArn": "arn:aws:s3:::forged",
		"aws:SourceAccount": "000000000000", "aws:MultiFactorAuthPresent": "true", "aws:ViaAWSService": "true", "aws:PrincipalIsAWSService": "true",
		"s3:authType": "FORGED", "s3:signatureversion": "FORGED", "s3:ExistingObjectTag/team": "forged", "s3:ResourceAccount": "000000000000",
		"s3:TlsVersion": "1.3",
	}
	for key, value := range keys {
		operator := "StringEquals"
		if key == "s3:TlsVersion" {
			operator = "NumericEquals"
		}
		h.setPolicy(`{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/*","Condition":{"` + operator + `":{"` + key + `":"` + value + `"}}}`)
		_, name, _ := strings.Cut(key, ":")
		plain := strings.ReplaceAll(name, "/", "-")
		var headers []string
		for _, prefix := range []string{"", "Aws-", "X-Amz-", "Aws:", "S3:", "X-Amz-Meta-", "X-Kura-"} {
			headers = append(headers, prefix+plain, value)
		}
		w := h.do(user{}, "GET", "/bucket/key?"+name+"="+value, "", headers...)
		if w.Code != 403 {
			t.Errorf("%s: %d", key, w.Code)
		}
	}
}

// A read of a version was authorized as one of the current object.
func TestGHSA3ppvVersionsAreTheirOwnAction(t *testing.T) {
	h := newOpenBucket(t)
	h.config("versioning", "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>")
	version := h.must(admin, "PUT", "/bucket/key", "second").Header()["X-Amz-Version-Id"][0]
	h.setPolicy(`{"Effect":"Allow","Principal":"*","Action":["s3:GetObject","s3:DeleteObject","s3:GetObjectTagging","s3:GetObjectAcl","s3:PutObject"],"Resource":"arn:aws:s3:::bucket/*"}`)
	for _, c := range []struct{ method, uri string }{
		{"GET", "/bucket/key"}, {"HEAD", "/bucket/key"}, {"GET", "/bucket/key?tagging"}, {"GET", "/bucket/key?acl"},
	} {
		want(t, h.do(stranger, c.method, c.uri, ""), 200, "")
		with := c.uri + "?versionId=" + version
		if strings.Contains(c.uri, "?") {
			with = c.uri + "&versionId=" + version
		}
		want(t, h.do(stranger, c.method, with, ""), 403, "")
	}
	want(t, h.do(stranger, "DELETE", "/bucket/key?versionId="+version, ""), 403, "AccessDenied")
	want(t, h.do(stranger, "PUT", "/bucket/copy", "", "X-Amz-Copy-Source", "/bucket/key?versionId="+version), 403, "AccessDenied")
	want(t, h.do(stranger, "PUT", "/bucket/copy", "", "X-Amz-Copy-Source", "/bucket/key"), 200, "")
	// And the other way about.
	h.setPolicy(`{"Effect":"Allow","Principal":"*","Action":"s3:GetObjectVersion","Resource":"arn:aws:s3:::bucket/*"}`)
	want(t, h.do(stranger, "GET", "/bucket/key?versionId="+version, ""), 200, "")
	want(t, h.do(stranger, "GET", "/bucket/key", ""), 403, "AccessDenied")
}

// Anonymous listings of versions came before Block Public Access.
func TestGHSAx298VersionsListingPassesTheBlock(t *testing.T) {
	h := newOpenBucket(t)
	h.setPolicy(allowAll)
	for _, uri := range []string{"/bucket?versions", "/bucket?uploads", "/bucket", "/bucket?list-type=2", "/bucket?location", "/bucket?acl", "/bucket/key", "/bucket/key?acl", "/bucket/key?tagging"} {
		h.setBlock(policy.PublicAccessBlock{})
		want(t, h.do(user{}, "GET", uri, ""), 200, "")
		h.setBlock(policy.PublicAccessBlock{RestrictPublicBuckets: true})
		want(t, h.do(user{}, "GET", uri, ""), 403, "AccessDenied")
		want(t, h.do(otherAdmin, "GET", uri, ""), 403, "AccessDenied")
		want(t, h.do(stranger, "GET", uri, ""), 200, "")
	}
}

// Copies did not check their source.
func TestGHSAmx42CopiesCheckBothSides(t *testing.T) {
	h := newOpenBucket(t)
	h.must(admin, "PUT", "/mine", "")
	upload := func(u user) string {
		w := h.must(u, "POST", "/bucket/to?uploads", "")
		_, id, _ := strings.Cut(w.Body.String(), "<UploadId>")
		id, _, _ = strings.Cut(id, "</UploadId>")
		return "/bucket/to?partNumber=1&uploadId=" + id
	}
	h.must(admin, "PUT", "/mine/from", "x", "X-Amz-Tagging", "class=secret")
	copier := user{"AKIACOPIERCOPIERCOP1", "copier-secret-copier-secret-copier-secr1"}
	grant := func(actions string) {
		h.addUser(copier, "copier", `{"Version":"2012-10-17","Statement":[`+actions+`]}`)
	}
	write := `{"Effect":"Allow","Action":"s3:PutObject","Resource":"arn:aws:s3:::bucket/*"}`
	read := `{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::mine/*"}`
	tags := `{"Effect":"Allow","Action":["s3:GetObjectTagging","s3:PutObjectTagging"],"Resource":"*"}`
	for _, c := range []struct {
		name, actions string
		part, whole   int
	}{
		{"destination only", write, 403, 403},
		{"without the tags", write + "," + read, 200, 403},
		{"all", write + "," + read + "," + tags, 200, 200},
		{"a condition that the source meets", strings.TrimSuffix(write, "}") + `,"Condition":{"StringEquals":{"s3:x-amz-copy-source":"/mine/from"}}},` + read + "," + tags, 200, 200},
		{"the same without a slash", strings.TrimSuffix(write, "}") + `,"Condition":{"StringEquals":{"s3:x-amz-copy-source":"mine/from"}}},` + read + "," + tags, 200, 200},
		{"denied by the source", write + "," + read + "," + tags + `,{"Effect":"Deny","Action":"s3:PutObject","Resource":"*","Condition":{"StringLike":{"s3:x-amz-copy-source":"mine/f*"}}}`, 403, 403},
		{"condition on the source", strings.TrimSuffix(write, "}") + `,"Condition":{"StringEquals":{"s3:x-amz-copy-source":"/bucket/else"}}},` + read + "," + tags, 403, 403},
		{"denied by the tag", write + "," + read + "," + tags + `,{"Effect":"Deny","Action":"s3:GetObject","Resource":"*","Condition":{"StringEquals":{"s3:ExistingObjectTag/class":"secret"}}}`, 403, 403},
	} {
		grant(c.actions)
		part := upload(admin)
		if w := h.do(copier, "PUT", part, "", "X-Amz-Copy-Source", "/mine/%66rom"); w.Code != c.part {
			t.Errorf("%s: a part: %d %s", c.name, w.Code, w.Body)
		}
		if w := h.do(copier, "PUT", "/bucket/to", "", "X-Amz-Copy-Source", "/mine/from"); w.Code != c.whole {
			t.Errorf("%s: a copy: %d %s", c.name, w.Code, w.Body)
		}
	}
	grant(read)
	want(t, h.do(copier, "PUT", "/bucket/to", "", "X-Amz-Copy-Source", "/mine/from"), 403, "AccessDenied")
}

// An unsigned x-amz-copy-source, added to a signed PUT, made it a copy in the signer's name.
func TestGHSAg8w9UnsignedCopySource(t *testing.T) {
	h := newOpenBucket(t)
	r := h.request(admin, "PUT", "/bucket/to", "x")
	r.Header.Set("X-Amz-Copy-Source", "/bucket/key")
	w := h.forward(r)
	want(t, w, 403, "AccessDenied")
	r = h.request(admin, "PUT", "/bucket/to", "x")
	r.Header.Set("X-Amz-Acl", "public-read")
	want(t, h.forward(r), 403, "AccessDenied")
}

// Lists granted to those who have an account were given to those who have none.
func TestCVE20167031AuthenticatedIsNotAnonymous(t *testing.T) {
	h := newOpenBucket(t)
	h.must(admin, "PUT", "/bucket?acl", "", "X-Amz-Acl", "authenticated-read", "Content-Md5", checksumOfBody(""))
	want(t, h.do(user{}, "GET", "/bucket", ""), 403, "AccessDenied")
	want(t, h.do(otherAdmin, "GET", "/bucket", ""), 200, "")
	// The lists of bucket and object are two (P15).
	want(t, h.do(otherAdmin, "GET", "/bucket/key", ""), 403, "AccessDenied")
}

// DeleteObjects decides key by key.
func TestDeleteObjectsDecidesPerKey(t *testing.T) {
	h := newOpenBucket(t)
	h.must(admin, "PUT", "/bucket/open/a", "x")
	h.setPolicy(`{"Effect":"Allow","Principal":"*","Action":"s3:DeleteObject","Resource":"arn:aws:s3:::bucket/open/*"}`)
	body := `<Delete><Object><Key>open/a</Key></Object><Object><Key>key</Key></Object><Object><Key>open/a</Key><VersionId>null</VersionId></Object></Delete>`
	w := h.must(user{}, "POST", "/bucket?delete", body, "Content-Md5", checksumOfBody(body))
	if got := w.Body.String(); !strings.Contains(got, "<Deleted><Key>open/a</Key></Deleted>") || strings.Count(got, "<Code>AccessDenied</Code>") != 2 {
		t.Error(got)
	}
	want(t, h.do(admin, "GET", "/bucket/key", ""), 200, "")
}

// P03: a Deny on plain HTTP holds for everybody, however they sign.
func TestTLSOnlyPolicy(t *testing.T) {
	h := newOpenBucket(t)
	h.setPolicy(allowAll + "," + deny("s3:*", `,"Condition":{"Bool":{"aws:SecureTransport":"false"}}`))
	for _, u := range []user{{}, admin, root} {
		h.peer.Secure = false
		want(t, h.do(u, "GET", "/bucket/key", "", "X-Forwarded-Proto", "https"), 403, "AccessDenied")
		h.peer.Secure = true
		want(t, h.do(u, "GET", "/bucket/key", ""), 200, "")
	}
}

// P07, P08: an Allow with an address restricts nobody who has access already; a Deny does.
func TestAllowDoesNotRestrict(t *testing.T) {
	h := newOpenBucket(t)
	on := `"Principal":{"AWS":"arn:aws:iam::` + testAccount + `:user/admin"},"Action":"s3:*","Resource":["arn:aws:s3:::bucket","arn:aws:s3:::bucket/*"]`
	h.setPolicy(`{"Effect":"Allow",` + on + `,"Condition":{"IpAddress":{"aws:SourceIp":"198.51.100.7"}}}`)
	want(t, h.do(admin, "GET", "/bucket", ""), 200, "")
	h.setPolicy(`{"Effect":"Deny",` + strings.Replace(on, `"s3:*"`, `"s3:ListBucket"`, 1) + `,"Condition":{"NotIpAddress":{"aws:SourceIp":"198.51.100.7"}}}`)
	w := h.do(admin, "GET", "/bucket", "")
	if w.Code != 403 || message(w) != "User: arn:aws:iam::"+testAccount+`:user/admin is not authorized to perform: s3:ListBucket on resource: "arn:aws:s3:::bucket" with an explicit deny in a resource-based policy` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	h.peer.IP = netip.MustParseAddr("198.51.100.7")
	want(t, h.do(admin, "GET", "/bucket", ""), 200, "")
}

// A grant in a second header of the same name escaped the condition on the first.
func TestGrantConditionsSeeEveryHeader(t *testing.T) {
	h := newOpenBucket(t)
	h.setPolicy(deny("s3:PutObject", `,"Condition":{"StringLike":{"s3:x-amz-grant-read":"*AllUsers*"}}`))
	r := h.request(admin, "PUT", "/bucket/new", "x", "X-Amz-Grant-Read", "id="+canonicalID(testAccount))
	want(t, h.forward(r), 200, "")
	r = h.requestWith(admin, "PUT", "/bucket/new", http.Header{"X-Amz-Grant-Read": {"id=" + canonicalID(testAccount), "uri=" + allUsers}})
	want(t, h.forward(r), 403, "AccessDenied")
}
