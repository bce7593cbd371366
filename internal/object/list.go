package object

import (
	"bytes"
	"context"
	"encoding/hex"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
)

// List gives a page of current objects and needs s3:ListBucket. Of the Infos it leaves out what S3's
// listings do not show: version id, attributes but the storage class, tags, the checksum's value.
func (s *Store) List(ctx context.Context, g authz.Grant, in *ListInput) (*ListPage, error) {
	if err := g.Require("s3:ListBucket", "arn:aws:s3:::"+in.Bucket); err != nil {
		return nil, err
	}
	b, err := s.Bucket(in.Bucket)
	if err != nil {
		return nil, err
	}
	page := &ListPage{}
	limit := clampPage(in.Max)
	if limit == 0 {
		return page, nil
	}
	lo, hi := prefixRange(headKey(b.ID, in.Prefix))
	from, none := in.roll().start(in.After)
	if none {
		return page, nil
	}
	if from != "" {
		lo = headKey(b.ID, from)
	}
	if hi != nil && bytes.Compare(lo, hi) >= 0 {
		return page, nil
	}
	it, err := s.meta.Scan(ctx, lo, hi)
	if err != nil {
		return nil, stored(err)
	}
	defer it.Close()
	l := lister{page: page, bucket: b, roll: in.roll(), limit: limit, listRoom: listRooms.Get().(*listRoom)}
	err = l.walk(it)
	l.finish()
	if err != nil {
		return nil, s.noticeDamage(err)
	}
	return page, nil
}

// rollup is how a listing folds keys into common prefixes.
type rollup struct{ prefix, delimiter string }

func (in *ListInput) roll() rollup { return rollup{in.Prefix, in.Delimiter} }

// length is that of the common prefix into which key folds, or 0. Key begins with the prefix.
func (r rollup) length(key []byte) int {
	if r.delimiter == "" {
		return 0
	}
	i := bytes.Index(key[len(r.prefix):], []byte(r.delimiter))
	if i < 0 {
		return 0
	}
	return len(r.prefix) + i + len(r.delimiter)
}

// start is the first key that can follow the marker. A common prefix that contains the marker is not
// after it, so neither is anything that folds into it. None: nothing follows.
func (r rollup) start(after string) (from string, none bool) {
	if after == "" || after < r.prefix {
		return "", false
	}
	if !strings.HasPrefix(after, r.prefix) {
		return "", true // after the last key with the prefix
	}
	if n := r.length([]byte(after)); n > 0 {
		end := engine.PrefixEnd([]byte(after[:n]))
		return string(end), end == nil
	}
	return after + "\x00", false
}

// lister fills a page. What it meets is kept small until the page's length is known; the texts of a
// page share one allocation.
type lister struct {
	page   *ListPage
	bucket *Bucket
	roll   rollup
	limit  int

	*listRoom
}

// listRoom is what listings use again.
type listRoom struct {
	entries []entry
	text    []byte
	last    []byte
}

var listRooms = sync.Pool{New: func() any { return new(listRoom) }}

// entry is an object met; key and etag are where its texts end.
type entry struct {
	key, etag int
	size      int64
	modified  int64
	parts     int
	algorithm Algorithm
	composite bool
	class     string
	owner     *Owner
	restored  time.Time
}

func (l *lister) walk(it engine.Iterator) error {
	ok := it.Next()
	for ok {
		key := it.Key()[rowPrefix:]
		if len(l.entries)+len(l.page.Prefixes) == l.limit {
			l.page.Truncated = true
			break
		}
		if n := l.roll.length(key); n > 0 {
			l.page.Prefixes = append(l.page.Prefixes, string(key[:n]))
			l.last = append(l.last[:0], key[:n]...)
			end := engine.PrefixEnd(it.Key()[:rowPrefix+n])
			ok = end != nil && it.SeekGE(end)
			continue
		}
		if err := l.add(key, it.Value()); err != nil {
			return err
		}
		ok = it.Next()
	}
	return it.Err()
}

func (l *lister) add(key, raw []byte) error {
	var r record
	if d, _ := r.decodeSummary(raw); d.bad || r.marker {
		return errRecord
	}
	l.text = append(l.text, key...)
	e := entry{
		key: len(l.text), size: r.size, modified: r.modified, parts: r.parts,
		algorithm: r.checksum.Algorithm, composite: r.checksum.Composite, class: r.class, owner: r.owner, restored: r.restored,
	}
	l.text = hex.AppendEncode(l.text, r.md5[:])
	if r.parts > 0 {
		l.text = strconv.AppendInt(append(l.text, '-'), int64(r.parts), 10)
	}
	e.etag = len(l.text)
	l.entries = append(l.entries, e)
	l.last = append(l.last[:0], key...)
	return nil
}

// finish writes the page and gives the room back.
func (l *lister) finish() {
	if len(l.entries) > 0 {
		l.page.Objects = make([]Info, len(l.entries))
	}
	text := string(l.text)
	start := 0
	for i := range l.entries {
		e, o := &l.entries[i], &l.page.Objects[i]
		o.Bucket, o.Key, o.ETag = l.bucket.Name, text[start:e.key], text[e.key:e.etag]
		o.Versioned, o.Latest = l.bucket.Versioning != Unversioned, true
		o.Size, o.Parts, o.Modified, o.Encryption = e.size, e.parts, time.UnixMilli(e.modified).UTC(), "AES256"
		o.Checksum.Algorithm, o.Checksum.Composite = e.algorithm, e.composite
		o.Attributes.StorageClass, o.Restored = e.class, e.restored
		o.Owner = l.bucket.Owner
		if e.owner != nil {
			o.Owner = *e.owner
		}
		start = e.etag
	}
	if l.page.Truncated {
		l.page.Next = string(l.last)
	}
	clear(l.entries)
	l.entries, l.text, l.last = l.entries[:0], l.text[:0], l.last[:0]
	listRooms.Put(l.listRoom)
}
