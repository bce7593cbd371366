package posture

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/kura-s3/kura/policy"
)

// Opening is what one kind of principal outside the zone of trust can do with a resource.
type Opening struct {
	policy.Opening
	// ACL says that the access control list gives it, not a policy.
	ACL bool
}

// Trust tells whom the owner of a resource trusts, of the unique and canonical ids that its policies name.
type Trust func(uniqueIDs, canonicalIDs []string) policy.Zone

// Openings tells what principals outside the zone of trust can do with r as it is configured, each with a
// request as proof. Service principals are trusted: they act for somebody, whose own permissions decide.
func Openings(r *Resource, account Block, trust Trust) ([]Opening, error) {
	e, err := effective(r, account)
	if err != nil || e.document == nil {
		return nil, err
	}
	return e.mark(policy.Reach(e.document, within(trust, r, e.document.UniqueIDs()))), nil
}

// Gains tells what principals outside the zone can do with after that they cannot do with before. A nil
// resource is one that is not there.
func Gains(before, after *Resource, was, is Block, trust Trust) ([]Opening, error) {
	var old, next effect
	var err error
	if before != nil {
		if old, err = effective(before, was); err != nil {
			return nil, err
		}
	}
	if after == nil {
		return nil, nil
	}
	if next, err = effective(after, is); err != nil || next.document == nil {
		return nil, err
	}
	var gained []policy.Opening
	named := next.document.UniqueIDs()
	if old.document != nil {
		named = append(named, old.document.UniqueIDs()...)
	}
	for _, c := range policy.Diff(old.document, next.document, within(trust, after, named)) {
		if c.Gained {
			gained = append(gained, c.Opening)
		}
	}
	return next.mark(gained), nil
}

func within(trust Trust, r *Resource, uniqueIDs []string) policy.Zone {
	var canonical []string
	if r.Bucket != nil {
		for _, g := range r.Bucket.ACL {
			if g.ID != "" {
				canonical = append(canonical, g.ID)
			}
		}
	}
	zone := trust(uniqueIDs, canonical)
	zone.TrustServices = true
	if r.Type != TypeRole {
		zone.Resource = r.ARN
	}
	return zone
}

// effect is all that decides about strangers, in one document: the policy as it is, and the access
// control list as the statements that it amounts to.
type effect struct {
	document *policy.Document
	// statements of the policy; what follows stands for the list.
	statements int
}

func (e *effect) mark(openings []policy.Opening) []Opening {
	marked := make([]Opening, len(openings))
	for i, o := range openings {
		marked[i] = Opening{o, o.Statement >= e.statements}
	}
	return marked
}

func effective(r *Resource, account Block) (effect, error) {
	switch {
	case r.Broken != nil:
		return effect{}, r.Broken
	case r.Bucket != nil:
		return r.Bucket.effect(account)
	case r.Policy != nil:
		return r.Policy.effect(r)
	case r.Entity != nil && r.Entity.TrustPolicy != nil:
		return effect{r.Entity.TrustPolicy, r.Entity.TrustPolicy.Len()}, nil
	case r.Key != nil && r.Key.Document != nil:
		return r.Key.effect()
	}
	return effect{}, nil
}

// Public tells whether the resource's own policy is public in the sense of Block Public Access: somebody who is limited
// to a fixed account, organization or network is not just anybody.
func (r *Resource) Public() bool {
	var document *policy.Document
	switch {
	case r.Bucket != nil:
		document = r.Bucket.Policy
	case r.Policy != nil:
		document = r.Policy.Document
	case r.Entity != nil:
		document = r.Entity.TrustPolicy
	case r.Key != nil:
		document = r.Key.Document
	}
	return document != nil && document.IsPublic()
}

// Policy is a document with statements that are added to it.
type Policy struct {
	Document *policy.Document // nil: none
	Kind     policy.Kind
	Added    []Allowance
}

// Allowance is a statement that allows principals actions on the resource.
type Allowance struct {
	Principal any
	Actions   []string
	Condition map[string]map[string]string
}

func (p *Policy) effect(r *Resource) (effect, error) {
	var extra []statement
	for _, a := range p.Added {
		s := statement{Effect: "Allow", Principal: a.Principal, Action: a.Actions, Resource: r.ARN, Condition: a.Condition}
		if p.Kind == policy.KeyPolicy {
			s.Resource = "*"
		}
		extra = append(extra, s)
	}
	return combine(p.Document, extra, p.Kind)
}

func (b *Bucket) effect(account Block) (effect, error) { return b.effectWith(account, nil) }

