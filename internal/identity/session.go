package identity

import (
	"context"
	"crypto/subtle"
	"hash/maphash"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/policy"
)

// sessionType is what a session stands for.
type sessionType string

const (
	roleSession      sessionType = "role"      // AssumeRole and its like
	userSession      sessionType = "user"      // GetSessionToken, of a user or of root
	federatedSession sessionType = "federated" // GetFederationToken
)

// session is what a token says. All permissions are those of now, at every use: the token names
// whom it stands for and what narrows it, nothing else.
type session struct {
	Format   int
	Key      string // access key id
	Secret   string
	Type     sessionType
	Account  string
	Owner    string // unique id of the role or user; the account id for root
	Name     string `json:",omitempty"` // role session name, federated name
	Issued   time.Time
	Expires  time.Time
	Policy   string   `json:",omitempty"`
	Policies []string `json:",omitempty"` // unique ids of managed policies
	Tags     []Tag    `json:",omitempty"`
	// Transitive are the keys, in lower case, of tags that go on through chaining.
	Transitive     []string          `json:",omitempty"`
	SourceIdentity string            `json:",omitempty"`
	MFA            time.Time         `json:",omitzero"` // when a code was shown
	Provider       string            `json:",omitempty"`
	Claims         map[string]string `json:",omitempty"` // condition keys of a web identity
}

// narrowed tells whether session policies were given.
func (c *session) narrowed() bool { return c.Policy != "" || len(c.Policies) > 0 }

// openSession is a session in use: the token that proved it, and what was made of it.
type openSession struct {
	*session
	token  string
	policy *compiled // the inline session policy, nil for none
	built  atomic.Pointer[builtCredential]
}

// sessionShards and sessionsPerShard bound the sessions that are kept open. One that is pushed out
// is opened again from its token.
const (
	sessionShards    = 16
	sessionsPerShard = 512
)

// sessionCache keeps open sessions by access key id.
type sessionCache struct {
	seed   maphash.Seed
	shards [sessionShards]struct {
		mu   sync.RWMutex
		open map[string]*openSession
	}
}

func newSessionCache() *sessionCache { return &sessionCache{seed: maphash.MakeSeed()} }

func (c *sessionCache) get(key string) *openSession {
	shard := &c.shards[maphash.String(c.seed, key)%sessionShards]
	shard.mu.RLock()
	defer shard.mu.RUnlock()
	return shard.open[key]
}

func (c *sessionCache) put(o *openSession) {
	shard := &c.shards[maphash.String(c.seed, o.Key)%sessionShards]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if shard.open == nil {
		shard.open = map[string]*openSession{}
	}
	for key := range shard.open { // any one: the map's order is random
		if len(shard.open) < sessionsPerShard {
			break
		}
		delete(shard.open, key)
	}
	shard.open[o.Key] = o
}

// lookupSession answers Lookup for a temporary key.
func (s *Store) lookupSession(ctx context.Context, state *State, accessKeyID, token string) (*authn.Credential, error) {
	o := s.sessions.get(accessKeyID)
	if o == nil || subtle.ConstantTimeCompare([]byte(o.token), []byte(token)) != 1 {
		c, err := s.openToken(ctx, state, token)
		if err != nil || c.Key != accessKeyID {
			return nil, &fault.Error{Kind: authn.BadToken, Cause: err, Fields: []fault.Field{{Name: "Token-0", Value: token}}}
		}
		o = &openSession{session: c, token: token}
		if c.Policy != "" {
			o.policy = (*compiled)(nil).keep("", c.Policy, policy.Session)
		}
	}
	if !s.now().Before(o.Expires) {
		return nil, fault.New(authn.ExpiredToken, "", "Token-0", token)
	}
	if b := o.built.Load(); b != nil && b.serial.Load() == state.serial {
		return &b.Credential, nil
	}
	return s.buildSession(state, o)
}

func (s *Store) buildSession(state *State, o *openSession) (*authn.Credential, error) {
	base, err := state.sessionBase(o.session)
	if err != nil {
		return nil, err
	}
	if old := o.built.Load(); old != nil && old.subject == base {
		old.serial.Store(state.serial)
		return &old.Credential, nil
	}
	b := &builtCredential{subject: base}
	b.AccessKeyID, b.Secret, b.SessionToken, b.Expires, b.Active = o.Key, o.Secret, o.token, o.Expires, true
	if b.Subject, err = s.sessionSubject(state, o, base); err != nil {
		return nil, err
	}
	b.serial.Store(state.serial)
	o.built.Store(b)
	s.sessions.put(o)
	return &b.Credential, nil
}

// sessionBase is the subject of the role, user or root that the session stands for. When that is gone,
// so is the session.
func (s *State) sessionBase(c *session) (*builtSubject, error) {
	a, ok := s.account(c.Account)
	gone := fault.New(authn.UnknownKey, "", "AWSAccessKeyId", c.Key)
	if !ok || !a.open() {
		return nil, gone
	}
	if c.Type == roleSession {
		if r, ok := byID[*role](s, KindRole, c.Owner); ok {
			return s.roleSubject(r)
		}
		return nil, gone
	}
	if c.Owner == c.Account {
		return s.rootSubject(a)
	}
	if u, ok := byID[*user](s, KindUser, c.Owner); ok {
		return s.userSubject(u)
	}
	return nil, gone
}

