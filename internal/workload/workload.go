// Package workload gives local programs the temporary credentials of a role: an endpoint in the shape of EC2's
// instance metadata service (IMDSv2), and one in the shape of the credentials of ECS's containers. SDKs with an
// empty configuration find and renew the credentials by themselves.
//
// It promises: nobody gets credentials but by a rule that names the role, and the local user or the token that
// may have it; the answer to everybody else tells nothing of what there is. It answers on loopback alone, to
// requests that name a loopback host, come directly, and are no browser's. Every request of the metadata service
// needs a token that was asked for by PUT, from the same user. Nothing of it is kept on disk.
package workload

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/netutil"
)

// The services that roles have to trust.
const (
	EC2 = "ec2.amazonaws.com"
	ECS = "ecs-tasks.amazonaws.com"
)

// Rule says who gets a role. Either User or TokenFile is set.
type Rule struct {
	// Role is the role's ARN.
	Role string
	// User is the user id of the local processes that get the role from the metadata service.
	User *uint32
	// TokenFile names the file of the token that gets the role from the container endpoint. It is read at every
	// request, and only if nobody else can read it.
	TokenFile string
}

// Credentials of a session.
type Credentials struct {
	AccessKeyID, SecretAccessKey, SessionToken string
	Expiration                                 time.Time
}

// ErrDenied says that the role does not let the service assume it.
var ErrDenied = errors.New("workload: the role cannot be assumed")

// Config of a Server.
type Config struct {
	// Rules by which credentials are given. At least one; required.
	Rules []Rule
	// Assume begins a session of a role as a service of AWS does, for some seconds. Its error is ErrDenied
	// where the role does not let it. Required.
	Assume func(ctx context.Context, service, role, session string, seconds int) (*Credentials, error)
	// Valid tells whether a session can still be used. Required.
	Valid func(ctx context.Context, c *Credentials) bool
	// Region of this server. Required.
	Region string
	// Owner finds the local user who opened a connection. Default: what the kernel tells in /proc/net.
	Owner func(peer, local netip.AddrPort) (uid uint32, err error)
	// Log is required.
	Log *slog.Logger
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Server answers. It is an http.Handler for Serve's connections alone.
type Server struct {
	config  Config
	secret  [32]byte // of the tokens
	http    *http.Server
	mux     sync.Mutex
	held    map[heldBy]*held
	started time.Time
}

// heldBy is whose session is held.
type heldBy struct{ service, role, name string }

// held is a session, given out until it is old. One asks for it at a time.
type held struct {
	mu     sync.Mutex
	creds  *Credentials
	err    error
	since  time.Time
	before time.Time // when a new one is asked for
}

const (
	sessionSeconds = 3600
	// renewBefore is the time that given credentials are good for at least. SDKs renew a quarter of an hour before the end.
	renewBefore = 25 * time.Minute
	// pause after a failure before a role is asked for again.
	pause = 2 * time.Second
)

// Limits of the endpoint. What asks is a handful of local programs.
const (
	maxConnections = 256
	readTimeout    = 5 * time.Second
	idleTimeout    = time.Minute
	maxHeader      = 16 << 10
)

// New makes a Server.
func New(c Config) (*Server, error) {
	if len(c.Rules) == 0 || c.Assume == nil || c.Valid == nil || c.Region == "" || c.Log == nil {
		return nil, errors.New("workload: a Server needs Rules, Assume, Valid, Region and Log")
	}
	users := map[uint32]bool{}
	for _, r := range c.Rules {
		if r.Role == "" || (r.User == nil) == (r.TokenFile == "") {
			return nil, errors.New("workload: a rule needs a role, and a user or a token")
		}
		if r.User == nil {
			continue
		}
		if users[*r.User] {
			return nil, errors.New("workload: the user " + strconv.FormatUint(uint64(*r.User), 10) + " has two roles")
		}
		users[*r.User] = true
	}
	if c.Owner == nil {
		c.Owner = Owner
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &Server{config: c, held: map[heldBy]*held{}}
	s.started = c.Now()
	rand.Read(s.secret[:])
	s.http = &http.Server{
		Handler: s, ReadHeaderTimeout: readTimeout, ReadTimeout: readTimeout, WriteTimeout: 30 * time.Second, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, conn)
		},
	}
	return s, nil
}

type connKey struct{}

// Serve answers what comes in at l, whose address must be loopback, until Close.
func (s *Server) Serve(l net.Listener) error {
	at, err := netip.ParseAddrPort(l.Addr().String())
	if err != nil || !at.Addr().Unmap().IsLoopback() {
		return errors.New("workload: " + l.Addr().String() + " is not a loopback address")
	}
	err = s.http.Serve(netutil.LimitListener(l, maxConnections))
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Close ends all connections.
func (s *Server) Close() error { return s.http.Close() }

// Paths.
const (
	tokenPath     = "/latest/api/token"
	rolesPath     = "/latest/meta-data/iam/security-credentials/"
	documentPath  = "/latest/dynamic/instance-identity/document"
	containerPath = "/v1/credentials"
)

// Headers of the metadata service.
const (
	tokenHeader = "X-Aws-Ec2-Metadata-Token"
	ttlHeader   = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"
)

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Server", "EC2ws")
	w.Header().Set("Cache-Control", "no-store")
	switch {
	case !direct(r):
		s.refuse(w, http.StatusForbidden)
	case r.URL.Path == containerPath:
		s.container(w, r)
	case r.URL.Path == tokenPath:
		s.token(w, r)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		s.refuse(w, http.StatusMethodNotAllowed)
	default:
		s.metadata(w, r)
	}
}

