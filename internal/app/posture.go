package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/api/accessanalyzer"
	"github.com/kura-s3/kura/internal/api/configservice"
	"github.com/kura-s3/kura/internal/api/restjson"
	"github.com/kura-s3/kura/internal/api/rpc"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/event"
	"github.com/kura-s3/kura/internal/identity"
	"github.com/kura-s3/kura/internal/kms"
	"github.com/kura-s3/kura/internal/object"
	"github.com/kura-s3/kura/internal/posture"
	"github.com/kura-s3/kura/internal/posture/analyzer"
	"github.com/kura-s3/kura/internal/posture/recorder"
	"github.com/kura-s3/kura/policy"
)

// openPosture opens what watches over configurations: AWS Config and Access Analyzer. It comes after the
// event bus, which hears of what they find.
func (s *server) openPosture(ctx context.Context) error {
	grant, err := s.guard.System(ctx, "posture",
		authz.Demand{Action: "kms:ListKeys", Resource: authz.Resource{ARN: "*"}},
		authz.Demand{Action: "kms:ListGrants", Resource: authz.Resource{ARN: "*"}},
		authz.Demand{Action: "sqs:ListQueues", Resource: authz.Resource{ARN: "*"}},
		authz.Demand{Action: "sns:ListTopics", Resource: authz.Resource{ARN: "*"}},
		authz.Demand{Action: "lambda:ListFunctions", Resource: authz.Resource{ARN: "*"}})
	if err != nil {
		return err
	}
	s.watched = &watched{s, grant}
	s.recorder, err = recorder.Open(ctx, recorder.Config{
		Meta: s.engines.Meta, Source: s.watched, Region: s.config.Region, Publish: s.publishPosture, Heard: s.configHeard, Deliver: configDelivery{s}, CheckTopic: s.configMayPublish, Log: s.log,
	})
	if err != nil {
		return err
	}
	s.analyzer, err = analyzer.Open(ctx, analyzer.Config{
		Meta: s.engines.Meta, Source: s.watched, Region: s.config.Region, Organization: s.identities.ManagingAccount, NameOf: s.identities.ARNOf,
		Publish: s.publishPosture, Log: s.log,
	})
	if err != nil {
		return err
	}
	return s.openGeneration()
}

// startPosture begins to judge, once requests on behalf of others can be made.
func (s *server) startPosture(context.Context) error {
	s.background(func(ctx context.Context) { s.recorder.Consume(ctx, s.feed) })
	s.background(s.recorder.Work)
	s.background(func(ctx context.Context) { s.analyzer.Consume(ctx, s.feed) })
	s.background(s.analyzer.Work)
	s.background(s.generation.Work)
	return nil
}

// configService is the edge of AWS Config.
func (s *server) configService() *rpc.Service {
	return configservice.New(configservice.Config{Recorder: s.recorder, PassRole: passRole, Authn: s.authn, Log: s.log})
}

// accessAnalyzer is the edge of Access Analyzer.
func (s *server) accessAnalyzer() *restjson.Service {
	return accessanalyzer.New(accessanalyzer.Config{Analyzer: s.analyzer, Generation: s.generation, PassRole: passRole, Authn: s.authn, Log: s.log})
}

// passRole is the demand that handing a role to a service makes.
func passRole(role, service string) authz.Demand {
	account := ""
	if parts := strings.Split(role, ":"); len(parts) > 4 {
		account = parts[4]
	}
	return authz.Demand{Action: "iam:PassRole", Resource: authz.Resource{ARN: role, Account: account}, Keys: oneKey{"iam:passedtoservice", service}}
}

// oneKey is one condition key.
type oneKey struct{ name, value string }

// Lookup implements authz.Keys.
func (k oneKey) Lookup(key string) (policy.Values, bool) {
	return policy.Values{One: k.value}, key == k.name
}

// publishPosture puts an event on the default bus of its account.
func (s *server) publishPosture(ctx context.Context, b *engine.Batch, e posture.Event) (func(), error) {
	detail, err := json.Marshal(e.Detail)
	if err != nil {
		return nil, err
	}
	published, err := s.bus.Publish(ctx, b, event.Event{
		Source: e.Source, DetailType: e.DetailType, Account: e.Account, Region: e.Region, Time: e.Time, Resources: e.Resources, Detail: detail,
	})
	if err != nil || e.Source != configSource {
		return published, err
	}
	told, err := s.tellTopic(b, e.Account, detail)
	return func() { published(); told() }, err
}

