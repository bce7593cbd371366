package network

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/addresses"
)

// write makes a file of rules, with others beside it.
func write(t *testing.T, rules string, others map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range others {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "network.yaml")
	if err := os.WriteFile(path, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func config(path string) Config {
	return Config{
		Path: path, Listeners: []string{"http", "https", "vpce-app"}, Services: []string{"s3", "sts", "iam", "kms"},
		Log: slog.New(slog.DiscardHandler),
	}
}

func open(t *testing.T, rules string, others map[string]string) *Guardrails {
	t.Helper()
	g, err := Open(config(write(t, rules, others)))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

const example = `
sources:
  office: [203.0.113.0/24, "2001:db8:1::/48"]
  apps: ["::ffff:10.1.0.0/112", 10.2.0.7]
deny: [203.0.113.66, "@apps"]
deny-files: [bad.txt]
listeners:
  https: {allow: ["@office", 10.1.0.0/16, 10.0.0.0/9]}
  vpce-app: {allow: []}
`

func TestJudge(t *testing.T) {
	g := open(t, example, map[string]string{"bad.txt": "# list\n198.51.100.0/25\n198.51.100.128/25 # touches\n2001:db8:1:bad::/64\n\n"})
	cases := []struct {
		listener, from string
		proxy          bool
		want           Refusal
	}{
		{"https", "203.0.113.1", false, Admitted},
		{"https", "::ffff:203.0.113.1", false, Admitted},
		{"https", "203.0.113.66", false, Denied},
		{"https", "::ffff:203.0.113.66", false, Denied},
		{"https", "203.0.114.0", false, NotAllowed},
		{"https", "203.0.112.255", false, NotAllowed},
		{"https", "2001:db8:1::9", false, Admitted},
		{"https", "2001:db8:1::9%eth0", false, Admitted},
		{"https", "2001:db8:1:bad::9", false, Denied},
		{"https", "2001:db8:2::", false, NotAllowed},
		{"https", "10.1.2.3", false, Denied}, // an allow does not help
		{"https", "10.2.0.7", false, Denied},
		{"https", "10.2.0.8", false, Admitted},
		{"http", "192.0.2.1", false, Admitted}, // no list
		{"http", "198.51.100.127", false, Denied},
		{"http", "198.51.100.128", false, Denied},
		{"http", "198.51.101.0", false, Admitted},
		{"vpce-app", "127.0.0.1", false, NotAllowed}, // an empty list lets nobody in
		{"vpce-app", "127.0.0.1", true, Admitted},    // a trusted proxy is let in for its clients' sake
		{"vpce-app", "203.0.113.66", true, Denied},   // unless it is denied
	}
	for _, c := range cases {
		if got := g.Judge(c.listener, addr(c.from), c.proxy); got != c.want {
			t.Errorf("%s from %s: %s, want %s", c.listener, c.from, got, c.want)
		}
	}
	if got := g.Judge("https", netip.Addr{}, false); got != NotAllowed {
		t.Errorf("an unknown address: %s", got)
	}
}

func TestAdmitCountsAndAllocatesNothing(t *testing.T) {
	g := open(t, example, map[string]string{"bad.txt": ""})
	from, other := addr("203.0.113.66"), addr("203.0.113.5")
	g.Admit("https", from, false)
	if n := testing.AllocsPerRun(100, func() { g.Admit("https", from, false); g.Admit("https", other, false) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	g.Admit("vpce-app", other, false)
	if got := g.Refused(); got["network_denied"] != 102 || got["network_not_allowed"] != 1 {
		t.Errorf("%v", got)
	}
}

func TestSurfacesAndServices(t *testing.T) {
	g := open(t, `
listeners:
  vpce-app: {services: [s3]}
surfaces:
  metrics: {allow: [10.0.0.0/8]}
  admin: {allow: [127.0.0.1]}
`, nil)
	for _, c := range []struct {
		listener, service, from string
		want                    bool
	}{
		{"https", "s3", "192.0.2.1", true}, {"https", "sts", "192.0.2.1", true}, {"https", "iam", "192.0.2.1", false},
		{"https", "iam", "127.0.0.1", true}, {"vpce-app", "iam", "127.0.0.1", false}, {"vpce-app", "s3", "192.0.2.1", true},
	} {
		if got := g.Serves(c.listener, c.service, addr(c.from)); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
	if g.Reaches(Metrics, addr("127.0.0.1")) || !g.Reaches(Metrics, addr("10.9.9.9")) {
		t.Error("the list replaces the default")
	}
	if !g.Reaches(Console, addr("::1")) || g.Reaches(Console, addr("10.9.9.9")) {
		t.Error("a surface is for this machine unless the file says otherwise")
	}
	for rules, want := range map[string]bool{
		"{}": true, "listeners: {https: {allow: [10.0.0.0/8]}}": false, "listeners: {https: {services: [s3, sts]}}": false,
		"listeners: {https: {services: [s3, iam]}}": true, "surfaces: {admin: {allow: [10.0.0.0/8]}}": false,
		"listeners: {https: {allow: [0.0.0.0/0]}}": true, "surfaces: {admin: {allow: [\"::/0\"], open: true}}": true, "listeners: {http: {allow: []}}": true,
	} {
		if got := open(t, rules, nil).Everywhere("https"); got != want {
			t.Errorf("%s: %v", rules, got)
		}
	}
	open := open(t, `surfaces: {metrics: {allow: [0.0.0.0/1, 128.0.0.0/1], open: true}}`, nil)
	if got := open.OpenSurfaces(); len(got) != 1 || got[0] != Metrics {
		t.Errorf("%v", got)
	}
}

const mayRead = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"*"}}`

func TestWhatIsWrongIsRefused(t *testing.T) {
	files := map[string]string{
		"bad.txt": "10.0.0.0/8\n10.0.0.1/8\n", "word.txt": "example.com", "typo.json": strings.Replace(mayRead, "GetObject", "GetObjekt", 1),
		"named.json":  strings.Replace(mayRead, `"*"`, `{"AWS":"arn:aws:iam::111122223333:user/u"}`, 1),
		"nobody.json": strings.Replace(mayRead, `"Principal":"*",`, "", 1), "good.json": mayRead, "large.json": strings.Repeat(" ", maxPolicy) + mayRead,
	}
	for rules, want := range map[string]string{
		"deny: [10.0.0.1/8]":                                     "did you mean 10.0.0.0/8",
		"deny: [fe80::1%eth0]":                                   "zone",
		`deny: ["::ffff:0:0/90"]`:                                "did you mean|mixes",
		`deny: ["::/0x"]`:                                        "neither",
		"deny: [\"@nobody\"]":                                    "no source",
		"deny-files: [bad.txt]":                                  "line 2",
		"deny-files: [word.txt]":                                 "line 1",
		"deny-files: [none.txt]":                                 "no such file",
		"deny-files: [.]":                                        "not a regular file",
		"denny: []":                                              "denny",
		"sources: {a: [\"@b\"]}":                                 "neither",
		"sources: {\"a b\": []}":                                 "not a name",
		"listeners: {ftp: {}}":                                   "no listener",
		"listeners: {http: {alow: []}}":                          "alow",
		"listeners: {http: {services: [telnet]}}":                "no service",
		"listeners: {http: {policy: none.json}}":                 "no such file",
		"listeners: {http: {policy: typo.json}}":                 "INVALID_ACTION",
		"listeners: {http: {policy: named.json}}":                "aws:PrincipalArn",
		"listeners: {http: {policy: nobody.json}}":               "Principal",
		"listeners: {http: {policy: large.json}}":                "larger than",
		"surfaces: {ftp: {allow: []}}":                           "no surface",
		"surfaces: {admin: }":                                    "says nothing",
		"surfaces: {admin: {allow: [0.0.0.0/0]}}":                "open: true",
		"surfaces: {metrics: {allow: [\"::/0\"]}}":               "open: true",
		"surfaces: {console: {allow: [0.0.0.0/1, 128.0.0.0/1]}}": "open: true",
		"deny: []\n---\ndeny: []":                                "one document",
		"deny: 7: 8":                                             "yaml",
	} {
		_, err := Open(config(write(t, rules, files)))
		ok := false
		for _, w := range strings.Split(want, "|") {
			ok = ok || err != nil && strings.Contains(err.Error(), w)
		}
		if !ok {
			t.Errorf("%s: %v, want %q", rules, err, want)
		}
	}
	if _, err := Open(config(write(t, "listeners: {http: {policy: good.json}}", files))); err != nil {
		t.Error(err)
	}
	if _, err := Open(config(filepath.Join(t.TempDir(), "none.yaml"))); err == nil {
		t.Error("a file that is not there was taken")
	}
	for _, empty := range []string{"", "\n# nothing\n"} {
		if _, err := Open(config(write(t, empty, nil))); err == nil || !strings.Contains(err.Error(), "is empty") {
			t.Errorf("an empty file: %v", err)
		}
	}
	if _, err := Open(config(write(t, "{}", nil))); err != nil {
		t.Errorf("no rules: %v", err)
	}
}

func TestWatch(t *testing.T) {
	path := write(t, "deny-files: [bad.txt]", map[string]string{"bad.txt": "192.0.2.1\n"})
	told := make(chan error, 16)
	c := config(path)
	c.Changed = func(err error) { told <- err }
	g, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	now := make(chan os.Signal)
	go g.Watch(ctx, now)
	step := func(name, text string) error {
		t.Helper()
		file := filepath.Join(filepath.Dir(path), name)
		if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-told:
			return err
		case <-time.After(time.Minute):
			t.Fatal("the change was not seen")
			return nil
		}
	}
	if err := step("bad.txt", "192.0.2.2\n"); err != nil || g.Judge("http", addr("192.0.2.1"), false) != Admitted || g.Judge("http", addr("192.0.2.2"), false) != Denied {
		t.Errorf("a changed list: %v", err)
	}
	if err := step("bad.txt", "nonsense\n"); err == nil || g.Judge("http", addr("192.0.2.2"), false) != Denied {
		t.Errorf("a broken list: %v", err)
	}
	if err := step("network.yaml", "deny: [192.0.2.3]"); err != nil || g.Judge("http", addr("192.0.2.3"), false) != Denied {
		t.Errorf("a changed file: %v", err)
	}
	now <- os.Interrupt
	if err := <-told; err != nil {
		t.Error(err)
	}
}

// TestAFileThatIsBeingWrittenIsNotRead before it rests from one look to the next.
func TestAFileThatIsBeingWrittenIsNotRead(t *testing.T) {
	path := write(t, "deny: [192.0.2.3]", nil)
	g, err := Open(config(path))
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, part := range []string{"deny: [192.0.2.4]\n", "#\n", "#\n", "surfaces: {metrics: {allow: []}}\n"} {
		if _, err := f.WriteString(part); err != nil {
			t.Fatal(err)
		}
		if g.rested() {
			t.Errorf("it is read after %q", part)
		}
	}
	if !g.rested() {
		t.Error("it rests and is not read")
	}
	g.reload()
	for range 2 {
		if g.rested() {
			t.Error("it is read twice")
		}
	}
	if g.Judge("http", addr("192.0.2.4"), false) != Denied || g.Reaches(Metrics, addr("127.0.0.1")) {
		t.Error("it was not read whole")
	}
}

func BenchmarkAdmit(b *testing.B) {
	var networks []netip.Prefix
	for i := range 200000 {
		networks = append(networks, netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(i >> 14), byte(i >> 6), byte(i << 2), 0}), 32))
	}
	g := &Guardrails{config: Config{Log: slog.New(slog.DiscardHandler)}}
	g.rules.Store(&rules{deny: addresses.Of(networks)})
	from := addr("203.0.113.9")
	b.ReportAllocs()
	for b.Loop() {
		if !g.Admit("https", from, false) {
			b.Fatal("refused")
		}
	}
}
