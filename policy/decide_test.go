package policy

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// decisionCase is one row of testdata/decisions.json: who asks what, under which documents.
type decisionCase struct {
	Name     string
	Caller   string
	Action   string // s3:GetObject unless given
	Resource string // the object unless given
	Owner    string // "same" unless given: same, other, none
	Context  map[string]any

	Identity, Session, SCP, RCP json.RawMessage
	Boundary, Endpoint, Policy  json.RawMessage
	Kind                        string // of Policy: bucket unless given; key, trust
	HasSession                  bool
	MustAllow                   bool
	Granted, Restricted         bool
	Want                        string // allowed, explicitDeny, implicitDeny, and the layer
}

var callers = map[string]Principal{
	"user":         user(),
	"root":         {Type: RootUser, Account: account, ARN: "arn:aws:iam::111122223333:root", UserID: account, CanonicalID: strings.Repeat("a", 64)},
	"role":         {Type: AssumedRole, Account: account, ARN: "arn:aws:sts::111122223333:assumed-role/x/s", IssuerARN: "arn:aws:iam::111122223333:role/app/x", UniqueID: "AROAROLEROLEROLE0000", CanonicalID: strings.Repeat("a", 64)},
	"federated":    {Type: FederatedUser, Account: account, ARN: "arn:aws:sts::111122223333:federated-user/fed", IssuerARN: alice, UniqueID: "AIDAALICEALICEALICE0"},
	"of root":      {Type: FederatedUser, Account: account, ARN: "arn:aws:sts::111122223333:federated-user/fed", IssuerARN: "arn:aws:iam::111122223333:root"},
	"service":      {Type: Service, ARN: "logging.s3.amazonaws.com"},
	"web identity": {Type: WebIdentity, ARN: "arn:aws:iam::111122223333:oidc-provider/idp.example.com"},
	"anonymous":    {Type: Anonymous},
	"nobody":       {},
	"unheard of":   {Type: 99, Account: account, ARN: alice},
}

// document makes a policy of the row's shorthand: a statement, a list of them, or null.
func (c *decisionCase) document(t *testing.T, kind Kind, raw json.RawMessage) *Document {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	d, err := ParseString(`{"Version":"2012-10-17","Statement":`+string(raw)+`}`, kind)
	if err != nil {
		t.Fatalf("%s: %v", c.Name, err)
	}
	return d
}

func (c *decisionCase) question(t *testing.T) (*Request, *Inputs) {
	req := &Request{Principal: callers[c.Caller], Action: "s3:GetObject", Resource: bucket + "/k", ResourceAccount: account, Context: keys{}}
	if c.Action != "" {
		req.Action = c.Action
	}
	if c.Resource != "" {
		req.Resource = c.Resource
	}
	switch c.Owner {
	case "other":
		req.ResourceAccount = other
	case "none":
		req.ResourceAccount = ""
	}
	for key, value := range c.Context {
		if s, ok := value.(string); ok {
			req.Context.(keys)[key] = one(s)
			continue
		}
		v := many()
		for _, e := range value.([]any) {
			v.Many = append(v.Many, e.(string))
		}
		req.Context.(keys)[key] = v
	}
	kind := map[string]Kind{"": Bucket, "key": KeyPolicy, "trust": Trust}[c.Kind]
	in := &Inputs{
		Boundary: c.document(t, Boundary, c.Boundary), Endpoint: c.document(t, Resource, c.Endpoint), Resource: c.document(t, kind, c.Policy),
		HasSession: c.HasSession, ResourceMustAllow: c.MustAllow, Granted: c.Granted, Restricted: c.Restricted,
	}
	if d := c.document(t, Identity, c.Identity); d != nil {
		in.Identity = []*Document{d}
	}
	if d := c.document(t, Session, c.Session); d != nil {
		in.Session = []*Document{d}
	}
	full := parsed(t, SCP, allowAll)
	if d := c.document(t, SCP, c.SCP); d != nil {
		in.SCPs = [][]*Document{{full}, {d}}
	}
	if d := c.document(t, RCP, c.RCP); d != nil {
		in.RCPs = [][]*Document{{parsed(t, RCP, strings.Replace(allowAll, `"Action"`, `"Principal":"*","Action"`, 1)), d}}
	}
	return req, in
}

