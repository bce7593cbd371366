package runner_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/function/runner"
)

// A function that does its worst harms itself alone.

func TestNothingOfTheServerLeaks(t *testing.T) {
	alone(t)
	t.Setenv("KURA_ADMIN_SECRET_ACCESS_KEY", "the-server's-own-secret")
	f := start(t)
	s := python(t, `
import os, glob
def handler(event, context):
    seen = {"env": dict(os.environ), "ids": [os.getuid(), os.getgid(), os.getgroups()], "user": None, "leaks": [], "fds": []}
    for p in glob.glob("/proc/[0-9]*"):
        for name in ("environ", "cmdline", "maps"):
            try:
                if b"own-secret" in open(p + "/" + name, "rb").read(): seen["leaks"].append(p + "/" + name)
            except OSError: pass
    seen["processes"] = sorted(int(p[6:]) for p in glob.glob("/proc/[0-9]*"))
    seen["fds"] = sorted(os.readlink("/proc/self/fd/" + n).split(":")[0] for n in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd/" + n))
    import pwd
    seen["user"] = pwd.getpwuid(os.getuid()).pw_name
    return seen
`)
	s.Env = map[string]string{"MINE": "1", "AWS_REGION": "mars", "AWS_LAMBDA_RUNTIME_API": "evil:1", "AWS_ACCESS_KEY_ID": "mine", "TZ": "Asia/Tokyo"}
	var seen struct {
		Env       map[string]string
		IDs       []any
		User      string
		Leaks     []string
		Fds       []string
		Processes []int
	}
	if err := json.Unmarshal([]byte(f.answer(s, "{}")), &seen); err != nil {
		t.Fatal(err)
	}
	equal(t, "leaks", len(seen.Leaks), 0)
	equal(t, "user", seen.User, "sbx_user1051")
	equal(t, "ids", fmt.Sprint(seen.IDs), "[993 990 []]")
	equal(t, "processes seen", len(seen.Processes), 1)
	equal(t, "files open", strings.Join(seen.Fds, " "), "/dev/null pipe pipe socket")
	var names []string
	for n := range seen.Env {
		names = append(names, n)
	}
	slices.Sort(names)
	equal(t, "environment", strings.Join(names, " "), "AWS_DEFAULT_REGION AWS_EXECUTION_ENV AWS_LAMBDA_FUNCTION_MEMORY_SIZE AWS_LAMBDA_FUNCTION_NAME AWS_LAMBDA_FUNCTION_VERSION "+
		"AWS_LAMBDA_INITIALIZATION_TYPE AWS_LAMBDA_LOG_GROUP_NAME AWS_LAMBDA_LOG_STREAM_NAME AWS_LAMBDA_RUNTIME_API AWS_REGION LAMBDA_RUNTIME_DIR LAMBDA_TASK_ROOT LANG LC_CTYPE LD_LIBRARY_PATH MINE PATH TZ _HANDLER _X_AMZN_TRACE_ID")
	equal(t, "region", seen.Env["AWS_REGION"], "eu-central-1")
	equal(t, "time zone", seen.Env["TZ"], "Asia/Tokyo")
}

