package recorder

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/posture/rule"
)

// format numbers the JSON of every record here. A reader refuses what it does not know.
const format = 1

// Keys of the records (docs/formats.md, "AWS Config").
const (
	recorderPrefix = "posture/c/recorder/" // account
	channelPrefix  = "posture/c/channel/"  // account
	rulePrefix     = "posture/c/rule/"     // account "/" rule id
	statusPrefix   = "posture/c/status/"   // account "/" rule id
	packPrefix     = "posture/c/pack/"     // account "/" name
	resultPrefix   = "posture/c/result/"   // account "/" rule id "/" type "/" resource id
	itemPrefix     = "posture/c/item/"     // account "/" type "/" resource id 0x00 inverted time
)

// Recorder is an account's configuration recorder.
type Recorder struct {
	Format  int
	Account string
	Name    string
	RoleARN string
	Group   Group
	Tags    map[string]string `json:",omitempty"`

	Recording        bool
	Started, Stopped time.Time `json:",omitzero"`
	Changed          time.Time `json:",omitzero"`
	// Baseline is set from the start of the recorder until everything that there is was recorded.
	Baseline bool `json:",omitempty"`
}

// Group is a recording group.
type Group struct {
	AllSupported, IncludeGlobal bool
	Types, Except               []string `json:",omitempty"`
	Strategy                    string
}

// records tells whether resources of the type are recorded.
func (g *Group) records(typ string) bool {
	switch g.Strategy {
	case "INCLUSION_BY_RESOURCE_TYPES":
		return contains(g.Types, typ)
	case "EXCLUSION_BY_RESOURCE_TYPES":
		return !contains(g.Except, typ)
	}
	return true
}

// Channel is an account's delivery channel.
type Channel struct {
	Format                int
	Account, Name, Bucket string
	Prefix, KMSKey, Topic string `json:",omitempty"`
	Frequency             string `json:",omitempty"`

	Attempted, Delivered time.Time `json:",omitzero"`
	ErrorCode, ErrorText string    `json:",omitempty"`
}

// Rule is a config rule.
type Rule struct {
	Format                 int
	Account, Name, ID, ARN string
	Description            string            `json:",omitempty"`
	Identifier             string            // of the managed rule
	Scope                  *Scope            `json:",omitempty"`
	Input                  string            `json:",omitempty"` // as given
	Parameters             map[string]string `json:",omitempty"` // filled in
	Frequency              string            `json:",omitempty"`
	Pack                   string            `json:",omitempty"` // the conformance pack that it belongs to
	Tags                   map[string]string `json:",omitempty"`
	Created                time.Time

	Status  Status `json:"-"`
	results map[ref]*Result
}

// Scope narrows a rule.
type Scope struct {
	Types      []string `json:",omitempty"`
	TagKey     string   `json:",omitempty"`
	TagValue   string   `json:",omitempty"`
	ResourceID string   `json:",omitempty"`
}

// Status is how far a rule's evaluation is.
type Status struct {
	Format    int
	Requested time.Time `json:",omitzero"`
	// LastPass is when the last full pass began, Last when anything was last judged.
	LastPass, Last, Failed time.Time `json:",omitzero"`
	ErrorText              string    `json:",omitempty"`
}

// ref is a resource.
type ref struct{ typ, id string }

// Result is a rule's answer about a resource.
type Result struct {
	Format     int
	Compliance rule.Compliance
	Annotation string `json:",omitempty"`
	// Ordering is when the configuration was as it was judged, Invoked when judging began, Recorded when
	// the answer was written.
	Ordering, Invoked, Recorded time.Time
}

func contains(list []string, s string) bool {
	for _, item := range list {
		if item == s {
			return true
		}
	}
	return false
}

func (r *Rule) key() []byte       { return []byte(rulePrefix + r.Account + "/" + r.ID) }
func (r *Rule) statusKey() []byte { return []byte(statusPrefix + r.Account + "/" + r.ID) }
func (r *Rule) resultKey(at ref) []byte {
	return []byte(resultPrefix + r.Account + "/" + r.ID + "/" + at.typ + "/" + at.id)
}

// results range from lo to hi.
func (r *Rule) resultRange() (lo, hi []byte) {
	lo = []byte(resultPrefix + r.Account + "/" + r.ID + "/")
	return lo, engine.PrefixEnd(lo)
}

// itemKey places items newest first.
func itemKey(account string, at ref, place uint64) []byte {
	return binary.BigEndian.AppendUint64(itemsOf(account, at), ^place)
}

func itemsOf(account string, at ref) []byte {
	return []byte(itemPrefix + account + "/" + at.typ + "/" + at.id + "\x00")
}

// load reads every record but the items, which are read when somebody asks.
func (s *Store) load(ctx context.Context) error {
	byID := map[string]*Rule{}
	loaders := []struct {
		prefix string
		load   func(rest string, raw []byte) error
	}{
		{recorderPrefix, func(id string, raw []byte) error {
			r := &Recorder{}
			s.of(id).recorder = r
			return decode(raw, r, &r.Format)
		}},
		{channelPrefix, func(id string, raw []byte) error {
			c := &Channel{}
			s.of(id).channel = c
			return decode(raw, c, &c.Format)
		}},
		{packPrefix, func(rest string, raw []byte) error {
			id, _, _ := strings.Cut(rest, "/")
			p := &Pack{}
			err := decode(raw, p, &p.Format)
			s.of(id).packs[p.Name] = p
			return err
		}},
		{rulePrefix, func(rest string, raw []byte) error {
			id, _, _ := strings.Cut(rest, "/")
			r := &Rule{results: map[ref]*Result{}}
			err := decode(raw, r, &r.Format)
			s.of(id).rules[r.Name], byID[rest] = r, r
			return err
		}},
		{statusPrefix, func(rest string, raw []byte) error {
			if r := byID[rest]; r != nil {
				return decode(raw, &r.Status, &r.Status.Format)
			}
			return nil
		}},
		{resultPrefix, func(rest string, raw []byte) error {
			parts := strings.SplitN(rest, "/", 4)
			if len(parts) != 4 || byID[parts[0]+"/"+parts[1]] == nil {
				return nil // of a rule that was deleted meanwhile
			}
			v := &Result{}
			byID[parts[0]+"/"+parts[1]].results[ref{parts[2], parts[3]}] = v
			return decode(raw, v, &v.Format)
		}},
	}
	for _, l := range loaders {
		if err := s.scan(ctx, []byte(l.prefix), func(key, value []byte) (bool, error) {
			return true, l.load(string(key[len(l.prefix):]), value)
		}); err != nil {
			return err
		}
	}
	return nil
}

func decode(raw []byte, to any, got *int) error {
	if err := json.Unmarshal(raw, to); err != nil {
		return err
	}
	if *got != format {
		return fmt.Errorf("a record has format %d; this Kura knows %d", *got, format)
	}
	return nil
}

// scan calls fn for the records under prefix until it says false.
func (s *Store) scan(ctx context.Context, prefix []byte, fn func(key, value []byte) (bool, error)) error {
	it, err := s.meta.Scan(ctx, prefix, engine.PrefixEnd(prefix))
	if err != nil {
		return err
	}
	defer it.Close()
	for it.Next() {
		more, err := fn(it.Key(), it.Value())
		if err != nil {
			return fmt.Errorf("record %q: %w", it.Key(), err)
		}
		if !more {
			break
		}
	}
	return it.Err()
}
