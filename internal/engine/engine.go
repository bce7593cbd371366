// Package engine is the contract between Kura's domain packages and what keeps their bytes:
// Meta, an ordered key-value store with versioned commits for everything durable but object
// bodies, and Blob, immutable large bytes. Neither knows a verb of S3.
//
// The conformance suite (enginetest) is the contract's other half: every driver runs it, plain and
// under faults. Drivers: memory (tests), pebblemeta and fileblob (the embedded default), faulty
// (wraps any driver and fails on demand).
package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
)

var (
	// ErrConflict says that an expectation of a Commit did not hold; nothing was written.
	ErrConflict = errors.New("engine: a record changed since it was read")
	// ErrClosed says that the engine was closed.
	ErrClosed = errors.New("engine: closed")
	// ErrNoBlob says that a Ref names nothing (any more).
	ErrNoBlob = errors.New("engine: no such blob")
	// ErrLocked says that another process has the data directory open.
	ErrLocked = errors.New("engine: data directory is in use")
	// ErrNoSpace says that the device is full. What was being written was given back.
	ErrNoSpace = errors.New("engine: no space left on the device")
	// ErrTooLong says that a blob got more bytes than were reserved for it.
	ErrTooLong = errors.New("engine: more bytes than the blob has room for")
	// ErrDamaged says that the engine's own structure on disk is not what it wrote.
	ErrDamaged = errors.New("engine: stored structure is damaged")
)

// Version of a record: assigned by the engine at each write, never reused for the same key with
// another value; 0 means that there is no record.
type Version uint64

// Meta keeps records in byte order of their keys. Safe for concurrent use.
type Meta interface {
	// Get returns the value under key and its version, or nil and 0. The value is the caller's own;
	// buf, when large enough, is used for it.
	Get(ctx context.Context, key, buf []byte) ([]byte, Version, error)
	// Scan walks the records with lo <= key < hi (hi nil: no end) on a consistent snapshot.
	Scan(ctx context.Context, lo, hi []byte) (Iterator, error)
	// Commit applies all writes of b or none: only if every expectation holds, else ErrConflict.
	// When it returns nil the writes are durable (unless b.Lazy) and visible to every later read.
	// Nobody reads a write that a crash could still take back, but for lazy ones.
	Commit(ctx context.Context, b *Batch) error
	// Watch returns a channel that receives (coalesced, never blocking the committer) after
	// commits that touched a key with the prefix, by this node or another, until ctx ends. The
	// channel is never closed.
	Watch(ctx context.Context, prefix []byte) (<-chan struct{}, error)
	// Usage reports space and health, cheaply.
	Usage() Usage
	Close() error
}

// Iterator walks a Scan. It starts before the first record. Key and Value are valid until the next
// move. Always Close it.
type Iterator interface {
	Next() bool
	// SeekGE moves to the first record at or after key (inside the scan's bounds), forward only.
	SeekGE(key []byte) bool
	Key() []byte
	Value() []byte
	Version() Version
	Err() error
	Close() error
}

// Batch is one atomic change.
type Batch struct {
	Expect []Expect
	Writes []Write
	// Lazy lets the engine acknowledge before the batch is durable. For hints that may be lost.
	Lazy bool
	// Version is set by a successful Commit: what the records that it wrote have.
	Version Version
}

// Expect holds when Key's version is Version (0: no record).
type Expect struct {
	Key     []byte
	Version Version
}

// Op is what a Write does.
type Op uint8

const (
	// OpSet stores Value under Key.
	OpSet Op = iota
	// OpDelete removes the record under Key, if any.
	OpDelete
	// OpDeleteRange removes every record with Key <= key < End (End is never empty). Only for prefixes on which no
	// versioned expectation runs concurrently (parts of a finished upload, a deleted bucket).
	OpDeleteRange
)

// Write is one step of a Batch. Later steps win over earlier ones on the same key.
type Write struct {
	Op         Op
	Key, Value []byte
	End        []byte
}

// Set, Delete, DeleteRange and Require build a Batch.
func (b *Batch) Set(key, value []byte) {
	b.Writes = append(b.Writes, Write{Op: OpSet, Key: key, Value: value})
}
func (b *Batch) Delete(key []byte) { b.Writes = append(b.Writes, Write{Op: OpDelete, Key: key}) }
func (b *Batch) DeleteRange(lo, hi []byte) {
	b.Writes = append(b.Writes, Write{Op: OpDeleteRange, Key: lo, End: hi})
}
func (b *Batch) Require(key []byte, v Version) { b.Expect = append(b.Expect, Expect{key, v}) }

