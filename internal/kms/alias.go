package kms

import (
	"errors"
	"fmt"
)

const (
	aliasPrefix    = "alias/"
	reservedPrefix = "alias/aws/"
)

var errQuicker = errors.New("kms: somebody else made it")

// setAlias stores an alias in a change.
func (c *change) setAlias(a *Alias) error {
	raw, err := a.encode()
	if err != nil {
		return fmt.Errorf("kms: encode %s: %w", a.Name, err)
	}
	c.batch.Set(aliasRecordKey(a.Account, a.Region, a.Name), raw)
	c.publish = append(c.publish, func() { c.s.aliases.Store(aliasName{a.Account, a.Region, a.Name}, a) })
	return nil
}
