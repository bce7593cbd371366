package object

import (
	"bytes"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/authz/authztest"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/fault"
)

const allToCopy = `{"Format":1,"Role":"arn:aws:iam::111122223333:role/r","Rules":[{"ID":"all","Priority":1,"Enabled":true,"Filter":{"Prefix":""},` +
	`"DeleteMarkers":"Enabled","Destination":{"Bucket":"arn:aws:s3:::copies"}}]}`

// pair makes a bucket "source" that replicates into "copies".
func (f *fixture) pair() {
	f.t.Helper()
	f.bucket("source", VersioningEnabled)
	f.bucket("copies", VersioningEnabled)
	f.setting("source", SettingReplication, allToCopy)
}

// replicate makes the replica of a version of "source" in "copies".
func (f *fixture) replicate(key, version string) (*Info, error) {
	b, err := f.store.Bucket("source")
	if err != nil {
		f.t.Fatal(err)
	}
	return f.store.Replicate(f.t.Context(), f.grant, &ReplicaInput{
		Source: GetInput{Bucket: "source", Key: key, VersionID: version}, SourceID: b.ID, Bucket: "copies",
		Own: func(*Info) (Owner, []byte) { return bob, []byte("acl") },
	})
}

func (f *fixture) mustReplicate(key, version string) *Info {
	f.t.Helper()
	info, err := f.replicate(key, version)
	if err != nil {
		f.t.Fatalf("%s %s: %v", key, version, err)
	}
	return info
}

// order are the version ids of a key in "copies", newest first.
func (f *fixture) order(key string) (ids []string) {
	f.t.Helper()
	page, err := f.store.ListVersions(f.t.Context(), f.grant, &ListVersionsInput{Bucket: "copies", Prefix: key, Max: 1000})
	if err != nil {
		f.t.Fatal(err)
	}
	for _, v := range page.Versions {
		ids = append(ids, v.VersionID)
	}
	return ids
}

func (f *fixture) wantOrder(key string, want ...string) {
	f.t.Helper()
	if got := f.order(key); !slices.Equal(got, want) {
		f.t.Errorf("versions %q\nwant     %q", got, want)
	}
	for _, id := range want {
		if _, _, err := f.get(&GetInput{Bucket: "copies", Key: key, VersionID: id}); err != nil {
			f.t.Errorf("version %s: %v", id, err)
		}
	}
}

// clock is one that a test sets, while the store's background work reads it.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time { return time.Unix(0, c.at.Load()).UTC() }

func (c *clock) pass(d time.Duration) { c.at.Add(int64(d)) }

// clocked opens the store again with a clock that the test sets.
func (f *fixture) clocked() *clock {
	c := new(clock)
	c.at.Store(1_700_000_000_000 * int64(time.Millisecond))
	f.now = c.now
	f.reopen()
	return c
}

func TestReplicasAreTheirSources(t *testing.T) {
	f := newFixture(t)
	f.pair()
	for name, data := range map[string][]byte{"empty": nil, "small": []byte("content"), "large": pattern(3, 1<<20)} {
		made, err := f.tryPut(&PutInput{Bucket: "source", Key: name, Body: bytes.NewReader(data), Size: int64(len(data)), Owner: alice,
			Attributes: Attributes{ContentType: "text/x", User: []Tag{{"a", "b"}}}, Tags: []Tag{{"team", "red"}}})
		if err != nil {
			t.Fatal(err)
		}
		if made.Replication != ReplicationPending {
			t.Errorf("%s: status %q", name, made.Replication)
		}
		for range 2 { // the second time nothing changes
			info := f.mustReplicate(name, made.VersionID)
			if info.VersionID != made.VersionID || info.ETag != made.ETag || !info.Modified.Equal(made.Modified) || info.Replication != Replica ||
				info.Owner != bob || string(info.ACL) != "acl" || !slices.Equal(info.Tags, made.Tags) || info.Attributes.ContentType != "text/x" {
				t.Errorf("%s: replica %+v", name, info)
			}
		}
		if got := f.mustGet("copies", name); !bytes.Equal(got, data) {
			t.Errorf("%s: replica of %d bytes", name, len(got))
		}
	}
	f.check()
}

