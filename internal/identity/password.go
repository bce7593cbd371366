package identity

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/bcrypt"

	"github.com/kura-s3/kura/internal/authz"
)

// PasswordPolicy is an account's rule for the passwords of its users.
type PasswordPolicy struct {
	MinimumPasswordLength      int
	RequireSymbols             bool
	RequireNumbers             bool
	RequireUppercaseCharacters bool
	RequireLowercaseCharacters bool
	AllowUsersToChangePassword bool
	MaxPasswordAge             int // days; 0: never
	PasswordReusePrevention    int // 0: none
	HardExpiry                 bool
}

// loginProfile is a user's password for the console.
type loginProfile struct {
	Created       time.Time
	Changed       time.Time
	Hash          string
	Earlier       []string `json:",omitempty"` // hashes, newest first
	ResetRequired bool     `json:",omitempty"`
}

const (
	passwordSymbols = "!@#$%^&*()_+-=[]{}|'"
	// defaultLength and defaultClasses hold where an account has no policy.
	defaultLength  = 8
	defaultClasses = 3
	maxPassword    = 128
	keptPasswords  = 24
	bcryptCost     = 10
)

// LoginProfile as the API shows it.
type LoginProfile struct {
	UserName              string
	CreateDate            time.Time
	PasswordResetRequired bool
}

// classes are the character classes that a password has.
type classes struct{ upper, lower, number, symbol bool }

func classesOf(password string) (c classes) {
	for _, r := range password {
		switch {
		case r >= 'A' && r <= 'Z':
			c.upper = true
		case r >= 'a' && r <= 'z':
			c.lower = true
		case r >= '0' && r <= '9':
			c.number = true
		case strings.ContainsRune(passwordSymbols, r):
			c.symbol = true
		}
	}
	return c
}

func (c classes) count() (n int) {
	for _, has := range [...]bool{c.upper, c.lower, c.number, c.symbol} {
		if has {
			n++
		}
	}
	return n
}

// checkPassword holds a new password against the account's policy, or the default rule.
func (a *account) checkPassword(password string) error {
	n, c := utf8.RuneCountInString(password), classesOf(password)
	switch {
	case n > maxPassword:
		return violates("", "password", "Member must have length less than or equal to "+decimal(maxPassword))
	case strings.ContainsFunc(password, func(r rune) bool { return r != '\t' && r != '\n' && r != '\r' && (r < 0x20 || r > 0xFF) }):
		return violates("", "password", `Member must satisfy regular expression pattern: [\u0009\u000A\u000D\u0020-\u00FF]+`)
	}
	p := a.Password
	if p == nil {
		if n < defaultLength {
			return refuse(PasswordPolicyViolation, "Password should have a minimum length of %d", defaultLength)
		}
		if c.count() < defaultClasses || (a.Name != "" && password == a.Name) || (a.Email != "" && password == a.Email) {
			return refuse(PasswordPolicyViolation, "Password should have at least %d of: uppercase letters, lowercase letters, numbers, symbols, and not be the account's name or email address", defaultClasses)
		}
		return nil
	}
	if n < p.MinimumPasswordLength {
		return refuse(PasswordPolicyViolation, "Password should have a minimum length of %d", p.MinimumPasswordLength)
	}
	for _, rule := range [...]struct {
		wanted, has bool
		what        string
	}{
		{p.RequireUppercaseCharacters, c.upper, "uppercase letter"}, {p.RequireLowercaseCharacters, c.lower, "lowercase letter"},
		{p.RequireNumbers, c.number, "number"}, {p.RequireSymbols, c.symbol, "symbol"},
	} {
		if rule.wanted && !rule.has {
			return refuse(PasswordPolicyViolation, "Password should have at least one %s", rule.what)
		}
	}
	return nil
}

