package logs

import (
	"context"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
)

// Group is one log group, immutable once published.
type Group struct {
	Account, Name string
	ID            uint64 // never used again
	Created       time.Time
	Retention     int32             `json:",omitempty"` // days; 0: for ever
	Protected     bool              `json:",omitempty"` // must not be deleted
	Tags          map[string]string `json:",omitempty"`
	// DataKeys seal chunks, the newest last; chunks name theirs by its number, from 1. Those of a key that
	// is not associated any more stay for what they have sealed.
	DataKeys []DataKey `json:",omitempty"`
	// Key is the ARN of the associated KMS key, "" for none.
	Key string `json:",omitempty"`

	version engine.Version
}

// DataKey is a data key in its wrapped form.
type DataKey struct{ Wrapped []byte }

var groupName = regexp.MustCompile(`^[.\-_/#A-Za-z0-9]{1,512}$`)

// Limits ("CloudWatch Logs quotas"; the number of groups is this server's).
const (
	maxGroups = 10000 // of an account
	maxTags   = 50
)

// retentions are the days that can be set (API Reference, PutRetentionPolicy).
var retentions = []int32{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}

func groupKey(account, name string) []byte { return []byte(groupPrefix + account + "/" + name) }

func decodeGroup(raw []byte, v engine.Version) (*Group, error) {
	g, err := decode[Group](raw)
	if err != nil {
		return nil, err
	}
	if g.Account == "" || g.Name == "" || g.ID == 0 {
		return nil, errors.New("a group without a name")
	}
	g.version = v
	return g, nil
}

// Group resolves a group, from memory. It decides nothing.
func (s *Store) Group(account, name string) (*Group, error) {
	if g := (*s.groups.Load())[account+"/"+name]; g != nil {
		return g, nil
	}
	return nil, refuse(NotFound, "The specified log group does not exist.")
}

// NewGroup is what a group is made with.
type NewGroup struct {
	Account, Name string
	Key           string // the ARN of a KMS key, or ""
	Protected     bool
	Tags          map[string]string
}

// CreateGroup makes a group and needs logs:CreateLogGroup on it, with tags logs:TagResource too.
func (s *Store) CreateGroup(ctx context.Context, g authz.Grant, in NewGroup) error {
	if err := g.Require("logs:CreateLogGroup", s.StreamARN(in.Account, in.Name, "")); err != nil {
		return err
	}
	if len(in.Tags) > 0 {
		if err := g.Require("logs:TagResource", s.GroupARN(in.Account, in.Name)); err != nil {
			return err
		}
	}
	if !groupName.MatchString(in.Name) || strings.HasPrefix(in.Name, "aws/") {
		return refuse(Invalid, "The log group name is not valid: %s", in.Name)
	}
	if len(in.Tags) > maxTags {
		return refuse(TooManyTags, "A log group can have no more than %d tags.", maxTags)
	}
	s.changes.Lock()
	defer s.changes.Unlock()
	if _, err := s.Group(in.Account, in.Name); err == nil {
		return refuse(Exists, "The specified log group already exists")
	}
	if s.count(in.Account) >= maxGroups {
		return refuse(Limit, "Resource limit exceeded: the account has %d log groups.", maxGroups)
	}
	group := &Group{
		Account: in.Account, Name: in.Name, ID: s.unique(), Created: s.now().UTC().Truncate(time.Millisecond), Protected: in.Protected, Tags: maps.Clone(in.Tags),
	}
	if in.Key != "" {
		if err := s.associate(ctx, group, in.Key); err != nil {
			return err
		}
	}
	return s.put(ctx, group)
}

func (s *Store) count(account string) (n int) {
	for _, g := range *s.groups.Load() {
		if g.Account == account {
			n++
		}
	}
	return n
}

// put stores and publishes g. Under changes.
func (s *Store) put(ctx context.Context, g *Group) error {
	raw, err := encode(g)
	if err != nil {
		return err
	}
	var b engine.Batch
	b.Require(groupKey(g.Account, g.Name), g.version)
	b.Set(groupKey(g.Account, g.Name), raw)
	if err := s.commit(ctx, &b); err != nil {
		return err
	}
	g.version = b.Version
	s.publish(g.Account+"/"+g.Name, g)
	return nil
}

func (s *Store) publish(at string, g *Group) {
	next := maps.Clone(*s.groups.Load())
	delete(next, at)
	if g != nil {
		next[at] = g
	}
	s.groups.Store(&next)
}

// edit changes a group; the caller has asked for the grant.
func (s *Store) edit(ctx context.Context, account, name string, change func(*Group) error) error {
	s.changes.Lock()
	defer s.changes.Unlock()
	now, err := s.Group(account, name)
	if err != nil {
		return err
	}
	next := *now
	next.Tags, next.DataKeys = maps.Clone(now.Tags), slices.Clone(now.DataKeys)
	if err := change(&next); err != nil {
		return err
	}
	return s.put(ctx, &next)
}

// SetRetention sets for how many days events are kept and needs logs:PutRetentionPolicy.
func (s *Store) SetRetention(ctx context.Context, g authz.Grant, account, name string, days int32) error {
	if err := g.Require("logs:PutRetentionPolicy", s.StreamARN(account, name, "")); err != nil {
		return err
	}
	if !slices.Contains(retentions, days) {
		return refuse(Invalid, "1 validation error detected: Value '%d' at 'retentionInDays' failed to satisfy constraint: Member must satisfy enum value set: %v", days, retentions)
	}
	return s.edit(ctx, account, name, func(g *Group) error { g.Retention = days; return nil })
}