func TestTheFileSystemIsNotTheHosts(t *testing.T) {
	alone(t)
	secret := filepath.Join(t.TempDir(), "record")
	if err := os.WriteFile(secret, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	f := start(t)
	s := python(t, `
import os
def handler(event, context):
    def written(path):
        try:
            open(path, "w").write("x"); return True
        except OSError: return False
    places = [d for d in ["/", "/tmp", "/var/task", "/var/runtime", "/usr", "/etc", "/dev", "/proc", "/var", "/var/tmp", "/dev/shm", "/home", "/root"] if written(d + "/w")]
    places += [p for p in ["/etc/passwd", "/var/task/app.py", "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proc/1/oom_score_adj", "/proc/sys/user/max_user_namespaces"] if written(p)]
    readable = []
    for p in event["look"]:
        try: readable.append((p, open(p, "rb").read(10).decode("latin-1")))
        except IsADirectoryError: readable.append((p, os.listdir(p)))
        except OSError: pass
    return {"writable": places, "root": sorted(os.listdir("/")), "etc": "shadow" in os.listdir("/etc"), "readable": readable, "dev": sorted(os.listdir("/dev"))}
`)
	event, err := json.Marshal(map[string][]string{"look": {secret, filepath.Dir(secret), "/etc/shadow", "/root/.bashrc", "/home", "/proc/1/environ", "/proc/1/root", "/proc/1/cwd", "/proc/1/fd", "/sys", "/run", "/old", "/var/lib", "/etc/ssl/private"}})
	if err != nil {
		t.Fatal(err)
	}
	var seen struct {
		Writable, Root, Dev []string
		Etc                 bool
		Readable            [][]any
	}
	if err := json.Unmarshal([]byte(f.answer(s, string(event))), &seen); err != nil {
		t.Fatal(err)
	}
	equal(t, "writable", strings.Join(seen.Writable, " "), "/tmp")
	equal(t, "shadow is there", seen.Etc, false)
	for _, r := range seen.Readable {
		if list, ok := r[1].([]any); !ok || len(list) > 0 {
			t.Errorf("readable: %v", r)
		}
	}
	t.Log(seen.Root, seen.Dev, seen.Readable)
}

func TestHiddenPathsAreCovered(t *testing.T) {
	alone(t)
	need(t, "python3")
	hidden := "/usr/share"
	f := start(t, func(c *runner.Config) { c.Hide = []string{hidden, "/usr/bin/env", "/does/not/exist"} })
	s := python(t, `
import os
def handler(event, context):
    return [os.listdir("/usr/share"), open("/usr/bin/env").read()]
`)
	equal(t, "seen", f.answer(s, "{}"), `[[], ""]`)
}

// TestHiddenPathsHaveNoOtherName: an interpreter's directory may be shown by the name of a link to it.
func TestHiddenPathsHaveNoOtherName(t *testing.T) {
	alone(t)
	need(t, "python3")
	said, err := exec.Command("python3", "-c", "import sys; print(sys.executable)").Output()
	if err != nil {
		t.Fatal(err)
	}
	python3 := strings.TrimSpace(string(said))
	dir, err := os.MkdirTemp("/var/tmp", "kura-") // a function has a /tmp of its own
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	real, link := filepath.Join(dir, "real"), filepath.Join(dir, "link")
	for _, err := range []error{
		os.MkdirAll(filepath.Join(real, "bin"), 0o755), os.Chmod(dir, 0o755), os.Symlink("real", link),
		os.Symlink(python3, filepath.Join(real, "bin", "python3")),
		os.WriteFile(filepath.Join(real, "pyvenv.cfg"), []byte("home = "+filepath.Dir(python3)+"\n"), 0o644),
		os.WriteFile(filepath.Join(real, "shown"), []byte("shown"), 0o644), os.WriteFile(filepath.Join(real, "secret"), []byte("secret"), 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", filepath.Join(link, "bin"))
	f := start(t, func(c *runner.Config) { c.Hide = []string{filepath.Join(real, "secret")} })
	code := fmt.Sprintf("def handler(event, context): return [open(%q + name).read() for name in ('/shown', '/secret')]", link)
	equal(t, "seen", f.answer(spec("python3.12", "app.handler", zipped(t, file{name: "app.py", content: code})), "{}"), `["shown", ""]`)
}

func TestRightsAreGone(t *testing.T) {
	alone(t)
	f := start(t)
	s := python(t, `
import ctypes, os, signal, socket
libc = ctypes.CDLL(None, use_errno=True)
def handler(event, context):
    got = []
    for name, flags in (("user", 0x10000000), ("mount", 0x00020000), ("net", 0x40000000), ("pid", 0x20000000)):
        if os.fork() == 0:
            os._exit(0 if libc.unshare(flags) == 0 else 1)
        if os.wait()[1] == 0: got.append("unshare " + name)
    if libc.mount(b"x", b"/tmp", b"tmpfs", 0, None) == 0: got.append("mount")
    if libc.umount2(b"/var/task", 2) == 0: got.append("umount")
    if libc.chroot(b"/tmp") == 0: got.append("chroot")
    if libc.ptrace(16, 1, 0, 0) == 0: got.append("ptrace 1")
    try: os.setuid(0); got.append("setuid")
    except OSError: pass
    for sig in (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM):
        try: os.kill(1, sig); 
        except OSError: pass
    for family, kind in ((socket.AF_PACKET, socket.SOCK_RAW), (socket.AF_INET, socket.SOCK_RAW), (38, socket.SOCK_SEQPACKET), (40, socket.SOCK_STREAM)):
        try: socket.socket(family, kind); got.append("socket %d" % family)
        except OSError: pass
    for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX): socket.socket(family).close()
    for name, call in (("bpf", 321), ("keyctl", 250), ("io_uring", 425), ("x32", 0x40000000 + 39)):
        if os.uname().machine == "x86_64" and libc.syscall(call, 0, 0, 0, 0, 0) != -1: got.append(name)
    status = dict(line.split(":\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\t" in line)
    return [got, status["CapEff"], status["CapPrm"], status["CapBnd"] and status["NoNewPrivs"]]
`)
	equal(t, "rights", f.answer(s, "{}"), `[[], "0000000000000000", "0000000000000000", "1"]`)
	equal(t, "rights", f.answer(s, "{}"), `[[], "0000000000000000", "0000000000000000", "1"]`)
}

func TestTimeIsUp(t *testing.T) {
	f := start(t)
	s := python(t, `
import time, os
def handler(event, context):
    if event:
        print("going to sleep", flush=True)
        if os.fork() == 0: os.setsid()
        while True: time.sleep(1)
    return os.getpid()
`)
	s.Timeout = time.Second
	f.answer(s, "0")
	res := f.invoke(s, "1")
	contains(t, "answer", string(res.Payload), `"errorType":"Sandbox.Timedout","errorMessage":"RequestId: 00000000-0000-4000-8000-000000000002 Error: Task timed out after 1.00 seconds"`)
	contains(t, "log", string(res.Log), "going to sleep\n")
	contains(t, "log", string(res.Log), "00000000-0000-4000-8000-000000000002 Task timed out after 1.00 seconds\n")
	contains(t, "log", string(res.Log), "Status: timeout")
	if res.Duration > 3*time.Second {
		t.Errorf("it took %v", res.Duration)
	}
	f.answer(s, "0")
	equal(t, "processes left", strings.Join(sandboxes(t), " ") != "", true)
	f.Close()
	equal(t, "processes left at the end", strings.Join(sandboxes(t), " "), "")
}

// sandboxes are this process's children that are sandboxes.
func sandboxes(t *testing.T) []string {
	t.Helper()
	var all []string
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		stat, err1 := os.ReadFile(d + "/stat")
		line, err2 := os.ReadFile(d + "/cmdline")
		if err1 != nil || err2 != nil || !strings.Contains(string(line), runner.SandboxArg) {
			continue
		}
		if strings.Contains(string(stat[strings.LastIndex(string(stat), ")"):]), fmt.Sprintf(" %d ", os.Getpid())) {
			all = append(all, d)
		}
	}
	return all
}

// TestAsAnOrdinaryUser runs some of these tests under a server that is not root.
func TestAsAnOrdinaryUser(t *testing.T) {
	alone(t)
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: all tests run as an ordinary user already")
	}
	start(t).Close() // skips where nothing can be isolated
	dir, err := os.MkdirTemp("", "ordinary")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chown(dir, 65500, 65500); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "-test.v", "-test.run=^(TestNothingOfTheServerLeaks|TestTheFileSystemIsNotTheHosts|TestRightsAreGone|TestTimeIsUp|TestNetworkOfAFunction)$")
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "TMPDIR=" + dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65500, Gid: 65500}}
	out, err := cmd.CombinedOutput()
	if strings.Contains(string(out), "SKIPPED: this host cannot isolate") {
		t.Skip("SKIPPED: this host isolates processes for root alone")
	}
	if err != nil || !strings.Contains(string(out), "--- PASS: TestNetworkOfAFunction") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestAForkBombGoesOffInside(t *testing.T) {
	alone(t)
	f := start(t)
	s := python(t, `
import os, time
def handler(event, context):
    n = 0
    while True:
        try:
            if os.fork() == 0:
                while True: time.sleep(100)
            n += 1
        except OSError as e:
            return n
`)
	s.MemoryMB, s.Timeout = 2048, 20*time.Second
	var n int
	res := f.invoke(s, "{}")
	if err := json.Unmarshal(res.Payload, &n); err != nil {
		t.Fatalf("%s %v", res.Payload, err)
	}
	if n < 500 || n > 1024 {
		t.Errorf("%d processes", n)
	}
	other := python(t, `def handler(event, context): return "well"`)
	other.ARN += "2"
	equal(t, "another", f.answer(other, "{}"), `"well"`)
	f.Retire(s.ARN)
}

