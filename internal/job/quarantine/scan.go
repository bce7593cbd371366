package quarantine

import (
	"bytes"
	"context"
	"crypto/subtle"
	"io"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"

	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authn"
)

// Bounds of what is looked at.
const (
	// scanned is how much of an object is looked at, from its beginning.
	scanned = 1 << 20
	// around is how far from its id a secret may stand.
	around = 2 << 10
	// chunk is how much is looked at together.
	chunk = 32 << 10
	// maxKeys are the ids in one object that are looked up; maxTokens the sessions that are tried.
	maxKeys   = 4096
	maxTokens = 16

	minKeyID, maxKeyID = 16, 128
	minToken           = 100
)

// Scanner looks into what is uploaded. Safe for concurrent use.
type Scanner struct {
	// Lookup finds the credential of an active access key.
	Lookup func(ctx context.Context, id, token string) (*authn.Credential, error)
	// Known tells whether there is a long-term key of that id.
	Known func(id string) bool
	// Found is told of each credential, once for an object. It returns when what must be done is done.
	Found func(*Leak)
}

// Leak is an access key that stands where it must not.
type Leak struct {
	// Credential is what the key and its secret open; nil when only the id was found, which opens nothing.
	Credential *authn.Credential
	KeyID      string
	// Event is the upload's.
	Event *audit.Event
}

var rooms = sync.Pool{New: func() any { return new([2*around + chunk]byte) }}

// Screen gives r as it is, and looks at what is read of it.
func (s *Scanner) Screen(ev *audit.Event, r io.Reader) io.Reader {
	return &reader{scanner: s, event: ev, r: r}
}

// reader hands on what it reads, and looks at its beginning.
type reader struct {
	scanner *Scanner
	event   *audit.Event
	r       io.Reader
	room    *[2*around + chunk]byte
	n       int // bytes in room
	from    int // in room: ids before it were looked at
	seen    int // bytes of the object
	done    bool
	keys    int
	tokens  int
	told    []string
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if !r.done {
		r.take(p[:n])
		if err != nil || r.seen >= scanned {
			r.finish()
		}
	}
	return n, err
}

func (r *reader) take(p []byte) {
	p = p[:min(len(p), scanned-r.seen)]
	r.seen += len(p)
	head := p[:min(len(p), 2*around)]
	r.add(head)
	rest := p[len(head):]
	if len(rest) <= 2*around || plausible(p) {
		r.add(rest)
		return
	}
	// No id begins in p, but one that its end cuts off. What began before has all that may belong to it.
	r.look(r.n)
	r.n = copy(r.room[:], rest[len(rest)-2*around:])
	r.from = r.n - minKeyID
}

// add puts p into the room, and looks at what has all around it.
func (r *reader) add(p []byte) {
	for len(p) > 0 {
		if r.room == nil {
			r.room = rooms.Get().(*[2*around + chunk]byte)
		}
		n := copy(r.room[r.n:], p)
		r.n += n
		p = p[n:]
		if r.n == len(r.room) {
			r.look(r.n - around)
			// What stands around the ids to come is kept.
			keep := r.from - around
			r.n = copy(r.room[:], r.room[keep:r.n])
			r.from -= keep
		}
	}
}

func (r *reader) finish() {
	r.done = true
	if r.room == nil {
		return
	}
	r.look(r.n)
	clear(r.room[:r.n])
	rooms.Put(r.room)
	r.room = nil
}

// mark is what ids of access keys have in common: they begin with AKIA or ASIA.
var mark = []byte("IA")

const markAt = 2

// next is where the next id may begin in p, from a place on; -1: nowhere.
func next(p []byte, from int) int {
	for at := from + markAt; at < len(p); {
		i := bytes.Index(p[at:], mark)
		if i < 0 {
			return -1
		}
		begin := at + i - markAt
		if p[begin] == 'A' && (p[begin+1] == 'K' || p[begin+1] == 'S') {
			return begin
		}
		at += i + 1
	}
	return -1
}

