package finders

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"strings"
	"sync"

	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/finding"
	"github.com/kura-s3/kura/policy"
)

// What is remembered of principals and credentials: a bounded number in each of some shards, of which the
// one that was longest not seen gives way to a new one. Roles count as one principal, whatever their
// sessions are called, so that making up session names pushes nobody out.
const (
	shards   = 64
	perShard = 1024
	// span is how long a window is, in seconds. What counts are the current one and the one before.
	span = 300
)

// What of a principal's requests is counted.
const (
	reads = iota
	bytesRead
	deletes
	denials
	metrics
)

// floor is what of a metric is nothing unusual in ten minutes, whoever does it. Bytes are counted in MiB.
var floor = [metrics]uint32{reads: 1000, bytesRead: 16 << 10, deletes: 500, denials: 25}

// factor is how far beyond what it did before a principal must go to be unusual.
const factor = 4

// actor is what is remembered of a principal.
type actor struct {
	at       uint32 // the window
	seen     uint32 // when, in seconds
	now      [metrics]uint32
	before   [metrics]uint32
	peak     [metrics]uint32 // of the past, weighed by age
	alarm    [metrics]uint32 // what has to be reached
	day      uint32
	dirty    bool
	rest     uint32 // bytes below a MiB
	lastKey  string // of the credential that was noted last, its network and minute
	lastNet  uint64
	lastTime uint32
}

// shard of the memory.
type shard struct {
	mu     sync.Mutex
	actors map[string]*actor
	keys   map[string]*networks
}

type notes struct {
	seed   maphash.Seed
	shards [shards]shard
	// noted is what of some things was noted last, each with its minute: see once.
	guard sync.Mutex
	noted [256]struct {
		what   uint64
		minute uint32
	}
}

func (n *notes) open() {
	n.seed = maphash.MakeSeed()
	for i := range n.shards {
		n.shards[i].actors, n.shards[i].keys = map[string]*actor{}, map[string]*networks{}
	}
}

func (n *notes) shard(id string) *shard { return &n.shards[maphash.String(n.seed, id)%shards] }

// Kinds of alarms beside the metrics.
const (
	listedAddress = metrics + iota
	manyNetworks
	readByStranger
)

// alarm is a request that made somebody think.
type alarm struct {
	kind    int
	count   uint32 // what was counted
	usual   uint32 // the most that was before
	account string // whose finding it is
	who     finding.Who
	service string
	call    string
	read    bool // the call changes nothing
	code    string
	bucket  string
	key     string
	list    string
	custom  bool
	time    int64
}

// Note notes a finished request. It keeps nothing of the event but strings of the rare ones that raise an
// alarm.
func (f *Finder) Note(ev *audit.Event) {
	watches := f.config.Findings.Watches()
	if len(watches) == 0 || !fromOutside(ev) {
		return
	}
	owner := ""
	if len(ev.Decisions) > 0 {
		owner = ev.Decisions[0].Account
	}
	if owner == "" {
		owner = ev.Principal.Account
	}
	if w := watches[owner]; looksAt(w, ev) {
		f.listed(w, owner, ev)
		if ev.Principal.Type == policy.Anonymous && ev.Status < 300 && ev.Class == audit.Data && ev.ReadOnly {
			f.strangers(owner, ev)
		}
	}
	if ev.Principal.UniqueID != "" && looksAt(watches[ev.Principal.Account], ev) {
		f.noteActor(ev)
	}
}

// fromOutside tells the requests of people and programs from those that Kura makes itself.
func fromOutside(ev *audit.Event) bool {
	return ev.Operation != "" && ev.Peer.IsValid() && ev.Principal.Type != policy.Service && ev.Principal.Type != policy.Nobody
}

// looksAt tells whether a request is one that somebody wants looked at.
func looksAt(w *finding.Watch, ev *audit.Event) bool {
	return w != nil && (w.S3 || ev.Class == audit.Management) && !w.Trusted.Contains(ev.Peer)
}

// noteActor counts a request of a principal whose account has a detector.
func (f *Finder) noteActor(ev *audit.Event) {
	add := weigh(ev)
	now := uint32(ev.Time.Unix())
	network := networkOf(ev.Peer)
	s := f.notes.shard(ev.Principal.UniqueID)
	s.mu.Lock()
	a := s.actors[ev.Principal.UniqueID]
	if a == nil {
		a = s.admit(ev.Principal.UniqueID, now)
	}
	a.roll(now)
	a.seen = max(a.seen, now)
	var raised [metrics]bool
	var counts, usual [metrics]uint32
	for m, n := range add {
		if n == 0 {
			continue
		}
		if m == bytesRead {
			n = a.mebibytes(n)
		}
		a.now[m] = uint32(min(uint64(a.now[m])+n, 1<<31))
		if sum := a.now[m] + a.before[m]; sum >= a.alarm[m] {
			raised[m], counts[m], usual[m] = true, sum, a.peak[m]
			a.alarm[m] = uint32(min(uint64(sum)*2, 1<<32-1))
		}
	}
	fresh := ev.AccessKey != "" && (a.lastNet != network || a.lastTime != now/60 || a.lastKey != ev.AccessKey)
	if fresh {
		a.lastKey, a.lastNet, a.lastTime = ev.AccessKey, network, now/60
	}
	s.mu.Unlock()
	for m, yes := range raised {
		if yes {
			f.raise(m, ev, alarm{count: counts[m], usual: usual[m], account: ev.Principal.Account})
		}
	}
	if fresh && ev.ErrorCode == "" {
		f.noteNetwork(ev, network, now)
	}
}

