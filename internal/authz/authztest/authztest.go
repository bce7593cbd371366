// Package authztest makes Grants for tests of the domain packages, through a real Guard.
package authztest

import (
	"context"
	"testing"

	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
)

// Grant covers exactly the given pairs of action and resource; both may end in "*".
func Grant(t testing.TB, pairs ...string) authz.Grant {
	t.Helper()
	demands := make([]authz.Demand, 0, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		demands = append(demands, authz.Demand{Action: pairs[i], Resource: authz.Resource{ARN: pairs[i+1]}})
	}
	guard := authz.New(authz.Config{Recorder: Forget{}})
	grant, err := guard.System(context.Background(), "test", demands...)
	if err != nil {
		t.Fatal(err)
	}
	return grant
}

// Forget is a Recorder that keeps nothing.
type Forget struct{}

// Wants nothing.
func (Forget) Wants(*audit.Event) bool { return false }

// Begin accepts.
func (Forget) Begin(context.Context, *audit.Event) error { return nil }

// Complete accepts.
func (Forget) Complete(context.Context, *audit.Event) error { return nil }
