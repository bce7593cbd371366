package kms

import "strings"

// checkTags holds new tags to KMS's rules.
func checkTags(tags []Tag) error {
	seen := make(map[string]bool, len(tags))
	for _, t := range tags {
		if strings.HasPrefix(strings.ToLower(t.Key), "aws:") {
			return refuse(BadTag, "Tags beginning with aws: are reserved")
		}
		if seen[t.Key] {
			return refuse(BadTag, "Duplicate tag keys")
		}
		seen[t.Key] = true
	}
	if len(tags) > maxTags {
		return refuse(BadTag, "Too many tags")
	}
	return nil
}
