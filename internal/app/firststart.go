package app

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/kura-s3/kura/internal/identity"
)

// clientFile in the data directory is for a person's shell to source.
const clientFile = "client.env"

// Variables that give the keys of the first start.
const (
	adminKeyID  = "KURA_ADMIN_ACCESS_KEY_ID"
	adminSecret = "KURA_ADMIN_SECRET_ACCESS_KEY"
	rootKeyID   = "KURA_ROOT_ACCESS_KEY_ID"
	rootSecret  = "KURA_ROOT_SECRET_ACCESS_KEY"
)

// firstKeys reads the keys that the environment gives. Half a key is a mistake: going on with a
// random one would leave its author locked out.
func firstKeys(environ []string) (admin, root *identity.AccessKeyPair, err error) {
	if admin, err = pair(environ, adminKeyID, adminSecret); err != nil {
		return nil, nil, err
	}
	root, err = pair(environ, rootKeyID, rootSecret)
	return admin, root, err
}

func pair(environ []string, idName, secretName string) (*identity.AccessKeyPair, error) {
	var p identity.AccessKeyPair
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		switch name {
		case idName:
			p.ID = value
		case secretName:
			p.Secret = value
		}
	}
	if (p.ID == "") != (p.Secret == "") {
		return nil, fmt.Errorf("%s and %s go together: set both or neither", idName, secretName)
	}
	if p.ID == "" {
		return nil, nil
	}
	return &p, nil
}

// clientEnv is what client.env says.
func clientEnv(b *bound, region string, key identity.AccessKeyPair) []byte {
	var out bytes.Buffer
	set := func(name, value string) { fmt.Fprintf(&out, "export %s=%s\n", name, shellQuote(value)) }
	out.WriteString("# For your shell: source this file, then use aws as usual. Keep it secret.\n")
	set("AWS_ENDPOINT_URL", b.endpoint())
	set("AWS_ACCESS_KEY_ID", key.ID)
	set("AWS_SECRET_ACCESS_KEY", key.Secret)
	set("AWS_REGION", region)
	// Clients older than 2023 know this name only.
	set("AWS_DEFAULT_REGION", region)
	if b.ca != "" {
		set("AWS_CA_BUNDLE", absolute(b.ca))
	}
	return out.Bytes()
}

func absolute(path string) string {
	if a, err := filepath.Abs(path); err == nil {
		return a
	}
	return path
}

// shellQuote makes one word of s for a POSIX shell.
func shellQuote(s string) string {
	safe := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-_./:@%+", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !safe(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// preferred is the listener that client.env names: the secure one.
func preferred(all []*bound) *bound {
	for _, b := range all {
		if b.tls != nil {
			return b
		}
	}
	return all[0]
}

// introduce tells a person where the server is, and at the first start who the administrator is.
func (s *server) introduce() error {
	admin, err := s.pendingAdmin()
	if err != nil {
		return err
	}
	b := preferred(s.listeners)
	path := filepath.Join(s.config.Data, clientFile)
	var text bytes.Buffer
	fmt.Fprintf(&text, "kura %s   data %s   account %s   region %s\n",
		s.options.Build.Version, s.config.Data, s.identities.ManagingAccount(), s.config.Region)
	for _, l := range s.listeners {
		fmt.Fprintf(&text, "  endpoint  %s  %s\n", l.endpoint(), l.id)
	}
	if admin == nil {
		err = s.refreshClientEnv(path, b)
	} else {
		err = replaceFile(path, clientEnv(b, s.config.Region, *admin))
		s.presentAdmin(&text, path, admin)
	}
	if err != nil {
		return err
	}
	text.WriteString("Stop: Ctrl-C or SIGTERM\n")
	if _, err := s.options.Notices.Write(text.Bytes()); err != nil {
		// Nobody listens to the notices: the server is no worse for it, and client.env says the same.
		s.log.Warn("notices not written", "err", err)
	}
	return s.forgetPending()
}

// presentAdmin tells the first administrator's key, this once. Where no person reads (a log, a
// journal), the secret stays in the file.
func (s *server) presentAdmin(w io.Writer, path string, admin *identity.AccessKeyPair) {
	fmt.Fprintf(w, "\n  administrator      user admin\n  access key id      %s\n", admin.ID)
	if s.options.Terminal {
		fmt.Fprintf(w, "  secret access key  %s   (shown once; saved in %s)\n", admin.Secret, path)
	} else {
		fmt.Fprintf(w, "  secret access key  saved in %s\n", path)
	}
	fmt.Fprintf(w, "\nNext:\n  source %s\n  aws s3 mb s3://demo\n\n", shellQuote(path))
}

// refreshClientEnv keeps the endpoint of an existing client.env current. Its keys are known
// nowhere else and stay; a file that somebody removed stays away.
func (s *server) refreshClientEnv(path string, b *bound) error {
	old, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", clientFile, err)
	}
	now := map[string]string{"AWS_ENDPOINT_URL": b.endpoint(), "AWS_REGION": s.config.Region, "AWS_DEFAULT_REGION": s.config.Region}
	if b.ca != "" {
		now["AWS_CA_BUNDLE"] = absolute(b.ca)
	}
	lines := strings.SplitAfter(string(old), "\n")
	kept := lines[:0]
	for _, line := range lines {
		name, _, _ := strings.Cut(strings.TrimPrefix(line, "export "), "=")
		if value, ok := now[name]; ok {
			line = "export " + name + "=" + shellQuote(value) + "\n"
			delete(now, name)
		} else if name == "AWS_CA_BUNDLE" {
			continue
		}
		kept = append(kept, line)
	}
	if v, ok := now["AWS_CA_BUNDLE"]; ok {
		kept = append(kept, "export AWS_CA_BUNDLE="+shellQuote(v)+"\n")
	}
	if text := strings.Join(kept, ""); text != string(old) {
		return replaceFile(path, []byte(text))
	}
	return nil
}

// replaceFile puts b under path as a whole or not at all, readable by its owner alone from the
// first byte.
func replaceFile(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // made with mode 0600
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	defer os.Remove(f.Name()) // fails when the rename succeeded
	_, err = io.Copy(f, bytes.NewReader(b))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
