package awskms

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const keyARN = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"

// kms answers Encrypt and Decrypt as the KMS API Reference has them.
func kms(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			KeyId                     string
			Plaintext, CiphertextBlob []byte
			EncryptionContext         map[string]string
		}
		err := json.NewDecoder(r.Body).Decode(&in)
		signed := strings.Contains(r.Header.Get("Authorization"), "/eu-west-1/kms/aws4_request")
		if err != nil || !signed || in.KeyId != keyARN || in.EncryptionContext["kura:purpose"] != "root-key" {
			w.WriteHeader(http.StatusBadRequest)
			_ = json.NewEncoder(w).Encode(map[string]string{"__type": "AccessDeniedException", "message": "not so"})
			return
		}
		switch r.Header.Get("X-Amz-Target") {
		case "TrentService.Encrypt":
			_ = json.NewEncoder(w).Encode(map[string]any{"CiphertextBlob": append([]byte("sealed "), in.Plaintext...)})
		case "TrentService.Decrypt":
			_ = json.NewEncoder(w).Encode(map[string]any{"Plaintext": in.CiphertextBlob[len("sealed "):]})
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func TestKMS(t *testing.T) {
	server := kms(t)
	c := Config{
		KeyARN: keyARN, Endpoint: server.URL, Client: server.Client(),
		Credentials: func(context.Context) (Credentials, error) { return Credentials{"AKIA", "secret", ""}, nil },
	}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	ciphertext, err := s.Encrypt(t.Context(), []byte("a key"))
	if err != nil || string(ciphertext) != "sealed a key" {
		t.Fatalf("%q %v", ciphertext, err)
	}
	if plain, err := s.Decrypt(t.Context(), ciphertext); err != nil || string(plain) != "a key" {
		t.Errorf("%q %v", plain, err)
	}
	c.KeyARN = strings.Replace(keyARN, "1234abcd", "00000000", 1)
	if s, err = New(c); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Encrypt(t.Context(), []byte("a key")); err == nil || !strings.Contains(err.Error(), "AccessDeniedException not so") {
		t.Errorf("KMS's own words are lost: %v", err)
	}
}

func TestKeysDoNotTravelInTheClear(t *testing.T) {
	for endpoint, want := range map[string]bool{"http://kms.example": false, "http://10.0.0.1": false, "http://127.0.0.1:9000": true, "https://kms.example": true} {
		_, err := New(Config{KeyARN: keyARN, Endpoint: endpoint, Client: http.DefaultClient, Credentials: CredentialsFrom(func(string) string { return "x" })})
		if (err == nil) != want {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
}

func TestOnlyARNsOfKeysAreTaken(t *testing.T) {
	for _, arn := range []string{"", "alias/kura", "arn:aws:kms:eu-west-1:111122223333:alias/kura", "1234abcd", "arn:aws:s3:::b"} {
		if _, err := New(Config{KeyARN: arn, Client: http.DefaultClient, Credentials: CredentialsFrom(func(string) string { return "x" })}); err == nil {
			t.Errorf("%q is taken", arn)
		}
	}
}
