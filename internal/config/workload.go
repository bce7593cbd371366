package config

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Workload says which local programs get the credentials of a role.
type Workload struct {
	// Role is the name of a role of the first account, with or without its path, or an ARN.
	Role string
	// User is a user's name or number, or TokenFile the file of a token.
	User, TokenFile string
}

var roleReference = regexp.MustCompile(`^(arn:aws:iam::[0-9]{12}:role/|/?)([\x21-\x39\x3b-\x7e]+/)*[\w+=,.@-]{1,64}$`)

// workload reads ROLE=user:USER or ROLE=token:FILE. A role's name may hold "=", what is behind the last
// "=user:" or "=token:" not.
func workload(to *[]Workload, v string) error {
	w := Workload{}
	for marker, at := range map[string]*string{"=user:": &w.User, "=token:": &w.TokenFile} {
		if i := strings.LastIndex(v, marker); i > 0 {
			w.Role, *at = v[:i], v[i+len(marker):]
		}
	}
	if (w.User == "") == (w.TokenFile == "") || !roleReference.MatchString(w.Role) {
		return fmt.Errorf("%q is not ROLE=user:USER or ROLE=token:FILE", v)
	}
	for _, other := range *to {
		if w.User != "" && other.User == w.User {
			return fmt.Errorf("the user %s has two roles", w.User)
		}
	}
	*to = append(*to, w)
	return nil
}

// checkWorkloads holds the endpoint to what protects it.
func (c *Config) checkWorkloads() error {
	switch {
	case (c.WorkloadAddress == "") != (len(c.Workloads) == 0):
		return errors.New("--workload-credentials and --workload go together: give both or neither")
	case c.WorkloadAddress != "" && !loopback(c.WorkloadAddress):
		return fmt.Errorf("--workload-credentials %s: credentials are given to programs of this machine only: use a loopback address, such as 127.0.0.1:%s", c.WorkloadAddress, portOr(c.WorkloadAddress, 1338))
	}
	return nil
}

func portOr(address string, otherwise int) string {
	if i := strings.LastIndexByte(address, ':'); i >= 0 {
		if _, err := strconv.ParseUint(address[i+1:], 10, 16); err == nil {
			return address[i+1:]
		}
	}
	return strconv.Itoa(otherwise)
}
