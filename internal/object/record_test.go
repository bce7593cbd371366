package object

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var rewrite = flag.Bool("rewrite", false, "write the specimens of the record formats anew")

// specimens are one record of each kind, as they are on disk, by name and format number.
func specimens() map[string][]byte {
	nonce := [nonceSize]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
	sum := digest{0xd4, 0x1d, 0x8c}
	attrs := Attributes{ContentType: "text/plain", ContentEncoding: "gzip", ContentDisposition: "inline", ContentLanguage: "en",
		CacheControl: "no-cache", Expires: "0", WebsiteRedirect: "/x", User: []Tag{{"color", "red"}}}
	checksum := Checksum{Algorithm: CRC64NVME, Value: []byte{1, 2, 3, 4, 5, 6, 7, 8}}
	inline := body{kind: bodyInline, id: 1<<40 + 7, sealing: sealedByStore, wrapped: []byte("wrapped key")}
	blob := body{kind: bodyBlob, id: 1<<40 + 8, sealing: sealedByStore, wrapped: []byte("wrapped key"), ref: "segment 7"}
	manifest := body{kind: bodyManifest, id: 1<<40 + 9, pages: []page{{256, 1 << 31}, {300, 1<<31 + 5}}}
	object := record{seq: 3, nonce: nonce, modified: 1700000000123, size: 11, md5: sum, checksum: checksum, class: "STANDARD_IA",
		owner: &alice, body: inline, attrs: attrs, tags: []Tag{{"team", "red"}, {"", ""}}, acl: []byte("acl")}
	bare := record{seq: 1, null: true, modified: 1700000000123, md5: sum, checksum: Checksum{Algorithm: SHA1, Value: make([]byte, 20)}}
	multi := record{seq: 2, nonce: nonce, size: 1<<31 + 5, md5: sum, parts: 300, checksum: Checksum{Algorithm: CRC32, Composite: true, Value: []byte{1, 2, 3, 4}}, body: manifest}
	marker := record{seq: 9, nonce: nonce, modified: 1700000000123, marker: true}
	replica, copied := object, marker
	replica.replication = replication{status: Replica, origin: 77}
	copied.replication = replication{status: ReplicationCompleted}
	part := partRecord{number: 10000, size: 5 << 20, md5: sum, modified: 1700000000123, checksum: checksum, body: blob}
	upload := uploadRecord{nonce: nonce, initiated: 1700000000123, checksum: SHA256, asked: true, owner: alice,
		initiator: Initiator{"AIDA", "ann"}, class: "GLACIER", attrs: attrs, tags: []Tag{{"a", "b"}}}
	uploadACL := upload
	uploadACL.acl = []byte("acl")
	locked := multi
	locked.lock = Lock{Mode: Compliance, Until: time.UnixMilli(1800000000456).UTC(), Hold: HoldOn}
	restored := bare
	restored.class, restored.restored = "GLACIER", time.UnixMilli(1800000000456).UTC()
	held := bare
	held.lock.Hold = HoldOff
	uploadLock := upload
	uploadLock.lock = Lock{Mode: Governance, Until: time.UnixMilli(1800000000456).UTC()}
	sealed := &Sealed{Encryption: DSSEKMS, KeyARN: "arn:aws:kms:us-east-1:111122223333:key/k", Wrapped: []byte("wrapped by KMS"), Context: []Tag{{"a", "b"}}, BucketKey: true}
	kms := record{seq: 4, nonce: nonce, modified: 1700000000123, size: 11, md5: sum, checksum: Checksum{Algorithm: CRC32}, sum: []byte("sealed checksum"), sealed: sealed,
		body: body{kind: bodyBlob, id: 1<<40 + 8, sealing: sealedTwice, wrapped: []byte("wrapped key"), outer: []byte("outer key"), ref: "segment 7"}}
	sealedPart := partRecord{number: 7, size: 5 << 20, md5: sum, modified: 1700000000123, checksum: Checksum{Algorithm: CRC32}, sum: []byte("sealed checksum"),
		body: body{kind: bodyInline, id: 1<<40 + 9, sealing: sealedByObject, wrapped: []byte("wrapped key")}}
	uploadSealed := upload
	uploadSealed.sealed = &Sealed{Encryption: SSEC, Wrapped: []byte("salt"), Check: []byte("check")}
	finished := finishedRecord{nonce: nonce, completed: 1700000000123, bucket: 4, key: "a/b", version: multi.append(nil)}
	return map[string][]byte{
		"version-1-object": object.append(nil), "version-1-null": bare.append(nil), "version-1-multipart": multi.append(nil),
		"version-1-marker": marker.append(nil),
		"version-2-locked": locked.append(nil), "version-2-held": held.append(nil), "version-2-restored": restored.append(nil),
		"version-2-replica": replica.append(nil), "version-2-marker": copied.append(nil), "part-1": encodePart(&part, 4), "page-1": encodePage([]partRecord{part, {number: 10001, body: inline}}),
		"version-2-sealed": kms.append(nil), "part-1-sealed": encodePart(&sealedPart, 4), "upload-3-sealed": uploadSealed.encode(),
		"upload-1": upload.encode(), "upload-2": uploadACL.encode(), "upload-3": uploadLock.encode(), "finished-1": finished.encode(), "intent-1": encodeIntent("segment 7"),
		"trash-1-blob":     (&trash{kind: trashBlob, about: 5, ref: "segment 7"}).encode(),
		"trash-1-manifest": (&trash{kind: trashManifest, about: 5, pages: 40}).encode(),
		"trash-1-upload":   (&trash{kind: trashUpload, about: 6}).encode(),
		"trash-1-bucket":   (&trash{kind: trashBucket, about: 7}).encode(),
	}
}

