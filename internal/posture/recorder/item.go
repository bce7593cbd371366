package recorder

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/feed"
	"github.com/kura-s3/kura/internal/posture"
)

// Item is a configuration item: a resource's configuration from one moment on.
type Item struct {
	Format                               int
	Account, Type, ID, Name, ARN, Region string
	Captured                             time.Time
	Status                               string // OK, ResourceDiscovered, ResourceDeleted
	State                                string // the moment, as a number
	Hash                                 string
	Created                              time.Time         `json:",omitzero"`
	Tags                                 map[string]string `json:",omitempty"`
	Configuration                        string            `json:",omitempty"` // JSON
	Supplementary                        map[string]string `json:",omitempty"` // JSON each
	Change                               *Change           `json:",omitempty"`
}

// Change says who made a change, and how.
type Change struct {
	Operation, Principal, AccessKey, SourceIP, UserAgent, RequestID string `json:",omitempty"`
}

// The statuses of items.
const (
	statusOK         = "OK"
	statusDiscovered = "ResourceDiscovered"
	statusDeleted    = "ResourceDeleted"
)

// record writes an item for a resource that changed, if the recorder records its type and its
// configuration is another one than before. e is nil for what was found, not told. Under judging.
func (s *Store) record(ctx context.Context, w *work, a *accountState, r *posture.Resource, e *feed.Entry) error {
	if !a.recorder.Group.records(r.Type) {
		return nil
	}
	at := ref{r.Type, r.ID}
	it := &Item{
		Format: format, Account: r.Account, Type: r.Type, ID: r.ID, Name: r.Name, ARN: r.ARN, Region: s.region,
		Captured: s.now().UTC(), Status: statusOK, Created: r.Created, Tags: r.Tags,
	}
	if posture.Global(r.Type) {
		it.Region = "global"
	}
	place := uint64(it.Captured.UnixNano())
	if e != nil {
		it.Captured, place = e.Time.UTC(), e.Seq
		it.Change = &Change{e.Operation, e.Actor.ARN, e.AccessKey, e.SourceIP, e.UserAgent, e.RequestID}
	}
	it.State = strconv.FormatUint(place, 10)
	if e != nil && e.Gone {
		it.Status = statusDeleted
	} else {
		if err := it.describe(r); err != nil {
			return err
		}
	}
	it.Hash = it.sum()
	last, err := s.lastHash(ctx, w, r.Account, at)
	switch {
	case err != nil:
		return err
	case last == it.Hash, last == "" && it.Status == statusDeleted:
		return nil
	case last == "" || last == deletedHash:
		it.Status = statusDiscovered
	}
	return s.keep(ctx, w, it, at, place)
}

// keep writes an item and tells of it.
func (s *Store) keep(ctx context.Context, w *work, it *Item, at ref, place uint64) error {
	raw, err := encode(it)
	if err != nil {
		return err
	}
	w.batch.Set(itemKey(it.Account, at, place), raw)
	w.hashes[string(itemsOf(it.Account, at))] = it.Hash
	if !s.hears(it.Account, itemChange, map[string]string{"detail.configurationItem.resourceType": it.Type, "detail.configurationItem.resourceId": it.ID}) {
		return nil
	}
	return s.tell(ctx, w, s.itemChange(it))
}

// deletedHash is what deleted resources have.
const deletedHash = "deleted"

