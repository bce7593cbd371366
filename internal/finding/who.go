package finding

import (
	"strings"

	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/policy"
)

// Who is who made a call, and from where.
type Who struct {
	Principal                policy.Principal
	AccessKey, IP, UserAgent string
	// Account that the finding is for.
	Account string
}

// WhoCalled is who made a request that the event tells of.
func WhoCalled(ev *audit.Event, account string) Who {
	w := Who{Principal: ev.Principal, AccessKey: ev.AccessKey, UserAgent: ev.UserAgent, Account: account}
	if ev.Peer.IsValid() {
		w.IP = ev.Peer.Unmap().String()
	}
	return w
}

// userTypes are the types of principals, as findings name them.
var userTypes = map[policy.PrincipalType]string{
	policy.RootUser: "Root", policy.IAMUser: "IAMUser", policy.AssumedRole: "AssumedRole", policy.FederatedUser: "FederatedUser",
	policy.Service: "AWSService", policy.WebIdentity: "WebIdentityUser", policy.Anonymous: "AWSAccount",
}

// Name is what a text calls somebody.
func (w *Who) Name() string {
	switch {
	case w.Principal.Type == policy.Anonymous || w.Principal.ARN == "":
		if w.IP == "" {
			return "Somebody anonymous"
		}
		return "Somebody anonymous at " + w.IP
	case w.IP == "":
		return Clean(w.Principal.ARN)
	}
	return Clean(w.Principal.ARN) + " at " + w.IP
}

// Details of the credentials.
func (w *Who) Details() *AccessKeyDetails {
	p := &w.Principal
	name := p.Name
	switch {
	case p.IssuerARN != "":
		name = p.IssuerARN[strings.LastIndexByte(p.IssuerARN, '/')+1:]
	case p.Type == policy.RootUser:
		name = "Root"
	case p.Type == policy.Anonymous:
		name = "ANONYMOUS_PRINCIPAL"
	}
	id := p.UserID
	if p.Type == policy.Anonymous {
		id = "ANONYMOUS_PRINCIPAL"
	}
	return &AccessKeyDetails{AccessKeyID: w.AccessKey, PrincipalID: id, UserName: Clean(name), UserType: userTypes[p.Type]}
}

// Call is the call that was made. Code is the error that answered it, "" for none.
func (w *Who) Call(service, operation, code string) *APICall {
	c := &APICall{
		API: operation, ServiceName: service, CallerType: "Remote IP", UserAgent: Clean(w.UserAgent), ErrorCode: code,
		AffectedResources: map[string]string{},
	}
	switch {
	case w.IP == "":
		c.CallerType = "AWS Service"
	case strings.Contains(w.IP, ":"):
		c.RemoteIPDetails = &RemoteIP{V6: w.IP}
	default:
		c.RemoteIPDetails = &RemoteIP{V4: w.IP}
	}
	if w.Principal.Account != "" {
		c.RemoteAccountDetails = &RemoteAccount{w.Principal.Account, w.Principal.Account == w.Account}
	}
	return c
}
