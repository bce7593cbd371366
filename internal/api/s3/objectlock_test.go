package s3

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/kura-s3/kura/policy"
)

// putXML sends a configuration with the digest that it needs.
func (h *harness) putXML(u user, uri, body string, headers ...string) *httptest.ResponseRecorder {
	h.t.Helper()
	return h.do(u, "PUT", uri, body, append([]string{"Content-Md5", checksumOfBody(body)}, headers...)...)
}

func (h *harness) answered(w *httptest.ResponseRecorder, status int, want string) {
	h.t.Helper()
	if w.Code != status || code(w) != want {
		h.t.Errorf("%d %s, want %d %s\n%s", w.Code, code(w), status, want, w.Body)
	}
}

var governor = user{"AKIAGOVERNORGOVERNO1", "governor-secret-governor-secret-governor"}

func TestBypassIsAskedWhenItMatters(t *testing.T) {
	h := newHarness(t)
	h.addUser(governor, "governor", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"},{"Effect":"Deny","Action":"s3:BypassGovernanceRetention","Resource":"*"}]}`)
	h.must(admin, "PUT", "/worm", "", "X-Amz-Bucket-Object-Lock-Enabled", "true")
	until := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	lock := []string{"X-Amz-Object-Lock-Mode", "GOVERNANCE", "X-Amz-Object-Lock-Retain-Until-Date", until, "Content-Md5", checksumOfBody("x")}
	locked := h.must(admin, "PUT", "/worm/k", "x", lock...).Header().Get("X-Amz-Version-Id")
	free := h.must(admin, "PUT", "/worm/free", "x").Header().Get("X-Amz-Version-Id")
	bypass := []string{"X-Amz-Bypass-Governance-Retention", "true"}

	h.answered(h.do(governor, "DELETE", "/worm/free?versionId="+free, "", bypass...), 204, "")
	h.answered(h.do(governor, "DELETE", "/worm/k?versionId="+locked, "", bypass...), 403, "AccessDenied")
	h.answered(h.do(admin, "DELETE", "/worm/k?versionId="+locked, ""), 403, "AccessDenied")
	decisions := func() (out []string) {
		for _, d := range h.recorder.events[len(h.recorder.events)-1].Decisions {
			out = append(out, d.Action)
		}
		return out
	}
	if got := decisions(); len(got) != 1 {
		t.Errorf("without the header %v was asked", got)
	}
	h.answered(h.do(admin, "DELETE", "/worm/k?versionId="+locked, "", bypass...), 204, "")
	if got := decisions(); len(got) != 2 || got[1] != "s3:BypassGovernanceRetention" {
		t.Errorf("%v was asked", got)
	}
}

func TestLockHeaders(t *testing.T) {
	h := newHarness(t)
	h.must(admin, "PUT", "/worm", "", "X-Amz-Bucket-Object-Lock-Enabled", "true")
	h.must(admin, "PUT", "/bucket", "")
	until, past := time.Now().Add(time.Hour).UTC().Format(time.RFC3339), "2001-01-01T00:00:00Z"
	const mode, date, hold = "X-Amz-Object-Lock-Mode", "X-Amz-Object-Lock-Retain-Until-Date", "X-Amz-Object-Lock-Legal-Hold"
	for name, c := range map[string]struct {
		bucket  string
		headers []string
		message string
	}{
		"mode alone":     {"worm", []string{mode, "GOVERNANCE"}, "must both be supplied"},
		"date alone":     {"worm", []string{date, until}, "must both be supplied"},
		"unknown mode":   {"worm", []string{mode, "governance", date, until}, "Unknown wormMode directive."},
		"no date":        {"worm", []string{mode, "GOVERNANCE", date, "tomorrow"}, "ISO 8601"},
		"past":           {"worm", []string{mode, "GOVERNANCE", date, past}, "must be in the future"},
		"unknown hold":   {"worm", []string{hold, "on"}, "Legal Hold must be either of"},
		"ordinary":       {"bucket", []string{hold, "OFF"}, "Bucket is missing Object Lock Configuration"},
		"without digest": {"worm", []string{hold, "ON"}, "Content-MD5 OR x-amz-checksum- HTTP header is required"},
	} {
		headers := c.headers
		if name != "without digest" {
			headers = append(headers, "Content-Md5", checksumOfBody("x"))
		}
		if w := h.do(admin, "PUT", "/"+c.bucket+"/k", "x", headers...); w.Code != 400 || !strings.Contains(w.Body.String(), c.message) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	h.must(admin, "PUT", "/worm/k", "x", mode, "COMPLIANCE", date, until, hold, "ON", "Content-Md5", checksumOfBody("x"))
	w := h.must(admin, "HEAD", "/worm/k", "")
	if w.Header().Get(mode) != "COMPLIANCE" || !strings.HasPrefix(w.Header().Get(date), until[:19]) || w.Header().Get(hold) != "ON" {
		t.Errorf("%v", w.Header())
	}
	h.addUser(governor, "governor", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}}`)
	if w := h.must(governor, "GET", "/worm/k", ""); w.Header().Get(mode) != "" || w.Header().Get(hold) != "" {
		t.Errorf("told to a reader: %v", w.Header())
	}
}

func TestLockConfigurations(t *testing.T) {
	h := newHarness(t)
	h.must(admin, "PUT", "/worm", "", "X-Amz-Bucket-Object-Lock-Enabled", "true")
	h.must(admin, "PUT", "/bucket", "")
	rule := func(inner string) string {
		return "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>" + inner + "</DefaultRetention></Rule></ObjectLockConfiguration>"
	}
	for body, want := range map[string]string{
		rule("<Mode>GOVERNANCE</Mode><Days>0</Days>"):                 "InvalidArgument",
		rule("<Mode>GOVERNANCE</Mode><Years>-1</Years>"):              "InvalidArgument",
		rule("<Mode>GOVERNANCE</Mode><Days>36501</Days>"):             "InvalidArgument",
		rule("<Mode>GOVERNANCE</Mode><Years>101</Years>"):             "InvalidArgument",
		rule("<Mode>GOVERNANCE</Mode>"):                               "MalformedXML",
		rule("<Mode>GOVERNANCE</Mode><Days>1</Days><Years>1</Years>"): "MalformedXML",
		rule("<Mode>NONE</Mode><Days>1</Days>"):                       "MalformedXML",
		rule("<Days>1</Days>"):                                        "MalformedXML",
		"<ObjectLockConfiguration/>":                                  "MalformedXML",
	} {
		w := h.putXML(admin, "/worm?object-lock", body)
		if w.Code != 400 || code(w) != want {
			t.Errorf("%s: %d %s, want %s", body, w.Code, code(w), want)
		}
	}
	good := rule("<Mode>COMPLIANCE</Mode><Years>100</Years>")
	h.answered(h.putXML(admin, "/bucket?object-lock", good), 409, "InvalidBucketState")
	h.answered(h.putXML(admin, "/worm?object-lock", good), 200, "")
	if w := h.must(admin, "GET", "/worm?object-lock", ""); !strings.Contains(w.Body.String(), "<Mode>COMPLIANCE</Mode><Years>100</Years>") {
		t.Errorf("%s", w.Body)
	}
	h.answered(h.putXML(admin, "/worm?versioning", "<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>"), 409, "InvalidBucketState")
}

// TestMFADelete: root switches it, with a code; codes are asked of the identities and used there.
func TestMFADelete(t *testing.T) {
	h := newHarness(t)
	root := user{"AKIAROOTROOTROOTROO1", "root-secret-root-secret-root-secret-root"}
	h.addUser(root, "root", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`)
	h.users[root.key].Subject.Principal.Type = policy.RootUser
	var used []string
	h.service.config.UseMFA = func(_ context.Context, p *policy.Principal, serial, code string) error {
		used = append(used, p.Name+" "+serial+" "+code)
		if code != "123456" {
			return errors.New("a wrong code")
		}
		return nil
	}
	h.must(admin, "PUT", "/bucket", "")
	on := "<VersioningConfiguration><Status>Enabled</Status><MfaDelete>Enabled</MfaDelete></VersioningConfiguration>"
	h.answered(h.putXML(admin, "/bucket?versioning", on, "X-Amz-Mfa", "device 123456"), 403, "AccessDenied")
	h.answered(h.putXML(root, "/bucket?versioning", on), 403, "AccessDenied")
	h.answered(h.putXML(root, "/bucket?versioning", on, "X-Amz-Mfa", "device 000000"), 403, "AccessDenied")
	h.answered(h.putXML(root, "/bucket?versioning", on, "X-Amz-Mfa", "123456"), 403, "AccessDenied")
	h.answered(h.putXML(root, "/bucket?versioning", on, "X-Amz-Mfa", "device 123456"), 200, "")
	version := h.must(admin, "PUT", "/bucket/k", "x").Header().Get("X-Amz-Version-Id")
	h.answered(h.do(admin, "DELETE", "/bucket/k?versionId="+version, ""), 403, "AccessDenied")
	used = nil
	// Users who could give themselves a device are not asked for its code: root is.
	h.answered(h.do(admin, "DELETE", "/bucket/k?versionId="+version, "", "X-Amz-Mfa", "device 123456"), 403, "AccessDenied")
	if len(used) != 0 {
		t.Errorf("used %v", used)
	}
	body := "<Delete><Object><Key>k</Key><VersionId>" + version + "</VersionId></Object><Object><Key>other</Key></Object></Delete>"
	w := h.do(root, "POST", "/bucket?delete", body, "Content-Md5", checksumOfBody(body), "X-Amz-Mfa", "device 123456")
	if w.Code != 200 || strings.Contains(w.Body.String(), "<Error>") || len(used) != 1 || used[0] != "root device 123456" {
		t.Errorf("%d %s, used %v", w.Code, w.Body, used)
	}
	h.answered(h.putXML(admin, "/bucket?versioning", "<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>"), 403, "AccessDenied")
	rules := "<LifecycleConfiguration><Rule><Filter/><Status>Enabled</Status><Expiration><Days>1</Days></Expiration></Rule></LifecycleConfiguration>"
	h.answered(h.putXML(admin, "/bucket?lifecycle", rules), 409, "InvalidBucketState")
}

