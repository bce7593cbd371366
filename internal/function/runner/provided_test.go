package runner_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/function/runner"
)

// actAsRuntime makes the test's own program a runtime that speaks the Runtime API by itself. The handler's name
// says how it behaves.
func actAsRuntime() {
	base := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/"
	post := func(path, body string) string {
		res, err := http.Post(base+path, "application/json", strings.NewReader(body))
		if err != nil {
			return err.Error()
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		return fmt.Sprintf("%d %s", res.StatusCode, bytes.TrimSpace(b))
	}
	if os.Getenv("_HANDLER") == "cannot" {
		fmt.Println(post("init/error", `not JSON`))
		os.Exit(7)
	}
	for {
		res, err := http.Get(base + "invocation/next")
		if err != nil {
			panic(err)
		}
		event, _ := io.ReadAll(res.Body)
		res.Body.Close()
		id := res.Header.Get("Lambda-Runtime-Aws-Request-Id")
		at := "invocation/" + id
		switch os.Getenv("_HANDLER") {
		case "echo":
			post(at+"/response", string(event))
		case "wrong":
			fmt.Println("other id:", post("invocation/other/response", "{}"))
			fmt.Println("strange:", post(at+"/strange", "{}"))
			fmt.Println("no such:", post("nothing", "{}"))
			fmt.Println("init error:", post("init/error", "{}"))
			again, err := http.Get(base + "invocation/next")
			fmt.Println("next again:", again.StatusCode, err)
			fmt.Println("first:", post(at+"/response", `"first"`))
			fmt.Println("second:", post(at+"/response", `"second"`))
			fmt.Println("late error:", post(at+"/error", `{}`))
		case "hoards":
			fmt.Println("while another is read:", hoard(os.Getenv("AWS_LAMBDA_RUNTIME_API"), at, post))
		case "lingers":
			post(at+"/response", `"early"`)
			if gate := strings.Trim(string(event), `"`); gate != "" {
				if answer, err := http.Get(gate); err == nil {
					answer.Body.Close()
				}
			}
		case "floods":
			post(at+"/response", fmt.Sprintf("%q", flood(string(event))))
		case "network":
			post(at+"/response", fmt.Sprintf("%q", reach(string(event))))
		}
	}
}

// hoard leaves one answer half said while it gives another, then says the rest.
func hoard(api, at string, post func(path, body string) string) string {
	host, path, _ := strings.Cut(api, "/")
	c, err := net.Dial("tcp", host)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	fmt.Fprintf(c, "POST /%s/2018-06-01/runtime/%s/response HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 6\r\n\r\n", path, at)
	b := make([]byte, 1024)
	_, _ = c.Read(b) // 100 Continue: it is being read
	second := post(at+"/response", `"second"`)
	fmt.Fprint(c, `"half"`)
	_, _ = c.Read(b)
	return second
}

// flood opens connections until there are so many, half of them silent, and says how many answered.
func flood(address string) string {
	if address = strings.Trim(address, `"`); address == "self" {
		address = os.Getenv("AWS_LAMBDA_RUNTIME_API")
	}
	host, path, _ := strings.Cut(address, "/")
	answered := 0
	for range 300 {
		if c, err := net.Dial("tcp", host); err == nil {
			defer c.Close()
		}
		c, err := net.Dial("tcp", host)
		if err != nil {
			continue
		}
		defer c.Close()
		fmt.Fprintf(c, "GET /%s/2018-06-01/runtime/nothing HTTP/1.1\r\nHost: x\r\n\r\n", path)
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		b := make([]byte, 1024)
		if n, _ := c.Read(b); strings.Contains(string(b[:n]), "404") && !strings.Contains(string(b[:n]), "Connection: close") {
			answered++
		}
	}
	return fmt.Sprint(answered)
}

func reach(event string) string {
	var all []string
	for address := range strings.FieldsSeq(strings.Trim(event, `"`)) {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			c.Close()
		}
		all = append(all, fmt.Sprint(err == nil))
	}
	if u := os.Getenv("AWS_ENDPOINT_URL"); u != "" {
		res, err := http.Get(u + "/hello")
		if err != nil {
			return err.Error()
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		all = append(all, string(b))
	}
	return strings.Join(all, " ")
}

var runtimeZip []byte

func provided(t testing.TB, handler string) *runner.Spec {
	t.Helper()
	if runtimeZip == nil {
		self, err := os.ReadFile("/proc/self/exe")
		if err != nil {
			t.Fatal(err)
		}
		runtimeZip = zipped(t, file{name: "bootstrap", content: string(self), mode: 0o755})
	}
	s := spec("provided.al2023", handler, runtimeZip)
	s.MemoryMB = 256
	return s
}

func TestProvidedRuntime(t *testing.T) {
	alone(t)
	f := start(t)
	s := provided(t, "echo")
	for range 5 {
		equal(t, "echo", f.answer(s, `{"a": [1]}`), `{"a": [1]}`)
	}
}

func TestProvidedShellScript(t *testing.T) {
	alone(t)
	f := start(t)
	need(t, "curl")
	s := spec("provided.al2", "x", zipped(t, file{name: "bootstrap", mode: 0o755, content: `#!/bin/sh
while true; do
  H=$(mktemp)
  E=$(curl -sS -D "$H" "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/next")
  ID=$(grep -i Lambda-Runtime-Aws-Request-Id "$H" | tr -d '[:space:]' | cut -d: -f2)
  echo "event: $E"
  curl -sS -o /dev/null "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/$ID/response" -d "[$E]"
done
`}))
	equal(t, "answer", f.answer(s, `1`), `[1]`)
	contains(t, "log", f.logs.String(), "event: 1")
}

func TestTheRuntimeAPIRefuses(t *testing.T) {
	f := start(t)
	res := f.invoke(provided(t, "wrong"), "{}")
	equal(t, "answer", string(res.Payload), `"first"`)
	f.Close()
	log := f.logs.String()
	contains(t, "log", log, `other id: 400 {"errorMessage":"Invalid request ID","errorType":"InvalidRequestID"}`)
	contains(t, "log", log, "strange: 404 ")
	contains(t, "log", log, "no such: 404 ")
	contains(t, "log", log, "init error: 403 ")
	contains(t, "log", log, "next again: 403 <nil>")
	contains(t, "log", log, `first: 202 {"status":"OK"}`)
	contains(t, "log", log, "second: 403 ")
	contains(t, "log", log, "late error: 403 ")
}

// TestOneAnswerIsReadAtATime: what a process has the server keep in memory is bounded.
func TestOneAnswerIsReadAtATime(t *testing.T) {
	f := start(t)
	equal(t, "answer", string(f.invoke(provided(t, "hoards"), "{}").Payload), `"half"`)
	f.Close()
	contains(t, "log", f.logs.String(), "while another is read: 403 ")
}

func TestConnectionsAreBounded(t *testing.T) {
	alone(t)
	f := start(t)
	s := provided(t, "floods")
	s.Timeout = 30 * time.Second
	equal(t, "connections that were served", f.answer(s, `""`), `"0"`)
	s.Env = map[string]string{"SELF": "1"}
	var n int
	if _, err := fmt.Sscanf(f.answer(s, `"self"`), `"%d"`, &n); err != nil || n < 100 || n > 127 {
		t.Errorf("%d connections were served: %v", n, err)
	}
	other := provided(t, "echo")
	other.ARN += "2"
	equal(t, "another", f.answer(other, "1"), "1")
	equal(t, "again", f.answer(s, `""`), `"0"`)
}

func TestARuntimeThatCannotStart(t *testing.T) {
	alone(t)
	f := start(t)
	e := f.failure(provided(t, "cannot"), "{}")
	equal(t, "type", e.ErrorType, "Runtime.Unknown")
	equal(t, "message", e.ErrorMessage, "not JSON")
	script := func(name, content string, mode os.FileMode) *runner.Spec {
		return spec("provided.al2023", "x", zipped(t, file{name: name, content: content, mode: mode}))
	}
	equal(t, "no bootstrap", f.failure(script("other", "", 0o755), "{}").ErrorType, "Runtime.InvalidEntrypoint")
	equal(t, "not executable", f.failure(script("bootstrap", "#!/bin/sh\n", 0o644), "{}").ErrorType, "Runtime.InvalidEntrypoint")
	equal(t, "no program", f.failure(script("bootstrap", "what is this", 0o755), "{}").ErrorType, "Runtime.InvalidEntrypoint")
	equal(t, "ends", f.failure(script("bootstrap", "#!/bin/sh\nexit 9\n", 0o755), "{}").ErrorMessage, "RequestId: "+fmt.Sprintf("00000000-0000-4000-8000-%012d", f.n)+" Error: Runtime exited with error: exit status 9")
}

func TestAnAnswerIsNotHeldBack(t *testing.T) {
	open := make(chan struct{})
	gate := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-open }))
	defer gate.Close()
	release := sync.OnceFunc(func() { close(open) })
	defer release()
	f := start(t, func(c *runner.Config) { c.MaxConcurrent = 1 })
	s := provided(t, "lingers")
	s.Timeout = time.Minute
	equal(t, "answer", f.answer(s, `"`+gate.URL+`"`), `"early"`)
	// Until it comes back it has the one place that there is.
	if _, err := f.try(s, `""`); !errors.Is(err, runner.ErrThrottled) {
		t.Errorf("beside it: %v", err)
	}
	release()
	res, err := f.try(s, `""`)
	for errors.Is(err, runner.ErrThrottled) {
		time.Sleep(time.Millisecond)
		res, err = f.try(s, `""`)
	}
	if err != nil || res.InitDuration != 0 {
		t.Errorf("the process was not used again: %v", err)
	}
}

