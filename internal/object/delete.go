package object

import (
	"context"
	"errors"
	"slices"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/fault"
)

// Delete removes the current object or puts a delete marker, as the bucket's versioning wants it, and
// needs s3:DeleteObject; with a version id it removes that version for good and needs
// s3:DeleteObjectVersion. What is not there is deleted successfully.
func (s *Store) Delete(ctx context.Context, g authz.Grant, in *DeleteInput) (*DeleteResult, error) {
	if err := in.allowed(g); err != nil {
		return nil, err
	}
	var result *DeleteResult
	err := s.changeKey(ctx, in.Bucket, in.Key, 0, in.If.set(), func(ctx context.Context, t *txn, to target) (err error) {
		result, err = s.deleteIn(ctx, g, t, to, in)
		return err
	})
	if err != nil {
		return nil, err
	}
	return result, nil
}

func (in *DeleteInput) allowed(g authz.Grant) error {
	action := "s3:DeleteObject"
	if in.VersionID != "" {
		action = "s3:DeleteObjectVersion"
	}
	if err := g.Require(action, keyARN(in.Bucket, in.Key)); err != nil {
		return err
	}
	if err := requireBypass(g, in.Bucket, in.Key, in.BypassGovernance); err != nil {
		return err
	}
	if err := checkKey(in.Key); err != nil {
		return err
	}
	return checkVersionID(in.VersionID)
}

func (s *Store) deleteIn(ctx context.Context, g authz.Grant, t *txn, to target, in *DeleteInput) (*DeleteResult, error) {
	c, err := t.readCurrent(ctx, to)
	if err != nil {
		return nil, err
	}
	if in.VersionID != "" {
		return t.deleteVersion(ctx, g, to, &c, in)
	}
	if err := in.If.check(in.Key, &c); err != nil {
		return nil, err
	}
	if err := in.Still.still(&c.record, true); err != nil {
		return nil, err
	}
	if to.bucket.Versioning == Unversioned {
		if !c.exists {
			return &DeleteResult{}, nil
		}
		t.tell(g, to, wasRemoved, &c.record)
		return &DeleteResult{}, t.removeCurrent(ctx, to, &c)
	}
	marker := &record{marker: true, modified: s.millis()}
	t.wantReplicas(g, to, marker)
	if err := t.supersede(ctx, to, &c, marker); err != nil {
		return nil, err
	}
	t.tell(g, to, wasMarked, marker)
	return &DeleteResult{VersionID: marker.versionID(), DeleteMarker: true}, nil
}

func (t *txn) deleteVersion(ctx context.Context, g authz.Grant, to target, c *current, in *DeleteInput) (*DeleteResult, error) {
	if to.bucket.MFADelete == MFADeleteEnabled && !in.MFA {
		return nil, fault.New(MFARequired, "")
	}
	if _, err := to.bucket.ObjectLock(); err != nil {
		return nil, err
	}
	result := &DeleteResult{VersionID: in.VersionID}
	if c.exists && c.matches(in.VersionID) {
		result.DeleteMarker = c.marker
		if err := in.If.checkVersion(in.Key, &c.record); err != nil {
			return nil, err
		}
		if err := t.stillAlone(ctx, to, &c.record, in.Still); err != nil {
			return nil, err
		}
		if err := t.s.mayRemove(&c.record, in.BypassGovernance); err != nil {
			return nil, err
		}
		t.tell(g, to, wasRemoved, &c.record)
		return result, t.removeCurrent(ctx, to, c)
	}
	old, err := t.readOlder(ctx, to, in.VersionID)
	if err != nil {
		return nil, err
	}
	if err := in.If.checkVersion(in.Key, old); err != nil {
		return nil, err
	}
	if err := in.Still.still(old, false); err != nil {
		return nil, err
	}
	if old == nil {
		return result, nil
	}
	if err := t.s.mayRemove(old, in.BypassGovernance); err != nil {
		return nil, err
	}
	result.DeleteMarker = old.marker
	t.tell(g, to, wasRemoved, old)
	t.dropOlder(to, old, old.seq)
	return result, nil
}

