package pebblemeta

import (
	"context"
	"encoding/binary"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/engine"
)

// TestSpaceOfDeletedValuesComesBack, also when nothing is written any more.
func TestSpaceOfDeletedValuesComesBack(t *testing.T) {
	m, err := Open(Config{Dir: t.TempDir(), MemTable: 1 << 20, Reclaim: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	const records, size = 2000, 16 << 10
	key := func(i int) []byte { return binary.BigEndian.AppendUint64([]byte{'b'}, uint64(i)) }
	change := func(step func(*engine.Batch, int)) {
		t.Helper()
		for i := 0; i < records; i += 100 {
			b := &engine.Batch{}
			for j := i; j < i+100; j++ {
				step(b, j)
			}
			if err := m.Commit(context.Background(), b); err != nil {
				t.Fatal(err)
			}
		}
	}
	value := make([]byte, size)
	change(func(b *engine.Batch, i int) { b.Set(key(i), value) })
	full := m.db.Metrics().DiskSpaceUsage()
	if full < records*size {
		t.Fatalf("only %d bytes are used for %d", full, records*size)
	}
	change(func(b *engine.Batch, i int) { b.Delete(key(i)) })
	deadline := time.Now().Add(time.Minute)
	for {
		left := m.db.Metrics().DiskSpaceUsage()
		if left < full/4 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d bytes are still used", left, full)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
