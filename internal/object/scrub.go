package object

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/pace"
)

// ScrubJob is the name under which a Scrub works.
const ScrubJob = "scrub"

// ScrubConfig says how a Scrub goes.
type ScrubConfig struct {
	// BytesPerSecond bounds what is read. 0: as fast as it goes.
	BytesPerSecond int64
	// Pace gives the turns in which it is read. Nil: at once.
	Pace *pace.Pacer
	// Report is told of every damaged body. Required.
	Report func(Problem)
}

// Scrub reads every current and older version once, slowly, while the store is at work, and reports
// what does not authenticate. An object that was replaced or deleted meanwhile is no problem.
func (s *Store) Scrub(ctx context.Context, c ScrubConfig) (Summary, error) {
	var sum Summary
	rate := &byteRate{rate: c.BytesPerSecond, begun: time.Now()}
	buckets := map[uint64]*Bucket{}
	s.buckets.all(func(b *Bucket) { buckets[b.ID] = b })
	sum.Buckets = int64(len(buckets))
	for _, space := range []string{spaceHead, spaceVersion} {
		cursor, end := prefixRange([]byte(space))
		for cursor != nil {
			err := c.Pace.Do(ctx, ScrubJob, func(ctx context.Context) (err error) {
				cursor, err = s.scrubSome(ctx, cursor, end, buckets, rate, &sum, c.Report)
				return err
			})
			if err != nil {
				return sum, err
			}
		}
	}
	return sum, nil
}

// scrubSome reads some rows and what they are of, and tells where to go on: nowhere when that was all.
func (s *Store) scrubSome(ctx context.Context, cursor, end []byte, buckets map[uint64]*Bucket, rate *byteRate, sum *Summary, report func(Problem)) (next []byte, err error) {
	rows, err := s.scrubSlice(ctx, cursor, end)
	if err != nil {
		return nil, stored(err)
	}
	for i := range rows {
		next = append(slices.Clone(rows[i].place), 0)
		if err := s.scrubRow(ctx, buckets, &rows[i], rate, sum, report); err != nil {
			return nil, err
		}
		if err := pace.Breathe(ctx); err != nil {
			return nil, err
		}
	}
	return next, nil
}

// scrubSlice reads some rows and lets the snapshot go: reading bodies takes long.
func (s *Store) scrubSlice(ctx context.Context, lo, hi []byte) ([]found, error) {
	it, err := s.meta.Scan(ctx, lo, hi)
	if err != nil {
		return nil, err
	}
	defer it.Close()
	var rows []found
	for len(rows) < slice && it.Next() {
		rows = append(rows, found{place: slices.Clone(it.Key()), raw: slices.Clone(it.Value()), version: it.Version()})
	}
	return rows, it.Err()
}

func (s *Store) scrubRow(ctx context.Context, buckets map[uint64]*Bucket, f *found, rate *byteRate, sum *Summary, report func(Problem)) error {
	id, _ := idAfter(f.place)
	b := buckets[id]
	if b == nil {
		return ctx.Err() // a bucket that was made or deleted meanwhile
	}
	where := fmt.Sprintf("%s/%s", b.Name, f.place[rowPrefix:])
	err := f.decode(f.raw)
	if err == nil && !f.marker {
		sum.Bodies++
		sum.Bytes += f.size
		var locked bool
		if locked, err = s.readThrough(ctx, b.ID, &f.body, f.size, rate); locked {
			sum.Locked++
		}
	}
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	if _, version, getErr := s.meta.Get(ctx, f.place, nil); getErr != nil || version != f.version {
		return getErr
	}
	if fault.Of(err) == "" && !errors.Is(err, errGone) && !errors.Is(err, errRecord) {
		return err
	}
	sum.Problems++
	report(Problem{Where: where, What: err.Error()})
	return nil
}

// byteRate keeps a long read from taking all of a disk.
type byteRate struct {
	rate  int64
	begun time.Time
	done  int64
}

