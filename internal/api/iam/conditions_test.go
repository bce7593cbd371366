package iam_test

import (
	"strings"
	"testing"
)

// TestConditionKeys: what an operator may do with IAM, by the condition keys and resources of its policy.
func TestConditionKeys(t *testing.T) {
	written, other := arn("policy/written"), arn("policy/other")
	tags := []string{"Tags.member.1.Key", "team", "Tags.member.1.Value", "red"}
	for _, c := range []struct {
		name, document string
		call           []string
		allowed        bool
	}{
		{"policy arn", allow("iam:AttachUserPolicy", "*", `{"ArnEquals":{"iam:PolicyARN":"`+written+`"}}`), []string{"AttachUserPolicy", "UserName", "alice", "PolicyArn", written}, true},
		{"other policy arn", allow("iam:AttachUserPolicy", "*", `{"ArnEquals":{"iam:PolicyARN":"`+written+`"}}`), []string{"AttachUserPolicy", "UserName", "alice", "PolicyArn", other}, false},
		{"policy arn of group", allow("iam:DetachGroupPolicy", "*", `{"ArnLike":{"iam:PolicyARN":"`+arn("policy/wr*")+`"}}`), []string{"DetachGroupPolicy", "GroupName", "team", "PolicyArn", written}, true},
		{"key of another operation", allow("iam:GetPolicy", "*", `{"ArnEquals":{"iam:PolicyARN":"`+written+`"}}`), []string{"GetPolicy", "PolicyArn", written}, false},

		{"boundary of a new user", allow("iam:CreateUser", "*", `{"StringEquals":{"iam:PermissionsBoundary":"`+written+`"}}`), []string{"CreateUser", "UserName", "new", "PermissionsBoundary", written}, true},
		{"no boundary of a new user", allow("iam:CreateUser", "*", `{"StringEquals":{"iam:PermissionsBoundary":"`+written+`"}}`), []string{"CreateUser", "UserName", "new"}, false},
		{"boundary of a new role", allow("iam:CreateRole", "*", `{"StringEquals":{"iam:PermissionsBoundary":"`+written+`"}}`), []string{"CreateRole", "RoleName", "new", "AssumeRolePolicyDocument", trust(testAccount, ""), "PermissionsBoundary", other}, false},
		{"boundary to set", allow("iam:PutUserPermissionsBoundary", "*", `{"StringEquals":{"iam:PermissionsBoundary":"`+written+`"}}`), []string{"PutUserPermissionsBoundary", "UserName", "alice", "PermissionsBoundary", other}, false},
		{"boundary that is there", allow("iam:PutUserPolicy", "*", `{"StringEquals":{"iam:PermissionsBoundary":"`+written+`"}}`), []string{"PutUserPolicy", "UserName", "bounded", "PolicyName", "p", "PolicyDocument", anyDocument}, true},
		{"boundary that is not there", allow("iam:PutUserPolicy", "*", `{"StringEquals":{"iam:PermissionsBoundary":"`+written+`"}}`), []string{"PutUserPolicy", "UserName", "alice", "PolicyName", "p", "PolicyDocument", anyDocument}, false},
		{"boundary may not go", allow("iam:DeleteUserPermissionsBoundary", "*", `{"StringNotEquals":{"iam:PermissionsBoundary":"`+written+`"}}`), []string{"DeleteUserPermissionsBoundary", "UserName", "bounded"}, false},

		{"request tag", allow(`iam:CreateUser","iam:TagUser`, "*", `{"StringEquals":{"aws:RequestTag/Team":"red"}}`), append([]string{"CreateUser", "UserName", "new"}, tags...), true},
		{"tags of a new user", allow("iam:CreateUser", "*", ""), append([]string{"CreateUser", "UserName", "new"}, tags...), false},
		{"tags of a new role", allow("iam:CreateRole", "*", ""), append([]string{"CreateRole", "RoleName", "new", "AssumeRolePolicyDocument", trust(testAccount, "")}, tags...), false},
		{"tags of a new policy", allow("iam:CreatePolicy", "*", ""), append([]string{"CreatePolicy", "PolicyName", "new", "PolicyDocument", anyDocument}, tags...), false},
		{"tags of a new policy, allowed", allow(`iam:CreatePolicy","iam:TagPolicy`, "*", ""), append([]string{"CreatePolicy", "PolicyName", "new", "PolicyDocument", anyDocument}, tags...), true},
		{"tags of a new instance profile", allow("iam:CreateInstanceProfile", "*", ""), append([]string{"CreateInstanceProfile", "InstanceProfileName", "new"}, tags...), false},
		{"tags of a new device", allow("iam:CreateVirtualMFADevice", "*", ""), append([]string{"CreateVirtualMFADevice", "VirtualMFADeviceName", "new"}, tags...), false},
		{"request tag missing", allow("iam:CreateUser", "*", `{"StringEquals":{"aws:RequestTag/team":"red"}}`), []string{"CreateUser", "UserName", "new"}, false},
		{"request tag of another value", allow("iam:TagUser", "*", `{"StringEquals":{"aws:RequestTag/team":"blue"}}`), append([]string{"TagUser", "UserName", "alice"}, tags...), false},
		{"tag keys", allow("iam:TagUser", "*", `{"ForAllValues:StringEquals":{"aws:TagKeys":["team"]}}`), append([]string{"TagUser", "UserName", "alice"}, tags...), true},
		{"tag keys to remove", allow("iam:UntagUser", "*", `{"ForAnyValue:StringEquals":{"aws:TagKeys":["cost"]}}`), []string{"UntagUser", "UserName", "alice", "TagKeys.member.1", "team"}, false},
		{"resource tag", allow("iam:DeleteUser", "*", `{"StringEquals":{"aws:ResourceTag/team":"red"}}`), []string{"DeleteUser", "UserName", "tagged"}, true},
		{"resource tag, IAM's own", allow("iam:DeleteUser", "*", `{"StringEquals":{"iam:ResourceTag/team":"red"}}`), []string{"DeleteUser", "UserName", "tagged"}, true},
		{"resource tag missing", allow("iam:DeleteUser", "*", `{"StringEquals":{"aws:ResourceTag/team":"red"}}`), []string{"DeleteUser", "UserName", "alice"}, false},
		{"a request tag is no resource tag", allow("iam:TagUser", "*", `{"StringEquals":{"aws:ResourceTag/team":"red"}}`), append([]string{"TagUser", "UserName", "alice"}, tags...), false},
		{"service", allow("iam:CreateServiceLinkedRole", "*", `{"StringEquals":{"iam:AWSServiceName":"config.amazonaws.com"}}`), []string{"CreateServiceLinkedRole", "AWSServiceName", "config.amazonaws.com"}, true},
		{"other service", allow("iam:CreateServiceLinkedRole", "*", `{"StringEquals":{"iam:AWSServiceName":"config.amazonaws.com"}}`), []string{"CreateServiceLinkedRole", "AWSServiceName", "guardduty.amazonaws.com"}, false},

		{"path", allow("iam:*", arn("user/dev/*"), ""), []string{"GetUser", "UserName", "dave"}, true},
		{"path of the request", allow("iam:CreateUser", arn("user/dev/*"), ""), []string{"CreateUser", "UserName", "new", "Path", "/dev/"}, true},
		{"outside the path", allow("iam:*", arn("user/dev/*"), ""), []string{"GetUser", "UserName", "alice"}, false},
		{"no path for a new one", allow("iam:CreateUser", arn("user/dev/*"), ""), []string{"CreateUser", "UserName", "new"}, false},
		{"move out of the path", allow("iam:UpdateUser", arn("user/dev/*"), ""), []string{"UpdateUser", "UserName", "dave", "NewPath", "/"}, false},
		{"move into the path", allow("iam:UpdateUser", arn("user/dev/*"), ""), []string{"UpdateUser", "UserName", "alice", "NewPath", "/dev/"}, false},
		{"rename within the path", allow("iam:UpdateUser", arn("user/dev/*"), ""), []string{"UpdateUser", "UserName", "dave", "NewUserName", "david"}, true},
		{"another case of the name", allow("iam:DeleteUser", arn("user/ALICE"), ""), []string{"DeleteUser", "UserName", "ALICE"}, false},
		{"lists have no resource", allow("iam:ListUsers", arn("user/*"), ""), []string{"ListUsers"}, false},

		{"role not passed", allow("iam:AddRoleToInstanceProfile", "*", ""), []string{"AddRoleToInstanceProfile", "InstanceProfileName", "machine", "RoleName", "worker"}, false},
		{"role passed", allow(`iam:AddRoleToInstanceProfile","iam:PassRole`, "*", ""), []string{"AddRoleToInstanceProfile", "InstanceProfileName", "machine", "RoleName", "worker"}, true},
		{"role passed to another service", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:AddRoleToInstanceProfile","Resource":"*"},{"Effect":"Allow","Action":"iam:PassRole","Resource":"*","Condition":{"StringEquals":{"iam:PassedToService":"lambda.amazonaws.com"}}}]}`, []string{"AddRoleToInstanceProfile", "InstanceProfileName", "machine", "RoleName", "worker"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := populated(t)
			h.must(h.admin, "iam", "CreatePolicy", "PolicyName", "other", "PolicyDocument", anyDocument)
			h.must(h.admin, "iam", "AttachGroupPolicy", "GroupName", "team", "PolicyArn", written)
			h.must(h.admin, "iam", "CreateUser", "UserName", "dave", "Path", "/dev/")
			h.must(h.admin, "iam", "CreateUser", "UserName", "bounded", "PermissionsBoundary", written)
			h.must(h.admin, "iam", "CreateUser", append([]string{"UserName", "tagged"}, tags...)...)
			operator := h.newUser("operator", c.document)
			a := h.call(operator, "iam", c.call[0], c.call[1:]...)
			if allowed := a.status == 200; allowed != c.allowed || (!allowed && a.code() != "AccessDenied") {
				t.Errorf("%d %s", a.status, a.body)
			}
		})
	}
}