// weigh is what a request counts.
func weigh(ev *audit.Event) (add [metrics]uint64) {
	switch {
	case denied(ev):
		add[denials] = 1
	case ev.ErrorCode != "" || ev.Service != "s3":
	case ev.Operation == "GetObject":
		add[reads], add[bytesRead] = 1, uint64(max(0, ev.BytesOut))
	case ev.Operation == "CopyObject" || ev.Operation == "UploadPartCopy":
		add[reads] = 1
	case ev.Operation == "DeleteObject":
		add[deletes] = 1
	case ev.Operation == "DeleteObjects":
		for i := range ev.Decisions {
			if ev.Decisions[i].Allowed {
				add[deletes]++
			}
		}
	}
	return add
}

func denied(ev *audit.Event) bool {
	return ev.Status == 403 && strings.HasPrefix(ev.ErrorCode, "AccessDenied") || ev.Status == 400 && ev.ErrorCode == "AccessDeniedException"
}

func (a *actor) mebibytes(n uint64) uint64 {
	n += uint64(a.rest)
	a.rest = uint32(n & (1<<20 - 1))
	return n >> 20
}

// roll moves the windows on to the time now.
func (a *actor) roll(now uint32) {
	at := now / span
	if at <= a.at {
		return
	}
	a.learn(now / 86400)
	if at == a.at+1 {
		a.before = a.now
	} else {
		a.before = [metrics]uint32{}
	}
	a.now, a.at = [metrics]uint32{}, at
	a.expect()
}

// learn takes what was just done into the past. A burst is believed only so far that who repeats it every
// day is known after some days, and who did it once is not.
func (a *actor) learn(day uint32) {
	if a.day == 0 {
		a.day = day
	}
	for ; a.day < day; a.day++ {
		if day-a.day > 400 {
			a.peak, a.day = [metrics]uint32{}, day
			break
		}
		for m := range a.peak {
			a.peak[m] -= a.peak[m] / 20
		}
		a.dirty = true
	}
	for m := range a.peak {
		sum := min(a.now[m]+a.before[m], 2*max(floor[m], uint32(min(factor*uint64(a.peak[m]), 1<<30))))
		if sum > a.peak[m] {
			a.peak[m], a.dirty = sum, true
		}
	}
}

func (a *actor) expect() {
	for m := range a.alarm {
		a.alarm[m] = max(floor[m], uint32(min(factor*uint64(a.peak[m]), 1<<32-1)))
	}
}

// admit makes room for a principal. Called with the shard locked.
func (s *shard) admit(id string, now uint32) *actor {
	if len(s.actors) >= perShard {
		evict(s.actors, func(a *actor) uint32 { return a.seen })
	}
	a := &actor{at: now / span, day: now / 86400}
	a.expect()
	s.actors[strings.Clone(id)] = a
	return a
}

// evict takes out the oldest of a handful.
func evict[T any](m map[string]T, age func(T) uint32) {
	oldest, when, n := "", uint32(1<<32-1), 0
	for id, v := range m {
		if at := age(v); at <= when {
			oldest, when = id, at
		}
		if n++; n == 8 {
			break
		}
	}
	delete(m, oldest)
}

// raise puts an alarm with what is known of the request where it is worked out.
func (f *Finder) raise(kind int, ev *audit.Event, a alarm) {
	a.kind, a.service, a.call, a.read, a.code = kind, ev.Service, ev.Operation, ev.ReadOnly, ev.ErrorCode
	a.bucket, a.key, a.time = ev.Bucket, ev.Key, ev.Time.UnixNano()
	a.who = finding.WhoCalled(ev, a.account)
	a.who.UserAgent = strings.Clone(ev.UserAgent[:min(len(ev.UserAgent), 256)])
	select {
	case f.alarms <- a:
	default:
		f.lost.Add(1)
	}
}

// networkOf is the /24 or /64 of an address, as a number.
func networkOf(a netip.Addr) uint64 {
	if a = a.Unmap(); a.Is4() {
		b := a.As4()
		return uint64(b[0])<<16 | uint64(b[1])<<8 | uint64(b[2])
	}
	b := a.As16()
	return binary.BigEndian.Uint64(b[:8]) | 1<<63
}