func TestMemoryIsUsedUp(t *testing.T) {
	alone(t)
	f := start(t)
	hogs := map[string]string{
		"at once":     "x = bytearray(1 << 30)",
		"in steps":    "while True: a.append(bytearray(1 << 20)); time.sleep(0.0005)",
		"in children": "[os.fork() for _ in range(3)]\n    a.append(bytearray(60 << 20)); time.sleep(3)",
		"file":        "f = os.memfd_create('x')\n    while True: os.write(f, bytes(1 << 20))",
		"shared":      "import mmap; m = mmap.mmap(-1, 1 << 30)\n    for i in range(0, 1 << 30, 4096): m[i] = 1",
	}
	for name, hog := range hogs {
		t.Run(name, func(t *testing.T) {
			s := python(t, "import os, time\na = []\ndef handler(event, context):\n    "+hog+"\n")
			s.ARN += strings.ReplaceAll(name, " ", "-")
			e := f.failure(s, "{}")
			switch e.ErrorType {
			case "Runtime.OutOfMemory", "MemoryError", "PermissionError":
			default:
				t.Errorf("%+v", e)
			}
			t.Log(e.ErrorType, e.ErrorMessage)
		})
	}
	t.Logf("%s", f.logs)
}

func TestTheDiskIsFull(t *testing.T) {
	alone(t)
	f := start(t)
	s := python(t, `
import os
def handler(event, context):
    n = 0
    try:
        with open("/tmp/fill", "wb") as out:
            while True:
                out.write(bytes(1 << 20)); out.flush(); n += 1
    except OSError as e:
        bytes_error = e.errno
    os.unlink("/tmp/fill")
    i = 0
    try:
        os.mkdir("/tmp/many")
        while True:
            open("/tmp/many/%d" % i, "w").close(); i += 1
    except OSError as e:
        return [n <= 64, bytes_error, i < 5000, e.errno]
`)
	s.EphemeralMB, s.Timeout, s.MemoryMB = 64, 20*time.Second, 256
	equal(t, "filled", f.answer(s, "{}"), "[true, 27, true, 28]")
}

