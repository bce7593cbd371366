package identity

import (
	"context"
	"net/mail"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
)

// Failures of Organizations. The comment names the code that the edge gives, all with status 400.
const (
	NotManagementAccount fault.Kind = "identity.NotManagementAccount" // AccessDeniedException
	AccountNotFound      fault.Kind = "identity.AccountNotFound"      // AccountNotFoundException
	AttemptNotFound      fault.Kind = "identity.AttemptNotFound"      // CreateAccountStatusNotFoundException
	ParentNotFound       fault.Kind = "identity.ParentNotFound"       // ParentNotFoundException
	TargetNotFound       fault.Kind = "identity.TargetNotFound"       // TargetNotFoundException
	UnitNotFound         fault.Kind = "identity.UnitNotFound"         // OrganizationalUnitNotFoundException
	UnitNotEmpty         fault.Kind = "identity.UnitNotEmpty"         // OrganizationalUnitNotEmptyException
	DuplicateUnit        fault.Kind = "identity.DuplicateUnit"        // DuplicateOrganizationalUnitException
	SourceParentNotFound fault.Kind = "identity.SourceParentNotFound" // SourceParentNotFoundException
	DuplicateAccount     fault.Kind = "identity.DuplicateAccount"     // DuplicateAccountException
	ControlNotFound      fault.Kind = "identity.ControlNotFound"      // PolicyNotFoundException
	DuplicateControl     fault.Kind = "identity.DuplicateControl"     // DuplicatePolicyException
	ControlAttached      fault.Kind = "identity.ControlAttached"      // DuplicatePolicyAttachmentException
	ControlNotAttached   fault.Kind = "identity.ControlNotAttached"   // PolicyNotAttachedException
	ControlInUse         fault.Kind = "identity.ControlInUse"         // PolicyInUseException
	ControlProvided      fault.Kind = "identity.ControlProvided"      // PolicyChangesNotAllowedException
	MalformedControl     fault.Kind = "identity.MalformedControl"     // MalformedPolicyDocumentException
	ConstraintViolation  fault.Kind = "identity.ConstraintViolation"  // ConstraintViolationException
	OrganizationInvalid  fault.Kind = "identity.OrganizationInvalid"  // InvalidInputException
	PolicyTypeEnabled    fault.Kind = "identity.PolicyTypeEnabled"    // PolicyTypeAlreadyEnabledException
	PolicyTypeNotEnabled fault.Kind = "identity.PolicyTypeNotEnabled" // PolicyTypeNotEnabledException
	AccountAlreadyClosed fault.Kind = "identity.AccountAlreadyClosed" // AccountAlreadyClosedException
)

// accessRole is the role through which the managing account administers an account that it made.
const accessRole = "OrganizationAccountAccessRole"

// Organization as the API shows it.
type Organization struct {
	ID, ARN, MasterAccountID, MasterAccountARN, MasterAccountEmail, RootID string
	Created                                                                time.Time
	EnabledTypes                                                           []string
}

// Member is an account as Organizations shows it.
type Member struct {
	ID, ARN, Name, Email, Status, JoinedMethod, Parent string
	Joined                                             time.Time
	Tags                                               []Tag
}

func (o *organization) arn(kind, id string) string {
	return "arn:aws:organizations::" + o.Master + ":" + kind + "/" + o.ID + "/" + id
}

func (o *organization) member(a *account) *Member {
	m := &Member{
		ID: a.ID, ARN: o.arn("account", a.ID), Name: a.Name, Email: a.Email, Status: "ACTIVE", JoinedMethod: "INVITED",
		Parent: a.Org.Parent, Joined: a.Org.Joined, Tags: slices.Clone(a.Org.Tags),
	}
	if a.Org.Created {
		m.JoinedMethod = "CREATED"
	}
	if !a.open() {
		m.Status = "SUSPENDED"
	}
	return m
}

// managing checks that caller's account may manage the organization, and gives it.
func (s *State) managing(caller string) (*organization, error) {
	org := s.organization()
	if org == nil || org.Master != caller {
		return nil, refuse(NotManagementAccount, "You don't have permissions to access this resource.")
	}
	return org, nil
}

