// Package sse is S3's server-side encryption as far as it needs no bucket: what a request's headers ask
// for, what a bucket's default says, and the KMS keys that S3 uses with its callers' permission.
//
// Promises: a customer's key is compared and used, never kept, printed or recorded; a KMS key is used
// only after the Guard allowed that use to the caller, in this request, whatever is remembered of
// earlier ones.
package sse

import (
	"crypto/md5"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/object"
)

// Failures of this package.
const (
	InvalidArgument  fault.Kind = "sse.InvalidArgument"  // fields ArgumentName, ArgumentValue
	InvalidRequest   fault.Kind = "sse.InvalidRequest"   // message says what
	InvalidAlgorithm fault.Kind = "sse.InvalidAlgorithm" // fields ArgumentName, ArgumentValue
	WrongKey         fault.Kind = "sse.WrongKey"         // the customer's key is another one
	Blocked          fault.Kind = "sse.Blocked"          // the bucket takes no SSE-C
)

// The headers, in canonical form.
const (
	HeaderAlgorithm         = "X-Amz-Server-Side-Encryption"
	HeaderKeyID             = HeaderAlgorithm + "-Aws-Kms-Key-Id"
	HeaderContext           = HeaderAlgorithm + "-Context"
	HeaderBucketKey         = HeaderAlgorithm + "-Bucket-Key-Enabled"
	HeaderCustomerAlgorithm = HeaderAlgorithm + "-Customer-Algorithm"
	HeaderCustomerKey       = HeaderAlgorithm + "-Customer-Key"
	HeaderCustomerKeyMD5    = HeaderCustomerKey + "-Md5"
)

const copySource = "X-Amz-Copy-Source-Server-Side-Encryption-Customer-"

// names are the headers of one customer key.
type names struct{ algorithm, key, md5 string }

var (
	ofRequest = names{HeaderCustomerAlgorithm, HeaderCustomerKey, HeaderCustomerKeyMD5}
	ofSource  = names{copySource + "Algorithm", copySource + "Key", copySource + "Key-Md5"}
)

// Request is what a write asks for.
type Request struct {
	// Algorithm is x-amz-server-side-encryption; "" when it asks for none.
	Algorithm string
	// KeyID names a KMS key: an id, an ARN, an alias or an alias's ARN. "": the default one.
	KeyID string
	// KeyARN is the ARN of that key, where there is one.
	KeyARN string
	// Context holds the pairs of the encryption context, sorted by name.
	Context []object.Tag
	// BucketKey is what the request says of bucket keys; nil: nothing.
	BucketKey *bool
	// Customer is the key of SSE-C, or nil.
	Customer *Customer
}

// Algorithms by their names.
var algorithms = map[string]object.Encryption{
	"AES256": object.SSES3, "aws:kms": object.SSEKMS, "aws:kms:dsse": object.DSSEKMS,
}

// CustomerKey is the request's key of SSE-C, nil when it brings none, or asks for nothing at all.
func (r *Request) CustomerKey() *Customer {
	if r == nil {
		return nil
	}
	return r.Customer
}

// Kind is the algorithm that the request names.
func (r *Request) Kind() object.Encryption { return algorithms[r.Algorithm] }

// Parse reads the headers of a write, or the form fields that stand for them. It is nil when they ask
// for nothing.
func Parse(h http.Header, secure bool) (*Request, error) {
	customer, err := ParseCustomer(h, secure)
	if err != nil {
		return nil, err
	}
	r := &Request{Algorithm: first(h, HeaderAlgorithm), KeyID: first(h, HeaderKeyID), Customer: customer}
	text, bucketKey := first(h, HeaderContext), first(h, HeaderBucketKey)
	if r.Algorithm == "" && r.KeyID == "" && customer == nil && text == "" && bucketKey == "" {
		return nil, nil
	}
	if err := r.check(text); err != nil {
		return nil, err
	}
	switch strings.ToLower(bucketKey) {
	case "":
	case "true", "false":
		on := strings.EqualFold(bucketKey, "true")
		r.BucketKey = &on
	default:
		return nil, invalid("Invalid value for the header x-amz-server-side-encryption-bucket-key-enabled.", HeaderBucketKey, bucketKey)
	}
	r.Context, err = parseContext(text)
	return r, err
}

// check compares the headers with each other.
func (r *Request) check(context string) error {
	algorithm, known := algorithms[r.Algorithm]
	switch {
	case r.Customer != nil && r.Algorithm != "":
		return invalid("Server Side Encryption with Customer provided key is incompatible with the encryption method specified", HeaderAlgorithm, r.Algorithm)
	case r.Algorithm != "" && !known:
		return fault.New(InvalidAlgorithm, "", "ArgumentName", strings.ToLower(HeaderAlgorithm), "ArgumentValue", r.Algorithm)
	case (r.KeyID != "" || context != "") && !algorithm.KMS():
		return invalid("Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms", HeaderAlgorithm, r.Algorithm)
	case r.Customer != nil && r.KeyID+context != "":
		return invalid("Server Side Encryption with Customer provided key is incompatible with the encryption method specified", HeaderKeyID, r.KeyID)
	}
	return nil
}

