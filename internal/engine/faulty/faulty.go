// Package faulty wraps any engine and fails, delays or conflicts on demand, for tests of what stands
// above. Without a rule it is transparent.
package faulty

import (
	"context"
	"sync"

	"github.com/kura-s3/kura/internal/engine"
)

// Op names a call of an engine.
type Op string

// The calls that can fail.
const (
	Get    Op = "Get"
	Scan   Op = "Scan"
	Commit Op = "Commit"
	Watch  Op = "Watch"
	Create Op = "Create"
	Write  Op = "Write"
	Finish Op = "Finish"
	Open   Op = "Open"
	ReadAt Op = "ReadAt"
	Delete Op = "Delete"
	List   Op = "List"
)

// Rule decides, before the n-th call (from 1) of op, whether it fails: with the error returned, and
// without having had an effect. It may block to delay the call. A Commit fails by chance of a race when
// it returns engine.ErrConflict.
type Rule func(op Op, n int) error

// Plan counts calls and asks the rule. The zero value lets all pass. Safe for concurrent use.
type Plan struct {
	mu    sync.Mutex
	rule  Rule
	after Rule
	calls map[Op]int
}

// Set replaces the rules and begins to count anew. The second is asked after the call had its effect:
// what it returns is an answer that was lost.
func (p *Plan) Set(before, after Rule) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rule, p.after, p.calls = before, after, nil
}

// FailNth fails the n-th call of op, and no other, with err.
func FailNth(op Op, n int, err error) Rule {
	return func(o Op, i int) error {
		if o == op && i == n {
			return err
		}
		return nil
	}
}

func (p *Plan) call(op Op, f func() error) error {
	p.mu.Lock()
	if p.calls == nil {
		p.calls = map[Op]int{}
	}
	p.calls[op]++
	n, before, after := p.calls[op], p.rule, p.after
	p.mu.Unlock()
	if before != nil {
		if err := before(op, n); err != nil {
			return err
		}
	}
	if err := f(); err != nil || after == nil {
		return err
	}
	return after(op, n)
}

// Meta wraps an engine.Meta.
type Meta struct {
	engine.Meta
	Plan *Plan
}

// Get implements engine.Meta.
func (m Meta) Get(ctx context.Context, key, buf []byte) (value []byte, v engine.Version, err error) {
	err = m.Plan.call(Get, func() (err error) { value, v, err = m.Meta.Get(ctx, key, buf); return })
	if err != nil {
		return nil, 0, err
	}
	return value, v, nil
}

// Scan implements engine.Meta.
func (m Meta) Scan(ctx context.Context, lo, hi []byte) (it engine.Iterator, err error) {
	err = m.Plan.call(Scan, func() (err error) { it, err = m.Meta.Scan(ctx, lo, hi); return })
	if err != nil {
		if it != nil {
			it.Close()
		}
		return nil, err
	}
	return it, nil
}

// Commit implements engine.Meta.
func (m Meta) Commit(ctx context.Context, b *engine.Batch) error {
	return m.Plan.call(Commit, func() error { return m.Meta.Commit(ctx, b) })
}

// Watch implements engine.Meta.
func (m Meta) Watch(ctx context.Context, prefix []byte) (ch <-chan struct{}, err error) {
	err = m.Plan.call(Watch, func() (err error) { ch, err = m.Meta.Watch(ctx, prefix); return })
	return ch, err
}

// Blob wraps an engine.Blob.
type Blob struct {
	engine.Blob
	Plan *Plan
}

// Create implements engine.Blob.
func (b Blob) Create(ctx context.Context, size int64) (w engine.BlobWriter, err error) {
	err = b.Plan.call(Create, func() (err error) { w, err = b.Blob.Create(ctx, size); return })
	if err != nil {
		if w != nil {
			w.Abort()
		}
		return nil, err
	}
	return writer{w, b.Plan}, nil
}

// Open implements engine.Blob.
func (b Blob) Open(ctx context.Context, ref engine.Ref) (r engine.BlobReader, err error) {
	err = b.Plan.call(Open, func() (err error) { r, err = b.Blob.Open(ctx, ref); return })
	if err != nil {
		if r != nil {
			r.Close()
		}
		return nil, err
	}
	return reader{r, b.Plan}, nil
}

// Delete implements engine.Blob.
func (b Blob) Delete(ctx context.Context, refs ...engine.Ref) error {
	return b.Plan.call(Delete, func() error { return b.Blob.Delete(ctx, refs...) })
}

// List implements engine.Blob.
func (b Blob) List(ctx context.Context, fn func(engine.BlobInfo) error) error {
	return b.Plan.call(List, func() error { return b.Blob.List(ctx, fn) })
}

type writer struct {
	engine.BlobWriter
	plan *Plan
}

func (w writer) Write(p []byte) (n int, err error) {
	err = w.plan.call(Write, func() (err error) { n, err = w.BlobWriter.Write(p); return })
	return n, err
}

// Finish takes the blob away when it is to fail, as the contract says.
func (w writer) Finish(ctx context.Context) (n int64, err error) {
	err = w.plan.call(Finish, func() (err error) { n, err = w.BlobWriter.Finish(ctx); return })
	if err != nil {
		w.Abort()
		return 0, err
	}
	return n, nil
}

type reader struct {
	engine.BlobReader
	plan *Plan
}

func (r reader) ReadAt(p []byte, off int64) (n int, err error) {
	err = r.plan.call(ReadAt, func() (err error) { n, err = r.BlobReader.ReadAt(p, off); return })
	return n, err
}
