package localca

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func open(t *testing.T, dir string, now time.Time, hosts ...string) *CA {
	t.Helper()
	ca, err := Open(Config{Dir: dir, Hosts: hosts, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func leafOf(t *testing.T, ca *CA) *x509.Certificate {
	t.Helper()
	c, err := ca.Certificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	return c.Leaf
}

func verify(t *testing.T, ca *CA, host string, now time.Time) error {
	t.Helper()
	b, err := os.ReadFile(ca.Path())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(b) {
		t.Fatal("ca.pem holds no certificate")
	}
	_, err = leafOf(t, ca).Verify(x509.VerifyOptions{Roots: roots, DNSName: host, CurrentTime: now})
	return err
}

var day = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

func TestClientsThatTrustTheCAVerifyTheLeaf(t *testing.T) {
	ca := open(t, t.TempDir(), day, "localhost", "127.0.0.1", "::1", "*.s3.example")
	for _, host := range []string{"localhost", "127.0.0.1", "::1", "bucket.s3.example"} {
		if err := verify(t, ca, host, day); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	for _, host := range []string{"example.com", "127.0.0.2", "s3.example"} {
		if verify(t, ca, host, day) == nil {
			t.Errorf("%s: the certificate must not be good for it", host)
		}
	}
}

func TestNothingChangesBetweenStarts(t *testing.T) {
	dir := t.TempDir()
	first := leafOf(t, open(t, dir, day, "localhost"))
	second := leafOf(t, open(t, dir, day.Add(24*time.Hour), "localhost"))
	if first.SerialNumber.Cmp(second.SerialNumber) != 0 {
		t.Error("a good leaf was replaced")
	}
}

func TestLeafIsRenewed(t *testing.T) {
	dir := t.TempDir()
	ca := open(t, dir, day, "localhost")
	old := leafOf(t, ca)
	later := day.Add(leafLife - renewBefore + time.Hour)
	t.Run("at start", func(t *testing.T) {
		ca := open(t, dir, later, "localhost")
		if leafOf(t, ca).SerialNumber.Cmp(old.SerialNumber) == 0 {
			t.Error("a leaf near its end was kept")
		}
		if err := verify(t, ca, "localhost", later.Add(renewBefore)); err != nil {
			t.Error(err)
		}
	})
	t.Run("while running", func(t *testing.T) {
		now := day
		ca, err := Open(Config{Dir: t.TempDir(), Hosts: []string{"localhost"}, Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		before := leafOf(t, ca)
		now = later
		if leafOf(t, ca).SerialNumber.Cmp(before.SerialNumber) == 0 {
			t.Error("a leaf near its end was kept")
		}
	})
	t.Run("for a new host", func(t *testing.T) {
		ca := open(t, dir, later, "localhost", "new.example")
		if err := verify(t, ca, "new.example", later); err != nil {
			t.Error(err)
		}
	})
}

func TestLeafAtTheEndOfTheCAIsNotMadeAnewForever(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, day, "localhost")
	end := day.Add(caLife - 24*time.Hour)
	ca := open(t, dir, end, "localhost")
	if a, b := leafOf(t, ca), leafOf(t, open(t, dir, end, "localhost")); a.SerialNumber.Cmp(b.SerialNumber) != 0 {
		t.Error("the leaf was signed twice")
	}
	if _, err := Open(Config{Dir: dir, Hosts: []string{"localhost"}, Now: func() time.Time { return end.Add(48 * time.Hour) }}); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("an expired CA: %v", err)
	}
}

func TestTheKeysAreTheOwnersAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tls")
	open(t, dir, day, "localhost")
	for _, name := range []string{caKeyFile, leafKeyFile} {
		fi, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if fi.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o", name, fi.Mode().Perm())
		}
	}
}

func TestATrustedCertificateIsNeverReplaced(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, day, "localhost")
	if err := os.Remove(filepath.Join(dir, caKeyFile)); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(filepath.Join(dir, caFile))
	if _, err := Open(Config{Dir: dir, Hosts: []string{"localhost"}}); err == nil || !strings.Contains(err.Error(), "restore the key") {
		t.Errorf("error %v", err)
	}
	if after, _ := os.ReadFile(filepath.Join(dir, caFile)); string(before) != string(after) {
		t.Error("ca.pem changed")
	}
}

func TestDamagedFilesAreErrors(t *testing.T) {
	for _, name := range []string{caFile, caKeyFile, leafFile, leafKeyFile} {
		dir := t.TempDir()
		open(t, dir, day, "localhost")
		if err := os.WriteFile(filepath.Join(dir, name), []byte("damaged"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(Config{Dir: dir, Hosts: []string{"localhost"}, Now: func() time.Time { return day }}); err == nil {
			t.Errorf("%s: damage went unnoticed", name)
		}
	}
}
