package s3

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/kura-s3/kura/internal/api"
)

// sample is a request that an operation accepts.
type sample struct {
	query   string
	body    string
	headers []string
}

// samples holds what the generic request of an operation lacks.
var samples = map[string]sample{
	"UploadPart":              {query: "partNumber=1&uploadId=u", body: "x"},
	"UploadPartCopy":          {query: "partNumber=1&uploadId=u", headers: []string{"X-Amz-Copy-Source", "/bucket/key"}},
	"CopyObject":              {headers: []string{"X-Amz-Copy-Source", "/bucket/other"}},
	"CompleteMultipartUpload": {query: "uploadId=u", body: `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>`},
	"AbortMultipartUpload":    {query: "uploadId=u"},
	"ListParts":               {query: "uploadId=u"},
	"DeleteObjects":           {body: `<Delete><Object><Key>key</Key></Object></Delete>`},
	"PutBucketVersioning":     {body: `<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>`},
	"PutBucketTagging":        {body: `<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>`},
	"PutObjectTagging":        {body: `<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>`},
	"GetObjectAttributes":     {headers: []string{"X-Amz-Object-Attributes", "ETag"}},
	"PutObject":               {body: "hello"},
	"PutBucketEncryption":     {body: `<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>`},
	"PutBucketPolicy":         {body: `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"s3:GetObjectTorrent","Resource":"arn:aws:s3:::bucket/*"}}`},
	"PutPublicAccessBlock":    {body: `<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls></PublicAccessBlockConfiguration>`},
	"PutBucketAcl":            {headers: []string{"X-Amz-Acl", "private"}},
	"PutObjectAcl":            {headers: []string{"X-Amz-Acl", "private"}},

	"PutObjectLockConfiguration":      {body: `<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>`},
	"PutBucketLifecycleConfiguration": {body: `<LifecycleConfiguration><Rule><Filter/><Status>Enabled</Status><Expiration><Days>1</Days></Expiration></Rule></LifecycleConfiguration>`},
	"RestoreObject":                   {body: `<RestoreRequest><Days>1</Days></RestoreRequest>`},
	"PutObjectLegalHold":              {body: `<LegalHold><Status>OFF</Status></LegalHold>`},
	"PutObjectRetention":              {body: `<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>2099-01-01T00:00:00Z</RetainUntilDate></Retention>`},
	"PutBucketOwnershipControls":      {body: `<OwnershipControls><Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule></OwnershipControls>`},

	"GetBucketAnalyticsConfiguration":          {query: "id=x"},
	"GetBucketInventoryConfiguration":          {query: "id=x"},
	"GetBucketMetricsConfiguration":            {query: "id=x"},
	"GetBucketIntelligentTieringConfiguration": {query: "id=x"},

	"DeleteBucketAnalyticsConfiguration":          {query: "id=x"},
	"DeleteBucketInventoryConfiguration":          {query: "id=x"},
	"DeleteBucketMetricsConfiguration":            {query: "id=x"},
	"DeleteBucketIntelligentTieringConfiguration": {query: "id=x"},

	"PutBucketAnalyticsConfiguration": {query: "id=x", body: `<AnalyticsConfiguration><Id>x</Id><StorageClassAnalysis/></AnalyticsConfiguration>`},
	"PutBucketMetricsConfiguration":   {query: "id=x", body: `<MetricsConfiguration><Id>x</Id></MetricsConfiguration>`},
	"PutBucketInventoryConfiguration": {query: "id=x", body: inventorySample},
	"PutBucketIntelligentTieringConfiguration": {query: "id=x", body: `<IntelligentTieringConfiguration><Id>x</Id><Status>Enabled</Status>
		<Tiering><Days>90</Days><AccessTier>ARCHIVE_ACCESS</AccessTier></Tiering></IntelligentTieringConfiguration>`},

	"PutBucketAccelerateConfiguration":   {body: `<AccelerateConfiguration><Status>Enabled</Status></AccelerateConfiguration>`},
	"PutBucketRequestPayment":            {body: `<RequestPaymentConfiguration><Payer>BucketOwner</Payer></RequestPaymentConfiguration>`},
	"PutBucketCors":                      {body: corsSample},
	"PutBucketWebsite":                   {body: websiteSample},
	"PutBucketReplication":               {body: replicationSample},
	"PutBucketLogging":                   {body: `<BucketLoggingStatus/>`},
	"PutBucketNotificationConfiguration": {body: `<NotificationConfiguration><EventBridgeConfiguration/></NotificationConfiguration>`},

	"PreflightRequest": {headers: []string{"Origin", "https://app.example", "Access-Control-Request-Method", "PUT"}},
}

