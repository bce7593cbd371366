package iam_test

import (
	"strings"
	"testing"
)

// junk is what no member wants.
var junk = []string{
	"", " ", "/", "//", "*", "a/b/c/d/e", "..", "\x00", "é\n", "-1", "99999999999999999999", "{", "null", "arn:aws:iam::", "arn:aws:iam::" + testAccount + ":",
	"arn:aws:iam::" + testAccount + ":user/", "arn:aws:iam::aws:policy/", "arn:aws:sts:::x/y", "r-", "ou-", "task/aws-service-role///", strings.Repeat("x", 9000), "<&>",
}

// TestBadInput: every parameter of every operation in turn is junk, sent by an administrator. The answer is
// an error of the caller's, or a success where the junk happens to be allowed; never one of Kura's.
func TestBadInput(t *testing.T) {
	h := populated(t)
	for _, op := range h.server.Ops() {
		good := sample(op)
		for i := 0; i+1 < len(good); i += 2 {
			for _, value := range junk {
				bad := append([]string{}, good...)
				bad[i+1] = value
				a := h.call(h.admin, op.Wire().Service, op.Name(), bad...)
				if a.status >= 500 || a.status != 200 && a.code() == "" {
					t.Errorf("%s with %s=%q: %d %s", op.Name(), good[i], value, a.status, a.body)
				}
			}
		}
	}
	h.must(h.admin, "sts", "GetCallerIdentity")
}
