package kms_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/authz/authztest"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/engine/memory"
	"github.com/kura-s3/kura/internal/kms"
)

var update = flag.Bool("update", false, "write testdata anew")

// clear is what the specimens are sealed with: nothing, so that they show the material.
type clear struct{}

func (clear) SealSecret(_, plain []byte) []byte { return bytes.Clone(plain) }

func (clear) OpenSecret(_ context.Context, _, sealed []byte) ([]byte, error) { return sealed, nil }

// specimen is what a version wrote, with what it means.
type specimen struct {
	Records           map[string]string // values in hex
	Context           map[string]string
	Plaintext         string // hex
	Ciphertexts       []string
	KeyARN, Alias     string
	Grants, Materials int
}

const specimenFile = "testdata/v1.json"

// TestSpecimen opens what an earlier version wrote: records, and ciphertexts of both materials. It is the
// known-answer test of the format in docs/formats.md.
func TestSpecimen(t *testing.T) {
	if *update {
		writeSpecimen(t)
	}
	raw, err := os.ReadFile(specimenFile)
	if err != nil {
		t.Fatal(err)
	}
	var want specimen
	if err := json.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	meta := memory.NewMeta()
	var b engine.Batch
	for key, value := range want.Records {
		v, err := hex.DecodeString(value)
		if err != nil {
			t.Fatal(err)
		}
		b.Set([]byte(key), v)
	}
	if err := meta.Commit(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	s, err := kms.Open(t.Context(), kms.Config{Meta: meta, Secrets: clear{}, Principals: people{}, Region: region})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	all := authztest.Grant(t, "kms:*", "*")
	k, err := s.Find(want.Alias, account, region)
	if err != nil || k.ARN != want.KeyARN || len(k.Materials) != want.Materials {
		t.Fatalf("%+v %v", k, err)
	}
	if list, err := s.ListGrants(all, k, "", ""); err != nil || len(list) != want.Grants {
		t.Errorf("%v %v", list, err)
	}
	for i, blob := range want.Ciphertexts {
		sealed, _ := hex.DecodeString(blob)
		plain, _, err := s.Decrypt(t.Context(), all, sealed, want.Context)
		if err != nil || hex.EncodeToString(plain) != want.Plaintext {
			t.Errorf("ciphertext %d: %x %v", i, plain, err)
		}
	}
}

func writeSpecimen(t *testing.T) {
	t.Helper()
	ctx, meta := t.Context(), memory.NewMeta()
	alice := "arn:aws:iam::" + account + ":user/alice"
	s, err := kms.Open(ctx, kms.Config{
		Meta: meta, Secrets: clear{}, Principals: people{alice: "AIDAALICEXXXXXXXXXXXX"}, Region: region,
		Now: func() time.Time { return time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	all := authztest.Grant(t, "kms:*", "*")
	k, err := s.Create(ctx, all, kms.NewKey{Account: account, Description: "a specimen", Tags: []kms.Tag{{Key: "a", Value: "b"}}})
	if err != nil {
		t.Fatal(err)
	}
	out := specimen{
		Records: map[string]string{}, Context: map[string]string{"team": "red", "aws:s3:arn": "arn:aws:s3:::b/k"}, Plaintext: hex.EncodeToString([]byte("a specimen")),
		KeyARN: k.ARN, Alias: "alias/specimen", Grants: 1, Materials: 2,
	}
	seal := func() {
		now, err := s.Find(k.ID, account, region)
		if err != nil {
			t.Fatal(err)
		}
		blob, err := s.Encrypt(ctx, all, kms.Sealing{Key: now, Context: out.Context}, []byte("a specimen"))
		if err != nil {
			t.Fatal(err)
		}
		out.Ciphertexts = append(out.Ciphertexts, hex.EncodeToString(blob))
	}
	seal()
	if err := s.Rotate(ctx, all, k.ID); err != nil {
		t.Fatal(err)
	}
	seal()
	if err := s.CreateAlias(ctx, all, account, out.Alias, k.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.CreateGrant(ctx, all, k.ID, kms.NewGrant{Name: "n", Grantee: alice, Operations: []string{"Decrypt"}, Subset: map[string]string{"team": "red"}}, false); err != nil {
		t.Fatal(err)
	}
	it, err := meta.Scan(ctx, []byte("kms/"), []byte("kms0"))
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	for it.Next() {
		out.Records[string(it.Key())] = hex.EncodeToString(it.Value())
	}
	raw, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(specimenFile, append(raw, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestDamagedRecordsAreRefused: a store whose records do not decode does not open.
func TestDamagedRecordsAreRefused(t *testing.T) {
	h := newHarness(t)
	k := h.create(kms.NewKey{})
	for key, value := range map[string]string{
		"kms/k/" + k.ID: `{"Format":2}`, "kms/k/x": `{}`, "kms/a/x": `{"Format":1}`, "kms/g/x": `[]`, "kms/n": "many",
	} {
		old, version, err := h.meta.Get(t.Context(), []byte(key), nil)
		if err != nil {
			t.Fatal(err)
		}
		var b, back engine.Batch
		b.Set([]byte(key), []byte(value))
		if version == 0 {
			back.Delete([]byte(key))
		} else {
			back.Set([]byte(key), old)
		}
		if err := h.meta.Commit(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		if s, err := kms.Open(t.Context(), kms.Config{Meta: h.meta, Secrets: h.ring, Principals: h.people, Region: region}); err == nil {
			_ = s.Close()
			t.Errorf("%s of %s was taken", key, value)
		}
		if err := h.meta.Commit(t.Context(), &back); err != nil {
			t.Fatal(err)
		}
	}
}
