package runner_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/function/runner"
)

const sleeper = `
import os, time
def handler(event, context):
    time.sleep(event)
    return os.environ.get("X", "")
`

// together runs n invocations at a time.
func (f *fixture) together(s *runner.Spec, n int, event string) (failed []error, results []*runner.Result) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	for i := range n {
		wg.Go(func() {
			res, err := f.Invoke(context.Background(), s, &runner.Invocation{RequestID: fmt.Sprintf("p-%d", i), Payload: []byte(event)})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = append(failed, err)
			} else {
				results = append(results, res)
			}
		})
	}
	wg.Wait()
	return failed, results
}

func TestOneInvocationAtATimeEach(t *testing.T) {
	f := start(t, func(c *runner.Config) { c.MaxConcurrent = 3 })
	s := python(t, sleeper)
	failed, results := f.together(s, 5, "1")
	equal(t, "throttled", len(failed), 2)
	equal(t, "run", len(results), 3)
	for _, err := range failed {
		if !errors.Is(err, runner.ErrThrottled) {
			t.Error(err)
		}
	}
	for _, r := range results {
		equal(t, "answer", string(r.Payload), `""`)
	}
	equal(t, "processes", len(sandboxes(t)), 3)
	// A function that changes does not use the old one's processes, and takes the room of an idle one.
	s.Env = map[string]string{"X": "new"}
	equal(t, "changed", f.answer(s, "0"), `"new"`)
	waitFor(t, "one makes room", func() bool { return len(sandboxes(t)) == 3 })
	f.Retire(strings.TrimSuffix(s.ARN, ":$LATEST"))
	waitFor(t, "all end", func() bool { return len(sandboxes(t)) == 0 })
	s.Reserved = 0
	if _, err := f.try(s, "0"); !errors.Is(err, runner.ErrThrottled) {
		t.Error(err)
	}
	s.Reserved = 2
	failed, _ = f.together(s, 3, "0.5")
	equal(t, "throttled by reserved concurrency", len(failed), 1)
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 6000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("not within a minute: %s", what)
}

func TestIdleProcessesEnd(t *testing.T) {
	f := start(t, func(c *runner.Config) { c.IdleTimeout = 50 * time.Millisecond })
	s := python(t, sleeper)
	f.answer(s, "0")
	waitFor(t, "the idle process ends", func() bool { return len(sandboxes(t)) == 0 })
	f.answer(s, "0")
}

