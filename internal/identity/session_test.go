package identity_test

import (
	"encoding/base64"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/authz/authztest"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/identity"
	"github.com/kura-s3/kura/policy"
)

// trust is a trust policy for one AWS principal.
func trust(arn string, conditions ...string) string {
	more := ""
	if len(conditions) > 0 {
		more = `,"Condition":` + conditions[0]
	}
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + arn +
		`"},"Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]` + more + `}]}`
}

// guard decides as the pipeline does.
func (h *house) guard(subject *authz.Subject, demands []authz.Demand) (authz.Grant, error) {
	g := authz.New(authz.Config{Recorder: authztest.Forget{}, Now: h.clock.Now})
	return g.Decide(h.ctx, &authz.Inquiry{Subject: subject, Event: &audit.Event{}}, demands...)
}

func (h *house) subject(accessKeyID, token string) *authz.Subject {
	h.t.Helper()
	c := must(h.Lookup(h.ctx, accessKeyID, token))(h.t)
	s := c.Subject
	return &s
}

// assume goes the way of a request: demands, decision, session.
func (h *house) assume(accessKeyID, token string, in identity.AssumeRoleInput) (*identity.SessionCredentials, error) {
	h.t.Helper()
	caller := h.subject(accessKeyID, token)
	demands, err := h.AssumeRoleDemands(h.ctx, caller, in)
	if err != nil {
		return nil, err
	}
	grant, err := h.guard(caller, demands)
	if err != nil {
		return nil, err
	}
	return h.AssumeRole(h.ctx, grant, caller, in)
}

func denied(t testing.TB, err error) {
	t.Helper()
	if !fault.Is(err, authz.Denied) {
		t.Errorf("got %v, want a denial", err)
	}
}

// role makes a role that alice may assume, with a key for her.
func (h *house) role(name, trustPolicy string, actions ...string) *identity.Role {
	h.t.Helper()
	r := must(h.CreateRole(h.ctx, h.all, account, identity.CreateRoleInput{RoleName: name, Path: "/app/", AssumeRolePolicyDocument: trustPolicy}))(h.t)
	if len(actions) > 0 {
		h.do(h.PutInlinePolicy(h.ctx, h.all, role(name), "own", allow(actions...)))
	}
	return r
}

func TestI10AssumeRole(t *testing.T) {
	h := newHouse(t)
	alice, key := h.user("alice")
	_, other := h.user("mallory")
	r := h.role("R", trust(alice.ARN), "s3:GetObject")
	in := identity.AssumeRoleInput{RoleARN: r.ARN, RoleSessionName: "work"}
	c := must(h.assume(key.AccessKeyID, "", in))(t)
	if !strings.HasPrefix(c.AccessKeyID, "ASIA") || c.ARN != "arn:aws:sts::"+account+":assumed-role/R/work" || c.ID != r.RoleID+":work" {
		t.Errorf("credentials %+v", c)
	}
	p := h.subject(c.AccessKeyID, c.SessionToken).Principal
	if p.Type != policy.AssumedRole || p.ARN != c.ARN || p.UserID != c.ID || p.IssuerARN != r.ARN || p.UniqueID != r.RoleID {
		t.Errorf("principal %+v", p)
	}
	if !h.may(c.AccessKeyID, c.SessionToken, "s3:GetObject", object) || h.may(c.AccessKeyID, c.SessionToken, "s3:PutObject", object) {
		t.Error("the role's policy is not what applies")
	}
	_, err := h.assume(other.AccessKeyID, "", in)
	denied(t, err)
	in.RoleARN = identity.ARN(account, identity.KindRole, "/", "missing")
	_, missing := h.assume(other.AccessKeyID, "", in)
	denied(t, missing)
	if a, b := err.Error(), strings.ReplaceAll(missing.Error(), "role/missing", "role/app/R"); a != b {
		t.Errorf("a missing role can be told from a forbidden one:\n%s\n%s", a, b)
	}
	_, err = h.assume(rootKey.ID, "", identity.AssumeRoleInput{RoleARN: r.ARN, RoleSessionName: "work"})
	refused(t, err, identity.AccessDenied, "Roles may not be assumed by root accounts.")
}

