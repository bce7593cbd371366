package demo

import (
	"encoding/base64"
	"time"

	"github.com/pquerna/otp/hotp"
)

// s1: accounts, groups, roles, MFA, access for a CDN, least privilege by observation.
func s1(t *tour) {
	const bucket = "reports"
	t.show("A group may write into one path; whoever is in it can do that, and nothing else")
	t.bucket(bucket)
	t.query(t.admin, "iam", "CreateGroup", map[string]string{"GroupName": "writers"})
	t.query(t.admin, "iam", "PutGroupPolicy", map[string]string{"GroupName": "writers", "PolicyName": "path", "PolicyDocument": document(allow("s3:PutObject", "arn:aws:s3:::"+bucket+"/path/*"))})
	mika := t.user("mika", "")
	t.put(mika, bucket, "path/january.txt", "1", refused("AccessDenied", "no identity-based policy allows the s3:PutObject action"))
	t.query(t.admin, "iam", "AddUserToGroup", map[string]string{"GroupName": "writers", "UserName": "mika"})
	t.put(mika, bucket, "path/january.txt", "1")
	t.put(mika, bucket, "other/january.txt", "1", refused("AccessDenied", ""))
	t.get(mika, bucket, "path/january.txt", refused("AccessDenied", "s3:GetObject"))
	t.list(mika, bucket, refused("AccessDenied", "s3:ListBucket"))
	t.query(t.admin, "iam", "RemoveUserFromGroup", map[string]string{"GroupName": "writers", "UserName": "mika"})
	t.put(mika, bucket, "path/january.txt", "1", refused("AccessDenied", ""))

	t.show("A role: temporary credentials, for whom it trusts")
	reader := t.role("reader", object{"AWS": t.arnOf("user", "mika")}, document(allow([]string{"s3:GetObject", "s3:ListBucket"}, []string{"arn:aws:s3:::" + bucket, "arn:aws:s3:::" + bucket + "/*"})))
	other := t.user("noa", document(allow("s3:*", "*")))
	t.assume(other, reader, "noa", refused("AccessDenied", "sts:AssumeRole"))
	session := t.assume(mika, reader, "mika")
	t.want("the object", string(t.get(session, bucket, "path/january.txt").body), "1")

	t.show("Without MFA nothing, with a code everything that the policy allows")
	t.mfa(bucket)

	t.show("A CDN's service principal may read, and the bucket is still not public")
	t.bucketPolicy(bucket, document(object{
		"Sid": "AllowCloudFrontServicePrincipalReadOnly", "Effect": "Allow", "Principal": object{"Service": "cloudfront.amazonaws.com"}, "Action": "s3:GetObject",
		"Resource":  "arn:aws:s3:::" + bucket + "/*",
		"Condition": object{"StringEquals": object{"AWS:SourceArn": "arn:aws:cloudfront::" + t.account + ":distribution/E1EXAMPLE"}},
	}))
	status := t.s3(t.admin, "GetBucketPolicyStatus", "GET", "/"+bucket+"?policyStatus", "", "--bucket "+bucket, showing(func(a *answer) string { return "IsPublic " + a.element("IsPublic") }))
	t.want("IsPublic", status.element("IsPublic"), "false")
	t.get(nil, bucket, "path/january.txt", refused("AccessDenied", ""))
}

// mfa gives a user a virtual device and a policy that wants it.
func (t *tour) mfa(bucket string) {
	const step = 30
	yui := t.user("yui", document(
		allow("s3:*", []string{"arn:aws:s3:::" + bucket, "arn:aws:s3:::" + bucket + "/*"}),
		object{"Effect": "Deny", "NotAction": "sts:GetSessionToken", "Resource": "*", "Condition": object{"BoolIfExists": object{"aws:MultiFactorAuthPresent": "false"}}},
	))
	device := t.query(t.admin, "iam", "CreateVirtualMFADevice", map[string]string{"VirtualMFADeviceName": "yui"}, showing(func(a *answer) string { return a.element("SerialNumber") }))
	serial := device.element("SerialNumber")
	seed, err := base64.StdEncoding.DecodeString(device.element("Base32StringSeed"))
	if err != nil {
		t.fail("the device's seed: %w", err)
	}
	now := time.Now().Unix() / step
	code := func(at int64) string {
		text, err := hotp.GenerateCode(string(seed), uint64(at))
		if err != nil {
			t.fail("a code: %w", err)
		}
		return text
	}
	if t.err != nil {
		return
	}
	t.query(t.admin, "iam", "EnableMFADevice", map[string]string{"UserName": "yui", "SerialNumber": serial, "AuthenticationCode1": code(now - 1), "AuthenticationCode2": code(now)})
	t.list(yui, bucket, refused("AccessDenied", "explicit deny"))
	expires := showing(func(a *answer) string { return "a session until " + a.element("Expiration") })
	in := map[string]string{"SerialNumber": serial, "TokenCode": code(now + 1)}
	a := t.query(yui, "sts", "GetSessionToken", in, expires)
	t.list(sessionOf("yui, with MFA", a), bucket)
	t.query(yui, "sts", "GetSessionToken", in, refused("AccessDenied", ""))
}
