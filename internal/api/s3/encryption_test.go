package s3

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/kura-s3/kura/internal/api/s3/sse"
	"github.com/kura-s3/kura/internal/authz/authztest"
	"github.com/kura-s3/kura/internal/kms"
)

const accountKeyPolicy = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + testAccount + `:root"},"Action":"kms:*","Resource":"*"}}`

// kmsKey makes a key that the account's identity policies decide about.
func (h *harness) kmsKey() *kms.Key {
	h.t.Helper()
	k, err := h.kms.Create(h.t.Context(), authztest.Grant(h.t, "kms:*", "*"), kms.NewKey{Account: testAccount, Policy: accountKeyPolicy, Bypass: true})
	if err != nil {
		h.t.Fatal(err)
	}
	return k
}

func (h *harness) encryptBucket(bucket, algorithm, key string, bucketKey bool) {
	h.t.Helper()
	id := ""
	if key != "" {
		id = "<KMSMasterKeyID>" + key + "</KMSMasterKeyID>"
	}
	body := fmt.Sprintf(`<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>%s</SSEAlgorithm>%s</ApplyServerSideEncryptionByDefault><BucketKeyEnabled>%v</BucketKeyEnabled></Rule></ServerSideEncryptionConfiguration>`, algorithm, id, bucketKey)
	h.must(admin, "PUT", "/"+bucket+"?encryption", body, "Content-Md5", checksumOfBody(body))
}

// customerHeaders are those of an SSE-C key.
func customerHeaders(key string) []string {
	sum := md5.Sum([]byte(key))
	return []string{
		"X-Amz-Server-Side-Encryption-Customer-Algorithm", "AES256",
		"X-Amz-Server-Side-Encryption-Customer-Key", base64.StdEncoding.EncodeToString([]byte(key)),
		"X-Amz-Server-Side-Encryption-Customer-Key-Md5", base64.StdEncoding.EncodeToString(sum[:]),
	}
}

var canaryKey = strings.Repeat("canary-K", 4)

func (h *harness) fails(w *httptest.ResponseRecorder, status int, wantCode, message string) {
	h.t.Helper()
	if w.Code != status || w.Body.Len() > 0 && (code(w) != wantCode || !strings.Contains(w.Body.String(), message)) {
		h.t.Errorf("%d %s, want %d %s %q", w.Code, w.Body, status, wantCode, message)
	}
}

var (
	// reader may do everything with objects and nothing with keys; user may use keys, too.
	reader  = user{"AKIAREADERREADERREAD", "reader-secret-reader-secret-reader-secre"}
	keyUser = user{"AKIAKEYUSERKEYUSERKE", "keyuser-secret-keyuser-secret-keyuser-se"}
)

func encryptedHarness(t *testing.T) (*harness, *kms.Key) {
	h := newHarness(t)
	h.peer.Secure = true
	h.addUser(reader, "reader", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}`)
	h.addUser(keyUser, "keyuser", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["s3:*","kms:GenerateDataKey","kms:Decrypt"],"Resource":"*"}}`)
	h.must(admin, "PUT", "/bucket", "")
	return h, h.kmsKey()
}