func TestI24SessionsEnd(t *testing.T) {
	h := newHouse(t)
	alice, key := h.user("alice")
	r := h.role("R", trust(alice.ARN), "s3:*")
	c := must(h.assume(key.AccessKeyID, "", identity.AssumeRoleInput{RoleARN: r.ARN, RoleSessionName: "work", DurationSeconds: 900}))(t)
	h.clock.Forward(900*time.Second - time.Nanosecond)
	must(h.Lookup(h.ctx, c.AccessKeyID, c.SessionToken))(t)
	h.clock.Forward(time.Nanosecond)
	_, err := h.Lookup(h.ctx, c.AccessKeyID, c.SessionToken)
	refused(t, err, authn.ExpiredToken, "")

	for _, seconds := range []int{899, 3601, 43201} {
		_, err := h.assume(key.AccessKeyID, "", identity.AssumeRoleInput{RoleARN: r.ARN, RoleSessionName: "work", DurationSeconds: seconds})
		refused(t, err, identity.ValidationError, "")
	}
	c = must(h.assume(key.AccessKeyID, "", identity.AssumeRoleInput{RoleARN: r.ARN, RoleSessionName: "work"}))(t)
	h.do(h.PutInlinePolicy(h.ctx, h.all, role("R"), "revoke", deny("*")))
	if h.may(c.AccessKeyID, c.SessionToken, "s3:GetObject", object) {
		t.Error("a running session keeps permissions that its role lost")
	}
	h.do(h.DeleteInlinePolicy(h.ctx, h.all, role("R"), "revoke"))
	h.do(h.DeleteInlinePolicy(h.ctx, h.all, role("R"), "own"))
	h.do(h.DeleteRole(h.ctx, h.all, account, "R"))
	h.role("R", trust(alice.ARN), "s3:*")
	_, err = h.Lookup(h.ctx, c.AccessKeyID, c.SessionToken)
	refused(t, err, authn.UnknownKey, "")
}

func TestSessionPolicyNarrows(t *testing.T) {
	h := newHouse(t)
	alice, key := h.user("alice")
	r := h.role("R", trust(alice.ARN), "s3:GetObject", "s3:PutObject")
	in := identity.AssumeRoleInput{RoleARN: r.ARN, RoleSessionName: "work"}
	in.Policy = allow("s3:GetObject", "s3:DeleteObject")
	c := must(h.assume(key.AccessKeyID, "", in))(t)
	for action, want := range map[string]bool{"s3:GetObject": true, "s3:PutObject": false, "s3:DeleteObject": false} {
		if got := h.may(c.AccessKeyID, c.SessionToken, action, object); got != want {
			t.Errorf("%s: %v", action, got)
		}
	}
	if c.PackedPolicySize < 1 || c.PackedPolicySize > 20 {
		t.Errorf("packed %d %%", c.PackedPolicySize)
	}
	in.Policy = strings.Repeat(" ", 2049)
	_, err := h.assume(key.AccessKeyID, "", in)
	refused(t, err, identity.ValidationError, "")
	in.Policy, in.PolicyARNs = "", []string{"arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"}
	c = must(h.assume(key.AccessKeyID, "", in))(t)
	if !h.may(c.AccessKeyID, c.SessionToken, "s3:GetObject", object) || h.may(c.AccessKeyID, c.SessionToken, "s3:PutObject", object) {
		t.Error("a managed session policy does not narrow")
	}
	in.PolicyARNs = nil
	for i := range 50 {
		in.Tags = append(in.Tags, identity.Tag{Key: "k" + string(rune('a'+i%26)) + string(rune('a'+i/26)), Value: noise(uint64(i), 256)})
	}
	_, err = h.assume(key.AccessKeyID, "", in)
	refused(t, err, identity.PackedPolicyTooLarge, "")
}

// noise is text that does not compress well.
func noise(seed uint64, n int) string {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"[r.IntN(62)]
	}
	return string(b)
}

