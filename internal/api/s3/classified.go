package s3

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/s3/sse"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/classification"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/job/inventory"
	"github.com/kura-s3/kura/internal/object"
	"github.com/kura-s3/kura/policy"
)

// A classified bucket: package classification has what its class demands, as resource control policies that
// bind every demand on the bucket. Here the condition key of a change says what it would contradict.

// ClassOf is a bucket's class, nil for none.
func ClassOf(b *object.Bucket) *classification.Class { return accessOf(b).class }

// classOf reads the tags.
func classOf(tags []object.Tag) *classification.Class {
	for i := range tags {
		if class := classification.Find(tags[i].Key, tags[i].Value); class != nil {
			return class
		}
	}
	return nil
}

// changeKeys are the condition keys of a change to a bucket that is, or shall be, classified.
type changeKeys struct {
	inner authz.Keys
	class *classification.Class
	judge func() []contradiction

	asked bool
	found []contradiction
}

// contradiction is a guardrail with what there is against it.
type contradiction struct {
	guardrail classification.Guardrail
	text      string
}

// Lookup implements authz.Keys.
func (k *changeKeys) Lookup(key string) (policy.Values, bool) {
	if key == classification.ContradictsKey {
		if !k.asked {
			k.asked, k.found = true, k.judge()
		}
		names := make([]string, len(k.found))
		for i := range k.found {
			names[i] = string(k.found[i].guardrail)
		}
		return policy.Values{Many: names, Multi: true}, len(names) > 0
	}
	if k.inner == nil {
		return policy.Values{}, false
	}
	return k.inner.Lookup(key)
}

// Explain implements authz.Explainer.
func (k *changeKeys) Explain() string {
	if len(k.found) == 0 {
		if x, ok := k.inner.(authz.Explainer); ok {
			return x.Explain()
		}
		return ""
	}
	texts := make([]string, len(k.found))
	for i := range k.found {
		texts[i] = k.found[i].text
	}
	return " A bucket with the classification " + k.class.Name() + " must not be so: " + strings.Join(texts, "; ") + "."
}

// guarded adds to the keys of a change what it would contradict. After gives the bucket as it would be, nil
// when the change will be refused for what it says. Where no class is concerned it adds nothing.
func (s *Service) guarded(c *api.Call, inner authz.Keys, after func(b object.Bucket) *object.Bucket) authz.Keys {
	before := at(c).found
	class := accessOf(before).class
	if class == nil {
		return inner
	}
	return &changeKeys{inner: inner, class: class, judge: func() []contradiction {
		next := after(*before)
		if next == nil {
			return nil
		}
		s.noteJudged(c)
		// What stands against a guardrail already must not keep anybody from mending something else.
		old := s.contradictions(before, class)
		return slices.DeleteFunc(s.contradictions(next, class), func(found contradiction) bool { return slices.Contains(old, found) })
	}}
}

// noteJudged remembers the revisions under which a change was judged, for the first time where there are two judgements.
func (s *Service) noteJudged(c *api.Call) {
	t := at(c)
	if t.judged != 0 {
		return
	}
	t.judged, t.judgedAccount = uint64(t.found.Revision), uint64(s.config.Objects.Account(t.found.Owner.Account).Revision)
}

// needChange is the demand of a change to a bucket that cannot expose it, but contradict its class.
func (s *Service) needChange(c *api.Call, action string, inner authz.Keys, after func(b object.Bucket) *object.Bucket) ([]authz.Demand, error) {
	b, err := s.bucket(c)
	if err != nil {
		return nil, err
	}
	return c.Need(action, s.bucketResource(caller(c), b, action), s.guarded(c, inner, after)), nil
}

