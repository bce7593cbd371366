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

// unasked stands for the request where S3 did something of itself.
var unasked = requestLine{"-"}

// itself is the requester of what S3 does of itself.
const itself = "AmazonS3"

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
	if uri == unasked {
		field(itself)
	} else {
		field(requester(ev))
	}
	field(token(ev.RequestID))
	field(operation)
	field(encodedKey(key))
	b = uri.append(append(b, ' '))
	b = number(b, int64(status))
	field(token(code))
	b = number(b, ev.BytesOut)
	b = number(b, ev.ObjectSize)
	if uri == unasked {
		b = append(b, " - -"...)
	} else {
		b = strconv.AppendInt(append(b, ' '), ev.Duration.Milliseconds(), 10)
		b = strconv.AppendInt(append(b, ' '), min(ev.TurnAround, ev.Duration).Milliseconds(), 10)
	}
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
	s = s[:min(len(s), maxQuoted)]
	for i := clean(s); i < len(s); i++ {
		if c := s[i]; c <= ' ' || c == '"' || c >= 0x7f {
			return string(escaped(make([]byte, 0, len(s)+16), s, true))
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

// clean is how many bytes at the start of s stand for themselves wherever they are, or up to seven fewer.
func clean(s string) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(s); i += 8 {
		c := s[i : i+8]
		x := uint64(c[0]) | uint64(c[1])<<8 | uint64(c[2])<<16 | uint64(c[3])<<24 | uint64(c[4])<<32 | uint64(c[5])<<40 | uint64(c[6])<<48 | uint64(c[7])<<56
		// The top bit of a byte is set in: up to space, a quote, 0x7f, not ASCII. A borrow may set it in a byte
		// above one of those too, never where there is none.
		quote, del := x^'"'*ones, x^0x7f*ones
		if ((x-'!'*ones)|(quote-ones)|(del-ones)|x)&tops != 0 {
			break
		}
	}
	return i
}

func escaped(b []byte, s string, noBlanks bool) []byte {
	start := 0
	for i := clean(s); i < len(s); i++ {
		c := s[i]
		if c < ' ' || c == '"' || c >= 0x7f || c == ' ' && noBlanks {
			b = append(append(b, s[start:i]...), '%', hexDigits[c>>4], hexDigits[c&15])
			start = i + 1
		}
	}
	return append(b, s[start:]...)
}

// maxKey bounds a key: a longer one is none, and a body may name one of any length.
const maxKey = 1024

// encodedKey is the key encoded twice, as S3 logs it.
func encodedKey(key string) string {
	key = key[:min(len(key), maxKey)]
	i := 0
	for i < len(key) && unreserved[key[i]] {
		i++
	}
	if i == len(key) {
		return key
	}
	b := make([]byte, 0, len(key)+32)
	for i := range len(key) {
		if c := key[i]; unreserved[c] {
			b = append(b, c)
		} else {
			b = append(b, '%', '2', '5', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return string(b)
}

// unreserved are the bytes that stand for themselves.
var unreserved = func() (is [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~/*") {
		is[c] = true
	}
	return is
}()

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