// recode decodes a record of the named kind and encodes it again.
func recode(name string, raw []byte) ([]byte, error) {
	kind, _, _ := strings.Cut(name, "-")
	switch kind {
	case "version":
		var r record
		err := r.decode(raw)
		return r.append(nil), err
	case "part":
		p, bucket, err := decodePart(raw)
		return encodePart(&p, bucket), err
	case "page":
		parts, err := decodePage(raw)
		return encodePage(parts), err
	case "upload":
		u, err := decodeUpload(raw)
		return u.encode(), err
	case "finished":
		f, err := decodeFinished(raw)
		return f.encode(), err
	case "trash":
		t, err := decodeTrash(1, raw)
		return t.encode(), err
	case "intent":
		ref, err := decodeIntent(raw)
		return encodeIntent(ref), err
	}
	return nil, fmt.Errorf("no records are called %q", name)
}

// TestSpecimens: what an earlier Kura wrote reads the same for ever. A new format gets a new number
// and a new specimen; the old ones stay.
func TestSpecimens(t *testing.T) {
	for name, raw := range specimens() {
		path := filepath.Join("testdata", name+".hex")
		if *rewrite {
			if err := os.WriteFile(path, []byte(hex.EncodeToString(raw)+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		stored, err := hex.DecodeString(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(stored, raw) {
			t.Errorf("%s is written as %x, the specimen is %x", name, raw, stored)
		}
		again, err := recode(name, stored)
		if err != nil || !bytes.Equal(again, stored) {
			t.Errorf("%s reads and writes back as %x, %v", name, again, err)
		}
		for n := range stored {
			if _, err := recode(name, stored[:n]); err == nil {
				t.Errorf("%s cut to %d bytes decodes", name, n)
			}
		}
		if _, err := recode(name, append(bytes.Clone(stored), 0)); err == nil {
			t.Errorf("%s with a byte more decodes", name)
		}
	}
}

func FuzzRecords(f *testing.F) {
	for name, raw := range specimens() {
		kind, _, _ := strings.Cut(name, "-")
		f.Add(kind, raw)
	}
	f.Fuzz(func(t *testing.T, kind string, raw []byte) {
		again, err := recode(kind, raw)
		if err != nil {
			return
		}
		// Another spelling of the same record may come in; what we write reads back the same.
		third, err := recode(kind, again)
		if err != nil || !bytes.Equal(third, again) {
			t.Errorf("%s %x: written as %x, then as %x, %v", kind, raw, again, third, err)
		}
	})
}

// TestEscapedKeysKeepTheirOrder: rows of escaped keys sort as the keys do.
func TestEscapedKeysKeepTheirOrder(t *testing.T) {
	keys := []string{"\x00", "\x00\x00", "\x00\x01", "\x00\xff", "\x01", "a", "a\x00", "a\x00\x00b", "a\x00\x01", "a\x00\xff", "a\x01", "aa", "b", "\xff"}
	for i, a := range keys {
		row := versionKey(1, a, 5)
		got, seq, ok := cutNumbered(row[rowPrefix:])
		if !ok || string(got) != a || ^seq != 5 {
			t.Errorf("%q reads back as %q, %d", a, got, seq)
		}
		for j, b := range keys {
			// Newer first within a key, and all of a key before the next.
			if order := bytes.Compare(row, versionKey(1, b, 4)); (i <= j) != (order < 0) {
				t.Errorf("%q and %q are in the wrong order", a, b)
			}
		}
	}
	for _, bad := range []string{"", "a", "a\x00", "a\x00\x02", "a\x00\x01", "a\x00\x01123456789"} {
		if _, _, ok := cutNumbered([]byte(bad)); ok {
			t.Errorf("%q is taken for a row", bad)
		}
	}
}

func TestVersionIDs(t *testing.T) {
	nonce := [nonceSize]byte{0xff, 1}
	id := versionID(42, &nonce)
	seq, got, err := parseVersionID(id)
	if err != nil || seq != 42 || got != nonce || len(id) != versionIDLen {
		t.Errorf("%s is %d, %x, %v", id, seq, got, err)
	}
	for _, bad := range []string{"", "null", id[1:], id + "0", strings.ToUpper(id), strings.Repeat("i", 32), strings.Repeat("\n", 32)} {
		if _, _, err := parseVersionID(bad); err == nil {
			t.Errorf("%q is taken for a version id", bad)
		}
	}
}

func TestCombinedCRCs(t *testing.T) {
	for _, a := range []Algorithm{CRC32, CRC32C, CRC64NVME} {
		for _, n := range []int{0, 1, 7, 1000, 70_000} {
			x, y := pattern(1, 333), pattern(2, n)
			if got, want := combineCRC(a, a.sum(x), a.sum(y), int64(n)), a.sum(append(x, y...)); !bytes.Equal(got, want) {
				t.Errorf("%s of 333 and %d bytes: %x, want %x", a, n, got, want)
			}
		}
	}
	for a, want := range map[Algorithm]string{CRC32: "cbf43926", CRC32C: "e3069283", CRC64NVME: "ae8b14860a799888"} {
		if got := hex.EncodeToString(a.sum([]byte("123456789"))); got != want {
			t.Errorf("%s: %s, want %s", a, got, want)
		}
	}
}

func TestBucketNames(t *testing.T) {
	for _, good := range []string{"abc", "a-b.c", "123", "1.2.3", strings.Repeat("a", 63), "a.1.2.3"} {
		if err := CheckBucketName(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "ab", strings.Repeat("a", 64), "Abc", "a_b", "-ab", "ab-", ".ab", "a..b", "192.168.1.1", "999.168.1.1", "xn--abc", "sthree-a",
		"amzn-s3-demo-x", "abc-s3alias", "abc--ol-s3", "abc.mrap", "abc--x-s3", "abc--table-s3", "a/b", "aé", "a\x00b", "::1"} {
		if err := CheckBucketName(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestBucketsSurviveAndStayApart(t *testing.T) {
	f := newFixture(t)
	b := f.bucket("b-1", Unversioned)
	f.put("b-1", "k", smallData)
	changed, err := f.store.UpdateBucket(t.Context(), f.grant, "s3:PutBucketPolicy", "b-1", func(b *Bucket) error {
		b.Settings["policy"] = []byte("{}")
		b.Tags = []Tag{{"a", "b"}}
		b.ID, b.Name, b.Owner = 99, "other", bob // not what a change can change
		return nil
	})
	if err != nil || changed.ID != b.ID || changed.Name != "b-1" || changed.Owner != alice || len(b.Settings) != 0 {
		t.Fatalf("%+v, %v", changed, err)
	}
	_, err = f.store.UpdateBucket(t.Context(), f.grant, "s3:PutBucketVersioning", "b-1", func(b *Bucket) error { b.Versioning = VersioningSuspended; return nil })
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.store.UpdateBucket(t.Context(), f.grant, "s3:PutBucketVersioning", "b-1", func(b *Bucket) error { b.Versioning = Unversioned; return nil })
	f.want(err, InvalidBucketState)
	_, err = f.store.CreateBucket(t.Context(), f.grant, CreateBucketInput{Name: "b-1", Owner: alice})
	f.want(err, BucketOwned)
	_, err = f.store.CreateBucket(t.Context(), f.grant, CreateBucketInput{Name: "b-1", Owner: bob})
	f.want(err, BucketExists)
	f.reopen()
	again, err := f.store.Bucket("b-1")
	if err != nil || string(again.Settings["policy"]) != "{}" || !reflect.DeepEqual(again.Tags, []Tag{{"a", "b"}}) || again.Versioning != VersioningSuspended {
		t.Errorf("%+v, %v", again, err)
	}
	f.want(f.store.DeleteBucket(t.Context(), f.grant, "b-1"), BucketNotEmpty)
	if _, err := f.store.Delete(t.Context(), f.grant, &DeleteInput{Bucket: "b-1", Key: "k", VersionID: NullVersion}); err != nil {
		t.Fatal(err)
	}
	if err := f.store.DeleteBucket(t.Context(), f.grant, "b-1"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.tryPut(&PutInput{Bucket: "b-1", Key: "k", Body: bytes.NewReader(nil)}); err == nil {
		t.Error("a deleted bucket takes objects")
	}
	if f.bucket("b-1", Unversioned).ID == b.ID {
		t.Error("a bucket's id was used again")
	}
	f.settle()
	f.check()
}

// TestBucketLimit counts an account's buckets, not everybody's.
func TestBucketLimit(t *testing.T) {
	f := newFixture(t)
	f.store.maxBuckets = 2
	f.bucket("b-1", Unversioned)
	f.bucket("b-2", Unversioned)
	_, err := f.store.CreateBucket(t.Context(), f.grant, CreateBucketInput{Name: "b-3", Owner: alice})
	f.want(err, TooManyBuckets)
	if _, err := f.store.CreateBucket(t.Context(), f.grant, CreateBucketInput{Name: "b-4", Owner: bob}); err != nil {
		t.Error(err)
	}
	if err := f.store.DeleteBucket(t.Context(), f.grant, "b-1"); err != nil {
		t.Fatal(err)
	}
	f.bucket("b-3", Unversioned)
	list, err := f.store.ListBuckets(t.Context(), f.grant, alice.Account)
	if err != nil || len(list) != 2 || list[0].Name != "b-2" || list[1].Name != "b-3" {
		t.Errorf("%v, %v", list, err)
	}
}

// TestOtherNode: what another node commits about a bucket is seen through Watch.
func TestOtherNode(t *testing.T) {
	f := newFixture(t)
	f.bucket("b-1", Unversioned)
	other := newFixtureOn(t, f.meta, f.blob, f.ring)
	other.versioning("b-1", VersioningEnabled)
	// This node has not heard yet: its commit meets the changed record and is made anew.
	if info := f.put("b-1", "k", smallData); info.VersionID == NullVersion {
		t.Errorf("written as the null version of a versioned bucket: %+v", info)
	}
}
