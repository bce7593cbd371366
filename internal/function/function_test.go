package function_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/authz/authztest"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/engine/memory"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/feed"
	"github.com/kura-s3/kura/internal/function"
	"github.com/kura-s3/kura/internal/function/runner"
)

const account = "111122223333"

// plainly seals by turning every bit around: enough to see what lies open.
type plainly struct{}

func (plainly) SealSecret(about, plain []byte) []byte {
	out := append([]byte{byte(len(about))}, about...)
	for _, b := range plain {
		out = append(out, ^b)
	}
	return out
}

func (plainly) OpenSecret(_ context.Context, about, sealed []byte) ([]byte, error) {
	n := int(sealed[0])
	if string(sealed[1:1+n]) != string(about) {
		return nil, errors.New("sealed for something else")
	}
	var out []byte
	for _, b := range sealed[1+n:] {
		out = append(out, ^b)
	}
	return out, nil
}

// people are users by name; their ids change when they are made anew.
type people map[string]string

func (p people) UniqueID(arn string) (string, bool) {
	_, name, _ := strings.Cut(arn, ":user/")
	id, ok := p[name]
	return id, ok
}

// fixture is a store with a runner that does what the test says.
type fixture struct {
	t      *testing.T
	meta   engine.Meta
	store  *function.Store
	feed   *feed.Feed
	people people
	g      authz.Grant
	at     time.Time
	run    func(s *runner.Spec, in *runner.Invocation) (*runner.Result, error)
	sealed []byte
	id     string
}

func (f *fixture) Invoke(_ context.Context, s *runner.Spec, in *runner.Invocation) (*runner.Result, error) {
	return f.run(s, in)
}
func (*fixture) Retire(string) {}
func (*fixture) Assume(context.Context, string, string) (runner.Credentials, error) {
	return runner.Credentials{}, nil
}
func (f *fixture) Enqueue(_ context.Context, _, _, _, id string, sealed []byte) error {
	f.id, f.sealed = id, sealed
	return nil
}