// OrganizationARN is what an operation on one part of the organization is about: an account, root,
// OU or policy by its id. "" names the organization itself.
func (s *Store) OrganizationARN(id string) string {
	org := s.state.Load().organization()
	if org == nil {
		return "*"
	}
	switch {
	case id == "":
		return "arn:aws:organizations::" + org.Master + ":organization/" + org.ID
	case isAccountID(id):
		return org.arn("account", id)
	case strings.HasPrefix(id, "ou-"):
		return org.arn("ou", id)
	case strings.HasPrefix(id, "r-"):
		return org.arn("root", id)
	case id == fullAWSAccess:
		return "arn:aws:organizations::aws:policy/service_control_policy/" + id
	}
	return org.arn("policy", "service_control_policy/"+id)
}

// OrganizationTags are the tags of an account, OU or policy of the organization as condition keys; none
// for anything else.
func (s *Store) OrganizationTags(id string) authz.ResourceTags {
	state := s.state.Load()
	var tags []Tag
	if a, err := state.memberAt(id); err == nil {
		tags = a.Org.Tags
	} else if u, err := state.unitAt(id); err == nil {
		tags = u.Tags
	} else if c, err := state.controlAt(id); err == nil {
		tags = c.Tags
	}
	keys := make(authz.ResourceTags, len(tags))
	for _, t := range tags {
		keys[t.Key] = t.Value
	}
	return keys
}

// ManagesOrganization tells whether an account is the one that manages the organization: the first one.
func (s *Store) ManagesOrganization(account string) bool {
	org := s.state.Load().organization()
	return org != nil && org.Master == account
}

// DescribeOrganization shows the organization that the caller's account is in.
func (s *Store) DescribeOrganization(_ context.Context, g authz.Grant) (*Organization, error) {
	if err := g.Require("organizations:DescribeOrganization", "*"); err != nil {
		return nil, err
	}
	state := s.state.Load()
	org := state.organization()
	master, ok := state.account(org.Master)
	if !ok {
		return nil, refuse(AccountNotFound, "The managing account is missing.")
	}
	return &Organization{
		ID: org.ID, ARN: s.OrganizationARN(""), MasterAccountID: org.Master, MasterAccountARN: org.arn("account", org.Master),
		MasterAccountEmail: master.Email, RootID: org.Root, Created: org.Created, EnabledTypes: slices.Clone(org.Types),
	}, nil
}

// CreateAccountInput describes a new account.
type CreateAccountInput struct {
	Email, AccountName string
	RoleName           string // default OrganizationAccountAccessRole
	Tags               []Tag
}

// CreateAccountStatus is the outcome of CreateAccount.
type CreateAccountStatus struct {
	ID, AccountName, State, AccountID, FailureReason string
	Requested, Completed                             time.Time
}

func (a *attempt) show() *CreateAccountStatus {
	return &CreateAccountStatus{ID: a.ID, AccountName: a.Name, State: "SUCCEEDED", AccountID: a.Account, Requested: a.Requested, Completed: a.Requested}
}

func (in *CreateAccountInput) check() error {
	address, err := mail.ParseAddress(in.Email)
	switch n := utf8.RuneCountInString(in.AccountName); {
	case err != nil || address.Address != in.Email || len(in.Email) > 64:
		return refuse(OrganizationInvalid, "You specified an invalid email address.")
	case n < 1 || n > 50:
		return refuse(OrganizationInvalid, "You provided a value that does not match the required pattern.")
	}
	if in.RoleName == "" {
		in.RoleName = accessRole
	}
	if err := checkName(KindRole, in.RoleName); err != nil {
		return refuse(OrganizationInvalid, "You specified an invalid role name.")
	}
	return checkTags(in.Tags)
}

