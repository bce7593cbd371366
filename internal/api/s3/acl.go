package s3

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/s3wire"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/object"
	"github.com/kura-s3/kura/policy"
)

// permission is what an entry of an access control list gives, as it is stored and told.
type permission string

const (
	permRead     permission = "READ"
	permWrite    permission = "WRITE"
	permReadACP  permission = "READ_ACP"
	permWriteACP permission = "WRITE_ACP"
	permFull     permission = "FULL_CONTROL"
)

var permissions = map[permission]bool{permRead: true, permWrite: true, permReadACP: true, permWriteACP: true, permFull: true}

// The predefined groups.
const (
	allUsers           = "http://acs.amazonaws.com/groups/global/AllUsers"
	authenticatedUsers = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"
	logDelivery        = "http://acs.amazonaws.com/groups/s3/LogDelivery"
)

// groups tell which callers belong to a predefined group.
var groups = map[string]func(*policy.Principal) bool{
	allUsers: func(p *policy.Principal) bool { return p.Type != policy.Nobody && p.Type != policy.Service },
	authenticatedUsers: func(p *policy.Principal) bool {
		return p.Type != policy.Nobody && p.Type != policy.Service && p.Type != policy.Anonymous
	},
	logDelivery: func(p *policy.Principal) bool {
		return p.Type == policy.Service && p.ARN == "logging.s3.amazonaws.com"
	},
}

// execReader is the canonical user id of the service that aws-exec-read lets read.
const execReader = "6aa5a366c34c1cbe25dc49211496e913e0351eb0e8c37aa3477e40942ec6b97c"

const maxGrants = 100

// aclGrant is one entry: ID of an account or URI of a group.
type aclGrant struct {
	ID         string     `json:",omitempty"`
	URI        string     `json:",omitempty"`
	Permission permission `json:"P"`
}

func (g *aclGrant) public() bool { return g.URI == allUsers || g.URI == authenticatedUsers }

// acl is an access control list. It has no owner of its own: that is the bucket's or the object's.
type acl []aclGrant

// aclRecord is the stored form (docs/formats.md, "Access control lists").
type aclRecord struct {
	Format int
	Grants acl
}

const formatACL = 1

func (a acl) encode() ([]byte, error) { return json.Marshal(aclRecord{Format: formatACL, Grants: a}) }

func decodeACL(raw []byte) (acl, error) {
	var r aclRecord
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, err
	}
	if r.Format != formatACL {
		return nil, errSetting
	}
	for i := range r.Grants {
		if g := &r.Grants[i]; !permissions[g.Permission] || (g.ID == "") == (g.URI == "") {
			return nil, errSetting
		}
	}
	return r.Grants, nil
}

// ownerACL is the list of what nobody gave one: the owner has full control.
func ownerACL(owner string) acl { return acl{{ID: owner, Permission: permFull}} }

// isOwners tells whether a says no more and no less than ownerACL.
func (a acl) isOwners(owner string) bool {
	return len(a) == 1 && a[0] == aclGrant{ID: owner, Permission: permFull}
}

func (a acl) public() bool {
	return slices.ContainsFunc(a, func(g aclGrant) bool { return g.public() })
}

// grantsOthers tells whether somebody beside the owner has anything.
func (a acl) grantsOthers(owner string) bool {
	return slices.ContainsFunc(a, func(g aclGrant) bool { return g.ID != owner })
}

// effective is the list without what IgnorePublicAcls takes away.
func (a acl) effective(block publicBlock) acl {
	if !block.IgnorePublicACLs || !a.public() {
		return a
	}
	return slices.DeleteFunc(slices.Clone(a), func(g aclGrant) bool { return g.public() })
}