// watched is where the resources are that are watched over.
type watched struct {
	s *server
	// grant is for what asks for one: the lists of keys and their grants, of queues, topics and functions.
	grant authz.Grant
}

// Accounts implements posture.Source.
func (w *watched) Accounts() []string { return w.s.identities.Accounts() }

// Has implements posture.Source.
func (w *watched) Has(typ string) bool { return slices.Contains(posture.Types, typ) }

// IDs implements posture.Source.
func (w *watched) IDs(ctx context.Context, account, typ string) ([]string, error) {
	var ids []string
	switch {
	case typ == posture.TypeBucket:
		grant, err := w.s.guard.System(ctx, "posture", authz.Demand{Action: "s3:ListAllMyBuckets", Resource: authz.Resource{ARN: "*"}})
		if err != nil {
			return nil, err
		}
		buckets, err := w.s.objects.ListBuckets(ctx, grant, account)
		for _, b := range buckets {
			ids = append(ids, b.Name)
		}
		return ids, err
	case typ == posture.TypeBlock:
		return []string{account}, nil
	case typ == posture.TypeKey:
		keys, err := w.s.kms.Keys(w.grant, account)
		for _, k := range keys {
			ids = append(ids, k.ID)
		}
		return ids, err
	case typ == posture.TypeTrail:
		for _, t := range w.s.trails.Of(account) {
			ids = append(ids, t.ARN())
		}
	case policied[typ].arns != nil:
		return policied[typ].arns(w, account)
	case posture.EntityKinds[typ] != "":
		for e := range w.s.identities.Entities(account, identity.Kind(posture.EntityKinds[typ])) {
			ids = append(ids, e.ID)
		}
	}
	return ids, nil
}

// resourceOf is a bucket as it is judged.
func resourceOf(b *object.Bucket) (*posture.Resource, error) {
	raw, err := json.Marshal(b)
	if err != nil {
		return nil, err
	}
	return posture.BucketFrom(raw)
}

// Resource implements posture.Source.
func (w *watched) Resource(_ context.Context, account, typ, id string) (*posture.Resource, error) {
	switch {
	case typ == posture.TypeBucket:
		b, err := w.s.objects.Bucket(id)
		if err != nil || b.Owner.Account != account {
			return nil, nil
		}
		return resourceOf(b)
	case typ == posture.TypeBlock:
		raw, err := json.Marshal(w.s.objects.Account(account))
		if err != nil {
			return nil, err
		}
		return posture.BlockFrom(account, raw)
	case typ == posture.TypeKey:
		return w.key(account, id)
	case typ == posture.TypeTrail:
		return w.trail(account, id), nil
	case policied[typ].find != nil:
		if r := policied[typ].find(w, id); r != nil && r.Account == account {
			return r, nil
		}
	case posture.EntityKinds[typ] != "":
		e, ok := w.s.identities.Entity(identity.Kind(posture.EntityKinds[typ]), id)
		if !ok || e.Account != account {
			return nil, nil
		}
		return entityResource(e)
	}
	return nil, nil
}

func (w *watched) trail(account, arn string) *posture.Resource {
	t, err := w.s.trails.Find(arn)
	if err != nil || t.Account != account {
		return nil
	}
	shown := &posture.Trail{
		Name: t.Name, ARN: arn, Bucket: t.Bucket, Prefix: t.Prefix, KMSKey: t.KMSKey, Logging: t.Logging, Validated: t.Validation,
		MultiRegion: t.MultiRegion, Global: t.GlobalEvents, Created: t.Created,
	}
	for _, selector := range t.Selectors {
		for _, data := range selector.Data {
			shown.DataEvents = append(shown.DataEvents, data.Values...)
		}
	}
	return &posture.Resource{Type: posture.TypeTrail, ID: arn, Name: t.Name, ARN: arn, Account: account, Created: t.Created, Trail: shown}
}

func entityResource(e *identity.Entity) (*posture.Resource, error) {
	raw, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	return posture.EntityFrom(raw)
}

func (w *watched) key(account, id string) (*posture.Resource, error) {
	k, err := w.s.kms.Find(id, account, w.s.config.Region)
	if err != nil {
		return nil, nil
	}
	grants, err := w.s.kms.ListGrants(w.grant, k, "", "")
	if err != nil {
		return nil, err
	}
	shown := &posture.Key{
		ID: k.ID, ARN: k.ARN, Account: k.Account, Manager: string(k.Manager), State: string(k.State), Spec: string(k.Spec), Origin: string(k.Origin),
		Usage: string(k.Usage), Rotation: k.Rotation.Enabled, Description: k.Description, Created: k.Created, Policy: k.Policy.Source(),
	}
	for _, t := range k.Tags {
		shown.Tags = append(shown.Tags, posture.Tag(t))
	}
	for _, g := range grants {
		shown.Grants = append(shown.Grants, grantOf(g))
	}
	return shown.Resource(), nil
}

