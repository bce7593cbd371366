package object

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/feed"
)

// listen opens the fixture's store anew with a feed, and gives what reads it.
func (f *fixture) listen() *feed.Feed {
	f.t.Helper()
	changes, err := feed.Open(f.t.Context(), f.meta, "test")
	if err != nil {
		f.t.Fatal(err)
	}
	if err := f.store.Close(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
	f.store, err = Open(f.t.Context(), Config{Meta: f.meta, Blob: f.blob, Keys: f.ring, Feed: changes, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.t.Fatal(err)
	}
	return changes
}

// setting configures a sub-resource of a bucket.
func (f *fixture) setting(bucket, name, value string) {
	f.t.Helper()
	_, err := f.store.UpdateBucket(f.t.Context(), f.grant, "s3:PutBucketNotification", bucket, func(b *Bucket) error {
		b.Settings[name] = []byte(value)
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

// changes are the object changes that were told since the last time.
func (f *fixture) changes(from *feed.Feed) (out []Change) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 50*time.Millisecond)
	defer cancel()
	entries, err := from.Next(ctx, "test", 1000)
	if err != nil && ctx.Err() == nil {
		f.t.Fatal(err)
	}
	for _, e := range entries {
		if err := from.Done(f.t.Context(), "test", e.Seq, nil); err != nil {
			f.t.Fatal(err)
		}
		if e.Kind != feed.Object {
			continue
		}
		var c Change
		if err := json.Unmarshal(e.After, &c); err != nil {
			f.t.Fatal(err)
		}
		if e.Resource != c.Bucket+"/"+c.Key || e.Account != alice.Account {
			f.t.Errorf("entry of %s, account %s: %+v", e.Resource, e.Account, c)
		}
		out = append(out, c)
	}
	return out
}

func TestChangesOfObjectsAreTold(t *testing.T) {
	f := newFixture(t)
	from := f.listen()
	f.bucket("bucket", VersioningEnabled)
	f.put("bucket", "quiet", []byte("nobody listens"))
	if got := f.changes(from); len(got) != 0 {
		t.Fatalf("told without being asked: %+v", got)
	}
	f.setting("bucket", SettingNotification, "{}")
	ctx, grant := t.Context(), f.grant
	info := f.put("bucket", "k", []byte("content"))
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := f.store.SetTags(ctx, grant, "s3:PutObjectTagging", &GetInput{Bucket: "bucket", Key: "k"}, []Tag{{"a", "b"}})
	must(err)
	_, err = f.store.SetTags(ctx, grant, "s3:DeleteObjectTagging", &GetInput{Bucket: "bucket", Key: "k"}, nil)
	must(err)
	_, err = f.store.SetACL(ctx, grant, "s3:PutObjectAcl", &GetInput{Bucket: "bucket", Key: "k"}, []byte("x"))
	must(err)
	marker, err := f.store.Delete(ctx, grant, &DeleteInput{Bucket: "bucket", Key: "k"})
	must(err)
	_, err = f.store.Delete(ctx, grant, &DeleteInput{Bucket: "bucket", Key: "k", VersionID: marker.VersionID})
	must(err)
	_, err = f.store.Delete(ctx, grant, &DeleteInput{Bucket: "bucket", Key: "k", VersionID: info.VersionID})
	must(err)
	_, err = f.store.Delete(ctx, grant, &DeleteInput{Bucket: "bucket", Key: "k", VersionID: info.VersionID}) // nothing is there
	must(err)
	id := f.upload(UploadInput{Bucket: "bucket", Key: "multi", Owner: alice})
	part := f.part("bucket", "multi", id, 1, []byte("part"))
	for range 2 { // completing again changes nothing
		_, err = f.complete("bucket", "multi", id, part)
		must(err)
	}
	got := f.changes(from)
	var names []string
	last := ""
	for _, c := range got {
		names = append(names, c.Event)
		if len(c.Sequencer) != 16 || c.Sequencer <= last {
			t.Errorf("sequencer %q after %q", c.Sequencer, last)
		}
		last = c.Sequencer
		if c.BucketID == 0 || c.VersionID == "" || !c.Versioned {
			t.Errorf("%+v", c)
		}
	}
	want := []string{"ObjectCreated:Put", "ObjectTagging:Put", "ObjectTagging:Delete", "ObjectAcl:Put", "ObjectRemoved:DeleteMarkerCreated",
		"ObjectRemoved:Delete", "ObjectRemoved:Delete", "ObjectCreated:Put"}
	if !slices.Equal(names, want) {
		t.Errorf("told %q\nwant %q", names, want)
	}
	if c := got[0]; c.Size != 7 || c.ETag != info.ETag || c.VersionID != info.VersionID || c.DeleteMarker || c.Replica {
		t.Errorf("put: %+v", c)
	}
	if c := got[4]; !c.DeleteMarker || c.VersionID != marker.VersionID || c.ETag != "" {
		t.Errorf("marker: %+v", c)
	}
}

func TestNamesOfEvents(t *testing.T) {
	for _, c := range []struct {
		operation string
		what      happening
		want      string
	}{
		{"PutObject", wasCreated, "ObjectCreated:Put"}, {"PostObject", wasCreated, "ObjectCreated:Post"},
		{"CopyObject", wasCreated, "ObjectCreated:Copy"}, {"CompleteMultipartUpload", wasCreated, "ObjectCreated:CompleteMultipartUpload"},
		{"DeleteObjects", wasRemoved, "ObjectRemoved:Delete"}, {"lifecycle", wasRemoved, "LifecycleExpiration:Delete"},
		{"lifecycle", wasMarked, "LifecycleExpiration:DeleteMarkerCreated"}, {"CopyObject", wasTagged, "ObjectTagging:Put"},
	} {
		if got := eventOf(c.operation, c.what); got != c.want {
			t.Errorf("%s: %s, want %s", c.operation, got, c.want)
		}
	}
}

// TestUntoldChangesCostNothing: a bucket that asks for nothing pays nothing for the feed.
func TestUntoldChangesCostNothing(t *testing.T) {
	f := newFixture(t)
	from := f.listen()
	b := f.bucket("bucket", VersioningEnabled)
	r := &record{seq: 1, size: 4}
	if n := testing.AllocsPerRun(100, func() {
		tx := txn{s: f.store}
		tx.tell(f.grant, target{b, "k"}, wasCreated, r)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	_ = f.changes(from)
}
