package api

import (
	"net/http/httptest"
	"testing"
	"time"
)

// breaks is a service that panics.
type breaks struct {
	Service
	finished int
}

func (*breaks) Name() string             { return "s3" }
func (*breaks) Route(*Call) (*Op, error) { panic("broken") }
func (b *breaks) Finished(*Call)         { b.finished++ }

// TestAPanicIsAnEnd: a service hears of the end of a request that panicked too, and gives back what it held.
func TestAPanicIsAnEnd(t *testing.T) {
	b := &breaks{}
	s := &Server{config: Config{Now: time.Now}, s3: b}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		s.serve(NewCall(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)))
	}()
	if b.finished != 1 {
		t.Errorf("told %d times", b.finished)
	}
}
