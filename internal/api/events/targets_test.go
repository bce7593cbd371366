package events

import (
	"context"
	"log/slog"
	"testing"

	"github.com/kura-s3/kura/internal/api/wire/eventswire"
	"github.com/kura-s3/kura/internal/engine/memory"
	"github.com/kura-s3/kura/internal/event"
	"github.com/kura-s3/kura/internal/event/queue"
)

// TestTargetsAreTheRuleOwners: what a rule sends is sent by the account that owns it. Who may write the
// rules of another account's bus is asked for that account's permission to send to its targets, and not
// for a permission that its own account gives.
func TestTargetsAreTheRuleOwners(t *testing.T) {
	ctx, meta := context.Background(), memory.NewMeta()
	q, err := queue.Open(ctx, queue.Config{Meta: meta})
	if err != nil {
		t.Fatal(err)
	}
	store, err := event.Open(ctx, event.Config{Meta: meta, Queue: q, Region: "us-east-1", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	e := edge{events: store}
	const caller, owner = "111122223333", "444455556666"
	for arn, action := range map[string]string{
		"arn:aws:events:us-east-1:" + owner + ":api-destination/d/12345678-1234-1234-1234-123456789012": "events:InvokeApiDestination",
		"arn:aws:events:us-east-1:" + owner + ":event-bus/other":                                        "events:PutEvents",
		"arn:aws:sqs:us-east-1:" + owner + ":queue":                                                     "sqs:SendMessage",
	} {
		demands, err := e.putTargetsDemands(caller, &eventswire.PutTargetsInput{
			EventBusName: new("arn:aws:events:us-east-1:" + owner + ":event-bus/default"), Rule: new("r"),
			Targets: []eventswire.Target{{Id: new("t"), Arn: &arn}},
		})
		if err != nil || len(demands) != 2 {
			t.Errorf("%s: %v, %v", arn, demands, err)
			continue
		}
		if d := demands[1]; d.Action != action || d.Resource.ARN != arn || d.Resource.Account != owner {
			t.Errorf("%s: %+v", arn, d)
		}
	}
}
