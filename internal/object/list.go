package object

import (
	"bytes"
	"context"
	"encoding/hex"
	"strconv"
	"strings"

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
	l := lister{page: page, bucket: b, roll: in.roll(), limit: limit}
	if err := l.walk(it); err != nil {
		return nil, s.noticeDamage(err)
	}
	l.finish()
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

// lister fills a page. The texts of a page share one allocation.
type lister struct {
	page   *ListPage
	bucket *Bucket
	roll   rollup
	limit  int

	text  []byte
	spans []span
	last  []byte
}

// span is where an object's key and ETag stand in the text.
type span struct{ start, key, etag int }

func (l *lister) walk(it engine.Iterator) error {
	ok := it.Next()
	for ok {
		key := it.Key()[rowPrefix:]
		if len(l.page.Objects)+len(l.page.Prefixes) == l.limit {
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
	if l.page.Objects == nil {
		l.page.Objects = make([]Info, 0, min(l.limit, 64))
		l.text = make([]byte, 0, 64*min(l.limit, 64))
	}
	start := len(l.text)
	l.text = append(l.text, key...)
	mid := len(l.text)
	l.text = hex.AppendEncode(l.text, r.md5[:])
	if r.parts > 0 {
		l.text = strconv.AppendInt(append(l.text, '-'), int64(r.parts), 10)
	}
	l.spans = append(l.spans, span{start, mid, len(l.text)})
	l.last = append(l.last[:0], key...)

	l.page.Objects = append(l.page.Objects, Info{
		Bucket: l.bucket.Name, Latest: true, Versioned: l.bucket.Versioning != Unversioned,
		Size: r.size, Modified: r.time(), Owner: l.bucket.Owner, Parts: r.parts, Encryption: "AES256",
		Checksum:   Checksum{Algorithm: r.checksum.Algorithm, Composite: r.checksum.Composite},
		Attributes: Attributes{StorageClass: r.class},
	})
	if r.owner != nil {
		l.page.Objects[len(l.page.Objects)-1].Owner = *r.owner
	}
	return nil
}

func (l *lister) finish() {
	text := string(l.text)
	for i, sp := range l.spans {
		l.page.Objects[i].Key = text[sp.start:sp.key]
		l.page.Objects[i].ETag = text[sp.key:sp.etag]
	}
	if l.page.Truncated {
		l.page.Next = string(l.last)
	}
}
