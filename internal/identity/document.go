package identity

import (
	"errors"

	"github.com/kura-s3/kura/policy"
)

// maxDocument is how long any PolicyDocument parameter may be.
const maxDocument = 131072

// parsePolicy compiles a document that a caller sent; what is wrong with it is told in IAM's words.
func parsePolicy(text string, kind policy.Kind) (*policy.Document, error) {
	if text == "" {
		return nil, violates("", "policyDocument", "Member must have length greater than or equal to 1")
	}
	if len(text) > maxDocument {
		return nil, violates("", "policyDocument", "Member must have length less than or equal to 131072")
	}
	doc, err := policy.ParseString(text, kind)
	return doc, asMalformed(err)
}

// asMalformed tells a policy's fault in IAM's words.
func asMalformed(err error) error {
	var wrong *policy.SyntaxError
	switch {
	case !errors.As(err, &wrong):
		return err
	case wrong.Code == policy.CodeTooLarge:
		return refuse(LimitExceeded, "%s", wrong.IAMMessage())
	}
	return refuse(MalformedPolicyDocument, "%s", wrong.IAMMessage())
}
