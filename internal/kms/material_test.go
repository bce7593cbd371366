package kms_test

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/kms"
)

// TestSignaturesAreOfTheStandard: what Sign makes, the standard library verifies by the public key that
// GetPublicKey gives.
func TestSignaturesAreOfTheStandard(t *testing.T) {
	h := newHarness(t)
	ctx := t.Context()
	message := []byte("to be signed")
	d256, d512 := sha256.Sum256(message), sha512.Sum512(message)
	for _, c := range []struct {
		spec      kms.Spec
		algorithm string
		good      func(public any, signature []byte) bool
	}{
		{kms.RSA2048, "RSASSA_PKCS1_V1_5_SHA_256", func(p any, s []byte) bool {
			return rsa.VerifyPKCS1v15(p.(*rsa.PublicKey), crypto.SHA256, d256[:], s) == nil
		}},
		{kms.RSA2048, "RSASSA_PSS_SHA_512", func(p any, s []byte) bool {
			return rsa.VerifyPSS(p.(*rsa.PublicKey), crypto.SHA512, d512[:], s, nil) == nil
		}},
		{kms.P256, "ECDSA_SHA_256", func(p any, s []byte) bool { return ecdsa.VerifyASN1(p.(*ecdsa.PublicKey), d256[:], s) }},
		{kms.P521, "ECDSA_SHA_512", func(p any, s []byte) bool { return ecdsa.VerifyASN1(p.(*ecdsa.PublicKey), d512[:], s) }},
		{kms.Edwards25519, "ED25519_SHA_512", func(p any, s []byte) bool { return ed25519.Verify(p.(ed25519.PublicKey), message, s) }},
		{kms.Edwards25519, "ED25519_PH_SHA_512", func(p any, s []byte) bool {
			return ed25519.VerifyWithOptions(p.(ed25519.PublicKey), d512[:], s, &ed25519.Options{Hash: crypto.SHA512}) == nil
		}},
	} {
		k := h.create(kms.NewKey{Spec: c.spec, Usage: kms.SignVerify})
		for _, s := range []*kms.Store{h.Store, h.reopen()} {
			m := kms.Message{Bytes: message, Algorithm: c.algorithm}
			signature, err := s.Sign(ctx, h.all(), k, m)
			if err != nil {
				t.Fatalf("%s: %v", c.algorithm, err)
			}
			der, err := s.PublicKey(ctx, h.all(), k)
			if err != nil {
				t.Fatal(err)
			}
			public, err := x509.ParsePKIXPublicKey(der)
			if err != nil || !c.good(public, signature) {
				t.Errorf("%s: not a signature of the public key, %v", c.algorithm, err)
			}
			if err := s.Verify(ctx, h.all(), k, m, signature); err != nil {
				t.Errorf("%s: %v", c.algorithm, err)
			}
			h.wants(s.Verify(ctx, h.all(), k, kms.Message{Bytes: []byte("another"), Algorithm: c.algorithm}, signature), kms.InvalidSignature, "")
			h.wants(s.Verify(ctx, h.all(), k, m, nil), kms.InvalidSignature, "")
		}
		_, err := h.Sign(ctx, h.all(), k, kms.Message{Bytes: []byte("short"), Digest: true, Algorithm: c.algorithm})
		h.wants(err, kms.Invalid, c.algorithm)
		_, err = h.Sign(ctx, h.all(), k, kms.Message{Bytes: message, Algorithm: "SM2DSA"})
		h.wants(err, kms.InvalidKeyUsage, "incompatible")
		for _, n := range []int{0, 4097} {
			_, err = h.Sign(ctx, h.all(), k, kms.Message{Bytes: make([]byte, n), Algorithm: c.algorithm})
			h.wants(err, kms.Invalid, "")
		}
		_, err = h.Encrypt(ctx, h.all(), kms.Sealing{Key: k}, message)
		h.wants(err, kms.InvalidKeyUsage, "key usage is SIGN_VERIFY which is not valid for Encrypt.")
	}
}

