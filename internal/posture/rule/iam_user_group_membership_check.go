package rule

import (
	"slices"

	"github.com/kura-s3/kura/internal/posture"
)

var iamUserGroupMembershipCheck = &Rule{
	ID: "IAM_USER_GROUP_MEMBERSHIP_CHECK", Name: "iam-user-group-membership-check",
	Finds: "The IAM user is in no group, or in none of the named ones.",
	Why:   "Users outside all groups have permissions that nobody manages.",
	Types: []string{posture.TypeUser}, OnChange: true,
	Parameters: []Parameter{{Name: "groupNames"}},
	Check: func(in *Input) (Result, error) {
		named := list(in.Parameters["groupNames"])
		for _, g := range in.Resource.Entity.Groups {
			if len(named) == 0 || slices.Contains(named, g.Name) {
				return compliant(), nil
			}
		}
		return nonCompliant("The IAM user is in no group that counts."), nil
	},
	Examples: []Example{
		{"none", entityOf(`{"Kind":"user"}`), NonCompliant, ""},
		{"one", entityOf(`{"Kind":"user","Groups":[{"Name":"g"}]}`), Compliant, ""},
		{"another one", entityOf(`{"Kind":"user","Groups":[{"Name":"g"}]}`).with("groupNames", "a,b"), NonCompliant, ""},
	},
}
