package function

import (
	"context"
	"strings"

	"github.com/google/uuid"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/fault"
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
			Tracing: "PassThrough", Logging: Logging{Format: defaultLogFormat}, Modified: s.moment(), Revision: uuid.NewString(),
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
		err = s.put(ctx, g, f, &b)
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
	// Whoever may pass a role of one account, and was let into a function of another, brings the two together
	// nevertheless: the role would serve a function that its account does not have.
	if !strings.HasPrefix(c.Role, "arn:aws:iam::"+f.Account+":") {
		return invalid("Cross-account pass role is not allowed.")
	}
	_, err := s.config.Roles.Assume(ctx, c.Role, s.arnOf(f))
	return err
}

// ErrRole is what is said of a role that does not trust Lambda.
func ErrRole(cause error) error {
	return &fault.Error{Kind: InvalidParameter, Message: "The role defined for the function cannot be assumed by Lambda.", Cause: cause}
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
		c.Modified, c.Revision = s.moment(), uuid.NewString()
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
		c.Modified, c.Revision = s.moment(), uuid.NewString()
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
	done, err := s.tell(&b, g, f, nil)
	if err != nil {
		return err
	}
	defer done()
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
