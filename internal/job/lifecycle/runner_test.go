package lifecycle

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/authz/authztest"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/engine/memory"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/keys"
	"github.com/kura-s3/kura/internal/object"
)

var alice = object.Owner{Account: "111122223333", Canonical: "aa11"}

// fixture is a store, a Runner on it, and the clock of both.
type fixture struct {
	t       *testing.T
	meta    engine.Meta
	objects *object.Store
	grant   authz.Grant
	runner  *Runner
	clock   atomic.Int64 // Unix nanoseconds; background work reads it, too
	did     map[string]int
	// What was told, and the versions that it was about, each in the order in which it came.
	told, versionIDs []string
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, meta: memory.NewMeta(), grant: authztest.Grant(t, "s3:*", "*"), did: map[string]int{}}
	f.set(noon)
	ring, err := keys.Open(t.Context(), f.meta, keys.NewKeyFile(filepath.Join(t.TempDir(), "root.key")))
	if err != nil {
		t.Fatal(err)
	}
	f.objects, err = object.Open(t.Context(), object.Config{
		Meta: f.meta, Blob: memory.NewBlob(), Keys: ring, Now: f.now, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.objects.Close(context.Background()) })
	f.restart()
	return f
}

func (f *fixture) now() time.Time { return time.Unix(0, f.clock.Load()).UTC() }

func (f *fixture) set(at time.Time) { f.clock.Store(at.UnixNano()) }

// restart forgets what the Runner has in memory.
func (f *fixture) restart() {
	f.runner = New(Options{
		Objects: f.objects, Meta: f.meta, Guard: authz.New(authz.Config{Recorder: authztest.Forget{}}),
		Now: f.now, Log: slog.New(slog.DiscardHandler),
		Count: func(what string, n int) { f.did[what] += n },
		Tell: func(b *object.Bucket, done *Done) {
			f.told = append(f.told, fmt.Sprintf("%s %s %s marked=%v size=%d class=%s", b.Name, done.What, done.Key, done.Marked, done.Size, done.Class))
			f.versionIDs = append(f.versionIDs, done.VersionID)
		},
	})
}

// wantTold asks for what was told since it was last asked, in any order, and gives the versions that it was about.
func (f *fixture) wantTold(what ...string) (versions []string) {
	f.t.Helper()
	slices.Sort(f.told)
	slices.Sort(what)
	if !slices.Equal(f.told, what) {
		f.t.Errorf("told %q, want %q", f.told, what)
	}
	versions, f.told, f.versionIDs = f.versionIDs, nil, nil
	return versions
}

func (f *fixture) bucket(name string, v object.Versioning, rules ...Rule) {
	f.t.Helper()
	_, err := f.objects.CreateBucket(f.t.Context(), f.grant, object.CreateBucketInput{Name: name, Owner: alice, Versioning: v})
	if err != nil {
		f.t.Fatal(err)
	}
	f.rules(name, rules...)
}

