package policy

import (
	"cmp"
	"math/big"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// literal is a condition that has to hold, or has to fail.
type literal struct {
	*condition
	want bool
}

// domain is what values a key can have in requests.
type domain struct {
	// never: the request does not have the key; always: it does.
	never, always bool
	// values, when not nil, are all there are.
	values []string
	// kind restricts values to addresses or dates.
	kind domainKind
	// multi: the key has a set of values.
	multi bool
	// shape has one glob that the values must be in, avoid those that they must not be in.
	shape []glob
	avoid []glob
}

type domainKind uint8

const (
	anyText domainKind = iota
	addresses
	dates
)

// domains of the keys that every request has, or that have only certain values. All other keys may
// be absent or have any value, whatever the action.
var domains = map[string]domain{
	"aws:securetransport": {always: true, values: []string{"true", "false"}},
	"aws:viaawsservice":   {values: []string{"false", "true"}},
	"aws:currenttime":     {always: true, kind: dates},
	"aws:epochtime":       {always: true, kind: dates},
	"aws:sourceip":        {kind: addresses},
	"aws:vpcsourceip":     {kind: addresses},
}

func domainOf(key string) domain {
	if d, ok := domains[key]; ok {
		return d
	}
	kind := KeyType(key)
	d := domain{multi: strings.HasPrefix(kind, "ArrayOf")}
	if kind == "Bool" {
		d.values = []string{"true", "false"}
	}
	return d
}

// constant is the domain of a key whose value is known.
func constant(v Values) domain {
	return domain{always: true, values: append([]string{v.One}, v.Many...)[:1]}
}

// wish is what is asked of one value of a key: that the condition's list has it, or has not.
type wish struct {
	*condition
	listed bool
}

// keyProblem asks for a value of one key under which all literals come out as wanted.
type keyProblem struct {
	domain   domain
	literals []literal
	// env has the values that variables stand for.
	env Keys
	// relaxed variables may stand for anything: then impossible is still a proof, but possible is none.
	relaxed bool
	work    *int
}

// find prefers a request without the key: it is the simplest.
func (p *keyProblem) find() (v Values, present bool, result outcome) {
	if !p.domain.always && !anyOf(p.literals, func(l *literal) bool { return l.absent(p.env) != l.want }) {
		return Values{}, false, possible
	}
	if p.domain.never {
		return Values{}, false, impossible
	}
	every, some, ok := p.wishes()
	if !ok {
		return Values{}, false, impossible
	}
	if !p.domain.multi || len(some) == 0 {
		s, result := p.value(append(every, some...))
		return p.values(s), true, result
	}
	set := Values{Multi: true}
	result = possible
	for _, w := range some {
		s, one := p.value(append(slices.Clone(every), w))
		result = min(result, one)
		if !slices.Contains(set.Many, s) {
			set.Many = append(set.Many, s)
		}
	}
	return set, true, result
}

func (p *keyProblem) values(s string) Values {
	if p.domain.multi {
		return Values{Many: []string{s}, Multi: true}
	}
	return Values{One: s}
}

// absent tells whether the condition holds without the key.
func (c *condition) absent(ctx Context) bool {
	if c.base.family == nullFamily {
		return c.null(false, ctx)
	}
	return c.missing()
}

// varies tells whether a value has a variable that env does not know.
func (c *condition) varies(env Keys) bool {
	found := false
	c.variables(func(key string) {
		_, known := env[key]
		found = found || !known
	})
	return found
}

// variables visits the keys that the values refer to.
func (c *condition) variables(visit func(key string)) {
	for i := range c.values {
		switch m := c.values[i].matcher.(type) {
		case *pattern:
			m.variables(visit)
		case boolMatcher:
			m.pattern.variables(visit)
		}
	}
}

func (p *pattern) variables(visit func(key string)) {
	for i := range p.ops {
		if o := &p.ops[i]; o.kind == opVariable || o.kind == opVariableInPart {
			visit(o.text)
		}
	}
}

// wishes turns the literals into what is asked of every value, and of some value each; ok is false
// when no value at all will do.
func (p *keyProblem) wishes() (every, some []wish, ok bool) {
	for _, l := range p.literals {
		switch {
		case l.base.family == nullFamily:
			if l.null(true, p.env) != l.want {
				return nil, nil, false
			}
			continue
		case l.set != noQualifier && len(l.values) == 0:
			if l.want {
				return nil, nil, false
			}
			continue
		}
		w := wish{l.condition, l.want != l.base.negated}
		switch universal := l.set == forAllValues; {
		case l.set == noQualifier && w.listed, l.set != noQualifier && l.want != universal:
			some = append(some, w)
		default:
			every = append(every, w)
		}
	}
	return every, some, true
}

// value finds one value for all wishes.
func (p *keyProblem) value(wishes []wish) (string, outcome) {
	checked := wishes
	if p.relaxed {
		checked = slices.DeleteFunc(slices.Clone(wishes), func(w wish) bool { return w.varies(p.env) })
	}
	good := func(s string) bool {
		return !anyOf(checked, func(w *wish) bool { return w.condition.listed(s, p.env) != w.listed })
	}
	if p.domain.values != nil {
		return p.first(p.domain.values, good, impossible)
	}
	families := p.families(wishes)
	text := families&textFamilies != 0
	others := families &^ textFamilies
	if others == 0 && p.domain.kind == anyText {
		return p.word(wishes, true)
	}
	// One family splits the values into cells that the candidates represent; where families mix,
	// the cells of one cut through those of another.
	rest := impossible
	if text || others&(others-1) != 0 || len(checked) < len(wishes) {
		rest = unsure
	}
	var list []string
	if text && p.domain.kind == anyText {
		s, result := p.word(wishes, false)
		if result == impossible {
			return "", impossible
		}
		list = append(list, s)
	}
	return p.first(p.candidates(append(list, p.exact(wishes)...), wishes), good, rest)
}

func (p *keyProblem) first(list []string, good func(string) bool, otherwise outcome) (string, outcome) {
	if i := slices.IndexFunc(list, good); i >= 0 {
		return list[i], possible
	}
	return "", otherwise
}

type families uint16

const textFamilies families = 1<<stringFamily | 1<<arnFamily

func (p *keyProblem) families(wishes []wish) (f families) {
	for _, w := range wishes {
		f |= 1 << w.base.family
	}
	return f
}

// word solves the wishes about text; the others are only checked when all is set.
func (p *keyProblem) word(wishes []wish, all bool) (string, outcome) {
	q := wordProblem{avoid: slices.Clone(p.domain.avoid), work: p.work}
	if len(p.domain.shape) > 0 {
		q.groups = append(q.groups, p.domain.shape)
	}
	for _, w := range wishes {
		if 1<<w.base.family&textFamilies == 0 {
			continue
		}
		var list []glob
		for i := range w.values {
			pattern, ok := w.values[i].matcher.(*pattern)
			if !ok || w.listed && avoids(wishes, pattern) {
				continue
			}
			if g := pattern.glob(p.env, p.relaxed, w.listed); !g.never {
				list = append(list, g)
			}
		}
		if w.listed {
			q.groups = append(q.groups, list)
		} else {
			q.avoid = append(q.avoid, list...)
		}
	}
	s, result := q.find()
	if result == possible && all && !p.relaxed && anyOf(wishes, func(w *wish) bool { return w.condition.listed(s, p.env) != w.listed }) {
		return "", unsure
	}
	return s, result
}

// avoids tells whether the same pattern is among those that the value must not match.
func avoids(wishes []wish, p *pattern) bool {
	return anyOf(wishes, func(w *wish) bool {
		return !w.listed && anyOf(w.values, func(v *conditionValue) bool {
			q, ok := v.matcher.(*pattern)
			return ok && p.same(q)
		})
	})
}

// exact lists the texts that string conditions compare with, which other families may like too.
func (p *keyProblem) exact(wishes []wish) (list []string) {
	for _, w := range wishes {
		for i := range w.values {
			list = append(list, w.values[i].text)
		}
	}
	return list
}

// candidates adds to list one value of each cell that the conditions cut the numbers, dates,
// addresses, bytes and truth values into, and one that is none of them.
func (p *keyProblem) candidates(list []string, wishes []wish) []string {
	var numbers []*big.Rat
	var moments []instant
	bytes := ""
	list = append(list, "198.51.100.7", "2026-01-01T00:00:00Z", "1", "true", "false")
	for _, w := range wishes {
		for i := range w.values {
			switch m := w.values[i].matcher.(type) {
			case addressMatcher:
				list = append(list, edges(m.prefix)...)
			case numberMatcher:
				if m.valid { // plain digits: the only form that is read in little time
					r, _ := new(big.Rat).SetString(w.values[i].text)
					numbers = append(numbers, r)
				}
			case dateMatcher:
				if m.valid {
					moments = append(moments, m.date)
				}
			case binaryMatcher:
				list = append(list, m.bytes)
				bytes += m.bytes
			}
		}
	}
	list = append(list, "0.0.0.0", "::", bytes+"x")
	list = append(list, betweenNumbers(numbers)...)
	list = append(list, betweenDates(moments)...)
	return slices.DeleteFunc(list, func(s string) bool { return !p.domain.kind.has(s) })
}

func (k domainKind) has(s string) (ok bool) {
	switch k {
	case addresses:
		_, ok = parseAddress(s)
	case dates:
		_, ok = parseInstant(s)
	default:
		ok = true
	}
	return ok
}

// edges are the first address of a range and the first one behind it: between two neighbouring
// edges of all ranges, all addresses are alike.
func edges(p netip.Prefix) []string {
	if !p.IsValid() {
		return nil
	}
	first := p.Masked().Addr()
	list := []string{first.String()}
	last := first.AsSlice()
	for i := p.Bits(); i < first.BitLen(); i++ {
		last[i/8] |= 0x80 >> (i % 8)
	}
	if end, ok := netip.AddrFromSlice(last); ok && end.Next().IsValid() {
		list = append(list, end.Next().String())
	}
	return list
}

// betweenNumbers are the numbers, those between them, and those beyond.
func betweenNumbers(list []*big.Rat) (texts []string) {
	slices.SortFunc(list, (*big.Rat).Cmp)
	one, half := big.NewRat(1, 1), big.NewRat(1, 2)
	var all []*big.Rat
	for i, r := range list {
		if i == 0 {
			all = append(all, new(big.Rat).Sub(r, one))
		} else {
			sum := new(big.Rat).Add(list[i-1], r)
			all = append(all, sum.Mul(sum, half))
		}
		all = append(all, r)
	}
	if len(list) > 0 {
		all = append(all, new(big.Rat).Add(list[len(list)-1], one))
	}
	for _, r := range all {
		digits, _ := r.FloatPrec()
		texts = append(texts, r.FloatString(digits))
	}
	return texts
}

// betweenDates are the dates, those between them, and those beyond.
func betweenDates(list []instant) (texts []string) {
	slices.SortFunc(list, instant.compare)
	for i, t := range list {
		if i == 0 {
			texts = append(texts, instant{t.seconds - 1, t.nanoseconds}.text())
		} else {
			texts = append(texts, middle(list[i-1], t).text())
		}
		texts = append(texts, t.text())
	}
	if n := len(list); n > 0 {
		texts = append(texts, instant{list[n-1].seconds + 1, list[n-1].nanoseconds}.text())
	}
	return texts
}

// middle is halfway between a and b, which is not before a.
func middle(a, b instant) instant {
	seconds := b.seconds - a.seconds
	nanoseconds := (seconds%2*1e9 + int64(b.nanoseconds) - int64(a.nanoseconds)) / 2
	m := instant{a.seconds + seconds/2, 0}
	nanoseconds += int64(a.nanoseconds)
	m.seconds += nanoseconds / 1e9
	m.nanoseconds = int32(nanoseconds % 1e9)
	return m
}

// text writes the instant so that a date condition reads it: years of four digits, else seconds.
func (t instant) text() string {
	at := time.Unix(t.seconds, int64(t.nanoseconds)).UTC()
	if cmp.Compare(at.Year(), 0) >= 0 && at.Year() <= 9999 {
		return at.Format("2006-01-02T15:04:05.999999999Z")
	}
	return big.NewInt(t.seconds).String()
}

// glob is the pattern with the values of its variables. Relaxed, a variable that env does not
// know may be anything: what must match then matches more, what must not match never does.
func (p *pattern) glob(env Keys, relaxed, positive bool) glob {
	g := glob{never: p.form == formNever}
	if p.form == formAny {
		g.some(anything)
		return g
	}
	g.literal(p.text, p.fold)
	if p.form == formPrefix {
		g.some(anything)
	}
	for i := range p.ops {
		o := &p.ops[i]
		switch o.kind {
		case opLiteral:
			g.literal(o.text, p.fold)
		case opOne:
			g.one(anything)
		case opOneInPart:
			g.one(inPart)
		case opMany:
			g.some(anything)
		case opManyInPart:
			g.some(inPart)
		default:
			if !g.variable(o, p.fold, env, relaxed, positive) {
				return glob{never: true}
			}
		}
	}
	return g
}

func (g *glob) variable(o *op, fold bool, env Keys, relaxed, positive bool) bool {
	if _, known := env[o.text]; !known && relaxed {
		g.some(anything)
		return positive
	}
	value, ok := o.resolve(env)
	if !ok || o.kind == opVariableInPart && strings.Contains(value, ":") {
		return false
	}
	g.literal(value, fold)
	return true
}
