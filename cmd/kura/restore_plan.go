package main

import (
	"cmp"
	"context"
	"encoding/xml"
	"net/url"
	"slices"
	"strings"
	"time"
)

// step is what undoing takes for one key.
type step struct {
	Key    string `json:"key"`
	Action string `json:"action"` // "restore" or "hide"
	// VersionID, Modified and Size of the version that comes back.
	VersionID string     `json:"versionId,omitempty"`
	Modified  *time.Time `json:"modified,omitempty"`
	Size      int64      `json:"size,omitempty"`
	Error     string     `json:"error,omitempty"`

	class   string
	current string // ETag of what is current; "" when nothing is
	same    bool   // the content is already that of the version
}

const (
	actionRestore = "restore"
	actionHide    = "hide"
)

// eachKey walks the bucket and gives each key's versions, newest first. Memory holds a page and the
// versions of one key.
func (c *client) eachKey(ctx context.Context, bucket, prefix string, fn func([]keyVersion) error) error {
	query := url.Values{"versions": {""}, "encoding-type": {"url"}, "prefix": {prefix}}
	var key []keyVersion
	for {
		_, body, err := c.do(ctx, "GET", bucket, "", query, nil)
		if err != nil {
			return err
		}
		var page versionsPage
		if err := xml.Unmarshal(body, &page); err != nil {
			return err
		}
		listed, err := page.all()
		if err != nil {
			return err
		}
		for _, v := range listed {
			if len(key) > 0 && key[0].Key != v.Key {
				if err := fn(key); err != nil {
					return err
				}
				key = key[:0]
			}
			key = append(key, v)
		}
		if !page.IsTruncated {
			break
		}
		marker, err := url.QueryUnescape(page.NextKeyMarker)
		if err != nil {
			return err
		}
		query.Set("key-marker", marker)
		query.Del("version-id-marker")
		if page.NextVersionIDMarker != "" {
			query.Set("version-id-marker", page.NextVersionIDMarker)
		}
	}
	if len(key) > 0 {
		return fn(key)
	}
	return nil
}

// all puts versions and markers together, by key and newest first.
func (p *versionsPage) all() ([]keyVersion, error) {
	out := make([]keyVersion, 0, len(p.Versions)+len(p.Markers))
	latest := map[string]string{}
	for i, list := range [][]listedVersion{p.Versions, p.Markers} {
		for _, v := range list {
			key, err := url.QueryUnescape(v.Key)
			if err != nil {
				return nil, err
			}
			if v.IsLatest {
				latest[key] = v.VersionID
			}
			out = append(out, keyVersion{
				Key: key, VersionID: v.VersionID, Marker: i == 1, Modified: v.LastModified,
				ETag: strings.Trim(v.ETag, `"`), Size: v.Size, Class: v.StorageClass,
			})
		}
	}
	// The listing tells versions and markers apart, and so not which of two of one second is newer; a
	// stable sort keeps the order within each, and what is current comes first.
	slices.SortStableFunc(out, func(a, b keyVersion) int {
		current := func(v keyVersion) int {
			if latest[v.Key] == v.VersionID {
				return 0
			}
			return 1
		}
		return cmp.Or(strings.Compare(a.Key, b.Key), cmp.Compare(current(a), current(b)), b.Modified.Compare(a.Modified))
	})
	return out, nil
}

// planKey says what makes a key again what it was at a time; nil: nothing.
func planKey(versions []keyVersion, at time.Time) *step {
	now := versions[0]
	var then *keyVersion
	for i := range versions {
		if !versions[i].Modified.After(at) {
			then = &versions[i]
			break
		}
	}
	there := then != nil && !then.Marker
	s := &step{Key: now.Key, current: now.ETag}
	switch {
	case !there && now.Marker, there && then.VersionID == now.VersionID:
		return nil
	case !there:
		s.Action = actionHide
		return s
	}
	s.Action, s.VersionID, s.Modified, s.Size, s.class = actionRestore, then.VersionID, &then.Modified, then.Size, then.Class
	s.same = !now.Marker && now.ETag == then.ETag && now.Size == then.Size
	return s
}
