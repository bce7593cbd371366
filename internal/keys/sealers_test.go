package keys

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/kura-s3/kura/internal/engine/memory"
	"github.com/kura-s3/kura/internal/seal"
)

func passphrase(text string) *Passphrase {
	return NewPassphrase(func(context.Context) ([]byte, error) { return []byte(text), nil })
}

// service is a KeyService that keeps versions of its key in memory.
type service struct {
	kind string
	keys []*seal.Wrapper
	down error
}

func newService(kind string) *service {
	s := &service{kind: kind}
	_ = s.Rotate(context.Background())
	return s
}

func (s *service) Kind() string { return s.kind }
func (s *service) Name() string { return s.kind + " key" }

func (s *service) Rotate(context.Context) error {
	s.keys = append(s.keys, seal.NewWrapper(seal.NewKey()))
	return nil
}

func (s *service) Encrypt(_ context.Context, plain []byte) ([]byte, error) {
	return s.keys[len(s.keys)-1].Wrap(nil, nil, plain), s.down
}

func (s *service) Decrypt(_ context.Context, ciphertext []byte) ([]byte, error) {
	if s.down != nil {
		return nil, s.down
	}
	for _, k := range s.keys {
		if plain, err := k.Unwrap(nil, nil, ciphertext); err == nil {
			return plain, nil
		}
	}
	return nil, errors.New("no key decrypts it")
}

// sealerPairs are each kind of sealer: one that seals, one that is the same after a restart, one that
// is another of its kind.
func sealerPairs(t *testing.T) map[string][3]Sealer {
	dir := t.TempDir()
	here, other := newService("vault"), newService("vault")
	return map[string][3]Sealer{
		"file":       {NewKeyFile(dir + "/a"), NewKeyFile(dir + "/a"), NewKeyFile(dir + "/b")},
		"passphrase": {passphrase("correct horse"), passphrase("correct horse"), passphrase("battery staple")},
		"service":    {NewEnvelope(here), NewEnvelope(here), NewEnvelope(other)},
	}
}

func TestEverySealerOpensOnlyItsOwn(t *testing.T) {
	pairs := sealerPairs(t)
	for name, p := range pairs {
		meta := memory.NewMeta()
		secret := mustOpen(t, meta, p[0]).SealSecret(nil, []byte("hunter2"))
		if got, err := mustOpen(t, meta, p[1]).OpenSecret(t.Context(), nil, secret); err != nil || string(got) != "hunter2" {
			t.Errorf("%s: %q %v", name, got, err)
		}
		if _, err := Open(t.Context(), meta, p[2]); err == nil {
			t.Errorf("%s: another of its kind opened the store", name)
		}
		for kind, q := range pairs {
			if kind == name {
				continue
			}
			if _, err := Open(t.Context(), meta, q[2]); !errors.Is(err, ErrWrongRootKey) {
				t.Errorf("%s opened by %s: %v", name, kind, err)
			}
		}
		if got := mustOpen(t, meta, p[1]).Keys(); got != 1 {
			t.Errorf("%s: the refused openings left %d store keys", name, got)
		}
	}
}

func TestNobodySealsByAnEmptyPassphrase(t *testing.T) {
	if _, err := Open(t.Context(), memory.NewMeta(), passphrase("")); !errors.Is(err, ErrNoPassphrase) {
		t.Error(err)
	}
}

func TestAServiceThatIsDownDamagesNothing(t *testing.T) {
	s := newService("vault")
	meta := memory.NewMeta()
	mustOpen(t, meta, NewEnvelope(s))
	s.down = errors.New("connection refused")
	if _, err := Open(t.Context(), meta, NewEnvelope(s)); !errors.Is(err, s.down) {
		t.Errorf("opened without its service: %v", err)
	}
	s.down = nil
	mustOpen(t, meta, NewEnvelope(s))
}

func TestResealMovesTheStoreWhole(t *testing.T) {
	ctx := t.Context()
	meta := memory.NewMeta()
	first := NewKeyFile(filepath.Join(t.TempDir(), "root.key"))
	r := mustOpen(t, meta, first)
	secret := r.SealSecret(nil, []byte("hunter2"))
	if err := r.Rotate(ctx); err != nil {
		t.Fatal(err)
	}
	from := Sealer(first)
	for _, to := range []Sealer{passphrase("one"), NewEnvelope(newService("awskms")), passphrase("two"), NewKeyFile(filepath.Join(t.TempDir(), "other"))} {
		if err := mustOpen(t, meta, from).Reseal(ctx, to); err != nil {
			t.Fatalf("from %s to %s: %v", from.Name(), to.Name(), err)
		}
		if _, err := Open(ctx, meta, from); err == nil {
			t.Errorf("%s still opens the store", from.Name())
		}
		r := mustOpen(t, meta, to)
		if got, err := r.OpenSecret(ctx, nil, secret); err != nil || string(got) != "hunter2" || r.Keys() != 2 {
			t.Errorf("%s: %q %v, %d keys", to.Name(), got, err, r.Keys())
		}
		from = to
	}
}

