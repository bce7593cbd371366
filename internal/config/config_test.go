package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kura.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDefaultsAreTheContract(t *testing.T) {
	c, err := Load(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := []any{c.Data, c.Listen, c.ListenTLS, c.Region, c.AccountID, c.InsecureHTTP, len(c.TrustedProxies), len(c.Domains), len(c.AllowTargets)}
	want := []any{"./kura-data", "127.0.0.1:9000", "127.0.0.1:9443", "us-east-1", "", false, 0, 0, 0}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("defaults %v, want %v", got, want)
	}
	if !c.AllowLoopbackTargets() {
		t.Error("with both listeners on loopback, loopback targets are allowed")
	}
}

func TestPrecedence(t *testing.T) {
	file := write(t, "region: eu-west-1\nstop-timeout: 5s\ndomain: [a.example, B.example.]\nlog-format: json\n")
	env := []string{"KURA_REGION=eu-west-2", "KURA_STOP_TIMEOUT=7s", "KURA_CONFIG=" + file, "HOME=/nowhere"}
	flags := map[string][]string{"region": {"eu-west-3"}}
	c, err := Load(flags, env)
	if err != nil {
		t.Fatal(err)
	}
	if c.Region != "eu-west-3" {
		t.Errorf("the flag must win: region %s", c.Region)
	}
	if c.StopTimeout != 7*time.Second {
		t.Errorf("the environment must win over the file: stop-timeout %s", c.StopTimeout)
	}
	if !c.LogJSON || !reflect.DeepEqual(c.Domains, []string{"a.example", "b.example"}) {
		t.Errorf("the file must win over the default: %v %v", c.LogJSON, c.Domains)
	}
	if c.Listen != "127.0.0.1:9000" {
		t.Errorf("what nobody says has its default: listen %s", c.Listen)
	}
}

func TestJSONFile(t *testing.T) {
	c, err := Load(map[string][]string{"config": {write(t, `{"max-uploads": 7, "insecure-http": true, "trusted-proxy": ["10.0.0.0/8"]}`)}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.MaxUploads != 7 || !c.InsecureHTTP || len(c.TrustedProxies) != 1 {
		t.Errorf("%+v", c)
	}
}

func TestEnvironmentList(t *testing.T) {
	c, err := Load(nil, []string{"KURA_TRUSTED_PROXY=10.0.0.0/8, 192.0.2.7"})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.TrustedProxies) != 2 || c.TrustedProxies[1].String() != "192.0.2.7/32" {
		t.Errorf("%v", c.TrustedProxies)
	}
}

func TestRefused(t *testing.T) {
	cases := []struct {
		name  string
		flags map[string][]string
		env   []string
		file  string
		want  string
	}{
		{name: "plain HTTP for everybody", flags: map[string][]string{"listen": {"0.0.0.0:9000"}}, want: "--insecure-http"},
		{name: "plain HTTP on every address", flags: map[string][]string{"listen": {":9000"}}, want: "--insecure-http"},
		{name: "plain HTTP on a mapped address", flags: map[string][]string{"listen": {"[::ffff:192.0.2.1]:9000"}}, want: "--insecure-http"},
		{name: "a name to listen on", flags: map[string][]string{"listen": {"example.com:9000"}}, want: "IP address"},
		{name: "no port", flags: map[string][]string{"listen": {"127.0.0.1"}}, want: "HOST:PORT"},
		{name: "a port out of range", flags: map[string][]string{"listen-tls": {"127.0.0.1:70000"}}, want: "port number"},
		{name: "nothing to serve", flags: map[string][]string{"listen": {""}, "listen-tls": {""}}, want: "nothing to serve"},
		{name: "a certificate without a key", flags: map[string][]string{"tls-cert": {"a.pem"}}, want: "go together"},
		{name: "a certificate without a listener", flags: map[string][]string{"tls-cert": {"a"}, "tls-key": {"b"}, "listen-tls": {""}}, want: "no HTTPS listener"},
		{name: "a region in prose", flags: map[string][]string{"region": {"Tokyo"}}, want: "AWS region name"},
		{name: "a short account", flags: map[string][]string{"account-id": {"123"}}, want: "12 digits"},
		{name: "bits outside the mask", flags: map[string][]string{"trusted-proxy": {"10.1.2.3/8"}}, want: "did you mean 10.0.0.0/8"},
		{name: "no network", flags: map[string][]string{"allow-target": {"intranet"}}, want: "neither an address nor a CIDR"},
		{name: "no domain", flags: map[string][]string{"domain": {"*.example.com"}}, want: "DNS name"},
		{name: "an unknown level", env: []string{"KURA_LOG_LEVEL=loud"}, want: "KURA_LOG_LEVEL"},
		{name: "a misspelt key", file: "regoin: eu-west-1\n", want: "did you mean region?"},
		{name: "a key twice", file: "region: eu-west-1\nregion: eu-west-2\n", want: "already defined"},
		{name: "a list for one value", file: "region: [a, b]\n", want: "one value"},
		{name: "a map for a list", file: "domain: {a: b}\n", want: "one value or a list"},
		{name: "no value", file: "region:\n", want: "no value"},
		{name: "no YAML", file: "\t:\n", want: "yaml"},
		{name: "a negative wait", flags: map[string][]string{"stop-timeout": {"-1s"}}, want: "duration"},
		{name: "no uploads", flags: map[string][]string{"max-uploads": {"0"}}, want: "number from 1"},
		{name: "a file that is not there", flags: map[string][]string{"config": {filepath.Join(t.TempDir(), "none")}}, want: "no such file"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if c.file != "" {
				c.flags = map[string][]string{"config": {write(t, c.file)}}
			}
			_, err := Load(c.flags, c.env)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one that says %q", err, c.want)
			}
		})
	}
}

func TestUnknownVariablesAreNamed(t *testing.T) {
	c, err := Load(nil, []string{"KURA_REGIN=eu-west-1", "KURA_SERVICE_HOST=10.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"KURA_REGIN; did you mean KURA_REGION?", "KURA_SERVICE_HOST"}
	if !reflect.DeepEqual(c.UnknownVariables, want) {
		t.Errorf("%q, want %q", c.UnknownVariables, want)
	}
}

func TestSecretsHaveNoFlag(t *testing.T) {
	if _, err := Load(nil, []string{"KURA_ADMIN_ACCESS_KEY_ID=a", "KURA_ADMIN_SECRET_ACCESS_KEY=b", "KURA_ROOT_ACCESS_KEY_ID=c", "KURA_ROOT_SECRET_ACCESS_KEY=d"}); err != nil {
		t.Fatal(err)
	}
	for _, s := range Settings() {
		if strings.Contains(s.Name, "secret") || strings.Contains(s.Name, "access-key") {
			t.Errorf("--%s would show a secret in the process list", s.Name)
		}
	}
}

func TestInsecureHTTPOpensTheListener(t *testing.T) {
	c, err := Load(map[string][]string{"listen": {"0.0.0.0:9000"}, "insecure-http": {"true"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.AllowLoopbackTargets() {
		t.Error("a server that others reach must not be a way to this machine's loopback")
	}
}

func FuzzFile(f *testing.F) {
	f.Add("region: eu-west-1\n")
	f.Add("domain: [a, b]\ntrusted-proxy: 10.0.0.0/8\n")
	f.Add("&a [*a]")
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Skip()
		}
		c, err := Load(map[string][]string{"config": {path}}, nil)
		if err == nil && (c.Data == "" || c.MaxConnections < 1) {
			t.Errorf("accepted an unusable configuration: %+v", c)
		}
	})
}
