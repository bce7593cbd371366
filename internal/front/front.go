// Package front is where connections come in: the plain and the TLS listener, the limits that a
// hostile client meets, who is at the other end, and Kura's own paths below /-/.
//
// What it promises the handler behind it: a request has a Peer in its context (address, TLS,
// request id); forwarded addresses count only from trusted proxies; a body that stops flowing
// ends in an error; a panic becomes a plain 500 and nothing of it reaches the client. The request
// itself is untouched: path, query, headers and Host are as they were sent, because signatures
// cover them.
//
// On the hot path it adds one allocation for the request's context and writer, one inside net/http
// for carrying it, and neither goroutines nor timers: slow clients are found by one watcher that
// walks the connections (pace.go). HTTP/2 is not offered, as at S3 itself: a connection is one
// request at a time, so limits on connections are limits on work.
package front

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Config of a Server.
type Config struct {
	// Handler gets every request whose path is not Kura's own. Required.
	Handler http.Handler
	// Log is required.
	Log *slog.Logger
	// TrustedProxies are the networks whose X-Forwarded-For and X-Forwarded-Proto count.
	TrustedProxies []netip.Prefix
	// Admit tells whether a client at from may use a listener. It is asked when a connection is accepted,
	// before anything is read, and again of a client whose address a trusted proxy tells. Proxy: from is
	// that of a trusted proxy. Nil: everybody may.
	Admit func(listener string, from netip.Addr, proxy bool) bool
	// Reaches tells whether a client at from may see a surface, "metrics" or "console". Nil: clients on
	// this machine.
	Reaches func(surface string, from netip.Addr) bool
	// Domains are the names under which BUCKET.DOMAIN is a bucket: there, /-/… is an object's key.
	Domains []string
	// Metrics answers /-/metrics. Nil: 404.
	Metrics http.Handler
	// Authorize lets a caller who is not on this machine read the metrics. Nil: nobody.
	Authorize func(*http.Request) error
	// Public has further documents below /-/ that anybody may read, by their whole path. Nil: none.
	Public func(path string) (contentType string, body []byte, ok bool)
	// Console answers /-/console/. Nil: 404.
	Console http.Handler
	// Ready tells whether requests can be served, for /-/ready. Nil: always.
	Ready func() error
	// Limits of what a client may take. Zero fields have the defaults of DefaultLimits.
	Limits Limits
}

// Limits are what a hostile client meets.
type Limits struct {
	// Connections open at once, Connections of one address (of one /64 in IPv6).
	Connections, ConnectionsPerIP int
	// Unauthenticated bounds the connections on which nobody was authenticated yet. A further one
	// takes the place of the oldest that is between requests.
	Unauthenticated int
	// StrangerRequests and StrangerAge end a connection that never authenticates, after an answer.
	StrangerRequests int
	StrangerAge      time.Duration
	// Uploads bounds the requests with a body at once; a quarter of it is for bodies that are read
	// before anybody was authenticated.
	Uploads int
	// HeaderBytes bounds the request line and headers.
	HeaderBytes int
	// HeaderTimeout is the time for the TLS handshake, and for the headers once they began.
	HeaderTimeout time.Duration
	// IdleTimeout is how long a connection waits for the next request.
	IdleTimeout time.Duration
	// Window is the time in which a body that is waited for must make MinProgress bytes, and in
	// which a client must take what is written to it. A stranger has a quarter of it.
	Window      time.Duration
	MinProgress int64
}

// DefaultLimits hold where a Config says nothing.
func DefaultLimits() Limits {
	return Limits{
		Connections: 8192, ConnectionsPerIP: 1024,
		Unauthenticated: 1024, StrangerRequests: 100, StrangerAge: time.Minute,
		Uploads:     512,
		HeaderBytes: 32 << 10, HeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		Window: time.Minute, MinProgress: 64 << 10,
	}
}

func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	fill(&l.Connections, d.Connections)
	fill(&l.ConnectionsPerIP, d.ConnectionsPerIP)
	fill(&l.Unauthenticated, d.Unauthenticated)
	fill(&l.StrangerRequests, d.StrangerRequests)
	fill(&l.StrangerAge, d.StrangerAge)
	fill(&l.Uploads, d.Uploads)
	fill(&l.HeaderBytes, d.HeaderBytes)
	fill(&l.HeaderTimeout, d.HeaderTimeout)
	fill(&l.IdleTimeout, d.IdleTimeout)
	fill(&l.Window, d.Window)
	fill(&l.MinProgress, d.MinProgress)
	return l
}

