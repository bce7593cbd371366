// Package quarantine takes access keys out of use that have leaked: a key whose id and secret stand in the
// first megabyte of an uploaded object opens nothing any more when the upload is answered.
//
// What it promises: only who shows both id and secret of an active key (of a session: its token too) has it
// quarantined; he could have used it himself. Its user gets AWS's managed policy AWSDenyAll attached, which
// denies everything by this key and by every session made of it, and the inline policy
// AWSRevokeOlderSessions, which goes on denying those sessions when an administrator lifts the other. Roles that
// were assumed with the key during the longest time that sessions live, get that policy too. The key of a
// root user is made inactive. Each change stands in the record, made by quarantine.kura.internal; it is told
// as AWS Health does (AWS_RISK_CREDENTIALS_EXPOSED), and is a finding, with the name of who uploaded it.
//
// An id alone opens nothing: it is a finding, no more.
package quarantine

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/event"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/finding"
	"github.com/kura-s3/kura/internal/identity"
	"github.com/kura-s3/kura/policy"
)

// What is attached.
const (
	DenyAll = "arn:aws:iam::aws:policy/AWSDenyAll"
	Revoke  = "AWSRevokeOlderSessions"

	denyEverything = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":["*"],"Resource":["*"]}]}`
)

// Service is who does it, in the record.
const Service = "quarantine.kura.internal"

// Config of a Quarantine.
type Config struct {
	// Identities has the keys. Required.
	Identities *identity.Store
	// Guard grants what the quarantine does, Record has it. Required.
	Guard  *authz.Guard
	Record audit.Recorder
	// AuditDir is where the record of what leaked keys did lies. Required.
	AuditDir string
	// Bus and Findings are told. Required.
	Bus      event.Bus
	Findings *finding.Store
	Region   string
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Log is required.
	Log *slog.Logger
}

// Quarantine takes keys out of use. Safe for concurrent use.
type Quarantine struct {
	config Config
	now    func() time.Time

	mu sync.Mutex
	// told holds when a key, or its id in a bucket, was last told of.
	told map[string]time.Time
	// acted holds when a key was last taken out of use.
	acted map[string]time.Time
}

// New makes a Quarantine.
func New(c Config) *Quarantine {
	q := &Quarantine{config: c, now: c.Now, told: map[string]time.Time{}, acted: map[string]time.Time{}}
	if q.now == nil {
		q.now = time.Now
	}
	return q
}

// Scanner looks into uploads for q.
func (q *Quarantine) Scanner() *Scanner {
	return &Scanner{
		Lookup: q.config.Identities.Lookup,
		Known: func(id string) bool {
			_, _, ok := q.config.Identities.KeyOwner(id)
			return ok
		},
		Found: q.found,
	}
}

// patience is how long an upload waits for the quarantine.
const patience = 20 * time.Second

// found acts on a leak. The upload waits: when it is answered, the key opens nothing.
func (q *Quarantine) found(l *Leak) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var err error
	if l.Credential == nil {
		err = q.mention(ctx, l)
	} else {
		err = q.contain(ctx, l)
	}
	if err != nil {
		q.config.Log.Error("leaked access key", "key", l.KeyID, "bucket", l.Event.Bucket, "err", err)
	}
}

// again is how long the same leak is not told a second time, rest how long one that was dealt with is not
// dealt with a second time: an upload of it costs no search of the record. maxTold bounds what is
// remembered of that.
const (
	again   = time.Hour
	rest    = 10 * time.Second
	maxTold = 10_000
)

// first tells whether something is told for the first time in a while.
func (q *Quarantine) first(what string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	if at, ok := q.told[what]; ok && now.Sub(at) < again {
		return false
	}
	remember(q.told, what, now)
	return true
}

func remember(m map[string]time.Time, what string, now time.Time) {
	if len(m) >= maxTold {
		clear(m)
	}
	m[what] = now
}

// resting tells whether a key was dealt with a moment ago, and its quarantine was not lifted since.
func (q *Quarantine) resting(ctx context.Context, l *Leak) bool {
	q.mu.Lock()
	at, ok := q.acted[l.KeyID]
	q.mu.Unlock()
	if !ok || q.now().Sub(at) >= rest {
		return false
	}
	p := &l.Credential.Subject.Principal
	return strings.HasPrefix(l.KeyID, "ASIA") || q.denied(ctx, identity.Ref{Kind: identity.KindUser, Account: p.Account, Name: p.Name})
}