// sessionSubject is base as the session narrows and marks it.
func (s *Store) sessionSubject(state *State, o *openSession, base *builtSubject) (authz.Subject, error) {
	subject := base.subject
	subject.AccessKey = o.Key
	subject.Principal = o.principal(subject.Principal)
	var err error
	if subject.Policies, err = state.sessionInputs(o, subject.Policies); err != nil {
		return subject, err
	}
	keys := keySet{}
	for k, v := range base.subject.Keys.(keySet) {
		keys[k] = v
	}
	keys.tag(base.tags)
	keys.tag(o.Tags)
	o.mark(keys)
	subject.Keys = &sessionKeys{keySet: keys, session: o.session, now: s.now}
	return subject, nil
}

// principal is who a session of p is.
func (c *session) principal(p policy.Principal) policy.Principal {
	switch c.Type {
	case roleSession:
		_, _, _, role, _ := splitARN(p.IssuerARN)
		p.ARN = "arn:aws:sts::" + c.Account + ":assumed-role/" + role + "/" + c.Name
		p.UserID = p.UniqueID + ":" + c.Name
	case federatedSession:
		p = policy.Principal{
			Type: policy.FederatedUser, Account: c.Account, ARN: "arn:aws:sts::" + c.Account + ":federated-user/" + c.Name,
			UserID: c.Account + ":" + c.Name, UniqueID: p.UniqueID, IssuerARN: p.ARN, CanonicalID: p.CanonicalID,
		}
	}
	return p
}

// Sessions that STS itself narrows, whatever their policies say (STS API reference, GetSessionToken
// and GetFederationToken).
const (
	withMFA      = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":[` + sessionSTS + `],"Resource":"*"}]}`
	withoutMFA   = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":["iam:*",` + sessionSTS + `],"Resource":"*"}]}`
	federatedSTS = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":["iam:*","sts:AssumeRole",` + sessionSTS + `],"Resource":"*"}]}`
	sessionSTS   = `"sts:GetSessionToken","sts:GetFederationToken","sts:DecodeAuthorizationMessage","sts:GetAccessKeyInfo",` +
		`"sts:AssumeRoot","sts:AssumeRoleWithSAML","sts:AssumeRoleWithWebIdentity","sts:GetServiceBearerToken"`
)

// builtin compiles a document that this package wrote.
func builtin(text string) (*policy.Document, error) { return policy.ParseString(text, policy.Session) }

// sessionInputs adds the session's own documents to those of whom it stands for.
func (s *State) sessionInputs(o *openSession, in policy.Inputs) (policy.Inputs, error) {
	in.HasSession = o.narrowed() || o.Type == federatedSession
	own := map[sessionType]string{federatedSession: federatedSTS}[o.Type]
	if o.Type == userSession {
		own = withoutMFA
		if !o.MFA.IsZero() {
			own = withMFA
		}
	}
	if own != "" {
		doc, err := builtin(own)
		if err != nil {
			return in, err
		}
		in.Session = append(in.Session, doc)
	}
	if o.policy != nil {
		doc, err := o.policy.document()
		if err != nil {
			return in, err
		}
		in.Session = append(in.Session, doc)
	}
	for _, id := range o.Policies {
		p, ok := byID[*managed](s, KindPolicy, id)
		if !ok {
			continue // what is gone allows nothing, and HasSession stands
		}
		doc, err := p.session.document()
		if err != nil {
			return in, err
		}
		in.Session = append(in.Session, doc)
	}
	return in, nil
}

// mark adds the condition keys of temporary credentials.
func (c *session) mark(keys keySet) {
	keys["aws:tokenissuetime"] = policy.Values{One: c.Issued.UTC().Format(time.RFC3339)}
	keys["aws:multifactorauthpresent"] = policy.Values{One: strconv.FormatBool(!c.MFA.IsZero())}
	if c.SourceIdentity != "" {
		keys["aws:sourceidentity"] = policy.Values{One: c.SourceIdentity}
	}
	if c.Provider != "" {
		keys["aws:federatedprovider"] = policy.Values{One: c.Provider}
	}
	for key, value := range c.Claims {
		keys[strings.ToLower(key)] = policy.Values{One: value}
	}
}

// sessionKeys are the condition keys of a temporary credential.
type sessionKeys struct {
	keySet
	session *session
	now     func() time.Time
}

// Lookup implements authz.Keys.
func (k *sessionKeys) Lookup(key string) (policy.Values, bool) {
	if key == "aws:multifactorauthage" && !k.session.MFA.IsZero() {
		return policy.Values{One: strconv.FormatInt(int64(k.now().Sub(k.session.MFA).Seconds()), 10)}, true
	}
	return k.keySet.Lookup(key)
}

// sessionOf is the session that a subject comes from, nil for long-term credentials and for callers
// that this package did not make.
func sessionOf(subject *authz.Subject) *session {
	if k, ok := subject.Keys.(*sessionKeys); ok {
		return k.session
	}
	return nil
}
