package policy_test

import (
	"fmt"

	"github.com/kura-s3/kura/policy"
)

// May Alice read from a bucket of her account? Her own policy says so; the bucket's does not, unless she uses TLS.
func ExampleEvaluate() {
	alices, err := policy.ParseString(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::reports/*"}}`, policy.Identity)
	if err != nil {
		panic(err)
	}
	buckets, err := policy.ParseString(`{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::reports/*",
		"Condition":{"Bool":{"aws:SecureTransport":"false"}}}}`, policy.Bucket)
	if err != nil {
		panic(err)
	}
	alice, err := policy.ParseCaller("arn:aws:iam::111122223333:user/alice")
	if err != nil {
		panic(err)
	}
	for _, tls := range []string{"true", "false"} {
		keys := policy.CallerKeys(&alice)
		keys["aws:securetransport"] = policy.Values{One: tls}
		req := &policy.Request{
			Principal: alice, Action: "s3:GetObject", Resource: "arn:aws:s3:::reports/q1.pdf", ResourceAccount: "111122223333", Context: keys,
		}
		d := policy.Evaluate(req, &policy.Inputs{Identity: []*policy.Document{alices}, Resource: buckets})
		if d.Allowed() {
			fmt.Println("with TLS:", tls, "allowed")
		} else {
			fmt.Println("with TLS:", tls, d.Message(req))
		}
	}
	// Output:
	// with TLS: true allowed
	// with TLS: false User: arn:aws:iam::111122223333:user/alice is not authorized to perform: s3:GetObject on resource: "arn:aws:s3:::reports/q1.pdf" with an explicit deny in a resource-based policy
}

// Who outside the account gains what by a bucket policy? Each answer comes with a request that proves it.
func ExampleReach() {
	d, err := policy.ParseString(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":{"AWS":"444455556666"},"Action":"s3:ListBucket","Resource":"arn:aws:s3:::reports"},
		{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::reports/public/*"}]}`, policy.Bucket)
	if err != nil {
		panic(err)
	}
	for _, o := range policy.Reach(d, policy.Zone{Accounts: []string{"111122223333"}}) {
		fmt.Println(o.Principal, o.Actions, o.Resources, o.Proven)
	}
	fmt.Println("public in the sense of Block Public Access:", d.IsPublic())
	// Output:
	// arn:aws:iam::444455556666:root [s3:ListBucket] [arn:aws:s3:::reports] true
	// * [s3:GetObject] [arn:aws:s3:::reports/public/*] true
	// public in the sense of Block Public Access: true
}

// What does a change of a policy give away?
func ExampleDiff() {
	before, err := policy.ParseString(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"s3:GetObject",
		"Resource":"arn:aws:s3:::reports/*","Condition":{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}}}`, policy.Bucket)
	if err != nil {
		panic(err)
	}
	after, err := policy.ParseString(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"s3:GetObject",
		"Resource":"arn:aws:s3:::reports/*"}}`, policy.Bucket)
	if err != nil {
		panic(err)
	}
	for _, c := range policy.Diff(before, after, policy.Zone{Accounts: []string{"111122223333"}}) {
		fmt.Println(c.Gained, c.Principal, c.Actions, c.Witness)
	}
	// Output:
	// true * [s3:GetObject] anybody does s3:GetObject on arn:aws:s3:::reports/example
}
