package front

import (
	"container/list"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

type connKey struct{}

// connContext makes the connection known to its requests.
func connContext(ctx context.Context, c net.Conn) context.Context {
	if k := connOf(c); k != nil {
		return context.WithValue(ctx, connKey{}, k)
	}
	return ctx
}

// listener admits connections.
type listener struct {
	net.Listener
	server *Server
	name   string
}

// Accept returns the next connection that the limits let in; others are closed at once.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if !l.server.admits(l.name, addressOf(c)) {
			drop(c)
			continue
		}
		k := l.server.conns.admit(c, l.name)
		if k == nil {
			c.Close()
			continue
		}
		if !l.server.admits(l.name, k.addr) { // the rules changed meanwhile, and Readmit did not see it
			k.Close()
			continue
		}
		return k, nil
	}
}

// admits asks whether a connection from addr is let in.
func (s *Server) admits(name string, addr netip.Addr) bool {
	return s.config.Admit == nil || s.config.Admit(name, addr, trusted(s.config.TrustedProxies, addr))
}

// drop closes a connection without a farewell: nothing of it stays in the kernel.
func drop(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // else it closes the slow way
	}
	c.Close()
}

// Readmit ends the connections that would not be let in now, requests on them included.
func (s *Server) Readmit() {
	for _, k := range s.conns.all(nil) {
		if !s.admits(k.listener, k.addr) {
			k.Close()
		}
	}
}

func addressOf(c net.Conn) netip.Addr {
	if t, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// conn is one connection and what the watcher must know of it.
type conn struct {
	net.Conn
	registry *registry
	addr     netip.Addr
	listener string
	opened   time.Time

	authenticated atomic.Bool
	busy          atomic.Bool // a request is being handled
	slow          atomic.Bool // the watcher gave it up
	waiting       atomic.Bool // somebody waits for the body
	discarding    atomic.Bool // net/http reads what a handler left of the body
	requests      atomic.Int64
	received      atomic.Int64
	writing       atomic.Int64 // the watcher's round in which the running Write began, else 0

	pace   pace // of the watcher
	answer gathered

	// Of the registry, under its lock.
	place  *list.Element // among the strangers
	closed bool
}

// stateChanged is net/http's word on a connection. Idle: the request before is over and done.
func stateChanged(c net.Conn, state http.ConnState) {
	if state != http.StateIdle {
		return
	}
	if k := connOf(c); k != nil {
		k.discarding.Store(false)
	}
}

func connOf(c net.Conn) *conn {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	k, _ := c.(*conn)
	return k
}

// Read counts what comes in.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.received.Add(int64(n))
	return n, err
}

// Write tells the watcher how long the client takes.
func (c *conn) Write(b []byte) (int, error) {
	all, more := c.answer.take(b)
	if more {
		return len(b), nil
	}
	c.writing.Store(c.registry.round.Load())
	n, err := c.Conn.Write(all)
	c.writing.Store(0)
	if n > len(b) || err == nil {
		n = len(b)
	}
	c.answer.done()
	return n, err
}

// Close gives the connection's places back.
func (c *conn) Close() error {
	c.registry.remove(c)
	return c.Conn.Close()
}

// CloseWrite lets net/http end an answer before it cuts a client off that is still sending.
func (c *conn) CloseWrite() error {
	if h, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return nil
}

// registry counts connections.
type registry struct {
	limits  Limits
	proxies []netip.Prefix
	round   atomic.Int64 // of the watcher; never 0

	mu        sync.Mutex
	open      map[*conn]struct{}
	perIP     map[netip.Prefix]int
	strangers *list.List // oldest first
	refused   map[string]int64
}

func newRegistry(l Limits, proxies []netip.Prefix) *registry {
	r := &registry{
		limits: l, proxies: proxies,
		open: map[*conn]struct{}{}, perIP: map[netip.Prefix]int{}, strangers: list.New(), refused: map[string]int64{},
	}
	r.round.Store(1)
	return r
}

// origin is what connections are counted by: an address, in IPv6 the /64 that one customer has.
func origin(a netip.Addr) netip.Prefix {
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // bits fit the family
	return p
}

// admit makes a conn of c, or returns nil when there is no room for it.
func (r *registry) admit(c net.Conn, name string) *conn {
	k := &conn{Conn: c, registry: r, addr: addressOf(c), listener: name, opened: time.Now()}
	victim, ok := r.enter(k)
	if victim != nil {
		victim.Close()
	}
	if !ok {
		return nil
	}
	return k
}

func (r *registry) enter(k *conn) (victim *conn, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	from := origin(k.addr)
	switch {
	case r.perIP[from] >= r.limits.ConnectionsPerIP && !trusted(r.proxies, k.addr):
		// One address: its own silent connections give way, nobody else's.
		victim = r.idleStranger(func(c *conn) bool { return origin(c.addr) == from })
		if victim == nil {
			r.refused[RefusedPerIP]++
			return nil, false
		}
	case r.strangers.Len() >= r.limits.Unauthenticated || len(r.open) >= r.limits.Connections:
		victim = r.idleStranger(func(*conn) bool { return true })
		if victim == nil {
			r.refused[RefusedConnections]++
			return nil, false
		}
	}
	if victim != nil {
		r.refused[RefusedStranger]++
		r.drop(victim)
	}
	r.open[k] = struct{}{}
	r.perIP[from]++
	k.place = r.strangers.PushBack(k)
	return victim, true
}

// idleStranger is the oldest of the unauthenticated connections that are meant and that no request
// runs on.
func (r *registry) idleStranger(meant func(*conn) bool) *conn {
	for e := r.strangers.Front(); e != nil; e = e.Next() {
		if k := e.Value.(*conn); !k.busy.Load() && meant(k) {
			return k
		}
	}
	return nil
}

// introduced takes k from the strangers.
func (r *registry) introduced(k *conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if k.place != nil {
		r.strangers.Remove(k.place)
		k.place = nil
	}
}

func (r *registry) remove(k *conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drop(k)
}

// drop forgets k. The caller holds the lock.
func (r *registry) drop(k *conn) {
	if k.closed {
		return
	}
	k.closed = true
	delete(r.open, k)
	from := origin(k.addr)
	if r.perIP[from]--; r.perIP[from] <= 0 {
		delete(r.perIP, from)
	}
	if k.place != nil {
		r.strangers.Remove(k.place)
		k.place = nil
	}
}

func (r *registry) count(reason string) {
	r.mu.Lock()
	r.refused[reason]++
	r.mu.Unlock()
}

func (r *registry) stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	st := Stats{Connections: len(r.open), Unauthenticated: r.strangers.Len(), Refused: make(map[string]int64, len(r.refused)+1)}
	for k, v := range r.refused {
		st.Refused[k] = v
	}
	return st
}

// all appends the open connections to buf.
func (r *registry) all(buf []*conn) []*conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	for k := range r.open {
		buf = append(buf, k)
	}
	return buf
}
