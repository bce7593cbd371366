package s3

import (
	"bytes"
	"net/http/httptest"
	"strings"
	"testing"
)

// atRead does something before a request reads an object for the nth time.
func (h *harness) atRead(n int, key string, do func()) {
	before := func(read []byte) {
		if !bytes.HasSuffix(read, []byte(key)) {
			return
		}
		if n--; n == 0 {
			h.meta.before.Store(nil)
			do()
		}
	}
	h.meta.before.Store(&before)
}

// TestWhatIsReadIsWhatWasDecidedOn: an object that is written anew while a request for the old one is under way is
// not given to those who may only have the old one, wherever in the request that happens.
func TestWhatIsReadIsWhatWasDecidedOn(t *testing.T) {
	h := newHarness(t)
	reader, copies := user{"AKIAREADERREADERREA1", "reader-secret-reader-secret-reader-secr1"}, user{"AKIACOPIESCOPIESCOP1", "copies-secret-copies-secret-copies-secr1"}
	h.addUser(reader, "reader", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetObject","s3:GetObjectAttributes"],"Resource":"*",
		"Condition":{"StringEquals":{"s3:ExistingObjectTag/for":"all"}}},{"Effect":"Allow","Action":"s3:PutObject","Resource":"arn:aws:s3:::bucket/made"}]}`)
	h.addUser(copies, "copies", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["s3:GetObject","s3:PutObject"],"Resource":"*"}}`)
	h.must(admin, "PUT", "/bucket", "", "X-Amz-Object-Ownership", "ObjectWriter")
	h.must(admin, "PUT", "/lists", "", "X-Amz-Object-Ownership", "ObjectWriter")
	h.must(admin, "DELETE", "/lists?publicAccessBlock", "")
	copied := func(u user) *httptest.ResponseRecorder {
		h.do(admin, "DELETE", "/bucket/made", "")
		h.do(u, "PUT", "/bucket/made", "", "X-Amz-Copy-Source", "/bucket/moving")
		return h.do(admin, "GET", "/bucket/made", "")
	}
	for name, c := range map[string]struct {
		before, after func()
		ask           func() *httptest.ResponseRecorder
		never         string // is in no answer
	}{
		"reading by a tag": {
			func() { h.must(admin, "PUT", "/bucket/moving", "old", "X-Amz-Tagging", "for=all") },
			func() { h.must(admin, "PUT", "/bucket/moving", "secret", "X-Amz-Tagging", "for=few") },
			func() *httptest.ResponseRecorder { return h.do(reader, "GET", "/bucket/moving", "") }, "secret",
		},
		"copying by a tag": {
			func() {
				h.must(admin, "PUT", "/bucket/moving", "old")
				h.must(admin, "PUT", "/bucket/moving?tagging", tagAll, "Content-Md5", checksumOfBody(tagAll))
			},
			func() { h.must(admin, "PUT", "/bucket/moving", "secret") },
			func() *httptest.ResponseRecorder { return copied(reader) }, "secret",
		},
		"reading by an ACL": {
			func() { h.must(admin, "PUT", "/lists/moving", "old", "X-Amz-Acl", "public-read") },
			func() { h.must(admin, "PUT", "/lists/moving", "secret") },
			func() *httptest.ResponseRecorder { return h.do(user{}, "GET", "/lists/moving", "") }, "secret",
		},
		"copying tags": {
			func() { h.must(admin, "PUT", "/bucket/moving", "old") },
			func() { h.must(admin, "PUT", "/bucket/moving", "old", "X-Amz-Tagging", "for=all") },
			func() *httptest.ResponseRecorder {
				copied(copies)
				return h.do(admin, "GET", "/bucket/made?tagging", "")
			}, "<Key>for</Key>",
		},
	} {
		fired := 0
		for n := 1; n <= 6; n++ {
			c.before()
			h.atRead(n, "moving", func() { fired++; c.after() })
			w := c.ask()
			h.meta.before.Store(nil)
			if strings.Contains(w.Body.String(), c.never) {
				t.Errorf("%s, read %d: %d %s", name, n, w.Code, w.Body)
			}
		}
		if fired < 2 {
			t.Errorf("%s: the object was read %d times", name, fired)
		}
	}
}

const tagAll = "<Tagging><TagSet><Tag><Key>for</Key><Value>all</Value></Tag></TagSet></Tagging>"
