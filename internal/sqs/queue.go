package sqs

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/policy"
)

var queueName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)

// The limits and defaults of AWS ("Amazon SQS queue quotas").
const (
	maxQueues         = 10000 // of an account
	maxTags           = 50
	defaultRetention  = 345600
	defaultVisibility = 30
	maxSize           = 256 << 10
	purgePause        = time.Minute
)

// setting is one attribute of a queue that can be set.
type setting struct {
	set func(s *Store, q *Queue, value string) error
	get func(q *Queue) string
}

func number(name string, least, most int64, at func(*Queue) *int64) setting {
	return setting{
		set: func(_ *Store, q *Queue, value string) error {
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil || n < least || n > most {
				return refuse(InvalidValue, "Invalid value for the parameter %s.", name)
			}
			*at(q) = n
			return nil
		},
		get: func(q *Queue) string { return strconv.FormatInt(*at(q), 10) },
	}
}

// settings are the attributes that can be set, by name (SQS API Reference, SetQueueAttributes).
var settings = map[string]setting{
	"DelaySeconds":                  number("DelaySeconds", 0, 900, func(q *Queue) *int64 { return &q.Delay }),
	"MaximumMessageSize":            number("MaximumMessageSize", 1024, maxSize, func(q *Queue) *int64 { return &q.MaxSize }),
	"MessageRetentionPeriod":        number("MessageRetentionPeriod", 60, 1209600, func(q *Queue) *int64 { return &q.Retention }),
	"ReceiveMessageWaitTimeSeconds": number("ReceiveMessageWaitTimeSeconds", 0, 20, func(q *Queue) *int64 { return &q.Wait }),
	"VisibilityTimeout":             number("VisibilityTimeout", 0, 43200, func(q *Queue) *int64 { return &q.Visibility }),
	"Policy":                        {(*Store).setPolicy, func(q *Queue) string { return q.Written }},
	"RedrivePolicy":                 {(*Store).setRedrive, redrivePolicy},
	"RedriveAllowPolicy":            {(*Store).setRedriveAllow, func(q *Queue) string { return q.RedriveAllow }},
	// Messages are always sealed, by keys that Kura manages.
	"SqsManagedSseEnabled": {func(_ *Store, _ *Queue, value string) error {
		if value != "true" {
			return refuse(InvalidValue, "Invalid value for the parameter SqsManagedSseEnabled: messages are always encrypted.")
		}
		return nil
	}, func(*Queue) string { return "true" }},
}

// refused are attributes that AWS has and that would promise what is not done.
var refused = map[string]bool{
	"FifoQueue": true, "ContentBasedDeduplication": true, "DeduplicationScope": true, "FifoThroughputLimit": true,
	"KmsMasterKeyId": true, "KmsDataKeyReusePeriodSeconds": true,
}

// Attributes are the settings of the queue that are not empty, by name.
func (q *Queue) Attributes() map[string]string {
	all := map[string]string{}
	for name, a := range settings {
		if v := a.get(q); v != "" {
			all[name] = v
		}
	}
	return all
}

func (s *Store) apply(q *Queue, attributes map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		value := attributes[name]
		if refused[name] {
			// What Terraform sends for a standard queue without a key of its own changes nothing.
			if value == "" || value == "false" || name == "KmsDataKeyReusePeriodSeconds" && value == "300" {
				continue
			}
			return refuse(Unsupported, "The attribute %s is not supported: queues are standard queues, sealed by keys that are managed for you.", name)
		}
		a, ok := settings[name]
		if !ok {
			return refuse(InvalidAttribute, "Unknown Attribute %s.", name)
		}
		if err := a.set(s, q, value); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) setPolicy(q *Queue, text string) error {
	q.Written, q.Policy, q.Pinned = "", nil, ""
	if text == "" {
		return nil
	}
	doc, err := policy.ParseString(text, policy.Resource)
	if err != nil {
		return refuse(InvalidValue, "Invalid value for the parameter Policy. Reason: %s", err)
	}
	pinned, err := doc.Resolve(s.principals.UniqueID)
	if err != nil {
		return refuse(InvalidValue, "Invalid value for the parameter Policy. Reason: %s", err)
	}
	q.Written, q.Policy, q.Pinned = text, pinned, pinned.Normalized()
	return nil
}

// redrive is the form of RedrivePolicy; AWS takes the number also as text.
type redrive struct {
	Target string      `json:"deadLetterTargetArn"`
	Max    json.Number `json:"maxReceiveCount"`
}

