package demo

import (
	"net/http"
	"strings"
	"time"
)

// s2: the same writer on a bucket with SSE-S3 and on one with SSE-KMS; which managed policies are enough; what
// a public bucket gives away of each.
func s2(t *tour) {
	const plain, sealed = "bucket-sse-s3", "bucket-sse-kms"
	key := time.Now().UTC().Format("2006-01-02 15:04:05.000000") + ".txt" // blanks and colons are part of the case
	t.show("Two buckets: one encrypted by S3's keys, one by a key of KMS")
	t.bucket(plain)
	t.bucket(sealed)
	arn := t.key("two buckets")
	t.encrypt(sealed, arn)

	t.show("A writer with AmazonS3FullAccess writes into the first, and not into the second")
	role := t.role("writer", object{"AWS": "arn:aws:iam::" + t.account + ":root"}, "")
	t.attach("AttachRolePolicy", "RoleName", "writer", "AmazonS3FullAccess")
	writer := t.assume(t.admin, role, "writer")
	t.put(writer, plain, key, "now")
	t.put(writer, sealed, key, "now", refused("AccessDenied", "kms:GenerateDataKey"))
	t.list(t.admin, sealed)

	t.show("AWSKeyManagementServicePowerUser is not enough; PowerUserAccess is")
	t.attach("AttachRolePolicy", "RoleName", "writer", "AWSKeyManagementServicePowerUser")
	t.put(writer, sealed, key, "now", refused("AccessDenied", "kms:GenerateDataKey"))
	t.attach("AttachRolePolicy", "RoleName", "writer", "PowerUserAccess")
	t.put(writer, sealed, key, "now")

	t.show("A user of S3 only sees what is in the second bucket, and cannot read it")
	viewer := t.user("viewer", document(allow("s3:*", "*")))
	t.list(viewer, sealed)
	t.get(viewer, plain, key)
	t.get(viewer, sealed, key, refused("AccessDenied", "kms:Decrypt"))

	t.show("Both become public by mistake: the first is read by anybody, the second by nobody")
	for _, bucket := range []string{plain, sealed} {
		t.unblock(bucket)
		t.bucketPolicy(bucket, readAll(bucket))
	}
	t.want("what anybody reads", string(t.get(nil, plain, key).body), "now")
	a := t.get(nil, sealed, key, refused("InvalidArgument", "Signature Version 4"))
	if a.status != http.StatusBadRequest || strings.Contains(string(a.body), "now") {
		t.fail("the object under the KMS key: %d %s", a.status, a.body)
	}
	for _, bucket := range []string{plain, sealed} {
		t.s3(t.admin, "DeleteBucketPolicy", "DELETE", "/"+bucket+"?policy", "", "--bucket "+bucket)
	}
	t.get(nil, plain, key, refused("AccessDenied", ""))
}
