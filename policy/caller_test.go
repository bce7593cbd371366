package policy

import (
	"slices"
	"strings"
	"testing"
)

func TestParseCaller(t *testing.T) {
	for _, c := range []struct {
		text, arn, account, name string
		kind                     PrincipalType
		key, value               string
	}{
		{"*", "", "", "", Anonymous, "aws:principalaccount", "anonymous"},
		{"anonymous", "", "", "", Anonymous, "aws:userid", "anonymous"},
		{account, "arn:aws:iam::111122223333:root", account, "", RootUser, "aws:principaltype", "Account"},
		{"arn:aws:iam::111122223333:root", "arn:aws:iam::111122223333:root", account, "", RootUser, "aws:userid", account},
		{alice, alice, account, "alice", IAMUser, "aws:username", "alice"},
		{"arn:aws:iam::111122223333:role/app/x", "arn:aws:sts::111122223333:assumed-role/x/session", account, "", AssumedRole, "aws:principalarn", "arn:aws:iam::111122223333:role/app/x"},
		{"arn:aws:sts::111122223333:assumed-role/x/s", "arn:aws:sts::111122223333:assumed-role/x/s", account, "", AssumedRole, "aws:principalarn", "arn:aws:iam::111122223333:role/x"},
		{"arn:aws:sts::111122223333:federated-user/f", "arn:aws:sts::111122223333:federated-user/f", account, "", FederatedUser, "aws:userid", account + ":f"},
		{"logging.s3.amazonaws.com", "logging.s3.amazonaws.com", "", "", Service, "aws:principalservicename", "logging.s3.amazonaws.com"},
		{"arn:aws:iam::111122223333:oidc-provider/x.example", "arn:aws:iam::111122223333:oidc-provider/x.example", "", "", WebIdentity, "", ""},
	} {
		p, err := ParseCaller(c.text)
		if err != nil || p.Type != c.kind || p.ARN != c.arn || p.Account != c.account || p.Name != c.name {
			t.Errorf("%s: %+v, %v", c.text, p, err)
		}
		if v, ok := CallerKeys(&p).Lookup(c.key); c.key != "" && (!ok || v.One != c.value) {
			t.Errorf("%s: %s = %q", c.text, c.key, v.One)
		}
	}
	for _, text := range []string{"", "who", "AIDAALICEALICEALICE0", "arn:aws:s3:::b", "arn:aws:iam::1:user/x", "arn:aws:iam::111122223333:group/g"} {
		if p, err := ParseCaller(text); err == nil {
			t.Errorf("%q is taken for %+v", text, p)
		}
	}
	if len(CallerKeys(&Principal{})) != 0 {
		t.Error("nobody has keys")
	}
}

