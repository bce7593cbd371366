package function

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/function/runner"
)

// Bounds of payloads (Lambda quotas).
const (
	MaxPayload      = 6 << 20
	MaxAsyncPayload = 1 << 20
)

// Invocation is one event for a function.
type Invocation struct {
	RequestID     string
	Payload       []byte
	ClientContext string `json:",omitempty"` // JSON
	TraceID       string `json:",omitempty"`
}

// Outcome is what came of an invocation, and of which version.
type Outcome struct {
	*runner.Result
	Version string
}

// check holds an event to what functions take.
func (in *Invocation) check(most int, operation string) error {
	if len(in.Payload) > most {
		return refuse(TooLarge, "Request must be smaller than %d bytes for the %s operation", most, operation)
	}
	if len(in.Payload) > 0 && !json.Valid(in.Payload) {
		return refuse(InvalidContent, "Could not parse request body into json: Could not parse payload into json")
	}
	return nil
}

// payload is what the function gets: an empty one is an empty object.
func (in *Invocation) payload() []byte {
	if len(in.Payload) == 0 {
		return []byte("{}")
	}
	return in.Payload
}

// ready resolves what is to be invoked, after the Grant was looked at.
func (s *Store) ready(g authz.Grant, r Ref) (*Function, *Configuration, error) {
	if err := g.Require("lambda:InvokeFunction", s.ARN(r)); err != nil {
		return nil, nil, err
	}
	if s.config.Runner == nil {
		return nil, nil, s.off()
	}
	f, c, err := s.Configuration(r)
	if err != nil {
		return nil, nil, err
	}
	if a := f.Aliases[r.Qualifier]; a != nil && a.Also != "" && share() < a.Weight {
		if also := f.at(a.Also); also != nil {
			c = also
		}
	}
	return f, c, nil
}

// share is a random number from 0 to 1, 1 excluded.
func share() float64 {
	var b [8]byte
	rand.Read(b[:])
	return float64(binary.LittleEndian.Uint64(b[:])>>11) / (1 << 53)
}

// Try says whether Invoke would be let through, and does nothing. It needs lambda:InvokeFunction.
func (s *Store) Try(g authz.Grant, r Ref, in *Invocation) error {
	if _, _, err := s.ready(g, r); err != nil {
		return err
	}
	return in.check(MaxPayload, "InvokeFunction")
}

// Invoke runs a function and waits for what comes of it. It needs lambda:InvokeFunction.
func (s *Store) Invoke(ctx context.Context, g authz.Grant, r Ref, in *Invocation) (*Outcome, error) {
	f, c, err := s.ready(g, r)
	if err != nil {
		return nil, err
	}
	if err := in.check(MaxPayload, "InvokeFunction"); err != nil {
		return nil, err
	}
	return s.run(ctx, f, c, r, in)
}

// run has the runner run a configuration.
func (s *Store) run(ctx context.Context, f *Function, c *Configuration, r Ref, in *Invocation) (*Outcome, error) {
	if f.Reserved != nil && *f.Reserved == 0 {
		return nil, throttled()
	}
	spec, err := s.spec(ctx, f, c, r)
	if err != nil {
		return nil, err
	}
	event := runner.Invocation(*in)
	event.Payload = in.payload()
	result, err := s.config.Runner.Invoke(ctx, spec, &event)
	if err != nil {
		return nil, failure(err)
	}
	return &Outcome{result, c.Version}, nil
}

func throttled() error {
	return fault.New(Throttled, "Rate Exceeded.", "Reason", "ReservedFunctionConcurrentInvocationLimitExceeded")
}

// failure tells an error of the runner.
func failure(err error) error {
	switch {
	case fault.Of(err) != "":
		return err
	case errors.Is(err, runner.ErrThrottled):
		return &fault.Error{Kind: Throttled, Message: "Rate Exceeded.", Fields: []fault.Field{{Name: "Reason", Value: "ConcurrentInvocationLimitExceeded"}}, Cause: err}
	case errors.Is(err, runner.ErrCode):
		return &fault.Error{Kind: Unavailable, Message: "Lambda could not unzip the deployment package.", Cause: err}
	case errors.Is(err, runner.ErrRuntime), errors.Is(err, runner.ErrUnavailable):
		return &fault.Error{Kind: Unavailable, Message: err.Error(), Cause: err}
	}
	return &fault.Error{Kind: Unavailable, Message: "The function could not be run.", Cause: err}
}

