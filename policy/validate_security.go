package policy

import (
	"slices"
	"strings"
)

// doesNotRestrict explains the commonest misunderstanding of bucket policies: an Allow with an
// address condition takes nothing from a principal that is allowed elsewhere.
func (v *validation) doesNotRestrict(s *statement) {
	if s.effect != Allow || v.doc.kind != Bucket || s.notPrincipal {
		return
	}
	for i := range s.conditions {
		c := &s.conditions[i]
		if c.base.family == ipFamily && c.key == "aws:sourceip" {
			v.on(c.offset, FindingWarning, "ALLOW_DOES_NOT_RESTRICT", "Allow with "+c.operator+" does not restrict a principal that is allowed elsewhere: "+
				"it only adds permission from these addresses. To keep others out, use Deny with NotIpAddress.")
		}
	}
}

// hasKey tells whether the statement tests one of the keys.
func (s *statement) hasKey(names ...string) bool {
	return slices.ContainsFunc(s.conditions, func(c condition) bool { return slices.Contains(names, c.key) })
}

// trusted looks at who is let in by a role's trust policy, and at services that act for others.
func (v *validation) trusted(s *statement) {
	if s.effect != Allow || s.notPrincipal {
		return
	}
	for i := range s.principals {
		p := &s.principals[i]
		switch {
		case v.doc.kind == Trust && p.kind == everyone && len(s.conditions) == 0:
			v.on(p.offset, FindingSecurityWarning, "TRUST_EVERYONE", "Everybody, in any account, may assume the role.")
		case v.doc.kind == Trust && p.kind == providerPrincipal && !s.limitsTokens():
			v.on(p.offset, FindingSecurityWarning, "TRUST_WITHOUT_SUBJECT", "Every identity of the provider may assume the role: add a condition on the token's sub or aud.")
		case v.doc.kind != Trust && v.doc.kind != RCP && p.kind == servicePrincipal && !s.hasKey("aws:sourcearn", "aws:sourceaccount", "aws:sourceorgid", "aws:sourceorgpaths"):
			v.on(p.offset, FindingSecurityWarning, "RESTRICT_ACCESS_TO_SERVICE_PRINCIPAL", "The service may act for resources of anybody: add a condition on aws:SourceArn or aws:SourceAccount.")
		}
	}
}

func (s *statement) limitsTokens() bool {
	return slices.ContainsFunc(s.conditions, func(c condition) bool {
		return strings.HasSuffix(c.key, ":sub") || strings.HasSuffix(c.key, ":aud") || strings.HasSuffix(c.key, ":amr") || strings.HasSuffix(c.key, ":email")
	})
}

// passRole: handing any role to a service is handing out that role's permissions.
func (v *validation) passRole(s *statement) {
	if s.effect != Allow || !v.doc.kind.identityBased() && v.doc.kind != SCP || v.doc.kind == Boundary || v.doc.kind == SCP || s.hasKey("iam:passedtoservice") {
		return
	}
	for i := range s.actions {
		a := &s.actions[i]
		if s.notAction || !a.pattern.match("iam:passrole", nil) {
			continue
		}
		wide := slices.ContainsFunc(s.resources, func(r resourcePattern) bool {
			return r.pattern.form == formAny || strings.HasSuffix(r.written, ":role/*") || strings.HasSuffix(r.written, ":*")
		})
		star := a.pattern.form != formExact
		switch {
		case s.notResource:
			v.on(a.offset, FindingSecurityWarning, "PASS_ROLE_WITH_NOT_RESOURCE", "iam:PassRole with NotResource allows passing every other role. Use Resource.")
		case wide && star:
			v.on(a.offset, FindingSecurityWarning, "PASS_ROLE_WITH_STAR_IN_ACTION_AND_RESOURCE", a.written+" includes iam:PassRole, here for every role: list the roles, or add the condition key iam:PassedToService.")
		case wide:
			v.on(a.offset, FindingSecurityWarning, "PASS_ROLE_WITH_STAR_IN_RESOURCE", "iam:PassRole for every role: list the roles, or add the condition key iam:PassedToService.")
		}
	}
}

// escalation is a permission, or several together, whose holder can give itself more.
type escalation struct {
	needs []string // first the action that is reported
	how   string
	// own: harmless while limited to the caller's own user.
	own bool
}

