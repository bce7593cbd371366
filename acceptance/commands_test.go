package acceptance

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// running is the server of each story, by its work directory.
var running sync.Map

func startCommand(ts *testscript.TestScript, neg bool, args []string) {
	work := ts.Getenv("WORK")
	if len(args) > 0 && args[0] == "-fail" {
		refusedStart(ts, args[1:])
		return
	}
	if _, already := running.Load(work); already {
		ts.Fatalf("kura runs already")
	}
	s, err := start(ts.Getenv("DATA"), filepath.Join(work, "kura.log"), environment(ts), args...)
	if err != nil {
		b, _ := os.ReadFile(filepath.Join(work, "kura.log"))
		ts.Fatalf("%v\n%s", err, b)
	}
	running.Store(work, s)
	ts.Defer(func() {
		if s, ok := running.LoadAndDelete(work); ok {
			s.(*server).kill()
		}
	})
	for name, value := range s.client {
		ts.Setenv(name, value)
	}
	ts.Setenv("ENDPOINT", s.plain)
	ts.Setenv("ENDPOINT_TLS", s.secure)
	for id, url := range s.named {
		ts.Setenv("ENDPOINT_"+strings.ReplaceAll(id, "-", "_"), url)
	}
	ts.Setenv("PID", strconv.Itoa(s.cmd.Process.Pid))
	fmt.Fprint(ts.Stdout(), s.notices())
}

// refusedStart runs a serve that must not come up.
func refusedStart(ts *testscript.TestScript, args []string) {
	cmd := exec.Command(binary, append([]string{"serve"}, args...)...)
	cmd.Env, cmd.Dir = environment(ts), ts.Getenv("WORK")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		ts.Fatalf("kura was to refuse to start: %v\n%s", err, out)
	}
	fmt.Fprintf(ts.Stdout(), "exit status %d\n%s", exit.ExitCode(), out)
}

// environment is the story's, without the AWS settings that are for clients.
func environment(ts *testscript.TestScript) []string {
	env := []string{"HOME=" + ts.Getenv("HOME"), "PATH=" + ts.Getenv("PATH")}
	for _, name := range []string{
		"KURA_ADMIN_ACCESS_KEY_ID", "KURA_ADMIN_SECRET_ACCESS_KEY", "KURA_ROOT_ACCESS_KEY_ID", "KURA_ROOT_SECRET_ACCESS_KEY",
		"KURA_CONFIG", "KURA_REGION", "KURA_LOG_LEVEL", "CREDENTIALS_DIRECTORY", "GODEBUG",
	} {
		if v := ts.Getenv(name); v != "" {
			env = append(env, name+"="+v)
		}
	}
	return env
}

func take(ts *testscript.TestScript) *server {
	s, ok := running.LoadAndDelete(ts.Getenv("WORK"))
	if !ok {
		ts.Fatalf("kura does not run")
	}
	return s.(*server)
}

func stopCommand(ts *testscript.TestScript, neg bool, args []string) { ts.Check(take(ts).stop()) }

func killCommand(ts *testscript.TestScript, neg bool, args []string) { take(ts).kill() }

// loose is for requests without credentials: stories look at the answer, not at the certificate.
var loose = &http.Client{
	Transport:     &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func httpCommand(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: http METHOD URL [NAME:VALUE…]")
	}
	r, err := http.NewRequest(args[0], args[1], http.NoBody)
	ts.Check(err)
	for _, h := range args[2:] {
		name, value, _ := strings.Cut(h, ":")
		if strings.EqualFold(name, "Host") {
			r.Host = value
			continue
		}
		r.Header.Add(name, value)
	}
	resp, err := loose.Do(r)
	ts.Check(err)
	defer resp.Body.Close()
	fmt.Fprintln(ts.Stdout(), resp.StatusCode)
	var names []string
	for name := range resp.Header {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		fmt.Fprintf(ts.Stdout(), "%s: %s\n", strings.ToLower(name), strings.Join(resp.Header[name], ", "))
	}
	fmt.Fprintln(ts.Stdout())
	_, err = io.Copy(ts.Stdout(), resp.Body)
	ts.Check(err)
}

func randomCommand(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: random FILE SIZE")
	}
	size, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	path := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(filepath.Dir(path), 0o755))
	f, err := os.Create(path)
	ts.Check(err)
	_, err = io.Copy(f, io.LimitReader(rand.NewChaCha8([32]byte([]byte(fmt.Sprintf("%-32.32s", args[0])))), size))
	ts.Check(errors.Join(err, f.Close()))
}

func nowhereCommand(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 || args[0] == "" {
		ts.Fatalf("usage: nowhere TEXT DIR")
	}
	files := 0
	ts.Check(filepath.WalkDir(ts.MkAbs(args[1]), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "client.env" {
			return err
		}
		files++
		b, err := os.ReadFile(path)
		if err == nil && bytes.Contains(b, []byte(args[0])) {
			return fmt.Errorf("%s holds %q", path, args[0])
		}
		return err
	}))
	if files == 0 {
		ts.Fatalf("%s holds no file to look into", args[1])
	}
}

// damageCommand flips a bit among the bytes that are not zero: preallocated space proves nothing.
func damageCommand(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: damage DIR")
	}
	var largest string
	var size int64
	ts.Check(filepath.WalkDir(ts.MkAbs(args[0]), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		fi, err := d.Info()
		if err == nil && fi.Size() > size {
			largest, size = path, fi.Size()
		}
		return err
	}))
	b, err := os.ReadFile(largest)
	ts.Check(err)
	used := bytes.TrimRight(b, "\x00")
	at := int64(len(used) / 2)
	f, err := os.OpenFile(largest, os.O_RDWR, 0)
	ts.Check(err)
	_, err = f.WriteAt([]byte{used[at] ^ 0x10}, at)
	ts.Check(errors.Join(err, f.Close()))
	ts.Logf("flipped a bit of %s at %d of %d", largest, at, len(used))
}
