package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/kura-s3/kura/bench/internal/s3conn"
	"github.com/kura-s3/kura/bench/internal/stat"
)

const (
	// warmUp precedes the first round of a workload on a target, unmeasured.
	warmUp = 200 * time.Millisecond
	// loadConns fill a bucket.
	loadConns = 16
)

// target is one server under measurement.
type target struct {
	site
	name string
	// pid is the server's process; 0 when unknown.
	pid int
	// process is the server when the bench runs it, else nil.
	process *server
	// bare marks the net/http reference.
	bare bool
	// manner is what a server that the bench runs does beside serving.
	manner manner
	stop   func()
	dir    string
	stats  TargetResult
}

// bench is one run.
type bench struct {
	cfg      Config
	out      io.Writer
	dir      string
	payloads *payloads
	targets  []*target
}

// measure runs all that cfg asks for and reports to out as it goes.
func measure(ctx context.Context, cfg Config, out io.Writer) (result *Result, err error) {
	// One processor for the client: the idle threads of a wider scheduler spin on the other one,
	// which is the server's.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	dir, err := os.MkdirTemp(cfg.Dir, "kura-bench-")
	if err != nil {
		return nil, err
	}
	b := &bench{cfg: cfg, out: out, dir: dir, payloads: newPayloads()}
	defer func() {
		b.close()
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	result = newResult(cfg, dir)
	printMachine(out, result)
	if cfg.References {
		if result.Syncs, err = measureSyncs(ctx, dir, min(cfg.Duration, time.Second)); err != nil {
			return nil, err
		}
		printSyncs(out, result.Syncs)
	}
	if err := b.open(ctx); err != nil {
		return nil, err
	}
	for _, w := range workloads() {
		if len(cfg.Only) > 0 && !slices.Contains(cfg.Only, w.name) {
			continue
		}
		row := b.runWorkload(ctx, w)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		result.Workloads = append(result.Workloads, row)
		printRow(out, row)
	}
	if err := b.finish(ctx); err != nil {
		return nil, err
	}
	for _, t := range b.targets {
		if !t.bare {
			result.Targets = append(result.Targets, t.stats)
		}
	}
	printTargets(out, result.Targets)
	if result.Alarms, err = b.alarms(ctx); err != nil {
		return nil, err
	}
	printAlarms(out, result.Alarms)
	return result, nil
}

// open starts or names all targets and makes their buckets.
func (b *bench) open(ctx context.Context) error {
	for _, m := range manners() {
		for _, spec := range b.cfg.Kura[m.flag] {
			if err := b.openKura(ctx, spec, m); err != nil {
				return err
			}
		}
	}
	for _, spec := range b.cfg.Targets {
		t, err := parseTarget(spec, b.cfg.Region)
		if err != nil {
			return err
		}
		b.add(t)
	}
	if b.cfg.References {
		addr, pid, stop, err := startReference()
		if err != nil {
			return err
		}
		b.add(&target{name: "bare net/http", pid: pid, bare: true, stop: stop,
			site: site{endpoint: s3conn.NewEndpoint(addr, s3conn.Credentials{Region: b.cfg.Region})}})
	}
	for _, t := range b.targets {
		if err := b.prepareTarget(ctx, t); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
	}
	return nil
}

func (b *bench) add(t *target) {
	t.payloads, t.objects = b.payloads, b.cfg.Objects
	t.stats.Name = t.name
	b.targets = append(b.targets, t)
}

// openKura starts a Kura binary. SSE-KMS wants TLS: where that is measured, the bench says to all that it is a
// proxy that ended it, so that they are compared over the same line.
func (b *bench) openKura(ctx context.Context, spec string, m manner) error {
	name, binary, ok := strings.Cut(spec, "=")
	if !ok {
		name, binary = m.name, spec
	}
	info, err := os.Stat(binary)
	if err != nil {
		return err
	}
	dir := filepath.Join(b.dir, "data-"+strconv.Itoa(len(b.targets)))
	process, err := newServer(binary, dir, b.cfg.Region)
	if err != nil {
		return err
	}
	process.flags = m.flags
	proxied := len(b.cfg.Kura["kms"]) > 0
	if proxied {
		process.flags = append(slices.Clip(m.flags), "--trusted-proxy", "127.0.0.0/8")
	}
	first, err := process.start(ctx)
	if err != nil {
		return err
	}
	t := &target{name: name, manner: m, process: process, pid: process.cmd.Process.Pid, dir: dir,
		site: site{endpoint: s3conn.NewEndpoint(process.addr, process.cred)}}
	if proxied {
		t.endpoint.Say(s3conn.Header{Name: "x-forwarded-proto", Value: "https"})
	}
	t.stats.BinarySize = info.Size()
	t.stats.FirstStart = milliseconds(first)
	b.add(t)
	return nil
}

func parseTarget(spec, region string) (*target, error) {
	name, rest, ok := strings.Cut(spec, "=")
	parts := strings.Split(rest, ",")
	if !ok || name == "" || len(parts) < 3 || len(parts) > 4 {
		return nil, fmt.Errorf("--target %q: want NAME=HOST:PORT,ACCESSKEY,SECRETKEY[,PID]", spec)
	}
	t := &target{name: name}
	if len(parts) == 4 {
		pid, err := strconv.Atoi(parts[3])
		if err != nil || pid <= 0 {
			return nil, fmt.Errorf("--target %q: PID %q", spec, parts[3])
		}
		t.pid = pid
	}
	t.endpoint = s3conn.NewEndpoint(parts[0], s3conn.Credentials{AccessKeyID: parts[1], SecretAccessKey: parts[2], Region: region})
	return t, nil
}

func (b *bench) prepareTarget(ctx context.Context, t *target) error {
	if t.pid != 0 && !t.bare {
		if m, err := stat.MemoryOf(t.pid); err == nil {
			t.stats.IdleMemory = m.Resident
		}
	}
	if t.bare {
		return nil
	}
	conn := t.endpoint.Conn()
	defer conn.Close()
	for _, bucket := range []string{objectBucket, listBucket} {
		resp, err := conn.Do(ctx, &s3conn.Request{Method: "PUT", Path: "/" + bucket})
		if err != nil {
			return err
		}
		if err := resp.Err(); err != nil {
			return fmt.Errorf("create bucket %s (the bench wants an empty server): %w", bucket, err)
		}
	}
	if t.process == nil {
		return nil
	}
	return t.manner.prepare(ctx, t)
}

// runWorkload plays one workload on all targets, a round each in turn.
func (b *bench) runWorkload(ctx context.Context, w workload) Row {
	row := Row{Name: w.name, Title: w.title, Connections: w.conns, Goal: w.goal, cost: w.cost}
	tallies := make([]*tally, len(b.targets))
	for i, t := range b.targets {
		if t.bare && !w.bare {
			continue
		}
		tallies[i] = new(tally)
		b.wake(t)
		if w.prepare != nil && !t.bare {
			tallies[i].err = w.prepare(ctx, &t.site)
		}
	}
	for round := range b.cfg.Rounds {
		for i, t := range b.targets {
			if tallies[i] == nil || tallies[i].err != nil || ctx.Err() != nil {
				continue
			}
			b.wake(t)
			tallies[i].err = tallies[i].round(ctx, w, t, b.cfg.Duration, round == 0)
		}
	}
	b.wake(b.targets...)
	for i, t := range b.targets {
		if tallies[i] != nil {
			row.Cells = append(row.Cells, tallies[i].cell(t.name, w))
		}
	}
	return row
}

// wake lets these servers run, and those that the bench started and are not among them stand still.
func (b *bench) wake(these ...*target) {
	for _, t := range b.targets {
		if t.process != nil {
			t.process.pause(!slices.Contains(these, t))
		}
	}
}

// tally sums the rounds of one workload on one target.
type tally struct {
	latency   stat.Histogram
	took      time.Duration
	serverCPU time.Duration
	clientCPU time.Duration
	mallocs   float64
	rates     []float64
	noCPU     bool
	err       error
}

func (t *tally) round(ctx context.Context, w workload, on *target, d time.Duration, first bool) error {
	if w.beforeRound != nil {
		if err := w.beforeRound(ctx, &on.site); err != nil {
			return err
		}
	} else if first {
		if _, err := on.drive(ctx, w, warmUp); err != nil {
			return err
		}
	}
	if on.manner.beforeRound != nil {
		if err := on.manner.beforeRound(ctx, on); err != nil {
			return err
		}
	}
	before := on.counters()
	began := time.Now()
	h, err := on.drive(ctx, w, d)
	took := time.Since(began)
	after := on.counters()
	if err != nil {
		return err
	}
	t.latency.Add(h)
	t.took += took
	t.serverCPU += after.server - before.server
	t.clientCPU += after.client - before.client
	t.mallocs += after.mallocs - before.mallocs
	t.noCPU = t.noCPU || before.server == 0
	t.rates = append(t.rates, float64(h.Count())/took.Seconds())
	return nil
}

// drive keeps w.conns connections busy for d and returns their latencies. One refused or broken
// operation fails the round: a server that sheds load is not measured as if it had served it.
func (s *site) drive(ctx context.Context, w workload, d time.Duration) (*stat.Histogram, error) {
	var (
		mu    sync.Mutex
		all   stat.Histogram
		fails []error
		group sync.WaitGroup
	)
	deadline := time.Now().Add(d)
	for id := range w.conns {
		group.Go(func() {
			one := &worker{site: s, id: id, conn: s.endpoint.Conn()}
			defer one.conn.Close()
			h, err := one.loop(ctx, w.step, deadline)
			mu.Lock()
			defer mu.Unlock()
			all.Add(h)
			if err != nil {
				fails = append(fails, err)
			}
		})
	}
	group.Wait()
	if len(fails) > 0 {
		return nil, fails[0]
	}
	return &all, nil
}

func (w *worker) loop(ctx context.Context, step func(context.Context, *worker) error, deadline time.Time) (*stat.Histogram, error) {
	h := new(stat.Histogram)
	began := time.Now()
	for began.Before(deadline) && ctx.Err() == nil {
		err := step(ctx, w)
		if errors.Is(err, errExhausted) {
			return h, nil
		}
		if err != nil {
			return h, err
		}
		now := time.Now()
		h.Record(now.Sub(began))
		began = now
	}
	return h, nil
}

// each calls f for 0 … n-1 over several connections and returns the first error.
func (s *site) each(ctx context.Context, n int, f func(w *worker, i int) error) error {
	var (
		group sync.WaitGroup
		once  sync.Once
		first error
	)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for id := range loadConns {
		group.Go(func() {
			w := &worker{site: s, id: id, conn: s.endpoint.Conn()}
			defer w.conn.Close()
			for i := id; i < n && ctx.Err() == nil; i += loadConns {
				if err := f(w, i); err != nil {
					once.Do(func() { first = err })
					cancel()
					return
				}
			}
		})
	}
	group.Wait()
	return first
}

func (b *bench) close() {
	for _, t := range b.targets {
		if t.process != nil {
			t.process.kill()
		}
		if t.stop != nil {
			t.stop()
		}
	}
}
