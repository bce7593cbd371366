// Package network is who may connect: the counterpart of security groups (what a listener lets in), of
// network ACLs (what nothing lets in), and of VPC endpoint policies (the most that a request through a
// listener can be allowed). All of it stands in one file, which is read again when it, or a file that it
// names, changes.
//
// What it promises: a deny wins over every allow; a listener with an allow list lets in what is on it and
// nothing else; an answer costs no allocation and no lock. A change holds for the next connection, whole or
// not at all: a file with anything wrong in it leaves what was there in force.
//
// It decides about addresses. What a caller may do is the policy engine's business, which gets the
// listener's policy from here.
package network

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kura-s3/kura/policy"
)

// Config of Open.
type Config struct {
	// Path of the file; "" for no rules.
	Path string
	// Listeners and Services that there are: the file may name no others.
	Listeners, Services []string
	// Changed is told after rules were read anew, and with the error when they could not be. Optional.
	Changed func(error)
	// Log is required.
	Log *slog.Logger
}

// AdminFree are the services that are no administration: what applications call.
var AdminFree = []string{"s3", "sts", "sqs", "sns", "logs"}

// Guardrails are the rules in force. Safe for concurrent use.
type Guardrails struct {
	config  Config
	rules   atomic.Pointer[rules]
	refused [3]atomic.Int64 // by Refusal
	saying  sync.Mutex      // of what follows
	said    time.Time
	silent  int64  // refusals since then that no log line tells of
	seen    stamps // the files, for whoever watches them
	changed stamps // the same when they were last found to be others; nil: they were not
}

// Refusal says why an address is not let in.
type Refusal uint8

// The reasons.
const (
	Admitted Refusal = iota
	// Denied: it is on the deny list.
	Denied
	// NotAllowed: the listener has an allow list, and it is not on it.
	NotAllowed
)

// String is the reason as metrics and logs have it.
func (r Refusal) String() string {
	switch r {
	case Admitted:
		return "admitted"
	case Denied:
		return "network_denied"
	}
	return "network_not_allowed"
}

// Open reads the file. Anything wrong in it is an error.
func Open(c Config) (*Guardrails, error) {
	if c.Log == nil {
		return nil, errors.New("network: a log is required")
	}
	g := &Guardrails{config: c}
	g.rules.Store(&rules{})
	if c.Path == "" {
		return g, nil
	}
	r, seen, err := load(&g.config)
	if err != nil {
		return nil, err
	}
	g.rules.Store(r)
	g.seen = seen
	return g, nil
}

// Judge tells whether a client at from may use a listener. It is asked when a connection is accepted,
// before anything is read. A proxy is let in for its clients' sake: the deny list alone binds it, and its
// clients are judged by themselves.
func (g *Guardrails) Judge(listener string, from netip.Addr, proxy bool) Refusal {
	r := g.rules.Load()
	if r.deny.Contains(from) {
		return Denied
	}
	if l := r.listeners[listener]; l != nil && l.limited && !proxy && !l.allow.Contains(from) {
		return NotAllowed
	}
	return Admitted
}

// sayEvery is how often refused connections are logged.
const sayEvery = 10 * time.Second

// Admit is Judge, counted and logged, at most one line in ten seconds.
func (g *Guardrails) Admit(listener string, from netip.Addr, proxy bool) bool {
	why := g.Judge(listener, from, proxy)
	if why == Admitted {
		return true
	}
	g.refused[why].Add(1)
	if more, say := g.maySay(time.Now()); say {
		g.config.Log.Warn("connection refused by the network rules", "listener", listener, "from", from, "why", why.String(), "more", more)
	}
	return false
}

func (g *Guardrails) maySay(now time.Time) (more int64, say bool) {
	g.saying.Lock()
	defer g.saying.Unlock()
	if now.Sub(g.said) < sayEvery {
		g.silent++
		return 0, false
	}
	more, g.said, g.silent = g.silent, now, 0
	return more, true
}

// Refused counts refusals since the start, by reason.
func (g *Guardrails) Refused() map[string]int64 {
	return map[string]int64{Denied.String(): g.refused[Denied].Load(), NotAllowed.String(): g.refused[NotAllowed].Load()}
}

// Policy caps what requests through a listener can be allowed; nil does not.
func (g *Guardrails) Policy(listener string) *policy.Document {
	if l := g.rules.Load().listeners[listener]; l != nil {
		return l.policy
	}
	return nil
}

// Serves tells whether a service answers a client at from through a listener.
func (g *Guardrails) Serves(listener, service string, from netip.Addr) bool {
	r := g.rules.Load()
	if l := r.listeners[listener]; l != nil && l.services != nil && !slices.Contains(l.services, service) {
		return false
	}
	admins, limited := r.surfaces[Admin]
	return !limited || slices.Contains(AdminFree, service) || admins.Contains(from)
}

// Reaches tells whether a client at from may see a surface: from this machine unless the file says
// otherwise.
func (g *Guardrails) Reaches(s Surface, from netip.Addr) bool {
	allow, ok := g.rules.Load().surfaces[s]
	if !ok {
		allow = loopback
	}
	return allow.Contains(from)
}

// Everywhere tells whether every address may administer through a listener: neither it nor the surface is
// limited.
func (g *Guardrails) Everywhere(listener string) bool {
	r := g.rules.Load()
	if admins, limited := r.surfaces[Admin]; limited && !admins.Everyone() {
		return false
	}
	l := r.listeners[listener]
	if l == nil {
		return true
	}
	administers := l.services == nil || slices.ContainsFunc(l.services, func(name string) bool { return !slices.Contains(AdminFree, name) })
	return administers && (!l.limited || l.allow.Everyone())
}

// OpenSurfaces are those that the file opens to every address.
func (g *Guardrails) OpenSurfaces() []Surface { return slices.Clone(g.rules.Load().open) }

// reload reads the file again. What is wrong in it leaves everything as it is. For one goroutine.
func (g *Guardrails) reload() {
	r, seen, err := load(&g.config)
	g.seen = seen
	if err == nil {
		g.rules.Store(r)
		g.config.Log.Info("network rules are in force", "file", g.config.Path, "deny", len(r.deny), "listeners", len(r.listeners))
	} else {
		g.config.Log.Error("network rules are not taken over: those before stay in force", "err", err)
	}
	if g.config.Changed != nil {
		g.config.Changed(err)
	}
}

// lookEvery is how often the files are looked at for changes. One that changed is read when it has rested as
// long: whoever writes it in place may not be done.
const lookEvery = time.Second / 2

// Watch reads the file again when a file changed, and when it is told to, until ctx ends.
func (g *Guardrails) Watch(ctx context.Context, reload <-chan os.Signal) {
	if g.config.Path == "" {
		return
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-reload:
		case <-tick.C:
			if !g.rested() {
				continue
			}
		}
		g.changed = nil
		g.reload()
	}
}

// rested tells whether files changed, and not any more since it was called last. For one goroutine.
func (g *Guardrails) rested() bool {
	switch {
	case g.seen.current():
		g.changed = nil
	case g.changed == nil || !g.changed.current():
		g.changed = g.seen.anew()
	default:
		return true
	}
	return false
}
