package policy

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestValidate(t *testing.T) {
	const b = `"Resource":"arn:aws:s3:::b/*"`
	stmt := func(elements string) string { return `{"Version":"2012-10-17","Statement":[{` + elements + `}]}` }
	allow := func(action, resource string) string {
		return stmt(`"Effect":"Allow","Action":` + action + `,"Resource":` + resource)
	}
	cond := func(c string) string { return stmt(readAny + `,` + b + `,"Condition":` + c) }
	for _, c := range []struct {
		name, src string
		kind      Kind
		want      string // type, code and the text that the finding marks, one per line
	}{
		{"clean", stmt(readAny + `,` + b), Identity, ``},
		{"clean bucket policy", stmt(`"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::b","arn:aws:s3:::b/*"],"Condition":{"Bool":{"aws:SecureTransport":"false"}}`), Bucket, ``},
		{"broken", `{"Statement":`, Identity, `ERROR JSON_SYNTAX_ERROR `},
		{"two errors", `{"Version":"2012-10-17","Statement":[{"Effect":"allow","Action":"x","Resource":"*"}]}`, Identity, "ERROR INVALID_EFFECT \"allow\"\nERROR INVALID_ACTION \"x\""},
		{"no version", `{"Statement":{` + readAny + `,"Resource":"arn:aws:s3:::b/${aws:username}"}}`, Identity, "WARNING MISSING_VERSION {\nWARNING VARIABLE_UNSUPPORTED_IN_VERSION ${"},
		{"unknown action", allow(`"s3:HeadObject"`, `"arn:aws:s3:::b/*"`), Identity, `ERROR INVALID_ACTION "s3:HeadObject"`},
		{"unknown pattern", allow(`"s3:Zap*"`, `"arn:aws:s3:::b/*"`), Identity, `ERROR INVALID_ACTION "s3:Zap*"`},
		{"unknown service", allow(`"ec2:RunInstances"`, `"*"`), Identity, `WARNING INVALID_SERVICE_IN_ACTION "ec2:RunInstances"`},
		{"applies to nothing", allow(`"s3:ListBucket"`, `"arn:aws:s3:::b/*"`), Identity, `WARNING ACTION_APPLIES_TO_NO_RESOURCE "s3:ListBucket"`},
		{"needs star", allow(`"s3:ListAllMyBuckets"`, `"arn:aws:s3:::b"`), Identity, `WARNING ACTION_APPLIES_TO_NO_RESOURCE "s3:ListAllMyBuckets"`},
		{"error in a bucket policy", stmt(`"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::b"`), Bucket, `ERROR ACTION_APPLIES_TO_NO_RESOURCE "s3:GetObject"`},
		{"P12 listing", allow(`"s3:*"`, `"arn:aws:s3:::b/*"`), Identity, `WARNING ACTION_APPLIES_TO_NO_RESOURCE "s3:*"`},
		{"pattern that fits", allow(`"s3:Get*"`, `"arn:aws:s3:::b/*"`), Identity, ``},
		{"pattern that does not", allow(`"s3:ListBucket*"`, `"arn:aws:s3:::b/*"`), Identity, `WARNING ACTION_APPLIES_TO_NO_RESOURCE "s3:ListBucket*"`},
		{"NotPrincipal", stmt(readAny + `,"NotPrincipal":{"AWS":"111122223333"},` + b), Bucket, `SECURITY_WARNING ALLOW_WITH_NOT_PRINCIPAL {`},
		{"NotAction", stmt(`"Effect":"Allow","NotAction":"iam:*","Resource":"*"`), Identity, `SECURITY_WARNING ALLOW_WITH_NOT_ACTION {`},
		{"NotResource", stmt(readAny + `,"NotResource":"arn:aws:s3:::b/*"`), Identity, `WARNING ALLOW_WITH_NOT_RESOURCE {`},
		{"P07", stmt(readAny + `,"Principal":{"AWS":"111122223333"},` + b + `,"Condition":{"IpAddress":{"aws:SourceIp":"203.0.113.7"}}`), Bucket, `WARNING ALLOW_DOES_NOT_RESTRICT "aws:SourceIp"`},
		{"multivalued", cond(`{"StringEquals":{"aws:TagKeys":"a"}}`), Identity, `ERROR MISSING_QUALIFIER "aws:TagKeys"`},
		{"single with qualifier", cond(`{"ForAllValues:StringEquals":{"aws:username":"a"}}`), Identity, `SECURITY_WARNING FORALLVALUES_WITH_SINGLE_VALUED_KEY "aws:username"`},
		{"null with qualifier", cond(`{"ForAnyValue:Null":{"aws:TagKeys":"true"}}`), Identity, `SUGGESTION NULL_WITH_QUALIFIER "aws:TagKeys"`},
		{"unknown global key", cond(`{"StringEquals":{"aws:SourceIP4":"a"}}`), Identity, `ERROR INVALID_GLOBAL_CONDITION_KEY "aws:SourceIP4"`},
		{"unknown service key", cond(`{"StringEquals":{"s3:nope":"a"}}`), Identity, `ERROR INVALID_SERVICE_CONDITION_KEY "s3:nope"`},
		{"key of another action", cond(`{"StringEquals":{"s3:prefix":"a"}}`), Identity, `WARNING CONDITION_KEY_NOT_OF_ACTION "s3:prefix"`},
		{"type", cond(`{"StringEquals":{"aws:SourceIp":"203.0.113.7"}}`), Identity, `WARNING TYPE_MISMATCH "aws:SourceIp"`},
		{"number", cond(`{"NumericLessThan":{"s3:signatureAge":"ten"}}`), Identity, `ERROR TYPE_MISMATCH_NUMBER "s3:signatureAge"`},
		{"date", cond(`{"DateLessThan":{"aws:CurrentTime":"soon"}}`), Identity, `ERROR TYPE_MISMATCH_DATE "aws:CurrentTime"`},
		{"address", cond(`{"NotIpAddress":{"aws:SourceIp":"999.1.1.1"}}`), Identity, `ERROR TYPE_MISMATCH_IP_RANGE "aws:SourceIp"`},
		{"host bits", cond(`{"IpAddress":{"aws:SourceIp":"203.0.113.7/24"}}`), Identity, `SUGGESTION IMPROVE_IP_RANGE "aws:SourceIp"`},
		{"boolean", cond(`{"Bool":{"aws:SecureTransport":"yes"}}`), Identity, `ERROR TYPE_MISMATCH_BOOLEAN "aws:SecureTransport"`},
		{"binary", cond(`{"BinaryEquals":{"aws:username":"?"}}`), Identity, `ERROR TYPE_MISMATCH_BINARY "aws:username"`},
		{"wildcard", cond(`{"StringEquals":{"aws:username":"a*"}}`), Identity, `WARNING WILDCARD_WITHOUT_LIKE_OPERATOR "aws:username"`},
		{"escaped wildcard", cond(`{"StringEquals":{"aws:username":"a${*}"},"StringLike":{"aws:userid":"a*"}}`), Identity, ``},
		{"no values", cond(`{"StringEquals":{"aws:username":[]}}`), Identity, `SUGGESTION EMPTY_ARRAY_CONDITION "aws:username"`},
		{"no conditions", cond(`{}`), Identity, `SUGGESTION EMPTY_OBJECT_CONDITION {}`},
		{"issuer's key", stmt(`"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::111122223333:oidc-provider/idp.example.com"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"idp.example.com:sub":"a"}}`), Trust, ``},
		{"token of anybody", stmt(`"Effect":"Allow","Principal":{"Federated":"accounts.google.com"},"Action":"sts:AssumeRoleWithWebIdentity"`), Trust, `SECURITY_WARNING TRUST_WITHOUT_SUBJECT "accounts.google.com"`},
		{"role for everybody", stmt(`"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"`), Trust, `SECURITY_WARNING TRUST_EVERYONE "*"`},
		{"confused deputy", stmt(readAny + `,"Principal":{"Service":"cloudfront.amazonaws.com"},` + b), Bucket, `SECURITY_WARNING RESTRICT_ACCESS_TO_SERVICE_PRINCIPAL "cloudfront.amazonaws.com"`},
		{"redundant action", allow(`["s3:Get*","s3:GetObject"]`, `"arn:aws:s3:::b/*"`), Identity, `SUGGESTION REDUNDANT_ACTION "s3:GetObject"`},
		{"action twice", allow(`["s3:GetObject","s3:GetObject"]`, `"arn:aws:s3:::b/*"`), Identity, `SUGGESTION REDUNDANT_ACTION "s3:GetObject"`},
		{"redundant resource", allow(`"s3:GetObject"`, `["arn:aws:s3:::b/*","arn:aws:s3:::b/x/*"]`), Identity, `SUGGESTION REDUNDANT_RESOURCE "arn:aws:s3:::b/x/*"`},
		{"redundant statement", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/x"},{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"s3:Get*",` + b + `},{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"s3:PutObject",` + b + `}]}`, Bucket, `SUGGESTION REDUNDANT_STATEMENT {`},
		{"not redundant", `{"Version":"2012-10-17","Statement":[{` + readAny + `,"Principal":{"AWS":"111122223333"},` + b + `},{` + readAny + `,"Principal":{"AWS":"444455556666"},` + b + `},{` + readAny + `,"Principal":{"AWS":"111122223333"},"Resource":"arn:aws:s3:::c/*"}]}`, Bucket, ``},
		{"conditions are not redundant", `{"Version":"2012-10-17","Statement":[{` + readAny + `,` + b + `},{` + readAny + `,` + b + `,"Condition":{"Bool":{"aws:SecureTransport":"true"}}},{"Effect":"Deny","Action":"s3:GetObject",` + b + `}]}`, Identity, `SUGGESTION REDUNDANT_STATEMENT {`},
		{"Sids in a bucket policy", `{"Version":"2012-10-17","Statement":[{"Sid":"a","Effect":"Deny","Principal":"*","Action":"s3:GetObject",` + b + `},{"Sid":"a","Effect":"Deny","Principal":"*","Action":"s3:PutObject",` + b + `}]}`, Bucket, `WARNING UNIQUE_SIDS_RECOMMENDED {`},
		{"size", stmt(readAny + `,"Resource":"arn:aws:s3:::b/` + strings.Repeat("x", MaxManagedPolicy) + `"`), Identity, `WARNING POLICY_SIZE_EXCEEDS_IDENTITY_POLICY_QUOTA {`},
		{"beyond any size", strings.Repeat(" ", maxValidated+1), Identity, `ERROR POLICY_SIZE_EXCEEDS_RESOURCE_POLICY_QUOTA  `},
		{"administrator", allowAll, Identity, `SECURITY_WARNING PASS_ROLE_WITH_STAR_IN_ACTION_AND_RESOURCE "*"`},
		{"pass any role", allow(`"iam:PassRole"`, `"arn:aws:iam::111122223333:role/*"`), Identity, `SECURITY_WARNING PASS_ROLE_WITH_STAR_IN_RESOURCE "iam:PassRole"`},
		{"pass one role", allow(`"iam:PassRole"`, `"arn:aws:iam::111122223333:role/x"`), Identity, ``},
		{"pass to one service", stmt(`"Effect":"Allow","Action":"iam:PassRole","Resource":"*","Condition":{"StringEquals":{"iam:PassedToService":"lambda.amazonaws.com"}}`), Identity, ``},
		{"pass other roles", stmt(`"Effect":"Allow","Action":"iam:PassRole","NotResource":"arn:aws:iam::111122223333:role/x"`), Identity, "WARNING ALLOW_WITH_NOT_RESOURCE {\nSECURITY_WARNING PASS_ROLE_WITH_NOT_RESOURCE \"iam:PassRole\""},
		{"own policy", allow(`"iam:PutUserPolicy"`, `"arn:aws:iam::111122223333:user/${aws:username}"`), Identity, `SECURITY_WARNING PRIVILEGE_ESCALATION "iam:PutUserPolicy"`},
		{"own keys", allow(`"iam:CreateAccessKey"`, `"arn:aws:iam::111122223333:user/${aws:username}"`), Identity, ``},
		{"others' keys", allow(`"iam:CreateAccessKey"`, `"arn:aws:iam::111122223333:user/*"`), Identity, `SECURITY_WARNING PRIVILEGE_ESCALATION "iam:CreateAccessKey"`},
		{"denied escalation", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:AttachUserPolicy","Resource":"*"},{"Effect":"Deny","Action":"iam:Attach*","Resource":"*"}]}`, Identity, ``},
		{"half denied escalation", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:AttachUserPolicy","Resource":"*"},{"Effect":"Deny","Action":"iam:Attach*","Resource":"arn:aws:iam::1:user/x"}]}`, Identity, `SECURITY_WARNING PRIVILEGE_ESCALATION "iam:AttachUserPolicy"`},
		{"function with a role", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:PassRole","Resource":"arn:aws:iam::1:role/x"},{"Effect":"Allow","Action":"lambda:CreateFunction","Resource":"*"}]}`, Identity, `SECURITY_WARNING PRIVILEGE_ESCALATION "iam:PassRole"`},
	} {
		var got []string
		for _, f := range Validate([]byte(c.src), c.kind) {
			runes := []rune(c.src)
			text := string(runes[f.Locations[0].Span.Start.Offset:min(len(runes), f.Locations[0].Span.End.Offset)])
			if strings.HasPrefix(text, "{") && text != "{}" || strings.HasPrefix(text, "   ") {
				text = text[:1]
			}
			got = append(got, string(f.FindingType)+" "+f.IssueCode+" "+text)
			if f.FindingDetails == "" {
				t.Errorf("%s: %s without details", c.name, f.IssueCode)
			}
		}
		if joined := strings.Join(got, "\n"); joined != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, joined, c.want)
		}
	}
}

func TestFindingShape(t *testing.T) {
	findings := Validate([]byte("{\n \"Version\":\"2012-10-17\",\n \"Statement\":[{\"Effect\":\"Allow\",\"Action\":[\"s3:Nope\"],\"Resource\":\"*\"}]\n}"), Identity)
	src, err := json.Marshal(findings)
	if err != nil {
		t.Fatal(err)
	}
	const want = `[{"findingDetails":"The action s3:Nope does not exist.","findingType":"ERROR","issueCode":"INVALID_ACTION","locations":[{"path":[{"value":"Statement"},{"index":0},{"value":"Action"},{"index":0}],` +
		`"span":{"start":{"line":3,"column":42,"offset":69},"end":{"line":3,"column":51,"offset":78}}}]}]`
	if string(src) != want {
		t.Errorf("got  %s\nwant %s", src, want)
	}
}

// TestValidateIsBounded: what is hostile in size brings no more than the limits.
func TestValidateIsBounded(t *testing.T) {
	statements := strings.TrimSuffix(strings.Repeat(`{"Effect":"Allow","Action":["iam:Nope","s3:GetObject"],"Resource":"*"},`, 800), ",")
	if n := len(Validate([]byte(`{"Version":"2012-10-17","Statement":[`+statements+`]}`), Identity)); n != maxFindings {
		t.Errorf("%d findings", n)
	}
	actions := strings.TrimSuffix(strings.Repeat(`"s3:G*",`, 4000), ",")
	resources := strings.TrimSuffix(strings.Repeat(`"arn:aws:s3:::b/*",`, 1000), ",")
	Validate([]byte(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":[`+actions+`],"Resource":[`+resources+`]}}`), Identity)
	broken := strings.TrimSuffix(strings.Repeat(`{"Effect":1},`, 1000), ",")
	if n := len(Validate([]byte(`{"Version":"2012-10-17","Statement":[`+broken+`]}`), Identity)); n < maxErrors || n > 2*maxErrors {
		t.Errorf("%d errors", n)
	}
}

func TestExplain(t *testing.T) {
	identity := parsed(t, Identity, `{"Version":"2012-10-17","Statement":[{"Sid":"Read","Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::tsuchi/*","Condition":{"IpAddress":{"aws:SourceIp":["10.0.0.0/8"]},"ForAnyValue:StringEquals":{"aws:TagKeys":"a"}}},{"Effect":"Allow","Action":"iam:*","Resource":"*"}]}`).Named("arn:aws:iam::111122223333:policy/Read")
	req := &Request{Principal: user(), Action: "s3:GetObject", Resource: bucket + "/k", ResourceAccount: account, Context: keys{"aws:sourceip": one("192.0.2.1"), "aws:tagkeys": many("a", "b")}}
	x := Explain(req, &Inputs{Identity: []*Document{identity}})
	if x.Decision != "implicitDeny" || x.Layer != "identity-based policy" || x.Deciding != nil || x.Reason != "denied: no identity-based policy allows s3:GetObject" {
		t.Errorf("%s", x.JSON())
	}
	r := x.Layers[0].Documents[0]
	if r.Others != 1 || len(r.Statements) != 1 || r.Statements[0].Matched || !slices.Equal(r.Statements[0].Misses, []string{"Condition"}) {
		t.Fatalf("%s", x.JSON())
	}
	c := r.Statements[0].Conditions
	if c[0].Held || c[0].Operator != "IpAddress" || c[0].Key != "aws:SourceIp" || c[0].Expected[0] != "10.0.0.0/8" || c[0].Actual[0] != "192.0.2.1" || !c[1].Held || len(c[1].Actual) != 2 {
		t.Errorf("%+v", c)
	}
	if x.Suggestion == nil || x.Suggestion.Statement.Action != "s3:GetObject" || x.Suggestion.Statement.Resource != bucket+"/k" || x.Suggestion.Statement.Principal != nil {
		t.Errorf("%+v", x.Suggestion)
	}
	req.Context = keys{"aws:sourceip": one("10.1.1.1"), "aws:tagkeys": many("a")}
	x = Explain(req, &Inputs{Identity: []*Document{identity}})
	if x.Decision != "allowed" || x.Deciding == nil || x.Deciding.Sid != "Read" || x.Reason != "allowed by the identity-based policy, statement 0 (Read) of arn:aws:iam::111122223333:policy/Read, line 1" || x.Suggestion != nil {
		t.Errorf("%s", x.JSON())
	}
	if !json.Valid(x.JSON()) || !strings.Contains(string(x.JSON()), `"deciding": true`) {
		t.Errorf("%s", x.JSON())
	}
}

// TestSuggestion: the suggested statement, added to its layer, lifts that layer's denial.
func TestSuggestion(t *testing.T) {
	for _, c := range decisions(t) {
		req, in := c.question(t)
		x := Explain(req, in)
		if (x.Suggestion != nil) != (x.Decision == "implicitDeny" && x.Layer != "" && x.Layer != "resource control policy") {
			t.Errorf("%s: suggestion %+v", c.Name, x.Suggestion)
		}
		if x.Suggestion == nil || strings.Contains(req.Resource, "蔵") { // IAM has only Latin letters
			continue
		}
		src, err := json.Marshal(x.Suggestion.Statement)
		if err != nil {
			t.Fatal(err)
		}
		kind := map[string]Kind{"resource-based policy": Resource, "role trust policy": Trust, "VPC endpoint policy": Resource, "session policy": Session, "permissions boundary": Boundary, "service control policy": SCP, "identity-based policy": Identity}[x.Layer]
		d := parsed(t, kind, `{"Version":"2012-10-17","Statement":`+string(src)+`}`)
		switch x.Layer {
		case "resource-based policy", "role trust policy":
			in.Resource = d
		case "VPC endpoint policy":
			in.Endpoint = d
		case "session policy":
			in.Session = append(in.Session, d)
		case "permissions boundary":
			in.Boundary = d
		case "service control policy":
			in.SCPs[1] = append(in.SCPs[1], d)
		default:
			in.Identity = append(in.Identity, d)
		}
		after := Evaluate(req, in)
		if !after.Allowed() && after.Layer.String() == x.Layer {
			t.Errorf("%s: %s does not help", c.Name, src)
		}
	}
}

func TestReasons(t *testing.T) {
	req := &Request{Principal: user(), Action: "s3:GetObject", Resource: bucket + "/k", ResourceAccount: account}
	for want, c := range map[string]struct {
		req *Request
		in  *Inputs
	}{
		"allowed by a grant of the resource":                                  {req, &Inputs{Granted: true}},
		"allowed: no policy is needed":                                        {&Request{Principal: callers["root"], Action: "s3:GetObject", ResourceAccount: account}, &Inputs{}},
		"denied by a setting of the resource":                                 {req, &Inputs{Restricted: true}},
		"denied: nobody asks":                                                 {&Request{}, &Inputs{}},
		"denied explicitly by the identity-based policy, statement 0, line 1": {req, &Inputs{Identity: []*Document{parsed(t, Identity, strings.Replace(allowAll, "Allow", "Deny", 1))}}},
	} {
		if got := Explain(c.req, c.in).Reason; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestNameCaller(t *testing.T) {
	for caller, want := range map[string]map[string]string{
		"user": {"AWS": alice}, "role": {"AWS": "arn:aws:iam::111122223333:role/app/x"}, "service": {"Service": "logging.s3.amazonaws.com"},
		"web identity": {"Federated": "arn:aws:iam::111122223333:oidc-provider/idp.example.com"}, "anonymous": {"AWS": "*"},
	} {
		p := callers[caller]
		for element, name := range want {
			if got := nameCaller(&p); got[element] != name || len(got) != 1 {
				t.Errorf("%s: %v", caller, got)
			}
		}
	}
}
