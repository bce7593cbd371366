package seal

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"
)

// The vectors of c2sp.org/XAES-256-GCM.
func TestWrapIsXAES256GCM(t *testing.T) {
	for _, v := range []struct {
		key          byte
		context, out string
	}{
		{1, "", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"},
		{3, "c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"},
	} {
		var k Key
		for i := range k {
			k[i] = v.key
		}
		w := NewWrapper(k)
		nonce := []byte("ABCDEFGHIJKLMNOPQRSTUVWX")
		got := w.seal(nil, nonce, []byte(v.context), []byte("XAES-256-GCM"))
		if hex.EncodeToString(got) != v.out {
			t.Errorf("key %d: %x, want %s", v.key, got, v.out)
		}
		back, err := w.Unwrap(nil, []byte(v.context), append(nonce, got...))
		if err != nil || string(back) != "XAES-256-GCM" {
			t.Errorf("key %d: unwrapped %q, %v", v.key, back, err)
		}
	}
}

func TestWrapRefusesWhatItDidNotWrap(t *testing.T) {
	kek := testKey(1)
	secret := []byte("a data key of thirty-two bytes..")
	wrapped := Wrap(kek, []byte("ctx"), secret)
	if got, err := Unwrap(kek, []byte("ctx"), wrapped); err != nil || !bytes.Equal(got, secret) {
		t.Fatalf("%q, %v", got, err)
	}
	if bytes.Contains(wrapped, secret) || len(wrapped) != len(secret)+WrapOverhead {
		t.Errorf("wrapped form of %d bytes", len(wrapped))
	}
	if bytes.Equal(wrapped, Wrap(kek, []byte("ctx"), secret)) {
		t.Error("two wraps are the same: the nonce is not random")
	}
	for i := range wrapped {
		bad := bytes.Clone(wrapped)
		bad[i] ^= 0x40
		if _, err := Unwrap(kek, []byte("ctx"), bad); !errors.Is(err, ErrDamaged) {
			t.Errorf("byte %d changed: %v", i, err)
		}
		if _, err := Unwrap(kek, []byte("ctx"), wrapped[:i]); !errors.Is(err, ErrDamaged) {
			t.Errorf("cut to %d: %v", i, err)
		}
	}
	if _, err := Unwrap(kek, []byte("ctX"), wrapped); !errors.Is(err, ErrDamaged) {
		t.Errorf("other context: %v", err)
	}
	if _, err := Unwrap(testKey(2), []byte("ctx"), wrapped); !errors.Is(err, ErrDamaged) {
		t.Errorf("other key: %v", err)
	}
}
