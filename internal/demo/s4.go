package demo

// s4: a bucket that is to be reached from one address only.
func s4(t *tour) {
	const bucket, elsewhere, here = "s3-access", "203.0.113.7", "127.0.0.1"
	var arns = []string{"arn:aws:s3:::" + bucket, "arn:aws:s3:::" + bucket + "/*"}
	user := t.arnOf("user", "S3AccessTestUser")
	t.show("A user of S3, and a bucket with a file")
	t.bucket(bucket)
	tester := t.user("S3AccessTestUser", document(allow("s3:*", "*")))
	t.put(tester, bucket, "test.txt", "hello")
	t.list(tester, bucket)

	t.show("The mistake: an Allow for one address restricts nobody who may already")
	t.bucketPolicy(bucket, document(object{
		"Effect": "Allow", "Principal": object{"AWS": user}, "Action": "s3:*", "Resource": arns, "Condition": object{"IpAddress": object{"aws:SourceIp": elsewhere}},
	}))
	t.list(tester, bucket)

	t.show("The Deny for all other addresses does: from another address, and from the one that it names")
	deny := func(address string) string {
		return document(object{
			"Effect": "Deny", "Principal": object{"AWS": user}, "Action": "s3:*", "Resource": arns, "Condition": object{"NotIpAddress": object{"aws:SourceIp": address}},
		})
	}
	t.bucketPolicy(bucket, deny(elsewhere))
	t.list(tester, bucket, refused("AccessDenied", "with an explicit deny in a resource-based policy"))
	t.list(tester, bucket, refused("AccessDenied", ""), with("X-Forwarded-For", elsewhere, "X-Real-Ip", elsewhere), func(q *request) {
		q.command += "   # with X-Forwarded-For: " + elsewhere
	})
	t.bucketPolicy(bucket, deny(here))
	t.list(tester, bucket)

	t.show("Address and key: either one that is wrong is enough")
	wrong := *tester
	wrong.name, wrong.secret = "S3AccessTestUser, with a wrong secret", "wrong"+wrong.secret
	t.list(&wrong, bucket, refused("SignatureDoesNotMatch", ""))
	t.query(t.admin, "iam", "UpdateAccessKey", map[string]string{"UserName": "S3AccessTestUser", "AccessKeyId": tester.key, "Status": "Inactive"})
	t.list(tester, bucket, refused("InvalidAccessKeyId", ""))
}