// direct refuses what did not come from a program of this machine that meant this endpoint: what a proxy passed
// on, what a browser sends, and a name that leads here though it is somebody else's (DNS rebinding).
func direct(r *http.Request) bool {
	for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Host", "Forwarded", "Via", "Origin", "Sec-Fetch-Site", "Sec-Fetch-Mode"} {
		if r.Header[http.CanonicalHeaderKey(name)] != nil {
			return false
		}
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	at, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && at.Unmap().IsLoopback()
}

func (s *Server) refuse(w http.ResponseWriter, status int) {
	http.Error(w, strconv.Itoa(status)+" - "+http.StatusText(status), status)
}

// user is the local user who sent the request.
func (s *Server) user(r *http.Request) (uint32, bool) {
	conn, ok := r.Context().Value(connKey{}).(net.Conn)
	if !ok {
		return 0, false
	}
	peer, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	local, err2 := netip.ParseAddrPort(conn.LocalAddr().String())
	if err != nil || err2 != nil || !peer.Addr().Unmap().IsLoopback() || !local.Addr().Unmap().IsLoopback() {
		return 0, false
	}
	uid, err := s.config.Owner(peer, local)
	if err != nil {
		s.config.Log.Warn("workload credentials: whose connection it is cannot be told", "peer", peer, "err", err)
		return 0, false
	}
	return uid, true
}

// maxTTL of a token in seconds.
const maxTTL = 21600

// token answers the handshake.
func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPut {
		s.refuse(w, http.StatusMethodNotAllowed)
		return
	}
	ttl, err := strconv.Atoi(r.Header.Get(ttlHeader))
	if err != nil || ttl < 1 || ttl > maxTTL || len(r.Header[ttlHeader]) != 1 {
		s.refuse(w, http.StatusBadRequest)
		return
	}
	uid, ok := s.user(r)
	if !ok {
		s.refuse(w, http.StatusForbidden)
		return
	}
	w.Header().Set(ttlHeader, strconv.Itoa(ttl))
	w.Header().Set("Content-Type", "text/plain")
	_, _ = w.Write([]byte(s.newToken(uid, s.config.Now().Add(time.Duration(ttl)*time.Second))))
}

// newToken is the user, the end and a code that nobody else can make.
func (s *Server) newToken(uid uint32, until time.Time) string {
	b := binary.BigEndian.AppendUint32(nil, uid)
	b = binary.BigEndian.AppendUint64(b, uint64(until.UnixMilli()))
	return base64.URLEncoding.EncodeToString(append(b, s.code(b)...))
}

const tokenClaims = 4 + 8

func (s *Server) code(claims []byte) []byte {
	h := hmac.New(sha256.New, s.secret[:])
	h.Write(claims)
	return h.Sum(nil)
}

func (s *Server) goodToken(text string, uid uint32) bool {
	b, err := base64.URLEncoding.DecodeString(text)
	if err != nil || len(b) != tokenClaims+sha256.Size || !hmac.Equal(b[tokenClaims:], s.code(b[:tokenClaims])) {
		return false
	}
	until := time.UnixMilli(int64(binary.BigEndian.Uint64(b[4:])))
	return binary.BigEndian.Uint32(b) == uid && s.config.Now().Before(until)
}

// metadata answers what the metadata service is asked. There is no version 1: without a token nothing is told.
func (s *Server) metadata(w http.ResponseWriter, r *http.Request) {
	uid, ok := s.user(r)
	if !ok || len(r.Header[tokenHeader]) != 1 || !s.goodToken(r.Header.Get(tokenHeader), uid) {
		s.refuse(w, http.StatusUnauthorized)
		return
	}
	rule := s.ruleOf(uid)
	if rule == nil {
		s.refuse(w, http.StatusNotFound)
		return
	}
	role := rule.Role[strings.LastIndexByte(rule.Role, '/')+1:]
	switch path := r.URL.Path; path {
	case rolesPath, strings.TrimSuffix(rolesPath, "/"):
		s.text(w, role)
	case rolesPath + role:
		s.instance(r.Context(), w, rule)
	case documentPath:
		s.json(w, http.StatusOK, map[string]any{
			"version": "2017-09-30", "accountId": rule.account(), "region": s.config.Region, "availabilityZone": s.config.Region + "a",
			"instanceId": rule.instanceID(), "pendingTime": s.started.UTC().Format(time.RFC3339),
		})
	case "/latest/meta-data/instance-id":
		s.text(w, rule.instanceID())
	case "/latest/meta-data/placement/region":
		s.text(w, s.config.Region)
	case "/latest/meta-data/placement/availability-zone", "/latest/meta-data/placement/availability-zone/":
		s.text(w, s.config.Region+"a")
	default:
		s.refuse(w, http.StatusNotFound)
	}
}

