package identity

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/policy"
)

// Durations of sessions in seconds (STS API reference).
const (
	minSession        = 900
	maxChained        = 3600
	defaultRole       = 3600
	defaultUser       = 43200
	maxUserSession    = 129600
	maxRootSession    = 3600
	maxSessionARNs    = 10
	maxPackedSession  = 4096 // bytes; PackedPolicySize is in percent of it
	maxSessionName    = 64
	maxFederatedName  = 32
	sessionNameWanted = `[\w+=,.@-]*`
	externalIDWanted  = `[\w+=,.@:\/-]*`
)

var (
	sessionName = regexp.MustCompile(`^[A-Za-z0-9_+=,.@-]*$`)
	externalID  = regexp.MustCompile(`^[A-Za-z0-9_+=,.@:/-]*$`)
)

// Narrowing is what a new session may be given to narrow and mark it.
type Narrowing struct {
	Policy            string
	PolicyARNs        []string
	Tags              []Tag
	TransitiveTagKeys []string
}

// AssumeRoleInput asks for a session of a role.
type AssumeRoleInput struct {
	RoleARN, RoleSessionName, ExternalID, SourceIdentity string
	DurationSeconds                                      int // 0: default
	MFA                                                  *MFA
	Narrowing
}

// SessionCredentials are a temporary key. Secret and token are told here and nowhere else.
type SessionCredentials struct {
	AccessKeyID, SecretAccessKey, SessionToken string
	Expiration                                 time.Time
	// ID and ARN of the session: AROA…:name and …:assumed-role/…, or account:name and
	// …:federated-user/….
	ID, ARN          string
	PackedPolicySize int // percent; 0: nothing was packed
	SourceIdentity   string
}

// AssumeRoleDemands are what the Guard has to allow before AssumeRole: sts:AssumeRole by the role's trust
// policy, and what tags and a source identity need. A role that does not exist is demanded like one
// that trusts nobody. An MFA code is checked here and used up by AssumeRole.
func (s *Store) AssumeRoleDemands(ctx context.Context, caller *authz.Subject, in AssumeRoleInput) ([]authz.Demand, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	if caller.Principal.Type == policy.RootUser {
		return nil, refuse(AccessDenied, "Roles may not be assumed by root accounts.")
	}
	state, err := s.current()
	if err != nil {
		return nil, err
	}
	keys := in.keys()
	if in.MFA != nil {
		if _, _, err := s.currentStep(ctx, state, caller.Principal.Account, caller.Principal.UniqueID, *in.MFA); err != nil {
			return nil, err
		}
		keys["aws:multifactorauthpresent"] = policy.Values{One: "true"}
		keys["aws:multifactorauthage"] = policy.Values{One: "0"}
	}
	identity := in.SourceIdentity
	if from := sessionOf(caller); identity == "" && from != nil {
		identity = from.SourceIdentity
	}
	return state.roleDemands("sts:AssumeRole", in.RoleARN, keys, len(in.Tags) > 0, identity != "")
}

