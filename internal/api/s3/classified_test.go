package s3

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/classification"
	"github.com/kura-s3/kura/internal/object"
	"github.com/kura-s3/kura/internal/posture"
	"github.com/kura-s3/kura/policy"
)

// tagger may tag buckets and nothing else.
var tagger = user{"AKIATAGGERTAGGERTAG1", "tagger-secret-tagger-secret-tagger-secr"}

func newClassifiedHarness(t testing.TB) *harness {
	t.Helper()
	h := newAccessHarness(t)
	h.peer.Secure = true
	h.addUser(tagger, "tagger", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["s3:PutBucketTagging","s3:GetBucketTagging"],"Resource":"*"}}`)
	h.service.config.Outsiders = func(b *object.Bucket) ([]string, error) {
		r, err := posture.BucketFrom(must(t, b))
		if err != nil {
			return nil, err
		}
		r.Bucket.Block = policy.PublicAccessBlock{}
		openings, err := posture.Openings(r, posture.Block{}, func(_, _ []string) policy.Zone {
			return policy.Zone{Accounts: []string{testAccount}, CanonicalIDs: []string{b.Owner.Canonical}}
		})
		var who []string
		for i := range openings {
			who = append(who, openings[i].Principal)
		}
		return who, err
	}
	h.must(admin, "PUT", "/bucket", "")
	return h
}

func (h *harness) tag(u user, bucket, key, value string) *httptest.ResponseRecorder {
	body := `<Tagging><TagSet><Tag><Key>` + key + `</Key><Value>` + value + `</Value></Tag></TagSet></Tagging>`
	return h.do(u, "PUT", "/"+bucket+"?tagging", body, "Content-Md5", checksumOfBody(body))
}

func (h *harness) put(u user, uri, body string) *httptest.ResponseRecorder {
	return h.do(u, "PUT", uri, body, "Content-Md5", checksumOfBody(body))
}

const noBlock = `<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls></PublicAccessBlockConfiguration>`

func sharedWith(account string) string {
	return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + account + `"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/*"}}`
}

func encryption(algorithm string) string {
	return `<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>` + algorithm +
		`</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>`
}

func ownershipOf(o string) string {
	return `<OwnershipControls><Rule><ObjectOwnership>` + o + `</ObjectOwnership></Rule></OwnershipControls>`
}

// TestAClassifiedBucketIsHeldToItsGuardrails: what contradicts is refused, in words that name the guardrail,
// to everybody; what does not goes on.
func TestAClassifiedBucketIsHeldToItsGuardrails(t *testing.T) {
	h := newClassifiedHarness(t)
	want(t, h.tag(admin, "bucket", "Classification", "Confidential"), 200, "")
	for _, c := range []struct {
		name, method, uri, body string
		guardrail, because      string
	}{
		{"BPA", "PUT", "/bucket?publicAccessBlock", noBlock, "BlockPublicAccess", "Block Public Access is not on in all four settings"},
		{"BPA deleted", "DELETE", "/bucket?publicAccessBlock", "", "BlockPublicAccess", "Block Public Access is not on"},
		{"policy", "PUT", "/bucket?policy", sharedWith(otherAccount), "NoOtherAccounts", "access is given to arn:aws:iam::" + otherAccount + ":root"},
		{"ownership", "PUT", "/bucket?ownershipControls", ownershipOf("ObjectWriter"), "NoOtherAccounts", "ACLs are on"},
		{"ownership deleted", "DELETE", "/bucket?ownershipControls", "", "NoOtherAccounts", "ACLs are on"},
		{"encryption", "PUT", "/bucket?encryption", encryption("AES256"), "EncryptWithKMS", "the default encryption is not SSE-KMS"},
	} {
		w := h.do(admin, c.method, c.uri, c.body, "Content-Md5", checksumOfBody(c.body))
		if text := w.Body.String(); w.Code != 403 || !strings.Contains(text, "with an explicit deny in a resource control policy: arn:aws:organizations::aws:policy/resource_control_policy/p-Confidential-"+c.guardrail) ||
			!strings.Contains(text, "A bucket with the classification confidential must not be so: "+c.because) {
			t.Errorf("%s: %d %s", c.name, w.Code, text)
		}
	}
	want(t, h.put(admin, "/bucket?publicAccessBlock", `<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls><IgnorePublicAcls>true</IgnorePublicAcls><BlockPublicPolicy>true</BlockPublicPolicy><RestrictPublicBuckets>true</RestrictPublicBuckets></PublicAccessBlockConfiguration>`), 200, "")
	want(t, h.put(admin, "/bucket?policy", sharedWith(testAccount)), 204, "")
	want(t, h.put(admin, "/bucket?encryption", encryption("aws:kms:dsse")), 200, "")
	want(t, h.do(admin, "DELETE", "/bucket?policy", ""), 204, "")
	want(t, h.do(admin, "DELETE", "/bucket?encryption", ""), 204, "")
	if w := h.must(admin, "GET", "/bucket?encryption", ""); !strings.Contains(w.Body.String(), "aws:kms") {
		t.Errorf("the default after it was deleted: %s", w.Body)
	}
}

func TestObjectsOfAClassifiedBucketAreUnderKMS(t *testing.T) {
	h := newClassifiedHarness(t)
	want(t, h.tag(admin, "bucket", "classification", "confidential"), 200, "")
	if w := h.put(admin, "/bucket/k", "content"); w.Code != 200 || !strings.Contains(fmt.Sprint(w.Header()), "aws:kms") {
		t.Errorf("by default: %d %v", w.Code, w.Header())
	}
	want(t, h.do(admin, "PUT", "/bucket/k", "content", "X-Amz-Server-Side-Encryption", "AES256"), 403, "AccessDenied")
	want(t, h.do(admin, "POST", "/bucket/k?uploads", "", "X-Amz-Server-Side-Encryption", "AES256"), 403, "AccessDenied")
	want(t, h.do(admin, "PUT", "/bucket/copy", "", "X-Amz-Copy-Source", "/bucket/k", "X-Amz-Server-Side-Encryption", "AES256"), 403, "AccessDenied")
	want(t, h.do(admin, "PUT", "/bucket/k", "content", "X-Amz-Server-Side-Encryption-Customer-Algorithm", "AES256",
		"X-Amz-Server-Side-Encryption-Customer-Key", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "X-Amz-Server-Side-Encryption-Customer-Key-Md5", "x"), 403, "AccessDenied")
	want(t, h.do(admin, "PUT", "/bucket/k", "content", "X-Amz-Server-Side-Encryption", "aws:kms"), 200, "")
	// A form is judged by its fields.
	fields := append([][2]string{{"key", "form"}, {"x-amz-server-side-encryption", "AES256"}},
		h.signPolicy(admin, `{"expiration":"2100-01-01T00:00:00Z","conditions":[{"bucket":"bucket"},["starts-with","$key",""],["starts-with","$x-amz-server-side-encryption",""]]}`)...)
	want(t, h.sendForm("/bucket", fields, "file.txt", "content"), 403, "AccessDenied")
}

// TestAnUploadFromBefore was begun without KMS: it does not become an object of a classified bucket.
func TestAnUploadFromBefore(t *testing.T) {
	h := newClassifiedHarness(t)
	upload := func() string {
		_, rest, _ := strings.Cut(h.must(admin, "POST", "/bucket/k?uploads", "").Body.String(), "<UploadId>")
		id, _, _ := strings.Cut(rest, "</UploadId>")
		h.must(admin, "PUT", "/bucket/k?partNumber=1&uploadId="+id, "content")
		return id
	}
	complete := func(id string) *httptest.ResponseRecorder {
		return h.do(admin, "POST", "/bucket/k?uploadId="+id, `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>9a0364b9e99bb480dd25e1f0284c8555</ETag></Part></CompleteMultipartUpload>`)
	}
	before := upload()
	want(t, h.tag(admin, "bucket", "classification", "confidential"), 200, "")
	want(t, complete(before), 403, "AccessDenied")
	_, rest, _ := strings.Cut(h.must(admin, "POST", "/bucket/k?uploads", "").Body.String(), "<UploadId>")
	after, _, _ := strings.Cut(rest, "</UploadId>")
	part := h.must(admin, "PUT", "/bucket/k?partNumber=1&uploadId="+after, "content")
	etag := ""
	for name, values := range part.Header() { // S3 spells it as no http.Header does
		if strings.EqualFold(name, "ETag") {
			etag = values[0]
		}
	}
	want(t, h.do(admin, "POST", "/bucket/k?uploadId="+after, `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>`+etag+`</ETag></Part></CompleteMultipartUpload>`), 200, "")
}

// TestOtherAccountsAreRefusedWhenTheyAsk: at every request, not only when a policy is put; a policy from
// before the guardrails does not help either.
func TestOtherAccountsAreRefusedWhenTheyAsk(t *testing.T) {
	h := newClassifiedHarness(t)
	want(t, h.put(admin, "/bucket/k", "content"), 200, "")
	want(t, h.put(admin, "/bucket?policy", sharedWith(otherAccount)), 204, "")
	want(t, h.do(otherAdmin, "GET", "/bucket/k", ""), 200, "")
	// A record that came about some other way: the guardrail does not rely on what was let in.
	grant := h.system("s3:PutBucketTagging", "arn:aws:s3:::bucket")
	if _, err := h.objects.UpdateBucket(t.Context(), grant, "s3:PutBucketTagging", "bucket", func(b *object.Bucket) error {
		b.Tags = []object.Tag{{Key: classification.Key, Value: "confidential"}}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	want(t, h.do(otherAdmin, "GET", "/bucket/k", ""), 403, "AccessDenied")
	want(t, h.do(user{}, "GET", "/bucket/k", ""), 403, "AccessDenied")
	want(t, h.do(admin, "GET", "/bucket/k", ""), 200, "")
	// What stood against it already keeps nobody from mending it.
	want(t, h.put(admin, "/bucket?encryption", encryption("aws:kms")), 200, "")
	want(t, h.do(admin, "DELETE", "/bucket?policy", ""), 204, "")
	want(t, h.put(admin, "/bucket?policy", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"logging.s3.amazonaws.com"},"Action":"s3:PutObject","Resource":"arn:aws:s3:::bucket/*"}}`), 204, "")
	for source, allowed := range map[string]bool{testAccount: true, otherAccount: false, "": false} {
		if got := h.mayDeliver("bucket", "log", source); got != allowed {
			t.Errorf("delivery for %q: %v", source, got)
		}
	}
}

