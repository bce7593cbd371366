package trail

import (
	"slices"
	"strings"
	"testing"

	"github.com/kura-s3/kura/internal/audit"
)

// TestATrailGetsTheRecordOfItsEnd: in the bucket, in a digest, and in the log group. What happens after it does not come.
func TestATrailGetsTheRecordOfItsEnd(t *testing.T) {
	for name, end := range map[string]func(h *harness, arn string) (Conclusion, error){
		"StopLogging": func(h *harness, arn string) (Conclusion, error) { return h.Stop(t.Context(), h.grant, arn) },
		"DeleteTrail": func(h *harness, arn string) (Conclusion, error) { return h.Delete(t.Context(), h.grant, arn) },
	} {
		t.Run(name, func(t *testing.T) {
			h, g, tr := withGroup(t)
			h.happen(t, "One")
			h.grant.Event().ID = name // as happen has it
			conclude, err := end(h, tr.ARN())
			if err != nil || conclude == nil {
				t.Fatal(err)
			}
			h.happen(t, name)
			h.happen(t, "After")
			conclude(t.Context())
			if want := []string{"Before", "One", name}; !slices.Equal(sorted(h.bucket.names(t)), sorted(want)) {
				t.Errorf("bucket: %v", h.bucket.names(t))
			}
			if want := []string{"One", name}; !slices.Equal(g.names, want) {
				t.Errorf("group: %v", g.names)
			}
			for path := range h.bucket.objects {
				if strings.Contains(path, "/CloudTrail/") && !h.bucket.digested(t, path) {
					t.Errorf("%s is in no digest", path)
				}
			}
		})
	}
}

func sorted(names []string) []string {
	names = slices.Clone(names)
	slices.Sort(names)
	return names
}

// TestNarrowingATrailHidesNothing: neither what happened before, nor that it was narrowed.
func TestNarrowingATrailHidesNothing(t *testing.T) {
	h := newHarness(t)
	tr := h.trail(t)
	h.happen(t, "Deed")
	tr, err := h.Update(t.Context(), h.grant, "cloudtrail:PutEventSelectors", tr.ARN(), func(t *Trail) error {
		t.Selectors = []Selector{{ReadWriteType: "ReadOnly", Management: true}}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	h.happen(t, "Later")
	h.deliverNow(t, tr)
	if got := h.bucket.names(t); !slices.Equal(got, []string{"Deed"}) {
		t.Errorf("%v", got)
	}
	for _, c := range []struct {
		arn, name string
		want      bool
	}{{tr.ARN(), "PutEventSelectors", true}, {tr.ARN(), "StopLogging", true}, {tr.ARN() + "2", "StopLogging", false}, {tr.ARN(), "AddTags", false}} {
		if got := tr.Takes(&audit.Note{Account: account, Category: audit.CategoryManagement, Source: Service, Name: c.name, ARN: c.arn}); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
