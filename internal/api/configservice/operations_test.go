package configservice_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/kura-s3/kura/internal/api/configservice"
	"github.com/kura-s3/kura/internal/apitest"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/posture"
	"github.com/kura-s3/kura/internal/posture/recorder"
	"github.com/kura-s3/kura/policy"
)

type m = apitest.M

const account = apitest.Owner

// oneBucket is a Source of one bucket.
type oneBucket struct{ posture.Source }

func (oneBucket) Accounts() []string { return []string{account} }
func (oneBucket) Has(string) bool    { return true }
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
	raw, err := json.Marshal(m{"Name": "b", "Owner": m{"Account": account, "Canonical": strings.Repeat("a", 64)}})
	if err != nil {
		return nil, err
	}
	return posture.BucketFrom(raw)
}
func (oneBucket) Block(string) posture.Block { return posture.Block{} }
func (oneBucket) Zone(account string, _ bool, _, _ []string) policy.Zone {
	return policy.Zone{Accounts: []string{account}}
}

// files is a Delivery into buckets; those called locked take nothing.
type files map[string]string

func (files) Exists(bucket string) bool { return bucket != "nowhere" }
func (f files) Put(_ context.Context, c *recorder.Channel, _, key string, body []byte) error {
	if c.Bucket == "locked" {
		return context.Canceled
	}
	f[c.Bucket+"/"+key] = string(body)
	return nil
}

func newHarness(t *testing.T) (*apitest.Harness, files) {
	t.Helper()
	h, f := apitest.New(t, "config"), files{}
	r, err := recorder.Open(t.Context(), recorder.Config{Meta: h.Meta, Source: oneBucket{}, Region: apitest.Region, Deliver: f, Log: h.Log})
	if err != nil {
		t.Fatal(err)
	}
	h.Serve(configservice.New(configservice.Config{Recorder: r, Authn: h.Authn, Log: h.Log, PassRole: func(role, _ string) authz.Demand {
		return authz.Demand{Action: "iam:PassRole", Resource: authz.Resource{ARN: role, Account: account}}
	}}))
	h.Must("PutConfigurationRecorder", m{"ConfigurationRecorder": recording})
	h.Must("PutDeliveryChannel", m{"DeliveryChannel": m{"name": "default", "s3BucketName": "logs"}})
	h.Must("PutConfigRule", m{"ConfigRule": managed})
	h.Must("PutConformancePack", m{"ConformancePackName": "p", "TemplateSSMDocumentDetails": document})
	return h, f
}

var (
	recording = m{"name": "default", "roleARN": "arn:aws:iam::" + account + ":role/config"}
	managed   = m{"ConfigRuleName": "r", "Source": m{"Owner": "AWS", "SourceIdentifier": "S3_BUCKET_VERSIONING_ENABLED"}}
	document  = m{"DocumentName": "AWSConformancePacks-OperationalBestPracticesforAmazonS3"}
)

