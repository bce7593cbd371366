package acceptance

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// startTimeout and stopTimeout bound what is waited for on a slow machine.
const (
	startTimeout = time.Minute
	stopTimeout  = time.Minute
)

// server is one running kura.
type server struct {
	cmd    *exec.Cmd
	data   string
	client map[string]string // what client.env says
	plain  string            // endpoint without TLS
	secure string
	named  map[string]string // by the id of an --endpoint
	exited chan error

	mu     sync.Mutex
	notice strings.Builder
}

// start runs kura on data and waits until it is ready. Logs are appended to logPath.
func start(data, logPath string, env []string, flags ...string) (*server, error) {
	args := append([]string{"serve", "--data", data, "--listen", "127.0.0.1:0", "--listen-tls", "127.0.0.1:0"}, flags...)
	s := &server{cmd: exec.Command(binary, args...), data: data, named: map[string]string{}, exited: make(chan error, 1)}
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s.cmd.Env, s.cmd.Stderr = env, log
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	told := make(chan struct{})
	go s.listen(out, told)
	select {
	case <-told:
	case err := <-s.exited:
		return s, fmt.Errorf("kura ended while starting: %w", err)
	case <-time.After(startTimeout):
		s.cmd.Process.Kill()
		return s, errors.New("kura did not tell its endpoints")
	}
	if err := s.waitReady(); err != nil {
		s.cmd.Process.Kill()
		return s, err
	}
	s.client, err = readClientEnv(filepath.Join(data, "client.env"))
	return s, err
}

// listen reads the notices: told is closed after their last line.
func (s *server) listen(out io.Reader, told chan struct{}) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		s.mu.Lock()
		s.notice.WriteString(lines.Text() + "\n")
		switch {
		case len(f) == 2 && f[0] == "endpoint" && strings.HasPrefix(f[1], "https:"):
			s.secure = f[1]
		case len(f) == 3 && f[0] == "endpoint":
			s.named[f[2]] = f[1]
		case len(f) == 2 && f[0] == "endpoint":
			s.plain = f[1]
		case len(f) > 0 && f[0] == "Stop:":
			close(told)
		}
		s.mu.Unlock()
	}
	s.exited <- s.cmd.Wait()
}

func (s *server) notices() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.notice.String()
}

func (s *server) waitReady() error {
	for end := time.Now().Add(startTimeout); ; time.Sleep(5 * time.Millisecond) {
		resp, err := http.Get(s.plain + "/-/ready")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		if time.Now().After(end) {
			return fmt.Errorf("kura is not ready: %v", err)
		}
	}
}

// stop asks the server to end and waits for it.
func (s *server) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case err := <-s.exited:
		return err
	case <-time.After(stopTimeout):
		s.cmd.Process.Kill()
		return errors.New("kura did not stop in time")
	}
}

func (s *server) kill() {
	s.cmd.Process.Kill()
	<-s.exited
}

func readClientEnv(path string) (map[string]string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	vars := map[string]string{}
	for _, line := range strings.Split(string(b), "\n") {
		if name, value, ok := strings.Cut(strings.TrimPrefix(line, "export "), "="); ok {
			vars[name] = strings.Trim(value, "'")
		}
	}
	return vars, nil
}

// serve starts a server for a Go test, which stops it at its end.
func serve(t *testing.T, flags ...string) *server {
	t.Helper()
	return serveOn(t, t.TempDir(), flags...)
}

func serveOn(t *testing.T, dir string, flags ...string) *server {
	t.Helper()
	log := filepath.Join(dir, "kura.log")
	s, err := start(filepath.Join(dir, "data"), log, []string{"HOME=" + dir}, flags...)
	if err != nil {
		b, _ := os.ReadFile(log)
		t.Fatalf("%v\n%s", err, b)
	}
	t.Cleanup(func() {
		if s.cmd.ProcessState != nil {
			return
		}
		if err := s.stop(); err != nil {
			b, _ := os.ReadFile(log)
			t.Errorf("stop: %v\n%s", err, b)
		}
	})
	return s
}
