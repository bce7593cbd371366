package iam

import (
	"strings"
	"testing"

	"github.com/kura-s3/kura/policy"
)

// TestEveryConditionKeyHasASource: what the Service Authorization Reference lists for a declared operation
// comes from somewhere. Keys of FIDO security keys are absent from requests about virtual devices.
func TestEveryConditionKeyHasASource(t *testing.T) {
	checked := 0
	for _, op := range New(Config{}).Ops() {
		for _, key := range policy.ActionKeys("iam:" + op.Name()) {
			if strings.HasPrefix(key, "iam:fido-") || key == "iam:registersecuritykey" {
				continue
			}
			checked++
			if keySources[key] == nil {
				t.Errorf("%s: nothing gives %s", op.Name(), key)
			}
		}
	}
	if checked < 100 {
		t.Errorf("only %d keys", checked)
	}
}

// TestDocumentsAreEscapedWhole: unreserved characters of RFC 3986 stay, everything else is encoded.
func TestDocumentsAreEscapedWhole(t *testing.T) {
	if got := *escaped("aZ09-_.~ +/{}\"é"); got != "aZ09-_.~%20%2B%2F%7B%7D%22%C3%A9" {
		t.Error(got)
	}
	if escaped("") != nil {
		t.Error("no document is no element")
	}
}
