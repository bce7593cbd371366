// Package runner runs the code of Lambda functions as sandboxed processes of this machine.
//
// A function's process speaks AWS's Runtime API (HTTP, 2018-06-01). Python and Node come with a
// bootstrap of ours that runs on the host's interpreter; "provided" runtimes bring their own. A process
// serves one invocation at a time, is kept warm for the next one, and is stopped (SIGSTOP) between them.
//
// What it promises: a process sees a read-only view of the host's libraries, its own code and a private
// /tmp of bounded size, and nothing else of the file system; only its own processes; none of the server's
// environment. It is killed with everything that it started when its time or memory is used up, and when the
// server ends, however that ends. Code is unpacked into memory, never to a disk. Without user namespaces it
// refuses to run anything, unless Config.Unsafe. docs/functions.md says what this isolation is not.
package runner

import (
	"archive/zip"
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Failures of Invoke that say nothing about the function's code.
var (
	// ErrThrottled: the server or the function's reserved concurrency is fully used.
	ErrThrottled = errors.New("runner: rate exceeded")
	// ErrUnavailable: functions cannot run here; the message says why.
	ErrUnavailable = errors.New("runner: functions cannot run on this host")
	// ErrRuntime: the runtime is not one of ours, or the host has no interpreter for it.
	ErrRuntime = errors.New("runner: no such runtime on this host")
	// ErrCode: the code is not a zip archive that can be unpacked.
	ErrCode = errors.New("runner: the code cannot be unpacked")
	// ErrCodeSize and ErrCodeEmpty: because of what it unpacks to.
	ErrCodeSize  = fmt.Errorf("%w: unzipped size must be smaller than %d bytes", ErrCode, MaxUnzipped)
	ErrCodeEmpty = fmt.Errorf("%w: it has no files", ErrCode)
	// ErrClosed: the runner was closed.
	ErrClosed = errors.New("runner: closed")
)

// Limits, as at AWS.
const (
	MaxResponse = 6*1024*1024 + 100 // bytes of a synchronous response
	MaxUnzipped = 250 << 20         // bytes of a function's code, unpacked
)

// Network says what a function reaches.
type Network string

const (
	// NetworkHost: what the host reaches, its loopback included.
	NetworkHost Network = "host"
	// NetworkNone: this Kura's endpoint and nothing else.
	NetworkNone Network = "none"
)

// Config says where and within which bounds functions run.
type Config struct {
	Dir           string   // scratch directory for Unsafe mode; emptied by New
	Hide          []string // paths that no function may see even where a library directory contains them: the data directory, key files
	Region        string
	Account       string
	Endpoint      string        // this Kura's URL, given as AWS_ENDPOINT_URL; empty = none
	CABundle      string        // path of the certificates that sign Endpoint's; empty = the system's
	Network       Network       // zero = NetworkHost
	MaxConcurrent int           // processes at a time, warm ones among them; zero = 50
	IdleTimeout   time.Duration // a warm process without work ends; zero = 5 minutes
	Log           *slog.Logger
	// Output takes each line that a function writes, and the START, END and REPORT lines. It must not block long.
	Output func(spec *Spec, stream string, at time.Time, line string)
	// Unsafe runs functions without any isolation where the host has no user namespaces.
	Unsafe bool
}

// Spec is a function's version as it shall run. Two Specs that differ in what the code sees never share a
// process.
type Spec struct {
	ARN, Name, Version string // ARN with the version or alias as qualifier, or without one
	Runtime, Handler   string
	CodeSHA256         string // names the code: the same value is the same zip
	Role               string // the execution role: a process with the credentials of one never serves for another
	Env                map[string]string
	MemoryMB           int
	Timeout            time.Duration
	EphemeralMB        int // size of /tmp; zero = 512
	LogGroup           string
	LogStreamPrefix    string `json:"-"` // before the 32 digits of a stream's name; empty = AWS's date and version
	Reserved           int    `json:"-"` // reserved concurrency of all versions together; below zero: none
	// Code opens the zip archive. What it returns is closed when it can be.
	Code func(ctx context.Context) (io.ReaderAt, int64, error) `json:"-"`
	// Credentials is a session of the execution role; nil = none.
	Credentials func(ctx context.Context) (Credentials, error) `json:"-"`
}

// fingerprint tells processes of one Spec from those of another.
func (s *Spec) fingerprint() (string, error) {
	b, err := json.Marshal(s) // maps in the order of their keys
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

// Function is the ARN without a qualifier.
func (s *Spec) Function() string { return FunctionARN(s.ARN) }

// FunctionARN is the ARN of a function, a version or an alias without its qualifier.
func FunctionARN(arn string) string {
	fields := strings.SplitN(arn, ":", 8)
	return strings.Join(fields[:min(7, len(fields))], ":")
}

// Credentials of an execution role's session.
type Credentials struct {
	AccessKeyID, SecretAccessKey, SessionToken string
	Expiration                                 time.Time
}

// Invocation is one event for a function.
type Invocation struct {
	RequestID     string
	Payload       []byte
	ClientContext string // JSON, as decoded from X-Amz-Client-Context
	TraceID       string
}

// Result is what came of an invocation.
type Result struct {
	Payload       []byte
	FunctionError string // "" or "Unhandled"
	Log           []byte // the last 4 KB of output
	LogStream     string
	Duration      time.Duration
	InitDuration  time.Duration // zero for a warm process
	MaxMemoryMB   int
}

// Runner runs functions. Its methods may be called concurrently.
type Runner struct {
	config   Config
	endpoint *url.URL
	hide     []string
	exposed  bool // Unsafe, and this host cannot isolate
	address  string
	doors    *doors
	server   *http.Server
	starter  starter
	programs interpreters
	all      sync.WaitGroup // invocations under way

	mu      sync.Mutex
	closed  bool
	byToken map[string]*process // every process
	warm    []*process          // those without work, the longest idle first
	running map[string]int      // invocations by function, whichever its version
	total   int                 // invocations
}

// New makes a runner, having tried whether this host can isolate processes.
func New(c Config) (*Runner, error) {
	c.Network = cmp.Or(c.Network, NetworkHost)
	c.MaxConcurrent = cmp.Or(c.MaxConcurrent, 50)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, 5*time.Minute)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	r := &Runner{config: c, doors: newDoors(), byToken: map[string]*process{}, running: map[string]int{}}
	if err := r.checkNetwork(); err != nil {
		return nil, err
	}
	for _, p := range append(slices.Clone(secretEtc), c.Hide...) {
		if real, err := filepath.EvalSymlinks(p); err == nil {
			r.hide = append(r.hide, real)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r.address = l.Addr().String()
	r.server = &http.Server{
		Handler: r, MaxHeaderBytes: 64 << 10, ReadHeaderTimeout: 30 * time.Second, ConnState: r.doors.changed, ConnContext: r.doors.name,
	}
	go func() { _ = r.server.Serve(l) }() // until Close
	r.starter = newStarter()
	if err := r.tryIsolation(); err != nil {
		if !c.Unsafe {
			r.Close()
			return nil, err
		}
		r.exposed = true
		c.Log.Warn("functions run without isolation, as any program of this user does", "why", err)
		if err := r.emptyScratch(); err != nil {
			r.Close()
			return nil, err
		}
	}
	return r, nil
}

func (r *Runner) checkNetwork() error {
	switch r.config.Network {
	case NetworkHost, NetworkNone:
	default:
		return fmt.Errorf("runner: the network %q is neither host nor none", r.config.Network)
	}
	if r.config.Endpoint == "" {
		return nil
	}
	u, err := url.Parse(r.config.Endpoint)
	if err != nil {
		return err
	}
	r.endpoint = u
	if ip := net.ParseIP(u.Hostname()); r.config.Network == NetworkNone && ip != nil && !ip.Equal(net.IPv4(127, 0, 0, 1)) {
		return fmt.Errorf("runner: without a network, functions reach this server by a name or at 127.0.0.1, not at %s", ip)
	}
	return nil
}

// Isolated tells whether functions are isolated, which is so unless Config.Unsafe had to be used.
func (r *Runner) Isolated() bool { return !r.exposed }

// tryIsolation builds a sandbox and has a program run in it.
func (r *Runner) tryIsolation() error {
	ctx, cancel := context.WithTimeout(context.Background(), buildTime)
	defer cancel()
	var b bytes.Buffer
	if err := zip.NewWriter(&b).Close(); err != nil {
		return err
	}
	code, size, err := memoryFile("code", &b)
	if err != nil {
		return err
	}
	defer code.Close()
	o, err := r.order(&launch{spec: &Spec{Name: "probe", Runtime: "provided.al2023", MemoryMB: 128, EphemeralMB: 1}, it: &interpreter{}})
	if err != nil {
		return err
	}
	o.CodeSize = size
	o.Program.Argv = []string{"/proc/self/exe", SandboxArg, trialArg}
	said := newOutput(nil)
	box, err := startSandbox(ctx, r.starter, o, code, said)
	if err != nil {
		return err
	}
	defer box.kill()
	select {
	case <-box.dead:
	case <-ctx.Done():
		return fmt.Errorf("%w: the trial did not end", ErrUnavailable)
	}
	if box.ending != (ending{}) {
		return fmt.Errorf("%w: the trial failed: %s", ErrUnavailable, bytes.TrimSpace(said.lastLines()))
	}
	return nil
}

// emptyScratch removes what an earlier server left.
func (r *Runner) emptyScratch() error {
	if r.config.Dir == "" {
		return errors.New("runner: no scratch directory was given")
	}
	if err := os.RemoveAll(r.config.Dir); err != nil {
		return err
	}
	return os.MkdirAll(r.config.Dir, 0o700)
}

func token() string { return rand.Text() }

// Invoke runs one event to its end. A failure of the function's code is a Result; an error is one of the
// sentinels above, or wraps what Code or Credentials said. When ctx ends first, the function goes on.
func (r *Runner) Invoke(ctx context.Context, spec *Spec, in *Invocation) (*Result, error) {
	key, err := spec.fingerprint()
	if err != nil {
		return nil, err
	}
	if len(in.Payload) == 0 {
		in = &Invocation{RequestID: in.RequestID, Payload: []byte("{}"), ClientContext: in.ClientContext, TraceID: in.TraceID}
	}
	p, old, err := r.enter(spec, key)
	for _, o := range old {
		o.box.kill()
	}
	if err != nil {
		return nil, err
	}
	type ran struct {
		res *Result
		err error
	}
	done := make(chan ran, 1)
	go func() {
		defer r.all.Done()
		r.invoke(context.WithoutCancel(ctx), spec, key, p, in, func(res *Result, err error) { done <- ran{res, err} })
	}()
	select {
	case d := <-done:
		return d.res, d.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (r *Runner) invoke(ctx context.Context, spec *Spec, key string, p *process, in *Invocation, told func(*Result, error)) {
	first := p == nil
	if first {
		var err error
		if p, err = r.start(ctx, spec, key); err != nil {
			r.leave(spec, nil)
			told(nil, err)
			return
		}
	}
	res := p.run(in, first)
	if res.FunctionError != "" && r.closing() {
		// Close killed it: that says nothing about the function's code, and whoever can tries it again.
		r.leave(spec, p)
		told(nil, ErrClosed)
		return
	}
	if p.settled {
		r.leave(spec, p) // before it is told: the next invocation shall find the process
		told(res, nil)
		return
	}
	told(res, nil) // and not held back for what the runtime still does
	p.comesBack()
	r.leave(spec, p)
}

func (r *Runner) closing() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}

// enter counts an invocation in, and gives it a warm process where there is one. Processes to be
// ended for it are returned.
func (r *Runner) enter(spec *Spec, key string) (p *process, old []*process, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed:
		return nil, nil, ErrClosed
	case r.total >= r.config.MaxConcurrent, spec.Reserved >= 0 && r.running[spec.Function()] >= spec.Reserved:
		return nil, nil, ErrThrottled
	}
	r.all.Add(1)
	r.total++
	r.running[spec.Function()]++
	margin := time.Now().Add(max(initTime, spec.Timeout) + 5*time.Second)
	for i := len(r.warm) - 1; i >= 0; i-- {
		w := r.warm[i]
		if w.key != key {
			continue
		}
		r.cool(i)
		if !w.expiry.IsZero() && w.expiry.Before(margin) {
			old = append(old, w)
			continue
		}
		p = w
		if p.frozen {
			p.frozen = false
			_ = p.box.thaw() // fails when it has ended, which its invocation will see
		}
		break
	}
	// Room for a new process is made at the cost of the longest idle.
	for p == nil && len(r.warm) > 0 && r.total+len(r.warm) > r.config.MaxConcurrent {
		old = append(old, r.warm[0])
		r.cool(0)
	}
	return p, old, nil
}

// cool takes a process off the warm ones. Called with mu held.
func (r *Runner) cool(i int) {
	r.warm[i].idle.Stop()
	r.warm[i].rest.Stop()
	r.warm = slices.Delete(r.warm, i, i+1)
}

// leave counts an invocation out, and keeps its process when it can serve again.
func (r *Runner) leave(spec *Spec, p *process) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.total--
	name := spec.Function()
	if r.running[name]--; r.running[name] <= 0 {
		delete(r.running, name)
	}
	if p == nil {
		return
	}
	if !p.settled || p.retired || r.closed || r.total+len(r.warm) >= r.config.MaxConcurrent {
		p.box.kill()
		return
	}
	p.idle = time.AfterFunc(r.config.IdleTimeout, func() { r.expire(p) })
	p.rest = time.AfterFunc(restTime, func() { r.freeze(p) })
	r.warm = append(r.warm, p)
}

// restTime is how long a warm process may run on before it is stopped. Events that follow each other closely
// do not pay for stopping and waking it.
const restTime = 50 * time.Millisecond

func (r *Runner) freeze(p *process) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.Contains(r.warm, p) {
		p.frozen = p.box.freeze() == nil
	}
}

func (r *Runner) expire(p *process) {
	r.mu.Lock()
	i := slices.Index(r.warm, p)
	if i >= 0 {
		r.cool(i)
	}
	r.mu.Unlock()
	if i >= 0 {
		p.box.kill()
	}
}

// forget: a process has ended, or did not begin.
func (r *Runner) forget(p *process, o *order) {
	if o.Scratch != "" {
		if err := os.RemoveAll(o.Scratch); err != nil {
			r.config.Log.Warn("a function's scratch directory stays", "why", err)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.byToken, p.token)
	if i := slices.Index(r.warm, p); i >= 0 {
		r.cool(i)
	}
}

// Retire ends the warm processes of a changed or deleted function: of arn, and of its versions and aliases.
// Invocations under way go on to their end.
func (r *Runner) Retire(arn string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.byToken {
		if p.spec.ARN == arn || strings.HasPrefix(p.spec.ARN, arn+":") {
			p.retired = true
		}
	}
	for i := len(r.warm) - 1; i >= 0; i-- {
		if w := r.warm[i]; w.retired {
			r.cool(i)
			w.box.kill()
		}
	}
}

// Close kills every process and waits for them.
func (r *Runner) Close() {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return
	}
	r.closed = true
	var boxes []*sandbox
	for len(r.warm) > 0 {
		r.cool(0)
	}
	for _, p := range r.byToken {
		if p.box != nil {
			boxes = append(boxes, p.box)
		}
	}
	r.mu.Unlock()
	for _, b := range boxes {
		b.kill()
	}
	for _, b := range boxes {
		<-b.dead
	}
	r.all.Wait()
	_ = r.server.Close()
	close(r.starter)
}
