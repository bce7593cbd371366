package identity

import (
	"sync"

	"github.com/kura-s3/kura/policy"
)

// compiled is a policy document that is compiled at its first use and then kept, so that opening a
// store with 100,000 users compiles nothing that nobody asks for. What does not compile is an error
// at each use: a document that cannot be read never counts as one that says nothing.
type compiled struct {
	source string
	kind   policy.Kind
	name   string // for denials and explanations: the ARN of a managed policy, the name of an inline one
	once   sync.Once
	doc    *policy.Document
	err    error
}

func (c *compiled) document() (*policy.Document, error) {
	c.once.Do(func() {
		if c.doc, c.err = policy.ParseString(c.source, c.kind); c.err == nil {
			c.doc = c.doc.Named(c.name)
		}
	})
	return c.doc, c.err
}

// keep returns c when it still is the compiled form of source, else a fresh one.
func (c *compiled) keep(name, source string, kind policy.Kind) *compiled {
	if c != nil && c.source == source && c.kind == kind && c.name == name {
		return c
	}
	return &compiled{name: name, source: source, kind: kind}
}

func (b *bindings) prepare() {
	for i := range b.Inline {
		// The slice may be that of the entity before, which requests are reading.
		if now := b.Inline[i].compiled.keep(b.Inline[i].Name, b.Inline[i].Document, policy.Identity); now != b.Inline[i].compiled {
			b.Inline[i].compiled = now
		}
	}
}

func (a *account) prepare()   { a.roots = new(subjectCache) }
func (k *accessKey) prepare() { k.cache = new(credentialCache) }
func (g *group) prepare()     { g.bindings.prepare() }

func (u *user) prepare() {
	u.bindings.prepare()
	u.subjects = new(subjectCache)
}

func (r *role) prepare() {
	r.bindings.prepare()
	r.trust = r.trust.keep("", r.Pinned, policy.Trust)
	r.subjects = new(subjectCache)
}

func (p *managed) prepare() {
	name, source := arnOf(p), p.document(p.Default)
	p.compiled = p.compiled.keep(name, source, policy.Identity)
	p.bounds = p.bounds.keep(name, source, policy.Boundary)
	p.session = p.session.keep(name, source, policy.Session)
}

func (c *control) prepare() { c.compiled = c.compiled.keep(c.Name, c.Document, policy.SCP) }

// document is the text of one version, "" when there is none.
func (p *managed) document(version string) string {
	for i := range p.Versions {
		if p.Versions[i].ID == version {
			return p.Versions[i].Document
		}
	}
	return ""
}