// TestWhoClassifies: a bucket that contradicts a class cannot get it, whoever tags; and who takes it off
// needs the permission for that.
func TestWhoClassifies(t *testing.T) {
	h := newClassifiedHarness(t)
	want(t, h.put(admin, "/bucket?policy", sharedWith(otherAccount)), 204, "")
	want(t, h.put(admin, "/bucket?publicAccessBlock", noBlock), 200, "")
	w := h.tag(tagger, "bucket", "classification", "confidential")
	if text := w.Body.String(); w.Code != 403 || !strings.Contains(text, "Block Public Access is not on in all four settings; access is given to arn:aws:iam::"+otherAccount) {
		t.Errorf("%d %s", w.Code, text)
	}
	want(t, h.tag(tagger, "bucket", "classification", "public"), 200, "")
	want(t, h.do(admin, "DELETE", "/bucket?policy", ""), 204, "")
	want(t, h.do(admin, "DELETE", "/bucket?tagging", ""), 204, "")
	want(t, h.put(admin, "/bucket?publicAccessBlock", strings.Replace(noBlock, "</P", "<IgnorePublicAcls>true</IgnorePublicAcls><BlockPublicPolicy>true</BlockPublicPolicy><RestrictPublicBuckets>true</RestrictPublicBuckets></P", 1)), 200, "")
	want(t, h.tag(tagger, "bucket", "classification", "confidential"), 200, "")
	for name, w := range map[string]*httptest.ResponseRecorder{
		"deleted": h.do(tagger, "DELETE", "/bucket?tagging", ""), "changed": h.tag(tagger, "bucket", "classification", "public"), "replaced": h.tag(tagger, "bucket", "team", "a"),
	} {
		if text := w.Body.String(); w.Code != 403 || !strings.Contains(text, "is not authorized to perform: kura:DeclassifyBucket") {
			t.Errorf("%s: %d %s", name, w.Code, text)
		}
	}
	want(t, h.tag(tagger, "bucket", "CLASSIFICATION", "confidential"), 200, "") // the same class
	want(t, h.do(admin, "DELETE", "/bucket?tagging", ""), 204, "")
	want(t, h.do(admin, "DELETE", "/bucket?publicAccessBlock", ""), 204, "")
}

