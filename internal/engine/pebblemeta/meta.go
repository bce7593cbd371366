// Package pebblemeta is the embedded metadata engine: engine.Meta on Pebble.
//
// A record is stored under its own key, its value preceded by its version. Commits on keys of one
// stripe are checked and applied one after the other; the write-ahead log is synced outside of the
// locks, so that concurrent commits share a sync. A reader that meets a commit whose sync is still
// under way waits for it: nobody ever sees a record that a crash could take back.
//
// When the log cannot be written or synced, what is in memory is ahead of what is on disk and
// nothing can be promised any more: every later call fails and Config.OnFailure is told, which by
// default ends the process.
package pebblemeta

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/engine/watch"
)

// Config says where the records are and what they may cost.
type Config struct {
	// Dir holds the files. It is made when it is missing.
	Dir string
	// FS is the filesystem; nil: the operating system's.
	FS vfs.FS
	// Log receives the engine's events; nil: none.
	Log *slog.Logger
	// MemTable bytes are gathered before they become a table; up to three exist at once. Default 16 MiB.
	MemTable int
	// Cache bytes are spent on blocks of tables, beside what is gathered. Default 24 MiB.
	Cache int64
	// Reserve bytes of the device are left for deleting when it runs full. Default 128 MiB.
	Reserve int64
	// Reclaim is how often the space of deleted records is looked after. Default 15 s.
	Reclaim time.Duration
	// ReadOnly opens without writing a byte, for doctor.
	ReadOnly bool
	// OnFailure is called once when the engine can promise nothing any more. Default: the process
	// exits with status 1.
	OnFailure func(error)
}

const (
	// Format is the number of the layout that this package writes.
	Format = 1
	// pebbleFormat is Pebble's own layout, raised only together with Format.
	pebbleFormat = pebble.FormatValueSeparation

	defaultMemTable = 16 << 20
	defaultCache    = 24 << 20
	defaultReserve  = 128 << 20

	versionSize = 8
	// A version is the number of the opening and, in its lower bits, of the commit since then, so
	// that no version comes back after a crash took its commit away.
	commitBits = 44
)

// formatKey is the engine's own record; keys that begin with a zero byte are not the users'.
var formatKey = []byte("\x00format")

// firstKey is the lowest key that a user can have.
var firstKey = []byte{1}

// Meta implements engine.Meta.
type Meta struct {
	db      *pebble.DB
	cache   *pebble.Cache
	fs      vfs.FS
	dir     string
	reserve int64
	hub     watch.Hub
	space   space

	version atomic.Uint64
	corrupt atomic.Int64
	syncs   *syncCounter
	stripes [stripeCount]stripe
	under   underWay
	reclaim reclaimer

	metricsMu   sync.Mutex
	metricsAt   time.Time
	metricsLast *pebble.Metrics

	failure   atomic.Pointer[error]
	onFailure func(error)

	users  atomic.Int64 // calls and iterators under way
	closed atomic.Bool
	once   sync.Once

	readOnly bool
}

// Open opens or makes the records in c.Dir. It fails with engine.ErrLocked when they are in use.
func Open(c Config) (*Meta, error) {
	c = withDefaults(c)
	if !c.ReadOnly {
		if err := c.FS.MkdirAll(c.Dir, 0o700); err != nil {
			return nil, fmt.Errorf("pebblemeta: %w", err)
		}
	}
	m := &Meta{fs: c.FS, dir: c.Dir, reserve: c.Reserve, readOnly: c.ReadOnly, onFailure: c.OnFailure, syncs: new(syncCounter)}
	m.space.free.Store(-1) // unknown until it was asked for the first time
	// Pebble takes the memory of what is gathered off the cache: with no room for it, every new table would
	// empty the cache, and each look-up in a table would read its index again.
	m.cache = pebble.NewCache(c.Cache + memTables*int64(c.MemTable))
	db, err := pebble.Open(c.Dir, m.options(c))
	if err != nil {
		m.cache.Unref()
		return nil, openError(c.Dir, err)
	}
	m.db = db
	if err := m.begin(c.ReadOnly); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	m.free() // measured before the first commit asks
	if !c.ReadOnly {
		m.startReclaiming(c.Reclaim)
	}
	return m, nil
}