func TestChainingTagsAndSourceIdentity(t *testing.T) {
	h := newHouse(t)
	alice, key := h.user("alice")
	first := h.role("First", trust(alice.ARN), "sts:*")
	second := h.role("Second", trust(first.ARN), "s3:*")
	in := identity.AssumeRoleInput{RoleARN: first.ARN, RoleSessionName: "one", SourceIdentity: "alice@home"}
	in.Tags = []identity.Tag{{Key: "Team", Value: "blue"}, {Key: "Local", Value: "x"}}
	in.TransitiveTagKeys = []string{"team"}
	one := must(h.assume(key.AccessKeyID, "", in))(t)
	next := identity.AssumeRoleInput{RoleARN: second.ARN, RoleSessionName: "two"}
	two := must(h.assume(one.AccessKeyID, one.SessionToken, next))(t)
	keys := h.subject(two.AccessKeyID, two.SessionToken).Keys
	for key, want := range map[string]string{
		"aws:principaltag/team": "blue", "aws:principaltag/local": "", "aws:sourceidentity": "alice@home",
		"aws:multifactorauthpresent": "false", "aws:tokenissuetime": "2026-11-22T09:00:00Z",
	} {
		v, ok := keys.Lookup(key)
		if v.One != want || ok != (want != "") {
			t.Errorf("%s = %q, %v", key, v.One, ok)
		}
	}
	next.DurationSeconds = 3601
	_, err := h.assume(one.AccessKeyID, one.SessionToken, next)
	refused(t, err, identity.ValidationError, "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.")
	next.DurationSeconds = 0
	next.Tags = []identity.Tag{{Key: "TEAM", Value: "red"}}
	_, err = h.assume(one.AccessKeyID, one.SessionToken, next)
	refused(t, err, identity.InvalidParameterValue, "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.")
	next.Tags, next.SourceIdentity = nil, "mallory"
	_, err = h.assume(one.AccessKeyID, one.SessionToken, next)
	refused(t, err, identity.AccessDenied, "")
	in.TransitiveTagKeys = []string{"other"}
	_, err = h.assume(key.AccessKeyID, "", in)
	refused(t, err, identity.InvalidParameterValue, "The specified transitive tag key must be included in the requested tags.")
}