func TestABucketIsBornClassified(t *testing.T) {
	h := newClassifiedHarness(t)
	create := func(name string, headers ...string) *httptest.ResponseRecorder {
		body := `<CreateBucketConfiguration><Tags><Tag><Key>classification</Key><Value>confidential</Value></Tag></Tags></CreateBucketConfiguration>`
		return h.do(admin, "PUT", "/"+name, body, headers...)
	}
	want(t, create("born"), 200, "")
	if w := h.must(admin, "GET", "/born?encryption", ""); !strings.Contains(w.Body.String(), "aws:kms") {
		t.Errorf("%s", w.Body)
	}
	want(t, create("stillborn", "X-Amz-Object-Ownership", "ObjectWriter"), 403, "AccessDenied")
	want(t, h.do(admin, "GET", "/stillborn?tagging", ""), 404, "NoSuchBucket")
}

// TestAChangeThatRacesWithTheClassification is judged by what the bucket is when it is made.
func TestAChangeThatRacesWithTheClassification(t *testing.T) {
	h := newClassifiedHarness(t)
	before, err := h.objects.Bucket("bucket")
	if err != nil {
		t.Fatal(err)
	}
	want(t, h.tag(admin, "bucket", "classification", "confidential"), 200, "")
	now, err := h.objects.Bucket("bucket")
	if err != nil {
		t.Fatal(err)
	}
	if err := SetTags(now, nil, before); err == nil {
		t.Error("a classification went by a change that was judged without it")
	}
}

