package identity

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/policy"
)

// ManagedPolicy as the API shows it.
type ManagedPolicy struct {
	PolicyName, PolicyID, ARN, Path, DefaultVersionID, Description string
	AttachmentCount, PermissionsBoundaryUsageCount                 int
	CreateDate, UpdateDate                                         time.Time
	Tags                                                           []Tag
}

// PolicyVersion is one version of a managed policy. Lists leave Document out.
type PolicyVersion struct {
	VersionID, Document string
	IsDefaultVersion    bool
	CreateDate          time.Time
}

// maxCounted bounds the work of counting what a policy is attached to.
const maxCounted = 1 << 20

func (s *State) showPolicy(p *managed) *ManagedPolicy {
	return &ManagedPolicy{
		PolicyName: p.Name, PolicyID: p.ID, ARN: arnOf(p), Path: p.Path, DefaultVersionID: p.Default, Description: p.Description,
		AttachmentCount:               s.count(attachIndex(p.ID, false), maxCounted),
		PermissionsBoundaryUsageCount: s.count(attachIndex(p.ID, true), maxCounted),
		CreateDate:                    p.Created, UpdateDate: p.Updated, Tags: slices.Clone(p.Tags),
	}
}

func (v policyVersion) show(p *managed) *PolicyVersion {
	return &PolicyVersion{VersionID: v.ID, Document: v.Document, IsDefaultVersion: v.ID == p.Default, CreateDate: v.Created}
}

// parseManaged holds a document against the rules for managed policies.
func parseManaged(document string) error {
	doc, err := parsePolicy(document, policy.Identity)
	if err != nil {
		return err
	}
	if doc.Version() != policy.Version2012 {
		return refuse(MalformedPolicyDocument, "Policy document must be version 2012-10-17 or greater.")
	}
	if doc.Size() > policy.MaxManagedPolicy {
		return refuse(LimitExceeded, "Cannot exceed quota for PolicySize: %d", policy.MaxManagedPolicy)
	}
	return nil
}

// CreatePolicyInput describes a new managed policy.
type CreatePolicyInput struct {
	PolicyName, Path, PolicyDocument, Description string
	Tags                                          []Tag
}

// CreatePolicy makes a managed policy, with the document as version v1.
func (s *Store) CreatePolicy(ctx context.Context, g authz.Grant, account string, in CreatePolicyInput) (*ManagedPolicy, error) {
	path, err := checkNew(KindPolicy, in.PolicyName, in.Path, in.Tags)
	if err != nil {
		return nil, err
	}
	if err := checkDescription(in.Description); err != nil {
		return nil, err
	}
	if err := g.Require("iam:CreatePolicy", ARN(account, KindPolicy, path, in.PolicyName)); err != nil {
		return nil, err
	}
	if err := parseManaged(in.PolicyDocument); err != nil {
		return nil, err
	}
	var made *ManagedPolicy
	err = s.change(ctx, g, func(tx *change) error {
		if err := tx.vacant(account, KindPolicy, in.PolicyName); err != nil {
			return err
		}
		now := s.moment()
		p := &managed{
			header: newHeader(KindPolicy, account, path, in.PolicyName, now), Description: in.Description, Updated: now,
			Versions: []policyVersion{{ID: "v1", Created: now, Document: in.PolicyDocument}}, Default: "v1", Issued: 1,
		}
		p.Tags = slices.Clone(in.Tags)
		tx.set(p)
		made = tx.showPolicy(p)
		return nil
	})
	return made, err
}

// managedAt is the policy of an ARN as the account sees it: its own and those of AWS.
func (s *State) managedAt(account, arn string) (*managed, error) {
	if _, _, _, _, ok := splitARN(arn); !ok {
		return nil, refuse(ValidationError, "Invalid ARN:  Could not be parsed!")
	}
	p, ok := byARN[*managed](s, arn)
	if !ok || (p.Account != account && p.Account != awsAccount) {
		return nil, notFound(KindPolicy, arn)
	}
	return p, nil
}

func (s *Store) readPolicy(g authz.Grant, action, account, arn string) (*State, *managed, error) {
	if err := g.Require(action, arn); err != nil {
		return nil, nil, err
	}
	state := s.state.Load()
	p, err := state.managedAt(account, arn)
	return state, p, err
}

// editPolicy changes a copy of a customer managed policy. Those of AWS cannot be changed by anybody.
func (s *Store) editPolicy(ctx context.Context, g authz.Grant, action, account, arn string, fn func(*change, *managed) error) error {
	return s.change(ctx, g, func(tx *change) error {
		if err := g.Require(action, arn); err != nil {
			return err
		}
		p, err := tx.managedAt(account, arn)
		if err != nil {
			return err
		}
		if p.Account == awsAccount {
			return refuse(AccessDenied, "User: %s is not authorized to perform: %s on resource: policy %s", g.Principal().ARN, action, arn)
		}
		return fn(tx, p.twin().(*managed))
	})
}

// GetPolicy shows a managed policy without its document.
func (s *Store) GetPolicy(_ context.Context, g authz.Grant, account, arn string) (*ManagedPolicy, error) {
	state, p, err := s.readPolicy(g, "iam:GetPolicy", account, arn)
	if err != nil {
		return nil, err
	}
	return state.showPolicy(p), nil
}

// ListPoliciesInput narrows ListPolicies.
type ListPoliciesInput struct {
	Scope        string // All (default), AWS, Local
	OnlyAttached bool
	PathPrefix   string
	UsageFilter  string // PermissionsPolicy, PermissionsBoundary or ""
	Page         Page
}

