package demo

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// s2: the same writer on a bucket with SSE-S3 and on one with SSE-KMS; which managed policies are enough; what
// a public bucket gives away of each.
func s2(t *tour) {
	const plain, sealed = "bucket-sse-s3", "bucket-sse-kms"
	t.show("Two buckets: one encrypted by S3's keys, one by a key of KMS")
	t.bucket(plain)
	t.bucket(sealed)
	arn := t.key("two buckets")
	t.encrypt(sealed, arn)

	write := t.writer(plain, sealed)
	t.show("A writer with AmazonS3FullAccess writes into the first, and not into the second" + write.how)
	write.prepare()
	t.attach("AttachRolePolicy", "RoleName", "writer", "AmazonS3FullAccess")
	write.fails()
	t.list(t.admin, sealed)

	t.show("AWSKeyManagementServicePowerUser is not enough; PowerUserAccess is")
	t.attach("AttachRolePolicy", "RoleName", "writer", "AWSKeyManagementServicePowerUser")
	write.fails()
	t.attach("AttachRolePolicy", "RoleName", "writer", "PowerUserAccess")
	write.succeeds()
	key := t.list(t.admin, sealed).element("Key")
	if !strings.ContainsAny(key, " ") || !strings.Contains(key, ":") {
		t.fail("the object is called %q; blanks and colons are part of the case", key)
	}

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
	t.want("what anybody reads", string(t.get(nil, plain, key).body), key)
	a := t.get(nil, sealed, key, refused("InvalidArgument", "Signature Version 4"))
	t.want("the status", fmt.Sprint(a.status), fmt.Sprint(http.StatusBadRequest))
	for _, bucket := range []string{plain, sealed} {
		t.s3(t.admin, "DeleteBucketPolicy", "DELETE", "/"+bucket+"?policy", "", "--bucket "+bucket)
	}
	t.get(nil, plain, key, refused("AccessDenied", ""))
}

// writer writes an object named by the time into both buckets, with the role "writer".
type writer struct {
	how      string // what a person should know of it
	prepare  func()
	fails    func() // for want of kms:GenerateDataKey at the second bucket
	succeeds func()
}

const stamp = "2006-01-02 15:04:05.000000"

// writer is a function where functions run, as in the case study; else the role's credentials do the same.
func (t *tour) writer(plain, sealed string) writer {
	if t.config.Functions {
		return t.function(plain, sealed)
	}
	var session *caller
	return writer{
		how: " (with the role's credentials: no functions with boto3 run here)",
		prepare: func() {
			session = t.assume(t.admin, t.role("writer", object{"AWS": "arn:aws:iam::" + t.account + ":root"}, ""), "writer")
		},
		fails: func() {
			key := time.Now().UTC().Format(stamp) + ".txt"
			t.put(session, plain, key, key)
			t.put(session, sealed, key, key, refused("AccessDenied", "kms:GenerateDataKey"))
		},
		succeeds: func() {
			key := time.Now().UTC().Format(stamp) + ".txt"
			t.put(session, plain, key, key)
			t.put(session, sealed, key, key)
		},
	}
}

// code of the function. upload_file is what the case study calls.
const code = `import boto3, datetime

def lambda_handler(event, context):
    name = str(datetime.datetime.now()) + ".txt"
    with open("/tmp/note.txt", "w") as f:
        f.write(name)
    for bucket in "%s", "%s":
        boto3.client("s3").upload_file("/tmp/note.txt", bucket, name)
`

func (t *tour) function(plain, sealed string) writer {
	invoke := func() *answer {
		return t.do(request{
			as: t.admin, service: "lambda", operation: "Invoke", command: "aws lambda invoke --function-name writer out.json && cat out.json",
			method: http.MethodPost, path: "/2015-03-31/functions/writer/invocations", body: "{}", shown: body,
		})
	}
	return writer{
		prepare: func() {
			role := t.role("writer", object{"Service": "lambda.amazonaws.com"}, "")
			t.do(request{
				as: t.admin, service: "lambda", operation: "CreateFunction", method: http.MethodPost, path: "/2015-03-31/functions",
				command: "aws lambda create-function --function-name writer --runtime python3.12 --handler lambda_function.lambda_handler --timeout 60 --role " + role + " --zip-file fileb://writer.zip",
				body: text(object{
					"FunctionName": "writer", "Runtime": "python3.12", "Handler": "lambda_function.lambda_handler", "Role": role, "Timeout": 60, "MemorySize": 256,
					"Code": object{"ZipFile": t.zipped("lambda_function.py", fmt.Sprintf(code, plain, sealed))},
				}),
				shown: func(a *answer) string { return a.member("FunctionArn") },
			})
		},
		fails: func() {
			a := invoke()
			t.want("the function's error", a.member("errorType"), "S3UploadFailedError")
			if m := a.member("errorMessage"); !strings.Contains(m, "(AccessDenied) when calling the PutObject operation") || !strings.Contains(m, "kms:GenerateDataKey") {
				t.fail("the function failed with %q", m)
			}
		},
		succeeds: func() { t.want("the function's answer", string(invoke().body), "null") },
	}
}

// zipped is an archive with one file, in base64.
func (t *tour) zipped(name, content string) string {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create(name)
	if err == nil {
		_, err = io.WriteString(w, content)
	}
	if err = errors.Join(err, z.Close()); err != nil {
		t.fail("the function's archive: %w", err)
	}
	return base64.StdEncoding.EncodeToString(b.Bytes())
}
