package policy

import "strings"

// principalKind is a form that a principal can be named in.
type principalKind uint8

const (
	everyone principalKind = iota
	accountPrincipal
	entityPrincipal        // a user or role by ARN
	sessionPrincipal       // one session of a role
	federatedUserPrincipal // one GetFederationToken session
	providerPrincipal      // a web identity or SAML provider
	servicePrincipal
	canonicalPrincipal
	uniqueIDPrincipal // AIDA… or AROA…: what stored policies name
)

type principal struct {
	kind    principalKind
	element string // AWS, Federated, Service, CanonicalUser, or "" for a bare "*"
	written string
	value   string
	offset  int
}

// grade says how closely an Allow names the caller: what it needs beside the statement depends on it.
type grade uint8

const (
	unnamed grade = iota
	// namedAccount delegates to the caller's account, whose own policies must allow too.
	namedAccount
	// namedIssuer names the role of the session, or the user behind the federated session:
	// boundary and session policies still limit it.
	namedIssuer
	// named is the caller itself, or everyone.
	named
)

// The elements of a Principal object.
const (
	elementAWS       = "AWS"
	elementFederated = "Federated"
	elementService   = "Service"
	elementCanonical = "CanonicalUser"
)

// parsePrincipal reads one string of a Principal element.
func parsePrincipal(element, s string) (principal, bool) {
	p := principal{element: element, written: s, value: s}
	switch element {
	case elementAWS:
		return p.aws()
	case elementFederated:
		p.kind = providerPrincipal
		return p, isProvider(s)
	case elementService:
		p.kind = servicePrincipal
		return p, isDomain(s)
	case elementCanonical:
		p.kind = canonicalPrincipal
		return p, len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
	}
	return p, false
}

func (p principal) aws() (principal, bool) {
	switch s := p.written; {
	case s == "*":
		p.kind = everyone
		return p, true
	case isAccount(s):
		p.kind = accountPrincipal
		return p, true
	case isUniqueID(s):
		p.kind = uniqueIDPrincipal
		return p, true
	}
	return p.arn()
}

func (p principal) arn() (principal, bool) {
	s := p.written
	account, resource := arnPart(s, 4), arnPart(s, 5)
	if strings.ContainsAny(s, "*?") || arnPart(s, 0) != "arn" || !isPartition(arnPart(s, 1)) || arnPart(s, 3) != "" {
		return p, false
	}
	kind, name, _ := strings.Cut(resource, "/")
	if service := arnPart(s, 2); service == "sts" {
		switch _, session, _ := strings.Cut(name, "/"); {
		case kind == "assumed-role" && session != "" && name[0] != '/':
			p.kind = sessionPrincipal
		case kind == "federated-user" && name != "":
			p.kind = federatedUserPrincipal
		default:
			return p, false
		}
		return p, isAccount(account)
	} else if service != "iam" {
		return p, false
	}
	switch {
	case resource == "root":
		p.kind, p.value = accountPrincipal, account
	case (kind == "user" || kind == "role") && name != "" && !strings.HasSuffix(name, "/"):
		p.kind = entityPrincipal
		// A content delivery network's legacy identities live in this account.
		if account == "cloudfront" && kind == "user" {
			return p, true
		}
	default:
		return p, false
	}
	return p, isAccount(account)
}

func isAccount(s string) bool { return len(s) == 12 && allDigits(s) }

func isPartition(s string) bool { return s == "aws" || s == "aws-cn" || s == "aws-us-gov" }

// isUniqueID knows the ids of users and roles: a prefix and at least twelve letters and digits.
func isUniqueID(s string) bool {
	return (strings.HasPrefix(s, "AIDA") || strings.HasPrefix(s, "AROA")) && len(s) >= 16 && len(s) <= 128 &&
		strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == ""
}

func isDomain(s string) bool {
	if !strings.Contains(s, ".") || strings.Contains(s, "..") || len(s) > 253 {
		return false
	}
	for i := range len(s) {
		c := lower(s[i])
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.' {
			return false
		}
	}
	return s[0] != '.' && s[len(s)-1] != '.'
}

func isProvider(s string) bool {
	if !strings.HasPrefix(s, "arn:") {
		return isDomain(s)
	}
	kind, name, _ := strings.Cut(arnPart(s, 5), "/")
	return isPartition(arnPart(s, 1)) && arnPart(s, 2) == "iam" && arnPart(s, 3) == "" && isAccount(arnPart(s, 4)) &&
		(kind == "oidc-provider" || kind == "saml-provider") && name != "" && !strings.ContainsAny(name, "*?")
}

// grade tells how p names the caller.
func (p *principal) grade(c *Principal) grade {
	switch p.kind {
	case everyone:
		return named
	case accountPrincipal:
		return accountGrade(c, p.value == c.Account)
	case canonicalPrincipal:
		return accountGrade(c, p.value == c.CanonicalID)
	case entityPrincipal:
		if c.Type == IAMUser && c.ARN == p.value {
			return named
		}
		return issuerGrade(c, c.IssuerARN == p.value)
	case uniqueIDPrincipal:
		if c.UniqueID != p.value {
			return unnamed
		}
		if c.Type == IAMUser {
			return named
		}
		return issuerGrade(c, true)
	}
	if p.speaks(c.Type) && c.ARN == p.value {
		return named
	}
	return unnamed
}

// speaks tells whether callers of that type are named in p's form.
func (p *principal) speaks(t PrincipalType) bool {
	switch p.kind {
	case sessionPrincipal:
		return t == AssumedRole
	case federatedUserPrincipal:
		return t == FederatedUser
	case providerPrincipal:
		return t == WebIdentity
	}
	return p.kind == servicePrincipal && t == Service
}

func accountGrade(c *Principal, same bool) grade {
	switch {
	case !same || c.Account == "":
		return unnamed
	case c.Type == RootUser:
		return named
	case c.Type == IAMUser, c.Type == AssumedRole, c.Type == FederatedUser:
		return namedAccount
	}
	return unnamed
}

func issuerGrade(c *Principal, same bool) grade {
	if same && (c.Type == AssumedRole || c.Type == FederatedUser) {
		return namedIssuer
	}
	return unnamed
}

// chain is which of the caller's identities a NotPrincipal lists.
type chain struct{ everyone, account, issuer, self bool }

func listedChain(list []principal, c *Principal) chain {
	var l chain
	for i := range list {
		switch list[i].grade(c) {
		case named:
			l.self = true
			l.everyone = l.everyone || list[i].kind == everyone
			l.account = l.account || c.Type == RootUser
		case namedIssuer:
			l.issuer = true
		case namedAccount:
			l.account = true
		}
	}
	return l
}

// exempt tells whether the list spares the caller of a Deny: only when every identity in its
// chain is listed (the leaf alone is not enough).
func (l chain) exempt(c *Principal) bool {
	if l.everyone {
		return true
	}
	switch c.Type {
	case IAMUser:
		return l.self && l.account
	case AssumedRole, FederatedUser:
		return l.self && l.issuer && l.account
	case Anonymous:
		return false
	}
	return l.self
}

// touched tells whether the list names the caller in any way, which takes it out of an Allow.
func (l chain) touched() bool { return l.everyone || l.account || l.issuer || l.self }

func (t PrincipalType) hasAccount() bool {
	return t == RootUser || t == IAMUser || t == AssumedRole || t == FederatedUser
}
