package runner

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// process is one function's process, at work or warm.
type process struct {
	spec   *Spec
	key    string // fingerprint of spec
	token  string
	stream string
	expiry time.Time // of its credentials; zero = none
	box    *sandbox
	out    *output
	began  time.Time

	reading sync.Mutex // held while the body of a request is read: the server's memory has room for one

	work    chan *call
	settled bool // the runtime waits for work; between run and leave

	mu      sync.Mutex
	state   state
	now     *call
	readyAt chan struct{} // closed when the runtime waits for work; replaced with each invocation
	failed  chan outcome  // the code could not start

	// Guarded by Runner.mu:
	retired bool        // ends after its invocation
	frozen  bool        // was stopped
	idle    *time.Timer // ends it
	rest    *time.Timer // stops it
}

type state int

const (
	starting  state = iota
	ready           // waits at next
	working         // has an event
	responded       // has answered, and has not come back to next
	broken          // could not start
)

// call is an invocation on its way.
type call struct {
	in       *Invocation
	deadline time.Time
	done     chan outcome
}

// outcome is what a runtime said.
type outcome struct {
	payload []byte
	failed  bool
	status  string // for the REPORT line: "timeout", "error"; empty when the code ran to its end
	kind    string // the error's type, for the REPORT line
}

// initTime is how long a runtime may take to ask for its first event, or the function's own timeout
// if that is longer.
const initTime = 10 * time.Second

// becomeReady: the runtime asks for an event.
func (p *process) becomeReady() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state != starting && p.state != responded {
		return false
	}
	p.state = ready
	close(p.readyAt)
	return true
}

// unready: the runtime gave up waiting. It may ask again.
func (p *process) unready() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == ready {
		p.state = responded
		p.readyAt = make(chan struct{})
	}
}

func (p *process) current(w http.ResponseWriter, id string) (*call, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.now == nil:
		twice(w)
		return nil, false
	case p.now.in.RequestID != id:
		refuse(w, http.StatusBadRequest, "InvalidRequestID", "Invalid request ID")
		return nil, false
	}
	return p.now, true
}

// finish hands the outcome of c on, once.
func (p *process) finish(c *call, o outcome) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now != c {
		return false
	}
	p.now, p.state = nil, responded
	p.readyAt = make(chan struct{})
	c.done <- o
	return true
}

func (p *process) failStart(o outcome) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state != starting {
		return false
	}
	p.state = broken
	p.failed <- o
	return true
}

func (p *process) waiting() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.readyAt
}

// deliver gives c to the runtime, which waits for it.
func (p *process) deliver(c *call) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state != ready {
		return false
	}
	p.state, p.now = working, c
	p.work <- c
	return true
}

// start begins a process of spec. It is at work already in the sense of the runner's accounts.
func (r *Runner) start(ctx context.Context, spec *Spec, key string) (*process, error) {
	it, err := r.programs.of(ctx, spec.Runtime)
	if err != nil {
		return nil, err
	}
	code, size, creds, err := openSpec(ctx, spec)
	if err != nil {
		return nil, err
	}
	defer code.Close()
	p := &process{
		spec: spec, key: key, token: token(), stream: streamName(spec, time.Now()), expiry: creds.Expiration,
		began: time.Now(), work: make(chan *call, 1), readyAt: make(chan struct{}), failed: make(chan outcome, 1),
	}
	o, err := r.order(&launch{spec: spec, api: r.address + "/" + p.token, stream: p.stream, creds: creds, it: it})
	if err != nil {
		return nil, err
	}
	o.CodeSize = size
	p.out = newOutput(func(at time.Time, line string) {
		if r.config.Output != nil {
			r.config.Output(spec, p.stream, at, line)
		}
	})
	p.out.say("INIT_START Runtime Version: " + versionLine(spec.Runtime, it))
	// Runtimes ask for work the moment they run: they must be known before.
	p.mu.Lock()
	defer p.mu.Unlock()
	r.mu.Lock()
	r.byToken[p.token] = p
	r.mu.Unlock()
	box, err := startSandbox(ctx, r.starter, o, code, p.out)
	if err != nil {
		r.forget(p, o)
		return nil, err
	}
	r.mu.Lock()
	p.box = box
	closed := r.closed
	r.mu.Unlock()
	r.openDoors(p)
	if closed {
		box.kill()
	}
	go func() {
		<-box.dead
		r.forget(p, o)
	}()
	return p, nil
}

// openDoors answers at the listeners inside a sandbox without a network.
func (r *Runner) openDoors(p *process) {
	for i, l := range p.box.listeners {
		if i == 0 {
			go p.serveInside(l)
		} else {
			go r.carry(l)
		}
	}
}

// carry joins what comes in at l with this Kura's endpoint, so many connections at a time.
func (r *Runner) carry(l net.Listener) {
	host := net.JoinHostPort(r.endpoint.Hostname(), portOf(r.endpoint))
	free := make(chan struct{}, maxConnections)
	for {
		free <- struct{}{}
		in, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { <-free }()
			defer in.Close()
			out, err := net.DialTimeout("tcp", host, 5*time.Second)
			if err != nil {
				return
			}
			defer out.Close()
			done := make(chan struct{})
			go func() {
				pass(out, in)
				close(done)
			}()
			pass(in, out)
			<-done
		}()
	}
}

// pass copies what one side says to the other, and that nothing more comes. Both are of TCP.
func pass(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	_ = to.(*net.TCPConn).CloseWrite()
}

func versionLine(runtime string, it *interpreter) string {
	name := strings.TrimSuffix(runtime, ".x")
	if it.version == "" {
		return name
	}
	return fmt.Sprintf("%s (the host's %s)", name, it.version)
}

