package kms_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/authz/authztest"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/kms"
)

const day = 24 * time.Hour

func (h *harness) housekeep() {
	h.t.Helper()
	if err := h.Housekeep(h.t.Context(), authztest.Grant(h.t, kms.HousekeepingAction, kms.HousekeepingARN)); err != nil {
		h.t.Error(err)
	}
}

// TestStates is the table of states and operations of AWS's guide ("Key states of AWS KMS keys").
func TestStates(t *testing.T) {
	h := newHarness(t)
	ctx := t.Context()
	make := func(state kms.State) *kms.Key {
		k := h.create(kms.NewKey{})
		var err error
		switch state {
		case kms.DisabledState:
			err = h.Disable(ctx, h.all(), k.ID)
		case kms.PendingDeletion:
			_, err = h.ScheduleDeletion(ctx, h.all(), k.ID, 7)
		case kms.PendingImport:
			k = h.create(kms.NewKey{Origin: kms.OriginExternal})
		}
		if err != nil {
			t.Fatal(err)
		}
		return h.now(k)
	}
	alice := h.user(account, "alice")
	use := map[string]func(*kms.Key) error{
		"Encrypt": func(k *kms.Key) error {
			_, err := h.Encrypt(ctx, h.all(), kms.Sealing{Key: k}, []byte("x"))
			return err
		},
		"GenerateDataKey": func(k *kms.Key) error { _, _, err := h.GenerateDataKey(ctx, h.all(), k, nil, 32); return err },
		"GenerateDataKeyPair": func(k *kms.Key) error {
			_, err := h.GenerateDataKeyPair(ctx, h.all(), "GenerateDataKeyPair", k, nil, kms.P256)
			return err
		},
		"CreateGrant": func(k *kms.Key) error {
			_, err := h.CreateGrant(ctx, h.all(), k.ID, kms.NewGrant{Grantee: alice.ARN, Operations: []string{"Decrypt"}}, false)
			return err
		},
	}
	rotate := map[string]func(*kms.Key) error{
		"EnableKeyRotation":  func(k *kms.Key) error { return h.EnableRotation(ctx, h.all(), k.ID, 0) },
		"DisableKeyRotation": func(k *kms.Key) error { return h.DisableRotation(ctx, h.all(), k.ID) },
		"RotateKeyOnDemand":  func(k *kms.Key) error { return h.Rotate(ctx, h.all(), k.ID) },
	}
	change := map[string]func(*kms.Key) error{
		"CreateAlias":          func(k *kms.Key) error { return h.CreateAlias(ctx, h.all(), account, "alias/"+k.ID, k.ID) },
		"UpdateKeyDescription": func(k *kms.Key) error { return h.Describe(ctx, h.all(), k.ID, "x") },
		"TagResource":          func(k *kms.Key) error { return h.Tag(ctx, h.all(), k.ID, []kms.Tag{{Key: "a", Value: "b"}}) },
		"UntagResource":        func(k *kms.Key) error { return h.Untag(ctx, h.all(), k.ID, []string{"a"}) },
		"ScheduleKeyDeletion":  func(k *kms.Key) error { _, err := h.ScheduleDeletion(ctx, h.all(), k.ID, 0); return err },
	}
	turn := map[string]func(*kms.Key) error{
		"EnableKey":  func(k *kms.Key) error { return h.Enable(ctx, h.all(), k.ID) },
		"DisableKey": func(k *kms.Key) error { return h.Disable(ctx, h.all(), k.ID) },
	}
	always := map[string]func(*kms.Key) error{
		"PutKeyPolicy": func(k *kms.Key) error { return h.PutPolicy(ctx, h.all(), k.ID, k.Written, true) },
		"GetKeyPolicy": func(k *kms.Key) error { _, err := h.PolicyText(h.all(), k); return err },
	}
	for state, wants := range map[kms.State][5]fault.Kind{ // use, rotate, change, turn, cancel
		kms.Enabled:         {"", "", "", "", kms.InvalidState},
		kms.DisabledState:   {kms.Disabled, kms.Disabled, "", "", kms.InvalidState},
		kms.PendingDeletion: {kms.InvalidState, kms.InvalidState, kms.InvalidState, kms.InvalidState, ""},
		kms.PendingImport:   {kms.InvalidState, kms.Unsupported, "", kms.InvalidState, kms.InvalidState},
	} {
		for i, table := range []map[string]func(*kms.Key) error{use, rotate, change, turn, {
			"CancelKeyDeletion": func(k *kms.Key) error { return h.CancelDeletion(ctx, h.all(), k.ID) },
		}} {
			for name, do := range table {
				if err := do(make(state)); fault.Of(err) != wants[i] {
					t.Errorf("%s of a key that is %s: %v, want %q", name, state, err, wants[i])
				}
			}
		}
		for name, do := range always {
			if err := do(make(state)); err != nil {
				t.Errorf("%s of a key that is %s: %v", name, state, err)
			}
		}
	}
}

