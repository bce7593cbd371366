package front

import (
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
)

// ownPrefix begins Kura's own paths. No bucket can be called "-".
const ownPrefix = "/-/"

// own tells whether r is for Kura itself. Below a virtual host's name the path is an object's key.
func (s *Server) own(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, ownPrefix) && !s.virtualHost(r.Host)
}

// virtualHost tells whether host is BUCKET.DOMAIN.
func (s *Server) virtualHost(host string) bool {
	if len(s.domains) == 0 {
		return false
	}
	host = strings.ToLower(strings.TrimSuffix(withoutPort(host), "."))
	for _, d := range s.domains {
		if strings.HasSuffix(host, d) {
			return true
		}
	}
	return false
}

func withoutPort(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		return h
	}
	return host
}

func (s *Server) serveOwn(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	path := strings.TrimPrefix(r.URL.Path, ownPrefix)
	if s.config.Console != nil && (path == "console" || strings.HasPrefix(path, "console/")) {
		if !s.reaches("console", r) {
			say(w, http.StatusForbidden, "the console is not for this address")
			return
		}
		s.config.Console.ServeHTTP(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		say(w, http.StatusMethodNotAllowed, "method not allowed")
		return
	}
	switch path {
	case "live":
		say(w, http.StatusOK, "ok")
	case "ready":
		s.serveReady(w)
	case "metrics":
		s.serveMetrics(w, r)
	default:
		s.servePublic(w, r)
	}
}

// servePublic answers with a document that anybody may read.
func (s *Server) servePublic(w http.ResponseWriter, r *http.Request) {
	if s.config.Public != nil {
		if contentType, body, ok := s.config.Public(r.URL.Path); ok {
			h := w.Header()
			h.Set("Content-Type", contentType)
			h.Set("Content-Length", strconv.Itoa(len(body)))
			w.WriteHeader(http.StatusOK)
			_, _ = w.Write(body) // a client that is gone needs no answer
			return
		}
	}
	say(w, http.StatusNotFound, "not found")
}

func (s *Server) serveReady(w http.ResponseWriter) {
	if s.draining.Load() {
		say(w, http.StatusServiceUnavailable, "stopping")
		return
	}
	if s.config.Ready != nil {
		if err := s.config.Ready(); err != nil {
			s.config.Log.Warn("not ready", "err", err)
			say(w, http.StatusServiceUnavailable, "not ready")
			return
		}
	}
	say(w, http.StatusOK, "ok")
}

// serveMetrics answers whom they are open to, and whoever Authorize lets in.
func (s *Server) serveMetrics(w http.ResponseWriter, r *http.Request) {
	if s.config.Metrics == nil {
		say(w, http.StatusNotFound, "not found")
		return
	}
	if !s.scrapes(r) && (s.config.Authorize == nil || s.config.Authorize(r) != nil) {
		say(w, http.StatusForbidden, "metrics are for this machine and for authorised principals")
		return
	}
	s.config.Metrics.ServeHTTP(w, r)
}

// scrapes tells whether a monitoring system reads the metrics from where it may. No web page is one: its
// name could have been made to resolve to this server.
func (s *Server) scrapes(r *http.Request) bool {
	h := r.Header
	return s.reaches("metrics", r) && (local(r) || h["Sec-Fetch-Site"] == nil && h["Origin"] == nil && h["Referer"] == nil)
}

// reaches tells whether r comes from where a surface may be seen. A proxy that is not trusted vouches for
// nobody, and this machine counts only while nobody stands in between.
func (s *Server) reaches(surface string, r *http.Request) bool {
	p := PeerOf(r.Context())
	if p.Unvouched || p.IP.IsLoopback() && !local(r) {
		return false
	}
	if s.config.Reaches == nil {
		return local(r)
	}
	return s.config.Reaches(surface, p.IP)
}

// local tells whether r comes from this machine and nobody stands in between: no proxy, and no
// web page whose name was made to resolve to a loopback address (its Host would be that name).
func local(r *http.Request) bool {
	p := PeerOf(r.Context())
	if !p.IP.IsLoopback() || p.Forwarded {
		return false
	}
	host := strings.Trim(withoutPort(r.Host), "[]")
	if host == "localhost" {
		return true
	}
	_, err := netip.ParseAddr(host)
	return err == nil
}

func say(w http.ResponseWriter, status int, text string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(text)+1))
	w.WriteHeader(status)
	// A client that is gone needs no answer.
	_, _ = io.WriteString(w, text+"\n")
}
