package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/kura-s3/kura/bench/internal/s3conn"
)

const (
	// readyLimit is how long a server may take until it serves.
	readyLimit = 2 * time.Minute
	// stopLimit is how long a clean stop may take.
	stopLimit = 30 * time.Second
	// readyPoll is the step in which readiness is asked for, and so the error of the figure.
	readyPoll = 2 * time.Millisecond
)

// server is a Kura process that the bench starts, stops and kills.
type server struct {
	binary string
	dir    string
	addr   string
	cred   s3conn.Credentials
	flags  []string
	cmd    *exec.Cmd
	exited chan error
}

func newServer(binary, dir, region string) (*server, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	return &server{binary: binary, dir: dir, addr: addr, cred: s3conn.Credentials{
		AccessKeyID:     "AKIA" + rand.Text()[:16],
		SecretAccessKey: rand.Text() + rand.Text()[:14],
		Region:          region,
	}}, nil
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// start runs the binary and returns the time from its start until it says that it is ready.
func (s *server) start(ctx context.Context) (time.Duration, error) {
	logFile, err := os.OpenFile(s.logName(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	defer logFile.Close()
	args := append([]string{"serve", "--data", s.dir, "--listen", s.addr, "--listen-tls", "", "--region", s.cred.Region}, s.flags...)
	cmd := exec.Command(s.binary, args...)
	cmd.Env = append(os.Environ(),
		"KURA_ADMIN_ACCESS_KEY_ID="+s.cred.AccessKeyID,
		"KURA_ADMIN_SECRET_ACCESS_KEY="+s.cred.SecretAccessKey)
	cmd.Stdout, cmd.Stderr = logFile, logFile
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	s.cmd, s.exited = cmd, make(chan error, 1)
	go func(exited chan<- error) { exited <- cmd.Wait() }(s.exited)
	if err := s.awaitReady(ctx); err != nil {
		s.kill()
		return 0, fmt.Errorf("%s did not become ready: %w\n%s", s.binary, err, s.logTail())
	}
	return time.Since(began), nil
}

func (s *server) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	client := &http.Client{Timeout: 5 * time.Second}
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for {
		if resp, err := client.Get("http://" + s.addr + "/-/ready"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case err := <-s.exited:
			s.exited <- err
			return fmt.Errorf("it ended: %w", err)
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// stop ends the process cleanly and returns how long that took.
func (s *server) stop() (time.Duration, error) {
	if s.cmd == nil {
		return 0, nil
	}
	began := time.Now()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return 0, err
	}
	select {
	case err := <-s.exited:
		s.cmd = nil
		if err != nil {
			return 0, fmt.Errorf("stop: %w\n%s", err, s.logTail())
		}
		return time.Since(began), nil
	case <-time.After(stopLimit):
		s.kill()
		return 0, fmt.Errorf("%s did not stop within %v", s.binary, stopLimit)
	}
}

// pause lets the process stand still, or go on.
func (s *server) pause(still bool) {
	if s.cmd == nil {
		return
	}
	sig := syscall.SIGCONT
	if still {
		sig = syscall.SIGSTOP
	}
	// It fails only if the process is gone already, which the next request tells.
	_ = s.cmd.Process.Signal(sig)
}

// kill ends the process without warning, and returns when it is gone.
func (s *server) kill() {
	if s.cmd == nil {
		return
	}
	// It fails only if the process is gone already.
	_ = s.cmd.Process.Kill()
	<-s.exited
	s.cmd = nil
}

func (s *server) logName() string { return filepath.Clean(s.dir) + ".log" }

func (s *server) logTail() string {
	text, err := os.ReadFile(s.logName())
	if err != nil {
		return ""
	}
	const tail = 2000
	return strings.TrimSpace(string(text[max(0, len(text)-tail):]))
}