func grantOf(g *kms.Grant) posture.KeyGrant {
	grantee := g.GranteeID
	if grantee == "" {
		grantee = g.Grantee
	}
	return posture.KeyGrant{ID: g.ID, Grantee: grantee, Operations: g.Operations}
}

// Block implements posture.Source.
func (w *watched) Block(account string) posture.Block {
	r, err := w.Resource(context.Background(), account, posture.TypeBlock, account)
	if err != nil || r.Broken != nil {
		// As S3 does with a setting that does not decode: everything is blocked.
		return posture.Block{Set: true, PublicAccessBlock: policy.PublicAccessBlock{BlockPublicACLs: true, IgnorePublicACLs: true, BlockPublicPolicy: true, RestrictPublicBuckets: true}}
	}
	return *r.Block
}

// Root implements posture.Source.
func (w *watched) Root(account string) *posture.Entity {
	e, ok := w.s.identities.Entity(identity.KindRoot, account)
	if !ok {
		return nil
	}
	raw, err := json.Marshal(e)
	if err != nil {
		return nil
	}
	root := &posture.Entity{}
	if json.Unmarshal(raw, root) != nil {
		return nil
	}
	return root
}

// LastUse implements posture.Source.
func (w *watched) LastUse(ctx context.Context, id string) (time.Time, error) {
	return w.s.identities.LastUse(ctx, id)
}

// Zone implements posture.Source. Kura's accounts are one organization. Ids of entities that are gone
// belong inside: nobody can come with them any more.
func (w *watched) Zone(account string, organization bool, uniqueIDs, canonicalIDs []string) policy.Zone {
	zone := policy.Zone{Accounts: []string{account}}
	inside := map[string]bool{account: true}
	if organization {
		for _, id := range w.s.identities.Accounts() {
			if !inside[id] {
				zone.Accounts = append(zone.Accounts, id)
				inside[id] = true
			}
		}
	}
	for _, id := range uniqueIDs {
		arn, ok := w.s.identities.ARNOf(id)
		parts := strings.Split(arn, ":")
		if !ok || len(parts) > 4 && inside[parts[4]] {
			zone.UniqueIDs = append(zone.UniqueIDs, id)
		}
	}
	for _, id := range canonicalIDs {
		a, ok := w.s.identities.AccountByCanonicalID(id)
		if !ok || inside[a.ID] {
			zone.CanonicalIDs = append(zone.CanonicalIDs, id)
		}
	}
	return zone
}

// configDelivery writes AWS Config's files: in the name of the service where the bucket lets it, else as
// the recorder's role where that trusts the service.
type configDelivery struct{ s *server }

const configPrincipal = "config.amazonaws.com"

// Exists implements recorder.Delivery.
func (d configDelivery) Exists(bucket string) bool {
	_, err := d.s.objects.Bucket(bucket)
	return err == nil
}

// Put implements recorder.Delivery.
func (d configDelivery) Put(ctx context.Context, c *recorder.Channel, role, key string, body []byte) error {
	because := d.s.configCause(c.Account)
	refused := d.put(ctx, servicePrincipal(configPrincipal, because), c, key, body)
	if refused == nil || role == "" {
		return refused
	}
	as, err := d.s.as(ctx, configPrincipal, role, "AWSConfig-BucketConfigCheck", because)
	if err != nil {
		return errors.Join(refused, err)
	}
	return d.put(ctx, as, c, key, body)
}

func (d configDelivery) put(ctx context.Context, as *authz.Subject, c *recorder.Channel, key string, body []byte) error {
	u := url.URL{Scheme: "https", Host: "s3.inside", Path: "/" + c.Bucket + "/" + key}
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, u.String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("X-Amz-Acl", "bucket-owner-full-control")
	if c.KMSKey != "" {
		r.Header.Set("X-Amz-Server-Side-Encryption", "aws:kms")
		r.Header.Set("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id", c.KMSKey)
	}
	status, text, err := d.s.ask(ctx, as, configPrincipal, r)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("s3 answered %d: %s", status, text)
	}
	return err
}
