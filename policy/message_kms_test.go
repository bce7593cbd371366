package policy

import (
	"strings"
	"testing"
)

// TestKMSSentencesAcrossAccounts: a key that refuses a stranger and one that does not exist sound the same.
func TestKMSSentencesAcrossAccounts(t *testing.T) {
	key := "arn:aws:kms:us-east-1:111122223333:key/1"
	for action, want := range map[string]string{
		"kms:Decrypt":       "The ciphertext refers to a customer master key that does not exist",
		"kms:ReEncryptFrom": "The ciphertext refers to a customer master key that does not exist",
		"kms:Encrypt":       "because the resource does not exist in this Region, no resource-based policies allow access",
	} {
		req := &Request{Action: action, Resource: key, ResourceAccount: "111122223333", Principal: Principal{
			Type: IAMUser, Account: "444455556666", ARN: "arn:aws:iam::444455556666:user/u",
		}}
		d := Evaluate(req, &Inputs{ResourceMustAllow: true})
		if d.Allowed() || !strings.Contains(d.Message(req), want) {
			t.Errorf("%s: %q", action, d.Message(req))
		}
	}
}
