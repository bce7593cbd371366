package pebblemeta

import (
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"

	"github.com/kura-s3/kura/internal/engine"
)

const (
	// separateFrom is the size from which a value (in practice: an object's body) lies in a file of
	// values, so that compactions do not copy it again and again.
	separateFrom = 1 << 10
	// garbageRatio of a file of values is rewritten, to give the space of deleted bodies back.
	garbageRatio = 0.25
	rewriteAge   = 30 * time.Second

	memTables   = 3
	openFiles   = 256
	blockSize   = 16 << 10
	bloomBits   = 10
	bytesToSync = 1 << 20
)

func (m *Meta) options(c Config) *pebble.Options {
	o := &pebble.Options{
		FS:                          &fileSystem{FS: c.FS, syncs: m.syncs},
		Cache:                       m.cache,
		FormatMajorVersion:          pebbleFormat,
		ReadOnly:                    c.ReadOnly,
		ErrorIfNotExists:            c.ReadOnly,
		MemTableSize:                uint64(c.MemTable),
		MemTableStopWritesThreshold: memTables,
		MaxOpenFiles:                openFiles,
		BytesPerSync:                bytesToSync,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
		Logger:                      &logger{log: c.Log, m: m},
		EventListener:               listener(c.Log),
	}
	// Object bodies are ciphertext and other records small: compressing costs more than it gives.
	o.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionNone })
	for i := range o.Levels {
		o.Levels[i].BlockSize = blockSize
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(bloomBits)
	}
	o.Experimental.ValueSeparationPolicy = func() pebble.ValueSeparationPolicy {
		return pebble.ValueSeparationPolicy{
			Enabled:               true,
			MinimumSize:           separateFrom,
			MaxBlobReferenceDepth: 8,
			RewriteMinimumAge:     rewriteAge,
			TargetGarbageRatio:    garbageRatio,
		}
	}
	return o
}

// listener logs what an operator has to know. Damage is an error to whoever reads it, and no reason
// to end the process, which is what Pebble would do by default.
func listener(log *slog.Logger) *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: func(err error) { log.Warn("metadata engine", "error", err) },
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			log.Error("metadata is damaged", "file", info.Path, "error", info.Details)
		},
	}
}

// logger hands Pebble's lines on. Its informational ones are of no interest to an operator.
type logger struct {
	log *slog.Logger
	m   *Meta
}

func (l *logger) Infof(format string, args ...any) {
	l.log.Debug("pebble: " + fmt.Sprintf(format, args...))
}
func (l *logger) Errorf(format string, args ...any) {
	l.log.Error("pebble: " + fmt.Sprintf(format, args...))
}

// Fatalf does not return, as Pebble expects.
func (l *logger) Fatalf(format string, args ...any) {
	panic(l.m.fail(fmt.Errorf(format, args...)))
}

// space remembers how full the device is.
type space struct {
	checked atomic.Int64 // when, in nanoseconds since start
	free    atomic.Int64
}

const spaceInterval = 250 * time.Millisecond

var start = time.Now()

// room refuses what would fill the device to the brim, because a log that cannot be written ends
// the engine. What deletes may use three quarters of the reserve.
func (m *Meta) room(b *engine.Batch) error {
	need := m.reserve
	size := int64(0)
	for i := range b.Writes {
		if b.Writes[i].Op != engine.OpSet {
			need = m.reserve / 4
		}
		size += int64(len(b.Writes[i].Key) + len(b.Writes[i].Value))
	}
	if free := m.free(); free >= 0 && free-size < need {
		return fmt.Errorf("%w: %d bytes are free, and %d are kept for deleting", engine.ErrNoSpace, free, m.reserve)
	}
	return nil
}

// free is what the device has left, a moment ago, or -1.
func (m *Meta) free() int64 {
	now := int64(time.Since(start)) + 1
	last := m.space.checked.Load()
	if last != 0 && now-last < int64(spaceInterval) || !m.space.checked.CompareAndSwap(last, now) {
		return m.space.free.Load()
	}
	free := int64(-1)
	if u, err := m.fs.GetDiskUsage(m.dir); err == nil {
		free = int64(u.AvailBytes)
	}
	m.space.free.Store(free)
	return free
}

// Usage implements engine.Meta.
func (m *Meta) Usage() engine.Usage {
	u := engine.Usage{BytesFree: -1, Records: -1, Corrupt: m.corrupt.Load(), Syncs: m.syncs.Load()}
	m.users.Add(1)
	defer m.leave()
	if m.closed.Load() {
		u.Background = "closed"
		return u
	}
	if f := m.failure.Load(); f != nil {
		u.Background = (*f).Error()
		return u
	}
	u.BytesFree = m.free()
	pm := m.metrics()
	u.BytesUsed = int64(pm.DiskSpaceUsage())
	u.Background = fmt.Sprintf("%d tables, %d flushes, %d compactions, %d bytes to compact",
		pm.Total().TablesCount, pm.Flush.Count, pm.Compact.Count, pm.Compact.EstimatedDebt)
	return u
}

// metrics are not computed anew for each scrape of a busy monitor.
func (m *Meta) metrics() *pebble.Metrics {
	m.metricsMu.Lock()
	defer m.metricsMu.Unlock()
	if m.metricsLast == nil || time.Since(m.metricsAt) > time.Second {
		m.metricsLast, m.metricsAt = m.db.Metrics(), time.Now()
	}
	return m.metricsLast
}
