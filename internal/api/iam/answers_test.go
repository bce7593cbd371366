package iam_test

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// decodeSeed undoes the base64 around the base32 text.
func decodeSeed(t testing.TB, text string) string {
	seed, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(seed) != 64 {
		t.Fatalf("seed %q: %v", text, err)
	}
	return string(seed)
}

// TestPages: a list in pages is the list.
func TestPages(t *testing.T) {
	h := newHarness(t)
	want := []string{"admin"}
	for i := range 12 {
		name := "user-" + strconv.Itoa(10+i)
		h.must(h.admin, "iam", "CreateUser", "UserName", name)
		want = append(want, name)
	}
	var got []string
	marker := []string{}
	for {
		a := h.must(h.admin, "iam", "ListUsers", append(marker, "MaxItems", "5")...)
		got = append(got, a.all("UserName")...)
		if a.text("IsTruncated") != "true" {
			break
		}
		marker = []string{"Marker", a.text("Marker")}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	h.refused("ValidationError", h.admin, "iam", "ListUsers", "MaxItems", "0")
	h.refused("ValidationError", h.admin, "iam", "ListUsers", "MaxItems", "1001")
	h.refused("ValidationError", h.admin, "iam", "ListUsers", "Marker", "!")
	if got := h.must(h.admin, "iam", "ListUsers", "PathPrefix", "/none/"); !strings.Contains(got.body, "<Users></Users>") {
		t.Error(got.body)
	}
}

// TestAccountsInPages: Organizations calls its pages otherwise.
func TestAccountsInPages(t *testing.T) {
	h := newHarness(t)
	for _, name := range []string{"b", "c", "d"} {
		h.must(h.admin, "organizations", "CreateAccount", "Email", name+"@example.com", "AccountName", name)
	}
	seen := 0
	for token := []string{}; ; {
		a := h.must(h.admin, "organizations", "ListAccounts", append(token, "MaxResults", "1")...)
		seen += strings.Count(a.body, `"Status":"ACTIVE"`)
		if a.json("NextToken") == "" {
			break
		}
		token = []string{"NextToken", a.json("NextToken")}
	}
	if seen != 4 {
		t.Errorf("%d accounts", seen)
	}
	h.refused("InvalidInputException", h.admin, "organizations", "ListAccounts", "NextToken", "!")
}

// TestDocumentsAreEscaped as RFC 3986 has it, and come back as they were written.
func TestDocumentsAreEscaped(t *testing.T) {
	h := newHarness(t)
	written := "{ \"Version\":\"2012-10-17\",\n\"Statement\":[{\"Sid\":\"a\",\"Effect\":\"Allow\",\"Action\":\"s3:GetObject\",\"Resource\":\"arn:aws:s3:::b/+ ~é*\"}]}"
	h.must(h.admin, "iam", "CreateUser", "UserName", "alice")
	h.must(h.admin, "iam", "PutUserPolicy", "UserName", "alice", "PolicyName", "own", "PolicyDocument", written)
	raw := h.must(h.admin, "iam", "GetUserPolicy", "UserName", "alice", "PolicyName", "own").text("PolicyDocument")
	if got, err := url.PathUnescape(raw); err != nil || got != written {
		t.Errorf("%q %v", raw, err)
	}
	if strings.ContainsAny(raw, "{ \":+/*") || !strings.Contains(raw, "%20") {
		t.Errorf("not escaped: %s", raw)
	}
	made := h.must(h.admin, "iam", "CreatePolicy", "PolicyName", "p", "PolicyDocument", written)
	version := h.must(h.admin, "iam", "GetPolicyVersion", "PolicyArn", made.text("Arn"), "VersionId", "v1")
	if got, _ := url.PathUnescape(version.text("Document")); got != written {
		t.Error(version.body)
	}
}

// TestListsLeaveOut what AWS's lists do.
func TestListsLeaveOut(t *testing.T) {
	h := populated(t)
	h.must(h.admin, "iam", "CreateUser", "UserName", "tagged", "Tags.member.1.Key", "team", "Tags.member.1.Value", "red", "PermissionsBoundary", arn("policy/written"))
	list, one := h.must(h.admin, "iam", "ListUsers"), h.must(h.admin, "iam", "GetUser", "UserName", "tagged")
	for _, element := range []string{"<Tags>", "<PermissionsBoundary>"} {
		if strings.Contains(list.body, element) || !strings.Contains(one.body, element) {
			t.Errorf("%s:\n%s\n%s", element, list.body, one.body)
		}
	}
}

// TestMessages are AWS's own.
func TestMessages(t *testing.T) {
	h := populated(t)
	stranger := h.newUser("stranger", "")
	for _, c := range []struct {
		by      user
		message string
		call    []string
	}{
		{h.admin, "User with name alice already exists.", []string{"CreateUser", "UserName", "alice"}},
		{h.admin, "The user with name nobody cannot be found.", []string{"GetUser", "UserName", "nobody"}},
		{h.admin, "The user with name nobody cannot be found.", []string{"ListSSHPublicKeys", "UserName", "nobody"}},
		{h.admin, "Policy " + arn("policy/none") + " was not found.", []string{"GetPolicy", "PolicyArn", arn("policy/none")}},
		{h.admin, "The Password Policy with domain name " + testAccount + " cannot be found.", []string{"GetAccountPasswordPolicy"}},
		{h.admin, "Duplicate tag keys found. Please note that Tag keys are case insensitive.", []string{"TagUser", "UserName", "alice", "Tags.member.1.Key", "a", "Tags.member.1.Value", "", "Tags.member.2.Key", "A", "Tags.member.2.Value", ""}},
		{stranger, "User: " + arn("user/stranger") + " is not authorized to perform: iam:GetUser on resource: " + arn("user/alice") + " because no identity-based policy allows the iam:GetUser action", []string{"GetUser", "UserName", "alice"}},
		{h.admin, "This operation is not implemented.", []string{"ListSAMLProviders"}},
	} {
		if got := h.call(c.by, "iam", c.call[0], c.call[1:]...).text("Message"); got != c.message {
			t.Errorf("%v: %q, want %q", c.call, got, c.message)
		}
	}
}

// TestSimulation gives the decision of the evaluator, with what decided it.
func TestSimulation(t *testing.T) {
	h := populated(t)
	document := `{"Version":"2012-10-17","Statement":[
		{"Sid":"Read","Effect":"Allow","Action":"s3:Get*","Resource":"arn:aws:s3:::data/*"},
		{"Sid":"Never","Effect":"Deny","Action":"s3:Delete*","Resource":"*"},
		{"Sid":"Tls","Effect":"Allow","Action":"s3:PutObject","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"true"}}}]}`
	h.must(h.admin, "iam", "PutUserPolicy", "UserName", "alice", "PolicyName", "own", "PolicyDocument", document)
	ask := func(pairs ...string) answer {
		return h.must(h.admin, "iam", "SimulatePrincipalPolicy", append([]string{"PolicySourceArn", arn("user/alice")}, pairs...)...)
	}
	a := ask("ActionNames.member.1", "s3:GetObject", "ActionNames.member.2", "s3:DeleteObject", "ActionNames.member.3", "s3:ListBucket", "ResourceArns.member.1", "arn:aws:s3:::data/x")
	if got := a.all("EvalDecision"); !slices.Equal(got, []string{"allowed", "explicitDeny", "implicitDeny"}) {
		t.Errorf("%v %s", got, a.body)
	}
	if got := a.all("SourcePolicyId"); !slices.Equal(got, []string{"own", "own"}) {
		t.Errorf("%v", got)
	}
	if got := a.all("Line"); len(got) != 4 || got[0] != "2" || got[2] != "3" {
		t.Errorf("positions %v", got)
	}
	if a := ask("ActionNames.member.1", "s3:PutObject"); a.text("EvalDecision") != "implicitDeny" || !strings.Contains(a.body, "<MissingContextValues><member>aws:SecureTransport</member>") {
		t.Error(a.body)
	}
	entry := []string{"ContextEntries.member.1.ContextKeyName", "aws:SecureTransport", "ContextEntries.member.1.ContextKeyType", "boolean", "ContextEntries.member.1.ContextKeyValues.member.1", "true"}
	if a := ask(append(entry, "ActionNames.member.1", "s3:PutObject")...); a.text("EvalDecision") != "allowed" {
		t.Error(a.body)
	}
	a = ask("ActionNames.member.1", "s3:GetObject", "ResourceArns.member.1", "arn:aws:s3:::data/x", "PermissionsBoundaryPolicyInputList.member.1", allow("iam:*", "*", ""))
	if a.text("EvalDecision") != "implicitDeny" || a.text("AllowedByPermissionsBoundary") != "false" {
		t.Error(a.body)
	}
	custom := h.must(h.admin, "iam", "SimulateCustomPolicy", "PolicyInputList.member.1", allow("s3:GetObject", "*", ""), "ActionNames.member.1", "s3:GetObject")
	if custom.text("EvalDecision") != "allowed" || custom.text("SourcePolicyId") != "PolicyInputList.1" {
		t.Error(custom.body)
	}
	shared := h.must(h.admin, "iam", "SimulateCustomPolicy", "PolicyInputList.member.1", allow("s3:GetObject", "*", ""), "ActionNames.member.1", "s3:GetObject",
		"ResourceArns.member.1", "arn:aws:s3:::b/x", "ResourceOwner", "444455556666", "CallerArn", arn("user/alice"),
		"ResourcePolicy", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"`+arn("user/alice")+`"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}]}`)
	if shared.text("EvalDecision") != "allowed" || !strings.Contains(shared.body, "<key>Resource Policy</key><value>allowed</value>") {
		t.Error(shared.body)
	}
	h.refused("InvalidInput", h.admin, "iam", "SimulateCustomPolicy", "PolicyInputList.member.1", `{"Statement":1}`, "ActionNames.member.1", "s3:GetObject")
	// The path of an ARN counts: who may ask about /dev/ does not learn about others by name.
	h.refused("NoSuchEntity", h.newUser("asker", allow("iam:SimulatePrincipalPolicy", arn("user/dev/*"), "")), "iam", "SimulatePrincipalPolicy",
		"PolicySourceArn", arn("user/dev/alice"), "ActionNames.member.1", "s3:GetObject")
	h.refused("NoSuchEntity", h.admin, "iam", "SimulatePrincipalPolicy", "PolicySourceArn", arn("user/nobody"), "ActionNames.member.1", "s3:GetObject")
}

// TestContextKeys are those of conditions and variables.
func TestContextKeys(t *testing.T) {
	h := populated(t)
	document := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/${aws:username}/${aws:PrincipalTag/team, 'none'}${*}","Condition":{"StringLike":{"s3:prefix":["${aws:userid}"]}}}}`
	got := h.must(h.admin, "iam", "GetContextKeysForCustomPolicy", "PolicyInputList.member.1", document).all("member")
	if want := []string{"aws:PrincipalTag/team", "aws:userid", "aws:username", "s3:prefix"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	h.must(h.admin, "iam", "PutUserPolicy", "UserName", "alice", "PolicyName", "own", "PolicyDocument", document)
	if got := h.must(h.admin, "iam", "GetContextKeysForPrincipalPolicy", "PolicySourceArn", arn("user/alice")).all("member"); len(got) != 4 {
		t.Errorf("%v", got)
	}
}

// TestReport: the credential report is there at once.
func TestReport(t *testing.T) {
	h := populated(t)
	h.refused("ReportNotPresent", h.admin, "iam", "GetCredentialReport")
	if got := h.must(h.admin, "iam", "GenerateCredentialReport").text("State"); got != "STARTED" {
		t.Error(got)
	}
	if got := h.must(h.admin, "iam", "GenerateCredentialReport").text("State"); got != "COMPLETE" {
		t.Error(got)
	}
	a := h.must(h.admin, "iam", "GetCredentialReport")
	table, err := base64.StdEncoding.DecodeString(a.text("Content"))
	if err != nil || !strings.HasPrefix(string(table), "user,arn,user_creation_time,") || !strings.Contains(string(table), "\nalice,"+arn("user/alice")+",") {
		t.Errorf("%v %s", err, table)
	}
}
