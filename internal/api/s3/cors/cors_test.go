package cors

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

func rule(origin string, methods ...string) Rule {
	return Rule{AllowedOrigins: []string{origin}, AllowedMethods: methods}
}

func TestMatch(t *testing.T) {
	c := &Config{CORSRules: []Rule{rule("https://a.example", "PUT"), rule("*suffix", "GET"), rule("start*end", "GET"), rule("prefix*", "GET")}}
	c.CORSRules[0].AllowedHeaders = []string{"X-Amz-*", "content-type"}
	for _, d := range []struct {
		origin, method, headers string
		rule                    int
	}{
		{"https://a.example", "PUT", "", 0},
		{"https://A.example", "PUT", "", -1},
		{"https://a.example", "put", "", -1},
		{"https://a.example", "PUT", "x-amz-date,content-type", 0},
		{"https://a.example", "PUT", "x-amz", -1},
		{"foo.suffix", "GET", "", 1},
		{"suffix.foo", "GET", "", -1},
		{"startend", "GET", "", 2},
		{"start1end", "GET", "", 2},
		{"starend", "GET", "", -1},
		{"prefix", "GET", "", 3},
		{"", "GET", "", -1},
		{"prefix\r\nx", "GET", "", -1},
		{"prefix x", "GET", "", -1},
	} {
		h := http.Header{"Origin": {d.origin}, "Access-Control-Request-Method": {d.method}}
		if d.headers != "" {
			h.Set("Access-Control-Request-Headers", d.headers)
		}
		a := Ask("OPTIONS", h)
		got := c.Match(&a)
		if d.rule < 0 && got != nil || d.rule >= 0 && got != &c.CORSRules[d.rule] {
			t.Errorf("%+v: %+v", d, got)
		}
	}
	if (*Config)(nil).Match(&Asked{Origin: "x", Method: "GET"}) != nil {
		t.Error("no rules allow something")
	}
}

// FuzzAnswer: whatever a rule that passed the check and a browser say, the answer names what was allowed,
// in one line each.
func FuzzAnswer(f *testing.F) {
	f.Add("https://*.example", "x-*", "ETag", "https://a.example", "GET", "x-a, X-B")
	f.Add("*", "*", "x", "null", "GET", "authorization")
	f.Fuzz(func(t *testing.T, allowed, header, exposed, origin, method, asked string) {
		r := rule(allowed, "GET", "PUT")
		r.AllowedHeaders, r.ExposeHeaders = []string{header}, []string{exposed}
		c := &Config{CORSRules: []Rule{r}}
		if c.Check() != "" {
			return
		}
		a := Ask("OPTIONS", http.Header{"Origin": {origin}, "Access-Control-Request-Method": {method}, "Access-Control-Request-Headers": {asked}})
		got := c.Match(&a)
		if got == nil {
			return
		}
		if !slices.Contains(got.AllowedMethods, method) {
			t.Fatalf("%q was allowed", method)
		}
		h := http.Header{}
		got.Answer(h, &a)
		for name, values := range h {
			if len(values) != 1 || strings.ContainsAny(values[0], "\r\n\x00") {
				t.Fatalf("%s: %q", name, values)
			}
		}
		if told := h.Get("Access-Control-Allow-Origin"); told != origin && told != "*" || told == "*" && h.Get("Access-Control-Allow-Credentials") != "" {
			t.Fatalf("%q for %q", told, origin)
		}
	})
}