func TestTagsNeedTagSession(t *testing.T) {
	h := newHouse(t)
	alice, key := h.user("alice")
	r := h.role("R", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"`+alice.ARN+`"},"Action":"sts:AssumeRole"}]}`)
	in := identity.AssumeRoleInput{RoleARN: r.ARN, RoleSessionName: "work"}
	must(h.assume(key.AccessKeyID, "", in))(t)
	in.Tags = []identity.Tag{{Key: "Team", Value: "blue"}}
	_, err := h.assume(key.AccessKeyID, "", in)
	denied(t, err)
	// A grant for AssumeRole alone does not carry tags past the Guard.
	_, err = h.AssumeRole(h.ctx, authztest.Grant(t, "sts:AssumeRole", r.ARN), h.subject(key.AccessKeyID, ""), in)
	refused(t, err, identity.AccessDenied, "")
}

func TestExternalID(t *testing.T) {
	h := newHouse(t)
	alice, key := h.user("alice")
	r := h.role("R", trust(alice.ARN, `{"StringEquals":{"sts:ExternalId":"secret/42"}}`))
	in := identity.AssumeRoleInput{RoleARN: r.ARN, RoleSessionName: "work", ExternalID: "secret/41"}
	_, err := h.assume(key.AccessKeyID, "", in)
	denied(t, err)
	in.ExternalID = "secret/42"
	must(h.assume(key.AccessKeyID, "", in))(t)
}

// device makes and enables an MFA device for a user, and gives its serial number and seed.
func (h *house) device(userName, name string) (serial, seed string) {
	h.t.Helper()
	d := must(h.CreateVirtualMFADevice(h.ctx, h.all, account, name, "", nil))(h.t)
	if len(d.Seed) != 64 || len(d.QRCodePNG) < 100 {
		h.t.Fatalf("device %+v", d)
	}
	h.do(h.EnableMFADevice(h.ctx, h.all, account, userName, d.SerialNumber, h.code(d.Seed, -1), h.code(d.Seed, 0)))
	h.clock.Forward(time.Minute)
	return d.SerialNumber, d.Seed
}

// code is the code of a seed some steps from now.
func (h *house) code(seed string, steps int) string {
	h.t.Helper()
	return must(totp.GenerateCode(seed, h.clock.Now().Add(time.Duration(steps)*30*time.Second)))(h.t)
}

func TestI19MFA(t *testing.T) {
	h := newHouse(t)
	_, key := h.user("alice")
	h.do(h.AttachPolicy(h.ctx, h.all, user("alice"), identity.AdministratorAccess))
	h.do(h.PutInlinePolicy(h.ctx, h.all, user("alice"), "mfa",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","NotAction":"sts:GetSessionToken","Resource":"*","Condition":{"BoolIfExists":{"aws:MultiFactorAuthPresent":"false"}}}]}`))
	serial, seed := h.device("alice", "phone")
	if h.may(key.AccessKeyID, "", "s3:GetObject", object) {
		t.Error("the long-term key passes without MFA")
	}
	get := func(code string) (*identity.SessionCredentials, error) {
		return h.GetSessionToken(h.ctx, h.all, h.subject(key.AccessKeyID, ""), 0, &identity.MFA{SerialNumber: serial, TokenCode: code})
	}
	code := h.code(seed, 0)
	c := must(get(code))(t)
	if !h.may(c.AccessKeyID, c.SessionToken, "s3:GetObject", object) || !h.may(c.AccessKeyID, c.SessionToken, "iam:ListUsers", "*") {
		t.Error("the MFA session does not pass")
	}
	h.clock.Forward(10 * time.Second)
	if v, ok := h.subject(c.AccessKeyID, c.SessionToken).Keys.Lookup("aws:multifactorauthage"); !ok || v.One != "10" {
		t.Errorf("age %q", v.One)
	}
	_, err := get(code)
	refused(t, err, identity.AccessDenied, "MultiFactorAuthentication failed with invalid MFA one time pass code.")
	_, err = h.GetSessionToken(h.ctx, h.all, h.subject(key.AccessKeyID, ""), 0, &identity.MFA{SerialNumber: serial + "x", TokenCode: code})
	refused(t, err, identity.AccessDenied, "MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your MFA serial number is valid and associated with this user.")
	h.clock.Forward(time.Minute)
	_, err = get(h.code(seed, -2))
	refused(t, err, identity.AccessDenied, "")
	must(get(h.code(seed, -1)))(t)
	must(get(h.code(seed, 1)))(t)
	_, err = get(h.code(seed, 0)) // older than one that was used
	refused(t, err, identity.AccessDenied, "")
	h.clock.Forward(time.Minute)
	for range 10 {
		_, err = get("000000")
		refused(t, err, identity.AccessDenied, "")
	}
	_, err = get(h.code(seed, 0))
	refused(t, err, identity.AccessDenied, "")
	h.clock.Forward(5 * time.Minute)
	must(get(h.code(seed, 0)))(t)
	// A code works on other nodes no second time, nor after a restart.
	h.clock.Forward(time.Minute)
	code = h.code(seed, 0)
	must(get(code))(t)
	other := h.open()
	_, err = other.GetSessionToken(h.ctx, h.all, h.subject(key.AccessKeyID, ""), 0, &identity.MFA{SerialNumber: serial, TokenCode: code})
	refused(t, err, identity.AccessDenied, "")

	refused(t, h.DeleteVirtualMFADevice(h.ctx, h.all, account, serial), identity.DeleteConflict, "")
	h.do(h.DeactivateMFADevice(h.ctx, h.all, account, "alice", serial))
	h.do(h.DeleteVirtualMFADevice(h.ctx, h.all, account, serial))
}

func TestEnableMFANeedsTwoConsecutiveCodes(t *testing.T) {
	h := newHouse(t)
	h.user("alice")
	d := must(h.CreateVirtualMFADevice(h.ctx, h.all, account, "phone", "", nil))(t)
	for _, codes := range [][2]string{
		{h.code(d.Seed, 0), h.code(d.Seed, 0)}, {h.code(d.Seed, 0), h.code(d.Seed, -1)}, {h.code(d.Seed, -1), h.code(d.Seed, 1)}, {"", ""},
	} {
		refused(t, h.EnableMFADevice(h.ctx, h.all, account, "alice", d.SerialNumber, codes[0], codes[1]), identity.InvalidMFACode, "")
	}
	h.do(h.EnableMFADevice(h.ctx, h.all, account, "alice", d.SerialNumber, h.code(d.Seed, 0), h.code(d.Seed, 1)))
	refused(t, h.DeleteUser(h.ctx, h.all, account, "alice"), identity.DeleteConflict, "")
}

