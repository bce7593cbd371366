package event

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/event/queue"
	"github.com/kura-s3/kura/internal/fault"
)

// Failures of this package.
const (
	NotFound       fault.Kind = "event.ResourceNotFound"
	AlreadyExists  fault.Kind = "event.ResourceAlreadyExists"
	Invalid        fault.Kind = "event.Validation"
	LimitExceeded  fault.Kind = "event.LimitExceeded"
	IllegalStatus  fault.Kind = "event.IllegalStatus"
	PolicyTooLong  fault.Kind = "event.PolicyLengthExceeded"
	ConcurrentEdit fault.Kind = "event.ConcurrentModification"
)

func refuse(kind fault.Kind, format string, args ...any) error {
	return fault.New(kind, fmt.Sprintf(format, args...))
}

// Secrets seals what connections keep.
type Secrets interface {
	SealSecret(context, plain []byte) []byte
	OpenSecret(ctx context.Context, context, sealed []byte) ([]byte, error)
}

// Principals knows the users and roles that policies name.
type Principals interface {
	UniqueID(arn string) (id string, ok bool)
}

// Target is a kind of thing that a rule can send to, known by its ARNs.
type Target interface {
	// Check says what is wrong with a target for a rule of account, in AWS's words. It decides nothing
	// about permissions.
	Check(ctx context.Context, account string, t *RuleTarget) error
}

// Config of a Store.
type Config struct {
	// Meta keeps the records. Required.
	Meta engine.Meta
	// Queue takes the deliveries. Required.
	Queue *queue.Queue
	// Secrets seals the secrets of connections. Required.
	Secrets Secrets
	// Principals knows whom the policies of buses name. Required.
	Principals Principals
	// Region of this server. Required.
	Region string
	// Targets are the kinds of targets by the service, or the service and type, of their ARN: "sqs",
	// "lambda", "logs". API destinations and buses are known without.
	Targets map[string]Target
	// Endpoint says what is wrong with the URL of an API destination. Default: HTTPS only.
	Endpoint func(url string) error
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Log is required.
	Log *slog.Logger
}

// Store has buses, rules, connections, API destinations, archives and replays. Safe for concurrent use.
type Store struct {
	config Config
	meta   engine.Meta
	queue  *queue.Queue
	now    func() time.Time

	// changes is held by whoever changes records, from reading to publishing.
	changes sync.Mutex
	// mu guards the maps; the records in them are immutable.
	mu           sync.RWMutex
	buses        shelf[BusInfo]
	rules        shelf[Rule]
	connections  shelf[Connection]
	destinations shelf[Destination]
	archives     shelf[Archive]
	replays      shelf[Replay]
	index        atomic.Pointer[index]

	// schedules is told when a schedule may have changed, replaying when a replay may have work.
	schedules, replaying chan struct{}
	kept                 keptEvents
}

