// Package notify tells what happens to objects: it reads their changes from the feed, makes of each what
// the bucket's notification configuration asks for, S3's event message and the events of EventBridge,
// and puts that into the delivery queue in the commit that moves its cursor.
//
// Promises: a change that somebody asked to hear of is told at least once, whatever crashes; messages to
// one destination about one key arrive in the order of the changes; a destination that is down
// holds up nobody else.
package notify

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/event"
	"github.com/kura-s3/kura/internal/event/queue"
	"github.com/kura-s3/kura/internal/feed"
	"github.com/kura-s3/kura/internal/object"
	"github.com/kura-s3/kura/policy"
)

// Consumer is the name under which this package reads the feed.
const Consumer = "notify"

// Kind of the deliveries that this package makes, and of the carrier that takes them.
const Kind = "notify"

// Config of a Notifier.
type Config struct {
	// Feed, Queue and Objects are required.
	Feed    *feed.Feed
	Queue   *queue.Queue
	Objects *object.Store
	// Bus takes the events for EventBridge. Required.
	Bus event.Bus
	// Targets are where rules may send to. Required.
	Targets *Targets
	// Region of this server. Required.
	Region string
	// Log is required.
	Log *slog.Logger
}

// Notifier reads the feed.
type Notifier struct{ config Config }

// New makes a Notifier.
func New(c Config) *Notifier { return &Notifier{c} }

const (
	// slice is how many changes are read at a time.
	slice  = 100
	hiccup = time.Second
)

// Run works until ctx ends.
func (n *Notifier) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := n.step(ctx); err != nil && ctx.Err() == nil {
			n.config.Log.Error("notifications", "err", err)
			select {
			case <-ctx.Done():
			case <-time.After(hiccup):
			}
		}
	}
}

func (n *Notifier) step(ctx context.Context) error {
	entries, err := n.config.Feed.Next(ctx, Consumer, slice)
	if err != nil || len(entries) == 0 {
		return err
	}
	var b engine.Batch
	var committed []func()
	var weight feed.Weight
	last := uint64(0)
	for i := range entries {
		if weight.Full(&b) {
			break
		}
		last = entries[i].Seq
		if entries[i].Kind != feed.Object {
			continue
		}
		done, err := n.tell(ctx, &b, &entries[i])
		if err != nil {
			return err
		}
		committed = append(committed, done...)
	}
	if err := n.config.Feed.Done(ctx, Consumer, last, &b); err != nil {
		return err
	}
	for _, done := range committed {
		done()
	}
	return nil
}

// tell adds to b what a change makes of messages and events.
func (n *Notifier) tell(ctx context.Context, b *engine.Batch, e *feed.Entry) (committed []func(), err error) {
	var change object.Change
	if err := json.Unmarshal(e.After, &change); err != nil {
		return nil, err
	}
	bucket, err := n.config.Objects.Bucket(change.Bucket)
	if err != nil || bucket.ID != change.BucketID {
		return nil, nil // the bucket is gone, and its configuration with it
	}
	conf, err := bucket.Notification()
	if err != nil {
		return nil, err
	}
	if conf.EventBridge {
		if ev, ok := bridged(n.config.Region, bucket, e, &change); ok {
			done, err := n.config.Bus.Publish(ctx, b, ev)
			if err != nil {
				return nil, err
			}
			committed = append(committed, done)
		}
	}
	var deliveries []*queue.Delivery
	for i := range conf.Rules {
		if r := &conf.Rules[i]; r.Wants(change.Event, change.Key) {
			d, err := n.delivery(bucket, r, e, &change)
			if err != nil {
				return nil, err
			}
			deliveries = append(deliveries, d)
		}
	}
	if len(deliveries) == 0 {
		return committed, nil
	}
	added, err := n.config.Queue.Add(b, deliveries...)
	return append(committed, added), err
}

// keptFor is how long a notification is tried.
const keptFor = 24 * time.Hour

func (n *Notifier) delivery(b *object.Bucket, r *object.NotificationRule, e *feed.Entry, c *object.Change) (*queue.Delivery, error) {
	payload, err := message(n.config.Region, b, r.ID, e, c)
	if err != nil {
		return nil, err
	}
	return &queue.Delivery{
		Target: r.ARN, Kind: Kind, Order: c.Bucket + "/" + c.Key, Account: b.Owner.Account, Cause: b.ARN(), EventID: e.RequestID,
		Payload: payload, Expires: time.Now().Add(keptFor), MaxRetries: -1,
	}, nil
}