func TestNetworkOfAFunction(t *testing.T) {
	kura, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer kura.Close()
	go http.Serve(kura, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "kura"+r.URL.Path) }))
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for network, want := range map[runner.Network]string{runner.NetworkHost: `"true kura/hello"`, runner.NetworkNone: `"false kura/hello"`} {
		f := start(t, func(c *runner.Config) { c.Network, c.Endpoint = network, "http://"+kura.Addr().String() })
		equal(t, string(network), f.answer(provided(t, "network"), `"`+other.Addr().String()+`"`), want)
		equal(t, string(network)+" again", f.answer(provided(t, "network"), `"`+other.Addr().String()+`"`), want)
		f.Close()
	}
	need(t, "python3")
	f := start(t, func(c *runner.Config) {
		c.Network, c.Endpoint = runner.NetworkNone, "http://kura.example:"+portOf(kura)
	})
	s := python(t, "import urllib.request, os\ndef handler(e, c): return urllib.request.urlopen(os.environ['AWS_ENDPOINT_URL'] + '/x').read().decode() + os.environ['AWS_LAMBDA_RUNTIME_API']")
	_ = s // the name resolves inside to 127.0.0.1; outside it does not exist, so the answer is an error of the connection
	if e := f.failure(s, "{}"); e.ErrorType != "RemoteDisconnected" && e.ErrorType != "ConnectionResetError" {
		t.Errorf("%+v", e)
	}
}

func portOf(l net.Listener) string { _, p, _ := net.SplitHostPort(l.Addr().String()); return p }
