package identity

import (
	"context"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/policy"
)

// Unit is an organizational unit as the API shows it.
type Unit struct{ ID, ARN, Name, Parent string }

func (o *organization) unit(u *unit) *Unit {
	return &Unit{ID: u.ID, ARN: o.arn("ou", u.ID), Name: u.Name, Parent: u.Parent}
}

// manage runs fn on the organization under a Grant of the managing account for action on resource.
func (s *Store) manage(ctx context.Context, g authz.Grant, action, resource string, fn func(*change, *organization) error) error {
	if err := g.Require(action, resource); err != nil {
		return err
	}
	return s.change(ctx, g, func(tx *change) error {
		org, err := tx.managing(g.Principal().Account)
		if err != nil {
			return err
		}
		return fn(tx, org)
	})
}

// inspect is manage for reading.
func (s *Store) inspect(g authz.Grant, action, resource string) (*State, *organization, error) {
	if err := g.Require(action, resource); err != nil {
		return nil, nil, err
	}
	state := s.state.Load()
	org, err := state.managing(g.Principal().Account)
	return state, org, err
}

// parent errs unless id is the root or an OU.
func (s *State) parent(org *organization, id string) error {
	if _, ok := byID[*unit](s, kindOU, id); !ok && id != org.Root {
		return refuse(ParentNotFound, "You specified a parent that doesn't exist.")
	}
	return nil
}

func (s *State) unitAt(id string) (*unit, error) {
	u, ok := byID[*unit](s, kindOU, id)
	if !ok {
		return nil, refuse(UnitNotFound, "You specified an organizational unit that doesn't exist.")
	}
	return u, nil
}

// freeUnitName errs when the name is not one or a sibling has it.
func (s *State) freeUnitName(parent, name, self string) error {
	if n := utf8.RuneCountInString(name); n < 1 || n > 128 {
		return refuse(OrganizationInvalid, "You provided a value that does not match the required pattern.")
	}
	taken := false
	each(s, childIndex(parent, kindOU, ""), "", func(_ string, u *unit) bool {
		taken = u.Name == name && u.ID != self
		return !taken
	})
	if taken {
		return refuse(DuplicateUnit, "An OU with the same name already exists.")
	}
	return nil
}

// CreateOrganizationalUnit makes an OU under the root or another OU.
func (s *Store) CreateOrganizationalUnit(ctx context.Context, g authz.Grant, parent, name string, tags []Tag) (*Unit, error) {
	var made *Unit
	err := s.manage(ctx, g, "organizations:CreateOrganizationalUnit", s.OrganizationARN(parent), func(tx *change, org *organization) error {
		if err := tx.parent(org, parent); err != nil {
			return err
		}
		if err := tx.freeUnitName(parent, name, ""); err != nil {
			return err
		}
		if err := checkTags(tags); err != nil {
			return err
		}
		if len(tx.ancestors(parent)) > maxUnitDepth {
			return refuse(ConstraintViolation, "You have exceeded the maximum number of levels of organizational units.")
		}
		u := &unit{
			Format: recordFormat, ID: "ou-" + strings.TrimPrefix(org.Root, "r-") + "-" + lowerID(8), Parent: parent, Name: name,
			Created: s.moment(), Policies: []string{fullAWSAccess}, Tags: slices.Clone(tags),
		}
		tx.set(u)
		made = org.unit(u)
		return nil
	})
	return made, err
}

// DescribeOrganizationalUnit shows one OU.
func (s *Store) DescribeOrganizationalUnit(_ context.Context, g authz.Grant, id string) (*Unit, error) {
	state, org, err := s.inspect(g, "organizations:DescribeOrganizationalUnit", s.OrganizationARN(id))
	if err != nil {
		return nil, err
	}
	u, err := state.unitAt(id)
	if err != nil {
		return nil, err
	}
	return org.unit(u), nil
}

// UpdateOrganizationalUnit renames an OU.
func (s *Store) UpdateOrganizationalUnit(ctx context.Context, g authz.Grant, id, name string) (*Unit, error) {
	var shown *Unit
	err := s.manage(ctx, g, "organizations:UpdateOrganizationalUnit", s.OrganizationARN(id), func(tx *change, org *organization) error {
		u, err := tx.unitAt(id)
		if err != nil {
			return err
		}
		if err := tx.freeUnitName(u.Parent, name, id); err != nil {
			return err
		}
		next := *u
		next.Name = name
		tx.set(&next)
		shown = org.unit(&next)
		return nil
	})
	return shown, err
}

