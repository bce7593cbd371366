package s3

import (
	"context"
	"net/http"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/wire/s3wire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/object"
	"github.com/kura-s3/kura/policy"
)

func (s *Service) aclOps() []*api.Op {
	return []*api.Op{
		api.Declare(api.Decl[s3wire.GetBucketAclInput, s3wire.GetBucketAclOutput]{
			Wire: &s3wire.GetBucketAcl, Class: audit.Management, Access: api.Read, Unsigned: true,
			Demands: onBucket[s3wire.GetBucketAclInput](s, "s3:GetBucketAcl"),
			Do: func(_ context.Context, _ authz.Grant, c *api.Call, _ *s3wire.GetBucketAclInput) (*s3wire.GetBucketAclOutput, error) {
				b := at(c).found
				return &s3wire.GetBucketAclOutput{Owner: s.wireOwner(b.Owner), Grants: s.wireGrants(s.effectiveACL(b))}, nil
			},
		}),
		api.Declare(api.Decl[s3wire.PutBucketAclInput, empty]{
			Wire: &s3wire.PutBucketAcl, Class: audit.Management, Access: api.Permissions, Unsigned: true,
			Demands: exposing(s, "s3:PutBucketAcl", settingACL, s.exposingACL), Do: s.putBucketACL,
		}),
		api.Declare(api.Decl[s3wire.GetObjectAclInput, s3wire.GetObjectAclOutput]{
			Wire: &s3wire.GetObjectAcl, Class: audit.Data, Access: api.Read, Unsigned: true,
			Demands: func(c *api.Call, _ *s3wire.GetObjectAclInput) ([]authz.Demand, error) {
				return s.needKey(c, versioned(c, "s3:GetObjectAcl", "s3:GetObjectVersionAcl"))
			},
			Do: s.getObjectACL,
		}),
		api.Declare(api.Decl[s3wire.PutObjectAclInput, putACLOutput]{
			Wire: &s3wire.PutObjectAcl, Class: audit.Data, Access: api.Permissions, Unsigned: true,
			Demands: func(c *api.Call, in *s3wire.PutObjectAclInput) ([]authz.Demand, error) {
				demands, err := s.needKey(c, versioned(c, "s3:PutObjectAcl", "s3:PutObjectVersionAcl"))
				if err == nil {
					own := at(c).found.Owner.Canonical
					demands[0].Keys = s.exposingObject(c, demands[0].Keys, func() (acl, error) {
						return s.wantedACL(c.R.Header, in.AccessControlPolicy, objectCanned, own, own)
					})
				}
				return demands, err
			},
			Do: s.putObjectACL,
		}),
	}
}

// effectiveACL is the bucket's list as it is in force.
func (s *Service) effectiveACL(b *object.Bucket) acl {
	a := accessOf(b)
	if !a.ownership.hasACLs() {
		return ownerACL(b.Owner.Canonical)
	}
	return a.acl.effective(s.block(b, a))
}

// wantedACL is the list that a PutBucketAcl or PutObjectAcl asks for, in headers or in a body.
func (s *Service) wantedACL(h http.Header, body *s3wire.AccessControlPolicy, canned map[string]func(string) acl, owner, bucketOwner string) (acl, error) {
	r := readACLRequest(h)
	switch {
	case !r.empty() && body != nil:
		return nil, fault.New(unexpectedContent, "")
	case !r.empty():
		return r.list(s, canned, owner, bucketOwner)
	case body != nil:
		return s.bodyList(body, owner)
	}
	return nil, fault.New(missingSecurityHeader, "")
}

// mayBePublic refuses a public list where Block Public Access says so.
func (s *Service) mayBePublic(list acl, p *policy.Principal, b *object.Bucket, action, arn string) error {
	if list.public() && s.block(b, accessOf(b)).BlockPublicACLs {
		return blocked(p, b, action, arn, "ACLs", "BlockPublicAcls")
	}
	return nil
}

// sayNothing lets pass, where ACLs are disabled, only the list by which the bucket's owner has full
// control; asking for a private one is asking for a list.
func (s *Service) sayNothing(h http.Header, list acl, b *object.Bucket) error {
	if !list.isOwners(b.Owner.Canonical) || first(h, "X-Amz-Acl") == "private" {
		return fault.New(unsupportedACL, "")
	}
	return nil
}

