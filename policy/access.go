package policy

// PublicAccessBlock is the four settings of Block Public Access.
type PublicAccessBlock struct {
	BlockPublicACLs       bool
	IgnorePublicACLs      bool
	BlockPublicPolicy     bool
	RestrictPublicBuckets bool
}

// Or combines levels (bucket, account): a setting holds when any level has it.
func (b PublicAccessBlock) Or(other PublicAccessBlock) PublicAccessBlock {
	return PublicAccessBlock{
		BlockPublicACLs:       b.BlockPublicACLs || other.BlockPublicACLs,
		IgnorePublicACLs:      b.IgnorePublicACLs || other.IgnorePublicACLs,
		BlockPublicPolicy:     b.BlockPublicPolicy || other.BlockPublicPolicy,
		RestrictPublicBuckets: b.RestrictPublicBuckets || other.RestrictPublicBuckets,
	}
}

// Exposure is what a bucket's label depends on.
type Exposure struct {
	// PolicyPublic is the verdict on the bucket policy; false without one.
	PolicyPublic bool
	// ACLsDisabled: object ownership is BucketOwnerEnforced, so no ACL gives anything.
	ACLsDisabled bool
	// BucketACLPublic: the bucket's ACL grants to everyone, or to everyone with an AWS account.
	BucketACLPublic bool
	// ObjectACLsPrivate: it is known that no object has a public ACL. When BlockPublicACLs then
	// keeps new ones away, no object can be public.
	ObjectACLsPrivate bool
	// Block is the effective setting: that of all levels together.
	Block PublicAccessBlock
}

// Label is what the console says of a bucket, in AWS's words.
type Label string

// The console's labels.
const (
	LabelPublic             Label = "Public"
	LabelObjectsCanBePublic Label = "Objects can be public"
	LabelNotPublic          Label = "Bucket and objects not public"
	LabelOnlyAuthorized     Label = "Only authorized users of this account"
)

// Access is the label of a bucket. RestrictPublicBuckets refuses strangers whatever lets them in,
// so it comes before the ACLs.
func Access(x Exposure) Label {
	acls := !x.ACLsDisabled && !x.Block.IgnorePublicACLs
	switch {
	case x.PolicyPublic && x.Block.RestrictPublicBuckets:
		return LabelOnlyAuthorized
	case x.PolicyPublic, acls && x.BucketACLPublic:
		return LabelPublic
	case acls && !(x.Block.BlockPublicACLs && x.ObjectACLsPrivate):
		return LabelObjectsCanBePublic
	}
	return LabelNotPublic
}
