// Package calls tells EventBridge of every management call that the record has: the events that AWS calls
// "AWS API Call via CloudTrail", with CloudTrail's record as their detail. Calls that change nothing reach
// only the rules that ask for all management events, as at AWS.
//
// It follows the journal with a cursor of its own, stored with what the rules made of the calls, so that
// each is told at least once, across restarts; one that no rule wants costs no write of its own.
package calls

import (
	"context"
	"encoding/binary"
	"log/slog"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/event"
)

// DetailType of the events.
const DetailType = "AWS API Call via CloudTrail"

// Config of a Teller.
type Config struct {
	// Meta keeps the cursor. Required.
	Meta engine.Meta
	// Journal is the record of management calls. Required.
	Journal *audit.Journal
	// Bus takes the events. Required.
	Bus event.Bus
	// Log is required.
	Log *slog.Logger
}

// Teller follows the journal.
type Teller struct {
	config Config
	reader *audit.Reader
	saved  time.Time
}

var cursorKey = []byte("ev/c/calls")

const (
	slice = 100
	// maxBatch is the size of what rules make of calls after which a commit does not wait for more.
	maxBatch = 8 << 20
	// saveEvery bounds how often the cursor alone is written.
	saveEvery = 5 * time.Second
	hiccup    = time.Second
)

// New makes a Teller. The first begins with what comes next.
func New(ctx context.Context, c Config) (*Teller, error) {
	raw, _, err := c.Meta.Get(ctx, cursorKey, nil)
	if err != nil {
		return nil, err
	}
	after := c.Journal.Last()
	if len(raw) == 8 {
		after = binary.BigEndian.Uint64(raw)
	}
	return &Teller{config: c, reader: c.Journal.Reader(after)}, nil
}

// Run works until ctx ends.
func (t *Teller) Run(ctx context.Context) {
	defer t.reader.Close()
	for ctx.Err() == nil {
		entries, err := t.reader.Next(ctx, slice)
		for err == nil && len(entries) > 0 {
			var n int
			if n, err = t.tell(ctx, entries); err != nil {
				if ctx.Err() != nil {
					break
				}
				t.pause(ctx, err)
				err = nil // the same entries again
			}
			entries = entries[n:]
		}
		if err != nil && ctx.Err() == nil {
			t.pause(ctx, err)
		}
	}
}

func (t *Teller) pause(ctx context.Context, err error) {
	t.config.Log.Error("telling of calls", "err", err)
	select {
	case <-ctx.Done():
	case <-time.After(hiccup):
	}
}

// tell tells of the first n entries: of all, or of so many as fill a commit.
func (t *Teller) tell(ctx context.Context, entries []audit.Entry) (n int, err error) {
	var b engine.Batch
	var committed []func()
	for size, counted := 0, 0; n < len(entries) && size <= maxBatch; n++ {
		if e := &entries[n]; e.Category == "Management" && e.Account != "" && len(e.Record) > 0 {
			done, err := t.config.Bus.Publish(ctx, &b, eventOf(e))
			if err != nil {
				return 0, err
			}
			committed = append(committed, done)
		}
		for ; counted < len(b.Writes); counted++ {
			size += len(b.Writes[counted].Value)
		}
	}
	if now := time.Now(); len(b.Writes) == 0 && now.Sub(t.saved) < saveEvery {
		return n, nil
	}
	b.Set(cursorKey, binary.BigEndian.AppendUint64(nil, entries[n-1].Seq))
	if err := t.config.Meta.Commit(ctx, &b); err != nil {
		return 0, err
	}
	t.saved = time.Now()
	for _, done := range committed {
		done()
	}
	return n, nil
}

// eventOf is the event of a record: its source is that of the service, "aws.s3" for s3.amazonaws.com.
func eventOf(e *audit.Entry) event.Event {
	service, _, _ := strings.Cut(e.Source, ".")
	return event.Event{
		Source: "aws." + service, DetailType: DetailType, Account: e.Account, Time: e.Time(), Detail: e.Record, ReadOnly: e.ReadOnly,
	}
}
