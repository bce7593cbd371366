package identity

import (
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/policy"
)

// arn is what an operation on r is about: the entity's ARN with its path, or, when there is none,
// the ARN that it would have at the root path.
func (s *State) arn(r Ref) string {
	switch r.Kind {
	case KindPolicy, KindMFA, KindOIDCProvider:
		return r.Name
	}
	if found, ok := s.index.get(nameIndex(r.Account, r.Kind, r.Name)); ok {
		if e, ok := found.(resource); ok {
			return arnOf(e)
		}
	}
	return ARN(r.Account, r.Kind, "/", r.Name)
}

// ResourceARN is the ARN that methods require of their Grant for an operation on r, so that the
// edge can demand the same. It decides nothing and tells nothing about whether r exists that a
// denial would show.
func (s *Store) ResourceARN(r Ref) string { return s.state.Load().arn(r) }

// ResourceTags are the tags of an entity, for the condition keys aws:ResourceTag and
// iam:ResourceTag.
func (s *Store) ResourceTags(r Ref) []Tag {
	if e, err := s.state.Load().ref(r); err == nil {
		return e.head().Tags
	}
	return nil
}

// ref finds what a Ref names.
func (s *State) ref(r Ref) (resource, error) {
	switch r.Kind {
	case KindPolicy, KindMFA, KindOIDCProvider:
		e, ok := byARN[resource](s, r.Name)
		if !ok || e.kind() != r.Kind || (e.head().Account != r.Account && e.head().Account != awsAccount) {
			return nil, notFound(r.Kind, r.Name)
		}
		return e, nil
	}
	return find[resource](s, r.Account, r.Kind, r.Name)
}

// CallerName is the name of the user who calls, for the operations in which it may be left out.
func CallerName(p policy.Principal) (string, error) {
	if p.Type != policy.IAMUser {
		return "", refuse(ValidationError, "Must specify userName when calling with non-User credentials")
	}
	return p.Name, nil
}

// AccountInfo is what the world knows of an account.
type AccountInfo struct {
	ID, Name, Email, CanonicalID, Alias string
}

func (a *account) info() AccountInfo {
	return AccountInfo{ID: a.ID, Name: a.Name, Email: a.Email, CanonicalID: a.CanonicalID, Alias: a.Alias}
}

// Account finds an account by its 12 digits.
func (s *Store) Account(id string) (AccountInfo, bool) {
	a, ok := s.state.Load().account(id)
	if !ok {
		return AccountInfo{}, false
	}
	return a.info(), true
}

// AccountByCanonicalID finds the account that a canonical user id stands for.
func (s *Store) AccountByCanonicalID(canonical string) (AccountInfo, bool) {
	return s.accountAt("c\x00" + canonical)
}

// AccountByEmail finds the account with the address of its root user.
func (s *Store) AccountByEmail(email string) (AccountInfo, bool) {
	return s.accountAt(emailIndex(email))
}

func (s *Store) accountAt(key string) (AccountInfo, bool) {
	found, ok := s.state.Load().index.get(key)
	if !ok {
		return AccountInfo{}, false
	}
	return found.(*account).info(), true
}

// Accounts are the ids of all accounts, in order.
func (s *Store) Accounts() []string {
	var ids []string
	each(s.state.Load(), "n\x00\x00account\x00", "", func(_ string, a *account) bool {
		ids = append(ids, a.ID)
		return true
	})
	return ids
}

// ManagingAccount is the id of the first account, which manages the organization.
func (s *Store) ManagingAccount() string {
	if org := s.state.Load().organization(); org != nil {
		return org.Master
	}
	return ""
}

// UniqueID is the unique id behind the ARN of a user or role, which stored policies keep in its place.
func (s *Store) UniqueID(arn string) (id string, ok bool) {
	return s.state.Load().uniqueID(arn)
}

// ARNOf is the ARN that a unique id of a user or role has now; not ok once it was deleted.
func (s *Store) ARNOf(uniqueID string) (arn string, ok bool) {
	arn = s.state.Load().principalARN(uniqueID)
	return arn, arn != ""
}

// PrincipalExists tells whether a principal that a resource policy names in one of the forms without
// a unique id exists: an account by its root ARN or 12 digits.
func (s *Store) PrincipalExists(account string) bool {
	_, ok := s.state.Load().account(account)
	return ok
}

// PrincipalSubject is the Subject of a user, or of sessions of a role, by ARN and without a key: for
// simulation and for the console. For a group it is nobody, with the group's policies.
func (s *Store) PrincipalSubject(arn string) (authz.Subject, error) {
	state, err := s.current()
	if err != nil {
		return authz.Subject{}, err
	}
	e, ok := byARN[holder](state, arn)
	if !ok {
		return authz.Subject{}, refuse(NoSuchEntity, "The principal %s cannot be found.", arn)
	}
	var b *builtSubject
	switch e := e.(type) {
	case *user:
		b, err = state.userSubject(e)
	case *role:
		if b, err = state.roleSubject(e); err == nil {
			keys := b.subject.Keys.(keySet).clone()
			keys.tag(b.tags)
			subject := b.subject
			subject.Keys = keys
			return subject, nil
		}
	default:
		docs, err := state.documents(nil, e.bound())
		return authz.Subject{Policies: policy.Inputs{Identity: docs}, Keys: keySet{}}, err
	}
	if err != nil {
		return authz.Subject{}, err
	}
	return b.subject, nil
}

// policyARN is the ARN of a managed policy by its unique id, "" when there is none.
func (s *State) policyARN(id string) string {
	if p, ok := byID[*managed](s, KindPolicy, id); ok {
		return arnOf(p)
	}
	return ""
}

// attachable is the managed policy that an entity of the account may be given.
func (s *State) attachable(account, arn string) (*managed, error) {
	if _, _, _, _, ok := splitARN(arn); !ok {
		return nil, refuse(ValidationError, "Invalid ARN:  Could not be parsed!")
	}
	p, ok := byARN[*managed](s, arn)
	if !ok || (p.Account != account && p.Account != awsAccount) {
		return nil, refuse(NoSuchEntity, "Policy %s does not exist or is not attachable.", arn)
	}
	return p, nil
}

// boundaryID is the unique id to store for a boundary given by ARN; "" for none.
func (s *State) boundaryID(account, arn string) (string, error) {
	if arn == "" {
		return "", nil
	}
	p, err := s.attachable(account, arn)
	if err != nil {
		return "", err
	}
	return p.ID, nil
}