func TestI22JumpAccountNeedsMFA(t *testing.T) {
	h := newHouse(t)
	alice, key := h.user("alice")
	r := h.role("R", trust(alice.ARN, `{"Bool":{"aws:MultiFactorAuthPresent":"true"}}`), "s3:*")
	serial, seed := h.device("alice", "phone")
	in := identity.AssumeRoleInput{RoleARN: r.ARN, RoleSessionName: "work"}
	_, err := h.assume(key.AccessKeyID, "", in)
	denied(t, err)
	in.MFA = &identity.MFA{SerialNumber: serial, TokenCode: h.code(seed, 0)}
	c := must(h.assume(key.AccessKeyID, "", in))(t)
	if v, _ := h.subject(c.AccessKeyID, c.SessionToken).Keys.Lookup("aws:multifactorauthpresent"); v.One != "true" {
		t.Error("the role session does not show the MFA")
	}
	_, err = h.assume(key.AccessKeyID, "", in)
	refused(t, err, identity.AccessDenied, "MultiFactorAuthentication failed with invalid MFA one time pass code.")
}

func TestSessionTokenWithoutMFACallsNoIAM(t *testing.T) {
	h := newHouse(t)
	c := must(h.GetSessionToken(h.ctx, h.all, h.subject(adminKey.ID, ""), 0, nil))(t)
	for action, want := range map[string]bool{
		"s3:GetObject": true, "iam:ListUsers": false, "sts:AssumeRole": true, "sts:GetFederationToken": false, "sts:GetCallerIdentity": true,
	} {
		if got := h.may(c.AccessKeyID, c.SessionToken, action, "*"); got != want {
			t.Errorf("%s: %v", action, got)
		}
	}
	_, err := h.GetSessionToken(h.ctx, h.all, h.subject(c.AccessKeyID, c.SessionToken), 0, nil)
	refused(t, err, identity.AccessDenied, "Cannot call GetSessionToken with session credentials")
	h.do(h.UpdateAccessKey(h.ctx, h.all, account, "admin", adminKey.ID, false))
	must(h.Lookup(h.ctx, c.AccessKeyID, c.SessionToken))(t) // AWS: the key's end is not the session's
}

func TestFederationToken(t *testing.T) {
	h := newHouse(t)
	caller := h.subject(adminKey.ID, "")
	in := identity.FederationInput{Name: "bob"}
	demands := must(h.FederationDemands(caller, in))(t)
	grant := must(h.guard(caller, demands))(t)
	c := must(h.GetFederationToken(h.ctx, grant, caller, in))(t)
	if c.ARN != "arn:aws:sts::"+account+":federated-user/bob" || c.ID != account+":bob" {
		t.Errorf("made %+v", c)
	}
	if h.may(c.AccessKeyID, c.SessionToken, "s3:GetObject", object) {
		t.Error("a federated session without policy may do something")
	}
	in.Policy = allow("s3:GetObject", "iam:ListUsers")
	c = must(h.GetFederationToken(h.ctx, grant, caller, in))(t)
	if !h.may(c.AccessKeyID, c.SessionToken, "s3:GetObject", object) || h.may(c.AccessKeyID, c.SessionToken, "iam:ListUsers", "*") {
		t.Error("a federated session's policy does not hold")
	}
}

