package finders

import (
	"hash/maphash"

	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/finding"
)

// UnauthorizedAccess:S3/MaliciousIPCaller.Custom, Discovery:S3/MaliciousIPCaller(.Custom),
// Exfiltration:S3/MaliciousIPCaller, Impact:S3/MaliciousIPCaller,
// UnauthorizedAccess:IAMUser/MaliciousIPCaller(.Custom).
//
// What they find: a call from an address of a threat list: the account's own (ThreatIntelSet), or the
// server's (--threat-list).
// Why it matters: somebody gave the list because nobody should call from there.
// The check: the address is looked up in the lists, unless it is trusted.

// listed notes a request from a listed address.
func (f *Finder) listed(w *finding.Watch, owner string, ev *audit.Event) {
	for i := range w.Threats {
		t := &w.Threats[i]
		if !t.Table.Contains(ev.Peer) {
			continue
		}
		if f.once(owner+t.Name+ev.Peer.String()+ev.Operation, ev) {
			f.raise(listedAddress, ev, alarm{account: owner, list: t.Name, custom: t.Custom, count: 1})
		}
		return
	}
}

// typeOfListed names the finding for a call from a listed address.
func typeOfListed(a *alarm) string {
	switch {
	case a.service != "s3" && a.custom:
		return finding.IAMListedCustom
	case a.service != "s3":
		return finding.IAMListed
	case a.custom && a.read && a.call != "GetObject":
		return finding.DiscoveryListedCustom
	case a.custom:
		return finding.UnauthorizedListedCustom
	case a.call == "GetObject" || a.call == "CopyObject":
		return finding.ExfiltrationListed
	case a.read:
		return finding.DiscoveryListed
	}
	return finding.ImpactListed
}

// Kura:S3/AnonymousReadOfConfidential.
//
// What it finds: a request without a signature that was let read in a bucket tagged
// classification=confidential.
// Why it matters: somebody said that it is confidential, and it is on the internet, and somebody has it.
// The check: the bucket's tags, when a stranger has read; once a minute for each bucket.

// strangers notes that a stranger read something.
func (f *Finder) strangers(owner string, ev *audit.Event) {
	if f.once(ev.Bucket, ev) {
		f.raise(readByStranger, ev, alarm{account: owner, count: 1})
	}
}

// once tells whether what is noted the first time this minute, as far as that is remembered.
func (f *Finder) once(what string, ev *audit.Event) bool {
	h := maphash.String(f.notes.seed, what)
	minute := uint32(ev.Time.Unix() / 60)
	f.notes.guard.Lock()
	defer f.notes.guard.Unlock()
	s := &f.notes.noted[h%uint64(len(f.notes.noted))]
	if s.what == h && s.minute == minute {
		return false
	}
	s.what, s.minute = h, minute
	return true
}
