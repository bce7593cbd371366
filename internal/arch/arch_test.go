package arch

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/kura-s3/kura"

// root of the source tree, from this package's directory.
const root = "../.."

// layers from the bottom up, as in docs/architecture.md. A package may import packages of lower
// layers, and of its own layer where the layer says so. The longest prefix of a path counts.
var layers = []struct {
	name     string
	packages []string
	inside   bool // packages of the layer may import each other
}{
	{"ground", []string{"internal/fault", "internal/addresses", "internal/pace", "policy"}, false},
	{"engine", []string{"internal/seal", "internal/engine"}, true},
	{"judgement", []string{"internal/authn", "internal/authz", "internal/audit", "internal/feed"}, true},
	{"domain", []string{"internal/object", "internal/identity", "internal/keys", "internal/sealer", "internal/kms", "internal/sqs", "internal/logs", "internal/sns", "internal/event", "internal/classification", "internal/posture", "internal/function", "internal/finding"}, false},
	{"jobs", []string{"internal/job"}, false},
	{"wire", []string{"internal/front", "internal/workload", "internal/network", "internal/api", "internal/metrics"}, true},
	{"face", []string{"internal/config", "internal/app", "internal/demo", "cmd/kura"}, true},
	{"tests", []string{"acceptance", "bench", "internal/arch", "internal/apitest", "internal/testclock"}, true},
}

// forbidden imports: in packages below from (all but the exceptions), of what begins with path.
var forbidden = []struct {
	from, path string
	except     []string
	why        string
}{
	{"policy", "os", []string{"policy/gen"}, "the policy language is pure"},
	{"policy", "net/http", nil, "the policy language is pure"},
	{"policy", "syscall", nil, "the policy language is pure"},
	{"policy", "crypto/rand", nil, "the policy language is pure"},
	{"internal/object", "net/http", nil, "objects speak no HTTP"},
	{"internal/keys", "net/http", nil, "keys speak no HTTP; a sealer that does is a driver of its own"},
	{"internal/kms", "net/http", nil, "keys speak no HTTP"},
	{"internal/api", module + "/internal/engine", nil, "services reach storage through the domain, which asks for a Grant"},
	{"internal/api", module + "/internal/seal", nil, "services reach storage through the domain, which asks for a Grant"},
	{"internal/front", module, []string{"internal/front"}, "the front knows connections and nothing of what they are for"},
	{"internal/metrics", module, nil, "everybody counts with it"},
	{"internal/config", module, nil, "settings are plain values"},
	{"internal/object", module + "/internal/engine/", nil, "the domain knows the engine's contract, never a driver"},
	{"internal/identity", module + "/internal/engine/", nil, "the domain knows the engine's contract, never a driver"},
	{"internal/keys", module + "/internal/engine/", nil, "the domain knows the engine's contract, never a driver"},
	{"internal/kms", module + "/internal/engine/", nil, "the domain knows the engine's contract, never a driver"},
	{"", "math/rand", []string{"internal/front", "internal/object", "internal/engine", "internal/job", "acceptance", "bench"}, "secrets come from crypto/rand; the exceptions number and spread things, and make none"},
	{"", "unsafe", []string{"internal/engine", "internal/function/runner"}, "only an engine and the functions' sandbox may need it, for their system calls"},
	{"", "plugin", nil, "one binary"},
	{"", "C", nil, "no cgo"},
	{"", "net/http/pprof", nil, "its init puts handlers on the default mux"},
	{"", "expvar", nil, "its init puts handlers on the default mux"},
}

// pkg is one directory of Go files.
type pkg struct {
	dir           string
	imports, test []string
}