func fill[T int | int64 | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

// Server accepts connections on any number of listeners. Make it with New.
type Server struct {
	config   Config
	http     *http.Server
	conns    *registry
	uploads  gate
	hostID   string // 64 characters that all host ids of this process begin with
	domains  []string
	started  time.Time
	draining atomic.Bool
	inFlight atomic.Int64 // requests that a handler works on
	served   atomic.Int64 // of these, since the start
	watcher  sync.WaitGroup
	stop     chan struct{}
	stopOnce sync.Once
}

// New makes a Server that listens to nothing yet.
func New(c Config) (*Server, error) {
	if c.Handler == nil || c.Log == nil {
		return nil, errors.New("front: a server needs a handler and a log")
	}
	c.Limits = c.Limits.withDefaults()
	s := &Server{
		config:  c,
		conns:   newRegistry(c.Limits, c.TrustedProxies),
		uploads: gate{limit: int64(c.Limits.Uploads), strangers: int64(max(1, c.Limits.Uploads/4))},
		hostID:  newHostID(),
		started: time.Now(),
		stop:    make(chan struct{}),
	}
	for _, d := range c.Domains {
		s.domains = append(s.domains, "."+strings.ToLower(d))
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	s.http = &http.Server{
		Handler:           s,
		Protocols:         protocols,
		ReadHeaderTimeout: c.Limits.HeaderTimeout,
		IdleTimeout:       c.Limits.IdleTimeout,
		MaxHeaderBytes:    c.Limits.HeaderBytes,
		ConnContext:       connContext,
		ConnState:         stateChanged,
		ErrorLog:          slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug),
		// OPTIONS * is the handler's business like everything else.
		DisableGeneralOptionsHandler: true,
	}
	s.watcher.Add(1)
	go s.watch()
	return s, nil
}

// newHostID makes the constant part of x-amz-id-2: 48 random bytes, 64 characters.
func newHostID() string {
	b := make([]byte, 48)
	rand.Read(b) // never fails
	return base64.StdEncoding.EncodeToString(b)
}

// Serve accepts connections from l until the server stops; then it returns nil. With a TLS
// configuration it speaks TLS. Name is the Listener of the requests' Peers.
func (s *Server) Serve(l net.Listener, name string, secure *tls.Config) error {
	l = &listener{Listener: l, server: s, name: name}
	if secure != nil {
		t := secure.Clone()
		t.MinVersion = max(t.MinVersion, tls.VersionTLS12)
		t.NextProtos = []string{"http/1.1"}
		l = tls.NewListener(l, t)
	}
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("front: %s: %w", name, err)
	}
	return nil
}

// Shutdown refuses new connections, lets requests in flight end, and returns when they have or
// when ctx is done; then what is left is cut off. It may be called more than once.
func (s *Server) Shutdown(ctx context.Context) error {
	s.draining.Store(true)
	err := s.http.Shutdown(ctx)
	if err != nil {
		s.http.Close()
		err = fmt.Errorf("front: requests in flight were cut off: %w", err)
		s.awaitHandlers()
	}
	s.stopOnce.Do(func() { close(s.stop) })
	s.watcher.Wait()
	return err
}

// lastWords is how long handlers have to return after their connections were cut off.
const lastWords = 3 * time.Second

// awaitHandlers waits until no handler works any more, so that what they use can be closed.
func (s *Server) awaitHandlers() {
	for end := time.Now().Add(lastWords); s.inFlight.Load() > 0 && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
}

// Stats of a Server since it was made.
type Stats struct {
	Connections     int // open now
	Unauthenticated int // of them
	Uploads         int // requests with a body in flight now
	Refused         map[string]int64
}

// Reasons for which a connection or request is refused or ended, the keys of Stats.Refused.
const (
	RefusedConnections = "connections"     // too many connections
	RefusedPerIP       = "connections_ip"  // too many of one address
	RefusedStranger    = "unauthenticated" // gave way to a new connection
	RefusedUploads     = "uploads"         // too many uploads
	RefusedSlowBody    = "slow_body"       // sent too little
	RefusedSlowReader  = "slow_reader"     // took too little
)

// Requests tells how many requests came since it was made, and how many are being served.
func (s *Server) Requests() (total, now int64) { return s.served.Load(), s.inFlight.Load() }

// Stats tells how it stands.
func (s *Server) Stats() Stats {
	st := s.conns.stats()
	st.Uploads = int(s.uploads.all.Load())
	st.Refused[RefusedUploads] = s.uploads.refused.Load()
	return st
}