// LogGroup is where the output of the function of that name goes.
func (c *Configuration) LogGroup(name string) string {
	if c.Logging.Group != "" {
		return c.Logging.Group
	}
	return "/aws/lambda/" + name
}

// spec is a configuration as it shall run.
func (s *Store) spec(ctx context.Context, f *Function, c *Configuration, r Ref) (*runner.Spec, error) {
	arn := s.arnOf(f)
	variables, err := s.environment(ctx, f, c, func(raw []byte) ([]byte, error) {
		return s.config.Keys.DecryptAs(ctx, c.Key, arn, c.Role, raw)
	})
	if err != nil {
		return nil, err
	}
	reserved := -1
	if f.Reserved != nil {
		reserved = *f.Reserved
	}
	return &runner.Spec{
		ARN: s.ARN(r), Name: f.Name, Version: c.Version, Runtime: c.Runtime, Handler: c.Handler, CodeSHA256: c.Code.SHA256, Role: c.Role,
		Env: variables, MemoryMB: c.Memory, Timeout: time.Duration(c.Timeout) * time.Second, EphemeralMB: c.Ephemeral, LogGroup: c.LogGroup(f.Name),
		LogStreamPrefix: s.moment().Format("2006/01/02/") + "[" + c.Version + "]", Reserved: reserved,
		Code: s.reader(c.Code),
		Credentials: func(ctx context.Context) (runner.Credentials, error) {
			return s.config.Roles.Assume(ctx, c.Role, arn)
		},
	}, nil
}

// queued is an asynchronous invocation on its way, as it is sealed.
type queued struct {
	Format     int
	FunctionID uint64
	Ref        Ref
	Accepted   time.Time
	In         Invocation
}

// lanesOfFunction is over how many lanes the invocations of one function are spread, so that those that take long do not
// hold up all others.
const lanesOfFunction = 8

func queuedContext(requestID string) []byte { return []byte("function event\x00" + requestID) }

// InvokeLater queues an event. It returns when it is durable. It needs lambda:InvokeFunction.
func (s *Store) InvokeLater(ctx context.Context, g authz.Grant, r Ref, in *Invocation) error {
	f, _, err := s.ready(g, r)
	if err != nil {
		return err
	}
	if err := in.check(MaxAsyncPayload, "InvokeFunction"); err != nil {
		return err
	}
	raw, err := json.Marshal(queued{Format: format, FunctionID: f.ID, Ref: r, Accepted: s.now().UTC(), In: *in})
	if err != nil {
		return err
	}
	lane := fmt.Sprintf("%s#%d", s.arnOf(f), s.lanes.Add(1)%lanesOfFunction)
	return s.config.Queue.Enqueue(ctx, lane, f.Account, s.arnOf(f), in.RequestID, s.config.Secrets.SealSecret(queuedContext(in.RequestID), raw))
}

// Verdict is what is to be done with a queued invocation that was tried.
type Verdict struct {
	// Again is after what it is tried again; negative: it is over.
	Again time.Duration
	// Tries is how often the function was run by now: throttled ones do not count.
	Tries int
	// Tell are the records for destinations, when it is over.
	Tell []Destination
	// Err is why it did not succeed.
	Err error
}

// Destination is a record for whoever is to be told what became of an invocation.
type Destination struct {
	ARN, Role, FunctionARN, Account, RequestID string
	Payload                                    []byte
	// Code and Error are attributes of the message to a dead-letter queue or topic: "" of a record.
	Code, Error string
	// Failed names the event for a bus.
	Failed bool
}

// Over is the Verdict.Again of what is not tried again.
const Over = time.Duration(math.MinInt64)

// offPause is how often events are looked at while functions are off.
const offPause = 5 * time.Minute