// tree parses the imports of every package.
func tree(t *testing.T) []pkg {
	t.Helper()
	byDir := map[string]*pkg{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if n := d.Name(); path != root && (strings.HasPrefix(n, ".") || n == "testdata" || n == "node_modules") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		if ignored(path) {
			return nil
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		p := byDir[dir]
		if p == nil {
			p = &pkg{dir: filepath.ToSlash(dir)}
			byDir[dir] = p
		}
		for _, spec := range f.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if strings.HasSuffix(path, "_test.go") {
				p.test = append(p.test, name)
			} else {
				p.imports = append(p.imports, name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var all []pkg
	for _, p := range byDir {
		all = append(all, *p)
	}
	if len(all) < 10 {
		t.Fatalf("only %d packages were found", len(all))
	}
	return all
}

// ignored are files that "go run" alone uses: generators.
func ignored(path string) bool {
	b, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	head, _, _ := strings.Cut(string(b), "\npackage ")
	return strings.Contains(head, "//go:build ignore")
}

func under(dir, prefix string) bool {
	return prefix == "" || dir == prefix || strings.HasPrefix(dir, prefix+"/")
}

// layerOf is the index of the layer that dir belongs to, -1 when none does.
func layerOf(dir string) int {
	for i, l := range layers {
		if slices.ContainsFunc(l.packages, func(p string) bool { return under(dir, p) }) {
			return i
		}
	}
	return -1
}

func TestImportsPointDown(t *testing.T) {
	for _, p := range tree(t) {
		mine := layerOf(p.dir)
		if mine < 0 {
			t.Errorf("%s belongs to no layer: give it one here and in docs/architecture.md", p.dir)
			continue
		}
		for _, name := range p.imports {
			dir, ok := strings.CutPrefix(name, module+"/")
			if !ok {
				continue
			}
			theirs := layerOf(dir)
			if theirs > mine || theirs == mine && !layers[mine].inside && !sameFamily(p.dir, dir) {
				t.Errorf("%s (%s) imports %s (%s)", p.dir, layers[mine].name, dir, layers[theirs].name)
			}
		}
	}
}

// sameFamily: two packages below one entry of the table.
func sameFamily(a, b string) bool {
	for _, l := range layers {
		for _, p := range l.packages {
			if under(a, p) && under(b, p) {
				return true
			}
		}
	}
	return false
}

func TestForbiddenImports(t *testing.T) {
	for _, p := range tree(t) {
		for _, rule := range forbidden {
			if !under(p.dir, rule.from) || slices.ContainsFunc(rule.except, func(e string) bool { return under(p.dir, e) }) {
				continue
			}
			for _, name := range p.imports {
				if name == rule.path || strings.HasPrefix(name, strings.TrimSuffix(rule.path, "/")+"/") {
					t.Errorf("%s imports %s: %s", p.dir, name, rule.why)
				}
			}
		}
	}
}

func TestPolicyImportsTheStandardLibraryOnly(t *testing.T) {
	for _, p := range tree(t) {
		if !under(p.dir, "policy") {
			continue
		}
		for _, name := range p.imports {
			if strings.Contains(strings.Split(name, "/")[0], ".") && !strings.HasPrefix(name, module+"/policy") {
				t.Errorf("%s imports %s", p.dir, name)
			}
		}
	}
}

func TestOnlyTheWiringKnowsTheDrivers(t *testing.T) {
	for _, p := range tree(t) {
		if under(p.dir, "internal/app") || under(p.dir, "internal/engine") || under(p.dir, "bench") || under(p.dir, "internal/apitest") {
			continue
		}
		for _, name := range p.imports {
			if strings.HasPrefix(name, module+"/internal/engine/") {
				t.Errorf("%s imports the driver %s", p.dir, name)
			}
		}
	}
}

// dependencies are the modules that the code imports directly: their licence, and whether the
// program itself has them or only tests and tools.
var dependencies = map[string]struct {
	licence string
	program bool
	why     string
}{
	"github.com/anishathalye/porcupine":   {"MIT", false, "linearizability of concurrent operations"},
	"github.com/aws/aws-sdk-go":           {"Apache-2.0", false, "an old AWS SDK as a client"},
	"github.com/aws/aws-sdk-go-v2":        {"Apache-2.0", false, "the current AWS SDK as a client and signer"},
	"github.com/aws/smithy-go":            {"Apache-2.0", false, "errors of the AWS SDK"},
	"github.com/cockroachdb/pebble/v2":    {"BSD-3-Clause", true, "the embedded metadata engine"},
	"github.com/klauspost/compress":       {"Apache-2.0", true, "zstd, for the sealed segments of the audit journal"},
	"github.com/coreos/go-oidc/v3":        {"Apache-2.0", true, "OIDC discovery and tokens, for web identities"},
	"github.com/go-jose/go-jose/v4":       {"Apache-2.0", true, "signed tokens, for web identities"},
	"github.com/google/go-cmp":            {"BSD-3-Clause", false, "differences in tests"},
	"github.com/google/uuid":              {"BSD-3-Clause", true, "random ids"},
	"github.com/miekg/pkcs11":             {"BSD-3-Clause", true, "PKCS#11, behind a build tag"},
	"github.com/minio/crc64nvme":          {"Apache-2.0", true, "CRC64NVME, the default checksum of S3"},
	"github.com/minio/minio-go/v7":        {"Apache-2.0", false, "a client"},
	"github.com/pquerna/otp":              {"Apache-2.0", true, "one-time passwords, for MFA"},
	"github.com/prometheus/client_golang": {"Apache-2.0", true, "metrics"},
	"github.com/prometheus/client_model":  {"Apache-2.0", false, "reading metrics in tests"},
	"github.com/rabbitmq/amqp091-go":      {"BSD-2-Clause", true, "AMQP 0-9-1, for notifications"},
	"github.com/rogpeppe/go-internal":     {"BSD-3-Clause", false, "testscript: stories"},
	"github.com/spf13/cobra":              {"Apache-2.0", true, "the command line"},
	"github.com/spf13/pflag":              {"BSD-3-Clause", true, "the command line's flags"},
	"github.com/twmb/franz-go":            {"BSD-3-Clause", true, "Kafka, for notifications, behind a build tag"},
	"github.com/wneessen/go-mail":         {"MIT", true, "e-mail"},
	"go.uber.org/goleak":                  {"MIT", false, "goroutines that tests leave"},
	"go.yaml.in/yaml/v3":                  {"MIT", true, "configuration files"},
	"golang.org/x/crypto":                 {"BSD-3-Clause", true, "cryptography beside the standard library"},
	"golang.org/x/net":                    {"BSD-3-Clause", true, "networking beside the standard library"},
	"golang.org/x/sys":                    {"BSD-3-Clause", true, "system calls: locks, fallocate"},
	"golang.org/x/term":                   {"BSD-3-Clause", true, "asks for a passphrase without showing it"},
	"golang.org/x/time":                   {"BSD-3-Clause", true, "rate limits"},
	"pgregory.net/rapid":                  {"MPL-2.0", false, "property tests"},
}

// moduleOf finds the row whose path is the longest prefix of an import.
func moduleOf(name string) string {
	best := ""
	for m := range dependencies {
		if (name == m || strings.HasPrefix(name, m+"/")) && len(m) > len(best) {
			best = m
		}
	}
	return best
}

func TestDirectDependencies(t *testing.T) {
	for _, p := range tree(t) {
		program := layerOf(p.dir) >= 0 && layers[layerOf(p.dir)].name != "tests" && !strings.HasSuffix(p.dir, "test")
		for i, list := range [][]string{p.imports, p.test} {
			for _, name := range list {
				if !strings.Contains(strings.Split(name, "/")[0], ".") || strings.HasPrefix(name, module+"/") {
					continue
				}
				m := moduleOf(name)
				if m == "" {
					t.Errorf("%s imports %s: add the module to the table, with its licence", p.dir, name)
				} else if i == 0 && program && !dependencies[m].program {
					t.Errorf("%s imports %s, which is for tests only", p.dir, name)
				}
			}
		}
	}
}

// licences by words of their texts.
var licences = []struct {
	name string
	text *regexp.Regexp
}{
	{"Apache-2.0", regexp.MustCompile(`(?s)Apache License\s+Version 2\.0`)},
	{"MPL-2.0", regexp.MustCompile(`Mozilla Public License`)},
	{"AGPL-3.0", regexp.MustCompile(`GNU AFFERO GENERAL PUBLIC LICENSE`)},
	{"GPL", regexp.MustCompile(`GNU GENERAL PUBLIC LICENSE`)},
	{"BUSL-1.1", regexp.MustCompile(`Business Source License`)},
	{"BSD-3-Clause", regexp.MustCompile(`(?s)Redistribution and use in source and binary forms.*(Neither the name|names? of)`)},
	{"BSD-2-Clause", regexp.MustCompile(`Redistribution and use in source and binary forms`)},
	{"MIT", regexp.MustCompile(`Permission is hereby granted, free of charge`)},
}

// TestLicences reads the licence of every module that is built into the program, direct or not,
// where the module cache has it.
func TestLicences(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}\t{{.Dir}}{{end}}", "./cmd/kura")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	allowed := []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "MIT"}
	seen := map[string]bool{}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		path, dir, ok := strings.Cut(line, "\t")
		if !ok || path == module || seen[path] {
			continue
		}
		seen[path] = true
		got := licenceOf(dir)
		if row, direct := dependencies[path]; direct && row.licence != got {
			t.Errorf("%s: the table says %s, its licence file %q", path, row.licence, got)
		}
		if !slices.Contains(allowed, got) {
			t.Errorf("%s has licence %q", path, got)
		}
	}
	if len(seen) < 5 {
		t.Errorf("only %d modules were looked at", len(seen))
	}
}

func licenceOf(dir string) string {
	files, err := os.ReadDir(dir)
	if err != nil {
		return ""
	}
	for _, f := range files {
		name := strings.ToLower(f.Name())
		if !strings.HasPrefix(name, "license") && !strings.HasPrefix(name, "licence") && name != "copying" {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			continue
		}
		for _, l := range licences {
			if l.text.Match(b) {
				return l.name
			}
		}
	}
	return ""
}
