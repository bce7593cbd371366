package delivery

import (
	"fmt"
	"testing"
	"time"
)

// What targets that are gone left behind does not stay for ever.
func TestUnusedLimitsAreForgotten(t *testing.T) {
	var l Limits
	start := time.Now()
	for i := range 1000 {
		l.of(fmt.Sprint(i), 10, start)
	}
	kept := l.of("kept", 10, start.Add(idle))
	if l.of("kept", 20, start.Add(idle+time.Second)) != kept || kept.Burst() != 20 || kept.Limit() != 20 {
		t.Errorf("a changed rate: %d, %v", kept.Burst(), kept.Limit())
	}
	if l.of("new", 10, start.Add(2*idle)); len(l.by) != 2 || l.by["kept"] == nil || l.by["new"] == nil {
		t.Errorf("%d limits", len(l.by))
	}
}

func TestTokensOfThePastAreForgotten(t *testing.T) {
	var s Destinations
	start := time.Now()
	s.keep("old", token{expires: start.Add(time.Minute)}, start)
	s.keep("good", token{expires: start.Add(time.Hour)}, start)
	s.keep("new", token{expires: start.Add(time.Hour)}, start.Add(2*time.Minute))
	if _, old := s.tokens["old"]; old || len(s.tokens) != 2 {
		t.Errorf("%v", s.tokens)
	}
}