// DropRetention keeps events for ever and needs logs:DeleteRetentionPolicy.
func (s *Store) DropRetention(ctx context.Context, g authz.Grant, account, name string) error {
	if err := g.Require("logs:DeleteRetentionPolicy", s.StreamARN(account, name, "")); err != nil {
		return err
	}
	return s.edit(ctx, account, name, func(g *Group) error { g.Retention = 0; return nil })
}

// Protect says whether the group can be deleted and needs logs:PutLogGroupDeletionProtection.
func (s *Store) Protect(ctx context.Context, g authz.Grant, account, name string, on bool) error {
	if err := g.Require("logs:PutLogGroupDeletionProtection", s.StreamARN(account, name, "")); err != nil {
		return err
	}
	return s.edit(ctx, account, name, func(g *Group) error { g.Protected = on; return nil })
}

// tagging tells whether g covers an action on tags, by the resource of the present or the former operations.
func (s *Store) tagging(g authz.Grant, account, name, action, former string) error {
	err := g.Require(action, s.GroupARN(account, name))
	if err != nil {
		err = g.Require(former, s.StreamARN(account, name, ""))
	}
	return err
}

// Tag adds tags and needs logs:TagResource, or logs:TagLogGroup of the former operation.
func (s *Store) Tag(ctx context.Context, g authz.Grant, account, name string, tags map[string]string) error {
	if err := s.tagging(g, account, name, "logs:TagResource", "logs:TagLogGroup"); err != nil {
		return err
	}
	return s.edit(ctx, account, name, func(g *Group) error {
		if g.Tags == nil {
			g.Tags = map[string]string{}
		}
		maps.Copy(g.Tags, tags)
		if len(g.Tags) > maxTags {
			return refuse(TooManyTags, "A log group can have no more than %d tags.", maxTags)
		}
		return nil
	})
}

// Untag takes tags away and needs logs:UntagResource, or logs:UntagLogGroup of the former operation.
func (s *Store) Untag(ctx context.Context, g authz.Grant, account, name string, names []string) error {
	if err := s.tagging(g, account, name, "logs:UntagResource", "logs:UntagLogGroup"); err != nil {
		return err
	}
	return s.edit(ctx, account, name, func(g *Group) error {
		for _, name := range names {
			delete(g.Tags, name)
		}
		return nil
	})
}

// Tags of a group. It needs logs:ListTagsForResource, or logs:ListTagsLogGroup of the former operation.
func (s *Store) Tags(g authz.Grant, account, name string) (map[string]string, error) {
	if err := s.tagging(g, account, name, "logs:ListTagsForResource", "logs:ListTagsLogGroup"); err != nil {
		return nil, err
	}
	group, err := s.Group(account, name)
	if err != nil {
		return nil, err
	}
	return maps.Clone(group.Tags), nil
}

// DeleteGroup takes a group and all that is in it away and needs logs:DeleteLogGroup.
func (s *Store) DeleteGroup(ctx context.Context, g authz.Grant, account, name string) error {
	if err := g.Require("logs:DeleteLogGroup", s.StreamARN(account, name, "")); err != nil {
		return err
	}
	s.changes.Lock()
	defer s.changes.Unlock()
	group, err := s.Group(account, name)
	if err != nil {
		return err
	}
	if group.Protected {
		return refuse(Protected, "The log group %s has deletion protection enabled. Disable deletion protection before deleting it.", name)
	}
	var b engine.Batch
	// Whoever writes into the group expects this record.
	b.Require(groupKey(account, name), group.version)
	b.Delete(groupKey(account, name))
	for _, prefix := range ofGroup {
		lo := key(prefix, group.ID)
		b.DeleteRange(lo, engine.PrefixEnd(lo))
	}
	if err := s.commit(ctx, &b); err != nil {
		return err
	}
	s.publish(account+"/"+name, nil)
	s.sizes.Delete(group.ID)
	return nil
}

// GroupsWanted says which groups a listing is of; zero values ask for all.
type GroupsWanted struct {
	Prefix, Contains string
	Names            []string
	After            string // a name
	Most             int
}

// Groups gives the account's groups by name. It needs logs:DescribeLogGroups on all.
func (s *Store) Groups(g authz.Grant, account string, w GroupsWanted) (groups []*Group, more bool, err error) {
	if err := g.Require("logs:DescribeLogGroups", s.StreamARN(account, "", "")); err != nil {
		return nil, false, err
	}
	for _, group := range *s.groups.Load() {
		switch {
		case group.Account != account, group.Name <= w.After:
		case !strings.HasPrefix(group.Name, w.Prefix), !containsFold(group.Name, w.Contains):
		case len(w.Names) > 0 && !slices.Contains(w.Names, group.Name):
		default:
			groups = append(groups, group)
		}
	}
	slices.SortFunc(groups, func(a, b *Group) int { return strings.Compare(a.Name, b.Name) })
	if len(groups) > w.Most {
		return groups[:w.Most], true, nil
	}
	return groups, false, nil
}

// containsFold tells whether part occurs in s, in capital or small letters (API Reference, DescribeLogGroups,
// logGroupNamePattern).
func containsFold(s, part string) bool {
	return strings.Contains(strings.ToLower(s), strings.ToLower(part))
}

// StoredBytes of a group: its events and 26 bytes for each, as they came in.
func (s *Store) StoredBytes(g *Group) int64 { return s.size(g.ID).Load() }
