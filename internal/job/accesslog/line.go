package accesslog

import (
	"strconv"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/object"
	"github.com/kura-s3/kura/policy"
)

// operations are the names of the log for operations of the API (S3 User Guide, "Amazon S3 server
// access log format").
var operations = map[string]string{
	"GetObject": "REST.GET.OBJECT", "HeadObject": "REST.HEAD.OBJECT", "PutObject": "REST.PUT.OBJECT", "PostObject": "REST.POST.OBJECT",
	"DeleteObject": "REST.DELETE.OBJECT", "DeleteObjects": "REST.POST.MULTI_OBJECT_DELETE", "CopyObject": "REST.COPY.OBJECT",
	"ListObjects": "REST.GET.BUCKET", "ListObjectsV2": "REST.GET.BUCKET", "ListObjectVersions": "REST.GET.BUCKETVERSIONS",
	"HeadBucket": "REST.HEAD.BUCKET", "CreateBucket": "REST.PUT.BUCKET", "DeleteBucket": "REST.DELETE.BUCKET",
	"CreateMultipartUpload": "REST.POST.UPLOADS", "UploadPart": "REST.PUT.PART", "UploadPartCopy": "REST.COPY.PART",
	"CompleteMultipartUpload": "REST.POST.UPLOAD", "AbortMultipartUpload": "REST.DELETE.UPLOAD", "ListParts": "REST.GET.UPLOAD",
	"ListMultipartUploads": "REST.GET.UPLOADS", "RestoreObject": "REST.POST.RESTORE", "GetObjectAttributes": "REST.GET.OBJECT_ATTRIBUTES",
	"GetBucketAcl": "REST.GET.ACL", "PutBucketAcl": "REST.PUT.ACL", "GetObjectAcl": "REST.GET.ACL", "PutObjectAcl": "REST.PUT.ACL",
	"GetBucketPolicy": "REST.GET.BUCKETPOLICY", "PutBucketPolicy": "REST.PUT.BUCKETPOLICY", "DeleteBucketPolicy": "REST.DELETE.BUCKETPOLICY",
	"GetBucketPolicyStatus": "REST.GET.POLICY_STATUS", "GetPublicAccessBlock": "REST.GET.PUBLIC_ACCESS_BLOCK",
	"PutPublicAccessBlock": "REST.PUT.PUBLIC_ACCESS_BLOCK", "DeletePublicAccessBlock": "REST.DELETE.PUBLIC_ACCESS_BLOCK",
	"GetBucketVersioning": "REST.GET.VERSIONING", "PutBucketVersioning": "REST.PUT.VERSIONING",
	"GetBucketLogging": "REST.GET.LOGGING_STATUS", "PutBucketLogging": "REST.PUT.LOGGING_STATUS", "GetBucketLocation": "REST.GET.LOCATION",
	"GetBucketNotificationConfiguration": "REST.GET.NOTIFICATION", "PutBucketNotificationConfiguration": "REST.PUT.NOTIFICATION",
	"GetBucketLifecycleConfiguration": "REST.GET.LIFECYCLE", "PutBucketLifecycleConfiguration": "REST.PUT.LIFECYCLE", "DeleteBucketLifecycle": "REST.DELETE.LIFECYCLE",
	"GetBucketEncryption": "REST.GET.ENCRYPTION", "PutBucketEncryption": "REST.PUT.ENCRYPTION", "DeleteBucketEncryption": "REST.DELETE.ENCRYPTION",
	"GetBucketCors": "REST.GET.CORS", "PutBucketCors": "REST.PUT.CORS", "DeleteBucketCors": "REST.DELETE.CORS", "PreflightRequest": "REST.OPTIONS.PREFLIGHT",
	"GetBucketWebsite": "REST.GET.WEBSITE", "PutBucketWebsite": "REST.PUT.WEBSITE", "DeleteBucketWebsite": "REST.DELETE.WEBSITE",
	"GetBucketTagging": "REST.GET.TAGGING", "PutBucketTagging": "REST.PUT.TAGGING", "DeleteBucketTagging": "REST.DELETE.TAGGING",
	"GetObjectTagging": "REST.GET.OBJECT_TAGGING", "PutObjectTagging": "REST.PUT.OBJECT_TAGGING", "DeleteObjectTagging": "REST.DELETE.OBJECT_TAGGING",
	"GetBucketOwnershipControls": "REST.GET.OWNERSHIP_CONTROLS", "PutBucketOwnershipControls": "REST.PUT.OWNERSHIP_CONTROLS",
	"DeleteBucketOwnershipControls": "REST.DELETE.OWNERSHIP_CONTROLS", "GetObjectLockConfiguration": "REST.GET.OBJECT_LOCK_CONFIGURATION",
	"PutObjectLockConfiguration": "REST.PUT.OBJECT_LOCK_CONFIGURATION", "GetObjectRetention": "REST.GET.OBJECT_LOCK_RETENTION",
	"PutObjectRetention": "REST.PUT.OBJECT_LOCK_RETENTION", "GetObjectLegalHold": "REST.GET.OBJECT_LOCK_LEGALHOLD",
	"PutObjectLegalHold": "REST.PUT.OBJECT_LOCK_LEGALHOLD", "GetBucketReplication": "REST.GET.REPLICATION", "PutBucketReplication": "REST.PUT.REPLICATION",
	"DeleteBucketReplication": "REST.DELETE.REPLICATION", "GetBucketRequestPayment": "REST.GET.REQUEST_PAYMENT", "PutBucketRequestPayment": "REST.PUT.REQUEST_PAYMENT",
	"GetBucketAccelerateConfiguration": "REST.GET.ACCELERATE", "PutBucketAccelerateConfiguration": "REST.PUT.ACCELERATE",
}

