package s3

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/s3wire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/object"
)

// Notices is where event notifications go to.
type Notices interface {
	// CheckDestination says why a bucket's rule cannot send to its destination, in AWS's words; "" when
	// it can.
	CheckDestination(ctx context.Context, b *object.Bucket, rule *object.NotificationRule) string
	// Test sends the test event to destinations that a bucket did not send to before.
	Test(ctx context.Context, b *object.Bucket, requestID, hostID string, rules []object.NotificationRule) error
}

func (s *Service) notificationOps() []*api.Op {
	return []*api.Op{
		api.Declare(api.Decl[s3wire.GetBucketNotificationConfigurationInput, s3wire.GetBucketNotificationConfigurationOutput]{
			Wire: &s3wire.GetBucketNotificationConfiguration, Class: audit.Management, Access: api.Read, Unsigned: true,
			Demands: onBucket[s3wire.GetBucketNotificationConfigurationInput](s, "s3:GetBucketNotification"),
			Do: func(_ context.Context, _ authz.Grant, c *api.Call, _ *s3wire.GetBucketNotificationConfigurationInput) (*s3wire.GetBucketNotificationConfigurationOutput, error) {
				n, err := at(c).found.Notification()
				if err != nil {
					return nil, err
				}
				return showNotification(n), nil
			},
		}),
		api.Declare(api.Decl[s3wire.PutBucketNotificationConfigurationInput, empty]{
			Wire: &s3wire.PutBucketNotificationConfiguration, Class: audit.Management, Access: api.Write, Unsigned: true,
			Demands: func(c *api.Call, in *s3wire.PutBucketNotificationConfigurationInput) ([]authz.Demand, error) {
				return s.needChange(c, "s3:PutBucketNotification", nil, func(b object.Bucket) *object.Bucket {
					n, err := readNotification(in.NotificationConfiguration)
					if err != nil {
						return nil
					}
					raw, err := json.Marshal(n)
					if err != nil {
						return nil
					}
					return with(b, object.SettingNotification, raw)
				})
			},
			Do: s.putNotification,
		}),
	}
}

func (s *Service) putNotification(ctx context.Context, g authz.Grant, c *api.Call, in *s3wire.PutBucketNotificationConfigurationInput) (*empty, error) {
	b := at(c).found
	n, err := readNotification(in.NotificationConfiguration)
	if err != nil {
		return nil, err
	}
	if !member.True(in.SkipDestinationValidation) {
		if err := s.checkDestinations(ctx, b, n.Rules); err != nil {
			return nil, err
		}
	}
	raw, err := json.Marshal(n)
	if err != nil {
		return nil, err
	}
	var fresh []object.NotificationRule
	_, err = s.config.Objects.UpdateBucket(ctx, g, "s3:PutBucketNotification", b.Name, func(b *object.Bucket) error {
		old, err := b.Notification()
		if err != nil {
			return err
		}
		fresh = unheardOf(old.Rules, n.Rules)
		delete(b.Settings, object.SettingNotification)
		if n.EventBridge || len(n.Rules) > 0 {
			b.Settings[object.SettingNotification] = raw
		}
		return s.stillJudged(c, b)
	})
	if err == nil && len(fresh) > 0 && s.config.Notices != nil {
		err = s.config.Notices.Test(ctx, b, c.Peer.RequestID, c.Peer.HostID, fresh)
	}
	return &empty{}, err
}

// unheardOf are the rules whose destination and kind no old rule has, once each.
func unheardOf(old, rules []object.NotificationRule) (fresh []object.NotificationRule) {
	for _, r := range rules {
		same := func(o object.NotificationRule) bool { return o.ARN == r.ARN }
		if !slices.ContainsFunc(old, same) && !slices.ContainsFunc(fresh, same) {
			fresh = append(fresh, r)
		}
	}
	return fresh
}