// run gives one event to p and waits for what comes of it. first: p has just been started.
func (p *process) run(in *Invocation, first bool) *Result {
	p.out.begin()
	p.out.say(fmt.Sprintf("START RequestId: %s Version: %s", in.RequestID, p.spec.Version))
	began := time.Now()
	var startup time.Duration
	o, ok := outcome{}, true
	if first {
		o, ok = p.waitForStart(in)
		startup = time.Since(p.began)
		began = time.Now()
	}
	if ok {
		o = p.exchange(in)
	}
	took := time.Since(began)
	res := &Result{Payload: o.payload, LogStream: p.stream, Duration: took, InitDuration: startup}
	if o.failed {
		res.FunctionError = "Unhandled"
	}
	p.out.drain()
	p.settled = o.status == "" && p.settle(settleTime)
	if o.status != "" {
		p.box.kill()
		<-p.box.dead
	}
	res.MaxMemoryMB = p.box.peak()
	if o.kind == outOfMemory {
		res.MaxMemoryMB = p.spec.MemoryMB
	}
	p.report(in, res, o)
	res.Log = p.out.lastLines()
	return res
}

// settleTime is how long an answer is held back for the runtime to come back for more, as it
// does at once: only then can it be stopped, and its next invocation find it.
const settleTime = 100 * time.Millisecond

func (p *process) settle(within time.Duration) bool {
	select {
	case <-p.box.dead:
		return false
	default:
	}
	select {
	case <-p.waiting():
		return true
	case <-p.box.dead:
	case <-time.After(within):
	}
	return false
}

// comesBack waits for a runtime that has answered and does something else, as long as an invocation
// might take.
func (p *process) comesBack() {
	select {
	case <-p.box.dead:
		return
	default:
	}
	p.settled = p.settle(p.spec.Timeout)
}

func (p *process) waitForStart(in *Invocation) (outcome, bool) {
	t := time.NewTimer(max(initTime, p.spec.Timeout))
	defer t.Stop()
	select {
	case <-p.waiting():
		return outcome{}, true
	case o := <-p.failed:
		o.status, o.kind = "error", "Runtime.InitError"
		return o, false
	case <-p.box.dead:
		select {
		case o := <-p.failed: // it said why, and ended
			o.status, o.kind = "error", "Runtime.InitError"
			return o, false
		default:
		}
		return p.ended(in), false
	case <-t.C:
		return p.timedOut(in, max(initTime, p.spec.Timeout)), false
	}
}

// exchange delivers the event and waits for the answer, the process's end or the end of its time.
func (p *process) exchange(in *Invocation) outcome {
	c := &call{in: in, deadline: time.Now().Add(p.spec.Timeout), done: make(chan outcome, 1)}
	if !p.deliver(c) {
		p.box.kill()
		<-p.box.dead
		return p.ended(in)
	}
	t := time.NewTimer(p.spec.Timeout)
	defer t.Stop()
	select {
	case o := <-c.done:
		return o
	case <-p.box.dead:
		select {
		case o := <-c.done: // it answered, and ended
			return o
		default:
		}
		return p.ended(in)
	case <-t.C:
		return p.timedOut(in, p.spec.Timeout)
	}
}

const (
	exitError   = "Runtime.ExitError"
	outOfMemory = "Runtime.OutOfMemory"
	badEntry    = "Runtime.InvalidEntrypoint"
	timedOut    = "Sandbox.Timedout"
)

// ended is the outcome of a runtime that ended before it answered.
func (p *process) ended(in *Invocation) outcome {
	kind, why := exitError, "Runtime exited without providing a reason"
	e := p.box.ending
	switch {
	case e.Entry != "":
		kind, why = badEntry, e.Entry
	case e.Memory:
		kind, why = outOfMemory, "Runtime exited with error: signal: killed"
	case e.Signal != "":
		why = "Runtime exited with error: signal: " + e.Signal
	case e.Status != 0:
		why = fmt.Sprintf("Runtime exited with error: exit status %d", e.Status)
	}
	message := fmt.Sprintf("RequestId: %s Error: %s", in.RequestID, why)
	p.out.say(message)
	p.out.say(kind)
	return outcome{payload: fault(kind, message), failed: true, status: "error", kind: kind}
}

func (p *process) timedOut(in *Invocation, after time.Duration) outcome {
	text := fmt.Sprintf("Task timed out after %.2f seconds", after.Seconds())
	p.out.drain()
	p.out.say(fmt.Sprintf("%s %s %s", time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), in.RequestID, text))
	return outcome{payload: fault(timedOut, fmt.Sprintf("RequestId: %s Error: %s", in.RequestID, text)), failed: true, status: "timeout"}
}

// report writes the two lines that end an invocation's log.
func (p *process) report(in *Invocation, res *Result, o outcome) {
	p.out.say("END RequestId: " + in.RequestID)
	ms := float64(res.Duration.Microseconds()) / 1000
	line := fmt.Sprintf("REPORT RequestId: %s\tDuration: %.2f ms\tBilled Duration: %d ms\tMemory Size: %d MB\tMax Memory Used: %d MB\t",
		in.RequestID, ms, (res.Duration+time.Millisecond-1)/time.Millisecond, p.spec.MemoryMB, res.MaxMemoryMB)
	if res.InitDuration > 0 {
		line += fmt.Sprintf("Init Duration: %.2f ms\t", float64(res.InitDuration.Microseconds())/1000)
	}
	if o.status != "" {
		line += "Status: " + o.status
	}
	if o.kind != "" {
		line += "\tError Type: " + o.kind
	}
	p.out.say(line)
}
