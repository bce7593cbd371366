package policy

import (
	"encoding/binary"
	"strings"
	"unicode"
)

// wordSearch walks through all globs at once, breadth first.
type wordSearch struct {
	globs  []glob
	groups [][]int // indexes into globs
	avoid  []int
	offset []int // of each glob's places in a state
	size   int
	trail  []wordState
	seen   map[string]bool
}

type wordState struct {
	places []uint64
	from   int
	r      rune
}

func (p *wordProblem) search() (string, outcome) {
	w := wordSearch{seen: map[string]bool{}}
	add := func(list []glob) (indexes []int) {
		for i := range list {
			if !list[i].never {
				indexes = append(indexes, len(w.globs))
				w.globs = append(w.globs, list[i])
				w.offset = append(w.offset, w.size)
				w.size += list[i].words()
			}
		}
		return indexes
	}
	for _, group := range p.groups {
		w.groups = append(w.groups, add(group))
	}
	w.avoid = add(p.avoid)
	start := make([]uint64, w.size)
	for i := range w.globs {
		w.globs[i].enter(w.of(start, i), 0)
	}
	prefix := p.prefix()
	*p.work -= len(prefix)
	start, ok := w.skip(start, prefix)
	if !ok {
		return "", impossible
	}
	w.push(wordState{places: start, from: -1})
	for at := 0; at < len(w.trail); at++ {
		if w.accepting(w.trail[at].places) {
			return prefix + w.word(at), possible
		}
		if at >= maxWordStates || *p.work <= 0 {
			return "", unsure
		}
		for _, r := range w.letters(w.trail[at].places) {
			w.advance(at, r)
			*p.work -= len(w.globs)
		}
	}
	return "", impossible
}

// prefix is what every word begins with.
func (p *wordProblem) prefix() (longest string) {
	for _, group := range p.groups {
		common := group[0].prefix()
		for i := range group[1:] {
			other, n := group[i+1].prefix(), 0
			for n < min(len(common), len(other)) && common[n] == other[n] {
				n++
			}
			common = common[:n]
		}
		if len(common) > len(longest) {
			longest = common
		}
	}
	return strings.ToValidUTF8(longest, "") // the common part may end within a character
}

func (g *glob) prefix() string {
	var b strings.Builder
	for i := range g.atoms {
		if g.atoms[i].class != exactly {
			break
		}
		b.WriteRune(g.atoms[i].r)
	}
	return b.String()
}

// skip walks over what every word begins with.
func (w *wordSearch) skip(state []uint64, prefix string) ([]uint64, bool) {
	for _, r := range prefix {
		next, alive := w.next(state, r)
		if !alive {
			return nil, false
		}
		state = next
	}
	return state, true
}

func (w *wordSearch) of(state []uint64, i int) places {
	return places(state[w.offset[i] : w.offset[i]+w.globs[i].words()])
}

func (w *wordSearch) push(s wordState) {
	key := make([]byte, 0, 8*len(s.places))
	for _, word := range s.places {
		key = binary.LittleEndian.AppendUint64(key, word)
	}
	if !w.seen[string(key)] {
		w.seen[string(key)] = true
		w.trail = append(w.trail, s)
	}
}

func (w *wordSearch) advance(at int, r rune) {
	if next, alive := w.next(w.trail[at].places, r); alive {
		w.push(wordState{places: next, from: at, r: r})
	}
}

// next is the state behind r; not alive when it can no longer be in one glob of every group.
func (w *wordSearch) next(state []uint64, r rune) (next []uint64, alive bool) {
	next = make([]uint64, w.size)
	for _, group := range w.groups {
		alive = false
		for _, i := range group {
			alive = w.globs[i].step(w.of(state, i), w.of(next, i), r) || alive
		}
		if !alive {
			return nil, false
		}
	}
	for _, i := range w.avoid {
		w.globs[i].step(w.of(state, i), w.of(next, i), r)
	}
	return next, true
}

func (w *wordSearch) accepting(state []uint64) bool {
	in := func(i *int) bool { return w.of(state, *i).has(len(w.globs[*i].atoms)) }
	for _, group := range w.groups {
		if !anyOf(group, in) {
			return false
		}
	}
	return !anyOf(w.avoid, in)
}

func (w *wordSearch) word(at int) string {
	var list []rune
	for ; w.trail[at].from >= 0; at = w.trail[at].from {
		list = append(list, w.trail[at].r)
	}
	var b strings.Builder
	for i := len(list) - 1; i >= 0; i-- {
		b.WriteRune(list[i])
	}
	return b.String()
}

// letters are representatives of all characters that the state can tell apart: those that it
// waits for, one of each class, and one that it does not know.
func (w *wordSearch) letters(state []uint64) []rune {
	known := map[rune]bool{':': true, '/': true}
	list := []rune{':', '/'}
	note := func(r rune) {
		if r >= 0 && !known[r] {
			known[r] = true
			list = append(list, r)
		}
	}
	for i := range w.globs {
		p := w.of(state, i)
		for j := range w.globs[i].atoms {
			if !p.has(j) {
				continue
			}
			switch a := &w.globs[i].atoms[j]; a.class {
			case exactly:
				note(a.r)
			case foldable:
				for r, first := a.r, true; first || r != a.r; r = unicode.SimpleFold(r) {
					note(r)
					first = false
				}
			}
		}
	}
	note(unknownRune(known, "0123456789"))
	note(unknownRune(known, "xyzabcdefghijklmnopqrstuvwXYZABCDEFGHIJKLMNOPQRSTUVW-_."))
	return list
}

// unknownRune is a character that is not known, nor equal to a known one but for its case.
func unknownRune(known map[rune]bool, from string) rune {
	folded := func(r rune) bool {
		for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
			if known[other] {
				return true
			}
		}
		return known[r]
	}
	for _, r := range from {
		if !folded(r) {
			return r
		}
	}
	if from[0] == '0' {
		return -1 // every digit is known
	}
	for r := rune(0x4E00); ; r++ { // ideographs have no case
		if !known[r] {
			return r
		}
	}
}
