package function

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/function/runner"
)

// Limits of code (Lambda quotas).
const (
	// MaxZip bounds a zip, uploaded or read from a bucket.
	MaxZip       = 50 << 20
	MaxCode      = 75 << 30 // of an account
	piece        = 1 << 20
	commitPieces = 8
)

// codeContext binds a piece of code to its place.
func codeContext(id uint64, number int) []byte {
	b := binary.BigEndian.AppendUint64([]byte("function code\x00"), id)
	return binary.BigEndian.AppendUint32(b, uint32(number))
}

func codeKey(id uint64, number int) []byte {
	b := binary.BigEndian.AppendUint64([]byte(codePrefix), id)
	return binary.BigEndian.AppendUint32(b, uint32(number))
}

// checkCode holds a zip to what Lambda takes.
func (s *Store) checkCode(account string, raw []byte) (Code, error) {
	if len(raw) > MaxZip {
		return Code{}, refuse(TooLarge, "Request must be smaller than %d bytes for the CreateFunction operation", MaxZip)
	}
	switch err := runner.CheckCode(raw); {
	case len(raw) == 0, errors.Is(err, runner.ErrCodeEmpty):
		return Code{}, invalid("Uploaded file must be a non-empty zip")
	case errors.Is(err, runner.ErrCodeSize):
		return Code{}, invalid("Unzipped size must be smaller than %d bytes", runner.MaxUnzipped)
	case err != nil:
		return Code{}, invalid("Could not unzip uploaded file. Please check your file, then try to upload again.")
	}
	if s.codeOf(account)+int64(len(raw)) > MaxCode {
		return Code{}, refuse(CodeStorage, "Code storage limit exceeded.")
	}
	sum := sha256.Sum256(raw)
	return Code{SHA256: base64.StdEncoding.EncodeToString(sum[:]), Size: int64(len(raw))}, nil
}

// codeOf is how much code an account stores.
func (s *Store) codeOf(account string) (n int64) {
	for _, f := range *s.functions.Load() {
		if f.Account != account {
			continue
		}
		n += f.Latest.Code.Size
		for _, c := range f.Versions {
			n += c.Code.Size
		}
	}
	return n
}

// putCode stores a zip under a new id. Until a function has it, it is of no function: Open removes such code.
func (s *Store) putCode(ctx context.Context, account string, raw []byte) (Code, error) {
	c, err := s.checkCode(account, raw)
	if err != nil {
		return c, err
	}
	c.ID = s.unique()
	var b engine.Batch
	for number := 0; number*piece < len(raw); number++ {
		part := raw[number*piece : min(len(raw), (number+1)*piece)]
		b.Set(codeKey(c.ID, number), s.config.Secrets.SealSecret(codeContext(c.ID, number), part))
		if len(b.Writes) < commitPieces && (number+1)*piece < len(raw) {
			continue
		}
		if err := s.config.Meta.Commit(ctx, &b); err != nil {
			s.dropCode(ctx, c.ID)
			return c, err
		}
		b = engine.Batch{}
	}
	return c, nil
}

// dropCode removes code that no function has any more. What fails is removed at the next start.
func (s *Store) dropCode(ctx context.Context, id uint64) {
	lo := binary.BigEndian.AppendUint64([]byte(codePrefix), id)
	var b engine.Batch
	b.DeleteRange(lo, engine.PrefixEnd(lo))
	if err := s.config.Meta.Commit(context.WithoutCancel(ctx), &b); err != nil {
		s.config.Log.Error("functions: old code is not removed", "code", id, "err", err)
	}
}

// code reads a zip.
func (s *Store) code(ctx context.Context, c Code) ([]byte, error) {
	raw := make([]byte, 0, c.Size)
	for number := 0; int64(len(raw)) < c.Size; number++ {
		sealed, v, err := s.config.Meta.Get(ctx, codeKey(c.ID, number), nil)
		if err != nil {
			return nil, err
		}
		if v == 0 {
			return nil, fmt.Errorf("function: piece %d of code %d is missing", number, c.ID)
		}
		part, err := s.config.Secrets.OpenSecret(ctx, codeContext(c.ID, number), sealed)
		if err != nil {
			return nil, err
		}
		raw = append(raw, part...)
	}
	return raw, nil
}

// reader gives a zip to the runner.
func (s *Store) reader(c Code) func(context.Context) (io.ReaderAt, int64, error) {
	return func(ctx context.Context) (io.ReaderAt, int64, error) {
		raw, err := s.code(ctx, c)
		return bytes.NewReader(raw), int64(len(raw)), err
	}
}

// uses tells whether a configuration of f has that code.
func (f *Function) uses(id uint64) bool {
	if f.Latest.Code.ID == id {
		return true
	}
	for _, c := range f.Versions {
		if c.Code.ID == id {
			return true
		}
	}
	return false
}

// sweepCode removes code that no function has: an upload that a crash cut off.
func (s *Store) sweepCode(ctx context.Context) error {
	used := map[uint64]bool{}
	for _, f := range *s.functions.Load() {
		used[f.Latest.Code.ID] = true
		for _, c := range f.Versions {
			used[c.Code.ID] = true
		}
	}
	it, err := s.config.Meta.Scan(ctx, []byte(codePrefix), engine.PrefixEnd([]byte(codePrefix)))
	if err != nil {
		return err
	}
	defer it.Close()
	var unused []uint64
	for ok := it.Next(); ok; {
		if len(it.Key()) < len(codePrefix)+8 {
			return fmt.Errorf("function: record %q", it.Key())
		}
		id := binary.BigEndian.Uint64(it.Key()[len(codePrefix):])
		if !used[id] {
			unused = append(unused, id)
		}
		ok = it.SeekGE(binary.BigEndian.AppendUint64([]byte(codePrefix), id+1))
	}
	for _, id := range unused {
		s.dropCode(ctx, id)
	}
	return it.Err()
}
