package object

import "sync"

// memo keeps what somebody made of an immutable snapshot, for as long as the snapshot lives. It is how
// a policy is compiled once per change and not once per request, without a table that would have to
// be cleaned up.
type memo struct {
	once sync.Once
	made any
}

func (m *memo) of(make func() any) any {
	if m == nil {
		return make()
	}
	m.once.Do(func() { m.made = make() })
	return m.made
}

// Memo gives what make made of this state of the bucket, made once. There is one memo: its only user
// is the service that resolves the bucket's side of a decision.
func (b *Bucket) Memo(make func(*Bucket) any) any { return b.memo.of(func() any { return make(b) }) }

// Memo gives what make made of this state of the account, made once.
func (a *Account) Memo(make func(*Account) any) any {
	return a.memo.of(func() any { return make(a) })
}