func (s *Server) ruleOf(uid uint32) *Rule {
	for i := range s.config.Rules {
		if r := &s.config.Rules[i]; r.User != nil && *r.User == uid {
			return r
		}
	}
	return nil
}

// account of the role.
func (r *Rule) account() string {
	if f := strings.Split(r.Role, ":"); len(f) > 4 {
		return f[4]
	}
	return ""
}

// instanceID is always the same for a user and an account. It names the session too.
func (r *Rule) instanceID() string {
	sum := sha256.Sum256([]byte(r.account() + "/" + strconv.FormatUint(uint64(*r.User), 10)))
	return "i-" + hex.EncodeToString(sum[:])[:17]
}

// instance answers the credentials of a role, in EC2's words.
func (s *Server) instance(ctx context.Context, w http.ResponseWriter, rule *Rule) {
	creds, since, err := s.session(ctx, heldBy{EC2, rule.Role, rule.instanceID()})
	switch {
	case errors.Is(err, ErrDenied):
		s.json(w, http.StatusOK, map[string]any{
			"Code": "AssumeRoleUnauthorizedAccess", "LastUpdated": since.UTC().Format(time.RFC3339),
			"Message": "EC2 cannot assume the role " + rule.Role + ". Please see documentation at https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_iam-ec2.html.",
		})
	case err != nil:
		s.refuse(w, http.StatusServiceUnavailable)
	default:
		s.json(w, http.StatusOK, map[string]any{
			"Code": "Success", "LastUpdated": since.UTC().Format(time.RFC3339), "Type": "AWS-HMAC", "AccessKeyId": creds.AccessKeyID,
			"SecretAccessKey": creds.SecretAccessKey, "Token": creds.SessionToken, "Expiration": creds.Expiration.UTC().Format(time.RFC3339),
		})
	}
}

// container answers who has a token.
func (s *Server) container(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		s.refuse(w, http.StatusMethodNotAllowed)
		return
	}
	rule := s.ruleWith(r.Header["Authorization"])
	if rule == nil {
		s.json(w, http.StatusUnauthorized, map[string]any{"code": "AccessDeniedException", "message": "The authorization token is missing or wrong."})
		return
	}
	creds, _, err := s.session(r.Context(), heldBy{ECS, rule.Role, "workload"})
	switch {
	case errors.Is(err, ErrDenied):
		s.json(w, http.StatusForbidden, map[string]any{"code": "AccessDeniedException", "message": "The role " + rule.Role + " does not let " + ECS + " assume it."})
	case err != nil:
		s.refuse(w, http.StatusServiceUnavailable)
	default:
		s.json(w, http.StatusOK, map[string]any{
			"RoleArn": rule.Role, "AccessKeyId": creds.AccessKeyID, "SecretAccessKey": creds.SecretAccessKey, "Token": creds.SessionToken,
			"Expiration": creds.Expiration.UTC().Format(time.RFC3339),
		})
	}
}

// ruleWith is the one rule whose token was sent; every file is compared, whatever was found.
func (s *Server) ruleWith(sent []string) (rule *Rule) {
	if len(sent) != 1 || sent[0] == "" {
		return nil
	}
	have := sha256.Sum256([]byte(sent[0]))
	found := 0
	for i := range s.config.Rules {
		r := &s.config.Rules[i]
		if r.TokenFile == "" {
			continue
		}
		token, err := ReadToken(r.TokenFile)
		if err != nil {
			s.config.Log.Warn("workload credentials: a token is not read", "file", r.TokenFile, "err", err)
			continue
		}
		want := sha256.Sum256([]byte(token))
		if subtle.ConstantTimeCompare(have[:], want[:]) == 1 {
			rule = r
			found++
		}
	}
	if found != 1 {
		return nil // two roles with one token: neither
	}
	return rule
}

// session gives credentials that are good for a while, those of before as long as they are.
func (s *Server) session(ctx context.Context, by heldBy) (*Credentials, time.Time, error) {
	s.mux.Lock()
	h := s.held[by]
	if h == nil {
		h = &held{}
		s.held[by] = h
	}
	s.mux.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	now := s.config.Now()
	if now.Before(h.before) && (h.err != nil || s.config.Valid(ctx, h.creds)) {
		return h.creds, h.since, h.err
	}
	// Who asked may go; the next one gets what comes.
	h.creds, h.err = s.config.Assume(context.WithoutCancel(ctx), by.service, by.role, by.name, sessionSeconds)
	h.since = now
	if h.err != nil {
		s.config.Log.Warn("workload credentials: no session", "role", by.role, "err", h.err)
		h.before = now.Add(pause)
	} else {
		h.before = h.creds.Expiration.Add(-renewBefore)
	}
	return h.creds, h.since, h.err
}

func (s *Server) text(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/plain")
	_, _ = w.Write([]byte(text))
}

func (s *Server) json(w http.ResponseWriter, status int, v any) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		s.refuse(w, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
