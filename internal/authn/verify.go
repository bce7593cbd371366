package authn

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/fault"
)

// signed is a request whose claim to a signature was parsed, wherever it stood.
type signed struct {
	r             *http.Request
	info          Info
	scope         scope
	amzDate       string
	presigned     bool
	signedHeaders string
	signature     string
	token         string
	payloadHash   string // as the client stated it, "" when it did not
	caller        *Caller
}

// verify finds the key, compares the signature and opens the body.
func (a *Authenticator) verify(s *signed, now time.Time) (*Caller, error) {
	if err := checkSigned(s.r.Header, s.signedHeaders); err != nil {
		return nil, err
	}
	cred, err := a.lookup(s.r.Context(), s.scope.accessKeyID, s.token, now)
	if err != nil {
		return nil, err
	}
	body, err := a.payload(s)
	if err != nil {
		return nil, err
	}
	key, err := a.signature(s, cred)
	if err != nil {
		return nil, err
	}
	c := s.caller
	c.Subject = cred.Subject
	c.Service, c.Region = s.scope.service, s.scope.region
	c.SignatureVersion = Algorithm
	c.PayloadHash = s.payloadHash
	if s.presigned && !cred.Expires.IsZero() && cred.Expires.Before(c.Expires) {
		c.Expires = cred.Expires
	}
	if body != nil {
		c.Body, c.DecodedLength = bytes.NewReader(body), int64(len(body))
		return c, nil
	}
	signer := func() *chunkSigner { return newChunkSigner(key, s.amzDate, s.scope.text, s.signature) }
	if err := openBody(c, s.r, s.info.Payload, s.payloadHash, signer); err != nil {
		return nil, err
	}
	return c, nil
}

// singleHeaders decide how a request is read; a second value would leave open which one counts.
var singleHeaders = [...]string{
	"X-Amz-Content-Sha256", "X-Amz-Date", "X-Amz-Security-Token", "X-Amz-Decoded-Content-Length", "X-Amz-Trailer",
}

func checkSingle(h http.Header) error {
	for _, key := range singleHeaders {
		if len(h[key]) > 1 {
			return fault.New(InvalidHeader, "A header that may come only once was sent several times.",
				"ArgumentName", strings.ToLower(key), "ArgumentValue", "")
		}
	}
	return nil
}

// signature verifies the request's signature and returns the key that made it.
func (a *Authenticator) signature(s *signed, cred *Credential) (*signingKey, error) {
	c := newCanonical()
	defer c.release()
	f := facts{
		r: s.r, host: s.info.Host, path: s.info.RawPath,
		signedHeaders: s.signedHeaders, payloadHash: s.payloadHash,
		s3: s.scope.service == "s3", presigned: s.presigned,
	}
	complete, err := c.build(&f, s.amzDate, s.scope.text)
	if err != nil {
		return nil, err
	}
	id := keyID{cred.Secret, s.scope.date, s.scope.region, s.scope.service}
	key, known := a.keys.get(id)
	if !complete {
		return nil, errSignature(s, c)
	}
	if !key.verify(c.toSign, s.signature) {
		failure := errSignature(s, c)
		// Signers that leave the path to their caller sign what is on the wire, "(" for "%28".
		f.verbatim = f.s3 && plainPath(f.path)
		if !f.verbatim {
			return nil, failure
		}
		if _, err := c.build(&f, s.amzDate, s.scope.text); err != nil || !key.verify(c.toSign, s.signature) {
			return nil, failure
		}
	}
	if !known {
		a.keys.put(id, key)
	}
	return key, nil
}

func errSignature(s *signed, c *canonical) error {
	return fault.New(SignatureDoesNotMatch, mismatchText,
		"AWSAccessKeyId", s.scope.accessKeyID,
		"StringToSign", string(c.toSign),
		"SignatureProvided", s.signature,
		"StringToSignBytes", spacedHex(c.toSign),
		"CanonicalRequest", string(c.request),
		"CanonicalRequestBytes", spacedHex(c.request))
}

const mismatchText = "The request signature we calculated does not match the signature you provided. " +
	"Check your key and signing method."

const lowerHex = "0123456789abcdef"

// spacedHex prints bytes as S3 does: "41 57 53".
func spacedHex(b []byte) string {
	out := make([]byte, 0, 3*len(b))
	for i, c := range b {
		if i > 0 {
			out = append(out, ' ')
		}
		out = append(out, lowerHex[c>>4], lowerHex[c&15])
	}
	return string(out)
}

// payload settles the payload hash of the canonical request. The services other than S3 sign the
// hash of their body; it is read here when no header states it, or was read already.
func (a *Authenticator) payload(s *signed) ([]byte, error) {
	if s.scope.service == "s3" {
		if s.payloadHash == "" {
			s.payloadHash = UnsignedPayload // only presigned requests come here without
		}
		return nil, nil
	}
	body := s.info.Payload
	if body == nil && isSHA256(s.payloadHash) {
		return nil, nil // compared while it is read
	}
	if body == nil {
		var err error
		if body, err = a.readPayload(s.r); err != nil {
			return nil, err
		}
	}
	sum := sha256.Sum256(body)
	computed := hex.EncodeToString(sum[:])
	if isSHA256(s.payloadHash) && !strings.EqualFold(computed, s.payloadHash) {
		return nil, errContentSHA256(s.payloadHash, computed)
	}
	if !isSHA256(s.payloadHash) {
		s.payloadHash = computed
	}
	return body, nil
}

func (a *Authenticator) readPayload(r *http.Request) ([]byte, error) {
	if r.Body == nil || r.ContentLength == 0 {
		return []byte{}, nil
	}
	tooLarge := fault.New(PayloadTooLarge, "", "MaxSizeAllowed", strconv.FormatInt(a.cfg.MaxPayload, 10))
	if r.ContentLength > a.cfg.MaxPayload {
		return nil, tooLarge
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, a.cfg.MaxPayload+1))
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, errIncompleteBody()
	case err != nil:
		return nil, err
	case int64(len(body)) > a.cfg.MaxPayload:
		return nil, tooLarge
	}
	return body, nil
}
