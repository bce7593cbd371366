package event

import (
	"fmt"
	"testing"

	"github.com/kura-s3/kura/internal/event/pattern"
)

// TestRulesAreFoundByKind: as without the index, and it does not grow with what clients put.
func TestRulesAreFoundByKind(t *testing.T) {
	var rules []*Rule
	for i, text := range []string{
		`{"source":["one"]}`, `{"source":["one"],"detail-type":["a"]}`, `{"detail-type":["b"]}`, `{"source":[{"prefix":"o"}]}`, `{"detail":{"x":["y"]}}`,
	} {
		p, err := pattern.Compile([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		rules = append(rules, &Rule{Name: fmt.Sprint(i), pattern: p})
	}
	rules = append(rules, &Rule{Name: "off", State: Disabled, pattern: rules[0].pattern}, &Rule{Name: "schedule"})
	x := &index{all: map[string]receivers{}, kinds: map[kind]receivers{}}
	for _, r := range rules {
		x.add("bus", r)
	}
	for k, want := range map[kind]string{
		{"bus", "one", "a"}: "0134", {"bus", "one", "b"}: "0234", {"bus", "two", "b"}: "234", {"bus", "two", "c"}: "34", {"other", "one", "a"}: "",
	} {
		for range 2 {
			names := ""
			for _, r := range x.of(k).rules {
				names += r.Name
			}
			if names != want {
				t.Errorf("%v: %s, want %s", k, names, want)
			}
		}
	}
	for i := range 2 * maxKinds {
		x.of(kind{"bus", fmt.Sprint(i), "c"})
	}
	if len(x.kinds) > maxKinds {
		t.Errorf("%d kinds", len(x.kinds))
	}
}
