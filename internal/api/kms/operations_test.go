package kms_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/policy"
)

// samples is a request for each operation that an administrator may make and that succeeds, or fails for a
// reason that comes after the decision.
func samples(h *harness) map[string]m {
	h.t.Helper()
	h.query(h.admin, "iam", "CreateUser", "UserName", "alice")
	data, from := h.key(m{}), h.key(m{"Origin": "EXTERNAL"})
	sign := h.key(m{"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"})
	agree := h.key(m{"KeySpec": "ECC_NIST_P256", "KeyUsage": "KEY_AGREEMENT"})
	mac := h.key(m{"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"})
	h.must(h.admin, "CreateAlias", m{"AliasName": "alias/data", "TargetKeyId": data})
	blob := h.must(h.admin, "Encrypt", m{"KeyId": data, "Plaintext": "eA=="}).text("CiphertextBlob")
	grant := h.must(h.admin, "CreateGrant", m{"KeyId": data, "GranteePrincipal": userARN("alice"), "Operations": []string{"Decrypt"}})
	on := m{"KeyId": data}
	return map[string]m{
		"CancelKeyDeletion": on, "DescribeKey": on, "DisableKeyRotation": on, "EnableKey": on, "EnableKeyRotation": on, "GetKeyPolicy": on, "GetKeyLastUsage": on,
		"GetKeyRotationStatus": on, "ListGrants": on, "ListKeyPolicies": on, "ListKeyRotations": on, "ListResourceTags": on, "RotateKeyOnDemand": on,
		"CreateKey": {"Tags": []m{{"TagKey": "a", "TagValue": "b"}}}, "ListKeys": {}, "ListAliases": {}, "GenerateRandom": {"NumberOfBytes": 8},
		"ListRetirableGrants": {"RetiringPrincipal": userARN("alice")},
		"CreateAlias":         {"AliasName": "alias/new", "TargetKeyId": data}, "UpdateAlias": {"AliasName": "alias/data", "TargetKeyId": data},
		"DeleteAlias":     {"AliasName": "alias/data"},
		"CreateGrant":     {"KeyId": data, "GranteePrincipal": userARN("alice"), "Operations": []string{"Decrypt"}},
		"RevokeGrant":     {"KeyId": data, "GrantId": grant.text("GrantId"), "DryRun": true},
		"RetireGrant":     {"GrantToken": grant.text("GrantToken")},
		"Encrypt":         {"KeyId": data, "Plaintext": "eA=="},
		"Decrypt":         {"CiphertextBlob": blob},
		"ReEncrypt":       {"CiphertextBlob": blob, "DestinationKeyId": data},
		"Sign":            {"KeyId": sign, "Message": "eA==", "SigningAlgorithm": "ECDSA_SHA_256"},
		"Verify":          {"KeyId": sign, "Message": "eA==", "Signature": "eA==", "SigningAlgorithm": "ECDSA_SHA_256"},
		"GenerateMac":     {"KeyId": mac, "Message": "eA==", "MacAlgorithm": "HMAC_SHA_256"},
		"VerifyMac":       {"KeyId": mac, "Message": "eA==", "Mac": "eA==", "MacAlgorithm": "HMAC_SHA_256"},
		"GetPublicKey":    {"KeyId": sign},
		"TagResource":     {"KeyId": data, "Tags": []m{{"TagKey": "a", "TagValue": "b"}}},
		"UntagResource":   {"KeyId": data, "TagKeys": []string{"a"}},
		"PutKeyPolicy":    {"KeyId": data, "Policy": "{}"},
		"DisableKey":      {"KeyId": mac},
		"GenerateDataKey": {"KeyId": data, "KeySpec": "AES_256"}, "GenerateDataKeyWithoutPlaintext": {"KeyId": data, "NumberOfBytes": 64},
		"GenerateDataKeyPair": {"KeyId": data, "KeyPairSpec": "ECC_NIST_P256"}, "GenerateDataKeyPairWithoutPlaintext": {"KeyId": data, "KeyPairSpec": "ECC_NIST_P256"},
		"DeriveSharedSecret":   {"KeyId": agree, "KeyAgreementAlgorithm": "ECDH", "PublicKey": "eA=="},
		"UpdateKeyDescription": {"KeyId": data, "Description": "d"}, "ScheduleKeyDeletion": {"KeyId": agree, "PendingWindowInDays": 7},
		"GetParametersForImport":    {"KeyId": from, "WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"},
		"ImportKeyMaterial":         {"KeyId": from, "ImportToken": "eA==", "EncryptedKeyMaterial": "eA==", "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"},
		"DeleteImportedKeyMaterial": {"KeyId": from},
	}
}

