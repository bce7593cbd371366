package identity

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"image/png"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/policy"
)

// mfaDevice is a virtual MFA device (RFC 6238: SHA-1, six digits, thirty seconds).
type mfaDevice struct {
	header
	Sealed  []byte    // the seed
	Owner   string    `json:",omitempty"` // unique id of the user, or the account id for root
	Enabled time.Time `json:",omitzero"`
	Last    int64     `json:",omitempty"` // the latest time step whose code was used
	Drift   int64     `json:",omitempty"` // of the device's clock, in steps
}

const (
	mfaStep = 30 // seconds
	// mfaWindow is how many steps early or late a code may be; on Enable and Resync the window is
	// wide, because two codes in a row tell the device's clock.
	mfaWindow       = 1
	mfaResyncWindow = 20
	// After mfaTries wrong codes within mfaLockout a device is locked for as long.
	mfaTries   = 10
	mfaLockout = 5 * time.Minute
)

func (d *mfaDevice) kind() Kind { return KindMFA }
func (d *mfaDevice) prepare()   {}
func (d *mfaDevice) twin() resource {
	c := *d
	c.header = d.header.twin()
	return &c
}

func (d *mfaDevice) indexes(yield func(string)) {
	yield(d.named(KindMFA))
	if d.Owner != "" {
		yield(deviceIndex(d.Owner) + strings.ToLower(d.Name))
	}
}

// deviceIndex is the prefix of the MFA devices that are enabled for a user or for root.
func deviceIndex(owner string) string { return "d\x00" + owner + "\x00" }

func seedContext(id string) []byte { return []byte("identity mfa seed " + id) }

// VirtualMFADevice as the API shows it. Seed and QRCodePNG are there once, in the answer to
// CreateVirtualMFADevice.
type VirtualMFADevice struct {
	SerialNumber string // its ARN
	Seed         string // base32
	QRCodePNG    []byte
	EnableDate   time.Time
	User         *User // nil when not assigned, or assigned to root
	Root         bool
	Tags         []Tag
}

