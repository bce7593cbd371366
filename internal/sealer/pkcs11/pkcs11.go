// Package pkcs11 keeps the root key in a token behind PKCS#11: a hardware security module, a smart card,
// or SoftHSM. The key encrypts and decrypts in the token and never leaves it.
//
// The interface is a C library, so it is compiled in only with the build tag "pkcs11" (and cgo); without
// the tag New says so.
package pkcs11

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
)

// Config of a Service.
type Config struct {
	// Module is the path of the token's library. Required.
	Module string
	// Token and Object are the labels of the token and of its AES key of 256 bits. Required.
	Token, Object string
	// PIN gives the user's PIN. Required.
	PIN func() (string, error)
}

// Parse reads a PKCS#11 URI (RFC 7512): pkcs11:token=T;object=K?module-path=/lib.so&pin-source=file:/pin.
// Without pin-source the PIN is taken from KURA_PKCS11_PIN. What is not understood is refused: it may
// have chosen another key.
func Parse(uri string, getenv func(string) string) (Config, error) {
	var c Config
	rest, ok := strings.CutPrefix(uri, "pkcs11:")
	if !ok {
		return c, fmt.Errorf("pkcs11: %q is no pkcs11: URI", uri)
	}
	path, query, _ := strings.Cut(rest, "?")
	pinSource := ""
	fields := map[string]*string{"token": &c.Token, "object": &c.Object}
	options := map[string]*string{"module-path": &c.Module, "pin-source": &pinSource}
	if err := parse(path, ";", fields); err != nil {
		return c, err
	}
	if err := parse(query, "&", options); err != nil {
		return c, err
	}
	if c.Module == "" || c.Token == "" || c.Object == "" {
		return c, errors.New("pkcs11: the URI needs token, object and module-path")
	}
	c.PIN = func() (string, error) { return pin(pinSource, getenv) }
	return c, nil
}

func parse(text, separator string, into map[string]*string) error {
	for _, pair := range strings.Split(text, separator) {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		field := into[name]
		if field == nil || *field != "" {
			return fmt.Errorf("pkcs11: attribute %q is unknown or given twice", name)
		}
		value, err := url.PathUnescape(value)
		if err != nil {
			return fmt.Errorf("pkcs11: attribute %q: %w", name, err)
		}
		*field = value
	}
	return nil
}

func pin(source string, getenv func(string) string) (string, error) {
	if source == "" {
		if p := getenv("KURA_PKCS11_PIN"); p != "" {
			return p, nil
		}
		return "", errors.New("pkcs11: neither pin-source nor KURA_PKCS11_PIN is set")
	}
	raw, err := os.ReadFile(strings.TrimPrefix(source, "file:"))
	return strings.TrimSuffix(string(raw), "\n"), err
}

// Kind implements keys.KeyService.
func (s *Service) Kind() string { return "pkcs11" }

// Name implements keys.KeyService.
func (s *Service) Name() string {
	return "PKCS#11 key " + s.config.Object + " of token " + s.config.Token
}
