package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"

	"go.yaml.in/yaml/v3"
)

// FileFlag names the flag (and, as KURA_CONFIG, the variable) of the configuration file.
const FileFlag = "config"

// maxFile bounds a configuration file.
const maxFile = 1 << 20

// reserved are KURA_ variables that are no settings: secrets have no flag and no file key, so that
// they stand neither in a process list nor in a file that is copied about.
var reserved = map[string]bool{
	"KURA_ADMIN_ACCESS_KEY_ID":     true,
	"KURA_ADMIN_SECRET_ACCESS_KEY": true,
	"KURA_ROOT_ACCESS_KEY_ID":      true,
	"KURA_ROOT_SECRET_ACCESS_KEY":  true,
	"KURA_CONFIG":                  true,
	"KURA_REPLICATION_CREDENTIALS": true,
}

// Load makes a Config of the flags that were given (name to values), the environment (as
// os.Environ has it) and the file that one of them names. The error says which setting is wrong,
// where it was given, and what would be right.
func Load(flags map[string][]string, environ []string) (*Config, error) {
	env, unknown := kuraVariables(environ)
	c := &Config{File: env["KURA_CONFIG"], UnknownVariables: unknown}
	if v, ok := flags[FileFlag]; ok && len(v) > 0 {
		c.File = v[len(v)-1]
	}
	file := map[string][]string{}
	if c.File != "" {
		var err error
		if file, err = readFile(c.File); err != nil {
			return nil, err
		}
	}
	for _, s := range settings {
		values, origin := s.pick(flags, env, file, c.File)
		for _, v := range values {
			if err := s.set(c, v); err != nil {
				return nil, fmt.Errorf("%s: %w", origin, err)
			}
		}
	}
	return c, c.check()
}

// pick finds the values of one setting and says where they were given.
func (s Setting) pick(flags map[string][]string, env map[string]string, file map[string][]string, path string) (values []string, origin string) {
	if v, ok := flags[s.Name]; ok {
		return v, "--" + s.Name
	}
	if v, ok := env[s.Env()]; ok {
		if s.Kind == List {
			return split(v), s.Env()
		}
		return []string{v}, s.Env()
	}
	if v, ok := file[s.Name]; ok {
		return v, path + ": " + s.Name
	}
	if s.Kind == List {
		return split(s.Default), s.Name
	}
	return []string{s.Default}, s.Name
}

func split(v string) (values []string) {
	for _, e := range strings.Split(v, ",") {
		if e = strings.TrimSpace(e); e != "" {
			values = append(values, e)
		}
	}
	return values
}

// kuraVariables keeps the KURA_ variables and names those that mean nothing. They are no error: in a
// Kubernetes namespace with a service called "kura", every container has KURA_SERVICE_HOST and more.
func kuraVariables(environ []string) (env map[string]string, unknown []string) {
	known := map[string]bool{}
	for _, s := range settings {
		known[s.Env()] = true
	}
	env = map[string]string{}
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, "KURA_") {
			continue
		}
		if !known[name] && !reserved[name] {
			unknown = append(unknown, name+suggest(name, known))
			continue
		}
		env[name] = value
	}
	return env, unknown
}

// readFile reads a YAML file; JSON is YAML. Its keys are the names of the flags.
func readFile(path string) (map[string][]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", FileFlag, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", FileFlag, err)
	}
	if len(b) > maxFile {
		return nil, fmt.Errorf("--%s: %s is larger than %d bytes", FileFlag, path, maxFile)
	}
	var doc map[string]yaml.Node
	if err := yaml.Unmarshal(b, &doc); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	byName := map[string]Setting{}
	known := map[string]bool{}
	for _, s := range settings {
		byName[s.Name], known[s.Name] = s, true
	}
	out := map[string][]string{}
	for name, node := range doc {
		s, ok := byName[name]
		if !ok {
			return nil, fmt.Errorf("%s: line %d: %s: no such setting%s", path, node.Line, name, suggest(name, known))
		}
		values, err := scalars(s, &node)
		if err != nil {
			return nil, fmt.Errorf("%s: line %d: %s: %w", path, node.Line, name, err)
		}
		out[name] = values
	}
	return out, nil
}

func scalars(s Setting, n *yaml.Node) ([]string, error) {
	if n.Kind == yaml.ScalarNode {
		if n.Tag == "!!null" {
			return nil, errors.New("has no value")
		}
		return []string{n.Value}, nil
	}
	if s.Kind != List {
		return nil, errors.New("wants one value")
	}
	if n.Kind != yaml.SequenceNode {
		return nil, errors.New("wants one value or a list")
	}
	values := make([]string, 0, len(n.Content))
	for _, e := range n.Content {
		if e.Kind != yaml.ScalarNode || e.Tag == "!!null" {
			return nil, errors.New("wants a list of plain values")
		}
		values = append(values, e.Value)
	}
	return values, nil
}

// check holds what concerns more than one setting.
func (c *Config) check() error {
	switch {
	case c.Listen == "" && c.ListenTLS == "":
		return errors.New("--listen and --listen-tls are both empty: there is nothing to serve")
	case c.Listen != "" && !loopback(c.Listen) && !c.InsecureHTTP:
		return fmt.Errorf("--listen %s: others can reach this address and plain HTTP does not protect them: use --listen-tls, or say --insecure-http", c.Listen)
	case (c.TLSCert == "") != (c.TLSKey == ""):
		return errors.New("--tls-cert and --tls-key go together: give both or neither")
	case (c.SMTP.Server == "") != (c.SMTP.From == ""):
		return errors.New("--smtp-server and --smtp-from go together: give both or neither")
	case (c.SMTP.User == "") != (c.SMTP.PasswordFile == ""):
		return errors.New("--smtp-user and --smtp-password-file go together: give both or neither")
	case c.TLSCert != "" && c.ListenTLS == "":
		return errors.New("--tls-cert: there is no HTTPS listener (--listen-tls is empty)")
	}
	for _, e := range c.Endpoints {
		if c.ListenTLS == "" && !loopback(e.Address) && !c.InsecureHTTP {
			return fmt.Errorf("--endpoint %s: others can reach %s and plain HTTP does not protect them: use --listen-tls, or say --insecure-http", e.ID, e.Address)
		}
	}
	return c.checkWorkloads()
}

// suggest names the closest known word when it is close enough to be meant.
func suggest(word string, known map[string]bool) string {
	best, distance := "", 4
	names := make([]string, 0, len(known))
	for k := range known {
		names = append(names, k)
	}
	sort.Strings(names)
	for _, k := range names {
		if d := edits(word, k); d < distance {
			best, distance = k, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

// edits is the Levenshtein distance of two short words.
func edits(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			diagonal, row[j] = row[j], min(row[j]+1, row[j-1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
