package cors

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestAPreflightIsCheap: everybody may ask, and name as many headers as a request holds.
func TestAPreflightIsCheap(t *testing.T) {
	var patterns []string
	for i := range 1500 {
		patterns = append(patterns, fmt.Sprintf("X%d", i))
	}
	c := &Config{CORSRules: []Rule{{AllowedOrigins: []string{"*"}, AllowedMethods: []string{"GET"}, AllowedHeaders: append(patterns, "a*")}}}
	h := http.Header{"Origin": {"http://a"}, "Access-Control-Request-Method": {"GET"}, "Access-Control-Request-Headers": {strings.Repeat("a,", 15_000)}}
	began := time.Now()
	asked := Ask("OPTIONS", h)
	r := c.Match(&asked)
	if took := time.Since(began); took > 100*time.Millisecond {
		t.Errorf("a preflight took %v", took)
	}
	if r != nil {
		t.Error("a request with 15,000 headers is allowed")
	}
	h.Set("Access-Control-Request-Headers", strings.Repeat("a,", maxHeaders))
	if asked = Ask("OPTIONS", h); c.Match(&asked) == nil {
		t.Error("a request with many headers is refused")
	}
}
