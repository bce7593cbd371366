package identity

import (
	"hash/maphash"
	"strings"
)

// ordered is a persistent map sorted by key: a treap whose nodes are never changed once published.
// A change copies the path from the root, so that readers keep what they hold.
type ordered[V any] struct {
	seed maphash.Seed
	root *branch[V]
}

type branch[V any] struct {
	key         string
	value       V
	priority    uint64
	left, right *branch[V]
}

func newOrdered[V any]() ordered[V] { return ordered[V]{seed: maphash.MakeSeed()} }

func (o ordered[V]) get(key string) (v V, ok bool) {
	for n := o.root; n != nil; {
		switch c := strings.Compare(key, n.key); {
		case c == 0:
			return n.value, true
		case c < 0:
			n = n.left
		default:
			n = n.right
		}
	}
	return v, false
}

// with returns the map with value under key. When own is set nobody else holds the map yet, and
// its nodes are changed in place.
func (o ordered[V]) with(key string, value V, own bool) ordered[V] {
	o.root = o.root.insert(&branch[V]{key: key, value: value, priority: maphash.String(o.seed, key)}, own)
	return o
}

func (n *branch[V]) insert(leaf *branch[V], own bool) *branch[V] {
	if n == nil {
		return leaf
	}
	c := n
	if !own {
		copied := *n
		c = &copied
	}
	switch d := strings.Compare(leaf.key, n.key); {
	case d == 0:
		c.value = leaf.value
	case d < 0:
		c.left = n.left.insert(leaf, own)
		if l := c.left; l.priority > c.priority {
			c.left, l.right = l.right, c
			return l
		}
	default:
		c.right = n.right.insert(leaf, own)
		if r := c.right; r.priority > c.priority {
			c.right, r.left = r.left, c
			return r
		}
	}
	return c
}

func (o ordered[V]) without(key string) ordered[V] {
	o.root = o.root.remove(key)
	return o
}

func (n *branch[V]) remove(key string) *branch[V] {
	if n == nil {
		return nil
	}
	d := strings.Compare(key, n.key)
	if d == 0 {
		return join(n.left, n.right)
	}
	c := *n
	if d < 0 {
		c.left = n.left.remove(key)
	} else {
		c.right = n.right.remove(key)
	}
	return &c
}

// join merges two treaps of which all keys of a come before those of b.
func join[V any](a, b *branch[V]) *branch[V] {
	if a == nil {
		return b
	}
	if b == nil {
		return a
	}
	if a.priority > b.priority {
		c := *a
		c.right = join(a.right, b)
		return &c
	}
	c := *b
	c.left = join(a, b.left)
	return &c
}

// ascend calls fn for the entries with from <= key that begin with prefix, in order, until fn says
// false. from must begin with prefix.
func (o ordered[V]) ascend(prefix, from string, fn func(key string, value V) bool) {
	o.root.ascend(prefix, from, fn)
}

func (n *branch[V]) ascend(prefix, from string, fn func(string, V) bool) bool {
	if n == nil {
		return true
	}
	if n.key >= from {
		if !n.left.ascend(prefix, from, fn) {
			return false
		}
		if !strings.HasPrefix(n.key, prefix) || !fn(n.key, n.value) {
			return false
		}
	}
	return n.right.ascend(prefix, from, fn)
}