// TestNoExistenceOracle: who is not allowed to look learns nothing from the answer, and permission comes
// before existence.
func TestNoExistenceOracle(t *testing.T) {
	h := populated(t)
	stranger := h.newUser("stranger", "")
	for _, c := range [][3]string{
		{"GetUser", "UserName", "alice"}, {"GetRole", "RoleName", "worker"}, {"GetGroup", "GroupName", "team"},
		{"GetPolicy", "PolicyArn", arn("policy/written")}, {"ListMFADeviceTags", "SerialNumber", arn("mfa/token")},
		{"GetOpenIDConnectProvider", "OpenIDConnectProviderArn", arn("oidc-provider/issuer.example")},
		{"DeleteUser", "UserName", "alice"}, {"CreateUser", "UserName", "alice"},
	} {
		there := h.refused("AccessDenied", stranger, "iam", c[0], c[1], c[2])
		absent := h.refused("AccessDenied", stranger, "iam", c[0], c[1], strings.Replace(c[2], c[2][len(c[2])-3:], "zzz", 1))
		if strings.ReplaceAll(absent.body, "zzz", c[2][len(c[2])-3:]) != there.body {
			t.Errorf("%s: %s\nand %s", c[0], there.body, absent.body)
		}
		if c[0] != "CreateUser" {
			h.refused("NoSuchEntity", h.admin, "iam", c[0], c[1], strings.Replace(c[2], c[2][len(c[2])-3:], "zzz", 1))
		}
	}
}

