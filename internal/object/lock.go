package object

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
)

// Object Lock: a version that is under retention or a legal hold stays. The rules stand here, below
// every caller: requests, lifecycle, replication and undo all delete through this package.

// Failures of Object Lock and MFA delete.
const (
	// Protected: a legal hold or a compliance retention; nobody may.
	Protected fault.Kind = "object.Protected"
	// Governed: a governance retention, which s3:BypassGovernanceRetention overrules.
	Governed fault.Kind = "object.Governed"
	// MFARequired: the bucket lets versions go only to callers who show a code of their device.
	MFARequired fault.Kind = "object.MFARequired"
	// InvalidRetention: message says what is wrong with a wanted retention.
	InvalidRetention fault.Kind = "object.InvalidRetention"
)

// RetentionMode is how strictly a retention holds.
type RetentionMode uint8

// The modes, as they are stored.
const (
	NoRetention RetentionMode = iota
	Governance                // until then, or until somebody who may bypasses it
	Compliance                // until then
)

// LegalHold keeps a version until it is taken off.
type LegalHold uint8

// The states, as they are stored.
const (
	NoHold LegalHold = iota // nobody ever put one
	HoldOff
	HoldOn
)

// Lock is what keeps a version from being deleted.
type Lock struct {
	Mode  RetentionMode
	Until time.Time
	Hold  LegalHold
}

// SettingObjectLock names the Object Lock configuration in Bucket.Settings, a JSON ObjectLock.
const SettingObjectLock = "objectLock"

// ObjectLock is the configuration of a bucket that has Object Lock. Once there it stays, and
// versioning with it; the default may change.
type ObjectLock struct {
	// Mode, and Days or Years, of the retention that a new version gets which names none of its own;
	// NoRetention: none.
	Mode  RetentionMode `json:",omitempty"`
	Days  int           `json:",omitempty"`
	Years int           `json:",omitempty"`
}

// Bounds of a default retention (Amazon S3 User Guide, "Object Lock").
const (
	MaxRetentionDays  = 36500
	MaxRetentionYears = 100
)

const (
	missingLockConfig = "Bucket is missing Object Lock Configuration"
	lockKeepsVersions = "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed."
	lockNeedsVersions = "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration"
	retainInPast      = "The retain until date must be in the future!"
)

// Encode gives the form in which a bucket keeps it.
func (l *ObjectLock) Encode() ([]byte, error) { return json.Marshal(l) }

func decodeObjectLock(raw []byte) (*ObjectLock, error) {
	l := &ObjectLock{}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(l); err != nil {
		return nil, fmt.Errorf("%w: object lock: %w", errRecord, err)
	}
	one := (l.Days > 0) != (l.Years > 0)
	if l.Mode > Compliance || l.Days < 0 || l.Years < 0 || one != (l.Mode != NoRetention) ||
		l.Days > MaxRetentionDays || l.Years > MaxRetentionYears {
		return nil, fmt.Errorf("%w: object lock", errRecord)
	}
	return l, nil
}

// lockState is a bucket's Object Lock configuration, decoded once.
type lockState struct {
	config *ObjectLock // nil: the bucket has none
	// broken: the setting cannot be read. It must not count as absent.
	broken error
}

func lockStateOf(settings map[string][]byte) lockState {
	raw, ok := settings[SettingObjectLock]
	if !ok {
		return lockState{}
	}
	config, err := decodeObjectLock(raw)
	return lockState{config: config, broken: err}
}

// ObjectLock is the bucket's configuration, nil when it has none.
func (b *Bucket) ObjectLock() (*ObjectLock, error) {
	if b.lock.broken != nil {
		return nil, damaged("a bucket's Object Lock configuration cannot be read", b.lock.broken)
	}
	return b.lock.config, nil
}

// checkLockChange keeps a bucket from losing its Object Lock, or the versioning that it needs. Before
// is the zero lockState for a new bucket.
func checkLockChange(before lockState, next *Bucket) error {
	after := lockStateOf(next.Settings)
	switch {
	case after.broken != nil:
		return after.broken
	case before.broken != nil || before.config != nil && after.config == nil:
		return fault.New(InvalidBucketState, "Object Lock cannot be disabled once it is enabled")
	case after.config == nil || next.Versioning == VersioningEnabled:
		return nil
	case before.config != nil:
		return fault.New(InvalidBucketState, lockKeepsVersions)
	}
	return fault.New(InvalidBucketState, lockNeedsVersions)
}

// newLock is the lock of a new version: what its writer wants, or else the bucket's default.
func (s *Store) newLock(b *Bucket, want *Lock) (Lock, error) {
	config, err := b.ObjectLock()
	if err != nil {
		return Lock{}, err
	}
	var lock Lock
	if want != nil {
		lock = *want
	}
	if config == nil {
		if lock != (Lock{}) {
			return Lock{}, invalidRequest(missingLockConfig)
		}
		return lock, nil
	}
	if lock.Mode == NoRetention && config.Mode != NoRetention {
		lock.Mode = config.Mode
		lock.Until = s.retentionStart().AddDate(config.Years, 0, config.Days)
	}
	lock.Until = lock.Until.Truncate(time.Millisecond)
	return lock, nil
}

