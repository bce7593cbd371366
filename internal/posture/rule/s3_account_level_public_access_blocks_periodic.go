package rule

import "github.com/kura-s3/kura/internal/posture"

var s3AccountLevelPublicAccessBlocksPeriodic = &Rule{
	ID: "S3_ACCOUNT_LEVEL_PUBLIC_ACCESS_BLOCKS_PERIODIC", Name: "s3-account-level-public-access-blocks-periodic",
	Finds: "A setting of the account's Block Public Access is not as the rule's parameter demands. Never set is off.",
	Why:   "As s3-account-level-public-access-blocks, and it also finds the account on which nobody ever set anything.",
	Types: []string{posture.TypeAccount}, Periodic: true, ReadsBlock: true,
	Parameters: blockParameters,
	Check:      func(in *Input) (Result, error) { return accountBlock(in, in.Block.PublicAccessBlock) },
	Examples: []Example{
		{"never set", accountOf(posture.Entity{}), NonCompliant, ""},
		{"all on", func() Input {
			in := accountOf(posture.Entity{})
			in.Block = posture.Block{PublicAccessBlock: allOn, Set: true}
			return in
		}(), Compliant, ""},
	},
}