func TestMACs(t *testing.T) {
	h := newHarness(t)
	for spec, size := range map[kms.Spec]int{kms.HMAC224: 28, kms.HMAC256: 32, kms.HMAC384: 48, kms.HMAC512: 64} {
		k := h.create(kms.NewKey{Spec: spec, Usage: kms.GenerateVerifyMAC})
		algorithm := k.Algorithms()[0]
		code, err := h.GenerateMAC(t.Context(), h.all(), k, []byte("x"), algorithm)
		if err != nil || len(code) != size {
			t.Errorf("%s: %x %v", spec, code, err)
		}
		if err := h.VerifyMAC(t.Context(), h.all(), k, []byte("x"), algorithm, code); err != nil {
			t.Error(err)
		}
		for _, bad := range [][]byte{nil, code[:size-1], append(bytes.Clone(code), 0), make([]byte, size)} {
			h.wants(h.VerifyMAC(t.Context(), h.all(), k, []byte("x"), algorithm, bad), kms.InvalidMAC, "")
		}
		_, err = h.GenerateMAC(t.Context(), h.all(), k, []byte("x"), "HMAC_SHA_1")
		h.wants(err, kms.InvalidKeyUsage, "")
	}
}

func TestDataKeyPair(t *testing.T) {
	h := newHarness(t)
	k := h.create(kms.NewKey{})
	context := map[string]string{"a": "b"}
	for _, spec := range []kms.Spec{kms.RSA2048, kms.P384, kms.Edwards25519} {
		pair, err := h.GenerateDataKeyPair(t.Context(), h.all(), "GenerateDataKeyPair", k, context, spec)
		if err != nil {
			t.Fatal(err)
		}
		private, err := x509.ParsePKCS8PrivateKey(pair.Private)
		if err != nil {
			t.Fatal(err)
		}
		public, _ := x509.MarshalPKIXPublicKey(private.(crypto.Signer).Public())
		opened, _, err := h.Decrypt(t.Context(), h.all(), pair.Sealed, context)
		if err != nil || !bytes.Equal(opened, pair.Private) || !bytes.Equal(public, pair.Public) {
			t.Errorf("%s: %v", spec, err)
		}
	}
	for _, spec := range []kms.Spec{kms.SymmetricDefault, kms.HMAC256, "ECC_SECG_P256K1", ""} {
		_, err := h.GenerateDataKeyPair(t.Context(), h.all(), "GenerateDataKeyPair", k, context, spec)
		h.wants(err, kms.Unsupported, "")
	}
}

func TestSharedSecret(t *testing.T) {
	h := newHarness(t)
	k := h.create(kms.NewKey{Spec: kms.P256, Usage: kms.KeyAgreement})
	own, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, _ := h.PublicKey(t.Context(), h.all(), k)
	public, _ := x509.ParsePKIXPublicKey(der)
	theirs, err := public.(*ecdsa.PublicKey).ECDH()
	if err != nil {
		t.Fatal(err)
	}
	want, err := own.ECDH(theirs)
	if err != nil {
		t.Fatal(err)
	}
	mine, _ := x509.MarshalPKIXPublicKey(own.PublicKey())
	if got, err := h.DeriveSharedSecret(t.Context(), h.all(), k, mine); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%x %v", got, err)
	}
	other, _ := ecdh.P384().GenerateKey(rand.Reader)
	wrong, _ := x509.MarshalPKIXPublicKey(other.PublicKey())
	for _, bad := range [][]byte{nil, wrong, mine[:20]} {
		_, err := h.DeriveSharedSecret(t.Context(), h.all(), k, bad)
		h.wants(err, kms.Invalid, "")
	}
}