// checkWanted looks at the lock that a write asks for, before anything is stored.
func (s *Store) checkWanted(b *Bucket, want *Lock) error {
	if want == nil {
		return nil
	}
	if config, err := b.ObjectLock(); err != nil || config == nil {
		if err == nil {
			err = invalidRequest(missingLockConfig)
		}
		return err
	}
	if want.Mode != NoRetention && !want.Until.After(s.retentionStart()) {
		return fault.New(InvalidRetention, retainInPast)
	}
	return nil
}

// retained tells whether the retention still holds.
func (l *Lock) retained(now time.Time) bool { return l.Mode != NoRetention && now.Before(l.Until) }

// mayRemove is asked before any version's record goes away for good.
func (s *Store) mayRemove(r *record, bypass bool) error {
	switch {
	case r.lock.Hold == HoldOn:
		return fault.New(Protected, "")
	case r.lock.Mode == NoRetention || !r.lock.retained(s.lockTime()):
		return nil
	case r.lock.Mode == Governance && bypass:
		return nil
	case r.lock.Mode == Governance:
		return fault.New(Governed, "")
	}
	return fault.New(Protected, "")
}

// mayChange is asked before a retention becomes another one.
func (s *Store) mayChange(was, next *Lock, bypass bool) error {
	if !was.retained(s.lockTime()) {
		return nil
	}
	longer := next.Mode == was.Mode && !next.Until.Before(was.Until)
	switch {
	case longer || was.Mode == Governance && bypass:
		return nil
	case was.Mode == Governance:
		return fault.New(Governed, "")
	}
	return fault.New(Protected, "")
}

// RetentionInput is a retention that a version is to have.
type RetentionInput struct {
	GetInput
	Mode  RetentionMode // NoRetention: none
	Until time.Time
	// Bypass overrules a governance retention and needs s3:BypassGovernanceRetention.
	Bypass bool
}

// SetRetention needs s3:PutObjectRetention. Weakening a governance retention fails with Governed
// unless bypassed; a compliance retention can only be extended.
func (s *Store) SetRetention(ctx context.Context, g authz.Grant, in *RetentionInput) (*Info, error) {
	if err := requireBypass(g, in.Bucket, in.Key, in.Bypass); err != nil {
		return nil, err
	}
	next := Lock{Mode: in.Mode, Until: in.Until.Truncate(time.Millisecond)}
	return s.changeLock(ctx, g, "s3:PutObjectRetention", &in.GetInput, func(r *record) error {
		if next.Mode != NoRetention && !next.Until.After(s.retentionStart()) {
			return fault.New(InvalidRetention, retainInPast)
		}
		if err := s.mayChange(&r.lock, &next, in.Bypass); err != nil {
			return err
		}
		r.lock.Mode, r.lock.Until = next.Mode, next.Until
		return nil
	})
}

// SetLegalHold needs s3:PutObjectLegalHold.
func (s *Store) SetLegalHold(ctx context.Context, g authz.Grant, in *GetInput, hold LegalHold) (*Info, error) {
	return s.changeLock(ctx, g, "s3:PutObjectLegalHold", in, func(r *record) error {
		r.lock.Hold = hold
		return nil
	})
}

func requireBypass(g authz.Grant, bucket, key string, bypass bool) error {
	if !bypass {
		return nil
	}
	return g.Require("s3:BypassGovernanceRetention", keyARN(bucket, key))
}

func (s *Store) changeLock(ctx context.Context, g authz.Grant, action string, in *GetInput, change func(*record) error) (*Info, error) {
	if err := g.Require(action, keyARN(in.Bucket, in.Key)); err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	var info *Info
	err := s.changeKey(ctx, in.Bucket, in.Key, 0, false, func(ctx context.Context, t *txn, to target) error {
		config, err := to.bucket.ObjectLock()
		if err != nil {
			return err
		}
		if config == nil {
			return invalidRequest(missingLockConfig)
		}
		place, r, err := t.locate(ctx, to, in.VersionID)
		if err != nil {
			return err
		}
		if err := change(r); err != nil {
			return err
		}
		t.changedReplicas(g, to, r)
		t.set(place, r.append(make([]byte, 0, 512)))
		t.tell(g, to, wasLocked, r)
		info = infoOf(to.bucket, in.Key, r)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return info, nil
}

func (r *record) hasRetention() bool { return r.lock.Mode != NoRetention }

func (r *record) appendRetention(dst []byte) []byte {
	return binary.AppendUvarint(append(dst, byte(r.lock.Mode)), uint64(r.lock.Until.UnixMilli()))
}

func (r *record) decodeRetention(d *decoder) {
	r.lock.Mode, r.lock.Until = RetentionMode(d.byte()), time.UnixMilli(d.size()).UTC()
	if r.lock.Mode > Compliance {
		d.fail()
	}
}

func (r *record) hasHold() bool { return r.lock.Hold != NoHold }

func (r *record) appendHold(dst []byte) []byte { return append(dst, byte(r.lock.Hold)) }

func (r *record) decodeHold(d *decoder) {
	if r.lock.Hold = LegalHold(d.byte()); r.lock.Hold > HoldOn {
		d.fail()
	}
}