// CreateAccount makes an account of 12 digits with a role that its maker's account may assume and that
// has AdministratorAccess. It is there when the call returns.
func (s *Store) CreateAccount(ctx context.Context, g authz.Grant, in CreateAccountInput) (*CreateAccountStatus, error) {
	if err := g.Require("organizations:CreateAccount", "*"); err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	var made *attempt
	err := s.change(ctx, g, func(tx *change) error {
		org, err := tx.managing(g.Principal().Account)
		if err != nil {
			return err
		}
		if _, taken := tx.index.get(emailIndex(in.Email)); taken {
			return refuse(DuplicateAccount, "An account with the email address %s exists already.", in.Email)
		}
		now := s.moment()
		a := newAccount(tx.freeAccountID(), in.AccountName, in.Email, now)
		a.Org = &membership{Parent: org.Root, Joined: now, Created: true, Policies: []string{fullAWSAccess}, Tags: slices.Clone(in.Tags)}
		tx.set(a)
		r := &role{header: newHeader(KindRole, a.ID, "/", in.RoleName, now), MaxSession: defaultMaxSession}
		trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + RootARN(org.Master) + `"},"Action":"sts:AssumeRole"}]}`
		if err := tx.setTrust(r, trust); err != nil {
			return err
		}
		everything, err := tx.attachable(a.ID, AdministratorAccess)
		if err != nil {
			return err
		}
		r.Attached = []string{everything.ID}
		tx.set(r)
		made = &attempt{Format: recordFormat, ID: "car-" + lowerID(32), Name: in.AccountName, Account: a.ID, Requested: now}
		tx.set(made)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return made.show(), nil
}

func (s *State) freeAccountID() string {
	for {
		id := newAccountID()
		if _, taken := s.account(id); !taken {
			return id
		}
	}
}

// DescribeCreateAccountStatus shows the outcome of a CreateAccount.
func (s *Store) DescribeCreateAccountStatus(_ context.Context, g authz.Grant, id string) (*CreateAccountStatus, error) {
	if err := g.Require("organizations:DescribeCreateAccountStatus", "*"); err != nil {
		return nil, err
	}
	state := s.state.Load()
	if _, err := state.managing(g.Principal().Account); err != nil {
		return nil, err
	}
	a, ok := byID[*attempt](state, kindAttempt, id)
	if !ok {
		return nil, refuse(AttemptNotFound, "We can't find an create account request with the CreateAccountRequestId that you specified.")
	}
	return a.show(), nil
}

// DescribeAccount shows one account to the managing account.
func (s *Store) DescribeAccount(_ context.Context, g authz.Grant, id string) (*Member, error) {
	if err := g.Require("organizations:DescribeAccount", s.OrganizationARN(id)); err != nil {
		return nil, err
	}
	state := s.state.Load()
	org, err := state.managing(g.Principal().Account)
	if err != nil {
		return nil, err
	}
	a, err := state.memberAt(id)
	if err != nil {
		return nil, err
	}
	return org.member(a), nil
}

func (s *State) memberAt(id string) (*account, error) {
	a, ok := s.account(id)
	if !ok || a.Org == nil {
		return nil, refuse(AccountNotFound, "You specified an account that doesn't exist.")
	}
	return a, nil
}

// ListAccounts lists all accounts to the managing account.
func (s *Store) ListAccounts(_ context.Context, g authz.Grant, p Page) (*Listed[*Member], error) {
	if err := g.Require("organizations:ListAccounts", "*"); err != nil {
		return nil, err
	}
	state := s.state.Load()
	org, err := state.managing(g.Principal().Account)
	if err != nil {
		return nil, err
	}
	return page(state, "n\x00\x00account\x00", p, func(a *account) bool { return a.Org != nil }, org.member)
}

// CloseAccount ends the use of every credential of an account. Its data stays.
func (s *Store) CloseAccount(ctx context.Context, g authz.Grant, id string) error {
	return s.change(ctx, g, func(tx *change) error {
		if err := g.Require("organizations:CloseAccount", s.OrganizationARN(id)); err != nil {
			return err
		}
		org, err := tx.managing(g.Principal().Account)
		if err != nil {
			return err
		}
		a, err := tx.memberAt(id)
		if err != nil {
			return err
		}
		if !a.open() {
			return refuse(AccountAlreadyClosed, "The account is already closed.")
		}
		if id == org.Master {
			return refuse(ConstraintViolation, "You can't close the managing account of the organization.")
		}
		next := a.withPlace()
		next.Org.Closed = s.moment()
		tx.set(next)
		return nil
	})
}

// withPlace is a copy of the account whose place in the organization is its own.
func (a *account) withPlace() *account {
	next, place := *a, *a.Org
	place.Policies = slices.Clone(place.Policies)
	next.Org = &place
	return &next
}
