package audit

import (
	"strings"
	"time"

	"github.com/kura-s3/kura/policy"
)

// alike is what the data events of one caller mostly have in common: who asked, how, in which bucket. It is a
// run of fields in their lines. Whoever reads the same bytes again takes over what they say, and what a
// record says of them.
type alike struct {
	flags        string
	kind, issued int64
	text         string // the fields from account to bucket, and the TAB behind them

	ev      Event // that has nothing else
	account string
	shared  string
	note    Note
	parts   [recordParts][]byte
}

// Parts of a record that are the same where events are alike.
const (
	partWho = iota
	partWhat
	partTarget
	partHow
	partKind
	partEnd
	recordParts
)

// part writes a part of a record: once, and then again as it was.
func (e *encoder) part(w *writer, part int, fill func()) {
	if e.alike == nil {
		fill()
		return
	}
	p := &e.alike.parts[part]
	if len(*p) > 0 {
		w.b = append(w.b, *p...)
		w.more = (*p)[len(*p)-1] != '{'
		return
	}
	start := len(w.b)
	fill()
	*p = append(*p, w.b[start:]...)
}

// alikes are those that were read last. There are about as many as callers who are busy at the same time.
type alikes struct {
	all  [8]alike
	next int // that is forgotten next
}

// read reads the fields of a line from account to bucket.
func (k *alikes) read(u *unpacker, flags string, kind, issued int64) *alike {
	for i := range k.all {
		a := &k.all[i]
		if a.text != "" && a.kind == kind && a.issued == issued && strings.HasPrefix(u.rest, a.text) && a.flags == flags {
			u.rest = u.rest[len(a.text):]
			return a
		}
	}
	a := &k.all[k.next]
	k.next = (k.next + 1) % len(k.all)
	for i := range a.parts {
		a.parts[i] = a.parts[i][:0]
	}
	a.flags, a.kind, a.issued, a.text = strings.Clone(flags), kind, issued, ""
	own := *u
	own.rest = strings.Clone(u.rest[:fieldsEnd(u.rest, alikeFields)])
	all := own.rest
	a.account, a.shared = own.common(&a.ev, a.flags, kind, issued)
	a.note.describe(&a.ev, CategoryData, a.account)
	if u.rest, u.bad = u.rest[len(all):], own.bad || !own.more; !u.bad {
		a.text = all
	}
	return a
}

// alikeFields is how many fields common reads.
const alikeFields = 24

// fieldsEnd is where the n-th field of s has ended, with its TAB.
func fieldsEnd(s string, n int) int {
	at := 0
	for range n {
		i := strings.IndexByte(s[at:], '\t')
		if i < 0 {
			return len(s)
		}
		at += i + 1
	}
	return at
}

// common reads what events have in common.
func (u *unpacker) common(ev *Event, flags string, kind, issued int64) (account, shared string) {
	*ev = Event{Service: "s3", Class: Data}
	has := func(flag byte) bool { return strings.IndexByte(flags, flag) >= 0 }
	ev.ReadOnly, ev.ACLRequired, ev.Session.MFA, ev.Bare = has(flagReadOnly), has(flagACL), has(flagMFA), has(flagBare)
	who, session := &ev.Principal, &ev.Session
	who.Type = policy.PrincipalType(kind)
	if issued != 0 {
		session.Issued = time.Unix(issued, 0)
	}
	account, shared, ev.Operation = u.text(), u.text(), u.text()
	ev.API = u.same("s3")
	who.ARN, who.UserID = u.text(), u.text()
	who.Account = u.same(account)
	who.Name, who.IssuerARN = u.text(), u.text()
	who.UniqueID = u.same(who.UserID)
	for _, to := range [...]*string{
		&ev.AccessKey, &session.SourceIdentity, &session.Provider, &ev.InvokedBy, &ev.SourceIP, &ev.TLS, &ev.Cipher, &ev.SignatureVersion, &ev.AuthType,
		&ev.UserAgent, &ev.Host, &ev.Region, &ev.Method, &ev.Bucket,
	} {
		*to = u.text()
	}
	return account, shared
}
