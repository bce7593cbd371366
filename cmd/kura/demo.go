package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/kura-s3/kura/internal/app"
	"github.com/kura-s3/kura/internal/config"
	"github.com/kura-s3/kura/internal/demo"
)

// demoOptions are the flags of `kura demo`.
type demoOptions struct {
	keep, step bool
	output     string
}

func demoCommand(p program) *cobra.Command {
	o := demoOptions{}
	c := &cobra.Command{
		Use:   "demo [S0 S1 S2 S3 S4]",
		Short: "A guided tour on a throw-away store: five case studies, with real requests",
		Long: `A guided tour: makes a store in a new directory, serves it on this machine only, walks through five case studies (or those that
are named) with real requests, and removes it. Of each step it tells who asks, the command of the AWS CLI that does the same, and
the answer. Every answer is held to AWS's: exit status 1 when one is another.`,
		RunE: func(c *cobra.Command, args []string) error {
			cases, err := casesNamed(args)
			if err != nil {
				return err
			}
			if o.output != "text" && o.output != "json" {
				return errUsage{fmt.Errorf("--output is text or json, not %q", o.output)}
			}
			// Also whoever reads no more ends the tour, and not the process: the store is to be removed.
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGTERM, syscall.SIGINT, syscall.SIGPIPE)
			defer stop()
			return runDemo(ctx, p, o, cases)
		},
	}
	f := c.Flags()
	f.BoolVar(&o.keep, "keep", false, "keep the directory, and say how to serve it")
	f.BoolVar(&o.step, "step", false, "wait for Enter after each step")
	f.StringVar(&o.output, "output", "text", "text or json: a line for each step")
	return c
}

// casesNamed are the case studies of these names; all without names.
func casesNamed(names []string) ([]demo.Case, error) {
	all := demo.Cases()
	if len(names) == 0 {
		return all, nil
	}
	var cases []demo.Case
	for _, name := range names {
		found := false
		for _, study := range all {
			if strings.EqualFold(study.Name, name) {
				cases, found = append(cases, study), true
			}
		}
		if !found {
			return nil, errUsage{fmt.Errorf("there is no case study %q", name)}
		}
	}
	return cases, nil
}

func runDemo(ctx context.Context, p program, o demoOptions, cases []demo.Case) (err error) {
	dir, err := os.MkdirTemp("", "kura-demo-")
	if err != nil {
		return err
	}
	data := filepath.Join(dir, "data")
	shown := &guide{out: p.stdout, o: o, enter: bufio.NewReader(os.Stdin)}
	defer func() {
		if o.keep {
			shown.line("The store is in %s:\n  kura serve --data %s", data, data)
			return
		}
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	functions := exec.CommandContext(ctx, "python3", "-c", "import boto3").Run() == nil
	s, err := startDemo(ctx, data, functions)
	if err != nil && functions && ctx.Err() == nil { // this machine cannot isolate them
		functions = false
		if err = os.RemoveAll(data); err == nil {
			s, err = startDemo(ctx, data, functions)
		}
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	env, err := demoKeys(filepath.Join(data, "client.env"))
	if err != nil {
		return err
	}
	client, err := clientTrusting(env["AWS_CA_BUNDLE"])
	if err != nil {
		return err
	}
	shown.line("Kura serves a throw-away store on %s and %s.", s.http, s.https)
	began := time.Now()
	steps, err := demo.Run(ctx, demo.Config{
		HTTP: s.http, HTTPS: s.https, Functions: functions, Client: client, Region: env["AWS_REGION"], AccessKeyID: env["AWS_ACCESS_KEY_ID"], Secret: env["AWS_SECRET_ACCESS_KEY"],
		Begin: shown.begin, Report: shown.report,
	}, cases)
	switch {
	case errors.Is(err, context.Canceled):
		return errors.New("the tour was stopped")
	case err != nil && shown.failed:
		return errReported
	case err != nil:
		return err
	}
	shown.line("%d steps in %.1f s, every answer as at AWS.", steps, time.Since(began).Seconds())
	return nil
}

// guide shows the tour.
type guide struct {
	out   io.Writer
	o     demoOptions
	enter *bufio.Reader
	// failed says that the failure of a step was told.
	failed bool
}

// line is for people.
func (t *guide) line(format string, args ...any) {
	if t.o.output == "text" {
		fmt.Fprintf(t.out, format+"\n", args...)
	}
}

func (t *guide) begin(c demo.Case) error {
	t.line("\n%s  %s", c.Name, c.Title)
	return nil
}

func (t *guide) report(s demo.Step) error {
	t.failed = t.failed || !s.OK
	if t.o.output == "json" {
		return json.NewEncoder(t.out).Encode(s)
	}
	t.line("\n  %s", s.Title)
	for _, e := range s.Exchanges {
		t.line("    %s$ %s\n      %s", e.As, e.Command, strings.ReplaceAll(e.Answer, "\n", "\n      "))
	}
	if !s.OK {
		t.line("    ✗ %s", s.Problem)
		return nil
	}
	t.line("    ✓")
	if t.o.step {
		fmt.Fprint(t.out, "    Enter goes on. ")
		if _, err := t.enter.ReadString('\n'); err != nil {
			return demo.ErrStopped
		}
	}
	return nil
}

// demoServer is a server in this process.
type demoServer struct {
	http, https string
	stop        func() error
}

const demoPatience = 30 * time.Second

// startDemo serves data on ports of its own.
func startDemo(ctx context.Context, data string, functions bool) (*demoServer, error) {
	settings, err := config.Load(map[string][]string{
		"data": {data}, "listen": {"127.0.0.1:0"}, "listen-tls": {"127.0.0.1:0"}, "functions": {strconv.FormatBool(functions)},
	}, nil)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // the tour stops first
	told, log := &lines{}, &lines{}
	done := make(chan error, 1)
	go func() { done <- app.Serve(ctx, app.Options{Config: settings, Notices: told, Log: log, Build: build()}) }()
	s := &demoServer{stop: func() error { cancel(); return <-done }}
	for end := time.Now().Add(demoPatience); ; time.Sleep(5 * time.Millisecond) {
		select {
		case err := <-done:
			cancel()
			return nil, fmt.Errorf("the store is not served: %w\n%s", err, log)
		default:
		}
		text := told.String()
		if strings.Contains(text, "Stop:") {
			s.http, s.https = endpointIn(text, "http://"), endpointIn(text, "https://")
			return s, nil
		}
		if time.Now().After(end) {
			return nil, errors.Join(errors.New("the store is not served in time"), s.stop())
		}
	}
}

func endpointIn(text, scheme string) string {
	_, rest, _ := strings.Cut(text, "endpoint  "+scheme)
	address, _, _ := strings.Cut(rest, " ")
	return scheme + strings.TrimSpace(address)
}

// demoKeys reads client.env.
func demoKeys(path string) (map[string]string, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	env := map[string]string{}
	for _, line := range strings.Split(string(raw), "\n") {
		if name, value, ok := strings.Cut(strings.TrimPrefix(line, "export "), "="); ok {
			env[name] = strings.Trim(value, "'")
		}
	}
	return env, nil
}

// lines is a buffer that one writes and another reads.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