// forgetful gives back something else than it was given.
type forgetful struct{ Sealer }

func (forgetful) Unwrap(context.Context, []byte, []byte) ([]byte, error) {
	return make([]byte, 32), nil
}

func TestResealReadsBackBeforeItCommits(t *testing.T) {
	meta := memory.NewMeta()
	from := passphrase("one")
	r := mustOpen(t, meta, from)
	if err := r.Reseal(t.Context(), forgetful{passphrase("two")}); err == nil {
		t.Error("sealed by what cannot be opened")
	}
	mustOpen(t, meta, passphrase("one"))
}

func TestKeyFileRotationCanEndAnywhere(t *testing.T) {
	ctx := t.Context()
	meta, path := memory.NewMeta(), filepath.Join(t.TempDir(), "root.key")
	r := mustOpen(t, meta, NewKeyFile(path))
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	opens := func(when string) {
		if _, err := Open(ctx, meta, NewKeyFile(path)); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	f := r.Sealer().(*KeyFile)
	if err := f.BeginRotation(); err != nil {
		t.Fatal(err)
	}
	opens("a new key in the file")
	if err := r.Reseal(ctx, f); err != nil {
		t.Fatal(err)
	}
	opens("sealed anew, both keys in the file")
	if err := f.EndRotation(); err != nil {
		t.Fatal(err)
	}
	opens("rotated")
	now, err := os.ReadFile(path)
	if err != nil || bytes.Contains(now, bytes.TrimSpace(old)) {
		t.Errorf("the old key is still in the file: %v", err)
	}
	if err := os.WriteFile(path, old, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(ctx, meta, NewKeyFile(path)); !errors.Is(err, ErrWrongRootKey) {
		t.Errorf("the old key opens the store: %v", err)
	}
}

func TestInspect(t *testing.T) {
	for name, p := range sealerPairs(t) {
		meta := memory.NewMeta()
		r := mustOpen(t, meta, p[0])
		if err := r.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		all, err := Inspect(t.Context(), meta)
		if err != nil || len(all) != 2 || all[0].Current || !all[1].Current {
			t.Fatalf("%s: %+v %v", name, all, err)
		}
		if all[0].By == "" || (all[0].RootKey == "") != (name == "service") {
			t.Errorf("%s: %+v", name, all[0])
		}
	}
}

// knownSealed are forms that earlier versions wrote, of "a store key" for the context "specimen".
var knownSealed = map[string]string{
	"passphrase": "020000000300010000044cc6e2b77b16ed4530e2ffb43c6e8ca1486f2956e11f3d8f1cb4da79457a86753e96634a308e521f4daf2392f603664f241f669e49e8e93cbc5bcaa0b7dc3e2699a4f447581b240c92c434",
	"service":    "03057661756c740048dac3eb68bd6cb4d223bb53b3ba774815ca6ef76717218808397906a18c8c8b9b532790d99c56339fa1ca620818f0ea075d245290caa0e774b5c73acb11cc16476b19a3a23f0094c8f7b2a50574feff366803901fc81ad9594ef2556c16ad9dc81b69d695280c9868033b4e961be77b4660532fc9a1f8681ca6fa73",
}

func TestKnownSealedForms(t *testing.T) {
	s := newService("vault")
	s.keys = []*seal.Wrapper{seal.NewWrapper(seal.Key(bytes.Repeat([]byte{9}, 32)))}
	sealers := map[string]Sealer{"passphrase": passphrase("correct horse"), "service": NewEnvelope(s)}
	for name, text := range knownSealed {
		raw, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		got, err := sealers[name].Unwrap(t.Context(), []byte("specimen"), raw)
		if err != nil || string(got) != "a store key" {
			t.Errorf("%s: %q %v", name, got, err)
		}
		for i := range raw {
			bad := bytes.Clone(raw)
			bad[i] ^= 0x40
			if name == "passphrase" && i > 0 && i < 26 {
				continue // the cost of a passphrase; trying each would cost that much
			}
			if _, err := sealers[name].Unwrap(t.Context(), []byte("specimen"), bad); err == nil {
				t.Errorf("%s: opened with byte %d changed", name, i)
			}
		}
	}
}

func FuzzUnwrap(f *testing.F) {
	for _, text := range knownSealed {
		raw, _ := hex.DecodeString(text)
		f.Add(raw)
	}
	f.Add([]byte{byPassphrase, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	s := newService("vault")
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > argonParams && raw[0] == byPassphrase && raw[1]|raw[2]|raw[3] == 0 && raw[4] < maxArgonTime {
			t.Skip("a cost that is allowed")
		}
		for _, s := range []Sealer{NewEnvelope(s), passphrase("x")} {
			_, _ = s.Unwrap(t.Context(), nil, raw)
		}
		var one Sealed
		if len(raw) > 0 {
			_ = one.look(raw)
		}
	})
}
