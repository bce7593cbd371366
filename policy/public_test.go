package policy

import (
	"encoding/json"
	"maps"
	"math/rand"
	"slices"
	"strings"
	"testing"
)

// bucketPolicy is one Allow on all objects with the given principal and condition.
func bucketPolicy(t testing.TB, principal, condition string) *Document {
	t.Helper()
	src := `{"Version":"2012-10-17","Statement":[{"Sid":"One","Effect":"Allow","Principal":` + principal + `,"Action":"s3:GetObject","Resource":"arn:aws:s3:::tsuchi/*"`
	if condition != "" {
		src += `,"Condition":` + condition
	}
	return parsed(t, Bucket, src+`}]}`)
}

// The decision table of AWS's definition, with the observed behaviour of each key and operator.
func TestPublic(t *testing.T) {
	everyone := `"*"`
	for _, c := range []struct {
		name, principal, condition string
		public                     bool
		reason                     string // part of it
	}{
		{"star", everyone, "", true, `Principal "*" is everyone, and there is no condition`},
		{"aws star", `{"AWS":"*"}`, "", true, "everyone"},
		{"star among others", `{"AWS":["111122223333","*"]}`, "", true, "everyone"},
		{"federated", `{"Federated":"graph.facebook.com"}`, "", true, "has an account there"},
		{"account", `{"AWS":"111122223333"}`, "", false, ""},
		{"user", `{"AWS":"` + alice + `"}`, "", false, ""},
		{"session", `{"AWS":"arn:aws:sts::111122223333:assumed-role/x/s"}`, "", false, ""},
		{"canonical", `{"CanonicalUser":"` + strings.Repeat("a", 64) + `"}`, "", false, ""},
		{"service", `{"Service":"cloudfront.amazonaws.com"}`, `{"StringEquals":{"AWS:SourceArn":"arn:aws:cloudfront::111122223333:distribution/E1"}}`, false, ""},
		{"vpc pattern", everyone, `{"StringLike":{"aws:SourceVpc":"vpc-*"}}`, true, `aws:SourceVpc "vpc-*" has a wildcard`},
		{"vpc pattern that is literal", everyone, `{"StringEquals":{"aws:SourceVpc":"vpc-*"}}`, true, "wildcard"},
		{"vpc", everyone, `{"StringEquals":{"aws:SourceVpc":"vpc-0123"}}`, false, ""},
		{"vpc among patterns", everyone, `{"StringLike":{"aws:SourceVpc":["vpc-0123","vpc-?"]}}`, true, "vpc-?"},
		{"vpc, any case", everyone, `{"StringEqualsIgnoreCase":{"aws:SourceVpc":"VPC-0123"}}`, false, ""},
		{"vpc if exists", everyone, `{"StringEqualsIfExists":{"aws:SourceVpc":"vpc-0123"}}`, true, "without the key"},
		{"vpc for all", everyone, `{"ForAllValues:StringEquals":{"aws:SourceVpc":"vpc-0123"}}`, true, "without the key"},
		{"vpc for any", everyone, `{"ForAnyValue:StringEquals":{"aws:SourceVpc":"vpc-0123"}}`, false, ""},
		{"other vpc", everyone, `{"StringNotEquals":{"aws:SourceVpc":"vpc-0123"}}`, true, "all other values"},
		{"endpoint", everyone, `{"StringEquals":{"aws:SourceVpce":"vpce-1a2b"}}`, false, ""},
		{"endpoint owner", everyone, `{"StringEquals":{"aws:VpceAccount":"111122223333"}}`, false, ""},
		{"endpoint organization", everyone, `{"StringEquals":{"aws:VpceOrgID":"o-abc"}}`, false, ""},
		{"address", everyone, `{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}`, false, ""},
		{"addresses", everyone, `{"IpAddress":{"aws:SourceIp":["203.0.113.7","2001:db8::/32"]}}`, false, ""},
		{"half of the net", everyone, `{"IpAddress":{"aws:SourceIp":"0.0.0.0/1"}}`, true, "too broad"},
		{"broad", everyone, `{"IpAddress":{"aws:SourceIp":"12.0.0.0/7"}}`, true, "too broad"},
		{"class A", everyone, `{"IpAddress":{"aws:SourceIp":"12.0.0.0/8"}}`, false, ""},
		{"private", everyone, `{"IpAddress":{"aws:SourceIp":["10.0.0.0/8","172.16.0.0/12","192.168.0.0/16"]}}`, false, ""},
		{"broad in six", everyone, `{"IpAddress":{"aws:SourceIp":"2000::/31"}}`, true, "too broad"},
		{"everything in six", everyone, `{"IpAddress":{"aws:SourceIp":"::/0"}}`, true, "too broad"},
		{"four in six", everyone, `{"IpAddress":{"aws:SourceIp":"::ffff:0.0.0.0/96"}}`, true, "too broad"},
		{"list with everything", everyone, `{"IpAddress":{"aws:SourceIp":["203.0.113.0/24","0.0.0.0/0"]}}`, true, "0.0.0.0/0"},
		{"other addresses", everyone, `{"NotIpAddress":{"aws:SourceIp":"203.0.113.0/24"}}`, true, "all other values"},
		{"address as text", everyone, `{"StringEquals":{"aws:SourceIp":"203.0.113.7"}}`, true, "not an operator"},
		{"address in the VPC", everyone, `{"IpAddress":{"aws:VpcSourceIp":"10.0.0.0/8"}}`, true, "does not identify"},
		{"organization", everyone, `{"StringEquals":{"aws:PrincipalOrgID":"o-abc"}}`, false, ""},
		{"organizations", everyone, `{"StringLike":{"aws:PrincipalOrgID":"o-*"}}`, true, "wildcard"},
		{"organization path", everyone, `{"ForAnyValue:StringLike":{"aws:PrincipalOrgPaths":"o-abc/r-x/ou-1/*"}}`, false, ""},
		{"organization path, root", everyone, `{"ForAnyValue:StringLike":{"aws:PrincipalOrgPaths":"o-*"}}`, true, "wildcard"},
		{"organization path, for all", everyone, `{"ForAllValues:StringLike":{"aws:PrincipalOrgPaths":"o-abc/*"}}`, true, "without the key"},
		{"principal account", everyone, `{"StringEquals":{"aws:PrincipalAccount":"111122223333"}}`, false, ""},
		{"principal account, variable", everyone, `{"StringEquals":{"aws:PrincipalAccount":"${aws:ResourceAccount}"}}`, true, "is a variable"},
		{"account of the unsigned", everyone, `{"StringEquals":{"aws:PrincipalAccount":"anonymous"}}`, true, "leaves strangers in"},
		{"principal ARN", everyone, `{"ArnEquals":{"aws:PrincipalArn":"` + alice + `"}}`, false, ""},
		{"principal ARN, any role", everyone, `{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::111122223333:role/*"}}`, false, ""},
		{"principal ARN, any account", everyone, `{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/admin"}}`, true, "wildcard"},
		{"principal ARN, wildcard over the account", everyone, `{"StringLike":{"aws:PrincipalArn":"arn:*:111122223333:role/admin"}}`, true, "wildcard"},
		{"principal is a service", everyone, `{"Bool":{"aws:PrincipalIsAWSService":"true"}}`, false, ""},
		{"principal is no service", everyone, `{"Bool":{"aws:PrincipalIsAWSService":"false"}}`, true, "strangers"},
		{"service name", everyone, `{"StringEquals":{"aws:PrincipalServiceName":"logging.s3.amazonaws.com"}}`, false, ""},
		{"service names", everyone, `{"ForAnyValue:StringLike":{"aws:PrincipalServiceNamesList":"*.amazonaws.com"}}`, false, ""},
		{"user id", everyone, `{"StringEquals":{"aws:userid":"AIDAALICEALICEALICE0"}}`, false, ""},
		{"any session of a role", everyone, `{"StringLike":{"aws:userid":"AROAROLEROLEROLE0000:*"}}`, true, "wildcard"},
		{"user id of the unsigned", everyone, `{"StringEqualsIgnoreCase":{"aws:userid":"Anonymous"}}`, true, "strangers"},
		{"source", everyone, `{"ArnLike":{"aws:SourceArn":"arn:aws:sns:*:111122223333:*"}}`, false, ""},
		{"source bucket", everyone, `{"ArnEquals":{"aws:SourceArn":"arn:aws:s3:::other"}}`, false, ""},
		{"source, any account", everyone, `{"ArnLike":{"aws:SourceArn":"arn:aws:sns:us-east-1:*:topic"}}`, true, "wildcard"},
		{"source as text", everyone, `{"StringLike":{"aws:SourceArn":"arn:aws:sns:*:111122223333:*"}}`, true, "wildcard"},
		{"source account", everyone, `{"StringEquals":{"aws:SourceAccount":"111122223333"}}`, false, ""},
		{"source owner", everyone, `{"StringEquals":{"aws:SourceOwner":"111122223333"}}`, false, ""},
		{"access point", everyone, `{"ArnLike":{"s3:DataAccessPointArn":"arn:aws:s3:us-east-1:111122223333:accesspoint/*"}}`, false, ""},
		{"access point, any account", everyone, `{"ArnLike":{"s3:DataAccessPointArn":"arn:aws:s3:us-east-1:*:accesspoint/x"}}`, true, "wildcard"},
		{"access point account", everyone, `{"StringEquals":{"s3:DataAccessPointAccount":"111122223333"}}`, false, ""},
		{"key id", everyone, `{"StringEquals":{"s3:x-amz-server-side-encryption-aws-kms-key-id":"arn:aws:kms:us-east-1:111122223333:key/k"}}`, true, "does not identify"},
		{"TLS", everyone, `{"Bool":{"aws:SecureTransport":"true"}}`, true, "does not identify"},
		{"referer", everyone, `{"StringEquals":{"aws:referer":"https://example.com/"}}`, true, "does not identify"},
		{"tag", everyone, `{"StringEquals":{"aws:PrincipalTag/team":"a"}}`, true, "does not identify"},
		{"type", everyone, `{"StringEquals":{"aws:PrincipalType":"User"}}`, true, "does not identify"},
		{"one of two limits", everyone, `{"Bool":{"aws:SecureTransport":"true"},"StringEquals":{"aws:SourceVpc":"vpc-0123"}}`, false, ""},
		{"none of two limits", everyone, `{"Bool":{"aws:SecureTransport":"true"},"StringLike":{"aws:SourceVpc":"*"}}`, true, "; "},
	} {
		d := bucketPolicy(t, c.principal, c.condition)
		v := d.Public()
		if v.Public != c.public || d.IsPublic() != c.public {
			t.Errorf("%s: public = %v, want %v", c.name, v.Public, c.public)
			continue
		}
		if !c.public {
			if len(v.Statements)+len(v.Reasons) > 0 {
				t.Errorf("%s: not public, but %v", c.name, v)
			}
			continue
		}
		if !slices.Equal(v.Statements, []int{0}) || len(v.Reasons) != 1 || !strings.Contains(v.Reasons[0], c.reason) {
			t.Errorf("%s: statements %v, reasons %q; want %q", c.name, v.Statements, v.Reasons, c.reason)
		}
	}
}