var escalations = [...]escalation{
	{needs: []string{"iam:createpolicyversion"}, how: "a new default version of an attached policy"},
	{needs: []string{"iam:setdefaultpolicyversion"}, how: "an older, wider version of an attached policy"},
	{needs: []string{"iam:attachuserpolicy"}, how: "attaching an administrator policy to its own user"},
	{needs: []string{"iam:attachgrouppolicy"}, how: "attaching an administrator policy to its own group"},
	{needs: []string{"iam:attachrolepolicy"}, how: "attaching an administrator policy to a role that it can assume"},
	{needs: []string{"iam:putuserpolicy"}, how: "an inline policy on its own user"},
	{needs: []string{"iam:putgrouppolicy"}, how: "an inline policy on its own group"},
	{needs: []string{"iam:putrolepolicy"}, how: "an inline policy on a role that it can assume"},
	{needs: []string{"iam:updateassumerolepolicy"}, how: "making a stronger role trust it"},
	{needs: []string{"iam:addusertogroup"}, how: "joining a stronger group"},
	{needs: []string{"iam:createaccesskey"}, how: "an access key of a stronger user", own: true},
	{needs: []string{"iam:createloginprofile"}, how: "a console password of a stronger user", own: true},
	{needs: []string{"iam:updateloginprofile"}, how: "a new console password of a stronger user", own: true},
	{needs: []string{"iam:deactivatemfadevice"}, how: "taking the second factor from a stronger user", own: true},
	{needs: []string{"iam:deleteuserpermissionsboundary"}, how: "removing the boundary of its own user"},
	{needs: []string{"iam:putuserpermissionsboundary"}, how: "a wider boundary for its own user"},
	{needs: []string{"iam:deleterolepermissionsboundary"}, how: "removing the boundary of its own role"},
	{needs: []string{"iam:putrolepermissionsboundary"}, how: "a wider boundary for its own role"},
	{needs: []string{"iam:passrole", "lambda:createfunction"}, how: "a function that runs with a stronger role"},
	{needs: []string{"iam:passrole", "events:puttargets"}, how: "a rule's target that runs with a stronger role"},
	{needs: []string{"lambda:updatefunctioncode"}, how: "its own code in a function with a stronger role"},
	{needs: []string{"kms:putkeypolicy"}, how: "a key policy that gives it the key"},
	{needs: []string{"kms:creategrant"}, how: "a grant that gives it the key"},
}

// escalation reports, per action string, the ways to more permission that it opens.
func (v *validation) escalation(s *statement) {
	if s.effect != Allow || v.doc.kind != Identity && v.doc.kind != Session || s.notAction || len(s.conditions) > 0 {
		return
	}
	for i := range s.actions {
		a := &s.actions[i]
		if a.service == "*" {
			continue // administrators: passRole has said it
		}
		var ways []string
		for j := range escalations {
			e := &escalations[j]
			if a.pattern.match(e.needs[0], nil) && v.opens(s, e) {
				ways = append(ways, strings.Join(originalNames(e.needs), " with ")+" ("+e.how+")")
			}
		}
		if len(ways) > 0 {
			v.on(a.offset, FindingSecurityWarning, "PRIVILEGE_ESCALATION", "Whoever has this can gain more permissions: "+strings.Join(ways, "; ")+".")
		}
	}
}

// opens tells whether the statement's resources and the rest of the document leave the way open.
func (v *validation) opens(s *statement, e *escalation) bool {
	if e.own && !slices.ContainsFunc(s.resources, func(r resourcePattern) bool { return !strings.HasSuffix(r.written, "/${aws:username}") }) {
		return false
	}
	for _, action := range e.needs[1:] {
		if !v.says(Allow, action) {
			return false
		}
	}
	return !slices.ContainsFunc(e.needs, func(action string) bool { return v.says(ExplicitDeny, action) })
}

// says tells whether a statement of the effect has the action; a Deny counts only when nothing
// limits it.
func (v *validation) says(effect Effect, action string) bool {
	return slices.ContainsFunc(v.doc.statements, func(s statement) bool {
		if s.effect != effect || s.notAction {
			return false
		}
		whole := !s.notResource && slices.ContainsFunc(s.resources, func(r resourcePattern) bool { return r.pattern.form == formAny })
		if effect == ExplicitDeny && (len(s.conditions) > 0 || !whole) {
			return false
		}
		return slices.ContainsFunc(s.actions, func(a actionPattern) bool { return a.pattern.match(action, nil) })
	})
}

// originalNames writes actions as the service does.
func originalNames(actions []string) []string {
	list := make([]string, 0, len(actions))
	for _, a := range actions {
		list = append(list, Actions(a)...)
	}
	return list
}