const (
	corsSample    = `<CORSConfiguration><CORSRule><AllowedMethod>PUT</AllowedMethod><AllowedOrigin>https://*.example</AllowedOrigin></CORSRule></CORSConfiguration>`
	websiteSample = `<WebsiteConfiguration><IndexDocument><Suffix>key</Suffix></IndexDocument></WebsiteConfiguration>`

	replicationSample = `<ReplicationConfiguration><Role>arn:aws:iam::111122223333:role/copier</Role><Rule><ID>all</ID><Priority>1</Priority>
		<Filter><Prefix></Prefix></Filter><Status>Enabled</Status><DeleteMarkerReplication><Status>Enabled</Status></DeleteMarkerReplication>
		<Destination><Bucket>arn:aws:s3:::copies</Bucket></Destination></Rule></ReplicationConfiguration>`

	inventorySample = `<InventoryConfiguration><Id>x</Id><IsEnabled>true</IsEnabled><IncludedObjectVersions>All</IncludedObjectVersions>
		<Destination><S3BucketDestination><Bucket>arn:aws:s3:::reports</Bucket><Format>CSV</Format></S3BucketDestination></Destination>
		<Schedule><Frequency>Daily</Frequency></Schedule></InventoryConfiguration>`
)

// configure gives a bucket what the operations of browsers need to be there.
func (h *harness) configure(bucket string) {
	h.t.Helper()
	h.do(admin, "PUT", "/"+bucket+"?website", websiteSample, "Content-Md5", checksumOfBody(websiteSample))
	h.do(admin, "PUT", "/"+bucket+"?cors", corsSample, "Content-Md5", checksumOfBody(corsSample))
}

// send makes a well-formed request for an operation, from its declaration.
func (h *harness) send(u user, op *api.Op) *httptest.ResponseRecorder {
	h.t.Helper()
	if op.Name() == "PostObject" {
		return h.postForm(u)
	}
	if op.Name() == "GetWebsite" {
		return h.visit(op.Wire().Method, "bucket", "/")
	}
	if op == h.service.replicas[0] || op == h.service.replicas[1] {
		return h.sendReplica(u, op)
	}
	w, s := op.Wire(), samples[op.Name()]
	uri, _, _ := strings.Cut(w.URI, "?")
	uri = strings.NewReplacer("{Bucket}", "bucket", "{Key+}", "key").Replace(uri)
	if op.Name() == "CreateBucket" {
		uri = "/bucket2"
	}
	var query []string
	for _, p := range w.Query {
		query = append(query, p.Name+"="+p.Value)
	}
	if s.query != "" {
		query = append(query, s.query)
	}
	if len(query) > 0 {
		uri += "?" + strings.Join(query, "&")
	}
	headers := s.headers
	if w.ChecksumRequired {
		headers = append(headers, "Content-Md5", checksumOfBody(s.body))
	}
	return h.do(u, w.Method, uri, s.body, headers...)
}

