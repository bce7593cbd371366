package accessanalyzer_test

import (
	"context"
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/kura-s3/kura/internal/api/accessanalyzer"
	"github.com/kura-s3/kura/internal/apitest"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/posture"
	"github.com/kura-s3/kura/internal/posture/analyzer"
	"github.com/kura-s3/kura/internal/posture/generation"
	"github.com/kura-s3/kura/policy"
)

type m = apitest.M

const (
	public = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}]}`
	user   = "arn:aws:iam::" + apitest.Owner + ":user/alice"
)

// oneBucket is a Source of one bucket that is public.
type oneBucket struct{ posture.Source }

func (oneBucket) Accounts() []string { return []string{apitest.Owner} }
func (oneBucket) IDs(_ context.Context, _, typ string) ([]string, error) {
	if typ == posture.TypeBucket {
		return []string{"b"}, nil
	}
	return nil, nil
}
func (oneBucket) Resource(_ context.Context, _, typ, id string) (*posture.Resource, error) {
	if typ != posture.TypeBucket || id != "b" {
		return nil, nil
	}
	raw, err := json.Marshal(m{"Name": "b", "Owner": m{"Account": apitest.Owner, "Canonical": strings.Repeat("a", 64)}, "Settings": map[string][]byte{
		"policy":            []byte(public),
		"publicAccessBlock": []byte(`{"BlockPublicACLs":false,"IgnorePublicACLs":false,"BlockPublicPolicy":false,"RestrictPublicBuckets":false}`),
	}})
	if err != nil {
		return nil, err
	}
	return posture.BucketFrom(raw)
}
func (oneBucket) Block(string) posture.Block { return posture.Block{} }
func (oneBucket) Zone(account string, _ bool, _, _ []string) policy.Zone {
	return policy.Zone{Accounts: []string{account}}
}

// newHarness serves Access Analyzer with an analyzer a and a finding, whose id it tells.
func newHarness(t *testing.T) (h *apitest.Harness, finding string) {
	t.Helper()
	h = apitest.New(t, "access-analyzer")
	a, err := analyzer.Open(t.Context(), analyzer.Config{
		Meta: h.Meta, Source: oneBucket{}, Region: apitest.Region, NameOf: func(string) (string, bool) { return "", false }, Log: h.Log,
	})
	if err != nil {
		t.Fatal(err)
	}
	g, err := generation.Open(generation.Config{
		Meta: h.Meta, Dir: t.TempDir(), Log: h.Log, Exists: func(arn string) bool { return arn == user },
		Source: func(context.Context, string, string, []generation.Trail) (generation.Source, error) {
			return generation.Source{}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	h.Serve(accessanalyzer.New(accessanalyzer.Config{Analyzer: a, Generation: g, Authn: h.Authn, Log: h.Log, PassRole: func(role, _ string) authz.Demand {
		return authz.Demand{Action: "iam:PassRole", Resource: authz.Resource{ARN: role, Account: apitest.Owner}}
	}}))
	must := func(method, path string, in any) m {
		t.Helper()
		out := h.Do("admin", apitest.Sample{Method: method, Path: path, In: in})
		if out.Status != 200 {
			t.Fatalf("%s: %d %s", path, out.Status, out.Body)
		}
		return out.JSON
	}
	must("PUT", "/analyzer", m{"analyzerName": "a", "type": "ACCOUNT"})
	must("POST", "/resource/scan", m{"analyzerArn": arn, "resourceArn": bucket})
	found := must("POST", "/finding", m{"analyzerArn": arn})["findings"].([]any)
	return h, found[0].(m)["id"].(string)
}

const (
	arn    = "arn:aws:access-analyzer:us-east-1:" + apitest.Owner + ":analyzer/a"
	bucket = "arn:aws:s3:::b"
)

// TestEveryOperationIsGuarded ranges over all operations: see apitest.
func TestEveryOperationIsGuarded(t *testing.T) {
	h, finding := newHarness(t)
	about := "?analyzerArn=" + url.QueryEscape(arn)
	tags := "/tags/" + url.PathEscape(arn)
	rule := m{"resourceType": m{"eq": []string{"AWS::S3::Bucket"}}}
	identity := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}`
	h.Guarded(
		apitest.Sample{Operation: "CreateAnalyzer", Method: "PUT", Path: "/analyzer", In: m{"analyzerName": "second", "type": "ACCOUNT"}, Own: true},
		apitest.Sample{Operation: "GetAnalyzer", Method: "GET", Path: "/analyzer/a"},
		apitest.Sample{Operation: "ListAnalyzers", Method: "GET", Path: "/analyzer", Own: true},
		apitest.Sample{Operation: "CreateArchiveRule", Method: "PUT", Path: "/analyzer/a/archive-rule", In: m{"ruleName": "r", "filter": rule}},
		apitest.Sample{Operation: "UpdateArchiveRule", Method: "PUT", Path: "/analyzer/a/archive-rule/r", In: m{"filter": rule}},
		apitest.Sample{Operation: "GetArchiveRule", Method: "GET", Path: "/analyzer/a/archive-rule/r"},
		apitest.Sample{Operation: "ListArchiveRules", Method: "GET", Path: "/analyzer/a/archive-rule"},
		apitest.Sample{Operation: "ApplyArchiveRule", Method: "PUT", Path: "/archive-rule", In: m{"analyzerArn": arn, "ruleName": "r"}},
		apitest.Sample{Operation: "DeleteArchiveRule", Method: "DELETE", Path: "/analyzer/a/archive-rule/r"},
		apitest.Sample{Operation: "TagResource", Method: "POST", Path: tags, In: m{"tags": m{"k": "v"}}},
		apitest.Sample{Operation: "ListTagsForResource", Method: "GET", Path: tags},
		apitest.Sample{Operation: "UntagResource", Method: "DELETE", Path: tags + "?tagKeys=k"},
		apitest.Sample{Operation: "ListFindings", Method: "POST", Path: "/finding", In: m{"analyzerArn": arn}},
		apitest.Sample{Operation: "ListFindingsV2", Method: "POST", Path: "/findingv2", In: m{"analyzerArn": arn}},
		apitest.Sample{Operation: "GetFinding", Method: "GET", Path: "/finding/" + finding + about},
		apitest.Sample{Operation: "GetFindingV2", Method: "GET", Path: "/findingv2/" + finding + about},
		apitest.Sample{Operation: "UpdateFindings", Method: "PUT", Path: "/finding", In: m{"analyzerArn": arn, "status": "ARCHIVED", "ids": []string{finding}}},
		apitest.Sample{Operation: "StartResourceScan", Method: "POST", Path: "/resource/scan", In: m{"analyzerArn": arn, "resourceArn": bucket}},
		apitest.Sample{Operation: "GetAnalyzedResource", Method: "GET", Path: "/analyzed-resource" + about + "&resourceArn=" + url.QueryEscape(bucket)},
		apitest.Sample{Operation: "ListAnalyzedResources", Method: "POST", Path: "/analyzed-resource", In: m{"analyzerArn": arn}},
		apitest.Sample{Operation: "ValidatePolicy", Method: "POST", Path: "/policy/validation", In: m{"policyDocument": identity, "policyType": "IDENTITY_POLICY"}, Own: true},
		apitest.Sample{Operation: "CheckNoPublicAccess", Method: "POST", Path: "/policy/check-no-public-access", In: m{"policyDocument": public, "resourceType": "AWS::S3::Bucket"}, Own: true},
		apitest.Sample{Operation: "CheckNoNewAccess", Method: "POST", Path: "/policy/check-no-new-access",
			In: m{"newPolicyDocument": identity, "existingPolicyDocument": identity, "policyType": "IDENTITY_POLICY"}, Own: true},
		apitest.Sample{Operation: "CheckAccessNotGranted", Method: "POST", Path: "/policy/check-access-not-granted",
			In: m{"policyDocument": identity, "policyType": "IDENTITY_POLICY", "access": []m{{"actions": []string{"s3:PutObject"}}}}, Own: true},
		apitest.Sample{Operation: "StartPolicyGeneration", Method: "PUT", Path: "/policy/generation", In: m{"policyGenerationDetails": m{"principalArn": user}}},
		apitest.Sample{Operation: "GetGeneratedPolicy", Method: "GET", Path: "/policy/generation/none", Code: "ResourceNotFoundException"},
		apitest.Sample{Operation: "ListPolicyGenerations", Method: "GET", Path: "/policy/generation", Own: true},
		apitest.Sample{Operation: "CancelPolicyGeneration", Method: "PUT", Path: "/policy/generation/none", In: m{}, Code: "ResourceNotFoundException"},
		apitest.Sample{Operation: "DeleteAnalyzer", Method: "DELETE", Path: "/analyzer/a"},
	)
}

