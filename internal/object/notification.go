package object

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Notification is a bucket's notification configuration, as Settings[SettingNotification] holds it in
// JSON.
type Notification struct {
	Format int
	// EventBridge says that every event goes to the default bus of the bucket's account.
	EventBridge bool               `json:",omitempty"`
	Rules       []NotificationRule `json:",omitempty"`
}

// FormatNotification is the number of the form above.
const FormatNotification = 1

// Kinds of notification rules.
const (
	NotifyTopic    = "Topic"
	NotifyQueue    = "Queue"
	NotifyFunction = "CloudFunction"
)

// NotificationRule sends events of some objects to one destination.
type NotificationRule struct {
	ID, Kind, ARN string
	// Events as they were put: "s3:ObjectCreated:*".
	Events []string
	// Filters as they were put: at most one prefix and one suffix.
	Filters []NotificationFilter `json:",omitempty"`
}

// NotificationFilter is a filter rule: Name is "prefix" or "suffix" in any case.
type NotificationFilter struct{ Name, Value string }

// Affixes are the prefix and the suffix of the keys that the rule is about.
func (r *NotificationRule) Affixes() (prefix, suffix string) {
	for _, f := range r.Filters {
		if strings.EqualFold(f.Name, "prefix") {
			prefix = f.Value
		} else {
			suffix = f.Value
		}
	}
	return prefix, suffix
}

// Wants tells whether the rule is about an event (without "s3:") of a key.
func (r *NotificationRule) Wants(event, key string) bool {
	prefix, suffix := r.Affixes()
	if !strings.HasPrefix(key, prefix) || !strings.HasSuffix(key, suffix) {
		return false
	}
	for _, e := range r.Events {
		e = strings.TrimPrefix(e, "s3:")
		family, all := strings.CutSuffix(e, "*")
		if e == event || all && strings.HasPrefix(event, family) {
			return true
		}
	}
	return false
}

// Notification is the bucket's configuration; an empty one where nothing is configured.
func (b *Bucket) Notification() (*Notification, error) {
	raw := b.Settings[SettingNotification]
	n := &Notification{Format: FormatNotification}
	if len(raw) == 0 {
		return n, nil
	}
	if err := json.Unmarshal(raw, n); err != nil || n.Format != FormatNotification {
		return nil, fmt.Errorf("%w: notification configuration", errRecord)
	}
	return n, nil
}
