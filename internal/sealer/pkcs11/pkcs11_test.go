//go:build pkcs11

package pkcs11

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// softHSM makes a token with an AES key and gives its URI.
func softHSM(t *testing.T) string {
	t.Helper()
	var module string
	for _, path := range []string{"/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"} {
		if _, err := os.Stat(path); err == nil {
			module = path
		}
	}
	if module == "" {
		t.Skip("SKIPPED LOUDLY: there is no SoftHSM here (Debian package softhsm2)")
	}
	dir := t.TempDir()
	conf := filepath.Join(dir, "softhsm2.conf")
	if err := os.Mkdir(filepath.Join(dir, "tokens"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(conf, []byte("directories.tokendir = "+dir+"/tokens\nobjectstore.backend = file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", conf)
	t.Setenv("KURA_PKCS11_PIN", "1234")
	key := filepath.Join(dir, "key")
	if err := os.WriteFile(key, bytes.Repeat([]byte{7}, 32), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"--init-token", "--free", "--label", "kura", "--pin", "1234", "--so-pin", "5678"},
		{"--import", key, "--aes", "--token", "kura", "--label", "root key", "--id", "01", "--pin", "1234"},
	} {
		if out, err := exec.CommandContext(t.Context(), "softhsm2-util", args...).CombinedOutput(); err != nil {
			t.Fatalf("softhsm2-util %s: %v\n%s", args[0], err, out)
		}
	}
	return "pkcs11:token=kura;object=root%20key?module-path=" + module
}

func TestTheTokenEncrypts(t *testing.T) {
	c, err := Parse(softHSM(t), os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	one, err := s.Encrypt(t.Context(), []byte("a key"))
	if err != nil {
		t.Fatal(err)
	}
	two, err := s.Encrypt(t.Context(), []byte("a key"))
	if err != nil || bytes.Equal(one, two) {
		t.Errorf("twice the same ciphertext: %v", err)
	}
	if plain, err := s.Decrypt(t.Context(), one); err != nil || string(plain) != "a key" {
		t.Errorf("%q %v", plain, err)
	}
	one[len(one)-1] ^= 1
	if _, err := s.Decrypt(t.Context(), one); err == nil {
		t.Error("a changed ciphertext opened")
	}
}

func TestWrongNamesAndPINs(t *testing.T) {
	good, err := Parse(softHSM(t), os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Config){
		"library": func(c *Config) { c.Module = "/nowhere.so" },
		"token":   func(c *Config) { c.Token = "other" },
		"object":  func(c *Config) { c.Object = "other" },
		"PIN":     func(c *Config) { c.PIN = func() (string, error) { return "9999", nil } },
	} {
		c := good
		change(&c)
		if s, err := New(c); err == nil {
			s.Close()
			t.Errorf("wrong %s: opened", name)
		}
	}
}