// TestCallersNeedTheKey: the bucket's permission and the key's are two (K04, K06).
func TestCallersNeedTheKey(t *testing.T) {
	h, k := encryptedHarness(t)
	for _, mode := range []struct {
		algorithm string
		bucketKey bool
	}{{"aws:kms", false}, {"aws:kms", true}, {"aws:kms:dsse", false}} {
		h.encryptBucket("bucket", mode.algorithm, k.ARN, mode.bucketKey)
		w := h.must(keyUser, "PUT", "/bucket/a%20b:c", "content")
		if w.Header().Get(sse.HeaderAlgorithm) != mode.algorithm || w.Header().Get(sse.HeaderKeyID) != k.ARN || (w.Header().Get(sse.HeaderBucketKey) == "true") != mode.bucketKey {
			t.Errorf("%v answers %v", mode, w.Header())
		}
		if w := h.must(keyUser, "GET", "/bucket/a%20b:c", ""); w.Body.String() != "content" || w.Header().Get(sse.HeaderKeyID) != k.ARN {
			t.Errorf("%v reads as %q, %v", mode, w.Body, w.Header())
		}
		h.fails(h.do(reader, "PUT", "/bucket/other", "content"), 403, "AccessDenied", "not authorized to perform: kms:GenerateDataKey on resource: "+k.ARN)
		h.fails(h.do(reader, "GET", "/bucket/a%20b:c", ""), 403, "AccessDenied", "not authorized to perform: kms:Decrypt on resource: "+k.ARN)
		h.fails(h.do(admin, "GET", "/bucket/other", ""), 404, "NoSuchKey", "")
		h.must(reader, "GET", "/bucket?list-type=2", "")
		h.must(reader, "HEAD", "/bucket/a%20b:c", "")
		h.fails(h.do(reader, "HEAD", "/bucket/a%20b:c", "", "X-Amz-Checksum-Mode", "ENABLED"), 403, "", "")
		h.fails(h.do(reader, "GET", "/bucket/a%20b:c?attributes", "", "X-Amz-Object-Attributes", "Checksum"), 403, "AccessDenied", "kms:Decrypt")
		h.must(reader, "GET", "/bucket/a%20b:c?attributes", "", "X-Amz-Object-Attributes", "ObjectSize")
		// A copy needs both.
		h.fails(h.do(reader, "PUT", "/bucket/copy", "", "X-Amz-Copy-Source", "/bucket/a%20b:c", sse.HeaderAlgorithm, "AES256"), 403, "AccessDenied", "kms:Decrypt")
		h.must(keyUser, "PUT", "/bucket/copy", "", "X-Amz-Copy-Source", "/bucket/a%20b:c", sse.HeaderAlgorithm, "AES256")
		h.fails(h.do(reader, "PUT", "/bucket/copy2", "", "X-Amz-Copy-Source", "/bucket/copy"), 403, "AccessDenied", "kms:GenerateDataKey")
		if w := h.must(reader, "GET", "/bucket/copy", ""); w.Body.String() != "content" || w.Header().Get(sse.HeaderAlgorithm) != "AES256" {
			t.Errorf("the copy reads as %q, %v", w.Body, w.Header())
		}
	}
}

