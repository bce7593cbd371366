package authn

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/kura-s3/kura/internal/fault"
)

// Values of x-amz-content-sha256 beside the hash itself.
const (
	UnsignedPayload          = "UNSIGNED-PAYLOAD"
	StreamingPayload         = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	StreamingPayloadTrailer  = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
	StreamingUnsignedTrailer = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
	streamingECDSA           = "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"
	streamingECDSATrailer    = "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER"
	emptySHA256              = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// framing is how a body is sent.
type framing struct{ chunked, signed, trailer bool }

// framings of the values of x-amz-content-sha256 that are no hash.
var framings = map[string]framing{
	"":                       {},
	UnsignedPayload:          {},
	StreamingPayload:         {chunked: true, signed: true},
	StreamingPayloadTrailer:  {chunked: true, signed: true, trailer: true},
	StreamingUnsignedTrailer: {chunked: true, trailer: true},
}

// openBody gives the caller its body, which verifies itself as it is read. signer is nil for
// requests without a signature, whose body cannot have one either.
// payload is the body where it was read before.
func openBody(c *Caller, r *http.Request, payload []byte, payloadHash string, signer func() *chunkSigner) error {
	body, length := io.Reader(r.Body), r.ContentLength
	switch {
	case payload != nil:
		body, length = bytes.NewReader(payload), int64(len(payload))
	case r.Body == nil:
		body = http.NoBody
	}
	c.DecodedLength = length
	c.PayloadHash = payloadHash
	f, known := framings[payloadHash]
	switch {
	case payloadHash == streamingECDSA || payloadHash == streamingECDSATrailer:
		return errECDSA("x-amz-content-sha256")
	case known && f.signed && signer == nil:
		return fault.New(InvalidHeader, "A signed payload requires a signed request.",
			"ArgumentName", "x-amz-content-sha256", "ArgumentValue", payloadHash)
	case known && f.chunked:
		return openChunked(c, r, body, length, f, signer)
	case known:
		c.Body = &plainReader{src: body}
		return nil
	case !isSHA256(payloadHash):
		return fault.New(InvalidHeader, "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, "+
			"STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, "+
			"STREAMING-UNSIGNED-PAYLOAD-TRAILER or a valid sha256 value.",
			"ArgumentName", "x-amz-content-sha256", "ArgumentValue", payloadHash)
	case length == 0:
		c.Body = http.NoBody
		if !strings.EqualFold(payloadHash, emptySHA256) {
			return errContentSHA256(payloadHash, emptySHA256)
		}
		return nil
	}
	h := hashes.Get().(hash.Hash)
	h.Reset()
	c.Body = &hashReader{src: body, hash: h, want: payloadHash}
	return nil
}

func openChunked(c *Caller, r *http.Request, body io.Reader, length int64, f framing, signer func() *chunkSigner) error {
	decoded, err := strconv.ParseInt(r.Header.Get("X-Amz-Decoded-Content-Length"), 10, 64)
	if err != nil || decoded < 0 {
		return fault.New(MissingLength, "You must provide the Content-Length HTTP header.")
	}
	if length >= 0 && decoded > length {
		return errIncompleteBody()
	}
	if f.trailer {
		if c.TrailerName, err = trailerName(r.Header.Get("X-Amz-Trailer")); err != nil {
			return err
		}
	}
	cr := newChunkReader(body, decoded, f.trailer, c.TrailerName)
	if f.signed {
		cr.sig = signer()
	}
	c.Body, c.DecodedLength, c.trailer = cr, decoded, cr
	return nil
}

// trailerName reads x-amz-trailer: one checksum, or none.
func trailerName(v string) (string, error) {
	v = strings.ToLower(strings.TrimSpace(v))
	if v == "" || strings.HasPrefix(v, "x-amz-checksum-") && !strings.ContainsAny(v, ", :;\t") && len(v) <= 64 {
		return v, nil
	}
	return "", fault.New(UnsupportedTrailer, "The value specified in the x-amz-trailer header is not supported")
}

var hashes = sync.Pool{New: func() any { return sha256.New() }}

// plainReader passes on a body whose bytes nobody signed.
type plainReader struct{ src io.Reader }

func (p *plainReader) Read(b []byte) (int, error) {
	n, err := p.src.Read(b)
	return n, bodyError(err)
}

// hashReader compares the hash of what was read when the body ends.
type hashReader struct {
	src  io.Reader
	hash hash.Hash
	want string
	err  error
}

func (h *hashReader) Read(b []byte) (int, error) {
	if h.err != nil {
		return 0, h.err
	}
	n, err := h.src.Read(b)
	h.hash.Write(b[:n])
	if err == nil {
		return n, nil
	}
	h.err = bodyError(err)
	if err == io.EOF {
		var sum [sha256.Size]byte
		computed := hex.EncodeToString(h.hash.Sum(sum[:0]))
		if !strings.EqualFold(computed, h.want) {
			h.err = errContentSHA256(h.want, computed)
		}
	}
	hashes.Put(h.hash)
	h.hash = nil
	return n, h.err
}

// bodyError tells a body that ended early from other failures, which are not the client's words.
func bodyError(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errIncompleteBody()
	}
	return err
}

func errIncompleteBody() error {
	return fault.New(IncompleteBody, "You did not provide the number of bytes specified by the Content-Length HTTP header")
}

func errContentSHA256(stated, computed string) error {
	return fault.New(ContentSHA256Mismatch, "The provided 'x-amz-content-sha256' header does not match what was computed.",
		"ClientComputedContentSHA256", stated, "S3ComputedContentSHA256", computed)
}

func isSHA256(s string) bool {
	if len(s) != signatureLen {
		return false
	}
	for i := range len(s) {
		if _, ok := unhex(s[i]); !ok {
			return false
		}
	}
	return true
}