func TestMultipartReplicasKeepTheirParts(t *testing.T) {
	f := newFixture(t)
	f.pair()
	id := f.upload(UploadInput{Bucket: "source", Key: "multi", Owner: alice})
	one, two := f.part("source", "multi", id, 3, pattern(1, MinPart)), f.part("source", "multi", id, 7, pattern(2, 1000))
	made, err := f.complete("source", "multi", id, one, two)
	if err != nil {
		t.Fatal(err)
	}
	info := f.mustReplicate("multi", made.VersionID)
	if info.ETag != made.ETag || info.Parts != 2 || !bytes.Equal(info.Checksum.Value, made.Checksum.Value) {
		t.Errorf("replica %+v of %+v", info, made)
	}
	_, got, err := f.get(&GetInput{Bucket: "copies", Key: "multi", PartNumber: 7})
	if err != nil || !bytes.Equal(got, pattern(2, 1000)) {
		t.Errorf("part 7: %d bytes, %v", len(got), err)
	}
	f.check()
}

func TestLateReplicasHideNothing(t *testing.T) {
	f := newFixture(t)
	f.pair()
	now := f.clocked()
	var ids []string
	for i := range 5 {
		now.pass(time.Second)
		ids = append(ids, f.put("source", "k", []byte{byte(i)}).VersionID)
	}
	for _, i := range []int{3, 0, 4, 2, 1} {
		f.mustReplicate("k", ids[i])
	}
	slices.Reverse(ids)
	f.wantOrder("k", ids...)
	if got := f.mustGet("copies", "k"); got[0] != 4 {
		t.Errorf("current is %d", got[0])
	}
	f.check()
}

func TestReplicasLiveWithOtherWrites(t *testing.T) {
	f := newFixture(t)
	f.pair()
	now := f.clocked()
	first := f.put("source", "k", []byte("first"))
	now.pass(time.Second)
	own := f.put("copies", "k", []byte("own"))
	now.pass(time.Second)
	second := f.put("source", "k", []byte("second"))
	f.mustReplicate("k", second.VersionID)
	f.mustReplicate("k", first.VersionID)
	f.wantOrder("k", second.VersionID, own.VersionID, first.VersionID)
	now.pass(time.Second)
	newest := f.put("copies", "k", []byte("newest"))
	f.wantOrder("k", newest.VersionID, second.VersionID, own.VersionID, first.VersionID)
	f.check()
	// Listing goes on behind each of them.
	for i, id := range f.order("k") {
		page, err := f.store.ListVersions(t.Context(), f.grant, &ListVersionsInput{Bucket: "copies", KeyMarker: "k", VersionIDMarker: id, Max: 10})
		if err != nil || len(page.Versions) != 3-i {
			t.Errorf("behind %d: %d versions, %v", i, len(page.Versions), err)
		}
	}
	for _, id := range f.order("k") {
		if _, err := f.store.Delete(t.Context(), f.grant, &DeleteInput{Bucket: "copies", Key: "k", VersionID: id}); err != nil {
			t.Fatal(err)
		}
		f.check()
	}
	if n := f.rows(spaceReplica); n != 0 {
		t.Errorf("%d pointers are left", n)
	}
}