func (f *fixture) open() {
	f.t.Helper()
	var err error
	if f.feed, err = feed.Open(f.t.Context(), f.meta, "test"); err != nil {
		f.t.Fatal(err)
	}
	f.store, err = function.Open(f.t.Context(), function.Config{
		Feed: f.feed, Meta: f.meta, Secrets: plainly{}, Principals: f.people, Region: "us-east-1", Roles: f, Runner: f, Queue: f,
		Now: func() time.Time { f.at = f.at.Add(time.Microsecond); return f.at },
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{
		t: t, meta: memory.NewMeta(), people: people{"friend": "AIDAAAAAAAAAAAAAAAAAA"}, g: authztest.Grant(t, "lambda:*", "*"),
		at: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
	f.run = func(_ *runner.Spec, in *runner.Invocation) (*runner.Result, error) {
		return &runner.Result{Payload: in.Payload}, nil
	}
	f.open()
	return f
}

func ref(qualifier string) function.Ref {
	return function.Ref{Account: account, Name: "f", Qualifier: qualifier}
}

func zipped(size int) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, _ := z.CreateHeader(&zip.FileHeader{Name: "app.py", Method: zip.Store})
	io.CopyN(w, rand.NewChaCha8([32]byte{}), int64(size))
	z.Close()
	return b.Bytes()
}

func (f *fixture) create(in function.Creation) *function.Function {
	f.t.Helper()
	in.Settings.Runtime, in.Settings.Handler, in.Settings.Role = new("python3.12"), new("app.handler"), new("arn:aws:iam::111122223333:role/r")
	if in.Zip == nil {
		in.Zip = zipped(10)
	}
	made, _, err := f.store.Create(f.t.Context(), f.g, ref(""), in)
	if err != nil {
		f.t.Fatal(err)
	}
	return made
}

// records counts those below a prefix.
func (f *fixture) records(prefix string) (n int) {
	it, err := f.meta.Scan(f.t.Context(), []byte(prefix), engine.PrefixEnd([]byte(prefix)))
	if err != nil {
		f.t.Fatal(err)
	}
	defer it.Close()
	for it.Next() {
		n++
	}
	return n
}

// TestWhatIsStoredComesBack: everything survives a restart, in particular code of several pieces, and lies
// sealed; and everything goes with its function.
func TestWhatIsStoredComesBack(t *testing.T) {
	f := newFixture(t)
	big := zipped(3<<20 + 17)
	f.create(function.Creation{Zip: big, Publish: true, Settings: function.Settings{Environment: map[string]string{"TOKEN": "canary"}}})
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := f.store.CreateAlias(ctx, f.g, ref(""), "live", function.Aliased{Version: new("1")})
	must(err)
	_, err = f.store.AddPermission(ctx, f.g, ref("live"), function.Permission{ID: "s", Action: "lambda:InvokeFunction", Principal: "arn:aws:iam::111122223333:user/friend"})
	must(err)
	_, err = f.store.PutAsync(ctx, f.g, ref("live"), function.AsyncConfig{MaxRetries: new(0)}, false)
	must(err)
	must(f.store.Reserve(ctx, f.g, ref(""), 7))
	before, err := json.Marshal(f.mustFunction())
	must(err)
	f.open()
	after, err := json.Marshal(f.mustFunction())
	must(err)
	if !bytes.Equal(before, after) || len(f.mustFunction().Versions) != 1 {
		t.Errorf("before %s\nafter %s", before, after)
	}
	f.run = func(s *runner.Spec, _ *runner.Invocation) (*runner.Result, error) {
		r, n, err := s.Code(ctx)
		must(err)
		got := make([]byte, n)
		_, err = r.ReadAt(got, 0)
		if (err != nil && err != io.EOF) || !bytes.Equal(got, big) || s.Env["TOKEN"] != "canary" || s.Version != "1" || s.Reserved != 7 {
			t.Errorf("%v %d bytes %v", err, n, s)
		}
		return &runner.Result{}, nil
	}
	_, err = f.store.Invoke(ctx, f.g, ref("live"), &function.Invocation{})
	must(err)
	it, err := f.meta.Scan(ctx, []byte("fn/"), engine.PrefixEnd([]byte("fn/")))
	must(err)
	for it.Next() {
		if bytes.Contains(it.Value(), []byte("canary")) || bytes.Contains(it.Value(), big[100:200]) {
			t.Errorf("%q lies open", it.Key())
		}
	}
	it.Close()
	must(f.store.Delete(ctx, f.g, ref("")))
	if n := f.records("fn/"); n != 0 {
		t.Errorf("%d records are left", n)
	}
}

func (f *fixture) mustFunction() *function.Function {
	f.t.Helper()
	got, err := f.store.Function(ref(""))
	if err != nil {
		f.t.Fatal(err)
	}
	return got
}

// TestCodeThatNobodyHas goes: what an update replaced, what a deleted version had, what a crash left.
func TestCodeThatNobodyHas(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	f.create(function.Creation{Zip: zipped(10), Publish: true})
	for n := range 3 {
		if _, _, err := f.store.UpdateCode(ctx, f.g, ref(""), function.NewCode{Zip: zipped(20 + n)}); err != nil {
			t.Fatal(err)
		}
	}
	if n := f.records("fn/c/"); n != 2 {
		t.Errorf("%d pieces of code: version 1's and $LATEST's were to stay", n)
	}
	if err := f.store.Delete(ctx, f.g, ref("1")); err != nil {
		t.Fatal(err)
	}
	if n := f.records("fn/c/"); n != 1 {
		t.Errorf("%d pieces of code after version 1 went", n)
	}
	var b engine.Batch
	b.Set([]byte("fn/c/\x00\x00\x00\x00\x00\x00\x00\x07\x00\x00\x00\x00"), []byte("x"))
	b.Set([]byte("fn/c/\x00\x00\x00\x00\x00\x00\x00\x07\x00\x00\x00\x01"), []byte("x"))
	if err := f.meta.Commit(ctx, &b); err != nil {
		t.Fatal(err)
	}
	f.open()
	if n := f.records("fn/c/"); n != 1 {
		t.Errorf("%d pieces of code after a restart", n)
	}
	if _, err := f.store.Invoke(ctx, f.g, ref(""), &function.Invocation{}); err != nil {
		t.Error(err)
	}
}

// TestZipsThatAreNone: bombs by size and by number of files, and what is cut off.
func TestZipsThatAreNone(t *testing.T) {
	f := newFixture(t)
	var bomb bytes.Buffer
	z := zip.NewWriter(&bomb)
	for n := range 6 {
		w, _ := z.Create(fmt.Sprint(n))
		w.Write(make([]byte, 50<<20))
	}
	z.Close()
	var many bytes.Buffer
	z = zip.NewWriter(&many)
	for n := range 50_001 {
		z.CreateHeader(&zip.FileHeader{Name: fmt.Sprint(n)})
	}
	z.Close()
	var climbs bytes.Buffer
	z = zip.NewWriter(&climbs)
	z.Create("../app.py")
	z.Close()
	for name, raw := range map[string][]byte{
		"out of the archive": climbs.Bytes(),
		"too large unpacked": bomb.Bytes(), "too many files": many.Bytes(), "cut off": zipped(100)[:120], "nothing": {}, "text": []byte("PK\x03\x04 not really"),
	} {
		in := function.Creation{Zip: raw, Settings: function.Settings{Runtime: new("python3.12"), Handler: new("a.b"), Role: new("arn:aws:iam::111122223333:role/r")}}
		if _, _, err := f.store.Create(t.Context(), f.g, ref(""), in); !fault.Is(err, function.InvalidParameter) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := f.records("fn/"); n != 0 {
		t.Errorf("%d records", n)
	}
}

// TestPinnedPrincipals: a user who is made anew under an old name has no permission, whatever is added later.
func TestPinnedPrincipals(t *testing.T) {
	f := newFixture(t)
	f.create(function.Creation{})
	add := func(id, principal string) error {
		_, err := f.store.AddPermission(t.Context(), f.g, ref(""), function.Permission{ID: id, Action: "lambda:InvokeFunction", Principal: principal})
		return err
	}
	if err := add("a", "arn:aws:iam::111122223333:user/friend"); err != nil {
		t.Fatal(err)
	}
	f.people["friend"] = "AIDABBBBBBBBBBBBBBBBB"
	if err := add("b", "s3.amazonaws.com"); err != nil {
		t.Fatal(err)
	}
	f.open()
	delete(f.people, "friend")
	if err := f.store.RemovePermission(t.Context(), f.g, ref(""), "b", nil); err != nil {
		t.Fatal(err)
	}
	p := f.mustFunction().Policies[""]
	if string(p.Statements[0].Pinned) != `{"AWS":"AIDAAAAAAAAAAAAAAAAAA"}` || !strings.Contains(p.Text(), ":user/friend") {
		t.Errorf("%s\n%s", p.Statements[0].Pinned, p.Text())
	}
	if add("c", "arn:aws:iam::111122223333:user/friend") == nil {
		t.Error("a user who is gone")
	}
	for n := range 200 {
		if err := add(fmt.Sprintf("more-%d", n), "s3.amazonaws.com"); err != nil {
			if !fault.Is(err, function.PolicyTooLong) || n < 50 {
				t.Errorf("statement %d: %v", n, err)
			}
			return
		}
	}
	t.Error("a policy without end")
}

// TestQueuedInvocations: how often they are tried, when, and who is told of what.
func TestQueuedInvocations(t *testing.T) {
	const queue = "arn:aws:sqs:us-east-1:111122223333:"
	good := func(*runner.Spec, *runner.Invocation) (*runner.Result, error) {
		return &runner.Result{Payload: []byte(`"done"`)}, nil
	}
	bad := func(*runner.Spec, *runner.Invocation) (*runner.Result, error) {
		return &runner.Result{Payload: []byte(`{"errorMessage":"no"}`), FunctionError: "Unhandled"}, nil
	}
	busy := func(*runner.Spec, *runner.Invocation) (*runner.Result, error) { return nil, runner.ErrThrottled }
	type step struct {
		run   func(*runner.Spec, *runner.Invocation) (*runner.Result, error)
		later time.Duration // before it
		again time.Duration
		tells string
	}
	over := function.Over
	for name, steps := range map[string][]step{
		"success":               {{good, 0, over, "good:Success:1"}},
		"fails for ever":        {{bad, 0, time.Minute, ""}, {bad, 0, 2 * time.Minute, ""}, {bad, 0, over, "bad:RetriesExhausted:3 dead"}},
		"succeeds later":        {{bad, 0, time.Minute, ""}, {good, time.Minute, over, "good:Success:2"}},
		"throttled":             {{busy, 0, time.Second, ""}, {busy, 0, 2 * time.Second, ""}, {busy, 0, 4 * time.Second, ""}, {good, 0, over, "good:Success:1"}},
		"too old at first":      {{good, 7 * time.Hour, over, "bad:EventAgeExceeded:0 dead"}},
		"too old after a while": {{busy, 0, time.Second, ""}, {busy, 6*time.Hour - time.Second, over, "bad:EventAgeExceeded:0 dead"}},
		"too old for a retry":   {{bad, 6*time.Hour - time.Second, over, "bad:EventAgeExceeded:1 dead"}},
	} {
		f := newFixture(t)
		f.create(function.Creation{Settings: function.Settings{DeadLetter: new(queue + "dead")}})
		if _, err := f.store.PutAsync(t.Context(), f.g, ref(""), function.AsyncConfig{OnSuccess: queue + "good", OnFailure: queue + "bad"}, false); err != nil {
			t.Fatal(err)
		}
		if err := f.store.InvokeLater(t.Context(), f.g, ref(""), &function.Invocation{RequestID: "id", Payload: []byte(`"canary"`)}); err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(f.sealed, []byte("canary")) {
			t.Fatal("an event lies open")
		}
		// What cannot be opened now is not given up.
		if v := f.store.RunQueued(t.Context(), f.g, "other", f.sealed, 0, 3); v.Again != 8*time.Second || v.Err == nil {
			t.Errorf("%s: %+v", name, v)
		}
		f.open()
		tries, waits := 0, 0
		for i, s := range steps {
			f.run, f.at = s.run, f.at.Add(s.later)
			v := f.store.RunQueued(t.Context(), f.g, f.id, f.sealed, tries, waits)
			if v.Tries == tries {
				waits++
			}
			tries = v.Tries
			var tells []string
			for _, d := range v.Tell {
				to := strings.TrimPrefix(d.ARN, queue)
				if d.Code == "" {
					var r struct {
						Request struct {
							Condition string
							Count     int `json:"approximateInvokeCount"`
						} `json:"requestContext"`
					}
					if err := json.Unmarshal(d.Payload, &r); err != nil {
						t.Error(err)
					}
					to += fmt.Sprintf(":%s:%d", r.Request.Condition, r.Request.Count)
				} else if string(d.Payload) != `"canary"` {
					t.Errorf("%s: dead letter %s", name, d.Payload)
				}
				tells = append(tells, to)
			}
			if got := strings.Join(tells, " "); v.Again != s.again || got != s.tells {
				t.Errorf("%s, step %d: again %v, tells %q (%v)", name, i, v.Again, got, v.Err)
			}
		}
		// It is of this function: one that is made anew under its name does not get it.
		if err := f.store.Delete(t.Context(), f.g, ref("")); err != nil {
			t.Fatal(err)
		}
		f.create(function.Creation{})
		if v := f.store.RunQueued(t.Context(), f.g, f.id, f.sealed, 0, 0); v.Again != over || v.Err == nil || v.Tell != nil {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

// TestRolesOfOtherAccounts: a function has a role of its own account.
func TestRolesOfOtherAccounts(t *testing.T) {
	f := newFixture(t)
	f.create(function.Creation{})
	_, err := f.store.Configure(t.Context(), f.g, ref(""), function.Settings{Role: new("arn:aws:iam::444455556666:role/r")}, nil)
	if !fault.Is(err, function.InvalidParameter) || f.mustFunction().Latest.Role != "arn:aws:iam::111122223333:role/r" {
		t.Errorf("%v: %+v", err, f.mustFunction().Latest)
	}
}

// TestGrants: every method needs its action on what it is about.
func TestGrants(t *testing.T) {
	f := newFixture(t)
	f.create(function.Creation{})
	ctx, none := t.Context(), authz.Grant{}
	for name, do := range map[string]func(authz.Grant) error{
		"Create": func(g authz.Grant) error {
			_, _, err := f.store.Create(ctx, g, function.Ref{Account: account, Name: "g"}, function.Creation{})
			return err
		},
		"Configure": func(g authz.Grant) error {
			_, err := f.store.Configure(ctx, g, ref(""), function.Settings{}, nil)
			return err
		},
		"UpdateCode": func(g authz.Grant) error {
			_, _, err := f.store.UpdateCode(ctx, g, ref(""), function.NewCode{})
			return err
		},
		"Delete":  func(g authz.Grant) error { return f.store.Delete(ctx, g, ref("")) },
		"Publish": func(g authz.Grant) error { _, _, err := f.store.Publish(ctx, g, ref(""), "", "", nil); return err },
		"Invoke": func(g authz.Grant) error {
			_, err := f.store.Invoke(ctx, g, ref(""), &function.Invocation{})
			return err
		},
		"InvokeLater": func(g authz.Grant) error { return f.store.InvokeLater(ctx, g, ref(""), &function.Invocation{}) },
		"AddPermission": func(g authz.Grant) error {
			_, err := f.store.AddPermission(ctx, g, ref(""), function.Permission{ID: "s", Action: "lambda:*", Principal: "*"})
			return err
		},
		"PutAsync": func(g authz.Grant) error {
			_, err := f.store.PutAsync(ctx, g, ref(""), function.AsyncConfig{}, false)
			return err
		},
		"Reserve": func(g authz.Grant) error { return f.store.Reserve(ctx, g, ref(""), 1) },
		"Tag":     func(g authz.Grant) error { return f.store.Tag(ctx, g, ref(""), nil) },
	} {
		if err := do(none); !fault.Is(err, authz.NotGranted) {
			t.Errorf("%s: %v", name, err)
		}
		if err := do(authztest.Grant(t, "lambda:GetFunction", "*")); !fault.Is(err, authz.NotGranted) {
			t.Errorf("%s by another right: %v", name, err)
		}
	}
}

// TestDestinationsOfAliases: each qualifier has its own settings.
func TestDestinationsOfAliases(t *testing.T) {
	f := newFixture(t)
	f.create(function.Creation{Publish: true})
	if _, err := f.store.PutAsync(t.Context(), f.g, ref("1"), function.AsyncConfig{MaxRetries: new(0)}, false); err != nil {
		t.Fatal(err)
	}
	if _, err := f.store.PutAsync(t.Context(), f.g, ref("2"), function.AsyncConfig{}, false); !fault.Is(err, function.NotFound) {
		t.Errorf("a version that is not: %v", err)
	}
	if _, err := f.store.PutAsync(t.Context(), f.g, ref(""), function.AsyncConfig{MaxAge: new(60)}, true); !fault.Is(err, function.NotFound) {
		t.Errorf("an update of none: %v", err)
	}
	for name, a := range map[string]function.AsyncConfig{
		"retries": {MaxRetries: new(3)}, "age": {MaxAge: new(59)}, "a bucket": {OnFailure: "arn:aws:s3:::b"}, "elsewhere": {OnSuccess: "arn:aws:sqs:eu-west-1:111122223333:q"},
	} {
		if _, err := f.store.PutAsync(t.Context(), f.g, ref(""), a, false); !fault.Is(err, function.InvalidParameter) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTheDoctorReadsFunctions: what is whole is not complained of, what is damaged is named.
func TestTheDoctorReadsFunctions(t *testing.T) {
	f := newFixture(t)
	f.create(function.Creation{Publish: true, Settings: function.Settings{Environment: map[string]string{"ABC": "x"}}})
	if _, _, err := f.store.UpdateCode(t.Context(), f.g, ref(""), function.NewCode{Zip: zipped(50)}); err != nil {
		t.Fatal(err)
	}
	check := func() (found []string) {
		err := function.Check(t.Context(), function.Config{Meta: f.meta, Secrets: plainly{}, Region: "us-east-1"}, func(where, what string) {
			found = append(found, where[strings.LastIndexByte(where, ':')+1:]+" "+what)
		})
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	if found := check(); found != nil {
		t.Errorf("%q", found)
	}
	it, err := f.meta.Scan(t.Context(), []byte("fn/c/"), nil)
	if err != nil || !it.Next() {
		t.Fatal(err)
	}
	var b engine.Batch
	b.Set(bytes.Clone(it.Key()), append(bytes.Clone(it.Value()), 7))
	it.Close()
	if err := f.meta.Commit(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	if found := check(); len(found) != 1 || found[0] != "1 its code cannot be read" {
		t.Errorf("%q", found)
	}
}

// told is what the change feed told of policies since the last time.
func (f *fixture) told() (list []string) {
	f.t.Helper()
	entries, err := f.feed.Next(f.t.Context(), "test", 64)
	if err != nil {
		f.t.Fatal(err)
	}
	for i := range entries {
		e := &entries[i]
		if e.Kind != feed.Policy || e.Account != account {
			f.t.Errorf("told of %+v", e)
		}
		list = append(list, fmt.Sprint(e.Resource[strings.LastIndex(e.Resource, "function:")+1:], " ", e.Gone))
	}
	if err := f.feed.Done(f.t.Context(), "test", entries[len(entries)-1].Seq, nil); err != nil {
		f.t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

// TestFeedTellsOfPolicies: each change of the policy of a function, and of what of it a qualifier names, is told.
func TestFeedTellsOfPolicies(t *testing.T) {
	f := newFixture(t)
	f.create(function.Creation{Publish: true})
	add := func(qualifier string) {
		t.Helper()
		if _, err := f.store.AddPermission(t.Context(), f.g, ref(qualifier), function.Permission{ID: "s", Action: "lambda:InvokeFunction", Principal: "*"}); err != nil {
			t.Fatal(err)
		}
	}
	check := func(want ...string) {
		t.Helper()
		got := f.told()
		for i := range got {
			_, got[i], _ = strings.Cut(got[i], ":")
		}
		if !slices.Equal(got, want) {
			t.Errorf("told %q, want %q", got, want)
		}
	}
	add("")
	add("1")
	check("f false", "f:1 false")
	if err := f.store.RemovePermission(t.Context(), f.g, ref("1"), "s", nil); err != nil {
		t.Fatal(err)
	}
	check("f:1 true")
	add("1")
	if err := f.store.Delete(t.Context(), f.g, ref("")); err != nil {
		t.Fatal(err)
	}
	check("f true", "f:1 false", "f:1 true")
}