// checkDestinations refuses destinations that do not exist or do not let S3 in, all at once.
func (s *Service) checkDestinations(ctx context.Context, b *object.Bucket, rules []object.NotificationRule) error {
	var fields []string
	for i := range rules {
		reason := "The destination service is not available on this server"
		if s.config.Notices != nil {
			reason = s.config.Notices.CheckDestination(ctx, b, &rules[i])
		}
		if reason != "" {
			n := strconv.Itoa(len(fields)/4 + 1)
			fields = append(fields, "ArgumentName"+n, rules[i].ARN, "ArgumentValue"+n, reason)
		}
	}
	if len(fields) > 0 {
		return fault.New(invalidArgument, "Unable to validate the following destination configurations", fields...)
	}
	return nil
}

// maxNotifications bounds the rules of a bucket.
const maxNotifications = 100

// readNotification checks a configuration by itself and gives it in the form in which it is kept.
func readNotification(in *s3wire.NotificationConfiguration) (*object.Notification, error) {
	if in == nil {
		return nil, fault.New(malformedXML, "")
	}
	n := &object.Notification{Format: object.FormatNotification, EventBridge: in.EventBridgeConfiguration != nil}
	for _, t := range in.TopicConfigurations {
		n.Rules = append(n.Rules, notificationRule(object.NotifyTopic, t.Id, t.TopicArn, t.Events, t.Filter))
	}
	for _, q := range in.QueueConfigurations {
		n.Rules = append(n.Rules, notificationRule(object.NotifyQueue, q.Id, q.QueueArn, q.Events, q.Filter))
	}
	for _, f := range in.LambdaFunctionConfigurations {
		n.Rules = append(n.Rules, notificationRule(object.NotifyFunction, f.Id, f.LambdaFunctionArn, f.Events, f.Filter))
	}
	if len(n.Rules) > maxNotifications {
		return nil, fault.New(invalidArgument, fmt.Sprintf("The number of notification configurations exceeds the limit of %d.", maxNotifications))
	}
	ids := map[string]bool{}
	for i := range n.Rules {
		r := &n.Rules[i]
		if err := checkNotification(r); err != nil {
			return nil, err
		}
		if r.ID == "" {
			r.ID = newNotificationID()
		}
		if ids[r.ID] {
			return nil, fault.New(invalidArgument, "Same ID used for multiple configurations. IDs must be unique", "ArgumentName", "Id", "ArgumentValue", r.ID)
		}
		ids[r.ID] = true
	}
	return n, checkOverlap(n.Rules)
}

func notificationRule(kind string, id, arn *string, events []s3wire.Event, filter *s3wire.NotificationConfigurationFilter) object.NotificationRule {
	r := object.NotificationRule{ID: member.Text(id), Kind: kind, ARN: member.Text(arn)}
	for _, e := range events {
		r.Events = append(r.Events, string(e))
	}
	if filter != nil && filter.Key != nil {
		for _, f := range filter.Key.FilterRules {
			r.Filters = append(r.Filters, object.NotificationFilter{Name: string(f.Name), Value: member.Text(f.Value)})
		}
	}
	return r
}

// services are those that an ARN of each kind of rule names.
var services = map[string]string{object.NotifyTopic: "sns", object.NotifyQueue: "sqs", object.NotifyFunction: "lambda"}

// notificationEvents are what a rule may be about.
var notificationEvents = func() map[string]bool {
	known := map[string]bool{}
	for _, e := range s3wire.Event("").Values() {
		known[e] = true
	}
	return known
}()

const (
	maxNotificationID = 255
	maxFilterValue    = 1024
)

