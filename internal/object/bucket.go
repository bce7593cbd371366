package object

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/feed"
)

// commitAttempts bounds the retries after engine.ErrConflict.
const commitAttempts = 8

// bucketRecord is the stored form of a Bucket.
type bucketRecord struct {
	Format int
	Bucket
}

const formatBucket = 1

func encodeBucket(b *Bucket) ([]byte, error) {
	return json.Marshal(bucketRecord{Format: formatBucket, Bucket: *b})
}

func decodeBucket(raw []byte, v engine.Version) (*Bucket, error) {
	var r bucketRecord
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, fmt.Errorf("%w: %w", errRecord, err)
	}
	if r.Format != formatBucket || r.Name == "" || r.ID == 0 {
		return nil, fmt.Errorf("%w: bucket", errRecord)
	}
	b := r.Bucket
	b.Revision = v
	b.gate, b.memo, b.replicas, b.lock = new(sync.RWMutex), new(memo), new(memo), lockStateOf(b.Settings)
	return &b, nil
}

// reloadInterval bounds how often commits (mostly our own) make us look at all records again.
const reloadInterval = time.Second

// reload follows what other nodes change.
func (s *Store) reload(ctx context.Context, changed <-chan struct{}, what string, load func(context.Context) error) {
	for {
		select {
		case <-ctx.Done():
			return
		case _, ok := <-changed:
			if !ok {
				return
			}
		}
		if err := load(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("object: reloading "+what, "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(reloadInterval):
		}
	}
}

// Bucket resolves a name, from memory. It decides nothing.
func (s *Store) Bucket(name string) (*Bucket, error) {
	if b := s.buckets.get(name); b != nil {
		return b, nil
	}
	return nil, noSuchBucket(name)
}

// CreateBucketInput describes a new bucket.
type CreateBucketInput struct {
	Name       string
	Owner      Owner
	Region     string
	Versioning Versioning
	Tags       []Tag
	Settings   map[string][]byte
}

// CreateBucket needs s3:CreateBucket.
func (s *Store) CreateBucket(ctx context.Context, g authz.Grant, in CreateBucketInput) (*Bucket, error) {
	b := &Bucket{
		Name: in.Name, Owner: in.Owner, Region: in.Region, Created: time.UnixMilli(s.millis()).UTC(),
		Versioning: in.Versioning, Tags: slices.Clone(in.Tags), Settings: cloneSettings(in.Settings),
		gate: new(sync.RWMutex),
	}
	if err := g.Require("s3:CreateBucket", b.ARN()); err != nil {
		return nil, err
	}
	if err := CheckBucketName(in.Name); err != nil {
		return nil, err
	}
	if err := checkLockChange(lockState{}, b); err != nil {
		return nil, err
	}
	t := &s.buckets
	t.making.Lock()
	defer t.making.Unlock()
	lock := t.lock(in.Name)
	lock.Lock()
	defer lock.Unlock()
	if err := t.mayCreate(&in, s.maxBuckets); err != nil {
		return nil, err
	}
	ctx = context.WithoutCancel(ctx)
	var encodeErr error
	told := func() {}
	defer func() { told() }() // when the bucket is there: some who hear of it look at it
	_, err := nextCounter(ctx, s.meta, counterBucket, func(batch *engine.Batch, id uint64) {
		b.ID = id
		raw, err := encodeBucket(b)
		batch.Require(bucketKey(in.Name), 0)
		batch.Set(bucketKey(in.Name), raw)
		told()
		var feedErr error
		told, feedErr = s.tell(batch, g, feed.Entry{Kind: feed.Bucket, Account: b.Owner.Account, Resource: in.Name, After: raw})
		encodeErr = errors.Join(encodeErr, err, feedErr)
	})
	if err := errors.Join(encodeErr, err); err != nil {
		return nil, bucketCommitError(in.Name, err)
	}
	if err := s.republish(ctx, in.Name); err != nil {
		return nil, err
	}
	return t.get(in.Name), nil
}

func bucketCommitError(name string, err error) error {
	if errors.Is(err, engine.ErrConflict) {
		return &fault.Error{Kind: Busy, Cause: fmt.Errorf("bucket %q: %w", name, err)}
	}
	return stored(err)
}

func (t *bucketTable) mayCreate(in *CreateBucketInput, limit int) error {
	if old := t.get(in.Name); old != nil {
		kind := BucketExists
		if old.Owner.Account == in.Owner.Account {
			kind = BucketOwned
		}
		return fault.New(kind, "", "BucketName", in.Name)
	}
	if t.ownedBy(in.Owner.Account) >= limit {
		return fault.New(TooManyBuckets, "")
	}
	return nil
}

// DeleteBucket needs s3:DeleteBucket. A bucket with an object, an older version or a delete marker
// stays (BucketNotEmpty). Uploads under way do not keep it: they are given up, as on AWS.
func (s *Store) DeleteBucket(ctx context.Context, g authz.Grant, name string) error {
	if err := g.Require("s3:DeleteBucket", "arn:aws:s3:::"+name); err != nil {
		return err
	}
	t := &s.buckets
	lock := t.lock(name)
	lock.Lock()
	defer lock.Unlock()
	b := t.get(name)
	if b == nil {
		return noSuchBucket(name)
	}
	b.gate.Lock()
	defer b.gate.Unlock()
	for _, space := range []string{spaceHead, spaceMarker, spaceVersion} {
		empty, err := s.emptyRange(ctx, spaceKey(space, b.ID))
		if err != nil {
			return stored(err)
		}
		if !empty {
			return fault.New(BucketNotEmpty, "", "BucketName", name)
		}
	}
	ctx = context.WithoutCancel(ctx)
	tx := s.begin()
	tx.batch.Require(bucketKey(name), b.Revision)
	tx.batch.Delete(bucketKey(name))
	tx.discard(trash{kind: trashBucket, about: b.ID})
	before, err := encodeBucket(b)
	if err != nil {
		return err
	}
	told, err := s.tell(&tx.batch, g, feed.Entry{Kind: feed.Bucket, Account: b.Owner.Account, Resource: name, Gone: true, Before: before})
	if err != nil {
		return err
	}
	defer told()
	if err := tx.commit(ctx); err != nil {
		if errors.Is(err, engine.ErrConflict) {
			err = errors.Join(err, s.republish(ctx, name))
		}
		return bucketCommitError(name, err)
	}
	t.publish(name, nil)
	return nil
}

func (s *Store) emptyRange(ctx context.Context, prefix []byte) (bool, error) {
	lo, hi := prefixRange(prefix)
	it, err := s.meta.Scan(ctx, lo, hi)
	if err != nil {
		return false, err
	}
	defer it.Close()
	found := it.Next()
	return !found, it.Err()
}

// ListBuckets gives the buckets that account owns, by name. It needs s3:ListAllMyBuckets on "*".
func (s *Store) ListBuckets(_ context.Context, g authz.Grant, account string) ([]*Bucket, error) {
	if err := g.Require("s3:ListAllMyBuckets", "*"); err != nil {
		return nil, err
	}
	var out []*Bucket
	s.buckets.all(func(b *Bucket) {
		if b.Owner.Account == account {
			out = append(out, b)
		}
	})
	slices.SortFunc(out, func(a, b *Bucket) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// UpdateBucket changes a bucket's configuration and needs action on it. Change gets a deep copy and
// is called again when somebody else changed the bucket meanwhile; its error ends the update and
// comes back unchanged. No account is changed between change and the end. What it made holds for every
// request that begins after UpdateBucket returned.
func (s *Store) UpdateBucket(ctx context.Context, g authz.Grant, action, name string, change func(*Bucket) error) (*Bucket, error) {
	if err := g.Require(action, "arn:aws:s3:::"+name); err != nil {
		return nil, err
	}
	t := &s.buckets
	lock := t.lock(name)
	lock.Lock()
	defer lock.Unlock()
	s.accounts.changes.RLock()
	defer s.accounts.changes.RUnlock()
	ctx = context.WithoutCancel(ctx)
	for range commitAttempts {
		old := t.get(name)
		if old == nil {
			return nil, noSuchBucket(name)
		}
		b, err := s.updateOnce(ctx, g, old, change)
		if err == nil {
			return b, nil
		}
		if !errors.Is(err, engine.ErrConflict) {
			return nil, stored(err)
		}
		if err := s.republish(ctx, name); err != nil {
			return nil, err
		}
	}
	return nil, bucketCommitError(name, engine.ErrConflict)
}

func (s *Store) updateOnce(ctx context.Context, g authz.Grant, old *Bucket, change func(*Bucket) error) (*Bucket, error) {
	next := *old
	next.memo, next.replicas = nil, nil // old's, and the copy is about to change
	next.Tags, next.Settings = slices.Clone(old.Tags), cloneSettings(old.Settings)
	if err := change(&next); err != nil {
		return nil, err
	}
	next.Name, next.ID, next.Owner, next.Created = old.Name, old.ID, old.Owner, old.Created
	if next.MFADelete > MFADeleteEnabled || next.Versioning > VersioningSuspended || next.Versioning == Unversioned && old.Versioning != Unversioned {
		return nil, fault.New(InvalidBucketState, "versioning cannot be taken back, only suspended")
	}
	if err := checkLockChange(old.lock, &next); err != nil {
		return nil, err
	}
	if err := checkReplicationChange(&next); err != nil {
		return nil, err
	}
	raw, err := encodeBucket(&next)
	if err != nil {
		return nil, err
	}
	var batch engine.Batch
	batch.Require(bucketKey(old.Name), old.Revision)
	batch.Set(bucketKey(old.Name), raw)
	before, err := encodeBucket(old)
	if err != nil {
		return nil, err
	}
	// Writers of objects commit under the gate and expect this bucket record: none runs meanwhile. The feed is told when they
	// are through: from then on it waits for the commit.
	old.gate.Lock()
	defer old.gate.Unlock()
	told, err := s.tell(&batch, g, feed.Entry{Kind: feed.Bucket, Account: old.Owner.Account, Resource: old.Name, Before: before, After: raw})
	if err != nil {
		return nil, err
	}
	defer told()
	if err := s.meta.Commit(ctx, &batch); err != nil {
		return nil, err
	}
	b, err := decodeBucket(raw, batch.Version)
	if err != nil {
		return nil, err
	}
	b.gate = old.gate
	s.buckets.publish(old.Name, b)
	return b, nil
}

// tell adds a change to the feed with the batch that makes it; done is called when the batch's commit
// has ended. It fills in who made it.
func (s *Store) tell(b *engine.Batch, g authz.Grant, e feed.Entry) (done func(), err error) {
	if s.feed == nil {
		return func() {}, nil
	}
	made := feed.Made(e.Kind, g.Event())
	made.Account, made.Resource, made.Gone, made.Before, made.After = e.Account, e.Resource, e.Gone, e.Before, e.After
	return s.feed.Add(b, made)
}

func cloneSettings(m map[string][]byte) map[string][]byte {
	out := make(map[string][]byte, len(m))
	for k, v := range m {
		out[k] = bytes.Clone(v)
	}
	return out
}
