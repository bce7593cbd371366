package replication

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/kura-s3/kura/internal/engine"
)

// Secrets seals what is stored.
type Secrets interface {
	SealSecret(context, plain []byte) []byte
	OpenSecret(ctx context.Context, context, sealed []byte) ([]byte, error)
}

// connectionPrefix begins the records of sealed credentials, by the target's name.
const connectionPrefix = "r/c/"

func connectionContext(name string) []byte { return []byte("kura replication target\x00" + name) }

// StoreCredentials keeps the credentials of a target, sealed.
func StoreCredentials(ctx context.Context, meta engine.Meta, s Secrets, name string, c Credentials) error {
	plain, err := json.Marshal(c)
	if err != nil {
		return err
	}
	defer clear(plain)
	var b engine.Batch
	b.Set([]byte(connectionPrefix+name), append([]byte{format}, s.SealSecret(connectionContext(name), plain)...))
	return meta.Commit(ctx, &b)
}

// LoadCredentials gives the credentials of a target; ok is false when it has none.
func LoadCredentials(ctx context.Context, meta engine.Meta, s Secrets, name string) (c Credentials, ok bool, err error) {
	raw, version, err := meta.Get(ctx, []byte(connectionPrefix+name), nil)
	if err != nil || version == 0 {
		return c, false, err
	}
	if raw[0] != format {
		return c, false, fmt.Errorf("%w: credentials of %s", errRecord, name)
	}
	plain, err := s.OpenSecret(ctx, connectionContext(name), raw[1:])
	if err != nil {
		return c, false, fmt.Errorf("replication: credentials of %s: %w", name, err)
	}
	defer clear(plain)
	return c, true, json.Unmarshal(plain, &c)
}