func TestPublicStatements(t *testing.T) {
	objects := `"Action":"s3:GetObject","Resource":"arn:aws:s3:::tsuchi/*"}`
	for _, c := range []struct {
		name, statements string
		want             []int
	}{
		{"only Deny", `{"Effect":"Deny","Principal":"*",` + objects, nil},
		{"Deny does not help", `{"Effect":"Allow","Principal":"*",` + objects + `,{"Effect":"Deny","Principal":"*","Condition":{"StringNotEquals":{"aws:PrincipalOrgID":"o-abc"}},` + objects, []int{0}},
		{"NotPrincipal", `{"Effect":"Allow","NotPrincipal":{"AWS":"111122223333"},` + objects, []int{0}},
		{"NotAction", `{"Effect":"Allow","Principal":"*","NotAction":"s3:DeleteObject","Resource":"arn:aws:s3:::tsuchi/*"}`, []int{0}},
		{"the second and third", `{"Effect":"Allow","Principal":{"AWS":"111122223333"},` + objects + `,{"Effect":"Allow","Principal":"*",` + objects + `,{"Effect":"Allow","Principal":{"AWS":"*"},` + objects, []int{1, 2}},
	} {
		d := parsed(t, Bucket, `{"Version":"2012-10-17","Statement":[`+c.statements+`]}`)
		if v := d.Public(); !slices.Equal(v.Statements, c.want) || v.Public != (len(c.want) > 0) {
			t.Errorf("%s: %v, want %v", c.name, v.Statements, c.want)
		}
	}
}

