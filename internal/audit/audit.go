// Package audit keeps the record of what was asked, by whom, and how it was decided.
//
// The pipeline makes one Event per request. Begin is called by the Guard after it decided and
// before anything is done: when the record cannot be written, nothing is done. Complete is called
// once at the end, before the answer to a management request goes out.
package audit

import (
	"context"
	"encoding/json"
	"net/netip"
	"time"

	"github.com/kura-s3/kura/policy"
)

// Class of an operation decides how it is recorded.
type Class uint8

// The classes. The zero Class is invalid: an operation must declare one.
const (
	_ Class = iota
	// Management events change or read configuration. Writes among them are durable before the answer.
	Management
	// Data events read or write objects. They are recorded only where somebody asked for it.
	Data
)

// Event is one request, from arrival to answer. Secrets, bodies and SSE-C keys are never in it.
type Event struct {
	ID        string // decision id
	RequestID string
	Time      time.Time
	Service   string // "s3"
	Operation string // "PutBucketPolicy"
	Class     Class
	ReadOnly  bool
	Principal policy.Principal
	AccessKey string // id only
	AuthType  string // header, query, form, anonymous, console, system
	SourceIP  string
	// Peer is what SourceIP is the text of, before anybody wanted the text.
	Peer       netip.Addr `json:"-"`
	TLS        string     // "", "1.2", "1.3"
	UserAgent  string
	Region     string
	Method     string
	URI        string // path and query as sent, signatures cut out
	Host       string
	Endpoint   string // id of the named listener ("VPC endpoint"), ""
	Bucket     string
	Key        string
	VersionID  string
	Decisions  []Decision
	Status     int
	ErrorCode  string
	ErrorText  string
	BytesIn    int64
	BytesOut   int64
	ObjectSize int64
	Duration   time.Duration
	TurnAround time.Duration
	// KMS are the uses of keys that the service made on the caller's behalf, with the caller's permission.
	KMS []KeyUse `json:",omitempty"`
	// Parts are what a request of S3 did to other objects than the one that it names: events of their own.
	Parts []Part `json:",omitempty"`

	// What follows is filled in when a Recorder wants the event.

	// API is the model that the operation belongs to, where it is not Service ("s3control").
	API              string
	HostID           string
	Referer          string
	Cipher           string // name of the TLS cipher suite
	SignatureVersion string // "", "SigV4"
	Session          Session
	InvokedBy        string // the service that made the request on the caller's behalf
	// ACLRequired: an ACL gave what no policy did.
	ACLRequired bool
	// Bare says that the parameters of the request are Host, bucketName and key, and after them Members, which
	// begin with a comma: what data events of S3 have in place of Parameters.
	Bare    bool
	Members string `json:",omitempty"`
	// Parameters are those of the request as a JSON object, Response the elements of the answer to a
	// write, in CloudTrail's form; nil for none. Secrets are not in them.
	Parameters, Response json.RawMessage

	// keepers are what a Log found out when it was asked whether it wants the event.
	keepers keepers
}

// KeyUse is one use of a KMS key by another service on behalf of its caller: a call of KMS of its own.
type KeyUse struct {
	Action  string // "kms:Decrypt"
	KeyARN  string
	Account string // the key's owner
	// Context is the encryption context.
	Context    map[string]string `json:",omitempty"`
	ViaService string            // "s3.us-east-1.amazonaws.com"
}

// Part is what a request did to an object that it does not name: GetObject to the source of a copy, DeleteObject to each
// of many.
type Part struct {
	Operation              string
	Bucket, Key, VersionID string
	// What became of it, where that is not what became of the request: 0 and "".
	Status               int
	ErrorCode, ErrorText string
}

// Session is what an event tells of temporary credentials. The zero Session is of long-term ones.
type Session struct {
	Issued         time.Time
	MFA            bool
	SourceIdentity string
	Provider       string // of a web identity
}

// Decision is one question that the Guard answered for the request.
type Decision struct {
	Action   string `json:"action"`
	Resource string `json:"resource"`
	Account  string `json:"account,omitempty"` // that owns the resource; "" where nobody does
	Allowed  bool   `json:"allowed"`
	Reason   string `json:"reason,omitempty"` // AWS's words
}

// Recorder writes events. Safe for concurrent use.
type Recorder interface {
	// Wants tells whether an event of this kind will be kept; a request that nobody asked to log
	// costs nothing.
	Wants(ev *Event) bool
	// Begin announces a decided request. An error refuses the request.
	Begin(ctx context.Context, ev *Event) error
	// Complete records the finished request. For management writes it returns once the record is durable.
	Complete(ctx context.Context, ev *Event) error
}
