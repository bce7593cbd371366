package authn

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Signing is what a request is signed with.
type Signing struct {
	AccessKeyID, Secret string
	SessionToken        string // of temporary keys
	Region, Service     string
	Time                time.Time
	// PayloadHash is the value of x-amz-content-sha256: UnsignedPayload, a hash in hex, or one of
	// the streaming forms. Empty: UnsignedPayload for S3, the hash of nothing for others.
	PayloadHash string
}

func (s *Signing) payloadHash() string {
	switch {
	case s.PayloadHash != "":
		return s.PayloadHash
	case s.Service == "s3":
		return UnsignedPayload
	}
	return emptySHA256
}

func (s *Signing) scopeText() string {
	return strings.Join([]string{s.Time.UTC().Format(dateLayout), s.Region, s.Service, terminal}, "/")
}

// Sign puts an Authorization header on r, signing its host, content-type, content-md5 and every
// x-amz-* header. It returns the signature: the seed of the chunks of a streamed body.
func Sign(r *http.Request, s Signing) (signature string, err error) {
	amzDate := s.Time.UTC().Format(timeLayout)
	r.Header.Set("X-Amz-Date", amzDate)
	r.Header.Del("Authorization")
	if s.SessionToken != "" {
		r.Header.Set("X-Amz-Security-Token", s.SessionToken)
	}
	if s.Service == "s3" {
		r.Header.Set("X-Amz-Content-Sha256", s.payloadHash())
	}
	names := signedNames(r.Header)
	if signature, err = s.sign(r, amzDate, names, false); err != nil {
		return "", err
	}
	r.Header.Set("Authorization", Algorithm+" Credential="+s.AccessKeyID+"/"+s.scopeText()+
		", SignedHeaders="+names+", Signature="+signature)
	return signature, nil
}

// Presign returns the URL of r with a signature that holds for the given time. Headers that r
// has are signed too, and whoever uses the URL has to send them.
func Presign(r *http.Request, s Signing, expires time.Duration) (string, error) {
	amzDate := s.Time.UTC().Format(timeLayout)
	names := signedNames(r.Header)
	var q strings.Builder
	q.WriteString(r.URL.RawQuery)
	for _, p := range [...][2]string{
		{"X-Amz-Algorithm", Algorithm},
		{"X-Amz-Credential", s.AccessKeyID + "/" + s.scopeText()},
		{"X-Amz-Date", amzDate},
		{"X-Amz-Expires", strconv.FormatInt(int64(expires/time.Second), 10)},
		{"X-Amz-Security-Token", s.SessionToken},
		{"X-Amz-SignedHeaders", names},
	} {
		if p[1] == "" {
			continue
		}
		if q.Len() > 0 {
			q.WriteByte('&')
		}
		q.WriteString(p[0] + "=" + url.QueryEscape(p[1]))
	}
	u := *r.URL
	u.RawQuery = q.String()
	signed := r.Clone(r.Context())
	signed.URL = &u
	signature, err := s.sign(signed, amzDate, names, true)
	if err != nil {
		return "", err
	}
	u.RawQuery += "&X-Amz-Signature=" + signature
	return u.String(), nil
}

func (s *Signing) sign(r *http.Request, amzDate, names string, presigned bool) (string, error) {
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	c := newCanonical()
	defer c.release()
	if _, err := c.build(&facts{
		r: r, host: host, path: r.URL.EscapedPath(), signedHeaders: names,
		payloadHash: s.payloadHash(), s3: s.Service == "s3", presigned: presigned,
	}, amzDate, s.scopeText()); err != nil {
		return "", err
	}
	key := deriveKey(s.Secret, amzDate[:len(dateLayout)], s.Region, s.Service)
	return string(key.sign(nil, c.toSign)), nil
}

func signedNames(h http.Header) string {
	names := []string{"host"}
	for key := range h {
		name := strings.ToLower(key)
		if strings.HasPrefix(name, "x-amz-") || name == "content-type" || name == "content-md5" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ";")
}