func TestPublicAccessPoint(t *testing.T) {
	src := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:us-east-1:111122223333:accesspoint/x/object/*",
		"Condition":{"ArnLike":{"s3:DataAccessPointArn":"arn:aws:s3:us-east-1:111122223333:accesspoint/*"}}}]}`
	if parsed(t, Bucket, src).IsPublic() {
		t.Error("in a bucket policy the name of the access point may be left open")
	}
	if !parsed(t, Resource, src).IsPublic() {
		t.Error("in an access point policy it may not")
	}
}

// A policy that is not public lets nobody in without a signature, unless the request comes from
// where one of the limiting keys says.
func TestNotPublicAgainstReach(t *testing.T) {
	d := dice{rand.New(rand.NewSource(6))}
	values := []string{"vpc-1", "vpc-*", "111122223333", "${aws:ResourceAccount}", "anonymous", "o-abc", "o-abc/*", "203.0.113.0/24", "0.0.0.0/1", "true", "false",
		"arn:aws:iam::111122223333:role/*", "arn:aws:s3:us-east-1:111122223333:accesspoint/*", "*", "AIDAALICEALICEALICE0", "logging.s3.amazonaws.com"}
	operators := []string{"StringEquals", "StringLike", "StringNotEquals", "StringEqualsIgnoreCase", "ArnLike", "ArnNotLike", "IpAddress", "NotIpAddress", "Bool",
		"StringEqualsIfExists", "IpAddressIfExists", "ForAllValues:StringLike", "ForAnyValue:StringLike", "Null"}
	keys := append(slices.Sorted(maps.Keys(limitations)), "aws:securetransport", "aws:referer", "aws:principaltag/x")
	closed, open := 0, 0
	for range 1500 {
		condition := jsonObject{}
		for range 1 + d.Intn(2) {
			condition[pick(d, operators)] = jsonObject{pick(d, keys): d.some(values, 2)}
		}
		src, err := json.Marshal(condition)
		if err != nil {
			t.Fatal(err)
		}
		doc := bucketPolicy(t, pick(d, []string{`"*"`, `{"AWS":"*"}`, `{"AWS":["*","111122223333"]}`}), string(src))
		if v := doc.Public(); v.Public {
			open++
			if v.Witness != nil && !Evaluate(v.Witness.Request(), v.Witness.Inputs(doc)).Allowed() {
				t.Fatalf("%s is no proof for %s", v.Witness, doc.Source())
			}
			continue
		}
		closed++
		for _, o := range Reach(doc, Zone{Accounts: []string{other}, TrustServices: true}) {
			if o.Type != CallerAnonymous || !o.Proven {
				continue
			}
			if !slices.ContainsFunc(slices.Collect(maps.Keys(o.Witness.Keys)), func(key string) bool { _, limits := limitations[key]; return limits }) {
				t.Fatalf("not public, but %s\n%s", o.Witness, doc.Source())
			}
		}
	}
	if closed < 200 || open < 200 {
		t.Errorf("%d not public, %d public", closed, open)
	}
}

// Every combination of what the label depends on, held against what a stranger gets.
func TestAccess(t *testing.T) {
	seen := map[Label]int{}
	for bits := range 1 << 8 {
		on := func(i int) bool { return bits>>i&1 == 1 }
		x := Exposure{
			PolicyPublic: on(0), ACLsDisabled: on(1), BucketACLPublic: on(2), ObjectACLsPrivate: on(3),
			Block: PublicAccessBlock{BlockPublicACLs: on(4), IgnorePublicACLs: on(5)}.Or(PublicAccessBlock{BlockPublicPolicy: on(6), RestrictPublicBuckets: on(7)}),
		}
		label := Access(x)
		seen[label]++
		restricted := x.PolicyPublic && x.Block.RestrictPublicBuckets
		acls := !x.ACLsDisabled && !x.Block.IgnorePublicACLs
		stranger := !restricted && (x.PolicyPublic || acls && x.BucketACLPublic)
		if (label == LabelPublic) != stranger {
			t.Errorf("%+v is %q, but a stranger gets in: %v", x, label, stranger)
		}
		if (label == LabelOnlyAuthorized) != restricted {
			t.Errorf("%+v is %q, restricted: %v", x, label, restricted)
		}
		object := !restricted && acls && (!x.ObjectACLsPrivate || !x.Block.BlockPublicACLs)
		if label == LabelNotPublic && object || label == LabelObjectsCanBePublic && !object {
			t.Errorf("%+v is %q, an object can be public: %v", x, label, object)
		}
	}
	if len(seen) != 4 {
		t.Errorf("labels seen: %v", seen)
	}
	everything := PublicAccessBlock{true, true, true, true}
	if got := (PublicAccessBlock{}).Or(everything); got != everything {
		t.Errorf("nothing or everything is %+v", got)
	}
}