// plausible tells whether there may be an id in p.
func plausible(p []byte) bool {
	for at := next(p, 0); at >= 0; at = next(p, at+1) {
		end := at
		for end < len(p) && end-at < minKeyID && keyChar(p[end]) {
			end++
		}
		if end-at == minKeyID {
			return true
		}
	}
	return false
}

// look looks at the ids that begin before to.
func (r *reader) look(to int) {
	for at := next(r.room[:r.n], r.from); at >= 0 && at < to; at = next(r.room[:r.n], at+1) {
		r.candidate(at)
	}
	r.from = to
}

// candidate looks whether an id stands at a place.
func (r *reader) candidate(at int) {
	end := at
	for end < r.n && end-at < maxKeyID && keyChar(r.room[end]) {
		end++
	}
	if end-at < minKeyID || r.keys >= maxKeys {
		return
	}
	r.keys++
	id := string(r.room[at:end])
	text := r.room[max(0, at-around):min(r.n, end+around)]
	if strings.HasPrefix(id, "ASIA") {
		r.session(id, text)
		return
	}
	if !r.scanner.Known(id) {
		const usual = 20 // something may follow it directly
		if len(id) <= usual || !r.scanner.Known(id[:usual]) {
			return
		}
		id = id[:usual]
	}
	c, err := r.scanner.Lookup(context.Background(), id, "")
	if err != nil {
		return // it opens nothing
	}
	if holds(text, c.Secret) {
		r.tell(id, c)
	} else {
		r.tell(id, nil)
	}
}

// session looks for the token without which a temporary key opens nothing.
func (r *reader) session(id string, text []byte) {
	for at := 0; at < len(text); at++ {
		end := at
		for end < len(text) && tokenChar(text[end]) {
			end++
		}
		for pad := 0; end < len(text) && text[end] == '=' && end > at && pad < 2; pad++ {
			end++
		}
		if end-at >= minToken && r.tokens < maxTokens {
			r.tokens++
			if c, err := r.scanner.Lookup(context.Background(), id, string(text[at:end])); err == nil && holds(text, c.Secret) {
				r.tell(id, c)
				return
			}
		}
		at = max(at, end-1)
	}
}

// tell tells of a key once.
func (r *reader) tell(id string, c *authn.Credential) {
	what := id
	if c == nil {
		what = "?" + id
	}
	for _, told := range r.told {
		if told == what || told == id {
			return
		}
	}
	r.told = append(r.told, what)
	r.scanner.Found(&Leak{Credential: c, KeyID: id, Event: r.event})
}

func keyChar(c byte) bool { return c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' }

func tokenChar(c byte) bool {
	return keyChar(c) || c >= 'a' && c <= 'z' || c == '+' || c == '/'
}

// holds tells whether the secret stands somewhere in the text, as it is or as URLs and JSON write it. How
// long it takes says nothing about how much of it stands there.
func holds(text []byte, secret string) bool {
	if secret == "" || contains(text, secret) {
		return secret != ""
	}
	for _, form := range []string{url.QueryEscape(secret), strings.ReplaceAll(secret, "/", `\/`)} {
		if form != secret && contains(text, form) {
			return true
		}
	}
	return false
}

// contains looks for a form by a hash that rolls over the text, of another base each time. Comparing at every place
// takes seconds for an object of nothing but one id; and comparing what begins alike tells how much does.
func contains(text []byte, form string) bool {
	n := len(form)
	if n > len(text) {
		return false
	}
	base, power := rand.Uint64()|1, uint64(1)
	var want, have uint64
	for i := range n {
		want, have = want*base+uint64(form[i]), have*base+uint64(text[i])
		if i > 0 {
			power *= base
		}
	}
	for i := 0; ; i++ {
		if have == want && subtle.ConstantTimeCompare(text[i:i+n], []byte(form)) == 1 {
			return true
		}
		if i+n == len(text) {
			return false
		}
		have = (have-uint64(text[i])*power)*base + uint64(text[i+n])
	}
}