func checkNotification(r *object.NotificationRule) error {
	parts := strings.SplitN(r.ARN, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || parts[2] != services[r.Kind] || parts[3] == "" || parts[4] == "" || parts[5] == "" {
		return badArgument("The ARN could not be parsed", r.Kind, r.ARN)
	}
	if strings.HasSuffix(parts[5], ".fifo") {
		return fault.New(invalidArgument, "FIFO "+strings.ToLower(r.Kind)+"s are not supported as a destination of event notifications.", "ArgumentName", r.Kind, "ArgumentValue", r.ARN)
	}
	if len(r.ID) > maxNotificationID {
		return badArgument("The ID is too long", "Id", r.ID)
	}
	if len(r.Events) == 0 {
		return fault.New(malformedXML, "")
	}
	for _, e := range r.Events {
		if !notificationEvents[e] {
			return badArgument("The event is not supported for notifications", "Event", e)
		}
	}
	seen := map[string]bool{}
	for _, f := range r.Filters {
		name := strings.ToLower(f.Name)
		switch {
		case name != "prefix" && name != "suffix":
			return badArgument("filter rule name must be either prefix or suffix", "FilterRule.Name", f.Name)
		case seen[name]:
			return badArgument("Cannot specify more than one "+name+" rule in a filter.", "FilterRule.Name", f.Name)
		case len(f.Value) > maxFilterValue:
			return badArgument("filter rule value must be less than or equal to 1024 characters", "FilterRule.Value", f.Value)
		}
		seen[name] = true
	}
	return nil
}

// checkOverlap: no object's event may be meant by two rules.
func checkOverlap(rules []object.NotificationRule) error {
	for i := range rules {
		for j := range i {
			a, b := &rules[i], &rules[j]
			if !overlappingEvents(a.Events, b.Events) {
				continue
			}
			prefixA, suffixA := a.Affixes()
			prefixB, suffixB := b.Affixes()
			prefixes := strings.HasPrefix(prefixA, prefixB) || strings.HasPrefix(prefixB, prefixA)
			suffixes := strings.HasSuffix(suffixA, suffixB) || strings.HasSuffix(suffixB, suffixA)
			if prefixes && suffixes {
				what := "suffixes in two rules if the prefixes are overlapping for the same event type."
				if suffixA == "" && suffixB == "" && (prefixA != "" || prefixB != "") {
					what = "prefixes in two rules for the same event type."
				}
				return fault.New(invalidArgument, "Configuration is ambiguously defined. Cannot have overlapping "+what)
			}
		}
	}
	return nil
}

func overlappingEvents(a, b []string) bool {
	for _, x := range a {
		for _, y := range b {
			familyX, allX := strings.CutSuffix(x, "*")
			familyY, allY := strings.CutSuffix(y, "*")
			if x == y || allX && strings.HasPrefix(y, familyX) || allY && strings.HasPrefix(x, familyY) {
				return true
			}
		}
	}
	return false
}

func showNotification(n *object.Notification) *s3wire.GetBucketNotificationConfigurationOutput {
	out := &s3wire.GetBucketNotificationConfigurationOutput{}
	if n.EventBridge {
		out.EventBridgeConfiguration = &s3wire.EventBridgeConfiguration{}
	}
	for i := range n.Rules {
		r := &n.Rules[i]
		var events []s3wire.Event
		for _, e := range r.Events {
			events = append(events, s3wire.Event(e))
		}
		filter := showFilter(r.Filters)
		switch r.Kind {
		case object.NotifyTopic:
			out.TopicConfigurations = append(out.TopicConfigurations, s3wire.TopicConfiguration{Id: &r.ID, TopicArn: &r.ARN, Events: events, Filter: filter})
		case object.NotifyQueue:
			out.QueueConfigurations = append(out.QueueConfigurations, s3wire.QueueConfiguration{Id: &r.ID, QueueArn: &r.ARN, Events: events, Filter: filter})
		default:
			out.LambdaFunctionConfigurations = append(out.LambdaFunctionConfigurations, s3wire.LambdaFunctionConfiguration{Id: &r.ID, LambdaFunctionArn: &r.ARN, Events: events, Filter: filter})
		}
	}
	return out
}

// showFilter gives the names with a capital, as S3 does whatever was put.
func showFilter(filters []object.NotificationFilter) *s3wire.NotificationConfigurationFilter {
	if len(filters) == 0 {
		return nil
	}
	key := &s3wire.S3KeyFilter{}
	for i := range filters {
		name := s3wire.FilterRuleName("Prefix")
		if strings.EqualFold(filters[i].Name, "suffix") {
			name = "Suffix"
		}
		key.FilterRules = append(key.FilterRules, s3wire.FilterRule{Name: name, Value: &filters[i].Value})
	}
	return &s3wire.NotificationConfigurationFilter{Key: key}
}

// newNotificationID is the id of a rule that was put without one.
func newNotificationID() string {
	var b [16]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}