// TestListsComeInPages: whatever the page, each entry comes once; a token that is none is refused.
func TestListsComeInPages(t *testing.T) {
	h, _ := newHarness(t)
	for _, name := range []string{"b", "c", "d", "e"} {
		h.Do("admin", apitest.Sample{Method: "PUT", Path: "/analyzer", In: m{"analyzerName": name, "type": "ACCOUNT"}})
	}
	var seen []string
	for path := "/analyzer?maxResults=2"; ; {
		out := h.Do("admin", apitest.Sample{Method: "GET", Path: path}).JSON
		for _, a := range out["analyzers"].([]any) {
			seen = append(seen, a.(m)["name"].(string))
		}
		next, more := out["nextToken"].(string)
		if !more {
			break
		}
		path = "/analyzer?maxResults=2&nextToken=" + next
	}
	if got := strings.Join(seen, ""); got != "abcde" {
		t.Errorf("%q", got)
	}
	for _, query := range []string{"nextToken=-", "nextToken=LTE", "maxResults=0", "maxResults=1001"} {
		if a := h.Do("admin", apitest.Sample{Method: "GET", Path: "/analyzer?" + query}); a.Status != 400 || a.Code() != "ValidationException" {
			t.Errorf("%s: %d %s", query, a.Status, a.Body)
		}
	}
}

func TestTagsBind(t *testing.T) {
	h, _ := newHarness(t)
	tags := "/tags/" + url.PathEscape(arn)
	h.TagsBind(
		apitest.Sample{Operation: "TagResource", Method: "POST", Path: tags, In: m{"tags": m{"a": "b"}}},
		apitest.Sample{Operation: "UntagResource", Method: "DELETE", Path: tags + "?tagKeys=a"},
		apitest.Sample{Operation: "GetAnalyzer", Method: "GET", Path: "/analyzer/a"})
}