// ours are the operations of this service.
func ours(h *harness) []*api.Op {
	return slices.DeleteFunc(h.server.Ops(), func(op *api.Op) bool { return op.Wire().Service != "kms" })
}

// TestEveryOperationIsGuarded ranges over all operations: each refuses when the caller is denied, unknown
// or nobody, and when the decision cannot be recorded, without touching storage.
func TestEveryOperationIsGuarded(t *testing.T) {
	h := newHarness(t)
	requests := samples(h)
	_, foreign := h.secondAccount()
	stranger := h.newUser(h.admin, "stranger", "")
	denied := h.newUser(h.admin, "denied", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"kms:*","Resource":"*"}]}`)
	forged := user{key: h.admin.key, secret: strings.Repeat("x", 40)}
	own := []string{"CreateKey", "ListKeys", "ListAliases", "GenerateRandom", "ListRetirableGrants", "DeleteAlias"} // what one does in one's own account
	for _, op := range ours(h) {
		t.Run(op.Name(), func(t *testing.T) {
			in, ok := requests[op.Name()]
			if !ok {
				t.Fatal("there is no sample of it")
			}
			wants := map[user]string{
				stranger: "AccessDeniedException", denied: "AccessDeniedException", {}: "MissingAuthenticationTokenException", forged: "InvalidSignatureException",
			}
			if !slices.Contains(own, op.Name()) {
				// A foreign key is named by its ARN; an alias's name alone is the caller's own.
				wants[foreign] = "AccessDeniedException"
			}
			before := h.meta.Commits
			for u, want := range wants {
				send := in
				if u == foreign {
					send = abroad(in)
				}
				if a := h.call(u, op.Name(), send); a.code() != want || a.status/100 != 4 {
					t.Errorf("%s: %d %s, want %s", u.key, a.status, a.body, want)
				}
			}
			h.recorder.Broken = true
			if a := h.call(h.admin, op.Name(), in); a.status != 503 {
				t.Errorf("unrecorded: %d %s", a.status, a.body)
			}
			h.recorder.Broken = false
			if h.meta.Commits != before {
				t.Error("storage was touched")
			}
		})
	}
}

// abroad is the request with its keys by ARN.
func abroad(in m) m {
	out := maps.Clone(in)
	for _, name := range []string{"KeyId", "TargetKeyId", "DestinationKeyId"} {
		if id, ok := out[name].(string); ok {
			out[name] = arn(id)
		}
	}
	return out
}

// TestSamplesReachTheirOperation holds the test above to its word: an administrator who sends what it sends
// is not refused for a reason that comes before the decision.
func TestSamplesReachTheirOperation(t *testing.T) {
	for _, op := range ours(newHarness(t)) {
		h := newHarness(t)
		a := h.call(h.admin, op.Name(), samples(h)[op.Name()])
		ev := h.recorder.Last()
		if ev.Operation != op.Name() || len(ev.Decisions) == 0 || !ev.Decisions[0].Allowed {
			t.Errorf("%s: recorded as %s with %+v: %s", op.Name(), ev.Operation, ev.Decisions, a.body)
		}
		if a.status >= 500 || strings.HasPrefix(a.code(), "AccessDenied") || a.code() == "SerializationException" {
			t.Errorf("%s: %d %s", op.Name(), a.status, a.body)
		}
	}
}

// reference is the machine-readable Service Authorization Reference.
type reference map[string]struct {
	Actions map[string]struct {
		Level         string   `json:"level"`
		Resources     []string `json:"resources"`
		ConditionKeys []string `json:"conditionKeys"`
	} `json:"actions"`
}

// referenceFile stands beside the checkout of whoever has the project's shared facts.
const referenceFile = "../../../../shared/facts/data/service-authorization.json"

func readReference(t *testing.T) reference {
	t.Helper()
	text, err := os.ReadFile(referenceFile)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("=== SKIPPED: the Service Authorization Reference is not beside this checkout ===")
	}
	var r reference
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var levels = map[string]api.Access{
	"Read": api.Read, "List": api.List, "Write": api.Write, "Tagging": api.Tagging, "Permissions management": api.Permissions,
}

// TestDemandsAreThoseOfAWS compares what every operation demands with the Service Authorization Reference.
func TestDemandsAreThoseOfAWS(t *testing.T) {
	ref := readReference(t)["kms"]
	h := newHarness(t)
	requests := samples(h)
	shape := map[string]*regexp.Regexp{
		"key*": regexp.MustCompile(`^arn:aws:kms:[a-z0-9-]+:\d{12}:key/[0-9a-f-]{36}$`), "alias*": regexp.MustCompile(`^arn:aws:kms:[a-z0-9-]+:\d{12}:alias/.+$`),
	}
	for _, op := range ours(h) {
		h.call(h.admin, op.Name(), requests[op.Name()])
		decisions := h.recorder.Last().Decisions
		actions := []string{op.Name()}
		if op.Name() == "ReEncrypt" {
			actions = []string{"ReEncryptFrom", "ReEncryptTo"}
		}
		for _, name := range actions {
			action, ok := ref.Actions[name]
			if !ok {
				t.Errorf("%s: AWS has no action of the name", name)
				continue
			}
			if op.Access() != levels[action.Level] {
				t.Errorf("%s: level %d, want %s", name, op.Access(), action.Level)
			}
			for _, kind := range action.Resources {
				if !slices.ContainsFunc(decisions, func(d audit.Decision) bool { return d.Action == "kms:"+name && shape[kind].MatchString(d.Resource) }) {
					t.Errorf("%s: no demand on a %s among %+v", name, kind, decisions)
				}
			}
			if len(action.Resources) == 0 && (decisions[0].Resource != "*" || decisions[0].Action != "kms:"+name) {
				t.Errorf("%s: %+v, want it on *", name, decisions)
			}
		}
	}
}

// TestEveryConditionKeyIsGiven: a policy that wants a key of the reference to be there finds it, in a
// request that has it.
func TestEveryConditionKeyIsGiven(t *testing.T) {
	h := newHarness(t)
	context := m{"team": "red"}
	data := h.key(m{})
	h.must(h.admin, "CreateAlias", m{"AliasName": "alias/data", "TargetKeyId": data})
	from := h.key(m{"Origin": "EXTERNAL"})
	sign := h.key(m{"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"})
	agree := h.key(m{"KeySpec": "ECC_NIST_P256", "KeyUsage": "KEY_AGREEMENT"})
	mac := h.key(m{"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"})
	h.query(h.admin, "iam", "CreateUser", "UserName", "alice")
	probe := h.newUser(h.admin, "probe", "")
	blob := h.must(h.admin, "Encrypt", m{"KeyId": data, "Plaintext": "eA==", "EncryptionContext": context}).text("CiphertextBlob")
	tags := []m{{"TagKey": "env", "TagValue": "prod"}}
	grant := m{"KeyId": data, "GranteePrincipal": userARN("alice"), "RetiringPrincipal": userARN("alice"), "Operations": []string{"Decrypt"},
		"Constraints": m{"EncryptionContextSubset": context}}
	for _, c := range []struct {
		operation, condition string
		in                   m
	}{
		{"CreateKey", `{"StringEquals":{"kms:KeySpec":"RSA_2048","kms:KeyUsage":"SIGN_VERIFY","kms:KeyOrigin":"AWS_KMS"},"Bool":{"kms:MultiRegion":"false","kms:BypassPolicyLockoutSafetyCheck":"false"}}`, m{"KeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY"}},
		{"CreateKey", `{"StringEquals":{"aws:RequestTag/env":"prod","kms:CallerAccount":"` + testAccount + `"},"ForAllValues:StringEquals":{"aws:TagKeys":"env"}}`, m{"Tags": tags}},
		{"Encrypt", `{"StringEquals":{"kms:EncryptionContext:team":"red","kms:EncryptionAlgorithm":"SYMMETRIC_DEFAULT","kms:RequestAlias":"alias/data"},"ForAnyValue:StringEquals":{"kms:ResourceAliases":"alias/data"}}`, m{"KeyId": "alias/data", "Plaintext": "eA==", "EncryptionContext": context}},
		{"Decrypt", `{"StringEquals":{"kms:EncryptionContext:team":"red","kms:EncryptionAlgorithm":"SYMMETRIC_DEFAULT"},"Null":{"kms:ViaService":"true"}}`, m{"CiphertextBlob": blob, "EncryptionContext": context}},
		{"GenerateDataKey", `{"ForAllValues:StringEquals":{"kms:EncryptionContextKeys":"team"},"StringEquals":{"kms:EncryptionContext:team":"red"}}`, m{"KeyId": data, "KeySpec": "AES_256", "EncryptionContext": context}},
		{"GenerateDataKeyPair", `{"StringEquals":{"kms:DataKeyPairSpec":"ECC_NIST_P256"}}`, m{"KeyId": data, "KeyPairSpec": "ECC_NIST_P256"}},
		{"ReEncrypt", `{"Bool":{"kms:ReEncryptOnSameKey":"true"}}`, m{"CiphertextBlob": blob, "SourceEncryptionContext": context, "DestinationKeyId": data}},
		{"Sign", `{"StringEquals":{"kms:SigningAlgorithm":"ECDSA_SHA_256","kms:MessageType":"RAW"}}`, m{"KeyId": sign, "Message": "eA==", "SigningAlgorithm": "ECDSA_SHA_256"}},
		{"GenerateMac", `{"StringEquals":{"kms:MacAlgorithm":"HMAC_SHA_256"}}`, m{"KeyId": mac, "Message": "eA==", "MacAlgorithm": "HMAC_SHA_256"}},
		{"CreateGrant", `{"StringEquals":{"kms:GranteePrincipal":"` + userARN("alice") + `","kms:RetiringPrincipal":"` + userARN("alice") + `","kms:GrantConstraintType":"EncryptionContextSubset","kms:EncryptionContext:team":"red"},"ForAllValues:StringEquals":{"kms:GrantOperations":["Decrypt"]},"Bool":{"kms:GrantIsForAWSResource":"false"}}`, grant},
		{"EnableKeyRotation", `{"NumericLessThan":{"kms:RotationPeriodInDays":"200"}}`, m{"KeyId": data, "RotationPeriodInDays": 100}},
		{"ScheduleKeyDeletion", `{"NumericGreaterThanEquals":{"kms:ScheduleKeyDeletionPendingWindowInDays":"30"}}`, m{"KeyId": agree}},
		{"DisableKey", `{"NumericGreaterThanEquals":{"kms:TrailingDaysWithoutKeyUsage":"0"}}`, m{"KeyId": mac}},
		{"GetParametersForImport", `{"StringEquals":{"kms:WrappingAlgorithm":"RSAES_OAEP_SHA_256","kms:WrappingKeySpec":"RSA_2048"}}`, m{"KeyId": from, "WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"}},
		{"TagResource", `{"StringEquals":{"aws:RequestTag/env":"prod"},"ForAllValues:StringEquals":{"aws:TagKeys":["env"]}}`, m{"KeyId": data, "Tags": tags}},
		{"UntagResource", `{"ForAllValues:StringEquals":{"aws:TagKeys":["env"]},"StringEquals":{"aws:ResourceTag/env":"prod"}}`, m{"KeyId": data, "TagKeys": []string{"env"}}},
		{"PutKeyPolicy", `{"Bool":{"kms:BypassPolicyLockoutSafetyCheck":"true"}}`, m{"KeyId": data, "BypassPolicyLockoutSafetyCheck": true,
			"Policy": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + testAccount + `"},"Action":"kms:*","Resource":"*"}]}`}},
	} {
		for _, document := range []string{negated(t, c.condition), statement("Allow", "kms:*", c.condition)} {
			h.query(h.admin, "iam", "PutUserPolicy", "UserName", "probe", "PolicyName", "own", "PolicyDocument", document)
			a := h.call(probe, c.operation, c.in)
			if denied := document != statement("Allow", "kms:*", c.condition); denied != (a.code() == "AccessDeniedException") || !denied && a.status != 200 {
				t.Errorf("%s with %s: %d %s", c.operation, document, a.status, a.body)
			}
		}
	}
}

