package rule

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/kura-s3/kura/internal/posture"
	"github.com/kura-s3/kura/policy"
)

var s3BucketSSLRequestsOnly = &Rule{
	ID: "S3_BUCKET_SSL_REQUESTS_ONLY", Name: "s3-bucket-ssl-requests-only",
	Finds: "The bucket's policy does not deny requests without TLS to everybody, for the bucket and all its objects.",
	Why:   "Without TLS, whoever is on the way reads the objects and can use the signatures for as long as they hold.",
	Types: []string{posture.TypeBucket}, OnChange: true,
	Check: func(in *Input) (Result, error) {
		b := in.Resource.Bucket
		if b.Policy == nil {
			return nonCompliant("The S3 bucket has no policy that denies requests without TLS."), nil
		}
		return when(!deniesPlain(b), "The S3 bucket policy does not deny requests without TLS (Deny, Principal *, Bool aws:SecureTransport false) for the bucket and its objects.")
	},
	Examples: []Example{
		{"no policy", bucketOf(0), NonCompliant, ""},
		{"denied", bucketOf(0, "policy", tlsOnly(`"*"`, `"s3:*"`, `["arn:aws:s3:::example","arn:aws:s3:::example/*"]`)), Compliant, ""},
		{"denied by one pattern", bucketOf(0, "policy", tlsOnly(`{"AWS":"*"}`, `["s3:*"]`, `"arn:aws:s3:::example*"`)), Compliant, ""},
		{"the objects only", bucketOf(0, "policy", tlsOnly(`"*"`, `"s3:*"`, `"arn:aws:s3:::example/*"`)), NonCompliant, ""},
		{"one action only", bucketOf(0, "policy", tlsOnly(`"*"`, `"s3:GetObject"`, `"arn:aws:s3:::example/*"`)), NonCompliant, ""},
		{"somebody only", bucketOf(0, "policy", tlsOnly(`{"AWS":"444455556666"}`, `"s3:*"`, `["arn:aws:s3:::example","arn:aws:s3:::example/*"]`)), NonCompliant, ""},
	},
}

func tlsOnly(principal, action, resource string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":` + principal + `,"Action":` + action +
		`,"Resource":` + resource + `,"Condition":{"Bool":{"aws:SecureTransport":"false"}}}]}`
}

// deniesPlain asks the policy engine: a request that the owner's administrator makes over plain HTTP must
// be denied by the policy, whatever it does and whoever asks, and the Deny must not hang on anything else.
func deniesPlain(b *posture.Bucket) bool {
	callers := []policy.Principal{
		{Type: policy.Anonymous},
		{Type: policy.RootUser, Account: b.Account, ARN: "arn:aws:iam::" + b.Account + ":root", UserID: b.Account, UniqueID: b.Account},
		{Type: policy.IAMUser, Account: "999999999999", ARN: "arn:aws:iam::999999999999:user/x", UserID: "AIDAX", UniqueID: "AIDAX", Name: "x"},
	}
	bucket := "arn:aws:s3:::" + b.Name
	for i := range callers {
		for _, q := range []struct{ action, resource string }{
			{"s3:GetObject", bucket + "/any/key"}, {"s3:PutObject", bucket + "/k"}, {"s3:DeleteObject", bucket + "/k"},
			{"s3:ListBucket", bucket}, {"s3:PutBucketTagging", bucket}, {"s3:GetBucketAcl", bucket},
		} {
			keys := policy.CallerKeys(&callers[i])
			keys["aws:securetransport"] = policy.Values{One: "false"}
			d := policy.Evaluate(&policy.Request{Principal: callers[i], Action: q.action, Resource: q.resource, ResourceAccount: b.Account, Context: keys},
				&policy.Inputs{Resource: b.Policy})
			if d.Effect != policy.ExplicitDeny {
				return false
			}
		}
	}
	return hasTLSStatement(b.PolicyText)
}

// hasTLSStatement: a Deny of everything, or one on another key that a plain request happens to miss, is
// not the statement that the rule wants.
func hasTLSStatement(text string) bool {
	var whole struct{ Statement json.RawMessage }
	if json.Unmarshal([]byte(text), &whole) != nil {
		return false
	}
	var statements []json.RawMessage
	if json.Unmarshal(whole.Statement, &statements) != nil {
		statements = []json.RawMessage{whole.Statement}
	}
	return slices.ContainsFunc(statements, func(raw json.RawMessage) bool {
		var s struct {
			Effect    string
			Condition map[string]map[string]json.RawMessage
		}
		if json.Unmarshal(raw, &s) != nil || s.Effect != "Deny" || len(s.Condition) != 1 {
			return false
		}
		for op, keys := range s.Condition {
			for key, values := range keys {
				if strings.EqualFold(op, "Bool") && strings.EqualFold(key, "aws:SecureTransport") && strings.Contains(strings.ToLower(string(values)), "false") {
					return true
				}
			}
		}
		return false
	})
}