// grants tells whether the list gives p the permission. What it gives the owner's own account is that
// account's to hand on by identity policies; a group that everybody is in includes its users.
func (a acl) grants(want permission, p *policy.Principal, owner object.Owner, block publicBlock) bool {
	if want == "" {
		return false
	}
	for i := range a {
		g := &a[i]
		if g.Permission != want && (g.Permission != permFull) || block.IgnorePublicACLs && g.public() {
			continue
		}
		if g.URI != "" {
			if in := groups[g.URI]; in != nil && in(p) {
				return true
			}
			continue
		}
		if g.ID == p.CanonicalID && p.Account != "" && p.Account != owner.Account {
			return true
		}
	}
	return false
}

// aclRequest is where a request says what a list shall be: canned or in headers. Bodies come apart.
type aclRequest struct {
	canned string
	grants [5]string // by grantHeaders
}

var grantHeaders = []string{
	"X-Amz-Grant-Read", "X-Amz-Grant-Write", "X-Amz-Grant-Read-Acp", "X-Amz-Grant-Write-Acp", "X-Amz-Grant-Full-Control",
}

var grantedBy = [...]permission{permRead, permWrite, permReadACP, permWriteACP, permFull}

func readACLRequest(h http.Header) aclRequest {
	r := aclRequest{canned: first(h, "X-Amz-Acl")}
	for i, name := range grantHeaders {
		r.grants[i] = strings.Join(h[name], ",")
	}
	return r
}

// asksACL tells whether the headers say anything about the list.
func asksACL(h http.Header) bool {
	return len(h["X-Amz-Acl"]) > 0 || slices.ContainsFunc(grantHeaders, func(name string) bool { return len(h[name]) > 0 })
}

func (r *aclRequest) explicit() bool { return r.grants != [5]string{} }

func (r *aclRequest) empty() bool { return r.canned == "" && !r.explicit() }

// canned lists, by what they add to the owner's full control. A nil function is a list that exists but
// means nothing there. bucketOwner is the owner of the object's bucket.
var bucketCanned = map[string]func(bucketOwner string) acl{
	"private":     nil,
	"public-read": func(string) acl { return acl{{URI: allUsers, Permission: permRead}} },
	"public-read-write": func(string) acl {
		return acl{{URI: allUsers, Permission: permRead}, {URI: allUsers, Permission: permWrite}}
	},
	"authenticated-read": func(string) acl { return acl{{URI: authenticatedUsers, Permission: permRead}} },
	"log-delivery-write": func(string) acl {
		return acl{{URI: logDelivery, Permission: permWrite}, {URI: logDelivery, Permission: permReadACP}}
	},
	"aws-exec-read":             func(string) acl { return acl{{ID: execReader, Permission: permRead}} },
	"bucket-owner-read":         nil,
	"bucket-owner-full-control": nil,
}

var objectCanned = map[string]func(bucketOwner string) acl{
	"private":                   nil,
	"public-read":               bucketCanned["public-read"],
	"public-read-write":         bucketCanned["public-read-write"],
	"authenticated-read":        bucketCanned["authenticated-read"],
	"aws-exec-read":             bucketCanned["aws-exec-read"],
	"bucket-owner-read":         func(id string) acl { return acl{{ID: id, Permission: permRead}} },
	"bucket-owner-full-control": func(id string) acl { return acl{{ID: id, Permission: permFull}} },
}

// list makes the list that r asks for, for something of owner in a bucket of bucketOwner.
func (r *aclRequest) list(s *Service, canned map[string]func(string) acl, owner, bucketOwner string) (acl, error) {
	if r.canned != "" && r.explicit() {
		return nil, fault.New(invalidRequest, "Specifying both Canned ACLs and Header Grants is not allowed")
	}
	if r.explicit() {
		return r.headerList(s)
	}
	list := ownerACL(owner)
	if r.canned == "" {
		return list, nil
	}
	add, known := canned[r.canned]
	if !known {
		return nil, badArgument("", "x-amz-acl", r.canned)
	}
	if add != nil {
		for _, g := range add(bucketOwner) {
			if g != list[0] {
				list = append(list, g)
			}
		}
	}
	return list, nil
}

