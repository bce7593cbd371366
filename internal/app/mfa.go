package app

import (
	"context"

	"github.com/kura-s3/kura/internal/identity"
	"github.com/kura-s3/kura/policy"
)

// useMFA uses up a code of the caller's own MFA device.
func (s *server) useMFA(ctx context.Context, p *policy.Principal, serial, code string) error {
	return s.identities.UseMFACode(ctx, *p, identity.MFA{SerialNumber: serial, TokenCode: code})
}
