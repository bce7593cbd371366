package guardduty_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/kura-s3/kura/internal/api/guardduty"
	"github.com/kura-s3/kura/internal/apitest"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/finding"
)

type m = apitest.M

// newHarness serves GuardDuty, where alice's object "lists/bad.txt" is the only one.
func newHarness(t *testing.T) (*apitest.Harness, *finding.Store) {
	t.Helper()
	h := apitest.New(t, "guardduty")
	store, err := finding.Open(t.Context(), finding.Config{
		Meta: h.Meta, Region: apitest.Region, Log: h.Log,
		Publish: func(context.Context, *engine.Batch, finding.Event) (func(), error) { return func() {}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	h.Serve(guardduty.New(guardduty.Config{Findings: store, Authn: h.Authn, Log: h.Log, Read: func(_ context.Context, _ *authz.Subject, bucket, key, _ string, _ int64) ([]byte, error) {
		switch bucket + "/" + key {
		case "lists/bad.txt":
			return []byte("198.51.100.0/24\n203.0.113.9 # one\n"), nil
		case "lists/broken.txt":
			return []byte("198.51.100.0/24\nnonsense\n"), nil
		}
		return nil, errors.New("s3 answered 403")
	}}))
	return h, store
}

func do(t *testing.T, h *apitest.Harness, method, path string, in any) m {
	t.Helper()
	a := h.Do("admin", apitest.Sample{Method: method, Path: path, In: in})
	if a.Status/100 != 2 {
		t.Fatalf("%s %s: %d %s", method, path, a.Status, a.Body)
	}
	return a.JSON
}

func TestEveryOperationIsGuarded(t *testing.T) {
	h, _ := newHarness(t)
	id := do(t, h, "POST", "/detector", m{"enable": true})["detectorId"].(string)
	base := "/detector/" + id
	do(t, h, "POST", base+"/findings/create", m{"findingTypes": []string{finding.RootUsed}})
	one := do(t, h, "POST", base+"/findings", m{})["findingIds"].([]any)
	list := m{"name": "l", "format": "TXT", "location": "s3://lists/bad.txt", "activate": true}
	trusted := do(t, h, "POST", base+"/ipset", list)["ipSetId"].(string)
	threats := do(t, h, "POST", base+"/threatintelset", list)["threatIntelSetId"].(string)
	do(t, h, "POST", base+"/filter", m{"name": "one", "findingCriteria": m{"criterion": m{"type": m{"eq": []string{"x"}}}}})
	tags := "/tags/" + url.PathEscape("arn:aws:guardduty:us-east-1:"+apitest.Owner+":detector/"+id)
	criteria := m{"criterion": m{"severity": m{"gte": 4}}}
	ids := m{"findingIds": one}
	list["name"] = "m"
	h.Guarded(
		apitest.Sample{Operation: "CreateDetector", Method: "POST", Path: "/detector", In: m{"enable": true}, Own: true, Code: "BadRequestException"},
		apitest.Sample{Operation: "GetDetector", Method: "GET", Path: base},
		apitest.Sample{Operation: "ListDetectors", Method: "GET", Path: "/detector", Own: true},
		apitest.Sample{Operation: "UpdateDetector", Method: "POST", Path: base, In: m{"findingPublishingFrequency": "ONE_HOUR"}},
		apitest.Sample{Operation: "ListFindings", Method: "POST", Path: base + "/findings", In: m{"findingCriteria": criteria}},
		apitest.Sample{Operation: "GetFindings", Method: "POST", Path: base + "/findings/get", In: ids},
		apitest.Sample{Operation: "GetFindingsStatistics", Method: "POST", Path: base + "/findings/statistics", In: m{"groupBy": "SEVERITY"}},
		apitest.Sample{Operation: "ArchiveFindings", Method: "POST", Path: base + "/findings/archive", In: ids},
		apitest.Sample{Operation: "UnarchiveFindings", Method: "POST", Path: base + "/findings/unarchive", In: ids},
		apitest.Sample{Operation: "UpdateFindingsFeedback", Method: "POST", Path: base + "/findings/feedback", In: m{"findingIds": one, "feedback": "USEFUL"}},
		apitest.Sample{Operation: "CreateSampleFindings", Method: "POST", Path: base + "/findings/create", In: m{}},
		apitest.Sample{Operation: "CreateFilter", Method: "POST", Path: base + "/filter", In: m{"name": "two", "findingCriteria": criteria}},
		apitest.Sample{Operation: "GetFilter", Method: "GET", Path: base + "/filter/one"},
		apitest.Sample{Operation: "ListFilters", Method: "GET", Path: base + "/filter"},
		apitest.Sample{Operation: "UpdateFilter", Method: "POST", Path: base + "/filter/one", In: m{"rank": 2}},
		apitest.Sample{Operation: "DeleteFilter", Method: "DELETE", Path: base + "/filter/one"},
		apitest.Sample{Operation: "CreateIPSet", Method: "POST", Path: base + "/ipset", In: list, Code: "BadRequestException"}, // there is one already
		apitest.Sample{Operation: "GetIPSet", Method: "GET", Path: base + "/ipset/" + trusted},
		apitest.Sample{Operation: "ListIPSets", Method: "GET", Path: base + "/ipset"},
		apitest.Sample{Operation: "UpdateIPSet", Method: "POST", Path: base + "/ipset/" + trusted, In: m{"activate": false}},
		apitest.Sample{Operation: "DeleteIPSet", Method: "DELETE", Path: base + "/ipset/" + trusted},
		apitest.Sample{Operation: "CreateThreatIntelSet", Method: "POST", Path: base + "/threatintelset", In: list},
		apitest.Sample{Operation: "GetThreatIntelSet", Method: "GET", Path: base + "/threatintelset/" + threats},
		apitest.Sample{Operation: "ListThreatIntelSets", Method: "GET", Path: base + "/threatintelset"},
		apitest.Sample{Operation: "UpdateThreatIntelSet", Method: "POST", Path: base + "/threatintelset/" + threats, In: m{"activate": false}},
		apitest.Sample{Operation: "DeleteThreatIntelSet", Method: "DELETE", Path: base + "/threatintelset/" + threats},
		apitest.Sample{Operation: "TagResource", Method: "POST", Path: tags, In: m{"tags": m{"k": "v"}}},
		apitest.Sample{Operation: "ListTagsForResource", Method: "GET", Path: tags},
		apitest.Sample{Operation: "UntagResource", Method: "DELETE", Path: tags + "?tagKeys=k"},
		apitest.Sample{Operation: "DeleteDetector", Method: "DELETE", Path: base},
	)
}

// TestRefusals: what Kura does not understand or does not have is refused in GuardDuty's words.
func TestRefusals(t *testing.T) {
	h, _ := newHarness(t)
	id := do(t, h, "POST", "/detector", m{"enable": true})["detectorId"].(string)
	base := "/detector/" + id
	list := func(format, location string) m {
		return m{"name": "l", "format": format, "location": location, "activate": true}
	}
	for _, c := range []struct {
		method, path string
		in           any
		says         string
	}{
		{"GET", "/detector/ffffffffffffffffffffffffffffffff", nil, "the input detectorId is not owned by the current account."},
		{"POST", base, m{"findingPublishingFrequency": "NOW"}, ""},
		{"POST", base, m{"features": []m{{"name": "RUNTIME_MONITORING", "status": "ENABLED"}}}, "does not have the feature RUNTIME_MONITORING"},
		{"POST", base, m{"dataSources": m{"kubernetes": m{"auditLogs": m{"enable": true}}}}, "kubernetes"},
		{"GET", base + "/filter/none", nil, "no such resource found"},
		{"POST", base + "/filter", m{"name": "f", "findingCriteria": m{"criterion": m{"type": m{"eq": []string{"x"}}}}}, ""},
		{"POST", base + "/filter", m{"name": "fff", "findingCriteria": m{"criterion": m{"nonsense": m{"eq": []string{"x"}}}}}, "invalid attribute nonsense"},
		{"POST", base + "/filter", m{"name": "fff", "findingCriteria": m{"criterion": m{"service.additionalInfo": m{"eq": []string{"x"}}}}}, "invalid attribute service.additionalInfo."},
		{"POST", base + "/filter", m{"name": "fff", "findingCriteria": m{"criterion": m{"type": m{}}}}, "empty"},
		{"POST", base + "/filter", m{"name": "fff", "findingCriteria": m{}}, ""},
		{"POST", base + "/findings", m{"sortCriteria": m{"attributeName": "nonsense"}}, "sorted"},
		{"POST", base + "/findings", m{"nextToken": "%"}, "nextToken"},
		{"POST", base + "/findings/get", m{"findingIds": []string{}}, ""},
		{"POST", base + "/findings/archive", m{"findingIds": []string{"none"}}, "none"},
		{"POST", base + "/findings/create", m{"findingTypes": []string{"Backdoor:EC2/Spambot"}}, "findingTypes"},
		{"GET", base + "/ipset/none", nil, "the input ipSetId is not owned by the current account."},
		{"POST", base + "/ipset", list("STIX", "s3://lists/bad.txt"), "TXT"},
		{"POST", base + "/ipset", list("TXT", "ftp://lists/bad.txt"), "location"},
		{"POST", base + "/ipset", list("TXT", "s3://lists/secret.txt"), "403"},
		{"POST", base + "/ipset", list("TXT", "https://s3.amazonaws.com/lists/broken.txt"), "line 2"},
		{"POST", "/tags/" + url.PathEscape("arn:aws:guardduty:us-east-1:"+apitest.Other+":detector/"+id), m{"tags": m{"k": "v"}}, ""},
		{"POST", "/detector", m{"enable": true}, "a detector already exists for the current account."},
		{"POST", base + "/member", m{}, "NotImplemented"},
	} {
		a := h.Do("admin", apitest.Sample{Method: c.method, Path: c.path, In: c.in})
		if a.Status < 400 || a.Status == 500 || !strings.Contains(string(a.Body)+a.Code(), c.says) {
			t.Errorf("%s %s: %d %s", c.method, c.path, a.Status, a.Body)
		}
	}
}

// TestShown: findings are told with all that is known of them, and selected by it.
func TestShown(t *testing.T) {
	h, store := newHarness(t)
	base := "/detector/" + do(t, h, "POST", "/detector", m{"enable": true, "features": []m{{"name": "S3_DATA_EVENTS", "status": "DISABLED"}}})["detectorId"].(string)
	d := do(t, h, "GET", base, nil)
	if d["status"] != "ENABLED" || d["findingPublishingFrequency"] != "SIX_HOURS" || store.Watches()[apitest.Owner].S3 {
		t.Fatal(d)
	}
	do(t, h, "POST", base+"/findings/create", m{})
	count := func(criterion m) int {
		t.Helper()
		n, token := 0, ""
		for {
			out := do(t, h, "POST", base+"/findings", m{"findingCriteria": m{"criterion": criterion}, "maxResults": 7, "nextToken": token})
			n += len(out["findingIds"].([]any))
			next, _ := out["nextToken"].(string)
			if token = next; token == "" {
				return n
			}
		}
	}
	all := len(finding.Types())
	for _, c := range []struct {
		criterion m
		want      int
	}{
		{m{}, all},
		{m{"type": m{"equals": []string{finding.RootUsed}}}, 1},
		{m{"type": m{"neq": []string{finding.RootUsed}}}, all - 1},
		{m{"type": m{"matches": []string{"Policy:S3/*Disabled"}}}, 2},
		{m{"severity": m{"gte": 4}, "type": m{"eq": []string{finding.MassRead, finding.RootUsed}}}, 1},
		{m{"service.archived": m{"eq": []string{"false"}}}, all},
		{m{"updatedAt": m{"greaterThan": int64(4102444800000)}}, 0},
		{m{"resource.s3BucketDetails.name": m{"eq": []string{"example-bucket"}}, "severity": m{"eq": []string{"2"}}}, 4},
	} {
		if n := count(c.criterion); n != c.want {
			t.Errorf("%v: %d, want %d", c.criterion, n, c.want)
		}
	}
	ids := do(t, h, "POST", base+"/findings", m{"findingCriteria": m{"criterion": m{"type": m{"eq": []string{finding.MassRead}}}}})["findingIds"]
	f := do(t, h, "POST", base+"/findings/get", m{"findingIds": ids})["findings"].([]any)[0].(m)
	if f["type"] != finding.MassRead || f["severity"] != 8.0 || f["service"].(m)["count"] != 1.0 ||
		f["resource"].(m)["s3BucketDetails"].([]any)[0].(m)["name"] != "example-bucket" || f["service"].(m)["additionalInfo"].(m)["value"] != `{"sample":true}` {
		t.Error(f)
	}
}

func TestTagsBind(t *testing.T) {
	h, _ := newHarness(t)
	id := do(t, h, "POST", "/detector", m{"enable": true})["detectorId"].(string)
	tags := "/tags/" + url.PathEscape("arn:aws:guardduty:us-east-1:"+apitest.Owner+":detector/"+id)
	h.TagsBind(
		apitest.Sample{Operation: "TagResource", Method: "POST", Path: tags, In: m{"tags": m{"a": "b"}}},
		apitest.Sample{Operation: "UntagResource", Method: "DELETE", Path: tags + "?tagKeys=a"},
		apitest.Sample{Operation: "UpdateDetector", Method: "POST", Path: "/detector/" + id, In: m{"enable": true}})
}