// RunQueued tries a queued invocation. It needs lambda:InvokeFunction on everything: a background job has it.
func (s *Store) RunQueued(ctx context.Context, g authz.Grant, requestID string, sealed []byte, tries int, waits int) Verdict {
	pause := min(5*time.Minute, time.Second<<min(waits, 9)) // where it is not the function that failed
	raw, err := s.config.Secrets.OpenSecret(ctx, queuedContext(requestID), sealed)
	if err != nil { // the store of keys may not answer now, or the server stops: nobody was told to forget it, and how old it is lies in it
		return Verdict{Again: pause, Tries: tries, Err: err}
	}
	var q queued
	if err = json.Unmarshal(raw, &q); err == nil && q.Format != format {
		err = errors.New("function: an event of unknown format")
	}
	if err != nil {
		return Verdict{Again: Over, Err: err}
	}
	f, c, err := s.ready(g, q.Ref)
	if fault.Is(err, Off) {
		return Verdict{Again: offPause, Tries: tries, Err: err} // until somebody starts the server with functions again
	}
	if err == nil && f.ID != q.FunctionID {
		err = s.missing(q.Ref)
	}
	if err != nil { // it is gone, and with it who would be told
		return Verdict{Again: Over, Err: err}
	}
	a := f.Async[asyncQualifier(q.Ref)]
	if s.now().Sub(q.Accepted) > a.age() {
		return s.over(f, c, &q, a, tries, "EventAgeExceeded", nil, errors.New("the event was too old"))
	}
	out, err := s.run(ctx, f, c, q.Ref, &q.In)
	if err != nil { // of the server, not of the function: tried until it is too old
		if ctx.Err() != nil {
			return Verdict{Again: time.Second, Tries: tries, Err: err}
		}
		if s.now().Add(pause).Sub(q.Accepted) > a.age() {
			return s.over(f, c, &q, a, tries, "EventAgeExceeded", nil, err)
		}
		return Verdict{Again: pause, Tries: tries, Err: err}
	}
	tries++
	if out.FunctionError == "" {
		return s.over(f, c, &q, a, tries, "Success", out, nil)
	}
	err = errors.New("the function failed: " + out.FunctionError) // its own words are no affair of the queue's
	if tries > a.retries() {
		return s.over(f, c, &q, a, tries, "RetriesExhausted", out, err)
	}
	wait := s.config.Retry << (tries - 1)
	if s.now().Add(wait).Sub(q.Accepted) > a.age() {
		return s.over(f, c, &q, a, tries, "EventAgeExceeded", out, err)
	}
	return Verdict{Again: wait, Tries: tries, Err: err}
}

// told is the record for destinations (Lambda Developer Guide, "Capturing records of Lambda asynchronous
// invocations").
type told struct {
	Version   string          `json:"version"`
	Timestamp string          `json:"timestamp"`
	Request   toldRequest     `json:"requestContext"`
	Payload   json.RawMessage `json:"requestPayload"`
	Context   *toldResponse   `json:"responseContext,omitempty"`
	Response  json.RawMessage `json:"responsePayload,omitempty"`
}

type toldRequest struct {
	RequestID string `json:"requestId"`
	Function  string `json:"functionArn"`
	Condition string `json:"condition"`
	Count     int    `json:"approximateInvokeCount"`
}

type toldResponse struct {
	Status  int    `json:"statusCode"`
	Version string `json:"executedVersion"`
	Error   string `json:"functionError,omitempty"`
}

// over is the end of a queued invocation: who is told what.
func (s *Store) over(f *Function, c *Configuration, q *queued, a *AsyncConfig, tries int, condition string, out *Outcome, err error) Verdict {
	v := Verdict{Again: Over, Tries: tries, Err: err}
	ref := q.Ref
	ref.Qualifier = asyncQualifier(ref)
	d := Destination{Role: c.Role, FunctionARN: s.ARN(ref), Account: f.Account, RequestID: q.In.RequestID, Failed: err != nil}
	if a != nil {
		d.ARN = a.OnSuccess
		if err != nil {
			d.ARN = a.OnFailure
		}
	}
	if d.ARN != "" {
		record := told{
			Version: "1.0", Timestamp: s.now().UTC().Format("2006-01-02T15:04:05.000Z"), Payload: q.In.payload(),
			Request: toldRequest{q.In.RequestID, s.ARN(ref), condition, tries},
		}
		if out != nil {
			record.Context = &toldResponse{200, c.Version, out.FunctionError}
			if json.Valid(out.Payload) {
				record.Response = out.Payload
			}
		}
		if raw, err := json.Marshal(record); err == nil {
			d.Payload = raw
			v.Tell = append(v.Tell, d)
		}
	}
	if err != nil && c.DeadLetter != "" {
		d.ARN, d.Payload, d.Code, d.Error = c.DeadLetter, q.In.payload(), "200", err.Error()
		if out != nil {
			d.Error = errorMessage(out.Payload)
		}
		v.Tell = append(v.Tell, d)
	}
	return v
}

// errorMessage is what a function's error says, as far as a message's attribute shows it.
func errorMessage(payload []byte) string {
	var told struct {
		Message string `json:"errorMessage"`
	}
	if json.Unmarshal(payload, &told) != nil || told.Message == "" {
		return "the function failed"
	}
	if len(told.Message) > 1024 {
		return strings.ToValidUTF8(told.Message[:1024], "")
	}
	return told.Message
}
