package s3

import (
	"strings"
	"testing"

	"github.com/kura-s3/kura/internal/api/exposure"
	"github.com/kura-s3/kura/internal/object"
)

// TestNewBucketsWithAListAreGuarded: the list that a bucket is made with lets strangers in as one that comes later.
func TestNewBucketsWithAListAreGuarded(t *testing.T) {
	h := newHarness(t)
	wary := user{"AKIAWARYWARYWARYWAR1", "wary-secret-wary-secret-wary-secret-wary"}
	h.addUser(wary, "wary", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},
		{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"Bool":{"kura:ExposesData":"true"}}}]}`)
	other := user{"AKIAOTHEROTHEROTHER1", "other-secret-other-secret-other-secret-o"}
	h.addUserOf("444455556666", other, "other", "")
	them := canonicalID("444455556666")
	h.service.config.Exposes = func(before, after *object.Bucket) (found exposure.Exposed, err error) {
		if string(before.Settings[settingOwnership]) != string(after.Settings[settingOwnership]) || before.Settings[settingACL] != nil {
			t.Errorf("compared is %v with %v", before.Settings, after.Settings)
		}
		if strings.Contains(string(after.Settings[settingACL]), them) {
			found.To = []string{them}
		}
		return found, nil
	}
	listed := []string{"X-Amz-Object-Ownership", "ObjectWriter", "X-Amz-Grant-Read", `id="` + them + `"`}
	if w := h.do(wary, "PUT", "/shared", "", listed...); w.Code != 403 || !strings.Contains(w.Body.String(), "The change would expose data to "+them) {
		t.Errorf("a bucket with a list for others: %d %s", w.Code, w.Body)
	}
	h.must(wary, "PUT", "/private", "", "X-Amz-Object-Ownership", "ObjectWriter", "X-Amz-Acl", "private")
	h.must(wary, "PUT", "/plain", "")
	h.must(admin, "PUT", "/shared", "", listed...)
}
