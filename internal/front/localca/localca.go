// Package localca is a certificate authority of one machine: it makes a CA at its first use, keeps
// it in a directory, and has it sign the server's certificate.
//
// What it promises: the CA's key never leaves the directory and is readable by its owner only; the
// CA signs nothing but server certificates (path length 0); a leaf names exactly the hosts that it
// was asked for and is replaced before it expires, at start or while the server runs. Clients trust
// ca.pem and need not be told again when the leaf changes.
package localca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Lives of the certificates. A leaf is replaced when less than renewBefore of its life is left.
const (
	caLife      = 10 * 365 * 24 * time.Hour
	leafLife    = 397 * 24 * time.Hour // the longest that clients accept
	renewBefore = 90 * 24 * time.Hour
	backdate    = time.Hour // for clients whose clock is behind
)

// Files in the directory.
const (
	caFile      = "ca.pem"
	caKeyFile   = "ca.key"
	leafFile    = "server.pem"
	leafKeyFile = "server.key"
)

// Config of a CA.
type Config struct {
	// Dir holds the CA; it is made when it is not there. Required.
	Dir string
	// Hosts are the DNS names and IP addresses of the server's certificate. Required.
	Hosts []string
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// CA signs the server's certificate. Safe for concurrent use.
type CA struct {
	config Config
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey

	mu   sync.Mutex
	leaf *tls.Certificate
}

// Open loads the CA of the directory or makes one, and sees to it that the leaf is good.
func Open(c Config) (*CA, error) {
	if c.Dir == "" || len(c.Hosts) == 0 {
		return nil, errors.New("localca: a directory and at least one host are needed")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("localca: %w", err)
	}
	ca := &CA{config: c}
	if err := ca.load(); err != nil {
		return nil, fmt.Errorf("localca: %w", err)
	}
	if _, err := ca.Certificate(nil); err != nil {
		return nil, err
	}
	return ca, nil
}

// Path of the CA's certificate, for clients to trust.
func (ca *CA) Path() string { return filepath.Join(ca.config.Dir, caFile) }

// Certificate is the current leaf, for tls.Config.GetCertificate. It is renewed when it is near
// its end.
func (ca *CA) Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	if ca.leaf != nil && ca.good(ca.leaf.Leaf) {
		return ca.leaf, nil
	}
	leaf, err := readPair(filepath.Join(ca.config.Dir, leafFile), filepath.Join(ca.config.Dir, leafKeyFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("localca: %w", err)
	}
	if err != nil || !ca.good(leaf.Leaf) {
		if leaf, err = ca.sign(); err != nil {
			return nil, fmt.Errorf("localca: %w", err)
		}
	}
	ca.leaf = leaf
	return leaf, nil
}

// load reads the CA or makes it.
func (ca *CA) load() error {
	certPath, keyPath := filepath.Join(ca.config.Dir, caFile), filepath.Join(ca.config.Dir, caKeyFile)
	pair, err := readPair(certPath, keyPath)
	if errors.Is(err, fs.ErrNotExist) {
		return ca.make(certPath, keyPath)
	}
	if err != nil {
		return err
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || !pair.Leaf.IsCA {
		return fmt.Errorf("%s is not a CA of ours; move it away to have a new one made", certPath)
	}
	if ca.config.Now().After(pair.Leaf.NotAfter) {
		return fmt.Errorf("%s expired on %s; move it and %s away to have a new CA made", certPath, pair.Leaf.NotAfter.Format(time.DateOnly), keyPath)
	}
	ca.cert, ca.key = pair.Leaf, key
	return nil
}

// make makes a CA. A certificate without its key, or the other way round, is left by a crash or
// by a mistake; it is only replaced when the certificate is missing, because somebody may trust it.
func (ca *CA) make(certPath, keyPath string) error {
	if _, err := os.Stat(certPath); err == nil {
		return fmt.Errorf("%s is there but its key is not; restore the key, or move the certificate away to have a new CA made", certPath)
	}
	now := ca.config.Now()
	serial, err := newSerial()
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{Organization: []string{"Kura"}, CommonName: fmt.Sprintf("Kura local CA %x", serial.Bytes()[:4])},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(caLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	if ca.cert, err = x509.ParseCertificate(der); err != nil {
		return err
	}
	ca.key = key
	return writePair(certPath, keyPath, [][]byte{der}, key)
}

// sign makes a new leaf.
func (ca *CA) sign() (*tls.Certificate, error) {
	now := ca.config.Now()
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{Organization: []string{"Kura"}, CommonName: ca.config.Hosts[0]},
		NotBefore:    now.Add(-backdate),
		NotAfter:     earlier(now.Add(leafLife), ca.cert.NotAfter),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, h := range ca.config.Hosts {
		if a, err := netip.ParseAddr(h); err == nil {
			template.IPAddresses = append(template.IPAddresses, a.AsSlice())
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, &key.PublicKey, ca.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	chain := [][]byte{der, ca.cert.Raw}
	err = writePair(filepath.Join(ca.config.Dir, leafFile), filepath.Join(ca.config.Dir, leafKeyFile), chain, key)
	return &tls.Certificate{Certificate: chain, PrivateKey: key, Leaf: leaf}, err
}

// good tells whether leaf is ours, lasts, and names every host.
func (ca *CA) good(leaf *x509.Certificate) bool {
	now := ca.config.Now()
	if leaf.CheckSignatureFrom(ca.cert) != nil || now.Before(leaf.NotBefore) {
		return false
	}
	// A leaf that ends with the CA cannot be had longer-lived.
	if leaf.NotAfter.Sub(now) < renewBefore && leaf.NotAfter.Before(ca.cert.NotAfter) {
		return false
	}
	var names []string
	names = append(names, leaf.DNSNames...)
	for _, ip := range leaf.IPAddresses {
		if a, ok := netip.AddrFromSlice(ip); ok {
			names = append(names, a.Unmap().String())
		}
	}
	for _, h := range ca.config.Hosts {
		if a, err := netip.ParseAddr(h); err == nil {
			h = a.Unmap().String()
		}
		if !slices.Contains(names, h) {
			return false
		}
	}
	return now.Before(leaf.NotAfter)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// newSerial makes 16 random bytes, positive and with its first byte set.
func newSerial() (*big.Int, error) {
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		return nil, err
	}
	b[0] = b[0]&0x3f | 0x40
	return new(big.Int).SetBytes(b), nil
}

func readPair(certPath, keyPath string) (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(certPath, keyPath)
	if err != nil {
		return nil, err
	}
	return &pair, nil
}

// writePair writes the key first: a crash in between leaves a key that nobody knows, which the next
// start replaces, never a certificate without its key.
func writePair(certPath, keyPath string, chain [][]byte, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := replace(keyPath, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		return err
	}
	var certs []byte
	for _, c := range chain {
		certs = append(certs, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c})...)
	}
	return replace(certPath, certs, 0o644)
}

// replace puts b under path as a whole or not at all.
func replace(path string, b []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails when the rename succeeded
	if err := errors.Join(f.Chmod(mode), writeAll(f, b), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func writeAll(f *os.File, b []byte) error {
	if _, err := f.Write(b); err != nil {
		return err
	}
	return f.Sync()
}
