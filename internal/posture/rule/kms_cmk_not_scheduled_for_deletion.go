package rule

import "github.com/kura-s3/kura/internal/posture"

var kmsCMKNotScheduledForDeletion = &Rule{
	ID: "KMS_CMK_NOT_SCHEDULED_FOR_DELETION", Name: "kms-cmk-not-scheduled-for-deletion",
	Finds: "The customer managed key is scheduled for deletion.",
	Why:   "When it is gone, everything encrypted under it is gone with it, whoever holds the disks.",
	Types: []string{posture.TypeKey}, Periodic: true, OnChange: true, Needs: posture.TypeKey,
	Parameters: []Parameter{{Name: "kmsKeyIds"}},
	Check: func(in *Input) (Result, error) {
		k := in.Resource.Key
		if ids := list(in.Parameters["kmsKeyIds"]); len(ids) > 0 && !names(ids, k.ID, k.ARN) {
			return Result{Compliance: NotApplicable}, nil
		}
		return when(k.State == "PendingDeletion", "The KMS key is scheduled for deletion.")
	},
	Examples: []Example{
		{"in use", keyOf(posture.Key{State: "Enabled"}), Compliant, ""},
		{"scheduled", keyOf(posture.Key{State: "PendingDeletion"}), NonCompliant, "The KMS key is scheduled for deletion."},
		{"not named", keyOf(posture.Key{ID: "a", State: "PendingDeletion"}).with("kmsKeyIds", "b,c"), NotApplicable, ""},
	},
}

func names(list []string, values ...string) bool {
	for _, item := range list {
		for _, v := range values {
			if item == v {
				return true
			}
		}
	}
	return false
}
