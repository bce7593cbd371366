package identity_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/identity"
)

// allow is an identity policy that allows the actions on everything.
func allow(actions ...string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["` + strings.Join(actions, `","`) + `"],"Resource":"*"}]}`
}

func deny(actions ...string) string { return strings.Replace(allow(actions...), "Allow", "Deny", 1) }

func user(name string) identity.Ref {
	return identity.Ref{Kind: identity.KindUser, Account: account, Name: name}
}
func group(name string) identity.Ref {
	return identity.Ref{Kind: identity.KindGroup, Account: account, Name: name}
}
func role(name string) identity.Ref {
	return identity.Ref{Kind: identity.KindRole, Account: account, Name: name}
}

const object = "arn:aws:s3:::b/k"

func TestI08GroupMembershipHoldsForTheNextRequest(t *testing.T) {
	h := newHouse(t)
	_, key := h.user("alice")
	must(h.CreateGroup(h.ctx, h.all, account, "G", ""))(t)
	h.do(h.PutInlinePolicy(h.ctx, h.all, group("G"), "read", allow("s3:GetObject")))
	if h.may(key.AccessKeyID, "", "s3:GetObject", object) {
		t.Error("allowed before joining")
	}
	h.do(h.AddUserToGroup(h.ctx, h.all, account, "g", "ALICE"))
	if !h.may(key.AccessKeyID, "", "s3:GetObject", object) {
		t.Error("refused after joining")
	}
	h.do(h.PutInlinePolicy(h.ctx, h.all, group("G"), "read", allow("s3:PutObject")))
	if h.may(key.AccessKeyID, "", "s3:GetObject", object) || !h.may(key.AccessKeyID, "", "s3:PutObject", object) {
		t.Error("the group's changed policy does not hold")
	}
	_, members, err := h.GetGroup(h.ctx, h.all, account, "G", identity.Page{})
	if err != nil || len(members.Items) != 1 || members.Items[0].UserName != "alice" {
		t.Errorf("members %+v, %v", members, err)
	}
	refused(t, h.DeleteGroup(h.ctx, h.all, account, "G"), identity.DeleteConflict, "Cannot delete entity, must remove users from group first.")
	h.do(h.RemoveUserFromGroup(h.ctx, h.all, account, "G", "alice"))
	if h.may(key.AccessKeyID, "", "s3:PutObject", object) {
		t.Error("allowed after leaving")
	}
	refused(t, h.DeleteGroup(h.ctx, h.all, account, "G"), identity.DeleteConflict, "Cannot delete entity, must delete policies first.")
}

func TestI23BoundaryLimits(t *testing.T) {
	h := newHouse(t)
	_, key := h.user("alice")
	bound := must(h.CreatePolicy(h.ctx, h.all, account, identity.CreatePolicyInput{PolicyName: "bound", PolicyDocument: allow("s3:GetObject")}))(t)
	h.do(h.PutInlinePolicy(h.ctx, h.all, user("alice"), "own", allow("s3:GetObject", "s3:PutObject")))
	h.do(h.PutPermissionsBoundary(h.ctx, h.all, user("alice"), bound.ARN))
	if !h.may(key.AccessKeyID, "", "s3:GetObject", object) || h.may(key.AccessKeyID, "", "s3:PutObject", object) {
		t.Error("the boundary does not limit")
	}
	refused(t, h.DeletePolicy(h.ctx, h.all, account, bound.ARN), identity.DeleteConflict, "Cannot delete a policy attached to entities.")
	h.do(h.DeletePermissionsBoundary(h.ctx, h.all, user("alice")))
	if !h.may(key.AccessKeyID, "", "s3:PutObject", object) {
		t.Error("the boundary outlived its removal")
	}
}

func TestManagedPolicyVersions(t *testing.T) {
	h := newHouse(t)
	_, key := h.user("alice")
	p := must(h.CreatePolicy(h.ctx, h.all, account, identity.CreatePolicyInput{PolicyName: "P", Path: "/x/", PolicyDocument: allow("s3:GetObject")}))(t)
	if p.ARN != "arn:aws:iam::"+account+":policy/x/P" || !strings.HasPrefix(p.PolicyID, "ANPA") || p.DefaultVersionID != "v1" {
		t.Errorf("made %+v", p)
	}
	h.do(h.AttachPolicy(h.ctx, h.all, user("alice"), p.ARN))
	h.do(h.AttachPolicy(h.ctx, h.all, user("alice"), p.ARN))
	must(h.CreatePolicyVersion(h.ctx, h.all, account, p.ARN, allow("s3:PutObject"), true))(t)
	if h.may(key.AccessKeyID, "", "s3:GetObject", object) || !h.may(key.AccessKeyID, "", "s3:PutObject", object) {
		t.Error("the new default version does not hold")
	}
	h.do(h.SetDefaultPolicyVersion(h.ctx, h.all, account, p.ARN, "v1"))
	if !h.may(key.AccessKeyID, "", "s3:GetObject", object) {
		t.Error("the old version does not hold again")
	}
	for range 3 {
		must(h.CreatePolicyVersion(h.ctx, h.all, account, p.ARN, allow("s3:*"), false))(t)
	}
	_, err := h.CreatePolicyVersion(h.ctx, h.all, account, p.ARN, allow("s3:*"), false)
	refused(t, err, identity.LimitExceeded, "")
	refused(t, h.DeletePolicyVersion(h.ctx, h.all, account, p.ARN, "v1"), identity.DeleteConflict, "Cannot delete the default version of a policy.")
	h.do(h.DeletePolicyVersion(h.ctx, h.all, account, p.ARN, "v5"))
	if v := must(h.CreatePolicyVersion(h.ctx, h.all, account, p.ARN, allow("s3:*"), false))(t); v.VersionID != "v6" {
		t.Errorf("a version id was reused: %s", v.VersionID)
	}
	if got := must(h.GetPolicy(h.ctx, h.all, account, p.ARN))(t); got.AttachmentCount != 1 {
		t.Errorf("attached %d times", got.AttachmentCount)
	}
	entities := must(h.ListEntitiesForPolicy(h.ctx, h.all, account, identity.EntitiesForPolicyInput{PolicyARN: p.ARN}))(t)
	if len(entities.Items) != 1 || entities.Items[0].Name != "alice" {
		t.Errorf("entities %+v", entities)
	}
}

func TestProvidedPoliciesParseAndCannotBeChanged(t *testing.T) {
	h := newHouse(t)
	_, key := h.user("alice")
	list := must(h.ListPolicies(h.ctx, h.all, account, identity.ListPoliciesInput{Scope: "AWS", Page: identity.Page{MaxItems: 1000}}))(t)
	if len(list.Items) != 33 {
		t.Errorf("%d policies of AWS", len(list.Items))
	}
	for _, p := range list.Items {
		h.do(h.AttachPolicy(h.ctx, h.all, user("alice"), p.ARN))
		h.may(key.AccessKeyID, "", "s3:GetObject", object) // compiles it, or fails the test
		h.do(h.DetachPolicy(h.ctx, h.all, user("alice"), p.ARN))
	}
	const admin = "arn:aws:iam::aws:policy/AdministratorAccess"
	refused(t, h.DeletePolicy(h.ctx, h.all, account, admin), identity.AccessDenied, "")
	_, err := h.CreatePolicyVersion(h.ctx, h.all, account, admin, allow("s3:*"), true)
	refused(t, err, identity.AccessDenied, "")
	refused(t, h.Tag(h.ctx, h.all, identity.Ref{Kind: identity.KindPolicy, Account: account, Name: admin}, []identity.Tag{{Key: "a", Value: "b"}}), identity.AccessDenied, "")
}

func TestReCreatingRevivesNothing(t *testing.T) {
	h := newHouse(t)
	alice, key := h.user("alice")
	p := must(h.CreatePolicy(h.ctx, h.all, account, identity.CreatePolicyInput{PolicyName: "P", PolicyDocument: allow("s3:*")}))(t)
	must(h.CreateRole(h.ctx, h.all, account, identity.CreateRoleInput{RoleName: "R", AssumeRolePolicyDocument: trust(alice.ARN)}))(t)
	if got := must(h.GetRole(h.ctx, h.all, account, "R"))(t); got.AssumeRolePolicyDocument != trust(alice.ARN) {
		t.Errorf("the trust policy came back as %s", got.AssumeRolePolicyDocument)
	}
	h.do(h.DeleteAccessKey(h.ctx, h.all, account, "alice", key.AccessKeyID))
	h.do(h.DeleteUser(h.ctx, h.all, account, "alice"))
	if _, ok := h.ARNOf(alice.UserID); ok {
		t.Error("a deleted user's id still has an ARN")
	}
	got := must(h.GetRole(h.ctx, h.all, account, "R"))(t).AssumeRolePolicyDocument
	if !strings.Contains(got, alice.UserID) || strings.Contains(got, alice.ARN) {
		t.Errorf("after deletion the trust policy shows %s", got)
	}
	again, newKey := h.user("alice")
	if again.UserID == alice.UserID {
		t.Fatal("a unique id was reused")
	}
	_, err := h.assume(newKey.AccessKeyID, "", identity.AssumeRoleInput{RoleARN: identity.ARN(account, identity.KindRole, "/", "R"), RoleSessionName: "s1"})
	denied(t, err)
	h.do(h.DeletePolicy(h.ctx, h.all, account, p.ARN))
	if p2 := must(h.CreatePolicy(h.ctx, h.all, account, identity.CreatePolicyInput{PolicyName: "P", PolicyDocument: allow("s3:*")}))(t); p2.PolicyID == p.PolicyID {
		t.Error("a policy id was reused")
	}
}

func TestErrorsAreIAMs(t *testing.T) {
	h := newHouse(t)
	h.user("alice")
	must(h.CreateAccessKey(h.ctx, h.all, account, "alice"))(t)
	big := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":["` + strings.Repeat("arn:aws:s3:::bucket/key", 100) + `"]}]}`
	for name, c := range map[string]struct {
		err     error
		kind    fault.Kind
		message string
	}{
		"user twice":   {second(h.CreateUser(h.ctx, h.all, account, identity.CreateUserInput{UserName: "ALICE"})), identity.EntityAlreadyExists, "User with name ALICE already exists."},
		"no user":      {second(h.GetUser(h.ctx, h.all, account, "bob")), identity.NoSuchEntity, "The user with name bob cannot be found."},
		"no role":      {second(h.GetRole(h.ctx, h.all, account, "bob")), identity.NoSuchEntity, "The role with name bob cannot be found."},
		"no group":     {h.DeleteGroup(h.ctx, h.all, account, "bob"), identity.NoSuchEntity, "The group with name bob cannot be found."},
		"no policy":    {second(h.GetPolicy(h.ctx, h.all, account, "arn:aws:iam::"+account+":policy/p")), identity.NoSuchEntity, "Policy arn:aws:iam::" + account + ":policy/p was not found."},
		"attach none":  {h.AttachPolicy(h.ctx, h.all, user("alice"), "arn:aws:iam::"+account+":policy/p"), identity.NoSuchEntity, "Policy arn:aws:iam::" + account + ":policy/p does not exist or is not attachable."},
		"attach text":  {h.AttachPolicy(h.ctx, h.all, user("alice"), "longenoughtobeanarn"), identity.ValidationError, "Invalid ARN:  Could not be parsed!"},
		"third key":    {second(h.CreateAccessKey(h.ctx, h.all, account, "alice")), identity.LimitExceeded, "Cannot exceed quota for AccessKeysPerUser: 2"},
		"no key":       {h.DeleteAccessKey(h.ctx, h.all, account, "alice", "AKIANOSUCHKEY"), identity.NoSuchEntity, "The Access Key with id AKIANOSUCHKEY cannot be found."},
		"other's key":  {h.DeleteAccessKey(h.ctx, h.all, account, "alice", adminKey.ID), identity.NoSuchEntity, ""},
		"user in use":  {h.DeleteUser(h.ctx, h.all, account, "alice"), identity.DeleteConflict, "Cannot delete entity, must remove referenced objects first."},
		"bad json":     {h.PutInlinePolicy(h.ctx, h.all, user("alice"), "p", `{"Version"`), identity.MalformedPolicyDocument, "This policy contains invalid Json"},
		"bad document": {h.PutInlinePolicy(h.ctx, h.all, user("alice"), "p", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3","Resource":"*"}]}`), identity.MalformedPolicyDocument, ""},
		"inline size":  {h.PutInlinePolicy(h.ctx, h.all, user("alice"), "p", big), identity.LimitExceeded, "Maximum policy size of 2048 bytes exceeded for user alice"},
		"tags twice":   {h.Tag(h.ctx, h.all, user("alice"), []identity.Tag{{Key: "a"}, {Key: "A"}}), identity.InvalidParameterValue, "Duplicate tag keys found. Please note that Tag keys are case insensitive."},
		"tag of aws":   {h.Tag(h.ctx, h.all, user("alice"), []identity.Tag{{Key: "aws:x"}}), identity.InvalidInput, ""},
		"long name":    {second(h.CreateUser(h.ctx, h.all, account, identity.CreateUserInput{UserName: strings.Repeat("a", 65)})), identity.ValidationError, ""},
		"odd name":     {second(h.CreateUser(h.ctx, h.all, account, identity.CreateUserInput{UserName: "a/b"})), identity.ValidationError, ""},
		"odd path":     {second(h.CreateUser(h.ctx, h.all, account, identity.CreateUserInput{UserName: "a", Path: "x"})), identity.ValidationError, ""},
		"trust nobody": {second(h.CreateRole(h.ctx, h.all, account, identity.CreateRoleInput{RoleName: "R", AssumeRolePolicyDocument: trust("arn:aws:iam::" + account + ":user/nobody")})),
			identity.MalformedPolicyDocument, `Invalid principal in policy: "AWS":"arn:aws:iam::` + account + `:user/nobody"`},
		"no password policy": {second(h.GetAccountPasswordPolicy(h.ctx, h.all, account)), identity.NoSuchEntity, "The Password Policy with domain name " + account + " cannot be found."},
		"weak password":      {second(h.CreateLoginProfile(h.ctx, h.all, account, "alice", "password", false)), identity.PasswordPolicyViolation, ""},
		"linked suffix":      {second(h.CreateServiceLinkedRole(h.ctx, h.all, account, "config.amazonaws.com", "", "x")), identity.InvalidInput, "Custom suffix is not allowed for config.amazonaws.com"},
	} {
		t.Run(name, func(t *testing.T) { refused(t, c.err, c.kind, c.message) })
	}
}

func second[T any](_ T, err error) error { return err }

func TestI26Tags(t *testing.T) {
	h := newHouse(t)
	_, key := h.user("alice")
	h.do(h.Tag(h.ctx, h.all, user("alice"), []identity.Tag{{Key: "Team", Value: "blue"}, {Key: "x", Value: ""}}))
	h.do(h.Tag(h.ctx, h.all, user("alice"), []identity.Tag{{Key: "team", Value: "red"}}))
	tags := must(h.ListTags(h.ctx, h.all, user("alice"), identity.Page{}))(t).Items
	if fmt.Sprint(tags) != "[{team red} {x }]" {
		t.Errorf("tags %v", tags)
	}
	h.do(h.PutInlinePolicy(h.ctx, h.all, user("alice"), "p",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/TEAM":"red"}}}]}`))
	if !h.may(key.AccessKeyID, "", "s3:GetObject", object) {
		t.Error("the principal's tag does not count")
	}
	h.do(h.Untag(h.ctx, h.all, user("alice"), []string{"TEAM"}))
	if h.may(key.AccessKeyID, "", "s3:GetObject", object) {
		t.Error("the removed tag still counts")
	}
}

func TestServiceLinkedRolesBelongToTheirService(t *testing.T) {
	h := newHouse(t)
	r := must(h.CreateServiceLinkedRole(h.ctx, h.all, account, "config.amazonaws.com", "", ""))(t)
	if r.ARN != "arn:aws:iam::"+account+":role/aws-service-role/config.amazonaws.com/AWSServiceRoleForConfig" {
		t.Errorf("made %s", r.ARN)
	}
	refused(t, h.PutInlinePolicy(h.ctx, h.all, role(r.RoleName), "p", allow("s3:*")), identity.UnmodifiableEntity, "")
	refused(t, h.DeleteRole(h.ctx, h.all, account, r.RoleName), identity.UnmodifiableEntity, "")
	_, err := h.CreateServiceLinkedRole(h.ctx, h.all, account, "config.amazonaws.com", "", "")
	refused(t, err, identity.InvalidInput, "Service role name AWSServiceRoleForConfig has been taken in this account, please try a different suffix.")
	must(h.DeleteServiceLinkedRole(h.ctx, h.all, account, r.RoleName))(t)
}

func TestAuthorizationDetailsInPages(t *testing.T) {
	h := newHouse(t)
	h.user("alice")
	must(h.CreateGroup(h.ctx, h.all, account, "G", ""))(t)
	must(h.CreateRole(h.ctx, h.all, account, identity.CreateRoleInput{RoleName: "R", AssumeRolePolicyDocument: trust("arn:aws:iam::" + account + ":root")}))(t)
	var seen []string
	for p := (identity.Page{MaxItems: 1}); ; {
		l := must(h.GetAccountAuthorizationDetails(h.ctx, h.all, account, nil, p))(t)
		for _, d := range l.Items {
			switch {
			case d.User != nil:
				seen = append(seen, d.User.UserName)
			case d.Group != nil:
				seen = append(seen, d.Group.GroupName)
			case d.Role != nil:
				seen = append(seen, d.Role.RoleName)
			case d.Policy != nil:
				seen = append(seen, d.Policy.PolicyName)
			}
		}
		if !l.IsTruncated {
			break
		}
		p.Marker = l.Marker
	}
	if got := strings.Join(seen, " "); got != "admin alice G R AdministratorAccess" {
		t.Errorf("listed %s", got)
	}
}