// TestEveryOperationIsGuarded ranges over all operations: each refuses when the caller is denied,
// and when the decision cannot be recorded, without touching storage.
func TestEveryOperationIsGuarded(t *testing.T) {
	h := newHarness(t)
	h.must(admin, "PUT", "/bucket", "")
	h.must(admin, "PUT", "/bucket/key", "content")
	h.must(admin, "PUT", "/bucket?website", websiteSample, "Content-Md5", checksumOfBody(websiteSample))
	for _, op := range h.server.Ops() {
		t.Run(op.Name(), func(t *testing.T) {
			for name, u := range map[string]user{"denied": stranger, "anonymous": {}} {
				reads, commits := h.meta.reads, h.meta.commits
				w := h.send(u, op)
				refused := w.Code == http.StatusForbidden
				if op.Each() && w.Code != http.StatusForbidden {
					refused = w.Code == http.StatusOK && strings.Contains(w.Body.String(), "<Code>AccessDenied</Code>") && !strings.Contains(w.Body.String(), "<Deleted>")
				}
				if !refused {
					t.Errorf("%s: answered %d %s", name, w.Code, w.Body)
				}
				if h.meta.reads != reads || h.meta.commits != commits {
					t.Errorf("%s: storage was touched", name)
				}
			}
			h.recorder.broken = true
			defer func() { h.recorder.broken = false }()
			reads, commits := h.meta.reads, h.meta.commits
			if w := h.send(admin, op); w.Code != http.StatusServiceUnavailable {
				t.Errorf("unrecorded: answered %d %s", w.Code, w.Body)
			}
			if h.meta.reads != reads || h.meta.commits != commits {
				t.Error("unrecorded: storage was touched")
			}
		})
	}
}

// TestSamplesReachTheirOperation holds the test above to its word: the administrator's requests are
// routed to the operation that they are meant for.
func TestSamplesReachTheirOperation(t *testing.T) {
	h := newHarness(t)
	for _, op := range h.server.Ops() {
		h.do(admin, "PUT", "/bucket", "")
		h.do(admin, "PUT", "/bucket/key", "content")
		h.configure("bucket")
		w := h.send(admin, op)
		last := h.recorder.events[len(h.recorder.events)-1]
		if last.Operation != op.Name() {
			t.Errorf("%s: taken for %s", op.Name(), last.Operation)
		}
		if w.Code >= 500 || w.Code == 403 && op.Name() != "GetWebsite" && op.Name() != "RestoreObject" || code(w) == "MalformedXML" {
			t.Errorf("%s: %d %s", op.Name(), w.Code, w.Body)
		}
	}
}

// TestUnknownSubresources: a sub-resource that the operation does not consume is never ignored.
func TestUnknownSubresources(t *testing.T) {
	h := newHarness(t)
	h.must(admin, "PUT", "/bucket", "")
	for _, sub := range []string{"torrent", "metrics", "inventory", "nonsense", "analytics", "versioning", "acl", "policyStatus"} {
		for _, method := range []string{"DELETE", "POST", "PUT"} {
			w := h.do(admin, method, "/bucket?"+sub, "")
			if w.Code == 200 || w.Code == 204 {
				t.Errorf("%s /bucket?%s: %d", method, sub, w.Code)
			}
			if h.must(admin, "HEAD", "/bucket", "").Code != 200 {
				t.Fatalf("%s /bucket?%s took the bucket away", method, sub)
			}
		}
	}
	h.answered(h.do(admin, "GET", "/bucket?session", ""), 501, "NotImplemented")
	for namespace, want := range map[string]int{"account-regional": 501, "mine": 400, "global": 200} {
		if w := h.do(admin, "PUT", "/named-"+namespace, "", "X-Amz-Bucket-Namespace", namespace); w.Code != want {
			t.Errorf("namespace %s: %d %s", namespace, w.Code, w.Body)
		}
	}
	if w := h.do(admin, "GET", "/bucket?select&select-type=2", ""); w.Code != http.StatusNotImplemented && w.Code != http.StatusOK {
		t.Errorf("select: %d", w.Code)
	}
}