// sum tells configurations apart.
func (it *Item) sum() string {
	if it.Status == statusDeleted {
		return deletedHash
	}
	h := sha256.New()
	enc := json.NewEncoder(h)
	_ = enc.Encode(it.Configuration) // a hash takes everything
	_ = enc.Encode(it.Supplementary)
	_ = enc.Encode(it.Tags)
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// lastHash is the hash of a resource's newest item, "" when there is none.
func (s *Store) lastHash(ctx context.Context, w *work, account string, at ref) (string, error) {
	of := string(itemsOf(account, at))
	if h, ok := w.hashes[of]; ok {
		return h, nil
	}
	if h, ok := s.hashes[of]; ok {
		return h, nil
	}
	it, err := s.newest(ctx, account, at)
	if err != nil || it == nil {
		return "", err
	}
	s.remember(of, it.Hash)
	return it.Hash, nil
}

func (s *Store) newest(ctx context.Context, account string, at ref) (*Item, error) {
	var found *Item
	err := s.scan(ctx, itemsOf(account, at), func(_, value []byte) (bool, error) {
		found = &Item{}
		return false, decode(value, found, &found.Format)
	})
	return found, err
}

// baseline records everything that there is, after a recorder was started.
func (s *Store) baseline(ctx context.Context, account string) error {
	s.mu.RLock()
	a := s.find(account)
	wanted := a.recording() && a.recorder.Baseline
	s.mu.RUnlock()
	if !wanted {
		return nil
	}
	for _, typ := range posture.Types {
		if err := s.discover(ctx, account, typ); err != nil {
			return err
		}
	}
	s.judging.Lock()
	defer s.judging.Unlock()
	a = s.accounts[account]
	if !a.recording() {
		return nil
	}
	w := s.begin()
	for _, r := range a.rules {
		if err := s.request(w, r, w.invoked); err != nil { // what changed while nobody recorded
			return err
		}
	}
	if err := s.commit(ctx, w); err != nil {
		return err
	}
	next := *a.recorder
	next.Baseline = false
	return s.putRecorder(ctx, &next)
}

func (s *Store) discover(ctx context.Context, account, typ string) error {
	ids, err := s.source.IDs(ctx, account, typ)
	if err != nil {
		return err
	}
	known, err := s.ids(ctx, account, typ)
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, id := range ids {
		there[id] = true
	}
	for _, id := range known {
		if !there[id] {
			ids = append(ids, id)
		}
	}
	for len(ids) > 0 {
		n := min(chunk, len(ids))
		if err := s.discoverChunk(ctx, account, typ, ids[:n]); err != nil {
			return err
		}
		ids = ids[n:]
	}
	return nil
}

func (s *Store) discoverChunk(ctx context.Context, account, typ string, ids []string) error {
	s.judging.Lock()
	defer s.judging.Unlock()
	a := s.accounts[account]
	if !a.recording() {
		return nil
	}
	w := s.begin()
	for _, id := range ids {
		r, err := s.source.Resource(ctx, account, typ, id)
		if err != nil {
			return err
		}
		if r == nil {
			if err := s.recordGone(ctx, w, account, ref{typ, id}); err != nil {
				return err
			}
			continue
		}
		if err := s.record(ctx, w, a, r, nil); err != nil {
			return err
		}
	}
	return s.commit(ctx, w)
}

// recordGone notes that a resource went while nobody recorded.
func (s *Store) recordGone(ctx context.Context, w *work, account string, at ref) error {
	last, err := s.newest(ctx, account, at)
	if err != nil || last == nil || last.Status == statusDeleted {
		return err
	}
	now := s.now().UTC()
	it := &Item{
		Format: format, Account: account, Type: at.typ, ID: at.id, Name: last.Name, ARN: last.ARN, Region: last.Region,
		Captured: now, Status: statusDeleted, State: strconv.FormatInt(now.UnixNano(), 10), Created: last.Created, Hash: deletedHash,
	}
	return s.keep(ctx, w, it, at, uint64(now.UnixNano()))
}

// ids are the ids of all resources of a type that have items, in order. It seeks past the items of each.
func (s *Store) ids(ctx context.Context, account, typ string) ([]string, error) {
	prefix := []byte(itemPrefix + account + "/" + typ + "/")
	it, err := s.meta.Scan(ctx, prefix, engine.PrefixEnd(prefix))
	if err != nil {
		return nil, err
	}
	defer it.Close()
	var ids []string
	for more := it.Next(); more; {
		rest := string(it.Key()[len(prefix):])
		id, _, _ := strings.Cut(rest, "\x00")
		ids = append(ids, id)
		more = it.SeekGE(append(append([]byte(nil), prefix...), id+"\x01"...))
	}
	return ids, it.Err()
}

// HistoryInput asks for a resource's items.
type HistoryInput struct {
	Type, ID       string
	Earlier, Later time.Time // zero: no bound
	Forward        bool      // oldest first
	Limit          int
	Token          string
}

// History gives the items of a resource. It needs config:GetResourceConfigHistory.
func (s *Store) History(ctx context.Context, g authz.Grant, account string, in HistoryInput) (items []*Item, token string, err error) {
	if err := g.Require("config:GetResourceConfigHistory", "*"); err != nil {
		return nil, "", err
	}
	if !in.Earlier.IsZero() && !in.Later.IsZero() && in.Earlier.After(in.Later) {
		return nil, "", fault.New(InvalidTimeRange, "The specified time range is not valid. The earlier time is not chronologically before the later time.")
	}
	from, err := placeOf(in.Token)
	if err != nil {
		return nil, "", err
	}
	at, known := ref{in.Type, in.ID}, false
	err = s.scan(ctx, itemsOf(account, at), func(key, value []byte) (bool, error) {
		known = true
		it := &Item{}
		if err := decode(value, it, &it.Format); err != nil {
			return false, err
		}
		place := ^binary.BigEndian.Uint64(key[len(key)-8:])
		switch {
		case !in.Later.IsZero() && it.Captured.After(in.Later), from != 0 && !in.Forward && place >= from, from != 0 && in.Forward && place <= from:
			return true, nil
		case !in.Earlier.IsZero() && it.Captured.Before(in.Earlier):
			return false, nil
		}
		items = append(items, it)
		if in.Forward && len(items) > in.Limit+1 {
			items = items[1:] // the oldest are wanted, and come last
		}
		return in.Forward || len(items) <= in.Limit, nil
	})
	if err != nil {
		return nil, "", err
	}
	if !known {
		return nil, "", fault.New(NotDiscovered, "Resource "+in.ID+" of resourceType:"+in.Type+" is unknown or has not been discovered")
	}
	if in.Forward {
		for i, j := 0, len(items)-1; i < j; i, j = i+1, j-1 {
			items[i], items[j] = items[j], items[i]
		}
	}
	if len(items) > in.Limit {
		items = items[:in.Limit]
		token = items[in.Limit-1].State
	}
	return items, token, nil
}

func placeOf(token string) (uint64, error) {
	if token == "" {
		return 0, nil
	}
	place, err := strconv.ParseUint(token, 10, 64)
	if err != nil || place == 0 {
		return 0, fault.New(InvalidToken, "The specified next token is not valid.")
	}
	return place, nil
}

// Discovered is a resource that has items.
type Discovered struct {
	Type, ID, Name string
	Deleted        time.Time // zero while it is there
}

// DiscoveredInput narrows ListDiscoveredResources.
type DiscoveredInput struct {
	Type    string
	IDs     []string
	Name    string
	Deleted bool
}

// ListDiscovered lists the resources of a type by id. It needs config:ListDiscoveredResources.
func (s *Store) ListDiscovered(ctx context.Context, g authz.Grant, account string, in DiscoveredInput) ([]Discovered, error) {
	if err := g.Require("config:ListDiscoveredResources", "*"); err != nil {
		return nil, err
	}
	return s.discovered(ctx, account, in)
}

func (s *Store) discovered(ctx context.Context, account string, in DiscoveredInput) ([]Discovered, error) {
	ids, err := s.ids(ctx, account, in.Type)
	if err != nil {
		return nil, err
	}
	var out []Discovered
	for _, id := range ids {
		if len(in.IDs) > 0 && !contains(in.IDs, id) {
			continue
		}
		it, err := s.newest(ctx, account, ref{in.Type, id})
		if err != nil {
			return nil, err
		}
		if it == nil || in.Name != "" && it.Name != in.Name {
			continue
		}
		d := Discovered{Type: in.Type, ID: id, Name: it.Name}
		if it.Status == statusDeleted {
			if !in.Deleted {
				continue
			}
			d.Deleted = it.Captured
		}
		out = append(out, d)
	}
	return out, nil
}

// Counts are the numbers of resources that are there, by type. It needs config:GetDiscoveredResourceCounts.
func (s *Store) Counts(ctx context.Context, g authz.Grant, account string, types []string) (map[string]int, error) {
	if err := g.Require("config:GetDiscoveredResourceCounts", "*"); err != nil {
		return nil, err
	}
	counts := map[string]int{}
	for _, typ := range posture.Types {
		if len(types) > 0 && !contains(types, typ) {
			continue
		}
		list, err := s.discovered(ctx, account, DiscoveredInput{Type: typ})
		if err != nil {
			return nil, err
		}
		if len(list) > 0 {
			counts[typ] = len(list)
		}
	}
	return counts, nil
}

// Latest gives the newest item of a resource; nil when it was never recorded or is gone. It needs
// config:BatchGetResourceConfig.
func (s *Store) Latest(ctx context.Context, g authz.Grant, account, typ, id string) (*Item, error) {
	if err := g.Require("config:BatchGetResourceConfig", "*"); err != nil {
		return nil, err
	}
	it, err := s.newest(ctx, account, ref{typ, id})
	if err != nil || it == nil || it.Status == statusDeleted {
		return nil, err
	}
	return it, nil
}
