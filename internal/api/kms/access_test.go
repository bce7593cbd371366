package kms_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/kms"
)

// TestAnotherAccount: a key is used across accounts when both sides allow, by its ARN; to everybody else it
// is as if it did not exist.
func TestAnotherAccount(t *testing.T) {
	h := newHarness(t)
	id, foreign := h.secondAccount()
	bob := h.newUser(foreign, "bob", "")
	key := h.key(m{"Policy": `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":{"AWS":"` + testAccount + `"},"Action":"kms:*","Resource":"*"},
		{"Effect":"Allow","Principal":{"AWS":"` + id + `"},"Action":["kms:Encrypt","kms:Decrypt","kms:CreateGrant"],"Resource":"*"}]}`})
	closed := h.key(m{})
	blob := h.must(foreign, "Encrypt", m{"KeyId": arn(key), "Plaintext": "eA=="}).text("CiphertextBlob")
	if a := h.must(foreign, "Decrypt", m{"CiphertextBlob": blob}); a.text("KeyId") != arn(key) || a.text("Plaintext") != "eA==" {
		t.Error(a.body)
	}
	const ciphertext = "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access."
	h.refused("AccessDeniedException", ciphertext, bob, "Decrypt", m{"CiphertextBlob": blob})
	h.refused("NotFoundException", "does not exist", foreign, "Encrypt", m{"KeyId": key, "Plaintext": "eA=="}) // an id is the caller's own
	// Refused, and not there at all: nobody can tell.
	other := h.must(h.admin, "Encrypt", m{"KeyId": closed, "Plaintext": "eA=="}).bytes("CiphertextBlob")
	h.refused("AccessDeniedException", ciphertext, foreign, "Decrypt", m{"CiphertextBlob": other})
	none := append([]byte{1}, make([]byte, 16)...)
	none = append(none, other[17:]...)
	h.refused("AccessDeniedException", ciphertext, foreign, "Decrypt", m{"CiphertextBlob": none})
	h.refused("AccessDeniedException", ciphertext, h.admin, "Decrypt", m{"CiphertextBlob": none})
	a := h.call(foreign, "DescribeKey", m{"KeyId": arn(closed)})
	b := h.call(foreign, "DescribeKey", m{"KeyId": arn("00000000-0000-4000-8000-000000000000")})
	if a.code() != "AccessDeniedException" || strings.ReplaceAll(b.body, "00000000-0000-4000-8000-000000000000", closed) != a.body {
		t.Errorf("%s\n%s", a.body, b.body)
	}
	// By a grant that the other account makes for its user, whose own policies must allow too.
	h.must(foreign, "CreateGrant", m{"KeyId": arn(key), "GranteePrincipal": "arn:aws:iam::" + id + ":user/bob", "Operations": []string{"Decrypt"}})
	h.refused("AccessDeniedException", ciphertext, bob, "Decrypt", m{"CiphertextBlob": blob})
	h.query(foreign, "iam", "PutUserPolicy", "UserName", "bob", "PolicyName", "own", "PolicyDocument", statement("Allow", "kms:Decrypt", ""))
	h.must(bob, "Decrypt", m{"CiphertextBlob": blob})
}

// TestRootUserNeedsTheKeyPolicyToo: an account's root user has no key that its policy does not give it.
func TestRootUserNeedsTheKeyPolicyToo(t *testing.T) {
	h := newHarness(t)
	h.newUser(h.admin, "warden", "")
	key := h.key(m{"BypassPolicyLockoutSafetyCheck": true, "Policy": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + userARN("warden") + `"},"Action":"kms:*","Resource":"*"}]}`})
	for _, u := range []user{h.root, h.admin} {
		h.refused("AccessDeniedException", "because no resource-based policy allows the kms:Encrypt action", u, "Encrypt", m{"KeyId": key, "Plaintext": "eA=="})
		h.refused("AccessDeniedException", "no resource-based policy allows", u, "PutKeyPolicy", m{"KeyId": key, "Policy": "{}"})
	}
}

