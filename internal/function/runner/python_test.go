package runner_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/function/runner"
)

func TestPythonFailures(t *testing.T) {
	alone(t)
	f := start(t)
	cases := []struct {
		name, source, kind, message string
	}{
		{"exception", "def handler(e, c):\n    raise ValueError('bad: ' + e['x'])", "ValueError", "bad: 1"},
		{"own exception", "class Mine(Exception): pass\ndef handler(e, c): raise Mine('蔵')", "Mine", "蔵"},
		{"not JSON", "def handler(e, c): return object()", "Runtime.MarshalError", "Unable to marshal response: Object of type object is not JSON serializable"},
		{"a set in a list", "def handler(e, c): return [{1}]", "Runtime.MarshalError", "Unable to marshal response: Object of type set is not JSON serializable"},
		{"exit 1", "import sys\ndef handler(e, c): sys.exit(1)", "Runtime.ExitError", "RequestId: ID Error: Runtime exited with error: exit status 1"},
		{"exit 0", "import sys\ndef handler(e, c): sys.exit(0)", "Runtime.ExitError", "RequestId: ID Error: Runtime exited without providing a reason"},
		{"killed", "import os\ndef handler(e, c): os.kill(os.getpid(), 9)", "Runtime.ExitError", "RequestId: ID Error: Runtime exited with error: signal: killed"},
		{"crash", "import ctypes\ndef handler(e, c): ctypes.string_at(0)", "Runtime.ExitError", "RequestId: ID Error: Runtime exited with error: signal: segmentation fault"},
		{"no module", "import does_not_exist", "Runtime.ImportModuleError", "Unable to import module 'app': No module named 'does_not_exist'"},
		{"syntax", "def handler(:", "Runtime.UserCodeSyntaxError", "Syntax error in module 'app': invalid syntax (app.py, line 1)"},
		{"no handler", "def other(e, c): pass", "Runtime.HandlerNotFound", "Handler 'handler' missing on module 'app'"},
		{"start", "x = {}['key']", "KeyError", "'key'"},
		{"start exits", "import sys; sys.exit(4)", "Runtime.ExitError", "RequestId: ID Error: Runtime exited with error: exit status 4"},
		{"wrong signature", "def handler(): pass", "TypeError", "handler() takes 0 positional arguments but 2 were given"},
		{"recursion", "def handler(e, c): return handler(e, c)", "RecursionError", "maximum recursion depth exceeded"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := python(t, c.source)
			e := f.failure(s, `{"x":"1"}`)
			equal(t, "type", e.ErrorType, c.kind)
			equal(t, "message", e.ErrorMessage, strings.ReplaceAll(c.message, "ID", fmt.Sprintf("00000000-0000-4000-8000-%012d", f.n)))
			if c.name == "exception" {
				equal(t, "stack", strings.Join(e.StackTrace, ""), "  File \"/var/task/app.py\", line 2, in handler\n    raise ValueError('bad: ' + e['x'])\n")
			}
			f.Retire(s.ARN)
		})
	}
}

func TestPythonHandlerNames(t *testing.T) {
	alone(t)
	f := start(t)
	need(t, "python3")
	code := zipped(t, file{name: "a/b.py", content: "from a.c import word\ndef handler(e, c): return word"}, file{name: "a/c.py", content: "word = 'found'"}, file{name: "top.py", content: "class K:\n  def handler(self, e, c): return 1"})
	for handler, want := range map[string]string{"a/b.handler": `"found"`, "a.b.handler": `"found"`} {
		equal(t, handler, f.answer(spec("python3.9", handler, code), "{}"), want)
	}
	for handler, want := range map[string]string{"nodot": "Runtime.MalformedHandlerName", "b.handler": "Runtime.ImportModuleError", "top.nothing": "Runtime.HandlerNotFound", "../../etc.handler": "TypeError"} {
		equal(t, handler, f.failure(spec("python3.9", handler, code), "{}").ErrorType, want)
	}
}

func TestPythonContext(t *testing.T) {
	alone(t)
	f := start(t)
	s := python(t, `
import json, logging, os
logger = logging.getLogger(); logger.setLevel(logging.INFO)
def handler(event, c):
    logger.info("two\nlines"); logging.debug("unheard")
    return [c.aws_request_id, c.function_name, c.function_version, c.memory_limit_in_mb, c.log_group_name, c.log_stream_name.startswith("2"),
      c.client_context.custom, c.client_context.client.app_title, c.identity.cognito_identity_id, os.environ["_X_AMZN_TRACE_ID"], os.getcwd(), event]
`)
	res, err := f.Invoke(context.Background(), s, &runner.Invocation{RequestID: "r-1", Payload: []byte(`[1, "é"]`), TraceID: "Root=7", ClientContext: `{"custom":{"k":"é"},"client":{"app_title":"t"}}`})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "context", string(res.Payload), `["r-1", "f", "$LATEST", "128", "/aws/lambda/f", true, {"k": "é"}, "t", null, "Root=7", "/var/task", [1, "é"]]`)
	contains(t, "log", string(res.Log), "Z\tr-1\ttwo\nlines\n")
	if strings.Contains(string(res.Log), "unheard") {
		t.Errorf("%s", res.Log)
	}
}