// contradictions are what of a bucket's settings stands against a class. What cannot be read does.
func (s *Service) contradictions(b *object.Bucket, class *classification.Class) (found []contradiction) {
	a := compileAccess(b).(*access) // b may be a copy that was changed: no memo
	add := func(g classification.Guardrail, is bool, text string) {
		if is && class.Holds(g) {
			found = append(found, contradiction{g, text})
		}
	}
	if a.broken != nil {
		add(classification.BlockPublicAccess, true, "its settings cannot be read")
		add(classification.NoOtherAccounts, true, "its settings cannot be read")
		return found
	}
	add(classification.BlockPublicAccess, a.block.PublicAccessBlock != allBlocked.PublicAccessBlock, "Block Public Access is not on in all four settings")
	add(classification.EncryptWithKMS, !a.encryption.Kind().KMS(), "the default encryption is not SSE-KMS")
	add(classification.NoOtherAccounts, a.ownership.hasACLs(), "ACLs are on (object ownership is not BucketOwnerEnforced)")
	if class.Holds(classification.NoOtherAccounts) {
		if outsiders := s.outsiders(b); len(outsiders) > 0 {
			add(classification.NoOtherAccounts, true, "access is given to "+strings.Join(outsiders, ", "))
		}
		if to := s.replicatesOutside(b); to != "" {
			add(classification.NoOtherAccounts, true, "it is replicated to "+to)
		}
		if to := s.listedOutside(b); to != "" {
			add(classification.NoOtherAccounts, true, "an inventory of it goes to "+to)
		}
		if to := notifiesOutside(b); to != "" {
			add(classification.NoOtherAccounts, true, "notifications of it go to "+to)
		}
	}
	return found
}

func (s *Service) outsiders(b *object.Bucket) []string {
	if s.config.Outsiders == nil {
		return nil
	}
	who, err := s.config.Outsiders(b)
	if err != nil {
		s.config.Log.Error("it cannot be told who gets into a bucket: everybody counts", "bucket", b.Name, "err", err)
		return []string{"*"}
	}
	return who
}

// replicatesOutside is a destination that is not the account's own, "" when there is none.
func (s *Service) replicatesOutside(b *object.Bucket) string {
	raw := b.Settings[object.SettingReplication]
	if raw == nil {
		return ""
	}
	var conf object.Replication
	if err := json.Unmarshal(raw, &conf); err != nil {
		return "what cannot be read"
	}
	for i := range conf.Rules {
		name := conf.Rules[i].Destination.BucketName()
		if s.config.Elsewhere != nil && s.config.Elsewhere(name, b.Owner.Account) {
			return name
		}
		if !s.ownedAlike(b, name) {
			return name
		}
	}
	return ""
}

// leavesWith are the condition keys of a replica's way: a destination that was the account's own when the rule was
// made may have been deleted since, and its name be somebody else's.
func leavesWith(source *object.Bucket, own bool, to string) authz.Keys {
	class := accessOf(source).class
	if own || !class.Holds(classification.NoOtherAccounts) {
		return nil
	}
	return &changeKeys{class: class, judge: func() []contradiction {
		return []contradiction{{classification.NoOtherAccounts, "it is replicated to " + to}}
	}}
}

// listedOutside is where an inventory goes that is not the account's own, "" when there is none.
func (s *Service) listedOutside(b *object.Bucket) string {
	for _, id := range settingsOf(b, inventory.Setting) {
		var conf struct {
			Destination struct {
				S3BucketDestination struct{ Bucket string }
			}
		}
		if err := json.Unmarshal(b.Settings[inventory.Setting+"/"+id], &conf); err != nil {
			return "what cannot be read"
		}
		if name := strings.TrimPrefix(conf.Destination.S3BucketDestination.Bucket, "arn:aws:s3:::"); !s.ownedAlike(b, name) {
			return name
		}
	}
	return ""
}

// notifiesOutside is where notifications go, with the names of keys, that is not the account's own; "" when
// there is nothing.
func notifiesOutside(b *object.Bucket) string {
	n, err := b.Notification()
	if err != nil {
		return "what cannot be read"
	}
	for i := range n.Rules {
		if parts := strings.SplitN(n.Rules[i].ARN, ":", 6); len(parts) != 6 || parts[4] != b.Owner.Account {
			return n.Rules[i].ARN
		}
	}
	return ""
}

// ownedAlike tells whether a bucket is there and of the same account as b.
func (s *Service) ownedAlike(b *object.Bucket, name string) bool {
	to, err := s.config.Objects.Bucket(name)
	return err == nil && to.Owner.Account == b.Owner.Account
}