// effectWith is effect with the list of an object besides.
func (b *Bucket) effectWith(account Block, list []statement) (effect, error) {
	if b.Policy != nil && b.Effective(account).RestrictPublicBuckets && b.Policy.IsPublic() {
		return effect{}, nil // then nobody outside the account gets in, whatever lets them
	}
	var extra []statement
	for _, g := range b.Grants(account) {
		if g.ID != b.Canonical {
			extra = append(extra, b.aclStatements(g)...)
		}
	}
	return combine(b.Policy, append(extra, list...), policy.Bucket)
}

// objectActions are what an entry of an object's list amounts to.
var objectActions = map[string][]string{
	"READ": {"s3:GetObject", "s3:GetObjectVersion"}, "READ_ACP": {"s3:GetObjectAcl", "s3:GetObjectVersionAcl"},
	"WRITE_ACP": {"s3:PutObjectAcl", "s3:PutObjectVersionAcl"},
}

// Revives tells whether lists of objects count after a change that did not count before: all of them, or those that
// are public. Whom they let in nobody has looked at.
func Revives(before, after *Resource, was, is Block) bool {
	if before.Bucket == nil || after.Bucket == nil || !after.Bucket.HasACLs() {
		return false
	}
	return !before.Bucket.HasACLs() || before.Bucket.Effective(was).IgnorePublicACLs && !after.Bucket.Effective(is).IgnorePublicACLs
}

// ObjectGains tells what principals outside the zone can do by an object's list, as it is stored, that they cannot do
// by what the bucket has.
func ObjectGains(r *Resource, account Block, key string, list []byte, trust Trust) ([]Opening, error) {
	if r.Broken != nil {
		return nil, r.Broken
	}
	b := *r.Bucket
	before, err := b.effect(account)
	if err != nil {
		return nil, err
	}
	grants, err := readList(list)
	if err != nil {
		return nil, err
	}
	b.ACL = grants
	var extra []statement
	for _, g := range b.Grants(account) {
		if g.ID != b.Canonical {
			extra = append(extra, b.objectStatements(g, key)...)
		}
	}
	b.ACL = r.Bucket.ACL
	after, err := b.effectWith(account, extra)
	if err != nil || after.document == nil {
		return nil, err
	}
	named := *r
	b.ACL = slices.Concat(b.ACL, grants)
	named.Bucket = &b
	var gained []policy.Opening
	for _, c := range policy.Diff(before.document, after.document, within(trust, &named, after.document.UniqueIDs())) {
		if c.Gained {
			gained = append(gained, c.Opening)
		}
	}
	return after.mark(gained), nil
}

func (b *Bucket) objectStatements(g Grant, key string) []statement {
	var all []statement
	for _, s := range b.aclStatements(Grant{ID: g.ID, URI: g.URI, Permission: "READ"}) {
		s.Resource, s.Action = "arn:aws:s3:::"+b.Name+"/"+key, objectActions[g.Permission]
		if strings.ContainsAny(key, "*?$") {
			s.Resource = "arn:aws:s3:::" + b.Name + "/*" // of any key: more than there is, never less
		}
		if g.Permission == "FULL_CONTROL" {
			s.Action = slices.Concat(objectActions["READ"], objectActions["READ_ACP"], objectActions["WRITE_ACP"])
		}
		if len(s.Action) > 0 {
			all = append(all, s)
		}
	}
	return all
}

// statement of a policy, as JSON.
type statement struct {
	Effect    string
	Principal any
	Action    []string
	Resource  string
	Condition map[string]map[string]string `json:",omitempty"`
}

// aclActions are what an entry of a bucket's list amounts to (S3 User Guide, "Mapping of ACL permissions
// and access policy permissions"). FULL_CONTROL is all of them.
var aclActions = []struct {
	permission string
	actions    []string
	objects    bool
}{
	{"READ", []string{"s3:ListBucket", "s3:ListBucketMultipartUploads", "s3:ListBucketVersions"}, false},
	{"WRITE", []string{"s3:PutObject"}, true},
	{"READ_ACP", []string{"s3:GetBucketAcl"}, false},
	{"WRITE_ACP", []string{"s3:PutBucketAcl"}, false},
}

func (b *Bucket) aclStatements(g Grant) []statement {
	s := statement{Effect: "Allow"}
	switch {
	case g.URI == AllUsers:
		s.Principal = "*"
	case g.URI == AuthenticatedUsers:
		s.Principal = "*"
		s.Condition = map[string]map[string]string{"StringNotEquals": {"aws:PrincipalType": "Anonymous"}}
	case g.ID != "":
		s.Principal = map[string]string{"CanonicalUser": g.ID}
	default:
		return nil // the log delivery group is a service
	}
	var all []statement
	for _, a := range aclActions {
		if g.Permission != a.permission && g.Permission != "FULL_CONTROL" {
			continue
		}
		s.Action, s.Resource = a.actions, "arn:aws:s3:::"+b.Name
		if a.objects {
			s.Resource += "/*"
		}
		all = append(all, s)
	}
	return all
}

