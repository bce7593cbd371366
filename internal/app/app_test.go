package app

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/config"
	"github.com/kura-s3/kura/internal/identity"
)

func settings(t *testing.T, flags map[string][]string) *config.Config {
	t.Helper()
	all := map[string][]string{"listen": {"127.0.0.1:0"}, "listen-tls": {"127.0.0.1:0"}, "scrub-interval": {"0"}}
	for k, v := range flags {
		all[k] = v
	}
	if all["data"] == nil {
		all["data"] = []string{filepath.Join(t.TempDir(), "data")}
	}
	c, err := config.Load(all, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// run serves c until the test calls stop, and gives the notices.
func run(t *testing.T, o Options) (notices string, stop func() error) {
	t.Helper()
	var told, log buffer
	o.Notices, o.Log = &told, &log
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, o) }()
	for end := time.Now().Add(time.Minute); !strings.Contains(told.String(), "Stop:"); time.Sleep(time.Millisecond) {
		select {
		case err := <-done:
			t.Fatalf("ended: %v\n%s", err, log.String())
		default:
		}
		if time.Now().After(end) {
			t.Fatalf("did not start\n%s", log.String())
		}
	}
	return told.String(), func() error { cancel(); return <-done }
}

func readEnv(t *testing.T, dir string) map[string]string {
	t.Helper()
	shell := exec.Command("sh", "-c", ". "+shellQuote(filepath.Join(dir, clientFile))+" && env")
	shell.Env = []string{"PATH=" + os.Getenv("PATH")}
	out, err := shell.Output()
	if err != nil {
		t.Fatal(err)
	}
	vars := map[string]string{}
	for _, line := range strings.Split(string(out), "\n") {
		name, value, _ := strings.Cut(line, "=")
		vars[name] = value
	}
	return vars
}

func TestAPersonSeesTheSecretAndALogDoesNot(t *testing.T) {
	for _, terminal := range []bool{true, false} {
		c := settings(t, nil)
		notices, stop := run(t, Options{Config: c, Terminal: terminal})
		secret := readEnv(t, c.Data)["AWS_SECRET_ACCESS_KEY"]
		if len(secret) != 40 || strings.Contains(notices, secret) != terminal {
			t.Errorf("terminal %v: secret of %d characters, notices %q", terminal, len(secret), notices)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	}
}

func TestClientEnvKeepsUp(t *testing.T) {
	c := settings(t, map[string][]string{"data": {filepath.Join(t.TempDir(), "it's data")}})
	_, stop := run(t, Options{Config: c})
	before := readEnv(t, c.Data)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(before["AWS_CA_BUNDLE"]); err != nil || !filepath.IsAbs(before["AWS_CA_BUNDLE"]) {
		t.Errorf("AWS_CA_BUNDLE: %v", err)
	}
	c.ListenTLS, c.Region = "", "eu-west-1"
	_, stop = run(t, Options{Config: c})
	after := readEnv(t, c.Data)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if after["AWS_SECRET_ACCESS_KEY"] != before["AWS_SECRET_ACCESS_KEY"] || after["AWS_ACCESS_KEY_ID"] != before["AWS_ACCESS_KEY_ID"] {
		t.Error("the key changed")
	}
	if !strings.HasPrefix(after["AWS_ENDPOINT_URL"], "http://127.0.0.1:") || after["AWS_REGION"] != "eu-west-1" || after["AWS_CA_BUNDLE"] != "" {
		t.Errorf("%v", after)
	}
	if err := os.Remove(filepath.Join(c.Data, clientFile)); err != nil {
		t.Fatal(err)
	}
	_, stop = run(t, Options{Config: c})
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(c.Data, clientFile)); err == nil {
		t.Error("a file that somebody removed came back")
	}
}

// A crash after the administrator was stored and before client.env was written.
func TestTheFirstKeySurvivesACrash(t *testing.T) {
	c := settings(t, nil)
	_, stop := run(t, Options{Config: c})
	key := readEnv(t, c.Data)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(c.Data, clientFile), filepath.Join(c.Data, "gone")); err != nil {
		t.Fatal(err)
	}
	pending := key["AWS_ACCESS_KEY_ID"] + "\n" + key["AWS_SECRET_ACCESS_KEY"] + "\n"
	if err := os.WriteFile(filepath.Join(c.Data, pendingFile), []byte(pending), 0o600); err != nil {
		t.Fatal(err)
	}
	notices, stop := run(t, Options{Config: c})
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if got := readEnv(t, c.Data); got["AWS_SECRET_ACCESS_KEY"] != key["AWS_SECRET_ACCESS_KEY"] || !strings.Contains(notices, key["AWS_ACCESS_KEY_ID"]) {
		t.Error("the key is lost")
	}
	if _, err := os.Stat(filepath.Join(c.Data, pendingFile)); err == nil {
		t.Error("the key that was put aside is still there")
	}
}

func TestHalfAKeyIsRefused(t *testing.T) {
	c := settings(t, nil)
	err := Serve(context.Background(), Options{Config: c, Environ: []string{adminKeyID + "=AKIAEXAMPLE000000001"}, Notices: io.Discard, Log: io.Discard})
	if err == nil || !strings.Contains(err.Error(), adminSecret) {
		t.Errorf("error %v", err)
	}
}

func TestAPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := settings(t, map[string][]string{"listen": {l.Addr().String()}})
	err = Serve(context.Background(), Options{Config: c, Notices: io.Discard, Log: io.Discard})
	if err == nil || !strings.Contains(err.Error(), "--listen: ") {
		t.Errorf("error %v", err)
	}
	c.Listen = "127.0.0.1:0"
	_, stop := run(t, Options{Config: c}) // nothing was left locked
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestMetricsForAuthorisedPrincipals(t *testing.T) {
	c := settings(t, nil)
	_, stop := run(t, Options{Config: c})
	env := readEnv(t, c.Data)
	pem, err := os.ReadFile(env["AWS_CA_BUNDLE"])
	if err != nil || !x509.NewCertPool().AppendCertsFromPEM(pem) {
		t.Fatalf("no CA: %v", err)
	}
	c.ListenTLS = ""
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	_, stop = run(t, Options{Config: c})
	endpoint := readEnv(t, c.Data)["AWS_ENDPOINT_URL"]
	admin := authn.Signing{AccessKeyID: env["AWS_ACCESS_KEY_ID"], Secret: env["AWS_SECRET_ACCESS_KEY"]}
	made := ask(t, endpoint, admin, "organizations", `{"AccountName":"b","Email":"b@example.com"}`, "X-Amz-Target", "AWSOrganizationsV20161128.CreateAccount")
	member := regexp.MustCompile(`"AccountId":"([0-9]+)"`).FindStringSubmatch(made)
	if member == nil {
		t.Fatal(made)
	}
	session := ask(t, endpoint, admin, "sts", url.Values{
		"Action": {"AssumeRole"}, "Version": {"2011-06-15"}, "RoleSessionName": {"tester"}, "RoleArn": {"arn:aws:iam::" + member[1] + ":role/OrganizationAccountAccessRole"},
	}.Encode(), "Content-Type", "application/x-www-form-urlencoded")
	keys := regexp.MustCompile(`<AccessKeyId>(.*)</AccessKeyId>\s*<SecretAccessKey>(.*)</SecretAccessKey>\s*<SessionToken>(.*)</SessionToken>`).FindStringSubmatch(session)
	if keys == nil {
		t.Fatal(session)
	}
	for _, c := range []struct {
		who  string
		as   authn.Signing
		want int
	}{
		{"nobody", authn.Signing{}, 403},
		{"a thief", authn.Signing{AccessKeyID: admin.AccessKeyID, Secret: "wrong"}, 403},
		{"an administrator of another account", authn.Signing{AccessKeyID: keys[1], Secret: keys[2], SessionToken: keys[3]}, 403},
		{"the administrator", admin, 200},
	} {
		if status, _ := send(t, http.MethodGet, endpoint+"/-/metrics", c.as, "s3", "", "Via", "1.1 elsewhere"); status != c.want {
			t.Errorf("%s: status %d, want %d", c.who, status, c.want)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// send makes a request, signed by whoever has a key.
func send(t *testing.T, method, address string, as authn.Signing, service, body string, header ...string) (status int, answer string) {
	t.Helper()
	r, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set(header[0], header[1])
	if as.AccessKeyID != "" {
		as.Region, as.Service, as.Time, as.PayloadHash = "us-east-1", service, time.Now(), fmt.Sprintf("%x", sha256.Sum256([]byte(body)))
		r.Header.Set("X-Amz-Content-Sha256", as.PayloadHash)
		if _, err := authn.Sign(r, as); err != nil {
			t.Fatal(err)
		}
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// ask makes a request that must succeed.
func ask(t *testing.T, endpoint string, as authn.Signing, service, body string, header ...string) string {
	t.Helper()
	status, answer := send(t, http.MethodPost, endpoint, as, service, body, header...)
	if status != 200 {
		t.Fatalf("%s: %d %s", service, status, answer)
	}
	return answer
}

func TestTheLogHidesSecrets(t *testing.T) {
	for _, json := range []bool{true, false} {
		var out bytes.Buffer
		log := newLog(&out, &config.Config{LogJSON: json})
		log.With("authorization", "swordfish").Info("x", "secretAccessKey", "swordfish", slog.Group("g", "X-Amz-Signature", "swordfish"), "requestId", "ABC")
		if got := out.String(); strings.Contains(got, "swordfish") || !strings.Contains(got, "ABC") {
			t.Errorf("%s", got)
		}
	}
}

func TestDoctorMakesNothing(t *testing.T) {
	c := settings(t, nil)
	if _, err := Doctor(context.Background(), c, io.Discard, false); err == nil {
		t.Error("a directory that is not there was found sound")
	}
	if _, err := os.Stat(c.Data); !errors.Is(err, os.ErrNotExist) {
		t.Error("the doctor made a directory")
	}
}

func TestDoctorNamesAWrongRootKey(t *testing.T) {
	c := settings(t, nil)
	_, stop := run(t, Options{Config: c})
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if sound, err := Doctor(context.Background(), c, &out, true); err != nil || !sound {
		t.Fatalf("%v %v %s", sound, err, &out)
	}
	other := settings(t, nil)
	_, stop = run(t, Options{Config: other})
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	c.RootKey = rootKeyPath(other)
	out.Reset()
	sound, err := Doctor(context.Background(), c, &out, false)
	if err != nil || sound || !strings.Contains(out.String(), "keys: ") {
		t.Errorf("%v %v %s", sound, err, &out)
	}
}

func TestNewAccessKey(t *testing.T) {
	seen := map[identity.AccessKeyPair]bool{}
	for range 100 {
		k := newAccessKey()
		if len(k.ID) != 20 || len(k.Secret) != 40 || strings.ContainsAny(k.Secret, "+/=") || seen[*k] {
			t.Fatalf("%+v", k)
		}
		seen[*k] = true
	}
}

func TestShellQuote(t *testing.T) {
	for _, s := range []string{"plain", "", "a b", "it's", "$HOME", "`id`", `back\slash`, "new\nline", "日本"} {
		out, err := exec.Command("sh", "-c", "printf %s "+shellQuote(s)).Output()
		if err != nil || string(out) != s {
			t.Errorf("%q became %q (%v)", s, out, err)
		}
	}
}