// NeedTags adds the demands of a change of a bucket's tags. A bucket that is to be classified is held to its
// class as it will be; taking a classification off needs a permission of its own.
func (s *Service) NeedTags(c *api.Call, b *object.Bucket, action string, inner authz.Keys, tags []object.Tag) []authz.Demand {
	resource := s.bucketResource(caller(c), b, action)
	was, is := accessOf(b).class, classOf(tags)
	keys := inner
	if is != nil && is != was {
		resource.Controls = slices.Concat(resource.Controls, is.Controls())
		next := *b
		next.Tags = tags
		keys = s.asClass(&next, is, inner)
	}
	demands := c.Need(action, resource, keys)
	if was != nil && is != was {
		demands = c.Need(classification.Declassify, s.bucketResource(caller(c), b, classification.Declassify), nil)
	}
	return demands
}

// asClass are the condition keys of a request that gives a bucket its class.
func (s *Service) asClass(next *object.Bucket, class *classification.Class, inner authz.Keys) authz.Keys {
	return &changeKeys{inner: inner, class: class, judge: func() []contradiction {
		raised, err := raiseEncryption(next)
		if err != nil {
			return []contradiction{{classification.EncryptWithKMS, "its default encryption cannot be read"}}
		}
		return s.contradictions(raised, class)
	}}
}

// SetTags puts tags on a bucket whose change was judged at a revision. A class that demands SSE-KMS makes it
// the default of new objects, in the same change; nothing else of the bucket is touched.
func SetTags(b *object.Bucket, tags []object.Tag, judged *object.Bucket) error {
	if (classOf(b.Tags) != nil || classOf(tags) != nil || accessOf(judged).class != nil) && b.Revision != judged.Revision {
		return fault.New(object.Busy, "")
	}
	b.Tags = tags
	raised, err := raiseEncryption(b)
	if err == nil {
		b.Settings = raised.Settings
	}
	return err
}

// raiseEncryption is a copy of b whose default encryption is what its tags' class demands at least.
func raiseEncryption(b *object.Bucket) (*object.Bucket, error) {
	next := *b
	if !classOf(b.Tags).Holds(classification.EncryptWithKMS) {
		return &next, nil
	}
	conf, err := sse.Decode(b.Settings[sse.Setting])
	if err != nil || conf.Kind().KMS() {
		return &next, err
	}
	raw, err := (&sse.Config{
		SSEAlgorithm: object.SSEKMS.String(), BucketKeyEnabled: true, BlockedEncryptionTypes: conf.BlockedEncryptionTypes,
	}).Encode()
	return with(next, sse.Setting, raw), err
}

// mayComplete asks again whether the object may be written, as its upload seals it: the upload may have begun
// before the bucket was classified.
func (s *Service) mayComplete(ctx context.Context, g authz.Grant, c *api.Call) (authz.Grant, error) {
	t := at(c)
	if !accessOf(t.found).class.Holds(classification.EncryptWithKMS) {
		return g, nil
	}
	up, err := s.config.Objects.Upload(ctx, g, t.bucket, t.key, t.query.get("uploadId"))
	if err != nil {
		return g, err
	}
	resource := s.newKeyResource(caller(c), t.found, t.key)
	return g.Ask(ctx, authz.Demand{Action: "s3:PutObject", Resource: resource, Keys: sealedAs(func() string { return string(encryptionName(up.Sealed)) })})
}

// sealedAs are the condition keys of how an object will be encrypted, where no header says it: the value of
// x-amz-server-side-encryption, "" for SSE-C.
type sealedAs func() string

// Lookup implements authz.Keys.
func (k sealedAs) Lookup(key string) (policy.Values, bool) {
	switch key {
	case "s3:x-amz-server-side-encryption":
		how := k()
		return policy.Values{One: how}, how != ""
	case "s3:x-amz-server-side-encryption-customer-algorithm":
		return policy.Values{One: "AES256"}, k() == ""
	}
	return policy.Values{}, false
}

// sealedAsSource is how a replica will be encrypted: as its source. What cannot be read is nothing that a
// policy knows.
func (s *Service) sealedAsSource(ctx context.Context, in *object.GetInput) sealedAs {
	return func() string {
		info, err := s.config.Objects.Resolve(ctx, in)
		if err != nil {
			return "unknown"
		}
		return info.Encryption
	}
}
