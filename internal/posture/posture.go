// Package posture is what is watched over: buckets, account settings, principals, keys and trails as
// their configuration stands, and what that configuration lets strangers do.
//
// The packages below it judge: rule holds the managed rules, recorder is AWS Config (history, rules,
// compliance), analyzer is IAM Access Analyzer. None of them stores what it judges: they read the
// change feed, whose entries carry the state that a change led to, and a Source for everything else.
//
// A Resource whose settings cannot be read is Broken: it is told as such and never as compliant.
package posture

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/feed"
	"github.com/kura-s3/kura/policy"
)

// Types of resources, in AWS Config's words.
const (
	TypeBucket  = "AWS::S3::Bucket"
	TypeBlock   = "AWS::S3::AccountPublicAccessBlock"
	TypeUser    = "AWS::IAM::User"
	TypeGroup   = "AWS::IAM::Group"
	TypeRole    = "AWS::IAM::Role"
	TypePolicy  = "AWS::IAM::Policy"
	TypeKey     = "AWS::KMS::Key"
	TypeTrail   = "AWS::CloudTrail::Trail"
	TypeAccount = "AWS::::Account" // rules about an account as a whole; never recorded

	// What has a policy and nothing else that is watched. The id is the ARN. Never recorded.
	TypeQueue    = "AWS::SQS::Queue"
	TypeTopic    = "AWS::SNS::Topic"
	TypeFunction = "AWS::Lambda::Function" // also a version or an alias that has a policy of its own
)

// Types lists those that are recorded.
var Types = []string{TypeTrail, TypeGroup, TypePolicy, TypeRole, TypeUser, TypeKey, TypeBlock, TypeBucket}

// Global tells whether resources of the type belong to no region.
func Global(typ string) bool {
	return typ == TypeUser || typ == TypeGroup || typ == TypeRole || typ == TypePolicy
}

// services that have resources of the types with a policy alone, by what their ARNs call them.
var services = map[string]string{"sqs": TypeQueue, "sns": TypeTopic, "lambda": TypeFunction}

// Policied is the resource that an entry of the kind feed.Policy is about, without its policy; nil for one of no known
// type.
func Policied(e *feed.Entry) *Resource {
	parts := strings.SplitN(e.Resource, ":", 4)
	if len(parts) < 4 || services[parts[2]] == "" {
		return nil
	}
	return &Resource{Type: services[parts[2]], ID: e.Resource, ARN: e.Resource, Account: e.Account}
}

// Resource is one thing that has a configuration. Of the members after Tags at most one is set.
type Resource struct {
	Type, ID, Name, ARN, Account string
	Created                      time.Time
	Tags                         map[string]string

	Bucket *Bucket
	Block  *Block
	Entity *Entity
	Key    *Key
	Trail  *Trail
	// Policy is all that is known of what has no other form here: queues, topics, functions, and roles and keys in the
	// making.
	Policy *Policy
	// Broken says that the configuration cannot be read, and why.
	Broken error
}

// Block is what is configured of Block Public Access for an account.
type Block struct {
	policy.PublicAccessBlock
	Set bool // ever, and not deleted since
}

// Trail is a trail of CloudTrail.
type Trail struct {
	Name, ARN, Bucket, Prefix, KMSKey string
	Logging, Validated, MultiRegion   bool
	Global                            bool
	Created                           time.Time
	// DataEvents are the ARNs of S3 objects whose data events are logged; "arn:aws:s3" for all.
	DataEvents []string
	Tags       map[string]string
}

// Source is where resources are.
type Source interface {
	// Accounts are the ids of all accounts.
	Accounts() []string
	// Has tells whether there can be resources of the type at all.
	Has(typ string) bool
	// IDs are the ids of an account's resources of a type, in no order.
	IDs(ctx context.Context, account, typ string) ([]string, error)
	// Resource finds one; nil when there is none.
	Resource(ctx context.Context, account, typ, id string) (*Resource, error)
	// Block is the account's setting of Block Public Access.
	Block(account string) Block
	// Root is the account's root user.
	Root(account string) *Entity
	// LastUse tells when the access key or the password of the user with that id was last used.
	LastUse(ctx context.Context, id string) (time.Time, error)
	// Zone is whom the account trusts: itself, or with organization all accounts. Of the unique and
	// canonical ids that a document names it has those that belong inside.
	Zone(account string, organization bool, uniqueIDs, canonicalIDs []string) policy.Zone
}

// Event is what is told to the event bus, in EventBridge's terms.
type Event struct {
	Source, DetailType string
	Account, Region    string
	Time               time.Time
	Resources          []string
	Detail             any // encoded as JSON
}

// Publisher takes events. What it writes, it writes with b, so that an event goes out if and only if
// what it tells of was stored; committed is called once it was.
type Publisher func(ctx context.Context, b *engine.Batch, e Event) (committed func(), err error)

// errUnknown is a setting of a form that this package does not know.
var errUnknown = errors.New("posture: not a setting of a known form")

// From gives the resource that an entry of the change feed is about, as it is after the change, or as
// it was when it is gone. Nil: the entry is about nothing that is watched. All who ask share one: nobody may
// change it.
func From(e *feed.Entry) (*Resource, error) {
	type answer struct {
		resource *Resource
		err      error
	}
	a := e.Memo(func() any {
		r, err := read(e)
		return answer{r, err}
	}).(answer)
	return a.resource, a.err
}

func read(e *feed.Entry) (*Resource, error) {
	raw := e.After
	if e.Gone || raw == nil {
		raw = e.Before
	}
	if raw == nil {
		return nil, nil
	}
	switch e.Kind {
	case feed.Bucket:
		return BucketFrom(raw)
	case feed.Account:
		return BlockFrom(e.Account, raw)
	case feed.Identity:
		return EntityFrom(raw)
	case feed.Key:
		return KeyFrom(raw)
	}
	return nil, nil
}

// BlockFrom reads an account's settings as package object stores them.
func BlockFrom(account string, raw []byte) (*Resource, error) {
	var stored struct{ Settings map[string][]byte }
	if err := json.Unmarshal(raw, &stored); err != nil {
		return nil, fmt.Errorf("posture: account %s: %w", account, err)
	}
	r := &Resource{Type: TypeBlock, ID: account, Account: account, Block: &Block{}}
	if setting := stored.Settings[settingBlock]; setting != nil {
		r.Block.Set = true
		if err := strictly(setting, &r.Block.PublicAccessBlock); err != nil {
			r.Broken = err
		}
	}
	return r, nil
}

func strictly(raw []byte, to any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	return d.Decode(to)
}
