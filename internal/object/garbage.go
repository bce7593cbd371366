package object

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kura-s3/kura/internal/engine"
)

const (
	// slice bounds what one step of the drain holds and deletes.
	slice = 64
	// queueMax bounds the trash known in memory; what is beyond it is found by scanning.
	queueMax = 4096
	// drainRetry is the pause after a failure, and between looks at trash that is being read.
	drainRetry = time.Second
	// finishedFor and finishedMax bound how long completing an upload again gives the same answer.
	finishedFor  = time.Hour
	finishedMax  = 10000
	tidyInterval = time.Minute
)

// drain is the queue between the commits that unlink and the background work that deletes.
type drain struct {
	mu        sync.Mutex
	queue     []trash
	held      []trash // being read when it was looked at
	rescan    bool
	working   int
	wake      chan struct{}
	reclaimed atomic.Int64
}

func (d *drain) init() {
	d.wake = make(chan struct{}, 1)
	d.rescan = true
}

func (d *drain) signal() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

func (d *drain) add(ts []trash) {
	if len(ts) == 0 {
		return
	}
	d.mu.Lock()
	if len(d.queue)+len(ts) > queueMax {
		d.rescan = true
	} else {
		d.queue = append(d.queue, ts...)
	}
	d.mu.Unlock()
	d.signal()
}

func (d *drain) pending() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.queue) + len(d.held) + d.working
}

// take gives the next work, or tells that the trash on disk is to be scanned.
func (d *drain) take() (work []trash, rescan bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := min(slice, len(d.queue)); n > 0 {
		work = append(work, d.queue[:n]...)
		d.queue = append(d.queue[:0], d.queue[n:]...)
		d.working = n
		return work, false
	}
	d.working = 0
	rescan = d.rescan
	d.rescan = false
	return nil, rescan
}

// hold keeps trash for a later look; retry brings it back.
func (d *drain) hold(t trash) {
	d.mu.Lock()
	if len(d.held) < queueMax {
		d.held = append(d.held, t)
	} else {
		d.rescan = true
	}
	d.mu.Unlock()
}

func (d *drain) retry() {
	d.mu.Lock()
	d.queue = append(d.queue, d.held...)
	d.held = nil
	d.mu.Unlock()
	d.signal()
}

// replayIntents deletes blobs that were being written when the process ended: the commit that
// names a blob deletes its intent.
func (s *Store) replayIntents(ctx context.Context) error {
	for {
		var refs []engine.Ref
		b := engine.Batch{}
		err := s.scanSome(ctx, []byte(spaceIntent), slice, func(key, value []byte) error {
			ref, err := decodeIntent(value)
			if err != nil {
				return err
			}
			refs = append(refs, ref)
			b.Delete(bytes.Clone(key))
			return nil
		})
		if err != nil || len(refs) == 0 {
			return err
		}
		if err := s.blob.Delete(ctx, refs...); err != nil {
			return err
		}
		if err := s.meta.Commit(ctx, &b); err != nil {
			return err
		}
	}
}

// scanSome calls fn for the first records with a prefix.
func (s *Store) scanSome(ctx context.Context, prefix []byte, limit int, fn func(key, value []byte) error) error {
	lo, hi := prefixRange(prefix)
	it, err := s.meta.Scan(ctx, lo, hi)
	if err != nil {
		return err
	}
	defer it.Close()
	for n := 0; n < limit && it.Next(); n++ {
		if err := fn(it.Key(), it.Value()); err != nil {
			return err
		}
	}
	return it.Err()
}

func (s *Store) drainForever(ctx context.Context) {
	s.readers.setReleased(s.drain.retry)
	tidy := time.NewTicker(tidyInterval)
	defer tidy.Stop()
	s.tidyFinished(ctx)
	for {
		err := s.drainAll(ctx)
		wait := time.Duration(1<<62 - 1)
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			s.log.Warn("object: giving back space failed, trying again", "err", err)
			wait = drainRetry
		}
		select {
		case <-ctx.Done():
			return
		case <-s.drain.wake:
		case <-tidy.C:
			s.tidyFinished(ctx)
		case <-time.After(wait):
			s.drain.retry()
		}
	}
}

