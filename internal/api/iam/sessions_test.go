package iam_test

import (
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/hotp"
)

const everything = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`

// phone gives a user an enabled MFA device and makes its codes.
func (h *harness) phone(userName string) (serial string, code func() string) {
	h.t.Helper()
	made := h.must(h.admin, "iam", "CreateVirtualMFADevice", "VirtualMFADeviceName", userName+"-phone")
	serial = made.text("SerialNumber")
	seed := decodeSeed(h.t, made.text("Base32StringSeed"))
	at := func(step int64) string {
		c, err := hotp.GenerateCode(seed, uint64(h.clock.Now().Unix()/30+step))
		if err != nil {
			h.t.Fatal(err)
		}
		return c
	}
	h.refused("InvalidAuthenticationCode", h.admin, "iam", "EnableMFADevice", "UserName", userName, "SerialNumber", serial,
		"AuthenticationCode1", at(0), "AuthenticationCode2", at(5))
	h.must(h.admin, "iam", "EnableMFADevice", "UserName", userName, "SerialNumber", serial, "AuthenticationCode1", at(-1), "AuthenticationCode2", at(0))
	return serial, func() string { return at(0) }
}

// TestMFA: a policy that wants a second factor, and a code that serves once.
func TestMFA(t *testing.T) {
	h := newHarness(t)
	alice := h.newUser("alice", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},
		{"Effect":"Deny","Action":"iam:ListUsers","Resource":"*","Condition":{"BoolIfExists":{"aws:MultiFactorAuthPresent":"false"}}}]}`)
	serial, code := h.phone("alice")
	h.refused("AccessDenied", alice, "iam", "ListUsers")
	plain := h.must(alice, "sts", "GetSessionToken").session()
	h.refused("AccessDenied", plain, "iam", "ListGroups") // IAM is closed to sessions without MFA

	h.clock.Forward(30 * time.Second)
	now := code()
	strong := h.must(alice, "sts", "GetSessionToken", "SerialNumber", serial, "TokenCode", now).session()
	h.must(strong, "iam", "ListUsers")
	h.refused("AccessDenied", alice, "sts", "GetSessionToken", "SerialNumber", serial, "TokenCode", now)
	h.refused("AccessDenied", strong, "sts", "GetSessionToken")
	h.must(strong, "sts", "GetCallerIdentity")
	h.must(h.newUser("plain", ""), "sts", "GetSessionToken")
	h.refused("AccessDenied", h.newUser("bound", statement("Deny", "sts:GetSessionToken", "*", "")), "sts", "GetSessionToken")

	h.must(h.admin, "iam", "CreateRole", "RoleName", "guarded", "AssumeRolePolicyDocument",
		trust(arn("user/alice"), `{"Bool":{"aws:MultiFactorAuthPresent":"true"}}`))
	h.refused("AccessDenied", alice, "sts", "AssumeRole", "RoleArn", arn("role/guarded"), "RoleSessionName", "session")
	h.clock.Forward(30 * time.Second)
	h.assume(alice, arn("role/guarded"), "SerialNumber", serial, "TokenCode", code())
	h.refused("AccessDenied", alice, "sts", "AssumeRole", "RoleArn", arn("role/guarded"), "RoleSessionName", "session", "SerialNumber", serial, "TokenCode", "000000")

	h.refused("DeleteConflict", h.admin, "iam", "DeleteVirtualMFADevice", "SerialNumber", serial)
	h.must(h.admin, "iam", "DeactivateMFADevice", "UserName", "alice", "SerialNumber", serial)
	h.must(h.admin, "iam", "DeleteVirtualMFADevice", "SerialNumber", serial)
}

