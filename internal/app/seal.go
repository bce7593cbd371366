package app

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/kura-s3/kura/internal/config"
	"github.com/kura-s3/kura/internal/keys"
	"github.com/kura-s3/kura/internal/sealer/awskms"
	"github.com/kura-s3/kura/internal/sealer/pkcs11"
	"github.com/kura-s3/kura/internal/sealer/vault"
)

// keyServiceTimeout bounds one call to what keeps the root key.
const keyServiceTimeout = 30 * time.Second

// sealers makes the Sealer that a --seal value names, by what stands before the colon.
var sealers = map[string]func(rest string) (keys.Sealer, error){
	"file": func(path string) (keys.Sealer, error) {
		if path == "" {
			return nil, errors.New("file: names no file")
		}
		return keys.NewKeyFile(path), nil
	},
	"passphrase": func(from string) (keys.Sealer, error) {
		source, err := passphraseSource(from)
		return keys.NewPassphrase(source), err
	},
	"vault": func(address string) (keys.Sealer, error) {
		client, err := keyServiceClient(os.Getenv("VAULT_CACERT"))
		if err != nil {
			return nil, err
		}
		service, err := vault.New(vault.Config{
			Address: address, Token: vault.TokenFrom(os.Getenv), Namespace: os.Getenv("VAULT_NAMESPACE"), Client: client,
		})
		return keys.NewEnvelope(service), err
	},
	"awskms": func(rest string) (keys.Sealer, error) {
		arn, endpoint, _ := strings.Cut(rest, "?endpoint=")
		client, err := keyServiceClient(os.Getenv("AWS_CA_BUNDLE"))
		if err != nil {
			return nil, err
		}
		service, err := awskms.New(awskms.Config{
			KeyARN: arn, Endpoint: endpoint, Credentials: awskms.CredentialsFrom(os.Getenv), Client: client,
		})
		return keys.NewEnvelope(service), err
	},
	"pkcs11": func(rest string) (keys.Sealer, error) {
		c, err := pkcs11.Parse("pkcs11:"+rest, os.Getenv)
		if err != nil {
			return nil, err
		}
		service, err := pkcs11.New(c)
		return keys.NewEnvelope(service), err
	},
}

// sealerOf makes the Sealer that a value of --seal names.
func sealerOf(spec string) (keys.Sealer, error) {
	kind, rest, _ := strings.Cut(spec, ":")
	make, ok := sealers[kind]
	if !ok {
		return nil, fmt.Errorf("--seal %q: it begins with none of file:, passphrase:, vault:, awskms: and pkcs11: that are known", spec)
	}
	s, err := make(rest)
	if err != nil {
		return nil, fmt.Errorf("--seal: %w", err)
	}
	return s, nil
}

// configuredSealer is what seals the store of c.
func configuredSealer(c *config.Config) (keys.Sealer, error) {
	if c.Seal == "" {
		return keys.NewKeyFile(rootKeyPath(c)), nil
	}
	return sealerOf(c.Seal)
}

// keyServiceClient calls a key service. Its address comes from whoever starts Kura, as that of the data
// directory does, so it may be a private one.
func keyServiceClient(ca string) (*http.Client, error) {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, err
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", ca)
		}
		transport.TLSClientConfig.RootCAs = pool
	}
	return &http.Client{Transport: transport, Timeout: keyServiceTimeout, CheckRedirect: func(*http.Request, []*http.Request) error {
		return errors.New("the key service answers with a redirect, which is not followed")
	}}, nil
}

// maxPassphrase bounds what is read of a passphrase.
const maxPassphrase = 4 << 10