func TestDenialsTellWhy(t *testing.T) {
	h := newHarness(t)
	key := h.key(m{})
	stranger := h.newUser(h.admin, "stranger", "")
	says := "User: " + userARN("stranger") + " is not authorized to perform: kms:Encrypt on resource: " + arn(key) + " "
	h.refused("AccessDeniedException", says+"because no identity-based policy allows the kms:Encrypt action", stranger, "Encrypt", m{"KeyId": key, "Plaintext": "eA=="})
	h.query(h.admin, "iam", "PutUserPolicy", "UserName", "stranger", "PolicyName", "own", "PolicyDocument", statement("Deny", "kms:*", ""))
	h.refused("AccessDeniedException", says+"with an explicit deny in an identity-based policy", stranger, "Encrypt", m{"KeyId": key, "Plaintext": "eA=="})
	// What does not exist is told to those only who might use it.
	missing := "00000000-0000-4000-8000-000000000000"
	h.refused("NotFoundException", "Key '"+arn(missing)+"' does not exist", h.admin, "Encrypt", m{"KeyId": missing, "Plaintext": "eA=="})
	h.refused("AccessDeniedException", "", stranger, "Encrypt", m{"KeyId": missing, "Plaintext": "eA=="})
}

// TestGrantsAtWork: by a grant without any policy, with its constraint, until it is retired.
func TestGrantsAtWork(t *testing.T) {
	h := newHarness(t)
	key := h.key(m{})
	alice, bob := h.newUser(h.admin, "alice", ""), h.newUser(h.admin, "bob", "")
	red := m{"team": "red"}
	blob := h.must(h.admin, "Encrypt", m{"KeyId": key, "Plaintext": "eA==", "EncryptionContext": red}).text("CiphertextBlob")
	h.refused("AccessDeniedException", "", alice, "Decrypt", m{"CiphertextBlob": blob, "EncryptionContext": red})
	g := h.must(h.admin, "CreateGrant", m{"KeyId": key, "GranteePrincipal": userARN("alice"), "RetiringPrincipal": userARN("bob"),
		"Operations": []string{"Decrypt", "CreateGrant"}, "Constraints": m{"EncryptionContextSubset": red}})
	h.must(alice, "Decrypt", m{"CiphertextBlob": blob, "EncryptionContext": red, "GrantTokens": []string{g.text("GrantToken")}})
	h.refused("AccessDeniedException", "", alice, "Encrypt", m{"KeyId": key, "Plaintext": "eA=="})
	h.refused("InvalidGrantTokenException", "", alice, "Decrypt", m{"CiphertextBlob": blob, "EncryptionContext": red, "GrantTokens": []string{"eA=="}})
	// She passes on what she has, and no more.
	h.must(alice, "CreateGrant", m{"KeyId": key, "GranteePrincipal": userARN("bob"), "Operations": []string{"Decrypt"}, "Constraints": m{"EncryptionContextEquals": red}})
	h.refused("AccessDeniedException", "", alice, "CreateGrant", m{"KeyId": key, "GranteePrincipal": userARN("bob"), "Operations": []string{"Decrypt"}})
	h.refused("AccessDeniedException", "", alice, "CreateGrant", m{"KeyId": key, "GranteePrincipal": userARN("bob"), "Operations": []string{"Encrypt"}, "Constraints": m{"EncryptionContextEquals": red}})
	h.must(bob, "Decrypt", m{"CiphertextBlob": blob, "EncryptionContext": red})
	// Who may retire it: bob, by the token or by its id; alice not.
	h.refused("AccessDeniedException", "", alice, "RetireGrant", m{"GrantToken": g.text("GrantToken")})
	h.refused("DryRunOperationException", "The request would have succeeded, but the DryRun option is set.", bob, "RetireGrant", m{"GrantToken": g.text("GrantToken"), "DryRun": true})
	h.must(bob, "RetireGrant", m{"KeyId": arn(key), "GrantId": g.text("GrantId")})
	h.refused("AccessDeniedException", "", alice, "Decrypt", m{"CiphertextBlob": blob, "EncryptionContext": red})
	h.refused("ValidationException", "", bob, "RetireGrant", m{})
}

