package s3

import (
	"github.com/kura-s3/kura/internal/api/wire/s3wire"
	"github.com/kura-s3/kura/internal/object"
)

func (s *Service) wireOwner(o object.Owner) *s3wire.Owner {
	return &s3wire.Owner{ID: &o.Canonical, DisplayName: s.displayName(o)}
}

// displayName is nil where the account has no name.
func (s *Service) displayName(o object.Owner) *string {
	if name := s.config.DisplayName(o.Account); name != "" {
		return &name
	}
	return nil
}
