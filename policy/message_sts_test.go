package policy

import "testing"

// TestSTSSentences: STS tells strangers what they asked for, and nothing of why not.
func TestSTSSentences(t *testing.T) {
	role := "arn:aws:iam::444455556666:role/r"
	for _, c := range []struct {
		name     string
		decision Decision
		caller   Principal
		action   string
		want     string
	}{
		{"another account's user", Decision{CrossAccount: true}, user(), "sts:AssumeRole", "User: " + alice + " is not authorized to perform: sts:AssumeRole on resource: " + role},
		{"web identity", Decision{}, callers["web identity"], "sts:AssumeRoleWithWebIdentity", "Not authorized to perform sts:AssumeRoleWithWebIdentity"},
		{"anonymous", Decision{CrossAccount: true}, callers["anonymous"], "sts:AssumeRole", AccessDenied},
		{"another service", Decision{CrossAccount: true}, user(), "s3:GetObject", AccessDenied},
		{"the own account", Decision{Layer: LayerTrust}, user(), "sts:AssumeRole", "User: " + alice + " is not authorized to perform: sts:AssumeRole on resource: " + role + " because no role trust policy allows the sts:AssumeRole action"},
		{"allowed", Decision{Effect: Allow}, user(), "sts:AssumeRole", AccessDenied},
	} {
		if got := c.decision.Message(&Request{Principal: c.caller, Action: c.action, Resource: role}); got != c.want {
			t.Errorf("%s: %s", c.name, got)
		}
	}
}