// DeleteOrganizationalUnit removes an OU without accounts and OUs.
func (s *Store) DeleteOrganizationalUnit(ctx context.Context, g authz.Grant, id string) error {
	return s.manage(ctx, g, "organizations:DeleteOrganizationalUnit", s.OrganizationARN(id), func(tx *change, _ *organization) error {
		u, err := tx.unitAt(id)
		if err != nil {
			return err
		}
		if tx.count(childPrefix(id), 1) > 0 {
			return refuse(UnitNotEmpty, "The specified OU is not empty.")
		}
		tx.remove(u)
		return nil
	})
}

// ListOrganizationalUnitsForParent lists the OUs right under a parent.
func (s *Store) ListOrganizationalUnitsForParent(_ context.Context, g authz.Grant, parent string, p Page) (*Listed[*Unit], error) {
	state, org, err := s.inspect(g, "organizations:ListOrganizationalUnitsForParent", s.OrganizationARN(parent))
	if err != nil {
		return nil, err
	}
	if err := state.parent(org, parent); err != nil {
		return nil, err
	}
	return page(state, childIndex(parent, kindOU, ""), p, nil, org.unit)
}

// ListAccountsForParent lists the accounts right under a parent.
func (s *Store) ListAccountsForParent(_ context.Context, g authz.Grant, parent string, p Page) (*Listed[*Member], error) {
	state, org, err := s.inspect(g, "organizations:ListAccountsForParent", s.OrganizationARN(parent))
	if err != nil {
		return nil, err
	}
	if err := state.parent(org, parent); err != nil {
		return nil, err
	}
	return page(state, childIndex(parent, kindAccount, ""), p, nil, org.member)
}

// ParentOf is the root or OU that an account or OU is under (ListParents).
func (s *Store) ParentOf(_ context.Context, g authz.Grant, child string) (string, error) {
	state, _, err := s.inspect(g, "organizations:ListParents", s.OrganizationARN(child))
	if err != nil {
		return "", err
	}
	if u, ok := byID[*unit](state, kindOU, child); ok {
		return u.Parent, nil
	}
	a, err := state.memberAt(child)
	if err != nil {
		return "", err
	}
	return a.Org.Parent, nil
}

// MoveAccount puts an account under another parent, whose SCPs bind it from the next request on.
func (s *Store) MoveAccount(ctx context.Context, g authz.Grant, id, source, destination string) error {
	return s.manage(ctx, g, "organizations:MoveAccount", s.OrganizationARN(id), func(tx *change, org *organization) error {
		a, err := tx.memberAt(id)
		if err != nil {
			return err
		}
		if a.Org.Parent != source {
			return refuse(SourceParentNotFound, "You specified a source parent that the account isn't in.")
		}
		if err := tx.parent(org, destination); err != nil {
			return err
		}
		next := a.withPlace()
		next.Org.Parent = destination
		tx.set(next)
		return nil
	})
}

// Control is a service control policy as the API shows it.
type Control struct {
	ID, ARN, Name, Description, Content string
	AWSManaged                          bool
	Tags                                []Tag
}

func (s *Store) showControl(c *control) *Control {
	return &Control{
		ID: c.ID, ARN: s.OrganizationARN(c.ID), Name: c.Name, Description: c.Description, Content: c.Document, AWSManaged: c.Provided, Tags: slices.Clone(c.Tags),
	}
}

// checkControl holds a service control policy against its rules.
func (s *State) checkControl(name, description, document, self string) error {
	if n := utf8.RuneCountInString(name); n < 1 || n > 128 || len(description) > 512 {
		return refuse(OrganizationInvalid, "You provided a value that does not match the required pattern.")
	}
	doc, err := parsePolicy(document, policy.SCP)
	if err != nil {
		return refuse(MalformedControl, "The provided policy document does not meet the requirements of the specified policy type.")
	}
	if doc.Size() > policy.MaxControlPolicy {
		return refuse(ConstraintViolation, "You have exceeded the maximum policy size of %d.", policy.MaxControlPolicy)
	}
	taken := false
	each(s, controlIndex, "", func(_ string, c *control) bool {
		taken = c.Name == name && c.ID != self
		return !taken
	})
	if taken {
		return refuse(DuplicateControl, "A policy with the same name already exists.")
	}
	return nil
}

