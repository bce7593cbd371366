package s3

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/s3/sse"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/classification"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/job/lifecycle"
	"github.com/kura-s3/kura/internal/object"
	"github.com/kura-s3/kura/policy"
)

// The bucket's side of a decision: its policy, its ACL and the object's, who owns what, Block Public
// Access. This file resolves it into an authz.Resource; the Guard decides.

// Names of the settings that it is made of, in Bucket.Settings and Account.Settings.
const (
	settingPolicy    = "policy"
	settingACL       = "acl"
	settingOwnership = "ownershipControls"
	settingBlock     = object.SettingPublicAccessBlock
)

// access is what a bucket's settings say about access, compiled once per change of the bucket.
type access struct {
	// broken is the setting that does not decode. Then everybody is refused: what cannot be read must
	// not count as absent.
	broken    error
	policy    *policy.Document
	denials   *policy.Document // the Deny statements alone, where ACLs count: they bind also what others own
	public    bool             // the policy, by the rules of Block Public Access
	ownership ownership
	block     publicBlock
	acl       acl
	lifecycle *lifecycle.Judge // nil: nothing expires
	web       web
	// encryption is the default of new objects.
	encryption *sse.Config
	// class is what the bucket's tags hold it to, nil for nothing.
	class *classification.Class
}

// accessOf gives the compiled settings of a bucket.
func accessOf(b *object.Bucket) *access { return b.Memo(compileAccess).(*access) }

func compileAccess(b *object.Bucket) any {
	a := &access{acl: ownerACL(b.Owner.Canonical)}
	if a.broken = a.compile(b.Settings); a.broken != nil {
		return &access{broken: a.broken, class: classOf(b.Tags)}
	}
	a.class = classOf(b.Tags)
	a.web, a.lifecycle = compileWeb(b.Settings), compileLifecycle(b.Settings)
	return a
}

func (a *access) compile(settings map[string][]byte) error {
	var err error
	if a.ownership, err = decodeOwnership(settings[settingOwnership]); err != nil {
		return err
	}
	if a.block, err = decodeBlock(settings[settingBlock], allBlocked); err != nil {
		return err
	}
	if a.encryption, err = sse.Decode(settings[sse.Setting]); err != nil {
		return err
	}
	if raw := settings[settingACL]; raw != nil {
		if a.acl, err = decodeACL(raw); err != nil {
			return err
		}
	}
	raw := settings[settingPolicy]
	if raw == nil {
		return nil
	}
	if a.policy, err = policy.Parse(raw, policy.Bucket); err != nil {
		return err
	}
	a.public = a.policy.IsPublic()
	if a.ownership.hasACLs() {
		a.denials, err = denialsOf(raw)
	}
	return err
}

// denialsOf is the policy without its Allow statements, nil when nothing is left.
func denialsOf(raw []byte) (*policy.Document, error) {
	var doc map[string]json.RawMessage
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, err
	}
	var statements []json.RawMessage
	if json.Unmarshal(doc["Statement"], &statements) != nil {
		statements = []json.RawMessage{doc["Statement"]}
	}
	kept := make([]json.RawMessage, 0, len(statements))
	for _, s := range statements {
		var head struct{ Effect string }
		if err := json.Unmarshal(s, &head); err != nil {
			return nil, err
		}
		if head.Effect != "Allow" {
			kept = append(kept, s)
		}
	}
	if len(kept) == 0 {
		return nil, nil
	}
	var err error
	if doc["Statement"], err = json.Marshal(kept); err != nil {
		return nil, err
	}
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	return policy.Parse(text, policy.Bucket)
}

// block is what Block Public Access says of a bucket: each setting holds when the bucket or its
// account has it.
func (s *Service) block(b *object.Bucket, a *access) publicBlock {
	account := s.config.Objects.Account(b.Owner.Account)
	if len(account.Settings) == 0 {
		return a.block
	}
	return a.block.or(account.Memo(compileAccount).(publicBlock))
}

// compileAccount reads the account's setting; one that does not decode blocks everything.
func compileAccount(a *object.Account) any {
	block, err := decodeBlock(a.Settings[settingBlock], publicBlock{})
	if err != nil {
		return allBlocked
	}
	return block
}

