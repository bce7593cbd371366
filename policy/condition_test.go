package policy

import (
	"math/big"
	"math/rand"
	"strings"
	"testing"
	"time"
)

// holds compiles one condition and asks it about one key.
func holds(t *testing.T, operator, values string, ctx keys) bool {
	t.Helper()
	d := parsed(t, SCP, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"`+operator+`":{"aws:K":`+values+`}}}}`)
	return Evaluate(&Request{Principal: user(), Action: "s3:GetObject", Resource: "*", Context: ctx}, &Inputs{Identity: []*Document{d}}).Allowed()
}

func TestOperators(t *testing.T) {
	const yes, no = true, false
	for _, c := range []struct {
		operator, values, have string
		want                   bool
	}{
		{"StringEquals", `"a"`, "a", yes}, {"StringEquals", `"a"`, "A", no}, {"StringEquals", `["a","b"]`, "b", yes}, {"StringEquals", `"a*"`, "ab", no}, {"StringEquals", `7`, "7", yes}, {"StringEquals", `true`, "true", yes},
		{"StringNotEquals", `["a","b"]`, "c", yes}, {"StringNotEquals", `["a","b"]`, "b", no},
		{"StringEqualsIgnoreCase", `"Straße"`, "sTRAßE", yes}, {"StringEqualsIgnoreCase", `"É"`, "é", yes}, {"StringEqualsIgnoreCase", `"a"`, "ab", no}, {"StringEqualsIgnoreCase", `"ab"`, "a", no}, {"StringEqualsIgnoreCase", `"É"`, "e", no}, {"StringEqualsIgnoreCase", `""`, "", yes},
		{"StringEqualsIgnoreCase", `"x${aws:Name}"`, "XALICE", yes}, {"StringNotEqualsIgnoreCase", `"A"`, "a", no}, {"StringNotEqualsIgnoreCase", `"A"`, "b", yes},
		{"StringLike", `"a*c"`, "abc", yes}, {"StringLike", `"a*c"`, "ABC", no}, {"StringLike", `"a?c"`, "a蔵c", yes}, {"StringLike", `"*a*b*"`, "xaybz", yes}, {"StringLike", `"*ab"`, "aab", yes}, {"StringLike", `"*:x"`, "a:b:x", yes}, {"StringLike", `"?"`, "", no},
		{"StringLike", `"${aws:Star}"`, "x", no}, {"StringLike", `"${aws:Star}"`, "*", yes}, {"StringLike", `"${*}x"`, "*x", yes}, {"StringLike", `"${*}x"`, "ax", no}, {"StringLike", `"*/${aws:Name}/*"`, "a/alice/b", yes},
		{"StringNotLike", `"a*"`, "b", yes}, {"StringNotLike", `"a*"`, "ab", no}, {"StringEquals", `"${aws:Nope}"`, "x", no}, {"StringNotEquals", `"${aws:Nope}"`, "x", yes}, {"StringEquals", `"${aws:Nope, 'x'}"`, "x", yes},
		{"NumericEquals", `"10"`, "10.0", yes}, {"NumericEquals", `10`, "+10", yes}, {"NumericEquals", `"9007199254740993"`, "9007199254740992", no}, {"NumericEquals", `"-0"`, "0", yes}, {"NumericEquals", `"x"`, "x", no}, {"NumericEquals", `"1"`, "", no},
		{"NumericNotEquals", `"1"`, "x", yes}, {"NumericNotEquals", `"1"`, "2", yes}, {"NumericNotEquals", `"1"`, "1.00", no}, {"NumericLessThan", `"10"`, "9.99", yes}, {"NumericLessThan", `"-10"`, "-9", no}, {"NumericLessThan", `"1"`, "-1", yes}, {"NumericLessThan", `"-1"`, "1", no},
		{"NumericLessThanEquals", `"10"`, "10", yes}, {"NumericGreaterThan", `"10"`, "10", no}, {"NumericGreaterThan", `"10"`, "100", yes}, {"NumericGreaterThanEquals", `"10"`, "10", yes}, {"NumericEquals", `"1."`, "1", no},
		{"DateEquals", `"2026-01-01T00:00:00Z"`, "2026", yes}, {"DateEquals", `"2026-01-01T02:00+02:00"`, "2026-01-01", yes}, {"DateLessThan", `"2026-06-30"`, "2026-06-29T23:59:59.999Z", yes}, {"DateLessThanEquals", `"2026-06"`, "2026-06-01T00:00Z", yes},
		{"DateGreaterThan", `"2026-06-29T23:59:59.998Z"`, "2026-06-29T23:59:59.999Z", yes}, {"DateGreaterThanEquals", `"1767225600"`, "2026-01-01T00:00:00Z", yes}, {"DateNotEquals", `"2026"`, "2027", yes}, {"DateNotEquals", `"2026"`, "x", yes}, {"DateEquals", `"soon"`, "soon", no},
		{"Bool", `"true"`, "TRUE", yes}, {"Bool", `"True"`, "true", yes}, {"Bool", `true`, "true", yes}, {"Bool", `"false"`, "true", no}, {"Bool", `"yes"`, "yes", no}, {"Bool", `"${aws:True}"`, "true", yes},
		{"BinaryEquals", `"YWI="`, "ab", yes}, {"BinaryEquals", `"YWI="`, "abc", no}, {"BinaryEquals", `"?"`, "", no},
		{"IpAddress", `"203.0.113.7"`, "203.0.113.7", yes}, {"IpAddress", `"203.0.113.7/32"`, "203.0.113.7", yes}, {"IpAddress", `"203.0.113.99/24"`, "203.0.113.7", yes}, {"IpAddress", `["10.0.0.0/8","203.0.113.7"]`, "203.0.113.7", yes}, {"IpAddress", `"203.0.113.0/24"`, "::ffff:203.0.113.7", yes},
		{"IpAddress", `"::ffff:203.0.113.0/120"`, "203.0.113.7", yes}, {"IpAddress", `"2001:db8::/32"`, "2001:db8:1::1", yes}, {"IpAddress", `"0.0.0.0/0"`, "2001:db8::1", no}, {"IpAddress", `"10.0.0.0/8"`, "x", no}, {"IpAddress", `"999.1.1.1"`, "999.1.1.1", no}, {"IpAddress", `"10.0.0.0/33"`, "10.0.0.1", no},
		{"NotIpAddress", `"0.0.0.0/0"`, "2001:db8::1", yes}, {"NotIpAddress", `"10.0.0.0/8"`, "10.1.1.1", no}, {"NotIpAddress", `"10.0.0.0/8"`, "x", yes}, {"IpAddress", `"fe80::1"`, "fe80::1%eth0", no},
		{"ArnLike", `"arn:aws:s3:::b*"`, "arn:aws:s3:::bucket/a:b", yes}, {"ArnEquals", `"arn:aws:s3:::b*"`, "arn:aws:s3:::bucket", yes}, {"ArnLike", `"arn:aws:*:x"`, "arn:aws:s3:::x", no}, {"ArnLike", `"arn:*:x"`, "arn:aws:s3:::x", no}, {"ArnLike", `"*"`, "arn:aws:s3:::x", yes},
		{"ArnLike", `"arn:aws:iam::1*:user/${aws:Name}"`, "arn:aws:iam::12:user/alice", yes}, {"ArnLike", `"arn:aws:iam::1*:user/a"`, "arn:aws:iam::12:x:user/a", no}, {"ArnLike", `"arn:aws:iam::${aws:Colon}:user/a"`, "arn:aws:iam::1:2:user/a", no}, {"ArnLike", `"arn:aws:iam::${aws:Name}:user/a"`, "arn:aws:iam::alice:user/a", yes},
		{"ArnLike", `"arn:aws:s?:::x"`, "arn:aws:s3:::x", yes}, {"ArnLike", `"arn:aws:s?:::x"`, "arn:aws:s::::x", no}, {"ArnLike", `"arn:aws:s3:::x"`, "not an arn", no}, {"ArnNotLike", `"arn:aws:s3:::x"`, "not an arn", yes}, {"ArnNotEquals", `"arn:aws:s3:::*"`, "arn:aws:s3:::x", no}, {"ArnLike", `"arn:aws:S3:::x"`, "arn:aws:s3:::x", no},
		{"Null", `"false"`, "", yes}, {"Null", `"true"`, "x", no}, {"Null", `["true","false"]`, "x", yes}, {"Null", `[]`, "x", no},
		{"ForAnyValue:StringEquals", `"a"`, "a", yes}, {"ForAllValues:StringEquals", `"a"`, "b", no}, {"StringEqualsIfExists", `"a"`, "b", no},
	} {
		ctx := keys{"aws:k": one(c.have), "aws:name": one("alice"), "aws:star": one("*"), "aws:true": one("true"), "aws:colon": one("1:2")}
		if got := holds(t, c.operator, c.values, ctx); got != c.want {
			t.Errorf("%s %s on %q: %v", c.operator, c.values, c.have, got)
		}
	}
}

// TestMissingKey: positive operators fail, negated ones and IfExists hold.
func TestMissingKey(t *testing.T) {
	for name, o := range operators {
		if o.family == nullFamily {
			continue
		}
		want := strings.Contains(name, "Not")
		for prefix, expected := range map[string]bool{"": want, "ForAllValues:": true, "ForAnyValue:": false} {
			if got := holds(t, prefix+name, `"1"`, keys{}); got != expected {
				t.Errorf("%s%s: %v", prefix, name, got)
			}
			if !holds(t, prefix+name+"IfExists", `"1"`, keys{}) {
				t.Errorf("%s%sIfExists fails", prefix, name)
			}
		}
		if got := holds(t, "ForAllValues:"+name, `"1"`, keys{"aws:k": many()}); !got {
			t.Errorf("ForAllValues:%s of the empty set fails", name)
		}
		if got := holds(t, "ForAnyValue:"+name, `"1"`, keys{"aws:k": many()}); got {
			t.Errorf("ForAnyValue:%s of the empty set holds", name)
		}
	}
	if !holds(t, "Null", `"true"`, keys{}) || holds(t, "Null", `"false"`, keys{}) || !holds(t, "Null", `"true"`, keys{"aws:k": many()}) {
		t.Error("Null of an absent key")
	}
	if !holds(t, "ForAllValues:Null", `"true"`, keys{"aws:k": one("x")}) || holds(t, "ForAnyValue:Null", `"true"`, keys{}) {
		t.Error("Null with a qualifier is not constant")
	}
}

func TestSets(t *testing.T) {
	for _, c := range []struct {
		operator, values string
		have             Values
		want             bool
	}{
		{"ForAllValues:StringEquals", `["a","b"]`, many("a"), true}, {"ForAllValues:StringEquals", `["a","b"]`, many("a", "c"), false},
		{"ForAnyValue:StringEquals", `["a","b"]`, many("c", "b"), true}, {"ForAnyValue:StringEquals", `["a","b"]`, many("c"), false},
		{"ForAllValues:StringNotEquals", `["a"]`, many("b", "c"), true}, {"ForAllValues:StringNotEquals", `["a"]`, many("b", "a"), false},
		{"ForAnyValue:StringNotEquals", `["a"]`, many("a", "b"), true}, {"ForAnyValue:StringNotEquals", `["a"]`, many("a"), false},
		{"StringEquals", `"a"`, many("b", "a"), true}, {"StringNotEquals", `"a"`, many("b", "a"), false}, {"StringNotEquals", `"a"`, many("b"), true},
		{"StringEquals", `[]`, one("a"), false}, {"StringNotEquals", `[]`, one("a"), true}, {"ForAllValues:StringEquals", `[]`, many("a"), false}, {"ForAllValues:StringEquals", `[]`, many(), true},
		{"ForAnyValue:StringEquals", `[]`, many("a"), false}, {"StringEqualsIfExists", `[]`, one("a"), false}, {"ForAnyValue:StringLikeIfExists", `"a*"`, many("x", "ab"), true},
	} {
		if got := holds(t, c.operator, c.values, keys{"aws:k": c.have}); got != c.want {
			t.Errorf("%s %s on %v: %v", c.operator, c.values, c.have, got)
		}
	}
}

// TestVersion2008: without variables ${…} is text.
func TestVersion2008(t *testing.T) {
	d := parsed(t, Identity, `{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/${aws:username}","Condition":{"StringLike":{"s3:prefix":"${*}"}}}}`)
	for resource, want := range map[string]bool{"arn:aws:s3:::b/${aws:username}": true, "arn:aws:s3:::b/alice": false} {
		req := &Request{Principal: user(), Action: "s3:GetObject", Resource: resource, Context: keys{"aws:username": one("alice"), "s3:prefix": one("${anything}")}}
		if got := Evaluate(req, &Inputs{Identity: []*Document{d}}).Allowed(); got != want {
			t.Errorf("%s: %v", resource, got)
		}
	}
}