// TestEveryOperationIsGuarded ranges over all operations: see apitest. Nearly all are about the caller's own account.
func TestEveryOperationIsGuarded(t *testing.T) {
	h, _ := newHarness(t)
	arn := h.Must("DescribeConfigRules", m{})["ConfigRules"].([]any)[0].(m)["ConfigRuleArn"]
	key := m{"resourceType": "AWS::S3::Bucket", "resourceId": "b"}
	own := func(operation string, in m, code ...string) apitest.Sample {
		return apitest.Sample{Operation: operation, In: in, Own: true, Code: strings.Join(code, "")}
	}
	h.Guarded(
		apitest.Sample{Operation: "PutConfigurationRecorder", In: m{"ConfigurationRecorder": recording}},
		own("DescribeConfigurationRecorders", m{}), own("ListConfigurationRecorders", m{}), own("DescribeConfigurationRecorderStatus", m{}),
		own("StartConfigurationRecorder", m{"ConfigurationRecorderName": "default"}),
		apitest.Sample{Operation: "PutDeliveryChannel", In: m{"DeliveryChannel": m{"name": "default", "s3BucketName": "logs"}}},
		own("DescribeDeliveryChannels", m{}), own("DescribeDeliveryChannelStatus", m{}),
		own("DeliverConfigSnapshot", m{"deliveryChannelName": "default"}),
		own("PutConfigRule", m{"ConfigRule": managed}), own("DescribeConfigRules", m{}),
		own("DescribeConfigRuleEvaluationStatus", m{"ConfigRuleNames": []string{"r"}}),
		own("StartConfigRulesEvaluation", m{"ConfigRuleNames": []string{"r"}}),
		own("DeleteEvaluationResults", m{"ConfigRuleName": "r"}),
		own("DescribeComplianceByConfigRule", m{"ConfigRuleNames": []string{"r"}}), own("DescribeComplianceByResource", m{}),
		own("GetComplianceDetailsByConfigRule", m{"ConfigRuleName": "r"}),
		own("GetComplianceDetailsByResource", m{"ResourceType": "AWS::S3::Bucket", "ResourceId": "b"}),
		own("GetComplianceSummaryByConfigRule", m{}), own("GetComplianceSummaryByResourceType", m{}),
		own("GetResourceConfigHistory", key, "ResourceNotDiscoveredException"), own("ListDiscoveredResources", m{"resourceType": "AWS::S3::Bucket"}),
		own("GetDiscoveredResourceCounts", m{}), own("BatchGetResourceConfig", m{"resourceKeys": []m{key}}),
		own("PutConformancePack", m{"ConformancePackName": "p", "TemplateSSMDocumentDetails": document}),
		own("DescribeConformancePacks", m{}), own("DescribeConformancePackStatus", m{}),
		own("DescribeConformancePackCompliance", m{"ConformancePackName": "p"}),
		own("GetConformancePackComplianceDetails", m{"ConformancePackName": "p"}),
		own("GetConformancePackComplianceSummary", m{"ConformancePackNames": []string{"p"}}),
		apitest.Sample{Operation: "TagResource", In: m{"ResourceArn": arn, "Tags": []m{{"Key": "k", "Value": "v"}}}},
		apitest.Sample{Operation: "ListTagsForResource", In: m{"ResourceArn": arn}},
		apitest.Sample{Operation: "UntagResource", In: m{"ResourceArn": arn, "TagKeys": []string{"k"}}},
		own("DeleteConformancePack", m{"ConformancePackName": "p"}), own("DeleteConfigRule", m{"ConfigRuleName": "r"}),
		own("StopConfigurationRecorder", m{"ConfigurationRecorderName": "default"}),
		own("DeleteDeliveryChannel", m{"DeliveryChannelName": "default"}),
		own("DeleteConfigurationRecorder", m{"ConfigurationRecorderName": "default"}),
	)
}

// TestAPacksTemplateIsDelivered where the pack says, or the pack is not made.
func TestAPacksTemplateIsDelivered(t *testing.T) {
	h, delivered := newHarness(t)
	pack := func(bucket, prefix string) m {
		return m{"ConformancePackName": "q", "TemplateSSMDocumentDetails": document, "DeliveryS3Bucket": bucket, "DeliveryS3KeyPrefix": prefix}
	}
	for bucket, code := range map[string]string{"nowhere": "InvalidParameterValueException", "locked": "InsufficientPermissionsException", "": "InvalidParameterValueException"} {
		if a := h.Call("admin", "PutConformancePack", pack(bucket, "x")); a.Status != 400 || a.Code() != code {
			t.Errorf("%q: %d %s", bucket, a.Status, a.Body)
		}
	}
	if n := len(h.Must("DescribeConformancePacks", m{})["ConformancePackDetails"].([]any)); n != 1 {
		t.Errorf("%d packs", n)
	}
	h.Must("PutConformancePack", pack("packs", "x"))
	if text := delivered["packs/x/AWSLogs/"+account+"/Config/ConformancePackTemplates/q.yaml"]; !strings.Contains(text, "S3_BUCKET_VERSIONING_ENABLED") {
		t.Errorf("%q in %v", text, delivered)
	}
}

func TestTagsBind(t *testing.T) {
	h, _ := newHarness(t)
	arn := h.Must("DescribeConfigRules", m{"ConfigRuleNames": []string{"r"}})["ConfigRules"].([]any)[0].(m)["ConfigRuleArn"]
	h.TagsBind(
		apitest.Sample{Operation: "TagResource", In: m{"ResourceArn": arn, "Tags": []m{{"Key": "a", "Value": "b"}}}},
		apitest.Sample{Operation: "UntagResource", In: m{"ResourceArn": arn, "TagKeys": []string{"a"}}},
		apitest.Sample{Operation: "DeleteEvaluationResults", In: m{"ConfigRuleName": "r"}})
}

// TestRecordersAreFiltered: the account's recorder is no service's.
func TestRecordersAreFiltered(t *testing.T) {
	h, _ := newHarness(t)
	scope := func(value string) m {
		return m{"Filters": []m{{"filterName": "recordingScope", "filterValue": []string{value}}}}
	}
	for _, c := range []struct {
		in   m
		want int
	}{{m{}, 1}, {scope("PAID"), 1}, {scope("INTERNAL"), 0}} {
		if got := len(h.Must("ListConfigurationRecorders", c.in)["ConfigurationRecorderSummaries"].([]any)); got != c.want {
			t.Errorf("%v: %d recorders, want %d", c.in, got, c.want)
		}
	}
}
