package object

import (
	"encoding/json"
	"fmt"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/feed"
)

// Settings of a bucket that make its objects' changes known in the feed. Where neither is configured
// nothing is written and nothing is paid.
const (
	SettingNotification = "notification"
	SettingReplication  = "replication"
)

// Change is the After of a feed entry of kind feed.Object: one version of an object came, went or
// changed. The entry's Resource is bucket/key, its Operation that of the request or the background job.
type Change struct {
	// Event is S3's name of what happened, without "s3:": "ObjectCreated:Put". "ObjectLock:Put" is
	// Kura's own: S3 has no event for a changed retention or legal hold.
	Event    string
	Bucket   string
	BucketID uint64
	Key      string
	// VersionID of the version; "null" where there is no versioning. Versioned tells whether the
	// bucket has (had) versioning.
	VersionID string
	Versioned bool `json:",omitempty"`
	// Size and ETag (without quotes) of the object; of a removed one those that it had.
	Size         int64  `json:",omitempty"`
	ETag         string `json:",omitempty"`
	DeleteMarker bool   `json:",omitempty"` // the version is a delete marker
	// Sequencer is 16 hex digits that ascend with the changes of a key.
	Sequencer string
	// Replica says that the version is a replica: it, or what happened to it, came from elsewhere.
	Replica bool `json:",omitempty"`
	// ReplicationStatus of the version: "PENDING" when it is to be replicated.
	ReplicationStatus string `json:",omitempty"`
	// Unsent says of a pending version whose metadata changed that its replication had failed: it is to be
	// replicated as a whole.
	Unsent bool `json:",omitempty"`
}

// happening is what happens to a version.
type happening uint8

const (
	wasCreated happening = iota
	wasRemoved           // for good
	wasMarked            // it is a delete marker that was put
	wasTagged
	wasUntagged
	wasGivenACL
	wasLocked        // its retention or legal hold changed
	wasNotReplicated // a replica could not be made
	wasTransitioned
	wasRetrieved // from the archive
)

var happenings = [...]string{
	wasCreated: "ObjectCreated:Put", wasRemoved: "ObjectRemoved:Delete", wasMarked: "ObjectRemoved:DeleteMarkerCreated",
	wasTagged: "ObjectTagging:Put", wasUntagged: "ObjectTagging:Delete", wasGivenACL: "ObjectAcl:Put", wasLocked: "ObjectLock:Put",
	wasNotReplicated: "Replication:OperationFailedReplication",
	wasTransitioned:  "LifecycleTransition", wasRetrieved: "ObjectRestore:Completed",
}

// LifecycleJob is the name under which expiry works: what it removes is told as its doing.
const LifecycleJob = "lifecycle"

// eventsOf are the events whose name depends on the operation.
var eventsOf = map[string]map[happening]string{
	"PostObject":              {wasCreated: "ObjectCreated:Post"},
	"CopyObject":              {wasCreated: "ObjectCreated:Copy"},
	"CompleteMultipartUpload": {wasCreated: "ObjectCreated:CompleteMultipartUpload"},
	LifecycleJob:              {wasRemoved: "LifecycleExpiration:Delete", wasMarked: "LifecycleExpiration:DeleteMarkerCreated"},
}

func eventOf(operation string, what happening) string {
	if name, ok := eventsOf[operation][what]; ok {
		return name
	}
	return happenings[what]
}

// told is a change that a txn makes known with its commit.
type told struct {
	grant  authz.Grant
	owner  string
	change Change
}

// tells whether anybody wants to know of the bucket's objects.
func (s *Store) tells(b *Bucket) bool {
	return s.feed != nil && (len(b.Settings[SettingNotification]) > 0 || len(b.Settings[SettingReplication]) > 0)
}

// tell makes known with the commit what happens to a version.
func (t *txn) tell(g authz.Grant, to target, what happening, r *record) {
	if !t.s.tells(to.bucket) {
		return
	}
	operation := ""
	if ev := g.Event(); ev != nil {
		operation = ev.Operation
	}
	c := Change{
		Event: eventOf(operation, what), Bucket: to.bucket.Name, BucketID: to.bucket.ID, Key: to.key,
		VersionID: r.versionID(), Versioned: to.bucket.Versioning != Unversioned, Size: r.size, DeleteMarker: r.marker,
		Sequencer: fmt.Sprintf("%016X", t.s.ids.next()), Replica: r.replication.status == Replica,
		ReplicationStatus: r.replication.status.String(), Unsent: t.unsent,
	}
	if !r.marker {
		c.ETag = r.etag()
	}
	t.told = append(t.told, told{grant: g, owner: to.bucket.Owner.Account, change: c})
}

// announce adds what is told to the commit; done is called when that has ended.
func (t *txn) announce(b *engine.Batch) (done func(), err error) {
	var ended []func()
	done = func() {
		for _, end := range ended {
			end()
		}
	}
	for i := range t.told {
		c := &t.told[i].change
		raw, err := json.Marshal(c)
		if err != nil {
			done()
			return nil, err
		}
		end, err := t.s.tell(b, t.told[i].grant, feed.Entry{
			Kind: feed.Object, Account: t.told[i].owner, Resource: c.Bucket + "/" + c.Key, After: raw,
		})
		if err != nil {
			done()
			return nil, err
		}
		ended = append(ended, end)
	}
	return done, nil
}