// passphraseSource reads "terminal", "fd=N" or "credential=NAME" (systemd's LoadCredential=).
func passphraseSource(from string) (func(context.Context) ([]byte, error), error) {
	kind, value, _ := strings.Cut(from, "=")
	switch kind {
	case "terminal":
		return askTerminal, nil
	case "fd":
		n, err := strconv.ParseUint(value, 10, 31)
		if err != nil {
			return nil, fmt.Errorf("passphrase:fd=%s is no file descriptor", value)
		}
		return func(context.Context) ([]byte, error) {
			f := os.NewFile(uintptr(n), "passphrase")
			defer f.Close()
			return readPassphrase(f)
		}, nil
	case "credential":
		dir := os.Getenv("CREDENTIALS_DIRECTORY")
		if dir == "" || value == "" || strings.ContainsRune(value, '/') {
			return nil, errors.New("passphrase:credential=NAME needs CREDENTIALS_DIRECTORY, as systemd's LoadCredential= sets it, and a plain name")
		}
		return func(context.Context) ([]byte, error) {
			f, err := os.Open(filepath.Join(dir, value))
			if err != nil {
				return nil, err
			}
			defer f.Close()
			return readPassphrase(f)
		}, nil
	}
	return nil, fmt.Errorf("passphrase:%s: it is read from terminal, fd=N or credential=NAME", from)
}

// readPassphrase takes everything up to the end, without one last newline.
func readPassphrase(r io.Reader) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxPassphrase+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > maxPassphrase {
		return nil, fmt.Errorf("it is longer than %d bytes", maxPassphrase)
	}
	return bytes.TrimSuffix(bytes.TrimSuffix(raw, []byte("\n")), []byte("\r")), nil
}

func askTerminal(context.Context) ([]byte, error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("there is no terminal to ask at: %w", err)
	}
	defer tty.Close()
	fmt.Fprint(tty, "Passphrase of the store: ")
	defer fmt.Fprintln(tty)
	return term.ReadPassword(int(tty.Fd()))
}

// SealStatus tells how the store keys of a data directory are sealed. It needs no root key.
func SealStatus(ctx context.Context, c *config.Config) (status []keys.Sealed, err error) {
	s, err := openSealed(ctx, c)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	return keys.Inspect(ctx, s.engines.Meta)
}

// openSealed opens the engines of a data directory that exists and that nobody serves.
func openSealed(ctx context.Context, c *config.Config) (*server, error) {
	if _, err := os.Stat(filepath.Join(c.Data, formatFile)); err != nil {
		return nil, fmt.Errorf("%s is no data directory of Kura: %w", c.Data, err)
	}
	s := &server{config: c, log: slog.New(slog.DiscardHandler)}
	if err := s.openEngines(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// SealMove seals the store keys of a data directory by what to names, a value of --seal. It returns
// what sealed them and what does now.
func SealMove(ctx context.Context, c *config.Config, to string) (before, after string, err error) {
	next, err := sealerOf(to)
	if err != nil {
		return "", "", err
	}
	err = withRing(ctx, c, func(ring *keys.Ring) error {
		before, after = ring.Sealer().Name(), next.Name()
		return ring.Reseal(ctx, next)
	})
	return before, after, err
}

// SealRotate makes a new root key and seals the store keys by it: a new key in the file, or a new
// version in the key service. A passphrase is changed by a move.
func SealRotate(ctx context.Context, c *config.Config) (name string, err error) {
	err = withRing(ctx, c, func(ring *keys.Ring) error {
		name = ring.Sealer().Name()
		switch s := ring.Sealer().(type) {
		case *keys.KeyFile:
			if err := s.BeginRotation(); err != nil {
				return err
			}
			if err := ring.Reseal(ctx, s); err != nil {
				return err
			}
			return s.EndRotation()
		case *keys.Envelope:
			if r, ok := s.Service().(keys.Rotator); ok {
				if err := r.Rotate(ctx); err != nil {
					return err
				}
			}
			return ring.Reseal(ctx, s)
		}
		return errors.New("a passphrase is not rotated but changed: kura seal move --to passphrase:…")
	})
	return name, err
}

// withRing opens the ring of a data directory and lets go of it after fn.
func withRing(ctx context.Context, c *config.Config, fn func(*keys.Ring) error) (err error) {
	s, err := openSealed(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	status, err := keys.Inspect(ctx, s.engines.Meta)
	if err != nil {
		return err
	}
	if len(status) == 0 {
		return fmt.Errorf("%s was never started, so nothing is sealed", c.Data)
	}
	sealer, err := configuredSealer(c)
	if err != nil {
		return err
	}
	ring, err := keys.Open(ctx, s.engines.Meta, sealer)
	if err != nil {
		return err
	}
	return fn(ring)
}
