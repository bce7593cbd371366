package policy

import (
	"strings"
)

// statement runs every check of one statement.
func (v *validation) statement(s *statement) {
	for _, check := range [...]func(*validation, *statement){
		(*validation).negations, (*validation).actions, (*validation).applicability, (*validation).lists,
		(*validation).conditions, (*validation).doesNotRestrict, (*validation).trusted, (*validation).passRole, (*validation).escalation,
	} {
		check(v, s)
	}
}

// negations are the elements that allow everything but what they list.
func (v *validation) negations(s *statement) {
	if s.effect != Allow {
		return
	}
	at, end := int(s.start), int(s.end)
	if s.notPrincipal {
		v.report(at, end, FindingSecurityWarning, "ALLOW_WITH_NOT_PRINCIPAL", "Allow with NotPrincipal grants everybody who is not listed, anonymous callers included. Use Principal.")
	}
	if s.notAction {
		v.report(at, end, FindingSecurityWarning, "ALLOW_WITH_NOT_ACTION", "Allow with NotAction grants every action that is not listed, of every service, now and later. Use Action.")
	}
	if s.notResource {
		v.report(at, end, FindingWarning, "ALLOW_WITH_NOT_RESOURCE", "Allow with NotResource grants every resource that is not listed, now and later. Use Resource.")
	}
}

// actions must exist.
func (v *validation) actions(s *statement) {
	for i := range s.actions {
		a := &s.actions[i]
		switch known := knownPattern(a); {
		case known:
		case !KnownService(a.service):
			v.on(a.offset, FindingWarning, "INVALID_SERVICE_IN_ACTION", "There is no service "+quote(a.service)+" here: the action matches no request.")
		default:
			v.on(a.offset, FindingError, "INVALID_ACTION", "The action "+a.written+" does not exist."+suggestAction(a))
		}
	}
}

func knownPattern(a *actionPattern) bool {
	known := a.service == "*"
	eachAction(a.written, func(*serviceRow, *actionRow) bool { known = true; return false })
	return known
}

// operationActions are names of S3 operations that people take for actions.
var operationActions = map[string]string{
	"s3:headobject": "s3:GetObject", "s3:headbucket": "s3:ListBucket", "s3:listobjects": "s3:ListBucket", "s3:listobjectsv2": "s3:ListBucket",
	"s3:copyobject": "s3:GetObject and s3:PutObject", "s3:uploadpart": "s3:PutObject", "s3:completemultipartupload": "s3:PutObject",
	"s3:createmultipartupload": "s3:PutObject", "s3:deleteobjects": "s3:DeleteObject", "s3:getbucketencryption": "s3:GetEncryptionConfiguration",
	"s3:putbucketencryption":        "s3:PutEncryptionConfiguration",
	"s3:putobjectlockconfiguration": "s3:PutBucketObjectLockConfiguration", "s3:getobjectlockconfiguration": "s3:GetBucketObjectLockConfiguration",
	"s3:listbuckets": "s3:ListAllMyBuckets", "s3:listobjectversions": "s3:ListBucketVersions", "s3:listparts": "s3:ListMultipartUploadParts",
	"s3:listmultipartuploads": "s3:ListBucketMultipartUploads", "s3:getbucketlifecycleconfiguration": "s3:GetLifecycleConfiguration",
	"s3:putbucketlifecycleconfiguration": "s3:PutLifecycleConfiguration", "s3:putpublicaccessblock": "s3:PutBucketPublicAccessBlock",
	"s3:getpublicaccessblock": "s3:GetBucketPublicAccessBlock",
}

func suggestAction(a *actionPattern) string {
	if right := operationActions[lowerASCII(a.written)]; right != "" {
		return " The operation needs " + right + "."
	}
	return ""
}