// side begins the resource of any demand on a bucket.
func (s *Service) side(p *policy.Principal, b *object.Bucket, arn string) (authz.Resource, *access, publicBlock) {
	a := accessOf(b)
	r := authz.Resource{ARN: arn, Account: b.Owner.Account, Controls: a.class.Controls()}
	if a.broken != nil {
		s.config.Log.Error("a bucket's settings cannot be read: everybody is refused", "bucket", b.Name, "err", a.broken)
		r.Restricted = true
		return r, a, allBlocked
	}
	block := s.block(b, a)
	r.Policy = a.policy
	r.Restricted = block.RestrictPublicBuckets && a.public && p.Type != policy.Service && p.Account != b.Owner.Account
	return r, a, block
}

// bucketResource is the bucket as the Guard sees it when p wants to do action.
func (s *Service) bucketResource(p *policy.Principal, b *object.Bucket, action string) authz.Resource {
	r, a, block := s.side(p, b, b.ARN())
	if a.ownership.hasACLs() {
		r.Granted = a.acl.grants(bucketPermissions[action], p, b.Owner, block)
	}
	return r
}

// BucketSide is the bucket's side of a demand, for services that decide about buckets beside S3.
func (s *Service) BucketSide(p *policy.Principal, b *object.Bucket, action string) authz.Resource {
	return s.bucketResource(p, b, action)
}

// newKeyResource is a key under which p wants to create an object.
func (s *Service) newKeyResource(p *policy.Principal, b *object.Bucket, key string) authz.Resource {
	r, a, block := s.side(p, b, b.KeyARN(key))
	if a.ownership.hasACLs() {
		r.Granted = a.acl.grants(permWrite, p, b.Owner, block)
	}
	return r
}

// keyResource is an object, or what an object would be, when p wants to do action. The object's record
// is read only where ACLs decide; seen is what was read then.
func (s *Service) keyResource(ctx context.Context, p *policy.Principal, b *object.Bucket, in *object.GetInput, action string) (_ authz.Resource, seen *object.Info, _ error) {
	r, a, block := s.side(p, b, b.KeyARN(in.Key))
	if !a.ownership.hasACLs() {
		return r, nil, nil
	}
	governed, isGoverned := objectPermissions[action]
	if !isGoverned && !(deletes[action] && a.acl.grants(permWrite, p, b.Owner, block)) {
		return r, nil, nil
	}
	info, err := s.config.Objects.Resolve(ctx, in)
	switch {
	case absentVersion(err):
		// Who may list the bucket learns that nothing is there; nobody learns more.
		r.Granted = isGoverned && a.acl.grants(permRead, p, b.Owner, block)
		return r, &object.Info{}, nil
	case err != nil:
		return r, nil, err
	case !isGoverned:
		r.Granted = p.Account != "" && p.Account == info.Owner.Account
		return r, info, nil
	}
	list := ownerACL(info.Owner.Canonical)
	if info.ACL != nil {
		if list, err = decodeACL(info.ACL); err != nil {
			return r, nil, err
		}
	}
	r.Granted = list.grants(governed, p, info.Owner, block)
	if info.Owner != b.Owner {
		// What others own is beyond the bucket policy's Allow, not its Deny.
		r.Policy, r.Account = a.denials, info.Owner.Account
		if r.Account == "" {
			r.Account = anonymousAccount
		}
	}
	return r, info, nil
}

// absentVersion tells of a version that is not there, or that no version can be.
func absentVersion(err error) bool { return missing(err) || fault.Is(err, object.InvalidVersionID) }

// anonymousAccount stands for the owner of what anonymous callers wrote: nobody's own account.
const anonymousAccount = "anonymous"

// bucketPermissions tell which permission of the bucket's ACL covers an action (S3 User Guide,
// "Mapping of ACL permissions and access policy permissions").
var bucketPermissions = map[string]permission{
	"s3:ListBucket": permRead, "s3:ListBucketVersions": permRead, "s3:ListBucketMultipartUploads": permRead,
	"s3:GetBucketAcl": permReadACP, "s3:PutBucketAcl": permWriteACP,
}

// objectPermissions tell which permission of the object's ACL covers an action on an object that is
// there. Where none does, the ACL gives nothing, and the object is its owner's all the same.
var objectPermissions = map[string]permission{
	"s3:GetObject": permRead, "s3:GetObjectVersion": permRead,
	"s3:GetObjectAcl": permReadACP, "s3:GetObjectVersionAcl": permReadACP,
	"s3:PutObjectAcl": permWriteACP, "s3:PutObjectVersionAcl": permWriteACP,

	"s3:GetObjectAttributes": "", "s3:GetObjectVersionAttributes": "",
	"s3:GetObjectTagging": "", "s3:GetObjectVersionTagging": "", "s3:PutObjectTagging": "",
	"s3:PutObjectVersionTagging": "", "s3:DeleteObjectTagging": "", "s3:DeleteObjectVersionTagging": "",
}

