package object

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
)

// model is S3's versioning told as simply as possible: for each key its versions, newest first.
type model struct {
	versioning Versioning
	keys       map[string][]modelVersion
}

type modelVersion struct {
	id     string
	marker bool
	data   []byte
}

func (m *model) current(key string) *modelVersion {
	if v := m.keys[key]; len(v) > 0 && !v[0].marker {
		return &v[0]
	}
	return nil
}

// add puts v in front, as the state of versioning wants it.
func (m *model) add(key string, v modelVersion) {
	if m.versioning != VersioningEnabled {
		m.remove(key, NullVersion)
	}
	m.keys[key] = append([]modelVersion{v}, m.keys[key]...)
}

func (m *model) remove(key, id string) (was *modelVersion) {
	for i, v := range m.keys[key] {
		if v.id == id {
			m.keys[key] = slices.Delete(slices.Clone(m.keys[key]), i, i+1)
			return &v
		}
	}
	return nil
}

// row is what a listing shows, in words.
func (m *model) rows() (rows []string) {
	keys := make([]string, 0, len(m.keys))
	for k := range m.keys {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		for i, v := range m.keys[k] {
			rows = append(rows, versionRow(k, v.id, v.marker, i == 0, md5Hex(v.data)))
		}
	}
	return rows
}

func versionRow(key, id string, marker, latest bool, etag string) string {
	if marker {
		etag = ""
	}
	return fmt.Sprintf("%q %s marker=%v latest=%v %s", key, id, marker, latest, etag)
}

func infoRow(i *Info) string {
	return versionRow(i.Key, i.VersionID, i.DeleteMarker, i.Latest, i.ETag)
}

var modelKeys = []string{"a", "a\x00", "a\x00\x01b", "a/", "a/b", "a/b/c", "a/c", "b", "b\xc3\xa9", "b/", "\x00", "z//z", "z/z", "~"}

func TestVersionsAgainstModel(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newModelWalk(t, seed)
			for step := range 250 {
				w.step()
				if step%25 == 0 {
					w.compare()
				}
			}
			w.compare()
			w.f.settle()
			sum := w.f.check()
			if want := len(w.m.rows()); int(sum.Objects+sum.Versions+sum.Markers) != want {
				t.Errorf("doctor counts %+v, want %d in all", sum, want)
			}
			w.f.reopen()
			w.compare()
			w.empty()
		})
	}
}

// modelWalk does the same to a store and to the model.
type modelWalk struct {
	t    *testing.T
	f    *fixture
	m    *model
	rand *rand.Rand
	ids  []string // every version id seen
}

func newModelWalk(t *testing.T, seed uint64) *modelWalk {
	w := &modelWalk{t: t, f: newFixture(t), m: &model{keys: map[string][]modelVersion{}}, rand: rand.New(rand.NewPCG(seed, 1))}
	w.f.bucket("model", Unversioned)
	w.ids = []string{NullVersion}
	return w
}

func (w *modelWalk) key() string { return modelKeys[w.rand.IntN(len(modelKeys))] }

func (w *modelWalk) step() {
	switch n := w.rand.IntN(20); {
	case n == 0:
		next := Versioning(1 + w.rand.IntN(2))
		w.f.versioning("model", next)
		w.m.versioning = next
	case n < 9:
		w.put(w.key())
	case n < 12:
		w.delete(&DeleteInput{Bucket: "model", Key: w.key()})
	case n < 16:
		w.delete(&DeleteInput{Bucket: "model", Key: w.key(), VersionID: w.ids[w.rand.IntN(len(w.ids))]})
	case n < 18:
		w.deleteMany()
	default:
		w.get(w.key(), w.ids[w.rand.IntN(len(w.ids))])
	}
}

