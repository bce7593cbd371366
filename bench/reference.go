package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kura-s3/kura/bench/internal/stat"
)

// referenceCommand as the only argument makes the bench the bare server itself, in a process of
// its own so that its processor time is its own.
const referenceCommand = "reference-server"

// bareHandler is the least that an HTTP server can do with the bench's requests: it reads bodies
// and forgets them, and answers with as many zero bytes as the first part of the key says.
func bareHandler() http.Handler {
	zeros := make([]byte, largeSize)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut || r.Method == http.MethodPost {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
			}
			return
		}
		parts := strings.SplitN(r.URL.Path, "/", 4)
		size := 0
		if len(parts) == 4 {
			size, _ = strconv.Atoi(parts[2])
		}
		size = min(max(size, 0), len(zeros))
		w.Header().Set("Content-Length", strconv.Itoa(size))
		// A client that went away is no concern of a reference.
		_, _ = w.Write(zeros[:size])
	})
}

func serveReference(ctx context.Context, out io.Writer) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintln(out, l.Addr())
	srv := &http.Server{Handler: bareHandler(), ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		srv.Close()
	}()
	if err := srv.Serve(l); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// startReference runs the bare server as a child and returns its address, its pid and what ends it.
func startReference() (addr string, pid int, stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return "", 0, nil, err
	}
	cmd := exec.Command(self, referenceCommand)
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return "", 0, nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", 0, nil, err
	}
	stop = func() {
		// Both fail only if the child is gone already.
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	line, err := bufio.NewReader(pipe).ReadString('\n')
	if err != nil {
		stop()
		return "", 0, nil, fmt.Errorf("reference server: %w", err)
	}
	return strings.TrimSpace(line), cmd.Process.Pid, stop, nil
}

// SyncFigure is what the disk does with small durable writes, without any server.
type SyncFigure struct {
	Name    string  `json:"name"`
	Writers int     `json:"writers"`
	Rate    float64 `json:"rate"` // syncs a second
	P50     float64 `json:"p50_ms"`
	P99     float64 `json:"p99_ms"`
}

// syncCase is one way to make 4 KiB durable.
type syncCase struct {
	name    string
	writers int
	// recycled overwrites a preallocated file round and round, so that no metadata changes.
	recycled bool
}

var syncCases = []syncCase{
	{"append + fdatasync", 1, false},
	{"overwrite preallocated + fdatasync", 1, true},
	{"append + fdatasync, a file each", 16, false},
}

const recycledSize = 8 << 20

func measureSyncs(ctx context.Context, dir string, d time.Duration) ([]SyncFigure, error) {
	var figures []SyncFigure
	for _, sc := range syncCases {
		f, err := sc.measure(ctx, dir, d)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", sc.name, err)
		}
		figures = append(figures, f)
	}
	return figures, nil
}

func (sc syncCase) measure(ctx context.Context, dir string, d time.Duration) (SyncFigure, error) {
	var (
		mu    sync.Mutex
		all   stat.Histogram
		first error
		group sync.WaitGroup
	)
	began := time.Now()
	for i := range sc.writers {
		group.Go(func() {
			h, err := sc.write(ctx, filepath.Join(dir, "fdatasync-"+strconv.Itoa(i)), d)
			mu.Lock()
			defer mu.Unlock()
			all.Add(h)
			if first == nil {
				first = err
			}
		})
	}
	group.Wait()
	took := time.Since(began).Seconds()
	return SyncFigure{sc.name, sc.writers, float64(all.Count()) / took,
		milliseconds(all.Quantile(0.5)), milliseconds(all.Quantile(0.99))}, first
}

func (sc syncCase) write(ctx context.Context, name string, d time.Duration) (*stat.Histogram, error) {
	h := new(stat.Histogram)
	f, err := os.Create(name)
	if err != nil {
		return h, err
	}
	defer os.Remove(name)
	defer f.Close()
	block := make([]byte, smallSize)
	if sc.recycled {
		if _, err := f.Write(make([]byte, recycledSize)); err != nil {
			return h, err
		}
		if err := f.Sync(); err != nil {
			return h, err
		}
	}
	var offset int64
	for deadline := time.Now().Add(d); time.Now().Before(deadline) && ctx.Err() == nil; {
		began := time.Now()
		if _, err := f.WriteAt(block, offset); err != nil {
			return h, err
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return h, err
		}
		h.Record(time.Since(began))
		if offset += int64(len(block)); sc.recycled && offset == recycledSize {
			offset = 0
		}
	}
	return h, nil
}
