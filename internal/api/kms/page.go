package kms

import (
	"encoding/base64"

	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/kms"
)

// page is one part of a list, with what asks for the next.
type page[T any] struct {
	items []T
	more  *bool
	next  *string
}

// pageOf cuts the page that was asked for out of a list in the order of names.
func pageOf[T any](list []T, name func(T) string, limit *int32, marker *string, usual int) (page[T], error) {
	if marker != nil {
		raw, err := base64.RawURLEncoding.DecodeString(*marker)
		if err != nil || len(raw) == 0 {
			return page[T]{}, fault.New(kms.InvalidMarker, "")
		}
		i := 0
		for i < len(list) && name(list[i]) <= string(raw) {
			i++
		}
		list = list[i:]
	}
	if limit != nil {
		usual = int(*limit)
	}
	if len(list) <= usual {
		return page[T]{items: list, more: new(false)}, nil
	}
	next := base64.RawURLEncoding.EncodeToString([]byte(name(list[usual-1])))
	return page[T]{items: list[:usual], more: new(true), next: &next}, nil
}
