package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fakeServer in the environment makes the test binary a server that starts, keeps what was written
// under "crash/" in its data directory, and stops, as Kura does. Its value is how well it behaves.
const fakeServer = "BENCH_TEST_SERVER"

func TestMain(m *testing.M) {
	if how := os.Getenv(fakeServer); how != "" && len(os.Args) > 1 && os.Args[1] == "serve" {
		os.Exit(serveFake(how, os.Args[2:]))
	}
	os.Exit(m.Run())
}

func serveFake(how string, args []string) int {
	fs := flag.NewFlagSet("serve", flag.ContinueOnError)
	dir := fs.String("data", "", "")
	listen := fs.String("listen", "", "")
	fs.String("listen-tls", "", "")
	fs.String("region", "", "")
	if err := fs.Parse(args); err != nil || how == "fails" {
		fmt.Fprintln(os.Stderr, "cannot serve today", err)
		return 1
	}
	if err := os.MkdirAll(*dir, 0o700); err != nil {
		return 1
	}
	f := &fakeS3{buckets: map[string]map[string][]byte{objectBucket: {}}, uploads: map[string][]byte{}}
	file := func(path string) string { return filepath.Join(*dir, strings.ReplaceAll(path, "/", "_")) }
	mux := http.NewServeMux()
	mux.HandleFunc("GET /-/ready", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /-/metrics", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "go_memstats_mallocs_total 4.5e+06") })
	mux.HandleFunc("PUT /"+objectBucket+"/crash/", func(w http.ResponseWriter, r *http.Request) {
		var body bytes.Buffer
		_, err := body.ReadFrom(r.Body)
		if err == nil && how != "forgets" {
			err = os.WriteFile(file(r.URL.Path), body.Bytes(), 0o600)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("GET /"+objectBucket+"/crash/", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, file(r.URL.Path))
	})
	mux.Handle("/", f)
	srv := &http.Server{Addr: *listen, Handler: mux}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go func() {
		<-ctx.Done()
		srv.Close()
	}()
	if err := srv.ListenAndServe(); err != http.ErrServerClosed {
		return 1
	}
	return 0
}

func restartConfig(t *testing.T, how string) Config {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(fakeServer, how)
	return Config{Kura: map[string][]string{"kura": {"fake=" + self}}, Region: "us-east-1", Only: []string{"put-4k"},
		Duration: 20 * time.Millisecond, Rounds: 1, Objects: 1000, Dir: t.TempDir(), Restarts: true}
}

func TestRestartsAreTimedAndReadBack(t *testing.T) {
	var out bytes.Buffer
	result, err := measure(context.Background(), restartConfig(t, "keeps"), &out)
	if err != nil {
		t.Fatal(err)
	}
	s := result.Targets[0]
	if s.Name != "fake" || s.FirstStart <= 0 || s.Start <= 0 || s.StartAfterKill <= 0 || s.Stop <= 0 || s.DiskUse <= 0 ||
		s.BinarySize <= 0 || s.IdleMemory <= 0 || s.PeakMemory < s.IdleMemory {
		t.Errorf("%+v", s)
	}
	if !strings.Contains(out.String(), "after kill -9 under writes") {
		t.Errorf("no starts in\n%s", out.String())
	}
}

func TestLostWritesFailTheRun(t *testing.T) {
	_, err := measure(context.Background(), restartConfig(t, "forgets"), new(bytes.Buffer))
	if err == nil || !strings.Contains(err.Error(), "acknowledged before kill -9") {
		t.Errorf("%v", err)
	}
}

func TestServerThatDoesNotStart(t *testing.T) {
	_, err := measure(context.Background(), restartConfig(t, "fails"), new(bytes.Buffer))
	if err == nil || !strings.Contains(err.Error(), "cannot serve today") {
		t.Errorf("%v, want the server's own words", err)
	}
}

func TestCountersOfAKnownProcessOnly(t *testing.T) {
	known, unknown := target{pid: os.Getpid()}, target{}
	if c := known.counters(); c.server <= 0 || c.client <= 0 {
		t.Errorf("%+v of a process that runs", c)
	}
	if c := unknown.counters(); c.server != 0 || c.client <= 0 {
		t.Errorf("%+v of an unknown process", c)
	}
}

func TestAllocationsComeFromMetrics(t *testing.T) {
	srv := http.NewServeMux()
	srv.HandleFunc("/-/metrics", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "# HELP x\ngo_memstats_mallocs_total 1234\n")
	})
	_, addr := startHandler(t, http.Handler(srv))
	if got := mallocs(addr); got != 1234 {
		t.Errorf("%v", got)
	}
	_, addr = startHandler(t, http.NotFoundHandler())
	if got := mallocs(addr); got != 0 {
		t.Errorf("%v from a server without metrics", got)
	}
}