// system is a grant of one action.
func (h *harness) system(action, arn string) authz.Grant {
	h.t.Helper()
	g, err := authz.New(authz.Config{Recorder: h.recorder}).System(h.t.Context(), "test", authz.Demand{Action: action, Resource: authz.Resource{ARN: arn}})
	if err != nil {
		h.t.Fatal(err)
	}
	return g
}

// mayDeliver tells whether log delivery may put an object, for an account. (It may not use the key that AWS
// manages, as at AWS: that is another question.)
func (h *harness) mayDeliver(bucket, key, account string) bool {
	h.t.Helper()
	as := &authz.Subject{Principal: policy.Principal{Type: policy.Service, ARN: "logging.s3.amazonaws.com"}, Keys: fixedKeys{"aws:sourceaccount": account}}
	if account == "" {
		as.Keys = nil
	}
	r, err := http.NewRequestWithContext(h.t.Context(), http.MethodPut, "http://s3.local/"+bucket+"/"+key, strings.NewReader("text"))
	if err != nil {
		h.t.Fatal(err)
	}
	answer, err := h.server.OnBehalf(h.t.Context(), as, r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		h.t.Fatal(err)
	}
	h.recorder.mu.Lock()
	defer h.recorder.mu.Unlock()
	first := h.recorder.events[len(h.recorder.events)-1].Decisions[0]
	return first.Action == "s3:PutObject" && first.Allowed
}

