package api

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/policy"
)

// OnBehalf runs a request that Kura itself makes in the name of somebody: a service principal that
// delivers logs, a role that replicates. It walks the same staircase as a request from outside, with
// the same decisions, rules and records; only the signature is missing, because whoever holds the
// Server has established the subject. No request of the network comes here.
//
// A host of the form SERVICE.inside names the service; otherwise it is found as for any other request.
// The caller reads and closes the response's body, as with net/http.
func (s *Server) OnBehalf(ctx context.Context, as *authz.Subject, r *http.Request) (*http.Response, error) {
	if as == nil {
		return nil, errors.New("api: a request on nobody's behalf")
	}
	r = r.Clone(ctx)
	if r.Body == nil {
		r.Body = http.NoBody
	}
	r.RequestURI = r.URL.RequestURI()
	read, write := io.Pipe()
	w := &inside{header: http.Header{}, body: write, answered: make(chan struct{})}
	go s.serveInside(w, as, r)
	select {
	case <-w.answered:
	case <-ctx.Done():
		read.CloseWithError(ctx.Err())
		<-w.answered
		return nil, ctx.Err()
	}
	if w.broken != nil {
		return nil, w.broken
	}
	length, err := strconv.ParseInt(w.sent.Get("Content-Length"), 10, 64)
	if err != nil {
		length = -1
	}
	return &http.Response{
		Status: http.StatusText(w.status), StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, Body: read, ContentLength: length, Request: r,
	}, nil
}

// errBroken says that an answer did not come to its end.
var errBroken = errors.New("api: the answer was broken off")

func (s *Server) serveInside(w *inside, as *authz.Subject, r *http.Request) {
	defer func() {
		if v := recover(); v != nil {
			w.end(errBroken)
			if v != http.ErrAbortHandler {
				s.config.Log.Error("panic", "method", r.Method, "path", r.URL.Path, "err", v)
			}
			return
		}
		w.end(nil)
	}()
	c := NewCall(w, r)
	c.subject = as
	c.Peer = Peer{Secure: true, TLSVersion: "1.3", Listener: "inside", RequestID: newRequestID(), HostID: newHostID()}
	s.serve(c)
}

// inCaller is the caller of a request made inside.
func (c *Call) inCaller() *authn.Caller {
	how := authn.Inside
	if c.subject.Principal.Type == policy.Anonymous {
		how = authn.Anonymous
	}
	return &authn.Caller{
		Subject: *c.subject, AuthType: how, Service: c.Service.Name(), Region: c.Event.Region,
		Body: c.R.Body, DecodedLength: c.R.ContentLength,
	}
}

func newRequestID() string {
	var b [8]byte
	rand.Read(b[:])
	return strings.ToUpper(hex.EncodeToString(b[:]))
}

func newHostID() string {
	var b [56]byte
	rand.Read(b[:])
	return base64.StdEncoding.EncodeToString(b[:])
}

// inside is the http.ResponseWriter of a request made inside.
type inside struct {
	header, sent http.Header
	status       int
	body         *io.PipeWriter
	once         sync.Once
	answered     chan struct{}
	broken       error // before the answer began
}

func (w *inside) Header() http.Header { return w.header }

func (w *inside) WriteHeader(status int) {
	w.once.Do(func() {
		w.status, w.sent = status, canonical(w.header)
		close(w.answered)
	})
}

// canonical is a copy of h with the names that http.Header.Get looks for; some of S3's are spelt
// another way on the wire.
func canonical(h http.Header) http.Header {
	out := make(http.Header, len(h))
	for name, values := range h {
		name = http.CanonicalHeaderKey(name)
		out[name] = append(out[name], values...)
	}
	return out
}

func (w *inside) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}

// end closes the answer's body; err is told to its reader, or in place of an answer.
func (w *inside) end(err error) {
	w.once.Do(func() {
		w.broken = err
		w.status, w.sent = http.StatusOK, canonical(w.header)
		close(w.answered)
	})
	w.body.CloseWithError(err) // nil: io.EOF
}