// Limits that every driver keeps and Batch.Check enforces. Keys that begin with a zero byte are the
// drivers' own.
const (
	MaxKey   = 8 << 10
	MaxValue = 16 << 20
)

// Check says what is wrong with the form of b: drivers refuse such a batch whole.
func (b *Batch) Check() error {
	for i := range b.Expect {
		if n := len(b.Expect[i].Key); n == 0 || n > MaxKey {
			return fmt.Errorf("engine: expectation on a key of %d bytes", n)
		}
	}
	for i := range b.Writes {
		w := &b.Writes[i]
		switch {
		case len(w.Key) == 0 || len(w.Key) > MaxKey || w.Key[0] == 0:
			return fmt.Errorf("engine: write to a reserved key or one of %d bytes", len(w.Key))
		case w.Op > OpDeleteRange:
			return fmt.Errorf("engine: write with unknown operation %d", w.Op)
		case w.Op == OpSet && len(w.Value) > MaxValue:
			return fmt.Errorf("engine: value of %d bytes", len(w.Value))
		case w.Op == OpDeleteRange && (len(w.End) == 0 || len(w.End) > MaxKey):
			return fmt.Errorf("engine: range delete up to a key of %d bytes", len(w.End))
		}
	}
	return nil
}

// PrefixEnd is the first key after all keys that begin with prefix; nil when there is none.
func PrefixEnd(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] != 0xff {
			end[i]++
			return end[:i+1]
		}
	}
	return nil
}

// Each calls take for every record whose key begins with prefix, in order, until it errs. Key and value hold during
// the call.
func Each(ctx context.Context, m Meta, prefix string, take func(key, value []byte, v Version) error) error {
	it, err := m.Scan(ctx, []byte(prefix), PrefixEnd([]byte(prefix)))
	if err != nil {
		return err
	}
	defer it.Close()
	for it.Next() {
		if err := take(it.Key(), it.Value(), it.Version()); err != nil {
			return fmt.Errorf("record %q: %w", it.Key(), err)
		}
	}
	return it.Err()
}

// Usage of an engine. Bytes are as the filesystem counts them.
type Usage struct {
	BytesUsed  int64  // what this engine occupies
	BytesFree  int64  // what is left on its device, -1 if unknown
	Records    int64  // estimate, -1 if unknown; blobs for a Blob engine
	Syncs      int64  // durable syncs since start
	Corrupt    int64  // records or extents found damaged since start
	Background string // one line on compaction and the like, for people
}

// Ref says where a blob lies. It is opaque to everybody but the driver, small (at most 64 bytes),
// stable for the blob's life, and stored in the metadata, so that reading needs no index.
type Ref string

// Blob keeps immutable bytes. Safe for concurrent use.
//
// The life of a blob: Create reserves a Ref (which the caller announces durably as an intent),
// Write streams, Finish makes it durable, the caller commits the metadata that names it. Delete
// takes it away and gives the space back; deleting what does not exist is no error, so that a
// replayed intent or garbage record is harmless.
type Blob interface {
	// Create reserves room for a blob of at most size bytes.
	Create(ctx context.Context, size int64) (BlobWriter, error)
	// Open prepares reading the blob at ref. It fails with ErrNoBlob when it was deleted.
	Open(ctx context.Context, ref Ref) (BlobReader, error)
	// Delete removes blobs and returns their space. A reader opened before reads on, or fails with
	// ErrNoBlob; it never gets other bytes. When Delete returns nil, a crash brings none of them back.
	Delete(ctx context.Context, refs ...Ref) error
	// List calls fn for every blob that exists, in no order. For doctor and scrub.
	List(ctx context.Context, fn func(BlobInfo) error) error
	Usage() Usage
	Close() error
}

// BlobWriter writes one blob. Exactly one of Finish and Abort ends it; Abort after Finish does
// nothing. Not safe for concurrent use.
type BlobWriter interface {
	io.Writer
	// Ref is known from the start, before any byte is durable.
	Ref() Ref
	// Finish makes all written bytes durable and returns their number. When it fails the blob is gone.
	Finish(ctx context.Context) (int64, error)
	// Abort takes the blob away.
	Abort()
}

// BlobReader reads one blob.
type BlobReader interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// BlobInfo describes one existing blob.
type BlobInfo struct {
	Ref  Ref
	Size int64
}
