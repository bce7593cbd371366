package policy

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
)

// keys is a Context out of a map.
type keys map[string]Values

func (k keys) Lookup(key string) (Values, bool) { v, ok := k[key]; return v, ok }

func one(s string) Values { return Values{One: s} }

func many(s ...string) Values { return Values{Many: s, Multi: true} }

const (
	account = "111122223333"
	other   = "444455556666"
	alice   = "arn:aws:iam::111122223333:user/alice"
	bucket  = "arn:aws:s3:::tsuchi"
)

func user() Principal {
	return Principal{Type: IAMUser, Account: account, ARN: alice, UserID: "AIDAALICEALICEALICE0", UniqueID: "AIDAALICEALICEALICE0", Name: "alice"}
}

func parsed(t testing.TB, kind Kind, src string) *Document {
	t.Helper()
	d, err := ParseString(src, kind)
	if err != nil {
		t.Fatalf("parse %s: %v\n%s", kind, err, src)
	}
	return d
}

// manyStatements is a policy of n statements as people write them: literal and wildcard actions of
// S3, bucket and object resources, variables and conditions. Only the last one lets GetObject in.
func manyStatements(n int) string {
	var b strings.Builder
	b.WriteString(`{"Version":"2012-10-17","Statement":[`)
	for i := range n - 1 {
		fmt.Fprintf(&b, `{"Sid":"S%d","Effect":%q,"Action":["s3:PutObject","s3:GetObject","s3:List*"],"Resource":["arn:aws:s3:::bucket-%d","arn:aws:s3:::bucket-%d/${aws:username}/*"],`+
			`"Condition":{"StringEquals":{"aws:PrincipalTag/team":"t%d"},"IpAddress":{"aws:SourceIp":["203.0.113.0/24","2001:db8::/32"]}}},`, i, []string{"Allow", "Deny"}[i%2], i, i, i)
	}
	b.WriteString(`{"Effect":"Allow","Action":"s3:Get*","Resource":"arn:aws:s3:::tsuchi/${aws:username}/*","Condition":{"Bool":{"aws:SecureTransport":"true"}}}]}`)
	return b.String()
}

func tenPolicies(t testing.TB) (*Request, *Inputs) {
	in := &Inputs{}
	for range 10 {
		in.Identity = append(in.Identity, parsed(t, Identity, manyStatements(20)))
	}
	return &Request{
		Principal: user(), Action: "s3:GetObject", Resource: bucket + "/alice/report.pdf", ResourceAccount: account,
		Context: keys{"aws:username": one("alice"), "aws:securetransport": one("true"), "aws:sourceip": one("203.0.113.9")},
	}, in
}

func TestEvaluateAllocatesNothing(t *testing.T) {
	req, in := tenPolicies(t)
	in.Resource = parsed(t, Bucket, `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::tsuchi","arn:aws:s3:::tsuchi/*"],
		"Condition":{"Bool":{"aws:SecureTransport":"false"},"DateLessThan":{"aws:TokenIssueTime":"2026-01-01T00:00:00Z"},"NumericLessThan":{"s3:signatureAge":"10"},"NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}}`)
	req.Context = keys{"aws:username": one("alice"), "aws:securetransport": one("true"), "aws:sourceip": one("203.0.113.9"),
		"aws:tokenissuetime": one("2026-02-03T04:05:06Z"), "s3:signatureage": one("12.5")}
	if d := Evaluate(req, in); !d.Allowed() {
		t.Fatalf("not allowed: %+v", d)
	}
	if n := testing.AllocsPerRun(100, func() { Evaluate(req, in) }); n != 0 {
		t.Errorf("%v allocations per decision", n)
	}
}

func BenchmarkEvaluate10x20(b *testing.B) {
	req, in := tenPolicies(b)
	if !Evaluate(req, in).Allowed() {
		b.Fatal("not allowed")
	}
	b.ReportAllocs()
	before := processorTime(b)
	for b.Loop() {
		Evaluate(req, in)
	}
	b.ReportMetric(float64(processorTime(b)-before)/float64(b.N), "cpu-ns/op")
}

// processorTime is what this process has used: on a busy machine it says more than the clock.
func processorTime(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

func BenchmarkParse20KiB(b *testing.B) {
	n := 1
	for len(manyStatements(n+1)) <= 20<<10 {
		n++
	}
	src := []byte(manyStatements(n))
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(src, Identity); err != nil {
			b.Fatal(err)
		}
	}
}