func TestErasedKeyOpensNothingEverAgain(t *testing.T) {
	h := newHarness(t)
	ctx := t.Context()
	alice := h.user(account, "alice")
	k := h.create(kms.NewKey{})
	_, wrapped, err := h.GenerateDataKey(ctx, h.all(), k, nil, 32)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Rotate(ctx, h.all(), k.ID); err != nil {
		t.Fatal(err)
	}
	h.grant(k, kms.NewGrant{Grantee: alice.ARN, Operations: []string{"Decrypt"}})
	if err := h.CreateAlias(ctx, h.all(), account, "alias/x", k.ID); err != nil {
		t.Fatal(err)
	}
	second := h.reopen()
	if _, _, err := second.Decrypt(ctx, h.all(), wrapped, nil); err != nil {
		t.Fatal(err)
	}
	next, err := h.ScheduleDeletion(ctx, h.all(), k.ID, 7)
	if err != nil || !next.Deletion.Equal(h.clock.Now().Add(7*day)) {
		t.Fatalf("%+v %v", next, err)
	}
	_, _, err = h.Decrypt(ctx, h.all(), wrapped, nil)
	h.wants(err, kms.InvalidState, k.ARN+" is pending deletion.")
	h.clock.Forward(7*day - time.Second)
	if h.Due() {
		t.Error("due before its time")
	}
	h.housekeep()
	if err := h.CancelDeletion(ctx, h.all(), k.ID); err != nil {
		t.Fatal(err)
	}
	if h.StateOf(h.now(k)) != kms.DisabledState {
		t.Error("a key that was kept is not disabled")
	}
	if _, err := h.ScheduleDeletion(ctx, h.all(), k.ID, 7); err != nil {
		t.Fatal(err)
	}
	h.clock.Forward(7 * day)
	// Its time is over, whether or not anybody has erased it yet.
	if _, err := h.Find(k.ARN, account, region); !fault.Is(err, kms.NotFound) {
		t.Errorf("found: %v", err)
	}
	h.wants(h.CancelDeletion(ctx, h.all(), k.ID), kms.NotFound, "")
	_, _, err = h.Decrypt(ctx, h.all(), wrapped, nil)
	h.wants(err, kms.UnknownCiphertext, "does not exist")
	if !h.Due() {
		t.Error("not due")
	}
	h.housekeep()
	h.housekeep()
	if h.Due() {
		t.Error("due for ever")
	}
	for _, s := range []*kms.Store{h.Store, h.reopen()} {
		if _, err := s.Find(k.ARN, account, region); !fault.Is(err, kms.NotFound) {
			t.Errorf("found: %v", err)
		}
		if _, err := s.Find("alias/x", account, region); !fault.Is(err, kms.NotFound) {
			t.Errorf("its alias is there: %v", err)
		}
	}
	// The other node follows.
	for range 12_000 {
		if _, err = second.KeyOf(wrapped); err != nil {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	h.wants(err, kms.UnknownCiphertext, "")
	it, err := h.meta.Scan(ctx, []byte("kms/"), []byte("kms0"))
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	for it.Next() {
		if string(it.Key()) != "kms/n" {
			t.Errorf("record %q is left", it.Key())
		}
	}
	list := h.told()
	if last := list[len(list)-1]; !last.Gone || last.Operation != "DeleteKey" || last.Resource != k.ARN {
		t.Errorf("told: %+v", last)
	}
}

func TestRotationKeepsWhatWasEncrypted(t *testing.T) {
	h := newHarness(t)
	ctx := t.Context()
	k := h.create(kms.NewKey{})
	if err := h.EnableRotation(ctx, h.all(), k.ID, 90); err != nil {
		t.Fatal(err)
	}
	var blobs [][]byte
	seal := func() {
		b, err := h.Encrypt(ctx, h.all(), kms.Sealing{Key: h.now(k)}, []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		blobs = append(blobs, b)
	}
	seal()
	if err := h.Rotate(ctx, h.all(), k.ID); err != nil {
		t.Fatal(err)
	}
	seal()
	h.clock.Forward(90*day - time.Second)
	h.housekeep()
	if n := len(h.now(k).Materials); n != 2 {
		t.Errorf("%d materials before the time", n)
	}
	h.clock.Forward(time.Second)
	h.housekeep()
	h.housekeep()
	seal()
	now := h.now(k)
	if len(now.Materials) != 3 || now.Materials[1].How != "ON_DEMAND" || now.Materials[2].How != "AUTOMATIC" || !now.Rotation.Next.Equal(h.clock.Now().Add(90*day)) {
		t.Errorf("%+v %+v", now.Materials, now.Rotation)
	}
	if now.ARN != k.ARN || now.CurrentMaterial() == k.CurrentMaterial() {
		t.Error("the material is the same")
	}
	for i, b := range blobs {
		if b[20] != byte(i+1) {
			t.Errorf("blob %d was made by material %d", i, b[20])
		}
		for _, s := range []*kms.Store{h.Store, h.reopen()} {
			if plain, _, err := s.Decrypt(ctx, h.all(), b, nil); err != nil || string(plain) != "x" {
				t.Errorf("blob %d: %v", i, err)
			}
		}
	}
	// No rotation while disabled.
	if err := h.Disable(ctx, h.all(), k.ID); err != nil {
		t.Fatal(err)
	}
	h.clock.Forward(90 * day)
	if h.Due() {
		t.Error("a disabled key is rotated")
	}
	if err := h.Enable(ctx, h.all(), k.ID); err != nil {
		t.Fatal(err)
	}
	if err := h.DisableRotation(ctx, h.all(), k.ID); err != nil || h.Due() {
		t.Errorf("rotated without rotation: %v", err)
	}
	for range 24 {
		if err := h.Rotate(ctx, h.all(), k.ID); err != nil {
			t.Fatal(err)
		}
	}
	h.wants(h.Rotate(ctx, h.all(), k.ID), kms.LimitExceeded, "on-demand rotations limit")
}

func TestPolicyThatLocksItsCallerOut(t *testing.T) {
	h := newHarness(t)
	ctx := t.Context()
	alice, bob := h.user(account, "alice"), h.user(account, "bob")
	admin := `{"AWS":"` + alice.ARN + `"}`
	k := h.create(kms.NewKey{Policy: keyPolicy(admin, `"kms:*"`, "")})
	g, _ := h.asking(alice, "")
	g, err := g.Ask(ctx, h.Demand(k, "kms:PutKeyPolicy", nil, "", &alice))
	if err != nil {
		t.Fatal(err)
	}
	lockedOut := "The new key policy will not allow you to update the key policy in the future."
	for _, text := range []string{
		keyPolicy(`{"AWS":"`+bob.ARN+`"}`, `"kms:*"`, ""),
		keyPolicy(admin, `"kms:Decrypt"`, ""),
		keyPolicy(`{"AWS":"`+account+`"}`, `"kms:*"`, ""), // delegated, but no policy of hers allows
		keyPolicy(admin, `"kms:*"`, `{"StringEquals":{"kms:ViaService":"`+viaS3+`"}}`),
	} {
		h.wants(h.PutPolicy(ctx, g, k.ID, text, false), kms.MalformedPolicy, lockedOut)
	}
	if err := h.PutPolicy(ctx, g, k.ID, keyPolicy(admin, `["kms:PutKeyPolicy","kms:GetKeyPolicy"]`, ""), false); err != nil {
		t.Error(err)
	}
	if err := h.PutPolicy(ctx, g, k.ID, keyPolicy(`{"AWS":"`+bob.ARN+`"}`, `"kms:*"`, ""), true); err != nil {
		t.Errorf("with the check bypassed: %v", err)
	}
	if h.may(k, alice, allow("kms:*"), "kms:PutKeyPolicy", nil, "") {
		t.Error("the policy is not in force")
	}
	for text, message := range map[string]string{
		``: "", `{}`: "", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*"}]}`: "",
		keyPolicy(`{"AWS":"arn:aws:iam::`+account+`:user/nobody"}`, `"kms:*"`, ""):                     "Policy contains a statement with one or more invalid principals.",
		keyPolicy(admin, `"kms:*"`, "")[:20]:                                                           "",
		strings.Replace(keyPolicy(admin, `"kms:*"`, ""), "2012", strings.Repeat(" ", 40000)+"2012", 1): "",
	} {
		h.wants(h.PutPolicy(ctx, h.all(), k.ID, text, true), kms.MalformedPolicy, message)
	}
	_, err = h.Create(ctx, h.askedFor(alice, "kms:CreateKey", "*"), kms.NewKey{Account: account, Policy: keyPolicy(`{"AWS":"`+bob.ARN+`"}`, `"kms:*"`, "")})
	h.wants(err, kms.MalformedPolicy, lockedOut)
}

// TestPolicyComesBackAsItWasPut, spaces and all, until one of its principals is gone.
func TestPolicyComesBackAsItWasPut(t *testing.T) {
	h := newHarness(t)
	alice := h.user(account, "alice")
	text := strings.ReplaceAll(keyPolicy(`{"AWS":"`+alice.ARN+`"}`, `"kms:*"`, ""), ",", " ,\n\t")
	k := h.create(kms.NewKey{Policy: text})
	for _, s := range []*kms.Store{h.Store, h.reopen()} {
		k, _ := s.Find(k.ARN, "", region)
		if got, err := s.PolicyText(h.all(), k); err != nil || got != text {
			t.Errorf("%q %v", got, err)
		}
	}
	delete(h.people, alice.ARN)
	if got, _ := h.PolicyText(h.all(), h.now(k)); !strings.Contains(got, alice.UniqueID) || strings.Contains(got, alice.ARN) {
		t.Errorf("after its principal was deleted: %s", got)
	}
}

// failing is a Meta whose commits fail when told to.
type failing struct {
	engine.Meta
	mu    sync.Mutex
	fail  error
	after bool // fail after the commit was done
}

func (f *failing) Commit(ctx context.Context, b *engine.Batch) error {
	f.mu.Lock()
	err, after := f.fail, f.after
	f.mu.Unlock()
	if err != nil && !after {
		return err
	}
	if e := f.Meta.Commit(ctx, b); e != nil {
		return e
	}
	return err
}

func (f *failing) set(err error, after bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail, f.after = err, after
}

// TestFailedCommits: what was not committed is not seen; what was, although the engine failed, is seen
// with the next change.
func TestFailedCommits(t *testing.T) {
	h := newHarness(t)
	ctx := t.Context()
	broken := &failing{Meta: h.meta}
	h.meta = broken
	h.Store = h.reopen()
	k := h.create(kms.NewKey{})
	broken.set(errors.New("disk on fire"), false)
	if err := h.Disable(ctx, h.all(), k.ID); err == nil {
		t.Error("acknowledged")
	}
	if h.now(k).State != kms.Enabled {
		t.Error("a change is seen that was not made")
	}
	broken.set(errors.New("disk on fire"), true)
	if err := h.Disable(ctx, h.all(), k.ID); err == nil {
		t.Error("acknowledged")
	}
	broken.set(nil, false)
	if err := h.Describe(ctx, h.all(), k.ID, "x"); err != nil {
		t.Fatal(err)
	}
	if now := h.now(k); now.State != kms.DisabledState || now.Description != "x" {
		t.Errorf("%+v", now)
	}
	if err := h.Enable(ctx, h.all(), k.ID); err != nil {
		t.Error(err)
	}
}

// TestNodesFollowEachOther: two stores on the same records see each other's changes and lose none.
func TestNodesFollowEachOther(t *testing.T) {
	h := newHarness(t)
	ctx := t.Context()
	nodes := []*kms.Store{h.Store, h.reopen()}
	k := h.create(kms.NewKey{})
	var wg sync.WaitGroup
	for i, node := range nodes {
		wg.Go(func() {
			for j := range 10 {
				tag := kms.Tag{Key: string(rune('a'+i)) + string(rune('0'+j)), Value: "x"}
				for range 100 {
					if err := node.Tag(ctx, h.all(), k.ID, []kms.Tag{tag}); err == nil {
						break
					} else if !fault.Is(err, kms.NotFound) { // has not heard of the key yet
						t.Error(err)
						return
					}
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	wg.Wait()
	for i, node := range append(nodes, h.reopen()) {
		var now *kms.Key
		for range 12_000 {
			if now, _ = node.Find(k.ARN, "", region); len(now.Tags) == 20 {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		if len(now.Tags) != 20 {
			t.Errorf("node %d sees %d tags", i, len(now.Tags))
		}
	}
}

// TestServiceKeyIsMadeOnce however many ask for it at the same time.
func TestServiceKeyIsMadeOnce(t *testing.T) {
	h := newHarness(t)
	nodes := []*kms.Store{h.Store, h.reopen()}
	ids := make([]string, 16)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			k, err := nodes[i%2].ServiceKey(context.Background(), account, "s3")
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = k.ID
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatalf("several keys: %v", ids)
		}
	}
}

func TestMaterialOfOneKeyOpensNoOther(t *testing.T) {
	h := newHarness(t)
	ctx := t.Context()
	k, l := h.create(kms.NewKey{}), h.create(kms.NewKey{})
	blob, _ := h.Encrypt(ctx, h.all(), kms.Sealing{Key: k}, []byte("x"))
	_, _, err := h.Open(ctx, h.all(), kms.Sealing{Key: l}, blob)
	h.wants(err, kms.IncorrectKey, "")
	theirs, _ := h.Encrypt(ctx, h.all(), kms.Sealing{Key: l}, []byte("x"))
	forged := append(bytes.Clone(theirs[:17]), blob[17:]...)
	_, _, err = h.Decrypt(ctx, h.all(), forged, nil)
	h.wants(err, kms.InvalidCiphertext, "")
}

// TestKeyIsUsedAsItIsNow, not as it was when somebody found it.
func TestKeyIsUsedAsItIsNow(t *testing.T) {
	h := newHarness(t)
	ctx := t.Context()
	k := h.create(kms.NewKey{})
	mac := h.create(kms.NewKey{Spec: kms.HMAC256, Usage: kms.GenerateVerifyMAC})
	for _, k := range []*kms.Key{k, mac} {
		if err := h.Disable(ctx, h.all(), k.ID); err != nil {
			t.Fatal(err)
		}
	}
	_, _, err := h.GenerateDataKey(ctx, h.all(), k, nil, 32)
	h.wants(err, kms.Disabled, "is disabled.")
	_, err = h.GenerateMAC(ctx, h.all(), mac, []byte("x"), "HMAC_SHA_256")
	h.wants(err, kms.Disabled, "is disabled.")
	if _, err := h.ScheduleDeletion(ctx, h.all(), k.ID, 7); err != nil {
		t.Fatal(err)
	}
	h.clock.Forward(7 * day)
	h.housekeep()
	_, _, err = h.GenerateDataKey(ctx, h.all(), k, nil, 32)
	h.wants(err, kms.NotFound, "does not exist")
}

func BenchmarkDataKey(b *testing.B) {
	h := newHarness(b)
	k := h.create(kms.NewKey{})
	alice := h.user(account, "alice")
	context := map[string]string{"aws:s3:arn": "arn:aws:s3:::b/k"}
	g := h.all()
	_, wrapped, err := h.GenerateDataKey(b.Context(), g, k, context, 32)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("find and demand", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			k, err := h.Find(k.ARN, account, region)
			if err != nil {
				b.Fatal(err)
			}
			_ = h.Demand(k, "kms:Decrypt", context, viaS3, &alice)
		}
	})
	b.Run("generate", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := h.GenerateDataKey(b.Context(), g, k, context, 32); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decrypt", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := h.Decrypt(b.Context(), g, wrapped, context); err != nil {
				b.Fatal(err)
			}
		}
	})
}
