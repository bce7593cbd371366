package logs

import (
	"context"
	"sync"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/seal"
)

// Data keys that were opened are used for a while, so that a KMS key is not asked for every chunk. So long
// after a key was disabled, its groups can still be read.
const (
	openedFor = time.Minute
	maxOpened = 1024
)

type dataKeyID struct {
	group  uint64
	number uint32
}

type openedKey struct {
	wrapper *seal.Wrapper
	until   time.Time
}

// dataKeys are those that were opened of late.
type dataKeys struct {
	now func() time.Time
	mu  sync.Mutex
	by  map[dataKeyID]openedKey
}

func (d *dataKeys) get(id dataKeyID) *seal.Wrapper {
	d.mu.Lock()
	defer d.mu.Unlock()
	if k, ok := d.by[id]; ok && d.now().Before(k.until) {
		return k.wrapper
	}
	delete(d.by, id)
	return nil
}

func (d *dataKeys) put(id dataKeyID, w *seal.Wrapper) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.by == nil || len(d.by) >= maxOpened {
		d.by = map[dataKeyID]openedKey{}
	}
	d.by[id] = openedKey{w, d.now().Add(openedFor)}
}

// dataKey opens a data key of a group. The KMS key's policy decides.
func (s *Store) dataKey(ctx context.Context, in *Group, number uint32) (*seal.Wrapper, error) {
	if number == 0 || int(number) > len(in.DataKeys) {
		return nil, errChunk
	}
	id := dataKeyID{in.ID, number}
	if w := s.opened.get(id); w != nil {
		return w, nil
	}
	plain, err := s.keys.OpenDataKey(ctx, in.Account, s.GroupARN(in.Account, in.Name), in.DataKeys[number-1].Wrapped)
	if err != nil {
		return nil, refuse(Invalid, "The AWS KMS key of the log group %s cannot be used: %s", in.Name, err)
	}
	if len(plain) != len(seal.Key{}) {
		return nil, errChunk
	}
	w := seal.NewWrapper(seal.Key(plain))
	s.opened.put(id, w)
	return w, nil
}

// maxDataKeys of a group: how often a key can be associated.
const maxDataKeys = 1000

func (s *Store) associate(ctx context.Context, g *Group, keyARN string) error {
	if len(g.DataKeys) >= maxDataKeys {
		return refuse(Limit, "Resource limit exceeded: the log group had %d keys.", maxDataKeys)
	}
	_, wrapped, err := s.keys.NewDataKey(ctx, g.Account, keyARN, s.GroupARN(g.Account, g.Name))
	if err != nil {
		return refuse(Invalid, "The specified KMS key does not exist or is not allowed to be used with '%s': %s", s.GroupARN(g.Account, g.Name), err)
	}
	g.Key, g.DataKeys = keyARN, append(g.DataKeys, DataKey{wrapped})
	return nil
}

// AssociateKey seals what comes into a group from now on under a KMS key. It needs logs:AssociateKmsKey.
func (s *Store) AssociateKey(ctx context.Context, g authz.Grant, account, name, keyARN string) error {
	if err := g.Require("logs:AssociateKmsKey", s.StreamARN(account, name, "")); err != nil {
		return err
	}
	return s.edit(ctx, account, name, func(g *Group) error { return s.associate(ctx, g, keyARN) })
}

// DisassociateKey does so no more; what the key has sealed goes on needing it. It needs
// logs:DisassociateKmsKey.
func (s *Store) DisassociateKey(ctx context.Context, g authz.Grant, account, name string) error {
	if err := g.Require("logs:DisassociateKmsKey", s.StreamARN(account, name, "")); err != nil {
		return err
	}
	return s.edit(ctx, account, name, func(g *Group) error { g.Key = ""; return nil })
}
