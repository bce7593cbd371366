package rule

import "github.com/kura-s3/kura/internal/posture"

var cmkBackingKeyRotationEnabled = &Rule{
	ID: "CMK_BACKING_KEY_ROTATION_ENABLED", Name: "cmk-backing-key-rotation-enabled",
	Finds: "Automatic rotation of the customer managed key is off.",
	Why:   "Rotation limits how much is encrypted under the same key material.",
	Types: []string{posture.TypeKey}, Periodic: true, Needs: posture.TypeKey,
	Check: func(in *Input) (Result, error) {
		k := in.Resource.Key
		if k.Manager != "CUSTOMER" || k.State != "Enabled" || k.Spec != "SYMMETRIC_DEFAULT" || k.Origin != "AWS_KMS" {
			return Result{Compliance: NotApplicable}, nil
		}
		return when(!k.Rotation, "Automatic rotation of the KMS key is not enabled.")
	},
	Examples: []Example{
		{"off", keyOf(posture.Key{Manager: "CUSTOMER", State: "Enabled", Spec: "SYMMETRIC_DEFAULT", Origin: "AWS_KMS"}), NonCompliant, ""},
		{"on", keyOf(posture.Key{Manager: "CUSTOMER", State: "Enabled", Spec: "SYMMETRIC_DEFAULT", Origin: "AWS_KMS", Rotation: true}), Compliant, ""},
		{"not to be rotated", keyOf(posture.Key{Manager: "CUSTOMER", State: "Enabled", Spec: "RSA_2048", Origin: "AWS_KMS"}), NotApplicable, ""},
	},
}