// TestAliasesNeedBoth: the alias by an identity policy, the key by its own.
func TestAliasesNeedBoth(t *testing.T) {
	h := newHarness(t)
	key := h.key(m{})
	alias := kms.AliasARN(testRegion, testAccount, "alias/x")
	for _, resource := range []string{alias, arn(key)} {
		a := h.call(h.newUser(h.admin, "user"+resource[len(resource)-1:], `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:CreateAlias","Resource":"`+resource+`"}]}`),
			"CreateAlias", m{"AliasName": "alias/x", "TargetKeyId": key})
		if a.code() != "AccessDeniedException" {
			t.Errorf("with permission on %s alone: %s", resource, a.body)
		}
	}
	both := h.newUser(h.admin, "both", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:*Alias","Resource":["`+alias+`","`+arn(key)+`"]}]}`)
	h.must(both, "CreateAlias", m{"AliasName": "alias/x", "TargetKeyId": key})
	h.refused("ValidationException", "Aliases must refer to keys. Not aliases", both, "UpdateAlias", m{"AliasName": "alias/x", "TargetKeyId": "alias/x"})
	h.refused("AccessDeniedException", "", both, "UpdateAlias", m{"AliasName": "alias/x", "TargetKeyId": h.key(m{})})
	h.must(both, "DeleteAlias", m{"AliasName": "alias/x"})
}

// TestBadInput is refused in AWS's codes.
func TestBadInput(t *testing.T) {
	h := newHarness(t)
	key := h.key(m{})
	external := h.key(m{"Origin": "EXTERNAL"})
	long := base64.StdEncoding.EncodeToString(make([]byte, 6145))
	for _, c := range []struct {
		code, words, operation string
		in                     m
	}{
		{"ValidationException", "keyId", "DescribeKey", m{}},
		{"NotFoundException", "Invalid keyId 'nope'", "DescribeKey", m{"KeyId": "nope"}},
		{"NotFoundException", "Invalid arn eu-west-1", "DescribeKey", m{"KeyId": "arn:aws:kms:eu-west-1:" + testAccount + ":key/" + key}},
		{"InvalidArnException", "", "DescribeKey", m{"KeyId": "arn:aws:s3:::b"}},
		{"ValidationException", "specify either number of bytes or key spec", "GenerateDataKey", m{"KeyId": key}},
		{"ValidationException", "specify either", "GenerateDataKey", m{"KeyId": key, "KeySpec": "AES_256", "NumberOfBytes": 32}},
		{"ValidationException", "numberOfBytes", "GenerateDataKey", m{"KeyId": key, "NumberOfBytes": 1025}},
		{"ValidationException", "NumberOfBytes is required.", "GenerateRandom", m{}},
		{"ValidationException", "plaintext", "Encrypt", m{"KeyId": key, "Plaintext": base64.StdEncoding.EncodeToString(make([]byte, 4097))}},
		{"ValidationException", "differ in case", "Encrypt", m{"KeyId": key, "Plaintext": "eA==", "EncryptionContext": m{"a": "b", "A": "b"}}},
		{"InvalidCiphertextException", "", "Decrypt", m{"CiphertextBlob": "eA=="}},
		{"ValidationException", "", "Decrypt", m{"CiphertextBlob": long}},
		{"InvalidCiphertextException", "", "Decrypt", m{"CiphertextBlob": "eA==", "KeyId": key}},
		{"ValidationException", "KeyId", "Decrypt", m{"CiphertextBlob": "eA==", "EncryptionAlgorithm": "RSAES_OAEP_SHA_256"}},
		{"ValidationException", "keySpec", "CreateKey", m{"KeySpec": "ROT13"}},
		{"ValidationException", "You must specify a KeyUsage", "CreateKey", m{"KeySpec": "HMAC_256"}},
		{"ValidationException", "not compatible", "CreateKey", m{"KeySpec": "RSA_2048", "KeyUsage": "KEY_AGREEMENT"}},
		{"UnsupportedOperationException", "", "CreateKey", m{"KeySpec": "ECC_SECG_P256K1", "KeyUsage": "SIGN_VERIFY"}},
		{"UnsupportedOperationException", "", "CreateKey", m{"Origin": "AWS_CLOUDHSM"}},
		{"ValidationException", "", "CreateKey", m{"KeySpec": "RSA_2048", "CustomerMasterKeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY"}},
		{"TagException", "Tags beginning with aws: are reserved", "CreateKey", m{"Tags": []m{{"TagKey": "aws:x", "TagValue": ""}}}},
		{"TagException", "Duplicate tag keys", "TagResource", m{"KeyId": key, "Tags": []m{{"TagKey": "x", "TagValue": ""}, {"TagKey": "x", "TagValue": ""}}}},
		{"MalformedPolicyDocumentException", "", "CreateKey", m{"Policy": "x"}},
		{"NotFoundException", "No such policy exists", "GetKeyPolicy", m{"KeyId": key, "PolicyName": "other"}},
		{"NotAuthorizedException", "", "CreateAlias", m{"AliasName": "alias/aws/x", "TargetKeyId": key}},
		{"ValidationException", `Alias must start with the prefix "alias/"`, "CreateAlias", m{"AliasName": "x", "TargetKeyId": key}},
		{"InvalidMarkerException", "", "ListKeys", m{"Marker": "%%%"}},
		{"ValidationException", "limit", "ListKeys", m{"Limit": 0}},
		{"ValidationException", "PendingWindowInDays", "ScheduleKeyDeletion", m{"KeyId": key, "PendingWindowInDays": 6}},
		{"KMSInvalidStateException", "is pending import.", "Encrypt", m{"KeyId": external, "Plaintext": "eA=="}},
		{"UnsupportedOperationException", "origin is EXTERNAL which is not valid for this operation.", "RotateKeyOnDemand", m{"KeyId": external}},
		{"UnsupportedOperationException", "origin is AWS_KMS which is not valid for this operation.", "GetParametersForImport", m{"KeyId": key, "WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"}},
		{"InvalidImportTokenException", "", "ImportKeyMaterial", m{"KeyId": external, "ImportToken": "eA==", "EncryptedKeyMaterial": "eA==", "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}},
		{"ValidationException", "A validTo date must be set", "ImportKeyMaterial", m{"KeyId": external, "ImportToken": "eA==", "EncryptedKeyMaterial": "eA=="}},
		{"InvalidGrantIdException", "", "ListGrants", m{"KeyId": key, "GrantId": strings.Repeat("a", 64)}},
		{"InvalidArnException", "", "ListRetirableGrants", m{"RetiringPrincipal": "arn:aws:iam::999999999999:user/x"}},
		{"InvalidKeyUsageException", "key usage is ENCRYPT_DECRYPT which is not valid for Sign.", "Sign", m{"KeyId": key, "Message": "eA==", "SigningAlgorithm": "ECDSA_SHA_256"}},
		{"DryRunOperationException", "The request would have succeeded, but the DryRun option is set.", "Encrypt", m{"KeyId": key, "Plaintext": "eA==", "DryRun": true}},
	} {
		h.refused(c.code, c.words, h.admin, c.operation, c.in)
	}
	for _, body := range []string{"", "{", "[]", `{"KeyId":7}`, `{"KeyId":{}}`, `null`, `{"CiphertextBlob":"not base64"}`, strings.Repeat("[", 100000)} {
		if a := h.raw(h.admin, "Decrypt", body); a.status != 400 || a.code() == "" {
			t.Errorf("%.20q: %d %s", body, a.status, a.body)
		}
	}
	for _, operation := range []string{"ReplicateKey", "UpdatePrimaryRegion", "CreateCustomKeyStore"} {
		if a := h.call(h.admin, operation, m{"KeyId": key}); a.status != 501 {
			t.Errorf("%s: %d %s", operation, a.status, a.body)
		}
	}
	if a := h.call(h.admin, "CreateKey", m{"MultiRegion": true}); a.status != 501 {
		t.Errorf("a multi-region key: %d %s", a.status, a.body)
	}
}

func TestPages(t *testing.T) {
	h := newHarness(t)
	want := map[string]bool{}
	for range 7 {
		want[h.key(m{})] = true
	}
	in, pages := m{"Limit": 3}, 0
	for {
		a := h.must(h.admin, "ListKeys", in).decoded()
		pages++
		for _, k := range a["Keys"].([]any) {
			delete(want, k.(m)["KeyId"].(string))
		}
		if a["Truncated"] != true {
			break
		}
		in["Marker"] = a["NextMarker"]
	}
	if len(want) != 0 || pages != 3 {
		t.Errorf("%d pages, %d keys are missing", pages, len(want))
	}
}

// TestServiceKeyByItsAlias: whoever looks for alias/aws/s3 finds it, and changes nothing about it.
func TestServiceKeyByItsAlias(t *testing.T) {
	h := newHarness(t)
	stranger := h.newUser(h.admin, "stranger", "")
	h.refused("AccessDeniedException", "", stranger, "DescribeKey", m{"KeyId": "alias/aws/s3"})
	a := h.must(h.admin, "DescribeKey", m{"KeyId": "alias/aws/s3"})
	if a.text("KeyMetadata", "KeyManager") != "AWS" || a.text("KeyMetadata", "Description") != "Default key that protects my S3 objects when no other key is defined" {
		t.Error(a.body)
	}
	id := a.text("KeyMetadata", "KeyId")
	for operation, in := range map[string]m{
		"ScheduleKeyDeletion": {}, "DisableKey": {}, "EnableKeyRotation": {}, "TagResource": {"Tags": []m{{"TagKey": "a", "TagValue": "b"}}},
		"PutKeyPolicy": {"Policy": "{}"}, "Encrypt": {"Plaintext": "eA=="}, "GenerateDataKey": {"KeySpec": "AES_256"},
		"CreateGrant": {"GranteePrincipal": userARN("stranger"), "Operations": []string{"Decrypt"}}, "UpdateKeyDescription": {"Description": "x"},
		"CreateAlias": {"AliasName": "alias/mine", "TargetKeyId": id},
	} {
		if operation != "CreateAlias" {
			in["KeyId"] = id
		}
		for _, u := range []user{h.admin, h.root} {
			h.refused("AccessDeniedException", "", u, operation, in)
		}
	}
	h.must(h.root, "GetKeyPolicy", m{"KeyId": id})
	h.must(h.root, "ListGrants", m{"KeyId": id})
}

// TestDeletionIsToTheSecond, whether or not the key was erased yet.
func TestDeletionIsToTheSecond(t *testing.T) {
	h := newHarness(t)
	key := h.key(m{})
	a := h.must(h.admin, "ScheduleKeyDeletion", m{"KeyId": key, "PendingWindowInDays": 7})
	if a.text("KeyState") != "PendingDeletion" || a.decoded()["PendingWindowInDays"] != 7.0 || a.text("KeyId") != arn(key) {
		t.Error(a.body)
	}
	h.now = h.now.Add(7*24*time.Hour - time.Second)
	h.must(h.admin, "DescribeKey", m{"KeyId": key})
	h.now = h.now.Add(time.Second)
	h.refused("NotFoundException", "does not exist", h.admin, "DescribeKey", m{"KeyId": key})
}