// TestAnotherAccount: nothing of one account can be named by another's administrator.
func TestAnotherAccount(t *testing.T) {
	h := populated(t)
	made := h.must(h.admin, "organizations", "CreateAccount", "Email", "b@example.com", "AccountName", "b")
	member := h.assume(h.admin, "arn:aws:iam::"+made.json("CreateAccountStatus", "AccountId")+":role/OrganizationAccountAccessRole")
	for _, c := range [][]string{
		{"GetPolicy", "PolicyArn", arn("policy/written")},
		{"DeletePolicy", "PolicyArn", arn("policy/written")},
		{"ListMFADeviceTags", "SerialNumber", arn("mfa/token")},
		{"DeleteVirtualMFADevice", "SerialNumber", arn("mfa/token")},
		{"GetOpenIDConnectProvider", "OpenIDConnectProviderArn", arn("oidc-provider/issuer.example")},
		{"TagPolicy", "PolicyArn", arn("policy/written"), "Tags.member.1.Key", "a", "Tags.member.1.Value", "b"},
		{"GetUser", "UserName", "alice"},
		{"GetAccessKeyLastUsed", "AccessKeyId", h.admin.key},
		{"DeleteAccessKey", "AccessKeyId", h.admin.key, "UserName", "admin"},
	} {
		h.refused("NoSuchEntity", member, "iam", c[0], c[1:]...)
	}
	h.refused("InvalidInput", member, "iam", "SimulatePrincipalPolicy", "PolicySourceArn", arn("user/alice"), "ActionNames.member.1", "s3:GetObject")
	h.refused("InvalidInput", member, "iam", "GetContextKeysForPrincipalPolicy", "PolicySourceArn", arn("user/alice"))
	h.refused("InvalidInput", member, "iam", "SimulateCustomPolicy", "PolicyInputList.member.1", anyDocument, "ActionNames.member.1", "s3:GetObject", "CallerArn", arn("user/alice"))
	h.refused("AccessDeniedException", member, "organizations", "ListAccounts")
	h.must(member, "iam", "ListUsers")
}

