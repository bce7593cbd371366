package function

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
)

// Check reads everything that is stored of functions and reports what is wrong, for the doctor. It changes
// nothing.
func Check(ctx context.Context, c Config, report func(where, what string)) error {
	if c.Meta == nil || c.Secrets == nil || c.Region == "" {
		return errors.New("function: a check needs Meta, Secrets and a Region")
	}
	s := &Store{config: c}
	functions, err := s.load(ctx)
	if err != nil {
		return err
	}
	for _, f := range functions {
		for _, conf := range append(f.All(), &f.Latest) {
			where := s.ARN(Ref{Account: f.Account, Name: f.Name, Qualifier: conf.Version})
			raw, err := s.code(ctx, conf.Code)
			if sum := sha256.Sum256(raw); err != nil || base64.StdEncoding.EncodeToString(sum[:]) != conf.Code.SHA256 {
				report(where, "its code cannot be read")
			}
			if conf.Environment == nil {
				continue
			}
			if _, err := c.Secrets.OpenSecret(ctx, environmentContext(f.ID), conf.Environment); err != nil {
				report(where, "its environment cannot be read")
			}
		}
	}
	return ctx.Err()
}
