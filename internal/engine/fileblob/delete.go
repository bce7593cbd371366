package fileblob

import (
	"context"
	"errors"
	"fmt"

	"github.com/kura-s3/kura/internal/engine"
)

// Delete implements engine.Blob. When it returns nil, a crash brings none of the blobs back.
func (s *Store) Delete(ctx context.Context, refs ...engine.Ref) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	if s.c.ReadOnly {
		return errReadOnly
	}
	touched := map[*segment]bool{}
	defer func() {
		for seg := range touched {
			s.release(seg)
		}
	}()
	var errs []error
	for _, ref := range refs {
		seg, e, err := s.find(ref)
		if errors.Is(err, engine.ErrNoBlob) {
			continue
		}
		if err != nil {
			errs = append(errs, s.damaged(err))
			continue
		}
		if err := s.kill(seg, e); err != nil {
			errs = append(errs, err)
		}
		if touched[seg] {
			s.release(seg)
		}
		touched[seg] = true
	}
	for seg := range touched {
		if !s.isRemoved(seg) {
			errs = append(errs, s.sync(seg))
		}
	}
	return errors.Join(errs...)
}

func (s *Store) isRemoved(seg *segment) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return seg.removed
}

// kill marks e, gives its space back as soon as nobody reads it, and removes a segment that has
// nothing else.
func (s *Store) kill(seg *segment, e *extent) error {
	doomed, err := s.mark(seg, e)
	if err != nil {
		return err
	}
	removed, err := s.removeIfDead(seg)
	if doomed != nil && !removed {
		err = errors.Join(err, punch(seg, doomed))
	}
	return err
}

// mark makes e dead, and returns what to punch, if that is to be done at once.
func (s *Store) mark(seg *segment, e *extent) (*extent, error) {
	seg.mu.Lock()
	defer seg.mu.Unlock()
	if err := seg.count(); err != nil && !errors.Is(err, engine.ErrDamaged) {
		return nil, err
	}
	// Another Delete may have been faster.
	now, err := seg.header(e.offset)
	if err != nil {
		return nil, err
	}
	if now == nil || now.nonce != e.nonce || now.state == stateDead {
		return nil, nil
	}
	counted := seg.cursor > 0 || now.state == stateLive
	now.state = stateDead
	if _, err := seg.file.WriteAt(now.encode(), now.offset); err != nil {
		return nil, fmt.Errorf("fileblob: %w", err)
	}
	if seg.live > 0 && counted {
		seg.live--
	}
	if r := seg.readers[now.offset]; r != nil {
		r.doomed = now
		return nil, nil
	}
	return now, nil
}

func punch(seg *segment, e *extent) error {
	if e.capacity == 0 {
		return nil
	}
	if err := seg.file.Punch(e.data(), e.capacity); err != nil {
		return fmt.Errorf("fileblob: %w", err)
	}
	return nil
}

// removeIfDead unlinks a segment that gets no more blobs and has none. Readers of deleted blobs keep
// the file until they close it.
func (s *Store) removeIfDead(seg *segment) (removed bool, err error) {
	seg.mu.Lock()
	dead := seg.live == 0 && (seg.retired || seg.cursor == 0)
	seg.mu.Unlock()
	if !dead {
		return false, nil
	}
	s.mu.Lock()
	removed = seg.removed
	seg.removed = true
	delete(s.segments, seg.id)
	s.mu.Unlock()
	if removed {
		return true, nil
	}
	err = s.fs.Remove(segmentName(seg.id))
	if err == nil {
		err = s.fs.SyncDir()
	}
	if err != nil {
		return true, fmt.Errorf("fileblob: %w", err)
	}
	return true, nil
}
