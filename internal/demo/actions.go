package demo

import (
	"fmt"
	"net/url"
	"strings"
)

// What several case studies do.

// bucket makes one, closed as all new ones are.
func (t *tour) bucket(name string) {
	t.s3(t.admin, "CreateBucket", "PUT", "/"+name, "", "--bucket "+name)
}

// put uploads an object.
func (t *tour) put(as *caller, bucket, key, content string, change ...func(*request)) *answer {
	return t.s3(as, "PutObject", "PUT", "/"+bucket+"/"+escaped(key), content, "--bucket "+bucket+" --key "+quoted(key)+" --body file", change...)
}

// get downloads an object.
func (t *tour) get(as *caller, bucket, key string, change ...func(*request)) *answer {
	return t.s3(as, "GetObject", "GET", "/"+bucket+"/"+escaped(key), "", "--bucket "+bucket+" --key "+quoted(key)+" file", append([]func(*request){showing(body)}, change...)...)
}

// list shows the keys of a bucket.
func (t *tour) list(as *caller, bucket string, change ...func(*request)) *answer {
	keys := func(a *answer) string {
		var found []string
		for _, part := range strings.Split(string(a.body), "<Key>")[1:] {
			key, _, _ := strings.Cut(part, "</Key>")
			found = append(found, key)
		}
		if len(found) == 0 {
			return "(nothing)"
		}
		return strings.Join(found, ", ")
	}
	return t.s3(as, "ListObjectsV2", "GET", "/"+bucket+"?list-type=2", "", "--bucket "+bucket, append([]func(*request){showing(keys)}, change...)...)
}

// bucketPolicy puts one.
func (t *tour) bucketPolicy(bucket, policy string, change ...func(*request)) {
	t.s3(t.admin, "PutBucketPolicy", "PUT", "/"+bucket+"?policy", policy, "--bucket "+bucket+" --policy "+quoted(policy), change...)
}

// unblock takes Block Public Access off a bucket.
func (t *tour) unblock(bucket string) {
	t.s3(t.admin, "DeletePublicAccessBlock", "DELETE", "/"+bucket+"?publicAccessBlock", "", "--bucket "+bucket)
}

// user makes one with a policy and an access key.
func (t *tour) user(name, policy string) *caller {
	t.query(t.admin, "iam", "CreateUser", map[string]string{"UserName": name})
	if policy != "" {
		t.query(t.admin, "iam", "PutUserPolicy", map[string]string{"UserName": name, "PolicyName": "does", "PolicyDocument": policy})
	}
	a := t.query(t.admin, "iam", "CreateAccessKey", map[string]string{"UserName": name}, showing(func(a *answer) string {
		return "AccessKeyId " + a.element("AccessKeyId") + ", and the secret, this once"
	}))
	return &caller{name: name, key: a.element("AccessKeyId"), secret: a.element("SecretAccessKey")}
}

// attach gives a user or role one of AWS's managed policies.
func (t *tour) attach(operation, member, name, managed string) {
	t.query(t.admin, "iam", operation, map[string]string{member: name, "PolicyArn": "arn:aws:iam::aws:policy/" + managed})
}

// role makes one that principal may take on, with a managed or an own policy.
func (t *tour) role(name string, principal object, policy string) (arn string) {
	trust := document(object{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"})
	a := t.query(t.admin, "iam", "CreateRole", map[string]string{"RoleName": name, "AssumeRolePolicyDocument": trust}, showing(func(a *answer) string { return a.element("Arn") }))
	if policy != "" {
		t.query(t.admin, "iam", "PutRolePolicy", map[string]string{"RoleName": name, "PolicyName": "does", "PolicyDocument": policy})
	}
	return a.element("Arn")
}

// assume begins a session of a role.
func (t *tour) assume(as *caller, arn, session string, change ...func(*request)) *caller {
	expires := func(a *answer) string {
		return a.element("Arn") + " until " + a.element("Expiration")
	}
	a := t.query(as, "sts", "AssumeRole", map[string]string{"RoleArn": arn, "RoleSessionName": session}, append([]func(*request){showing(expires)}, change...)...)
	return sessionOf(arn[strings.LastIndexByte(arn, '/')+1:], a)
}

func sessionOf(name string, a *answer) *caller {
	return &caller{name: name, key: a.element("AccessKeyId"), secret: a.element("SecretAccessKey"), token: a.element("SessionToken")}
}

// encrypt sets a bucket's default encryption to a KMS key.
func (t *tour) encrypt(bucket, key string) {
	rules := object{"Rules": []object{{"ApplyServerSideEncryptionByDefault": object{"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}}}}
	t.s3(t.admin, "PutBucketEncryption", "PUT", "/"+bucket+"?encryption",
		`<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>`+key+
			`</KMSMasterKeyID></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>`,
		"--bucket "+bucket+" --server-side-encryption-configuration "+quoted(text(rules)))
}

// key makes a KMS key.
func (t *tour) key(description string) (arn string) {
	return t.json(t.admin, "kms", "CreateKey", object{"Description": description}, showing(func(a *answer) string { return a.member("KeyMetadata", "Arn") })).member("KeyMetadata", "Arn")
}

func (t *tour) arnOf(kind, name string) string {
	return fmt.Sprintf("arn:aws:iam::%s:%s/%s", t.account, kind, name)
}

func escaped(key string) string {
	return strings.ReplaceAll(strings.ReplaceAll(url.QueryEscape(key), "+", "%20"), "%2F", "/")
}

// allow is a statement of an identity policy.
func allow(action, resource any) object {
	return object{"Effect": "Allow", "Action": action, "Resource": resource}
}

// readAll lets anybody read a bucket's objects.
func readAll(bucket string) string {
	return document(object{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::" + bucket + "/*"})
}
