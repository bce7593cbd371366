package delivery

import (
	"fmt"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/event"
)

// What destinations and connections that are gone left behind does not stay for ever.
func TestUnusedLimitsAndTokensAreForgotten(t *testing.T) {
	s := &Destinations{tokens: map[string]token{}}
	call := func(name string) { s.limiter(&event.Invocation{Destination: event.Destination{ARN: name, Rate: 10}}) }
	for i := range 1000 {
		call(fmt.Sprint(i))
	}
	s.tokens["old"] = token{expires: time.Now().Add(-time.Second)}
	s.tokens["good"] = token{expires: time.Now().Add(time.Hour)}
	for _, l := range s.limits {
		l.used = l.used.Add(-2 * idle)
	}
	s.swept = s.swept.Add(-2 * idle)
	call("new")
	if len(s.limits) != 1 || s.limits["new"] == nil || len(s.tokens) != 1 {
		t.Errorf("%d limits, %d tokens", len(s.limits), len(s.tokens))
	}
	if l := s.limiter(&event.Invocation{Destination: event.Destination{ARN: "new", Rate: 20}}); l.Burst() != 20 || len(s.limits) != 1 {
		t.Errorf("a changed rate: %d", l.Burst())
	}
}
