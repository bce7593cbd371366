package api

import (
	"strconv"
	"testing"

	"github.com/kura-s3/kura/internal/authz"
)

// TestNeedForgetsNothing: however many demands an operation makes, each is among those that are decided.
func TestNeedForgetsNothing(t *testing.T) {
	c := &Call{}
	for n := 1; n <= 20; n++ {
		demands := c.Need("s3:Action"+strconv.Itoa(n), authz.Resource{ARN: "*"}, nil)
		if len(demands) != n {
			t.Fatalf("after %d calls there are %d demands", n, len(demands))
		}
		for i, d := range demands {
			if want := "s3:Action" + strconv.Itoa(i+1); d.Action != want {
				t.Errorf("of %d demands, %d is %s, not %s", n, i+1, d.Action, want)
			}
		}
		_ = append(demands, authz.Demand{Action: "s3:Other"}) // an operation's own, in no later list
	}
}
