package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"sync"
	"time"

	"github.com/kura-s3/kura/policy"
)

// JournalConfig of a Journal.
type JournalConfig struct {
	// Dir holds the journal's files; made with mode 0700 when it is not there. Required.
	Dir string
	// FileBytes is the size at which a new file is begun. Default 64 MiB.
	FileBytes int64
	// Files kept; the oldest is removed when there are more. Default 16.
	Files int
}

// Journal is the Recorder of a running server: management events as JSON lines in files, each write
// among them synced to disk before its request is answered. Requests that finish together share
// one sync.
type Journal struct {
	config JournalConfig

	mu      sync.Mutex
	file    *os.File
	size    int64
	written uint64 // lines
	failed  error  // sticky: after a failed write nothing is promised any more

	syncing sync.Mutex
	synced  uint64
}

// OpenJournal opens the journal in c.Dir, beginning a new file.
func OpenJournal(c JournalConfig) (*Journal, error) {
	if c.FileBytes <= 0 {
		c.FileBytes = 64 << 20
	}
	if c.Files <= 0 {
		c.Files = 16
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	j := &Journal{config: c}
	if err := j.rotate(); err != nil {
		return nil, err
	}
	return j, nil
}

// Wants management events of callers that it knows. Requests that fail authentication or name no
// operation are not kept, as in CloudTrail: a stranger must not be able to flood the record out.
func (j *Journal) Wants(ev *Event) bool {
	return ev.Class == Management && ev.Principal.Type != policy.Nobody
}

// Begin refuses when the journal has failed: what can't be recorded is not done.
func (j *Journal) Begin(_ context.Context, ev *Event) error {
	if !j.Wants(ev) {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.failed
}

// Complete writes the event.
func (j *Journal) Complete(_ context.Context, ev *Event) error {
	if !j.Wants(ev) {
		return nil
	}
	line, err := json.Marshal(lineOf(ev))
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	ticket, err := j.append(append(line, '\n'))
	if err != nil || ev.ReadOnly {
		return err
	}
	return j.sync(ticket)
}

func (j *Journal) append(line []byte) (ticket uint64, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.failed != nil {
		return 0, j.failed
	}
	if j.size > 0 && j.size+int64(len(line)) > j.config.FileBytes {
		if err := j.rotate(); err != nil {
			j.failed = err
			return 0, err
		}
	}
	n, err := j.file.Write(line)
	j.size += int64(n)
	if err != nil {
		j.failed = fmt.Errorf("audit: %w", err)
		return 0, j.failed
	}
	j.written++
	return j.written, nil
}

// sync returns once the line with this ticket is durable. Whoever comes first syncs for all lines
// written so far.
func (j *Journal) sync(ticket uint64) error {
	j.syncing.Lock()
	defer j.syncing.Unlock()
	if j.synced >= ticket {
		return nil
	}
	j.mu.Lock()
	file, upTo, failed := j.file, j.written, j.failed
	j.mu.Unlock()
	if failed != nil {
		return failed
	}
	if err := file.Sync(); err != nil && !errors.Is(err, os.ErrClosed) {
		j.mu.Lock()
		j.failed = fmt.Errorf("audit: %w", err)
		j.mu.Unlock()
		return err
	}
	j.synced = upTo
	return nil
}

// rotate begins a new file and lets the oldest go. The old file is synced before it is closed.
func (j *Journal) rotate() error {
	if j.file != nil {
		if err := j.file.Sync(); err != nil {
			return fmt.Errorf("audit: %w", err)
		}
		if err := j.file.Close(); err != nil {
			return fmt.Errorf("audit: %w", err)
		}
	}
	name := filepath.Join(j.config.Dir, "events-"+time.Now().UTC().Format("20060102T150405.000000000Z")+".jsonl")
	file, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	j.file, j.size = file, 0
	names, err := filepath.Glob(filepath.Join(j.config.Dir, "events-*.jsonl"))
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	sort.Strings(names)
	for len(names) > j.config.Files {
		if err := os.Remove(names[0]); err != nil {
			return fmt.Errorf("audit: %w", err)
		}
		names = names[1:]
	}
	return syncDir(j.config.Dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

// Close syncs and closes the journal.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.failed = os.ErrClosed
	return errors.Join(j.file.Sync(), j.file.Close())
}

// line is the stored form of an Event; format 1.
type line struct {
	Format    int        `json:"format"`
	ID        string     `json:"id"`
	RequestID string     `json:"requestId,omitempty"`
	Time      time.Time  `json:"time"`
	Service   string     `json:"service"`
	Operation string     `json:"operation"`
	ReadOnly  bool       `json:"readOnly,omitempty"`
	Caller    caller     `json:"caller"`
	SourceIP  string     `json:"sourceIp,omitempty"`
	TLS       string     `json:"tls,omitempty"`
	UserAgent string     `json:"userAgent,omitempty"`
	Region    string     `json:"region,omitempty"`
	Method    string     `json:"method,omitempty"`
	URI       string     `json:"uri,omitempty"`
	Host      string     `json:"host,omitempty"`
	Bucket    string     `json:"bucket,omitempty"`
	Key       string     `json:"key,omitempty"`
	Decisions []decision `json:"decisions,omitempty"`
	Status    int        `json:"status,omitempty"`
	ErrorCode string     `json:"errorCode,omitempty"`
	ErrorText string     `json:"errorMessage,omitempty"`
	Millis    float64    `json:"ms,omitempty"`
}

type caller struct {
	Type      string `json:"type"`
	Account   string `json:"account,omitempty"`
	ARN       string `json:"arn,omitempty"`
	ID        string `json:"id,omitempty"`
	AccessKey string `json:"accessKeyId,omitempty"`
	Auth      string `json:"auth,omitempty"`
}

type decision struct {
	Action   string `json:"action"`
	Resource string `json:"resource"`
	Allowed  bool   `json:"allowed"`
	Reason   string `json:"reason,omitempty"`
}

func lineOf(ev *Event) line {
	l := line{
		Format: 1, ID: ev.ID, RequestID: ev.RequestID, Time: ev.Time.UTC(), Service: ev.Service, Operation: ev.Operation,
		ReadOnly: ev.ReadOnly, SourceIP: ev.SourceIP, TLS: ev.TLS, UserAgent: ev.UserAgent, Region: ev.Region,
		Method: ev.Method, URI: ev.URI, Host: ev.Host, Bucket: ev.Bucket, Key: ev.Key, Status: ev.Status,
		ErrorCode: ev.ErrorCode, ErrorText: ev.ErrorText, Millis: float64(ev.Duration.Microseconds()) / 1000,
		Caller: caller{
			Type: callerTypes[ev.Principal.Type], Account: ev.Principal.Account, ARN: ev.Principal.ARN,
			ID: ev.Principal.UserID, AccessKey: ev.AccessKey, Auth: ev.AuthType,
		},
	}
	for _, d := range ev.Decisions {
		l.Decisions = append(l.Decisions, decision(d))
	}
	return l
}

// callerTypes are userIdentity.type of CloudTrail.
var callerTypes = map[policy.PrincipalType]string{
	policy.Nobody: "Unknown", policy.Anonymous: "Anonymous", policy.RootUser: "Root", policy.IAMUser: "IAMUser",
	policy.AssumedRole: "AssumedRole", policy.FederatedUser: "FederatedUser", policy.Service: "AWSService",
}
