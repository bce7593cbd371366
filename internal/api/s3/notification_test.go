package s3

import (
	"strings"
	"testing"

	"github.com/kura-s3/kura/internal/api/wire/s3wire"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/object"
)

func topic(arn string, events []s3wire.Event, filters ...string) s3wire.TopicConfiguration {
	t := s3wire.TopicConfiguration{TopicArn: &arn, Events: events, Filter: &s3wire.NotificationConfigurationFilter{Key: &s3wire.S3KeyFilter{}}}
	for i := 0; i < len(filters); i += 2 {
		t.Filter.Key.FilterRules = append(t.Filter.Key.FilterRules, s3wire.FilterRule{Name: s3wire.FilterRuleName(filters[i]), Value: &filters[i+1]})
	}
	return t
}

const hookARN = "arn:aws:sns:us-east-1:111122223333:hook"

func TestNotificationConfigurationsThatAreRefused(t *testing.T) {
	created := []s3wire.Event{"s3:ObjectCreated:*"}
	put := []s3wire.Event{"s3:ObjectCreated:Put"}
	same := "same"
	a, b := topic(hookARN, created, "prefix", "a/"), topic(hookARN, created, "prefix", "b/")
	a.Id, b.Id = &same, &same
	for name, c := range map[string]struct {
		message string
		topics  []s3wire.TopicConfiguration
	}{
		"not an ARN":            {"The ARN could not be parsed", []s3wire.TopicConfiguration{topic("nope", created)}},
		"ARN of another kind":   {"The ARN could not be parsed", []s3wire.TopicConfiguration{topic(strings.Replace(hookARN, "sns", "sqs", 1), created)}},
		"unknown event":         {"The event is not supported for notifications", []s3wire.TopicConfiguration{topic(hookARN, []s3wire.Event{"s3:No"})}},
		"filter name":           {"filter rule name must be either prefix or suffix", []s3wire.TopicConfiguration{topic(hookARN, created, "infix", "x")}},
		"two prefixes":          {"Cannot specify more than one prefix rule", []s3wire.TopicConfiguration{topic(hookARN, created, "prefix", "x", "Prefix", "y")}},
		"FIFO":                  {"FIFO", []s3wire.TopicConfiguration{topic(hookARN+".fifo", created)}},
		"same id":               {"Same ID used for multiple configurations", []s3wire.TopicConfiguration{a, b}},
		"overlapping prefixes":  {"overlapping prefixes", []s3wire.TopicConfiguration{topic(hookARN, created, "prefix", "a"), topic(hookARN, put, "prefix", "a/b")}},
		"overlapping suffixes":  {"overlapping suffixes", []s3wire.TopicConfiguration{topic(hookARN, created, "suffix", "g"), topic(hookARN, put, "suffix", "jpg")}},
		"one of them is of all": {"ambiguously defined", []s3wire.TopicConfiguration{topic(hookARN, created), topic(hookARN, put, "suffix", "jpg")}},
	} {
		_, err := readNotification(&s3wire.NotificationConfiguration{TopicConfigurations: c.topics})
		if !fault.Is(err, invalidArgument) || !strings.Contains(err.Error(), c.message) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, topics := range map[string][]s3wire.TopicConfiguration{
		"other prefixes":                   {topic(hookARN, created, "prefix", "a/"), topic(hookARN, created, "prefix", "b/")},
		"same prefix, other suffixes":      {topic(hookARN, created, "prefix", "a", "suffix", ".jpg"), topic(hookARN, created, "prefix", "a", "suffix", ".png")},
		"overlapping, of different events": {topic(hookARN, created), topic(hookARN, []s3wire.Event{"s3:ObjectRemoved:*"})},
	} {
		n, err := readNotification(&s3wire.NotificationConfiguration{TopicConfigurations: topics})
		if err != nil || n.Rules[0].ID == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatANotificationRuleIsAbout(t *testing.T) {
	r := object.NotificationRule{Events: []string{"s3:ObjectCreated:*", "s3:ObjectRemoved:Delete"}, Filters: []object.NotificationFilter{{Name: "Prefix", Value: "in/"}, {Name: "SUFFIX", Value: ".jpg"}}}
	for _, c := range []struct {
		event, key string
		want       bool
	}{
		{"ObjectCreated:Put", "in/x.jpg", true}, {"ObjectCreated:Copy", "in/x.jpg", true}, {"ObjectRemoved:Delete", "in/.jpg", true},
		{"ObjectRemoved:DeleteMarkerCreated", "in/x.jpg", false}, {"ObjectCreated:Put", "x.jpg", false}, {"ObjectCreated:Put", "in/x.JPG", false},
		{"ObjectTagging:Put", "in/x.jpg", false},
	} {
		if got := r.Wants(c.event, c.key); got != c.want {
			t.Errorf("%s of %s: %v", c.event, c.key, got)
		}
	}
}
