package network

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/kura-s3/kura/internal/addresses"
	"github.com/kura-s3/kura/policy"
)

// Bounds of what is read.
const (
	maxFile     = 1 << 20
	maxDenyFile = 16 << 20
	maxFiles    = 64     // that one file of rules may name
	maxNetworks = 262144 // in all lists together
	maxPolicy   = 20480
)

// document is the file as it is written.
type document struct {
	Sources   map[string][]string       `yaml:"sources"`
	Deny      []string                  `yaml:"deny"`
	DenyFiles []string                  `yaml:"deny-files"`
	Listeners map[string]listenerRules  `yaml:"listeners"`
	Surfaces  map[Surface]*surfaceRules `yaml:"surfaces"`
}

type listenerRules struct {
	Allow    *[]string `yaml:"allow"`
	Services *[]string `yaml:"services"`
	Policy   string    `yaml:"policy"`
}

type surfaceRules struct {
	Allow []string `yaml:"allow"`
	// Open confirms that a surface is for everybody.
	Open bool `yaml:"open"`
}

// Surface is a part of the server that administers or watches it.
type Surface string

// The surfaces.
const (
	// Metrics is /-/metrics without a signature.
	Metrics Surface = "metrics"
	// Console is the web console.
	Console Surface = "console"
	// Admin is every service but those of AdminFree: identities, keys, records, settings.
	Admin Surface = "admin"
)

// rules are the compiled file, immutable.
type rules struct {
	deny      addresses.Set
	listeners map[string]*listener
	surfaces  map[Surface]addresses.Set
	open      []Surface // that everybody may reach
}

// listener is what a listener lets in. Nil lists do not limit.
type listener struct {
	limited  bool
	allow    addresses.Set
	services []string
	policy   *policy.Document
}