// TestLockKeys: what a policy can ask of a lock that a request wants.
func TestLockKeys(t *testing.T) {
	h := newHarness(t)
	h.must(admin, "PUT", "/worm", "", "X-Amz-Bucket-Object-Lock-Enabled", "true")
	soon := time.Now().Add(9*24*time.Hour + time.Minute).UTC().Format(time.RFC3339)
	lock := []string{"X-Amz-Object-Lock-Mode", "GOVERNANCE", "X-Amz-Object-Lock-Retain-Until-Date", soon, "Content-Md5", checksumOfBody("x")}
	for name, c := range map[string]struct {
		condition map[string]map[string]string
		refused   bool
	}{
		"mode":        {map[string]map[string]string{"StringEquals": {"s3:object-lock-mode": "GOVERNANCE"}}, true},
		"other mode":  {map[string]map[string]string{"StringEquals": {"s3:object-lock-mode": "COMPLIANCE"}}, false},
		"days":        {map[string]map[string]string{"NumericEquals": {"s3:object-lock-remaining-retention-days": "10"}}, true},
		"fewer days":  {map[string]map[string]string{"NumericLessThan": {"s3:object-lock-remaining-retention-days": "10"}}, false},
		"date":        {map[string]map[string]string{"DateGreaterThan": {"s3:object-lock-retain-until-date": "2025-01-01T00:00:00Z"}}, true},
		"legal hold":  {map[string]map[string]string{"Null": {"s3:object-lock-legal-hold": "false"}}, false},
		"no lock key": {map[string]map[string]string{"Null": {"s3:object-lock-mode": "true"}}, false},
	} {
		condition, err := json.Marshal(c.condition)
		if err != nil {
			t.Fatal(err)
		}
		h.addUser(governor, "governor", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"},{"Effect":"Deny","Action":"s3:PutObject","Resource":"*","Condition":`+string(condition)+`}]}`)
		if w := h.do(governor, "PUT", "/worm/k", "x", lock...); (w.Code == 403) != c.refused {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

// TestALockIsAskedForBesideAllElse: a write that needs many permissions needs each of them.
func TestALockIsAskedForBesideAllElse(t *testing.T) {
	h := newHarness(t)
	h.must(admin, "PUT", "/worm", "", "X-Amz-Bucket-Object-Lock-Enabled", "true", "X-Amz-Object-Ownership", "ObjectWriter")
	headers := []string{
		"X-Amz-Acl", "private", "X-Amz-Tagging", "a=b", "X-Amz-Object-Lock-Mode", "COMPLIANCE",
		"X-Amz-Object-Lock-Retain-Until-Date", time.Now().Add(time.Hour).UTC().Format(time.RFC3339),
		"X-Amz-Object-Lock-Legal-Hold", "ON", "Content-Md5", checksumOfBody("x"),
	}
	h.must(admin, "PUT", "/worm/k", "x", headers...)
	for i, action := range []string{"PutObject", "PutObjectAcl", "PutObjectTagging", "PutObjectRetention", "PutObjectLegalHold"} {
		u := user{fmt.Sprintf("AKIAWITHOUTWITHOUT%02d", i), "without-secret-without-secret-without-se"}
		h.addUser(u, "without-"+action, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"},{"Effect":"Deny","Action":"s3:`+action+`","Resource":"*"}]}`)
		h.answered(h.do(u, "PUT", "/worm/k", "x", headers...), 403, "AccessDenied")
	}
}