// TestAssumeRole: external ids, session policies, tags, source identities, and what ends a session.
func TestAssumeRole(t *testing.T) {
	h := newHarness(t)
	alice := h.newUser("alice", "")
	h.must(h.admin, "iam", "CreateRole", "RoleName", "worker", "Path", "/dev/", "AssumeRolePolicyDocument",
		trust(arn("user/alice"), `{"StringEquals":{"sts:ExternalId":"kura"}}`))
	h.must(h.admin, "iam", "PutRolePolicy", "RoleName", "worker", "PolicyName", "own", "PolicyDocument", allow("iam:*", "*", ""))
	role := arn("role/dev/worker")

	missing := h.refused("AccessDenied", alice, "sts", "AssumeRole", "RoleArn", arn("role/dev/nobody"), "RoleSessionName", "session")
	untrusted := h.refused("AccessDenied", alice, "sts", "AssumeRole", "RoleArn", role, "RoleSessionName", "session")
	if strings.ReplaceAll(missing.body, "nobody", "worker") != untrusted.body {
		t.Errorf("a role that is missing shows:\n%s\n%s", missing.body, untrusted.body)
	}
	external := []string{"ExternalId", "kura"}
	session := h.assume(alice, role, external...)
	who := h.must(session, "sts", "GetCallerIdentity")
	if who.text("Arn") != "arn:aws:sts::"+testAccount+":assumed-role/worker/session" || !strings.HasSuffix(who.text("UserId"), ":session") {
		t.Error(who.body)
	}
	h.must(session, "iam", "ListUsers")
	h.refused("ValidationError", session, "iam", "GetUser")
	h.refused("InvalidClientTokenId", user{session.key, session.secret, ""}, "iam", "ListUsers")
	h.refused("InvalidClientTokenId", user{session.key, session.secret, session.token[:len(session.token)-6] + "AAAAA="}, "iam", "ListUsers")
	h.refused("AccessDenied", h.root, "sts", "AssumeRole", "RoleArn", role, "RoleSessionName", "session", "ExternalId", "kura")

	h.refused("NotImplemented", alice, "sts", "AssumeRole", "RoleArn", role, "RoleSessionName", "session", "ExternalId", "kura",
		"ProvidedContexts.member.1.ProviderArn", "arn:aws:iam::aws:contextProvider/IdentityCenter", "ProvidedContexts.member.1.ContextAssertion", "assertion")

	narrow := h.assume(alice, role, append(external, "Policy", allow("iam:ListGroups", "*", ""))...)
	h.must(narrow, "iam", "ListGroups")
	h.refused("AccessDenied", narrow, "iam", "ListUsers")

	tagged := h.assume(alice, role, append(external, "SourceIdentity", "alice", "Tags.member.1.Key", "team", "Tags.member.1.Value", "red")...)
	h.must(h.admin, "iam", "PutRolePolicy", "RoleName", "worker", "PolicyName", "own", "PolicyDocument",
		allow("iam:ListUsers", "*", `{"StringEquals":{"aws:PrincipalTag/team":"red","aws:SourceIdentity":"alice"}}`))
	h.must(tagged, "iam", "ListUsers")
	h.refused("AccessDenied", session, "iam", "ListUsers") // the role's policy of now holds

	h.clock.Forward(time.Hour)
	h.refused("ExpiredToken", session, "sts", "GetCallerIdentity")
	h.refused("ValidationError", alice, "sts", "AssumeRole", "RoleArn", role, "RoleSessionName", "session", "ExternalId", "kura", "DurationSeconds", "7200")

	session = h.assume(alice, role, external...)
	h.must(h.admin, "iam", "DeleteRolePolicy", "RoleName", "worker", "PolicyName", "own")
	h.must(h.admin, "iam", "DeleteRole", "RoleName", "worker")
	h.refused("InvalidClientTokenId", session, "sts", "GetCallerIdentity")
	h.must(h.admin, "iam", "CreateRole", "RoleName", "worker", "Path", "/dev/", "AssumeRolePolicyDocument", trust(arn("user/alice"), ""))
	h.refused("InvalidClientTokenId", session, "sts", "GetCallerIdentity")
}

// TestRecreatedUserIsAnother: a role that trusts a user does not trust the next one of the name.
func TestRecreatedUserIsAnother(t *testing.T) {
	h := newHarness(t)
	alice := h.newUser("alice", "")
	h.must(h.admin, "iam", "CreateRole", "RoleName", "worker", "AssumeRolePolicyDocument", trust(arn("user/alice"), ""))
	session := h.assume(alice, arn("role/worker"))
	h.must(h.admin, "iam", "DeleteAccessKey", "UserName", "alice", "AccessKeyId", alice.key)
	h.must(h.admin, "iam", "DeleteUser", "UserName", "alice")
	h.refused("InvalidClientTokenId", alice, "sts", "GetCallerIdentity")
	again := h.newUser("alice", "")
	h.refused("AccessDenied", again, "sts", "AssumeRole", "RoleArn", arn("role/worker"), "RoleSessionName", "session")
	h.must(session, "sts", "GetCallerIdentity") // the role's session is the role's
	if shown := h.must(h.admin, "iam", "GetRole", "RoleName", "worker"); !strings.Contains(shown.text("AssumeRolePolicyDocument"), "AIDA") {
		t.Error("the trust policy still names the user by its ARN:", shown.body)
	}
}