func (w *modelWalk) put(key string) {
	data := pattern(byte(w.rand.IntN(256)), w.rand.IntN(50))
	if w.rand.IntN(8) == 0 {
		data = pattern(3, DefaultInlineMax+w.rand.IntN(100))
	}
	var cond Precondition
	cur := w.m.current(key)
	switch w.rand.IntN(6) {
	case 0:
		cond.IfNoneMatch = true
	case 1:
		cond.IfMatch = "0123"
		if cur != nil && w.rand.IntN(3) > 0 {
			cond.IfMatch = md5Hex(cur.data)
		}
	}
	info, err := w.f.tryPut(&PutInput{Bucket: "model", Key: key, Body: bytes.NewReader(data), Size: int64(len(data)), If: cond, Owner: alice})
	if w.refused(err, cond, cur) {
		return
	}
	w.m.add(key, modelVersion{id: info.VersionID, data: data})
	w.ids = append(w.ids, info.VersionID)
}

// refused says whether the condition must have failed, and holds err to it.
func (w *modelWalk) refused(err error, cond Precondition, cur *modelVersion) bool {
	w.t.Helper()
	want := fault.Kind("")
	switch {
	case cond.IfNoneMatch && cur != nil, cond.IfMatch != "" && cur != nil && cond.IfMatch != md5Hex(cur.data):
		want = PreconditionFailed
	case cond.IfMatch != "" && cur == nil:
		want = NoSuchKey
	}
	if fault.Of(err) != want || want == "" && err != nil {
		w.t.Fatalf("condition %+v on %v: error %v, want %q", cond, cur, err, want)
	}
	return want != ""
}

func (w *modelWalk) delete(in *DeleteInput) {
	w.t.Helper()
	got, err := w.f.store.Delete(w.t.Context(), w.f.grant, in)
	if err != nil {
		w.t.Fatalf("delete %+v: %v", in, err)
	}
	w.deleted(in, got)
}

func (w *modelWalk) deleted(in *DeleteInput, got *DeleteResult) {
	w.t.Helper()
	want := DeleteResult{VersionID: in.VersionID}
	switch {
	case in.VersionID != "":
		if was := w.m.remove(in.Key, in.VersionID); was != nil {
			want.DeleteMarker = was.marker
		}
	case w.m.versioning == Unversioned:
		w.m.remove(in.Key, NullVersion)
	default:
		want = DeleteResult{VersionID: got.VersionID, DeleteMarker: true}
		if (w.m.versioning == VersioningSuspended) != (got.VersionID == NullVersion) {
			w.t.Fatalf("delete made the marker %q", got.VersionID)
		}
		w.m.add(in.Key, modelVersion{id: got.VersionID, marker: true})
		w.ids = append(w.ids, got.VersionID)
	}
	if *got != want {
		w.t.Fatalf("delete %+v: %+v, want %+v", in, got, want)
	}
}

// deleteMany comes back to the same keys often.
func (w *modelWalk) deleteMany() {
	keys := modelKeys[:2+w.rand.IntN(len(modelKeys)-2)]
	var in []*DeleteInput
	for range 1 + w.rand.IntN(12) {
		d := &DeleteInput{Bucket: "model", Key: keys[w.rand.IntN(len(keys))]}
		if w.rand.IntN(2) == 0 {
			d.VersionID = w.ids[w.rand.IntN(len(w.ids))]
			if v := w.m.keys[d.Key]; len(v) > 0 && w.rand.IntN(4) > 0 {
				d.VersionID = v[w.rand.IntN(len(v))].id
			}
		}
		in = append(in, d)
	}
	out := w.f.store.DeleteMany(w.t.Context(), slices.Repeat([]authz.Grant{w.f.grant}, len(in)), in)
	for i := range in {
		if out[i].Err != nil {
			w.t.Fatalf("delete %+v: %v", in[i], out[i].Err)
		}
		w.deleted(in[i], out[i].Result)
	}
}

