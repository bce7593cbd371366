package identity

import "slices"

func (h header) twin() header {
	h.Tags = slices.Clone(h.Tags)
	return h
}

func (b bindings) twin() bindings {
	b.Inline, b.Attached = slices.Clone(b.Inline), slices.Clone(b.Attached)
	return b
}

func (u *user) twin() resource {
	c := *u
	c.header, c.bindings = u.header.twin(), u.bindings.twin()
	c.Groups = slices.Clone(u.Groups)
	return &c
}

func (g *group) twin() resource {
	c := *g
	c.header, c.bindings = g.header.twin(), g.bindings.twin()
	return &c
}

func (r *role) twin() resource {
	c := *r
	c.header, c.bindings = r.header.twin(), r.bindings.twin()
	return &c
}

func (p *managed) twin() resource {
	c := *p
	c.header, c.Versions = p.header.twin(), slices.Clone(p.Versions)
	return &c
}

// holder is what policies can be attached to: a user, a group or a role.
type holder interface {
	resource
	bound() *bindings
}

func (u *user) bound() *bindings  { return &u.bindings }
func (g *group) bound() *bindings { return &g.bindings }
func (r *role) bound() *bindings  { return &r.bindings }
