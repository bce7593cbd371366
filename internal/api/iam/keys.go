package iam

import (
	"strings"

	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/iamwire"
	"github.com/kura-s3/kura/policy"
)

// keys are the condition keys of a demand: those that the Service Authorization Reference lists for
// its action and resource, and no others.
type keys struct {
	edge    edge
	on      target
	in      input
	sources map[string]source
}

// source takes a condition key's values from the input or the entity. suffix is what follows the
// key's name, for keys such as aws:RequestTag/….
type source func(k *keys, suffix string) (policy.Values, bool)

// keySources are all keys that IAM's operations have, in lower case.
var keySources = map[string]source{
	"aws:requesttag/":         (*keys).requestTag,
	"aws:tagkeys":             (*keys).tagKeys,
	"aws:resourcetag/":        (*keys).resourceTag,
	"iam:resourcetag/":        (*keys).resourceTag,
	"iam:permissionsboundary": (*keys).boundary,
	"iam:policyarn":           parameter("PolicyArn"),
	"iam:awsservicename":      parameter("AWSServiceName"),
}

// sourcesOf are the sources of an action's keys.
func sourcesOf(action string) map[string]source {
	sources := map[string]source{}
	for _, name := range policy.ActionKeys(action) {
		if s, ok := keySources[name]; ok {
			sources[name] = s
		}
	}
	return sources
}

// Lookup implements authz.Keys.
func (k *keys) Lookup(key string) (policy.Values, bool) {
	if s, ok := k.sources[key]; ok {
		return s(k, "")
	}
	if i := strings.IndexByte(key, '/'); i > 0 {
		if s, ok := k.sources[key[:i+1]]; ok {
			return s(k, key[i+1:])
		}
	}
	return policy.Values{}, false
}

func parameter(name string) source {
	return func(k *keys, _ string) (policy.Values, bool) {
		if !k.in.has(name) {
			return policy.Values{}, false
		}
		one := k.in.text(name)
		return policy.Values{One: one}, one != ""
	}
}

// requestedTags are the tags that the request wants to set.
func (k *keys) requestedTags() []iamwire.Tag {
	if !k.in.has("Tags") {
		return nil
	}
	tags, _ := k.in.FieldByName("Tags").Interface().([]iamwire.Tag)
	return tags
}

func (k *keys) requestTag(key string) (policy.Values, bool) {
	for _, t := range k.requestedTags() {
		if strings.EqualFold(member.Text(t.Key), key) {
			return policy.Values{One: member.Text(t.Value)}, true
		}
	}
	return policy.Values{}, false
}

// tagKeys are the keys of the tags that the request sets or takes away.
func (k *keys) tagKeys(string) (policy.Values, bool) {
	var names []string
	for _, t := range k.requestedTags() {
		names = append(names, member.Text(t.Key))
	}
	if k.in.has("TagKeys") {
		names, _ = k.in.FieldByName("TagKeys").Interface().([]string)
	}
	return policy.Values{Many: names, Multi: true}, len(names) > 0
}

func (k *keys) resourceTag(key string) (policy.Values, bool) {
	for _, t := range k.edge.identities.ResourceTags(k.on.Ref) {
		if strings.EqualFold(t.Key, key) {
			return policy.Values{One: t.Value}, true
		}
	}
	return policy.Values{}, false
}

// boundary is the permissions boundary that the request sets, else that of the entity.
func (k *keys) boundary(string) (policy.Values, bool) {
	arn := ""
	if k.in.has("PermissionsBoundary") {
		arn = k.in.text("PermissionsBoundary")
	} else {
		arn = k.edge.identities.BoundaryARN(k.on.Ref)
	}
	return policy.Values{One: arn}, arn != ""
}
