package keys

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/kura-s3/kura/internal/seal"
)

const (
	keyFileMagic  = "kura-root-key-1 "
	maxKeyFile    = 1 << 10
	keyFileAccess = 0o600
)

// KeyFile is a Sealer whose root key lies in a file that only its owner can read. While a rotation is
// under way the file holds two keys, the new one first: the first one seals, each opens what it
// sealed.
type KeyFile struct {
	path string

	mu   sync.Mutex
	keys []*rootKey
}

// NewKeyFile uses the keys in the file at path, which is read when it is first needed and made, with
// a random key, by the first Wrap.
func NewKeyFile(path string) *KeyFile { return &KeyFile{path: path} }

// Name implements Sealer.
func (f *KeyFile) Name() string { return "file " + f.path }

// Wrap implements Sealer.
func (f *KeyFile) Wrap(_ context.Context, context, plain []byte) ([]byte, error) {
	keys, err := f.load()
	if errors.Is(err, ErrNoRootKey) {
		if err = f.create(); err == nil {
			keys, err = f.load()
		}
	}
	if err != nil {
		return nil, err
	}
	return keys[0].wrap([]byte{byRootKey}, context, plain), nil
}

// Unwrap implements Sealer.
func (f *KeyFile) Unwrap(_ context.Context, context, wrapped []byte) ([]byte, error) {
	wrapped, err := opened(byRootKey, f.Name(), wrapped)
	if err != nil {
		return nil, err
	}
	keys, err := f.load()
	if err != nil {
		return nil, err
	}
	if len(wrapped) < rootIDSize {
		return nil, seal.ErrDamaged
	}
	id := wrapped[:rootIDSize]
	for _, k := range keys {
		if string(id) == string(k.id[:]) {
			return k.wrapper.Unwrap(nil, context, wrapped[rootIDSize:])
		}
	}
	return nil, fmt.Errorf("%w: it was sealed by root key %s, and %s holds %s", ErrWrongRootKey, hex.EncodeToString(id), f.path, keys[0].name())
}

func (f *KeyFile) load() ([]*rootKey, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.keys != nil {
		return f.keys, nil
	}
	raw, err := readKeyFile(f.path)
	if err != nil {
		return nil, err
	}
	for _, k := range raw {
		f.keys = append(f.keys, newRootKey(k))
	}
	return f.keys, nil
}

// BeginRotation puts a new random key before the one in the file. Until EndRotation both open.
func (f *KeyFile) BeginRotation() error {
	raw, err := readKeyFile(f.path)
	if err != nil {
		return err
	}
	return f.replace(append([]seal.Key{seal.NewKey()}, raw...))
}

// EndRotation leaves only the newest key in the file: nothing may be sealed by another any more.
func (f *KeyFile) EndRotation() error {
	raw, err := readKeyFile(f.path)
	if err != nil {
		return err
	}
	return f.replace(raw[:1])
}

func (f *KeyFile) replace(keys []seal.Key) error {
	tmp, err := writeKeys(filepath.Dir(f.path), keys)
	if err != nil {
		return err
	}
	defer os.Remove(tmp)
	if err := os.Rename(tmp, f.path); err != nil {
		return fmt.Errorf("%w: %w", ErrRootKeyFile, err)
	}
	f.mu.Lock()
	f.keys = nil
	f.mu.Unlock()
	return syncDir(filepath.Dir(f.path))
}

func readKeyFile(path string) ([]seal.Key, error) {
	// Not blocking, because the path may name a pipe or a device, which is refused below.
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: no file %s", ErrNoRootKey, path)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRootKeyFile, err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRootKeyFile, err)
	}
	if err := trustworthy(path, info); err != nil {
		return nil, err
	}
	text := make([]byte, maxKeyFile)
	n, err := file.Read(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrRootKeyFile, path, err)
	}
	var keys []seal.Key
	for line := range strings.Lines(string(text[:n])) {
		encoded, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), keyFileMagic)
		raw, err := base64.StdEncoding.Strict().DecodeString(encoded)
		if !ok || err != nil || len(raw) != len(seal.Key{}) {
			return nil, fmt.Errorf("%w: %s does not hold a root key of a known format", ErrRootKeyFile, path)
		}
		keys = append(keys, seal.Key(raw))
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%w: %s is empty", ErrRootKeyFile, path)
	}
	return keys, nil
}

// trustworthy refuses a file that others can read or change.
func trustworthy(path string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: %s is not a regular file", ErrRootKeyFile, path)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("%w: %s has mode %04o, so others than its owner can reach it; chmod 0600 it", ErrRootKeyFile, path, mode)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%w: %s belongs to user %d, not to the one who runs this", ErrRootKeyFile, path, st.Uid)
	}
	return nil
}

// create makes the file whole or not at all, and never replaces one.
func (f *KeyFile) create() error {
	dir := filepath.Dir(f.path)
	tmp, err := writeKeys(dir, []seal.Key{seal.NewKey()})
	if err != nil {
		return err
	}
	defer os.Remove(tmp)
	// A link fails when the name is taken, so of two makers one wins and both use its key.
	if err := os.Link(tmp, f.path); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: %w", ErrRootKeyFile, err)
	}
	return syncDir(dir)
}

// writeKeys writes a durable temporary file that only its owner can reach.
func writeKeys(dir string, keys []seal.Key) (path string, err error) {
	tmp, err := os.CreateTemp(dir, ".root-key-*") // 0600, O_EXCL
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrRootKeyFile, err)
	}
	var text strings.Builder
	for _, k := range keys {
		text.WriteString(keyFileMagic + base64.StdEncoding.EncodeToString(k[:]) + "\n")
	}
	_, err = tmp.WriteString(text.String())
	err = errors.Join(err, tmp.Chmod(keyFileAccess), tmp.Sync(), tmp.Close())
	if err != nil {
		os.Remove(tmp.Name())
		return "", fmt.Errorf("%w: %w", ErrRootKeyFile, err)
	}
	return tmp.Name(), nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRootKeyFile, err)
	}
	return errors.Join(d.Sync(), d.Close())
}
