package object

import (
	"context"

	"github.com/kura-s3/kura/internal/authz"
)

// SetACL replaces the access control list of a version and needs action: s3:PutObjectAcl, or
// s3:PutObjectVersionAcl when a version id is given. What the bytes mean is the service's affair.
func (s *Store) SetACL(ctx context.Context, g authz.Grant, action string, in *GetInput, acl []byte) (*Info, error) {
	if err := g.Require(action, keyARN(in.Bucket, in.Key)); err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	var info *Info
	err := s.changeKey(ctx, in.Bucket, in.Key, 0, false, func(ctx context.Context, t *txn, to target) error {
		place, r, err := t.locate(ctx, to, in.VersionID)
		if err != nil {
			return err
		}
		r.acl = acl
		t.changedReplicas(g, to, r)
		t.set(place, r.append(make([]byte, 0, 512)))
		t.tell(g, to, wasGivenACL, r)
		info = infoOf(to.bucket, in.Key, r)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return info, nil
}

// Resolve tells of a version to whoever has to decide about it: its owner, its ACL, its tags. It
// takes no Grant because there is none yet, decides nothing, and what it tells must not be answered to
// anybody.
func (s *Store) Resolve(ctx context.Context, in *GetInput) (*Info, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	f, err := s.find(ctx, in)
	if err != nil {
		return nil, err
	}
	info := f.info(in)
	return &info, nil
}
