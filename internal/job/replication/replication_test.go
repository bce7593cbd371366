package replication

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/authz/authztest"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/engine/memory"
	"github.com/kura-s3/kura/internal/feed"
	"github.com/kura-s3/kura/internal/keys"
	"github.com/kura-s3/kura/internal/object"
	"github.com/kura-s3/kura/internal/pace"
)

var owner = object.Owner{Account: "111122223333", Canonical: "aa11"}

// bench is a store and what replicates it. Copies are made by the store itself unless fail says otherwise.
type bench struct {
	t       *testing.T
	meta    engine.Meta
	blob    engine.Blob
	ring    *keys.Ring
	feed    *feed.Feed
	objects *object.Store
	grant   authz.Grant
	config  Config
	r       *Replicator
	stop    func()

	mu     sync.Mutex
	copied []string // "bucket key version", in order
	fail   func(c Copy) error
}

func newBench(t *testing.T) *bench {
	t.Helper()
	return newBenchOn(t, memory.NewMeta(), memory.NewBlob())
}

func newBenchOn(t *testing.T, meta engine.Meta, blob engine.Blob) *bench {
	t.Helper()
	b := &bench{t: t, meta: meta, blob: blob, grant: authztest.Grant(t, "s3:*", "*")}
	var err error
	if b.ring, err = keys.Open(t.Context(), b.meta, keys.NewKeyFile(filepath.Join(t.TempDir(), "root.key"))); err != nil {
		t.Fatal(err)
	}
	b.open()
	for _, name := range []string{"source", "one", "two"} {
		if _, err := b.objects.CreateBucket(t.Context(), b.grant, object.CreateBucketInput{Name: name, Owner: owner, Versioning: object.VersioningEnabled}); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// open opens the store anew, as after a crash of its process.
func (b *bench) open() {
	b.t.Helper()
	log := slog.New(slog.DiscardHandler)
	var err error
	if b.feed, err = feed.Open(b.t.Context(), b.meta, Consumer); err != nil {
		b.t.Fatal(err)
	}
	if b.objects, err = object.Open(b.t.Context(), object.Config{Meta: b.meta, Blob: b.blob, Keys: b.ring, Feed: b.feed, Log: log}); err != nil {
		b.t.Fatal(err)
	}
	objects := b.objects
	b.t.Cleanup(func() { _ = objects.Close(context.Background()) })
	b.config = Config{
		Meta: b.meta, Feed: b.feed, Objects: b.objects, Guard: authz.New(authz.Config{Recorder: authztest.Forget{}}), Log: log,
		Assume: func(context.Context, string, *object.Bucket) (*authz.Subject, error) { return &authz.Subject{}, nil },
		Open: func(ctx context.Context, _ *authz.Subject, c Copy) (*object.Info, io.ReadCloser, error) {
			o, err := b.objects.OpenSource(ctx, b.grant, &c.Source)
			if err != nil {
				return nil, nil, err
			}
			if o.Body == nil {
				return &o.Info, io.NopCloser(bytes.NewReader(nil)), nil
			}
			return &o.Info, o.Body, nil
		},
		Replicate: b.replicate,
		Retry:     5 * time.Millisecond, RetryMax: 40 * time.Millisecond,
	}
}

func (b *bench) replicate(ctx context.Context, _ *authz.Subject, c Copy) error {
	if b.fail != nil {
		if err := b.fail(c); err != nil {
			return err
		}
	}
	_, err := b.objects.Replicate(ctx, b.grant, &object.ReplicaInput{
		Source: c.Source, SourceID: c.SourceID, Bucket: c.Rule.Destination.BucketName(),
		Own: func(*object.Info) (object.Owner, []byte) { return owner, nil },
	})
	if absent(err) {
		return &Refusal{Reason: err.Error(), Gone: true}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.copied = append(b.copied, c.Rule.Destination.BucketName()+" "+c.Source.Key+" "+c.Source.VersionID)
	return err
}

func (b *bench) start() {
	b.t.Helper()
	var err error
	if b.r, err = New(b.t.Context(), b.config); err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); b.r.Run(ctx) }()
	b.stop = sync.OnceFunc(func() { cancel(); <-done })
	b.t.Cleanup(b.stop)
}

func (b *bench) rules(text string) {
	b.t.Helper()
	raw := `{"Format":1,"Role":"arn:aws:iam::111122223333:role/r","Rules":[` + text + `]}`
	_, err := b.objects.UpdateBucket(b.t.Context(), b.grant, "s3:PutReplicationConfiguration", "source", func(bucket *object.Bucket) error {
		bucket.Settings[object.SettingReplication] = []byte(raw)
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// rule copies everything with a prefix, delete markers too.
func rule(id, prefix, to, more string) string {
	return fmt.Sprintf(`{"ID":%q,"Priority":1,"Enabled":true,"Filter":{"Prefix":%q},"DeleteMarkers":"Enabled"%s,"Destination":{"Bucket":"arn:aws:s3:::%s"}}`, id, prefix, more, to)
}

func (b *bench) put(key, data string) string {
	b.t.Helper()
	info, err := b.objects.Put(b.t.Context(), b.grant, &object.PutInput{Bucket: "source", Key: key, Body: bytes.NewReader([]byte(data)), Size: int64(len(data)), Owner: owner})
	if err != nil {
		b.t.Fatal(err)
	}
	return info.VersionID
}

func (b *bench) status(key, version string) object.ReplicationStatus {
	b.t.Helper()
	info, err := b.objects.Source(b.t.Context(), b.grant, &object.GetInput{Bucket: "source", Key: key, VersionID: version})
	if err != nil {
		b.t.Fatal(err)
	}
	return info.Replication
}

// eventually waits for a condition.
func (b *bench) eventually(what string, ok func() bool) {
	b.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			b.t.Fatalf("never: %s; %+v", what, b.r.Stats())
		}
	}
}

func (b *bench) wantStatus(key, version string, want object.ReplicationStatus) {
	b.t.Helper()
	b.eventually(key+" "+want.String(), func() bool { return b.status(key, version) == want })
}

// rows counts the records under a prefix.
func (b *bench) rows(prefix string) (n int) {
	b.t.Helper()
	it, err := b.meta.Scan(b.t.Context(), []byte(prefix), engine.PrefixEnd([]byte(prefix)))
	if err != nil {
		b.t.Fatal(err)
	}
	defer it.Close()
	for it.Next() {
		n++
	}
	return n
}

// wantDone waits until nothing is left to do.
func (b *bench) wantDone() {
	b.t.Helper()
	b.eventually("done", func() bool { return b.rows("r/") == 0 && b.feed.Behind(Consumer) == 0 })
	b.eventually("counted", func() bool { s := b.r.Stats(); return s.Pending == 0 && s.PendingBytes == 0 })
}

func (b *bench) versions(bucket, key string) (ids []string) {
	b.t.Helper()
	page, err := b.objects.ListVersions(b.t.Context(), b.grant, &object.ListVersionsInput{Bucket: bucket, Prefix: key, Max: 1000})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, v := range page.Versions {
		if v.Key == key || key == "" || strings.HasSuffix(key, "/") {
			ids = append(ids, v.VersionID)
		}
	}
	return ids
}

func TestVersionsReplicateInTheirOrder(t *testing.T) {
	b := newBench(t)
	b.rules(rule("all", "", "one", ""))
	b.start()
	var want []string
	for i := range 200 {
		id := b.put(fmt.Sprintf("k%d", i%5), fmt.Sprint(i))
		want = append(want, fmt.Sprintf("one k%d %s", i%5, id))
	}
	b.wantDone()
	for i := range 5 {
		key := fmt.Sprintf("k%d", i)
		of := func(all []string) (out []string) {
			for _, s := range all {
				if bytes.Contains([]byte(s), []byte(" "+key+" ")) {
					out = append(out, s)
				}
			}
			return out
		}
		if got := of(b.copied); !slices.Equal(got, of(want)) {
			t.Errorf("%s: %q", key, got)
		}
		if !slices.Equal(b.versions("one", key), b.versions("source", key)) {
			t.Errorf("%s: the versions differ", key)
		}
	}
	if s := b.r.Stats(); s.Replicated != 200 || s.Failed != 0 {
		t.Errorf("%+v", s)
	}
}

func TestARefusedVersionShowsAndComesLater(t *testing.T) {
	b := newBench(t)
	b.rules(rule("all", "", "one", ""))
	open := make(chan struct{})
	b.fail = func(c Copy) error {
		select {
		case <-open:
			return nil
		default:
		}
		if c.Source.Key == "refused" {
			return &Refusal{Reason: "AccessDenied"}
		}
		return nil
	}
	b.start()
	first, second := b.put("refused", "1"), b.put("refused", "2")
	other := b.put("other", "x")
	b.wantStatus("other", other, object.ReplicationCompleted) // nobody waits for another key
	b.wantStatus("refused", first, object.ReplicationFailed)
	close(open)
	b.wantStatus("refused", first, object.ReplicationCompleted)
	b.wantStatus("refused", second, object.ReplicationCompleted)
	b.wantDone()
	at := func(id string) int {
		return slices.IndexFunc(b.copied, func(s string) bool { return s == "one refused "+id })
	}
	if at(first) > at(second) {
		t.Errorf("the second overtook the first: %q", b.copied)
	}
}

// TestARefusalIsNoReasonToHurry: a destination that refuses for hours gives background work no more turns; a queue
// that gets none does.
func TestARefusalIsNoReasonToHurry(t *testing.T) {
	b := newBench(t)
	b.rules(rule("all", "", "one", ""))
	b.fail = func(Copy) error { return &Refusal{Reason: "AccessDenied"} }
	b.start()
	b.wantStatus("k", b.put("k", "x"), object.ReplicationFailed)
	b.stop()
	later := time.Now().Add(6 * time.Hour)
	b.r.config.Now = func() time.Time { return later }
	b.r.config.Pace = pace.New(pace.Config{Widest: 8, Congestion: func() func() time.Duration { return func() time.Duration { return time.Hour } }})
	d := newDispatcher(b.r)
	if err := d.begin(t.Context()); err != nil || len(d.parked) != 1 {
		t.Fatalf("%v, %v", d.parked, err)
	}
	for until, want := range map[time.Time]float64{later.Add(time.Minute): .1, later: .1, later.Add(-5 * time.Hour): 8} {
		for l := range d.parked {
			d.parked[l] = until
		}
		if err := d.age(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := b.r.turn(t.Context(), func(context.Context) error {
			b.eventually(fmt.Sprintf("the width of %v, parked until %v", want, until.Sub(later)), func() bool {
				got := b.r.config.Pace.Stats().Width
				return got <= 1.5*want && got >= want
			})
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if s := b.r.Stats(); s.Oldest < 5*time.Hour {
		t.Errorf("%+v", s)
	}
}

func TestWhatNeverComesIsGivenUp(t *testing.T) {
	b := newBench(t)
	b.rules(rule("all", "", "one", ""))
	b.config.GiveUp = 50 * time.Millisecond
	b.fail = func(Copy) error { return errors.New("unreachable") }
	b.start()
	id := b.put("k", "x")
	b.wantStatus("k", id, object.ReplicationFailed)
	b.wantDone()
}

func TestSeveralDestinations(t *testing.T) {
	b := newBench(t)
	b.rules(rule("a", "", "one", "") + "," + rule("b", "", "two", ""))
	var opened sync.Once
	open := make(chan struct{})
	b.fail = func(c Copy) error {
		if c.Rule.ID == "b" {
			select {
			case <-open:
			default:
				return errors.New("not yet")
			}
		}
		return nil
	}
	b.start()
	id := b.put("k", "x")
	b.eventually("the first copy", func() bool { return len(b.versions("one", "k")) == 1 })
	if got := b.status("k", id); got != object.ReplicationPending {
		t.Errorf("with one of two: %s", got)
	}
	opened.Do(func() { close(open) })
	b.wantStatus("k", id, object.ReplicationCompleted)
	b.wantDone()
	if len(b.versions("two", "k")) != 1 {
		t.Error("no copy in the second")
	}
}

func TestNothingIsLostInACrash(t *testing.T) {
	b := newBench(t)
	b.rules(rule("all", "", "one", ""))
	ids := map[string]string{}
	calls := 0
	for round := range 6 {
		b.fail = func(Copy) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			if calls++; calls%7 == 0 {
				return errors.New("a hiccup")
			}
			return nil
		}
		b.start()
		for i := range 40 {
			key := fmt.Sprintf("k%d-%d", round, i)
			ids[key] = b.put(key, "x")
		}
		b.stop()
		b.open()
	}
	b.start()
	b.wantDone()
	for key, id := range ids {
		if got := b.versions("one", key); len(got) != 1 || got[0] != id {
			t.Errorf("%s: %q, want %s", key, got, id)
		}
		if got := b.status(key, id); got != object.ReplicationCompleted {
			t.Errorf("%s: %s", key, got)
		}
	}
}

func TestExistingObjectsReplicateWhenAskedFor(t *testing.T) {
	b := newBench(t)
	b.start()
	var ids []string
	for i := range 3 * walkPage / 2 {
		ids = append(ids, b.put(fmt.Sprintf("old/%04d", i), "x"))
	}
	b.put("elsewhere", "x")
	if _, err := b.objects.Delete(t.Context(), b.grant, &object.DeleteInput{Bucket: "source", Key: "old/0000"}); err != nil {
		t.Fatal(err)
	}
	b.rules(rule("new", "old/", "one", ""))
	b.wantDone()
	if n := len(b.versions("one", "")); n != 0 {
		t.Fatalf("%d versions came unasked", n)
	}
	b.rules(rule("new", "old/", "one", `,"ExistingObjects":"Enabled"`))
	b.eventually("copies", func() bool { return len(b.versions("one", "old/")) == len(ids)+1 })
	b.wantDone()
	b.wantStatus("old/0001", ids[1], object.ReplicationCompleted)
	if n := len(b.versions("one", "elsewhere")); n != 0 {
		t.Error("the rule's prefix was ignored")
	}
}

func TestReplicasDoNotGoRound(t *testing.T) {
	b := newBench(t)
	b.rules(rule("there", "", "one", `,"ReplicaModifications":"Enabled"`))
	_, err := b.objects.UpdateBucket(t.Context(), b.grant, "s3:PutReplicationConfiguration", "one", func(bucket *object.Bucket) error {
		bucket.Settings[object.SettingReplication] = []byte(`{"Format":1,"Role":"r","Rules":[` + rule("back", "", "source", `,"ReplicaModifications":"Enabled"`) + `]}`)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	b.start()
	id := b.put("k", "x")
	b.wantStatus("k", id, object.ReplicationCompleted)
	b.wantDone()
	// Tags that the replica gets go back to the original, and no further.
	tags := []object.Tag{{Key: "a", Value: "b"}}
	if _, err := b.objects.SetTags(t.Context(), b.grant, "s3:PutObjectTagging", &object.GetInput{Bucket: "one", Key: "k"}, tags); err != nil {
		t.Fatal(err)
	}
	b.eventually("the tags of the original", func() bool {
		info, err := b.objects.Source(t.Context(), b.grant, &object.GetInput{Bucket: "source", Key: "k", VersionID: id})
		return err == nil && slices.Equal(info.Tags, tags)
	})
	b.wantDone()
	time.Sleep(20 * time.Millisecond)
	if n := b.r.Stats().Replicated; n != 2 {
		t.Errorf("%d copies were made", n)
	}
	if got := b.status("k", id); got != object.ReplicationCompleted {
		t.Errorf("the original is %s", got)
	}
}

// there is an endpoint that remembers what it is told.
type there struct {
	mu   sync.Mutex
	told []string
}

func (e *there) note(format string, args ...any) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.told = append(e.told, fmt.Sprintf(format, args...))
	return nil
}

func (e *there) Put(_ context.Context, _ *object.ReplicationDestination, info *object.Info, body io.Reader) error {
	data, err := io.ReadAll(body)
	return errors.Join(err, e.note("put %s %s", info.Key, data))
}

func (e *there) Tag(_ context.Context, _ *object.ReplicationDestination, key string, tags []object.Tag) error {
	return e.note("tag %s %v", key, tags)
}

func (e *there) Delete(_ context.Context, _ *object.ReplicationDestination, key string) error {
	return e.note("delete %s", key)
}

func TestADestinationElsewhere(t *testing.T) {
	b := newBench(t)
	b.rules(rule("away", "", "far-away", ""))
	far := &there{}
	b.config.Elsewhere = func(bucket, account string) Elsewhere {
		if bucket != "far-away" || account != owner.Account {
			t.Errorf("asked for %s of %s", bucket, account)
		}
		return far
	}
	b.start()
	id := b.put("k", "one")
	b.wantStatus("k", id, object.ReplicationCompleted)
	if _, err := b.objects.SetTags(t.Context(), b.grant, "s3:PutObjectTagging", &object.GetInput{Bucket: "source", Key: "k"}, []object.Tag{{Key: "a", Value: "b"}}); err != nil {
		t.Fatal(err)
	}
	b.wantDone()
	if _, err := b.objects.Delete(t.Context(), b.grant, &object.DeleteInput{Bucket: "source", Key: "k"}); err != nil {
		t.Fatal(err)
	}
	b.wantDone()
	if _, err := b.objects.Delete(t.Context(), b.grant, &object.DeleteInput{Bucket: "source", Key: "k", VersionID: id}); err != nil {
		t.Fatal(err)
	}
	b.wantDone()
	if want := []string{"put k one", "tag k [{a b}]", "delete k"}; !slices.Equal(far.told, want) {
		t.Errorf("told %q, want %q", far.told, want)
	}
}

// TestExistingVersionsGoElsewhereOnlyWhereCurrent: what comes last is current there, so older versions and markers
// stay away.
func TestExistingVersionsGoElsewhereOnlyWhereCurrent(t *testing.T) {
	b := newBench(t)
	far := &there{}
	b.config.Elsewhere = func(string, string) Elsewhere { return far }
	b.start()
	hide := func(key string) {
		t.Helper()
		if _, err := b.objects.Delete(t.Context(), b.grant, &object.DeleteInput{Bucket: "source", Key: key}); err != nil {
			t.Fatal(err)
		}
	}
	old := b.put("back", "1")
	hide("back")
	current := b.put("back", "2")
	b.put("gone", "x")
	hide("gone")
	b.rules(rule("away", "", "far-away", `,"ExistingObjects":"Enabled"`))
	b.wantStatus("back", current, object.ReplicationCompleted)
	b.wantDone()
	if want := []string{"delete gone", "put back 2"}; !slices.Equal(slices.Sorted(slices.Values(far.told)), want) {
		t.Errorf("told %q, want %q", far.told, want)
	}
	if got := b.status("back", old); got != object.NotReplicated {
		t.Errorf("the older version is %s", got)
	}
}

// TestWhatCameTooLateForElsewhere: a version that was overwritten while its task waited hides nothing.
func TestWhatCameTooLateForElsewhere(t *testing.T) {
	b := newBench(t)
	b.rules(rule("away", "", "far-away", ""))
	far := &there{}
	b.config.Elsewhere = func(string, string) Elsewhere { return far }
	b.config.GiveUp = time.Nanosecond
	open := b.config.Open
	var refuse atomic.Bool
	b.config.Open = func(ctx context.Context, as *authz.Subject, c Copy) (*object.Info, io.ReadCloser, error) {
		if refuse.Load() {
			return nil, nil, &Refusal{Reason: "AccessDenied"}
		}
		return open(ctx, as, c)
	}
	refuse.Store(true)
	b.start()
	ids := map[string]string{"a": b.put("a", "1"), "b": b.put("b", "1")}
	for key, id := range ids {
		b.wantStatus(key, id, object.ReplicationFailed)
	}
	b.wantDone()
	refuse.Store(false)
	b.wantStatus("a", b.put("a", "2"), object.ReplicationCompleted)
	for key, id := range ids { // a change of what failed sends it whole, if it is still current
		in := &object.GetInput{Bucket: "source", Key: key, VersionID: id}
		if _, err := b.objects.SetTags(t.Context(), b.grant, "s3:PutObjectVersionTagging", in, []object.Tag{{Key: "t", Value: "v"}}); err != nil {
			t.Fatal(err)
		}
	}
	b.wantStatus("b", ids["b"], object.ReplicationCompleted)
	b.wantStatus("a", ids["a"], object.ReplicationFailed)
	b.wantDone()
	if want := []string{"put a 2", "put b 1"}; !slices.Equal(far.told, want) {
		t.Errorf("told %q, want %q", far.told, want)
	}
}

// TestARuleUnderAnotherNameTakesOver: who puts the configuration anew, its rules named otherwise, loses nothing that was
// under way.
func TestARuleUnderAnotherNameTakesOver(t *testing.T) {
	b := newBench(t)
	b.rules(rule("first", "", "one", ""))
	b.fail = func(c Copy) error {
		if c.Rule.ID == "first" {
			return errors.New("unreachable")
		}
		return nil
	}
	b.start()
	id := b.put("k", "x")
	b.eventually("a try", func() bool { return b.r.Stats().Failed > 0 })
	b.rules(rule("second", "", "one", ""))
	b.wantStatus("k", id, object.ReplicationCompleted)
	b.wantDone()
}

func TestATaskWithoutARuleSettles(t *testing.T) {
	b := newBench(t)
	b.rules(rule("all", "", "one", ""))
	id := b.put("k", "x")
	_, err := b.objects.UpdateBucket(t.Context(), b.grant, "s3:PutReplicationConfiguration", "source", func(bucket *object.Bucket) error {
		delete(bucket.Settings, object.SettingReplication)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	b.start()
	b.wantStatus("k", id, object.ReplicationFailed)
	b.wantDone()
}

// TestATargetsNameCannotBeTaken: a bucket that somebody makes under the name of a target elsewhere does not
// get what is meant for it.
func TestATargetsNameCannotBeTaken(t *testing.T) {
	b := newBench(t)
	b.rules(rule("away", "", "one", ""))
	far := &there{}
	b.config.Elsewhere = func(string, string) Elsewhere { return far }
	b.start()
	id := b.put("k", "secret")
	b.wantStatus("k", id, object.ReplicationCompleted)
	b.wantDone()
	if want := []string{"put k secret"}; !slices.Equal(far.told, want) || len(b.copied) > 0 {
		t.Errorf("told %q, copied %q", far.told, b.copied)
	}
}

// TestChangesOfReplicasGoBackByTheirRule: a rule with a prefix is about no other key.
func TestChangesOfReplicasGoBackByTheirRule(t *testing.T) {
	b := newBench(t)
	b.rules(rule("there", "", "one", ""))
	_, err := b.objects.UpdateBucket(t.Context(), b.grant, "s3:PutReplicationConfiguration", "one", func(bucket *object.Bucket) error {
		bucket.Settings[object.SettingReplication] = []byte(`{"Format":1,"Role":"r","Rules":[` + rule("some", "public/", "two", `,"ReplicaModifications":"Enabled"`) + `]}`)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	b.start()
	for _, key := range []string{"private/k", "public/k"} { // the second says that the first was looked at
		id := b.put(key, "x")
		b.wantStatus(key, id, object.ReplicationCompleted)
		tags := []object.Tag{{Key: "a", Value: "b"}}
		if _, err := b.objects.SetTags(t.Context(), b.grant, "s3:PutObjectTagging", &object.GetInput{Bucket: "one", Key: key}, tags); err != nil {
			t.Fatal(err)
		}
	}
	b.eventually("the replica of public/k", func() bool {
		_, err := b.objects.Source(t.Context(), b.grant, &object.GetInput{Bucket: "two", Key: "public/k"})
		return err == nil
	})
	b.wantDone()
	if _, err := b.objects.Source(t.Context(), b.grant, &object.GetInput{Bucket: "two", Key: "private/k"}); !absent(err) {
		t.Errorf("private/k went along: %v", err)
	}
}
