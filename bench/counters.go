package main

import (
	"bufio"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/kura-s3/kura/bench/internal/stat"
)

// counters are read before and after a round. What cannot be read is 0, and then not reported.
type counters struct {
	server, client time.Duration
	mallocs        float64
}

func (t *target) counters() counters {
	var c counters
	if t.process != nil {
		c.mallocs = mallocs(t.process.addr)
	}
	if t.pid != 0 {
		if cpu, err := stat.CPUTime(t.pid); err == nil {
			c.server = max(cpu, time.Nanosecond)
		}
	}
	if cpu, err := stat.OwnCPUTime(); err == nil {
		c.client = cpu
	}
	return c
}

// mallocs reads the Go runtime's count of allocated objects from a server's metrics; 0 if it has
// none.
func mallocs(addr string) float64 {
	client := &http.Client{Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()
	resp, err := client.Get("http://" + addr + "/-/metrics")
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), "go_memstats_mallocs_total "); ok {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return 0
			}
			return n
		}
	}
	return 0
}
