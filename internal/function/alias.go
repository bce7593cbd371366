package function

import (
	"cmp"
	"context"
	"maps"
	"regexp"
	"slices"

	"github.com/google/uuid"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
)

// Aliased is what a request says of an alias; nil: nothing.
type Aliased struct {
	Version, Description *string
	// Weights are the shares of further versions; empty: none.
	Weights  map[string]float64
	Revision *string
}

// aliasName has something else than digits too: versions are called by numbers.
var aliasName = regexp.MustCompile(`^[0-9]*[a-zA-Z_-][a-zA-Z0-9_-]*$`)

const maxAliasName = 128

// apply changes a copy of a and checks it.
func (f *Function) apply(a Alias, in Aliased) (*Alias, error) {
	if in.Version != nil {
		a.Version = *in.Version
	}
	if in.Description != nil {
		a.Description = *in.Description
	}
	if in.Weights != nil {
		a.Also, a.Weight = "", 0
		if len(in.Weights) > 1 {
			return nil, invalid("Number of items in AdditionalVersionWeights cannot be greater than 1")
		}
		for version, weight := range in.Weights {
			a.Also, a.Weight = version, weight
		}
	}
	if f.at(a.Version) == nil || a.Version == "" {
		return nil, refuse(NotFound, "Function not found: %s version %s", f.Name, a.Version)
	}
	if a.Also == "" {
		a.Revision = uuid.NewString()
		return &a, nil
	}
	switch {
	case a.Weight < 0 || a.Weight > 1 || a.Weight != a.Weight:
		return nil, invalid("Invalid value for weight: %v. It must be between 0.0 and 1.0.", a.Weight)
	case a.Also == latest || a.Version == latest:
		return nil, invalid("$LATEST is not supported for an alias pointing to more than 1 version")
	case a.Also == a.Version:
		return nil, invalid("Invalid function version %s. Function version %s is already included in routing configuration.", a.Also, a.Also)
	case f.at(a.Also) == nil:
		return nil, refuse(NotFound, "Function not found: %s version %s", f.Name, a.Also)
	}
	a.Revision = uuid.NewString()
	return &a, nil
}

// CreateAlias needs lambda:CreateAlias.
func (s *Store) CreateAlias(ctx context.Context, g authz.Grant, r Ref, name string, in Aliased) (*Alias, error) {
	var made *Alias
	_, err := s.edit(ctx, g, "lambda:CreateAlias", r, func(f *Function, _ *engine.Batch) (err error) {
		if len(name) > maxAliasName || !aliasName.MatchString(name) {
			return invalid("1 validation error detected: Value '%s' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: (?!^[0-9]+$)([a-zA-Z0-9-_]+)", name)
		}
		if f.Aliases[name] != nil {
			return refuse(Conflict, "Alias already exists: %s:%s", s.arnOf(f), name)
		}
		if made, err = f.apply(Alias{}, in); err != nil {
			return err
		}
		f.putAlias(name, made)
		return nil
	})
	return made, err
}

func (f *Function) putAlias(name string, a *Alias) {
	if f.Aliases == nil {
		f.Aliases = map[string]*Alias{}
	}
	f.Aliases[name] = a
}

// UpdateAlias needs lambda:UpdateAlias.
func (s *Store) UpdateAlias(ctx context.Context, g authz.Grant, r Ref, name string, in Aliased) (*Alias, error) {
	var made *Alias
	_, err := s.edit(ctx, g, "lambda:UpdateAlias", r, func(f *Function, _ *engine.Batch) error {
		old, err := s.alias(f, name)
		if err != nil {
			return err
		}
		if err := matches(in.Revision, old.Revision); err != nil {
			return err
		}
		if made, err = f.apply(*old, in); err != nil {
			return err
		}
		f.putAlias(name, made)
		return nil
	})
	return made, err
}

func (s *Store) alias(f *Function, name string) (*Alias, error) {
	if a := f.Aliases[name]; a != nil {
		return a, nil
	}
	return nil, refuse(NotFound, "Cannot find alias arn: %s:%s", s.arnOf(f), name)
}

// Alias needs lambda:GetAlias.
func (s *Store) Alias(g authz.Grant, r Ref, name string) (*Alias, error) {
	if err := g.Require("lambda:GetAlias", s.ARN(r)); err != nil {
		return nil, err
	}
	f, err := s.Function(r)
	if err != nil {
		return nil, err
	}
	return s.alias(f, name)
}

// NamedAlias is an alias with its name.
type NamedAlias struct {
	Name string
	*Alias
}

// ListAliases are those of a function, or of one version of it, by name. It needs lambda:ListAliases.
func (s *Store) ListAliases(g authz.Grant, r Ref, version string) ([]NamedAlias, error) {
	if err := g.Require("lambda:ListAliases", s.ARN(r)); err != nil {
		return nil, err
	}
	f, err := s.Function(r)
	if err != nil {
		return nil, err
	}
	var list []NamedAlias
	for name, a := range maps.All(f.Aliases) {
		if version == "" || a.Version == version || a.Also == version {
			list = append(list, NamedAlias{name, a})
		}
	}
	slices.SortFunc(list, func(a, b NamedAlias) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

// DeleteAlias needs lambda:DeleteAlias. One that is gone is no error.
func (s *Store) DeleteAlias(ctx context.Context, g authz.Grant, r Ref, name string) error {
	_, err := s.edit(ctx, g, "lambda:DeleteAlias", r, func(f *Function, _ *engine.Batch) error {
		delete(f.Aliases, name)
		if f.at(name) == nil {
			delete(f.Policies, name)
			delete(f.Async, name)
		}
		return nil
	})
	return err
}