func TestACallerThatGoesAway(t *testing.T) {
	f := start(t)
	s := python(t, `
import time
def handler(event, context):
    time.sleep(0.3); print("to the end"); return 1
`)
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if _, err := f.Invoke(ctx, s, &runner.Invocation{RequestID: "r"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	waitFor(t, "it goes on to its end", func() bool { return strings.Contains(f.logs.String(), "REPORT RequestId: r") })
	contains(t, "log", f.logs.String(), "to the end\nEND RequestId: r")
}

func TestCloseUnderLoad(t *testing.T) {
	f := start(t)
	s := python(t, sleeper)
	done := make(chan int)
	go func() {
		// None counts as a failure of the code: who queued it shall try it again.
		failed, results := f.together(s, 6, "30")
		equal(t, "results", len(results), 0)
		done <- len(failed)
	}()
	waitFor(t, "processes run", func() bool { return len(sandboxes(t)) >= 2 })
	f.Close()
	equal(t, "all came back", <-done, 6)
	equal(t, "left", len(sandboxes(t)), 0)
	if _, err := f.try(s, "0"); !errors.Is(err, runner.ErrClosed) {
		t.Error(err)
	}
}

// killedServer is the name under which the test's program is a server that will be killed.
const killedServer = "KURA_TEST_KILLED_SERVER"

// TestTheServerIsKilled kills a server in the middle of an invocation, as kill -9 does.
func TestTheServerIsKilled(t *testing.T) {
	mark := "kura-mark-" + fmt.Sprint(os.Getpid())
	source := fmt.Sprintf(`
import os, sys, time
def handler(event, context):
    if os.fork() == 0:
        os.setsid()
        os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(60)", %q])
    time.sleep(0.2); print("running", flush=True); time.sleep(60)
`, mark)
	if os.Getenv(killedServer) != "" {
		f := start(t, func(c *runner.Config) {
			c.Output = func(_ *runner.Spec, _ string, _ time.Time, line string) { fmt.Println("said:", line) }
		})
		s := python(t, strings.ReplaceAll(source, mark, os.Getenv(killedServer)))
		s.Timeout = time.Minute
		f.answer(s, "0")
		return
	}
	start(t).Close() // skips where nothing can be isolated
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestTheServerIsKilled$", "-test.v")
	cmd.Env = append(os.Environ(), killedServer+"="+mark)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	seen := make([]byte, 0, 4096)
	for !bytes.Contains(seen, []byte("said: running")) {
		b := make([]byte, 512)
		n, err := out.Read(b)
		if err != nil {
			t.Fatalf("%v: %s", err, seen)
		}
		seen = append(seen, b[:n]...)
	}
	equal(t, "its child runs", marked(t, mark), true)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	waitFor(t, "everything ends with the server", func() bool { return !marked(t, mark) })
}

func marked(t *testing.T, mark string) bool {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range lines {
		if b, err := os.ReadFile(at); err == nil && strings.Contains(string(b), "sleep(60)\x00"+mark) {
			return true
		}
	}
	return false
}

func TestUnsafe(t *testing.T) {
	need(t, "python3")
	dir := t.TempDir()
	r, err := runner.NewExposed(runner.Config{Dir: dir, Region: "r", Unsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f := &fixture{Runner: r, t: t, logs: &logs{}}
	s := python(t, `
import os, time
def handler(event, context):
    if event:
        if os.fork() == 0: os.setsid()
        time.sleep(60)
    return [os.getcwd() == os.environ["LAMBDA_TASK_ROOT"], "HOME" in os.environ]
`)
	s.Timeout = 2 * time.Second
	equal(t, "answer", f.answer(s, "0"), `[true, false]`)
	equal(t, "again", f.answer(s, "0"), `[true, false]`)
	equal(t, "hangs", f.failure(s, "1").ErrorType, "Sandbox.Timedout")
	equal(t, "answer", f.answer(s, "0"), `[true, false]`)
	r.Close()
	waitFor(t, "nothing is left", func() bool { return len(sandboxes(t)) == 0 })
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("left: %v %v", left, err)
	}
}

func TestArchivesThatAreRefused(t *testing.T) {
	alone(t)
	f := start(t)
	entry := func(name string, mode fs.FileMode, content string) []byte {
		return zipped(t, file{name: name, mode: mode, content: content})
	}
	bomb := func(says uint64, real int) []byte {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		w, err := z.Create("zero")
		if err != nil {
			t.Fatal(err)
		}
		chunk := make([]byte, 1<<20)
		for range real {
			if _, err := w.Write(chunk); err != nil {
				t.Fatal(err)
			}
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		out := b.Bytes()
		if says > 0 { // the size that the directory tells
			at := bytes.LastIndex(out, []byte("PK\x01\x02"))
			binary.LittleEndian.PutUint32(out[at+24:], uint32(says))
		}
		return out
	}
	for name, code := range map[string][]byte{
		"no zip":                       []byte("nothing"),
		"empty":                        nil,
		"climbs":                       entry("../x", 0, ""),
		"absolute":                     entry("/etc/x", 0, ""),
		"climbs inside":                entry("a/../../x", 0, ""),
		"backslash":                    entry(`..\x`, 0, ""),
		"device":                       entry("x", fs.ModeDevice|0o644, ""),
		"pipe":                         entry("x", fs.ModeNamedPipe|0o644, ""),
		"link out":                     entry("x", fs.ModeSymlink|0o777, "../../etc/passwd"),
		"absolute link":                entry("x", fs.ModeSymlink|0o777, "/etc/passwd"),
		"large":                        bomb(0, 251),
		"lies":                         bomb(10, 20),
		"cut":                          bomb(0, 1)[:300],
		"twice a file and a directory": zipped(t, file{name: "x", content: "1"}, file{name: "x/y", content: "2"}),
	} {
		t.Run(name, func(t *testing.T) {
			s := spec("provided.al2023", "x", code)
			if _, err := f.try(s, "{}"); !errors.Is(err, runner.ErrCode) {
				t.Errorf("%v", err)
			}
		})
	}
	// A link that stays inside is followed, and a file is never written through one.
	need(t, "python3")
	good := zipped(t,
		file{name: "lib/real.py", content: "def handler(e, c): return 'real'"},
		file{name: "app.py", mode: fs.ModeSymlink | 0o777, content: "lib/real.py"})
	equal(t, "link", f.answer(spec("python3.12", "app.handler", good), "{}"), `"real"`)
	through := zipped(t, file{name: "out", mode: fs.ModeSymlink | 0o777, content: "lib"}, file{name: "out/x", content: "1"})
	if _, err := f.try(spec("python3.12", "app.handler", through), "{}"); !errors.Is(err, runner.ErrCode) {
		t.Errorf("%v", err)
	}
}

func TestWhatCannotRun(t *testing.T) {
	alone(t)
	f := start(t)
	s := spec("ruby3.3", "x", nil)
	if _, err := f.try(s, "{}"); !errors.Is(err, runner.ErrRuntime) {
		t.Error(err)
	}
	s = spec("provided.al2023", "x", nil)
	s.Code = func(context.Context) (io.ReaderAt, int64, error) { return nil, 0, io.ErrUnexpectedEOF }
	if _, err := f.try(s, "{}"); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
}

func FuzzCheckCode(f *testing.F) {
	f.Add(zipped(f, file{name: "a/b.py", content: "x"}, file{name: "l", mode: fs.ModeSymlink | 0o777, content: "a"}))
	f.Add([]byte("PK"))
	f.Fuzz(func(t *testing.T, b []byte) { _ = runner.CheckCode(b) })
}

func BenchmarkInvoke(b *testing.B) {
	f := start(b)
	s := python(b, "def handler(event, context): return event")
	b.Run("cold", func(b *testing.B) {
		for b.Loop() {
			if _, err := f.try(s, "1"); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			f.Retire(s.ARN)
			b.StartTimer()
		}
	})
	b.Run("warm", func(b *testing.B) {
		for b.Loop() {
			if _, err := f.try(s, "1"); err != nil {
				b.Fatal(err)
			}
		}
	})
}
