package runner

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/net/netutil"
)

// The Runtime API, 2018-06-01: how a function's process takes events and gives answers.
//
// With the host's network, all processes share one listener on loopback, and each has an address of its
// own below an unguessable path. Without, each has a listener inside its sandbox.

const apiVersion = "/2018-06-01/runtime/"

// maxErrorReport bounds what a runtime says of an error.
const maxErrorReport = 256 << 10

// ServeHTTP answers at the shared listener.
func (r *Runner) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	token, rest, _ := strings.Cut(strings.TrimPrefix(req.URL.Path, "/"), "/")
	r.mu.Lock()
	p := r.byToken[token]
	r.mu.Unlock()
	if p == nil || !r.doors.admit(req, p) {
		w.Header().Set("Connection", "close")
		http.NotFound(w, req)
		return
	}
	p.serve(w, req, "/"+rest)
}

// serveInside answers at the listener of one sandbox, until the sandbox closes it.
func (p *process) serveInside(l net.Listener) {
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { p.serve(w, req, req.URL.Path) }), MaxHeaderBytes: 64 << 10}
	_ = s.Serve(netutil.LimitListener(l, maxConnections))
}

func (p *process) serve(w http.ResponseWriter, req *http.Request, path string) {
	what, ok := strings.CutPrefix(path, apiVersion)
	if !ok {
		http.NotFound(w, req)
		return
	}
	switch {
	case req.Method == http.MethodGet && what == "invocation/next":
		p.next(w, req)
	case req.Method == http.MethodPost && what == "init/error":
		p.initError(w, req)
	case req.Method == http.MethodPost && strings.HasPrefix(what, "invocation/"):
		id, kind, _ := strings.Cut(strings.TrimPrefix(what, "invocation/"), "/")
		switch kind {
		case "response":
			p.response(w, req, id)
		case "error":
			p.failure(w, req, id)
		default:
			http.NotFound(w, req)
		}
	default:
		http.NotFound(w, req)
	}
}

func refuse(w http.ResponseWriter, status int, kind, message string) {
	answer(w, status, map[string]string{"errorType": kind, "errorMessage": message})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the runtime went away; its end is seen elsewhere
}

func accepted(w http.ResponseWriter) {
	answer(w, http.StatusAccepted, map[string]string{"status": "OK"})
}

// next is where a runtime waits for its next event.
func (p *process) next(w http.ResponseWriter, req *http.Request) {
	if !p.becomeReady() {
		refuse(w, http.StatusForbidden, "InvalidStateTransition", "State transition to Ready failed for runtime. Error: State transition is not allowed")
		return
	}
	var c *call
	select {
	case c = <-p.work:
	case <-p.box.dead:
		return
	case <-req.Context().Done():
		p.unready()
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(c.in.Payload)))
	h["Lambda-Runtime-Aws-Request-Id"] = []string{c.in.RequestID}
	h["Lambda-Runtime-Deadline-Ms"] = []string{strconv.FormatInt(c.deadline.UnixMilli(), 10)}
	h["Lambda-Runtime-Invoked-Function-Arn"] = []string{p.spec.ARN}
	if c.in.TraceID != "" {
		h["Lambda-Runtime-Trace-Id"] = []string{c.in.TraceID}
	}
	if c.in.ClientContext != "" {
		h["Lambda-Runtime-Client-Context"] = []string{strings.NewReplacer("\r", " ", "\n", " ").Replace(c.in.ClientContext)}
	}
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(c.in.Payload)
}

// response takes a function's answer.
func (p *process) response(w http.ResponseWriter, req *http.Request, id string) {
	c, ok := p.current(w, id)
	if !ok {
		return
	}
	if !p.reading.TryLock() {
		twice(w)
		return
	}
	defer p.reading.Unlock()
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, MaxResponse))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		if p.finish(c, outcome{payload: fault("Function.ResponseSizeTooLarge", "Response payload size exceeded maximum allowed payload size (6291556 bytes)."), failed: true}) {
			refuse(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "Exceeded maximum allowed payload size (6291556 bytes).")
		}
	case err != nil:
		refuse(w, http.StatusBadRequest, "BadRequest", "the response could not be read")
	case !p.finish(c, outcome{payload: body}):
		twice(w)
	default:
		accepted(w)
	}
}

// failure takes an error of the function's code.
func (p *process) failure(w http.ResponseWriter, req *http.Request, id string) {
	c, ok := p.current(w, id)
	if !ok {
		return
	}
	if !p.reading.TryLock() {
		twice(w)
		return
	}
	defer p.reading.Unlock()
	if report, ok := errorReport(w, req); ok && !p.finish(c, outcome{payload: report, failed: true}) {
		twice(w)
	} else if ok {
		accepted(w)
	}
}

func twice(w http.ResponseWriter) {
	refuse(w, http.StatusForbidden, "InvalidStateTransition", "State transition to InvocationResponse failed for runtime. Error: State transition is not allowed")
}

// initError takes an error of the code's start.
func (p *process) initError(w http.ResponseWriter, req *http.Request) {
	if !p.reading.TryLock() {
		twice(w)
		return
	}
	defer p.reading.Unlock()
	if report, ok := errorReport(w, req); ok && !p.failStart(outcome{payload: report, failed: true}) {
		refuse(w, http.StatusForbidden, "InvalidStateTransition", "State transition to InitError failed for runtime. Error: State transition is not allowed")
	} else if ok {
		accepted(w)
	}
}

// errorReport reads what a runtime says of an error; where it says nothing that is JSON, its header counts.
func errorReport(w http.ResponseWriter, req *http.Request) (report []byte, ok bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxErrorReport))
	if err != nil {
		refuse(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "the error report is too large")
		return nil, false
	}
	if json.Valid(body) {
		return body, true
	}
	kind := req.Header.Get("Lambda-Runtime-Function-Error-Type")
	if kind == "" {
		kind = "Runtime.Unknown"
	}
	return fault(kind, string(body)), true
}

// fault is an error in the form in which callers get it.
func fault(kind, message string) []byte {
	b, err := json.Marshal(struct {
		Type    string `json:"errorType"`
		Message string `json:"errorMessage"`
	}{kind, message})
	if err != nil {
		return []byte("{}")
	}
	return b
}