// Test sends S3's test event to the destinations of rules.
func (n *Notifier) Test(ctx context.Context, b *object.Bucket, requestID, hostID string, rules []object.NotificationRule) error {
	var deliveries []*queue.Delivery
	for _, r := range rules {
		if r.Kind == object.NotifyFunction {
			continue // functions are not tested so
		}
		payload, err := json.Marshal(testEvent{
			Service: "Amazon S3", Event: "s3:TestEvent", Time: time.Now().UTC().Format(messageTime), Bucket: b.Name, RequestID: requestID, HostID: hostID,
		})
		if err != nil {
			return err
		}
		deliveries = append(deliveries, &queue.Delivery{
			Target: r.ARN, Kind: Kind, Account: b.Owner.Account, Cause: b.ARN(), EventID: requestID, Payload: payload,
			Expires: time.Now().Add(keptFor), MaxRetries: -1,
		})
	}
	return n.config.Queue.Put(ctx, deliveries...)
}

// CheckDestination says why a rule cannot send to its destination; "" when it can.
func (n *Notifier) CheckDestination(ctx context.Context, b *object.Bucket, r *object.NotificationRule) string {
	return n.config.Targets.check(ctx, b, r)
}

type testEvent struct {
	Service, Event, Time, Bucket string
	RequestID                    string `json:"RequestId"`
	HostID                       string `json:"HostId"`
}

const messageTime = "2006-01-02T15:04:05.000Z"

// The message of S3 (User Guide, "Event message structure").
type (
	messages struct{ Records []record }
	record   struct {
		EventVersion      string            `json:"eventVersion"`
		EventSource       string            `json:"eventSource"`
		Region            string            `json:"awsRegion"`
		EventTime         string            `json:"eventTime"`
		EventName         string            `json:"eventName"`
		UserIdentity      principal         `json:"userIdentity"`
		RequestParameters map[string]string `json:"requestParameters"`
		ResponseElements  map[string]string `json:"responseElements"`
		S3                subject           `json:"s3"`
	}
	principal struct {
		ID string `json:"principalId"`
	}
	subject struct {
		Version       string     `json:"s3SchemaVersion"`
		Configuration string     `json:"configurationId"`
		Bucket        bucketPart `json:"bucket"`
		Object        objectPart `json:"object"`
	}
	bucketPart struct {
		Name  string    `json:"name"`
		Owner principal `json:"ownerIdentity"`
		ARN   string    `json:"arn"`
	}
	objectPart struct {
		Key       string `json:"key"`
		Size      *int64 `json:"size,omitempty"`
		ETag      string `json:"eTag,omitempty"`
		Version   string `json:"versionId,omitempty"`
		Sequencer string `json:"sequencer,omitempty"`
	}
)

// family of an event's name: what stands before the colon.
func family(event string) string {
	name, _, _ := strings.Cut(event, ":")
	return name
}

// versions of the message by the family of the event; 2.1 for others.
var versions = map[string]string{
	"Replication": "2.2", "LifecycleExpiration": "2.3", "LifecycleTransition": "2.3", "IntelligentTiering": "2.3",
	"ObjectTagging": "2.3", "ObjectAcl": "2.3",
}

// emptyMD5 is the ETag that S3 tells of a delete marker.
const emptyMD5 = "d41d8cd98f00b204e9800998ecf8427e"

func message(region string, b *object.Bucket, configuration string, e *feed.Entry, c *object.Change) ([]byte, error) {
	version := "2.1"
	if v, ok := versions[family(c.Event)]; ok {
		version = v
	}
	return json.Marshal(messages{[]record{{
		EventVersion: version, EventSource: "aws:s3", Region: region, EventTime: e.Time.UTC().Format(messageTime), EventName: c.Event,
		UserIdentity: principal{actor(e)}, RequestParameters: map[string]string{"sourceIPAddress": e.SourceIP},
		ResponseElements: map[string]string{"x-amz-request-id": e.RequestID},
		S3: subject{
			Version: "1.0", Configuration: configuration,
			Bucket: bucketPart{c.Bucket, principal{b.Owner.Account}, b.ARN()},
			Object: describe(c),
		},
	}}})
}

// actor is who made the change, as S3 writes it.
func actor(e *feed.Entry) string {
	if e.Actor.Type == policy.Anonymous {
		return "Anonymous"
	}
	if e.Actor.UserID == "" {
		return "AWS:" + e.Actor.ARN
	}
	return "AWS:" + e.Actor.UserID
}

func describe(c *object.Change) objectPart {
	o := objectPart{Key: strings.ReplaceAll(url.QueryEscape(c.Key), "%2F", "/"), ETag: c.ETag, Sequencer: c.Sequencer}
	if c.Versioned {
		o.Version = c.VersionID
	}
	switch family(c.Event) {
	case "ObjectRemoved", "LifecycleExpiration":
		o.ETag = ""
		if c.DeleteMarker && strings.HasSuffix(c.Event, "DeleteMarkerCreated") {
			o.ETag = emptyMD5
		}
	case "ObjectTagging", "ObjectAcl":
		o.Sequencer = ""
	default:
		o.Size = &c.Size
	}
	return o
}

// errNoTarget says that nothing is configured under a name.
var errNoTarget = errors.New("no --notify-target has this name")