// loopback is this machine.
var loopback = addresses.Of([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")})

// compiler turns a document into rules.
type compiler struct {
	config   *Config
	dir      string
	sources  map[string][]netip.Prefix
	networks int
	seen     stamps // of the files, as they were before they were read
	rules    rules
}

// load reads the file and all that it names. Seen are the files so far, also when something is wrong.
func load(config *Config) (r *rules, seen stamps, err error) {
	c := &compiler{config: config, dir: filepath.Dir(config.Path), sources: map[string][]netip.Prefix{}, seen: stamps{}}
	raw, err := c.read(config.Path, maxFile)
	if err == nil {
		err = c.compile(raw)
	}
	if err != nil {
		return nil, c.seen, err
	}
	return &c.rules, c.seen, nil
}

// beside is a path that the file names: relative to its own directory.
func (c *compiler) beside(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(c.dir, path)
}

func (c *compiler) read(path string, most int64) ([]byte, error) {
	if len(c.seen) > maxFiles {
		return nil, fmt.Errorf("more than %d files are named", maxFiles)
	}
	c.seen[path] = stampOf(path)
	if fi := c.seen[path].file; fi != nil && !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > most {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, most)
	}
	return b, nil
}

func (c *compiler) compile(raw []byte) error {
	var doc document
	d := yaml.NewDecoder(bytes.NewReader(raw))
	d.KnownFields(true)
	// A file that a full disk cut to nothing must not take the rules away.
	if err := d.Decode(&doc); err == io.EOF {
		return fmt.Errorf("%s is empty: {} stands for no rules", c.config.Path)
	} else if err != nil {
		return fmt.Errorf("%s: %w", c.config.Path, err)
	}
	if err := d.Decode(new(document)); err != io.EOF {
		return fmt.Errorf("%s: one document is expected", c.config.Path)
	}
	for _, step := range []func(*document) error{c.compileSources, c.compileDeny, c.compileListeners, c.compileSurfaces} {
		if err := step(&doc); err != nil {
			return err
		}
	}
	return nil
}

var sourceName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

func (c *compiler) compileSources(doc *document) error {
	for name, list := range doc.Sources {
		if !sourceName.MatchString(name) {
			return c.wrong("sources", fmt.Errorf("%.70q is not a name of letters, digits and ._-", name))
		}
		networks, err := c.list(list, false)
		if err != nil {
			return c.wrong("sources: "+name, err)
		}
		c.sources[name] = networks
	}
	return nil
}

func (c *compiler) wrong(where string, err error) error {
	return fmt.Errorf("%s: %s: %w", c.config.Path, where, err)
}

// list reads networks and, where they may be named, @sources.
func (c *compiler) list(entries []string, named bool) ([]netip.Prefix, error) {
	networks := make([]netip.Prefix, 0, len(entries))
	for _, text := range entries {
		if name, ok := strings.CutPrefix(text, "@"); ok && named {
			source, known := c.sources[name]
			if !known {
				return nil, fmt.Errorf("there is no source %.70q", name)
			}
			networks = append(networks, source...)
			continue
		}
		p, err := parseNetwork(text)
		if err != nil {
			return nil, err
		}
		networks = append(networks, p)
	}
	if c.networks += len(networks); c.networks > maxNetworks {
		return nil, fmt.Errorf("there are more than %d networks", maxNetworks)
	}
	return networks, nil
}

// parseNetwork reads a CIDR block without host bits, or one address.
func parseNetwork(text string) (netip.Prefix, error) {
	p, err := addresses.Parse(text)
	if err == nil && p != p.Masked() {
		err = fmt.Errorf("%.60q has bits outside its mask; did you mean %s?", text, p.Masked())
	}
	return p, err
}

func (c *compiler) compileDeny(doc *document) error {
	all, err := c.list(doc.Deny, true)
	if err != nil {
		return c.wrong("deny", err)
	}
	for _, path := range doc.DenyFiles {
		more, err := c.denyFile(path)
		if err != nil {
			return c.wrong("deny-files", err)
		}
		all = append(all, more...)
	}
	c.rules.deny = addresses.Of(all)
	return nil
}

// denyFile reads a list with one address or CIDR block a line; # begins a comment.
func (c *compiler) denyFile(path string) ([]netip.Prefix, error) {
	raw, err := c.read(c.beside(path), maxDenyFile)
	if err != nil {
		return nil, err
	}
	var networks []netip.Prefix
	err = addresses.Lines(raw, "#", func(entry string) error {
		one, err := c.list([]string{entry}, false)
		networks = append(networks, one...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return networks, nil
}

func (c *compiler) compileListeners(doc *document) error {
	c.rules.listeners = map[string]*listener{}
	for name, l := range doc.Listeners {
		if !slices.Contains(c.config.Listeners, name) {
			return c.wrong("listeners", fmt.Errorf("there is no listener %.70q; there are %s", name, strings.Join(c.config.Listeners, ", ")))
		}
		one, err := c.listener(&l)
		if err != nil {
			return c.wrong("listeners: "+name, err)
		}
		c.rules.listeners[name] = one
	}
	return nil
}

func (c *compiler) listener(l *listenerRules) (*listener, error) {
	one := &listener{}
	if l.Allow != nil {
		networks, err := c.list(*l.Allow, true)
		if err != nil {
			return nil, err
		}
		one.limited, one.allow = true, addresses.Of(networks)
	}
	if l.Services != nil {
		for _, name := range *l.Services {
			if !slices.Contains(c.config.Services, name) {
				return nil, fmt.Errorf("there is no service %.70q; there are %s", name, strings.Join(c.config.Services, ", "))
			}
		}
		one.services = append([]string{}, *l.Services...)
	}
	if l.Policy != "" {
		raw, err := c.read(c.beside(l.Policy), maxPolicy)
		if err != nil {
			return nil, err
		}
		if one.policy, err = endpointPolicy(raw); err != nil {
			return nil, fmt.Errorf("%s: %w", l.Policy, err)
		}
	}
	return one, nil
}

// endpointPolicy reads the policy of a listener strictly: what has no effect here is refused.
func endpointPolicy(raw []byte) (*policy.Document, error) {
	doc, err := policy.Parse(raw, policy.Resource)
	if err != nil {
		return nil, err
	}
	for _, f := range policy.Validate(raw, policy.Resource) {
		if f.FindingType == policy.FindingError {
			return nil, fmt.Errorf("%s: %s", f.IssueCode, f.FindingDetails)
		}
	}
	if named := doc.Principals(); len(named) > 0 {
		return nil, fmt.Errorf("the principal %s: users and roles are named by the condition key aws:PrincipalArn, beside Principal \"*\"", named[0])
	}
	return doc, nil
}

func (c *compiler) compileSurfaces(doc *document) error {
	c.rules.surfaces = map[Surface]addresses.Set{}
	for name, s := range doc.Surfaces {
		where := "surfaces: " + string(name)
		if name != Metrics && name != Console && name != Admin {
			return c.wrong("surfaces", fmt.Errorf("there is no surface %.70q; there are %s, %s, %s", name, Metrics, Console, Admin))
		}
		if s == nil {
			return c.wrong(where, errors.New("says nothing"))
		}
		networks, err := c.list(s.Allow, true)
		if err != nil {
			return c.wrong(where, err)
		}
		allow := addresses.Of(networks)
		if allow.Everyone() {
			if !s.Open {
				return c.wrong(where, errors.New("every address may reach it: say \"open: true\" beside it if that is meant"))
			}
			c.rules.open = append(c.rules.open, name)
		}
		c.rules.surfaces[name] = allow
	}
	slices.Sort(c.rules.open)
	return nil
}
