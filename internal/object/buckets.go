package object

import (
	"slices"
	"strings"
)

// Buckets are all buckets of all accounts, by name, from memory. It decides nothing: background jobs
// find their work with it.
func (s *Store) Buckets() []*Bucket {
	out := make([]*Bucket, 0, s.buckets.count())
	s.buckets.all(func(b *Bucket) { out = append(out, b) })
	slices.SortFunc(out, func(a, b *Bucket) int { return strings.Compare(a.Name, b.Name) })
	return out
}