func (s *Store) setRedrive(q *Queue, text string) error {
	q.DeadLetter, q.MaxReceives = "", 0
	if text == "" {
		return nil
	}
	var r redrive
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return refuse(InvalidValue, "Invalid value for the parameter RedrivePolicy. Reason: Redrive policy is not a valid JSON map.")
	}
	n, err := r.Max.Int64()
	if err != nil || n < 1 || n > 1000 {
		return refuse(InvalidValue, "Value %s for parameter RedrivePolicy is invalid. Reason: Invalid value for maxReceiveCount: %s, valid values are from 1 to 1000 both inclusive.", text, r.Max)
	}
	target, err := s.ByARN(r.Target)
	if err != nil || target.Account != q.Account {
		return refuse(InvalidValue, "Value %s for parameter RedrivePolicy is invalid. Reason: Dead letter target does not exist.", text)
	}
	if target.Name == q.Name {
		return refuse(InvalidValue, "Value %s for parameter RedrivePolicy is invalid. Reason: Dead-letter queue must not be the source queue itself.", text)
	}
	if !target.admits(s.ARN(q)) {
		return refuse(InvalidValue, "Value %s for parameter RedrivePolicy is invalid. Reason: the dead letter queue does not allow this source.", text)
	}
	q.DeadLetter, q.MaxReceives = r.Target, n
	return nil
}

func redrivePolicy(q *Queue) string {
	if q.DeadLetter == "" {
		return ""
	}
	raw, _ := json.Marshal(redrive{q.DeadLetter, json.Number(strconv.FormatInt(q.MaxReceives, 10))})
	return string(raw)
}

// redriveAllow is the form of RedriveAllowPolicy.
type redriveAllow struct {
	Permission string   `json:"redrivePermission"`
	Sources    []string `json:"sourceQueueArns,omitempty"`
}

func (s *Store) setRedriveAllow(q *Queue, text string) error {
	q.RedriveAllow = ""
	if text == "" {
		return nil
	}
	var r redriveAllow
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return refuse(InvalidValue, "Invalid value for the parameter RedriveAllowPolicy. Reason: it is not a valid JSON map.")
	}
	switch {
	case r.Permission == "byQueue" && len(r.Sources) > 0 && len(r.Sources) <= 10:
	case (r.Permission == "allowAll" || r.Permission == "denyAll") && len(r.Sources) == 0:
	default:
		return refuse(InvalidValue, "Invalid value for the parameter RedriveAllowPolicy. Reason: redrivePermission is allowAll, denyAll, or byQueue with 1 to 10 sourceQueueArns.")
	}
	q.RedriveAllow = text
	return nil
}

// admits tells whether the queue may be the dead-letter queue of source.
func (q *Queue) admits(source string) bool {
	if q.RedriveAllow == "" {
		return true
	}
	var r redriveAllow
	if json.Unmarshal([]byte(q.RedriveAllow), &r) != nil {
		return false
	}
	return r.Permission == "allowAll" || r.Permission == "byQueue" && slices.Contains(r.Sources, source)
}

// Create makes a queue and needs sqs:CreateQueue. One of the same name and the same attributes is
// returned as it is.
func (s *Store) Create(ctx context.Context, g authz.Grant, account, name string, attributes, tags map[string]string) (*Queue, error) {
	if err := g.Require("sqs:CreateQueue", s.arn(account, name)); err != nil {
		return nil, err
	}
	if strings.HasSuffix(name, ".fifo") {
		return nil, refuse(Unsupported, "FIFO queues are not supported.")
	}
	if !queueName.MatchString(name) {
		return nil, refuse(InvalidName, "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")
	}
	if len(tags) > maxTags {
		return nil, refuse(InvalidParameter, "Too many tags added for queue %s.", name)
	}
	s.changes.Lock()
	defer s.changes.Unlock()
	now := s.now().UTC().Truncate(time.Second)
	q := &Queue{
		Account: account, Name: name, ID: uint64(s.unique()), Created: now, Modified: now,
		Retention: defaultRetention, Visibility: defaultVisibility, MaxSize: maxSize, Tags: tags,
	}
	if err := s.apply(q, attributes); err != nil {
		return nil, err
	}
	if old, err := s.Queue(account, name); err == nil {
		for attribute, value := range attributes {
			if a, ok := settings[attribute]; ok && a.get(q) != a.get(old) {
				return nil, refuse(QueueNameExists, "A queue already exists with the same name and a different value for attribute %s (%q)", attribute, value)
			}
		}
		return old, nil
	}
	if s.count(account) >= maxQueues {
		return nil, refuse(OverLimit, "The account has %d queues.", maxQueues)
	}
	return q, s.put(ctx, g, q)
}

func (s *Store) count(account string) (n int) {
	for _, q := range *s.queues.Load() {
		if q.Account == account {
			n++
		}
	}
	return n
}

// put stores and publishes q. Under changes.
func (s *Store) put(ctx context.Context, g authz.Grant, q *Queue) error {
	raw, err := json.Marshal(queueRecord{Format: format, Queue: *q})
	if err != nil {
		return err
	}
	var b engine.Batch
	b.Require(queueKey(q.Account, q.Name), q.version)
	b.Set(queueKey(q.Account, q.Name), raw)
	was := ""
	if old, err := s.Queue(q.Account, q.Name); err == nil {
		was = old.Pinned
	}
	done, err := s.feed.AddPolicy(&b, g.Event(), q.Account, s.ARN(q), was, q.Pinned)
	if err != nil {
		return err
	}
	defer done()
	if err := s.commit(ctx, &b); err != nil {
		return err
	}
	q.version = b.Version
	s.publish(q.Account+"/"+q.Name, q)
	return nil
}