// headerList reads the x-amz-grant headers: lists of id="…", uri="…" and emailAddress="…".
func (r *aclRequest) headerList(s *Service) (acl, error) {
	var list acl
	for i, value := range r.grants {
		for _, part := range strings.Split(value, ",") {
			if part = strings.TrimSpace(part); part == "" {
				continue
			}
			kind, name, ok := strings.Cut(part, "=")
			if !ok {
				return nil, badArgument("Argument format not recognized", strings.ToLower(grantHeaders[i]), value)
			}
			g := s3wire.Grantee{}
			name = strings.Trim(strings.TrimSpace(name), `"`)
			switch strings.ToLower(strings.TrimSpace(kind)) {
			case "id":
				g.Type, g.ID = s3wire.TypeCanonicalUser, &name
			case "uri":
				g.Type, g.URI = s3wire.TypeGroup, &name
			case "emailaddress":
				g.Type, g.EmailAddress = s3wire.TypeAmazonCustomerByEmail, &name
			default:
				return nil, badArgument("Argument format not recognized", strings.ToLower(grantHeaders[i]), value)
			}
			entry, err := s.grant(&g, grantedBy[i])
			if err != nil {
				return nil, err
			}
			list = append(list, entry)
		}
	}
	return list, checkCount(list)
}

func checkCount(list acl) error {
	if len(list) > maxGrants {
		return fault.New(malformedACL, "")
	}
	return nil
}

// grant makes an entry for a grantee, who must exist.
func (s *Service) grant(g *s3wire.Grantee, p permission) (aclGrant, error) {
	switch g.Type {
	case s3wire.TypeCanonicalUser:
		id := member.Text(g.ID)
		if _, known := s.config.Accounts.AccountOf(id); !known && id != execReader && id != anonymousID {
			return aclGrant{}, badArgument("Invalid id", "CanonicalUser/ID", id)
		}
		return aclGrant{ID: id, Permission: p}, nil
	case s3wire.TypeGroup:
		uri := member.Text(g.URI)
		if groups[uri] == nil {
			return aclGrant{}, badArgument("Invalid group uri", "Group/URI", uri)
		}
		return aclGrant{URI: uri, Permission: p}, nil
	case s3wire.TypeAmazonCustomerByEmail:
		address := member.Text(g.EmailAddress)
		id, ok := s.config.Accounts.CanonicalIDByEmail(address)
		if !ok {
			return aclGrant{}, fault.New(unresolvableGrant, "")
		}
		return aclGrant{ID: id, Permission: p}, nil
	}
	return aclGrant{}, fault.New(malformedACL, "")
}

// bodyList reads an <AccessControlPolicy>. The owner that it names cannot be changed.
func (s *Service) bodyList(in *s3wire.AccessControlPolicy, owner string) (acl, error) {
	if in.Owner == nil || in.Owner.ID == nil {
		return nil, fault.New(malformedACL, "")
	}
	if *in.Owner.ID != owner {
		return nil, denied()
	}
	list := make(acl, 0, len(in.Grants))
	for i := range in.Grants {
		g := &in.Grants[i]
		if g.Grantee == nil || !permissions[permission(g.Permission)] {
			return nil, fault.New(malformedACL, "")
		}
		entry, err := s.grant(g.Grantee, permission(g.Permission))
		if err != nil {
			return nil, err
		}
		list = append(list, entry)
	}
	return list, checkCount(list)
}

// wireGrants shows a list.
func (s *Service) wireGrants(list acl) []s3wire.Grant {
	out := make([]s3wire.Grant, len(list))
	for i := range list {
		g := &list[i]
		grantee := &s3wire.Grantee{Type: s3wire.TypeGroup, URI: &g.URI}
		if g.URI == "" {
			grantee = &s3wire.Grantee{Type: s3wire.TypeCanonicalUser, ID: &g.ID}
			account, _ := s.config.Accounts.AccountOf(g.ID)
			grantee.DisplayName = s.displayName(object.Owner{Account: account, Canonical: g.ID})
		}
		out[i] = s3wire.Grant{Grantee: grantee, Permission: s3wire.Permission(g.Permission)}
	}
	return out
}
