package website

import (
	"net/url"
	"strings"
	"testing"
)

func text(s string) *string { return &s }

func TestRules(t *testing.T) {
	c := &Config{IndexDocument: &IndexDocument{Suffix: text("i.html")}, RoutingRules: []Rule{
		{&Condition{KeyPrefixEquals: text("docs/")}, &Redirect{ReplaceKeyPrefixWith: text("documents/")}},
		{&Condition{KeyPrefixEquals: text("images/")}, &Redirect{ReplaceKeyWith: text("gone.html"), HTTPRedirectCode: text("302")}},
		{&Condition{HTTPErrorCodeReturnedEquals: text("404")}, &Redirect{HostName: text("b.example"), Protocol: "https", ReplaceKeyPrefixWith: text("404/")}},
	}}
	if flaw := c.Check(); flaw != nil {
		t.Fatal(flaw)
	}
	for _, d := range []struct {
		path   string
		status int
		want   string
	}{
		{"docs/a b", 0, "http://a.example:9000/documents/a%20b"},
		{"images/x", 0, "http://a.example:9000/gone.html"},
		{"other", 0, ""},
		{"docs/a", 404, "https://b.example/404/docs/a"},
		{"other", 403, ""},
	} {
		move := c.After(Place{"http", "a.example:9000", d.path, ""}, d.status)
		if d.status == 0 {
			move = c.Before(Place{"http", "a.example:9000", d.path, ""})
		}
		if move == nil != (d.want == "") || move != nil && move.Location != d.want {
			t.Errorf("%+v: %+v", d, move)
		}
	}
	if c.Key("") != "i.html" || c.Key("a/") != "a/i.html" || c.Key("a") != "a" || c.Folder("a") != "a/i.html" || c.Folder("a/") != "" || c.Folder("") != "" {
		t.Error("keys")
	}
	all := &Config{RedirectAllRequestsTo: &RedirectAll{HostName: text("c.example")}}
	if m := all.All(Place{"https", "a.example", "x/ä", "q=1"}); m == nil || m.Status != 301 || m.Location != "https://c.example/x/%C3%A4?q=1" {
		t.Errorf("%+v", m)
	}
}

// FuzzMove: no path leads to another host than the rule names, and nothing breaks out of the line.
func FuzzMove(f *testing.F) {
	f.Add("docs/x", "docs/", "d/")
	f.Add("/evil.example", "", "")
	f.Add("\\\\evil\r\nX: y", "", "//e")
	f.Fuzz(func(t *testing.T, path, prefix, with string) {
		c := &Config{IndexDocument: &IndexDocument{Suffix: text("i")}, RoutingRules: []Rule{{&Condition{KeyPrefixEquals: &prefix}, &Redirect{ReplaceKeyPrefixWith: &with}}}}
		at := Place{"http", "a.example", path, ""}
		for _, m := range []*Move{c.Before(at), c.Slash(at)} {
			if m == nil {
				continue
			}
			if strings.ContainsFunc(m.Location, func(r rune) bool { return r <= ' ' || r > '~' }) || strings.HasPrefix(m.Location, "//") {
				t.Fatalf("%q", m.Location)
			}
			if u, err := url.Parse(m.Location); err != nil || u.Host != "" && u.Host != "a.example" {
				t.Fatalf("%q %v", m.Location, err)
			}
		}
	})
}
