package finders

import (
	"strings"

	"github.com/kura-s3/kura/internal/audit"
)

// Kura:IAMUser/SharedCredential.
//
// What it finds: one access key that is used from several networks within an hour.
// Why it matters: a credential that several people or machines share is nobody's, cannot be taken back from
// one of them, and a stolen one looks just like that.
// The check: the last networks (IPv4 /24, IPv6 /64) of each access key, with the minute when it was last
// used from there. Requests from trusted addresses do not count, refused ones neither.

const (
	manyFrom = 4  // networks
	within   = 60 // minutes
)

// networks are where an access key was last used from.
type networks struct {
	from [2 * manyFrom]struct {
		network uint64
		minute  uint32
	}
	told uint32 // minute
}

func (f *Finder) noteNetwork(ev *audit.Event, network uint64, now uint32) {
	minute := now / 60
	s := f.notes.shard(ev.AccessKey)
	s.mu.Lock()
	n := s.keys[ev.AccessKey]
	if n == nil {
		if len(s.keys) >= perShard {
			evict(s.keys, (*networks).newest)
		}
		n = &networks{}
		s.keys[strings.Clone(ev.AccessKey)] = n
	}
	count := n.note(network, minute)
	tell := count >= manyFrom && (n.told == 0 || minute-n.told >= within)
	if tell {
		n.told = minute
	}
	s.mu.Unlock()
	if tell {
		f.raise(manyNetworks, ev, alarm{count: uint32(count), account: ev.Principal.Account})
	}
}

func (n *networks) newest() uint32 {
	var last uint32
	for i := range n.from {
		last = max(last, n.from[i].minute)
	}
	return last
}

// note remembers a network and counts those of the last hour.
func (n *networks) note(network uint64, minute uint32) (count int) {
	at, oldest := -1, 0
	for i := range n.from {
		e := &n.from[i]
		if e.minute != 0 && e.network == network {
			at = i
		}
		if e.minute < n.from[oldest].minute {
			oldest = i
		}
	}
	if at < 0 {
		at = oldest
	}
	n.from[at].network, n.from[at].minute = network, max(minute, n.from[at].minute)
	for i := range n.from {
		if m := n.from[i].minute; m != 0 && m+within > minute {
			count++
		}
	}
	return count
}