// contain quarantines a key and tells of it.
func (q *Quarantine) contain(ctx context.Context, l *Leak) error {
	if q.resting(ctx, l) {
		return nil
	}
	err := q.act(ctx, l)
	if err == nil {
		q.mu.Lock()
		remember(q.acted, l.KeyID, q.now())
		q.mu.Unlock()
	}
	if !q.first(l.KeyID) {
		return err
	}
	// What could not be done, or not in time, is told all the same, and more urgently.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	return errors.Join(err, q.announce(ctx, l, err == nil))
}

func (q *Quarantine) act(ctx context.Context, l *Leak) error {
	p := &l.Credential.Subject.Principal
	switch {
	case p.Type == policy.RootUser:
		return q.deactivate(ctx, p.Account, "", l.KeyID)
	case p.Type == policy.AssumedRole:
		role := identity.Ref{Kind: identity.KindRole, Account: p.Account, Name: lastPart(p.IssuerARN)}
		return errors.Join(q.revoke(ctx, role, q.began(l)), q.assumed(ctx, l.KeyID))
	}
	name := p.Name
	if p.Type == policy.FederatedUser {
		name = lastPart(p.IssuerARN)
	}
	user := identity.Ref{Kind: identity.KindUser, Account: p.Account, Name: name}
	if p.Type == policy.FederatedUser && strings.HasSuffix(p.IssuerARN, ":root") || name == "" {
		return fault.New(identity.NoSuchEntity, "a session of the root user cannot be revoked")
	}
	if strings.HasPrefix(l.KeyID, "ASIA") {
		return errors.Join(q.revoke(ctx, user, q.began(l)), q.assumed(ctx, l.KeyID))
	}
	var err error
	if _, revoked := q.revoked(ctx, user); !revoked || !q.denied(ctx, user) {
		err = errors.Join(q.deny(ctx, user, l.KeyID), q.revoke(ctx, user, q.now()))
	}
	return errors.Join(err, q.assumed(ctx, l.KeyID))
}

// began is when a session began. Only it and those before it are revoked: whoever shows one that he has, as often
// as he likes, ends nobody's later sessions.
func (q *Quarantine) began(l *Leak) time.Time {
	if keys := l.Credential.Subject.Keys; keys != nil {
		if v, ok := keys.Lookup("aws:tokenissuetime"); ok {
			if at, err := time.Parse(time.RFC3339, v.One); err == nil {
				return at
			}
		}
	}
	return q.now()
}

func lastPart(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }

// deny attaches AWSDenyAll, or what denies as well when there is no room for it, or else takes the key away.
func (q *Quarantine) deny(ctx context.Context, user identity.Ref, key string) error {
	err := q.change(ctx, "AttachUserPolicy", user.Account, map[string]string{"userName": user.Name, "policyArn": DenyAll}, func(g authz.Grant) error {
		return q.config.Identities.AttachPolicy(ctx, g, user, DenyAll)
	})
	if err == nil {
		return nil
	}
	err = q.change(ctx, "PutUserPolicy", user.Account, map[string]string{"userName": user.Name, "policyName": "AWSDenyAll"}, func(g authz.Grant) error {
		return q.config.Identities.PutInlinePolicy(ctx, g, user, "AWSDenyAll", denyEverything)
	})
	if err == nil {
		return nil
	}
	return q.deactivate(ctx, user.Account, user.Name, key)
}

func (q *Quarantine) deactivate(ctx context.Context, account, user, key string) error {
	return q.change(ctx, "UpdateAccessKey", account, map[string]string{"userName": user, "accessKeyId": key, "status": "Inactive"}, func(g authz.Grant) error {
		return q.config.Identities.UpdateAccessKey(ctx, g, account, user, key, false)
	})
}

// revocation is the policy that denies everything to sessions that began before a moment.
func revocation(before time.Time) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":["*"],"Resource":["*"],"Condition":{"DateLessThan":{"aws:TokenIssueTime":"` +
		before.UTC().Format(time.RFC3339) + `"}}}]}`
}

// revoke denies everything to the sessions of a user or role that began until a moment. It never takes back what
// is denied already, and changes nothing where that is as much.
func (q *Quarantine) revoke(ctx context.Context, of identity.Ref, until time.Time) error {
	before := until.UTC().Truncate(time.Second).Add(time.Second)
	document, there := q.revoked(ctx, of)
	if there {
		for _, found := range issueTime.FindAllStringSubmatch(document, -1) {
			if at, err := time.Parse(time.RFC3339, found[1]); err == nil && at.After(before) {
				before = at
			}
		}
	}
	if there && document == revocation(before) {
		return nil
	}
	document = revocation(before)
	operation, member := "PutUserPolicy", "userName"
	if of.Kind == identity.KindRole {
		operation, member = "PutRolePolicy", "roleName"
	}
	return q.change(ctx, operation, of.Account, map[string]string{member: of.Name, "policyName": Revoke, "policyDocument": document}, func(g authz.Grant) error {
		return q.config.Identities.PutInlinePolicy(ctx, g, of, Revoke, document)
	})
}