// trustsNobody is the trust policy of roles that do not exist, so that they are refused in the words
// that others are refused in.
const trustsNobody = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"nobody.kura.internal"},"Action":"sts:AssumeRole"}]}`

// roleDemands are the demands on a role's trust policy.
func (s *State) roleDemands(action, roleARN string, keys keySet, tagged, identified bool) ([]authz.Demand, error) {
	account, kind, _, _, ok := splitARN(roleARN)
	if !ok || kind != KindRole || !isAccountID(account) {
		return nil, refuse(ValidationError, "%s is invalid", roleARN)
	}
	on := authz.Resource{ARN: roleARN, Account: account, MustAllow: true}
	trust := (*compiled)(nil).keep("", trustsNobody, policy.Trust)
	r, ok := byARN[*role](s, roleARN)
	if ok {
		trust = r.trust
	}
	var err error
	if on.Policy, err = trust.document(); err != nil {
		return nil, err
	}
	if ok {
		for _, t := range r.Tags {
			keys["aws:resourcetag/"+strings.ToLower(t.Key)] = policy.Values{One: t.Value}
			keys["iam:resourcetag/"+strings.ToLower(t.Key)] = policy.Values{One: t.Value}
		}
	}
	demands := []authz.Demand{{Action: action, Resource: on, Keys: keys}}
	if tagged {
		demands = append(demands, authz.Demand{Action: "sts:TagSession", Resource: on, Keys: keys})
	}
	if identified {
		demands = append(demands, authz.Demand{Action: "sts:SetSourceIdentity", Resource: on, Keys: keys})
	}
	return demands, nil
}

// keys are the condition keys of the request.
func (in *AssumeRoleInput) keys() keySet {
	keys := in.Narrowing.keys()
	for key, value := range map[string]string{
		"sts:externalid": in.ExternalID, "sts:rolesessionname": in.RoleSessionName, "sts:sourceidentity": in.SourceIdentity,
	} {
		if value != "" {
			keys[key] = policy.Values{One: value}
		}
	}
	if in.DurationSeconds != 0 {
		keys["sts:durationseconds"] = policy.Values{One: decimal(in.DurationSeconds)}
	}
	return keys
}

func (n *Narrowing) keys() keySet {
	keys := keySet{}
	var names []string
	for _, t := range n.Tags {
		keys["aws:requesttag/"+strings.ToLower(t.Key)] = policy.Values{One: t.Value}
		names = append(names, t.Key)
	}
	if len(names) > 0 {
		keys["aws:tagkeys"] = policy.Values{Many: names, Multi: true}
	}
	if len(n.TransitiveTagKeys) > 0 {
		keys["sts:transitivetagkeys"] = policy.Values{Many: n.TransitiveTagKeys, Multi: true}
	}
	return keys
}

// check holds what can be checked without knowing the role against STS's rules.
func (in *AssumeRoleInput) check() error {
	if err := checkSessionText("roleSessionName", in.RoleSessionName, maxSessionName, sessionName, sessionNameWanted); err != nil {
		return err
	}
	if in.ExternalID != "" {
		if err := checkSessionText("externalId", in.ExternalID, 1224, externalID, externalIDWanted); err != nil {
			return err
		}
	}
	if in.SourceIdentity != "" {
		if err := checkSessionText("sourceIdentity", in.SourceIdentity, 64, sessionName, sessionNameWanted); err != nil {
			return err
		}
	}
	if err := checkDuration(in.DurationSeconds, maxMaxSession); err != nil {
		return err
	}
	return in.Narrowing.check()
}

func checkSessionText(member, value string, limit int, shape *regexp.Regexp, wanted string) error {
	switch n := utf8.RuneCountInString(value); {
	case n < 2:
		return violates(value, member, "Member must have length greater than or equal to 2")
	case n > limit:
		return violates(value, member, "Member must have length less than or equal to "+decimal(limit))
	case !shape.MatchString(value):
		return violates(value, member, "Member must satisfy regular expression pattern: "+wanted)
	}
	return nil
}

func checkDuration(seconds, limit int) error {
	switch {
	case seconds == 0:
		return nil
	case seconds < minSession:
		return violates(decimal(seconds), "durationSeconds", "Member must have value greater than or equal to "+decimal(minSession))
	case seconds > limit:
		return violates(decimal(seconds), "durationSeconds", "Member must have value less than or equal to "+decimal(limit))
	}
	return nil
}

func (n *Narrowing) check() error {
	if err := checkTags(n.Tags); err != nil {
		return err
	}
	for _, key := range n.TransitiveTagKeys {
		if !hasTag(n.Tags, key) {
			return refuse(InvalidParameterValue, "The specified transitive tag key must be included in the requested tags.")
		}
	}
	if len(n.PolicyARNs) > maxSessionARNs {
		return violates(strings.Join(n.PolicyARNs, ","), "policyArns", "Member must have length less than or equal to "+decimal(maxSessionARNs))
	}
	if utf8.RuneCountInString(n.Policy) > policy.MaxSessionPolicy {
		return violates(n.Policy, "policy", "Member must have length less than or equal to "+decimal(policy.MaxSessionPolicy))
	}
	if n.Policy == "" {
		return nil
	}
	_, err := parsePolicy(n.Policy, policy.Session)
	return err
}

func hasTag(tags []Tag, key string) bool {
	return slices.ContainsFunc(tags, func(t Tag) bool { return strings.EqualFold(t.Key, key) })
}

// AssumeRole gives the caller a session of a role.
func (s *Store) AssumeRole(ctx context.Context, g authz.Grant, caller *authz.Subject, in AssumeRoleInput) (*SessionCredentials, error) {
	if err := g.Require("sts:AssumeRole", in.RoleARN); err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	state := s.state.Load()
	r, ok := byARN[*role](state, in.RoleARN)
	if !ok {
		return nil, refuse(AccessDenied, "User: %s is not authorized to perform: sts:AssumeRole on resource: %s", caller.Principal.ARN, in.RoleARN)
	}
	from := sessionOf(caller)
	seconds, err := roleDuration(in.DurationSeconds, r.MaxSession, caller.Principal.Type == policy.AssumedRole)
	if err != nil {
		return nil, err
	}
	c := s.newSession(roleSession, r.Account, r.ID, in.RoleSessionName, seconds)
	if err := c.inherit(from, in); err != nil {
		return nil, err
	}
	if (len(in.Tags) > 0 && g.Require("sts:TagSession", in.RoleARN) != nil) ||
		(c.SourceIdentity != "" && g.Require("sts:SetSourceIdentity", in.RoleARN) != nil) {
		return nil, refuse(AccessDenied, "User: %s is not authorized to perform: sts:TagSession on resource: %s", caller.Principal.ARN, in.RoleARN)
	}
	if in.MFA != nil {
		if err := s.useCode(ctx, caller.Principal.Account, caller.Principal.UniqueID, *in.MFA); err != nil {
			return nil, err
		}
		c.MFA = s.now().UTC()
	}
	return s.issue(ctx, state, c, in.Narrowing)
}

// roleDuration is how many seconds a session of a role lasts.
func roleDuration(asked, limit int, chained bool) (int, error) {
	switch {
	case chained && asked > maxChained:
		return 0, refuse(ValidationError, "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.")
	case asked > limit:
		return 0, refuse(ValidationError, "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	case asked == 0:
		return defaultRole, nil
	}
	return asked, nil
}

// inherit takes over what goes on through chaining: transitive tags, the source identity, and, from a
// user's session, that an MFA code was shown.
func (c *session) inherit(from *session, in AssumeRoleInput) error {
	c.SourceIdentity = in.SourceIdentity
	if from == nil {
		return nil
	}
	if from.SourceIdentity != "" {
		if in.SourceIdentity != "" && in.SourceIdentity != from.SourceIdentity {
			return refuse(AccessDenied, "The source identity of the calling session cannot be changed.")
		}
		c.SourceIdentity = from.SourceIdentity
	}
	if from.Type == userSession {
		c.MFA = from.MFA
	}
	for _, t := range from.Tags {
		key := strings.ToLower(t.Key)
		if !slices.Contains(from.Transitive, key) {
			continue
		}
		if hasTag(in.Tags, key) {
			return refuse(InvalidParameterValue, "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.")
		}
		c.Tags = append(c.Tags, t)
		c.Transitive = append(c.Transitive, key)
	}
	return nil
}

func (s *Store) newSession(t sessionType, account, owner, name string, seconds int) *session {
	now := s.moment()
	return &session{
		Format: tokenVersion, Key: newID("ASIA", 16), Secret: newSecret(), Type: t, Account: account, Owner: owner, Name: name,
		Issued: now, Expires: now.Add(time.Duration(seconds) * time.Second),
	}
}

// issue narrows a session and makes its credentials.
func (s *Store) issue(ctx context.Context, state *State, c *session, n Narrowing) (*SessionCredentials, error) {
	c.Policy = n.Policy
	c.Tags = append(c.Tags, n.Tags...)
	for _, key := range n.TransitiveTagKeys {
		c.Transitive = append(c.Transitive, strings.ToLower(key))
	}
	if len(c.Tags) > maxTags {
		return nil, refuse(InvalidParameterValue, "The number of session tags exceeds the limit of %d.", maxTags)
	}
	for _, arn := range n.PolicyARNs {
		p, err := state.attachable(c.Account, arn)
		if err != nil {
			return nil, refuse(MalformedPolicyDocument, "Policy %s does not exist or is not attachable.", arn)
		}
		c.Policies = append(c.Policies, p.ID)
	}
	size, err := c.packedSize()
	if err != nil {
		return nil, err
	}
	token, err := s.sealToken(ctx, state, c)
	if err != nil {
		return nil, err
	}
	out := &SessionCredentials{
		AccessKeyID: c.Key, SecretAccessKey: c.Secret, SessionToken: token, Expiration: c.Expires,
		PackedPolicySize: size, SourceIdentity: c.SourceIdentity,
	}
	base, err := state.sessionBase(c)
	if err != nil {
		return nil, err
	}
	p := c.principal(base.subject.Principal)
	out.ID, out.ARN = p.UserID, p.ARN
	return out, nil
}

// packedSize measures what the session was given, in percent of what there is room for.
func (c *session) packedSize() (int, error) {
	if !c.narrowed() && len(c.Tags) == 0 {
		return 0, nil
	}
	var text strings.Builder
	text.WriteString(c.Policy)
	for _, id := range c.Policies {
		text.WriteString(id)
	}
	for _, t := range c.Tags {
		text.WriteString(t.Key + "\x00" + t.Value + "\x00")
	}
	packed, err := pack([]byte(text.String()))
	if err != nil {
		return 0, err
	}
	percent := (len(packed)*100 + maxPackedSession - 1) / maxPackedSession
	if percent > 100 {
		return 0, refuse(PackedPolicyTooLarge, "Packed policy consumes %d%% of allotted space, please use smaller policy.", percent)
	}
	return percent, nil
}
