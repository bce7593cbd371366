package keys

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/engine/memory"
)

func mustOpen(t *testing.T, meta engine.Meta, s Sealer) *Ring {
	t.Helper()
	r, err := Open(t.Context(), meta, s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestDataKeysAndSecretsSurviveReopening(t *testing.T) {
	ctx := t.Context()
	meta, path := memory.NewMeta(), filepath.Join(t.TempDir(), "root.key")
	r := mustOpen(t, meta, NewKeyFile(path))
	key, wrapped, err := r.NewDataKey(ctx, []byte("object 1"))
	if err != nil {
		t.Fatal(err)
	}
	secret := r.SealSecret([]byte("user 1"), []byte("hunter2"))

	if err := r.Rotate(ctx); err != nil {
		t.Fatal(err)
	}
	if r.Keys() != 2 {
		t.Errorf("%d keys after a rotation", r.Keys())
	}
	_, newer, _ := r.NewDataKey(ctx, []byte("object 2"))
	if bytes.Equal(newer[:wrappedHeader], wrapped[:wrappedHeader]) {
		t.Error("the new store key is not used after Rotate")
	}

	for name, r := range map[string]*Ring{"same": r, "reopened": mustOpen(t, meta, NewKeyFile(path))} {
		got, err := r.OpenDataKey(ctx, wrapped, []byte("object 1"))
		if err != nil || got != key {
			t.Errorf("%s ring: data key: %v", name, err)
		}
		if _, err := r.OpenDataKey(ctx, newer, []byte("object 2")); err != nil {
			t.Errorf("%s ring: newer data key: %v", name, err)
		}
		plain, err := r.OpenSecret(ctx, []byte("user 1"), secret)
		if err != nil || string(plain) != "hunter2" {
			t.Errorf("%s ring: secret %q, %v", name, plain, err)
		}
	}
	if len(wrapped) != WrappedKeySize || len(secret) != len("hunter2")+SecretOverhead {
		t.Errorf("wrapped forms of %d and %d bytes", len(wrapped), len(secret))
	}
}

func TestWrappedFormsOpenOnlyAsWhatTheyAre(t *testing.T) {
	ctx := t.Context()
	r := mustOpen(t, memory.NewMeta(), NewKeyFile(filepath.Join(t.TempDir(), "k")))
	_, wrapped, _ := r.NewDataKey(ctx, []byte("a"))
	secret := r.SealSecret([]byte("a"), make([]byte, 32))
	if len(secret) != len(wrapped) {
		t.Fatal("test wants forms of one length")
	}
	if _, err := r.OpenDataKey(ctx, wrapped, []byte("b")); !errors.Is(err, ErrDamaged) {
		t.Errorf("data key of another context: %v", err)
	}
	if _, err := r.OpenDataKey(ctx, secret, []byte("a")); !errors.Is(err, ErrDamaged) {
		t.Errorf("a secret opened as a data key: %v", err)
	}
	if _, err := r.OpenSecret(ctx, []byte("a"), wrapped); !errors.Is(err, ErrDamaged) {
		t.Errorf("a data key opened as a secret: %v", err)
	}
	for i := range wrapped {
		bad := bytes.Clone(wrapped)
		bad[i] ^= 1
		_, err := r.OpenDataKey(ctx, bad, []byte("a"))
		if want := i >= 1 && i < wrappedHeader; want != errors.Is(err, ErrUnknownKey) || !want && !errors.Is(err, ErrDamaged) {
			t.Errorf("byte %d changed: %v", i, err)
		}
		if _, err := r.OpenDataKey(ctx, wrapped[:i], []byte("a")); !errors.Is(err, ErrDamaged) {
			t.Errorf("cut to %d bytes: %v", i, err)
		}
		if _, err := r.OpenSecret(ctx, []byte("a"), secret[:i]); !errors.Is(err, ErrDamaged) {
			t.Errorf("secret cut to %d bytes: %v", i, err)
		}
	}
}

func TestRootKeyMustBeTheRightOne(t *testing.T) {
	meta, dir := memory.NewMeta(), t.TempDir()
	path := filepath.Join(dir, "root.key")
	mustOpen(t, meta, NewKeyFile(path))

	missing := filepath.Join(dir, "elsewhere.key")
	if _, err := Open(t.Context(), meta, NewKeyFile(missing)); !errors.Is(err, ErrNoRootKey) {
		t.Errorf("missing root key: %v", err)
	}
	if _, err := os.Stat(missing); err == nil {
		t.Error("opening an existing store made a new root key")
	}

	other := filepath.Join(dir, "other.key")
	mustOpen(t, memory.NewMeta(), NewKeyFile(other))
	_, err := Open(t.Context(), meta, NewKeyFile(other))
	if !errors.Is(err, ErrWrongRootKey) || !strings.Contains(err.Error(), other) {
		t.Errorf("wrong root key: %v", err)
	}
}

func TestKeyFileIsRefusedUnlessItIsSafe(t *testing.T) {
	meta, dir := memory.NewMeta(), t.TempDir()
	path := filepath.Join(dir, "root.key")
	mustOpen(t, meta, NewKeyFile(path))
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("made with mode %v", info.Mode())
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".root-key-*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o601, 0o777} {
		os.Chmod(path, mode)
		if _, err := Open(t.Context(), meta, NewKeyFile(path)); !errors.Is(err, ErrRootKeyFile) {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	os.Chmod(path, 0o600)
	for name, text := range map[string]string{
		"empty":   "",
		"cut":     string(good[:len(good)-8]),
		"longer":  string(good) + "x",
		"foreign": "-----BEGIN PRIVATE KEY-----",
		"huge":    strings.Repeat("k", 1<<20),
	} {
		os.WriteFile(path, []byte(text), 0o600)
		if _, err := Open(t.Context(), meta, NewKeyFile(path)); !errors.Is(err, ErrRootKeyFile) && !errors.Is(err, ErrWrongRootKey) {
			t.Errorf("%s file: %v", name, err)
		}
		if _, err := Open(t.Context(), memory.NewMeta(), NewKeyFile(path)); !errors.Is(err, ErrRootKeyFile) {
			t.Errorf("%s file in a new store: %v", name, err)
		}
		if now, _ := os.ReadFile(path); string(now) != text {
			t.Errorf("%s file was replaced", name)
		}
	}
	if _, err := Open(t.Context(), meta, NewKeyFile(dir)); !errors.Is(err, ErrRootKeyFile) {
		t.Errorf("a directory: %v", err)
	}
}

func TestKeyMaterialIsNowhereInTheStore(t *testing.T) {
	meta, path := memory.NewMeta(), filepath.Join(t.TempDir(), "root.key")
	s := &spy{Sealer: NewKeyFile(path)}
	mustOpen(t, meta, s)
	it, _ := meta.Scan(t.Context(), nil, nil)
	defer it.Close()
	n := 0
	for it.Next() {
		n++
		if !bytes.HasPrefix(it.Key(), []byte("k/")) {
			t.Errorf("record %q outside of k/", it.Key())
		}
		if bytes.Contains(it.Value(), s.plain) {
			t.Errorf("record %q holds the store key in the clear", it.Key())
		}
	}
	if n != 2 || len(s.plain) != 32 {
		t.Errorf("%d records, a store key of %d bytes", n, len(s.plain))
	}
}

type spy struct {
	Sealer
	plain []byte
}

func (s *spy) Wrap(ctx context.Context, context, plain []byte) ([]byte, error) {
	s.plain = bytes.Clone(plain)
	return s.Sealer.Wrap(ctx, context, plain)
}

func TestNodesThatStartTogetherAgree(t *testing.T) {
	meta, path := memory.NewMeta(), filepath.Join(t.TempDir(), "root.key")
	rings := make([]*Ring, 8)
	var wg sync.WaitGroup
	for i := range rings {
		wg.Go(func() {
			r, err := Open(context.Background(), meta, NewKeyFile(path))
			if err != nil {
				t.Error(err)
			}
			rings[i] = r
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	if err := rings[0].Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	k, wrapped, _ := rings[0].NewDataKey(t.Context(), nil)
	for i, r := range rings {
		if got, err := r.OpenDataKey(t.Context(), wrapped, nil); err != nil || got != k {
			t.Errorf("node %d cannot open what node 0 wrapped by a key that it made later: %v", i, err)
		}
	}
}

func TestDamagedRecordsAreRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "root.key")
	for name, damage := range map[string]func(b *engine.Batch){
		"current missing":   func(b *engine.Batch) { b.Delete([]byte(currentRecord)) },
		"current malformed": func(b *engine.Batch) { b.Set([]byte(currentRecord), []byte{9}) },
		"current unknown":   func(b *engine.Batch) { b.Set([]byte(currentRecord), []byte{1, 0, 0, 0, 9}) },
		"key gone":          func(b *engine.Batch) { b.Delete(storeRecord(1)) },
		"key empty":         func(b *engine.Batch) { b.Set(storeRecord(1), nil) },
		"key malformed":     func(b *engine.Batch) { b.Set(storeRecord(1), make([]byte, 100)) },
		"key misnamed":      func(b *engine.Batch) { b.Set([]byte(storePrefix+"x"), []byte{1}) },
	} {
		meta := memory.NewMeta()
		mustOpen(t, meta, NewKeyFile(path))
		var b engine.Batch
		damage(&b)
		if err := meta.Commit(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), meta, NewKeyFile(path)); !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrUnknownKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

var update = flag.Bool("update", false, "write testdata anew")

// TestSpecimen opens what an earlier version wrote.
func TestSpecimen(t *testing.T) {
	dir := "testdata/v1"
	if *update {
		os.MkdirAll(dir, 0o755)
		path := filepath.Join(t.TempDir(), "root.key")
		meta := memory.NewMeta()
		r := mustOpen(t, meta, NewKeyFile(path))
		k, wrapped, _ := r.NewDataKey(t.Context(), []byte("specimen"))
		store, _, _ := meta.Get(t.Context(), storeRecord(1), nil)
		file, _ := os.ReadFile(path)
		lines := []string{strings.TrimSpace(string(file)), hex.EncodeToString(store), hex.EncodeToString(wrapped), hex.EncodeToString(k[:]),
			hex.EncodeToString(r.SealSecret([]byte("specimen"), []byte("a secret")))}
		os.WriteFile(filepath.Join(dir, "ring.txt"), []byte(strings.Join(lines, "\n")+"\n"), 0o644)
	}
	text, err := os.ReadFile(filepath.Join(dir, "ring.txt"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Fields(strings.Replace(string(text), keyFileMagic, "", 1))
	if len(lines) != 5 {
		t.Fatalf("%d lines", len(lines))
	}
	path := filepath.Join(t.TempDir(), "root.key")
	os.WriteFile(path, []byte(keyFileMagic+lines[0]+"\n"), 0o600)
	raw := make([][]byte, len(lines))
	for i, l := range lines[1:] {
		if raw[i], err = hex.DecodeString(l); err != nil {
			t.Fatal(err)
		}
	}
	meta := memory.NewMeta()
	var b engine.Batch
	b.Set(storeRecord(1), raw[0])
	b.Set([]byte(currentRecord), []byte{1, 0, 0, 0, 1})
	if err := meta.Commit(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	r := mustOpen(t, meta, NewKeyFile(path))
	if k, err := r.OpenDataKey(t.Context(), raw[1], []byte("specimen")); err != nil || !bytes.Equal(k[:], raw[2]) {
		t.Errorf("data key: %v", err)
	}
	if s, err := r.OpenSecret(t.Context(), []byte("specimen"), raw[3]); err != nil || string(s) != "a secret" {
		t.Errorf("secret: %q, %v", s, err)
	}
}

func BenchmarkNewDataKey(b *testing.B) {
	r, err := Open(b.Context(), memory.NewMeta(), NewKeyFile(filepath.Join(b.TempDir(), "k")))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := r.NewDataKey(b.Context(), []byte("bucket 12, object 3456789")); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenDataKey(b *testing.B) {
	r, err := Open(b.Context(), memory.NewMeta(), NewKeyFile(filepath.Join(b.TempDir(), "k")))
	if err != nil {
		b.Fatal(err)
	}
	_, wrapped, _ := r.NewDataKey(b.Context(), []byte("ctx"))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.OpenDataKey(b.Context(), wrapped, []byte("ctx")); err != nil {
			b.Fatal(err)
		}
	}
}
