package logs

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/kura-s3/kura/internal/engine"
)

// Check looks at everything that is stored: every chunk opens, is listed in both directions and belongs to a
// stream that is there or is being deleted. Chunks under a group's KMS key are not opened. It changes nothing.
func (s *Store) Check(ctx context.Context, report func(where, what string)) (chunks int, err error) {
	for _, g := range *s.groups.Load() {
		n, err := s.checkGroup(ctx, g, report)
		if err != nil {
			return chunks, err
		}
		chunks += n
	}
	return chunks, nil
}

func (s *Store) checkGroup(ctx context.Context, g *Group, report func(where, what string)) (chunks int, err error) {
	lo := key(bodyPrefix, g.ID)
	it, err := s.meta.Scan(ctx, lo, engine.PrefixEnd(lo))
	if err != nil {
		return 0, err
	}
	defer it.Close()
	for ; it.Next(); chunks++ {
		c, err := bodyChunk(it.Key())
		if err == nil {
			err = s.checkChunk(ctx, g, &c, it.Value())
		}
		if err != nil {
			report("log group "+g.Name, fmt.Sprintf("chunk %x: %v", it.Key()[len(bodyPrefix)+8:], err))
		}
	}
	return chunks, it.Err()
}

func (s *Store) checkChunk(ctx context.Context, g *Group, c *chunk, raw []byte) error {
	// Behind the format stands the number of the key.
	if len(raw) >= bodyHead && binary.BigEndian.Uint32(raw[1:]) == 0 {
		if err := s.unpack(ctx, g, c, raw, func(Position, int64, []byte) {}); err != nil {
			return err
		}
	} else if _, err := decodeBody(raw); err != nil {
		return err
	}
	for _, k := range [][]byte{c.forthKey(g.ID), c.backKey(g.ID)} {
		if _, v, err := s.meta.Get(ctx, k, nil); err != nil || v == 0 {
			return errors.Join(errors.New("it is not listed under its stream"), err)
		}
	}
	for _, k := range [][]byte{key(namePrefix, g.ID, c.stream), key(trashPrefix, g.ID, c.stream)} {
		if _, v, err := s.meta.Get(ctx, k, nil); err != nil || v != 0 {
			return err
		}
	}
	return errors.New("its stream is not there")
}
