package authn

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/textproto"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/kura-s3/kura/internal/fault"
)

// canonical writes canonical requests. It is reused: what it gives out dies with release.
type canonical struct {
	request []byte // the canonical request
	toSign  []byte // the string to sign
	encoded []byte // encoded query names and values
	pairs   []pair
}

// pair is one query parameter: name encoded[name:value], value encoded[value:end].
type pair struct{ name, value, end int }

// keepBuffer is how large a buffer may be to be kept for the next request.
const keepBuffer = 16 << 10

var canonicals = sync.Pool{New: func() any { return new(canonical) }}

func newCanonical() *canonical { return canonicals.Get().(*canonical) }

func (c *canonical) release() {
	if cap(c.request) > keepBuffer || cap(c.encoded) > keepBuffer || cap(c.pairs) > 256 {
		return
	}
	canonicals.Put(c)
}

// facts is all that a canonical request is made of.
type facts struct {
	r             *http.Request
	host          string
	path          string // escaped, as received
	signedHeaders string // as the client listed them
	payloadHash   string
	s3            bool // S3's path rules
	verbatim      bool // the path exactly as received
	presigned     bool // X-Amz-Signature is no part of the query
}

// build writes the canonical request and the string to sign. complete is false when a header that
// is listed as signed did not arrive: then no signature is right.
func (c *canonical) build(f *facts, amzDate, scopeText string) (complete bool, err error) {
	c.request = append(append(c.request[:0], f.r.Method...), '\n')
	switch {
	case f.verbatim:
		c.request = append(c.request, f.path...)
	case f.s3:
		c.request, err = appendS3Path(c.request, f.path)
	default:
		c.request = appendServicePath(c.request, f.path)
	}
	if err != nil {
		return false, err
	}
	c.request = append(c.request, '\n')
	if err := c.query(f.r.URL.RawQuery, f.presigned); err != nil {
		return false, err
	}
	c.request = append(c.request, '\n')
	complete = c.headers(f)
	c.request = append(append(append(c.request, '\n'), f.signedHeaders...), '\n')
	c.request = append(c.request, f.payloadHash...)

	sum := sha256.Sum256(c.request)
	c.toSign = append(append(c.toSign[:0], Algorithm+"\n"...), amzDate...)
	c.toSign = append(append(append(c.toSign, '\n'), scopeText...), '\n')
	c.toSign = hex.AppendEncode(c.toSign, sum[:])
	return complete, nil
}

const upperHex = "0123456789ABCDEF"

// unreserved tells which bytes RFC 3986 never escapes.
var unreserved = func() (t [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~") {
		t[c] = true
	}
	return t
}()

func appendEscaped(dst []byte, c byte) []byte {
	if unreserved[c] {
		return append(dst, c)
	}
	return append(dst, '%', upperHex[c>>4], upperHex[c&15])
}

func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// escape reads the %XX at s[i:].
func escape(s string, i int) (c byte, ok bool) {
	if i+2 >= len(s) {
		return 0, false
	}
	hi, ok1 := unhex(s[i+1])
	lo, ok2 := unhex(s[i+2])
	return hi<<4 | lo, ok1 && ok2
}

// appendS3Path writes S3's canonical URI: encoded once, nothing normalised. An escaped slash stays
// escaped: it is a byte of the key on the wire and must not become a path separator here.
func appendS3Path(dst []byte, p string) ([]byte, error) {
	if p == "" {
		return append(dst, '/'), nil
	}
	for i := 0; i < len(p); i++ {
		switch c := p[i]; c {
		case '/':
			dst = append(dst, c)
		case '%':
			b, ok := escape(p, i)
			if !ok {
				return dst, errInvalidURI(p)
			}
			dst = appendEscaped(dst, b)
			i += 2
		default:
			dst = appendEscaped(dst, c)
		}
	}
	return dst, nil
}

// plainPath tells whether p can stand in a canonical request as it is.
func plainPath(p string) bool {
	for i := range len(p) {
		if p[i] <= ' ' || p[i] >= 0x7f {
			return false
		}
	}
	return p != ""
}

// appendServicePath writes the canonical URI of every service but S3: normalised, and what is on
// the wire is encoded once more.
func appendServicePath(dst []byte, p string) []byte {
	if p == "" || p == "/" {
		return append(dst, '/')
	}
	clean := path.Clean("/" + p)
	for i := range len(clean) {
		if clean[i] == '/' {
			dst = append(dst, '/')
		} else {
			dst = appendEscaped(dst, clean[i])
		}
	}
	if clean != "/" && (strings.HasSuffix(p, "/") || strings.HasSuffix(p, "/.") || strings.HasSuffix(p, "/..")) {
		dst = append(dst, '/')
	}
	return dst
}

// query writes the canonical query: every name and value encoded anew, sorted.
func (c *canonical) query(raw string, presigned bool) error {
	if raw == "" {
		return nil
	}
	c.encoded, c.pairs = c.encoded[:0], c.pairs[:0]
	for raw != "" {
		var name, value string
		name, value, raw = cutPair(raw)
		if name == "" && value == "" {
			continue
		}
		p := pair{name: len(c.encoded)}
		var ok1, ok2 bool
		c.encoded, ok1 = appendReencoded(c.encoded, name)
		p.value = len(c.encoded)
		c.encoded, ok2 = appendReencoded(c.encoded, value)
		p.end = len(c.encoded)
		if !ok1 || !ok2 {
			return errInvalidURI(name)
		}
		if presigned && string(c.encoded[p.name:p.value]) == "X-Amz-Signature" {
			c.encoded = c.encoded[:p.name]
			continue
		}
		c.pairs = append(c.pairs, p)
	}
	slices.SortFunc(c.pairs, func(a, b pair) int {
		return cmp.Or(bytes.Compare(c.encoded[a.name:a.value], c.encoded[b.name:b.value]),
			bytes.Compare(c.encoded[a.value:a.end], c.encoded[b.value:b.end]))
	})
	for i, p := range c.pairs {
		if i > 0 {
			c.request = append(c.request, '&')
		}
		c.request = append(append(c.request, c.encoded[p.name:p.value]...), '=')
		c.request = append(c.request, c.encoded[p.value:p.end]...)
	}
	return nil
}

