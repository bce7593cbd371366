package policy

import (
	"errors"
	"strings"
	"testing"
)

const (
	allowAll = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`
	readAny  = `"Effect":"Allow","Action":"s3:GetObject"`
)

// refused is one document that is no policy: where, and what the services say about it.
var refused = []struct {
	name, src string
	kind      Kind
	line, col int
	s3, iam   string
}{
	{"empty", "", Bucket, 1, 1, "Policies must be valid JSON and the first byte must be '{'", "Syntax errors in policy."},
	{"space first", ` {"Statement":[]}`, Bucket, 1, 1, "Policies must be valid JSON and the first byte must be '{'", "Syntax errors in policy."},
	{"only space", " \n", Identity, 1, 1, "", "Syntax errors in policy."},
	{"a list", `[]`, Identity, 1, 1, "Policies must be valid JSON and the first byte must be '{'", "Syntax errors in policy."},
	{"no opening brace", `"Version":"2012-10-17"}`, Bucket, 1, 1, "Policies must be valid JSON and the first byte must be '{'", ""},
	{"no closing brace", "{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": []\n", Bucket, 4, 1, "This policy contains invalid Json", "This policy contains invalid Json"},
	{"arrow comment", "{\n \"Version\": \"2012-10-17\", <- the version\n}", Bucket, 2, 27, "This policy contains invalid Json", ""},
	{"twice", `{"Version":"2012-10-17","Version":"2012-10-17"}`, Identity, 1, 25, "", "This policy contains invalid Json"},
	{"comma at the end", `{"Statement":[],}`, Identity, 1, 17, "", "This policy contains invalid Json"},
	{"text after", allowAll + "x", Identity, 1, len(allowAll) + 1, "", "This policy contains invalid Json"},
	{"no colon", `{"Statement" []}`, Identity, 1, 14, "", "This policy contains invalid Json"},
	{"bare word", `{"Statement":nil}`, Identity, 1, 14, "", "This policy contains invalid Json"},
	{"bad list", `{"Statement":[1 2]}`, Identity, 1, 17, "", "This policy contains invalid Json"},
	{"open string", `{"Statement`, Identity, 1, 12, "", "This policy contains invalid Json"},
	{"open escape", `{"Statement\`, Identity, 1, 13, "", "This policy contains invalid Json"},
	{"open after escape", `{"Sta\n`, Identity, 1, 8, "", "This policy contains invalid Json"},
	{"control in string", "{\"State\tment\":1}", Identity, 1, 8, "", "This policy contains invalid Json"},
	{"control after escape", "{\"\\nState\tment\":1}", Identity, 1, 10, "", "This policy contains invalid Json"},
	{"unknown escape", `{"\x":1}`, Identity, 1, 4, "", "This policy contains invalid Json"},
	{"short unicode", `{"\u12":1}`, Identity, 1, 4, "", "This policy contains invalid Json"},
	{"not hexadecimal", `{"\u12zz":1}`, Identity, 1, 4, "", "This policy contains invalid Json"},
	{"lone surrogate", `{"\ud800":1}`, Identity, 1, 9, "", "This policy contains invalid Json"},
	{"two high surrogates", `{"\ud800\ud800":1}`, Identity, 1, 15, "", "This policy contains invalid Json"},
	{"number", `{"Statement":-}`, Identity, 1, 15, "", "This policy contains invalid Json"},
	{"fraction", `{"Statement":1.}`, Identity, 1, 16, "", "This policy contains invalid Json"},
	{"exponent", `{"Statement":1e+}`, Identity, 1, 17, "", "This policy contains invalid Json"},
	{"leading zero", `{"Statement":01}`, Identity, 1, 15, "", "This policy contains invalid Json"},
	{"deep", `{"Statement":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, Identity, 1, 29, "", "This policy contains invalid Json"},
	{"bad bytes", "{\"Statement\":\"\xff\"}", Bucket, 1, 15, "This policy contains invalid Json", ""},
	{"too many bytes", `{"Statement":"` + strings.Repeat("x", MaxSource) + `"}`, Resource, 1, MaxSource + 1, "This policy contains invalid Json", ""},
	{"kanji in IAM", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::蔵/*"}}`, Identity, 1, 104, "", "Syntax errors in policy."},
	{"no statement", `{"Version":"2012-10-17"}`, Bucket, 1, 1, "Missing required field Statement", "Missing required field Statement"},
	{"empty statement list", `{"Statement":[]}`, Bucket, 1, 14, "Could not parse the policy: Statement is empty!", "Syntax errors in policy."},
	{"statement of text", `{"Statement":"x"}`, Bucket, 1, 14, "Invalid policy syntax.", "Syntax errors in policy."},
	{"statement list of text", `{"Statement":["x"]}`, Bucket, 1, 15, "Invalid policy syntax.", "Syntax errors in policy."},
	{"unknown element", `{"Statements":[]}`, Bucket, 1, 2, "Unknown field Statements", "Syntax errors in policy."},
	{"unknown in statement", `{"Statement":{` + readAny + `,"Resource":"*","Resources":"*"}}`, Identity, 1, 71, "Unknown field Resources", "Syntax errors in policy."},
	{"element in small letters", `{"statement":[]}`, Bucket, 1, 2, "Unknown field statement", ""},
	{"version", `{"Version":"2012-10-18","Statement":{` + readAny + `,"Resource":"*"}}`, Identity, 1, 12, "The policy must contain a valid version string", "Policy document must be version 2012-10-17 or greater."},
	{"version number", `{"Version":2012,"Statement":{` + readAny + `,"Resource":"*"}}`, Identity, 1, 12, "The policy must contain a valid version string", ""},
	{"id in identity", `{"Id":"x","Statement":{` + readAny + `,"Resource":"*"}}`, Identity, 1, 2, "", "Has prohibited field Id."},
	{"id of number", `{"Id":7,"Statement":{"Principal":"*",` + readAny + `,"Resource":"*"}}`, Bucket, 1, 7, "Invalid policy syntax.", ""},
	{"no effect", `{"Statement":{"Action":"s3:GetObject","Resource":"*"}}`, Identity, 1, 14, "Missing required field Effect", "Missing required field Effect"},
	{"effect", `{"Statement":{"Effect":"allow","Action":"s3:GetObject","Resource":"*"}}`, Identity, 1, 24, "Invalid effect: allow", "Syntax errors in policy."},
	{"no action", `{"Statement":{"Effect":"Allow","Resource":"*"}}`, Identity, 1, 14, "Missing required field Action", ""},
	{"empty action", `{"Statement":{"Effect":"Allow","Action":[],"Resource":"*"}}`, Identity, 1, 41, "Statement is missing required element", "Policy statement must contain actions."},
	{"both actions", `{"Statement":{` + readAny + `,"NotAction":"s3:x","Resource":"*"}}`, Identity, 1, 56, "Unknown field NotAction", ""},
	{"action without service", `{"Statement":{"Effect":"Allow","Action":"GetObject","Resource":"*"}}`, Identity, 1, 41, "Policy has invalid action", "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."},
	{"action with two colons", `{"Statement":{"Effect":"Allow","Action":"s3:a:b","Resource":"*"}}`, Identity, 1, 41, "Policy has invalid action", "Actions/Condition can contain only one colon."},
	{"service with star", `{"Statement":{"Effect":"Allow","Action":"s*:Get","Resource":"*"}}`, Identity, 1, 41, "Policy has invalid action", "Vendor s* is not valid"},
	{"action of number", `{"Statement":{"Effect":"Allow","Action":[3],"Resource":"*"}}`, Identity, 1, 42, "Invalid policy syntax.", ""},
	{"no resource", `{"Statement":{` + readAny + `}}`, Identity, 1, 14, "Missing required field Resource", ""},
	{"empty resource", `{"Statement":{` + readAny + `,"Resource":[]}}`, Identity, 1, 67, "Statement is missing required element", "Policy statement must contain resources."},
	{"resource no ARN", `{"Statement":{` + readAny + `,"Resource":"bucket/*"}}`, Identity, 1, 67, "Policy has invalid resource", `Resource bucket/* must be in ARN format or "*".`},
	{"short ARN", `{"Statement":{` + readAny + `,"Resource":"arn:aws:s3"}}`, Bucket, 1, 67, "Policy has invalid resource", `Resource arn:aws:s3 must be in ARN format or "*".`},
	{"partition", `{"Statement":{` + readAny + `,"Resource":"arn:azure:s3:::b"}}`, Identity, 1, 67, "", `Partition "azure" is not valid for resource "arn:azure:s3:::b".`},
	{"resource service", `{"Statement":{` + readAny + `,"Resource":"arn:aws:s?:::b"}}`, Identity, 1, 67, "", "Resource vendor must be fully qualified and cannot contain regexes."},
	{"region of bucket", `{"Statement":{` + readAny + `,"Resource":"arn:aws:s3:us-east-1::b"}}`, Identity, 1, 67, "", "Resource arn:aws:s3:us-east-1::b can not contain region information."},
	{"region of user", `{"Statement":{` + readAny + `,"Resource":"arn:aws:iam:us-east-1:1:user/x"}}`, Identity, 1, 67, "", "IAM resource arn:aws:iam:us-east-1:1:user/x cannot contain region information."},
	{"path of IAM", `{"Statement":{` + readAny + `,"Resource":"arn:aws:iam::1:usr/x"}}`, Identity, 1, 67, "", iamPathSentence},
	{"principal in identity", `{"Statement":{"Principal":"*",` + readAny + `,"Resource":"*"}}`, Identity, 1, 15, "Unknown field Principal", "Has prohibited field Principal."},
	{"not principal in identity", `{"Statement":{"NotPrincipal":"*",` + readAny + `,"Resource":"*"}}`, Identity, 1, 15, "", "Has prohibited field NotPrincipal."},
	{"no principal", `{"Statement":{` + readAny + `,"Resource":"*"}}`, Bucket, 1, 14, "Missing required field Principal", ""},
	{"principal text", `{"Statement":{"Principal":"me",` + readAny + `,"Resource":"*"}}`, Bucket, 1, 27, "Invalid principal in policy", `Invalid principal in policy: "me"`},
	{"principal kind", `{"Statement":{"Principal":{"aws":"*"},` + readAny + `,"Resource":"*"}}`, Bucket, 1, 34, "Invalid principal in policy", `Invalid principal in policy: "aws":"*"`},
	{"principal list", `{"Statement":{"Principal":{"AWS":[]},` + readAny + `,"Resource":"*"}}`, Bucket, 1, 34, "Invalid principal in policy", ""},
	{"trust with resource", `{"Statement":{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole","Resource":"*"}}`, Trust, 1, 82, "", "Has prohibited field Resource."},
	{"trust about S3", `{"Statement":{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"s3:GetObject"}}`, Trust, 1, 65, "", "Trust Policy statement actions can only be sts:AssumeRole, sts:AssumeRoleWithSAML,  and sts:AssumeRoleWithWebIdentity"},
	{"control policy allows", `{"Statement":{"Principal":"*",` + readAny + `,"Resource":"*"}}`, RCP, 1, 14, "", "Syntax errors in policy."},
	{"control policy of one", `{"Statement":{"Principal":{"AWS":"111122223333"},"Effect":"Deny","Action":"s3:*","Resource":"*"}}`, RCP, 1, 14, "", "Invalid principal in policy: "},
	{"control policy not action", `{"Statement":{"Principal":"*","Effect":"Deny","NotAction":"s3:*","Resource":"*"}}`, RCP, 1, 14, "", "Has prohibited field NotAction."},
	{"Sid with space", `{"Statement":{"Sid":"a b",` + readAny + `,"Resource":"*"}}`, Identity, 1, 21, "", "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*"},
	{"Sid of number", `{"Statement":{"Sid":1,"Principal":"*",` + readAny + `,"Resource":"*"}}`, Bucket, 1, 21, "Invalid policy syntax.", ""},
	{"Sid twice", `{"Statement":[{"Sid":"a",` + readAny + `,"Resource":"*"},{"Sid":"a",` + readAny + `,"Resource":"*"}]}`, Identity, 1, 90, "", "Statement IDs (SID) in a single policy must be unique."},
	{"condition of text", `{"Statement":{` + readAny + `,"Resource":"*","Condition":"x"}}`, Identity, 1, 83, "Invalid policy syntax.", ""},
	{"operator", `{"Statement":{` + readAny + `,"Resource":"*","Condition":{"stringEquals":{"aws:username":"x"}}}}`, Identity, 1, 84, "Invalid Condition type : stringEquals", ""},
	{"null if exists", `{"Statement":{` + readAny + `,"Resource":"*","Condition":{"NullIfExists":{"aws:username":"true"}}}}`, Identity, 1, 84, "Invalid Condition type : NullIfExists", ""},
	{"operator of text", `{"Statement":{` + readAny + `,"Resource":"*","Condition":{"StringEquals":"x"}}}`, Identity, 1, 99, "Invalid policy syntax.", ""},
	{"condition key", `{"Statement":{` + readAny + `,"Resource":"*","Condition":{"StringEquals":{"username":"x"}}}}`, Identity, 1, 100, "Policy has an invalid condition key", "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."},
	{"condition key with star", `{"Statement":{` + readAny + `,"Resource":"*","Condition":{"StringEquals":{"aws:user*":"x"}}}}`, Identity, 1, 100, "Policy has an invalid condition key", ""},
	{"condition value null", `{"Statement":{` + readAny + `,"Resource":"*","Condition":{"StringEquals":{"aws:username":null}}}}`, Identity, 1, 115, "Invalid policy syntax.", ""},
	{"open variable", `{"Version":"2012-10-17","Statement":{` + readAny + `,"Resource":"arn:aws:s3:::b/${aws:username"}}`, Identity, 1, 90, "Invalid policy syntax.", "Syntax errors in policy."},
	{"space in variable", `{"Version":"2012-10-17","Statement":{` + readAny + `,"Resource":"arn:aws:s3:::b/${aws:user name}"}}`, Identity, 1, 90, "Invalid policy syntax.", ""},
	{"default without quotes", `{"Version":"2012-10-17","Statement":{` + readAny + `,"Resource":"arn:aws:s3:::b/${aws:username, 'x}"}}`, Identity, 1, 90, "Invalid policy syntax.", ""},
	{"variable before the fifth colon", `{"Version":"2012-10-17","Statement":{` + readAny + `,"Resource":"arn:aws:s3::${aws:PrincipalAccount}:b"}}`, Identity, 1, 90, "Invalid policy syntax.", ""},
	{"variable in condition", `{"Version":"2012-10-17","Statement":{` + readAny + `,"Resource":"*","Condition":{"StringEquals":{"s3:prefix":"${}"}}}}`, Identity, 1, 135, "Invalid policy syntax.", ""},
	{"unknown kind", allowAll, 99, 1, 1, "Invalid policy syntax.", ""},
	{"too large", `{"Statement":{"Principal":"*",` + readAny + `,"Resource":"arn:aws:s3:::b/` + strings.Repeat("x", MaxBucketPolicy) + `"}}`, Bucket, 1, 1, "Normalized policy document exceeds the maximum allowed size of 20480 bytes", "Cannot exceed quota for PolicySize: 20480"},
}

func TestParseRefuses(t *testing.T) {
	for _, c := range refused {
		doc, err := Parse([]byte(c.src), c.kind)
		var bad *SyntaxError
		if doc != nil || !errors.As(err, &bad) {
			t.Errorf("%s: accepted, %v", c.name, err)
			continue
		}
		if bad.Line != c.line || bad.Column != c.col || !strings.HasPrefix(err.Error(), "line ") || bad.Message == "" {
			t.Errorf("%s: %v, want line %d, column %d", c.name, err, c.line, c.col)
		}
		if c.s3 != "" && bad.S3Message() != c.s3 {
			t.Errorf("%s: S3 says %q, want %q", c.name, bad.S3Message(), c.s3)
		}
		if c.iam != "" && bad.IAMMessage() != c.iam {
			t.Errorf("%s: IAM says %q, want %q", c.name, bad.IAMMessage(), c.iam)
		}
		if strings.Contains(bad.S3Message()+bad.IAMMessage(), "%s") || bad.KMSMessage() == "" {
			t.Errorf("%s: unfinished sentence %q %q", c.name, bad.S3Message(), bad.IAMMessage())
		}
	}
}

func TestParseAccepts(t *testing.T) {
	for name, c := range map[string]struct {
		kind Kind
		src  string
	}{
		"single statement":    {Identity, allowAll},
		"old version":         {Identity, `{"Statement":[{` + readAny + `,"Resource":"arn:aws:s3:::b/${not a variable"}]}`},
		"numbers, booleans":   {Bucket, `{"Id":"Policy1","Statement":[{"Sid":"a b","Principal":{"AWS":"*"},` + readAny + `,"Resource":"arn:aws:s3:::b/*","Condition":{"NumericLessThan":{"s3:signatureAge":-1.5e3},"Bool":{"aws:SecureTransport":true}}}]}`},
		"escapes":             {Bucket, `{"Statement":{"Sid":"\"\\\/\b\f\n\r\t\u0041\ud83d\ude00","Principal":"*",` + readAny + `,"Resource":"arn:aws:s3:::b/蔵"}}`},
		"short ARNs":          {Identity, `{"Statement":{` + readAny + `,"Resource":["arn:aws:s3*","arn:*","arn*","arn:*:s3:::b","arn:aws:iam::1:*","arn:aws:iam::1:us*","arn:aws:iam::1:root","arn:aws:s3:us-east-1:111122223333:accesspoint/x"]}}`},
		"trust":               {Trust, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::111122223333:role/a/b","111122223333"],"Service":"lambda.amazonaws.com","Federated":["arn:aws:iam::111122223333:oidc-provider/idp.example.com","accounts.google.com"]},"Action":["sts:AssumeRole","sts:TagSession"],"Condition":{"StringEquals":{"sts:ExternalId":"7"}}}]}`},
		"full control":        {RCP, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}`},
		"sessions":            {Bucket, `{"Statement":{"Principal":{"AWS":["arn:aws:sts::111122223333:assumed-role/r/s","arn:aws:sts::111122223333:federated-user/f","arn:aws:iam::cloudfront:user/CloudFront Origin Access Identity E1"],"CanonicalUser":"` + strings.Repeat("0a", 32) + `"},` + readAny + `,"Resource":"arn:aws:s3:::b/*"}}`},
		"variables":           {Identity, `{"Version":"2012-10-17","Statement":{` + readAny + `,"Resource":["arn:aws:s3:::b/${aws:username}/${*}${?}${$}/${aws:PrincipalTag/t, 'a}b'}","arn:aws:s3:::b/$x"]}}`},
		"tag key with a sign": {Identity, `{"Statement":{` + readAny + `,"Resource":"*","Condition":{"StringEquals":{"aws:RequestTag/a$b":"1"}}}}`},
	} {
		if _, err := ParseString(c.src, c.kind); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDuplicateMemberInLargeObject(t *testing.T) {
	var b strings.Builder
	for i := range 40 {
		b.WriteString(`"aws:k` + itoa(i) + `":"v",`)
	}
	src := func(last string) string {
		return `{"Statement":{` + readAny + `,"Resource":"*","Condition":{"StringEquals":{` + b.String() + last + `}}}}`
	}
	if _, err := ParseString(src(`"aws:k40":"v"`), Identity); err != nil {
		t.Error(err)
	}
	for _, last := range []string{`"aws:k3":"v"`, `"aws:k39":"v"`} {
		if _, err := ParseString(src(last), Identity); err == nil || !strings.Contains(err.Error(), "occurs twice") {
			t.Errorf("%s: %v", last, err)
		}
	}
}

func TestPrincipalForms(t *testing.T) {
	for _, c := range []struct {
		element, text string
		ok            bool
	}{
		{"AWS", "arn:aws:iam::111122223333:user/*", false}, {"AWS", "arn:aws:iam::111122223333:group/g", false},
		{"AWS", "arn:aws:iam::11112222333:user/a", false}, {"AWS", "arn:aws:iam:us-east-1:111122223333:user/a", false},
		{"AWS", "arn:aws:s3:::b", false}, {"AWS", "arn:aws:iam::111122223333:user/", false}, {"AWS", "arn:aws:iam::111122223333:user/a/", false},
		{"AWS", "arn:aws:sts::111122223333:assumed-role/r", false}, {"AWS", "arn:aws:sts::111122223333:assumed-role//s", false},
		{"AWS", "arn:aws:sts::111122223333:federated-user/", false}, {"AWS", "arn:aws:sts::111122223333:user/x", false},
		{"AWS", "arn:mars:iam::111122223333:root", false}, {"AWS", "AIDA", false}, {"AWS", "aidaaliceealicealice", false}, {"AWS", "", false},
		{"AWS", "arn:aws-cn:iam::111122223333:role/x", true}, {"AWS", "arn:aws:iam::cloudfront:role/x", false},
		{"Service", "*", false}, {"Service", "s3", false}, {"Service", "s3_x.amazonaws.com", false}, {"Service", ".amazonaws.com", false}, {"Service", "a..b", false}, {"Service", "s3.amazonaws.com", true},
		{"Service", strings.Repeat("a.", 200) + "com", false},
		{"Federated", "*", false}, {"Federated", "arn:aws:iam::111122223333:user/x", false}, {"Federated", "arn:aws:iam::111122223333:saml-provider/x", true},
		{"CanonicalUser", "*", false}, {"CanonicalUser", strings.Repeat("A", 64), false}, {"Group", "x", false},
	} {
		if _, ok := parsePrincipal(c.element, c.text); ok != c.ok {
			t.Errorf("%s %q: %v", c.element, c.text, ok)
		}
	}
}

func TestKindNames(t *testing.T) {
	if Kind(0).String() != "unknown" || Kind(200).String() != "unknown" || Trust.String() != "role trust policy" {
		t.Error("names of kinds")
	}
}