// Open loads what meta holds.
func Open(ctx context.Context, c Config) (*Store, error) {
	s := &Store{
		config: c, meta: c.Meta, queue: c.Queue, now: c.Now,
		buses: newShelf[BusInfo]("bus"), rules: newShelf[Rule]("rule"), connections: newShelf[Connection]("connection"),
		destinations: newShelf[Destination]("api-destination"), archives: newShelf[Archive]("archive"), replays: newShelf[Replay]("replay"),
		schedules: make(chan struct{}, 1), replaying: make(chan struct{}, 1),
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.config.Endpoint == nil {
		s.config.Endpoint = httpsOnly
	}
	for _, load := range []func(context.Context, engine.Meta) error{
		s.buses.load, s.rules.load, s.connections.load, s.destinations.load, s.archives.load, s.replays.load, s.countKept,
	} {
		if err := load(ctx, s.meta); err != nil {
			return nil, fmt.Errorf("event: %w", err)
		}
	}
	for _, b := range s.buses.items {
		if err := b.compile(); err != nil {
			return nil, fmt.Errorf("event: %s: %w", b.ARN, err)
		}
	}
	for _, r := range s.rules.items {
		if err := r.compile(); err != nil {
			return nil, fmt.Errorf("event: rule %s: %w", r.ARN, err)
		}
	}
	for _, a := range s.archives.items {
		if err := a.compile(); err != nil {
			return nil, fmt.Errorf("event: archive %s: %w", a.ARN, err)
		}
	}
	return s, nil
}

// shelf is the records of one kind, in memory and stored, by path: account/name, account/bus/name.
type shelf[T any] struct {
	kind  string
	items map[string]*T
}

func newShelf[T any](kind string) shelf[T] { return shelf[T]{kind, map[string]*T{}} }

const (
	recordPrefix = "ev/r/"
	recordFormat = 1
)

var errRecord = errors.New("a record does not decode")

func (f *shelf[T]) prefix() string { return recordPrefix + f.kind + "/" }

func (f *shelf[T]) load(ctx context.Context, meta engine.Meta) error {
	prefix := f.prefix()
	return engine.Each(ctx, meta, prefix, func(key, raw []byte, _ engine.Version) error {
		if len(raw) < 1 || raw[0] != recordFormat {
			return errRecord
		}
		item := new(T)
		if err := json.Unmarshal(raw[1:], item); err != nil {
			return fmt.Errorf("%w: %w", errRecord, err)
		}
		f.items[string(key[len(prefix):])] = item
		return nil
	})
}

// edit is a change of records that are written together and shown together.
type edit struct {
	batch   engine.Batch
	publish []func()
	err     error
}

// put makes item what path means; nil takes it away.
func put[T any](e *edit, f *shelf[T], path string, item *T) {
	key := []byte(f.prefix() + path)
	if item == nil {
		e.batch.Delete(key)
		e.publish = append(e.publish, func() { delete(f.items, path) })
		return
	}
	raw, err := json.Marshal(item)
	if err != nil {
		e.err = errors.Join(e.err, err)
		return
	}
	e.batch.Set(key, append([]byte{recordFormat}, raw...))
	e.publish = append(e.publish, func() { f.items[path] = item })
}

// commit stores and shows a change. Under changes.
func (s *Store) commit(ctx context.Context, e *edit) error {
	if e.err != nil {
		return e.err
	}
	if err := s.meta.Commit(context.WithoutCancel(ctx), &e.batch); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, show := range e.publish {
		show()
	}
	s.index.Store(nil)
	return nil
}

// get looks a record up.
func get[T any](s *Store, f *shelf[T], path string) (*T, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	item, ok := f.items[path]
	return item, ok
}

// Page is what a list operation asks for.
type Page struct {
	// Prefix of the names, Token of the page before, Limit of items (0: 100).
	Prefix, Token string
	Limit         int
}

// Listed is a page of a list and the token of the next one.
type Listed[T any] struct {
	Items []T
	Next  string
}

const maxPage = 100

// list gives the records below path that keep accepts, by name.
func list[T any](s *Store, f *shelf[T], path string, p Page, keep func(*T) bool) (Listed[*T], error) {
	after, err := base64.RawURLEncoding.DecodeString(p.Token)
	if err != nil {
		return Listed[*T]{}, refuse(Invalid, "Parameter NextToken is not valid.")
	}
	if p.Limit <= 0 || p.Limit > maxPage {
		p.Limit = maxPage
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	var names []string
	for name, item := range f.items {
		if strings.HasPrefix(name, path+p.Prefix) && name > string(after) && !strings.Contains(name[len(path):], "/") && (keep == nil || keep(item)) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var out Listed[*T]
	for _, name := range names {
		if len(out.Items) == p.Limit {
			out.Next = base64.RawURLEncoding.EncodeToString([]byte(names[p.Limit-1]))
			break
		}
		out.Items = append(out.Items, f.items[name])
	}
	return out, nil
}

// count is the number of records below path.
func count[T any](s *Store, f *shelf[T], path string) int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	n := 0
	for name := range f.items {
		if strings.HasPrefix(name, path) {
			n++
		}
	}
	return n
}

// arn of something of an account in this region.
func (s *Store) arn(account, resource string) string {
	return "arn:aws:events:" + s.config.Region + ":" + account + ":" + resource
}

// Tag is a key and a value.
type Tag struct{ Key, Value string }

const maxTags = 50

// mergeTags sets add and takes remove away.
func mergeTags(old map[string]string, add []Tag, remove []string) (map[string]string, error) {
	tags := maps.Clone(old)
	if tags == nil {
		tags = map[string]string{}
	}
	for _, t := range add {
		if strings.HasPrefix(strings.ToLower(t.Key), "aws:") {
			return nil, refuse(Invalid, "Tag keys that start with aws: are reserved.")
		}
		tags[t.Key] = t.Value
	}
	for _, key := range remove {
		delete(tags, key)
	}
	if len(tags) > maxTags {
		return nil, refuse(LimitExceeded, "The requested resource exceeds the maximum number allowed.")
	}
	return tags, nil
}

func sortedTags(tags map[string]string) []Tag {
	out := make([]Tag, 0, len(tags))
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, Tag{key, tags[key]})
	}
	return out
}

// notify tells a loop that there may be work.
func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// moment is now, in the precision of the API.
func (s *Store) moment() time.Time { return s.now().UTC().Truncate(time.Millisecond) }
