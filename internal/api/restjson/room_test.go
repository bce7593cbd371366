package restjson

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/front"
)

// TestRoomIsNotHeldBySlowBodies: a body that does not come gives way to who waits, and to nobody else.
func TestRoomIsNotHeldBySlowBodies(t *testing.T) {
	r := &room{}
	if !r.take(t.Context(), maxLarge) {
		t.Fatal("no room in an empty one")
	}
	read := func(began time.Duration) error {
		_, err := io.ReadAll(&paced{ReadCloser: io.NopCloser(strings.NewReader("slow")), room: r, began: time.Now().Add(-began)})
		return err
	}
	if err := read(time.Hour); err != nil {
		t.Error("nobody waits:", err)
	}
	got := make(chan bool, 1)
	go func() { got <- r.take(t.Context(), 1) }()
	for !r.wanted() {
		time.Sleep(time.Millisecond)
	}
	if err := read(time.Hour); !errors.Is(err, front.ErrTooManyUploads) {
		t.Error("somebody waits:", err)
	}
	if err := read(grace / 2); err != nil {
		t.Error("it has just begun:", err)
	}
	r.give(maxLarge)
	if !<-got || r.wanted() {
		t.Error("who waited got no room")
	}
	r.give(1)
	if r.taken != 0 {
		t.Error(r.taken)
	}
}
