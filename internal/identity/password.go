package identity

import "time"

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
