package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const gibibyte = 1 << 30

// Result is a whole run, as --json writes it.
type Result struct {
	Time       time.Time      `json:"time"`
	Processors int            `json:"processors"`
	Kernel     string         `json:"kernel"`
	Filesystem string         `json:"filesystem"`
	GoVersion  string         `json:"go_version"`
	Duration   float64        `json:"round_s"`
	Rounds     int            `json:"rounds"`
	Syncs      []SyncFigure   `json:"fdatasync,omitempty"`
	Workloads  []Row          `json:"workloads"`
	Targets    []TargetResult `json:"targets"`
	Alarms     []AlarmResult  `json:"alarms,omitempty"`
}

// Row is one workload on all targets.
type Row struct {
	Name        string `json:"name"`
	Title       string `json:"title"`
	Connections int    `json:"connections"`
	Goal        goal   `json:"goal"`
	Cells       []Cell `json:"targets"`
	cost        costUnit
}

// Cell is one workload on one target. Costs are the server's processor time unless they say
// otherwise; 0 means unknown.
type Cell struct {
	Target  string  `json:"target"`
	Failure string  `json:"failure,omitempty"`
	Ops     uint64  `json:"ops"`
	Rate    float64 `json:"ops_per_s"`
	// Slowest and Fastest are the rates of the slowest and the fastest round.
	Slowest   float64 `json:"slowest_round_ops_per_s"`
	Fastest   float64 `json:"fastest_round_ops_per_s"`
	Units     float64 `json:"units_per_s"` // keys or bytes
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`
	Cost      float64 `json:"cost"` // in the workload's unit
	CPUPerOp  float64 `json:"cpu_ms_per_op"`
	ClientCPU float64 `json:"client_cpu_ms_per_op"`
	Mallocs   float64 `json:"mallocs_per_op"`
}

// TargetResult is what belongs to a server as a whole. Sizes in bytes, times in milliseconds.
type TargetResult struct {
	Name           string  `json:"name"`
	BinarySize     int64   `json:"binary_size,omitempty"`
	IdleMemory     int64   `json:"idle_memory,omitempty"`
	PeakMemory     int64   `json:"peak_memory,omitempty"`
	EndMemory      int64   `json:"end_memory,omitempty"`
	DiskUse        int64   `json:"disk_use,omitempty"`
	FirstStart     float64 `json:"first_start_ms,omitempty"`
	Objects        int     `json:"objects,omitempty"`
	Start          float64 `json:"start_ms,omitempty"`
	StartAfterKill float64 `json:"start_after_kill_ms,omitempty"`
	Stop           float64 `json:"stop_ms,omitempty"`
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

func newResult(cfg Config, dir string) *Result {
	r := &Result{Time: time.Now().UTC(), Processors: runtime.NumCPU(), GoVersion: runtime.Version(),
		Duration: cfg.Duration.Seconds(), Rounds: cfg.Rounds, Filesystem: filesystemOf(dir)}
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		r.Kernel = strings.TrimSpace(string(release))
	}
	return r
}

var filesystems = map[int64]string{
	unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs",
	unix.TMPFS_MAGIC: "tmpfs (not a disk: its fsync does nothing)", unix.OVERLAYFS_SUPER_MAGIC: "overlay",
}

func filesystemOf(dir string) string {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return "unknown"
	}
	if name, ok := filesystems[int64(st.Type)]; ok {
		return name
	}
	return fmt.Sprintf("%#x", st.Type)
}

// cell states a tally in the workload's units.
func (t *tally) cell(name string, w workload) Cell {
	c := Cell{Target: name, Ops: t.latency.Count()}
	if t.err != nil {
		c.Failure = t.err.Error()
		return c
	}
	if c.Ops == 0 {
		c.Failure = "no operation succeeded"
		return c
	}
	ops := float64(c.Ops)
	c.Rate = ops / t.took.Seconds()
	c.Slowest, c.Fastest = slices.Min(t.rates), slices.Max(t.rates)
	c.Units = c.Rate * float64(max(w.perUnit, 1))
	c.P50, c.P99 = milliseconds(t.latency.Quantile(0.5)), milliseconds(t.latency.Quantile(0.99))
	c.ClientCPU = milliseconds(t.clientCPU) / ops
	c.Mallocs = max(t.mallocs, 0) / ops
	if t.noCPU {
		return c
	}
	c.CPUPerOp = milliseconds(t.serverCPU) / ops
	switch w.cost {
	case perOperation:
		c.Cost = c.CPUPerOp
	case perKey:
		c.Cost = c.CPUPerOp * 1000 / float64(w.perUnit)
	case perGiB:
		c.Cost = c.CPUPerOp / 1000 / float64(w.perUnit) * gibibyte
	}
	return c
}

func printMachine(out io.Writer, r *Result) {
	fmt.Fprintf(out, "%d processors shared by clients and servers, Linux %s, %s, %s; %d rounds of %.3gs, alternating\n\n",
		r.Processors, r.Kernel, r.Filesystem, r.GoVersion, r.Rounds, r.Duration)
}

func printSyncs(out io.Writer, figures []SyncFigure) {
	fmt.Fprintln(out, "the disk alone, 4 KiB at a time")
	for _, f := range figures {
		fmt.Fprintf(out, "  %-36s %2d writers %9s/s   p50 %7.3f ms   p99 %7.3f ms\n", f.Name, f.Writers, count(f.Rate), f.P50, f.P99)
	}
	fmt.Fprintln(out)
}

var costNames = map[costUnit]string{perOperation: "ms/op", perKey: "µs/key", perGiB: "s/GiB"}

// printRow prints a workload: a line per target, and for all but the first how the first compares.
func printRow(out io.Writer, row Row) {
	fmt.Fprintf(out, "%s, %d connections  (%s)%s\n", row.Title, row.Connections, row.Name, row.goalText())
	for i, c := range row.Cells {
		if c.Failure != "" {
			fmt.Fprintf(out, "  %-14s failed: %s\n", c.Target, c.Failure)
			continue
		}
		fmt.Fprintf(out, "  %-14s %s   p50 %8.3f p99 %8.3f ms   CPU %8.3f %-6s client %7.3f ms",
			c.Target, row.rateText(c), c.P50, c.P99, c.Cost, costNames[row.cost], c.ClientCPU)
		if c.Mallocs > 0 {
			fmt.Fprintf(out, "   %s allocations/op", count(c.Mallocs))
		}
		if first := row.Cells[0]; i > 0 && first.Failure == "" {
			fmt.Fprintf(out, "   %s does %.2f×", first.Target, first.Rate/c.Rate)
			if c.Cost > 0 && first.Cost > 0 {
				fmt.Fprintf(out, ", CPU %.2f×", first.Cost/c.Cost)
			}
		}
		fmt.Fprintln(out)
	}
	fmt.Fprintln(out)
}

func (r *Row) rateText(c Cell) string {
	switch r.cost {
	case perKey:
		return fmt.Sprintf("%9s keys/s", count(c.Units))
	case perGiB:
		return fmt.Sprintf("%9.0f MiB/s ", c.Units/(1<<20))
	default:
		return fmt.Sprintf("%9s ops/s ", count(c.Rate))
	}
}

// goalText holds the first target against the goals of the workload.
func (r *Row) goalText() string {
	if len(r.Cells) == 0 || r.Cells[0].Failure != "" {
		return ""
	}
	c := r.Cells[0]
	var parts []string
	note := func(text string, met bool) {
		verdict := "met"
		if !met {
			verdict = "missed"
		}
		parts = append(parts, text+" "+verdict)
	}
	if r.Goal.Cost > 0 && c.Cost > 0 {
		note(fmt.Sprintf("CPU ≤ %g %s", r.Goal.Cost, costNames[r.cost]), c.Cost <= r.Goal.Cost)
	}
	if r.Goal.P50 > 0 {
		note(fmt.Sprintf("p50 ≤ %g ms", r.Goal.P50), c.P50 <= r.Goal.P50)
	}
	if r.Goal.Rate > 0 {
		note(fmt.Sprintf("≥ %s/s", count(r.Goal.Rate)), c.Units >= r.Goal.Rate)
	}
	if len(parts) == 0 {
		return ""
	}
	return "  goal: " + strings.Join(parts, ", ")
}

func printTargets(out io.Writer, targets []TargetResult) {
	for _, t := range targets {
		fmt.Fprintf(out, "%s: memory idle %s, peak %s, at the end %s", t.Name, mebibytes(t.IdleMemory), mebibytes(t.PeakMemory), mebibytes(t.EndMemory))
		if t.BinarySize > 0 {
			fmt.Fprintf(out, "; binary %s; first start %.0f ms", mebibytes(t.BinarySize), t.FirstStart)
		}
		fmt.Fprintln(out)
		if t.Start > 0 {
			fmt.Fprintf(out, "  with %s objects (%s on disk): start to ready %.0f ms, after kill -9 under writes %.0f ms; clean stop %.0f ms\n",
				count(float64(t.Objects)), mebibytes(t.DiskUse), t.Start, t.StartAfterKill, t.Stop)
		}
	}
}

func mebibytes(n int64) string {
	if n == 0 {
		return "unknown"
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

// count prints a number with thousands separated, and small ones with a digit after the point.
func count(v float64) string {
	if v < 100 {
		return fmt.Sprintf("%.1f", v)
	}
	digits := fmt.Sprintf("%.0f", v)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}