func (f *fixture) rules(name string, rules ...Rule) {
	f.t.Helper()
	for i := range rules {
		rules[i].ID, rules[i].Enabled = fmt.Sprint(i), true
	}
	raw, err := (&Config{Rules: rules}).Encode()
	if err != nil {
		f.t.Fatal(err)
	}
	_, err = f.objects.UpdateBucket(f.t.Context(), f.grant, "s3:PutLifecycleConfiguration", name, func(b *object.Bucket) error {
		b.Settings[Setting] = raw
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) put(bucket, key string) *object.Info {
	f.t.Helper()
	info, err := f.objects.Put(f.t.Context(), f.grant, &object.PutInput{Bucket: bucket, Key: key, Body: bytes.NewReader([]byte("x")), Size: 1})
	if err != nil {
		f.t.Fatal(err)
	}
	return info
}

func (f *fixture) delete(bucket, key string) {
	f.t.Helper()
	if _, err := f.objects.Delete(f.t.Context(), f.grant, &object.DeleteInput{Bucket: bucket, Key: key}); err != nil {
		f.t.Fatal(err)
	}
}

// versions are the versions in the bucket: key, and "*" behind delete markers.
func (f *fixture) versions(bucket string) (out []string) {
	f.t.Helper()
	page, err := f.objects.ListVersions(f.t.Context(), f.grant, &object.ListVersionsInput{Bucket: bucket, Max: 1000})
	if err != nil {
		f.t.Fatal(err)
	}
	for _, v := range page.Versions {
		name := v.Key
		if v.DeleteMarker {
			name += "*"
		}
		out = append(out, name)
	}
	return out
}

func (f *fixture) want(bucket string, versions ...string) {
	f.t.Helper()
	if got := f.versions(bucket); fmt.Sprint(got) != fmt.Sprint(versions) {
		f.t.Errorf("%s: %v, want %v", bucket, got, versions)
	}
}

func (f *fixture) days(n int) {
	f.set(f.now().AddDate(0, 0, n))
	f.runner.Once(f.t.Context())
}

func TestExpiry(t *testing.T) {
	f := newFixture(t)
	rule := Rule{Prefix: ptr("tmp/"), Expiration: &Expiration{Days: 1}}
	f.bucket("plain", object.Unversioned, rule)
	f.bucket("versions", object.VersioningEnabled, rule)
	f.bucket("quiet", object.Unversioned)
	for _, b := range []string{"plain", "versions", "quiet"} {
		f.put(b, "tmp/a")
		f.put(b, "keep")
	}
	f.days(1)
	f.want("plain", "keep", "tmp/a")
	f.days(1)
	f.want("plain", "keep")
	f.want("versions", "keep", "tmp/a*", "tmp/a")
	f.want("quiet", "keep", "tmp/a")
	if f.did["expired"] != 2 {
		t.Errorf("did %v", f.did)
	}
	f.days(1)
	f.want("versions", "keep", "tmp/a*", "tmp/a")
}

func TestNoncurrentVersionsAndMarkers(t *testing.T) {
	f := newFixture(t)
	f.bucket("bucket", object.VersioningEnabled, Rule{
		Filter: &Filter{}, Expiration: &Expiration{Markers: ptr(true)}, NoncurrentExpiration: &NoncurrentExpiration{Days: 1, Newer: 1},
	})
	for range 4 {
		f.put("bucket", "a")
	}
	f.put("bucket", "gone")
	f.put("bucket", "gone")
	f.delete("bucket", "gone")
	f.put("bucket", "short")
	f.delete("bucket", "short")
	f.days(2)
	// One older version is kept of each; "short" has no more than that.
	f.want("bucket", "a", "a", "gone*", "gone", "short*", "short")
	f.rules("bucket", Rule{Filter: &Filter{}, Expiration: &Expiration{Markers: ptr(true)}, NoncurrentExpiration: &NoncurrentExpiration{Days: 1}})
	f.runner.Once(t.Context())
	f.want("bucket", "a", "gone*", "short*")
	f.days(1)
	f.want("bucket", "a")
}

func TestRulesHoldAtOnce(t *testing.T) {
	f := newFixture(t)
	f.bucket("bucket", object.Unversioned, Rule{Prefix: ptr("x"), Expiration: &Expiration{Days: 1}})
	f.put("bucket", "a")
	f.days(5)
	f.want("bucket", "a")
	f.rules("bucket", Rule{Prefix: ptr("a"), Expiration: &Expiration{Days: 1}})
	f.runner.Once(t.Context())
	f.want("bucket")
}

// TestWhatMovedOnStays: a version is only taken while it is what the walk saw.
func TestWhatMovedOnStays(t *testing.T) {
	f := newFixture(t)
	f.bucket("bucket", object.Unversioned)
	seen := f.put("bucket", "a")
	f.set(f.now().Add(time.Millisecond))
	f.delete("bucket", "a")
	f.put("bucket", "a")
	_, err := f.objects.Delete(t.Context(), f.grant, &object.DeleteInput{Bucket: "bucket", Key: "a", Still: seen})
	if err == nil {
		t.Error("a new object went in place of the old one")
	}
	f.want("bucket", "a")
	f.bucket("versions", object.VersioningEnabled)
	seen = f.put("versions", "a")
	f.put("versions", "a")
	seen.Latest = false // as a walk sees it now
	in := &object.DeleteInput{Bucket: "versions", Key: "a", VersionID: seen.VersionID, Still: seen}
	if _, err := f.objects.Delete(t.Context(), f.grant, in); err != nil {
		t.Fatal(err)
	}
	if _, err := f.objects.Delete(t.Context(), f.grant, in); !fault.Is(err, object.MovedOn) {
		t.Errorf("a version that is gone was deleted again: %v", err)
	}
}

// TestWhatWasDoneIsTold, once each, and nothing else.
func TestWhatWasDoneIsTold(t *testing.T) {
	f := newFixture(t)
	expiry := Rule{Filter: &Filter{}, Expiration: &Expiration{Days: 1}, NoncurrentExpiration: &NoncurrentExpiration{Days: 1}}
	f.bucket("plain", object.Unversioned, expiry, Rule{Filter: &Filter{}, AbortDays: 1})
	f.put("plain", "a")
	if _, err := f.objects.CreateUpload(t.Context(), f.grant, &object.UploadInput{Bucket: "plain", Key: "up"}); err != nil {
		t.Fatal(err)
	}
	f.days(2)
	versions := f.wantTold("plain expired a marked=false size=1 class=", "plain aborted up marked=false size=0 class=")
	if !slices.Equal(versions, []string{"", ""}) {
		t.Errorf("versions %q", versions)
	}
	f.days(1)
	f.wantTold()

	f.bucket("versions", object.VersioningEnabled, expiry)
	put := f.put("versions", "a")
	f.days(2)
	versions = f.wantTold("versions expired a marked=true size=0 class=")
	if len(versions) == 1 && (versions[0] == "" || versions[0] == put.VersionID) {
		t.Errorf("the marker is %q", versions[0])
	}
	marker := versions
	f.days(2)
	if versions = f.wantTold("versions removed a marked=false size=1 class="); !slices.Equal(versions, []string{put.VersionID}) {
		t.Errorf("the version is %q, not %q", versions, put.VersionID)
	}
	f.days(2)
	if versions = f.wantTold("versions removed a marked=false size=0 class="); !slices.Equal(versions, marker) {
		t.Errorf("the marker is %q, not %q", versions, marker)
	}

	for name, versioning := range map[string]object.Versioning{"cold": object.Unversioned, "old": object.VersioningEnabled} {
		f.bucket(name, versioning, Rule{Filter: &Filter{Greater: ptr(int64(0))}, Transitions: []Transition{{Days: ptr(1), Class: "GLACIER"}}})
		put = f.put(name, "a")
		f.days(2)
		id := ""
		if versioning == object.VersioningEnabled {
			id = put.VersionID
		}
		if versions = f.wantTold(name + " transitioned a marked=false size=1 class=GLACIER"); !slices.Equal(versions, []string{id}) {
			t.Errorf("%s: the version is %q, not %q", name, versions, id)
		}
	}
}

// TestWhatCameBackStays: what is decided about an older version is not done to the current one, nor what is decided
// about tags to a version that has others.
func TestWhatCameBackStays(t *testing.T) {
	f := newFixture(t)
	f.bucket("bucket", object.VersioningEnabled)
	tag := func(value string) {
		t.Helper()
		_, err := f.objects.SetTags(t.Context(), f.grant, "s3:PutObjectTagging", &object.GetInput{Bucket: "bucket", Key: "a"}, []object.Tag{{Key: "keep", Value: value}})
		if err != nil {
			t.Fatal(err)
		}
	}
	see := func() []object.Info {
		t.Helper()
		page, err := f.objects.ListVersions(t.Context(), f.grant, &object.ListVersionsInput{Bucket: "bucket", Max: 10, Whole: true})
		if err != nil {
			t.Fatal(err)
		}
		return page.Versions
	}
	remove := func(in object.DeleteInput) fault.Kind {
		in.Bucket, in.Key = "bucket", "a"
		_, err := f.objects.Delete(t.Context(), f.grant, &in)
		return fault.Of(err)
	}
	f.put("bucket", "a")
	tag("no")
	seen := see()[0]
	tag("yes")
	if got := remove(object.DeleteInput{Still: &seen}); got != object.MovedOn {
		t.Errorf("hiding what has other tags now: %q", got)
	}
	f.delete("bucket", "a")
	marker, older := see()[0], see()[1]
	if got := remove(object.DeleteInput{VersionID: marker.VersionID, Still: &marker}); got != object.MovedOn {
		t.Errorf("removing a marker that hides something: %q", got)
	}
	if got := remove(object.DeleteInput{VersionID: marker.VersionID}); got != "" {
		t.Fatal(got)
	}
	if got := remove(object.DeleteInput{VersionID: older.VersionID, Still: &older}); got != object.MovedOn {
		t.Errorf("removing what came back: %q", got)
	}
	if err := f.objects.SetStorageClass(t.Context(), f.grant, &older, "GLACIER"); fault.Of(err) != object.MovedOn {
		t.Errorf("archiving what came back: %v", err)
	}
	f.want("bucket", "a")
}

// TestWhatIsNotReplicatedYetStays: an older version that still has to be copied, or could not be, is all that
// there is of it. Without a rule it goes.
func TestWhatIsNotReplicatedYetStays(t *testing.T) {
	f := newFixture(t)
	f.bucket("bucket", object.VersioningEnabled, Rule{Filter: &Filter{}, NoncurrentExpiration: &NoncurrentExpiration{Days: 1}})
	replicates := func(prefix string) {
		t.Helper()
		_, err := f.objects.UpdateBucket(t.Context(), f.grant, "s3:PutReplicationConfiguration", "bucket", func(b *object.Bucket) error {
			b.Settings[object.SettingReplication] = []byte(`{"Format":1,"Role":"r","Rules":[{"ID":"r","Enabled":true,"Filter":{"Prefix":"` + prefix + `"},"Destination":{"Bucket":"arn:aws:s3:::copies"}}]}`)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	replicates("")
	old := f.put("bucket", "a")
	f.put("bucket", "a")
	f.put("bucket", "b")
	copied := f.put("bucket", "b")
	f.put("bucket", "b")
	b, err := f.objects.Bucket("bucket")
	if err != nil {
		t.Fatal(err)
	}
	becomes := func(v *object.Info, s object.ReplicationStatus) {
		t.Helper()
		in := &object.GetInput{Bucket: "bucket", Key: v.Key, VersionID: v.VersionID}
		if err := f.objects.SetReplicationStatus(t.Context(), f.grant, in, b.ID, s, func(*engine.Batch) {}); err != nil {
			t.Fatal(err)
		}
	}
	becomes(copied, object.ReplicationCompleted)
	f.days(2)
	f.want("bucket", "a", "a", "b", "b")
	becomes(old, object.ReplicationFailed)
	f.days(1)
	f.want("bucket", "a", "a", "b", "b")
	if f.did["kept"] != 4 || f.did["removed"] != 1 {
		t.Errorf("did %v", f.did)
	}
	replicates("elsewhere/")
	f.days(1)
	f.want("bucket", "a", "b")
}

func TestLockedVersionsStay(t *testing.T) {
	f := newFixture(t)
	_, err := f.objects.CreateBucket(t.Context(), f.grant, object.CreateBucketInput{
		Name: "bucket", Owner: alice, Versioning: object.VersioningEnabled, Settings: map[string][]byte{object.SettingObjectLock: []byte(`{"Mode":1,"Days":10}`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	f.rules("bucket", Rule{Filter: &Filter{}, Expiration: &Expiration{Days: 1}, NoncurrentExpiration: &NoncurrentExpiration{Days: 1}})
	f.put("bucket", "a")
	f.put("bucket", "a")
	f.days(5)
	f.want("bucket", "a*", "a", "a")
	if f.did["kept"] != 1 || f.did["expired"] != 1 {
		t.Errorf("did %v", f.did)
	}
	f.wantTold("bucket expired a marked=true size=0 class=")
	f.days(6)
	f.want("bucket", "a*")
	f.days(1)
	f.want("bucket")
}

func TestAbandonedUploads(t *testing.T) {
	f := newFixture(t)
	f.bucket("bucket", object.Unversioned, Rule{Prefix: ptr("in/"), AbortDays: 2})
	for _, key := range []string{"in/a", "other"} {
		if _, err := f.objects.CreateUpload(t.Context(), f.grant, &object.UploadInput{Bucket: "bucket", Key: key}); err != nil {
			t.Fatal(err)
		}
	}
	left := func() int {
		page, err := f.objects.ListUploads(t.Context(), f.grant, &object.ListUploadsInput{Bucket: "bucket", Max: 10})
		if err != nil {
			t.Fatal(err)
		}
		return len(page.Uploads)
	}
	f.days(2)
	if left() != 2 {
		t.Fatal("too early")
	}
	f.days(1)
	if left() != 1 || f.did["aborted"] != 1 {
		t.Errorf("%d left, did %v", left(), f.did)
	}
}

func TestTransitions(t *testing.T) {
	f := newFixture(t)
	f.bucket("bucket", object.VersioningEnabled, Rule{
		Filter: &Filter{Greater: ptr(int64(0))}, Transitions: []Transition{{Days: ptr(1), Class: "GLACIER"}},
		NoncurrentTransitions: []NoncurrentTransition{{Days: 2, Class: "DEEP_ARCHIVE"}},
	})
	old := f.put("bucket", "a")
	f.put("bucket", "a")
	f.days(2)
	class := func(version string) string {
		o, err := f.objects.Stat(t.Context(), f.grant, &object.GetInput{Bucket: "bucket", Key: "a", VersionID: version})
		if err != nil {
			t.Fatal(err)
		}
		return o.Attributes.StorageClass
	}
	if class("") != "GLACIER" || class(old.VersionID) != "" {
		t.Errorf("current %q, older %q", class(""), class(old.VersionID))
	}
	f.days(1)
	if class(old.VersionID) != "DEEP_ARCHIVE" {
		t.Errorf("older %q", class(old.VersionID))
	}
	in := &object.GetInput{Bucket: "bucket", Key: "a"}
	if _, err := f.objects.Get(t.Context(), f.grant, in); err == nil {
		t.Error("an archived object was read")
	}
	if _, again, err := f.objects.Restore(t.Context(), f.grant, in, f.now().Add(time.Hour)); err != nil || again {
		t.Fatal(again, err)
	}
	o, err := f.objects.Get(t.Context(), f.grant, in)
	if err != nil {
		t.Fatal(err)
	}
	o.Body.Close()
	if _, again, err := f.objects.Restore(t.Context(), f.grant, in, f.now().Add(2*time.Hour)); err != nil || !again {
		t.Fatal(again, err)
	}
	f.set(f.now().Add(2 * time.Hour))
	if _, err := f.objects.Get(t.Context(), f.grant, in); err == nil {
		t.Error("an archived object was read after its restore ended")
	}
}

// TestInterrupted: a walk that was broken off goes on behind what is settled, and each version is
// decided upon with its neighbours, wherever the slices are cut.
func TestInterrupted(t *testing.T) {
	f := newFixture(t)
	f.bucket("bucket", object.VersioningEnabled, Rule{Filter: &Filter{}, NoncurrentExpiration: &NoncurrentExpiration{Days: 1, Newer: 1}})
	const keys = 900
	for i := range keys {
		for range 3 {
			f.put("bucket", fmt.Sprintf("k%03d", i))
		}
	}
	f.set(f.now().AddDate(0, 0, 2))
	ctx, cancel := context.WithCancel(t.Context())
	f.runner.options.Count = func(what string, n int) {
		if f.did[what] += n; f.did[what] == 300 {
			cancel() // within the first slice
		}
	}
	f.runner.Once(ctx)
	if n := f.did["removed"]; n < 300 || n >= keys {
		t.Fatalf("the walk was not broken off: %v", f.did)
	}
	f.restart()
	f.runner.Once(t.Context())
	if f.did["removed"] != keys {
		t.Errorf("did %v", f.did)
	}
	before := f.did["removed"]
	f.restart()
	f.runner.Once(t.Context())
	if f.did["removed"] != before {
		t.Error("a finished walk was made again")
	}
}

func TestBucketGoesMeanwhile(t *testing.T) {
	f := newFixture(t)
	f.bucket("bucket", object.Unversioned, Rule{Filter: &Filter{}, Expiration: &Expiration{Days: 1}})
	f.days(1)
	if err := f.objects.DeleteBucket(t.Context(), f.grant, "bucket"); err != nil {
		t.Fatal(err)
	}
	f.days(1)
	if _, version, err := f.meta.Get(t.Context(), progressKey(1), nil); err != nil || version != 0 {
		t.Errorf("the walk of a deleted bucket is kept: %d, %v", version, err)
	}
}

func TestSweep(t *testing.T) {
	f := newFixture(t)
	f.bucket("bucket", object.Unversioned, Rule{Filter: &Filter{}, Expiration: &Expiration{Days: 1}})
	f.bucket("another", object.Unversioned, Rule{Filter: &Filter{}, Expiration: &Expiration{Days: 1}})
	f.days(1)
	if err := f.objects.DeleteBucket(t.Context(), f.grant, "bucket"); err != nil {
		t.Fatal(err)
	}
	f.restart()
	if err := f.runner.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[uint64]bool{1: false, 2: true} {
		if _, version, err := f.meta.Get(t.Context(), progressKey(id), nil); err != nil || (version != 0) != want {
			t.Errorf("bucket %d: %d, %v", id, version, err)
		}
	}
}