func TestInstantAgreesWithTime(t *testing.T) {
	d := rand.New(rand.NewSource(1))
	for range 5000 {
		want := time.Unix(d.Int63n(8e10)-5e10, d.Int63n(1000)*1e6).UTC()
		if want.Year() < 1 {
			continue
		}
		zone := time.FixedZone("", (d.Intn(24*60)-12*60)*60)
		text := want.In(zone).Format("2006-01-02T15:04:05.000Z07:00")
		got, ok := parseInstant(text)
		if !ok || got != (instant{want.Unix(), int32(want.Nanosecond())}) {
			t.Fatalf("%s is %+v, want %d", text, got, want.Unix())
		}
	}
	for _, bad := range []string{"", "-", "20x6", "2026-13", "2026-00", "2026-02-30", "2025-02-29", "2026-04-31", "2026-1-1", "2026-01-01T", "2026-01-01T00", "2026-01-01T00:00", "2026-01-01T24:00Z", "2026-01-01T00:60Z", "2026-01-01T00:00:60Z",
		"2026-01-01T00:00:00.Z", "2026-01-01T00:00Zx", "2026-01-01T00:00+2:00", "2026-01-01T00:00+24:00", "2026-01-01T00:00+0200", "2026-01T00:00Z", "2026T00:00Z", "2026-01-01 00:00Z", "123456789012345678901", "1.5"} {
		if got, ok := parseInstant(bad); ok {
			t.Errorf("%q is %+v", bad, got)
		}
	}
	for _, good := range []string{"2024-02-29", "2000-02-29", "-86400", "0", "0001", "2026-01-01T00:00:00.1234567890Z"} {
		if _, ok := parseInstant(good); !ok {
			t.Errorf("%q is refused", good)
		}
	}
	if a, _ := parseInstant("-86400"); a.seconds != -86400 {
		t.Errorf("-86400 is %d", a.seconds)
	}
}

func TestDecimalAgreesWithRat(t *testing.T) {
	d := rand.New(rand.NewSource(2))
	text := func() string {
		s := []string{"", "-", "+"}[d.Intn(3)] + strings.Repeat("0", d.Intn(3)) + itoa(d.Intn(200))
		if d.Intn(2) == 0 {
			s += "." + itoa(d.Intn(30)) + strings.Repeat("0", d.Intn(3))
		}
		return s
	}
	for range 5000 {
		a, b := text(), text()
		x, okX := parseDecimal(a)
		y, okY := parseDecimal(b)
		p, _ := new(big.Rat).SetString(a)
		q, _ := new(big.Rat).SetString(b)
		if !okX || !okY || x.compare(y) != p.Cmp(q) {
			t.Fatalf("%s and %s: %d, want %d", a, b, x.compare(y), p.Cmp(q))
		}
	}
	for _, bad := range []string{"", "-", ".5", "5.", "1e3", "0x1", "--1", "1.2.3", " 1", "１"} {
		if _, ok := parseDecimal(bad); ok {
			t.Errorf("%q is a number", bad)
		}
	}
}