// drainAll works until nothing is left that can be deleted now.
func (s *Store) drainAll(ctx context.Context) error {
	for {
		work, rescan := s.drain.take()
		switch {
		case rescan:
			if err := s.drainStored(ctx); err != nil {
				s.drain.mu.Lock()
				s.drain.rescan = true
				s.drain.mu.Unlock()
				return err
			}
		case len(work) == 0:
			return nil
		default:
			if left, err := s.drainSlice(ctx, work); err != nil {
				s.drain.putBack(left)
				return err
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// drainStored walks the trash on disk from a cursor, in slices.
func (s *Store) drainStored(ctx context.Context) error {
	cursor := []byte(spaceTrash)
	_, end := prefixRange([]byte(spaceTrash))
	for {
		work, next, err := s.storedSlice(ctx, cursor, end)
		if err != nil || len(work) == 0 {
			return err
		}
		if _, err := s.drainSlice(ctx, work); err != nil {
			return err
		}
		cursor = next
	}
}

func (s *Store) storedSlice(ctx context.Context, lo, hi []byte) (work []trash, next []byte, err error) {
	it, err := s.meta.Scan(ctx, lo, hi)
	if err != nil {
		return nil, nil, err
	}
	defer it.Close()
	for len(work) < slice && it.Next() {
		id, ok := idAfter(it.Key())
		if !ok {
			return nil, nil, errRecord
		}
		t, err := decodeTrash(id, it.Value())
		if err != nil {
			return nil, nil, err
		}
		work = append(work, t)
		next = append(bytes.Clone(it.Key()), 0)
	}
	return work, next, it.Err()
}

// drainSlice deletes what the trash names, then the trash. Done twice it is harmless, so the second
// step need not be durable at once. It gives back what is to be tried again after an error.
func (s *Store) drainSlice(ctx context.Context, work []trash) ([]trash, error) {
	free := s.condemn(work)
	defer func() {
		for i := range free {
			s.readers.forget(free[i].about)
		}
	}()
	var refs []engine.Ref
	done := engine.Batch{Lazy: true}
	for i := range free {
		t := &free[i]
		if t.kind == trashBlob {
			refs = append(refs, t.ref)
		} else if err := s.drainStep(ctx, t); err != nil {
			return free, err
		}
		done.Delete(spaceKey(spaceTrash, t.id))
	}
	if err := s.deleteBlobs(ctx, refs); err != nil {
		return free, err
	}
	if len(done.Writes) == 0 {
		return nil, nil
	}
	return free, s.meta.Commit(ctx, &done)
}

// condemn gives the trash that nobody reads, and holds the other back.
func (s *Store) condemn(work []trash) (free []trash) {
	for _, t := range work {
		readable := t.kind == trashBlob || t.kind == trashManifest
		if readable && !s.readers.condemn(t.about) {
			s.drain.hold(t)
			if !s.readers.isPinned(t.about) { // the reader ended before it was held
				s.drain.retry()
			}
			continue
		}
		free = append(free, t)
	}
	return free
}

func (s *Store) drainStep(ctx context.Context, t *trash) error {
	switch t.kind {
	case trashManifest:
		return s.drainManifest(ctx, t)
	case trashUpload:
		return s.drainUpload(ctx, t)
	case trashBucket:
		return s.drainBucket(ctx, t)
	}
	return errRecord
}

func (d *drain) putBack(work []trash) {
	d.mu.Lock()
	d.held = append(d.held, work...)
	d.mu.Unlock()
}

func (s *Store) deleteBlobs(ctx context.Context, refs []engine.Ref) error {
	if len(refs) == 0 {
		return nil
	}
	if err := s.blob.Delete(ctx, refs...); err != nil {
		return err
	}
	s.drain.reclaimed.Add(int64(len(refs)))
	return nil
}

// drainManifest deletes the parts of a finished object, a page at a time.
func (s *Store) drainManifest(ctx context.Context, t *trash) error {
	for i := range t.pages {
		key := pageKey(t.about, i)
		raw, version, err := s.meta.Get(ctx, key, nil)
		if err != nil {
			return err
		}
		if version == 0 {
			continue
		}
		parts, err := decodePage(raw)
		if err != nil {
			return err
		}
		b := engine.Batch{Lazy: true}
		b.Delete(key)
		if err := s.drainParts(ctx, parts, &b); err != nil {
			return err
		}
	}
	return nil
}

// drainParts deletes blobs, then in one commit the small bodies and what b says already.
func (s *Store) drainParts(ctx context.Context, parts []partRecord, b *engine.Batch) error {
	var refs []engine.Ref
	for i := range parts {
		switch p := &parts[i].body; p.kind {
		case bodyBlob:
			refs = append(refs, engine.Ref(p.ref))
		case bodyInline:
			b.Delete(spaceKey(spaceBody, p.id))
		}
	}
	if err := s.deleteBlobs(ctx, refs); err != nil {
		return err
	}
	return s.meta.Commit(ctx, b)
}

// drainUpload deletes the parts of an upload that was given up, a slice at a time.
func (s *Store) drainUpload(ctx context.Context, t *trash) error {
	prefix := spaceKey(spacePart, t.about)
	for {
		var parts []partRecord
		b := engine.Batch{Lazy: true}
		err := s.scanSome(ctx, prefix, slice, func(key, value []byte) error {
			p, _, err := decodePart(bytes.Clone(value))
			parts = append(parts, p)
			b.Delete(bytes.Clone(key))
			return err
		})
		if err != nil || len(parts) == 0 {
			return err
		}
		if err := s.drainParts(ctx, parts, &b); err != nil {
			return err
		}
	}
}

// drainBucket gives up the uploads of a deleted bucket.
func (s *Store) drainBucket(ctx context.Context, t *trash) error {
	for {
		tx := s.begin()
		err := s.scanSome(ctx, spaceKey(spaceUpload, t.about), slice, func(key, _ []byte) error {
			_, number, ok := cutNumbered(key[rowPrefix:])
			if !ok {
				return errRecord
			}
			tx.batch.Delete(bytes.Clone(key))
			tx.discard(trash{kind: trashUpload, about: number})
			return nil
		})
		if err != nil || len(tx.trash) == 0 {
			return err
		}
		if err := tx.commit(ctx); err != nil {
			return err
		}
	}
}

// tidyFinished forgets finished uploads that are old or too many, oldest first.
func (s *Store) tidyFinished(ctx context.Context) {
	if err := s.tidyFinishedOnce(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, engine.ErrClosed) {
		s.log.Warn("object: forgetting finished uploads", "err", err)
	}
}

func (s *Store) tidyFinishedOnce(ctx context.Context) error {
	lo, hi := prefixRange([]byte(spaceFinished))
	it, err := s.meta.Scan(ctx, lo, hi)
	if err != nil {
		return err
	}
	defer it.Close()
	oldest := s.now().Add(-finishedFor).UnixMilli()
	var kept int64
	b := engine.Batch{Lazy: true}
	excess := s.finishedKept.Load() - finishedMax
	for it.Next() {
		f, err := decodeFinished(it.Value())
		if err == nil && f.completed >= oldest && excess <= 0 {
			kept++
			continue
		}
		excess--
		if len(b.Writes) < queueMax {
			b.Delete(bytes.Clone(it.Key()))
		}
	}
	if err := it.Err(); err != nil {
		return err
	}
	s.finishedKept.Store(kept)
	if len(b.Writes) == 0 {
		return nil
	}
	return s.meta.Commit(ctx, &b)
}
