package workload

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	roleA   = "arn:aws:iam::111122223333:role/path/a"
	roleB   = "arn:aws:iam::111122223333:role/b"
	secretB = "0123456789abcdef0123456789abcdef"
)

// harness is a server whose callers are whom the test says.
type harness struct {
	t       *testing.T
	base    string
	uid     uint32
	unknown bool // whose connection it is cannot be told
	denied  bool
	invalid bool
	asked   []string
	now     time.Time
	file    string
}

func newHarness(t *testing.T) *harness {
	t.Helper()
	h := &harness{t: t, uid: 1000, now: time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC), file: filepath.Join(t.TempDir(), "token")}
	if err := os.WriteFile(h.file, []byte(secretB+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{
		Rules: []Rule{{Role: roleA, User: new(uint32(1000))}, {Role: roleB, TokenFile: h.file}}, Region: "eu-west-1", Log: slog.New(slog.DiscardHandler),
		Assume: h.assume, Valid: func(context.Context, *Credentials) bool { return !h.invalid },
		Owner: func(netip.AddrPort, netip.AddrPort) (uint32, error) {
			if h.unknown {
				return 0, ErrNobody
			}
			return h.uid, nil
		},
		Now: func() time.Time { return h.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	h.base = "http://" + l.Addr().String()
	return h
}

func (h *harness) assume(_ context.Context, service, role, session string, seconds int) (*Credentials, error) {
	h.asked = append(h.asked, service+" "+role)
	if h.denied {
		return nil, ErrDenied
	}
	return &Credentials{"ASIAEXAMPLE", "secret", "token", h.now.Add(time.Duration(seconds) * time.Second)}, nil
}

// do makes a request; headers are "Name: value".
func (h *harness) do(method, path string, headers ...string) (int, string) {
	h.t.Helper()
	r, err := http.NewRequest(method, h.base+path, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		if name == "Host" {
			r.Host = value
		} else {
			r.Header.Add(name, value)
		}
	}
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer a.Body.Close()
	body, _ := io.ReadAll(a.Body)
	return a.StatusCode, string(body)
}

func (h *harness) token() string {
	h.t.Helper()
	status, token := h.do("PUT", tokenPath, ttlHeader+": 60")
	if status != 200 {
		h.t.Fatalf("%d %s", status, token)
	}
	return tokenHeader + ": " + token
}

func TestMetadataService(t *testing.T) {
	h := newHarness(t)
	token := h.token()
	for path, want := range map[string]string{
		rolesPath: "a", strings.TrimSuffix(rolesPath, "/"): "a", "/latest/meta-data/placement/region": "eu-west-1", "/latest/meta-data/placement/availability-zone/": "eu-west-1a",
	} {
		if status, body := h.do("GET", path, token); status != 200 || body != want {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	status, body := h.do("GET", rolesPath+"a", token)
	var creds map[string]string
	if err := json.Unmarshal([]byte(body), &creds); err != nil || status != 200 || creds["Code"] != "Success" || creds["AccessKeyId"] != "ASIAEXAMPLE" || creds["Token"] != "token" || creds["Expiration"] != "2026-07-01T01:00:00Z" {
		t.Errorf("%d %s", status, body)
	}
	status, body = h.do("GET", documentPath, token)
	var document map[string]string
	if err := json.Unmarshal([]byte(body), &document); err != nil || status != 200 || document["accountId"] != "111122223333" || document["region"] != "eu-west-1" {
		t.Errorf("%d %s", status, body)
	}
	for _, path := range []string{rolesPath + "b", rolesPath + "a/", "/", "/latest/", "/latest/user-data", "/latest/meta-data/iam/security-credentials/../../"} {
		if status, body := h.do("GET", path, token); status != 404 {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

// TestWhoIsRefused: every way that is known to get credentials out of a metadata service, and some more.
func TestWhoIsRefused(t *testing.T) {
	h := newHarness(t)
	token := h.token()
	bearer := "Authorization: " + secretB
	for _, c := range []struct {
		name, method, path string
		headers            []string
		status             int
	}{
		{"version 1", "GET", rolesPath + "a", nil, 401},
		{"version 1, where there is nothing", "GET", "/x", nil, 401},
		{"an empty token", "GET", rolesPath + "a", []string{tokenHeader + ": "}, 401},
		{"a made-up token", "GET", rolesPath + "a", []string{tokenHeader + ": AAAA"}, 401},
		{"a changed token", "GET", rolesPath + "a", []string{token[:len(token)-3] + "A=="}, 401},
		{"two tokens", "GET", rolesPath + "a", []string{token, token}, 401},
		{"no time to live", "PUT", tokenPath, nil, 400},
		{"too long a time", "PUT", tokenPath, []string{ttlHeader + ": 21601"}, 400},
		{"no time", "PUT", tokenPath, []string{ttlHeader + ": 0"}, 400},
		{"GET of a token", "GET", tokenPath, []string{ttlHeader + ": 60"}, 405},
		{"POST of a token", "POST", tokenPath, []string{ttlHeader + ": 60"}, 405},
		{"PUT of the rest", "PUT", rolesPath + "a", []string{token}, 405},
		{"a proxy", "PUT", tokenPath, []string{ttlHeader + ": 60", "X-Forwarded-For: 1.2.3.4"}, 403},
		{"an empty proxy", "PUT", tokenPath, []string{ttlHeader + ": 60", "X-Forwarded-For: "}, 403},
		{"a proxy with a token", "GET", rolesPath + "a", []string{token, "Forwarded: for=1.2.3.4"}, 403},
		{"DNS rebinding", "PUT", tokenPath, []string{ttlHeader + ": 60", "Host: attacker.example"}, 403},
		{"DNS rebinding that looks alike", "PUT", tokenPath, []string{ttlHeader + ": 60", "Host: 127.0.0.1.attacker.example"}, 403},
		{"another address", "GET", containerPath, []string{bearer, "Host: 169.254.169.254"}, 403},
		{"a browser", "GET", containerPath, []string{bearer, "Origin: http://localhost"}, 403},
		{"a browser's image", "GET", containerPath, []string{bearer, "Sec-Fetch-Site: cross-site"}, 403},
		{"a container without a token", "GET", containerPath, nil, 401},
		{"a container with an empty one", "GET", containerPath, []string{"Authorization: "}, 401},
		{"a container with another", "GET", containerPath, []string{bearer + "x"}, 401},
		{"a container with two", "GET", containerPath, []string{bearer, bearer}, 401},
		{"a container that posts", "POST", containerPath, []string{bearer}, 405},
	} {
		if status, body := h.do(c.method, c.path, c.headers...); status != c.status {
			t.Errorf("%s: %d %s", c.name, status, body)
		}
	}
	h.uid = 1001
	if status, _ := h.do("GET", rolesPath+"a", token); status != 401 {
		t.Errorf("another user with the token: %d", status)
	}
	own := h.token()
	for _, path := range []string{rolesPath, rolesPath + "a", documentPath} {
		if status, body := h.do("GET", path, own); status != 404 {
			t.Errorf("a user without a role, %s: %d %s", path, status, body)
		}
	}
	h.uid, h.unknown = 1000, true
	if status, _ := h.do("PUT", tokenPath, ttlHeader+": 60"); status != 403 {
		t.Errorf("nobody: %d", status)
	}
	if status, _ := h.do("GET", rolesPath+"a", token); status != 401 {
		t.Errorf("nobody with a token: %d", status)
	}
	h.unknown = false
	h.now = h.now.Add(time.Minute)
	if status, _ := h.do("GET", rolesPath+"a", token); status != 401 {
		t.Errorf("a token after its time: %d", status)
	}
	if len(h.asked) != 0 {
		t.Errorf("roles were assumed: %v", h.asked)
	}
}

func TestContainer(t *testing.T) {
	h := newHarness(t)
	status, body := h.do("GET", containerPath, "Authorization: "+secretB)
	var creds map[string]string
	if err := json.Unmarshal([]byte(body), &creds); err != nil || status != 200 || creds["RoleArn"] != roleB || creds["AccessKeyId"] != "ASIAEXAMPLE" || creds["Token"] != "token" {
		t.Errorf("%d %s", status, body)
	}
	if len(h.asked) != 1 || h.asked[0] != ECS+" "+roleB {
		t.Errorf("%v", h.asked)
	}
	for name, spoil := range map[string]func() error{
		"readable by others": func() error { return os.Chmod(h.file, 0o640) },
		"short":              func() error { return os.WriteFile(h.file, []byte("short"), 0o600) },
		"empty":              func() error { return os.WriteFile(h.file, nil, 0o600) },
		"gone":               func() error { return os.Remove(h.file) },
		"a link": func() error {
			os.Rename(h.file, h.file+".real")
			return os.Symlink(h.file+".real", h.file)
		},
	} {
		os.Remove(h.file)
		if err := os.WriteFile(h.file, []byte(secretB), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if status, _ := h.do("GET", containerPath, "Authorization: "+secretB); status != 401 {
			t.Errorf("a file that is %s: %d", name, status)
		}
		os.Remove(h.file)
	}
}

// TestSessionsAreRenewed: credentials are good for a while when they are given, and one session serves many
// requests.
func TestSessionsAreRenewed(t *testing.T) {
	h := newHarness(t)
	ask := func() string {
		t.Helper()
		_, body := h.do("GET", containerPath, "Authorization: "+secretB)
		return body
	}
	first := ask()
	h.now = h.now.Add(34 * time.Minute)
	if ask() != first || len(h.asked) != 1 {
		t.Errorf("asked %d times", len(h.asked))
	}
	h.now = h.now.Add(2 * time.Minute)
	if ask() == first || len(h.asked) != 2 {
		t.Errorf("asked %d times", len(h.asked))
	}
	h.invalid = true // the role was deleted, or its sessions revoked
	if ask(); len(h.asked) != 3 {
		t.Errorf("asked %d times", len(h.asked))
	}
	h.denied = true
	if body := ask(); !strings.Contains(body, "AccessDenied") {
		t.Error(body)
	}
	if ask(); len(h.asked) != 4 {
		t.Errorf("a refusal is asked for again at once: %d times", len(h.asked))
	}
	h.now = h.now.Add(3 * time.Second)
	h.denied = false
	if body := ask(); !strings.Contains(body, "ASIAEXAMPLE") {
		t.Error(body)
	}
	h.denied = true
	token := h.token()
	if status, body := h.do("GET", rolesPath+"a", token); status != 200 || !strings.Contains(body, "AssumeRoleUnauthorizedAccess") {
		t.Errorf("%d %s", status, body)
	}
}

func TestRulesMustSayWho(t *testing.T) {
	h := newHarness(t)
	uid := new(uint32(1))
	for name, rules := range map[string][]Rule{
		"none": nil, "nobody": {{Role: roleA}}, "both": {{Role: roleA, User: uid, TokenFile: "x"}}, "no role": {{User: uid}},
		"two roles": {{Role: roleA, User: uid}, {Role: roleB, User: uid}},
	} {
		_, err := New(Config{Rules: rules, Region: "r", Log: slog.Default(), Assume: h.assume, Valid: func(context.Context, *Credentials) bool { return true }})
		if err == nil {
			t.Error(name)
		}
	}
}

// TestOwner asks the kernel about a connection of this very process.
func TestOwner(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Logf("%s: %v", address, err)
			continue
		}
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		peer, local := netip.MustParseAddrPort(server.RemoteAddr().String()), netip.MustParseAddrPort(server.LocalAddr().String())
		if uid, err := Owner(peer, local); err != nil || int(uid) != os.Getuid() {
			t.Errorf("%s: %d %v", address, uid, err)
		}
		if _, err := Owner(netip.AddrPortFrom(peer.Addr(), peer.Port()^1), local); !errors.Is(err, ErrNobody) {
			t.Errorf("%s: another port: %v", address, err)
		}
		client.Close()
		if uid, err := Owner(peer, local); !errors.Is(err, ErrNobody) {
			t.Errorf("%s: after it was closed: %d %v", address, uid, err)
		}
		server.Close()
		l.Close()
	}
}

// TestTables reads lines as kernels print them.
func TestTables(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 0100007F:1F90 0100007F:C001 01 00000000:00000000 00:00000000 00000000     0        0 2 1 0 100 0 0 10 0
   2: 0100007F:C001 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1000        0 3 1 0 100 0 0 10 0
   3: 0100007F:C002 0100007F:1F90 06 00000000:00000000 03:00000F2B 00000000     0        0 0 3 0
   4: 0000000000000000FFFF00000100007F:C003 0000000000000000FFFF00000100007F:1F90 01 00000000:00000000 00:00000000 00000000  1001        0 4 1 0 100 0 0 10 0
   5: garbage
`
	local := netip.MustParseAddrPort("127.0.0.1:8080")
	for port, want := range map[uint16]uint32{0xC001: 1000, 0xC003: 1001} {
		s, found, err := find(strings.NewReader(table), netip.AddrPortFrom(local.Addr(), port), local)
		if err != nil || !found || s.uid != want {
			t.Errorf("%x: %+v %v %v", port, s, found, err)
		}
	}
	for _, port := range []uint16{0xC002, 0xC004} {
		if s, found, _ := find(strings.NewReader(table), netip.AddrPortFrom(local.Addr(), port), local); found {
			t.Errorf("%x: %+v", port, s)
		}
	}
}
