package front

import "time"

// rounds is how often the watcher looks within one Limits.Window.
const rounds = 12

// watch finds clients that keep a request without sending or taking its bytes. It samples: in each
// round in which somebody waits for a body, the connection's wait grows by one; when it has grown
// to a whole window, the bytes that came meanwhile must be MinProgress, and a new window begins.
// The server's own slowness is not held against a client.
func (s *Server) watch() {
	defer s.watcher.Done()
	t := time.NewTicker(s.config.Limits.Window / rounds)
	defer t.Stop()
	var buf []*conn
	for {
		select {
		case <-s.stop:
			return
		case <-t.C:
		}
		round := s.conns.round.Add(1)
		buf = s.conns.all(buf[:0])
		for _, c := range buf {
			s.pace(c, round)
		}
		clear(buf)
	}
}

// pace is what the watcher remembers of a connection.
type pace struct {
	request int64 // that the numbers below belong to
	waited  int64 // rounds in which the client was waited for
	mark    int64 // bytes received when the window began
}

func (s *Server) pace(c *conn, round int64) {
	if since := c.writing.Load(); since != 0 && round-since > c.patience() {
		s.conns.count(RefusedSlowReader)
		c.Conn.Close() // the running Write fails, and net/http closes the connection
		return
	}
	p := &c.pace
	if n := c.requests.Load(); n != p.request {
		*p = pace{request: n, mark: c.received.Load()}
	}
	if !c.waiting.Load() && !c.discarding.Load() {
		return
	}
	if p.waited++; p.waited < c.patience() {
		return
	}
	got := c.received.Load()
	enough := got-p.mark >= s.config.Limits.MinProgress*c.patience()/rounds
	p.waited, p.mark = 0, got
	if enough || c.slow.Load() {
		return
	}
	c.slow.Store(true)
	s.conns.count(RefusedSlowBody)
	// The read fails now; an answer can still be written.
	_ = c.Conn.SetReadDeadline(time.Unix(1, 0))
}

// patience is the number of rounds that a client may be waited for.
func (c *conn) patience() int64 {
	if c.authenticated.Load() {
		return rounds
	}
	return rounds / 4
}
