package object

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/kura-s3/kura/internal/authz/authztest"
	"github.com/kura-s3/kura/internal/fault"
)

// TestACLRecords: a version with an ACL comes back whole; the stored specimens are one of before there
// were ACLs and one with.
func TestACLRecords(t *testing.T) {
	with := record{seq: 7, null: true, modified: 1700000000000, size: 0, tags: []Tag{{Key: "a", Value: "b"}}, acl: []byte(`{"Format":1}`)}
	without := with
	without.acl = nil
	const (
		old = "01120780d095ffbc3100d41d8cd98f00b204e9800998ecf8427e000000000101610162"
		now = "01320780d095ffbc3100d41d8cd98f00b204e9800998ecf8427e0000000001016101620c7b22466f726d6174223a317d"
	)
	sum, _ := hex.DecodeString("d41d8cd98f00b204e9800998ecf8427e")
	copy(with.md5[:], sum)
	copy(without.md5[:], sum)
	for specimen, r := range map[string]*record{old: &without, now: &with} {
		if got := hex.EncodeToString(r.append(nil)); got != specimen {
			t.Errorf("encoded as %s, want %s", got, specimen)
		}
		raw, _ := hex.DecodeString(specimen)
		var back record
		if err := back.decode(raw); err != nil || !bytes.Equal(back.acl, r.acl) || len(back.tags) != 1 || back.seq != 7 {
			t.Errorf("decoded as %+v, %v", back, err)
		}
		for i := range raw {
			if err := new(record).decode(raw[:i]); err == nil {
				t.Errorf("%d of %d bytes are a record", i, len(raw))
			}
		}
	}
}

// TestUploadRecordsWithACL: an upload's record says by its format number whether an ACL follows.
func TestUploadRecordsWithACL(t *testing.T) {
	for _, acl := range [][]byte{nil, []byte("list")} {
		raw := (&uploadRecord{initiated: 1, checksum: CRC64NVME, acl: acl}).encode()
		u, err := decodeUpload(raw)
		if err != nil || !bytes.Equal(u.acl, acl) {
			t.Errorf("%q came back as %q, %v", acl, u.acl, err)
		}
		if raw[0] != formatUpload && acl == nil {
			t.Errorf("an upload without a list has format %d", raw[0])
		}
	}
}

// TestSetACL: only the version that is named gets it, and reading needs no more than the ACL's action.
func TestSetACL(t *testing.T) {
	s := newFixture(t).store
	ctx, arn := context.Background(), "arn:aws:s3:::bucket/key"
	all := authztest.Grant(t, "s3:*", "*")
	if _, err := s.CreateBucket(ctx, all, CreateBucketInput{Name: "bucket", Owner: alice, Versioning: VersioningEnabled}); err != nil {
		t.Fatal(err)
	}
	var versions []string
	for range 2 {
		info, err := s.Put(ctx, all, &PutInput{Bucket: "bucket", Key: "key", Body: strings.NewReader("x"), Size: 1, ACL: []byte("first"), Owner: bob})
		if err != nil {
			t.Fatal(err)
		}
		versions = append(versions, info.VersionID)
	}
	in := &GetInput{Bucket: "bucket", Key: "key", VersionID: versions[0]}
	if _, err := s.SetACL(ctx, authztest.Grant(t, "s3:PutObjectTagging", arn), "s3:PutObjectVersionAcl", in, nil); err == nil {
		t.Error("a grant for something else set an ACL")
	}
	if _, err := s.SetACL(ctx, authztest.Grant(t, "s3:PutObjectVersionAcl", arn), "s3:PutObjectVersionAcl", in, []byte("second")); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"second", "first"} {
		in.VersionID = versions[i]
		info, err := s.Resolve(ctx, in)
		if err != nil || string(info.ACL) != want || info.Owner.Account != "444455556666" {
			t.Errorf("version %d: %+v, %v", i, info, err)
		}
	}
	in.Key = "nothing"
	if _, err := s.SetACL(ctx, authztest.Grant(t, "s3:PutObjectVersionAcl", "arn:aws:s3:::bucket/nothing"), "s3:PutObjectVersionAcl", in, nil); !fault.Is(err, NoSuchVersion) {
		t.Errorf("a version that is not there: %v", err)
	}
}

// TestAccounts: settings survive a restart, belong to one account, and an update that errs leaves them.
func TestAccounts(t *testing.T) {
	s := newFixture(t).store
	ctx, g := context.Background(), authztest.Grant(t, "s3:PutAccountPublicAccessBlock", "*")
	set := func(value string) func(*Account) error {
		return func(a *Account) error { a.Settings["x"] = []byte(value); return nil }
	}
	if _, err := s.UpdateAccount(ctx, authztest.Grant(t, "s3:GetObject", "*"), "s3:PutAccountPublicAccessBlock", "1", set("no")); err == nil {
		t.Error("a grant for something else changed an account")
	}
	for _, value := range []string{"one", "two"} {
		if a, err := s.UpdateAccount(ctx, g, "s3:PutAccountPublicAccessBlock", "1", set(value)); err != nil || string(a.Settings["x"]) != value {
			t.Fatalf("%+v, %v", a, err)
		}
	}
	failed := errors.New("no")
	if _, err := s.UpdateAccount(ctx, g, "s3:PutAccountPublicAccessBlock", "1", func(a *Account) error { a.Settings["x"][0] = '!'; return failed }); !errors.Is(err, failed) {
		t.Errorf("the error came back as %v", err)
	}
	again, err := Open(ctx, Config{Meta: s.meta, Blob: s.blob, Keys: s.keys})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close(ctx)
	for _, store := range []*Store{s, again} {
		if got := store.Account("1").Settings["x"]; string(got) != "two" {
			t.Errorf("the account has %q", got)
		}
		if got := store.Account("2").Settings; len(got) != 0 {
			t.Errorf("another account has %q", got)
		}
	}
	made := 0
	for range 3 {
		again.Account("1").Memo(func(*Account) any { made++; return nil })
	}
	if made != 1 {
		t.Errorf("a memo was made %d times", made)
	}
	if _, err := s.Check(ctx, func(p Problem) { t.Errorf("%s %s", p.Where, p.What) }); err != nil {
		t.Error(err)
	}
}
