package pattern

import (
	"maps"
	"strings"
	"testing"
	"time"
)

const access = `127.0.0.1 - frank [10/Oct/2000:13:25:15 -0700] "GET /index.html HTTP/1.0" 404 1534`

const call = `{"eventType":"UpdateTrail","sourceIPAddress":"111.111.111.111","arrayKey":["value","another value"],
"objectList":[{"name":"a","id":1},{"name":"b","id":2}],"SomeObject":null,"cluster.name":"c","flag":true,"off":false,"latency":1.5,"code":"404","n":404}`

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, message string
		want             bool
	}{
		{``, "anything", true},
		{`  `, "anything", true},
		{`ERROR`, "[ERROR 400] BAD REQUEST", true},
		{`ERROR`, "error", false},
		{`ERROR ARGUMENTS`, "[ERROR 419] MISSING ARGUMENTS", true},
		{`ERROR ARGUMENTS`, "[ERROR 400] BAD REQUEST", false},
		{`?ERROR ?ARGUMENTS`, "[ERROR 400] BAD REQUEST", true},
		{`?ERROR ?ARGUMENTS`, "INFO", false},
		{`REQUEST ?INFO`, "BAD REQUEST", true},
		{`"INTERNAL SERVER ERROR"`, "[ERROR 500] INTERNAL SERVER ERROR", true},
		{`"INTERNAL SERVER ERROR"`, "INTERNAL ERROR", false},
		{`ERROR -ARGUMENTS`, "[ERROR 400] BAD REQUEST", true},
		{`ERROR -ARGUMENTS`, "[ERROR 419] MISSING ARGUMENTS", false},
		{`-"a b"`, "x a b", false},
		{`%AUTHORIZED%`, "UNAUTHORIZED REQUEST", true},
		{`%4[0-9]{2}%`, "status 419", true},
		{`%4[0-9]{2}%`, "status 519", false},
		{`grüße`, "viele grüße", true},

		{`{ $.eventType = "UpdateTrail" }`, call, true},
		{`{$.eventType=UpdateTrail}`, call, true},
		{`{ $.eventType = "Update*" }`, call, true},
		{`{ $.eventType = "Trail*" }`, call, false},
		{`{ $.sourceIPAddress != 123.123.* }`, call, true},
		{`{ $.sourceIPAddress = 111.111.* }`, call, true},
		{`{ $.arrayKey[0] = "value" }`, call, true},
		{`{ $.arrayKey[*] = "another value" }`, call, true},
		{`{ $.arrayKey[7] = "value" }`, call, false},
		{`{ $.eventType = %Trail% }`, call, true},
		{`{ $.arrayKey[0] = %^v.{3}e$% }`, call, true},
		{`{ $.SomeObject IS NULL }`, call, true},
		{`{ $.eventType IS NULL }`, call, false},
		{`{ $.SomeOtherObject NOT EXISTS }`, call, true},
		{`{ $.SomeObject NOT EXISTS }`, call, false},
		{`{ $.flag IS TRUE && $.off IS FALSE }`, call, true},
		{`{ $.off IS TRUE }`, call, false},
		{`{ $.latency > 1 }`, call, true},
		{`{ $.latency >= 1.5 && $.latency <= 15e-1 }`, call, true},
		{`{ $.latency < 1 }`, call, false},
		{`{ $.n = 404 }`, call, true},
		{`{ $.n = 4.04e2 }`, call, true},
		{`{ $.n = 4* }`, call, true},
		{`{ $.latency = * }`, call, true},
		{`{ $.nothing = * }`, call, false},
		{`{ $.nothing != "x" }`, call, false},
		{`{ $.objectList[1].id = 2 && $.objectList[0].name = a }`, call, true},
		{`{ $.['cluster.name'] = "c" }`, call, true},
		{`{ $["cluster.name"] = "c" }`, call, true},
		{`{ ($.a = 1) || (($.n = 404) && ($.flag IS TRUE)) }`, call, true},
		{`{ ($.n = 404 || $.a = 1) && $.flag IS FALSE }`, call, false},
		{`{ $.n = 1 || $.n = 404 && $.flag IS TRUE }`, call, true},
		{`{ $.n = 404 }`, "n = 404", false},
		{`{ $.n = 404 }`, `{"n":404} x`, false},
		{`{ $.n = 404 }`, `{"n":404`, false},
		{`{ $.a.b = 1 }`, `{"a":[1]}`, false},
		{`{ $.a = "x } y" }`, `{"a":"x } y"}`, true},

		{`[ip, user, username, timestamp, request, status_code, bytes]`, access, true},
		{`[ip, user, username, timestamp, request, status_code]`, access, false},
		{`[ip, user, username, timestamp, request, status_code = 404, bytes > 1000]`, access, true},
		{`[ip, user, username, timestamp, request, status_code = 4*, bytes < 1000]`, access, false},
		{`[..., request=*.html*, status_code=4*,]`, access, true},
		{`[ip=%127\.0\.0\.[1-9]%, ...]`, access, true},
		{`[ip != 127.*, ...]`, access, false},
		{`[..., status_code = 404 || status_code = 410, bytes]`, access, true},
		{`[..., status_code >= 400 && status_code < 404, bytes]`, access, false},
		{`[w1=ERROR, w2]`, "ERROR something", true},
		{`[w1=ERROR || w1=%WARN%, w2]`, "WARNING x", true},
		{`[...]`, "", true},
		{`[a]`, `"un closed`, false},
	} {
		p, err := Parse(c.pattern)
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
			continue
		}
		if p.Match(c.message) != c.want {
			t.Errorf("%s on %s: not %v", c.pattern, c.message, c.want)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, text := range []string{
		`foo-bar`, `"open`, `%open`, `%(a)%`, `%[%`, `%%`, `?`, `a -`, `{`, `{}`, `{ x = 1 }`, `{ $ = 1 }`, `{ $. = 1 }`, `{ $.a }`, `{ $.a = }`, `{ $.a > x }`,
		`{ $.a = 1 } x`, `{ ($.a = 1 }`, `{ $.a[x] = 1 }`, `{ $.a IS MAYBE }`, `{ $.a NOT x }`, `{ $.a = 1 && }`, `[a`, `[a, ..., b, ...]`, `[a b]`, `[a = ]`,
		`[a=1 || b=1]`, "\xff",
	} {
		if p, err := Parse(text); err == nil {
			t.Errorf("%s was taken as %v", text, p)
		}
	}
}

