package policy

import (
	"math/bits"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// outcome of a search.
type outcome uint8

const (
	impossible outcome = iota // proven: there is none
	unsure                    // none was found, and none was excluded
	possible
)

// A glob is a pattern as a sequence of atoms, so that many of them can be walked through at once.
// Its variables have been replaced.
type glob struct {
	atoms []atom
	never bool // matches nothing
}

// atom is one character of a class, or a run of them.
type atom struct {
	class class
	r     rune // of exactly and foldable
	run   bool
}

type class uint8

const (
	exactly class = iota
	foldable
	anything
	inPart    // no colon
	inSegment // neither colon nor slash
	digit
)

func (a *atom) matches(r rune) bool {
	switch a.class {
	case exactly:
		return a.r == r
	case foldable:
		return a.r == foldRune(r)
	case inPart:
		return r != ':'
	case inSegment:
		return r != ':' && r != '/'
	case digit:
		return '0' <= r && r <= '9'
	}
	return true
}

// foldRune is the representative of the runes that StringEqualsIgnoreCase takes for equal.
func foldRune(r rune) rune { return unicode.ToLower(unicode.ToUpper(r)) }

func (g *glob) literal(s string, fold bool) {
	for _, r := range s {
		if fold {
			g.atoms = append(g.atoms, atom{class: foldable, r: foldRune(r)})
		} else {
			g.atoms = append(g.atoms, atom{class: exactly, r: r})
		}
	}
}

func (g *glob) one(c class)  { g.atoms = append(g.atoms, atom{class: c}) }
func (g *glob) some(c class) { g.atoms = append(g.atoms, atom{class: c, run: true}) }

// least is at least one character.
func (g *glob) least(c class) { g.one(c); g.some(c) }

func literalGlob(s string) glob {
	var g glob
	g.literal(s, false)
	return g
}

// prefixGlob is everything that begins with s.
func prefixGlob(s string) glob {
	g := literalGlob(s)
	g.some(anything)
	return g
}

// exact is the only word of the glob.
func (g *glob) exact() (string, bool) {
	var b strings.Builder
	for i := range g.atoms {
		if g.atoms[i].class != exactly {
			return "", false
		}
		b.WriteRune(g.atoms[i].r)
	}
	return b.String(), !g.never
}

// sample is a plain word of the glob, with filler in the place of runs.
func (g *glob) sample(filler string, number rune) string {
	var b strings.Builder
	for i := range g.atoms {
		switch a := &g.atoms[i]; {
		case a.class == exactly || a.class == foldable:
			b.WriteRune(a.r)
		case a.class == digit:
			b.WriteRune(number)
		case a.run:
			b.WriteString(filler)
		case i+1 < len(g.atoms) && g.atoms[i+1].run && filler != "": // least one: the run fills it
		default:
			b.WriteByte('x')
		}
	}
	return b.String()
}

// weight prefers globs that say much about their words.
func (g *glob) weight() int {
	n := 0
	for i := range g.atoms {
		if c := g.atoms[i].class; c == exactly || c == foldable || c == digit {
			n++
		}
	}
	return n
}

// places is a set of positions in a glob, closed over empty runs.
type places []uint64

func (p places) has(i int) bool { return p[i/64]>>(i%64)&1 == 1 }

func (g *glob) words() int { return len(g.atoms)/64 + 1 }

func (g *glob) enter(p places, i int) {
	for {
		p[i/64] |= 1 << (i % 64)
		if i == len(g.atoms) || !g.atoms[i].run {
			return
		}
		i++
	}
}

// step moves every place of from over r; the result is empty when nothing goes on.
func (g *glob) step(from, to places, r rune) (alive bool) {
	for word, set := range from {
		for ; set != 0; set &= set - 1 {
			i := word*64 + bits.TrailingZeros64(set)
			if i == len(g.atoms) || !g.atoms[i].matches(r) {
				continue
			}
			alive = true
			if g.atoms[i].run {
				g.enter(to, i)
			} else {
				g.enter(to, i+1)
			}
		}
	}
	return alive
}

func (g *glob) accepts(s string) bool {
	if g.never {
		return false
	}
	start := 0
	for ; start < len(g.atoms) && g.atoms[start].class == exactly; start++ {
		r, n := utf8.DecodeRuneInString(s)
		if n == 0 || r != g.atoms[start].r {
			return false
		}
		s = s[n:]
	}
	if start == len(g.atoms) {
		return s == ""
	}
	from, to := make(places, g.words()), make(places, g.words())
	g.enter(from, start)
	for _, r := range s {
		clear(to)
		if !g.step(from, to, r) {
			return false
		}
		from, to = to, from
	}
	return from.has(len(g.atoms))
}

// wordProblem asks for a word that is in one glob of every group and in none to avoid. The answer is
// exact, as long as no more than maxWordStates have to be looked at and work is left.
type wordProblem struct {
	groups [][]glob
	avoid  []glob
	// work is what is left for the analysis; every step of a glob takes one.
	work *int
}

func (p *wordProblem) fits(s string) bool {
	for _, group := range p.groups {
		if !anyOf(group, func(g *glob) bool { return g.accepts(s) }) {
			return false
		}
	}
	return !anyOf(p.avoid, func(g *glob) bool { return g.accepts(s) })
}

// find tries plain words before it searches.
func (p *wordProblem) find() (string, outcome) {
	if !p.narrow() {
		return "", impossible
	}
	best, weight := -1, -1
	for i, group := range p.groups {
		closed := true
		least := 1 << 30
		for j := range group {
			_, exact := group[j].exact()
			closed = closed && (exact || group[j].never)
			least = min(least, group[j].weight())
		}
		if closed {
			return p.choose(group)
		}
		if least > weight {
			best, weight = i, least
		}
	}
	if best >= 0 {
		for j := range p.groups[best] {
			if s, ok := p.guess(&p.groups[best][j]); ok {
				return s, possible
			}
		}
	} else if p.fits("example") {
		return "example", possible
	}
	return p.search()
}

// narrow drops globs that begin otherwise than all of another group; false when a group is empty then.
func (p *wordProblem) narrow() bool {
	groups := make([][]glob, len(p.groups))
	for i, group := range p.groups {
		for j := range group {
			if !slices.ContainsFunc(p.groups, func(other []glob) bool {
				return !anyOf(other, func(g *glob) bool { return g.begins(&group[j]) })
			}) {
				groups[i] = append(groups[i], group[j])
			}
		}
		if len(groups[i]) == 0 {
			return false
		}
	}
	p.groups = groups
	return true
}

// begins tells whether the literal beginnings agree.
func (g *glob) begins(h *glob) bool {
	for i := range min(len(g.atoms), len(h.atoms)) {
		a, b := &g.atoms[i], &h.atoms[i]
		if a.class != exactly || b.class != exactly {
			return true
		}
		if a.r != b.r {
			return false
		}
	}
	return true
}

// choose tries the words of a group that has no others.
func (p *wordProblem) choose(group []glob) (string, outcome) {
	for j := range group {
		if s, ok := group[j].exact(); ok && p.fits(s) {
			return s, possible
		}
	}
	return "", impossible
}

func (p *wordProblem) guess(g *glob) (string, bool) {
	if g.never {
		return "", false
	}
	for _, with := range [...]struct {
		filler string
		number rune
	}{{"example", '9'}, {"", '8'}} {
		if s := g.sample(with.filler, with.number); p.fits(s) {
			return s, true
		}
	}
	return "", false
}