func TestPayloads(t *testing.T) {
	alone(t)
	f := start(t)
	s := python(t, `def handler(event, context): return "x" * event["n"]`)
	s.Timeout = 20 * time.Second
	equal(t, "6 MB", len(f.answer(s, `{"n":6291454}`)), 6291456)
	e := f.failure(s, `{"n":6291655}`)
	equal(t, "type", e.ErrorType, "Function.ResponseSizeTooLarge")
	equal(t, "message", e.ErrorMessage, "Response payload size exceeded maximum allowed payload size (6291556 bytes).")
	equal(t, "after it", f.answer(s, `{"n":1}`), `"x"`)
	big := `{"n":2,"pad":"` + strings.Repeat("y", 6<<20-20) + `"}`
	equal(t, "large event", f.answer(s, big), `"xx"`)
	equal(t, "broken event", f.failure(s, `{"n":`).ErrorType, "Runtime.UnmarshalError")
}

func TestCredentialsAreRenewed(t *testing.T) {
	f := start(t)
	n := 0
	life := time.Hour
	s := python(t, `
import os
def handler(event, context): return [os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"], os.environ["AWS_SESSION_TOKEN"]]
`)
	s.Credentials = func(context.Context) (runner.Credentials, error) {
		n++
		return runner.Credentials{AccessKeyID: fmt.Sprintf("ASIA%d", n), SecretAccessKey: "secret", SessionToken: "token", Expiration: time.Now().Add(life)}, nil
	}
	equal(t, "first", f.answer(s, "{}"), `["ASIA1", "secret", "token"]`)
	equal(t, "warm", f.answer(s, "{}"), `["ASIA1", "secret", "token"]`)
	f.Retire(s.ARN)
	life = 9 * time.Second
	equal(t, "retired", f.answer(s, "{}"), `["ASIA2", "secret", "token"]`)
	equal(t, "about to expire", f.answer(s, "{}"), `["ASIA3", "secret", "token"]`)
	life, s.Role = time.Hour, "arn:aws:iam::111122223333:role/other"
	equal(t, "another role, not retired in time", f.answer(s, "{}"), `["ASIA4", "secret", "token"]`)
	f.Retire(s.ARN)
	s.Credentials = func(context.Context) (runner.Credentials, error) { return runner.Credentials{}, io.ErrNoProgress }
	if _, err := f.try(s, "{}"); err == nil {
		t.Error("it ran without credentials")
	}
}

// published is code of the case studies, which stands outside of the project.

func published(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("KURA_CASES")
	if dir == "" {
		dir = "../../../../shared/cases"
	}
	b, err := os.ReadFile(dir + "/" + name)
	if err != nil {
		t.Skipf("SKIPPED: the published code of the case studies is not here (KURA_CASES): %v", err)
	}
	return string(b)
}

func TestPublishedNotifier(t *testing.T) {
	alone(t)
	var got []string
	slack := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got = append(got, string(b))
		io.WriteString(w, "ok")
	}))
	defer slack.Close()
	f := start(t)
	s := spec("python3.9", "lambda_function.lambda_handler", zipped(t, file{name: "lambda_function.py", content: published(t, "s3_notifier.py")}))
	s.Env = map[string]string{"WEB_HOOK_URL": slack.URL, "CHANNEL": "#alerts", "ENV": "本番"}
	event := func(kind string) string {
		return `{"detail":{"resourceId":"open-bucket","newEvaluationResult":{"complianceType":"` + kind + `","annotation":"The bucket policy allows public read."}}}`
	}
	equal(t, "answer", f.answer(s, event("NON_COMPLIANT")), `"ok"`)
	equal(t, "answer", f.answer(s, event("COMPLIANT")), `null`)
	if len(got) != 1 {
		t.Fatalf("%d messages: %q", len(got), got)
	}
	var message struct{ Text, Channel, Username string }
	if err := json.Unmarshal([]byte(strings.TrimPrefix(got[0], "payload=")), &message); err != nil {
		t.Fatal(err)
	}
	equal(t, "channel", message.Channel, "#alerts")
	equal(t, "user", message.Username, "本番でS3が全体公開されました")
	contains(t, "text", message.Text, "open-bucket")
	contains(t, "log", f.logs.String(), `Received event: {"detail": {"resourceId": "open-bucket"`)
}

func TestPublishedWriter(t *testing.T) {
	alone(t)
	var got []string
	s3 := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if strings.Contains(r.URL.Path, "/mksamba-bucket-sse-kms/") {
			w.WriteHeader(http.StatusForbidden)
			io.WriteString(w, `<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>`)
			return
		}
		got = append(got, r.Method+" "+r.URL.Path+" "+strings.SplitN(r.Header.Get("Authorization"), "/", 2)[0])
	}))
	defer s3.Close()
	f := start(t, func(c *runner.Config) { c.Endpoint = s3.URL })
	s := spec("python3.9", "lambda_function.lambda_handler", zipped(t, file{name: "lambda_function.py", content: published(t, "s2_writer.py")}))
	s.Credentials = func(context.Context) (runner.Credentials, error) {
		return runner.Credentials{AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: "s", SessionToken: "t"}, nil
	}
	s.MemoryMB, s.Timeout = 256, 30*time.Second
	e := f.failure(s, "{}")
	if e.ErrorType == "Runtime.ImportModuleError" {
		t.Skip("SKIPPED: the host's python3 has no boto3")
	}
	equal(t, "type", e.ErrorType, "S3UploadFailedError")
	contains(t, "message", e.ErrorMessage, "(AccessDenied) when calling the PutObject operation: Access Denied")
	if len(got) != 1 || !strings.HasPrefix(got[0], "PUT /mksamba-bucket-sse-s3/20") || !strings.HasSuffix(got[0], ".txt AWS4-HMAC-SHA256 Credential=ASIAEXAMPLE") {
		t.Errorf("%q", got)
	}
	t.Logf("%s", f.logs)
}
