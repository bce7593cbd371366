package metrics

import (
	"fmt"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func text(t *testing.T, r *prometheus.Registry) string {
	t.Helper()
	w := httptest.NewRecorder()
	Handler(r).ServeHTTP(w, httptest.NewRequest("GET", "/-/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("status %d", w.Code)
	}
	return w.Body.String()
}

func wants(t *testing.T, got string, lines ...string) {
	t.Helper()
	for _, l := range lines {
		if !strings.Contains(got, l+"\n") {
			t.Errorf("no line %q", l)
		}
	}
}

func TestRequestsAndDecisions(t *testing.T) {
	r := prometheus.NewRegistry()
	m := New(r)
	m.Request("PutObject", 200, 3*time.Millisecond, 4096, 0)
	m.Request("PutObject", 200, 700*time.Millisecond, 4, 0)
	m.Request("PutObject", 418, time.Second, 0, 10)
	m.Request("GetObject", 404, time.Second, 0, 100)
	m.Request("GetObject", -7, time.Second, -1, -1)
	m.Decision(true)
	m.Decision(true)
	m.Decision(false)
	wants(t, text(t, r),
		`kura_requests_total{operation="PutObject",status="200"} 2`,
		`kura_requests_total{operation="PutObject",status="4xx"} 1`,
		`kura_requests_total{operation="GetObject",status="404"} 1`,
		`kura_requests_total{operation="GetObject",status="none"} 1`,
		`kura_request_duration_seconds_bucket{operation="PutObject",le="0.005"} 1`,
		`kura_request_duration_seconds_count{operation="PutObject"} 3`,
		`kura_received_bytes_total 4100`,
		`kura_sent_bytes_total 110`,
		`kura_decisions_total{decision="allow"} 2`,
		`kura_decisions_total{decision="deny"} 1`,
	)
}

func TestGauges(t *testing.T) {
	r := prometheus.NewRegistry()
	Gauges{
		StorageUsed: func() float64 { return 7 },
		Corrupt:     func() float64 { return 2 },
		Refused:     func() map[string]int64 { return map[string]int64{"uploads": 3} },
		Version:     "1.2.3", Commit: "abc",
	}.Register(r)
	got := text(t, r)
	wants(t, got, `kura_storage_used_bytes 7`, `kura_corrupt_total 2`, `kura_refused_total{reason="uploads"} 3`, `kura_build_info{commit="abc",version="1.2.3"} 1`)
	for _, name := range []string{"go_goroutines ", "process_resident_memory_bytes "} {
		if !strings.Contains(got, name) {
			t.Errorf("no %s", name)
		}
	}
	if strings.Contains(got, "kura_storage_free_bytes") {
		t.Error("a gauge that nobody keeps is shown")
	}
}

func TestSeriesDoNotGrowWithoutBound(t *testing.T) {
	r := prometheus.NewRegistry()
	m := New(r)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 2 * maxOperations {
				m.Request(fmt.Sprint("Op", (i+g*7)%(2*maxOperations)), 200, 0, 0, 0)
			}
		})
	}
	wg.Wait()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "kura_requests_total" {
			continue
		}
		var sum float64
		for _, s := range f.GetMetric() {
			sum += s.GetCounter().GetValue()
		}
		if n := len(f.GetMetric()); n > maxOperations+1 || sum != 8*maxOperations {
			t.Errorf("%d series, %v requests", n, sum)
		}
	}
}

func BenchmarkRequest(b *testing.B) {
	m := New(prometheus.NewRegistry())
	b.ReportAllocs()
	for b.Loop() {
		m.Request("GetObject", 200, 90*time.Microsecond, 0, 4096)
		m.Decision(true)
	}
}

func TestBucketSeriesAreBounded(t *testing.T) {
	registry := prometheus.NewRegistry()
	b := NewBuckets(registry)
	for i := range maxFilters + 10 {
		b.BucketRequest("bucket", strconv.Itoa(i), "Get", 404, time.Millisecond, 0, 5)
	}
	b.Forget("bucket", "0")
	b.BucketRequest("bucket", "0", "Get", 200, time.Millisecond, 7, -1)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if n := len(f.GetMetric()); n > maxFilters+1 {
			t.Errorf("%s has %d series", f.GetName(), n)
		}
	}
}
