package main

import (
	"strings"
	"unicode"
)

// exported gives a model's name as an exported Go name.
func exported(name string) string {
	var b strings.Builder
	up := true
	for _, r := range name {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			up = true
		case up:
			b.WriteRune(unicode.ToUpper(r))
			up = false
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// constant gives the name of an enum's constant: "STANDARD_IA" of StorageClass becomes
// StorageClassStandardIa, "s3:ObjectCreated:*" of Event EventS3ObjectCreatedAll.
func constant(enum, value string) string {
	value = strings.ReplaceAll(value, "*", " All")
	words := strings.FieldsFunc(value, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	var b strings.Builder
	b.WriteString(enum)
	for _, w := range words {
		if w == strings.ToUpper(w) {
			w = strings.ToLower(w)
		}
		b.WriteString(strings.ToUpper(w[:1]) + w[1:])
	}
	return b.String()
}