func (p *byteRate) took(ctx context.Context, n int) error {
	if p == nil || p.rate <= 0 {
		return pace.Breathe(ctx)
	}
	p.done += int64(n)
	due := time.Duration(float64(p.done) / float64(p.rate) * float64(time.Second))
	wait := due - time.Since(p.begun)
	if wait <= 0 {
		return pace.Breathe(ctx)
	}
	return pace.Aside(ctx, func() error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
			return nil
		}
	})
}

// pacedDiscard forgets what it is given, no faster than its rate.
type pacedDiscard struct {
	ctx  context.Context
	rate *byteRate
}

var _ io.Writer = (*pacedDiscard)(nil)

func (d *pacedDiscard) Write(p []byte) (int, error) {
	return len(p), d.rate.took(d.ctx, len(p))
}

// readThrough reads and authenticates a body, at most rate allows. One that is locked, because its key
// belongs to a KMS key or to a customer, is read and measured, and what the store's own key seals of
// it is authenticated.
func (s *Store) readThrough(ctx context.Context, bucket uint64, b *body, size int64, rate *byteRate) (locked bool, err error) {
	r, err := s.openBody(ctx, bucket, b, nil, size, 0, size)
	if fault.Is(err, KeyRequired) {
		return true, s.readLocked(ctx, bucket, b, size, rate)
	}
	if err != nil {
		return false, err
	}
	defer r.Close()
	n, err := r.WriteTo(&pacedDiscard{ctx: ctx, rate: rate})
	if err == nil && n != size {
		err = damaged("a body ends early", nil)
	}
	return false, err
}

func (s *Store) readLocked(ctx context.Context, bucket uint64, b *body, size int64, rate *byteRate) error {
	if b.kind == bodyInline {
		return s.readLockedInline(ctx, bucket, b, size)
	}
	if !s.readers.pin(b.id) {
		return errGone
	}
	defer s.readers.unpin(b.id)
	if b.kind == bodyBlob {
		return s.readLockedBlob(ctx, bucket, b, size, rate)
	}
	var total int64
	for number := range b.pages {
		parts, err := s.readPage(ctx, b, number)
		if err != nil {
			return err
		}
		for i := range parts {
			p := &parts[i]
			total += p.size
			if err := s.readLockedPart(ctx, bucket, p, rate); err != nil {
				return err
			}
		}
	}
	if total != size {
		return damaged("the parts of a body are not as long as the body", nil)
	}
	return nil
}

func (s *Store) readLockedPart(ctx context.Context, bucket uint64, p *partRecord, rate *byteRate) error {
	switch p.body.kind {
	case bodyInline:
		return s.readLockedInline(ctx, bucket, &p.body, p.size)
	case bodyBlob:
		return s.readLockedBlob(ctx, bucket, &p.body, p.size, rate)
	}
	return nil
}

func (s *Store) readLockedInline(ctx context.Context, bucket uint64, b *body, size int64) error {
	sealed, version, err := s.meta.Get(ctx, spaceKey(spaceBody, b.id), nil)
	if err != nil {
		return stored(err)
	}
	if version == 0 {
		return errGone
	}
	if int64(len(sealed)) != b.sealing.sealedSize(size) {
		return damaged("a body is not as long as it was", nil)
	}
	_, err = s.openOuter(ctx, bucket, b, sealed)
	return err
}

func (s *Store) readLockedBlob(ctx context.Context, bucket uint64, b *body, size int64, rate *byteRate) error {
	src, err := s.blob.Open(ctx, engine.Ref(b.ref))
	if errors.Is(err, engine.ErrNoBlob) {
		return errGone
	}
	if err != nil {
		return stored(err)
	}
	defer src.Close()
	if src.Size() != b.sealing.sealedSize(size) {
		return damaged("a body is not as long as it was", nil)
	}
	from, length, err := s.source(ctx, bucket, b, src)
	if err != nil {
		return err
	}
	n, err := io.Copy(&pacedDiscard{ctx: ctx, rate: rate}, io.NewSectionReader(from, 0, length))
	if err == nil && n != length {
		err = damaged("a body ends early", nil)
	}
	return s.noticeDamage(err)
}