// TestNobodyUnsignedUsesAKey: a public bucket gives out no bytes under a KMS key (K07), and none go over
// a line that others read (K12).
func TestNobodyUnsignedUsesAKey(t *testing.T) {
	h, k := encryptedHarness(t)
	h.encryptBucket("bucket", "aws:kms", k.ARN, false)
	h.must(admin, "PUT", "/bucket/key", "content")
	h.must(admin, "PUT", "/bucket/plain", "content", sse.HeaderAlgorithm, "AES256")
	block := `<PublicAccessBlockConfiguration></PublicAccessBlockConfiguration>`
	h.must(admin, "PUT", "/bucket?publicAccessBlock", block, "Content-Md5", checksumOfBody(block))
	h.putPolicy(admin, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::bucket","arn:aws:s3:::bucket/*"]}}`)
	nobody := user{}
	if w := h.must(nobody, "GET", "/bucket/plain", ""); w.Body.String() != "content" {
		t.Errorf("SSE-S3 reads as %q", w.Body)
	}
	h.must(nobody, "GET", "/bucket?list-type=2", "")
	const signed = "Requests specifying Server Side Encryption with AWS KMS managed keys require AWS Signature Version 4."
	h.fails(h.do(nobody, "GET", "/bucket/key", ""), 400, "InvalidArgument", signed)
	h.fails(h.do(nobody, "PUT", "/bucket/new", "x"), 400, "InvalidArgument", signed)
	h.fails(h.do(nobody, "PUT", "/bucket/plain", "", "X-Amz-Copy-Source", "/bucket/key", sse.HeaderAlgorithm, "AES256"), 400, "InvalidArgument", signed)
	h.peer.Secure = false
	const secure = "must be made over a secure connection."
	for _, w := range []*httptest.ResponseRecorder{
		h.do(admin, "GET", "/bucket/key", ""), h.do(admin, "PUT", "/bucket/key", "x"), h.do(admin, "HEAD", "/bucket/key", ""),
		h.do(admin, "POST", "/bucket/key?uploads", ""),
	} {
		h.fails(w, 400, "InvalidArgument", secure)
	}
	h.must(admin, "GET", "/bucket/plain", "")
	h.fails(h.do(admin, "PUT", "/bucket/c", "x", customerHeaders(canaryKey)...), 400, "InvalidRequest", secure)
}

// uses counts what KMS was asked for since the last time.
func (h *harness) uses() int {
	n := 0
	for i := range h.recorder.events {
		n += len(h.recorder.events[i].KMS)
	}
	h.recorder.events = nil
	return n
}

// TestBucketKeys: KMS is asked once for many objects, the Guard for each of them, and what is revoked is
// refused at once.
func TestBucketKeys(t *testing.T) {
	h, k := encryptedHarness(t)
	all := authztest.Grant(t, "kms:*", "*")
	round := func() {
		t.Helper()
		for i := range 10 {
			h.must(keyUser, "PUT", fmt.Sprintf("/bucket/%d", i), "content")
			h.must(keyUser, "GET", fmt.Sprintf("/bucket/%d", i), "")
		}
	}
	h.encryptBucket("bucket", "aws:kms", k.ARN, false)
	h.uses()
	if round(); h.uses() != 20 {
		t.Error("without a bucket key every object asks KMS")
	}
	h.encryptBucket("bucket", "aws:kms", k.ARN, true)
	h.uses()
	round()
	for _, ev := range h.recorder.events {
		if n := len(ev.Decisions); n != 2 || !strings.HasPrefix(ev.Decisions[1].Action, "kms:") {
			t.Errorf("%s was decided by %+v", ev.Operation, ev.Decisions)
		}
		for _, use := range ev.KMS {
			if use.Context[sse.ContextName] != "arn:aws:s3:::bucket" || use.ViaService != "s3.us-east-1.amazonaws.com" {
				t.Errorf("used %+v", use)
			}
		}
	}
	if n := h.uses(); n != 2 {
		t.Errorf("with a bucket key KMS was asked %d times", n)
	}
	h.must(admin, "PUT", "/bucket/1", "content")
	if n := h.uses(); n != 1 {
		t.Errorf("another caller's use is on record %d times", n)
	}
	// Revoked: by the identity policy, by the key policy, by the key's state.
	h.addUser(keyUser, "keyuser", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}`)
	h.fails(h.do(keyUser, "GET", "/bucket/2", ""), 403, "AccessDenied", "kms:Decrypt")
	h.fails(h.do(keyUser, "PUT", "/bucket/2", "x"), 403, "AccessDenied", "kms:GenerateDataKey")
	if err := h.kms.Disable(t.Context(), all, k.ID); err != nil {
		t.Fatal(err)
	}
	h.fails(h.do(admin, "GET", "/bucket/2", ""), 400, "KMS.DisabledException", k.ARN+" is disabled.")
	h.fails(h.do(admin, "PUT", "/bucket/2", "x"), 400, "KMS.DisabledException", k.ARN+" is disabled.")
}

func TestEncryptionContext(t *testing.T) {
	h, k := encryptedHarness(t)
	pairs := func(text string) []string {
		return []string{sse.HeaderAlgorithm, "aws:kms", sse.HeaderKeyID, k.ARN, sse.HeaderContext, base64.StdEncoding.EncodeToString([]byte(text))}
	}
	h.uses()
	h.must(keyUser, "PUT", "/bucket/key", "content", pairs(`{"team":"red","aws:s3:arn":"arn:aws:s3:::bucket/key"}`)...)
	if use := h.recorder.events[0].KMS[0]; use.Context["team"] != "red" || use.Context[sse.ContextName] != "arn:aws:s3:::bucket/key" || len(use.Context) != 2 {
		t.Errorf("used %+v", use)
	}
	h.must(keyUser, "GET", "/bucket/key", "")
	if use := h.recorder.events[1].KMS[0]; use.Context["team"] != "red" || use.Action != "kms:Decrypt" {
		t.Errorf("used %+v", use)
	}
	h.fails(h.do(keyUser, "PUT", "/bucket/key", "x", pairs(`{"aws:s3:arn":"arn:aws:s3:::bucket/other"}`)...), 400, "InvalidArgument", "aws:s3:arn")
	for _, bad := range []string{``, `[]`, `null`, `{"a":1}`, `{"a":null}`, "\xff"} {
		h.fails(h.do(keyUser, "PUT", "/bucket/key", "x", append(pairs("x")[:4], sse.HeaderContext, base64.StdEncoding.EncodeToString([]byte(bad))+"=")...), 400, "InvalidArgument", "Base64-encoded UTF-8 string")
	}
	// A condition on the context in the caller's policy holds through S3.
	h.addUser(keyUser, "keyuser", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"},{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{"StringEquals":{"kms:EncryptionContext:team":"red","kms:ViaService":"s3.us-east-1.amazonaws.com"}}}]}`)
	h.must(keyUser, "PUT", "/bucket/red", "x", pairs(`{"team":"red"}`)...)
	h.fails(h.do(keyUser, "PUT", "/bucket/blue", "x", pairs(`{"team":"blue"}`)...), 403, "AccessDenied", "kms:GenerateDataKey")
	h.must(keyUser, "GET", "/bucket/red", "")
}

func TestBadCombinations(t *testing.T) {
	h, _ := encryptedHarness(t)
	customer := customerHeaders(canaryKey)
	for _, c := range []struct {
		headers []string
		code    string
		message string
	}{
		{[]string{sse.HeaderAlgorithm, "aws:foo"}, "InvalidEncryptionAlgorithmError", "Supported value: AES256."},
		{[]string{sse.HeaderKeyID, "x"}, "InvalidArgument", "requires HTTP header x-amz-server-side-encryption : aws:kms"},
		{[]string{sse.HeaderAlgorithm, "AES256", sse.HeaderKeyID, "x"}, "InvalidArgument", "requires HTTP header"},
		{append([]string{sse.HeaderAlgorithm, "AES256"}, customer...), "InvalidArgument", "incompatible with the encryption method"},
		{append([]string{sse.HeaderAlgorithm, "aws:kms"}, customer...), "InvalidArgument", "incompatible with the encryption method"},
		{customer[2:], "InvalidArgument", "must provide a valid encryption algorithm."},
		{append([]string{customer[0], "aws:kms"}, customer[2:]...), "InvalidEncryptionAlgorithmError", ""},
		{customer[:2], "InvalidArgument", "must provide an appropriate secret key."},
		{customer[:4], "InvalidArgument", "client calculated MD5"},
		{append(customer[:4:4], customer[4], "AAAAAAAAAAAAAAAAAAAAAA=="), "InvalidArgument", "The calculated MD5 hash of the key did not match"},
		{customerHeaders("short"), "InvalidArgument", "The secret key was invalid for the specified algorithm."},
		{[]string{sse.HeaderAlgorithm, "aws:kms", sse.HeaderBucketKey, "maybe"}, "InvalidArgument", "bucket-key-enabled"},
		{[]string{sse.HeaderAlgorithm, "aws:kms", sse.HeaderKeyID, "nokey"}, "KMS.NotFoundException", "Invalid keyId 'nokey'"},
		{[]string{sse.HeaderAlgorithm, "aws:kms", sse.HeaderKeyID, "alias/none"}, "KMS.NotFoundException", "is not found."},
	} {
		h.fails(h.do(admin, "PUT", "/bucket/key", "x", c.headers...), 400, c.code, c.message)
		h.fails(h.do(admin, "POST", "/bucket/key?uploads", "", c.headers...), 400, c.code, c.message)
	}
	h.must(admin, "PUT", "/bucket/key", "x")
	for _, name := range []string{sse.HeaderAlgorithm, sse.HeaderKeyID, sse.HeaderContext, sse.HeaderBucketKey} {
		h.fails(h.do(admin, "GET", "/bucket/key", "", name, "AES256"), 400, "InvalidArgument", "not supported for this operation")
	}
	for _, body := range []string{
		`<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm><KMSMasterKeyID>k</KMSMasterKeyID></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>`,
		`<ServerSideEncryptionConfiguration><Rule><BlockedEncryptionTypes><EncryptionType>NONE</EncryptionType><EncryptionType>SSE-C</EncryptionType></BlockedEncryptionTypes></Rule></ServerSideEncryptionConfiguration>`,
	} {
		h.fails(h.do(admin, "PUT", "/bucket?encryption", body, "Content-Md5", checksumOfBody(body)), 400, "InvalidArgument", "")
	}
	for _, body := range []string{`<ServerSideEncryptionConfiguration></ServerSideEncryptionConfiguration>`, `<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>foo</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>`} {
		h.fails(h.do(admin, "PUT", "/bucket?encryption", body, "Content-Md5", checksumOfBody(body)), 400, "MalformedXML", "")
	}
}

// TestCustomerKeys walks SSE-C (K13), and looks for the key in everything that is kept or said.
func TestCustomerKeys(t *testing.T) {
	h, _ := encryptedHarness(t)
	mine, other := customerHeaders(canaryKey), customerHeaders(strings.Repeat("other-K!", 4))
	w := h.must(admin, "PUT", "/bucket/key", "content", mine...)
	if w.Header().Get(sse.HeaderCustomerAlgorithm) != "AES256" || w.Header().Get(sse.HeaderCustomerKeyMD5) != mine[5] || w.Header().Get(sse.HeaderAlgorithm) != "" {
		t.Errorf("PUT answers %v", w.Header())
	}
	if w = h.must(admin, "GET", "/bucket/key", "", mine...); w.Body.String() != "content" || w.Header().Get(sse.HeaderCustomerKeyMD5) != mine[5] {
		t.Errorf("GET answers %q, %v", w.Body, w.Header())
	}
	h.fails(h.do(admin, "GET", "/bucket/key", ""), 400, "InvalidRequest", "The object was stored using a form of Server Side Encryption.")
	h.fails(h.do(admin, "GET", "/bucket/key", "", other...), 403, "AccessDenied", "must provide the correct secret key.")
	h.fails(h.do(admin, "HEAD", "/bucket/key", ""), 400, "", "")
	h.fails(h.do(admin, "HEAD", "/bucket/key", "", other...), 403, "", "")
	h.must(admin, "HEAD", "/bucket/key", "", mine...)
	h.fails(h.do(admin, "GET", "/bucket/key?attributes", "", "X-Amz-Object-Attributes", "ETag"), 400, "InvalidRequest", "")
	h.fails(h.do(admin, "PUT", "/bucket/copy", "", "X-Amz-Copy-Source", "/bucket/key"), 400, "InvalidRequest", "")
	source := []string{"X-Amz-Copy-Source", "/bucket/key"}
	for i := 0; i < len(mine); i += 2 {
		source = append(source, "X-Amz-Copy-Source-"+strings.TrimPrefix(mine[i], "X-Amz-"), mine[i+1])
	}
	h.must(admin, "PUT", "/bucket/copy", "", source...)
	h.fails(h.do(admin, "GET", "/bucket/copy", "", mine...), 400, "InvalidRequest", "The encryption parameters are not applicable to this object.")
	h.fails(h.do(admin, "GET", "/bucket/key", "", append(mine, "If-None-Match", "*")...), 304, "", "")
	h.fails(h.do(admin, "GET", "/bucket/key?x-amz-server-side-encryption-customer-key="+mine[3], ""), 400, "InvalidRequest", "")

	// An upload keeps to the key that it began with.
	w = h.must(admin, "POST", "/bucket/parts?uploads", "", mine...)
	_, rest, _ := strings.Cut(w.Body.String(), "<UploadId>")
	id, _, _ := strings.Cut(rest, "</UploadId>")
	part := "/bucket/parts?partNumber=1&uploadId=" + id
	h.fails(h.do(admin, "PUT", part, "part"), 400, "InvalidRequest", "The multipart upload initiate requested encryption.")
	h.fails(h.do(admin, "PUT", part, "part", other...), 400, "InvalidRequest", "The provided encryption parameters did not match the ones used originally.")
	w = h.must(admin, "PUT", part, "part", mine...)
	body := `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>` + etagOfAnswer(w) + `</ETag></Part></CompleteMultipartUpload>`
	h.must(admin, "POST", "/bucket/parts?uploadId="+id, body)
	if w = h.must(admin, "GET", "/bucket/parts", "", mine...); w.Body.String() != "part" {
		t.Errorf("the upload reads as %q", w.Body)
	}

	events, err := json.Marshal(h.recorder.events)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{canaryKey, mine[3], strings.ReplaceAll(mine[3], "/", "%2F")} {
		if bytes.Contains(events, []byte(secret)) {
			t.Errorf("%q is on record", secret)
		}
		it, err := h.meta.Meta.Scan(t.Context(), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		for it.Next() {
			if bytes.Contains(it.Value(), []byte(secret)) {
				t.Errorf("%q is stored under %q", secret, it.Key())
			}
		}
		it.Close()
	}
	if text := fmt.Sprintf("%v %+v %#v %s", &sse.Customer{}, &sse.Customer{}, &sse.Customer{}, &sse.Customer{}); strings.Contains(text, "[0 0") {
		t.Errorf("a key shows itself: %s", text)
	}
}

// TestBlockedCustomerKeys: new buckets do not take SSE-C unless they are told to, and clients that know
// nothing of the setting do not lift it.
func TestBlockedCustomerKeys(t *testing.T) {
	h, _ := encryptedHarness(t)
	h.service.config.AllowSSEC = false
	h.must(admin, "PUT", "/fresh", "")
	customer := customerHeaders(canaryKey)
	h.fails(h.do(admin, "PUT", "/fresh/key", "x", customer...), 403, "AccessDenied", "BlockedEncryptionTypes")
	h.encryptBucket("fresh", "aws:kms", "", false)
	h.fails(h.do(admin, "POST", "/fresh/key?uploads", "", customer...), 403, "AccessDenied", "BlockedEncryptionTypes")
	if w := h.must(admin, "GET", "/fresh?encryption", ""); !strings.Contains(w.Body.String(), "<EncryptionType>SSE-C</EncryptionType>") {
		t.Errorf("%s", w.Body)
	}
	allow := `<ServerSideEncryptionConfiguration><Rule><BlockedEncryptionTypes><EncryptionType>NONE</EncryptionType></BlockedEncryptionTypes></Rule></ServerSideEncryptionConfiguration>`
	h.must(admin, "PUT", "/fresh?encryption", allow, "Content-Md5", checksumOfBody(allow))
	h.must(admin, "PUT", "/fresh/key", "x", customer...)
	h.must(admin, "DELETE", "/fresh?encryption", "")
	h.fails(h.do(admin, "PUT", "/fresh/key", "x", customer...), 403, "AccessDenied", "BlockedEncryptionTypes")
	h.must(admin, "GET", "/fresh/key", "", customer...)
	// A setting that does not decode closes the bucket.
	if _, err := sse.Decode([]byte(`{"SSEAlgorithm":"AES256","More":1}`)); err == nil {
		t.Error("an unknown member decodes")
	}
}

// TestPoliciesOnEncryption: uploads that are not encrypted as the policy wants are denied, however they
// name the key.
func TestPoliciesOnEncryption(t *testing.T) {
	h, k := encryptedHarness(t)
	other := h.kmsKey()
	h.putPolicy(admin, `{"Version":"2012-10-17","Statement":[
		{"Effect":"Deny","Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::bucket/kms/*","Condition":{"StringNotEquals":{"s3:x-amz-server-side-encryption":"aws:kms"}}},
		{"Effect":"Deny","Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::bucket/key/*","Condition":{"StringNotEqualsIfExists":{"s3:x-amz-server-side-encryption-aws-kms-key-id":"`+k.ARN+`"}}},
		{"Effect":"Deny","Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::bucket/noc/*","Condition":{"Null":{"s3:x-amz-server-side-encryption-customer-algorithm":"false"}}}]}`)
	h.fails(h.do(admin, "PUT", "/bucket/kms/a", "x"), 403, "AccessDenied", "")
	h.fails(h.do(admin, "PUT", "/bucket/kms/a", "x", sse.HeaderAlgorithm, "AES256"), 403, "AccessDenied", "")
	h.must(admin, "PUT", "/bucket/kms/a", "x", sse.HeaderAlgorithm, "aws:kms")
	for _, name := range []string{k.ARN, k.ID} {
		h.must(admin, "PUT", "/bucket/key/a", "x", sse.HeaderAlgorithm, "aws:kms", sse.HeaderKeyID, name)
	}
	for _, name := range []string{other.ARN, other.ID} {
		h.fails(h.do(admin, "PUT", "/bucket/key/a", "x", sse.HeaderAlgorithm, "aws:kms", sse.HeaderKeyID, name), 403, "AccessDenied", "")
	}
	h.must(admin, "PUT", "/bucket/noc/a", "x")
	h.fails(h.do(admin, "PUT", "/bucket/noc/a", "x", customerHeaders(canaryKey)...), 403, "AccessDenied", "")
}

// TestFormsAreEncrypted: the fields of a form stand for the headers.
func TestFormsAreEncrypted(t *testing.T) {
	h, k := encryptedHarness(t)
	fields := [][2]string{{"key", "form"}, {"x-amz-server-side-encryption", "aws:kms"}, {"x-amz-server-side-encryption-aws-kms-key-id", k.ARN}}
	fields = append(fields, h.signPolicy(keyUser, `{"expiration":"2100-01-01T00:00:00Z","conditions":[{"bucket":"bucket"},["starts-with","$key",""],["starts-with","$x-amz-server-side-encryption",""],["starts-with","$x-amz-server-side-encryption-aws-kms-key-id",""]]}`)...)
	w := h.sendForm("/bucket", fields, "file.txt", "content")
	if w.Code != 204 || w.Header().Get(sse.HeaderKeyID) != k.ARN {
		t.Errorf("%d %s %v", w.Code, w.Body, w.Header())
	}
	h.fails(h.do(reader, "GET", "/bucket/form", ""), 403, "AccessDenied", "kms:Decrypt")
	if w := h.must(keyUser, "GET", "/bucket/form", ""); w.Body.String() != "content" {
		t.Errorf("reads as %q", w.Body)
	}
}

// etagOfAnswer is the ETag, which S3 spells so and not as net/http does.
func etagOfAnswer(w *httptest.ResponseRecorder) string {
	for name, values := range w.Header() {
		if strings.EqualFold(name, "etag") {
			return values[0]
		}
	}
	return ""
}
