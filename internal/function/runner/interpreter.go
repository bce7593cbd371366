package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// family is a kind of runtime.
type family string

const (
	familyPython   family = "python"
	familyNode     family = "nodejs"
	familyProvided family = "provided"
)

// runtimes that a function may name, and whose they are. The host's interpreter runs them; a version of
// the same name ("python3.12") is preferred to the plain one.
var runtimes = map[string]family{
	"python3.9": familyPython, "python3.10": familyPython, "python3.11": familyPython,
	"python3.12": familyPython, "python3.13": familyPython, "python3.14": familyPython,
	"nodejs18.x": familyNode, "nodejs20.x": familyNode, "nodejs22.x": familyNode,
	"provided.al2": familyProvided, "provided.al2023": familyProvided,
}

// Supported tells whether a function may name a runtime. Whether the host has an interpreter for it, its
// first invocation tells.
func Supported(runtime string) bool { return runtimes[runtime] != "" }

// Runtimes are the names of all of them.
func Runtimes() []string { return slices.Sorted(maps.Keys(runtimes)) }

// interpreter is a program of the host that runs functions.
type interpreter struct {
	path     string   // the executable
	version  string   // as it says itself
	prefixes []string // directories that it needs to see
	extra    []string // directories of modules outside of these that it looks into by default
}

// interpreters finds each of them once.
type interpreters struct {
	mu    sync.Mutex
	found map[string]*interpreter
}

func (s *interpreters) of(ctx context.Context, runtime string) (*interpreter, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if it := s.found[runtime]; it != nil {
		return it, nil
	}
	var it *interpreter
	var err error
	switch runtimes[runtime] {
	case familyProvided:
		return &interpreter{}, nil
	case familyPython:
		it, err = firstThat(ctx, askPython, runtime, "python3")
	case familyNode:
		it, err = firstThat(ctx, askNode, "node"+strings.TrimSuffix(strings.TrimPrefix(runtime, "nodejs"), ".x"), "node", "nodejs")
	default:
		return nil, fmt.Errorf("%w: %q", ErrRuntime, runtime)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrRuntime, runtime, err)
	}
	if s.found == nil {
		s.found = map[string]*interpreter{}
	}
	s.found[runtime] = it
	return it, nil
}

// firstThat asks the programs of these names in the server's PATH until one answers.
func firstThat(ctx context.Context, ask func(context.Context, string) (*interpreter, error), names ...string) (*interpreter, error) {
	var all error
	for _, name := range names {
		path, err := exec.LookPath(name)
		if err == nil {
			var it *interpreter
			if it, err = ask(ctx, path); err == nil {
				return it, nil
			}
		}
		all = errors.Join(all, err)
	}
	return nil, all
}

const aboutPython = `import json, os, site, sys
user = site.getusersitepackages()
print(json.dumps({
    "executable": sys.executable,
    "version": "%d.%d.%d" % sys.version_info[:3],
    "prefixes": sorted({sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}),
    "extra": [user] if site.ENABLE_USER_SITE and os.path.isdir(user) else []}))`

const aboutNode = `console.log(JSON.stringify({executable: process.execPath, version: process.versions.node, prefixes: [], extra: []}))`

func askPython(ctx context.Context, path string) (*interpreter, error) {
	return ask(ctx, path, "-c", aboutPython)
}

func askNode(ctx context.Context, path string) (*interpreter, error) {
	it, err := ask(ctx, path, "-e", aboutNode)
	if err != nil {
		return nil, err
	}
	real, err := filepath.EvalSymlinks(it.path)
	if err != nil {
		return nil, err
	}
	// …/bin/node stands beside …/lib. What else stands there may be somebody's home.
	it.path = real
	it.prefixes = []string{filepath.Dir(real)}
	if filepath.Base(filepath.Dir(real)) == "bin" {
		it.prefixes = append(it.prefixes, filepath.Join(filepath.Dir(filepath.Dir(real)), "lib"))
	}
	return it, nil
}

// ask runs an interpreter of the host to hear where it lives. This is the host's own program, run as
// its administrator would run it.
func ask(ctx context.Context, path string, args ...string) (*interpreter, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = "/"
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var said struct {
		Executable, Version string
		Prefixes, Extra     []string
	}
	if err := json.Unmarshal(out, &said); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if !filepath.IsAbs(said.Executable) {
		return nil, fmt.Errorf("%s does not know where it is", path)
	}
	if _, err := os.Stat(said.Executable); err != nil {
		return nil, err
	}
	it := &interpreter{path: said.Executable, version: said.Version, extra: said.Extra}
	for _, p := range append(said.Prefixes, said.Extra...) {
		// The whole root, or everybody's directories, are never shown for an interpreter's sake.
		if filepath.IsAbs(p) && strings.Count(filepath.Clean(p), "/") >= 2 {
			it.prefixes = append(it.prefixes, filepath.Clean(p))
		}
	}
	return it, nil
}
