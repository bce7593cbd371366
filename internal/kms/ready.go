package kms

import "github.com/kura-s3/kura/internal/authz"

// Ready refuses what GenerateDataKey or Decrypt (action) would be refused for, without making or opening
// anything. A service that keeps a data key for a while (S3's bucket keys) asks it in place of either.
func (s *Store) Ready(g authz.Grant, action string, k *Key, context map[string]string) error {
	_, err := s.ready(g, action, k, context)
	return err
}
