package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kura-s3/kura/bench/internal/stat"
)

// fakeS3 is as much of S3 as the workloads ask for, in memory.
type fakeS3 struct {
	mu      sync.Mutex
	buckets map[string]map[string][]byte
	uploads map[string][]byte
	// refuse answers 503 to requests of this method, if set.
	refuse string
}

func (f *fakeS3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.Method == f.refuse {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprint(w, "<Error><Code>SlowDown</Code></Error>")
		return
	}
	bucket, key, isObject := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	q := r.URL.Query()
	switch {
	case r.Method == "PUT" && !isObject:
		f.buckets[bucket] = map[string][]byte{}
	case r.Method == "POST" && q.Has("uploads"):
		id := "id+" + key
		f.uploads[id] = nil
		fmt.Fprintf(w, "<R><UploadId>%s</UploadId></R>", id)
	case r.Method == "PUT" && q.Has("uploadId"):
		f.uploads[q.Get("uploadId")] = append(f.uploads[q.Get("uploadId")], body...)
		w.Header().Set("ETag", `"part"`)
	case r.Method == "POST" && q.Has("uploadId"):
		f.buckets[bucket][key] = f.uploads[q.Get("uploadId")]
	case r.Method == "POST" && q.Has("delete"):
		f.deleteMany(bucket, body)
	case r.Method == "PUT":
		f.buckets[bucket][key] = body
	case !isObject:
		f.list(w, bucket, q.Get("start-after"), q.Get("delimiter"))
	default:
		data, ok := f.buckets[bucket][key]
		if !ok {
			http.Error(w, "<Error><Code>NoSuchKey</Code></Error>", http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		if r.Method == "GET" {
			w.Write(data)
		}
	}
}

func (f *fakeS3) deleteMany(bucket string, body []byte) {
	var req struct {
		Objects []struct{ Key string } `xml:"Object"`
	}
	if err := xml.Unmarshal(body, &req); err != nil {
		panic(err)
	}
	for _, o := range req.Objects {
		delete(f.buckets[bucket], o.Key)
	}
}

func (f *fakeS3) list(w io.Writer, bucket, after, delimiter string) {
	var keys []string
	for k := range f.buckets[bucket] {
		if k > after {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	if delimiter == "" {
		for _, k := range keys[:min(len(keys), pageKeys)] {
			fmt.Fprintf(w, "<Contents><Key>%s</Key></Contents>", k)
		}
		return
	}
	last := ""
	for _, k := range keys {
		if p, _, _ := strings.Cut(k, delimiter); p != last {
			last = p
			fmt.Fprintf(w, "<CommonPrefixes><Prefix>%s/</Prefix></CommonPrefixes>", p)
		}
	}
}

func startFake(t *testing.T) (*fakeS3, string) {
	t.Helper()
	return startHandler(t, &fakeS3{buckets: map[string]map[string][]byte{}, uploads: map[string][]byte{}})
}

func startHandler[H http.Handler](t *testing.T, h H) (H, string) {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return h, strings.TrimPrefix(srv.URL, "http://")
}

func quick(t *testing.T, addr string) Config {
	return Config{
		Targets: []string{"one=" + addr + ",A,S," + strconv.Itoa(os.Getpid())},
		Region:  "us-east-1", Duration: 20 * time.Millisecond, Rounds: 1, Objects: 2000, Dir: t.TempDir(),
	}
}

func TestEveryWorkloadIsMeasured(t *testing.T) {
	f, addr := startFake(t)
	var out bytes.Buffer
	result, err := measure(context.Background(), quick(t, addr), &out)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, row := range result.Workloads {
		names = append(names, row.Name)
		if len(row.Cells) != 1 {
			t.Fatalf("%s: %d cells", row.Name, len(row.Cells))
		}
		c := row.Cells[0]
		if c.Failure != "" || c.Ops == 0 || c.Rate <= 0 || c.P50 <= 0 || c.P99 < c.P50 || c.Slowest > c.Fastest {
			t.Errorf("%s: %+v", row.Name, c)
		}
		if !strings.Contains(out.String(), "("+row.Name+")") {
			t.Errorf("%s is missing from the text", row.Name)
		}
	}
	if !slices.Equal(names, workloadNames()) {
		t.Errorf("measured %v, want %v", names, workloadNames())
	}
	if got := len(f.buckets[listBucket]); got != 2000 {
		t.Errorf("the listed bucket has %d keys, want 2000", got)
	}
	for key := range f.buckets[objectBucket] {
		if strings.HasPrefix(key, "multipart/") && len(f.buckets[objectBucket][key]) != partSize*partsEach {
			t.Errorf("%s has %d bytes", key, len(f.buckets[objectBucket][key]))
		}
	}
	if left, err := filepath.Glob(filepath.Join(quick(t, addr).Dir, "kura-bench-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestTargetsTakeTurns(t *testing.T) {
	_, first := startFake(t)
	_, second := startFake(t)
	cfg := quick(t, first)
	cfg.Targets = append(cfg.Targets, "two="+second+",A,S")
	cfg.Only, cfg.Rounds = []string{"get-4k"}, 3
	var out bytes.Buffer
	result, err := measure(context.Background(), cfg, &out)
	if err != nil {
		t.Fatal(err)
	}
	cells := result.Workloads[0].Cells
	if len(cells) != 2 || cells[0].Target != "one" || cells[1].Target != "two" || cells[1].Ops == 0 {
		t.Errorf("%+v", cells)
	}
	if !strings.Contains(out.String(), "one does ") {
		t.Errorf("no ratio in\n%s", out.String())
	}
}

func TestRefusalFailsItsWorkloadOnly(t *testing.T) {
	_, addr := startHandler(t, &fakeS3{buckets: map[string]map[string][]byte{}, refuse: "HEAD"})
	cfg := quick(t, addr)
	cfg.Only = []string{"head", "put-4k"}
	var out bytes.Buffer
	result, err := measure(context.Background(), cfg, &out)
	if err != nil {
		t.Fatal(err)
	}
	if c := result.Workloads[0].Cells[0]; c.Failure != "" {
		t.Errorf("put-4k failed: %s", c.Failure)
	}
	if c := result.Workloads[1].Cells[0]; !strings.Contains(c.Failure, "status 503") {
		t.Errorf("head: %+v, want the 503 named", c)
	}
}

func TestReferencesPlayTheirPart(t *testing.T) {
	bare := httptest.NewServer(bareHandler())
	defer bare.Close()
	resp, err := http.Get(bare.URL + "/b/4096/1")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || len(body) != 4096 {
		t.Errorf("GET: %d bytes, %v", len(body), err)
	}
	figures, err := measureSyncs(context.Background(), t.TempDir(), 20*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range figures {
		if f.Rate <= 0 || f.P50 <= 0 {
			t.Errorf("%+v", f)
		}
	}
}

func TestCommandLine(t *testing.T) {
	for _, tc := range []struct {
		args string
		code int
		says string
	}{
		{"", 2, "nothing to measure"},
		{"--kura x extra", 2, "flags only"},
		{"--kura x --rounds 0", 2, "--rounds"},
		{"--kura x --duration 1h", 2, "--duration"},
		{"--kura x --objects 5", 2, "--objects"},
		{"--kura x --alarm-buckets 400", 2, "--alarm-buckets"},
		{"--kura x --only put-4k,nonsense", 2, `no workload "nonsense"`},
		{"--nonsense", 2, "not defined"},
		{"--help", 0, "-duration"},
		{"--kura /nonexistent/kura --references=false", 1, "no such file"},
		{"--target one=127.0.0.1:1 --references=false", 1, "want NAME="},
		{"--target one=127.0.0.1:1,A,S,x --references=false", 1, `PID "x"`},
		{"--target one=127.0.0.1:1,A,S --references=false", 1, "refused"},
	} {
		var out, errOut bytes.Buffer
		args := strings.Fields(tc.args)
		if !slices.Contains(args, "--help") {
			args = append([]string{"--dir", t.TempDir()}, args...)
		}
		if code := run(args, &out, &errOut); code != tc.code || !strings.Contains(errOut.String(), tc.says) {
			t.Errorf("bench %s: exit %d, %q; want %d, %q", tc.args, code, errOut.String(), tc.code, tc.says)
		}
	}
}

func TestJSONHoldsTheRun(t *testing.T) {
	_, addr := startFake(t)
	file := filepath.Join(t.TempDir(), "result.json")
	var out, errOut bytes.Buffer
	code := run([]string{"--target", "one=" + addr + ",A,S", "--references=false", "--only", "get-4k", "--duration", "10ms",
		"--rounds", "1", "--dir", t.TempDir(), "--json", file}, &out, &errOut)
	if code != 0 {
		t.Fatalf("exit %d: %s", code, errOut.String())
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r Result
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Workloads) != 1 || r.Workloads[0].Cells[0].Ops == 0 || r.Workloads[0].Cells[0].Target != "one" {
		t.Errorf("%s", text)
	}
	if c := r.Workloads[0].Cells[0]; c.Cost != 0 {
		t.Errorf("cost %v without a pid", c.Cost)
	}
}

func TestCostsInTheirUnits(t *testing.T) {
	ta := tally{took: time.Second, serverCPU: 2 * time.Second, clientCPU: time.Second, rates: []float64{1000}}
	for range 1000 {
		ta.latency.Record(time.Millisecond)
	}
	for _, tc := range []struct {
		w    workload
		want float64
	}{
		{workload{cost: perOperation}, 2},
		{workload{cost: perKey, perUnit: 100}, 20},
		{workload{cost: perGiB, perUnit: 1 << 20}, 2.048},
	} {
		if c := ta.cell("t", tc.w); c.Cost < tc.want*0.999 || c.Cost > tc.want*1.001 || c.Rate != 1000 {
			t.Errorf("%+v: cost %v, want %v", tc.w, c.Cost, tc.want)
		}
	}
}

func TestGoalText(t *testing.T) {
	row := Row{cost: perKey, Goal: goal{Cost: 3, Rate: 250_000}, Cells: []Cell{{Cost: 2.5, Units: 200_000}}}
	if got, want := row.goalText(), "  goal: CPU ≤ 3 µs/key met, ≥ 250,000/s missed"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestMemoryOfSelf(t *testing.T) {
	m, err := stat.MemoryOf(os.Getpid())
	if err != nil || m.Peak < m.Resident || m.Resident < 1<<20 {
		t.Errorf("%+v %v", m, err)
	}
}
