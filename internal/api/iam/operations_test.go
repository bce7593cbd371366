package iam_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/wire"
)

const anyDocument = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}`

// parameters are values for the members of inputs, by their names. A list is told by its first entry.
var parameters = map[string]string{
	"UserName": "alice", "GroupName": "team", "RoleName": "worker", "PolicyName": "inline", "InstanceProfileName": "machine",
	"PolicyArn": arn("policy/written"), "PolicyDocument": anyDocument, "PermissionsBoundary": arn("policy/written"), "VersionId": "v1",
	"AssumeRolePolicyDocument": trust(testAccount, ""), "VirtualMFADeviceName": "phone", "SerialNumber": arn("mfa/token"),
	"AuthenticationCode1": "123456", "AuthenticationCode2": "654321", "OpenIDConnectProviderArn": arn("oidc-provider/issuer.example"),
	"Url": "https://issuer.example", "ClientID": "kura", "AccessKeyId": "AKIAADMINADMINADMIN1", "Status": "Inactive", "AccountAlias": "storehouse",
	"Password": "Correct-Horse-9", "OldPassword": "Correct-Horse-9", "NewPassword": "Correct-Horse-8", "AWSServiceName": "config.amazonaws.com",
	"ThumbprintList.member.1": strings.Repeat("ab", 20), "ClientIDList.member.1": "kura", "Tags.member.1.Key": "team", "Tags.member.1.Value": "red",
	"TagKeys.member.1": "team", "ActionNames.member.1": "s3:GetObject", "PolicyInputList.member.1": anyDocument, "PolicySourceArn": arn("user/alice"),
	"RoleArn": arn("role/worker"), "RoleSessionName": "session", "WebIdentityToken": "not.a.token", "Name": "guest", "EncodedMessage": "ABCDEF",
	"AccountId": testAccount, "ParentId": "r-abcd", "SourceParentId": "r-abcd", "DestinationParentId": "r-abcd", "RootId": "r-abcd",
	"OrganizationalUnitId": "ou-abcd-12345678", "PolicyId": "p-12345678", "TargetId": "r-abcd", "ChildId": testAccount, "PolicyType": "SERVICE_CONTROL_POLICY",
	"Type": "SERVICE_CONTROL_POLICY", "Filter": "SERVICE_CONTROL_POLICY", "Content": anyDocument, "Description": "what it is for", "Email": "b@example.com",
	"AccountName": "b", "CreateAccountRequestId": "car-12345678901234567890123456789012",
	"DeletionTaskId": "task/aws-service-role/config.amazonaws.com/AWSServiceRoleForConfig/aroaaaaaaaaaaaaaaaaaa",
}

// exceptions are parameters that one operation wants otherwise.
var exceptions = map[string]map[string]string{
	// A session of root or a user is made without these.
	"GetSessionToken":                {"SerialNumber": ""},
	"GetAccountAuthorizationDetails": {"Filter": ""},
	"AssumeRole":                     {"SerialNumber": "", "Tags.member.1.Key": "", "Tags.member.1.Value": ""},
}

// sample is a request that the operation accepts.
func sample(op *api.Op) (pairs []string) {
	w := op.Wire()
	for _, m := range w.Model.Shapes[w.Input].Members {
		for name, value := range parameters {
			if head, _, _ := strings.Cut(name, "."); head != m.Wire {
				continue
			}
			if other, ok := exceptions[op.Name()][name]; ok {
				value = other
			}
			if value != "" {
				pairs = append(pairs, name, value)
			}
		}
	}
	return pairs
}

// populated has the entities that the parameters name.
func populated(t *testing.T) *harness {
	h := newHarness(t)
	for _, c := range [][]string{
		{"CreateUser", "UserName", "alice"},
		{"CreateGroup", "GroupName", "team"},
		{"CreateRole", "RoleName", "worker", "AssumeRolePolicyDocument", trust(testAccount, "")},
		{"CreatePolicy", "PolicyName", "written", "PolicyDocument", anyDocument},
		{"CreateInstanceProfile", "InstanceProfileName", "machine"},
		{"CreateVirtualMFADevice", "VirtualMFADeviceName", "token"},
		{"CreateOpenIDConnectProvider", "Url", "https://issuer.example", "ClientIDList.member.1", "kura"},
	} {
		h.must(h.admin, "iam", c[0], c[1:]...)
	}
	return h
}

// open are the operations that need no permission: everybody with a good signature may call them.
var open = []string{"GetCallerIdentity", "GetSessionToken"}

// unsigned are the operations that need no signature, with the answer to a request that proves nothing.
var unsigned = map[string]string{"AssumeRoleWithWebIdentity": "InvalidIdentityToken"}

// TestEveryOperationIsGuarded ranges over all operations: each refuses when the caller is denied,
// unknown or nobody, and when the decision cannot be recorded, without touching storage.
func TestEveryOperationIsGuarded(t *testing.T) {
	h := populated(t)
	stranger := h.newUser("stranger", "")
	forged := user{key: h.admin.key, secret: strings.Repeat("x", 40)}
	for _, op := range h.server.Ops() {
		service := op.Wire().Service
		t.Run(service+":"+op.Name(), func(t *testing.T) {
			pairs := sample(op)
			wants := map[user]string{stranger: "AccessDenied", {}: "MissingAuthenticationToken", forged: "SignatureDoesNotMatch"}
			if service == "organizations" {
				wants = map[user]string{stranger: "AccessDeniedException", {}: "MissingAuthenticationTokenException", forged: "InvalidSignatureException"}
			}
			if slices.Contains(open, op.Name()) {
				delete(wants, stranger)
			}
			if code, ok := unsigned[op.Name()]; ok {
				wants = map[user]string{{}: code, stranger: code}
			}
			before := h.meta.Commits
			for u, want := range wants {
				if a := h.call(u, service, op.Name(), pairs...); a.code() != want {
					t.Errorf("%+v: %d %s, want %s", u, a.status, a.body, want)
				}
			}
			h.recorder.Broken = true
			if a := h.call(h.admin, service, op.Name(), pairs...); a.status == 200 || (a.status != 503 && unsigned[op.Name()] == "") {
				t.Errorf("unrecorded: %d %s", a.status, a.body)
			}
			h.recorder.Broken = false
			if h.meta.Commits != before {
				t.Error("storage was touched")
			}
		})
	}
}

// TestSamplesReachTheirOperation holds the test above to its word: what it sends is well-formed, and an
// administrator who sends it is not refused for a reason that comes before the decision.
func TestSamplesReachTheirOperation(t *testing.T) {
	h := populated(t)
	for _, op := range h.server.Ops() {
		a := h.call(h.admin, op.Wire().Service, op.Name(), sample(op)...)
		ev := h.recorder.Last()
		if ev.Operation != op.Name() || (len(ev.Decisions) == 0 && unsigned[op.Name()] == "") {
			t.Errorf("%s: recorded as %s with %d decisions: %s", op.Name(), ev.Operation, len(ev.Decisions), a.body)
		}
		if code := a.code(); a.status >= 500 || code == "ValidationError" || code == "ValidationException" || code == "SerializationException" || strings.HasPrefix(code, "AccessDenied") && op.Name() != "ChangePassword" {
			t.Errorf("%s: %d %s", op.Name(), a.status, a.body)
		}
	}
}

// reference is the machine-readable Service Authorization Reference.
type reference map[string]struct {
	Actions map[string]struct {
		Level     string   `json:"level"`
		Resources []string `json:"resources"`
	} `json:"actions"`
	Resources map[string]struct {
		ARN string `json:"arn"`
	} `json:"resources"`
}

// referenceFile stands beside the checkout of whoever has the project's shared facts.
const referenceFile = "../../../../shared/facts/data/service-authorization.json"

func readReference(t *testing.T) reference {
	t.Helper()
	text, err := os.ReadFile(referenceFile)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("=== SKIPPED: the Service Authorization Reference is not beside this checkout ===")
	}
	if err != nil {
		t.Fatal(err)
	}
	ref := reference{}
	if err := json.Unmarshal(text, &ref); err != nil {
		t.Fatal(err)
	}
	return ref
}

var levels = map[string]api.Access{
	"Read": api.Read, "List": api.List, "Write": api.Write, "Tagging": api.Tagging, "Permissions management": api.Permissions,
}

// TestDemandsAreThoseOfAWS compares what every operation demands with the Service Authorization Reference.
func TestDemandsAreThoseOfAWS(t *testing.T) {
	ref := readReference(t)
	h := populated(t)
	for _, op := range h.server.Ops() {
		if unsigned[op.Name()] != "" {
			continue // decided by the token's subject: see the tests of web identities
		}
		service := op.Wire().Service
		h.call(h.admin, service, op.Name(), sample(op)...)
		action, ok := ref[service].Actions[op.Name()]
		if !ok {
			t.Errorf("%s: AWS has no action of the name", op.Name())
			continue
		}
		if op.Access() != levels[action.Level] {
			t.Errorf("%s: level %d, want %s", op.Name(), op.Access(), action.Level)
		}
		decisions := h.recorder.Last().Decisions
		if len(decisions) == 0 || decisions[0].Action != service+":"+op.Name() {
			t.Errorf("%s: demands %+v", op.Name(), decisions)
			continue
		}
		if !ref.allows(service, action.Resources, decisions[0].Resource) {
			t.Errorf("%s: demanded on %s, want one of %v", op.Name(), decisions[0].Resource, action.Resources)
		}
	}
}

// allows tells whether arn is of one of the resource types; "*" where there are none.
func (r reference) allows(service string, types []string, arn string) bool {
	if len(types) == 0 || arn == "*" {
		return len(types) == 0 && arn == "*"
	}
	for _, name := range types {
		pattern := regexp.QuoteMeta(r[service].Resources[strings.TrimSuffix(name, "*")].ARN)
		pattern = regexp.MustCompile(`\\\$\\\{[A-Za-z]+\\\}`).ReplaceAllString(pattern, "[^:]+")
		if regexp.MustCompile("^" + pattern + "$").MatchString(arn) {
			return true
		}
	}
	return arn == "arn:aws:iam::"+testAccount+":root" && slices.Contains(types, "user*") ||
		service == "sts" && strings.HasPrefix(arn, "arn:aws:iam::"+testAccount+":role/") && slices.Contains(types, "role*") ||
		service == "sts" && strings.Contains(arn, ":federated-user/") && slices.Contains(types, "federated-user")
}

// TestOperationsAreOfTheModel, and none is declared twice.
func TestOperationsAreOfTheModel(t *testing.T) {
	seen := map[*wire.Operation]bool{}
	for _, op := range newHarness(t).server.Ops() {
		if seen[op.Wire()] {
			t.Errorf("%s is declared twice", op.Name())
		}
		seen[op.Wire()] = true
	}
	if len(seen) < 110 {
		t.Errorf("only %d operations", len(seen))
	}
}
