package authz_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/authz/authztest"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/policy"
)

const (
	account = "111122223333"
	bucket  = "arn:aws:s3:::b"
	object  = "arn:aws:s3:::b/k"
)

// inquiry is of a user with one identity policy.
func inquiry(t *testing.T, document string) *authz.Inquiry {
	t.Helper()
	subject := &authz.Subject{Principal: policy.Principal{
		Type: policy.IAMUser, Account: account, ARN: "arn:aws:iam::" + account + ":user/u", UserID: "AIDAU", UniqueID: "AIDAU", Name: "u",
	}}
	if document != "" {
		doc, err := policy.Parse([]byte(document), policy.Identity)
		if err != nil {
			t.Fatal(err)
		}
		subject.Policies.Identity = []*policy.Document{doc}
	}
	return &authz.Inquiry{Subject: subject, Event: &audit.Event{RequestID: "REQUEST1"}}
}

func demand(action, arn string) authz.Demand {
	return authz.Demand{Action: action, Resource: authz.Resource{ARN: arn, Account: account}}
}

const mayGet = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}}`

func TestZeroGrantOpensNothing(t *testing.T) {
	var g authz.Grant
	if err := g.Require("s3:GetObject", object); !fault.Is(err, authz.NotGranted) {
		t.Errorf("Require: %v", err)
	}
	if _, err := g.Ask(context.Background(), demand("s3:GetObject", object)); err == nil {
		t.Error("the zero grant could ask")
	}
	if g.May(demand("s3:GetObject", object)) || g.Principal().Type != policy.Nobody || g.Event() != nil {
		t.Error("the zero grant knows something")
	}
}

func TestGrantCoversExactlyItsDemands(t *testing.T) {
	guard := authz.New(authz.Config{Recorder: authztest.Forget{}})
	g, err := guard.Decide(context.Background(), inquiry(t, mayGet), demand("s3:GetObject", object))
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Require("s3:GetObject", object); err != nil {
		t.Error(err)
	}
	for _, c := range [][2]string{{"s3:GetObject", bucket + "/other"}, {"s3:PutObject", object}, {"s3:GetObject", bucket}, {"*", object}, {"s3:GetObject", bucket + "/*"}} {
		if g.Require(c[0], c[1]) == nil {
			t.Errorf("covers %s on %s", c[0], c[1])
		}
	}
	more, err := g.Ask(context.Background(), demand("s3:GetObject", bucket+"/other"))
	if err != nil || more.Require("s3:GetObject", bucket+"/other") != nil || more.Require("s3:GetObject", object) != nil {
		t.Errorf("asking for more: %v", err)
	}
	if g.Require("s3:GetObject", bucket+"/other") == nil {
		t.Error("asking changed the old grant")
	}
	if _, err := g.Ask(context.Background(), demand("s3:PutObject", object)); !fault.Is(err, authz.Denied) {
		t.Errorf("asking for what is not allowed: %v", err)
	}
}

func TestOneRefusedDemandRefusesAll(t *testing.T) {
	guard := authz.New(authz.Config{Recorder: authztest.Forget{}})
	in := inquiry(t, mayGet)
	g, err := guard.Decide(context.Background(), in, demand("s3:GetObject", object), demand("s3:PutObject", object))
	if !fault.Is(err, authz.Denied) || g.Require("s3:GetObject", object) == nil {
		t.Fatalf("%v", err)
	}
	if n := len(in.Event.Decisions); n != 2 || in.Event.Decisions[1].Allowed {
		t.Errorf("recorded %+v", in.Event.Decisions)
	}
}

func TestEndpointPolicyCaps(t *testing.T) {
	guard := authz.New(authz.Config{Recorder: authztest.Forget{}})
	in := inquiry(t, mayGet)
	doc, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"s3:PutObject","Resource":"*"}}`), policy.Resource)
	if err != nil {
		t.Fatal(err)
	}
	in.Endpoint = doc
	_, err = guard.Decide(context.Background(), in, demand("s3:GetObject", object))
	if !fault.Is(err, authz.Denied) || !strings.HasSuffix(err.Error(), "because no VPC endpoint policy allows the s3:GetObject action") {
		t.Errorf("%v", err)
	}
	forwarded := demand("s3:GetObject", object)
	forwarded.Forwarded = true
	if _, err := guard.Decide(context.Background(), in, forwarded); err != nil {
		t.Errorf("what a service asks in the caller's name: %v", err)
	}
}

func TestDecideEach(t *testing.T) {
	guard := authz.New(authz.Config{Recorder: authztest.Forget{}})
	g, refused, err := guard.DecideEach(context.Background(), inquiry(t, mayGet), demand("s3:PutObject", object), demand("s3:GetObject", object))
	if err != nil || refused[0] == nil || refused[1] != nil {
		t.Fatalf("%v %v", refused, err)
	}
	if g.Require("s3:GetObject", object) != nil || g.Require("s3:PutObject", object) == nil {
		t.Error("the grant covers something else than was allowed")
	}
}

// deaf cannot record.
type deaf struct{ authztest.Forget }

func (deaf) Begin(context.Context, *audit.Event) error { return errors.New("disk full") }

