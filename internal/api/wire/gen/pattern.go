package main

import (
	"regexp"
	"strconv"
	"strings"
)

var (
	unicodeEscape = regexp.MustCompile(`\\u([0-9A-Fa-f]{4})`)
	repetition    = regexp.MustCompile(`\{(\d+),(\d+)\}`)
	possessive    = regexp.MustCompile(`([*+?}])\+`)
)

// goPattern is a model's regular expression as Go's RE2 reads it; "" where it has no such
// expression (look-around). Repetitions beyond RE2's limit lose their upper bound, which the
// shape's maximum length keeps.
func goPattern(p string) string {
	if p == "" {
		return ""
	}
	// Java spells the planes above the first with pairs of surrogates.
	p = strings.ReplaceAll(p, `\uD800\uDC00-\uDBFF\uDFFF`, `\x{10000}-\x{10FFFF}`)
	p = unicodeEscape.ReplaceAllString(p, `\x{$1}`)
	p = repetition.ReplaceAllStringFunc(p, func(s string) string {
		m := repetition.FindStringSubmatch(s)
		if n, err := strconv.Atoi(m[2]); err == nil && n <= 1000 {
			return s
		}
		switch m[1] {
		case "0":
			return "*"
		case "1":
			return "+"
		}
		return "{" + m[1] + ",}"
	})
	for _, candidate := range []string{p, possessive.ReplaceAllString(p, "$1"), strings.ReplaceAll(p, `\Z`, `\z`)} {
		if _, err := regexp.Compile(`\A(?:` + candidate + `)\z`); err == nil {
			return candidate
		}
	}
	return ""
}
