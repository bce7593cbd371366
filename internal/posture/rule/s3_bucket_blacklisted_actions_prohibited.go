package rule

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/kura-s3/kura/internal/posture"
	"github.com/kura-s3/kura/policy"
)

var s3BucketBlacklistedActionsProhibited = &Rule{
	ID: "S3_BUCKET_BLACKLISTED_ACTIONS_PROHIBITED", Name: "s3-bucket-blacklisted-actions-prohibited",
	Finds: "The bucket's policy allows one of the named actions to a principal of another account. Conditions do not count.",
	Why:   "Some actions, such as changing the policy or deleting, should never be in somebody else's hands.",
	Types: []string{posture.TypeBucket}, OnChange: true,
	Parameters: []Parameter{{Name: "blacklistedActionPattern", Required: true}},
	Check: func(in *Input) (Result, error) {
		b := in.Resource.Bucket
		if b.Policy == nil {
			return compliant(), nil
		}
		forbidden := map[string]bool{}
		for _, pattern := range list(in.Parameters["blacklistedActionPattern"]) {
			for _, action := range policy.Actions(pattern) {
				forbidden[action] = true
			}
		}
		for _, s := range allows(b.PolicyText) {
			if !s.outside(b.Account) {
				continue
			}
			for _, action := range s.actions() {
				if forbidden[action] {
					return nonCompliant("The S3 bucket policy allows %s to a principal of another account.", action), nil
				}
			}
		}
		return compliant(), nil
	},
	Examples: []Example{
		{"no policy", bucketOf(0).with("blacklistedActionPattern", "s3:*"), Compliant, ""},
		{"shared", bucketOf(0, "policy", shared).with("blacklistedActionPattern", "s3:Delete*"), NonCompliant, ""},
		{"shared, another action", bucketOf(0, "policy", publicRead).with("blacklistedActionPattern", "s3:Delete*,s3:Put*"), Compliant, ""},
	},
}

// allow is an Allow statement of a policy.
type allow struct {
	Effect                                               string
	Principal, NotPrincipal, Action, NotAction, Resource json.RawMessage
}

// allows are the Allow statements of a policy.
func allows(text string) []allow {
	var whole struct{ Statement json.RawMessage }
	if json.Unmarshal([]byte(text), &whole) != nil {
		return nil
	}
	var statements []allow
	if json.Unmarshal(whole.Statement, &statements) != nil {
		statements = make([]allow, 1)
		if json.Unmarshal(whole.Statement, &statements[0]) != nil {
			return nil
		}
	}
	return slices.DeleteFunc(statements, func(s allow) bool { return s.Effect != "Allow" })
}

// outside tells whether the statement is for anybody outside the account.
func (s *allow) outside(account string) bool {
	if s.NotPrincipal != nil || string(s.Principal) == `"*"` {
		return true
	}
	var kinds map[string]json.RawMessage
	if json.Unmarshal(s.Principal, &kinds) != nil {
		return true
	}
	for kind, raw := range kinds {
		for _, p := range posture.Texts(raw) {
			if kind != "AWS" || p != account && !strings.Contains(p, ":"+account+":") && !strings.HasPrefix(p, "AIDA") && !strings.HasPrefix(p, "AROA") {
				return true
			}
		}
	}
	return false
}

// actions are the known actions that the statement is about.
func (s *allow) actions() []string {
	if s.NotAction == nil {
		var all []string
		for _, pattern := range posture.Texts(s.Action) {
			all = append(all, policy.Actions(pattern)...)
		}
		return all
	}
	except := map[string]bool{}
	for _, pattern := range posture.Texts(s.NotAction) {
		for _, action := range policy.Actions(pattern) {
			except[action] = true
		}
	}
	return slices.DeleteFunc(policy.Actions("*"), func(action string) bool { return except[action] })
}