// TestKeys: two at most, the secret once, inactive at once.
func TestKeys(t *testing.T) {
	h := newHarness(t)
	alice := h.newUser("alice", allow("iam:*", arn("user/alice"), ""))
	second := h.must(alice, "iam", "CreateAccessKey")
	h.refused("LimitExceeded", alice, "iam", "CreateAccessKey")
	listed := h.must(alice, "iam", "ListAccessKeys")
	if len(listed.all("AccessKeyId")) != 2 || strings.Contains(listed.body, "Secret") || strings.Contains(listed.body, alice.secret) {
		t.Error(listed.body)
	}
	h.must(alice, "iam", "UpdateAccessKey", "AccessKeyId", second.text("AccessKeyId"), "Status", "Inactive")
	h.refused("InvalidClientTokenId", user{key: second.text("AccessKeyId"), secret: second.text("SecretAccessKey")}, "sts", "GetCallerIdentity")
	h.must(alice, "iam", "UpdateAccessKey", "AccessKeyId", second.text("AccessKeyId"), "Status", "Active")
	h.must(user{key: second.text("AccessKeyId"), secret: second.text("SecretAccessKey")}, "sts", "GetCallerIdentity")
	h.refused("ValidationError", alice, "iam", "UpdateAccessKey", "AccessKeyId", second.text("AccessKeyId"), "Status", "Revoked")
	if got := h.must(h.admin, "sts", "GetAccessKeyInfo", "AccessKeyId", alice.key).text("Account"); got != testAccount {
		t.Error(got)
	}
	h.refused("DeleteConflict", h.admin, "iam", "DeleteUser", "UserName", "alice")
	for _, ev := range h.recorder.Events {
		if strings.Contains(ev.URI+ev.ErrorText, second.text("SecretAccessKey")) {
			t.Error("a record holds a secret")
		}
	}
}

// TestFederation: a federated user may do what both its maker and its policy allow, and never IAM.
func TestFederation(t *testing.T) {
	h := newHarness(t)
	alice := h.newUser("alice", everything)
	guest := h.must(alice, "sts", "GetFederationToken", "Name", "guest", "Policy", everything).session()
	if got := h.must(guest, "sts", "GetCallerIdentity").text("Arn"); got != "arn:aws:sts::"+testAccount+":federated-user/guest" {
		t.Error(got)
	}
	h.refused("AccessDenied", guest, "iam", "ListUsers")
	h.refused("AccessDenied", guest, "sts", "GetSessionToken")
	h.refused("AccessDenied", guest, "sts", "GetFederationToken", "Name", "other")
	h.refused("ValidationError", alice, "sts", "GetFederationToken", "Name", "g")
	h.refused("MalformedPolicyDocument", alice, "sts", "GetFederationToken", "Name", "guest", "Policy", `{"Version":"2012-10-17","Statement":[{"Effect":"Maybe"}]}`)
}

// TestBoundary: what a boundary does not allow is not allowed.
func TestBoundary(t *testing.T) {
	h := newHarness(t)
	alice := h.newUser("alice", everything)
	h.must(h.admin, "iam", "CreatePolicy", "PolicyName", "limits", "PolicyDocument", allow("iam:ListUsers", "*", ""))
	h.must(h.admin, "iam", "PutUserPermissionsBoundary", "UserName", "alice", "PermissionsBoundary", arn("policy/limits"))
	h.must(alice, "iam", "ListUsers")
	refused := h.refused("AccessDenied", alice, "iam", "ListGroups")
	if !strings.Contains(refused.text("Message"), "because no permissions boundary allows the iam:ListGroups action") {
		t.Error(refused.body)
	}
	h.must(h.admin, "iam", "DeleteUserPermissionsBoundary", "UserName", "alice")
	h.must(alice, "iam", "ListGroups")
}

