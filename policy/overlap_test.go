package policy

import (
	"strings"
	"testing"
)

// TestOverlap: a policy's resource and a template of the model have a string in common, or have not. The table is
// checked against an enumeration of short strings below.
func TestOverlap(t *testing.T) {
	const any, segment = string(rune(anyRun)), string(rune(segmentRun))
	templates := []string{"", "a", "ab", any, segment, "a" + any, "a" + segment, "a" + segment + "/" + any, segment + "b", any + "b", "a" + segment + "b"}
	resources := []string{"", "a", "b", "ab", "a/b", "*", "?", "a*", "a?", "*b", "?b", "a*b", "a?b", "*/*", "a/*", "??"}
	words := []string{""}
	for range 4 {
		for _, w := range words {
			for _, c := range "ab/" {
				words = append(words, w+string(c))
			}
		}
	}
	for _, template := range templates {
		for _, resource := range resources {
			want := false
			for _, w := range words {
				if want = want || fitsGlob(resource, w) && fitsTemplate(template, w); want {
					break
				}
			}
			if got := overlap(resource, template); got != want {
				t.Errorf("%q and %q: %t", resource, template, got)
			}
		}
	}
}

func fitsGlob(glob, s string) bool {
	switch {
	case glob == "":
		return s == ""
	case glob[0] == '*':
		return fitsGlob(glob[1:], s) || s != "" && fitsGlob(glob, s[1:])
	case s == "":
		return false
	}
	return (glob[0] == '?' || glob[0] == s[0]) && fitsGlob(glob[1:], s[1:])
}

func fitsTemplate(template, s string) bool {
	switch {
	case template == "":
		return s == ""
	case isRun(template[0]):
		more := s != "" && (template[0] == anyRun || !strings.ContainsAny(s[:1], "/:"))
		return fitsTemplate(template[1:], s) || more && fitsTemplate(template, s[1:])
	case s == "":
		return false
	}
	return template[0] == s[0] && fitsTemplate(template[1:], s[1:])
}
