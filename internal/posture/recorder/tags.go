package recorder

import (
	"context"
	"maps"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
)

// taggedThing is what has tags, with how to write it anew.
type taggedThing struct {
	key  []byte
	tags map[string]string
	with func(tags map[string]string) (record any, then func())
}

// tagged finds what the ARN names. Under mu or judging.
func (s *Store) tagged(account, arn string) (*taggedThing, error) {
	a := s.find(account)
	for _, r := range a.rules {
		if r.ARN == arn {
			return &taggedThing{r.key(), r.Tags, func(tags map[string]string) (any, func()) {
				c := *r
				c.Tags = tags
				return &c, func() { r.Tags = tags }
			}}, nil
		}
	}
	for _, p := range a.packs {
		if p.ARN == arn {
			return &taggedThing{[]byte(packPrefix + account + "/" + p.Name), p.Tags, func(tags map[string]string) (any, func()) {
				c := *p
				c.Tags = tags
				return &c, func() { a.packs[c.Name] = &c }
			}}, nil
		}
	}
	if r := a.recorder; r != nil && s.RecorderARN(account, r.Name) == arn {
		return &taggedThing{[]byte(recorderPrefix + account), r.Tags, func(tags map[string]string) (any, func()) {
			c := *r
			c.Tags = tags
			return &c, func() { a.recorder = &c }
		}}, nil
	}
	return nil, fault.New(ResourceNotFound, "You have specified a resource that does not exist: "+arn)
}

// Tag changes the tags of what the ARN names, and needs action on it.
func (s *Store) Tag(ctx context.Context, g authz.Grant, action, account, arn string, set map[string]string, remove []string) error {
	if err := g.Require(action, arn); err != nil {
		return err
	}
	s.judging.Lock()
	defer s.judging.Unlock()
	t, err := s.tagged(account, arn)
	if err != nil {
		return err
	}
	tags := maps.Clone(t.tags)
	if tags == nil {
		tags = map[string]string{}
	}
	maps.Copy(tags, set)
	for _, name := range remove {
		delete(tags, name)
	}
	if len(tags) > 50 {
		return fault.New(TooManyTags, "You have reached the limit of the number of tags you can use. You have more than 50 tags.")
	}
	record, then := t.with(tags)
	raw, err := encode(record)
	if err != nil {
		return err
	}
	w := s.begin()
	w.batch.Set(t.key, raw)
	w.then = append(w.then, then)
	return s.commit(ctx, w)
}