// TestTagsOfTheOrganizationBind: a denial on the tags of an account, OU or control policy holds.
func TestTagsOfTheOrganizationBind(t *testing.T) {
	h := newHarness(t)
	tag := []string{"Tags.member.1.Key", "stage", "Tags.member.1.Value", "prod"}
	account := h.must(h.admin, "organizations", "CreateAccount", append(tag, "Email", "b@example.com", "AccountName", "b")...).json("CreateAccountStatus", "AccountId")
	_, root, _ := strings.Cut(h.must(h.admin, "organizations", "ListRoots").body, `"Id":"`)
	root, _, _ = strings.Cut(root, `"`)
	unit := h.must(h.admin, "organizations", "CreateOrganizationalUnit", append(tag, "ParentId", root, "Name", "u")...).json("OrganizationalUnit", "Id")
	kept := h.newUser("kept", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},`+
		`{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/stage":"prod"}}}]}`)
	h.refused("AccessDeniedException", kept, "organizations", "CloseAccount", "AccountId", account)
	h.refused("AccessDeniedException", kept, "organizations", "DeleteOrganizationalUnit", "OrganizationalUnitId", unit)
	h.must(kept, "organizations", "DescribeOrganization")
	untagged := h.newUser("untagged", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},`+
		`{"Effect":"Deny","Action":"organizations:TagResource","Resource":"*"}]}`)
	h.refused("AccessDeniedException", untagged, "organizations", "CreateAccount", append(tag, "Email", "c@example.com", "AccountName", "c")...)
	h.refused("AccessDeniedException", untagged, "organizations", "CreateOrganizationalUnit", append(tag, "ParentId", root, "Name", "v")...)
	h.must(untagged, "organizations", "CreateOrganizationalUnit", "ParentId", root, "Name", "v")
	h.must(h.admin, "organizations", "DeleteOrganizationalUnit", "OrganizationalUnitId", unit)
}
