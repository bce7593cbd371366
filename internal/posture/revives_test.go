package posture

import (
	"testing"

	"github.com/kura-s3/kura/policy"
)

func TestRevives(t *testing.T) {
	with := func(ownership string, ignore bool) *Resource {
		return &Resource{Bucket: &Bucket{Ownership: ownership, Block: policy.PublicAccessBlock{IgnorePublicACLs: ignore}}}
	}
	account := Block{PublicAccessBlock: policy.PublicAccessBlock{IgnorePublicACLs: true}, Set: true}
	for _, c := range []struct {
		name          string
		before, after *Resource
		was, is       Block
		want          bool
	}{
		{"nothing changes", with("ObjectWriter", false), with("ObjectWriter", false), Block{}, Block{}, false},
		{"ACLs are switched on", with("BucketOwnerEnforced", true), with("ObjectWriter", true), Block{}, Block{}, true},
		{"ACLs are switched off", with("ObjectWriter", false), with("BucketOwnerEnforced", false), Block{}, Block{}, false},
		{"the ownership is deleted", with("BucketOwnerEnforced", true), with("deleted", true), Block{}, Block{}, true},
		{"public lists count", with("ObjectWriter", true), with("ObjectWriter", false), Block{}, Block{}, true},
		{"but there are no ACLs", with("BucketOwnerEnforced", true), with("BucketOwnerEnforced", false), Block{}, Block{}, false},
		{"but the account ignores them", with("ObjectWriter", true), with("ObjectWriter", false), account, account, false},
		{"the account does not any more", with("ObjectWriter", false), with("ObjectWriter", false), account, Block{}, true},
		{"public lists count no more", with("ObjectWriter", false), with("ObjectWriter", true), Block{}, Block{}, false},
	} {
		if got := Revives(c.before, c.after, c.was, c.is); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
