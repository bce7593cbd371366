package kms

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/seal"
)

// A ciphertext of a symmetric key, format 1: the format number, the key's id (16 bytes), the number of
// its material (4 bytes, big endian), and the plaintext wrapped by that material (package seal) for a
// context of "kura kms", 0, all the bytes before, and the encryption context in canonical form.
const (
	blobFormat = 1
	blobHeader = 1 + 16 + 4
	blobLabel  = "kura kms\x00"

	// Overhead is what encrypting by a symmetric key adds.
	Overhead = blobHeader + seal.WrapOverhead
)

// Bounds of what is encrypted directly, and of an encryption context, in bytes.
const (
	MaxPlaintext = 4096
	maxContext   = 8192
)

// canonical appends the encryption context in the one form that its pairs have in any order: by name,
// each name and value behind its length (4 bytes, big endian).
func canonical(to []byte, context map[string]string) []byte {
	names := make([]string, 0, len(context))
	for name := range context {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, text := range [...]string{name, context[name]} {
			to = binary.BigEndian.AppendUint32(to, uint32(len(text)))
			to = append(to, text...)
		}
	}
	return to
}

// checkContext bounds an encryption context. Names that differ in case alone are refused: conditions on
// kms:EncryptionContext: would not tell them apart.
func checkContext(context map[string]string) error {
	size := 0
	var seen map[string]bool
	for name, value := range context {
		size += len(name) + len(value)
		if len(context) < 2 {
			break
		}
		if seen == nil {
			seen = make(map[string]bool, len(context))
		}
		folded := strings.ToLower(name)
		if seen[folded] {
			return refuse(Invalid, "The encryption context has names that differ in case alone: %s", name)
		}
		seen[folded] = true
	}
	if size > maxContext {
		return refuse(Invalid, "The encryption context is larger than %d bytes.", maxContext)
	}
	return nil
}

// wrap encrypts plain under the key's newest material.
func (s *Store) wrap(ctx context.Context, k *Key, plain []byte, context map[string]string) ([]byte, error) {
	now := k.current()
	if now == nil {
		return nil, refuse(InvalidState, "%s is pending import.", k.ARN)
	}
	m, err := s.material(ctx, k, now.Number)
	if err != nil {
		return nil, err
	}
	id, _ := parseID(k.ID)
	blob := make([]byte, 0, Overhead+len(plain))
	blob = append(append(blob, blobFormat), id[:]...)
	blob = binary.BigEndian.AppendUint32(blob, now.Number)
	return m.wrapper.Wrap(blob, blobContext(blob, context), plain), nil
}

func blobContext(header []byte, context map[string]string) []byte {
	return canonical(append([]byte(blobLabel), header...), context)
}

// unwrap opens what wrap made. Whatever is wrong with it is the same failure without a word.
func (s *Store) unwrap(ctx context.Context, k *Key, blob []byte, context map[string]string) ([]byte, *MaterialInfo, error) {
	number := binary.BigEndian.Uint32(blob[blobHeader-4:])
	i := slices.IndexFunc(k.Materials, func(m MaterialInfo) bool { return m.Number == number && !m.Gone })
	if i < 0 {
		return nil, nil, refuse(InvalidCiphertext, "")
	}
	m, err := s.material(ctx, k, number)
	if err != nil {
		return nil, nil, err
	}
	plain, err := m.wrapper.Unwrap(nil, blobContext(blob[:blobHeader], context), blob[blobHeader:])
	if err != nil {
		return nil, nil, &fault.Error{Kind: InvalidCiphertext, Cause: err}
	}
	return plain, &k.Materials[i], nil
}

// KeyOf is the key that a ciphertext names, for the demand that comes before decrypting. Of a key that
// does not exist it says what AWS says of one that the caller may not use.
func (s *Store) KeyOf(blob []byte) (*Key, error) {
	if len(blob) < Overhead || blob[0] != blobFormat {
		return nil, refuse(InvalidCiphertext, "")
	}
	if k := s.key(formatID([16]byte(blob[1:17]))); k != nil && !s.erased(k) {
		return k, nil
	}
	return nil, refuse(UnknownCiphertext, "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access.")
}

// present is k as it is now: the caller may have found it a while ago.
func (s *Store) present(k *Key) (*Key, error) {
	if now := s.key(k.ID); now != nil && !s.erased(now) {
		return now, nil
	}
	return nil, refuse(NotFound, "Key '%s' does not exist", k.ARN)
}

// ready is the key as it is now, or refuses what an encrypting operation of symmetric keys cannot be done
// with.
func (s *Store) ready(g authz.Grant, action string, k *Key, context map[string]string) (*Key, error) {
	if err := g.Require(action, k.ARN); err != nil {
		return nil, err
	}
	k, err := s.present(k)
	if err != nil {
		return nil, err
	}
	operation := strings.TrimPrefix(action, "kms:")
	if err := k.serves(EncryptDecrypt, operation); err != nil {
		return nil, err
	}
	if !k.symmetric() {
		return nil, refuse(InvalidKeyUsage, "Algorithm %s is incompatible with key spec %s.", SymmetricDefault, k.Spec)
	}
	if err := checkContext(context); err != nil {
		return nil, err
	}
	return k, s.usable(k)
}

// GenerateDataKey makes a data key of n bytes (1 to 1,024) and its ciphertext under k. It needs
// kms:GenerateDataKey on k.
func (s *Store) GenerateDataKey(ctx context.Context, g authz.Grant, k *Key, context map[string]string, n int) (plain, wrapped []byte, err error) {
	return s.dataKey(ctx, g, "kms:GenerateDataKey", k, context, n)
}

