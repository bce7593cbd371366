package rule

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/kura-s3/kura/internal/posture"
)

var iamPasswordPolicy = &Rule{
	ID: "IAM_PASSWORD_POLICY", Name: "iam-password-policy",
	Finds: "The account's policy of passwords is weaker than the rule's parameters, or was never set.",
	Why:   "Short, simple and everlasting passwords are guessed.",
	Types: []string{posture.TypeAccount}, Periodic: true,
	Parameters: []Parameter{
		{Name: "RequireUppercaseCharacters", Default: "true", Check: oneOf("true", "false")},
		{Name: "RequireLowercaseCharacters", Default: "true", Check: oneOf("true", "false")},
		{Name: "RequireSymbols", Default: "true", Check: oneOf("true", "false")},
		{Name: "RequireNumbers", Default: "true", Check: oneOf("true", "false")},
		{Name: "MinimumPasswordLength", Default: "14", Check: days},
		{Name: "PasswordReusePrevention", Default: "24", Check: days},
		{Name: "MaxPasswordAge", Default: "90", Check: days},
	},
	Check: func(in *Input) (Result, error) {
		p := in.Root.PasswordPolicy
		if p == nil {
			return nonCompliant("The account has no policy of passwords."), nil
		}
		number := func(name string) int { n, _ := strconv.Atoi(in.Parameters[name]); return n }
		var weak []string
		for _, c := range []struct {
			name string
			has  bool
		}{
			{"RequireUppercaseCharacters", p.RequireUppercaseCharacters}, {"RequireLowercaseCharacters", p.RequireLowercaseCharacters},
			{"RequireSymbols", p.RequireSymbols}, {"RequireNumbers", p.RequireNumbers},
		} {
			if in.Parameters[c.name] == "true" && !c.has {
				weak = append(weak, c.name+" is off")
			}
		}
		if p.MinimumPasswordLength < number("MinimumPasswordLength") {
			weak = append(weak, fmt.Sprintf("MinimumPasswordLength is %d", p.MinimumPasswordLength))
		}
		if p.PasswordReusePrevention < number("PasswordReusePrevention") {
			weak = append(weak, fmt.Sprintf("PasswordReusePrevention is %d", p.PasswordReusePrevention))
		}
		if p.MaxPasswordAge == 0 || p.MaxPasswordAge > number("MaxPasswordAge") {
			weak = append(weak, fmt.Sprintf("MaxPasswordAge is %d", p.MaxPasswordAge))
		}
		return when(len(weak) > 0, "The account's policy of passwords is too weak: "+strings.Join(weak, ", ")+".")
	},
	Examples: []Example{
		{"never set", accountOf(posture.Entity{}), NonCompliant, ""},
		{"strong", accountOf(posture.Entity{PasswordPolicy: &posture.PasswordPolicy{
			MinimumPasswordLength: 16, RequireSymbols: true, RequireNumbers: true, RequireUppercaseCharacters: true, RequireLowercaseCharacters: true,
			MaxPasswordAge: 90, PasswordReusePrevention: 24,
		}}), Compliant, ""},
		{"short", accountOf(posture.Entity{PasswordPolicy: &posture.PasswordPolicy{
			MinimumPasswordLength: 8, RequireSymbols: true, RequireNumbers: true, RequireUppercaseCharacters: true, RequireLowercaseCharacters: true,
			MaxPasswordAge: 90, PasswordReusePrevention: 24,
		}}), NonCompliant, "The account's policy of passwords is too weak: MinimumPasswordLength is 8."},
	},
}
