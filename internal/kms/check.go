package kms

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/kura-s3/kura/internal/engine"
)

// Check opens every material and looks whether what the records name is there. It tells report of every
// fault, and gives the number of keys. It is for a store that nobody else changes.
func (s *Store) Check(ctx context.Context, report func(where, what string)) (keys int, err error) {
	s.keys.Range(func(_, v any) bool {
		k := v.(*Key)
		keys++
		s.checkKey(ctx, k, func(what string) { report("key "+k.ARN, what) })
		return ctx.Err() == nil
	})
	s.aliases.Range(func(_, v any) bool {
		if a := v.(*Alias); s.key(a.Target) == nil {
			report("alias "+a.ARN(), "its key is not there")
		}
		return true
	})
	for _, prefix := range []string{materialPrefix, grantPrefix, usagePrefix} {
		if err := s.checkOwners(ctx, prefix, report); err != nil {
			return keys, err
		}
	}
	return keys, ctx.Err()
}

func (s *Store) checkKey(ctx context.Context, k *Key, report func(string)) {
	if specs[k.Spec].algorithms[k.Usage] == nil {
		report(fmt.Sprintf("a %s key for %s is none", k.Spec, k.Usage))
		return
	}
	if k.State == Enabled && k.current() == nil {
		report("it is enabled and has no material")
	}
	for i := range k.Materials {
		if k.Materials[i].Gone {
			continue
		}
		if _, err := s.material(ctx, k, k.Materials[i].Number); err != nil {
			report(fmt.Sprintf("material %d does not open: %v", k.Materials[i].Number, err))
		}
	}
}

// checkOwners looks for records of a kind whose key is not there: of material, that would be material of a
// key that was erased.
func (s *Store) checkOwners(ctx context.Context, prefix string, report func(where, what string)) error {
	return engine.Each(ctx, s.meta, prefix, func(record, _ []byte, _ engine.Version) error {
		id, rest, _ := strings.Cut(string(record[len(prefix):]), "/")
		k := s.key(id)
		if k == nil {
			report(string(record), "its key is not there")
			return nil
		}
		if number, err := strconv.ParseUint(rest, 16, 32); prefix == materialPrefix && (err != nil || !k.has(uint32(number))) {
			report(string(record), "its key does not know of it")
		}
		return nil
	})
}
