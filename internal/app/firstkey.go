package app

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/identity"
)

// pendingFile holds the first administrator's key from before it is stored until client.env says
// it: a crash in between must not leave a store whose only key nobody knows.
const pendingFile = ".client-first"

// identityPrefix begins the records of package identity.
const identityPrefix = "a/"

// firstAdmin is the key that the first administrator shall have: the one that was given, or the one
// of a first start that a crash ended, or a new one, which is put aside. Nil when there are
// identities already.
func (s *server) firstAdmin(ctx context.Context, given *identity.AccessKeyPair) (*identity.AccessKeyPair, error) {
	if exist, err := s.identitiesExist(ctx); err != nil || exist {
		return nil, err
	}
	key := given
	if key == nil {
		key = newAccessKey()
	}
	return key, replaceFile(filepath.Join(s.config.Data, pendingFile), []byte(key.ID+"\n"+key.Secret+"\n"))
}

func (s *server) identitiesExist(ctx context.Context) (bool, error) {
	it, err := s.engines.Meta.Scan(ctx, []byte(identityPrefix), engine.PrefixEnd([]byte(identityPrefix)))
	if err != nil {
		return false, err
	}
	exist := it.Next()
	return exist, errors.Join(it.Err(), it.Close())
}

// pendingAdmin is the key that was put aside, when it is the one that was stored.
func (s *server) pendingAdmin() (*identity.AccessKeyPair, error) {
	b, err := os.ReadFile(filepath.Join(s.config.Data, pendingFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", pendingFile, err)
	}
	lines := bufio.NewScanner(bytes.NewReader(b))
	var words []string
	for lines.Scan() {
		words = append(words, lines.Text())
	}
	if len(words) != 2 {
		return nil, nil
	}
	if _, _, ok := s.identities.KeyOwner(words[0]); !ok {
		return nil, nil
	}
	return &identity.AccessKeyPair{ID: words[0], Secret: words[1]}, nil
}

func (s *server) forgetPending() error {
	err := os.Remove(filepath.Join(s.config.Data, pendingFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// newAccessKey makes a key of the form of AWS's: secret scanners know it.
func newAccessKey() *identity.AccessKeyPair {
	id, secret := make([]byte, 10), make([]byte, 30)
	rand.Read(id) // never fails
	rand.Read(secret)
	return &identity.AccessKeyPair{
		ID: "AKIA" + base32.StdEncoding.EncodeToString(id),
		// The two letters that shells, URLs and spreadsheets stumble over stay out.
		Secret: strings.NewReplacer("+", "k", "/", "w").Replace(base64.StdEncoding.EncodeToString(secret)),
	}
}
