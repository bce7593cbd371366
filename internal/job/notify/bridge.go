package notify

import (
	"encoding/json"

	"github.com/kura-s3/kura/internal/event"
	"github.com/kura-s3/kura/internal/feed"
	"github.com/kura-s3/kura/internal/object"
	"github.com/kura-s3/kura/policy"
)

// told is what EventBridge calls an event of S3, and what else it says of it (S3 User Guide, "Using
// EventBridge").
type told struct{ detailType, reason, deletion string }

const (
	forGood = "Permanently Deleted"
	marked  = "Delete Marker Created"
	expired = "Lifecycle Expiration"
)

var bridge = map[string]told{
	"ObjectCreated:Put":                       {"Object Created", "PutObject", ""},
	"ObjectCreated:Post":                      {"Object Created", "POST Object", ""},
	"ObjectCreated:Copy":                      {"Object Created", "CopyObject", ""},
	"ObjectCreated:CompleteMultipartUpload":   {"Object Created", "CompleteMultipartUpload", ""},
	"ObjectRemoved:Delete":                    {"Object Deleted", "DeleteObject", forGood},
	"ObjectRemoved:DeleteMarkerCreated":       {"Object Deleted", "DeleteObject", marked},
	"LifecycleExpiration:Delete":              {"Object Deleted", expired, forGood},
	"LifecycleExpiration:DeleteMarkerCreated": {"Object Deleted", expired, marked},
	"ObjectTagging:Put":                       {"Object Tags Added", "", ""},
	"ObjectTagging:Delete":                    {"Object Tags Deleted", "", ""},
	"ObjectAcl:Put":                           {"Object ACL Updated", "", ""},
	"ObjectRestore:Post":                      {"Object Restore Initiated", "", ""},
	"ObjectRestore:Completed":                 {"Object Restore Completed", "", ""},
	"ObjectRestore:Delete":                    {"Object Restore Expired", "", ""},
	"LifecycleTransition":                     {"Object Storage Class Changed", "", ""},
	"IntelligentTiering":                      {"Object Access Tier Changed", "", ""},
}

type (
	detail struct {
		Version   string       `json:"version"`
		Bucket    detailBucket `json:"bucket"`
		Object    detailObject `json:"object"`
		RequestID string       `json:"request-id"`
		Requester string       `json:"requester"`
		SourceIP  string       `json:"source-ip-address,omitempty"`
		Reason    string       `json:"reason,omitempty"`
		Deletion  string       `json:"deletion-type,omitempty"`
	}
	detailBucket struct {
		Name string `json:"name"`
	}
	detailObject struct {
		Key       string `json:"key"`
		Size      *int64 `json:"size,omitempty"`
		ETag      string `json:"etag,omitempty"`
		Version   string `json:"version-id,omitempty"`
		Sequencer string `json:"sequencer,omitempty"`
	}
)

// bridged is the event for EventBridge; not ok where it has none.
func bridged(region string, b *object.Bucket, e *feed.Entry, c *object.Change) (event.Event, bool) {
	t, ok := bridge[c.Event]
	if !ok {
		return event.Event{}, false
	}
	o := describe(c)
	raw, err := json.Marshal(detail{
		Version: "0", Bucket: detailBucket{c.Bucket},
		Object:    detailObject{Key: c.Key, Size: o.Size, ETag: o.ETag, Version: o.Version, Sequencer: o.Sequencer},
		RequestID: e.RequestID, Requester: requester(e), SourceIP: e.SourceIP, Reason: t.reason, Deletion: t.deletion,
	})
	if err != nil {
		return event.Event{}, false
	}
	return event.Event{
		Source: "aws.s3", DetailType: t.detailType, Account: b.Owner.Account, Region: region, Time: e.Time,
		Resources: []string{b.ARN()}, Detail: raw,
	}, true
}

// requester is an account, or the service that did it by itself.
func requester(e *feed.Entry) string {
	switch e.Actor.Type {
	case policy.Service, policy.Nobody:
		return "s3.amazonaws.com"
	case policy.Anonymous:
		return "anonymous"
	}
	return e.Actor.Account
}
