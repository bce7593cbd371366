package lifecycle

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/object"
)

// progressPrefix, with a bucket's id behind it, is where its walk is kept.
const progressPrefix = "l/p/"

// progress is how far the walk of a bucket has come.
type progress struct {
	Format int
	// Day and Rules tell which walk it is: that of a day, by rules of a digest.
	Day   int64
	Rules [32]byte
	// After is the last key that is settled; Uploads: the keys are, and the uploads are being looked at;
	// Done: all is.
	After   []byte `json:",omitempty"`
	Uploads bool   `json:",omitempty"`
	Done    bool   `json:",omitempty"`
}

func (p *progress) same(q *progress) bool { return p.Day == q.Day && p.Rules == q.Rules }

func progressKey(bucket uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte(progressPrefix), bucket)
}

// load gives nil when the bucket was never walked.
func (r *Runner) load(ctx context.Context, bucket uint64) (*progress, error) {
	raw, version, err := r.options.Meta.Get(ctx, progressKey(bucket), nil)
	if err != nil || version == 0 {
		return nil, err
	}
	p := &progress{}
	if err := json.Unmarshal(raw, p); err != nil || p.Format != format {
		return nil, fmt.Errorf("%w: the walk of bucket %d", errConfig, bucket)
	}
	return p, nil
}

func (r *Runner) save(ctx context.Context, bucket uint64, p *progress) error {
	p.Format = format
	raw, err := json.Marshal(p)
	if err != nil {
		return err
	}
	var b engine.Batch
	b.Set(progressKey(bucket), raw)
	return r.options.Meta.Commit(ctx, &b)
}

// sweep drops the walks of buckets that lost their rules, or went, while nobody looked.
func (r *Runner) sweep(ctx context.Context) error {
	keep := map[string]bool{}
	for _, b := range r.options.Objects.Configured(Setting) {
		keep[string(progressKey(b.ID))] = true
	}
	it, err := r.options.Meta.Scan(ctx, []byte(progressPrefix), engine.PrefixEnd([]byte(progressPrefix)))
	if err != nil {
		return err
	}
	defer it.Close()
	var batch engine.Batch
	for it.Next() {
		if key := it.Key(); !keep[string(key)] {
			batch.Delete(bytes.Clone(key))
		}
	}
	if err := it.Err(); err != nil || len(batch.Writes) == 0 {
		return err
	}
	return r.options.Meta.Commit(ctx, &batch)
}

// forget drops the walks of buckets that have no rules any more.
func (r *Runner) forget(ctx context.Context, configured []*object.Bucket) error {
	if len(r.done) <= len(configured) {
		return nil
	}
	keep := make(map[uint64]bool, len(configured))
	for _, b := range configured {
		keep[b.ID] = true
	}
	var batch engine.Batch
	for id := range r.done {
		if !keep[id] {
			batch.Delete(progressKey(id))
			delete(r.done, id)
		}
	}
	if len(batch.Writes) == 0 {
		return nil
	}
	return r.options.Meta.Commit(ctx, &batch)
}
