package trail

import (
	"strings"
	"testing"
)

// What is said of a bucket and a key in parts is what is said of the ARN.
func TestPartsOfAnARNAreTheARN(t *testing.T) {
	const arn = "arn:aws:s3:::bucket/a/key"
	values := []string{"arn:aws:s3:::bucket2/", "arn:aws:s3:::bucke/", "arn:aws:s3:::bucket/b", arn + "2", "arn:aws:s4", "x", "arn:aws:s3:::other"}
	for i := range len(arn) + 1 {
		values = append(values, arn[:i])
	}
	for _, v := range values {
		e := event{bucket: "bucket", key: "a/key"}
		if got, want := e.under(v), strings.HasPrefix(arn, v); got != want {
			t.Errorf("%s: %v", v, got)
		}
	}
	if e := (event{bucket: "bucket", key: "a/key"}); e.resource() != arn || !e.under("arn:aws:s3:::bucket/a/") {
		t.Error(e.arn)
	}
}
