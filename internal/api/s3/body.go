package s3

import (
	"crypto/md5"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/object"
)

// checkBody verifies the digest that operations on configuration require: Content-MD5 or one
// x-amz-checksum header over the whole body.
func checkBody(c *api.Call, body []byte) error {
	h := c.R.Header
	want, err := expectedMD5(h)
	if err != nil {
		return err
	}
	if want != nil {
		got := md5.Sum(body)
		if subtle.ConstantTimeCompare(got[:], want) != 1 {
			return fault.New(object.BadMD5, "", "ExpectedDigest", h.Get("Content-Md5"),
				"CalculatedDigest", base64.StdEncoding.EncodeToString(got[:]))
		}
		return nil
	}
	expect, err := expected(c)
	if err != nil {
		return err
	}
	if expect.Value != nil {
		return object.VerifyChecksum(expect, body)
	}
	if digestOptional[c.Op.Name()] {
		return nil
	}
	return fault.New(invalidRequest, "Missing required header for this request: Content-MD5 OR x-amz-checksum-*")
}

// digestOptional are operations whose model requires a digest, but which clients in use call
// without one (s3cmd sets the ACL of each object that it copies). The signature covers their body.
var digestOptional = map[string]bool{"PutObjectAcl": true, "PutBucketAcl": true}

// expected is what the client says of the body: an MD5, and a checksum in a header or a trailer.
func expected(c *api.Call) (object.Expected, error) {
	h := c.R.Header
	var e object.Expected
	var err error
	if e.MD5, err = expectedMD5(h); err != nil {
		return e, err
	}
	sum, err := checksumHeader(h)
	if err != nil {
		return e, err
	}
	if sum.Value != nil {
		e.Algorithm = sum.Algorithm
		e.Value = func() ([]byte, error) { return sum.Value, nil }
		return e, nil
	}
	if c.Caller.TrailerName != "" {
		return expectedTrailer(c, e)
	}
	if name := h.Get("X-Amz-Sdk-Checksum-Algorithm"); name != "" && h.Get("Content-Md5") == "" {
		if _, err := parseAlgorithm(name); err != nil {
			return e, err
		}
		return e, fault.New(invalidRequest, "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.")
	}
	return e, nil
}

// expectedTrailer takes the checksum from the trailer, once the body ended.
func expectedTrailer(c *api.Call, e object.Expected) (object.Expected, error) {
	header := http.CanonicalHeaderKey(c.Caller.TrailerName)
	algorithm, size, known := checksumOf(header)
	if !known {
		return e, fault.New(invalidRequest, "The value specified in the x-amz-trailer header is not supported")
	}
	e.Algorithm = algorithm
	e.Value = func() ([]byte, error) {
		_, value, ok := c.Caller.Trailer()
		if !ok {
			return nil, fault.New(authn.MalformedTrailer, "")
		}
		return decodeChecksum(header, value, size)
	}
	return e, nil
}

// expectedMD5 decodes Content-MD5; nil when there is none.
func expectedMD5(h http.Header) ([]byte, error) {
	values := h["Content-Md5"]
	if len(values) == 0 {
		return nil, nil
	}
	sum, err := base64.StdEncoding.DecodeString(values[0])
	if err != nil || len(sum) != md5.Size {
		return nil, fault.New(invalidDigest, "", "Content-MD5", values[0])
	}
	return sum, nil
}

// algorithmHeaders are the headers that carry a checksum, and its length in bytes.
var algorithmHeaders = []struct {
	header    string // canonical
	algorithm object.Algorithm
	size      int
}{
	{"X-Amz-Checksum-Crc32", object.CRC32, 4},
	{"X-Amz-Checksum-Crc32c", object.CRC32C, 4},
	{"X-Amz-Checksum-Crc64nvme", object.CRC64NVME, 8},
	{"X-Amz-Checksum-Sha1", object.SHA1, 20},
	{"X-Amz-Checksum-Sha256", object.SHA256, 32},
}

const checksumPrefix = "X-Amz-Checksum-"

// checksumHeader reads the one x-amz-checksum-* header of a request. Value is nil when there is none.
func checksumHeader(h http.Header) (object.Checksum, error) {
	var sum object.Checksum
	for name, values := range h {
		if !strings.HasPrefix(name, checksumPrefix) {
			continue
		}
		algorithm, size, known := checksumOf(name)
		if !known {
			if notAValue[name] {
				continue
			}
			return sum, unsupportedAlgorithm()
		}
		if sum.Value != nil || len(values) != 1 {
			return sum, fault.New(invalidRequest, "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
		}
		value, err := decodeChecksum(name, values[0], size)
		if err != nil {
			return sum, err
		}
		sum = object.Checksum{Algorithm: algorithm, Value: value}
	}
	return sum, nil
}

// notAValue are headers of that prefix which carry no checksum.
var notAValue = map[string]bool{"X-Amz-Checksum-Algorithm": true, "X-Amz-Checksum-Type": true, "X-Amz-Checksum-Mode": true}

func checksumOf(header string) (object.Algorithm, int, bool) {
	for _, a := range algorithmHeaders {
		if a.header == header {
			return a.algorithm, a.size, true
		}
	}
	return object.NoChecksum, 0, false
}

func decodeChecksum(header, text string, size int) ([]byte, error) {
	value, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(value) != size {
		return nil, fault.New(invalidRequest, "Value for "+strings.ToLower(header)+" header is invalid.")
	}
	return value, nil
}

func unsupportedAlgorithm() error {
	return fault.New(invalidRequest, "Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]")
}

// parseAlgorithm reads a name like "CRC32C" in any case.
func parseAlgorithm(name string) (object.Algorithm, error) {
	for _, a := range algorithmHeaders {
		if strings.EqualFold(a.algorithm.String(), name) {
			return a.algorithm, nil
		}
	}
	return object.NoChecksum, unsupportedAlgorithm()
}