// GenerateDataKeyWithoutPlaintext makes a data key that only its ciphertext tells. It needs the action
// of its name on k.
func (s *Store) GenerateDataKeyWithoutPlaintext(ctx context.Context, g authz.Grant, k *Key, context map[string]string, n int) ([]byte, error) {
	_, wrapped, err := s.dataKey(ctx, g, "kms:GenerateDataKeyWithoutPlaintext", k, context, n)
	return wrapped, err
}

func (s *Store) dataKey(ctx context.Context, g authz.Grant, action string, k *Key, context map[string]string, n int) (plain, wrapped []byte, err error) {
	if k, err = s.ready(g, action, k, context); err != nil {
		return nil, nil, err
	}
	if n < 1 || n > 1024 {
		return nil, nil, refuse(Invalid, "A data key has 1 to 1024 bytes.")
	}
	plain = make([]byte, n)
	rand.Read(plain)
	if wrapped, err = s.wrap(ctx, k, plain, context); err != nil {
		return nil, nil, err
	}
	s.used(g, strings.TrimPrefix(action, "kms:"), k, context)
	return plain, wrapped, nil
}

// Sealing is how something is encrypted directly: by which key, and in what way.
type Sealing struct {
	Key *Key
	// Context is the encryption context; of symmetric keys only.
	Context map[string]string
	// Algorithm is SYMMETRIC_DEFAULT ("") or one of RSA.
	Algorithm string
}

func (u *Sealing) symmetric() bool {
	return u.Algorithm == "" || u.Algorithm == string(SymmetricDefault)
}

// plainRSA refuses an encryption context where nothing would bind it.
func (u *Sealing) plainRSA() error {
	if len(u.Context) > 0 {
		return refuse(Invalid, "EncryptionContext is not supported with asymmetric keys.")
	}
	return nil
}

// Encrypt encrypts up to 4,096 bytes. It needs kms:Encrypt on the key.
func (s *Store) Encrypt(ctx context.Context, g authz.Grant, by Sealing, plain []byte) ([]byte, error) {
	return s.encrypt(ctx, g, "Encrypt", by, plain)
}

func (s *Store) encrypt(ctx context.Context, g authz.Grant, operation string, by Sealing, plain []byte) ([]byte, error) {
	if !by.symmetric() {
		if err := by.plainRSA(); err != nil {
			return nil, err
		}
		return s.encryptRSA(ctx, g, operation, by.Key, plain, by.Algorithm)
	}
	k, err := s.ready(g, "kms:"+operation, by.Key, by.Context)
	if err != nil {
		return nil, err
	}
	if len(plain) > MaxPlaintext && operation == "Encrypt" {
		return nil, refuse(Invalid, "1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must have length less than or equal to %d", MaxPlaintext)
	}
	sealed, err := s.wrap(ctx, k, plain, by.Context)
	if err != nil {
		return nil, err
	}
	s.used(g, operation, k, by.Context)
	return sealed, nil
}

// Open is Decrypt for ciphertexts of every kind, for callers that name the key. It tells the id of the
// material too, for symmetric keys. It needs kms:Decrypt on the key.
func (s *Store) Open(ctx context.Context, g authz.Grant, by Sealing, sealed []byte) (plain []byte, material string, err error) {
	return s.decrypt(ctx, g, "Decrypt", by, sealed)
}

func (s *Store) decrypt(ctx context.Context, g authz.Grant, operation string, by Sealing, sealed []byte) (plain []byte, material string, err error) {
	if !by.symmetric() {
		if err := by.plainRSA(); err != nil {
			return nil, "", err
		}
		plain, err = s.decryptRSA(ctx, g, operation, by.Key, sealed, by.Algorithm)
		return plain, "", err
	}
	k, err := s.ready(g, "kms:"+operation, by.Key, by.Context)
	if err != nil {
		return nil, "", err
	}
	of, err := s.KeyOf(sealed)
	switch {
	case err != nil && fault.Is(err, UnknownCiphertext), err == nil && of.ID != k.ID:
		return nil, "", refuse(IncorrectKey, "The key ID in the request does not identify a CMK that can perform this operation.")
	case err != nil:
		return nil, "", err
	}
	plain, m, err := s.unwrap(ctx, k, sealed, by.Context)
	if err != nil {
		return nil, "", err
	}
	s.used(g, operation, k, by.Context)
	return plain, m.ID, nil
}

// ReEncrypt opens a ciphertext and encrypts what it holds anew; the plaintext stays here. It needs
// kms:ReEncryptFrom on the one key and kms:ReEncryptTo on the other.
func (s *Store) ReEncrypt(ctx context.Context, g authz.Grant, from, to Sealing, sealed []byte) (anew []byte, material string, err error) {
	plain, material, err := s.decrypt(ctx, g, "ReEncryptFrom", from, sealed)
	if err != nil {
		return nil, "", err
	}
	anew, err = s.encrypt(ctx, g, "ReEncryptTo", to, plain)
	return anew, material, err
}

// Decrypt opens a ciphertext of a symmetric key, which it names itself (KeyOf). It needs kms:Decrypt on
// that key.
func (s *Store) Decrypt(ctx context.Context, g authz.Grant, wrapped []byte, context map[string]string) (plain []byte, k *Key, err error) {
	if k, err = s.KeyOf(wrapped); err != nil {
		return nil, nil, err
	}
	plain, _, err = s.decrypt(ctx, g, "Decrypt", Sealing{Key: k, Context: context}, wrapped)
	return plain, k, err
}
