package sns

import (
	"context"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/policy"
)

var topicName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,256}$`)

// The limits ("Amazon SNS endpoints and quotas").
const (
	maxTopics  = 10000 // of an account
	maxTags    = 50
	maxDisplay = 100
)

// setting is one attribute of a topic that can be set.
type setting struct {
	set func(s *Store, t *Topic, value string) error
	get func(s *Store, t *Topic) string
}

// settings are the attributes that can be set, by name (SNS API Reference, SetTopicAttributes).
var settings = map[string]setting{
	"Policy": {(*Store).setPolicy, (*Store).policyText},
	"DisplayName": {func(_ *Store, t *Topic, value string) error {
		if utf8.RuneCountInString(value) > maxDisplay || strings.ContainsFunc(value, control) {
			return invalid("DisplayName")
		}
		t.DisplayName = value
		return nil
	}, func(_ *Store, t *Topic) string { return t.DisplayName }},
	"KmsMasterKeyId": {func(_ *Store, t *Topic, value string) error {
		if len(value) > 2048 || strings.ContainsFunc(value, control) {
			return invalid("KmsMasterKeyId")
		}
		t.Key = value
		return nil
	}, func(_ *Store, t *Topic) string { return t.Key }},
	"DeliveryPolicy": {func(_ *Store, t *Topic, value string) (err error) {
		t.delivery, err = readTopicDelivery(value)
		t.Delivery = value
		return err
	}, func(_ *Store, t *Topic) string { return t.Delivery }},
	"SignatureVersion": {func(_ *Store, t *Topic, value string) error {
		if value != "1" && value != "2" {
			return invalid("SignatureVersion")
		}
		t.SignatureVersion = value
		return nil
	}, func(_ *Store, t *Topic) string { return t.SignatureVersion }},
	// A tracing header is passed through; there is nothing that traces.
	"TracingConfig": {func(_ *Store, t *Topic, value string) error {
		if value != "PassThrough" {
			return invalid("TracingConfig Reason: this server has no X-Ray; only PassThrough is supported")
		}
		t.Tracing = value
		return nil
	}, func(_ *Store, t *Topic) string { return t.Tracing }},
}

// refused are attributes that AWS has and that would promise what is not done; what each may say all the same.
var refused = map[string]string{
	"FifoTopic": "false", "ContentBasedDeduplication": "false", "ArchivePolicy": "", "FifoThroughputScope": "",
}

// feedback are the attributes of delivery status logging.
var feedback = regexp.MustCompile(`^(HTTP|Firehose|Lambda|Application|SQS)(Success|Failure)Feedback(RoleArn|SampleRate)$`)

func control(r rune) bool { return r < 0x20 || r == 0x7f }

func (s *Store) apply(t *Topic, attributes map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		value := attributes[name]
		if harmless, ok := refused[name]; ok {
			if value == "" || value == harmless {
				continue
			}
			return invalid("Attributes Reason: %s: FIFO topics and archives are not supported", name)
		}
		if feedback.MatchString(name) {
			if value == "" || value == "0" {
				continue
			}
			return invalid("AttributeName Reason: %s: delivery status logging is not supported", name)
		}
		a, ok := settings[name]
		if !ok {
			return invalid("AttributeName")
		}
		if err := a.set(s, t, value); err != nil {
			return err
		}
	}
	return nil
}

// Attributes are what GetTopicAttributes tells. It needs sns:GetTopicAttributes.
func (s *Store) Attributes(g authz.Grant, t *Topic) (map[string]string, error) {
	if err := g.Require("sns:GetTopicAttributes", t.ARN); err != nil {
		return nil, err
	}
	confirmed, pending := 0, 0
	for _, sub := range s.of(t.ARN) {
		switch {
		case sub.Confirmed:
			confirmed++
		case !sub.Ended:
			pending++
		}
	}
	all := map[string]string{
		"TopicArn": t.ARN, "Owner": t.Account, "DisplayName": t.DisplayName, "SubscriptionsConfirmed": strconv.Itoa(confirmed),
		"SubscriptionsPending": strconv.Itoa(pending), "SubscriptionsDeleted": strconv.FormatInt(t.Deleted, 10),
		"EffectiveDeliveryPolicy": t.delivery.effective(),
	}
	for name, a := range settings {
		if v := a.get(s, t); v != "" {
			all[name] = v
		}
	}
	return all, nil
}

// defaultActions are those that the policy gives that a topic has when it is made.
var defaultActions = []string{
	"SNS:GetTopicAttributes", "SNS:SetTopicAttributes", "SNS:AddPermission", "SNS:RemovePermission", "SNS:DeleteTopic", "SNS:Subscribe",
	"SNS:ListSubscriptionsByTopic", "SNS:Publish",
}

// statement is one of the policies that this package itself writes.
type statement struct {
	Sid       string         `json:"Sid"`
	Effect    string         `json:"Effect"`
	Principal map[string]any `json:"Principal"`
	Action    any            `json:"Action"`
	Resource  string         `json:"Resource"`
	Condition any            `json:"Condition,omitempty"`
}

func (s *Store) defaultText(t *Topic) string {
	raw, _ := json.Marshal(map[string]any{
		"Version": "2008-10-17", "Id": "__default_policy_ID", "Statement": []statement{{
			Sid: "__default_statement_ID", Effect: "Allow", Principal: map[string]any{"AWS": "*"}, Action: defaultActions, Resource: t.ARN,
			Condition: map[string]any{"StringEquals": map[string]string{"AWS:SourceOwner": t.Account}},
		}},
	})
	return string(raw)
}

// defaultPolicy is the policy of a topic that has none of its own.
func (s *Store) defaultPolicy(t *Topic) *policy.Document {
	doc, err := policy.ParseString(s.defaultText(t), policy.Resource)
	if err != nil {
		panic(err) // it is written above
	}
	return doc
}

func (s *Store) policyText(t *Topic) string {
	if t.Written == "" {
		return s.defaultText(t)
	}
	return t.Written
}

func (s *Store) setPolicy(t *Topic, text string) error {
	if text == "" {
		t.Written, t.Pinned, t.Policy = "", "", s.defaultPolicy(t)
		return nil
	}
	doc, err := policy.ParseString(text, policy.Resource)
	if err != nil {
		return invalid("Policy Error: %s", err)
	}
	pinned, err := doc.Resolve(s.principals.UniqueID)
	if err != nil {
		return invalid("Policy Error: %s", err)
	}
	t.Written, t.Policy, t.Pinned = text, pinned, pinned.Normalized()
	return nil
}

// CheckTags holds tags to AWS's rules.
func CheckTags(tags map[string]string) error {
	if len(tags) > maxTags {
		return refuse(TagLimit, "Could not complete request: tag quota of per resource exceeded")
	}
	for k, v := range tags {
		if k == "" || utf8.RuneCountInString(k) > 128 || utf8.RuneCountInString(v) > 256 || strings.HasPrefix(strings.ToLower(k), "aws:") {
			return invalid("Tags Reason: %s is not a valid tag", k)
		}
	}
	return nil
}

// Create makes a topic and needs sns:CreateTopic. One of the same name and the same attributes is returned as
// it is.
func (s *Store) Create(ctx context.Context, g authz.Grant, account, name string, attributes, tags map[string]string) (*Topic, error) {
	arn := s.arn(account, name)
	if err := g.Require("sns:CreateTopic", arn); err != nil {
		return nil, err
	}
	if strings.HasSuffix(name, ".fifo") || attributes["FifoTopic"] == "true" {
		return nil, invalid("Attributes Reason: FIFO topics are not supported")
	}
	if !topicName.MatchString(name) {
		return nil, invalid("Topic Name")
	}
	if err := CheckTags(tags); err != nil {
		return nil, err
	}
	s.changes.Lock()
	defer s.changes.Unlock()
	t := &Topic{ARN: arn, Account: account, Name: name, ID: s.unique(), Created: s.now().UTC().Truncate(time.Second), Tags: maps.Clone(tags)}
	t.Policy = s.defaultPolicy(t)
	t.delivery, _ = readTopicDelivery("")
	if err := s.apply(t, attributes); err != nil {
		return nil, err
	}
	if old, err := s.Topic(arn); err == nil {
		return old, s.same(old, t, attributes, tags)
	}
	if s.count(account) >= maxTopics {
		return nil, refuse(TopicLimit, "The account has %d topics.", maxTopics)
	}
	return t, s.put(ctx, g, t)
}

// same refuses to take a topic for another one of its name.
func (s *Store) same(old, t *Topic, attributes, tags map[string]string) error {
	for name := range attributes {
		if a, ok := settings[name]; ok && a.get(s, t) != a.get(s, old) {
			return invalid("Attributes Reason: Topic already exists with different attributes")
		}
	}
	if len(tags) > 0 && !maps.Equal(tags, old.Tags) {
		return invalid("Tags Reason: Topic already exists with different tags")
	}
	return nil
}

func (s *Store) count(account string) (n int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, t := range s.topics {
		if t.Account == account {
			n++
		}
	}
	return n
}

// put stores and publishes t. Under changes.
func (s *Store) put(ctx context.Context, g authz.Grant, t *Topic) error {
	raw, err := json.Marshal(topicRecord{Format: format, Topic: *t})
	if err != nil {
		return err
	}
	var b engine.Batch
	b.Require(topicKey(t.ARN), t.version)
	b.Set(topicKey(t.ARN), raw)
	was := ""
	if old, err := s.Topic(t.ARN); err == nil {
		was = old.Pinned
	}
	done, err := s.feed.AddPolicy(&b, g.Event(), t.Account, t.ARN, was, t.Pinned)
	if err != nil {
		return err
	}
	defer done()
	if err := s.commit(ctx, &b); err != nil {
		return err
	}
	t.version = b.Version
	s.mu.Lock()
	s.topics[t.ARN] = t
	s.mu.Unlock()
	return nil
}

// edit changes a topic under action.
func (s *Store) edit(ctx context.Context, g authz.Grant, action string, t *Topic, change func(*Topic) error) error {
	s.changes.Lock()
	defer s.changes.Unlock()
	now, err := s.Topic(t.ARN)
	if err != nil {
		return err
	}
	if err := g.RequireStill(action, t.ARN, now.Policy); err != nil {
		return err
	}
	next := *now
	next.Tags = maps.Clone(now.Tags)
	if err := change(&next); err != nil {
		return err
	}
	return s.put(ctx, g, &next)
}

// SetAttribute needs sns:SetTopicAttributes.
func (s *Store) SetAttribute(ctx context.Context, g authz.Grant, t *Topic, name, value string) error {
	return s.edit(ctx, g, "sns:SetTopicAttributes", t, func(t *Topic) error { return s.apply(t, map[string]string{name: value}) })
}

// Tag needs sns:TagResource.
func (s *Store) Tag(ctx context.Context, g authz.Grant, t *Topic, tags map[string]string) error {
	return s.edit(ctx, g, "sns:TagResource", t, func(t *Topic) error {
		if t.Tags == nil {
			t.Tags = map[string]string{}
		}
		maps.Copy(t.Tags, tags)
		return CheckTags(t.Tags)
	})
}

// Untag needs sns:UntagResource.
func (s *Store) Untag(ctx context.Context, g authz.Grant, t *Topic, names []string) error {
	return s.edit(ctx, g, "sns:UntagResource", t, func(t *Topic) error {
		for _, name := range names {
			delete(t.Tags, name)
		}
		return nil
	})
}

// grantable are the actions that AddPermission can give.
var grantable = map[string]bool{
	"Subscribe": true, "Publish": true, "ListSubscriptionsByTopic": true, "GetTopicAttributes": true, "SetTopicAttributes": true, "AddPermission": true,
	"RemovePermission": true, "DeleteTopic": true, "Receive": true, "*": true,
}

// written is a policy whose statements are taken as they are.
type written struct {
	Version   string            `json:"Version"`
	ID        string            `json:"Id,omitempty"`
	Statement []json.RawMessage `json:"Statement"`
}

func (s *Store) readWritten(t *Topic) (*written, error) {
	var w struct {
		written
		Statement json.RawMessage
	}
	if err := json.Unmarshal([]byte(s.policyText(t)), &w); err != nil {
		return nil, err
	}
	if json.Unmarshal(w.Statement, &w.written.Statement) != nil {
		w.written.Statement = []json.RawMessage{w.Statement} // one, without a list
	}
	return &w.written, nil
}

func sidOf(raw json.RawMessage) string {
	var labelled struct{ Sid string }
	_ = json.Unmarshal(raw, &labelled) // without one it has none
	return labelled.Sid
}

// AddPermission adds a statement to the policy and needs sns:AddPermission.
func (s *Store) AddPermission(ctx context.Context, g authz.Grant, t *Topic, label string, accounts, actions []string) error {
	return s.edit(ctx, g, "sns:AddPermission", t, func(t *Topic) error {
		w, err := s.readWritten(t)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(w.Statement, func(raw json.RawMessage) bool { return sidOf(raw) == label }) {
			return invalid("Statement already exists")
		}
		st := statement{Sid: label, Effect: "Allow", Resource: t.ARN}
		var who, what []string
		for _, account := range accounts {
			who = append(who, "arn:aws:iam::"+account+":root")
		}
		for _, action := range actions {
			if !grantable[action] {
				return invalid("Policy statement action out of service scope!")
			}
			what = append(what, "SNS:"+action)
		}
		if label == "" || len(who) == 0 || len(what) == 0 {
			return invalid("Label, AWSAccountId and ActionName are required")
		}
		st.Principal, st.Action = map[string]any{"AWS": who}, what
		raw, err := json.Marshal(st)
		if err != nil {
			return err
		}
		return s.rewrite(t, w, append(w.Statement, raw))
	})
}

func (s *Store) rewrite(t *Topic, w *written, statements []json.RawMessage) error {
	text, err := w.text(statements)
	if err != nil {
		return err
	}
	return s.setPolicy(t, text)
}

// text is the policy with other statements, "" without any.
func (w *written) text(statements []json.RawMessage) (string, error) {
	if len(statements) == 0 {
		return "", nil
	}
	w.Statement = statements
	raw, err := json.Marshal(w)
	return string(raw), err
}

// RemovePermission takes a statement out of the policy and needs sns:RemovePermission.
func (s *Store) RemovePermission(ctx context.Context, g authz.Grant, t *Topic, label string) error {
	return s.edit(ctx, g, "sns:RemovePermission", t, func(t *Topic) error {
		w, err := s.readWritten(t)
		if err != nil {
			return err
		}
		kept := w.without(label)
		if len(kept) == len(w.Statement) {
			return refuse(NotFound, "Statement %s does not exist", label)
		}
		return s.rewrite(t, w, kept)
	})
}

// without are the statements that have another label.
func (w *written) without(label string) []json.RawMessage {
	return slices.DeleteFunc(slices.Clone(w.Statement), func(raw json.RawMessage) bool { return label != "" && sidOf(raw) == label })
}

// PolicyWithout is a topic's policy as RemovePermission would leave it, "" for none of its own.
func (s *Store) PolicyWithout(t *Topic, label string) (string, error) {
	w, err := s.readWritten(t)
	if err != nil {
		return "", err
	}
	return w.text(w.without(label))
}

// Delete takes a topic and its subscriptions away and needs sns:DeleteTopic.
func (s *Store) Delete(ctx context.Context, g authz.Grant, t *Topic) error {
	if err := g.Require("sns:DeleteTopic", t.ARN); err != nil {
		return err
	}
	s.changes.Lock()
	defer s.changes.Unlock()
	now, err := s.Topic(t.ARN)
	if err != nil {
		return err
	}
	var b engine.Batch
	b.Require(topicKey(now.ARN), now.version)
	b.Delete(topicKey(now.ARN))
	for _, sub := range s.of(now.ARN) {
		b.Delete(subscriptionKey(now.ID, sub.ID))
	}
	done, err := s.feed.AddPolicy(&b, g.Event(), now.Account, now.ARN, now.Pinned, "")
	if err != nil {
		return err
	}
	defer done()
	if err := s.commit(ctx, &b); err != nil {
		return err
	}
	s.mu.Lock()
	delete(s.topics, now.ARN)
	delete(s.subscriptions, now.ARN)
	s.mu.Unlock()
	return nil
}

// PageSize is how many topics or subscriptions are listed at a time.
const PageSize = 100

// List gives the account's topics by ARN, after one. It needs sns:ListTopics on "*".
func (s *Store) List(g authz.Grant, account, after string) (arns []string, more bool, err error) {
	if err := g.Require("sns:ListTopics", "*"); err != nil {
		return nil, false, err
	}
	s.mu.RLock()
	for arn, t := range s.topics {
		if t.Account == account && arn > after {
			arns = append(arns, arn)
		}
	}
	s.mu.RUnlock()
	slices.Sort(arns)
	if len(arns) > PageSize {
		return arns[:PageSize], true, nil
	}
	return arns, false, nil
}
