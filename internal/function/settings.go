package function

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/kura-s3/kura/internal/function/runner"
)

// Settings are what a request says of a configuration; nil: nothing.
type Settings struct {
	Description, Role, Handler, Runtime *string
	Timeout, Memory, Ephemeral          *int
	Architectures                       []string
	Environment                         map[string]string // nil: nothing; empty: none
	Key, DeadLetter, Tracing            *string
	Logging                             *Logging
}

var (
	roleARN      = regexp.MustCompile(`^arn:aws:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+$`)
	variableName = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_]+$`)
	handlerName  = regexp.MustCompile(`^[^\s]{1,128}$`)
)

// check is one setting held to its rule and put into a configuration.
type check struct {
	given bool
	apply func(c *Configuration) error
}

func (s *Store) applySettings(c *Configuration, in *Settings) error {
	for _, k := range append(texts(in), s.others(in)...) {
		if !k.given {
			continue
		}
		if err := k.apply(c); err != nil {
			return err
		}
	}
	if c.Handler == "" && !strings.HasPrefix(c.Runtime, "provided") {
		return invalid("Runtime and Handler are mandatory parameters for functions created with deployment packages.")
	}
	return nil
}

// texts are the checks of names and descriptions.
func texts(in *Settings) []check {
	return []check{
		{in.Description != nil, func(c *Configuration) error {
			if utf8.RuneCountInString(*in.Description) > maxDescription {
				return invalid("Description must have length less than or equal to %d", maxDescription)
			}
			c.Description = *in.Description
			return nil
		}},
		{in.Role != nil, func(c *Configuration) error {
			if !roleARN.MatchString(*in.Role) {
				return invalid("1 validation error detected: Value '%s' at 'role' failed to satisfy constraint: Member must satisfy regular expression pattern: arn:(aws[a-zA-Z-]*)?:iam::\\d{12}:role/?[a-zA-Z_0-9+=,.@\\-_/]+", *in.Role)
			}
			c.Role = *in.Role
			return nil
		}},
		{in.Handler != nil, func(c *Configuration) error {
			if *in.Handler != "" && !handlerName.MatchString(*in.Handler) {
				return invalid("1 validation error detected: Value '%s' at 'handler' failed to satisfy constraint: Member must satisfy regular expression pattern: [^\\s]+", *in.Handler)
			}
			c.Handler = *in.Handler
			return nil
		}},
		{in.Runtime != nil, func(c *Configuration) error {
			if !runner.Supported(*in.Runtime) {
				return invalid("Value %s at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: [%s] or be a valid ARN", *in.Runtime, strings.Join(runner.Runtimes(), ", "))
			}
			c.Runtime = *in.Runtime
			return nil
		}},
	}
}

// between is the check of a number.
func between(what string, n *int, least, most int, at func(*Configuration) *int) check {
	return check{n != nil, func(c *Configuration) error {
		if *n < least || *n > most {
			bound := fmt.Sprintf("Member must have value greater than or equal to %d", least)
			if *n > most {
				bound = fmt.Sprintf("Member must have value less than or equal to %d", most)
			}
			return invalid("'%s' value failed to satisfy constraint: %s", what, bound)
		}
		*at(c) = *n
		return nil
	}}
}

// others are the checks of everything else but the environment.
func (s *Store) others(in *Settings) []check {
	return []check{
		between("timeout", in.Timeout, 1, maxTimeout, func(c *Configuration) *int { return &c.Timeout }),
		between("memorySize", in.Memory, minMemory, maxMemory, func(c *Configuration) *int { return &c.Memory }),
		between("ephemeralStorage.size", in.Ephemeral, minEphemeral, maxEphemeral, func(c *Configuration) *int { return &c.Ephemeral }),
		{len(in.Architectures) > 0, func(c *Configuration) error {
			if a := in.Architectures; len(a) != 1 || a[0] != "x86_64" && a[0] != "arm64" {
				return invalid("Architectures must be one of: [x86_64, arm64]")
			}
			c.Architectures = in.Architectures
			return nil
		}},
		{in.DeadLetter != nil, func(c *Configuration) error { return s.setDeadLetter(c, *in.DeadLetter) }},
		{in.Tracing != nil, func(c *Configuration) error { c.Tracing = *in.Tracing; return nil }},
		{in.Logging != nil, func(c *Configuration) error { return c.setLogging(*in.Logging) }},
	}
}

func (s *Store) setDeadLetter(c *Configuration, arn string) error {
	if arn != "" && !isDestination(arn, s.config.Region, "sqs", "sns") {
		return invalid("The provided target ARN %s is invalid: it must be the ARN of a queue or a topic.", arn)
	}
	c.DeadLetter = arn
	return nil
}

func (c *Configuration) setLogging(l Logging) error {
	if l.Format == "" {
		l.Format = defaultLogFormat
	}
	if l.Format != defaultLogFormat {
		return invalid("LoggingConfig.LogFormat JSON is not supported: output is text.")
	}
	c.Logging = l
	return nil
}
