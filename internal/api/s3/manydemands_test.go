package s3

import "testing"

// TestEveryDemandOfARequestIsDecided: a request may ask for so much at once that no permission may be
// forgotten among the many.
func TestEveryDemandOfARequestIsDecided(t *testing.T) {
	allowing := func(actions string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":[` + actions + `],"Resource":"*"}]}`
	}
	h := newAccessHarness(t)
	author := user{"AKIAAUTHORAUTHOR0001", "author-secret-author-secret-author-secre"}
	h.addUser(author, "author", allowing(`"s3:CreateBucket","s3:TagResource","s3:PutBucketOwnershipControls","s3:PutBucketVersioning","s3:PutBucketObjectLockConfiguration"`))
	tagged := `<CreateBucketConfiguration><Tags><Tag><Key>k</Key><Value>v</Value></Tag></Tags></CreateBucketConfiguration>`
	for name, headers := range map[string][]string{
		"tags and owner":     {"X-Amz-Acl", "public-read", "X-Amz-Object-Ownership", "ObjectWriter"},
		"tags, owner, locks": {"X-Amz-Acl", "public-read", "X-Amz-Object-Ownership", "ObjectWriter", "X-Amz-Bucket-Object-Lock-Enabled", "true"},
	} {
		if w := h.do(author, "PUT", "/bucket", tagged, headers...); w.Code != 403 {
			t.Errorf("a bucket with an ACL that its author may not set, %s: %d %s", name, w.Code, w.Body)
		}
	}
	h.must(admin, "PUT", "/locked", "", "X-Amz-Bucket-Object-Lock-Enabled", "true", "X-Amz-Object-Ownership", "ObjectWriter")
	writer := user{"AKIAWRITERWRITER0001", "writer-secret-writer-secret-writer-secre"}
	h.addUser(writer, "writer", allowing(`"s3:PutObject","s3:PutObjectAcl","s3:PutObjectTagging","s3:PutObjectLegalHold"`))
	lock := []string{
		"X-Amz-Acl", "private", "X-Amz-Tagging", "k=v", "X-Amz-Object-Lock-Legal-Hold", "ON", "X-Amz-Object-Lock-Mode", "COMPLIANCE",
		"X-Amz-Object-Lock-Retain-Until-Date", "2099-01-01T00:00:00Z", "Content-Md5", checksumOfBody("x"),
	}
	if w := h.do(writer, "PUT", "/locked/key", "x", lock...); w.Code != 403 {
		t.Errorf("a retention that its writer may not set: %d %s", w.Code, w.Body)
	}
	h.must(admin, "PUT", "/locked/key", "x", lock...)
}
