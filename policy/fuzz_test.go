package policy

import (
	"encoding/json"
	"testing"
)

func fuzzSeeds(f *testing.F) {
	for _, c := range refused {
		if len(c.src) < 1000 {
			f.Add(c.src, byte(c.kind), "arn:aws:s3:::tsuchi/k", "alice")
		}
	}
	f.Add(manyStatements(4), byte(Identity), bucket+"/alice/x", "alice")
	for _, p := range diceTargets {
		f.Add(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"`+p+`","Condition":{"StringLike":{"aws:username":"${aws:username}*"}}}}`, byte(SCP), "arn:aws:s3:::b/k", "a*")
	}
}

// FuzzParse: whatever the bytes, a document or an error with its place; what is accepted is JSON, and
// its normalized form means the same.
func FuzzParse(f *testing.F) {
	fuzzSeeds(f)
	f.Fuzz(func(t *testing.T, src string, kind byte, resource, name string) {
		Validate([]byte(src), Kind(kind%12))
		d, err := ParseString(src, Kind(kind%12))
		if err != nil {
			bad := err.(*SyntaxError)
			if bad.Line < 1 || bad.Column < 1 || bad.S3Message() == "" || bad.IAMMessage() == "" {
				t.Errorf("%+v", bad)
			}
			return
		}
		if !json.Valid([]byte(src)) {
			t.Errorf("accepted, but no JSON")
		}
		again, err := ParseString(d.Normalized(), d.Kind())
		if err != nil {
			t.Fatalf("normalized: %v\n%s", err, d.Normalized())
		}
		if again.Normalized() != d.Normalized() || again.Len() != d.Len() {
			t.Errorf("normalizing changes %s", d.Normalized())
		}
		_ = d.CheckBucket(bucket)
	})
}

// FuzzEvaluate: every document that parses decides, and is explained as it decides.
func FuzzEvaluate(f *testing.F) {
	fuzzSeeds(f)
	f.Fuzz(func(t *testing.T, src string, kind byte, resource, name string) {
		if len(src)+len(resource)+len(name) > 2000 {
			return
		}
		d, err := ParseString(src, SCP)
		in := &Inputs{Identity: []*Document{d}}
		if err != nil {
			if d, err = ParseString(src, Resource); err != nil {
				return
			}
			in = &Inputs{Resource: d}
		}
		req := &Request{Principal: user(), Action: "s3:GetObject", Resource: resource, ResourceAccount: account, Context: keys{"aws:username": one(name), "aws:tagkeys": many(name, "b")}}
		got := Evaluate(req, in)
		if x := Explain(req, in); x.Decision != got.Effect.String() {
			t.Errorf("decided %v, explained %s", got.Effect, x.Decision)
		}
		if got.Allowed() && got.Document == nil {
			t.Errorf("allowed by nothing: %+v", got)
		}
	})
}