// TestControls: a service control policy binds every principal of a member account, and its root, at once.
func TestControls(t *testing.T) {
	h := newHarness(t)
	made := h.must(h.admin, "organizations", "CreateAccount", "Email", "b@example.com", "AccountName", "b")
	account := made.json("CreateAccountStatus", "AccountId")
	if got := h.must(h.admin, "organizations", "ListRoots"); !strings.Contains(got.body, `"Id":"r-`) {
		t.Error(got.body)
	}
	if state := h.must(h.admin, "organizations", "DescribeCreateAccountStatus", "CreateAccountRequestId", made.json("CreateAccountStatus", "Id")); state.json("CreateAccountStatus", "State") != "SUCCEEDED" {
		t.Error(state.body)
	}
	member := h.assume(h.admin, "arn:aws:iam::"+account+":role/OrganizationAccountAccessRole")
	h.must(member, "iam", "CreateUser", "UserName", "bob")
	h.refused("AccessDeniedException", member, "organizations", "ListRoots")
	control := h.must(h.admin, "organizations", "CreatePolicy", "Name", "no-users", "Description", "nobody makes users", "Type", "SERVICE_CONTROL_POLICY",
		"Content", statement("Deny", "iam:CreateUser", "*", ""))
	id := control.json("Policy", "PolicySummary", "Id")
	h.must(h.admin, "organizations", "AttachPolicy", "PolicyId", id, "TargetId", account)
	refused := h.refused("AccessDenied", member, "iam", "CreateUser", "UserName", "carol")
	if !strings.Contains(refused.text("Message"), "with an explicit deny in a service control policy") {
		t.Error(refused.body)
	}
	h.must(h.admin, "iam", "CreateUser", "UserName", "carol") // the managing account is not bound
	h.refused("PolicyInUseException", h.admin, "organizations", "DeletePolicy", "PolicyId", id)
	h.must(h.admin, "organizations", "DetachPolicy", "PolicyId", id, "TargetId", account)
	h.must(member, "iam", "CreateUser", "UserName", "carol")
	h.refused("DuplicateAccountException", h.admin, "organizations", "CreateAccount", "Email", "b@example.com", "AccountName", "c")
	h.refused("AlreadyInOrganizationException", h.admin, "organizations", "CreateOrganization")
	h.must(h.admin, "organizations", "CloseAccount", "AccountId", account)
	h.refused("InvalidClientTokenId", member, "sts", "GetCallerIdentity")
}

// TestDecodeAuthorizationMessage: a refusal is explained to administrators of its accounts, and to nobody else.
func TestDecodeAuthorizationMessage(t *testing.T) {
	h := newHarness(t)
	made := h.must(h.admin, "organizations", "CreateAccount", "Email", "b@example.com", "AccountName", "b")
	member := h.assume(h.admin, "arn:aws:iam::"+made.json("CreateAccountStatus", "AccountId")+":role/OrganizationAccountAccessRole")
	stranger := h.newUser("stranger", "")
	refused := h.refused("AccessDenied", stranger, "iam", "ListUsers")
	told := h.must(h.admin, "sts", "DecodeAuthorizationMessage", "EncodedMessage", refused.text("RequestId"))
	if !strings.Contains(told.text("DecodedMessage"), `"action": "iam:ListUsers"`) {
		t.Error(told.body)
	}
	h.refused("InvalidAuthorizationMessageException", member, "sts", "DecodeAuthorizationMessage", "EncodedMessage", refused.text("RequestId"))
	h.refused("InvalidAuthorizationMessageException", h.admin, "sts", "DecodeAuthorizationMessage", "EncodedMessage", "nothing")
	h.refused("AccessDenied", stranger, "sts", "DecodeAuthorizationMessage", "EncodedMessage", refused.text("RequestId"))
}

// TestRoot: what root may ask about itself without a name, and how it is shown.
func TestRoot(t *testing.T) {
	h := newHarness(t)
	if got := h.must(h.root, "iam", "GetUser"); got.text("Arn") != arn("root") || got.text("UserId") != testAccount {
		t.Error(got.body)
	}
	if got := h.must(h.root, "iam", "ListAccessKeys").all("AccessKeyId"); len(got) != 1 || got[0] != h.root.key {
		t.Error(got)
	}
	if got := h.must(h.root, "iam", "GetAccountSummary").body; !strings.Contains(got, "<key>AccountAccessKeysPresent</key><value>1</value>") {
		t.Error(got)
	}
	h.refused("ValidationError", h.root, "iam", "GetLoginProfile")
	h.refused("ValidationError", h.root, "iam", "ChangePassword", "OldPassword", "x", "NewPassword", "y")
	short := h.must(h.root, "sts", "GetSessionToken", "DurationSeconds", "43200").session()
	if got := h.must(short, "sts", "GetCallerIdentity").text("Arn"); got != arn("root") {
		t.Error(got)
	}
	h.clock.Forward(time.Hour)
	h.refused("ExpiredToken", short, "sts", "GetCallerIdentity")
	h.must(h.root, "iam", "DeleteAccessKey", "AccessKeyId", h.root.key)
	h.refused("InvalidClientTokenId", h.root, "iam", "GetUser")
}