// ForbidOn refuses the headers of a write on a request that takes none.
func ForbidOn(h http.Header) error {
	for _, name := range [...]string{HeaderAlgorithm, HeaderKeyID, HeaderContext, HeaderBucketKey} {
		if v := h[name]; len(v) > 0 {
			lower := strings.ToLower(name)
			return invalid(lower+" header is not supported for this operation.", name, v[0])
		}
	}
	return nil
}

const maxContextHeader = 16 << 10

// parseContext reads an encryption context: JSON in base64.
func parseContext(text string) ([]object.Tag, error) {
	if text == "" {
		return nil, nil
	}
	bad := invalid("The header 'x-amz-server-side-encryption-context' shall be Base64-encoded UTF-8 string holding JSON which represents a string-string map", HeaderContext, "")
	if len(text) > maxContextHeader {
		return nil, bad
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || !utf8.Valid(raw) {
		return nil, bad
	}
	var pairs map[string]*string
	if json.Unmarshal(raw, &pairs) != nil || pairs == nil {
		return nil, bad
	}
	out := make([]object.Tag, 0, len(pairs))
	for _, name := range slices.Sorted(maps.Keys(pairs)) {
		if pairs[name] == nil {
			return nil, bad
		}
		out = append(out, object.Tag{Key: name, Value: *pairs[name]})
	}
	return out, nil
}

// Customer is a key of SSE-C. It never shows itself.
type Customer struct {
	key [32]byte
	// MD5 of the key in base64, as answers repeat it.
	MD5 string
}

// Format writes a placeholder for every verb.
func (*Customer) Format(f fmt.State, _ rune) { fmt.Fprint(f, "sse.Customer(hidden)") }

// MarshalText refuses: a customer's key has no text form.
func (*Customer) MarshalText() ([]byte, error) { return []byte("hidden"), nil }

// Seal makes a sealing under the key.
func (c *Customer) Seal() (*object.Sealing, error) { return object.SealForCustomer(c.key[:]) }

// Open gives the key of what was sealed under c; object.ErrOtherKey where it was another.
func (c *Customer) Open(s *object.Sealed) (*object.Key, error) { return s.OpenForCustomer(c.key[:]) }

// ParseCustomer reads the customer's key of a request; nil when there is none.
func ParseCustomer(h http.Header, secure bool) (*Customer, error) { return ofRequest.parse(h, secure) }

// ParseSource reads the customer's key of a copy's source; nil when there is none.
func ParseSource(h http.Header, secure bool) (*Customer, error) { return ofSource.parse(h, secure) }

const customerRequests = "Requests specifying Server Side Encryption with Customer provided keys must "

func (n *names) parse(h http.Header, secure bool) (*Customer, error) {
	algorithm, key, sum := h[n.algorithm], h[n.key], h[n.md5]
	if len(algorithm)+len(key)+len(sum) == 0 {
		return nil, nil
	}
	switch {
	case !secure:
		return nil, fault.New(InvalidRequest, customerRequests+"be made over a secure connection.")
	case len(algorithm) != 1 || algorithm[0] == "":
		return nil, invalid(customerRequests+"provide a valid encryption algorithm.", n.algorithm, "null")
	case algorithm[0] != "AES256":
		return nil, fault.New(InvalidAlgorithm, "", "ArgumentName", strings.ToLower(n.algorithm), "ArgumentValue", algorithm[0])
	case len(key) != 1 || key[0] == "":
		return nil, invalid(customerRequests+"provide an appropriate secret key.", n.key, "null")
	case len(sum) != 1 || sum[0] == "":
		return nil, invalid(customerRequests+"provide the client calculated MD5 of the secret key.", n.md5, "null")
	}
	return customerOf(key[0], sum[0], n)
}

func customerOf(key, sum string, n *names) (*Customer, error) {
	c := &Customer{MD5: sum}
	raw, err := base64.StdEncoding.DecodeString(key)
	if err != nil || len(raw) != len(c.key) {
		// The value stays out of the answer: it is a secret of the wrong form.
		return nil, invalid("The secret key was invalid for the specified algorithm.", n.key, "null")
	}
	copy(c.key[:], raw)
	want, err := base64.StdEncoding.DecodeString(sum)
	have := md5.Sum(raw)
	if err != nil || subtle.ConstantTimeCompare(want, have[:]) != 1 {
		return nil, invalid("The calculated MD5 hash of the key did not match the hash that was provided.", n.md5, sum)
	}
	return c, nil
}

func invalid(message, name, value string) error {
	return fault.New(InvalidArgument, message, "ArgumentName", strings.ToLower(name), "ArgumentValue", value)
}

func first(h http.Header, name string) string {
	if v := h[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}