func TestReEncrypt(t *testing.T) {
	h := newHarness(t)
	ctx := t.Context()
	k, l := h.create(kms.NewKey{}), h.create(kms.NewKey{})
	r := h.create(kms.NewKey{Spec: kms.RSA2048, Usage: kms.EncryptDecrypt})
	red := map[string]string{"team": "red"}
	blob, err := h.Encrypt(ctx, h.all(), kms.Sealing{Key: k}, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	for i, to := range []kms.Sealing{{Key: l, Context: red}, {Key: r, Algorithm: "RSAES_OAEP_SHA_256"}, {Key: k}} {
		from := []kms.Sealing{{Key: k}, {Key: l, Context: red}, {Key: r, Algorithm: "RSAES_OAEP_SHA_256"}}[i]
		if blob, _, err = h.ReEncrypt(ctx, h.all(), from, to, blob); err != nil {
			t.Fatal(err)
		}
	}
	if plain, _, err := h.Decrypt(ctx, h.all(), blob, nil); err != nil || string(plain) != "x" {
		t.Errorf("%s %v", plain, err)
	}
	_, _, err = h.ReEncrypt(ctx, h.all(), kms.Sealing{Key: l}, kms.Sealing{Key: k}, blob)
	h.wants(err, kms.IncorrectKey, "")
	_, err = h.Encrypt(ctx, h.all(), kms.Sealing{Key: r, Algorithm: "RSAES_OAEP_SHA_256", Context: red}, []byte("x"))
	h.wants(err, kms.Invalid, "EncryptionContext")
	_, err = h.Encrypt(ctx, h.all(), kms.Sealing{Key: r, Algorithm: "RSAES_OAEP_SHA_256"}, make([]byte, 191))
	h.wants(err, kms.Invalid, "cannot encrypt data larger than 190 bytes.")
	_, err = h.Encrypt(ctx, h.all(), kms.Sealing{Key: r}, []byte("x"))
	h.wants(err, kms.InvalidKeyUsage, "SYMMETRIC_DEFAULT is incompatible with key spec RSA_2048")
	_, _, err = h.Open(ctx, h.all(), kms.Sealing{Key: r, Algorithm: "RSAES_OAEP_SHA_1"}, make([]byte, 256))
	h.wants(err, kms.InvalidCiphertext, "")
}

// wrapped is material ready for import by RSAES_OAEP_SHA_256.
func (h *harness) wrapped(k *kms.Key, raw []byte) kms.Import {
	h.t.Helper()
	p, err := h.ParametersForImport(h.t.Context(), h.all(), k, "RSAES_OAEP_SHA_256", "RSA_2048")
	if err != nil {
		h.t.Fatal(err)
	}
	public, err := x509.ParsePKIXPublicKey(p.Public)
	if err != nil {
		h.t.Fatal(err)
	}
	sealed, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, public.(*rsa.PublicKey), raw, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return kms.Import{Token: p.Token, Wrapped: sealed}
}

func TestImportedMaterial(t *testing.T) {
	h := newHarness(t)
	ctx := t.Context()
	k := h.create(kms.NewKey{Origin: kms.OriginExternal})
	raw, other := bytes.Repeat([]byte("k"), 32), bytes.Repeat([]byte("l"), 32)
	id, err := h.ImportMaterial(ctx, h.all(), k, h.wrapped(k, raw))
	if err != nil {
		t.Fatal(err)
	}
	if now := h.now(k); now.State != kms.Enabled || now.CurrentMaterial() != id {
		t.Errorf("%+v", now)
	}
	blob, err := h.Encrypt(ctx, h.all(), kms.Sealing{Key: h.now(k)}, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.DeleteMaterial(ctx, h.all(), k.ID); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*kms.Store{h.Store, h.reopen()} {
		_, _, err := s.Decrypt(ctx, h.all(), blob, nil)
		h.wants(err, kms.InvalidState, "is pending import.")
	}
	if _, v, _ := h.meta.Get(ctx, []byte("kms/m/"+k.ID+"/00000001"), nil); v != 0 {
		t.Error("the material is still there")
	}
	_, err = h.ImportMaterial(ctx, h.all(), h.now(k), h.wrapped(k, other))
	h.wants(err, kms.IncorrectKeyMaterial, "")
	again := h.wrapped(k, raw)
	again.Expires = h.clock.Now().Add(time.Hour)
	if _, err := h.ImportMaterial(ctx, h.all(), h.now(k), again); err != nil {
		t.Fatal(err)
	}
	if plain, _, err := h.Decrypt(ctx, h.all(), blob, nil); err != nil || string(plain) != "x" {
		t.Errorf("after the same was imported again: %v", err)
	}
	h.clock.Forward(time.Hour)
	_, _, err = h.Decrypt(ctx, h.all(), blob, nil)
	h.wants(err, kms.InvalidState, "is pending import.") // to the second
	h.housekeep()
	if _, v, _ := h.meta.Get(ctx, []byte("kms/m/"+k.ID+"/00000001"), nil); v != 0 || h.Due() {
		t.Error("expired material is still there")
	}
	if h.now(k).State != kms.PendingImport {
		t.Errorf("state %s", h.now(k).State)
	}
}

func TestImportsAreChecked(t *testing.T) {
	h := newHarness(t)
	ctx := t.Context()
	k, l := h.create(kms.NewKey{Origin: kms.OriginExternal}), h.create(kms.NewKey{Origin: kms.OriginExternal})
	good := h.wrapped(k, make([]byte, 32))
	_, err := h.ImportMaterial(ctx, h.all(), l, good)
	h.wants(err, kms.InvalidImportToken, "")
	_, err = h.ImportMaterial(ctx, h.all(), k, kms.Import{Token: good.Token[1:], Wrapped: good.Wrapped})
	h.wants(err, kms.InvalidImportToken, "")
	_, err = h.ImportMaterial(ctx, h.all(), k, kms.Import{Token: good.Token, Wrapped: good.Wrapped[1:]})
	h.wants(err, kms.InvalidCiphertext, "")
	_, err = h.ImportMaterial(ctx, h.all(), k, h.wrapped(k, make([]byte, 31)))
	h.wants(err, kms.InvalidCiphertext, "")
	for _, at := range []time.Time{h.clock.Now(), h.clock.Now().AddDate(1, 0, 1)} {
		late := good
		late.Expires = at
		_, err = h.ImportMaterial(ctx, h.all(), k, late)
		h.wants(err, kms.Invalid, "ValidTo")
	}
	h.clock.Forward(24 * time.Hour)
	_, err = h.ImportMaterial(ctx, h.all(), k, good)
	h.wants(err, kms.ExpiredImportToken, "")
	own := h.create(kms.NewKey{})
	_, err = h.ParametersForImport(ctx, h.all(), own, "RSAES_OAEP_SHA_256", "RSA_2048")
	h.wants(err, kms.Unsupported, "origin is AWS_KMS which is not valid for this operation.")
	_, err = h.DeleteMaterial(ctx, h.all(), own.ID)
	h.wants(err, kms.Unsupported, "origin is AWS_KMS")
	for _, way := range [][2]string{{"RSAES_PKCS1_V1_5", "RSA_2048"}, {"SM2PKE", "SM2"}, {"RSAES_OAEP_SHA_256", "RSA_1024"}} {
		_, err = h.ParametersForImport(ctx, h.all(), k, way[0], way[1])
		h.wants(err, kms.Unsupported, "")
	}
	_, err = h.Create(ctx, h.all(), kms.NewKey{Account: account, Origin: kms.OriginExternal, Spec: kms.P256, Usage: kms.SignVerify, Bypass: true})
	h.wants(err, kms.Unsupported, "")
	if mac := h.create(kms.NewKey{Origin: kms.OriginExternal, Spec: kms.HMAC512, Usage: kms.GenerateVerifyMAC}); mac.State != kms.PendingImport {
		t.Errorf("%+v", mac)
	}
}
