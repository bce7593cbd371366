package identity

import "hash/maphash"

// fan is the number of branches on each of the two levels of a table: with 100,000 entries a leaf
// holds some 24, so that a change copies little and a lookup is one hash and one small map.
const fan = 64

// table is a persistent hash map. A change copies the two levels above one leaf, and the leaf.
type table[V any] struct {
	seed maphash.Seed
	top  *[fan]*[fan]map[string]V
}

func newTable[V any]() table[V] {
	return table[V]{seed: maphash.MakeSeed(), top: new([fan]*[fan]map[string]V)}
}

func (t table[V]) slot(key string) (hi, lo int) {
	h := maphash.String(t.seed, key)
	return int(h % fan), int(h / fan % fan)
}

func (t table[V]) get(key string) (v V, ok bool) {
	hi, lo := t.slot(key)
	if mid := t.top[hi]; mid != nil {
		v, ok = mid[lo][key]
	}
	return v, ok
}

// with returns the table with value under key. When own is set nobody else holds the table yet, and
// it is changed in place.
func (t table[V]) with(key string, value V, own bool) table[V] {
	hi, lo := t.slot(key)
	t, leaf := t.open(hi, lo, own)
	leaf[key] = value
	return t
}

func (t table[V]) without(key string) table[V] {
	if _, ok := t.get(key); !ok {
		return t
	}
	hi, lo := t.slot(key)
	t, leaf := t.open(hi, lo, false)
	delete(leaf, key)
	return t
}

// open gives the leaf at hi, lo for writing.
func (t table[V]) open(hi, lo int, own bool) (table[V], map[string]V) {
	if own {
		if t.top[hi] == nil {
			t.top[hi] = new([fan]map[string]V)
		}
		if t.top[hi][lo] == nil {
			t.top[hi][lo] = make(map[string]V)
		}
		return t, t.top[hi][lo]
	}
	top, mid := *t.top, [fan]map[string]V{}
	if t.top[hi] != nil {
		mid = *t.top[hi]
	}
	leaf := make(map[string]V, len(mid[lo])+1)
	for k, v := range mid[lo] {
		leaf[k] = v
	}
	mid[lo] = leaf
	top[hi] = &mid
	t.top = &top
	return t, leaf
}
