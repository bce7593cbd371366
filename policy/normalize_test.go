package policy

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestNormalized(t *testing.T) {
	d := parsed(t, Bucket, `{
  "Statement": [ { "Resource": ["arn:aws:s3:::b/*"], "Action": "s3:GetObject", "Principal": {"AWS": ["111122223333", "*"], "Service": "s3.amazonaws.com"},
    "Effect": "Allow", "Condition": {"NumericLessThan": {"s3:signatureAge": 1.50}, "Bool": {}}, "Sid": "a <b> \u0001 \" \u8535"} ],
  "Id": "", "Version": "2012-10-17" }`)
	const want = `{"Version":"2012-10-17","Id":"","Statement":[{"Sid":"a <b> \u0001 \" 蔵","Effect":"Allow","Principal":{"AWS":["arn:aws:iam::111122223333:root","*"],"Service":"s3.amazonaws.com"},` +
		`"Action":"s3:GetObject","Resource":["arn:aws:s3:::b/*"],"Condition":{"NumericLessThan":{"s3:signatureAge":1.50},"Bool":{}}}]}`
	if got := d.Normalized(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	again := parsed(t, Bucket, d.Normalized())
	if again.Normalized() != want || d.Size() != len(want) || !json.Valid([]byte(want)) {
		t.Errorf("normalizing twice: %s", again.Normalized())
	}
}

func TestSizes(t *testing.T) {
	const spaced = " { \"Version\" : \"2012-10-17\",\n\t\"Statement\": {\"Effect\":\"Allow\",\"Action\":\"s3:*\", \"Resource\":\"arn:aws:s3:::a b\\\"é c\" } }\r\n"
	const dense = "{\"Version\":\"2012-10-17\",\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"s3:*\",\"Resource\":\"arn:aws:s3:::a b\\\"é c\"}}"
	if got, want := parsed(t, Identity, spaced).Size(), utf8.RuneCountInString(dense); got != want {
		t.Errorf("identity: %d characters, want %d", got, want)
	}
	if got := parsed(t, SCP, allowAll).Size(); got != len(allowAll) {
		t.Errorf("SCP: %d bytes", got)
	}
}

// TestPinning is scenario P17: a stored policy names the entity, not whoever has its name later.
func TestPinning(t *testing.T) {
	d := parsed(t, Bucket, `{"Version":"2012-10-17","Id":"x","Statement":[{"Effect":"Allow","Principal":{"AWS":["`+alice+`","arn:aws:iam::111122223333:role/app/x","111122223333"]},"Action":"s3:GetObject","Resource":"arn:aws:s3:::tsuchi/*"},
		{"Effect":"Deny","NotPrincipal":{"AWS":"`+alice+`"},"Action":"s3:PutObject","Resource":"arn:aws:s3:::tsuchi/*"}]}`).Named("bucket tsuchi")
	if got := d.Principals(); !slices.Equal(got, []string{alice, "arn:aws:iam::111122223333:role/app/x"}) {
		t.Fatalf("principals: %v", got)
	}
	ids := map[string]string{alice: "AIDAALICEALICEALICE0", "arn:aws:iam::111122223333:role/app/x": "AROAROLEROLEROLE0000"}
	idOf := func(arn string) (string, bool) { id, ok := ids[arn]; return id, ok }
	pinned, err := d.Resolve(idOf)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(pinned.Source(), alice) || pinned.Name() != "bucket tsuchi" || pinned.ID() != "x" || len(pinned.Principals()) != 0 {
		t.Errorf("pinned: %s", pinned.Source())
	}
	if got := pinned.UniqueIDs(); !slices.Equal(got, []string{"AIDAALICEALICEALICE0", "AROAROLEROLEROLE0000"}) {
		t.Errorf("unique ids: %v", got)
	}
	req := &Request{Principal: user(), Action: "s3:GetObject", Resource: bucket + "/k", ResourceAccount: account}
	if !Evaluate(req, &Inputs{Resource: pinned}).Allowed() {
		t.Error("the pinned user is not allowed")
	}
	req.Principal.UniqueID = "AIDASECONDALICE00000"
	if Evaluate(req, &Inputs{Resource: pinned}).Allowed() {
		t.Error("a new user under the old name is allowed")
	}
	shown := pinned.Render(map[string]string{"AIDAALICEALICEALICE0": alice})
	if !strings.Contains(shown, alice) || !strings.Contains(shown, "AROAROLEROLEROLE0000") || !strings.Contains(shown, "arn:aws:iam::111122223333:root") {
		t.Errorf("shown: %s", shown)
	}
	delete(ids, alice)
	var bad *SyntaxError
	if _, err := d.Resolve(idOf); !errors.As(err, &bad) || bad.Code != CodePrincipal || bad.Detail != `"AWS":"`+alice+`"` || bad.KMSMessage() != "Policy contains a statement with one or more invalid principals." {
		t.Errorf("a missing entity: %v", err)
	}
}

// TestResolveKeepsQuota: unique ids are shorter than most ARNs, but not than all.
func TestResolveKeepsQuota(t *testing.T) {
	short := "arn:aws:iam::111122223333:user/a"
	d := parsed(t, Bucket, `{"Statement":{"Effect":"Allow","Principal":{"AWS":"`+short+`"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/`+strings.Repeat("x", 20320)+`"}}`)
	if _, err := d.Resolve(func(arn string) (string, bool) { return "AIDA" + strings.Repeat("X", 124), arn == short }); err == nil {
		t.Error("a document over the quota is accepted")
	}
}

func TestStatementInfo(t *testing.T) {
	d := parsed(t, Identity, "{\n \"Version\": \"2012-10-17\",\n \"Statement\": [\n  {\"Sid\":\"A\",\"Effect\":\"Deny\",\"Action\":\"s3:*\",\"Resource\":\"*\"}\n ]\n}")
	s := d.Statement(0)
	if d.Len() != 1 || s.Index != 0 || s.Sid != "A" || s.Effect != ExplicitDeny || s.Start.Line != 4 || s.Start.Column != 3 || s.End.Line != 4 || s.End.Offset-s.Start.Offset != 58 {
		t.Errorf("%+v", s)
	}
	if d.Kind() != Identity || d.Version() != Version2012 || parsed(t, Identity, strings.Replace(allowAll, `"Version":"2012-10-17",`, "", 1)).Version() != Version2008 {
		t.Error("kind and version")
	}
}
