package s3

import (
	"context"
	"strings"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/object"
	"github.com/kura-s3/kura/policy"
)

const headerMFA = "X-Amz-Mfa"

// showMFA uses up the code that a request shows in x-amz-mfa, "SERIAL CODE", and tells whether there
// was one. The caller must be the root user of the account that owns the bucket, and the device root's: a
// user who may give itself a device would need no more than a stolen key. A code that is shown without need
// is looked at all the same: it must not seem to have been.
func (s *Service) showMFA(ctx context.Context, c *api.Call) (bool, error) {
	shown := first(c.R.Header, headerMFA)
	if shown == "" {
		return false, nil
	}
	if s.config.UseMFA == nil {
		return false, unsupported(strings.ToLower(headerMFA))
	}
	p := caller(c)
	serial, code, ok := strings.Cut(strings.TrimSpace(shown), " ")
	if !ok || p.Type != policy.RootUser || p.Account != at(c).found.Owner.Account {
		return false, denied()
	}
	if err := s.config.UseMFA(ctx, p, serial, strings.TrimSpace(code)); err != nil {
		return false, &fault.Error{Kind: authz.Denied, Cause: err}
	}
	return true, nil
}

// askedMFADelete checks who may switch MFA delete: the root user of the bucket's account, with a code.
func askedMFADelete(p *policy.Principal, b *object.Bucket, want object.MFADelete, shown bool) error {
	switch {
	case want == object.NoMFADelete, want == object.MFADeleteDisabled && b.MFADelete != object.MFADeleteEnabled:
		return nil
	case p.Type != policy.RootUser || p.Account != b.Owner.Account:
		return fault.New(authz.Denied, "This operation may only be performed by the bucket owner")
	case !shown:
		return fault.New(object.MFARequired, "")
	}
	return nil
}
