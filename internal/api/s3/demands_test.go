package s3

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/kura-s3/kura/policy"
)

var update = flag.Bool("update", false, "rewrite testdata/demands.txt")

// variants are requests whose demands depend on what they carry.
var variants = []struct {
	name, method, uri, body string
	headers                 []string
}{
	{"GetObject of a version", "GET", "/bucket/key?versionId=null", "", nil},
	{"HeadObject of a version", "HEAD", "/bucket/key?versionId=null", "", nil},
	{"DeleteObject of a version", "DELETE", "/bucket/key?versionId=null", "", nil},
	{"GetObjectTagging of a version", "GET", "/bucket/key?tagging&versionId=null", "", nil},
	{"GetObjectAcl of a version", "GET", "/bucket/key?acl&versionId=null", "", nil},
	{"GetObjectAttributes of a version", "GET", "/bucket/key?attributes&versionId=null", "", []string{"X-Amz-Object-Attributes", "ETag"}},
	{"PutObject with tags", "PUT", "/bucket/tagged", "x", []string{"X-Amz-Tagging", "a=b"}},
	{"PutObject with an ACL", "PUT", "/bucket/key", "x", []string{"X-Amz-Acl", "bucket-owner-full-control"}},
	{"CopyObject from a version", "PUT", "/bucket/copy", "", []string{"X-Amz-Copy-Source", "/bucket/key?versionId=null"}},
	{"CopyObject of tags", "PUT", "/bucket/copy", "", []string{"X-Amz-Copy-Source", "/bucket/tagged"}},
	{"CopyObject with new tags", "PUT", "/bucket/copy", "", []string{"X-Amz-Copy-Source", "/bucket/key", "X-Amz-Tagging-Directive", "REPLACE", "X-Amz-Tagging", "a=b"}},
	{"CreateMultipartUpload with tags", "POST", "/bucket/key?uploads", "", []string{"X-Amz-Tagging", "a=b"}},
	{"PutObject with a lock", "PUT", "/bucket/key", "x", []string{"X-Amz-Object-Lock-Mode", "GOVERNANCE", "X-Amz-Object-Lock-Retain-Until-Date", "2099-01-01T00:00:00Z", "X-Amz-Object-Lock-Legal-Hold", "ON", "Content-Md5", checksumOfBody("x")}},
	{"CreateBucket with Object Lock", "PUT", "/bucket8", "", []string{"X-Amz-Bucket-Object-Lock-Enabled", "true"}},
	{"CreateBucket with ownership", "PUT", "/bucket9", "", []string{"X-Amz-Object-Ownership", "BucketOwnerEnforced"}},
}

// TestDemands holds what each operation demands to the table of the User Guide ("Required permissions
// for Amazon S3 API operations"), as testdata/demands.txt has it; -update rewrites it, to be read in
// a diff. Every action must exist and apply to the resource, by the Service Authorization Reference.
func TestDemands(t *testing.T) {
	h := newHarness(t)
	var table strings.Builder
	note := func(name string) {
		last := h.recorder.events[len(h.recorder.events)-1]
		table.WriteString(name + "\n")
		for _, d := range last.Decisions {
			table.WriteString("\t" + d.Action + " on " + d.Resource + "\n")
			if !policy.KnownAction(d.Action) {
				t.Errorf("%s: there is no action %s", name, d.Action)
			}
			if d.Resource != "*" && !policy.ActionMatchesResource(d.Action, d.Resource) {
				t.Errorf("%s: %s is not asked of %s", name, d.Action, d.Resource)
			}
		}
	}
	for _, op := range h.server.Ops() {
		h.do(admin, "PUT", "/bucket", "")
		h.do(admin, "PUT", "/bucket/key", "content")
		h.configure("bucket")
		h.send(admin, op)
		note(op.Name())
	}
	h.do(admin, "PUT", "/bucket", "")
	for _, v := range variants {
		h.do(admin, "PUT", "/bucket/key", "content")
		h.do(admin, v.method, v.uri, v.body, v.headers...)
		note(v.name)
	}
	const file = "testdata/demands.txt"
	if *update {
		if err := os.WriteFile(file, []byte(table.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := table.String(); got != string(want) {
		t.Errorf("demands changed; look at the difference with -update and git diff:\n%s", got)
	}
}