// CreateVirtualMFADevice makes a device that is assigned to nobody yet.
func (s *Store) CreateVirtualMFADevice(ctx context.Context, g authz.Grant, account, name, path string, tags []Tag) (*VirtualMFADevice, error) {
	path, err := checkNew(KindMFA, name, path, tags)
	if err != nil {
		return nil, err
	}
	arn := ARN(account, KindMFA, path, name)
	if err := g.Require("iam:CreateVirtualMFADevice", arn); err != nil {
		return nil, err
	}
	raw := make([]byte, 40)
	rand.Read(raw)
	made := &VirtualMFADevice{SerialNumber: arn, Seed: digitsOf(raw), Tags: slices.Clone(tags)}
	if made.QRCodePNG, err = qrCode(account, name, made.Seed); err != nil {
		return nil, err
	}
	err = s.change(ctx, g, func(tx *change) error {
		if err := tx.vacant(account, KindMFA, path+name); err != nil {
			return err
		}
		d := &mfaDevice{header: newHeader(KindMFA, account, path, name, s.moment())}
		d.Tags = slices.Clone(tags)
		d.Sealed = s.secrets.SealSecret(seedContext(d.ID), []byte(made.Seed))
		tx.set(d)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return made, nil
}

// qrCode is the picture that authenticator applications read the seed from.
func qrCode(account, name, seed string) ([]byte, error) {
	label := url.PathEscape(name + "@" + account)
	key, err := otp.NewKeyFromURL("otpauth://totp/Amazon%20Web%20Services:" + label + "?secret=" + seed + "&issuer=Amazon%20Web%20Services")
	if err != nil {
		return nil, err
	}
	picture, err := key.Image(256, 256)
	if err != nil {
		return nil, err
	}
	var file bytes.Buffer
	err = png.Encode(&file, picture)
	return file.Bytes(), err
}

// device finds a virtual MFA device of the account by its serial number.
func (s *State) device(account, serial string) (*mfaDevice, error) {
	d, ok := byARN[*mfaDevice](s, serial)
	if !ok || d.Account != account {
		return nil, notFound(KindMFA, serial)
	}
	return d, nil
}

// seed opens the device's seed.
func (s *Store) seed(ctx context.Context, d *mfaDevice) (string, error) {
	seed, err := s.secrets.OpenSecret(ctx, seedContext(d.ID), d.Sealed)
	return string(seed), err
}

func codeIs(seed string, step int64, code string) bool {
	if step < 0 || len(code) != 6 {
		return false
	}
	want, err := hotp.GenerateCode(seed, uint64(step))
	return err == nil && subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1
}

func (s *Store) step() int64 { return s.now().Unix() / mfaStep }

// consecutive finds the steps of two codes in a row and gives that of the second.
func (s *Store) consecutive(ctx context.Context, d *mfaDevice, code1, code2 string) (int64, error) {
	if !s.codes.mayTry(d.ID, s.now()) {
		return 0, errMFACode()
	}
	seed, err := s.seed(ctx, d)
	if err != nil {
		return 0, err
	}
	now := s.step()
	for i := now - mfaResyncWindow; i <= now+mfaResyncWindow; i++ {
		if i >= d.Last && codeIs(seed, i, code1) && codeIs(seed, i+1, code2) {
			return i + 1, nil
		}
	}
	s.codes.failed(d.ID, s.now())
	return 0, errMFACode()
}

func errMFACode() error {
	return refuse(InvalidMFACode, "Authentication code for device is not valid.")
}

// EnableMFADevice assigns a device to a user (root for the name "") who shows two codes in a row.
func (s *Store) EnableMFADevice(ctx context.Context, g authz.Grant, account, userName, serial, code1, code2 string) error {
	return s.editDevice(ctx, g, "iam:EnableMFADevice", account, userName, serial, func(tx *change, owner keyOwner, d *mfaDevice) error {
		if d.Owner != "" {
			return refuse(EntityAlreadyExists, "MFA Device is already in use.")
		}
		if tx.count(deviceIndex(owner.id), maxMFA) >= maxMFA {
			return refuse(LimitExceeded, "Cannot exceed quota for MFADevicesPerUser: %d", maxMFA)
		}
		step, err := s.consecutive(ctx, d, code1, code2)
		if err != nil {
			return err
		}
		d.Owner, d.Enabled, d.Last, d.Drift = owner.id, s.moment(), step, driftOf(step, s.step())
		tx.set(d)
		return nil
	})
}

// driftOf is how far the device's clock is off: nothing while its code is of the window anyway.
func driftOf(step, now int64) int64 {
	if d := step - now; d < -mfaWindow || d > mfaWindow {
		return d
	}
	return 0
}

// ResyncMFADevice sets the clock of a user's device anew from two codes in a row.
func (s *Store) ResyncMFADevice(ctx context.Context, g authz.Grant, account, userName, serial, code1, code2 string) error {
	return s.editDevice(ctx, g, "iam:ResyncMFADevice", account, userName, serial, func(tx *change, owner keyOwner, d *mfaDevice) error {
		if d.Owner != owner.id {
			return notFound(KindMFA, serial)
		}
		step, err := s.consecutive(ctx, d, code1, code2)
		if err != nil {
			return err
		}
		d.Last, d.Drift = step, driftOf(step, s.step())
		tx.set(d)
		return nil
	})
}

// DeactivateMFADevice takes a device from a user.
func (s *Store) DeactivateMFADevice(ctx context.Context, g authz.Grant, account, userName, serial string) error {
	return s.editDevice(ctx, g, "iam:DeactivateMFADevice", account, userName, serial, func(tx *change, owner keyOwner, d *mfaDevice) error {
		if d.Owner != owner.id {
			return notFound(KindMFA, serial)
		}
		d.Owner, d.Enabled, d.Drift = "", time.Time{}, 0
		tx.set(d)
		return nil
	})
}

func (s *Store) editDevice(ctx context.Context, g authz.Grant, action, account, userName, serial string, fn func(*change, keyOwner, *mfaDevice) error) error {
	return s.change(ctx, g, func(tx *change) error {
		if err := g.Require(action, tx.ownerARN(account, userName)); err != nil {
			return err
		}
		owner, err := tx.keyOwner(account, userName)
		if err != nil {
			return err
		}
		d, err := tx.device(account, serial)
		if err != nil {
			return err
		}
		return fn(tx, owner, d.twin().(*mfaDevice))
	})
}

// DeleteVirtualMFADevice removes a device that is assigned to nobody.
func (s *Store) DeleteVirtualMFADevice(ctx context.Context, g authz.Grant, account, serial string) error {
	return s.change(ctx, g, func(tx *change) error {
		if err := g.Require("iam:DeleteVirtualMFADevice", serial); err != nil {
			return err
		}
		d, err := tx.device(account, serial)
		if err != nil {
			return err
		}
		if d.Owner != "" {
			return refuse(DeleteConflict, "Cannot delete entity, must remove MFA device from principal first.")
		}
		tx.remove(d)
		return nil
	})
}

// ListMFADevices lists the devices of a user, or of root for the name "".
func (s *Store) ListMFADevices(_ context.Context, g authz.Grant, account, userName string, p Page) (*Listed[*VirtualMFADevice], error) {
	state := s.state.Load()
	if err := g.Require("iam:ListMFADevices", state.ownerARN(account, userName)); err != nil {
		return nil, err
	}
	owner, err := state.keyOwner(account, userName)
	if err != nil {
		return nil, err
	}
	return page(state, deviceIndex(owner.id), p, nil, state.showDevice)
}

// ListVirtualMFADevices lists the account's devices: status Assigned, Unassigned or Any ("").
func (s *Store) ListVirtualMFADevices(_ context.Context, g authz.Grant, account, status string, p Page) (*Listed[*VirtualMFADevice], error) {
	if err := g.Require("iam:ListVirtualMFADevices", "*"); err != nil {
		return nil, err
	}
	state := s.state.Load()
	keep := func(d *mfaDevice) bool {
		return status == "" || status == "Any" || (status == "Assigned") == (d.Owner != "")
	}
	return page(state, nameIndex(account, KindMFA, ""), p, keep, state.showDevice)
}

func (s *State) showDevice(d *mfaDevice) *VirtualMFADevice {
	shown := &VirtualMFADevice{SerialNumber: arnOf(d), EnableDate: d.Enabled, Root: d.Owner == d.Account}
	if u, ok := byID[*user](s, KindUser, d.Owner); ok {
		shown.User = s.showUser(u)
		shown.User.Tags, shown.User.PermissionsBoundary = nil, ""
	}
	return shown
}

// MFA is what a caller shows beside a signature or a password: one code of one device.
type MFA struct{ SerialNumber, TokenCode string }

// currentStep is the time step of a code that owner's device may show now. The code stays usable.
func (s *Store) currentStep(ctx context.Context, state *State, account, owner string, m MFA) (*mfaDevice, int64, error) {
	unable := refuse(AccessDenied, "MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your MFA serial number is valid and associated with this user.")
	d, err := state.device(account, m.SerialNumber)
	if err != nil || d.Owner != owner {
		return nil, 0, unable
	}
	wrong := refuse(AccessDenied, "MultiFactorAuthentication failed with invalid MFA one time pass code.")
	if !s.codes.mayTry(d.ID, s.now()) {
		return nil, 0, wrong
	}
	seed, err := s.seed(ctx, d)
	if err != nil {
		return nil, 0, err
	}
	now := s.step() + d.Drift
	for step := now - mfaWindow; step <= now+mfaWindow; step++ {
		if step > d.Last && codeIs(seed, step, m.TokenCode) {
			return d, step, nil
		}
	}
	s.codes.failed(d.ID, s.now())
	return nil, 0, wrong
}

// useCode checks a code and uses it up.
func (s *Store) useCode(ctx context.Context, account, owner string, m MFA) error {
	return s.change(ctx, authz.Grant{}, func(tx *change) error {
		d, step, err := s.currentStep(ctx, tx.State, account, owner, m)
		if err != nil {
			return err
		}
		d = d.twin().(*mfaDevice)
		d.Last = step
		tx.set(d)
		s.codes.succeeded(d.ID)
		return nil
	})
}

// UseMFACode uses up a code that a user or root shows of its own device beside a request.
func (s *Store) UseMFACode(ctx context.Context, caller policy.Principal, m MFA) error {
	owner := caller.UniqueID
	switch caller.Type {
	case policy.IAMUser:
	case policy.RootUser:
		owner = caller.Account
	default:
		return refuse(AccessDenied, "MultiFactorAuthentication failed, must provide both MFA serial number and one time pass code.")
	}
	return s.useCode(ctx, caller.Account, owner, m)
}

// attempts counts wrong codes and passwords, so that guessing ends early. It holds at most one entry
// per device and user that exists.
type attempts struct {
	mu    sync.Mutex
	wrong map[string]wrongTries
}

type wrongTries struct {
	n     int
	since time.Time
}

func (a *attempts) mayTry(id string, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	w, ok := a.wrong[id]
	if ok && now.Sub(w.since) >= mfaLockout {
		delete(a.wrong, id)
		return true
	}
	return w.n < mfaTries
}

func (a *attempts) failed(id string, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.wrong == nil {
		a.wrong = map[string]wrongTries{}
	}
	w := a.wrong[id]
	w.n++
	w.since = now
	a.wrong[id] = w
}

func (a *attempts) succeeded(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.wrong, id)
}