// ListPolicies lists the account's managed policies, and those of AWS.
func (s *Store) ListPolicies(_ context.Context, g authz.Grant, account string, in ListPoliciesInput) (*Listed[*ManagedPolicy], error) {
	if err := g.Require("iam:ListPolicies", "*"); err != nil {
		return nil, err
	}
	state := s.state.Load()
	var all []*managed
	for _, owner := range [...]struct{ account, not string }{{account, "AWS"}, {awsAccount, "Local"}} {
		if in.Scope == owner.not {
			continue
		}
		each(state, nameIndex(owner.account, KindPolicy, ""), "", func(_ string, p *managed) bool {
			if strings.HasPrefix(p.Path, in.PathPrefix) && state.used(p, in) {
				all = append(all, p)
			}
			return true
		})
	}
	return pageOf(all, in.Page, func(p *managed) *ManagedPolicy {
		shown := state.showPolicy(p)
		shown.Tags, shown.Description = nil, ""
		return shown
	})
}

// used tells whether p is in use as the filter asks.
func (s *State) used(p *managed, in ListPoliciesInput) bool {
	attached := s.count(attachIndex(p.ID, false), 1) > 0
	bounds := s.count(attachIndex(p.ID, true), 1) > 0
	switch {
	case in.UsageFilter == "PermissionsPolicy" && in.OnlyAttached:
		return attached
	case in.UsageFilter == "PermissionsBoundary":
		return bounds
	}
	return !in.OnlyAttached || attached || bounds
}

// CreatePolicyVersion adds a version, and makes it the one in force when asked.
func (s *Store) CreatePolicyVersion(ctx context.Context, g authz.Grant, account, arn, document string, setAsDefault bool) (*PolicyVersion, error) {
	if err := g.Require("iam:CreatePolicyVersion", arn); err != nil {
		return nil, err
	}
	if err := parseManaged(document); err != nil {
		return nil, err
	}
	var made *PolicyVersion
	err := s.editPolicy(ctx, g, "iam:CreatePolicyVersion", account, arn, func(tx *change, p *managed) error {
		if len(p.Versions) >= maxVersions {
			return refuse(LimitExceeded, "A managed policy can have up to %d versions. Before you create a new version, you must delete an existing version.", maxVersions)
		}
		p.Issued++
		v := policyVersion{ID: "v" + strconv.Itoa(p.Issued), Created: s.moment(), Document: document}
		p.Versions = append(p.Versions, v)
		p.Updated = v.Created
		if setAsDefault {
			p.Default = v.ID
		}
		tx.set(p)
		made = v.show(p)
		return nil
	})
	return made, err
}

func (p *managed) version(id string) (int, error) {
	for i := range p.Versions {
		if p.Versions[i].ID == id {
			return i, nil
		}
	}
	return 0, refuse(NoSuchEntity, "Policy %s version %s does not exist or is not attachable.", arnOf(p), id)
}

// GetPolicyVersion shows one version with its document, as it was written.
func (s *Store) GetPolicyVersion(_ context.Context, g authz.Grant, account, arn, versionID string) (*PolicyVersion, error) {
	_, p, err := s.readPolicy(g, "iam:GetPolicyVersion", account, arn)
	if err != nil {
		return nil, err
	}
	i, err := p.version(versionID)
	if err != nil {
		return nil, err
	}
	return p.Versions[i].show(p), nil
}

// ListPolicyVersions lists the versions, newest first.
func (s *Store) ListPolicyVersions(_ context.Context, g authz.Grant, account, arn string, p Page) (*Listed[*PolicyVersion], error) {
	_, m, err := s.readPolicy(g, "iam:ListPolicyVersions", account, arn)
	if err != nil {
		return nil, err
	}
	newest := slices.Clone(m.Versions)
	slices.Reverse(newest)
	return pageOf(newest, p, func(v policyVersion) *PolicyVersion {
		shown := v.show(m)
		shown.Document = ""
		return shown
	})
}

// SetDefaultPolicyVersion puts a version in force.
func (s *Store) SetDefaultPolicyVersion(ctx context.Context, g authz.Grant, account, arn, versionID string) error {
	return s.editPolicy(ctx, g, "iam:SetDefaultPolicyVersion", account, arn, func(tx *change, p *managed) error {
		if _, err := p.version(versionID); err != nil {
			return err
		}
		p.Default, p.Updated = versionID, s.moment()
		tx.set(p)
		return nil
	})
}

// DeletePolicyVersion removes a version that is not in force.
func (s *Store) DeletePolicyVersion(ctx context.Context, g authz.Grant, account, arn, versionID string) error {
	return s.editPolicy(ctx, g, "iam:DeletePolicyVersion", account, arn, func(tx *change, p *managed) error {
		i, err := p.version(versionID)
		if err != nil {
			return err
		}
		if p.Default == versionID {
			return refuse(DeleteConflict, "Cannot delete the default version of a policy.")
		}
		p.Versions = slices.Delete(p.Versions, i, i+1)
		tx.set(p)
		return nil
	})
}

// DeletePolicy removes a policy that nothing uses and that has no version beside the default one.
func (s *Store) DeletePolicy(ctx context.Context, g authz.Grant, account, arn string) error {
	return s.editPolicy(ctx, g, "iam:DeletePolicy", account, arn, func(tx *change, p *managed) error {
		switch {
		case tx.count(attachIndex(p.ID, false), 1) > 0, tx.count(attachIndex(p.ID, true), 1) > 0:
			return refuse(DeleteConflict, "Cannot delete a policy attached to entities.")
		case len(p.Versions) > 1:
			return refuse(DeleteConflict, "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.")
		}
		tx.remove(p)
		return nil
	})
}
