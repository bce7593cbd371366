package front

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"
)

// Errors of reading a request's body, beside those of the connection.
var (
	// ErrSlowBody: the body made too little progress. S3 calls it RequestTimeout.
	ErrSlowBody = errors.New("front: the client sent too little of the body in time")
	// ErrTooManyUploads: nobody was authenticated and others like that are sending bodies
	// already. S3 calls it SlowDown.
	ErrTooManyUploads = errors.New("front: too many uploads by unauthenticated clients")
)

type exchangeKey struct{}

// exchange is one request: its context, its response writer and its body in one allocation.
type exchange struct {
	context.Context
	w       http.ResponseWriter
	peer    Peer
	conn    *conn
	head    bool // the request is a HEAD: its answer has no body
	started bool // the answer has begun
	upload  bool // holds a place in the gate
	body    body
}

// Value gives the exchange itself to PeerOf, and the rest to the connection's context.
func (x *exchange) Value(key any) any {
	if key == (exchangeKey{}) {
		return x
	}
	return x.Context.Value(key)
}

// Header, Write, WriteHeader, Flush and Unwrap make the exchange the request's response writer.
func (x *exchange) Header() http.Header { return x.w.Header() }

func (x *exchange) Write(b []byte) (int, error) {
	x.begin()
	return x.w.Write(b)
}

func (x *exchange) WriteHeader(status int) {
	if status >= 200 {
		x.begin()
		x.gather(status)
	}
	x.w.WriteHeader(status)
}

// gather lets header and body of a small answer leave in one write where net/http would make two.
func (x *exchange) gather(status int) {
	if x.head || x.peer.TLSVersion != "" || status != http.StatusOK && status != http.StatusPartialContent {
		return
	}
	if v := x.w.Header()["Content-Length"]; len(v) == 1 {
		if n, err := strconv.Atoi(v[0]); err == nil && n >= gatherFrom && n <= gatherTo {
			x.conn.answer.expect(n)
		}
	}
}

// begin notes that the answer begins. What is left of the body is then read and thrown away by
// net/http, out of sight of body.Read: the watcher must know.
func (x *exchange) begin() {
	if x.started {
		return
	}
	x.started = true
	if !x.upload || x.body.ended {
		return
	}
	x.conn.discarding.Store(true)
	if !x.conn.authenticated.Load() {
		// Nothing more is read from a stranger whose body nobody wants.
		x.w.Header()["Connection"] = []string{"close"}
	}
}

func (x *exchange) Flush() {
	x.begin()
	if f, ok := x.w.(http.Flusher); ok {
		f.Flush()
	}
}

func (x *exchange) Unwrap() http.ResponseWriter { return x.w }

// smallBody is a body that takes no place among the uploads: the calls of services that must read
// a body before they know whose it is (IAM, STS) go on while strangers hold every place. What
// such bodies cost is bounded by the connections.
const smallBody = 16 << 10

// body tells the watcher when somebody waits for the client's bytes.
type body struct {
	io.ReadCloser
	conn     *conn
	gate     *gate
	begun    bool // somebody wanted the first byte
	stranger bool // holds a place among the strangers
	ended    bool // the client's last byte was read
}

func (b *body) Read(p []byte) (int, error) {
	if !b.begun {
		b.begun = true
		if b.gate != nil && !b.conn.authenticated.Load() {
			if !b.gate.enterStranger() {
				b.begun = false
				return 0, ErrTooManyUploads
			}
			b.stranger = true
		}
	}
	b.conn.waiting.Store(true)
	n, err := b.ReadCloser.Read(p)
	b.conn.waiting.Store(false)
	if err == io.EOF {
		b.ended = true
	} else if err != nil && b.conn.slow.Load() {
		err = ErrSlowBody
	}
	return n, err
}

// introduced moves the body out of the strangers' share.
func (b *body) introduced() {
	if b.stranger {
		b.stranger = false
		b.gate.unknown.Add(-1)
	}
}

// ServeHTTP is the life of a request between the connection and the handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, ok := r.Context().Value(connKey{}).(*conn)
	if !ok {
		// A request that came through no listener of ours has no peer to judge it by.
		http.Error(w, "misdirected", http.StatusMisdirectedRequest)
		return
	}
	x := &exchange{Context: r.Context(), w: w, conn: c, head: r.Method == http.MethodHead}
	x.peer.Listener = c.listener
	x.peer.RequestID, x.peer.HostID = s.newID()
	if r.TLS != nil {
		x.peer.TLSVersion = tlsVersion(r.TLS.Version)
	}
	s.identify(&x.peer, c.addr, r)
	c.begin(w, s.config.Limits)
	s.inFlight.Add(1)
	s.served.Add(1)
	defer s.end(x, r)

	if !s.admitsClient(&x.peer, c.addr) {
		x.refuse(http.StatusForbidden, "AccessDenied", "Access Denied")
		return
	}
	if s.own(r) {
		s.serveOwn(x, r.WithContext(x))
		return
	}
	var places *gate
	if r.ContentLength < 0 || r.ContentLength > smallBody {
		if !s.uploads.enter() {
			x.refuse(http.StatusServiceUnavailable, "SlowDown", "Please reduce your request rate.")
			return
		}
		places, x.upload = &s.uploads, true
	}
	r = r.WithContext(x)
	if r.Body != nil && r.Body != http.NoBody {
		x.body = body{ReadCloser: r.Body, conn: c, gate: places}
		r.Body = &x.body
	}
	x.goOn(r)
	s.config.Handler.ServeHTTP(x, r)
}

