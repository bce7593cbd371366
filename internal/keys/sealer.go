package keys

import (
	"context"
	"crypto/sha256"
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

var (
	// ErrNoRootKey says that the store was sealed with a root key that cannot be found.
	ErrNoRootKey = errors.New("keys: the root key of this store is missing")
	// ErrWrongRootKey says that the root key found is not the one that sealed the store.
	ErrWrongRootKey = errors.New("keys: this is not the root key of this store")
	// ErrRootKeyFile says that the root key's file cannot be trusted or read.
	ErrRootKeyFile = errors.New("keys: root key file is refused")
)

// Sealer supplies the root key, or the service that keeps it, and never shows it. Drivers: KeyFile.
// Safe for concurrent use.
type Sealer interface {
	// Name says what and where, for people: "file /var/lib/kura/root.key".
	Name() string
	// Wrap seals plain for context. It may make the root key when there is none yet.
	Wrap(ctx context.Context, context, plain []byte) ([]byte, error)
	// Unwrap opens what Wrap sealed under the same context. It never makes a root key: it fails with
	// ErrNoRootKey or ErrWrongRootKey, or with seal.ErrDamaged.
	Unwrap(ctx context.Context, context, wrapped []byte) ([]byte, error)
}

const (
	keyFileMagic  = "kura-root-key-1 "
	rootIDSize    = 8
	rootFormat    = 1
	rootHeader    = 1 + rootIDSize
	maxKeyFile    = 1 << 10
	keyFileAccess = 0o600
)

// KeyFile is a Sealer whose root key lies in a file that only its owner can read.
type KeyFile struct {
	path string

	mu      sync.Mutex
	loaded  bool
	id      [rootIDSize]byte
	wrapper *seal.Wrapper
}

// NewKeyFile uses the key in the file at path, which is read when it is first needed and made, with
// a random key, by the first Wrap.
func NewKeyFile(path string) *KeyFile { return &KeyFile{path: path} }

// Name implements Sealer.
func (f *KeyFile) Name() string { return "file " + f.path }

// Wrap implements Sealer. The result is a format number, the root key's id, and the sealed bytes.
func (f *KeyFile) Wrap(_ context.Context, context, plain []byte) ([]byte, error) {
	err := f.load()
	if errors.Is(err, ErrNoRootKey) {
		if err = f.create(); err == nil {
			err = f.load()
		}
	}
	if err != nil {
		return nil, err
	}
	out := append([]byte{rootFormat}, f.id[:]...)
	return f.wrapper.Wrap(out, context, plain), nil
}

// Unwrap implements Sealer.
func (f *KeyFile) Unwrap(_ context.Context, context, wrapped []byte) ([]byte, error) {
	if err := f.load(); err != nil {
		return nil, err
	}
	if len(wrapped) < rootHeader || wrapped[0] != rootFormat {
		return nil, seal.ErrDamaged
	}
	if id := wrapped[1:rootHeader]; string(id) != string(f.id[:]) {
		return nil, fmt.Errorf("%w: it was sealed by root key %s, and %s holds %s",
			ErrWrongRootKey, hex.EncodeToString(id), f.path, hex.EncodeToString(f.id[:]))
	}
	return f.wrapper.Unwrap(nil, context, wrapped[rootHeader:])
}

func (f *KeyFile) load() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.loaded {
		return nil
	}
	key, err := readKeyFile(f.path)
	if err != nil {
		return err
	}
	f.id = rootID(key)
	f.wrapper = seal.NewWrapper(key)
	f.loaded = true
	return nil
}

// rootID names a root key without telling anything about it.
func rootID(k seal.Key) (id [rootIDSize]byte) {
	h := sha256.New()
	h.Write([]byte("kura root key id\x00"))
	h.Write(k[:])
	copy(id[:], h.Sum(nil))
	return id
}

func readKeyFile(path string) (k seal.Key, err error) {
	// Not blocking, because the path may name a pipe or a device, which is refused below.
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return k, fmt.Errorf("%w: no file %s", ErrNoRootKey, path)
	}
	if err != nil {
		return k, fmt.Errorf("%w: %w", ErrRootKeyFile, err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return k, fmt.Errorf("%w: %w", ErrRootKeyFile, err)
	}
	if err := trustworthy(path, info); err != nil {
		return k, err
	}
	text := make([]byte, maxKeyFile)
	n, err := file.Read(text)
	if err != nil {
		return k, fmt.Errorf("%w: %s: %w", ErrRootKeyFile, path, err)
	}
	encoded, ok := strings.CutPrefix(strings.TrimSuffix(string(text[:n]), "\n"), keyFileMagic)
	raw, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if !ok || err != nil || len(raw) != len(k) {
		return k, fmt.Errorf("%w: %s does not hold a root key of a known format", ErrRootKeyFile, path)
	}
	copy(k[:], raw)
	return k, nil
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
	k := seal.NewKey()
	tmp, err := os.CreateTemp(dir, ".root-key-*") // 0600, O_EXCL
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRootKeyFile, err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.WriteString(keyFileMagic + base64.StdEncoding.EncodeToString(k[:]) + "\n")
	err = errors.Join(err, tmp.Chmod(keyFileAccess), tmp.Sync(), tmp.Close())
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRootKeyFile, err)
	}
	// A link fails when the name is taken, so of two makers one wins and both use its key.
	if err := os.Link(tmp.Name(), f.path); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: %w", ErrRootKeyFile, err)
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRootKeyFile, err)
	}
	return errors.Join(d.Sync(), d.Close())
}