// stillAlone is Info.still for the current version. A delete marker that hides something again is not what
// was seen: without it, that would be current.
func (t *txn) stillAlone(ctx context.Context, to target, r *record, seen *Info) error {
	if seen == nil {
		return nil
	}
	if err := seen.still(r, true); err != nil || !r.marker {
		return err
	}
	_, under, err := t.first(ctx, escapedKey(spaceVersion, to.bucket.ID, to.key))
	if err == nil && under != nil {
		err = fault.New(MovedOn, "")
	}
	return err
}

// checkVersion decides about deleting one version; r is nil when it is not there.
func (p *Precondition) checkVersion(key string, r *record) error {
	if !p.set() {
		return nil
	}
	if r == nil {
		return noSuchKey(key)
	}
	return p.checkObject(r)
}

// DeleteOutcome is what became of one item of DeleteMany.
type DeleteOutcome struct {
	Result *DeleteResult
	Err    error
}

// DeleteMany deletes many objects of one bucket in one commit; g[i] covers in[i]. Items whose grant or
// condition fails do not keep the others. Items on the same key take effect in their order.
func (s *Store) DeleteMany(ctx context.Context, g []authz.Grant, in []*DeleteInput) []DeleteOutcome {
	out := make([]DeleteOutcome, len(in))
	todo := make([]int, 0, len(in))
	for i := range in {
		var err error
		switch {
		case i >= len(g):
			err = authz.Grant{}.Require("s3:DeleteObject", keyARN(in[i].Bucket, in[i].Key))
		case in[i].Bucket != in[0].Bucket:
			err = invalidRequest("the objects are of more than one bucket")
		default:
			err = in[i].allowed(g[i])
		}
		if out[i].Err = err; err == nil {
			todo = append(todo, i)
		}
	}
	if len(todo) == 0 {
		return out
	}
	ctx = context.WithoutCancel(ctx)
	for range commitAttempts {
		err := s.deleteManyOnce(ctx, g, in, todo, out)
		if err == nil {
			return out
		}
		if !errors.Is(err, engine.ErrConflict) {
			failAll(out, todo, stored(err))
			return out
		}
		if err := s.refreshBucket(ctx, in[0].Bucket); err != nil {
			failAll(out, todo, err)
			return out
		}
	}
	failAll(out, todo, fault.New(Busy, ""))
	return out
}

func failAll(out []DeleteOutcome, todo []int, err error) {
	for _, i := range todo {
		out[i] = DeleteOutcome{Err: err}
	}
}

func (s *Store) deleteManyOnce(ctx context.Context, g []authz.Grant, in []*DeleteInput, todo []int, out []DeleteOutcome) error {
	name := in[0].Bucket
	b := s.buckets.get(name)
	if b == nil {
		return noSuchBucket(name)
	}
	for _, i := range s.stripesOf(b.ID, in, todo) {
		s.keyLocks[i].Lock()
		defer s.keyLocks[i].Unlock()
	}
	b.gate.RLock()
	defer b.gate.RUnlock()
	now := s.buckets.get(name)
	if now == nil || now.ID != b.ID {
		return noSuchBucket(name)
	}
	t := s.beginMany()
	for _, i := range todo {
		out[i].Result, out[i].Err = s.deleteIn(ctx, g[i], t, target{now, in[i].Key}, in[i])
		if err := out[i].Err; err != nil && fault.Of(err) == "" {
			return err
		}
	}
	if len(t.batch.Writes) == 0 {
		return nil
	}
	t.batch.Require(bucketKey(name), now.Revision)
	return t.commit(ctx)
}

// stripesOf gives the locks of all keys, each once, in the order in which they are taken.
func (s *Store) stripesOf(bucket uint64, in []*DeleteInput, todo []int) []int {
	stripes := make([]int, 0, len(todo))
	for _, i := range todo {
		stripes = append(stripes, s.stripe(bucket, in[i].Key))
	}
	slices.Sort(stripes)
	return slices.Compact(stripes)
}
