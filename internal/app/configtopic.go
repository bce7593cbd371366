package app

import (
	"context"
	"encoding/json"
	"time"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/event/queue"
)

// What AWS Config tells the topic of an account's delivery channel.

const (
	configSource = "aws.config"
	// noticeLife is how long a notice is tried.
	noticeLife = 24 * time.Hour
	maxSubject = 100
)

// configCause is because of what Config acts for an account.
func (s *server) configCause(account string) cause {
	return cause{arn: "arn:aws:config:" + s.config.Region + ":" + account + ":configuration-recorder/default", account: account}
}

// configHeard tells whether anybody may want an event of Config: a rule, or the topic of the channel.
func (s *server) configHeard(account string, known map[string]string) bool {
	return s.recorder != nil && s.recorder.Topic(account) != "" || s.events.Heard(account, known)
}

// configMayPublish asks the topic's policy.
func (s *server) configMayPublish(ctx context.Context, account, topic string) (exists bool, err error) {
	return s.mayPublish(ctx, configPrincipal, s.configCause(account), topic)
}

// mayPublish asks a topic's policy whether a service may publish because of something.
func (s *server) mayPublish(ctx context.Context, service string, because cause, topic string) (exists bool, err error) {
	t, err := s.topics.store.Topic(topic)
	if err != nil {
		return false, err
	}
	return true, s.mayDo(ctx, service, because, s.topics.store.Demand(t, "sns:Publish", nil))
}

// tellTopic adds to b what an account's topic is told of an event; call told once b was committed.
func (s *server) tellTopic(b *engine.Batch, account string, detail []byte) (told func(), err error) {
	topic := ""
	if s.recorder != nil {
		topic = s.recorder.Topic(account)
	}
	if topic == "" {
		return func() {}, nil
	}
	subject, message, err := configNotice(s.config.Region, account, detail)
	if err != nil {
		return nil, err
	}
	options, err := json.Marshal(publishOptions{subject})
	if err != nil {
		return nil, err
	}
	return s.queue.Add(b, &queue.Delivery{
		Target: topic, Kind: "sns", Account: account, Cause: s.configCause(account).arn, Payload: message, Options: options,
		Expires: time.Now().Add(noticeLife), MaxRetries: -1,
	})
}

// changed are Config's words for what happened to a resource.
var changed = map[string]string{"CREATE": "Created", "UPDATE": "Updated", "DELETE": "Deleted"}

// configNotice is the detail of an event as Config tells topics of it: what is not known is there as null.
func configNotice(region, account string, detail []byte) (subject string, message []byte, err error) {
	var members map[string]any
	if err := json.Unmarshal(detail, &members); err != nil {
		return "", nil, err
	}
	text := func(in map[string]any, name string) string { s, _ := in[name].(string); return s }
	subject = "[AWS Config:" + region + "] "
	if item, ok := members["configurationItem"].(map[string]any); ok {
		diff, _ := members["configurationItemDiff"].(map[string]any)
		subject += text(item, "resourceType") + " " + text(item, "resourceId") + " " + changed[text(diff, "changeType")] + " in Account " + account
	} else {
		if _, ok := members["oldEvaluationResult"]; !ok {
			members["oldEvaluationResult"] = nil
		}
		result := map[string]any{}
		for _, name := range []string{"oldEvaluationResult", "newEvaluationResult"} {
			if r, ok := members[name].(map[string]any); ok {
				if _, ok := r["annotation"]; !ok {
					r["annotation"] = nil
				}
				r["resultToken"] = nil
				result = r
			}
		}
		subject += text(members, "resourceType") + " " + text(members, "resourceId") + " is " + text(result, "complianceType") + " with " +
			text(members, "configRuleName") + " in Account " + account
	}
	if len(subject) > maxSubject {
		subject = subject[:maxSubject-3] + "..."
	}
	message, err = json.Marshal(members)
	return printable(subject), message, err
}

// printable is s without what a subject cannot hold: names of resources may have it.
func printable(s string) string {
	out := []byte(s)
	for i, c := range out {
		if c < 0x20 || c > 0x7e {
			out[i] = '?'
		}
	}
	return string(out)
}
