package function

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
)

// The limits and defaults of AWS ("Lambda quotas").
const (
	maxFunctions     = 10_000 // of an account
	maxTags          = 50
	maxEnvironment   = 4 << 10
	maxTimeout       = 900
	defaultTimeout   = 3
	minMemory        = 128
	maxMemory        = 10240
	minEphemeral     = 512
	maxEphemeral     = 10240
	maxDescription   = 256
	defaultLogFormat = "Text"
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

// runtimes are those that the runner knows.
var runtimes = []string{
	"nodejs18.x", "nodejs20.x", "nodejs22.x", "nodejs24.x", "provided.al2", "provided.al2023",
	"python3.9", "python3.10", "python3.11", "python3.12", "python3.13", "python3.14",
}

var (
	roleARN      = regexp.MustCompile(`^arn:aws:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+$`)
	variableName = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_]+$`)
	handlerName  = regexp.MustCompile(`^[^\s]{1,128}$`)
)

// reserved are the variables that Lambda sets (Lambda Developer Guide, "Reserved environment variables").
var reserved = []string{
	"_HANDLER", "_X_AMZN_TRACE_ID", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_EXECUTION_ENV", "AWS_LAMBDA_FUNCTION_NAME",
	"AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_GROUP_NAME",
	"AWS_LAMBDA_LOG_STREAM_NAME", "AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
	"AWS_LAMBDA_RUNTIME_API", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR",
}

// check is one setting held to its rule and put into a configuration.
type check struct {
	given bool
	apply func(c *Configuration) error
}

func (s *Store) applySettings(c *Configuration, in *Settings) error {
	between := func(what string, n *int, least, most int, at func(*Configuration) *int) check {
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
	checks := []check{
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
			if !slices.Contains(runtimes, *in.Runtime) {
				return invalid("Value %s at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: [%s] or be a valid ARN", *in.Runtime, strings.Join(runtimes, ", "))
			}
			c.Runtime = *in.Runtime
			return nil
		}},
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
	for _, k := range checks {
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
	if l.Format == defaultLogFormat && (l.ApplicationLevel != "" || l.SystemLevel != "") {
		return invalid("LoggingConfig.ApplicationLogLevel and SystemLogLevel can only be set with the LogFormat JSON.")
	}
	if l.Format == "JSON" {
		return invalid("LoggingConfig.LogFormat JSON is not supported: output is text.")
	}
	c.Logging = l
	return nil
}

// checkEnvironment holds variables to what Lambda takes and gives them as JSON, whose size counts.
func checkEnvironment(variables map[string]string) ([]byte, error) {
	var taken []string
	for name := range variables {
		if slices.Contains(reserved, name) {
			taken = append(taken, name)
		}
	}
	if len(taken) > 0 {
		slices.Sort(taken)
		return nil, invalid("Lambda was unable to configure your environment variables because the environment variables you have provided contains reserved keys that are currently not supported for modification. Reserved keys used in this request: %s", strings.Join(taken, ", "))
	}
	for name, value := range variables {
		if !variableName.MatchString(name) {
			return nil, invalid("1 validation error detected: Value at 'environment.variables' failed to satisfy constraint: Map keys must satisfy constraint: [Member must satisfy regular expression pattern: [a-zA-Z]([a-zA-Z0-9_])+]")
		}
		if strings.ContainsRune(value, 0) || !utf8.ValidString(value) {
			return nil, invalid("Lambda was unable to configure your environment variables because the value of %s has characters that no variable can have.", name)
		}
	}
	raw, err := json.Marshal(variables)
	if err == nil && len(raw) > maxEnvironment {
		return nil, invalid("Lambda was unable to configure your environment variables because the environment variables you have provided exceeded the 4KB limit. String measured: %d bytes", len(raw))
	}
	return raw, err
}

// environmentContext binds a sealed environment to its function.
func environmentContext(id uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte("function environment\x00"), id)
}

// setEnvironment encrypts what in says of the variables, and under which key, into c.
func (s *Store) setEnvironment(ctx context.Context, g authz.Grant, f *Function, c *Configuration, in *Settings) error {
	key := c.Key
	if in.Key != nil {
		key = *in.Key
	}
	if key != "" && s.config.Keys == nil {
		return invalid("KMSKeyArn is not supported by this server.")
	}
	if in.Environment == nil && key == c.Key {
		return nil
	}
	variables := in.Environment
	had, err := s.Environment(ctx, g, f, c)
	switch {
	case variables == nil && err != nil:
		return err
	case variables == nil:
		variables = had
	case err == nil && key == c.Key && maps.Equal(had, variables):
		return nil // the same as before stays what it is
	}
	raw, err := checkEnvironment(variables)
	if err != nil {
		return err
	}
	c.Key, c.Environment = key, nil
	if len(variables) == 0 {
		return nil
	}
	if key != "" {
		if raw, err = s.config.Keys.Encrypt(ctx, g, key, s.arnOf(f), c.Role, raw); err != nil {
			return err
		}
	}
	c.Environment = s.config.Secrets.SealSecret(environmentContext(f.ID), raw)
	return nil
}

func (s *Store) arnOf(f *Function) string { return s.ARN(Ref{Account: f.Account, Name: f.Name}) }

// Environment are the variables of a configuration, for who may see it. Under a customer's key it needs the
// caller's permission to decrypt.
func (s *Store) Environment(ctx context.Context, g authz.Grant, f *Function, c *Configuration) (map[string]string, error) {
	return s.environment(ctx, f, c, func(raw []byte) ([]byte, error) {
		return s.config.Keys.Decrypt(ctx, g, c.Key, s.arnOf(f), raw)
	})
}

func (s *Store) environment(ctx context.Context, f *Function, c *Configuration, decrypt func([]byte) ([]byte, error)) (map[string]string, error) {
	variables := map[string]string{}
	if c.Environment == nil {
		return variables, nil
	}
	raw, err := s.config.Secrets.OpenSecret(ctx, environmentContext(f.ID), c.Environment)
	if err != nil {
		return nil, err
	}
	if c.Key != "" {
		if s.config.Keys == nil {
			return nil, refuse(KeyDenied, "Lambda was unable to decrypt the environment variables: this server has no keys.")
		}
		if raw, err = decrypt(raw); err != nil {
			return nil, err
		}
	}
	return variables, json.Unmarshal(raw, &variables)
}

// NewRequestID is a random UUID (RFC 9562, version 4).
func NewRequestID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Creation is a function to be made.
type Creation struct {
	Settings Settings
	Zip      []byte
	Tags     map[string]string
	Publish  bool
}

// Create makes a function and needs lambda:CreateFunction. Whether the caller may pass the role is asked
// before.
func (s *Store) Create(ctx context.Context, g authz.Grant, r Ref, in Creation) (*Function, *Configuration, error) {
	if err := g.Require("lambda:CreateFunction", s.ARN(r)); err != nil {
		return nil, nil, err
	}
	if err := s.mayCreate(r, in); err != nil {
		return nil, nil, err
	}
	f := &Function{
		Account: r.Account, Name: r.Name, ID: s.unique(), Tags: in.Tags, Versions: map[int]*Configuration{},
		Latest: Configuration{
			Version: latest, Timeout: defaultTimeout, Memory: minMemory, Ephemeral: minEphemeral, Architectures: []string{"x86_64"},
			Tracing: "PassThrough", Logging: Logging{Format: defaultLogFormat}, Modified: s.moment(), Revision: NewRequestID(),
		},
	}
	c := &f.Latest
	if err := s.applySettings(c, &in.Settings); err != nil {
		return nil, nil, err
	}
	if err := s.checkRole(ctx, f, c); err != nil {
		return nil, nil, err
	}
	if err := s.setEnvironment(ctx, g, f, c, &in.Settings); err != nil {
		return nil, nil, err
	}
	var err error
	if c.Code, err = s.putCode(ctx, r.Account, in.Zip); err != nil {
		return nil, nil, err
	}
	s.changes.Lock()
	defer s.changes.Unlock()
	if s.find(r) != nil {
		err = refuse(Conflict, "Function already exist: %s", r.Name)
	} else {
		var b engine.Batch
		if in.Publish {
			c = f.publish(&b, s, c.Description)
		}
		err = s.put(ctx, f, &b)
	}
	if err != nil {
		s.dropCode(ctx, c.Code.ID)
		return nil, nil, err
	}
	return f, c, nil
}

func (s *Store) mayCreate(r Ref, in Creation) error {
	if s.config.Runner == nil {
		return s.off()
	}
	if r.Qualifier != "" && r.Qualifier != latest {
		return invalid("A qualifier can not be specified for a function to be created.")
	}
	if s.find(r) != nil {
		return refuse(Conflict, "Function already exist: %s", r.Name)
	}
	if in.Settings.Runtime == nil || in.Settings.Role == nil {
		return invalid("Runtime and Handler are mandatory parameters for functions created with deployment packages.")
	}
	if len(in.Tags) > maxTags {
		return invalid("The number of tags exceeds the limit of %d.", maxTags)
	}
	if err := checkTags(in.Tags); err != nil {
		return err
	}
	n := 0
	for _, f := range *s.functions.Load() {
		if f.Account == r.Account {
			n++
		}
	}
	if n >= maxFunctions {
		return refuse(Throttled, "The account has %d functions.", n)
	}
	return nil
}

func (s *Store) off() error {
	return refuse(Off, "This server runs no functions. Start it with --functions.")
}

// checkRole refuses roles that Lambda cannot assume.
func (s *Store) checkRole(ctx context.Context, f *Function, c *Configuration) error {
	if s.config.Runner == nil {
		return s.off()
	}
	return s.config.Roles.Check(ctx, c.Role, s.arnOf(f))
}

// ErrRole is what Create says of a role that does not trust Lambda.
func ErrRole() error {
	return invalid("The role defined for the function cannot be assumed by Lambda.")
}

// matches refuses a change of something that somebody else changed since.
func matches(revision *string, now string) error {
	if revision != nil && *revision != "" && *revision != now {
		return refuse(PreconditionFailed, "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id")
	}
	return nil
}

// Configure changes settings of $LATEST and needs lambda:UpdateFunctionConfiguration.
func (s *Store) Configure(ctx context.Context, g authz.Grant, r Ref, in Settings, revision *string) (*Function, error) {
	f, err := s.edit(ctx, g, "lambda:UpdateFunctionConfiguration", r, func(f *Function, _ *engine.Batch) error {
		c := &f.Latest
		if err := matches(revision, c.Revision); err != nil {
			return err
		}
		role := c.Role
		if err := s.applySettings(c, &in); err != nil {
			return err
		}
		if c.Role != role {
			if err := s.checkRole(ctx, f, c); err != nil {
				return err
			}
		}
		if err := s.setEnvironment(ctx, g, f, c, &in); err != nil {
			return err
		}
		c.Modified, c.Revision = s.moment(), NewRequestID()
		return nil
	})
	s.retire(f, err)
	return f, err
}

// retire ends the warm processes of a function that was changed.
func (s *Store) retire(f *Function, err error) {
	if err == nil && s.config.Runner != nil {
		s.config.Runner.Retire(s.arnOf(f))
	}
}

// NewCode is code for $LATEST.
type NewCode struct {
	Zip           []byte
	Architectures []string
	Publish, Dry  bool
	Revision      *string
}

// UpdateCode replaces the code of $LATEST and needs lambda:UpdateFunctionCode. Dry: nothing is changed.
func (s *Store) UpdateCode(ctx context.Context, g authz.Grant, r Ref, in NewCode) (*Function, *Configuration, error) {
	if err := g.Require("lambda:UpdateFunctionCode", s.ARN(r)); err != nil {
		return nil, nil, err
	}
	if s.config.Runner == nil {
		return nil, nil, s.off()
	}
	f, err := s.Function(r)
	if err != nil {
		return nil, nil, err
	}
	if in.Dry {
		c := f.Latest
		if c.Code, err = s.checkCode(r.Account, in.Zip); err == nil {
			err = matches(in.Revision, c.Revision)
		}
		return f, &c, err
	}
	code, err := s.putCode(ctx, r.Account, in.Zip)
	if err != nil {
		return nil, nil, err
	}
	var old uint64
	var c *Configuration
	f, err = s.edit(ctx, g, "lambda:UpdateFunctionCode", r, func(f *Function, b *engine.Batch) error {
		c = &f.Latest
		if err := matches(in.Revision, c.Revision); err != nil {
			return err
		}
		if err := s.applySettings(c, &Settings{Architectures: in.Architectures}); err != nil {
			return err
		}
		old, c.Code = c.Code.ID, code
		c.Modified, c.Revision = s.moment(), NewRequestID()
		if in.Publish {
			c = f.publish(b, s, "")
		}
		return nil
	})
	if err != nil {
		s.dropCode(ctx, code.ID)
		return nil, nil, err
	}
	s.retire(f, nil)
	if !f.uses(old) {
		s.dropCode(ctx, old)
	}
	return f, c, nil
}

// Delete removes a function, or one published version of it, and needs lambda:DeleteFunction.
func (s *Store) Delete(ctx context.Context, g authz.Grant, r Ref) error {
	if err := g.Require("lambda:DeleteFunction", s.ARN(r)); err != nil {
		return err
	}
	if r.Qualifier != "" {
		return s.deleteVersion(ctx, g, r)
	}
	s.changes.Lock()
	defer s.changes.Unlock()
	f, err := s.Function(r)
	if err != nil {
		return err
	}
	var b engine.Batch
	b.Require(functionKey(f.Account, f.Name), f.version)
	b.Delete(functionKey(f.Account, f.Name))
	codes := map[uint64]bool{f.Latest.Code.ID: true}
	for n, c := range f.Versions {
		b.Delete(versionKey(f.ID, n))
		codes[c.Code.ID] = true
	}
	if err := s.commit(ctx, &b); err != nil {
		return err
	}
	s.publish(f.Account+"/"+f.Name, nil)
	for id := range codes {
		s.dropCode(ctx, id)
	}
	if s.config.Runner != nil {
		s.config.Runner.Retire(s.arnOf(f))
	}
	return nil
}