func TestAProcessStopsBetweenInvocations(t *testing.T) {
	f := start(t)
	s := python(t, `
import threading, time
n = 0
def count():
    global n
    while True:
        n += 1; time.sleep(0.001)
threading.Thread(target=count, daemon=True).start()
def handler(event, context): return n
`)
	var before, after int
	if err := json.Unmarshal([]byte(f.answer(s, "{}")), &before); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	if err := json.Unmarshal([]byte(f.answer(s, "{}")), &after); err != nil {
		t.Fatal(err)
	}
	if after-before > 500 {
		t.Errorf("a stopped process counted from %d to %d", before, after)
	}
}

func TestWhatAProcessLeavesBehindGoesWithIt(t *testing.T) {
	alone(t)
	f := start(t)
	s := python(t, `
import os, time
def handler(event, context):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            while True: time.sleep(1)
        os._exit(0)
    os._exit(3)
`)
	e := f.failure(s, "{}")
	equal(t, "message", e.ErrorMessage, "RequestId: 00000000-0000-4000-8000-000000000001 Error: Runtime exited with error: exit status 3")
	equal(t, "type", e.ErrorType, "Runtime.ExitError")
	f.Close()
	equal(t, "left", len(sandboxes(t)), 0)
}

func TestOutputIsBounded(t *testing.T) {
	f := start(t)
	s := python(t, `
import sys
def handler(event, context):
    if event == "long": sys.stdout.write("x" * 1000000 + "end\n")
    elif event == "binary": sys.stdout.buffer.write(bytes(range(256))); sys.stdout.flush()
    elif event == "much":
        for i in range(300): sys.stdout.write(("y" * 1023 + "\n") * 100)
    return "done"
`)
	equal(t, "long", f.answer(s, `"long"`), `"done"`)
	contains(t, "log", f.logs.String(), "xend\n")
	equal(t, "binary", f.answer(s, `"binary"`), `"done"`)
	s.Timeout = 20 * time.Second
	res := f.invoke(s, `"much"`)
	equal(t, "much", string(res.Payload), `"done"`)
	contains(t, "log", f.logs.String(), "the rest of its output is dropped")
	if n := len(f.logs.String()); n > 20<<20 {
		t.Errorf("%d bytes were kept", n)
	}
	if len(res.Log) > 4096 {
		t.Errorf("%d bytes of log", len(res.Log))
	}
	contains(t, "log", string(res.Log), "REPORT RequestId: ")
}
