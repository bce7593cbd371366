package iam

import (
	"net/url"
	"strings"

	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/iamwire"
	"github.com/kura-s3/kura/internal/identity"
)

// pageOf is the page that a list operation asks for.
func pageOf(marker *string, maxItems *int32) identity.Page {
	return identity.Page{Marker: member.Text(marker), MaxItems: member.Number(maxItems)}
}

// escaped is a policy document as IAM answers it: percent-encoded (RFC 3986).
func escaped(document string) *string {
	return member.Given(strings.ReplaceAll(url.QueryEscape(document), "+", "%20"))
}

func showTag(t identity.Tag) iamwire.Tag { return iamwire.Tag{Key: new(t.Key), Value: new(t.Value)} }

func showTags(tags []identity.Tag) []iamwire.Tag {
	if len(tags) == 0 {
		return nil
	}
	return member.Every(tags, showTag)
}

// tagsOf are the tags of an input.
func tagsOf(tags []iamwire.Tag) []identity.Tag {
	return member.Every(tags, func(t iamwire.Tag) identity.Tag {
		return identity.Tag{Key: member.Text(t.Key), Value: member.Text(t.Value)}
	})
}

func showBoundary(arn string) *iamwire.AttachedPermissionsBoundary {
	if arn == "" {
		return nil
	}
	return &iamwire.AttachedPermissionsBoundary{PermissionsBoundaryType: "Policy", PermissionsBoundaryArn: new(arn)}
}

func showUser(u *identity.User) iamwire.User {
	return iamwire.User{
		Path: member.Given(u.Path), UserName: member.Given(u.UserName), UserId: new(u.UserID), Arn: new(u.ARN), CreateDate: member.At(u.CreateDate),
		PasswordLastUsed: member.At(u.PasswordLastUsed), PermissionsBoundary: showBoundary(u.PermissionsBoundary), Tags: showTags(u.Tags),
	}
}

func showGroup(g *identity.Group) iamwire.Group {
	return iamwire.Group{Path: new(g.Path), GroupName: new(g.GroupName), GroupId: new(g.GroupID), Arn: new(g.ARN), CreateDate: member.At(g.CreateDate)}
}

// showRole leaves out when the role was last used: only GetRole and GetAccountAuthorizationDetails tell.
func showRole(r *identity.Role) iamwire.Role {
	return iamwire.Role{
		Path: new(r.Path), RoleName: new(r.RoleName), RoleId: new(r.RoleID), Arn: new(r.ARN), CreateDate: member.At(r.CreateDate),
		AssumeRolePolicyDocument: escaped(r.AssumeRolePolicyDocument), Description: member.Given(r.Description),
		MaxSessionDuration: new(int32(r.MaxSessionDuration)), PermissionsBoundary: showBoundary(r.PermissionsBoundary), Tags: showTags(r.Tags),
	}
}

func showUse(u identity.Use) *iamwire.RoleLastUsed {
	return &iamwire.RoleLastUsed{LastUsedDate: member.At(u.At), Region: member.Given(u.Region)}
}

func showPolicy(p *identity.ManagedPolicy) iamwire.Policy {
	return iamwire.Policy{
		PolicyName: new(p.PolicyName), PolicyId: new(p.PolicyID), Arn: new(p.ARN), Path: new(p.Path),
		DefaultVersionId: new(p.DefaultVersionID), AttachmentCount: new(int32(p.AttachmentCount)),
		PermissionsBoundaryUsageCount: new(int32(p.PermissionsBoundaryUsageCount)), IsAttachable: new(true),
		Description: member.Given(p.Description), CreateDate: member.At(p.CreateDate), UpdateDate: member.At(p.UpdateDate), Tags: showTags(p.Tags),
	}
}

func showVersion(v *identity.PolicyVersion) iamwire.PolicyVersion {
	return iamwire.PolicyVersion{
		VersionId: new(v.VersionID), Document: escaped(v.Document), IsDefaultVersion: new(v.IsDefaultVersion), CreateDate: member.At(v.CreateDate),
	}
}

func showAttached(p identity.AttachedPolicy) iamwire.AttachedPolicy {
	return iamwire.AttachedPolicy{PolicyName: new(p.Name), PolicyArn: new(p.ARN)}
}

func showInline(p identity.InlinePolicy) iamwire.PolicyDetail {
	return iamwire.PolicyDetail{PolicyName: new(p.Name), PolicyDocument: escaped(p.Document)}
}

func showProfile(p *identity.InstanceProfile) iamwire.InstanceProfile {
	return iamwire.InstanceProfile{
		Path: new(p.Path), InstanceProfileName: new(p.InstanceProfileName), InstanceProfileId: new(p.InstanceProfileID),
		Arn: new(p.ARN), CreateDate: member.At(p.CreateDate), Roles: member.Every(p.Roles, showRole), Tags: showTags(p.Tags),
	}
}

func showKey(k *identity.AccessKey) iamwire.AccessKeyMetadata {
	return iamwire.AccessKeyMetadata{UserName: member.Given(k.UserName), AccessKeyId: new(k.AccessKeyID), Status: keyStatus(k.Active), CreateDate: member.At(k.CreateDate)}
}

func keyStatus(active bool) iamwire.StatusType {
	if active {
		return iamwire.StatusTypeActive
	}
	return iamwire.StatusTypeInactive
}

func showDevice(d *identity.VirtualMFADevice) iamwire.VirtualMFADevice {
	shown := iamwire.VirtualMFADevice{SerialNumber: new(d.SerialNumber), EnableDate: member.At(d.EnableDate), Tags: showTags(d.Tags)}
	if d.User != nil {
		shown.User = new(showUser(d.User))
	}
	return shown
}

func showLogin(p *identity.LoginProfile) *iamwire.LoginProfile {
	return &iamwire.LoginProfile{UserName: new(p.UserName), CreateDate: member.At(p.CreateDate), PasswordResetRequired: new(p.PasswordResetRequired)}
}