// setPassword gives u a password that it did not have lately.
func (s *Store) setPassword(a *account, u *user, password string, resetRequired bool) error {
	if err := a.checkPassword(password); err != nil {
		return err
	}
	hash, err := hashPassword(password)
	if err != nil {
		return err
	}
	now := s.moment()
	next := &loginProfile{Created: now, Changed: now, Hash: hash, ResetRequired: resetRequired}
	if u.Login != nil {
		next.Created = u.Login.Created
		next.Earlier = append([]string{u.Login.Hash}, u.Login.Earlier...)
		if a.Password != nil {
			for i, old := range next.Earlier {
				if i < a.Password.PasswordReusePrevention && passwordIs(old, password) {
					return refuse(PasswordPolicyViolation, "Policy enforcement: Password has been used before")
				}
			}
		}
		next.Earlier = next.Earlier[:min(len(next.Earlier), keptPasswords)]
	}
	u.Login = next
	return nil
}

// editLogin changes a copy of a user and of its login profile under a Grant for action on the user.
func (s *Store) editLogin(ctx context.Context, g authz.Grant, action, accountID, userName string, wanted bool, fn func(*account, *user) error) error {
	return s.editHolder(ctx, g, action, Ref{KindUser, accountID, userName}, func(tx *change, h holder) error {
		a, err := tx.existing(accountID)
		if err != nil {
			return err
		}
		u := h.(*user)
		if wanted && u.Login == nil {
			return noLogin(userName)
		}
		return fn(a, u)
	})
}

func noLogin(userName string) error {
	return refuse(NoSuchEntity, "Login Profile for User %s cannot be found.", userName)
}

func showLogin(u *user) *LoginProfile {
	return &LoginProfile{UserName: u.Name, CreateDate: u.Login.Created, PasswordResetRequired: u.Login.ResetRequired}
}

// CreateLoginProfile gives a user a password for the console.
func (s *Store) CreateLoginProfile(ctx context.Context, g authz.Grant, accountID, userName, password string, resetRequired bool) (*LoginProfile, error) {
	var made *LoginProfile
	err := s.editLogin(ctx, g, "iam:CreateLoginProfile", accountID, userName, false, func(a *account, u *user) error {
		if u.Login != nil {
			return refuse(EntityAlreadyExists, "Login Profile for user %s already exists.", userName)
		}
		if err := s.setPassword(a, u, password, resetRequired); err != nil {
			return err
		}
		made = showLogin(u)
		return nil
	})
	return made, err
}

// GetLoginProfile tells whether and since when a user has a password.
func (s *Store) GetLoginProfile(_ context.Context, g authz.Grant, accountID, userName string) (*LoginProfile, error) {
	_, h, err := s.readHolder(g, "iam:GetLoginProfile", Ref{KindUser, accountID, userName})
	if err != nil {
		return nil, err
	}
	u := h.(*user)
	if u.Login == nil {
		return nil, noLogin(userName)
	}
	return showLogin(u), nil
}

// UpdateLoginProfile replaces the password (unless it is empty) and the duty to change it (unless nil).
func (s *Store) UpdateLoginProfile(ctx context.Context, g authz.Grant, accountID, userName, password string, resetRequired *bool) error {
	return s.editLogin(ctx, g, "iam:UpdateLoginProfile", accountID, userName, true, func(a *account, u *user) error {
		reset := u.Login.ResetRequired
		if resetRequired != nil {
			reset = *resetRequired
		}
		if password != "" {
			return s.setPassword(a, u, password, reset)
		}
		next := *u.Login
		next.ResetRequired = reset
		u.Login = &next
		return nil
	})
}

// DeleteLoginProfile takes the password away.
func (s *Store) DeleteLoginProfile(ctx context.Context, g authz.Grant, accountID, userName string) error {
	return s.editLogin(ctx, g, "iam:DeleteLoginProfile", accountID, userName, true, func(_ *account, u *user) error {
		u.Login = nil
		return nil
	})
}

// ChangePassword replaces the caller's own password, whose present one must be shown.
func (s *Store) ChangePassword(ctx context.Context, g authz.Grant, accountID, userName, old, password string) error {
	if !s.codes.mayTry(passwordAttempts(accountID, userName), s.now()) {
		return refuse(AccessDenied, "The old password was incorrect.")
	}
	return s.editLogin(ctx, g, "iam:ChangePassword", accountID, userName, true, func(a *account, u *user) error {
		if !passwordIs(u.Login.Hash, old) {
			s.codes.failed(passwordAttempts(accountID, userName), s.now())
			return refuse(AccessDenied, "The old password was incorrect.")
		}
		return s.setPassword(a, u, password, false)
	})
}

