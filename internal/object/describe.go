package object

import (
	"bytes"
	"context"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
)

// Describe tells of a version to an operation whose permission is not that of reading it (an ACL,
// a lock); it needs that operation's action on the key.
func (s *Store) Describe(ctx context.Context, g authz.Grant, action string, in *GetInput) (*Info, error) {
	if err := g.Require(action, keyARN(in.Bucket, in.Key)); err != nil {
		return nil, err
	}
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

// VerifyChecksum compares a whole body in memory with the checksum that its client states.
func VerifyChecksum(e Expected, body []byte) error {
	want, err := e.Value()
	if err != nil {
		return err
	}
	if got := e.Algorithm.sum(body); !bytes.Equal(got, want) {
		return fault.New(BadChecksum, "The "+e.Algorithm.String()+" you specified did not match the calculated checksum.")
	}
	return nil
}
