package s3

import (
	"strings"
	"testing"
)

// TestUnknownWordsAreRefused: a setting that says what there is not is not stored.
func TestUnknownWordsAreRefused(t *testing.T) {
	h := newAccessHarness(t)
	h.must(admin, "PUT", "/bucket", "", "X-Amz-Object-Ownership", "ObjectWriter")
	inventory := func(versions, frequency string) string {
		return `<InventoryConfiguration><Id>i</Id><IsEnabled>false</IsEnabled><IncludedObjectVersions>` + versions + `</IncludedObjectVersions><Schedule><Frequency>` + frequency +
			`</Frequency></Schedule><Destination><S3BucketDestination><Bucket>arn:aws:s3:::bucket</Bucket><Format>CSV</Format></S3BucketDestination></Destination></InventoryConfiguration>`
	}
	h.must(admin, "PUT", "/bucket?inventory&id=i", inventory("Current", "Weekly"))
	want(t, h.do(admin, "PUT", "/bucket?inventory&id=i", inventory("Some", "Weekly")), 400, "MalformedXML")
	want(t, h.do(admin, "PUT", "/bucket?inventory&id=i", inventory("All", "Hourly")), 400, "MalformedXML")
	logging := func(permission string, grants int) string {
		grant := `<Grant><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser"><ID>` + canonicalID(testAccount) + `</ID></Grantee><Permission>` + permission + `</Permission></Grant>`
		return `<BucketLoggingStatus><LoggingEnabled><TargetBucket>bucket</TargetBucket><TargetPrefix>p</TargetPrefix><TargetGrants>` + strings.Repeat(grant, grants) + `</TargetGrants></LoggingEnabled></BucketLoggingStatus>`
	}
	put := func(body string) int {
		w := h.do(admin, "PUT", "/bucket?logging", body, "Content-Md5", checksumOfBody(body))
		return w.Code
	}
	h.must(admin, "PUT", "/bucket?acl", "", "X-Amz-Grant-Write", "uri=http://acs.amazonaws.com/groups/s3/LogDelivery", "X-Amz-Grant-Read-Acp", "uri=http://acs.amazonaws.com/groups/s3/LogDelivery", "Content-Md5", checksumOfBody(""))
	if put(logging("READ", 1)) != 200 || put(logging("READ_ACP", 1)) != 400 || put(logging("READ", 99)) != 200 || put(logging("READ", 100)) != 400 {
		t.Error("grants on log objects")
	}
	for uri, body := range map[string]string{
		"/bucket?intelligent-tiering&id=t": `<IntelligentTieringConfiguration><Id>t</Id><Status>Perhaps</Status><Tiering><AccessTier>ARCHIVE_ACCESS</AccessTier><Days>90</Days></Tiering></IntelligentTieringConfiguration>`,
		"/bucket?requestPayment":           `<RequestPaymentConfiguration><Payer>Nobody</Payer></RequestPaymentConfiguration>`,
		"/bucket?accelerate":               `<AccelerateConfiguration><Status>Perhaps</Status></AccelerateConfiguration>`,
		"/bucket?logging":                  `<BucketLoggingStatus><LoggingEnabled><TargetBucket>bucket</TargetBucket><TargetPrefix>p</TargetPrefix><TargetObjectKeyFormat><PartitionedPrefix><PartitionDateSource>Perhaps</PartitionDateSource></PartitionedPrefix></TargetObjectKeyFormat></LoggingEnabled></BucketLoggingStatus>`,
	} {
		if w := h.do(admin, "PUT", uri, body, "Content-Md5", checksumOfBody(body)); w.Code != 400 {
			t.Errorf("%s: %d %s", uri, w.Code, w.Body)
		}
	}
}