// issueTime finds until when a policy revokes, in whatever form an administrator or the console wrote it.
var issueTime = regexp.MustCompile(`(?i)"aws:TokenIssueTime"\s*:\s*\[?\s*"([^"]+)"`)

// revoked is the policy that revokes sessions of a user or role, when there is one.
func (q *Quarantine) revoked(ctx context.Context, of identity.Ref) (document string, ok bool) {
	operation := "iam:GetUserPolicy"
	if of.Kind == identity.KindRole {
		operation = "iam:GetRolePolicy"
	}
	g, err := q.config.Guard.System(ctx, Service, authz.Demand{Action: operation, Resource: authz.Resource{ARN: "arn:aws:iam::" + of.Account + ":*"}})
	if err != nil {
		return "", false
	}
	p, err := q.config.Identities.GetInlinePolicy(ctx, g, of, Revoke)
	if err != nil {
		return "", false
	}
	return p.Document, true
}

// longest is how long sessions of roles live at most; maxRoles bounds how many are revoked for one key, maxSessions
// the sessions whose calls are followed; slack is how much later than its call was recorded a session may have
// begun.
const (
	longest     = 12 * time.Hour
	maxRoles    = 50
	maxSessions = 100_000
	slack       = time.Minute
)

// assumed revokes the sessions of the roles that were assumed with the key, and with the sessions of those, that
// began until the last such call. It reads the record once, however many sessions there are.
func (q *Quarantine) assumed(ctx context.Context, key string) error {
	keys, begun := map[string]bool{key: true}, map[string]time.Time{}
	query := &audit.Query{Source: "sts.amazonaws.com", Name: "AssumeRole", Since: q.now().Add(-longest)}
	err := audit.Find(ctx, q.config.AuditDir, audit.StreamManagement, query, func(e *audit.Entry) bool {
		if e.Error != "" || !keys[e.KeyID] {
			return true
		}
		if session := sessionOf(e.Record); session != "" && len(keys) < maxSessions {
			keys[session] = true
		}
		_, known := begun[e.ARN]
		if parts := strings.Split(e.ARN, ":"); len(parts) == 6 && strings.HasPrefix(parts[5], "role/") && (known || len(begun) < maxRoles) {
			begun[e.ARN] = e.Time().Add(slack)
		}
		return true
	})
	errs := []error{err}
	for arn, at := range begun {
		if now := q.now(); at.After(now) {
			at = now
		}
		errs = append(errs, q.revoke(ctx, identity.Ref{Kind: identity.KindRole, Account: strings.Split(arn, ":")[4], Name: lastPart(arn)}, at))
	}
	return errors.Join(errs...)
}

// sessionOf is the access key that a recorded call of STS gave.
func sessionOf(record []byte) string {
	var r struct {
		ResponseElements struct {
			Credentials struct {
				AccessKeyID string `json:"accessKeyId"`
			} `json:"credentials"`
		} `json:"responseElements"`
	}
	if json.Unmarshal(record, &r) != nil {
		return ""
	}
	return r.ResponseElements.Credentials.AccessKeyID
}

// change changes IAM, on the record.
func (q *Quarantine) change(ctx context.Context, operation, account string, parameters map[string]string, do func(authz.Grant) error) error {
	g, err := q.config.Guard.System(ctx, Service, authz.Demand{Action: "iam:" + operation, Resource: authz.Resource{ARN: "arn:aws:iam::" + account + ":*"}})
	if err != nil {
		return err
	}
	ev := g.Event()
	ev.Service, ev.Operation, ev.RequestID, ev.Region = "iam", operation, newID(), q.config.Region
	ev.Principal.ARN, ev.UserAgent, ev.SourceIP, ev.Status = Service, Service, Service, 200
	ev.ID, ev.Decisions[0].Account, ev.Decisions[0].Reason = ev.RequestID, account, "a leaked access key"
	if ev.Parameters, err = json.Marshal(parameters); err != nil {
		return err
	}
	if err = do(g); err != nil {
		ev.Status, ev.ErrorCode, ev.ErrorText = 400, string(fault.Of(err)), err.Error()
	}
	return errors.Join(err, q.config.Record.Complete(ctx, ev))
}

func newID() string {
	var b [8]byte
	rand.Read(b[:])
	return strings.ToUpper(hex.EncodeToString(b[:]))
}
