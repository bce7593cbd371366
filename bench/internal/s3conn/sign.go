package s3conn

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"sync/atomic"
	"time"
)

// UnsignedPayload is the payload hash of a request whose body the signature does not cover.
const UnsignedPayload = "UNSIGNED-PAYLOAD"

// EmptyPayload is the SHA-256 of no bytes, in hexadecimal.
const EmptyPayload = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

const (
	amzDateFormat  = "20060102T150405Z"
	algorithm      = "AWS4-HMAC-SHA256"
	defaultService = "s3"
)

// Credentials name who signs, for which region and service.
type Credentials struct {
	AccessKeyID     string
	SecretAccessKey string
	Region          string
	// Service default "s3".
	Service string
}

func (c *Credentials) service() string {
	if c.Service == "" {
		return defaultService
	}
	return c.Service
}

// signingKey is SigV4's derived key of one day.
type signingKey struct {
	day string
	mac []byte
}

// signer derives the day's key once and keeps it: what is left per request is one SHA-256 of the
// canonical request and one HMAC.
type signer struct {
	cred Credentials
	key  atomic.Pointer[signingKey]
}

func sum(h hash.Hash, data string) []byte {
	h.Write([]byte(data))
	return h.Sum(nil)
}

func (s *signer) keyFor(day string) []byte {
	if k := s.key.Load(); k != nil && k.day == day {
		return k.mac
	}
	mac := sum(hmac.New(sha256.New, []byte("AWS4"+s.cred.SecretAccessKey)), day)
	for _, part := range []string{s.cred.Region, s.cred.service(), "aws4_request"} {
		mac = sum(hmac.New(sha256.New, mac), part)
	}
	s.key.Store(&signingKey{day: day, mac: mac})
	return mac
}

// appendSigned appends the request line and all headers of r, signed at now, to dst. scratch is
// working space for the canonical request; both grown slices are returned for the next call.
func (s *signer) appendSigned(dst, scratch []byte, host string, r *Request, now time.Time) (head, canonical []byte) {
	var stamp [len(amzDateFormat)]byte
	date := string(now.UTC().AppendFormat(stamp[:0], amzDateFormat))
	day := date[:8]
	payload := r.PayloadHash
	if payload == "" {
		payload = EmptyPayload
	}
	headers := signedHeaders(host, date, payload, r.Header)

	scratch = append(scratch[:0], r.Method...)
	scratch = append(scratch, '\n')
	scratch = append(scratch, r.Path...)
	scratch = append(scratch, '\n')
	scratch = append(scratch, r.Query...)
	scratch = append(scratch, '\n')
	for _, h := range headers {
		scratch = append(scratch, h.Name...)
		scratch = append(scratch, ':')
		scratch = append(scratch, h.Value...)
		scratch = append(scratch, '\n')
	}
	scratch = append(scratch, '\n')
	scratch = appendNames(scratch, headers)
	scratch = append(scratch, '\n')
	scratch = append(scratch, payload...)
	digest := sha256.Sum256(scratch)

	scratch = append(scratch[:0], algorithm+"\n"...)
	scratch = append(scratch, date...)
	scratch = append(scratch, '\n')
	scratch = s.appendScope(scratch, day)
	scratch = append(scratch, '\n')
	scratch = hex.AppendEncode(scratch, digest[:])
	mac := hmac.New(sha256.New, s.keyFor(day))
	mac.Write(scratch)
	var signature [sha256.Size]byte
	mac.Sum(signature[:0])

	dst = append(dst, r.Method...)
	dst = append(dst, ' ')
	dst = append(dst, r.Path...)
	if r.Query != "" {
		dst = append(dst, '?')
		dst = append(dst, r.Query...)
	}
	dst = append(dst, " HTTP/1.1\r\n"...)
	for _, h := range headers {
		dst = append(dst, h.Name...)
		dst = append(dst, ": "...)
		dst = append(dst, h.Value...)
		dst = append(dst, "\r\n"...)
	}
	dst = append(dst, "authorization: "+algorithm+" Credential="...)
	dst = append(dst, s.cred.AccessKeyID...)
	dst = append(dst, '/')
	dst = s.appendScope(dst, day)
	dst = append(dst, ", SignedHeaders="...)
	dst = appendNames(dst, headers)
	dst = append(dst, ", Signature="...)
	dst = hex.AppendEncode(dst, signature[:])
	dst = append(dst, "\r\n"...)
	return dst, scratch
}

func (s *signer) appendScope(dst []byte, day string) []byte {
	dst = append(dst, day...)
	dst = append(dst, '/')
	dst = append(dst, s.cred.Region...)
	dst = append(dst, '/')
	dst = append(dst, s.cred.service()...)
	return append(dst, "/aws4_request"...)
}

func appendNames(dst []byte, headers []Header) []byte {
	for i, h := range headers {
		if i > 0 {
			dst = append(dst, ';')
		}
		dst = append(dst, h.Name...)
	}
	return dst
}

// signedHeaders merges the three headers that every request signs into the caller's, in the byte
// order of their names, which SigV4 asks for.
func signedHeaders(host, date, payload string, extra []Header) []Header {
	all := make([]Header, 0, 8)
	all = append(all, Header{"host", host}, Header{"x-amz-content-sha256", payload}, Header{"x-amz-date", date})
	for _, h := range extra {
		i := len(all)
		all = append(all, h)
		for ; i > 0 && all[i-1].Name > h.Name; i-- {
			all[i] = all[i-1]
		}
		all[i] = h
	}
	return all
}