func withDefaults(c Config) Config {
	if c.FS == nil {
		c.FS = vfs.Default
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.MemTable == 0 {
		c.MemTable = defaultMemTable
	}
	if c.Cache == 0 {
		c.Cache = defaultCache
	}
	if c.Reclaim == 0 {
		c.Reclaim = defaultReclaim
	}
	if c.Reserve == 0 {
		c.Reserve = defaultReserve
	}
	if c.OnFailure == nil {
		log := c.Log
		c.OnFailure = func(err error) {
			log.Error("metadata engine failed", "error", err)
			fmt.Fprintln(os.Stderr, "kura: metadata engine failed:", err)
			os.Exit(1)
		}
	}
	return c
}

func openError(dir string, err error) error {
	switch {
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EACCES), err.Error() == "lock held by current process":
		return fmt.Errorf("%w: %s", engine.ErrLocked, dir)
	case errors.Is(err, pebble.ErrDBDoesNotExist), errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("pebblemeta: no records in %s: %w", dir, fs.ErrNotExist)
	case pebble.IsCorruptionError(err):
		return fmt.Errorf("%w: %s: %w", engine.ErrDamaged, dir, err)
	default:
		return fmt.Errorf("pebblemeta: %s: %w", dir, err)
	}
}

// begin checks the format and starts a new range of versions, durably before the first is given.
func (m *Meta) begin(readOnly bool) error {
	var epoch uint64
	value, closer, err := m.db.Get(formatKey)
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		if err := m.mustBeEmpty(); err != nil {
			return err
		}
	case err != nil:
		return m.readError(err)
	default:
		epoch, err = decodeFormat(value)
		if err := errors.Join(err, closer.Close()); err != nil {
			return err
		}
	}
	epoch++
	if epoch >= 1<<(64-commitBits) {
		return fmt.Errorf("pebblemeta: opened too many times")
	}
	m.version.Store(epoch << commitBits)
	if readOnly {
		return nil
	}
	record := binary.BigEndian.AppendUint32(nil, Format)
	record = binary.BigEndian.AppendUint64(record, epoch)
	if err := m.db.Set(formatKey, record, pebble.Sync); err != nil {
		return fmt.Errorf("pebblemeta: %w", err)
	}
	return nil
}

func decodeFormat(value []byte) (epoch uint64, err error) {
	if len(value) != 12 {
		return 0, fmt.Errorf("%w: format record of %d bytes", engine.ErrDamaged, len(value))
	}
	if f := binary.BigEndian.Uint32(value); f != Format {
		return 0, fmt.Errorf("pebblemeta: records have format %d, and this program knows %d", f, Format)
	}
	return binary.BigEndian.Uint64(value[4:]), nil
}

// mustBeEmpty refuses to begin anew over records whose format record is gone.
func (m *Meta) mustBeEmpty() error {
	it, err := m.db.NewIter(nil)
	if err != nil {
		return m.readError(err)
	}
	some := it.First()
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return m.readError(err)
	}
	if some {
		return fmt.Errorf("%w: there are records but no format record", engine.ErrDamaged)
	}
	return nil
}

// enter must be followed by leave when it returns nil.
func (m *Meta) enter(ctx context.Context) error {
	m.users.Add(1)
	err := ctx.Err()
	if m.closed.Load() {
		err = engine.ErrClosed
	} else if f := m.failure.Load(); f != nil {
		err = *f
	}
	if err != nil {
		m.leave()
	}
	return err
}

func (m *Meta) leave() { m.users.Add(-1) }

// fail makes every later call fail with err.
func (m *Meta) fail(err error) error {
	err = fmt.Errorf("pebblemeta: engine failed: %w", err)
	if m.failure.CompareAndSwap(nil, &err) {
		m.onFailure(err)
	}
	return *m.failure.Load()
}