func (s *Service) putBucketACL(ctx context.Context, g authz.Grant, c *api.Call, in *s3wire.PutBucketAclInput) (*empty, error) {
	b, p := at(c).found, caller(c)
	list, err := s.wantedACL(c.R.Header, in.AccessControlPolicy, bucketCanned, b.Owner.Canonical, b.Owner.Canonical)
	if err != nil {
		return nil, err
	}
	if !accessOf(b).ownership.hasACLs() {
		return &empty{}, s.sayNothing(c.R.Header, list, b)
	}
	raw, err := list.encode()
	if err != nil {
		return nil, err
	}
	_, err = s.config.Objects.UpdateBucket(ctx, g, "s3:PutBucketAcl", b.Name, func(b *object.Bucket) error {
		// As the bucket is now, not as it was when the request came.
		if !accessOf(b).ownership.hasACLs() {
			return fault.New(unsupportedACL, "")
		}
		if err := s.mayBePublic(list, p, b, "s3:PutBucketAcl", b.ARN()); err != nil {
			return err
		}
		b.Settings[settingACL] = raw
		return s.stillJudged(c, b)
	})
	return &empty{}, err
}

func (s *Service) getObjectACL(ctx context.Context, g authz.Grant, c *api.Call, _ *s3wire.GetObjectAclInput) (*s3wire.GetObjectAclOutput, error) {
	b := at(c).found
	if err := at(c).undecided(); err != nil {
		return nil, err
	}
	info, err := s.config.Objects.Describe(ctx, g, versioned(c, "s3:GetObjectAcl", "s3:GetObjectVersionAcl"), addressed(c))
	if err != nil {
		return nil, s.hide(g, b, at(c).key, err)
	}
	a, owner := accessOf(b), shownOwner(b, info.Owner)
	list := ownerACL(owner.Canonical)
	if a.ownership.hasACLs() && info.ACL != nil {
		if list, err = decodeACL(info.ACL); err != nil {
			return nil, err
		}
	}
	if info.Versioned {
		c.W.Header().Set("X-Amz-Version-Id", info.VersionID)
	}
	return &s3wire.GetObjectAclOutput{Owner: s.wireOwner(owner), Grants: s.wireGrants(list.effective(s.block(b, a)))}, nil
}

// putACLOutput is the answer of PutObjectAcl: headers only.
type putACLOutput struct{ version *string }

// Respond names the version.
func (o *putACLOutput) Respond(c *api.Call) error {
	if o.version != nil {
		c.W.Header().Set("X-Amz-Version-Id", *o.version)
	}
	return c.W.Send(http.StatusOK, "", nil)
}

func (s *Service) putObjectACL(ctx context.Context, g authz.Grant, c *api.Call, in *s3wire.PutObjectAclInput) (*putACLOutput, error) {
	t, p := at(c), caller(c)
	b := t.found
	if err := t.undecided(); err != nil {
		return nil, err
	}
	action := versioned(c, "s3:PutObjectAcl", "s3:PutObjectVersionAcl")
	info, err := s.config.Objects.Describe(ctx, g, action, addressed(c))
	if err != nil {
		return nil, s.hide(g, b, t.key, err)
	}
	owner := shownOwner(b, info.Owner)
	list, err := s.wantedACL(c.R.Header, in.AccessControlPolicy, objectCanned, owner.Canonical, b.Owner.Canonical)
	if err != nil {
		return nil, err
	}
	if !accessOf(b).ownership.hasACLs() {
		return &putACLOutput{versionOf(info)}, s.sayNothing(c.R.Header, list, b)
	}
	if err := s.mayBePublic(list, p, b, "s3:PutObjectAcl", b.KeyARN(t.key)); err != nil {
		return nil, err
	}
	raw, err := list.encode()
	if err != nil {
		return nil, err
	}
	if info, err = s.config.Objects.SetACL(ctx, g, action, addressed(c), raw); err != nil {
		return nil, s.hide(g, b, t.key, err)
	}
	return &putACLOutput{versionOf(info)}, nil
}

// newACL is the owner and the list of an object that p is about to write with these headers; action is
// what a refusal names.
func (s *Service) newACL(p *policy.Principal, b *object.Bucket, key string, h http.Header, action string) (object.Owner, []byte, error) {
	a, r := accessOf(b), readACLRequest(h)
	owner := a.ownership.newOwner(b, p, r.canned)
	if r.empty() {
		return owner, nil, nil
	}
	list, err := r.list(s, objectCanned, owner.Canonical, b.Owner.Canonical)
	if err != nil {
		return owner, nil, err
	}
	if !a.ownership.hasACLs() {
		if !list.isOwners(b.Owner.Canonical) {
			return owner, nil, fault.New(unsupportedACL, "")
		}
		return owner, nil, nil
	}
	if err := s.mayBePublic(list, p, b, action, b.KeyARN(key)); err != nil {
		return owner, nil, err
	}
	if list.isOwners(owner.Canonical) {
		return owner, nil, nil
	}
	raw, err := list.encode()
	return owner, raw, err
}