func (s *State) controlAt(id string) (*control, error) {
	c, ok := byID[*control](s, kindSCP, id)
	if !ok {
		return nil, refuse(ControlNotFound, "You specified a policy that doesn't exist.")
	}
	return c, nil
}

// CreateControl is CreatePolicy of Organizations for service control policies.
func (s *Store) CreateControl(ctx context.Context, g authz.Grant, name, description, document string, tags []Tag) (*Control, error) {
	var made *Control
	err := s.manage(ctx, g, "organizations:CreatePolicy", "*", func(tx *change, _ *organization) error {
		if err := tx.checkControl(name, description, document, ""); err != nil {
			return err
		}
		if err := checkTags(tags); err != nil {
			return err
		}
		c := &control{Format: recordFormat, ID: "p-" + lowerID(8), Name: name, Description: description, Document: document, Tags: slices.Clone(tags)}
		tx.set(c)
		made = s.showControl(c)
		return nil
	})
	return made, err
}

// UpdateControl replaces name, description and document, each unless nil. It binds the next request.
func (s *Store) UpdateControl(ctx context.Context, g authz.Grant, id string, name, description, document *string) (*Control, error) {
	var shown *Control
	err := s.manage(ctx, g, "organizations:UpdatePolicy", s.OrganizationARN(id), func(tx *change, _ *organization) error {
		c, err := tx.controlAt(id)
		if err != nil {
			return err
		}
		if c.Provided {
			return refuse(ControlProvided, "AWS managed policies cannot be changed.")
		}
		next := *c
		for to, from := range map[*string]*string{&next.Name: name, &next.Description: description, &next.Document: document} {
			if from != nil {
				*to = *from
			}
		}
		if err := tx.checkControl(next.Name, next.Description, next.Document, id); err != nil {
			return err
		}
		tx.set(&next)
		shown = s.showControl(&next)
		return nil
	})
	return shown, err
}

// DescribeControl is DescribePolicy of Organizations.
func (s *Store) DescribeControl(_ context.Context, g authz.Grant, id string) (*Control, error) {
	state, _, err := s.inspect(g, "organizations:DescribePolicy", s.OrganizationARN(id))
	if err != nil {
		return nil, err
	}
	c, err := state.controlAt(id)
	if err != nil {
		return nil, err
	}
	return s.showControl(c), nil
}

// ListControls is ListPolicies of Organizations.
func (s *Store) ListControls(_ context.Context, g authz.Grant, p Page) (*Listed[*Control], error) {
	state, _, err := s.inspect(g, "organizations:ListPolicies", "*")
	if err != nil {
		return nil, err
	}
	return page(state, controlIndex, p, nil, s.showControl)
}

// DeleteControl is DeletePolicy of Organizations: of a policy that is attached nowhere.
func (s *Store) DeleteControl(ctx context.Context, g authz.Grant, id string) error {
	return s.manage(ctx, g, "organizations:DeletePolicy", s.OrganizationARN(id), func(tx *change, _ *organization) error {
		c, err := tx.controlAt(id)
		if err != nil {
			return err
		}
		switch {
		case c.Provided:
			return refuse(ControlProvided, "AWS managed policies cannot be changed.")
		case tx.count(targetIndex(id), 1) > 0:
			return refuse(ControlInUse, "The policy is attached to one or more entities.")
		}
		tx.remove(c)
		return nil
	})
}

// maxControls attached to one root, OU or account.
const maxControls = 5

// AttachControl is AttachPolicy of Organizations: the policy binds every account in or under target
// from the next request on.
func (s *Store) AttachControl(ctx context.Context, g authz.Grant, id, target string) error {
	return s.editControls(ctx, g, "organizations:AttachPolicy", id, target, func(list []string) ([]string, error) {
		switch {
		case slices.Contains(list, id):
			return nil, refuse(ControlAttached, "The selected policy is already attached to the specified target.")
		case len(list) >= maxControls:
			return nil, refuse(ConstraintViolation, "You have attached the maximum number of policies to the specified target.")
		}
		return append(slices.Clone(list), id), nil
	})
}

