package rule

import "github.com/kura-s3/kura/internal/posture"

var mfaEnabledForIAMConsoleAccess = &Rule{
	ID: "MFA_ENABLED_FOR_IAM_CONSOLE_ACCESS", Name: "mfa-enabled-for-iam-console-access",
	Finds: "The IAM user can sign in to the console with a password and without MFA.",
	Why:   "Passwords are guessed, reused and phished. The console gives whoever has one everything that the user may do.",
	Types: []string{posture.TypeUser}, Periodic: true,
	Check: func(in *Input) (Result, error) {
		u := in.Resource.Entity
		return when(u.Password && len(u.MFA) == 0, "The IAM user has a password for the console and no MFA device.")
	},
	Examples: []Example{
		{"no password", entityOf(`{"Kind":"user","Name":"eve"}`), Compliant, ""},
		{"password alone", entityOf(`{"Kind":"user","Name":"eve","Password":true}`), NonCompliant, ""},
		{"password and device", entityOf(`{"Kind":"user","Name":"eve","Password":true,"MFA":["arn:aws:iam::111122223333:mfa/eve"]}`), Compliant, ""},
	},
}
