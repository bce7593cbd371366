// Package policy is the IAM policy language: it parses, validates, evaluates and explains policy
// documents as AWS does. It is pure (no I/O, standard library only) and may be imported by anyone.
//
// A Document is parsed and compiled once; Evaluate decides one Request against the documents that
// apply to it and allocates nothing on the allow path; Explain answers the same question with
// every layer, statement and condition that took part. Public is AWS's verdict on a resource's policy;
// Reach and Diff prove who outside a zone of trust gains what by it, and by a change of it.
package policy

// PrincipalType is the kind of caller, with the text of aws:PrincipalType.
type PrincipalType uint8

// The kinds of caller. The zero value is nobody: it is allowed nothing.
const (
	Nobody PrincipalType = iota
	Anonymous
	RootUser
	IAMUser
	AssumedRole
	FederatedUser
	Service
	// WebIdentity shows a token of an identity provider and asks for a role: ARN is the
	// provider's. Only role trust policies know it.
	WebIdentity
)

// String is the text of aws:PrincipalType; "" for nobody, services and web identities, which have none.
func (t PrincipalType) String() string {
	switch t {
	case Anonymous:
		return "Anonymous"
	case RootUser:
		return "Account"
	case IAMUser:
		return "User"
	case AssumedRole:
		return "AssumedRole"
	case FederatedUser:
		return "FederatedUser"
	}
	return ""
}

// Principal is who asks. The zero Principal is nobody and is allowed nothing.
type Principal struct {
	Type    PrincipalType
	Account string // 12 digits; "" for anonymous and services
	// ARN as AWS prints it: user, assumed-role session, federated-user, or …:root. For a service
	// its name, "logging.s3.amazonaws.com".
	ARN string
	// UserID is aws:userid: AIDA…, AROA…:session, the account id (root), account:name (federated).
	UserID string
	// UniqueID is the stable id that stored policies name: AIDA… of the user, AROA… of the role.
	UniqueID string
	// Name is aws:username; IAM users only.
	Name string
	// IssuerARN is the role of a role session or the user behind a federated session; it is
	// aws:PrincipalArn of role sessions. Empty for others.
	IssuerARN string
	// CanonicalID is the account's 64-digit canonical user id.
	CanonicalID string
}

// Request is one question: may Principal do Action on Resource?
type Request struct {
	Principal Principal
	Action    string // "s3:GetObject"
	Resource  string // ARN, or "*" for actions without a resource
	// ResourceAccount owns the resource; "" when the action has no resource (then the caller's).
	ResourceAccount string
	// Context gives condition keys.
	Context Context
}

// Context answers what the request's condition keys are. Keys are lower-case
// ("aws:sourceip", "s3:prefix", "aws:principaltag/team"). An implementation should not allocate.
type Context interface {
	// Lookup returns the values of key; ok is false when the key is absent from the request.
	Lookup(key string) (v Values, ok bool)
}

// Values of one condition key: One when it is single-valued, Many when multivalued.
type Values struct {
	One  string
	Many []string
	// Multi says that the key is multivalued (Many counts, possibly empty).
	Multi bool
}

// Inputs are the documents that apply to one request. Layers that do not apply are nil.
type Inputs struct {
	// Identity holds the principal's own documents: inline, attached, of its groups.
	Identity []*Document
	// Boundary is the permissions boundary.
	Boundary *Document
	// Session holds session policies; HasSession tells "given but empty" from "none given".
	Session    []*Document
	HasSession bool
	// SCPs and RCPs: one list per level of the organization, root first; each level must allow.
	// Nil: the account is in no organization (or is its management account).
	SCPs [][]*Document
	RCPs [][]*Document
	// Endpoint is the policy of the listener ("VPC endpoint") that the request came through.
	Endpoint *Document
	// Resource is the resource's own policy (bucket, key, role trust).
	Resource *Document
	// ResourceMustAllow is set for resources whose own policy decides alone (KMS keys, role
	// trust): an identity policy is not enough unless the resource policy delegates to the account.
	ResourceMustAllow bool
	// Granted is an allow that another mechanism of the resource gives this caller (an ACL grant,
	// a KMS grant). It counts as the resource policy naming the principal itself.
	Granted bool
	// Restricted is a refusal by the resource's own setting (RestrictPublicBuckets). It counts as
	// an explicit deny of the resource policy.
	Restricted bool
}

// Effect is the outcome.
type Effect uint8

// Outcomes. The zero value denies.
const (
	ImplicitDeny Effect = iota
	ExplicitDeny
	Allow
)

// Layer says which kind of document decided.
type Layer uint8

// Layers, in the words of AWS's denial messages.
const (
	LayerNone Layer = iota
	LayerIdentity
	LayerResource
	LayerBoundary
	LayerSession
	LayerSCP
	LayerRCP
	LayerEndpoint
	LayerTrust
)

// Decision is the answer. The zero Decision denies.
type Decision struct {
	Effect Effect
	// Layer that decided: of the explicit deny, of the missing allow, or that allowed.
	Layer Layer
	// Document and Statement (index) that decided; Statement is -1 when none did.
	Document  *Document
	Statement int
	// CrossAccount: caller and resource are in different accounts.
	CrossAccount bool
}

// Allowed tells whether the request may go on.
func (d Decision) Allowed() bool { return d.Effect == Allow }
