package trail

import (
	"context"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/pace"
)

// However busy the machine is, what a request wants delivered is delivered without a turn.
func TestARequestDoesNotWaitForTurns(t *testing.T) {
	h := newHarness(t)
	h.config.Pace = pace.New(pace.Config{Congestion: func() func() time.Duration { return func() time.Duration { return time.Second } }})
	tr := h.trail(t)
	h.happen(t, "CreateBucket")
	// The only turn there is.
	busy := make(chan struct{})
	held := make(chan struct{})
	go h.config.Pace.Do(t.Context(), "other", func(ctx context.Context) error {
		close(held)
		<-busy
		return nil
	})
	<-held
	if _, err := h.Stop(t.Context(), h.grant, tr.ARN()); err != nil {
		t.Fatal(err)
	}
	close(busy)
	if n := len(h.bucket.names(t)); n == 0 {
		t.Fatal("nothing was delivered")
	}
}
