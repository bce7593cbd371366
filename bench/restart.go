package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/kura-s3/kura/bench/internal/s3conn"
	"github.com/kura-s3/kura/bench/internal/stat"
)

const (
	// crashAfter is how long writers write before kill -9 meets them.
	crashAfter = 700 * time.Millisecond
	// restartRepeats is how often each start is timed; the median is reported.
	restartRepeats = 3
)

// finish takes the figures that belong to a target as a whole: memory, space, starts.
func (b *bench) finish(ctx context.Context) error {
	for _, t := range b.targets {
		if t.pid == 0 || t.bare {
			continue
		}
		if m, err := stat.MemoryOf(t.pid); err == nil {
			t.stats.PeakMemory, t.stats.EndMemory = m.Peak, m.Resident
		}
		if t.process == nil || !b.cfg.Restarts {
			continue
		}
		if err := t.restarts(ctx); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
	}
	return nil
}

// restarts fills the listed bucket if no workload did, then times starts after a clean stop and
// after kill -9 under writes. After each it reads back what was acknowledged.
func (t *target) restarts(ctx context.Context) error {
	if err := prepareListing(ctx, &t.site); err != nil {
		return err
	}
	var clean, crashed, stops []float64
	for range restartRepeats {
		took, err := t.process.stop()
		if err != nil {
			return err
		}
		stops = append(stops, milliseconds(took))
		if clean, err = t.timedStart(ctx, clean); err != nil {
			return err
		}
		last, err := t.crash(ctx)
		if err != nil {
			return err
		}
		if crashed, err = t.timedStart(ctx, crashed); err != nil {
			return err
		}
		if err := t.readBack(ctx, last); err != nil {
			return err
		}
	}
	t.stats.Stop, t.stats.Start, t.stats.StartAfterKill = median(stops), median(clean), median(crashed)
	t.stats.Objects = t.objects
	size, err := diskUse(t.dir)
	t.stats.DiskUse = size
	return err
}

func (t *target) timedStart(ctx context.Context, before []float64) ([]float64, error) {
	took, err := t.process.start(ctx)
	if err != nil {
		return before, err
	}
	t.pid = t.process.cmd.Process.Pid
	return append(before, milliseconds(took)), nil
}

// crash kills the server while 16 connections write to it, and returns for each the number of the
// last object that was acknowledged.
func (t *target) crash(ctx context.Context) ([]int, error) {
	last := make([]int, loadConns)
	var group sync.WaitGroup
	var killed atomic.Bool
	fails := make([]error, loadConns)
	for id := range loadConns {
		group.Go(func() {
			w := &worker{site: &t.site, id: id, conn: t.endpoint.Conn()}
			defer w.conn.Close()
			for n := int(t.fresh.Add(1)); ; n = int(t.fresh.Add(1)) {
				if err := putCrash(ctx, w, n); err != nil {
					if !killed.Load() {
						fails[id] = err
					}
					return
				}
				last[id] = n
			}
		})
	}
	time.Sleep(crashAfter)
	killed.Store(true)
	t.process.kill()
	group.Wait()
	return last, errors.Join(fails...)
}

func putCrash(ctx context.Context, w *worker, n int) error {
	return w.put(ctx, objectPath("crash", n), w.payloads.small)
}

func (t *target) readBack(ctx context.Context, numbers []int) error {
	conn := t.endpoint.Conn()
	defer conn.Close()
	for _, n := range numbers {
		if n == 0 {
			continue
		}
		resp, err := conn.Do(ctx, &s3conn.Request{Method: "GET", Path: objectPath("crash", n)})
		if err == nil {
			err = resp.Err()
		}
		if err == nil && string(resp.Body) != string(t.payloads.small.body) {
			err = errors.New("wrong bytes")
		}
		if err != nil {
			return fmt.Errorf("acknowledged before kill -9, read after it: %w", err)
		}
	}
	return nil
}

// diskUse sums the blocks that the files under dir take; holes are not counted.
func diskUse(dir string) (int64, error) {
	var sum int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			sum += st.Blocks * 512
		}
		return nil
	})
	return sum, err
}
