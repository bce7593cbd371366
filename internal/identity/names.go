package identity

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
)

// Kind of an entity that has an ARN. Its text is the ARN's resource type.
type Kind string

// The kinds of entity with an IAM ARN.
const (
	KindUser            Kind = "user"
	KindGroup           Kind = "group"
	KindRole            Kind = "role"
	KindPolicy          Kind = "policy"
	KindInstanceProfile Kind = "instance-profile"
	KindMFA             Kind = "mfa"
	KindOIDCProvider    Kind = "oidc-provider"
)

// Kinds that have no IAM ARN; they name records only.
const (
	kindAccount  Kind = "account"
	kindKey      Kind = "key"
	kindTokenKey Kind = "tokenkey"
	kindOrg      Kind = "organization"
	kindOU       Kind = "ou"
	kindSCP      Kind = "scp"
	kindAttempt  Kind = "createaccount"
)

// idPrefixes are AWS's prefixes of unique ids.
var idPrefixes = map[Kind]string{
	KindUser: "AIDA", KindGroup: "AGPA", KindRole: "AROA", KindPolicy: "ANPA", KindInstanceProfile: "AIPA",
	KindMFA: "AMFA", KindOIDCProvider: "AOIP",
}

// titles are the kinds as they stand in names of operations ("TagUser", "ListMFADeviceTags").
var titles = map[Kind]string{
	KindUser: "User", KindGroup: "Group", KindRole: "Role", KindPolicy: "Policy",
	KindInstanceProfile: "InstanceProfile", KindMFA: "MFADevice", KindOIDCProvider: "OpenIDConnectProvider",
}

// Ref names one entity as callers do. Name is the friendly name; for policies and virtual MFA
// devices it is the ARN, for OIDC providers too.
type Ref struct {
	Kind    Kind
	Account string
	Name    string
}

// awsAccount owns the managed policies that AWS provides.
const awsAccount = "aws"

// ARN composes an IAM ARN. path begins and ends in "/".
func ARN(account string, kind Kind, path, name string) string {
	return "arn:aws:iam::" + account + ":" + string(kind) + path + name
}

// RootARN is the ARN of an account's root user, which also names the account as a whole.
func RootARN(account string) string { return "arn:aws:iam::" + account + ":root" }

// splitARN takes an IAM ARN apart. ok is false for anything else.
func splitARN(arn string) (account string, kind Kind, path, name string, ok bool) {
	rest, ok := strings.CutPrefix(arn, "arn:aws:iam::")
	if !ok {
		return "", "", "", "", false
	}
	account, resource, ok := strings.Cut(rest, ":")
	if !ok {
		return "", "", "", "", false
	}
	typ, tail, ok := strings.Cut(resource, "/")
	if !ok || tail == "" {
		return "", "", "", "", false
	}
	i := strings.LastIndexByte(tail, '/')
	return account, Kind(typ), "/" + tail[:i+1], tail[i+1:], tail[i+1:] != ""
}

// base32Digits is the alphabet of AWS's ids.
const base32Digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

// newID is prefix and n random digits.
func newID(prefix string, n int) string {
	raw := make([]byte, n)
	rand.Read(raw)
	for i := range raw {
		raw[i] = base32Digits[raw[i]%32]
	}
	return prefix + string(raw)
}

// lowerID is n random digits as the ids of Organizations have them.
func lowerID(n int) string {
	const digits = "abcdefghijklmnopqrstuvwxyz012345"
	raw := make([]byte, n)
	rand.Read(raw)
	for i := range raw {
		raw[i] = digits[raw[i]%32]
	}
	return string(raw)
}

func newEntityID(kind Kind) string { return newID(idPrefixes[kind], 17) }

// newSecret is a secret access key: 40 characters of the base64 alphabet.
func newSecret() string {
	raw := make([]byte, 30)
	rand.Read(raw)
	return base64.StdEncoding.EncodeToString(raw)
}

func newCanonicalID() string {
	raw := make([]byte, 32)
	rand.Read(raw)
	return hex.EncodeToString(raw)
}

// newAccountID is twelve random digits of which the first is not 0.
func newAccountID() string {
	for {
		raw := make([]byte, 12)
		rand.Read(raw)
		ok := true
		for i := range raw {
			ok = ok && raw[i] < 250 // so that every digit is equally likely
			raw[i] = '0' + raw[i]%10
		}
		if ok && raw[0] != '0' {
			return string(raw)
		}
	}
}

func isAccountID(s string) bool {
	if len(s) != 12 {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// digitsOf spells bytes in the ids' alphabet.
func digitsOf(raw []byte) string {
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(raw)
}

func decimal(n int) string { return strconv.Itoa(n) }