// applicability: an action that applies to none of the statement's resources does nothing.
func (v *validation) applicability(s *statement) {
	if s.notAction || s.notResource || len(s.resources) == 0 {
		return
	}
	within := reach{resources: s.resources}
	for i := range s.actions {
		a := &s.actions[i]
		some, needsBucket := false, false
		eachAction(a.written, func(service *serviceRow, row *actionRow) bool {
			fits := within.fits(service, row)
			some = some || fits
			if service.prefix == "s3" && row.name == "ListBucket" {
				needsBucket = !fits
			}
			return true
		})
		switch {
		case !some && knownPattern(a):
			v.on(a.offset, v.unlessBucket(FindingWarning), "ACTION_APPLIES_TO_NO_RESOURCE",
				"The action "+a.written+" applies to none of the resources of its statement."+neededResource(a))
		case some && needsBucket:
			v.on(a.offset, FindingWarning, "ACTION_APPLIES_TO_NO_RESOURCE",
				a.written+" includes s3:ListBucket, which is about the bucket itself (arn:aws:s3:::BUCKET), not its objects: the statement does not let anybody list.")
		}
	}
}

// unlessBucket is an error in a bucket policy, which S3 would refuse.
func (v *validation) unlessBucket(t FindingType) FindingType {
	if v.doc.kind == Bucket {
		return FindingError
	}
	return t
}

func neededResource(a *actionPattern) string {
	types := ResourceTypes(a.written)
	switch {
	case strings.ContainsAny(a.written, "*?"):
		return ""
	case len(types) == 0:
		return " It needs the resource \"*\"."
	}
	return " It needs a resource of type " + strings.Join(types, ", ") + "."
}

// covers tells whether everything that b means is meant by a. It is careful: false when unsure.
func covers(a *pattern, b string) bool {
	if a.form == formOps {
		return false
	}
	return a.match(b, nil) && (a.form != formExact || !strings.ContainsAny(b, "*?") || strings.EqualFold(a.text, b))
}

// maxCompared bounds the lists whose entries are compared with each other.
const maxCompared = 300

// lists finds entries that another entry of the same list already means.
func (v *validation) lists(s *statement) {
	if len(s.actions)+len(s.resources) > maxCompared {
		return
	}
	for i := range s.actions {
		for j := range s.actions {
			if i != j && covers(&s.actions[j].pattern, s.actions[i].written) && (i > j || !covers(&s.actions[i].pattern, s.actions[j].written)) {
				v.on(s.actions[i].offset, FindingSuggestion, "REDUNDANT_ACTION", s.actions[i].written+" is already meant by "+s.actions[j].written+".")
				break
			}
		}
	}
	for i := range s.resources {
		for j := range s.resources {
			if i != j && covers(&s.resources[j].pattern, s.resources[i].written) && (i > j || !covers(&s.resources[i].pattern, s.resources[j].written)) {
				v.on(s.resources[i].offset, FindingSuggestion, "REDUNDANT_RESOURCE", s.resources[i].written+" is already meant by "+s.resources[j].written+".")
				break
			}
		}
	}
}

// redundantStatements finds statements that an unconditional one of the same effect contains.
func (v *validation) redundantStatements() {
	if len(v.doc.statements) > maxCompared {
		return
	}
	for i := range v.doc.statements {
		for j := range v.doc.statements {
			a, b := &v.doc.statements[j], &v.doc.statements[i]
			if i != j && a.contains(b) && (i > j || !b.contains(a)) {
				v.report(int(b.start), int(b.end), FindingSuggestion, "REDUNDANT_STATEMENT", "Statement "+itoa(j)+" already says all that this statement says.")
				break
			}
		}
	}
}

func (s *statement) contains(t *statement) bool {
	if s.effect != t.effect || len(s.conditions) > 0 || s.notAction || t.notAction || s.notResource || t.notResource ||
		s.notPrincipal || t.notPrincipal || s.hasPrincipal != t.hasPrincipal || len(t.actions) == 0 {
		return false
	}
	for i := range t.actions {
		if !anyOf(s.actions, func(a *actionPattern) bool { return covers(&a.pattern, t.actions[i].written) }) {
			return false
		}
	}
	for i := range t.resources {
		if !anyOf(s.resources, func(r *resourcePattern) bool { return covers(&r.pattern, t.resources[i].written) }) {
			return false
		}
	}
	for i := range t.principals {
		if !anyOf(s.principals, func(p *principal) bool {
			return p.kind == everyone || p.kind == t.principals[i].kind && p.value == t.principals[i].value
		}) {
			return false
		}
	}
	return true
}

func anyOf[T any](list []T, f func(*T) bool) bool {
	for i := range list {
		if f(&list[i]) {
			return true
		}
	}
	return false
}