// negated denies by the condition what is allowed otherwise.
func negated(t *testing.T, condition string) string {
	t.Helper()
	text := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*"},{"Effect":"Deny","Action":"kms:*","Resource":"*","Condition":` + condition + `}]}`
	if _, err := policy.ParseString(text, policy.Identity); err != nil {
		t.Fatal(err)
	}
	return text
}

// TestOperationsAreOfTheModel, and none is declared twice.
func TestOperationsAreOfTheModel(t *testing.T) {
	seen := map[string]bool{}
	for _, op := range ours(newHarness(t)) {
		if seen[op.Name()] {
			t.Errorf("%s is declared twice", op.Name())
		}
		seen[op.Name()] = true
	}
	if len(seen) != 46 {
		t.Errorf("%d operations", len(seen))
	}
}

// Uses of a key are records of reading, as in CloudTrail, whatever IAM calls their access level.
func TestUsesOfAKeyAreRecordedAsReading(t *testing.T) {
	reading := map[string]bool{}
	for _, op := range ours(newHarness(t)) {
		reading[op.Name()] = op.ReadOnly()
		if uses := op.ReadOnly() && !op.Access().ReadOnly(); uses && op.Access() != api.Write {
			t.Errorf("%s is of level %v", op.Name(), op.Access())
		}
	}
	for name, want := range map[string]bool{
		"Encrypt": true, "Decrypt": true, "ReEncrypt": true, "GenerateDataKey": true, "GenerateDataKeyPairWithoutPlaintext": true, "Sign": true, "Verify": true,
		"GenerateMac": true, "GenerateRandom": true, "DescribeKey": true, "ListKeys": true,
		"CreateKey": false, "PutKeyPolicy": false, "CreateGrant": false, "ScheduleKeyDeletion": false, "ImportKeyMaterial": false,
	} {
		if got, ok := reading[name]; !ok || got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
