package identity

import (
	"slices"
	"time"

	"github.com/kura-s3/kura/policy"
)

// scpType is the policy type that an organization's root has enabled from the start.
const scpType = "SERVICE_CONTROL_POLICY"

// foundOrganization makes the organization that owner manages, with FullAWSAccess everywhere.
func foundOrganization(tx *change, owner *account, now time.Time) {
	org := &organization{
		Format: recordFormat, ID: "o-" + lowerID(10), Root: "r-" + lowerID(4), Master: owner.ID, Created: now,
		Types: []string{scpType}, Policies: []string{fullAWSAccess},
	}
	owner.Org = &membership{Parent: org.Root, Joined: now, Policies: []string{fullAWSAccess}}
	tx.set(org)
	tx.set(&control{
		Format: recordFormat, ID: fullAWSAccess, Name: "FullAWSAccess", Description: "Allows access to every operation",
		Document: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`, Provided: true,
	})
}

// organization is the one there is, nil before the first account.
func (s *State) organization() *organization {
	found, ok := s.index.get(organizationIndex)
	if !ok {
		return nil
	}
	return found.(*organization)
}

// organizationOf gives the id of an account's organization and the account's path in it, as
// aws:PrincipalOrgPaths has it.
func (s *State) organizationOf(account string) (id, path string, ok bool) {
	org := s.organization()
	a, ok := s.account(account)
	if org == nil || !ok || a.Org == nil {
		return "", "", false
	}
	for _, id := range s.ancestors(a.Org.Parent) {
		path += id + "/"
	}
	return org.ID, org.ID + "/" + path, true
}

// ancestors are the root and OUs from the top down to parent, which is the last.
func (s *State) ancestors(parent string) []string {
	var up []string
	for range maxUnitDepth + 2 {
		up = append(up, parent)
		u, ok := byID[*unit](s, kindOU, parent)
		if !ok {
			break
		}
		parent = u.Parent
	}
	slices.Reverse(up)
	return up
}

// controls are the SCPs that bind an account, one list per level from the root down; nil for the
// account that manages the organization and while the policy type is disabled.
func (s *State) controls(id string) ([][]*policy.Document, error) {
	org := s.organization()
	a, ok := s.account(id)
	if org == nil || !ok || a.Org == nil || org.Master == id || !slices.Contains(org.Types, scpType) {
		return nil, nil
	}
	var levels [][]*policy.Document
	for _, target := range append(s.ancestors(a.Org.Parent), id) {
		level := []*policy.Document{}
		for _, p := range s.attachedControls(target) {
			c, ok := byID[*control](s, kindSCP, p)
			if !ok {
				continue
			}
			doc, err := c.compiled.document()
			if err != nil {
				return nil, err
			}
			level = append(level, doc)
		}
		levels = append(levels, level)
	}
	return levels, nil
}

// attachedControls are the ids of the SCPs attached to a root, OU or account.
func (s *State) attachedControls(target string) []string {
	if org := s.organization(); org != nil && org.Root == target {
		return org.Policies
	}
	if u, ok := byID[*unit](s, kindOU, target); ok {
		return u.Policies
	}
	if a, ok := s.account(target); ok && a.Org != nil {
		return a.Org.Policies
	}
	return nil
}
