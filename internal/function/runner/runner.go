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
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
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
	// ErrClosed: the runner was closed.
	ErrClosed = errors.New("runner: closed")
)

// Limits, as at AWS.
const (
	MaxResponse = 6*1024*1024 + 100 // bytes of a synchronous response
	MaxUnzipped = 250 << 20         // bytes of a function's code, unpacked
	MaxZipped   = 50 << 20          // bytes of a zip archive
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
	MaxConcurrent int           // processes at work at a time, and warm ones together with them; zero = 50
	IdleTimeout   time.Duration // a warm process without work ends; zero = 5 minutes
	Log           *slog.Logger
	// Output takes each line that a function writes, and the START, END and REPORT lines. It must not block long.
	Output func(spec *Spec, stream string, at time.Time, line string)
	// Unsafe runs functions without any isolation where the host has no user namespaces.
	Unsafe bool
}

// Spec is a function's version as it shall run. Two Specs that differ never share a process.
type Spec struct {
	ARN, Name, Version        string // ARN with the version or alias as qualifier, or without one
	Runtime, Handler          string
	CodeSHA256                string // names the code: the same value is the same zip
	Env                       map[string]string
	MemoryMB                  int
	Timeout                   time.Duration
	EphemeralMB               int // size of /tmp; zero = 512
	LogGroup, LogStreamPrefix string
	Reserved                  int // reserved concurrency of Name; below zero: none
	// Code opens the zip archive.
	Code func(ctx context.Context) (io.ReaderAt, int64, error)
	// Credentials is a session of the execution role; nil = none.
	Credentials func(ctx context.Context) (Credentials, error)
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
	config Config
}

// New makes a runner, having tried whether this host can isolate processes.
func New(c Config) (*Runner, error) {
	return &Runner{config: c}, nil
}

// Invoke runs one event to its end. A failure of the function's code is a Result; an error is one of the
// sentinels above, or wraps what Code or Credentials said. When ctx ends first, the function goes on.
func (r *Runner) Invoke(ctx context.Context, spec *Spec, in *Invocation) (*Result, error) {
	return nil, ErrUnavailable
}

// Retire ends the warm processes of a changed or deleted function: of arn, and of its versions and aliases.
// Invocations under way go on to their end.
func (r *Runner) Retire(arn string) {}

// Close kills every process and waits for them.
func (r *Runner) Close() {}

// SandboxArg is the first argument of the program when it was started by a Runner as a function's init
// process. The program must then call SandboxMain before anything else.
const SandboxArg = "function-sandbox"

// SandboxMain is the whole of such a process; it does not return.
func SandboxMain() { os.Exit(1) }