// cutPair takes the first parameter off a raw query.
func cutPair(raw string) (name, value, rest string) {
	name, rest, _ = strings.Cut(raw, "&")
	name, value, _ = strings.Cut(name, "=")
	return name, value, rest
}

// appendReencoded writes a raw query name or value in the one canonical encoding.
func appendReencoded(dst []byte, s string) ([]byte, bool) {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case unreserved[c]:
			dst = append(dst, c)
			continue
		case c == '+':
			c = ' '
		case c == '%':
			b, ok := escape(s, i)
			if !ok {
				return dst, false
			}
			c, i = b, i+2
		}
		dst = appendEscaped(dst, c)
	}
	return dst, true
}

// headers writes the canonical headers in the order in which the client listed them.
func (c *canonical) headers(f *facts) (complete bool) {
	complete = true
	for list := f.signedHeaders; list != ""; {
		var name string
		name, list, _ = strings.Cut(list, ";")
		c.request = append(append(c.request, name...), ':')
		if !c.header(f, name) {
			complete = false
		}
		c.request = append(c.request, '\n')
	}
	return complete
}

// header writes one header's values; ok is false when the request does not have it.
func (c *canonical) header(f *facts, name string) (ok bool) {
	switch name {
	case "host", ":authority":
		c.request = appendTrimmed(c.request, f.host)
		return f.host != ""
	case "content-length":
		// The server may have taken the header away after it read it.
		if values := f.r.Header["Content-Length"]; len(values) == 1 {
			c.request = appendTrimmed(c.request, values[0])
		} else if f.r.ContentLength >= 0 {
			c.request = strconv.AppendInt(c.request, f.r.ContentLength, 10)
		}
		return f.r.ContentLength >= 0
	case "transfer-encoding":
		c.request = append(c.request, strings.Join(f.r.TransferEncoding, ",")...)
		return len(f.r.TransferEncoding) > 0
	}
	values := f.r.Header[headerKey(name)]
	for i, v := range values {
		if i > 0 {
			c.request = append(c.request, ',')
		}
		c.request = appendTrimmed(c.request, v)
	}
	return len(values) > 0
}

// appendTrimmed writes a header value without blanks at its ends, and with one where it has several.
func appendTrimmed(dst []byte, v string) []byte {
	v = strings.Trim(v, " \t\r\n")
	if !strings.Contains(v, "  ") {
		return append(dst, v...)
	}
	for i := range len(v) {
		if v[i] != ' ' || v[i-1] != ' ' {
			dst = append(dst, v[i])
		}
	}
	return dst
}

// headerKeys are the headers that most requests sign, as net/http names them.
var headerKeys = map[string]string{
	"amz-sdk-invocation-id":        "Amz-Sdk-Invocation-Id",
	"amz-sdk-request":              "Amz-Sdk-Request",
	"content-md5":                  "Content-Md5",
	"content-type":                 "Content-Type",
	"content-encoding":             "Content-Encoding",
	"range":                        "Range",
	"x-amz-checksum-crc32":         "X-Amz-Checksum-Crc32",
	"x-amz-checksum-crc64nvme":     "X-Amz-Checksum-Crc64nvme",
	"x-amz-content-sha256":         "X-Amz-Content-Sha256",
	"x-amz-date":                   "X-Amz-Date",
	"x-amz-decoded-content-length": "X-Amz-Decoded-Content-Length",
	"x-amz-sdk-checksum-algorithm": "X-Amz-Sdk-Checksum-Algorithm",
	"x-amz-security-token":         "X-Amz-Security-Token",
	"x-amz-target":                 "X-Amz-Target",
	"x-amz-trailer":                "X-Amz-Trailer",
	"x-amz-user-agent":             "X-Amz-User-Agent",
	"x-amz-checksum-mode":          "X-Amz-Checksum-Mode",
}

func headerKey(name string) string {
	if key, ok := headerKeys[name]; ok {
		return key
	}
	return textproto.CanonicalMIMEHeaderKey(name)
}

// listed tells whether a header (as net/http names it) is in a list like "host;x-amz-date".
func listed(list, key string) bool {
	for list != "" {
		var name string
		name, list, _ = strings.Cut(list, ";")
		if len(name) == len(key) && strings.EqualFold(name, key) {
			return true
		}
	}
	return false
}

// checkSigned refuses a request with a header that could change its meaning and was not signed.
func checkSigned(h http.Header, signedHeaders string) error {
	var missing []string
	if !listed(signedHeaders, "Host") && !listed(signedHeaders, ":authority") {
		missing = append(missing, "host")
	}
	for key := range h {
		const prefix = "X-Amz-"
		if len(key) > len(prefix) && strings.EqualFold(key[:len(prefix)], prefix) && !listed(signedHeaders, key) {
			missing = append(missing, strings.ToLower(key))
		}
	}
	if missing == nil {
		return nil
	}
	slices.Sort(missing)
	return fault.New(HeadersNotSigned, "There were headers present in the request which were not signed",
		"HeadersNotSigned", strings.Join(missing, ", "))
}

func errInvalidURI(uri string) error {
	return fault.New(InvalidURI, "Couldn't parse the specified URI.", "URI", uri)
}