// readError tells damage from other errors and counts it.
func (m *Meta) readError(err error) error {
	if pebble.IsCorruptionError(err) {
		m.corrupt.Add(1)
		return fmt.Errorf("%w: %w", engine.ErrDamaged, err)
	}
	return fmt.Errorf("pebblemeta: %w", err)
}

// Get implements engine.Meta.
func (m *Meta) Get(ctx context.Context, key, buf []byte) ([]byte, engine.Version, error) {
	if err := m.enter(ctx); err != nil {
		return nil, 0, err
	}
	defer m.leave()
	if len(key) == 0 || key[0] == 0 {
		return nil, 0, nil
	}
	value, version, err := m.read(key, buf)
	if err != nil {
		return nil, 0, err
	}
	if err := m.stripes[stripeOf(key)].durable(ctx, version); err != nil {
		return nil, 0, err
	}
	return value, version, nil
}

// read gives the newest record under key, durable or not, in buf if it fits.
func (m *Meta) read(key, buf []byte) ([]byte, engine.Version, error) {
	stored, closer, err := m.db.Get(key)
	if err != nil {
		if errors.Is(err, pebble.ErrNotFound) {
			return nil, 0, nil
		}
		return nil, 0, m.readError(err)
	}
	defer closer.Close()
	version, value, err := m.split(key, stored)
	if err != nil {
		return nil, 0, err
	}
	if cap(buf) < len(value) || buf == nil {
		buf = make([]byte, 0, len(value))
	}
	return append(buf[:0], value...), version, nil
}

// current is the version of the newest record under key.
func (m *Meta) current(key []byte) (engine.Version, error) {
	stored, closer, err := m.db.Get(key)
	if err != nil {
		if errors.Is(err, pebble.ErrNotFound) {
			return 0, nil
		}
		return 0, m.readError(err)
	}
	defer closer.Close()
	version, _, err := m.split(key, stored)
	return version, err
}

func (m *Meta) split(key, stored []byte) (engine.Version, []byte, error) {
	if len(stored) < versionSize {
		m.corrupt.Add(1)
		return 0, nil, fmt.Errorf("%w: record %q has no version", engine.ErrDamaged, key)
	}
	return engine.Version(binary.BigEndian.Uint64(stored)), stored[versionSize:], nil
}

// Watch implements engine.Meta.
func (m *Meta) Watch(ctx context.Context, prefix []byte) (<-chan struct{}, error) {
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	defer m.leave()
	return m.hub.Watch(ctx, prefix), nil
}

// closeWait bounds how long Close waits for calls and iterators under way.
const closeWait = 10 * time.Second

// Close implements engine.Meta. It waits for calls under way and open iterators. Everything that was
// acknowledged is on disk already, so that a wait in vain loses nothing.
func (m *Meta) Close() error {
	err := engine.ErrClosed
	m.once.Do(func() { err = m.close() })
	if errors.Is(err, engine.ErrClosed) {
		return nil
	}
	return err
}

func (m *Meta) close() error {
	m.closed.Store(true)
	m.stopReclaiming()
	for deadline := time.Now().Add(closeWait); m.users.Load() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("pebblemeta: %d calls or iterators did not end", m.users.Load())
		}
	}
	if m.failure.Load() != nil {
		// Closing would write; the log says all that can be relied on.
		return nil
	}
	err := m.db.Close()
	m.cache.Unref()
	if err != nil {
		return fmt.Errorf("pebblemeta: %w", err)
	}
	return nil
}

// bounds are the scan's, kept out of the engine's own records.
func bounds(lo, hi []byte) (lower, upper []byte) {
	lower = bytes.Clone(lo)
	if bytes.Compare(lower, firstKey) < 0 {
		lower = firstKey
	}
	upper = bytes.Clone(hi)
	if upper != nil && bytes.Compare(upper, lower) < 0 {
		upper = lower
	}
	return lower, upper
}