// Sessions cannot be forged, altered, moved between keys or stores, or made from an access key's secret
// (RustFS GHSA ccrv, 48rf, xvfh, m77q; Ceph CVE-2025-30156).
func TestForgedTokens(t *testing.T) {
	h := newHouse(t)
	a := must(h.GetSessionToken(h.ctx, h.all, h.subject(adminKey.ID, ""), 0, nil))(t)
	b := must(h.GetSessionToken(h.ctx, h.all, h.subject(adminKey.ID, ""), 0, nil))(t)
	stranger := newHouse(t)
	raw := must(base64.StdEncoding.DecodeString(a.SessionToken))(t)
	tokens := map[string]string{
		"none": "", "another session's": b.SessionToken, "cut": a.SessionToken[:len(a.SessionToken)-8], "padded": a.SessionToken + "AAAA",
		"with space": a.SessionToken + "\n", "huge": strings.Repeat("A", 1<<20), "version": "Ag" + a.SessionToken[2:],
	}
	for i := 0; i < len(raw); i += 7 {
		bad := append([]byte(nil), raw...)
		bad[i] ^= 1
		tokens["byte "+string(rune('0'+i%10))+a.SessionToken[i:i+2]] = base64.StdEncoding.EncodeToString(bad)
	}
	for name, token := range tokens {
		_, err := h.Lookup(h.ctx, a.AccessKeyID, token)
		if !fault.Is(err, authn.BadToken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := stranger.Lookup(h.ctx, a.AccessKeyID, a.SessionToken)
	refused(t, err, authn.BadToken, "")
	must(h.Lookup(h.ctx, a.AccessKeyID, a.SessionToken))(t)
	must(h.open().Lookup(h.ctx, a.AccessKeyID, a.SessionToken))(t) // any node knows it
}

func TestOrganization(t *testing.T) {
	h := newHouse(t)
	admin := func(pairs ...string) authz.Grant {
		t.Helper()
		subject := h.subject(adminKey.ID, "")
		var demands []authz.Demand
		for i := 0; i < len(pairs); i += 2 {
			demands = append(demands, authz.Demand{Action: "organizations:" + pairs[i], Resource: authz.Resource{ARN: pairs[i+1], Account: account}})
		}
		return must(h.guard(subject, demands))(t)
	}
	in := identity.CreateAccountInput{Email: "b@example.com", AccountName: "B"}
	made := must(h.CreateAccount(h.ctx, admin("CreateAccount", "*"), in))(t)
	if len(made.AccountID) != 12 || made.State != "SUCCEEDED" {
		t.Fatalf("made %+v", made)
	}
	_, err := h.CreateAccount(h.ctx, admin("CreateAccount", "*"), in)
	refused(t, err, identity.DuplicateAccount, "")
	_, err = h.CreateAccount(h.ctx, h.all, identity.CreateAccountInput{Email: "c@example.com", AccountName: "C"}) // of no account
	refused(t, err, identity.NotManagementAccount, "")

	roleARN := identity.ARN(made.AccountID, identity.KindRole, "/", "OrganizationAccountAccessRole")
	c := must(h.assume(adminKey.ID, "", identity.AssumeRoleInput{RoleARN: roleARN, RoleSessionName: "admin"}))(t)
	inB := func() bool {
		subject := h.subject(c.AccessKeyID, c.SessionToken)
		_, err := h.guard(subject, []authz.Demand{{Action: "s3:PutObject", Resource: authz.Resource{ARN: object, Account: made.AccountID}}})
		return err == nil
	}
	if !inB() {
		t.Fatal("the administrator of B may not put an object")
	}
	org := must(h.DescribeOrganization(h.ctx, admin("DescribeOrganization", "*")))(t)
	if v, ok := h.subject(c.AccessKeyID, c.SessionToken).Keys.Lookup("aws:principalorgid"); !ok || v.One != org.ID {
		t.Errorf("aws:PrincipalOrgID %q", v.One)
	}
	scp := must(h.CreateControl(h.ctx, admin("CreatePolicy", "*"), "NoPut", "", deny("s3:PutObject"), nil))(t)
	ou := must(h.CreateOrganizationalUnit(h.ctx, admin("CreateOrganizationalUnit", h.OrganizationARN(org.RootID)), org.RootID, "Locked", nil))(t)
	h.do(h.AttachControl(h.ctx, admin("AttachPolicy", scp.ARN), scp.ID, ou.ID))
	if !inB() {
		t.Error("an SCP binds an account outside of its OU")
	}
	h.do(h.MoveAccount(h.ctx, admin("MoveAccount", h.OrganizationARN(made.AccountID)), made.AccountID, org.RootID, ou.ID))
	if inB() {
		t.Error("the OU's SCP does not bind")
	}
	if !h.may(adminKey.ID, "", "s3:PutObject", object) {
		t.Error("an SCP binds the managing account")
	}
	// Without FullAWSAccess at a level nothing is allowed there.
	h.do(h.DetachControl(h.ctx, admin("DetachPolicy", h.OrganizationARN("p-FullAWSAccess")), "p-FullAWSAccess", ou.ID))
	refused(t, h.DetachControl(h.ctx, admin("DetachPolicy", scp.ARN), scp.ID, ou.ID), identity.ConstraintViolation, "")
	h.do(h.MoveAccount(h.ctx, admin("MoveAccount", h.OrganizationARN(made.AccountID)), made.AccountID, ou.ID, org.RootID))
	if !inB() {
		t.Error("moving back does not lift the SCP")
	}
	refused(t, h.DeleteControl(h.ctx, admin("DeletePolicy", scp.ARN), scp.ID), identity.ControlInUse, "")
	h.do(h.CloseAccount(h.ctx, admin("CloseAccount", h.OrganizationARN(made.AccountID)), made.AccountID))
	_, err = h.Lookup(h.ctx, c.AccessKeyID, c.SessionToken)
	refused(t, err, authn.UnknownKey, "")
}

func TestPasswords(t *testing.T) {
	h := newHouse(t)
	h.user("alice")
	must(h.CreateLoginProfile(h.ctx, h.all, account, "alice", "Correct-Horse-1", false))(t)
	h.do(h.CreateAccountAlias(h.ctx, h.all, account, "house"))
	if in := must(h.SignIn(h.ctx, "house", "alice", "Correct-Horse-1", nil))(t); in.Account != account || in.MFAUsed {
		t.Errorf("signed in as %+v", in)
	}
	var texts []string
	for _, try := range [][3]string{{account, "alice", "wrong"}, {account, "nobody", "wrong"}, {"999999999999", "alice", "wrong"}, {account, "admin", ""}} {
		_, err := h.SignIn(h.ctx, try[0], try[1], try[2], nil)
		refused(t, err, identity.AccessDenied, "")
		texts = append(texts, err.Error())
	}
	for _, text := range texts {
		if text != texts[0] {
			t.Errorf("sign-in tells why: %q and %q", texts[0], text)
		}
	}
	serial, seed := h.device("alice", "phone")
	_, err := h.SignIn(h.ctx, account, "alice", "Correct-Horse-1", nil)
	refused(t, err, identity.AccessDenied, texts[0][strings.Index(texts[0], ": ")+2:])
	must(h.SignIn(h.ctx, account, "alice", "Correct-Horse-1", &identity.MFA{SerialNumber: serial, TokenCode: h.code(seed, 0)}))(t)
	h.do(h.UpdateAccountPasswordPolicy(h.ctx, h.all, account, identity.PasswordPolicy{MinimumPasswordLength: 14, RequireSymbols: true, PasswordReusePrevention: 2}))
	refused(t, h.ChangePassword(h.ctx, h.all, account, "alice", "wrong", "Another-Horse-22"), identity.AccessDenied, "")
	refused(t, h.ChangePassword(h.ctx, h.all, account, "alice", "Correct-Horse-1", "Short-1"), identity.PasswordPolicyViolation, "")
	refused(t, h.ChangePassword(h.ctx, h.all, account, "alice", "Correct-Horse-1", "Correct-Horse-1"), identity.PasswordPolicyViolation, "")
	h.do(h.ChangePassword(h.ctx, h.all, account, "alice", "Correct-Horse-1", "Another-Horse-22"))
}

func TestCredentialReport(t *testing.T) {
	h := newHouse(t)
	_, key := h.user("alice")
	_, err := h.GetCredentialReport(h.ctx, h.all, account)
	refused(t, err, identity.ReportNotPresent, "")
	h.NoteUse(key.AccessKeyID, "", "s3", "us-east-1")
	must(h.GenerateCredentialReport(h.ctx, h.all, account))(t)
	lines := strings.Split(strings.TrimSpace(string(must(h.GetCredentialReport(h.ctx, h.all, account))(t).Content)), "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[1], "<root_account>,arn:aws:iam::"+account+":root,2026-11-22T09:00:00+00:00,not_supported,") {
		t.Fatalf("report:\n%s", strings.Join(lines, "\n"))
	}
	if want := "alice,arn:aws:iam::" + account + ":user/alice,2026-11-22T09:00:00+00:00,false,N/A,N/A,N/A,false,true,2026-11-22T09:00:00+00:00,2026-11-22T09:00:00+00:00,us-east-1,s3,false,N/A,N/A,N/A,N/A,false,N/A,false,N/A"; lines[3] != want {
		t.Errorf("row\n%s\nwant\n%s", lines[3], want)
	}
	for _, line := range lines {
		if n := strings.Count(line, ","); n != 21 {
			t.Errorf("%d columns: %s", n+1, line)
		}
	}
	h.do(h.Close())
	other := h.open()
	use := must(other.GetAccessKeyLastUsed(h.ctx, h.all, account, key.AccessKeyID))(t)
	if use.UserName != "alice" || use.Service != "s3" || !use.At.Equal(h.clock.Now()) {
		t.Errorf("last used %+v", use)
	}
}

// demandsOn demands the actions on one resource of the first account.
func demandsOn(arn string, actions ...string) []authz.Demand {
	var demands []authz.Demand
	for _, action := range actions {
		demands = append(demands, authz.Demand{Action: action, Resource: authz.Resource{ARN: arn, Account: account}})
	}
	return demands
}
