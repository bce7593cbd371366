package app

import (
	"github.com/kura-s3/kura/internal/api/s3"
	"github.com/kura-s3/kura/internal/api/s3control"
	"github.com/kura-s3/kura/internal/identity"
)

// s3Accounts tells the S3 edge of the principals that policies and ACLs name.
type s3Accounts struct{ *identity.Store }

// AccountOf implements s3.Accounts.
func (a s3Accounts) AccountOf(canonicalID string) (string, bool) {
	info, ok := a.AccountByCanonicalID(canonicalID)
	return info.ID, ok
}

// CanonicalIDByEmail implements s3.Accounts.
func (a s3Accounts) CanonicalIDByEmail(address string) (string, bool) {
	info, ok := a.AccountByEmail(address)
	return info.CanonicalID, ok
}

// control makes the service that shares S3's signing name.
func (s *server) control(edge *s3.Service) s3.Control {
	return s3control.New(s3control.Config{Objects: s.objects, Authn: s.authn, BucketSide: edge.BucketSide, NeedTags: edge.NeedTags, Exposes: s.exposesAccount, Log: s.log})
}