func TestExtract(t *testing.T) {
	for _, c := range []struct {
		pattern, message string
		want             map[string]string
	}{
		{`[..., request=*.html*, status_code=4*,]`, access, map[string]string{
			"$1": "127.0.0.1", "$2": "-", "$3": "frank", "$4": "[10/Oct/2000:13:25:15 -0700]", "$request": "GET /index.html HTTP/1.0", "$status_code": "404", "$7": "1534"}},
		{`{ $.n = 404 && $.objectList[0].id = * }`, call, map[string]string{"$.n": "404", "$.objectList[0].id": "1"}},
		{`ERROR`, "an ERROR", nil},
	} {
		p, err := Parse(c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := p.Extract(c.message); !ok || !maps.Equal(got, c.want) {
			t.Errorf("%s: %v", c.pattern, got)
		}
	}
}

// TestTime: messages that were made to be slow are not.
func TestTime(t *testing.T) {
	n := 1 << 19
	for pattern, message := range map[string]string{
		`[..., x=y]`:                  strings.Repeat("[ ", n),
		`[a=x, ..., b=y]`:             strings.Repeat("\" [", n) + "]x\"x",
		`{ $.a[*][*][*] = x }`:        `{"a":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + "}",
		`{ $.a = "*a*a*a*a*a*a*b" }`:  `{"a":"` + strings.Repeat("a", n) + `"}`,
		`%a*a*a*a*a*b%`:               strings.Repeat("a", n/8),
		`?"aaaaaaaab" ?"aaaaaaaaaab"`: strings.Repeat("a", n),
	} {
		p, err := Parse(pattern)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		p.Match(message)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s: %v", pattern, took)
		}
	}
}

func FuzzPattern(f *testing.F) {
	f.Add(`{ ($.a[0].b = "x*" || $.c IS NULL) && $.d > 1e3 }`, call)
	f.Add(`[..., a=%x{2}% && a!=1, "b]`, access)
	f.Add(`?"a b" -c %d%`, "a b c d")
	f.Fuzz(func(t *testing.T, text, message string) {
		began := time.Now()
		if p, err := Parse(text); err == nil {
			p.Extract(message)
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("%v", took)
		}
	})
}