// DetachControl is DetachPolicy of Organizations. Each target keeps at least one policy.
func (s *Store) DetachControl(ctx context.Context, g authz.Grant, id, target string) error {
	return s.editControls(ctx, g, "organizations:DetachPolicy", id, target, func(list []string) ([]string, error) {
		switch {
		case !slices.Contains(list, id):
			return nil, refuse(ControlNotAttached, "The policy isn't attached to the specified target.")
		case len(list) == 1:
			return nil, refuse(ConstraintViolation, "You cannot remove the last policy attached to the specified target. You must have at least one attached at all times.")
		}
		return slices.DeleteFunc(slices.Clone(list), func(p string) bool { return p == id }), nil
	})
}

func (s *Store) editControls(ctx context.Context, g authz.Grant, action, id, target string, fn func([]string) ([]string, error)) error {
	return s.manage(ctx, g, action, s.OrganizationARN(id), func(tx *change, org *organization) error {
		if _, err := tx.controlAt(id); err != nil {
			return err
		}
		if !slices.Contains(org.Types, scpType) {
			return refuse(PolicyTypeNotEnabled, "This operation can be performed only for enabled policy types.")
		}
		next, err := fn(tx.attachedControls(target))
		if err != nil {
			return err
		}
		return tx.setControls(org, target, next)
	})
}

func (c *change) setControls(org *organization, target string, list []string) error {
	if target == org.Root {
		next := *org
		next.Policies = list
		c.set(&next)
		return nil
	}
	if u, ok := byID[*unit](c.State, kindOU, target); ok {
		next := *u
		next.Policies = list
		c.set(&next)
		return nil
	}
	a, ok := c.account(target)
	if !ok || a.Org == nil {
		return refuse(TargetNotFound, "You specified a target that doesn't exist.")
	}
	next := a.withPlace()
	next.Org.Policies = list
	c.set(next)
	return nil
}

// ListControlsForTarget is ListPoliciesForTarget.
func (s *Store) ListControlsForTarget(_ context.Context, g authz.Grant, target string) ([]*Control, error) {
	state, _, err := s.inspect(g, "organizations:ListPoliciesForTarget", s.OrganizationARN(target))
	if err != nil {
		return nil, err
	}
	list := []*Control{}
	for _, id := range state.attachedControls(target) {
		if c, ok := byID[*control](state, kindSCP, id); ok {
			list = append(list, s.showControl(c))
		}
	}
	if len(list) == 0 {
		return nil, refuse(TargetNotFound, "You specified a target that doesn't exist.")
	}
	return list, nil
}

// ListTargetsForControl gives the ids of what a policy is attached to (ListTargetsForPolicy).
func (s *Store) ListTargetsForControl(_ context.Context, g authz.Grant, id string) ([]string, error) {
	state, _, err := s.inspect(g, "organizations:ListTargetsForPolicy", s.OrganizationARN(id))
	if err != nil {
		return nil, err
	}
	if _, err := state.controlAt(id); err != nil {
		return nil, err
	}
	targets := []string{}
	each(state, targetIndex(id), "", func(key string, _ entity) bool {
		targets = append(targets, key)
		return true
	})
	return targets, nil
}

// SetPolicyType is EnablePolicyType and DisablePolicyType for service control policies on the root.
// While the type is disabled no SCP binds anybody.
func (s *Store) SetPolicyType(ctx context.Context, g authz.Grant, root string, enabled bool) error {
	action := "organizations:DisablePolicyType"
	if enabled {
		action = "organizations:EnablePolicyType"
	}
	return s.manage(ctx, g, action, s.OrganizationARN(root), func(tx *change, org *organization) error {
		has := slices.Contains(org.Types, scpType)
		switch {
		case root != org.Root:
			return refuse(TargetNotFound, "You specified a root that doesn't exist.")
		case enabled && has:
			return refuse(PolicyTypeEnabled, "The specified policy type is already enabled.")
		case !enabled && !has:
			return refuse(PolicyTypeNotEnabled, "The specified policy type isn't enabled.")
		}
		next := *org
		next.Types = nil
		if enabled {
			next.Types = []string{scpType}
		}
		tx.set(&next)
		return nil
	})
}
