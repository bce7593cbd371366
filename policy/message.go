package policy

import "strings"

// layerWords are the layers as denials name them: without article, with it, and in explanations.
var layerWords = [...]struct{ bare, article string }{
	LayerNone:     {"identity-based policy", "an identity-based policy"},
	LayerIdentity: {"identity-based policy", "an identity-based policy"},
	LayerResource: {"resource-based policy", "a resource-based policy"},
	LayerBoundary: {"permissions boundary", "a permissions boundary"},
	LayerSession:  {"session policy", "a session policy"},
	LayerSCP:      {"service control policy", "a service control policy"},
	LayerRCP:      {"resource control policy", "a resource control policy"},
	LayerEndpoint: {"VPC endpoint policy", "a VPC endpoint policy"},
	LayerTrust:    {"role trust policy", "the role trust policy"},
}

// String names the layer in the words of AWS's denials.
func (l Layer) String() string {
	if int(l) >= len(layerWords) || l == LayerNone {
		return ""
	}
	return layerWords[l].bare
}

// AccessDenied is all that a stranger learns.
const AccessDenied = "Access Denied"

// Message is AWS's sentence for a denial: who may not do what to what, and because of which kind of
// policy. Anonymous callers and callers of other accounts learn nothing; STS repeats to them what they
// asked. A document that is named by
// its ARN is cited, as AWS does for explicit denies that are not the resource's own.
func (d Decision) Message(req *Request) string {
	p := &req.Principal
	for _, sentence := range [...]string{d.stsSentence(req), d.kmsSentence(req)} {
		if sentence != "" {
			return sentence
		}
	}
	if d.Allowed() || d.CrossAccount || !p.Type.hasAccount() {
		return AccessDenied
	}
	var b strings.Builder
	b.WriteString("User: " + p.ARN + " is not authorized to perform: " + req.Action)
	switch service, _, _ := strings.Cut(req.Action, ":"); {
	case service != "s3":
		b.WriteString(" on resource: " + req.Resource)
	case req.Resource != "*":
		b.WriteString(` on resource: "` + req.Resource + `"`)
	}
	words := layerWords[0]
	if int(d.Layer) < len(layerWords) {
		words = layerWords[d.Layer]
	}
	if d.Effect != ExplicitDeny {
		b.WriteString(" because no " + words.bare + " allows the " + req.Action + " action")
		return b.String()
	}
	b.WriteString(" with an explicit deny in " + words.article)
	if d.Document != nil && d.Layer != LayerResource && d.Layer != LayerTrust && strings.HasPrefix(d.Document.name, "arn:") {
		b.WriteString(": " + d.Document.name)
	}
	return b.String()
}

// kmsSentence is what KMS says across accounts: the same of a key that does not exist.
func (d Decision) kmsSentence(req *Request) string {
	switch p := &req.Principal; {
	case d.Allowed() || !d.CrossAccount || !p.Type.hasAccount() || !strings.HasPrefix(req.Action, "kms:"):
		return ""
	case strings.EqualFold(req.Action, "kms:Decrypt") || strings.EqualFold(req.Action, "kms:ReEncryptFrom"):
		return "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access."
	default:
		return "User: " + p.ARN + " is not authorized to perform: " + req.Action + " on resource: " + req.Resource +
			" because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access"
	}
}

// stsSentence is what STS says across accounts and to web identities.
func (d Decision) stsSentence(req *Request) string {
	switch p := &req.Principal; {
	case d.Allowed() || !strings.HasPrefix(req.Action, "sts:"):
		return ""
	case p.Type == WebIdentity:
		return "Not authorized to perform " + req.Action
	case d.CrossAccount && p.Type.hasAccount():
		return "User: " + p.ARN + " is not authorized to perform: " + req.Action + " on resource: " + req.Resource
	}
	return ""
}