// goOn sends the 100 that a client waits for with an empty body: net/http sends one when the body is
// read, and of an empty one nothing is. boto3 expects it for every body, and takes a final answer that comes without
// it for the answer to its next request on the connection, too.
func (x *exchange) goOn(r *http.Request) {
	if r.ContentLength == 0 && r.ProtoAtLeast(1, 1) && r.Header.Get("Expect") != "" {
		x.w.WriteHeader(http.StatusContinue)
	}
}

// end gives back what the request held and turns a panic into an answer.
func (s *Server) end(x *exchange, r *http.Request) {
	s.inFlight.Add(-1)
	if x.upload {
		x.body.introduced()
		s.uploads.all.Add(-1)
	}
	if x.body.ReadCloser != nil && !x.body.ended {
		x.conn.discarding.Store(true)
	}
	x.conn.busy.Store(false)
	v := recover()
	if v == nil {
		return
	}
	if v == http.ErrAbortHandler {
		panic(v)
	}
	s.config.Log.Error("panic", "requestId", x.peer.RequestID, "method", r.Method, "err", fmt.Sprint(v), "stack", string(debug.Stack()))
	if x.started {
		panic(http.ErrAbortHandler)
	}
	x.refuse(http.StatusInternalServerError, "InternalError", "We encountered an internal error. Please try again.")
}

// refuse answers in S3's form without the pipeline, and closes the connection.
func (x *exchange) refuse(status int, code, message string) {
	h := x.Header()
	clear(h)
	h.Set("Content-Type", "application/xml")
	h.Set("Connection", "close")
	h.Set("X-Amz-Request-Id", x.peer.RequestID)
	h.Set("X-Amz-Id-2", x.peer.HostID)
	answer := `<?xml version="1.0" encoding="UTF-8"?>` + "\n<Error><Code>" + code + "</Code><Message>" + message +
		"</Message><RequestId>" + x.peer.RequestID + "</RequestId><HostId>" + x.peer.HostID + "</HostId></Error>"
	h.Set("Content-Length", strconv.Itoa(len(answer)))
	x.WriteHeader(status)
	// The client may be gone; there is nobody left to tell.
	_, _ = io.WriteString(x, answer)
}

func (x *exchange) authenticated() {
	if x.conn.authenticated.Swap(true) {
		return
	}
	x.conn.registry.introduced(x.conn)
	if x.upload {
		x.body.introduced()
	}
}

// newID makes a request id and a host id in one allocation.
func (s *Server) newID() (request, host string) {
	const hexDigits = "0123456789ABCDEF"
	var b [16 + 64 + 12]byte
	n := rand.Uint64()
	var raw [8]byte
	for i := range raw {
		v := byte(n >> (8 * i))
		raw[i] = v
		b[2*i], b[2*i+1] = hexDigits[v>>4], hexDigits[v&15]
	}
	copy(b[16:], s.hostID)
	base64.StdEncoding.Encode(b[80:], raw[:])
	id := string(b[:])
	return id[:16], id[16:]
}

func tlsVersion(v uint16) string {
	switch v {
	case tls.VersionTLS12:
		return "1.2"
	case tls.VersionTLS13:
		return "1.3"
	}
	return ""
}

// gate bounds the uploads in flight, and among them those of connections that did not
// authenticate, so that strangers cannot take every place. A member's signature is in the
// headers and is judged before the first byte of the body is read; whoever reads before that
// serves a stranger (anonymous uploads, forms).
type gate struct {
	limit, strangers int64
	all, unknown     atomic.Int64
	refused          atomic.Int64
}

func (g *gate) enter() bool { return g.take(&g.all, g.limit) }

func (g *gate) enterStranger() bool { return g.take(&g.unknown, g.strangers) }

func (g *gate) take(places *atomic.Int64, limit int64) bool {
	if places.Add(1) > limit {
		places.Add(-1)
		g.refused.Add(1)
		return false
	}
	return true
}

// begin notes a request on the connection. One that served its share of strangers ends with
// this answer.
func (c *conn) begin(w http.ResponseWriter, l Limits) {
	c.busy.Store(true)
	n := c.requests.Add(1)
	if c.authenticated.Load() {
		return
	}
	if n >= int64(l.StrangerRequests) || time.Since(c.opened) > l.StrangerAge {
		w.Header()["Connection"] = []string{"close"}
	}
}
