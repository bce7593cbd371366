package policy

// Kind says where a document is used. It decides which elements the document must and may not have
// and how it is measured.
type Kind uint8

// The kinds of document.
const (
	// Identity is a managed or inline policy of a user, group or role.
	Identity Kind = iota + 1
	// Boundary is a permissions boundary.
	Boundary
	// Session is a session policy given to AssumeRole or GetFederationToken.
	Session
	// SCP is a service control policy.
	SCP
	// RCP is a resource control policy.
	RCP
	// Bucket is an S3 bucket policy.
	Bucket
	// Trust is a role's trust policy.
	Trust
	// KeyPolicy is the policy of a KMS key.
	KeyPolicy
	// Resource is the policy of any other resource, or of an endpoint.
	Resource
)

// Quotas on the size of one document, in the unit of Document.Size. The sums over the inline
// policies of one user, group or role are the last three.
const (
	MaxSource          = 262144 // bytes of any document, however it is used
	MaxBucketPolicy    = 20480
	MaxManagedPolicy   = 6144
	MaxTrustPolicy     = 2048
	MaxTrustPolicyHard = 4096
	MaxSessionPolicy   = 2048
	MaxKeyPolicy       = 32768
	MaxControlPolicy   = 5120
	MaxInlineUser      = 2048
	MaxInlineGroup     = 5120
	MaxInlineRole      = 10240
)

// rules of one kind.
type kindRules struct {
	name string
	// principal: the statement must (or else must not) say whom it is about.
	principal bool
	// resource: the statement must (or else must not) say what it is about.
	resource bool
	// id: the document may have an Id.
	id bool
	// latin: IAM's character set, and Sids of letters and digits that occur once.
	latin bool
	// max bytes of the normalized document; 0 leaves it to the caller, for whom it depends.
	max int
	// layer that a decision by such a document is reported as.
	layer Layer
}

var kinds = [...]kindRules{
	0:         {name: "unknown"},
	Identity:  {name: "identity policy", resource: true, latin: true, layer: LayerIdentity},
	Boundary:  {name: "permissions boundary", resource: true, latin: true, layer: LayerBoundary},
	Session:   {name: "session policy", resource: true, latin: true, layer: LayerSession},
	SCP:       {name: "service control policy", resource: true, latin: true, layer: LayerSCP},
	RCP:       {name: "resource control policy", principal: true, resource: true, latin: true, layer: LayerRCP},
	Bucket:    {name: "bucket policy", principal: true, resource: true, id: true, max: MaxBucketPolicy, layer: LayerResource},
	Trust:     {name: "role trust policy", principal: true, latin: true, id: true, layer: LayerTrust},
	KeyPolicy: {name: "key policy", principal: true, resource: true, id: true, max: MaxKeyPolicy, layer: LayerResource},
	Resource:  {name: "resource policy", principal: true, resource: true, id: true, layer: LayerResource},
}

func (k Kind) rules() *kindRules {
	if int(k) >= len(kinds) {
		return &kinds[0]
	}
	return &kinds[k]
}

// article is the name with its article.
func (r *kindRules) article() string {
	if r.name == "identity policy" {
		return "an " + r.name
	}
	return "a " + r.name
}

// String names the kind in words.
func (k Kind) String() string { return k.rules().name }

// identityBased tells the kinds that are attached to a principal or an account: they name no
// principal, and IAM's rules for resource ARNs hold.
func (k Kind) identityBased() bool { return k == Identity || k == Boundary || k == Session }
