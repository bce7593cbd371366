package demo

import (
	"net/http"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/authn"
)

// s0: users upload, administrators read; encrypted by a key of one's own, over TLS only, with versions and a
// record.
func s0(t *tour) {
	const bucket = "sample"
	t.show("A new bucket is closed: Block Public Access is on, and everything is encrypted")
	t.bucket(bucket)
	block := t.s3(t.admin, "GetPublicAccessBlock", "GET", "/"+bucket+"?publicAccessBlock", "", "--bucket "+bucket, showing(func(a *answer) string {
		return "BlockPublicAcls " + a.element("BlockPublicAcls") + ", IgnorePublicAcls " + a.element("IgnorePublicAcls") +
			", BlockPublicPolicy " + a.element("BlockPublicPolicy") + ", RestrictPublicBuckets " + a.element("RestrictPublicBuckets")
	}))
	t.want("RestrictPublicBuckets", block.element("RestrictPublicBuckets"), "true")
	t.bucketPolicy(bucket, readAll(bucket), refused("AccessDenied", "BlockPublicPolicy"))

	t.show("Encryption by a key of one's own, versions, and a policy that refuses what comes without TLS")
	key := t.key("sample")
	t.encrypt(bucket, key)
	t.s3(t.admin, "PutBucketVersioning", "PUT", "/"+bucket+"?versioning", "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>",
		"--bucket "+bucket+" --versioning-configuration Status=Enabled")
	t.bucketPolicy(bucket, document(object{
		"Sid": "EncryptionInTransit", "Effect": "Deny", "Principal": object{"AWS": "*"}, "Action": "s3:*",
		"Resource": []string{"arn:aws:s3:::" + bucket + "/*", "arn:aws:s3:::" + bucket}, "Condition": object{"Bool": object{"aws:SecureTransport": "false"}},
	}))

	t.show("The application may use the bucket, and the key through S3 only")
	app := t.user("app", document(
		allow([]string{"s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:ListBucket", "s3:GetBucketLocation"}, []string{"arn:aws:s3:::" + bucket, "arn:aws:s3:::" + bucket + "/*"}),
		object{"Effect": "Allow", "Action": []string{"kms:GenerateDataKey", "kms:Decrypt"}, "Resource": key, "Condition": object{"StringLike": object{"kms:ViaService": "s3.*.amazonaws.com"}}},
	))
	put := t.put(app, bucket, "contract.txt", "signed by both", showing(func(a *answer) string {
		return "ServerSideEncryption " + a.header.Get("X-Amz-Server-Side-Encryption") + ", VersionId " + a.header.Get("X-Amz-Version-Id")
	}))
	t.want("the encryption", put.header.Get("X-Amz-Server-Side-Encryption"), "aws:kms")
	t.want("the object", string(t.get(app, bucket, "contract.txt").body), "signed by both")
	t.get(app, bucket, "contract.txt", plainly, refused("AccessDenied", "explicit deny in a resource-based policy"))
	sealed := t.json(t.admin, "kms", "Encrypt", object{"KeyId": key, "Plaintext": "c2VjcmV0"}, showing(func(a *answer) string { return a.member("CiphertextBlob")[:24] + "…" }))
	t.json(app, "kms", "Decrypt", object{"CiphertextBlob": sealed.member("CiphertextBlob")}, refused("AccessDeniedException", "kms:Decrypt"))

	t.show("A presigned URL opens one object for a minute, and nothing else")
	t.presigned(app, bucket)

	t.show("An overwritten object comes back")
	t.put(app, bucket, "contract.txt", "signed by nobody")
	old := put.header.Get("X-Amz-Version-Id")
	t.want("the older version", string(t.s3(app, "GetObject", "GET", "/"+bucket+"/contract.txt?versionId="+old, "", "--bucket "+bucket+" --key contract.txt --version-id "+old+" file", showing(body)).body), "signed by both")

	t.show("Every use of the key is on record, with who made it and for which object")
	var event string
	t.until("the use of the key is on record", func() bool {
		a := t.json(t.admin, "cloudtrail", "LookupEvents", object{"LookupAttributes": []object{{"AttributeKey": "EventName", "AttributeValue": "Decrypt"}}}, quietly)
		event = a.member("Events", "", "CloudTrailEvent")
		return strings.Contains(event, `"invokedBy":"s3.amazonaws.com"`)
	})
	t.json(t.admin, "cloudtrail", "LookupEvents", object{"LookupAttributes": []object{{"AttributeKey": "EventName", "AttributeValue": "Decrypt"}}}, showing(func(a *answer) string {
		return "Decrypt by " + a.member("Events", "", "Username") + ", invoked by s3.amazonaws.com, encryption context aws:s3:arn"
	}))
	if !strings.Contains(event, "arn:aws:s3:::"+bucket) || !strings.Contains(event, `"userName":"app"`) {
		t.fail("the record of the key's use does not name the user and the bucket: %s", event)
	}
}

// presigned shows a URL that works, and one that was changed.
func (t *tour) presigned(as *caller, bucket string) {
	if t.err != nil {
		return
	}
	r, err := http.NewRequestWithContext(t.ctx, http.MethodGet, t.config.HTTPS+"/"+bucket+"/contract.txt", nil)
	if err != nil {
		t.fail("presign: %w", err)
		return
	}
	signed, err := authn.Presign(r, t.signing(as, "s3", ""), time.Minute)
	if err != nil {
		t.fail("presign: %w", err)
		return
	}
	t.tell(as.name, "aws s3 presign s3://"+bucket+"/contract.txt --expires-in 60", signed[:min(len(signed), 120)]+"…")
	path := strings.TrimPrefix(signed, t.config.HTTPS)
	a := t.s3(nil, "GetObject", "GET", path, "", "", showing(body), func(q *request) { q.command = "curl \"$URL\"" })
	t.want("the object", string(a.body), "signed by both")
	t.s3(nil, "GetObject", "GET", strings.Replace(path, "contract.txt", "other.txt", 1), "", "", refused("SignatureDoesNotMatch", ""),
		func(q *request) { q.command = "curl \"$URL\", with another object's name in it" })
}
