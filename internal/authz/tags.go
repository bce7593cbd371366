package authz

import (
	"maps"
	"slices"
	"strings"

	"github.com/kura-s3/kura/policy"
)

// ResourceTags are the condition keys of the tags that a resource has: aws:ResourceTag/… (IAM User Guide,
// "Controlling access to AWS resources using tags").
type ResourceTags map[string]string

// Lookup implements Keys.
func (t ResourceTags) Lookup(key string) (policy.Values, bool) {
	return tagOf(t, "aws:resourcetag/", key)
}

// RequestTags are the condition keys of the tags that a request brings: aws:RequestTag/… and aws:TagKeys.
type RequestTags map[string]string

// Lookup implements Keys.
func (t RequestTags) Lookup(key string) (policy.Values, bool) {
	if key == "aws:tagkeys" {
		return TagKeys(slices.Sorted(maps.Keys(t))).Lookup(key)
	}
	return tagOf(t, "aws:requesttag/", key)
}

// TagKeys is the condition key of a request that takes tags away: aws:TagKeys.
type TagKeys []string

// Lookup implements Keys.
func (t TagKeys) Lookup(key string) (policy.Values, bool) {
	if key != "aws:tagkeys" || len(t) == 0 {
		return policy.Values{}, false
	}
	return policy.Values{Many: t, Multi: true}, true
}

// Either gives a key of the first that has it; nil ones have none.
type Either []Keys

// Lookup implements Keys.
func (e Either) Lookup(key string) (policy.Values, bool) {
	for _, keys := range e {
		if keys == nil {
			continue
		}
		if v, ok := keys.Lookup(key); ok {
			return v, true
		}
	}
	return policy.Values{}, false
}

// tagOf finds a tag by its name in a condition key, which ignores case. Of names that differ by nothing
// else it takes the first in order, of a request as of a resource.
func tagOf(tags map[string]string, prefix, key string) (policy.Values, bool) {
	name, ok := strings.CutPrefix(key, prefix)
	if !ok {
		return policy.Values{}, false
	}
	first, found := "", false
	for tag := range tags {
		if strings.EqualFold(tag, name) && (!found || tag < first) {
			first, found = tag, true
		}
	}
	return policy.Values{One: tags[first]}, found
}
