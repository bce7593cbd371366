package policy

import (
	"fmt"
	"strings"
	"testing"
)

// largePolicy is a bucket policy of nearly 20 KiB as a busy bucket has it: accounts, roles and
// services with prefixes and conditions of their own, a public part, and Deny statements over all.
func largePolicy(tb testing.TB) *Document {
	var b strings.Builder
	b.WriteString(`{"Version":"2012-10-17","Statement":[`)
	for i := 0; b.Len() < 18500; i++ {
		fmt.Fprintf(&b, `{"Sid":"Team%d","Effect":"Allow","Principal":{"AWS":["arn:aws:iam::%012d:role/team-%d","%012d"]},"Action":["s3:GetObject","s3:PutObject*","s3:ListBucket"],`+
			`"Resource":["arn:aws:s3:::tsuchi","arn:aws:s3:::tsuchi/team-%d/*"],"Condition":{"IpAddress":{"aws:SourceIp":["203.0.113.0/24","198.51.100.%d/32"]},"StringEquals":{"aws:PrincipalOrgID":"o-team%d"}}},`,
			i, 100000000000+i, i, 200000000000+i, i, i, i)
		if i%4 == 0 {
			fmt.Fprintf(&b, `{"Sid":"Keep%d","Effect":"Deny","Principal":"*","Action":"s3:DeleteObject*","Resource":"arn:aws:s3:::tsuchi/team-%d/*","Condition":{"ArnNotLike":{"aws:PrincipalArn":"arn:aws:iam::%012d:role/team-%d"}}},`, i, i, 100000000000+i, i)
		}
	}
	b.WriteString(`{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::tsuchi/public/*"},` +
		`{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::tsuchi","arn:aws:s3:::tsuchi/*"],"Condition":{"Bool":{"aws:SecureTransport":"false"}}},` +
		`{"Effect":"Deny","Principal":"*","NotAction":"s3:GetObject","Resource":"arn:aws:s3:::tsuchi/public/*","Condition":{"StringNotEquals":{"aws:PrincipalOrgID":"o-home"}}}]}`)
	if n := b.Len(); n < 18<<10 || n > 20<<10 {
		tb.Fatalf("the policy has %d bytes", n)
	}
	return parsed(tb, Bucket, b.String())
}

func benchmark20KiB(b *testing.B, ask func(d *Document)) {
	d := largePolicy(b)
	b.ReportAllocs()
	before := processorTime(b)
	for b.Loop() {
		ask(d)
	}
	b.ReportMetric(float64(processorTime(b)-before)/float64(b.N), "cpu-ns/op")
}

func BenchmarkPublic20KiB(b *testing.B) { benchmark20KiB(b, func(d *Document) { d.Public() }) }

func BenchmarkIsPublic20KiB(b *testing.B) { benchmark20KiB(b, func(d *Document) { d.IsPublic() }) }

func BenchmarkReach20KiB(b *testing.B) {
	benchmark20KiB(b, func(d *Document) { Reach(d, Zone{Accounts: []string{account}}) })
}

func BenchmarkDiff20KiB(b *testing.B) {
	before := largePolicy(b)
	after := parsed(b, Bucket, strings.Replace(before.Source(), "tsuchi/public/*", "tsuchi/open/*", 1))
	benchmark20KiB(b, func(*Document) { Diff(before, after, Zone{Accounts: []string{account}}) })
}
