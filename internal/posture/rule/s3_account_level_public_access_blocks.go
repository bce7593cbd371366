package rule

import (
	"fmt"
	"strings"

	"github.com/kura-s3/kura/internal/posture"
	"github.com/kura-s3/kura/policy"
)

var s3AccountLevelPublicAccessBlocks = &Rule{
	ID: "S3_ACCOUNT_LEVEL_PUBLIC_ACCESS_BLOCKS", Name: "s3-account-level-public-access-blocks",
	Finds: "A setting of the account's Block Public Access is not as the rule's parameter demands.",
	Why:   "The account's block holds for all its buckets, whatever their own settings say: it is the last line.",
	Types: []string{posture.TypeBlock}, OnChange: true,
	Parameters: blockParameters,
	Check: func(in *Input) (Result, error) {
		if !in.Resource.Block.Set {
			return Result{Compliance: InsufficientData}, nil
		}
		return accountBlock(in, in.Resource.Block.PublicAccessBlock)
	},
	Examples: []Example{
		{"all on", blockOf(posture.Block{PublicAccessBlock: allOn, Set: true}), Compliant, ""},
		{"all off", blockOf(posture.Block{Set: true}), NonCompliant, ""},
		{"off as demanded", blockOf(posture.Block{Set: true}).with("BlockPublicAcls", "False", "IgnorePublicAcls", "False", "BlockPublicPolicy", "False", "RestrictPublicBuckets", "False"), Compliant, ""},
		{"never set", blockOf(posture.Block{}), InsufficientData, ""},
	},
}

func blockOf(b posture.Block) Input {
	return Input{Resource: &posture.Resource{Type: posture.TypeBlock, ID: exampleAccount, Account: exampleAccount, Block: &b}, Block: b}
}

var blockParameters = []Parameter{
	{Name: "IgnorePublicAcls", Default: "True", Check: boolean}, {Name: "BlockPublicPolicy", Default: "True", Check: boolean},
	{Name: "BlockPublicAcls", Default: "True", Check: boolean}, {Name: "RestrictPublicBuckets", Default: "True", Check: boolean},
}

func accountBlock(in *Input, b policy.PublicAccessBlock) (Result, error) {
	var wrong []string
	for _, s := range blockSettings {
		want := strings.EqualFold(in.Parameters[s.parameter], "true")
		if s.get(b) != want {
			wrong = append(wrong, fmt.Sprintf("%s is %t", s.name, !want))
		}
	}
	return when(len(wrong) > 0, "The account's Block Public Access is not as demanded: "+strings.Join(wrong, ", ")+".")
}
