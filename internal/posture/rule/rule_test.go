package rule

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/posture"
)

// TestExamples: every rule gives the answers that it says it gives.
func TestExamples(t *testing.T) {
	for _, r := range rules {
		t.Run(r.ID, func(t *testing.T) {
			seen := map[Compliance]bool{}
			for _, e := range r.Examples {
				in := e.Input
				var err error
				if in.Parameters, err = r.Fill(in.Parameters); err != nil {
					t.Fatal(err)
				}
				in.Now = exampleNow
				if in.LastUse == nil {
					in.LastUse = func(string) (time.Time, error) { return time.Time{}, nil }
				}
				got, err := r.Judge(&in)
				if err != nil {
					t.Fatal(err)
				}
				seen[got.Compliance] = true
				if got.Compliance != e.Compliance || e.Annotation != "" && got.Annotation != e.Annotation {
					t.Errorf("%s: %+v, want %s %q", e.Name, got, e.Compliance, e.Annotation)
				}
				if (got.Compliance == NonCompliant) != (got.Annotation != "") {
					t.Errorf("%s: %s with the annotation %q", e.Name, got.Compliance, got.Annotation)
				}
			}
			if !seen[Compliant] || !seen[NonCompliant] && r != s3BucketServerSideEncryptionEnabled {
				t.Errorf("examples show %v only", seen)
			}
			if r.Finds == "" || r.Why == "" || len(r.Types) == 0 || !r.OnChange && !r.Periodic {
				t.Error("the rule does not say all about itself")
			}
			if len(All) != len(rules) || All[r.ID] != r || strings.ToUpper(r.ID) != r.ID {
				t.Error("the table is wrong")
			}
		})
	}
}

// TestBroken: what cannot be read is not compliant.
func TestBroken(t *testing.T) {
	for _, r := range rules {
		got, err := r.Judge(&Input{Resource: &posture.Resource{Broken: errors.New("policy: " + strings.Repeat("x", 400))}})
		if err != nil || got.Compliance != NonCompliant || len([]rune(got.Annotation)) > maxAnnotation {
			t.Errorf("%s: %+v %v", r.ID, got, err)
		}
	}
	if in := bucketOf(0, "policy", "{"); in.Resource.Broken == nil {
		t.Error("a policy that does not parse was read")
	}
	if in := bucketOf(0, "publicAccessBlock", `{"New":true}`); in.Resource.Broken == nil {
		t.Error("a setting that nobody knows was read")
	}
}

func TestParameters(t *testing.T) {
	r := accessKeysRotated
	if p, err := r.Fill(nil); err != nil || p["maxAccessKeyAge"] != "90" {
		t.Errorf("%v %v", p, err)
	}
	for _, bad := range []map[string]string{{"maxAccessKeyAge": "soon"}, {"maxAccessKeyAge": "-1"}, {"maxaccesskeyage": "1"}} {
		if p, err := r.Fill(bad); err == nil {
			t.Errorf("%v became %v", bad, p)
		}
	}
	if _, err := s3BucketBlacklistedActionsProhibited.Fill(nil); err == nil {
		t.Error("a required parameter was missing")
	}
}