// TestReplicationAndClassification: what is confidential is not replicated to another account, nor is
// another's taken in by its role.
func TestReplicationAndClassification(t *testing.T) {
	h := newClassifiedHarness(t)
	h.replication()
	want(t, h.tag(admin, "source", "classification", "confidential"), 200, "")
	if w := h.configureReplication(replicationSample); w.Code != 403 || !strings.Contains(w.Body.String(), "it is replicated to copies") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	want(t, h.do(admin, "DELETE", "/source?tagging", ""), 204, "")
	want(t, h.configureReplication(replicationSample), 200, "")
	if w := h.tag(admin, "source", "classification", "confidential"); w.Code != 403 || !strings.Contains(w.Body.String(), "it is replicated to copies") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	version := h.must(admin, "PUT", "/source/key", "content").Header().Get("X-Amz-Version-Id")
	h.letIn(`"s3:ReplicateObject","s3:ReplicateDelete","s3:ReplicateTags"`)
	h.must(copier, "PUT", "/copies?encryption", encryption("aws:kms"), "Content-Md5", checksumOfBody(encryption("aws:kms")))
	grant := h.system("s3:PutBucketTagging", "arn:aws:s3:::copies")
	if _, err := h.objects.UpdateBucket(t.Context(), grant, "s3:PutBucketTagging", "copies", func(b *object.Bucket) error {
		b.Tags = []object.Tag{{Key: classification.Key, Value: "confidential"}}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	refusedWith(t, h.carry("key", version, false), "AccessDenied")

	// A destination whose name became somebody else's after the rule was made gets nothing either.
	classify := func(bucket string, tags ...object.Tag) {
		grant := h.system("s3:PutBucketTagging", "arn:aws:s3:::"+bucket)
		if _, err := h.objects.UpdateBucket(t.Context(), grant, "s3:PutBucketTagging", bucket, func(b *object.Bucket) error {
			b.Tags = tags
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	classify("copies")
	version = h.must(admin, "PUT", "/source/plain", "content", "X-Amz-Server-Side-Encryption", "AES256").Header().Get("X-Amz-Version-Id")
	classify("source", object.Tag{Key: classification.Key, Value: "confidential"})
	refusedWith(t, h.carry("plain", version, false), "AccessDenied")
	classify("source")
	if err := h.carry("plain", version, false); err != nil {
		t.Error(err)
	}
}

func TestInventoryAndClassification(t *testing.T) {
	h := newClassifiedHarness(t)
	h.replication()
	inventoryTo := func(bucket string) *httptest.ResponseRecorder {
		return h.put(admin, "/bucket?inventory&id=all", `<InventoryConfiguration><Id>all</Id><IsEnabled>true</IsEnabled><IncludedObjectVersions>All</IncludedObjectVersions><Schedule><Frequency>Daily</Frequency></Schedule>`+
			`<Destination><S3BucketDestination><Bucket>arn:aws:s3:::`+bucket+`</Bucket><Format>CSV</Format></S3BucketDestination></Destination></InventoryConfiguration>`)
	}
	want(t, h.tag(admin, "bucket", "classification", "confidential"), 200, "")
	if w := inventoryTo("copies"); w.Code != 403 || !strings.Contains(w.Body.String(), "an inventory of it goes to copies") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := inventoryTo("source"); w.Code >= 300 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestNotificationsAndClassification: the names of keys do not go to another account either.
func TestNotificationsAndClassification(t *testing.T) {
	h := newClassifiedHarness(t)
	notifying := func(account string) *httptest.ResponseRecorder {
		return h.put(admin, "/bucket?notification", `<NotificationConfiguration><QueueConfiguration><Queue>arn:aws:sqs:us-east-1:`+account+`:q</Queue><Event>s3:ObjectCreated:*</Event></QueueConfiguration></NotificationConfiguration>`)
	}
	rule := object.NotificationRule{ID: "1", Kind: object.NotifyQueue, ARN: "arn:aws:sqs:us-east-1:" + otherAccount + ":q", Events: []string{"s3:ObjectCreated:*"}}
	theirs := must(t, &object.Notification{Format: object.FormatNotification, Rules: []object.NotificationRule{rule}})
	if _, err := h.objects.UpdateBucket(t.Context(), h.system("s3:PutBucketNotification", "arn:aws:s3:::bucket"), "s3:PutBucketNotification", "bucket", func(b *object.Bucket) error {
		b.Settings[object.SettingNotification] = theirs
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if w := h.tag(admin, "bucket", "classification", "confidential"); w.Code != 403 || !strings.Contains(w.Body.String(), "notifications of it go to "+rule.ARN) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	want(t, h.put(admin, "/bucket?notification", `<NotificationConfiguration/>`), 200, "")
	want(t, h.tag(admin, "bucket", "classification", "confidential"), 200, "")
	if w := notifying(otherAccount); w.Code != 403 || !strings.Contains(w.Body.String(), "notifications of it go to "+rule.ARN) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	want(t, notifying(testAccount), 400, "InvalidArgument") // there is no such queue: nothing of the class speaks against it
}