// deletes are the actions that WRITE on the bucket gives a caller on its own objects.
var deletes = map[string]bool{"s3:DeleteObject": true}

// caller is who asks.
func caller(c *api.Call) *policy.Principal { return &c.Caller.Subject.Principal }

// keyDemand is the demand of one action on an object. Keys may be nil.
func (s *Service) keyDemand(c *api.Call, b *object.Bucket, in *object.GetInput, action string, keys authz.Keys) (authz.Demand, error) {
	ctx, t := c.R.Context(), at(c)
	r, seen, err := s.keyResource(ctx, caller(c), b, in, action)
	k := &objectKeys{s: s, ctx: ctx, in: *in, bucket: b, action: action, inner: keys, seen: seen}
	t.looked = append(t.looked, k)
	return authz.Demand{Action: action, Resource: r, Keys: k}, err
}

// undecided tells of what a decision of this request needed and could not be read. Methods ask before
// they act upon the decision.
func (t *target) undecided() error {
	for _, k := range t.looked {
		if k.failed != nil {
			return k.failed
		}
	}
	return nil
}

// decidedOn tells whether what the request is about to give away is what its decisions were about: an object
// that is written anew in between, or gets other tags, or another ACL, may be one that the caller must not have.
func (t *target) decidedOn(info *object.Info) error {
	for _, k := range t.looked {
		if k.in.Key == info.Key && k.in.Bucket == info.Bucket && k.names(info) && k.changed(info) {
			return fault.New(changedMeanwhile, "")
		}
	}
	return nil
}

// objectKeys are the condition keys of an object that is there: its tags, read when a policy asks for
// them, and the version that the request names.
type objectKeys struct {
	s      *Service
	ctx    context.Context
	in     object.GetInput
	bucket *object.Bucket
	action string
	inner  authz.Keys
	// seen is the object by whose ACL was decided, one without an owner where there was none; nil: no ACL was.
	seen *object.Info

	asked bool
	tags  []object.Tag
	// failed says that the tags could not be read: then the decision was made without them and must
	// not be acted upon.
	failed error
}

const existingTag = "s3:existingobjecttag/"

// Lookup implements authz.Keys.
func (k *objectKeys) Lookup(key string) (policy.Values, bool) {
	if k.inner != nil {
		if v, ok := k.inner.Lookup(key); ok {
			return v, true
		}
	}
	switch {
	case key == "s3:versionid":
		return policy.Values{One: k.in.VersionID}, k.in.VersionID != ""
	case key == "s3:resourceaccount", key == "aws:resourceaccount":
		return policy.Values{One: k.bucket.Owner.Account}, true
	}
	name, ok := strings.CutPrefix(key, existingTag)
	if !ok || !taggedActions[k.action] {
		return policy.Values{}, false
	}
	k.read()
	for _, t := range k.tags {
		if strings.EqualFold(t.Key, name) {
			return policy.Values{One: t.Value}, true
		}
	}
	return policy.Values{}, false
}

// names tells whether info is the version that the keys are of.
func (k *objectKeys) names(info *object.Info) bool {
	return k.in.VersionID == info.VersionID || k.in.VersionID == "" && info.Latest
}

// changed tells whether info has other tags or another ACL than those by which was decided.
func (k *objectKeys) changed(info *object.Info) bool {
	return k.asked && !slices.Equal(k.tags, info.Tags) ||
		k.seen != nil && (k.seen.Owner != info.Owner || !bytes.Equal(k.seen.ACL, info.ACL))
}

func (k *objectKeys) read() {
	if k.asked {
		return
	}
	k.asked = true
	info, err := k.s.config.Objects.Resolve(k.ctx, &k.in)
	switch {
	case err == nil:
		k.tags = info.Tags
	case !absentVersion(err):
		k.failed = err
	}
}

// taggedActions have the condition key s3:ExistingObjectTag (Service Authorization Reference).
var taggedActions = map[string]bool{
	"s3:GetObject": true, "s3:GetObjectVersion": true,
	"s3:GetObjectAcl": true, "s3:GetObjectVersionAcl": true, "s3:PutObjectAcl": true, "s3:PutObjectVersionAcl": true,
	"s3:GetObjectAttributes": true, "s3:GetObjectVersionAttributes": true,
	"s3:GetObjectTagging": true, "s3:GetObjectVersionTagging": true, "s3:PutObjectTagging": true,
	"s3:PutObjectVersionTagging": true, "s3:DeleteObjectTagging": true, "s3:DeleteObjectVersionTagging": true,
}
