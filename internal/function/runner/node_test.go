package runner_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kura-s3/kura/internal/function/runner"
)

func TestNodeAnswers(t *testing.T) {
	alone(t)
	f := start(t)
	cases := []struct{ name, file, source, want string }{
		{"async", "app.js", `exports.handler = async (event, context) => ({ got: event.x, fn: context.functionName, left: context.getRemainingTimeInMillis() > 1000 })`, `{"got":1,"fn":"f","left":true}`},
		{"callback", "app.js", `exports.handler = (event, context, callback) => { setTimeout(() => callback(null, event.x + 1), 10) }`, `2`},
		{"callback waits for the rest", "app.js", `let n = 0; exports.handler = (event, context, callback) => { setTimeout(() => { n = 5; console.log("late") }, 30); callback(null, "now") }`, `"now"`},
		{"context.succeed", "app.js", `exports.handler = (event, context) => { context.succeed([1]) }`, `[1]`},
		{"nothing", "app.js", `exports.handler = (event, context, callback) => {}`, `null`},
		{"never", "app.js", `exports.handler = async () => new Promise(() => {})`, `null`},
		{"undefined", "app.js", `exports.handler = async () => undefined`, `null`},
		{"module", "app.mjs", `import os from "node:os"; const up = await Promise.resolve(7); export const handler = async () => [typeof os.hostname(), up]`, `["string",7]`},
		{"cjs", "app.cjs", `module.exports.handler = async () => require("path").basename(__filename)`, `"app.cjs"`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := node(t, c.file, c.source)
			equal(t, "answer", f.answer(s, `{"x":1}`), c.want)
			equal(t, "again", f.answer(s, `{"x":1}`), c.want)
			f.Retire(s.ARN)
		})
	}
	contains(t, "log", f.logs.String(), "Z\t00000000-0000-4000-8000-000000000005\tINFO\tlate")
}

func TestNodeFailures(t *testing.T) {
	alone(t)
	f := start(t)
	cases := []struct{ name, source, kind, message string }{
		{"throws", `exports.handler = async () => { throw new TypeError("bad") }`, "TypeError", "bad"},
		{"throws at once", `exports.handler = (e, c, cb) => { throw new Error("bad") }`, "Error", "bad"},
		{"callback", `exports.handler = (e, c, cb) => cb(new RangeError("far"))`, "RangeError", "far"},
		{"callback of text", `exports.handler = (e, c, cb) => cb("text")`, "string", "text"},
		{"fail", `exports.handler = (e, c) => c.fail(new Error("failed"))`, "Error", "failed"},
		{"circular", `exports.handler = async () => { const a = {}; a.a = a; return a }`, "Runtime.MarshalError", "Unable to stringify response body: Converting circular structure to JSON"},
		{"big number", `exports.handler = async () => 1n`, "Runtime.MarshalError", "Unable to stringify response body: Do not know how to serialize a BigInt"},
		{"exit", `exports.handler = async () => process.exit(1)`, "Runtime.ExitError", "RequestId: ID Error: Runtime exited with error: exit status 1"},
		{"uncaught", `exports.handler = () => { setTimeout(() => { throw new Error("later") }, 1) }`, "Error", "later"},
		{"rejection", `exports.handler = () => { Promise.reject(new Error("nobody")) }`, "Runtime.UnhandledPromiseRejection", "Error: nobody"},
		{"no module", `require("does-not-exist")`, "Runtime.ImportModuleError", "Error: Cannot find module 'does-not-exist'"},
		{"syntax", `exports.handler = (`, "Runtime.UserCodeSyntaxError", "SyntaxError: Unexpected"},
		{"no handler", `exports.other = 1`, "Runtime.HandlerNotFound", "app.handler is undefined or not exported"},
		{"no function", `exports.handler = 1`, "Runtime.HandlerNotFound", "app.handler is not a function"},
		{"memory", `exports.handler = async () => { const a = []; for (;;) a.push(Buffer.alloc(1 << 20, 1)) }`, "Runtime.OutOfMemory", "RequestId: ID Error: Runtime exited with error: signal: killed"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := node(t, "app.js", c.source)
			e := f.failure(s, `{}`)
			equal(t, "type", e.ErrorType, c.kind)
			if want := strings.ReplaceAll(c.message, "ID", fmt.Sprintf("00000000-0000-4000-8000-%012d", f.n)); !strings.HasPrefix(e.ErrorMessage, want) {
				t.Errorf("message: %s, not %s", e.ErrorMessage, want)
			}
			f.Retire(s.ARN)
		})
	}
}

func TestNodePackagesAndFolders(t *testing.T) {
	alone(t)
	f := start(t)
	need(t, "node")
	code := zipped(t,
		file{name: "package.json", content: `{"type":"module"}`},
		file{name: "src/main.js", content: `import { word } from "mine"; export const api = { run: async () => word };`},
		file{name: "node_modules/mine/package.json", content: `{"name":"mine","type":"module","exports":"./i.js"}`},
		file{name: "node_modules/mine/i.js", content: `export const word = "found";`})
	s := spec("nodejs22.x", "src/main.api.run", code)
	s.MemoryMB = 256
	equal(t, "answer", f.answer(s, "{}"), `"found"`)
}

// TestAnInterpreterInAHome: for the sake of an interpreter in ~/bin nobody's home is shown.
func TestAnInterpreterInAHome(t *testing.T) {
	home, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	node := filepath.Join(home, "bin", "node")
	if err := os.Mkdir(filepath.Dir(node), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(node, []byte("#!/bin/sh\necho '{\"executable\": \""+node+"\", \"version\": \"22.0.0\"}'\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	shown, err := runner.NodePrefixes(t.Context(), node)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "shown", strings.Join(shown, " "), filepath.Join(home, "bin")+" "+filepath.Join(home, "lib"))
}
