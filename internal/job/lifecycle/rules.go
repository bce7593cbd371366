package lifecycle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/object"
)

// Setting names the configuration in Bucket.Settings, a JSON Config.
const Setting = "lifecycle"

// Config is a bucket's lifecycle configuration, in the shape in which S3 shows it again. Whoever
// stores one has checked it.
type Config struct {
	Format int
	// MinimumSize is S3's TransitionDefaultMinimumObjectSize.
	MinimumSize string `json:",omitempty"`
	Rules       []Rule
}

const format = 1

// Values of MinimumSize.
const (
	MinimumEverywhere = "all_storage_classes_128K"
	MinimumByClass    = "varies_by_storage_class"

	minimumSize = 128 << 10
)

// Rule is one rule.
type Rule struct {
	ID      string
	Enabled bool
	// Prefix stands where the rule was written in the first version of the API, without a filter.
	Prefix                *string     `json:",omitempty"`
	Filter                *Filter     `json:",omitempty"`
	Expiration            *Expiration `json:",omitempty"`
	Transitions           []Transition
	NoncurrentExpiration  *NoncurrentExpiration `json:",omitempty"`
	NoncurrentTransitions []NoncurrentTransition
	// AbortDays after which an upload that nobody completed is given up; 0: never.
	AbortDays int `json:",omitempty"`
}

// Filter says which objects a rule is for: at most one of its fields is set.
type Filter struct {
	Prefix  *string     `json:",omitempty"`
	Tag     *object.Tag `json:",omitempty"`
	Greater *int64      `json:",omitempty"`
	Less    *int64      `json:",omitempty"`
	And     *And        `json:",omitempty"`
}

// And is several conditions of a filter, all of which must hold.
type And struct {
	Prefix  *string `json:",omitempty"`
	Tags    []object.Tag
	Greater *int64 `json:",omitempty"`
	Less    *int64 `json:",omitempty"`
}

// Expiration of current versions: exactly one of Days, Date and Markers. Markers is about delete
// markers under which nothing is left; false asks for nothing and is shown again.
type Expiration struct {
	Days    int       `json:",omitempty"`
	Date    time.Time `json:",omitzero"`
	Markers *bool     `json:",omitempty"`
}

// Transition of current versions to a storage class, by days or on a date.
type Transition struct {
	Days  *int      `json:",omitempty"`
	Date  time.Time `json:",omitzero"`
	Class string
}

// NoncurrentExpiration of versions that were superseded so many days ago, beyond the newest so many.
type NoncurrentExpiration struct {
	Days  int
	Newer int `json:",omitempty"`
}

// NoncurrentTransition is NoncurrentExpiration to a storage class.
type NoncurrentTransition struct {
	Days  int
	Newer int `json:",omitempty"`
	Class string
}

var errConfig = errors.New("lifecycle: a configuration does not decode")

// Encode gives the form in which a bucket keeps it.
func (c *Config) Encode() ([]byte, error) {
	c.Format = format
	return json.Marshal(c)
}

// Decode is the inverse of Encode.
func Decode(raw []byte) (*Config, error) {
	c := &Config{}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(c); err != nil {
		return nil, fmt.Errorf("%w: %w", errConfig, err)
	}
	if c.Format != format {
		return nil, fmt.Errorf("%w: format %d", errConfig, c.Format)
	}
	return c, nil
}

// Scope is which objects a rule is for.
type Scope struct {
	Prefix        string
	Tags          []object.Tag
	Greater, Less *int64
}

// Scope of the rule, from its prefix or its filter.
func (r *Rule) Scope() (s Scope) {
	text := func(p *string) {
		if p != nil {
			s.Prefix = *p
		}
	}
	text(r.Prefix)
	f := r.Filter
	if f == nil {
		return s
	}
	text(f.Prefix)
	s.Greater, s.Less = f.Greater, f.Less
	if f.Tag != nil {
		s.Tags = []object.Tag{*f.Tag}
	}
	if f.And != nil {
		text(f.And.Prefix)
		s.Tags, s.Greater, s.Less = f.And.Tags, f.And.Greater, f.And.Less
	}
	return s
}

// covers tells whether the rule is for the version. A delete marker has neither tags nor size.
func (s *Scope) covers(v *object.Info) bool {
	if !strings.HasPrefix(v.Key, s.Prefix) || s.Greater != nil && v.Size <= *s.Greater || s.Less != nil && v.Size >= *s.Less {
		return false
	}
	for _, want := range s.Tags {
		found := false
		for _, have := range v.Tags {
			found = found || have == want
		}
		if !found {
			return false
		}
	}
	return true
}
