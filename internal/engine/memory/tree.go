package memory

import (
	"bytes"
	"math/rand/v2"

	"github.com/kura-s3/kura/internal/engine"
)

// node of a treap that is never changed once it is reachable: a root is a snapshot.
type node struct {
	key, value  []byte
	version     engine.Version
	priority    uint64
	left, right *node
}

// split divides n into the keys below key and the others.
func split(n *node, key []byte) (below, rest *node) {
	if n == nil {
		return nil, nil
	}
	c := *n
	if bytes.Compare(n.key, key) < 0 {
		c.right, rest = split(n.right, key)
		return &c, rest
	}
	below, c.left = split(n.left, key)
	return below, &c
}

// merge joins two trees, every key of a being below every key of b.
func merge(a, b *node) *node {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	case a.priority > b.priority:
		c := *a
		c.right = merge(a.right, b)
		return &c
	default:
		c := *b
		c.left = merge(a, b.left)
		return &c
	}
}

func find(n *node, key []byte) *node {
	for n != nil {
		switch bytes.Compare(key, n.key) {
		case 0:
			return n
		case -1:
			n = n.left
		default:
			n = n.right
		}
	}
	return nil
}

// cut takes the keys in [lo, hi) out of n.
func cut(n *node, lo, hi []byte) *node {
	below, rest := split(n, lo)
	_, above := split(rest, hi)
	return merge(below, above)
}

// next is the smallest key after key itself.
func next(key []byte) []byte { return append(key[:len(key):len(key)], 0) }

func set(n *node, key, value []byte, v engine.Version) *node {
	below, rest := split(n, key)
	_, above := split(rest, next(key))
	fresh := &node{key: bytes.Clone(key), value: append([]byte{}, value...), version: v, priority: rand.Uint64()}
	return merge(merge(below, fresh), above)
}

// iterator walks the snapshot root. The stack holds the ancestors that are still to be visited,
// the next one last.
type iterator struct {
	root   *node
	hi     []byte
	lo     []byte
	stack  []*node
	at     *node
	begun  bool
	closed func() error
	err    error
}

func (it *iterator) seek(key []byte) {
	it.stack = it.stack[:0]
	for n := it.root; n != nil; {
		if bytes.Compare(n.key, key) >= 0 {
			it.stack = append(it.stack, n)
			n = n.left
		} else {
			n = n.right
		}
	}
	it.begun = true
}

func (it *iterator) Next() bool {
	if !it.begun {
		it.seek(it.lo)
	}
	return it.step()
}

func (it *iterator) step() bool {
	it.at = nil
	if it.err = it.closed(); it.err != nil || len(it.stack) == 0 {
		return false
	}
	n := it.stack[len(it.stack)-1]
	if it.hi != nil && bytes.Compare(n.key, it.hi) >= 0 {
		it.stack = it.stack[:0]
		return false
	}
	it.stack = it.stack[:len(it.stack)-1]
	for c := n.right; c != nil; c = c.left {
		it.stack = append(it.stack, c)
	}
	it.at = n
	return true
}

// SeekGE never moves back: a key at or before the current record leaves the iterator on it.
func (it *iterator) SeekGE(key []byte) bool {
	if bytes.Compare(key, it.lo) < 0 {
		key = it.lo
	}
	if it.at != nil && bytes.Compare(key, it.at.key) <= 0 {
		return true
	}
	if it.begun && it.at == nil && len(it.stack) == 0 {
		return false
	}
	it.seek(key)
	return it.step()
}

func (it *iterator) Key() []byte             { return it.at.key }
func (it *iterator) Value() []byte           { return it.at.value }
func (it *iterator) Version() engine.Version { return it.at.version }
func (it *iterator) Err() error              { return it.err }
func (it *iterator) Close() error {
	it.stack, it.at, it.root = nil, nil, nil
	it.begun = true
	return nil
}
