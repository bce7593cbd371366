package iam_test

import "testing"

// BenchmarkCalls measures whole requests, signature and decision included, without a network. Signing the
// request is part of it.
func BenchmarkCalls(b *testing.B) {
	h := newHarness(b)
	h.must(h.admin, "iam", "CreateRole", "RoleName", "worker", "AssumeRolePolicyDocument", trust(testAccount, ""))
	for _, c := range [][]string{
		{"sts", "GetCallerIdentity"},
		{"iam", "GetUser", "UserName", "admin"},
		{"sts", "AssumeRole", "RoleArn", arn("role/worker"), "RoleSessionName", "session"},
	} {
		b.Run(c[1], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				h.must(h.admin, c[0], c[1], c[2:]...)
				h.recorder.Events = h.recorder.Events[:0]
			}
		})
	}
}
