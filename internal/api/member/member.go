// Package member reads the optional members of generated inputs and makes those of outputs.
package member

import "time"

// Text is what a member says, "" when it was left out.
func Text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// Number is what a member says, 0 when it was left out.
func Number(n *int32) int {
	if n == nil {
		return 0
	}
	return int(*n)
}

// True tells whether a member was given and says so.
func True(b *bool) bool { return b != nil && *b }

// Given is a member of an answer that is left out when it is empty.
func Given(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// At is a time of an answer that is left out when there is none.
func At(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Tags of a list by their keys.
func Tags[T any](list []T, of func(T) (key, value *string)) map[string]string {
	tags := make(map[string]string, len(list))
	for _, item := range list {
		key, value := of(item)
		tags[Text(key)] = Text(value)
	}
	return tags
}

// Every shows all items. Never nil, so that an empty list is answered as one.
func Every[F, T any](items []F, show func(F) T) []T {
	shown := make([]T, 0, len(items))
	for _, item := range items {
		shown = append(shown, show(item))
	}
	return shown
}
