package vault

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// transit answers like a Transit engine mounted at "secrets/transit" with one key "kura", as its API
// documentation has it. Ciphertexts are the plaintexts behind a version.
func transit(t *testing.T, rotations *int) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := func(status int, v any) {
			w.WriteHeader(status)
			_ = json.NewEncoder(w).Encode(v)
		}
		if r.Method != http.MethodPost || r.Header.Get("X-Vault-Token") != "t0ken" || r.Header.Get("X-Vault-Namespace") != "team" {
			answer(403, map[string]any{"errors": []string{"permission denied"}})
			return
		}
		var in map[string]string
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			answer(400, map[string]any{"errors": []string{"bad json"}})
			return
		}
		switch r.URL.Path {
		case "/v1/secrets/transit/encrypt/kura":
			answer(200, map[string]any{"data": map[string]any{"ciphertext": "vault:v1:" + in["plaintext"], "key_version": 1}})
		case "/v1/secrets/transit/decrypt/kura":
			text, ok := strings.CutPrefix(in["ciphertext"], "vault:v1:")
			if !ok {
				answer(400, map[string]any{"errors": []string{"invalid ciphertext: no prefix"}})
				return
			}
			answer(200, map[string]any{"data": map[string]any{"plaintext": text}})
		case "/v1/secrets/transit/keys/kura/rotate":
			*rotations++
			w.WriteHeader(http.StatusNoContent)
		default:
			answer(404, map[string]any{"errors": []string{}})
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func TestTransit(t *testing.T) {
	rotations := 0
	server := transit(t, &rotations)
	s, err := New(Config{
		Address: server.URL + "/secrets/transit/keys/kura", Namespace: "team", Client: server.Client(),
		Token: func() (string, error) { return "t0ken", nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	ciphertext, err := s.Encrypt(t.Context(), []byte("a key"))
	if err != nil || string(ciphertext) != "vault:v1:"+base64.StdEncoding.EncodeToString([]byte("a key")) {
		t.Fatalf("%q %v", ciphertext, err)
	}
	if plain, err := s.Decrypt(t.Context(), ciphertext); err != nil || string(plain) != "a key" {
		t.Errorf("%q %v", plain, err)
	}
	if _, err := s.Decrypt(t.Context(), []byte("nonsense")); err == nil || !strings.Contains(err.Error(), "no prefix") {
		t.Errorf("Vault's own words are lost: %v", err)
	}
	if err := s.Rotate(t.Context()); err != nil || rotations != 1 {
		t.Errorf("%d rotations, %v", rotations, err)
	}
	s.config.Token = func() (string, error) { return "stolen", nil }
	if _, err := s.Encrypt(t.Context(), []byte("a key")); err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("a bad token: %v", err)
	}
}

func TestAddressesThatAreNone(t *testing.T) {
	for _, address := range []string{
		"", "vault:8200", "https://vault/transit", "https://vault/keys/kura", "https://vault/transit/keys/", "https://u:p@vault/transit/keys/k",
		"ftp://vault/transit/keys/k", "http://vault/transit/keys/k", "http://10.0.0.1:8200/transit/keys/k", "https://vault/transit/keys/k?x=y", "https://vault/transit/keys/a/b",
	} {
		if _, err := New(Config{Address: address, Client: http.DefaultClient, Token: TokenFrom(func(string) string { return "x" })}); err == nil {
			t.Errorf("%q is taken", address)
		}
	}
}