func (s *Store) publish(at string, q *Queue) {
	next := maps.Clone(*s.queues.Load())
	delete(next, at)
	if q != nil {
		next[at] = q
	}
	s.queues.Store(&next)
}

func (s *Store) commit(ctx context.Context, b *engine.Batch) error {
	err := s.meta.Commit(context.WithoutCancel(ctx), b)
	if errors.Is(err, engine.ErrConflict) {
		return refuse(Busy, "The queue is being changed by somebody else.")
	}
	return err
}

// edit changes a queue under action.
func (s *Store) edit(ctx context.Context, g authz.Grant, action string, q *Queue, change func(*Queue) error) error {
	s.changes.Lock()
	defer s.changes.Unlock()
	now, err := s.Queue(q.Account, q.Name)
	if err != nil {
		return err
	}
	if err := g.RequireStill(action, s.ARN(q), now.Policy); err != nil {
		return err
	}
	next := *now
	next.Tags = maps.Clone(now.Tags)
	next.Modified = s.now().UTC().Truncate(time.Second)
	if err := change(&next); err != nil {
		return err
	}
	return s.put(ctx, g, &next)
}

// SetAttributes needs sqs:SetQueueAttributes.
func (s *Store) SetAttributes(ctx context.Context, g authz.Grant, q *Queue, attributes map[string]string) error {
	return s.edit(ctx, g, "sqs:SetQueueAttributes", q, func(q *Queue) error { return s.apply(q, attributes) })
}

// Tag needs sqs:TagQueue.
func (s *Store) Tag(ctx context.Context, g authz.Grant, q *Queue, tags map[string]string) error {
	return s.edit(ctx, g, "sqs:TagQueue", q, func(q *Queue) error {
		if q.Tags == nil {
			q.Tags = map[string]string{}
		}
		maps.Copy(q.Tags, tags)
		if len(q.Tags) > maxTags {
			return refuse(InvalidParameter, "Too many tags added for queue %s.", q.Name)
		}
		return nil
	})
}

// Untag needs sqs:UntagQueue.
func (s *Store) Untag(ctx context.Context, g authz.Grant, q *Queue, names []string) error {
	return s.edit(ctx, g, "sqs:UntagQueue", q, func(q *Queue) error {
		for _, name := range names {
			delete(q.Tags, name)
		}
		return nil
	})
}

// Delete takes a queue and its messages away and needs sqs:DeleteQueue.
func (s *Store) Delete(ctx context.Context, g authz.Grant, q *Queue) error {
	if err := g.Require("sqs:DeleteQueue", s.ARN(q)); err != nil {
		return err
	}
	s.changes.Lock()
	defer s.changes.Unlock()
	now, err := s.Queue(q.Account, q.Name)
	if err != nil {
		return err
	}
	var b engine.Batch
	b.Require(queueKey(now.Account, now.Name), now.version)
	b.Delete(queueKey(now.Account, now.Name))
	empty(&b, now.ID)
	done, err := s.feed.AddPolicy(&b, g.Event(), now.Account, s.ARN(now), now.Pinned, "")
	if err != nil {
		return err
	}
	defer done()
	if err := s.commit(ctx, &b); err != nil {
		return err
	}
	s.publish(now.Account+"/"+now.Name, nil)
	s.state(now.ID).wake()
	s.states.Delete(now.ID)
	return nil
}

// List gives the account's queues whose names begin with prefix, by name, after a name. It needs
// sqs:ListQueues on "*".
func (s *Store) List(g authz.Grant, account, prefix, after string, most int) (queues []*Queue, more bool, err error) {
	if err := g.Require("sqs:ListQueues", "*"); err != nil {
		return nil, false, err
	}
	return s.page(account, after, most, func(q *Queue) bool { return strings.HasPrefix(q.Name, prefix) })
}

// Sources gives the queues whose dead letters go to q. It needs sqs:ListDeadLetterSourceQueues.
func (s *Store) Sources(g authz.Grant, q *Queue, after string, most int) (queues []*Queue, more bool, err error) {
	if err := g.Require("sqs:ListDeadLetterSourceQueues", s.ARN(q)); err != nil {
		return nil, false, err
	}
	arn := s.ARN(q)
	return s.page(q.Account, after, most, func(q *Queue) bool { return q.DeadLetter == arn })
}

func (s *Store) page(account, after string, most int, wanted func(*Queue) bool) (queues []*Queue, more bool, err error) {
	for _, q := range *s.queues.Load() {
		if q.Account == account && q.Name > after && wanted(q) {
			queues = append(queues, q)
		}
	}
	slices.SortFunc(queues, func(a, b *Queue) int { return strings.Compare(a.Name, b.Name) })
	if len(queues) > most {
		return queues[:most], true, nil
	}
	return queues, false, nil
}
