package calls

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"testing"

	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/engine/memory"
	"github.com/kura-s3/kura/internal/event"
)

// multiplied makes much of each event.
type multiplied struct{ made, committed int }

func (m *multiplied) Publish(_ context.Context, b *engine.Batch, events ...event.Event) (func(), error) {
	for range events {
		m.made++
		b.Set(fmt.Appendf(nil, "made/%d", m.made), make([]byte, 3<<20))
	}
	return func() { m.committed += len(events) }, nil
}

// TestCommitsAreBounded: rules may make much of every call, and a commit is in memory.
func TestCommitsAreBounded(t *testing.T) {
	bus, meta := &multiplied{}, memory.NewMeta()
	teller := &Teller{config: Config{Meta: meta, Bus: bus, Log: slog.New(slog.DiscardHandler)}}
	var entries []audit.Entry
	for i := range 10 {
		entries = append(entries, audit.Entry{Seq: uint64(i + 1), Note: audit.Note{Category: "Management", Account: "111122223333"}, Record: []byte(`{}`)})
	}
	for told := 0; told < len(entries); {
		n, err := teller.tell(t.Context(), entries[told:])
		if err != nil || n < 1 || n > 3 {
			t.Fatalf("%d entries in one commit: %v", n, err)
		}
		told += n
		raw, _, err := meta.Get(t.Context(), cursorKey, nil)
		if err != nil || len(raw) != 8 || binary.BigEndian.Uint64(raw) != uint64(told) || bus.committed != told || bus.made != told {
			t.Fatalf("after %d entries: cursor %x, %+v, %v", told, raw, bus, err)
		}
	}
}
