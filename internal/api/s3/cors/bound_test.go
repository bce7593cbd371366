package cors

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestAPreflightIsCheap: everybody may ask, and name as many headers as a request holds. Too many are compared with
// nothing: the last pattern would allow them.
func TestAPreflightIsCheap(t *testing.T) {
	var patterns []string
	for i := range 1500 {
		patterns = append(patterns, fmt.Sprintf("X%d", i))
	}
	c := &Config{CORSRules: []Rule{{AllowedOrigins: []string{"*"}, AllowedMethods: []string{"GET"}, AllowedHeaders: append(patterns, "a*")}}}
	h := http.Header{"Origin": {"http://a"}, "Access-Control-Request-Method": {"GET"}, "Access-Control-Request-Headers": {strings.Repeat("a,", 15_000)}}
	asked := Ask("OPTIONS", h)
	if c.Match(&asked) != nil {
		t.Error("a request with 15,000 headers is allowed")
	}
	h.Set("Access-Control-Request-Headers", strings.Repeat("a,", maxHeaders))
	if asked = Ask("OPTIONS", h); c.Match(&asked) == nil {
		t.Error("a request with many headers is refused")
	}
}
