package s3

import (
	"fmt"
	"maps"
	"testing"
	"time"
)

// counts are what the service told its Counter.
type counts map[string]int

func (n counts) BucketRequest(bucket, filter, request string, status int, _ time.Duration, _, _ int64) {
	n[fmt.Sprint(bucket, " ", filter, " ", request, " ", status)]++
}

func (n counts) Forget(bucket, filter string) { n["forgot "+bucket+" "+filter]++ }

func TestMetricsConfigurationsCount(t *testing.T) {
	h := newHarness(t)
	n := counts{}
	h.service.config.Counter = n
	h.must(admin, "PUT", "/bucket", "")
	for id, filter := range map[string]string{
		"all":  "",
		"docs": "<Filter><Prefix>docs/</Prefix></Filter>",
		"blue": "<Filter><And><Prefix>docs/</Prefix><Tag><Key>color</Key><Value>blue</Value></Tag></And></Filter>",
	} {
		h.must(admin, "PUT", "/bucket?metrics&id="+id, "<MetricsConfiguration><Id>"+id+"</Id>"+filter+"</MetricsConfiguration>")
	}
	clear(n)
	h.must(admin, "PUT", "/bucket/docs/a", "x", "X-Amz-Tagging", "color=blue")
	h.must(admin, "PUT", "/bucket/docs/b", "x", "X-Amz-Tagging", "color=red")
	h.must(admin, "GET", "/bucket/docs/a", "")
	h.do(stranger, "GET", "/bucket/docs/a", "")
	want := counts{
		"bucket all Put 200": 2, "bucket docs Put 200": 2, "bucket blue Put 200": 1,
		"bucket all Get 200": 1, "bucket docs Get 200": 1, "bucket blue Get 200": 1,
		"bucket all Get 403": 1, "bucket docs Get 403": 1, "bucket blue Get 403": 1,
	}
	if !maps.Equal(n, want) {
		t.Errorf("%v", n)
	}
	clear(n)
	h.must(admin, "GET", "/bucket?list-type=2", "")
	h.must(admin, "DELETE", "/bucket?metrics&id=docs", "")
	if !maps.Equal(n, counts{"bucket all List 200": 1, "bucket all Delete 204": 1, "forgot bucket docs": 1}) {
		t.Errorf("%v", n)
	}
}