func TestDeleteMarkersReplicate(t *testing.T) {
	f := newFixture(t)
	f.pair()
	made := f.put("source", "k", []byte("x"))
	f.mustReplicate("k", made.VersionID)
	gone, err := f.store.Delete(t.Context(), f.grant, &DeleteInput{Bucket: "source", Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if info := f.mustReplicate("k", gone.VersionID); !info.DeleteMarker || info.VersionID != gone.VersionID || info.Replication != Replica {
			t.Errorf("marker %+v", info)
		}
	}
	f.wantOrderOfTwo("k", gone.VersionID, made.VersionID)
	f.check()
}

func (f *fixture) wantOrderOfTwo(key, marker, version string) {
	f.t.Helper()
	if got := f.order(key); !slices.Equal(got, []string{marker, version}) {
		f.t.Errorf("versions %q", got)
	}
}

func TestNullVersionsReplicateOnce(t *testing.T) {
	f := newFixture(t)
	f.bucket("source", Unversioned)
	f.bucket("copies", VersioningEnabled)
	f.put("source", "k", []byte("old"))
	f.versioning("source", VersioningEnabled)
	first := f.mustReplicate("k", NullVersion)
	again := f.mustReplicate("k", NullVersion)
	if first.VersionID == NullVersion || first.VersionID != again.VersionID {
		t.Errorf("ids %s and %s", first.VersionID, again.VersionID)
	}
	f.wantOrder("k", first.VersionID)
	f.check()
}

func TestMetadataReplicatesAgain(t *testing.T) {
	f := newFixture(t)
	f.pair()
	made := f.put("source", "k", []byte("x"))
	f.mustReplicate("k", made.VersionID)
	status := func(want ReplicationStatus) {
		t.Helper()
		info, err := f.store.Resolve(t.Context(), &GetInput{Bucket: "source", Key: "k", VersionID: made.VersionID})
		if err != nil || info.Replication != want {
			t.Errorf("status %q, %v; want %q", info.Replication, err, want)
		}
	}
	set := func(s ReplicationStatus) {
		t.Helper()
		b, _ := f.store.Bucket("source")
		written := []byte("x/note")
		err := f.store.SetReplicationStatus(t.Context(), f.grant, &GetInput{Bucket: "source", Key: "k", VersionID: made.VersionID}, b.ID, s,
			func(batch *engine.Batch) { batch.Set(written, []byte(s.String())) })
		if err != nil {
			t.Fatal(err)
		}
		if raw, _, err := f.meta.Get(t.Context(), written, nil); err != nil || string(raw) != s.String() {
			t.Errorf("beside it stands %q, %v", raw, err)
		}
	}
	set(ReplicationCompleted)
	status(ReplicationCompleted)
	if _, err := f.store.SetTags(t.Context(), f.grant, "s3:PutObjectTagging", &GetInput{Bucket: "source", Key: "k"}, []Tag{{"a", "b"}}); err != nil {
		t.Fatal(err)
	}
	status(ReplicationPending)
	if info := f.mustReplicate("k", made.VersionID); !slices.Equal(info.Tags, []Tag{{"a", "b"}}) {
		t.Errorf("replica's tags %v", info.Tags)
	}
	set(ReplicationFailed)
	status(ReplicationFailed)
}

// TestReplicasKeepWhatTheirSourceMayNotTake: tags stay where the role may not write them, and a lock that ended makes
// way for one that holds.
func TestReplicasKeepWhatTheirSourceMayNotTake(t *testing.T) {
	f := newFixture(t)
	f.pair()
	now := f.clocked()
	f.setting("copies", SettingObjectLock, `{}`)
	f.setting("source", SettingObjectLock, `{}`)
	put := &PutInput{Bucket: "source", Key: "k", Body: bytes.NewReader(nil), Lock: &Lock{Mode: Compliance, Until: now.now().Add(time.Hour)}}
	made, err := f.tryPut(put)
	if err != nil {
		t.Fatal(err)
	}
	f.mustReplicate("k", made.VersionID)
	mine := []Tag{{"held", "yes"}}
	if _, err := f.store.SetTags(t.Context(), f.grant, "s3:PutObjectTagging", &GetInput{Bucket: "copies", Key: "k"}, mine); err != nil {
		t.Fatal(err)
	}
	now.pass(2 * time.Hour)
	until := now.now().AddDate(1, 0, 0)
	if _, err := f.store.SetRetention(t.Context(), f.grant, &RetentionInput{GetInput: GetInput{Bucket: "source", Key: "k"}, Mode: Governance, Until: until}); err != nil {
		t.Fatal(err)
	}
	b, _ := f.store.Bucket("source")
	info, err := f.store.Replicate(t.Context(), f.grant, &ReplicaInput{
		Source: GetInput{Bucket: "source", Key: "k", VersionID: made.VersionID}, SourceID: b.ID, Bucket: "copies", WithoutTags: true,
		Own: func(*Info) (Owner, []byte) { return bob, nil },
	})
	if err != nil || !slices.Equal(info.Tags, mine) || info.Lock.Mode != Governance || !info.Lock.Until.Equal(until) {
		t.Errorf("%+v, %v", info, err)
	}
}

func TestReplicationNeedsItsGrants(t *testing.T) {
	f := newFixture(t)
	f.pair()
	made := f.put("source", "k", []byte("x"))
	in := &ReplicaInput{Source: GetInput{Bucket: "source", Key: "k", VersionID: made.VersionID}, Bucket: "copies", Own: func(*Info) (Owner, []byte) { return alice, nil }}
	for _, pairs := range [][]string{
		{"s3:PutObject", "arn:aws:s3:::copies/k", "s3:GetObjectVersion", "arn:aws:s3:::source/k"},
		{"s3:ReplicateObject", "arn:aws:s3:::copies/k"},
		{"s3:GetObjectVersionForReplication", "arn:aws:s3:::source/k"},
		{"s3:GetObjectVersionForReplication", "arn:aws:s3:::source/k", "s3:ReplicateObject", "arn:aws:s3:::source/k"},
	} {
		if _, err := f.store.Replicate(t.Context(), authztest.Grant(t, pairs...), in); err == nil {
			t.Errorf("%q suffices", pairs)
		}
	}
	if n := len(f.order("k")); n != 0 {
		t.Errorf("%d versions were made", n)
	}
	f.versioning("copies", VersioningSuspended)
	_, err := f.store.Replicate(t.Context(), f.grant, in)
	f.want(err, InvalidBucketState)
}

func TestRulesSelect(t *testing.T) {
	prefix := func(s string) *string { return &s }
	number := func(n int32) *int32 { return &n }
	to := func(bucket string) ReplicationDestination {
		return ReplicationDestination{Bucket: "arn:aws:s3:::" + bucket}
	}
	c := &Replication{Rules: []ReplicationRule{
		{ID: "low", Priority: number(1), Enabled: true, Filter: &ReplicationFilter{}, Destination: to("one")},
		{ID: "high", Priority: number(9), Enabled: true, Filter: &ReplicationFilter{Prefix: prefix("a/")}, DeleteMarkers: "Enabled", Destination: to("one")},
		{ID: "off", Priority: number(10), Filter: &ReplicationFilter{}, Destination: to("one")},
		{ID: "tagged", Priority: number(2), Enabled: true, Filter: &ReplicationFilter{And: &ReplicationAnd{Prefix: prefix("a/"), Tags: []Tag{{"k", "v"}, {"x", "y"}}}}, Destination: to("two")},
		{ID: "first form", Enabled: true, Prefix: prefix("v1/"), Destination: to("three")},
	}}
	for _, test := range []struct {
		info Info
		want []string
	}{
		{Info{Key: "b"}, []string{"low"}},
		{Info{Key: "a/b"}, []string{"high"}},
		{Info{Key: "a/b", Tags: []Tag{{"k", "v"}}}, []string{"high"}},
		{Info{Key: "a/b", Tags: []Tag{{"k", "v"}, {"x", "y"}, {"z", ""}}}, []string{"high", "tagged"}},
		{Info{Key: "a/b", DeleteMarker: true}, []string{"high"}},
		{Info{Key: "b", DeleteMarker: true}, nil},
		{Info{Key: "v1/b", DeleteMarker: true}, []string{"first form"}},
	} {
		var got []string
		for _, r := range c.For(&test.info) {
			got = append(got, r.ID)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%+v: %q, want %q", test.info, got, test.want)
		}
	}
}

// TestReplicasTakeTheDestinationsRetention: what comes unlocked into a bucket with a default retention has it,
// and later states of the source do not prolong it.
func TestReplicasTakeTheDestinationsRetention(t *testing.T) {
	f := newFixture(t)
	f.pair()
	now := f.clocked()
	f.setting("copies", SettingObjectLock, `{"Mode":2,"Days":30}`)
	made := f.put("source", "k", []byte("x"))
	first := f.mustReplicate("k", made.VersionID).Lock
	if first.Mode != Compliance || first.Until.Before(now.now().AddDate(0, 0, 30)) {
		t.Fatalf("replica's lock: %+v", first)
	}
	now.pass(time.Hour)
	if again := f.mustReplicate("k", made.VersionID).Lock; !again.Until.Equal(first.Until) {
		t.Errorf("prolonged: %+v, was %+v", again, first)
	}
	if _, err := f.store.Delete(t.Context(), f.grant, &DeleteInput{Bucket: "copies", Key: "k", VersionID: made.VersionID, BypassGovernance: true}); fault.Of(err) != Protected {
		t.Errorf("deleting the copy: %v", err)
	}
	f.setting("source", SettingObjectLock, `{}`)
	ended, err := f.tryPut(&PutInput{Bucket: "source", Key: "ended", Body: bytes.NewReader(nil), Lock: &Lock{Mode: Governance, Until: now.now().Add(time.Minute)}})
	if err != nil {
		t.Fatal(err)
	}
	now.pass(time.Hour)
	if lock := f.mustReplicate("ended", ended.VersionID).Lock; lock.Mode != Compliance {
		t.Errorf("what the source no longer locks: %+v", lock)
	}
}
