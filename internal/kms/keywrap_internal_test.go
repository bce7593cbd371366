package kms

import (
	"bytes"
	"encoding/hex"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestUnwrapPadded are the examples of RFC 5649, section 6.
func TestUnwrapPadded(t *testing.T) {
	kek := unhex(t, "5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8")
	for wrapped, want := range map[string]string{
		"138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a": "c37b7e6492584340bed12207808941155068f738",
		"afbeb0f07dfbf5419200f2ccb50bb24f":                                 "466f7250617369",
	} {
		blob := unhex(t, wrapped)
		if got, err := unwrapPadded(kek, blob); err != nil || hex.EncodeToString(got) != want {
			t.Errorf("%x %v, want %s", got, err, want)
		}
		for i := range blob {
			bad := bytes.Clone(blob)
			bad[i] ^= 1
			if got, err := unwrapPadded(kek, bad); err == nil {
				t.Errorf("byte %d changed: %x", i, got)
			}
			if got, err := unwrapPadded(kek, blob[:i]); err == nil {
				t.Errorf("cut to %d bytes: %x", i, got)
			}
		}
		if _, err := unwrapPadded(kek[:7], blob); err == nil {
			t.Error("a key that is none")
		}
	}
}

func FuzzUnwrapPadded(f *testing.F) {
	f.Add(make([]byte, 32), make([]byte, 40))
	f.Fuzz(func(t *testing.T, kek, wrapped []byte) {
		if out, err := unwrapPadded(kek, wrapped); err == nil && len(out) > len(wrapped) {
			t.Error("more came out than went in")
		}
	})
}

func FuzzParseRef(f *testing.F) {
	for _, s := range []string{"alias/x", "arn:aws:kms:r:111122223333:key/00000000-0000-4000-8000-000000000000", "arn:aws:kms:r:1:alias/", "arn::::::", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRef(s, "111122223333", "r")
		if err != nil {
			return
		}
		if (r.ID == "") == (r.Alias == "") || r.Region != "r" {
			t.Errorf("%q: %+v", s, r)
		}
		if again, err := ParseRef(r.ARN(), "111122223333", "r"); err != nil || again != r {
			t.Errorf("%q: %+v is %+v by its ARN, %v", s, r, again, err)
		}
	})
}
