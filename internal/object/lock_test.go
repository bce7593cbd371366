package object

import (
	"bytes"
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/authz/authztest"
	"github.com/kura-s3/kura/internal/engine/memory"
	"github.com/kura-s3/kura/internal/fault"
)

// lockFixture is a store with a clock that the test sets, and a bucket that has Object Lock.
type lockFixture struct {
	*fixture
	clock atomic.Int64 // Unix nanoseconds; background work reads it, too
}

func newLockFixture(t *testing.T, config ObjectLock) *lockFixture {
	t.Helper()
	meta := memory.NewMeta()
	f := &lockFixture{}
	f.fixture = &fixture{t: t, meta: meta, blob: memory.NewBlob(), ring: newRing(t, meta), grant: authztest.Grant(t, "s3:*", "*")}
	f.openAt(time.Date(2030, 1, 31, 12, 0, 0, 0, time.UTC))
	t.Cleanup(func() { f.store.Close(context.Background()) })
	raw, err := config.Encode()
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.store.CreateBucket(t.Context(), f.grant, CreateBucketInput{
		Name: "locked", Owner: alice, Versioning: VersioningEnabled, Settings: map[string][]byte{SettingObjectLock: raw},
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *lockFixture) now() time.Time { return time.Unix(0, f.clock.Load()).UTC() }

func (f *lockFixture) set(at time.Time) { f.clock.Store(at.UnixNano()) }

func (f *lockFixture) openAt(at time.Time) {
	f.t.Helper()
	f.set(at)
	s, err := Open(f.t.Context(), Config{
		Meta: f.meta, Blob: f.blob, Keys: f.ring, Log: slog.New(slog.DiscardHandler), Now: f.now,
	})
	if err != nil {
		f.t.Fatal(err)
	}
	f.store = s
}

func (f *lockFixture) restartAt(at time.Time) {
	f.t.Helper()
	if err := f.store.Close(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
	f.openAt(at)
}

func (f *lockFixture) write(lock *Lock) *Info {
	f.t.Helper()
	info, err := f.store.Put(f.t.Context(), f.grant, &PutInput{Bucket: "locked", Key: "k", Body: bytes.NewReader([]byte("x")), Size: 1, Lock: lock})
	if err != nil {
		f.t.Fatal(err)
	}
	return info
}

func (f *lockFixture) remove(version string, bypass bool) error {
	_, err := f.store.Delete(f.t.Context(), f.grant, &DeleteInput{Bucket: "locked", Key: "k", VersionID: version, BypassGovernance: bypass})
	return err
}

func (f *lockFixture) retain(version string, mode RetentionMode, until time.Time, bypass bool) error {
	_, err := f.store.SetRetention(f.t.Context(), f.grant, &RetentionInput{
		GetInput: GetInput{Bucket: "locked", Key: "k", VersionID: version}, Mode: mode, Until: until, Bypass: bypass,
	})
	return err
}

func (f *lockFixture) want(err error, kind fault.Kind) {
	f.t.Helper()
	if fault.Of(err) != kind {
		f.t.Fatalf("got %v, want %q", err, kind)
	}
}

func TestLockModes(t *testing.T) {
	f := newLockFixture(t, ObjectLock{})
	soon, later := f.now().Add(time.Hour), f.now().Add(2*time.Hour)

	governed := f.write(&Lock{Mode: Governance, Until: later}).VersionID
	f.want(f.remove(governed, false), Governed)
	f.want(f.retain(governed, Governance, soon, false), Governed)
	f.want(f.retain(governed, NoRetention, time.Time{}, false), Governed)
	f.want(f.retain(governed, Compliance, later, false), Governed)
	f.want(f.retain(governed, Governance, later.Add(time.Hour), false), "")
	f.want(f.retain(governed, Governance, soon, true), "")
	f.want(f.remove(governed, true), "")

	strict := f.write(&Lock{Mode: Compliance, Until: soon}).VersionID
	f.want(f.remove(strict, true), Protected)
	f.want(f.retain(strict, Governance, later, true), Protected)
	f.want(f.retain(strict, NoRetention, time.Time{}, true), Protected)
	f.want(f.retain(strict, Compliance, f.now().Add(time.Minute), true), Protected)
	f.want(f.retain(strict, Compliance, later, false), "")
	f.set(soon)
	f.want(f.remove(strict, true), Protected)
	f.set(later)
	f.want(f.remove(strict, false), "")

	held := f.write(&Lock{Hold: HoldOn}).VersionID
	f.want(f.remove(held, true), Protected)
	f.want(f.remove("", false), "") // a marker on top removes nothing
	in := &GetInput{Bucket: "locked", Key: "k", VersionID: held}
	if _, err := f.store.SetLegalHold(t.Context(), f.grant, in, HoldOff); err != nil {
		t.Fatal(err)
	}
	f.want(f.remove(held, false), "")
	f.want(f.retain(held, Governance, later.Add(time.Hour), false), NoSuchVersion)
}

func TestLockInPast(t *testing.T) {
	f := newLockFixture(t, ObjectLock{})
	_, err := f.store.Put(t.Context(), f.grant, &PutInput{Bucket: "locked", Key: "k", Body: bytes.NewReader(nil), Lock: &Lock{Mode: Governance, Until: f.now()}})
	f.want(err, InvalidRetention)
	v := f.write(nil).VersionID
	f.want(f.retain(v, Compliance, f.now(), false), InvalidRetention)
}

func TestDefaultRetention(t *testing.T) {
	f := newLockFixture(t, ObjectLock{Mode: Compliance, Days: 30})
	want := f.now().AddDate(0, 0, 30)
	if got := f.write(nil).Lock; got.Mode != Compliance || !got.Until.Equal(want) {
		t.Errorf("default: %+v, want until %v", got, want)
	}
	if got := f.write(&Lock{Hold: HoldOn}).Lock; got.Mode != Compliance || got.Hold != HoldOn {
		t.Errorf("a hold alone: %+v", got)
	}
	own := f.now().Add(time.Hour)
	if got := f.write(&Lock{Mode: Governance, Until: own}).Lock; got.Mode != Governance || !got.Until.Equal(own) {
		t.Errorf("one of its own: %+v", got)
	}
	up, err := f.store.CreateUpload(t.Context(), f.grant, &UploadInput{Bucket: "locked", Key: "k", Lock: &Lock{Hold: HoldOn}})
	if err != nil {
		t.Fatal(err)
	}
	part, err := f.store.PutPart(t.Context(), f.grant, &PartInput{Bucket: "locked", Key: "k", UploadID: up.UploadID, Number: 1, Body: bytes.NewReader([]byte("x")), Size: 1})
	if err != nil {
		t.Fatal(err)
	}
	f.set(f.now().Add(time.Hour))
	info, err := f.store.CompleteUpload(t.Context(), f.grant, &CompleteInput{Bucket: "locked", Key: "k", UploadID: up.UploadID, Parts: []Part{*part}})
	if err != nil || info.Lock.Mode != Compliance || info.Lock.Hold != HoldOn || !info.Lock.Until.Equal(f.now().AddDate(0, 0, 30)) {
		t.Errorf("multipart: %+v, %v", info, err)
	}
}

// TestClockTurnedBack: what passed stays passed, and what is retained stays retained, whatever the
// machine's clock says after a restart.
func TestClockTurnedBack(t *testing.T) {
	f := newLockFixture(t, ObjectLock{Mode: Compliance, Days: 1})
	began := f.now()
	f.restartAt(began.AddDate(0, 0, -100))
	v := f.write(nil)
	if until := v.Lock.Until; until.Before(began.AddDate(0, 0, 1)) {
		t.Fatalf("a clock turned back shortens a retention to %v", until)
	}
	f.restartAt(began.Add(time.Hour))
	f.want(f.remove(v.VersionID, true), Protected)
	f.restartAt(began.AddDate(0, 0, 2))
	f.want(f.remove(v.VersionID, false), "")
}

// TestClockTurnedForward: while Kura runs, a jump of the machine's clock frees nothing.
func TestClockTurnedForward(t *testing.T) {
	var c lockClock
	start := time.Now()
	c.start(start, time.Time{})
	// Adding keeps the monotonic reading in step; stripping one and adding to the wall alone is what
	// a jump looks like, and is compared by the wall.
	later := start.Add(time.Second)
	if got := c.read(later); got.Sub(start.Round(0)) != time.Second {
		t.Fatalf("after a second: %v", got.Sub(start.Round(0)))
	}
	if got := c.read(start); got.Sub(start.Round(0)) != time.Second {
		t.Fatalf("turned back: %v", got.Sub(start.Round(0)))
	}
	c.at = c.at.Add(-time.Hour) // the machine is an hour ahead
	before := c.at
	if got := c.read(later.Add(time.Minute)); got.Sub(before) != 2*time.Minute {
		t.Fatalf("an hour behind, a minute later: %v", got.Sub(before))
	}
}

// TestAgeGoesByTheSlowerClock: nor does it make anything old.
func TestAgeGoesByTheSlowerClock(t *testing.T) {
	start := time.Now()
	s := &Store{now: func() time.Time { return start.Add(-time.Hour) }}
	s.clock.start(start, time.Time{})
	if got := s.Time(); !got.Equal(start.Add(-time.Hour)) {
		t.Errorf("turned back: %v before the start", start.Sub(got))
	}
	s.clock.at = start.Round(0).AddDate(-70, 0, 0) // the machine says 70 years later
	s.now = func() time.Time { return start.Add(time.Minute) }
	if got := s.Time(); got.After(start.AddDate(-69, 0, 0)) {
		t.Errorf("turned forward: %v", got)
	}
}

func TestLockedBucketKeepsItsVersions(t *testing.T) {
	f := newLockFixture(t, ObjectLock{})
	change := func(fn func(*Bucket)) error {
		_, err := f.store.UpdateBucket(t.Context(), f.grant, "s3:PutBucketVersioning", "locked", func(b *Bucket) error { fn(b); return nil })
		return err
	}
	f.want(change(func(b *Bucket) { b.Versioning = VersioningSuspended }), InvalidBucketState)
	f.want(change(func(b *Bucket) { delete(b.Settings, SettingObjectLock) }), InvalidBucketState)
	if err := change(func(b *Bucket) { b.Settings[SettingObjectLock] = []byte(`{"Mode":9}`) }); err == nil {
		t.Error("an unreadable configuration was stored")
	}
	f.want(change(func(b *Bucket) { b.MFADelete = MFADeleteEnabled }), "")
	v := f.write(nil).VersionID
	f.want(f.remove(v, true), MFARequired)
	if _, err := f.store.Delete(t.Context(), f.grant, &DeleteInput{Bucket: "locked", Key: "k", VersionID: v, MFA: true}); err != nil {
		t.Error(err)
	}
	plain := f.bucket("plain", VersioningSuspended)
	_, err := f.store.UpdateBucket(t.Context(), f.grant, "s3:PutBucketVersioning", plain.Name, func(b *Bucket) error {
		b.Settings[SettingObjectLock] = []byte(`{}`)
		return nil
	})
	f.want(err, InvalidBucketState)
}

// TestUnreadableLockConfiguration: it does not count as absent.
func TestUnreadableLockConfiguration(t *testing.T) {
	f := newLockFixture(t, ObjectLock{})
	v := f.write(nil).VersionID
	b := *f.store.buckets.get("locked")
	b.Settings = map[string][]byte{SettingObjectLock: []byte("?")}
	b.lock = lockStateOf(b.Settings)
	f.store.buckets.publish("locked", &b)
	f.want(f.remove(v, false), Damaged)
	_, err := f.store.Put(t.Context(), f.grant, &PutInput{Bucket: "locked", Key: "k", Body: bytes.NewReader(nil)})
	f.want(err, Damaged)
}

func TestBypassNeedsItsPermission(t *testing.T) {
	f := newLockFixture(t, ObjectLock{})
	v := f.write(&Lock{Mode: Governance, Until: f.now().Add(time.Hour)}).VersionID
	f.grant = authztest.Grant(t, "s3:DeleteObjectVersion", "*")
	f.want(f.remove(v, true), "authz.NotGranted")
	f.want(f.remove(v, false), Governed)
	_, err := f.store.SetRetention(t.Context(), authztest.Grant(t, "s3:PutObjectRetention", "*"), &RetentionInput{
		GetInput: GetInput{Bucket: "locked", Key: "k", VersionID: v}, Bypass: true,
	})
	f.want(err, "authz.NotGranted")
}