func (k *Key) effect() (effect, error) {
	var extra []statement
	for _, g := range k.Grants {
		s := statement{Effect: "Allow", Principal: map[string]string{"AWS": g.Grantee}, Resource: "*"}
		for _, op := range g.Operations {
			s.Action = append(s.Action, "kms:"+op)
		}
		if len(s.Action) > 0 {
			extra = append(extra, s)
		}
	}
	return combine(k.Document, extra, policy.KeyPolicy)
}

// combine puts statements after those of a document. Without any, the document itself is the answer.
func combine(d *policy.Document, extra []statement, kind policy.Kind) (effect, error) {
	if len(extra) == 0 {
		if d == nil {
			return effect{}, nil
		}
		return effect{d, d.Len()}, nil
	}
	whole := map[string]json.RawMessage{"Version": json.RawMessage(`"2012-10-17"`)}
	var statements []json.RawMessage
	if d != nil {
		clear(whole)
		if err := json.Unmarshal([]byte(d.Source()), &whole); err != nil {
			return effect{}, fmt.Errorf("posture: %w", err)
		}
		if json.Unmarshal(whole["Statement"], &statements) != nil {
			statements = []json.RawMessage{whole["Statement"]}
		}
	}
	own := len(statements)
	for _, s := range extra {
		raw, err := json.Marshal(s)
		if err != nil {
			return effect{}, err
		}
		statements = append(statements, raw)
	}
	var err error
	if whole["Statement"], err = json.Marshal(statements); err != nil {
		return effect{}, err
	}
	text, err := json.Marshal(whole)
	if err != nil {
		return effect{}, err
	}
	doc, err := policy.Parse(text, kind)
	if err != nil {
		return effect{}, fmt.Errorf("posture: an access control list as statements: %w", err)
	}
	return effect{doc, own}, nil
}

// access is what a statement lets do, as the rules about public reading and writing divide it.
type access struct{ read, write bool }

// PublicAccess tells whether everybody may read or write by the bucket's policy and by its list, Block
// Public Access considered, in the sense of the managed rules: the policy is judged as Block Public
// Access judges it.
func (b *Bucket) PublicAccess(account Block) (policyRead, policyWrite, listRead, listWrite bool) {
	if b.Policy != nil && !b.Effective(account).RestrictPublicBuckets {
		a := b.public()
		policyRead, policyWrite = a.read, a.write
	}
	for _, g := range b.Grants(account) {
		if !g.Public() {
			continue
		}
		full := g.Permission == "FULL_CONTROL"
		listRead = listRead || full || g.Permission == "READ" || g.Permission == "READ_ACP"
		listWrite = listWrite || full || g.Permission == "WRITE" || g.Permission == "WRITE_ACP"
	}
	return policyRead, policyWrite, listRead, listWrite
}

// publicOf divides what the public statements of a policy allow.
func publicOf(d *policy.Document) access {
	var a access
	if !d.IsPublic() {
		return a
	}
	var whole struct{ Statement json.RawMessage }
	if json.Unmarshal([]byte(d.Source()), &whole) != nil {
		return access{true, true}
	}
	var statements []json.RawMessage
	if json.Unmarshal(whole.Statement, &statements) != nil {
		statements = []json.RawMessage{whole.Statement}
	}
	for _, i := range d.Public().Statements {
		if i >= len(statements) {
			return access{true, true}
		}
		s := accessOf(statements[i])
		a.read, a.write = a.read || s.read, a.write || s.write
	}
	return a
}

// accessOf divides the actions of one statement. One that is about everything but something allows both.
func accessOf(raw json.RawMessage) access {
	var s struct{ Action, NotAction json.RawMessage }
	if json.Unmarshal(raw, &s) != nil || s.NotAction != nil {
		return access{true, true}
	}
	var a access
	for _, pattern := range Texts(s.Action) {
		for _, action := range policy.Actions(pattern) {
			switch policy.AccessLevel(action) {
			case "Read", "List":
				a.read = true
			default:
				a.write = true
			}
		}
	}
	return a
}

// Texts reads what a policy writes as a string or as a list of strings.
func Texts(raw json.RawMessage) []string {
	var many []string
	if json.Unmarshal(raw, &many) == nil {
		return many
	}
	var one string
	if json.Unmarshal(raw, &one) == nil && one != "" {
		return []string{one}
	}
	return nil
}