func decisions(t *testing.T) []decisionCase {
	src, err := os.ReadFile("testdata/decisions.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []decisionCase
	decoder := json.NewDecoder(strings.NewReader(string(src)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&cases); err != nil {
		t.Fatal(err)
	}
	return cases
}

func TestDecisions(t *testing.T) {
	for _, c := range decisions(t) {
		if _, ok := callers[c.Caller]; !ok {
			t.Fatalf("%s: no caller %q", c.Name, c.Caller)
		}
		req, in := c.question(t)
		d := Evaluate(req, in)
		got := strings.TrimSpace(d.Effect.String() + " " + d.Layer.String())
		if got != c.Want {
			t.Errorf("%s: %s, want %s\n%s", c.Name, got, c.Want, Explain(req, in).JSON())
		}
		if x := Explain(req, in); x.Decision != d.Effect.String() || x.Reason == "" {
			t.Errorf("%s: explained as %s, %q", c.Name, x.Decision, x.Reason)
		}
	}
}

// TestTruthTable is scenario P01: any deny refuses; within an account one allow is enough, across
// accounts both are needed.
func TestTruthTable(t *testing.T) {
	effects := []string{"", "Allow", "Deny"}
	for _, caller := range []string{"user", "role", "root", "anonymous"} {
		for _, owner := range []string{"same", "other"} {
			for _, identity := range effects {
				for _, policy := range effects {
					c := decisionCase{Name: caller, Caller: caller, Owner: owner}
					if identity != "" {
						c.Identity = json.RawMessage(`{"Effect":"` + identity + `","Action":"s3:*","Resource":"*"}`)
					}
					if policy != "" {
						c.Policy = json.RawMessage(`{"Effect":"` + policy + `","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::tsuchi/*"}`)
					}
					own := identity
					if caller == "root" || caller == "anonymous" {
						own = map[string]string{"root": "Allow", "anonymous": ""}[caller]
					}
					want := policy == "Allow" || own == "Allow" && owner == "same"
					if owner == "other" && caller != "anonymous" {
						want = policy == "Allow" && own == "Allow"
					}
					if own == "Deny" || policy == "Deny" {
						want = false
					}
					req, in := c.question(t)
					if got := Evaluate(req, in).Allowed(); got != want {
						t.Errorf("%s, %s account, identity %q, bucket %q: %v", caller, owner, identity, policy, got)
					}
				}
			}
		}
	}
}

func TestMessages(t *testing.T) {
	req := &Request{Principal: user(), Action: "s3:GetObject", Resource: bucket + "/k", ResourceAccount: account}
	const start = `User: arn:aws:iam::111122223333:user/alice is not authorized to perform: s3:GetObject on resource: "arn:aws:s3:::tsuchi/k" `
	managed := parsed(t, Identity, allowAll).Named("arn:aws:iam::111122223333:policy/Deny")
	for _, c := range []struct {
		decision Decision
		want     string
	}{
		{Decision{}, start + "because no identity-based policy allows the s3:GetObject action"},
		{Decision{Layer: LayerResource}, start + "because no resource-based policy allows the s3:GetObject action"},
		{Decision{Layer: LayerSCP}, start + "because no service control policy allows the s3:GetObject action"},
		{Decision{Layer: LayerRCP}, start + "because no resource control policy allows the s3:GetObject action"},
		{Decision{Layer: LayerBoundary}, start + "because no permissions boundary allows the s3:GetObject action"},
		{Decision{Layer: LayerSession}, start + "because no session policy allows the s3:GetObject action"},
		{Decision{Layer: LayerEndpoint}, start + "because no VPC endpoint policy allows the s3:GetObject action"},
		{Decision{Layer: LayerTrust}, start + "because no role trust policy allows the s3:GetObject action"},
		{Decision{Layer: 77}, start + "because no identity-based policy allows the s3:GetObject action"},
		{Decision{Effect: ExplicitDeny, Layer: LayerResource, Document: managed}, start + "with an explicit deny in a resource-based policy"},
		{Decision{Effect: ExplicitDeny, Layer: LayerTrust, Document: managed}, start + "with an explicit deny in the role trust policy"},
		{Decision{Effect: ExplicitDeny, Layer: LayerIdentity}, start + "with an explicit deny in an identity-based policy"},
		{Decision{Effect: ExplicitDeny, Layer: LayerIdentity, Document: managed}, start + "with an explicit deny in an identity-based policy: arn:aws:iam::111122223333:policy/Deny"},
		{Decision{Effect: ExplicitDeny, Layer: LayerSCP, Document: managed.Named("FullAccess")}, start + "with an explicit deny in a service control policy"},
		{Decision{Layer: LayerResource, CrossAccount: true}, "Access Denied"},
	} {
		if got := c.decision.Message(req); got != c.want {
			t.Errorf("%+v:\n%s\nwant\n%s", c.decision, got, c.want)
		}
	}
	for _, c := range []struct{ action, resource, want string }{
		{"s3:ListAllMyBuckets", "*", "User: " + alice + " is not authorized to perform: s3:ListAllMyBuckets because no identity-based policy allows the s3:ListAllMyBuckets action"},
		{"kms:Decrypt", "arn:aws:kms:us-east-1:111122223333:key/1", "User: " + alice + " is not authorized to perform: kms:Decrypt on resource: arn:aws:kms:us-east-1:111122223333:key/1 because no identity-based policy allows the kms:Decrypt action"},
		{"iam:ListUsers", "*", "User: " + alice + " is not authorized to perform: iam:ListUsers on resource: * because no identity-based policy allows the iam:ListUsers action"},
	} {
		if got := (Decision{Layer: LayerIdentity}).Message(&Request{Principal: user(), Action: c.action, Resource: c.resource}); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
	for _, p := range []Principal{{}, {Type: Anonymous}, {Type: Service, ARN: "x.amazonaws.com"}} {
		if got := (Decision{}).Message(&Request{Principal: p, Action: "s3:GetObject"}); got != AccessDenied {
			t.Errorf("a stranger is told %q", got)
		}
	}
}

func TestPrincipalTypes(t *testing.T) {
	for p, want := range map[PrincipalType]string{Nobody: "", Anonymous: "Anonymous", RootUser: "Account", IAMUser: "User", AssumedRole: "AssumedRole", FederatedUser: "FederatedUser", Service: ""} {
		if p.String() != want {
			t.Errorf("%d: %q", p, p.String())
		}
	}
}

// TestLongAction: actions longer than the evaluator's buffer are compared all the same.
func TestLongAction(t *testing.T) {
	long := "s3:" + strings.Repeat("Ab", 60)
	service := strings.Repeat("x", 60) + ":Get"
	d := parsed(t, Identity, `{"Statement":{"Effect":"Allow","Action":["`+long+`","`+service+`"],"Resource":"*"}}`)
	for action, want := range map[string]Effect{strings.ToUpper(long): Allow, long + "x": ImplicitDeny, strings.ToUpper(service): Allow, service + "x": ImplicitDeny, strings.Repeat("y", 60) + ":Get": ImplicitDeny} {
		req := &Request{Principal: user(), Action: action, Resource: "*"}
		if got := Evaluate(req, &Inputs{Identity: []*Document{d}}).Effect; got != want {
			t.Errorf("%s: %v", action, got)
		}
	}
}

func TestNoContext(t *testing.T) {
	d := parsed(t, Identity, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"Null":{"aws:username":"true"}}}}`)
	if !Evaluate(&Request{Principal: user(), Action: "s3:GetObject", Resource: "*"}, &Inputs{Identity: []*Document{d}}).Allowed() {
		t.Error("a request without context has no keys")
	}
}

// TestServiceOfAnAccount: an account's grant is for its users, roles and root; a service is not
// among them even if someone gives it an account.
func TestServiceOfAnAccount(t *testing.T) {
	p := Principal{Type: Service, Account: account, ARN: "logging.s3.amazonaws.com"}
	d := parsed(t, Bucket, `{"Statement":{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"s3:*","Resource":"arn:aws:s3:::tsuchi/*"}}`)
	if Evaluate(&Request{Principal: p, Action: "s3:GetObject", Resource: bucket + "/k", ResourceAccount: account}, &Inputs{Resource: d}).Allowed() {
		t.Error("allowed")
	}
}
