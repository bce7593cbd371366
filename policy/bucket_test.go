package policy

import (
	"errors"
	"strings"
	"testing"
)

func TestCheckBucket(t *testing.T) {
	for _, c := range []struct{ name, elements, want string }{
		{"whole bucket", `"Action":"s3:*","Resource":["arn:aws:s3:::tsuchi","arn:aws:s3:::tsuchi/*"]`, ""},
		{"everything", `"Action":"*","Resource":"arn:aws:s3:::tsuchi/*"`, ""},
		{"prefix of the name", `"Action":"s3:GetObject","Resource":"arn:aws:s3:::tsuchi*"`, ""},
		{"access point", `"Action":"s3:GetObject","Resource":"arn:aws:s3:us-east-1:111122223333:accesspoint/ap/object/*"`, ""},
		{"not resource", `"Action":"s3:GetObject","NotResource":"arn:aws:s3:::tsuchi/public/*"`, ""},
		{"not action", `"NotAction":"s3:GetObject","Resource":"arn:aws:s3:::tsuchi"`, ""},
		{"other key", `"Action":"s3:PutObject","Resource":"arn:aws:s3:::tsuchi/*","Condition":{"StringEquals":{"s3:x-amz-acl":"private","aws:NoSuchKey":"x"}}`, ""},
		{"tag key", `"Action":"s3:GetObject","Resource":"arn:aws:s3:::tsuchi/*","Condition":{"StringEquals":{"s3:ExistingObjectTag/a":"b"}}`, ""},
		{"key of the bucket", `"Action":"s3:GetObject","Resource":"arn:aws:s3:::tsuchi/*","Condition":{"StringEquals":{"s3:BucketTag/a":"b"}}`, ""},
		{"delegation to access points", `"Action":"*","Resource":["arn:aws:s3:::tsuchi","arn:aws:s3:::tsuchi/*"],"Condition":{"StringEquals":{"s3:DataAccessPointAccount":"111122223333"}}`, ""},
		{"variable in key", `"Action":"s3:GetObject","Resource":"arn:aws:s3:::tsuchi/${aws:username}/*"`, ""},
		{"unknown action", `"Action":"s3:HeadObject","Resource":"arn:aws:s3:::tsuchi/*"`, "Policy has invalid action"},
		{"pattern of no action", `"Action":"s3:Zap*","Resource":"arn:aws:s3:::tsuchi/*"`, "Policy has invalid action"},
		{"other service", `"Action":"iam:GetUser","Resource":"arn:aws:s3:::tsuchi/*"`, "Policy has invalid action"},
		{"star", `"Action":"s3:GetObject","Resource":"*"`, "Policy has invalid resource"},
		{"all buckets", `"Action":"s3:GetObject","Resource":"arn:aws:s3:::*"`, "Policy has invalid resource"},
		{"other bucket", `"Action":"s3:GetObject","Resource":"arn:aws:s3:::tsuchinoko/*"`, "Policy has invalid resource"},
		{"queue", `"Action":"s3:GetObject","Resource":"arn:aws:sqs:us-east-1:111122223333:accesspoint/x"`, "Policy has invalid resource"},
		{"object action on bucket", `"Action":"s3:GetObject","Resource":"arn:aws:s3:::tsuchi"`, "Action does not apply to any resource(s) in statement"},
		{"bucket action on objects", `"Action":["s3:GetObject","s3:ListBucket"],"Resource":"arn:aws:s3:::tsuchi/*"`, "Action does not apply to any resource(s) in statement"},
		{"service action", `"Action":"s3:ListAllMyBuckets","Resource":"arn:aws:s3:::tsuchi"`, "Action does not apply to any resource(s) in statement"},
		{"unknown key", `"Action":"s3:GetObject","Resource":"arn:aws:s3:::tsuchi/*","Condition":{"StringEquals":{"s3:nope":"x"}}`, "Policy has an invalid condition key"},
		{"key of another service", `"Action":"s3:GetObject","Resource":"arn:aws:s3:::tsuchi/*","Condition":{"StringEquals":{"kms:ViaService":"x"}}`, "Policy has an invalid condition key"},
		{"key of another action", `"Action":"s3:GetObject","Resource":"arn:aws:s3:::tsuchi/*","Condition":{"StringEquals":{"s3:prefix":"x"}}`, "Conditions do not apply to combination of actions and resources in statement"},
		{"address", `"Action":"s3:GetObject","Resource":"arn:aws:s3:::tsuchi/*","Condition":{"IpAddress":{"aws:SourceIp":["10.0.0.0/8","999.1.1.1"]}}`, "Invalid IP address in Conditions"},
	} {
		d := parsed(t, Bucket, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*",`+c.elements+`}]}`)
		err := d.CheckBucket(bucket)
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		var bad *SyntaxError
		if !errors.As(err, &bad) || bad.S3Message() != c.want {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
			continue
		}
		if !strings.HasPrefix(d.Source()[bad.Offset:], `"`) || bad.end <= bad.Offset {
			t.Errorf("%s: points at %q", c.name, d.Source()[bad.Offset:])
		}
	}
}

func TestCheckBucketRefusesUniqueIDs(t *testing.T) {
	d := parsed(t, Bucket, `{"Statement":{"Effect":"Allow","Principal":{"AWS":"AIDAALICEALICEALICE0"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::tsuchi/*"}}`)
	var bad *SyntaxError
	if err := d.CheckBucket(bucket); !errors.As(err, &bad) || bad.S3Message() != "Invalid principal in policy" || bad.Detail != `"AWS":"AIDAALICEALICEALICE0"` {
		t.Errorf("%v", err)
	}
}

func TestServiceTable(t *testing.T) {
	for action, want := range map[string]bool{
		"s3:GetObject": true, "S3:getobject": true, "s3:HeadObject": false, "s3:GetObjecs": false, "s3:ListBuckets": false, "s3:PutObjectLockConfiguration": false,
		"s3:GetBucketEncryption": false, "iam:PassRole": true, "kms:Decrypt": true, "nosuch:Thing": false, "s3": false, "zz:Top": false, "": false,
	} {
		if KnownAction(action) != want {
			t.Errorf("KnownAction(%q) is %v", action, !want)
		}
	}
	for key, want := range map[string]string{
		"aws:SourceIp": "IP", "AWS:PrincipalTag/Team": "String", "aws:PrincipalTag/": "", "aws:TagKeys": "ArrayOfString", "s3:max-keys": "Numeric",
		"kms:EncryptionContext:aws:s3:arn": "String", "s3:ExistingObjectTag/k": "String", "aws:nope": "", "iam:PolicyARN": "ARN",
	} {
		if got := KeyType(key); got != want {
			t.Errorf("KeyType(%q) = %q, want %q", key, got, want)
		}
	}
	for _, c := range []struct {
		action, resource string
		want             bool
	}{
		{"s3:GetObject", "*", true}, {"s3:GetObject", "arn:aws:s3:::b", false}, {"s3:GetObject", "arn:aws:s3:::b/*", true},
		{"s3:GetObject", "arn:aws:s3:::b*", true}, {"s3:GetObject", "arn:aws:s3:::b?k", true}, {"s3:ListBucket", "arn:aws:s3:::b/*", false}, {"s3:ListBucket", "arn:aws:s3:::b?", true},
		{"s3:ListAllMyBuckets", "arn:aws:s3:::*", false}, {"s3:ListAllMyBuckets", "*", true}, {"s3:GetObject", "arn:aws:s3*", true},
		{"iam:GetUser", "arn:aws:iam::1:user/${aws:username}", true}, {"iam:GetUser", "arn:aws:iam::1:role/x", false}, {"s3:Nope", "*", false},
		{"s3:GetObject", "arn:aws:s3:::b/${broken", true}, {"s3:GetObject", "arn", false}, {"iam:GetUser", "arn:aws:iam::1:user/x/y:z", true},
	} {
		if got := ActionMatchesResource(c.action, c.resource); got != c.want {
			t.Errorf("ActionMatchesResource(%q, %q) = %v", c.action, c.resource, got)
		}
	}
	if got := strings.Join(Actions("s3:List*Buckets"), " "); got != "s3:ListAllMyBuckets" {
		t.Errorf("Actions: %s", got)
	}
	if n := len(Actions("*")); n < 1000 {
		t.Errorf("%d actions in the table", n)
	}
	if got := AccessLevel("s3:PutBucketPolicy"); got != "Permissions management" {
		t.Errorf("AccessLevel: %q", got)
	}
	if AccessLevel("s3:Nope") != "" || len(ResourceTypes("s3:Nope")) != 0 || ActionKeys("s3:Nope") != nil {
		t.Error("an unknown action has properties")
	}
	if got := strings.Join(ResourceTypes("s3:GetObject"), " "); got != "accesspointobject object" {
		t.Errorf("ResourceTypes: %s", got)
	}
	if keys := strings.Join(ActionKeys("s3:GetObject"), " "); !strings.Contains(keys, "s3:existingobjecttag/") || !strings.Contains(keys, "aws:resourcetag/") {
		t.Errorf("ActionKeys: %s", keys)
	}
	if !KnownService("S3") || KnownService("ec2") {
		t.Error("KnownService")
	}
}
