package function

import (
	"regexp"
	"strings"
)

// Ref names a function, or of it a version or an alias.
type Ref struct{ Account, Name, Qualifier string }

// Unqualified is the function itself.
func (r Ref) Unqualified() Ref { r.Qualifier = ""; return r }

var (
	functionName  = regexp.MustCompile(`^[a-zA-Z0-9-_]{1,64}$`)
	qualifierName = regexp.MustCompile(`^(\$LATEST|[a-zA-Z0-9-_]{1,128})$`)
	// secondName would be another way to write the number of a version, under which policies do not know it.
	secondName    = regexp.MustCompile(`^0\d+$`)
	accountNumber = regexp.MustCompile(`^\d{12}$`)
)

// ARN of what r names.
func (s *Store) ARN(r Ref) string {
	arn := "arn:aws:lambda:" + s.config.Region + ":" + r.Account + ":function:" + r.Name
	if r.Qualifier != "" {
		arn += ":" + r.Qualifier
	}
	return arn
}

// Parse reads the name of a function as clients write it: a name, a partial ARN, an ARN, each with or without
// a qualifier, which must be the one given beside it, if one is. Account is the caller's.
func (s *Store) Parse(account, name, qualifier string) (Ref, error) {
	r := Ref{Account: account}
	rest := name
	if arn, ok := strings.CutPrefix(name, "arn:"); ok {
		f := strings.SplitN(arn, ":", 6) // aws, lambda, region, account, function, rest
		if len(f) != 6 || f[0] != "aws" || f[1] != "lambda" || f[4] != "function" || !accountNumber.MatchString(f[3]) {
			return r, invalid("Invalid ARN %s.", name)
		}
		if f[2] != s.config.Region {
			return r, refuse(NotFound, "Functions from '%s' are not reachable in this region ('%s')", f[2], s.config.Region)
		}
		r.Account, rest = f[3], f[5]
	} else if owner, part, ok := strings.Cut(name, ":function:"); ok && accountNumber.MatchString(owner) {
		r.Account, rest = owner, part
	} else if part, ok := strings.CutPrefix(name, "function:"); ok {
		rest = part
	}
	r.Name, r.Qualifier, _ = strings.Cut(rest, ":")
	if !functionName.MatchString(r.Name) || r.Qualifier != "" && !qualifierName.MatchString(r.Qualifier) || strings.HasSuffix(rest, ":") {
		return r, invalid("1 validation error detected: Value '%s' at 'functionName' failed to satisfy constraint: Member must satisfy regular expression pattern: (arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}(-gov)?-[a-z]+-\\d{1}:)?(\\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\\$LATEST|[a-zA-Z0-9-_]+))?", name)
	}
	if qualifier != "" {
		if !qualifierName.MatchString(qualifier) {
			return r, invalid("Invalid qualifier %s.", qualifier)
		}
		if r.Qualifier != "" && r.Qualifier != qualifier {
			return r, invalid("The derived qualifier from the function name does not match the specified qualifier.")
		}
		r.Qualifier = qualifier
	}
	if secondName.MatchString(r.Qualifier) {
		return r, refuse(NotFound, "Function not found: %s", s.ARN(r))
	}
	return r, nil
}
