package pebblemeta

import (
	"fmt"
	"testing"

	"github.com/kura-s3/kura/internal/engine"
)

// What is gathered for tables leaves the cache its room: a table that was read once is not read again.
func TestTheCacheHasItsRoom(t *testing.T) {
	m, err := Open(Config{Dir: t.TempDir(), MemTable: 4 << 20, Cache: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for i := range 40 { // it gathers more at once from time to time
		var b engine.Batch
		for n := range 300 {
			b.Set(fmt.Appendf(nil, "key/%02d%03d", i, n), make([]byte, 900))
		}
		if err := m.Commit(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.db.Flush(); err != nil {
		t.Fatal(err)
	}
	read := func() int64 {
		for n := range 300 {
			if _, _, err := m.Get(t.Context(), fmt.Appendf(nil, "key/07%03d", n), nil); err != nil {
				t.Fatal(err)
			}
		}
		return m.db.Metrics().BlockCache.Misses
	}
	if first, again := read(), read(); again != first {
		t.Fatalf("%d blocks were not in the cache, then %d", first, again-first)
	}
}
