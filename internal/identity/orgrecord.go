package identity

import "time"

// organization is the one organization of a store: every account is in it, and the first account
// manages it.
type organization struct {
	Format   int
	ID       string // o-…
	Root     string // r-…
	Master   string // account id
	Created  time.Time
	Types    []string // policy types enabled on the root
	Policies []string // ids of the SCPs attached to the root
}

// unit is an organizational unit.
type unit struct {
	Format   int
	ID       string // ou-…
	Parent   string // root or ou
	Name     string
	Created  time.Time
	Policies []string
	Tags     []Tag `json:",omitempty"`
}

// control is a service control policy.
type control struct {
	Format      int
	ID          string // p-…
	Name        string
	Description string `json:",omitempty"`
	Document    string
	Provided    bool  `json:",omitempty"` // by AWS: cannot be changed
	Tags        []Tag `json:",omitempty"`
	compiled    *compiled
}

// membership is an account's place in the organization.
type membership struct {
	Parent   string // root or ou
	Joined   time.Time
	Created  bool      // by CreateAccount, else it is the managing account
	Policies []string  // ids of the SCPs attached to the account
	Closed   time.Time `json:",omitzero"`
	Tags     []Tag     `json:",omitempty"`
}

// attempt is the outcome of a CreateAccount.
type attempt struct {
	Format    int
	ID        string // car-…
	Name      string
	Account   string
	Requested time.Time
}

func (o *organization) kind() Kind { return kindOrg }
func (o *organization) id() string { return o.ID }
func (o *organization) prepare()   {}
func (u *unit) kind() Kind         { return kindOU }
func (u *unit) id() string         { return u.ID }
func (u *unit) prepare()           {}
func (c *control) kind() Kind      { return kindSCP }
func (c *control) id() string      { return c.ID }
func (a *attempt) kind() Kind      { return kindAttempt }
func (a *attempt) id() string      { return a.ID }
func (a *attempt) prepare()        {}

func (o *organization) indexes(yield func(string)) {
	yield(organizationIndex)
	targetIndexes(o.Policies, o.Root, yield)
}

func (u *unit) indexes(yield func(string)) {
	yield(childIndex(u.Parent, kindOU, u.ID))
	targetIndexes(u.Policies, u.ID, yield)
}

func (c *control) indexes(yield func(string)) { yield(controlIndex + c.ID) }

func (a *attempt) indexes(yield func(string)) { yield(attemptIndex + a.ID) }

// maxUnitDepth is how deep OUs nest below the root.
const maxUnitDepth = 5

const (
	organizationIndex = "o\x00"
	controlIndex      = "p\x00"
	attemptIndex      = "q\x00"
)

// childIndex is where an account or OU stands under its parent.
func childIndex(parent string, kind Kind, id string) string {
	return childPrefix(parent) + string(kind) + "\x00" + id
}

func childPrefix(parent string) string { return "h\x00" + parent + "\x00" }

// targetIndex is the prefix of the targets that an SCP is attached to.
func targetIndex(policy string) string { return "s\x00" + policy + "\x00" }

// targetIndexes yields where the SCPs that are attached to a root, OU or account name it.
func targetIndexes(policies []string, target string, yield func(string)) {
	for _, p := range policies {
		yield(targetIndex(p) + target)
	}
}