func (w *modelWalk) get(key, id string) {
	w.t.Helper()
	o, data, err := w.f.get(&GetInput{Bucket: "model", Key: key, VersionID: id})
	i := slices.IndexFunc(w.m.keys[key], func(v modelVersion) bool { return v.id == id })
	if i < 0 {
		w.f.want(err, NoSuchVersion)
		return
	}
	v := w.m.keys[key][i]
	if v.marker {
		w.f.want(err, IsDeleteMarker)
		if !o.DeleteMarker || o.VersionID != id || o.Latest != (i == 0) {
			w.t.Fatalf("marker %q %s: %+v", key, id, o.Info)
		}
		return
	}
	if err != nil || !bytes.Equal(data, v.data) || o.VersionID != id || o.Latest != (i == 0) {
		w.t.Fatalf("get %q %s: %+v, %v", key, id, o, err)
	}
}

// compare reads everything in every way.
func (w *modelWalk) compare() {
	w.t.Helper()
	if got, want := w.listVersions("", "", 1+w.rand.IntN(7)), w.m.rows(); !slices.Equal(got, want) {
		w.t.Fatalf("versions:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, key := range modelKeys {
		o, data, err := w.f.get(&GetInput{Bucket: "model", Key: key})
		cur := w.m.current(key)
		if cur == nil {
			w.f.want(err, NoSuchKey)
			if marked := len(w.m.keys[key]) > 0; marked != (o != nil) || marked && !o.DeleteMarker {
				w.t.Fatalf("%q: marked %v, object %+v", key, marked, o)
			}
		} else if err != nil || !bytes.Equal(data, cur.data) || o.VersionID != cur.id {
			w.t.Fatalf("get %q: %+v, %v", key, o, err)
		}
		for _, v := range w.m.keys[key] {
			w.get(key, v.id)
		}
	}
	w.compareLists()
}

func (w *modelWalk) listVersions(prefix, delimiter string, size int) (rows []string) {
	w.t.Helper()
	in := &ListVersionsInput{Bucket: "model", Prefix: prefix, Delimiter: delimiter, Max: size}
	for range 1000 {
		page, err := w.f.store.ListVersions(w.t.Context(), w.f.grant, in)
		if err != nil {
			w.t.Fatal(err)
		}
		if n := len(page.Versions) + len(page.Prefixes); n > size || page.Truncated && n != size {
			w.t.Fatalf("a page of %d has %d", size, n)
		}
		for i := range page.Versions {
			rows = append(rows, infoRow(&page.Versions[i]))
		}
		for _, p := range page.Prefixes {
			rows = append(rows, fmt.Sprintf("prefix %q", p))
		}
		if !page.Truncated {
			return rows
		}
		in.KeyMarker, in.VersionIDMarker = page.NextKeyMarker, page.NextVersionIDMarker
	}
	w.t.Fatal("the listing does not end")
	return nil
}

// compareLists holds List, and ListVersions with delimiters, to what a loop over all keys says.
func (w *modelWalk) compareLists() {
	w.t.Helper()
	for _, prefix := range []string{"", "a", "a/", "a\x00", "b", "z/", "nothing"} {
		for _, delimiter := range []string{"", "/", "b", "//"} {
			for _, after := range []string{"", "a", "a/", "a/b", "a\x00", "b", "z/", "zz", "\xff"} {
				want := w.naiveList(prefix, delimiter, after)
				got := w.list(prefix, delimiter, after, 1+w.rand.IntN(4))
				if !slices.Equal(got, want) {
					w.t.Fatalf("list prefix %q delimiter %q after %q: %q, want %q", prefix, delimiter, after, got, want)
				}
			}
			want := w.naiveVersions(prefix, delimiter)
			got := w.listVersions(prefix, delimiter, 1+w.rand.IntN(5))
			sort.Strings(got)
			sort.Strings(want)
			if !slices.Equal(got, want) {
				w.t.Fatalf("versions prefix %q delimiter %q: %q, want %q", prefix, delimiter, got, want)
			}
		}
	}
}

// item is the key, or the common prefix, under which a key is listed.
func item(key, prefix, delimiter string) string {
	if delimiter != "" {
		if i := strings.Index(key[len(prefix):], delimiter); i >= 0 {
			return "prefix " + key[:len(prefix)+i+len(delimiter)]
		}
	}
	return "object " + key
}

func (w *modelWalk) naiveList(prefix, delimiter, after string) (items []string) {
	keys := slices.Clone(modelKeys)
	sort.Strings(keys)
	for _, key := range keys {
		if w.m.current(key) == nil || !strings.HasPrefix(key, prefix) {
			continue
		}
		it := item(key, prefix, delimiter)
		if it[len("object "):] > after && !slices.Contains(items, it) {
			items = append(items, it)
		}
	}
	return items
}

func (w *modelWalk) naiveVersions(prefix, delimiter string) (rows []string) {
	for key, versions := range w.m.keys {
		if !strings.HasPrefix(key, prefix) {
			continue
		}
		for i, v := range versions {
			row := versionRow(key, v.id, v.marker, i == 0, md5Hex(v.data))
			if it := item(key, prefix, delimiter); strings.HasPrefix(it, "prefix") {
				row = fmt.Sprintf("prefix %q", it[len("prefix "):])
			}
			if !slices.Contains(rows, row) {
				rows = append(rows, row)
			}
		}
	}
	return rows
}

func (w *modelWalk) list(prefix, delimiter, after string, size int) (items []string) {
	w.t.Helper()
	for range 1000 {
		page, err := w.f.store.List(w.t.Context(), w.f.grant, &ListInput{Bucket: "model", Prefix: prefix, Delimiter: delimiter, After: after, Max: size})
		if err != nil {
			w.t.Fatal(err)
		}
		var merged []string
		for i := range page.Objects {
			o := &page.Objects[i]
			if cur := w.m.current(o.Key); cur == nil || o.ETag != md5Hex(cur.data) || o.Size != int64(len(cur.data)) {
				w.t.Fatalf("listed %+v", o)
			}
			merged = append(merged, "object "+o.Key)
		}
		for _, p := range page.Prefixes {
			merged = append(merged, "prefix "+p)
		}
		sort.Slice(merged, func(i, j int) bool { return merged[i][len("object "):] < merged[j][len("object "):] })
		items = append(items, merged...)
		if !page.Truncated {
			return items
		}
		if len(merged) != size {
			w.t.Fatalf("a truncated page of %d has %d", size, len(merged))
		}
		after = page.Next
	}
	w.t.Fatal("the listing does not end")
	return nil
}

// empty deletes every version as clients do: list a page, delete it in one request. Nothing may be
// left anywhere, and the bucket can go.
func (w *modelWalk) empty() {
	w.t.Helper()
	in := &ListVersionsInput{Bucket: "model", Max: 5}
	for {
		page, err := w.f.store.ListVersions(w.t.Context(), w.f.grant, in)
		if err != nil {
			w.t.Fatal(err)
		}
		var del []*DeleteInput
		for _, v := range page.Versions {
			del = append(del, &DeleteInput{Bucket: "model", Key: v.Key, VersionID: v.VersionID})
		}
		if len(del) > 0 {
			w.f.want(w.f.store.DeleteBucket(w.t.Context(), w.f.grant, "model"), BucketNotEmpty)
		}
		for _, out := range w.f.store.DeleteMany(w.t.Context(), slices.Repeat([]authz.Grant{w.f.grant}, len(del)), del) {
			if out.Err != nil {
				w.t.Fatal(out.Err)
			}
		}
		if !page.Truncated {
			break
		}
		in.KeyMarker, in.VersionIDMarker = page.NextKeyMarker, page.NextVersionIDMarker
	}
	w.f.settle()
	for _, space := range []string{spaceHead, spaceMarker, spaceVersion, spaceNull, spaceBody, spaceIntent} {
		if n := w.f.rows(space); n != 0 {
			w.t.Errorf("%d records left in %s", n, space)
		}
	}
	if n := w.f.blobs(); n != 0 {
		w.t.Errorf("%d blobs left", n)
	}
	if err := w.f.store.DeleteBucket(w.t.Context(), w.f.grant, "model"); err != nil {
		w.t.Error(err)
	}
}
