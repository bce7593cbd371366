package runner_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/function/runner"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == runner.SandboxArg {
		runner.SandboxMain()
	}
	if os.Args[0] == "/var/task/bootstrap" {
		actAsRuntime()
	}
	os.Exit(m.Run())
}

// raced: the race detector is in the program, and in each sandbox too, where it takes a second to start.
var raced bool

// alone skips a test in which the runner does one thing at a time: the race detector has nothing to see there.
func alone(t *testing.T) {
	t.Helper()
	if raced {
		t.Skip("one thing at a time: without the race detector only")
	}
}

// logs keeps what functions write.
type logs struct {
	mu    sync.Mutex
	lines []string
}

func (l *logs) add(_ *runner.Spec, _ string, _ time.Time, line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}

type fixture struct {
	*runner.Runner
	t    testing.TB
	logs *logs
	n    int
}

func start(t testing.TB, change ...func(*runner.Config)) *fixture {
	t.Helper()
	l := &logs{}
	c := runner.Config{Dir: t.TempDir(), Region: "eu-central-1", Account: "123456789012", MaxConcurrent: 8, Output: l.add}
	for _, f := range change {
		f(&c)
	}
	r, err := runner.New(c)
	if errors.Is(err, runner.ErrUnavailable) {
		t.Skipf("SKIPPED: this host cannot isolate processes, so no function runs: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return &fixture{Runner: r, t: t, logs: l}
}

// file of an archive.
type file struct {
	name, content string
	mode          fs.FileMode
}

func zipped(t testing.TB, files ...file) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range files {
		h := &zip.FileHeader{Name: f.name, Method: zip.Deflate}
		if len(f.content) > 1<<20 {
			h.Method = zip.Store
		}
		if f.mode == 0 {
			f.mode = 0o644
		}
		h.SetMode(f.mode)
		w, err := z.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func spec(runtime, handler string, code []byte) *runner.Spec {
	return &runner.Spec{
		ARN: "arn:aws:lambda:eu-central-1:123456789012:function:f:$LATEST", Name: "f", Version: "$LATEST",
		Runtime: runtime, Handler: handler, CodeSHA256: fmt.Sprint(len(code)), MemoryMB: 128, Timeout: 5 * time.Second,
		EphemeralMB: 512, LogGroup: "/aws/lambda/f", Reserved: -1,
		Code: func(context.Context) (io.ReaderAt, int64, error) { return bytes.NewReader(code), int64(len(code)), nil },
	}
}

func python(t testing.TB, source string) *runner.Spec {
	t.Helper()
	need(t, "python3")
	return spec("python3.12", "app.handler", zipped(t, file{name: "app.py", content: source}))
}

func node(t testing.TB, name, source string) *runner.Spec {
	t.Helper()
	need(t, "node")
	s := spec("nodejs20.x", "app.handler", zipped(t, file{name: name, content: source}))
	s.MemoryMB = 256
	return s
}

func need(t testing.TB, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("SKIPPED: no %s on this host", program)
	}
}

func (f *fixture) try(s *runner.Spec, event string) (*runner.Result, error) {
	f.n++
	return f.Invoke(context.Background(), s, &runner.Invocation{RequestID: fmt.Sprintf("00000000-0000-4000-8000-%012d", f.n), Payload: []byte(event), TraceID: "Root=1-2-3"})
}

func (f *fixture) invoke(s *runner.Spec, event string) *runner.Result {
	f.t.Helper()
	res, err := f.try(s, event)
	if err != nil {
		f.t.Fatal(err)
	}
	return res
}

// answer is the payload of an invocation that must succeed.
func (f *fixture) answer(s *runner.Spec, event string) string {
	f.t.Helper()
	res := f.invoke(s, event)
	if res.FunctionError != "" {
		f.t.Fatalf("%s: %s\n%s", res.FunctionError, res.Payload, res.Log)
	}
	return string(res.Payload)
}

type failure struct {
	ErrorType, ErrorMessage, RequestID string
	StackTrace                         []string
}

// failure is what an invocation that must fail says.
func (f *fixture) failure(s *runner.Spec, event string) failure {
	f.t.Helper()
	res := f.invoke(s, event)
	if res.FunctionError != "Unhandled" {
		f.t.Fatalf("no failure: %s\n%s", res.Payload, res.Log)
	}
	var e failure
	if err := json.Unmarshal(res.Payload, &e); err != nil {
		f.t.Fatalf("%s: %v", res.Payload, err)
	}
	return e
}

func equal[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}

func contains(t testing.TB, what, got, want string) {
	t.Helper()
	if !strings.Contains(got, want) {
		t.Errorf("%s lacks %q:\n%s", what, want, got)
	}
}

func TestPythonAnswers(t *testing.T) {
	f := start(t)
	s := python(t, `
import os
print("loaded")
def handler(event, context):
    print("hello", event["name"])
    return {"hello": event["name"], "pid": os.getpid(), "arn": context.invoked_function_arn, "left": context.get_remaining_time_in_millis() > 4000}
`)
	first := f.invoke(s, `{"name":"蔵"}`)
	second := f.invoke(s, `{"name":"x"}`)
	contains(t, "answer", string(first.Payload), `"hello": "蔵"`)
	contains(t, "answer", string(first.Payload), `"left": true`)
	contains(t, "log", string(first.Log), "START RequestId: 00000000-0000-4000-8000-000000000001 Version: $LATEST\n")
	contains(t, "log", string(first.Log), "hello 蔵\nEND RequestId: 00000000-0000-4000-8000-000000000001\nREPORT RequestId: ")
	if first.InitDuration == 0 || second.InitDuration != 0 {
		t.Errorf("start took %v, then %v", first.InitDuration, second.InitDuration)
	}
	t.Logf("%s\n%s\n%v", first.Payload, f.logs, second.Duration)
}