// nameOf an operation that is not in the table follows from its method.
func nameOf(ev *audit.Event) string {
	if name, ok := operations[ev.Operation]; ok {
		return name
	}
	if ev.Operation == "GetWebsite" {
		return "WEBSITE." + ev.Method + ".OBJECT"
	}
	return "REST." + strings.ToUpper(token(ev.Method)) + "." + strings.ToUpper(token(ev.Operation))
}

// requestLine is what the log shows of the first line of a request, in parts; the zero one is "-".
type requestLine [4]string

// clock writes the times of lines. Most requests come in the second of the one before.
type clock struct {
	second int64
	last   string
}

func (c *clock) text(t time.Time) string {
	if second := t.Unix(); second != c.second || c.last == "" {
		c.second, c.last = second, t.UTC().Format("[02/Jan/2006:15:04:05 -0700]")
	}
	return c.last
}

// appendLine writes the line of a request that came at a time, without LF.
func appendLine(b []byte, at string, ev *audit.Event, bucket *object.Bucket, operation, key string, uri requestLine, status int, code string) []byte {
	field := func(v string) {
		b = append(append(b, ' '), orDash(v)...)
	}
	b = append(b, bucket.Owner.Canonical...)
	field(bucket.Name)
	field(at)
	field(token(ev.SourceIP))
	field(requester(ev))
	field(token(ev.RequestID))
	field(operation)
	field(encodedKey(key))
	b = uri.append(append(b, ' '))
	b = number(b, int64(status))
	field(token(code))
	b = number(b, ev.BytesOut)
	b = number(b, ev.ObjectSize)
	b = strconv.AppendInt(append(b, ' '), ev.Duration.Milliseconds(), 10)
	b = strconv.AppendInt(append(b, ' '), min(ev.TurnAround, ev.Duration).Milliseconds(), 10)
	b = quoted(append(b, ' '), ev.Referer, true)
	b = quoted(append(b, ' '), ev.UserAgent, false)
	field(token(ev.VersionID))
	field(token(ev.HostID))
	field(ev.SignatureVersion)
	field(token(ev.Cipher))
	field(authTypes[ev.AuthType])
	field(token(ev.Host))
	if ev.TLS != "" {
		b = append(append(b, " TLSv"...), ev.TLS...)
	} else {
		field("")
	}
	field("") // access point
	acl := ""
	if ev.ACLRequired {
		acl = "Yes"
	}
	field(acl)
	return b
}

var authTypes = map[string]string{"header": "AuthHeader", "query": "QueryString"}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// number writes a field of which 0 is nothing.
func number(b []byte, n int64) []byte {
	if n == 0 {
		return append(b, ' ', '-')
	}
	return strconv.AppendInt(append(b, ' '), n, 10)
}

func (l *requestLine) append(b []byte) []byte {
	if *l == (requestLine{}) {
		return append(b, '-')
	}
	b = append(b, '"')
	left := maxQuoted
	for _, part := range l {
		part = part[:min(len(part), left)]
		left -= len(part)
		b = escaped(b, part, false)
	}
	return append(b, '"')
}

func requester(ev *audit.Event) string {
	p := &ev.Principal
	switch p.Type {
	case policy.Nobody, policy.Anonymous:
		return ""
	case policy.Service:
		return "svc:" + token(p.ARN)
	case policy.RootUser:
		return p.CanonicalID
	}
	return token(p.ARN)
}

const maxQuoted = 8 << 10

const hexDigits = "0123456789ABCDEF"

// token is a value that is one word of the line.
func token(s string) string {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == '"' || c >= 0x7f {
			return string(escaped(make([]byte, 0, len(s)+16), s[:min(len(s), maxQuoted)], true))
		}
	}
	return s
}

// quoted writes a text of the client in quotes. Nothing in it can end the quotes or the line; blanks
// are kept only where AWS's expression for the line takes them.
func quoted(b []byte, s string, noBlanks bool) []byte {
	b = append(b, '"')
	if s == "" {
		b = append(b, '-')
	}
	b = escaped(b, s[:min(len(s), maxQuoted)], noBlanks)
	return append(b, '"')
}

func escaped(b []byte, s string, noBlanks bool) []byte {
	start := 0
	for i := range len(s) {
		c := s[i]
		if c < ' ' || c == '"' || c >= 0x7f || c == ' ' && noBlanks {
			b = append(append(b, s[start:i]...), '%', hexDigits[c>>4], hexDigits[c&15])
			start = i + 1
		}
	}
	return append(b, s[start:]...)
}

// encodedKey is the key encoded twice, as S3 logs it.
func encodedKey(key string) string {
	plain := true
	for i := range len(key) {
		if !unreserved(key[i]) {
			plain = false
			break
		}
	}
	if plain {
		return key
	}
	b := make([]byte, 0, len(key)+32)
	for i := range len(key) {
		if c := key[i]; unreserved(c) {
			b = append(b, c)
		} else {
			b = append(b, '%', '2', '5', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return string(b)
}

func unreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-_.~/*", c) >= 0
}

// sourceOf is what a copy was made from, found among the decisions about it.
func sourceOf(ev *audit.Event) (bucket, key string) {
	if ev.Operation != "CopyObject" && ev.Operation != "UploadPartCopy" {
		return "", ""
	}
	for i := range ev.Decisions {
		d := &ev.Decisions[i]
		if d.Action != "s3:GetObject" && d.Action != "s3:GetObjectVersion" {
			continue
		}
		if name, ok := strings.CutPrefix(d.Resource, "arn:aws:s3:::"); ok {
			bucket, key, _ = strings.Cut(name, "/")
			return bucket, key
		}
	}
	return "", ""
}

// day is the date of a name.
func day(t time.Time) string { return t.UTC().Format("2006-01-02") }