// SignIn is what a correct password (and MFA code) opens, for the console.
type SignIn struct {
	Account, UserName     string
	PasswordResetRequired bool
	MFAUsed               bool
}

// errSignIn is the one answer to everything that is wrong at sign-in, so that nothing can be learned.
func errSignIn() error {
	return refuse(AccessDenied, "Your authentication information is incorrect. Please try again.")
}

// SignIn checks a user's console password and, where a device is enabled, a code of it. Unknown
// accounts and users cost the same time as wrong passwords.
func (s *Store) SignIn(ctx context.Context, accountOrAlias, userName, password string, mfa *MFA) (*SignIn, error) {
	state, err := s.current()
	if err != nil {
		return nil, err
	}
	accountID := accountOrAlias
	if found, ok := s.AccountByAlias(accountOrAlias); ok {
		accountID = found.ID
	}
	a, known := state.account(accountID)
	u, found := byName[*user](state, accountID, KindUser, userName)
	hash := nobodysHash
	if known && found && a.open() && u.Login != nil {
		hash = u.Login.Hash
	}
	at := passwordAttempts(accountID, "")
	if found {
		at = passwordAttempts(accountID, userName)
	}
	if !s.codes.mayTry(at, s.now()) {
		return nil, errSignIn()
	}
	if !passwordIs(hash, password) || hash == nobodysHash {
		if found {
			s.codes.failed(at, s.now())
		}
		return nil, errSignIn()
	}
	if p := a.Password; p != nil && p.HardExpiry && expired(p, u.Login, s.now()) {
		return nil, errSignIn()
	}
	out := &SignIn{Account: accountID, UserName: u.Name, PasswordResetRequired: u.Login.ResetRequired || expired(a.Password, u.Login, s.now())}
	if state.count(deviceIndex(u.ID), 1) > 0 {
		if err := s.signInCode(ctx, state, u, mfa); err != nil {
			return nil, err
		}
		out.MFAUsed = true
	}
	s.codes.succeeded(at)
	s.usage.note(u.ID, Use{At: s.moment(), Service: "signin"})
	return out, nil
}

// signInCode uses up a code of one of the user's devices: the one named, or whichever it fits.
func (s *Store) signInCode(ctx context.Context, state *State, u *user, mfa *MFA) error {
	if mfa == nil {
		return errSignIn()
	}
	serial := mfa.SerialNumber
	each(state, deviceIndex(u.ID), "", func(_ string, d *mfaDevice) bool {
		if serial == "" {
			if _, _, err := s.currentStep(ctx, state, u.Account, u.ID, MFA{arnOf(d), mfa.TokenCode}); err == nil {
				serial = arnOf(d)
			}
		}
		return serial == ""
	})
	if err := s.useCode(ctx, u.Account, u.ID, MFA{serial, mfa.TokenCode}); err != nil {
		return errSignIn()
	}
	return nil
}

func expired(p *PasswordPolicy, l *loginProfile, now time.Time) bool {
	return p != nil && p.MaxPasswordAge > 0 && now.Sub(l.Changed) > time.Duration(p.MaxPasswordAge)*24*time.Hour
}

// passwordAttempts is what wrong passwords of a user are counted under.
func passwordAttempts(accountID, userName string) string {
	return "password " + accountID + "/" + strings.ToLower(userName)
}

// nobodysHash is what passwords of unknown users are compared with.
const nobodysHash = "$2a$10$7EqJtq98hPqEX7fNZaFWoOhi5k6mYk1rWmDqV5bLPH5z6fWZ9iKFa"

// prehash makes every password 44 characters: bcrypt reads no further than 72.
func prehash(password string) []byte {
	sum := sha256.Sum256([]byte(password))
	return base64.StdEncoding.AppendEncode(nil, sum[:])
}

func hashPassword(password string) (string, error) {
	hash, err := bcrypt.GenerateFromPassword(prehash(password), bcryptCost)
	return string(hash), err
}

func passwordIs(hash, password string) bool {
	return bcrypt.CompareHashAndPassword([]byte(hash), prehash(password)) == nil
}
