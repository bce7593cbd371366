package function

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
)

// publish makes the next version of $LATEST, or gives the last one when nothing changed since. The batch gets
// its record.
func (f *Function) publish(b *engine.Batch, s *Store, description string) *Configuration {
	if last := f.Versions[f.Published]; last != nil && same(*last, f.Latest) {
		return last
	}
	c := f.Latest
	if description != "" {
		c.Description = description
	}
	f.Published++
	c.Version, c.Revision, c.Modified = strconv.Itoa(f.Published), uuid.NewString(), s.moment()
	f.Versions[f.Published] = &c
	raw, _ := json.Marshal(versionRecord{Format: format, Configuration: c}) // of plain values
	b.Set(versionKey(f.ID, f.Published), raw)
	return &c
}

// same tells whether two configurations do the same.
func same(a, b Configuration) bool {
	for _, c := range []*Configuration{&a, &b} {
		c.Version, c.Revision, c.Description, c.Modified = "", "", "", time.Time{}
	}
	a.Code.ID, b.Code.ID = 0, 0
	x, err := json.Marshal(a)
	y, other := json.Marshal(b)
	return err == nil && other == nil && string(x) == string(y)
}

// Publish makes a version of $LATEST and needs lambda:PublishVersion.
func (s *Store) Publish(ctx context.Context, g authz.Grant, r Ref, sha256, description string, revision *string) (*Function, *Configuration, error) {
	var c *Configuration
	f, err := s.edit(ctx, g, "lambda:PublishVersion", r, func(f *Function, b *engine.Batch) error {
		if err := matches(revision, f.Latest.Revision); err != nil {
			return err
		}
		if sha256 != "" && sha256 != f.Latest.Code.SHA256 {
			return invalid("CodeSHA256 (%s) is different from current CodeSHA256 in $LATEST (%s). Please try again with the CodeSHA256 in $LATEST.", sha256, f.Latest.Code.SHA256)
		}
		c = f.publish(b, s, description)
		return nil
	})
	return f, c, err
}

// ListVersions are $LATEST and all published versions, oldest first. It needs lambda:ListVersionsByFunction.
func (s *Store) ListVersions(g authz.Grant, r Ref) (*Function, []*Configuration, error) {
	if err := g.Require("lambda:ListVersionsByFunction", s.ARN(r)); err != nil {
		return nil, nil, err
	}
	f, err := s.Function(r)
	if err != nil {
		return nil, nil, err
	}
	return f, append([]*Configuration{&f.Latest}, f.All()...), nil
}

// All are the published versions, oldest first.
func (f *Function) All() []*Configuration {
	list := make([]*Configuration, 0, len(f.Versions))
	for _, n := range slices.Sorted(maps.Keys(f.Versions)) {
		list = append(list, f.Versions[n])
	}
	return list
}

// List are the functions of an account by name. It needs lambda:ListFunctions.
func (s *Store) List(g authz.Grant, account string) ([]*Function, error) {
	if err := g.Require("lambda:ListFunctions", "*"); err != nil {
		return nil, err
	}
	return s.of(account), nil
}

func (s *Store) of(account string) []*Function {
	var list []*Function
	for _, f := range *s.functions.Load() {
		if f.Account == account {
			list = append(list, f)
		}
	}
	slices.SortFunc(list, func(a, b *Function) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// Totals of an account.
type Totals struct {
	Functions, CodeBytes int64
	Reserved             int
}

// Totals needs lambda:GetAccountSettings.
func (s *Store) Totals(g authz.Grant, account string) (Totals, error) {
	if err := g.Require("lambda:GetAccountSettings", "*"); err != nil {
		return Totals{}, err
	}
	t := Totals{CodeBytes: s.codeOf(account)}
	for _, f := range s.of(account) {
		t.Functions++
		if f.Reserved != nil {
			t.Reserved += *f.Reserved
		}
	}
	return t, nil
}

func (s *Store) deleteVersion(ctx context.Context, g authz.Grant, r Ref) error {
	if r.Qualifier == latest {
		return invalid("$LATEST version cannot be deleted without deleting the function.")
	}
	n, err := strconv.Atoi(r.Qualifier)
	if err != nil {
		return invalid("Deletion of aliases is not currently supported.")
	}
	var code uint64
	f, err := s.edit(ctx, g, "lambda:DeleteFunction", r, func(f *Function, b *engine.Batch) error {
		c := f.Versions[n]
		if c == nil {
			return nil // as AWS: it is gone, whoever took it away
		}
		var by []string
		for name, a := range f.Aliases {
			if a.Version == r.Qualifier || a.Also == r.Qualifier {
				by = append(by, name)
			}
		}
		if len(by) > 0 {
			slices.Sort(by)
			return refuse(Conflict, "Version %s cannot be deleted: aliases point to it: [%s]", r.Qualifier, strings.Join(by, ", "))
		}
		delete(f.Versions, n)
		delete(f.Policies, r.Qualifier)
		delete(f.Async, r.Qualifier)
		b.Delete(versionKey(f.ID, n))
		code = c.Code.ID
		return nil
	})
	if err != nil {
		return err
	}
	if code != 0 && !f.uses(code) {
		s.dropCode(ctx, code)
	}
	if s.config.Runner != nil {
		s.config.Runner.Retire(s.ARN(r))
	}
	return nil
}
