package iam

import (
	"net/url"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/api/wire/iamwire"
	"github.com/kura-s3/kura/internal/identity"
)

// text is what a member says; "" when it was left out.
func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// number is what a member says; 0 when it was left out.
func number(n *int32) int {
	if n == nil {
		return 0
	}
	return int(*n)
}

func yes(b *bool) bool { return b != nil && *b }

// given is a member of the answer that is left out when it is empty.
func given(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// at is a time that is left out when there is none.
func at(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// every shows all items. Never nil: IAM answers an empty list with an empty element.
func every[F, T any](items []F, show func(F) T) []T {
	shown := make([]T, 0, len(items))
	for _, item := range items {
		shown = append(shown, show(item))
	}
	return shown
}

// pageOf is the page that a list operation asks for.
func pageOf(marker *string, maxItems *int32) identity.Page {
	return identity.Page{Marker: text(marker), MaxItems: number(maxItems)}
}

// escaped is a policy document as IAM answers it: percent-encoded (RFC 3986).
func escaped(document string) *string {
	return given(strings.ReplaceAll(url.QueryEscape(document), "+", "%20"))
}

func showTag(t identity.Tag) iamwire.Tag { return iamwire.Tag{Key: new(t.Key), Value: new(t.Value)} }

func showTags(tags []identity.Tag) []iamwire.Tag {
	if len(tags) == 0 {
		return nil
	}
	return every(tags, showTag)
}

// tagsOf are the tags of an input.
func tagsOf(tags []iamwire.Tag) []identity.Tag {
	return every(tags, func(t iamwire.Tag) identity.Tag { return identity.Tag{Key: text(t.Key), Value: text(t.Value)} })
}

func showBoundary(arn string) *iamwire.AttachedPermissionsBoundary {
	if arn == "" {
		return nil
	}
	return &iamwire.AttachedPermissionsBoundary{PermissionsBoundaryType: "Policy", PermissionsBoundaryArn: new(arn)}
}

func showUser(u *identity.User) iamwire.User {
	return iamwire.User{
		Path: given(u.Path), UserName: given(u.UserName), UserId: new(u.UserID), Arn: new(u.ARN), CreateDate: at(u.CreateDate),
		PasswordLastUsed: at(u.PasswordLastUsed), PermissionsBoundary: showBoundary(u.PermissionsBoundary), Tags: showTags(u.Tags),
	}
}

func showGroup(g *identity.Group) iamwire.Group {
	return iamwire.Group{Path: new(g.Path), GroupName: new(g.GroupName), GroupId: new(g.GroupID), Arn: new(g.ARN), CreateDate: at(g.CreateDate)}
}

// showRole leaves out when the role was last used: only GetRole and GetAccountAuthorizationDetails tell.
func showRole(r *identity.Role) iamwire.Role {
	return iamwire.Role{
		Path: new(r.Path), RoleName: new(r.RoleName), RoleId: new(r.RoleID), Arn: new(r.ARN), CreateDate: at(r.CreateDate),
		AssumeRolePolicyDocument: escaped(r.AssumeRolePolicyDocument), Description: given(r.Description),
		MaxSessionDuration: new(int32(r.MaxSessionDuration)), PermissionsBoundary: showBoundary(r.PermissionsBoundary), Tags: showTags(r.Tags),
	}
}

func showUse(u identity.Use) *iamwire.RoleLastUsed {
	return &iamwire.RoleLastUsed{LastUsedDate: at(u.At), Region: given(u.Region)}
}

func showPolicy(p *identity.ManagedPolicy) iamwire.Policy {
	return iamwire.Policy{
		PolicyName: new(p.PolicyName), PolicyId: new(p.PolicyID), Arn: new(p.ARN), Path: new(p.Path),
		DefaultVersionId: new(p.DefaultVersionID), AttachmentCount: new(int32(p.AttachmentCount)),
		PermissionsBoundaryUsageCount: new(int32(p.PermissionsBoundaryUsageCount)), IsAttachable: new(true),
		Description: given(p.Description), CreateDate: at(p.CreateDate), UpdateDate: at(p.UpdateDate), Tags: showTags(p.Tags),
	}
}

func showVersion(v *identity.PolicyVersion) iamwire.PolicyVersion {
	return iamwire.PolicyVersion{
		VersionId: new(v.VersionID), Document: escaped(v.Document), IsDefaultVersion: new(v.IsDefaultVersion), CreateDate: at(v.CreateDate),
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
		Arn: new(p.ARN), CreateDate: at(p.CreateDate), Roles: every(p.Roles, showRole), Tags: showTags(p.Tags),
	}
}

func showKey(k *identity.AccessKey) iamwire.AccessKeyMetadata {
	return iamwire.AccessKeyMetadata{UserName: given(k.UserName), AccessKeyId: new(k.AccessKeyID), Status: keyStatus(k.Active), CreateDate: at(k.CreateDate)}
}

func keyStatus(active bool) iamwire.StatusType {
	if active {
		return iamwire.StatusTypeActive
	}
	return iamwire.StatusTypeInactive
}

func showDevice(d *identity.VirtualMFADevice) iamwire.VirtualMFADevice {
	shown := iamwire.VirtualMFADevice{SerialNumber: new(d.SerialNumber), EnableDate: at(d.EnableDate), Tags: showTags(d.Tags)}
	if d.User != nil {
		shown.User = new(showUser(d.User))
	}
	return shown
}

func showLogin(p *identity.LoginProfile) *iamwire.LoginProfile {
	return &iamwire.LoginProfile{UserName: new(p.UserName), CreateDate: at(p.CreateDate), PasswordResetRequired: new(p.PasswordResetRequired)}
}
