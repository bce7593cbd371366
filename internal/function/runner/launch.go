package runner

import (
	"cmp"
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

//go:embed bootstrap.py
var pythonBootstrap string

//go:embed bootstrap.mjs
var nodeBootstrap string

// reserved environment variables are the platform's: a function's own environment cannot have them (Lambda
// Developer Guide, "Reserved environment variables").
var reserved = []string{
	"_HANDLER", "_X_AMZN_TRACE_ID", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_EXECUTION_ENV",
	"AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION",
	"AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME",
	"AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
	"AWS_LAMBDA_RUNTIME_API", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR",
}

// ReservedEnv tells whether a function's environment may not have this name.
func ReservedEnv(name string) bool { return slices.Contains(reserved, name) }

// etc is what programs expect to find of the host's configuration: names, certificates, time zones.
var etc = []string{
	"/etc/ssl", "/etc/ca-certificates", "/etc/pki/ca-trust", "/etc/pki/tls/certs", "/etc/pki/tls/cert.pem", "/etc/crypto-policies",
	"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf", "/etc/services",
	"/etc/protocols", "/etc/localtime", "/etc/timezone", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d",
	"/etc/alternatives", "/etc/mime.types", "/etc/os-release",
}

// secretEtc lies below what etc shows, and is covered.
var secretEtc = []string{"/etc/ssl/private", "/etc/pki/tls/private"}

const (
	passwd    = "root:x:0:0:root:/root:/sbin/nologin\nsbx_user1051:x:993:990::/home/sbx_user1051:/sbin/nologin\n"
	groupFile = "root:x:0:\nsbx_user1051:x:990:\n"
	caPath    = runtimeDir + "/ca.pem"
	// insideAPI is the Runtime API's address in a sandbox without a network, where it is the only one.
	insideAPI = "127.0.0.1:9001"
)

// Processes and open files that a function may have, as at AWS.
const (
	maxProcesses = 1024
	maxFiles     = 1024
)

// launch is everything that a new process needs, gathered.
type launch struct {
	spec   *Spec
	api    string // AWS_LAMBDA_RUNTIME_API
	stream string
	creds  Credentials
	it     *interpreter
}

// order writes down what to build for l.
func (r *Runner) order(l *launch) (*order, error) {
	o := &order{
		Isolated:  !r.exposed,
		Network:   string(r.config.Network),
		Binds:     l.it.prefixes,
		Etc:       etc,
		Hide:      r.hide,
		Ephemeral: cmp.Or(l.spec.EphemeralMB, 512),
		Memory:    l.spec.MemoryMB,
		Files:     map[string]string{"/etc/passwd": passwd, "/etc/group": groupFile},
		Program: limits{
			Dir:       taskRoot,
			Processes: maxProcesses,
			Files:     maxFiles,
			FileSize:  uint64(cmp.Or(l.spec.EphemeralMB, 512)) << 20,
			// The watch holds all processes to the memory; this holds each to what it takes between two looks.
			Data: uint64(l.spec.MemoryMB)<<21 + 512<<20,
		},
	}
	task, dir := taskRoot, runtimeDir
	if r.exposed {
		scratch, err := os.MkdirTemp(r.config.Dir, "sandbox-")
		if err != nil {
			return nil, err
		}
		o.Scratch, task, dir = scratch, filepath.Join(scratch, "task"), scratch
		o.Files, o.Program.Dir = map[string]string{}, task
		o.Program.Processes, o.Program.FileSize = 0, 0 // the host's user has other processes and files
	}
	if r.config.Network == NetworkNone && o.Isolated {
		l.api, o.Listen = insideAPI, []string{insideAPI}
		hosts := "127.0.0.1 localhost\n"
		if u := r.endpoint; u != nil {
			o.Listen = append(o.Listen, "127.0.0.1:"+portOf(u))
			hosts += "127.0.0.1 " + u.Hostname() + "\n"
		}
		o.Files["/etc/hosts"] = hosts
	}
	bundle, err := r.bundle()
	if err != nil {
		return nil, err
	}
	if bundle != "" {
		o.Files[caPath] = bundle
	}
	o.Program.Argv = l.argv(o, dir, task)
	o.Program.Env = l.env(&r.config, dir, task, bundle != "")
	return o, nil
}

// argv is the command that speaks the Runtime API.
func (l *launch) argv(o *order, dir, task string) []string {
	switch runtimes[l.spec.Runtime] {
	case familyPython:
		o.Files[runtimeDir+"/bootstrap.py"] = pythonBootstrap
		return append([]string{l.it.path, "-s", dir + "/bootstrap.py"}, l.it.extra...)
	case familyNode:
		o.Files[runtimeDir+"/bootstrap.mjs"] = nodeBootstrap
		heap := max(64, l.spec.MemoryMB*9/10)
		return []string{l.it.path, "--max-old-space-size=" + strconv.Itoa(heap), dir + "/bootstrap.mjs"}
	default:
		return []string{filepath.Join(task, "bootstrap")}
	}
}

// env is the whole environment of the code.
func (l *launch) env(c *Config, dir, task string, bundle bool) []string {
	spec := l.spec
	path := "/usr/local/bin:/usr/bin/:/bin:/opt/bin"
	if l.it.path != "" {
		path = filepath.Dir(l.it.path) + ":" + path
	}
	env := map[string]string{
		"LANG":            "en_US.UTF-8",
		"TZ":              ":UTC",
		"PATH":            path,
		"LD_LIBRARY_PATH": task + ":" + task + "/lib",
	}
	if c.Endpoint != "" {
		env["AWS_ENDPOINT_URL"] = c.Endpoint
	}
	if bundle {
		at := filepath.Join(dir, filepath.Base(caPath))
		env["AWS_CA_BUNDLE"], env["NODE_EXTRA_CA_CERTS"] = at, at
	}
	maps.Copy(env, spec.Env)
	for _, name := range reserved {
		delete(env, name)
	}
	maps.Copy(env, map[string]string{
		"_HANDLER":                        spec.Handler,
		"AWS_REGION":                      c.Region,
		"AWS_DEFAULT_REGION":              c.Region,
		"AWS_LAMBDA_FUNCTION_NAME":        spec.Name,
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": strconv.Itoa(spec.MemoryMB),
		"AWS_LAMBDA_FUNCTION_VERSION":     spec.Version,
		"AWS_LAMBDA_INITIALIZATION_TYPE":  "on-demand",
		"AWS_LAMBDA_LOG_GROUP_NAME":       spec.LogGroup,
		"AWS_LAMBDA_LOG_STREAM_NAME":      l.stream,
		"AWS_LAMBDA_RUNTIME_API":          l.api,
		"LAMBDA_TASK_ROOT":                task,
		"LAMBDA_RUNTIME_DIR":              dir,
	})
	if runtimes[spec.Runtime] != familyProvided {
		env["AWS_EXECUTION_ENV"] = "AWS_Lambda_" + spec.Runtime
	}
	if l.creds.AccessKeyID != "" {
		env["AWS_ACCESS_KEY_ID"] = l.creds.AccessKeyID
		env["AWS_SECRET_ACCESS_KEY"] = l.creds.SecretAccessKey
		env["AWS_SESSION_TOKEN"] = l.creds.SessionToken
	}
	list := make([]string, 0, len(env))
	for _, name := range slices.Sorted(maps.Keys(env)) {
		// No variable can hold a NUL, and none has an empty name.
		if v := env[name]; name != "" && !strings.ContainsAny(name, "=\x00") && !strings.ContainsRune(v, 0) {
			list = append(list, name+"="+v)
		}
	}
	return list
}

// bundle is the content of the file of certificates, read anew: it may have been replaced.
func (r *Runner) bundle() (string, error) {
	if r.config.CABundle == "" {
		return "", nil
	}
	b, err := os.ReadFile(r.config.CABundle)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return string(b), nil
}

func portOf(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	if u.Scheme == "https" {
		return "443"
	}
	return "80"
}

// openSpec fetches what a new process needs of its function: code and credentials.
func openSpec(ctx context.Context, spec *Spec) (*os.File, int64, Credentials, error) {
	var creds Credentials
	if spec.Credentials != nil {
		var err error
		if creds, err = spec.Credentials(ctx); err != nil {
			return nil, 0, creds, fmt.Errorf("the execution role's credentials: %w", err)
		}
	}
	if spec.Code == nil {
		return nil, 0, creds, fmt.Errorf("%w: there is none", ErrCode)
	}
	r, size, err := spec.Code(ctx)
	if err != nil {
		return nil, 0, creds, fmt.Errorf("the function's code: %w", err)
	}
	if c, ok := r.(io.Closer); ok {
		defer c.Close()
	}
	if size > MaxUnzipped {
		return nil, 0, creds, fmt.Errorf("%w: %d bytes", ErrCode, size)
	}
	f, n, err := memoryFile("code", io.NewSectionReader(r, 0, size))
	if err != nil {
		return nil, 0, creds, err
	}
	if n != size {
		return nil, 0, creds, errors.Join(fmt.Errorf("%w: it ends after %d of %d bytes", ErrCode, n, size), f.Close())
	}
	return f, size, creds, nil
}

// streamName is AWS's form of a log stream's name.
func streamName(spec *Spec, now time.Time) string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	prefix := cmp.Or(spec.LogStreamPrefix, now.UTC().Format("2006/01/02")+"/["+spec.Version+"]")
	return prefix + hex.EncodeToString(b[:])
}