func TestWitnessString(t *testing.T) {
	d := parsed(t, Bucket, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::tsuchi/*","Condition":{
		"StringEquals":{"aws:referer":"a","aws:UserAgent":"b"},"ForAllValues:StringEquals":{"aws:TagKeys":["x"]},"Null":{"s3:prefix":"true","aws:CalledVia":"true"}}}]}`)
	w := d.Public().Witness
	if got := w.String(); got != "anybody does s3:GetObject on arn:aws:s3:::tsuchi/example with aws:referer = a, aws:useragent = b without s3:prefix, aws:calledvia, aws:tagkeys" &&
		got != "anybody does s3:GetObject on arn:aws:s3:::tsuchi/example with aws:referer = a, aws:useragent = b without aws:tagkeys, s3:prefix, aws:calledvia" {
		t.Error(got)
	}
	// The strongest of many conditions: several values of one key, each with its own task.
	d = parsed(t, Bucket, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::tsuchi/*","Condition":{
		"ForAnyValue:StringLike":{"aws:CalledVia":"a*"},"ForAnyValue:StringNotLike":{"aws:CalledVia":"a*"},"ForAllValues:StringNotEquals":{"aws:CalledVia":"a"},"StringLike":{"aws:CalledVia":"*z"}}}]}`)
	w = d.Public().Witness
	if w == nil || len(w.Keys["aws:calledvia"]) < 2 || !Evaluate(w.Request(), w.Inputs(d)).Allowed() {
		t.Errorf("%+v", w)
	}
}

func TestReachOfOneResource(t *testing.T) {
	src := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","NotResource":"arn:aws:s3:::tsuchi/*"}]}`
	d := parsed(t, Bucket, src)
	zone := home
	if got := Reach(d, zone); len(got) != 1 || !strings.Contains(got[0].Witness.Resource, ":accesspoint/") {
		t.Errorf("a policy of the bucket that it names reaches its access points alone: %+v", got)
	}
	zone.Resource = "arn:aws:s3:::kura"
	if got := summary(Reach(d, zone)); got != "Anonymous * 0 s3:GetObject" {
		t.Errorf("of another bucket: %s", got)
	}
	for _, several := range []string{`["arn:aws:s3:::tsuchi/*","arn:aws:s3:::kura/*"]`, `"arn:aws:s3:::*"`, `"arn:aws:s3:::tsuchi*"`} {
		d = parsed(t, Bucket, strings.Replace(src, `"NotResource":"arn:aws:s3:::tsuchi/*"`, `"Resource":`+several, 1))
		if got := summary(Reach(d, home)); got != "Anonymous * 0 s3:GetObject" {
			t.Errorf("%s: %s", several, got)
		}
	}
	role := parsed(t, Trust, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"444455556666"},"Action":"sts:*"}]}`)
	zone.Resource = "arn:aws:iam::111122223333:role/x"
	openings := Reach(role, zone)
	if len(openings) != 1 || openings[0].Witness.Resource != zone.Resource || openings[0].Resources != nil {
		t.Errorf("%+v", openings)
	}
	key := parsed(t, KeyPolicy, `{"Version":"2012-10-17","Statement":[{"Sid":"S","Effect":"Allow","Principal":{"AWS":"444455556666"},"Action":"*","NotResource":"arn:aws:kms:us-east-1:111122223333:key/other"}]}`)
	zone.Resource = "arn:aws:kms:us-east-1:111122223333:key/x"
	if openings = Reach(key, zone); len(openings) != 1 || openings[0].Witness.Resource != zone.Resource || openings[0].Resources[0] != "not arn:aws:kms:us-east-1:111122223333:key/other" {
		t.Errorf("%+v", openings)
	}
}

func TestDiff(t *testing.T) {
	open := bucketPolicy(t, `"*"`, "")
	partner := bucketPolicy(t, `{"AWS":"444455556666"}`, "")
	text := func(changes []Change) string {
		var lines []string
		for _, c := range changes {
			sign := "-"
			if c.Gained {
				sign = "+"
			}
			lines = append(lines, sign+summary([]Opening{c.Opening}))
		}
		return strings.Join(lines, "\n")
	}
	for _, c := range []struct {
		name          string
		before, after *Document
		zone          Zone
		want          string
	}{
		{"nothing", nil, nil, Zone{}, ""},
		{"made", nil, open, Zone{}, "+Anonymous * 0 s3:GetObject"},
		{"removed", open, nil, Zone{}, "-Anonymous * 0 s3:GetObject"},
		{"the same", open, open, Zone{}, ""},
		{"the same, written otherwise", open, parsed(t, Bucket, strings.Replace(open.Source(), `"Principal":"*"`, `"Principal":{"AWS":["*"]}`, 1)), Zone{}, ""},
		{"opened", partner, open, home, "+Anonymous * 0 s3:GetObject"},
		{"a partner is trusted", nil, partner, Zone{Accounts: []string{account, other}}, ""},
		{"an address more", bucketPolicy(t, `"*"`, `{"IpAddress":{"aws:SourceIp":"203.0.113.0/25"}}`), bucketPolicy(t, `"*"`, `{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}`), home, "+Anonymous * 0 s3:GetObject"},
		{"two halves", bucketPolicy(t, `"*"`, `{"IpAddress":{"aws:SourceIp":["203.0.113.0/25","203.0.113.128/25"]}}`), bucketPolicy(t, `"*"`, `{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}`), home, ""},
		{"a Deny goes", parsed(t, Bucket, strings.Replace(open.Source(), `[{`, `[{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::tsuchi/private/*"},{`, 1)), open, home, "+Anonymous * 0 s3:GetObject"},
		{"a condition goes", bucketPolicy(t, `"*"`, `{"Bool":{"aws:SecureTransport":"true"}}`), open, home, "+Anonymous * 0 s3:GetObject"},
	} {
		changes := Diff(c.before, c.after, c.zone)
		if got := text(changes); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, c.want)
		}
		for _, change := range changes {
			allowing, refusing := c.before, c.after
			if change.Gained {
				allowing, refusing = c.after, c.before
			}
			checkWitness(t, &change.Opening, c.zone, allowing, refusing)
		}
	}
}

// A document that would take very long is cut short, and what was not excluded is reported.
func TestReachIsBounded(t *testing.T) {
	src := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*","Condition":{"StringLike":{"aws:referer":"*z*z*z*z*z*q"}}},
		{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"*","Condition":{"StringLike":{"aws:referer":["*q"`
	for i := range 800 {
		src += `,"*a*b` + itoa(i) + `*c*d*e"`
	}
	d := parsed(t, Resource, src+`]}}}]}`)
	a := newAnalysis(d, nil, home)
	openings := a.openings()
	if len(openings) == 0 || slices.ContainsFunc(openings, func(o Opening) bool { return o.Proven || o.Witness != nil }) {
		t.Errorf("what could not be excluded is not reported: %s", summary(openings))
	}
	if a.work < -maxWork/10 {
		t.Errorf("%d steps beyond the bound", -a.work)
	}
}

// Values at the edges of what the search takes apart.
func TestReachValues(t *testing.T) {
	for _, c := range []struct{ name, condition, want string }{
		{"truth", `{"Bool":{"aws:MultiFactorAuthPresent":"true"}}`, "Anonymous * 0 s3:GetObject"},
		{"neither true nor false", `{"StringNotEquals":{"aws:MultiFactorAuthPresent":["true","false"]},"Null":{"aws:MultiFactorAuthPresent":"false"}}`, ""},
		{"far dates", `{"DateGreaterThan":{"aws:EpochTime":"999999999999"},"DateLessThan":{"aws:EpochTime":"1000000000001"}}`, "Anonymous * 0 s3:GetObject"},
		{"early dates", `{"DateLessThan":{"aws:CurrentTime":"-99999999999"}}`, "Anonymous * 0 s3:GetObject"},
		{"between parts of a second", `{"DateGreaterThan":{"aws:CurrentTime":"2026-01-01T00:00:00.9Z"},"DateLessThan":{"aws:CurrentTime":"2026-01-01T00:00:01.1Z"}}`, "Anonymous * 0 s3:GetObject"},
		{"between seconds", `{"DateGreaterThan":{"aws:CurrentTime":"2026-01-01T00:00:00.2Z"},"DateLessThan":{"aws:CurrentTime":"2026-01-01T00:00:01.1Z"}}`, "Anonymous * 0 s3:GetObject"},
		{"empty text", `{"StringLike":{"aws:referer":"a*"},"StringNotLike":{"aws:referer":"a?*"}}`, "Anonymous * 0 s3:GetObject"},
		{"every digit known", `{"StringLike":{"aws:referer":"?"},"StringNotLike":{"aws:referer":["0","1","2","3","4","5","6","7","8","9","x"]}}`, "Anonymous * 0 s3:GetObject"},
		{"every letter known", `{"StringLike":{"aws:referer":"?"},"StringNotEqualsIgnoreCase":{"aws:referer":["a","b","c","d","e","f","g","h","i","j","k","l","m","n","o","p","q","r","s","t","u","v","w","x","y","z","-","_",".","0","1","2","3","4","5","6","7","8","9",":","/"]}}`, "Anonymous * 0 s3:GetObject"},
		{"no ARN", `{"ArnLike":{"aws:referer":"x"}}`, ""},
		{"an ARN", `{"ArnLike":{"aws:referer":"arn:*:s3:::?"},"ArnNotLike":{"aws:referer":"arn:aws:s3:::*"}}`, "Anonymous * 0 s3:GetObject"},
		{"nothing listed", `{"ForAnyValue:StringEquals":{"aws:CalledVia":[]}}`, ""},
		{"a variable of a value", `{"StringEquals":{"aws:referer":"${aws:UserAgent}","aws:UserAgent":"x"}}`, "Anonymous * 0 s3:GetObject"},
		{"a variable of two", `{"StringEquals":{"aws:referer":"${aws:CalledVia}"}}`, "Anonymous * 0 s3:GetObject ?"},
		{"an address of a variable", `{"StringEquals":{"aws:referer":"${aws:SourceIp}"}}`, "Anonymous * 0 s3:GetObject"},
		{"a date of a variable", `{"StringEquals":{"aws:referer":"${aws:CurrentTime}"}}`, "Anonymous * 0 s3:GetObject"},
		{"a truth of a variable", `{"Bool":{"aws:MultiFactorAuthPresent":"${aws:SecureTransport}"}}`, "Anonymous * 0 s3:GetObject"},
		{"text as address", `{"StringLike":{"aws:SourceIp":"203.*"},"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}`, "Anonymous * 0 s3:GetObject"},
		{"a number that nothing reads", `{"NumericLessThan":{"s3:max-keys":"1e999999999"}}`, ""},
		{"bytes", `{"BinaryEquals":{"aws:referer":"YWI="}}`, "Anonymous * 0 s3:GetObject"},
	} {
		d := bucketPolicy(t, `"*"`, c.condition)
		openings := Reach(d, Zone{Accounts: []string{account}, TrustServices: true})
		got := summary(openings)
		if got, _, _ = strings.Cut(got, "\n"); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		for i := range openings {
			checkWitness(t, &openings[i], Zone{Accounts: []string{account}}, d, nil)
		}
	}
}

func TestUnmentioned(t *testing.T) {
	text := ""
	for _, digits := range "0123456789" {
		text += strings.Repeat(string(digits), 12) + ","
	}
	if got := unmentioned(text+"000000000001", "0123456789"); got != "000000000002" {
		t.Error(got)
	}
}