func TestUnrecordedIsRefused(t *testing.T) {
	guard := authz.New(authz.Config{Recorder: deaf{}})
	if _, err := guard.Decide(context.Background(), inquiry(t, mayGet), demand("s3:GetObject", object)); !fault.Is(err, authz.Unrecorded) {
		t.Errorf("Decide: %v", err)
	}
	if _, _, err := guard.DecideEach(context.Background(), inquiry(t, mayGet), demand("s3:GetObject", object)); !fault.Is(err, authz.Unrecorded) {
		t.Errorf("DecideEach: %v", err)
	}
	if _, err := guard.System(context.Background(), "job", demand("s3:GetObject", object)); !fault.Is(err, authz.Unrecorded) {
		t.Errorf("System: %v", err)
	}
}

func TestUnconditionalIsNotForStrangers(t *testing.T) {
	guard := authz.New(authz.Config{Recorder: authztest.Forget{}})
	d := authz.Demand{Action: "sts:GetCallerIdentity", Resource: authz.Resource{ARN: "*"}, Unconditional: true}
	deny := `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}`
	if _, err := guard.Decide(context.Background(), inquiry(t, deny), d); err != nil {
		t.Errorf("an authenticated caller was refused: %v", err)
	}
	for _, kind := range []policy.PrincipalType{policy.Nobody, policy.Anonymous} {
		in := inquiry(t, "")
		in.Subject.Principal = policy.Principal{Type: kind}
		if _, err := guard.Decide(context.Background(), in, d); err == nil {
			t.Errorf("caller of kind %d was allowed", kind)
		}
	}
}

func TestSystemGrantIsBoundedByItsPatterns(t *testing.T) {
	guard := authz.New(authz.Config{Recorder: authztest.Forget{}})
	g, err := guard.System(context.Background(), "lifecycle", demand("s3:Delete*", bucket+"/*"))
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Require("s3:DeleteObject", object); err != nil {
		t.Error(err)
	}
	if g.Require("s3:GetObject", object) == nil || g.Require("s3:DeleteObject", "arn:aws:s3:::other/k") == nil {
		t.Error("the job may more than it named")
	}
}

func TestWhy(t *testing.T) {
	guard := authz.New(authz.Config{Recorder: authztest.Forget{}})
	if _, err := guard.Decide(context.Background(), inquiry(t, mayGet), demand("s3:PutObject", object)); err == nil {
		t.Fatal("allowed")
	}
	if _, ok := guard.Why("REQUEST1", "999999999999"); ok {
		t.Error("another account learned of it")
	}
	if _, ok := guard.Why("REQUEST1", ""); ok {
		t.Error("nobody learned of it")
	}
	r, ok := guard.Why("REQUEST1", account)
	if !ok {
		t.Fatal("not found")
	}
	var x struct{ Decision, Action string }
	if err := json.Unmarshal(r.Explanation, &x); err != nil || x.Action != "s3:PutObject" || !strings.Contains(x.Decision, "mplicit") {
		t.Errorf("%s %v", r.Explanation, err)
	}
}

func TestRefusalsAreBounded(t *testing.T) {
	guard := authz.New(authz.Config{Recorder: authztest.Forget{}})
	for range 3000 {
		in := inquiry(t, "")
		in.Event.RequestID = "REQUEST-OF-A-FLOOD"
		if _, err := guard.Decide(context.Background(), in, demand("s3:PutObject", object)); err == nil {
			t.Fatal("allowed")
		}
	}
	if n := guard.Refusals(); n > 512 {
		t.Errorf("%d refusals are kept", n)
	}
}

// looking is Keys that look at what a resource was like.
type looking struct {
	was   any
	asked bool
}

func (l *looking) Lookup(key string) (policy.Values, bool) {
	l.asked = l.asked || key == "kura:exposesdata"
	return policy.Values{One: "false"}, key == "kura:exposesdata"
}

func (l *looking) Judged() (any, bool) { return l.was, l.asked }

func TestWhatWasJudgedIsAllowedForThatOnly(t *testing.T) {
	guard := authz.New(authz.Config{Recorder: authztest.Forget{}})
	const unlessExposing = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},
		{"Effect":"Deny","Action":"s3:PutObject","Resource":"*","Condition":{"Bool":{"kura:ExposesData":"true"}}}]}`
	put, get := demand("s3:PutObject", object), demand("s3:GetObject", object)
	put.Keys, get.Keys = &looking{was: "then"}, &looking{was: "then"}
	g, err := guard.Decide(context.Background(), inquiry(t, unlessExposing), put, get)
	if err != nil {
		t.Fatal(err)
	}
	asked, err := g.Ask(context.Background(), demand("s3:DeleteObject", object))
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range []authz.Grant{g, asked} {
		if err := g.RequireStill("s3:PutObject", object, "now"); !fault.Is(err, authz.Changed) {
			t.Errorf("what was judged has changed: %v", err)
		}
		if err := errors.Join(g.RequireStill("s3:PutObject", object, "then"), g.RequireStill("s3:GetObject", object, "now")); err != nil {
			t.Errorf("what was judged is the same, and what nobody asked about may change: %v", err)
		}
		if err := g.RequireStill("s3:PutObject", bucket, "then"); !fault.Is(err, authz.NotGranted) {
			t.Errorf("no grant: %v", err)
		}
	}
}
