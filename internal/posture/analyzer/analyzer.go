// Package analyzer is IAM Access Analyzer: it tells which principals outside an account, or outside all
// accounts, can do what with buckets, roles, keys, queues, topics and functions, each finding with a request as proof.
//
// What it promises: a resource is analyzed anew with every change that may matter, and what the analysis
// made is written in the commit that moves the change feed's cursor on. A finding is one external
// principal, one set of actions and one set of conditions on one resource; it keeps its id while these
// stand, is resolved when they go, and is active again when they come back.
//
// Every method that answers a request takes a Grant.
package analyzer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/feed"
	"github.com/kura-s3/kura/internal/posture"
	"github.com/kura-s3/kura/policy"
)

// Failures, in AWS's words.
const (
	NotFound      fault.Kind = "analyzer.ResourceNotFoundException"
	Conflict      fault.Kind = "analyzer.ConflictException"
	Invalid       fault.Kind = "analyzer.ValidationException"
	QuotaExceeded fault.Kind = "analyzer.ServiceQuotaExceededException"
	Unprocessable fault.Kind = "analyzer.UnprocessableEntityException"
	BadParameter  fault.Kind = "analyzer.InvalidParameterException"
)

// Config of a Store.
type Config struct {
	// Meta keeps the records. Required. The Store owns the keys that begin with "posture/a/".
	Meta engine.Meta
	// Source has the resources. Required.
	Source posture.Source
	// Region that ARNs carry. Required.
	Region string
	// Organization is the account whose analyzers may cover all accounts. Optional.
	Organization func() string
	// NameOf tells the ARN behind a unique id that a policy names. Required.
	NameOf func(uniqueID string) (arn string, ok bool)
	// Publish takes the events. Nil: nobody hears of anything.
	Publish posture.Publisher
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Log is required.
	Log *slog.Logger
}

// Store is Access Analyzer for all accounts. Safe for concurrent use.
type Store struct {
	config Config
	now    func() time.Time

	// working is held by whoever analyzes or changes analyzers. It is taken before mu.
	working sync.Mutex
	mu      sync.RWMutex
	// accounts holds analyzers by account and name; changed under mu, after the commit of the change.
	accounts map[string]map[string]*Analyzer
	wake     chan struct{}
}

// Types of analyzers.
const (
	TypeAccount      = "ACCOUNT"
	TypeOrganization = "ORGANIZATION"
)

// Analyzer is an analyzer with its archive rules.
type Analyzer struct {
	Format             int
	Account, Name, ARN string
	Type               string
	Created            time.Time
	Tags               map[string]string
	Rules              map[string]ArchiveRule
	// Scan asks for an analysis of everything. Scanned are the types of resources that the last one looked at: a Kura
	// that knows more of them begins with another.
	Scan    bool
	Scanned []string `json:",omitempty"`
	// Last is the resource that was analyzed last.
	Last   string
	LastAt time.Time

	// scanning: a scan is under way, which a crash would leave undone.
	scanning bool
	findings map[string]*Finding            // by id
	tuples   map[string]map[string]*Finding // by resource ARN and what tells findings apart
}

// ArchiveRule archives new findings that meet all its criteria.
type ArchiveRule struct {
	Name             string
	Filter           Filter
	Created, Updated time.Time
}

// The statuses of findings.
const (
	Active   = "ACTIVE"
	Archived = "ARCHIVED"
	Resolved = "RESOLVED"
)

// Finding is access from outside.
type Finding struct {
	Format                     int
	ID, Status                 string
	Resource, ResourceType     string
	Owner                      string
	Principal                  map[string]string
	Actions                    []string
	Condition                  map[string]string `json:",omitempty"`
	Public                     bool
	ACL                        bool // the access control list gives it
	Proven                     bool
	Witness                    *policy.Witness `json:",omitempty"`
	Created, Analyzed, Updated time.Time
}

const format = 1

// Keys of the records (docs/formats.md, "Access Analyzer").
const (
	analyzerPrefix = "posture/a/analyzer/" // account "/" name
	findingPrefix  = "posture/a/finding/"  // account "/" name "/" id
)

func (a *Analyzer) key() []byte { return []byte(analyzerPrefix + a.Account + "/" + a.Name) }
func (a *Analyzer) findingKey(id string) []byte {
	return []byte(findingPrefix + a.Account + "/" + a.Name + "/" + id)
}

// Open reads everything.
func Open(ctx context.Context, c Config) (*Store, error) {
	if c.Meta == nil || c.Source == nil || c.Region == "" || c.NameOf == nil || c.Log == nil {
		return nil, errors.New("analyzer: Config needs Meta, Source, Region, NameOf and Log")
	}
	s := &Store{config: c, now: c.Now, accounts: map[string]map[string]*Analyzer{}, wake: make(chan struct{}, 1)}
	if s.now == nil {
		s.now = time.Now
	}
	if err := s.load(ctx); err != nil {
		return nil, fmt.Errorf("analyzer: %w", err)
	}
	return s, nil
}

func (s *Store) load(ctx context.Context) error {
	if err := engine.Each(ctx, s.config.Meta, analyzerPrefix, func(_, raw []byte, _ engine.Version) error {
		a := &Analyzer{findings: map[string]*Finding{}, tuples: map[string]map[string]*Finding{}}
		if err := decode(raw, a, &a.Format); err != nil {
			return err
		}
		a.Scan = a.Scan || !slices.Equal(a.Scanned, Analyzed)
		s.put(a)
		return nil
	}); err != nil {
		return err
	}
	return engine.Each(ctx, s.config.Meta, findingPrefix, func(key, raw []byte, _ engine.Version) error {
		parts := strings.SplitN(string(key[len(findingPrefix):]), "/", 3)
		if len(parts) != 3 || s.accounts[parts[0]][parts[1]] == nil {
			return nil // of an analyzer that was deleted meanwhile
		}
		f := &Finding{}
		if err := decode(raw, f, &f.Format); err != nil {
			return err
		}
		s.accounts[parts[0]][parts[1]].show(f)
		return nil
	})
}

func decode(raw []byte, to any, got *int) error {
	if err := json.Unmarshal(raw, to); err != nil {
		return err
	}
	if *got != format {
		return fmt.Errorf("a record has format %d; this Kura knows %d", *got, format)
	}
	return nil
}

func (s *Store) put(a *Analyzer) {
	if s.accounts[a.Account] == nil {
		s.accounts[a.Account] = map[string]*Analyzer{}
	}
	s.accounts[a.Account][a.Name] = a
}

// show makes f the finding of its id.
func (a *Analyzer) show(f *Finding) {
	a.findings[f.ID] = f
	if a.tuples[f.Resource] == nil {
		a.tuples[f.Resource] = map[string]*Finding{}
	}
	a.tuples[f.Resource][f.tuple()] = f
}

// hide takes a finding away.
func (a *Analyzer) hide(f *Finding) {
	delete(a.findings, f.ID)
	delete(a.tuples[f.Resource], f.tuple())
	if len(a.tuples[f.Resource]) == 0 {
		delete(a.tuples, f.Resource)
	}
}

// work is what one commit writes.
type work struct {
	batch engine.Batch
	then  []func() // under mu, after the commit
	after []func() // after that
	poke  bool
}

func (s *Store) apply(w *work) {
	s.mu.Lock()
	for _, f := range w.then {
		f()
	}
	s.mu.Unlock()
	for _, f := range w.after {
		f()
	}
	if w.poke {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

func (s *Store) commit(ctx context.Context, w *work) error {
	if len(w.batch.Writes) > 0 {
		if err := s.config.Meta.Commit(ctx, &w.batch); err != nil {
			return err
		}
	}
	s.apply(w)
	return nil
}

// Consumer is the name under which the analyzer reads the change feed.
const Consumer = "access-analyzer"

const most = 64

// Consume analyzes what the change feed tells of until ctx ends.
func (s *Store) Consume(ctx context.Context, f *feed.Feed) {
	for ctx.Err() == nil {
		entries, err := f.Next(ctx, Consumer, most)
		if err == nil {
			err = s.take(ctx, f, entries)
		}
		if err != nil && ctx.Err() == nil {
			s.config.Log.Error("analyzer: changes not analyzed; trying again", "err", err)
			pause(ctx, time.Second)
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

func (s *Store) take(ctx context.Context, f *feed.Feed, entries []feed.Entry) error {
	s.working.Lock()
	defer s.working.Unlock()
	w := &work{}
	seen := map[string]bool{}
	var weight feed.Weight
	last := uint64(0)
	for i := range entries {
		if weight.Full(&w.batch) {
			break
		}
		last = entries[i].Seq
		if err := s.note(ctx, w, &entries[i], seen); err != nil {
			return err
		}
	}
	if err := f.Done(ctx, Consumer, last, &w.batch); err != nil {
		return err
	}
	s.apply(w)
	return nil
}

// note analyzes the resource that an entry is about, as it is now: what later entries say of it is in that.
func (s *Store) note(ctx context.Context, w *work, e *feed.Entry, seen map[string]bool) error {
	watching := s.watching(e.Account)
	if len(watching) == 0 {
		return nil
	}
	r, err := about(e)
	if err != nil || r == nil {
		if err != nil {
			s.config.Log.Error("analyzer: a change cannot be read", "kind", e.Kind, "resource", e.Resource, "err", err)
		}
		return nil
	}
	if r.Type == posture.TypeBlock {
		for _, a := range watching {
			if err := s.rescan(w, a); err != nil {
				return err
			}
		}
		return nil
	}
	if !contains(Analyzed, r.Type) || seen[r.ARN] {
		return nil
	}
	seen[r.ARN] = true
	now, err := s.config.Source.Resource(ctx, r.Account, r.Type, r.ID)
	if err != nil {
		return err
	}
	for _, a := range watching {
		if err := s.analyze(ctx, w, a, r, now); err != nil {
			return err
		}
	}
	return nil
}

// about is the resource that an entry of the change feed is about; nil for none that is watched.
func about(e *feed.Entry) (*posture.Resource, error) {
	if e.Kind == feed.Policy {
		return posture.Policied(e), nil
	}
	return posture.From(e)
}

// Analyzed are the types of resources that are analyzed.
var Analyzed = []string{posture.TypeBucket, posture.TypeRole, posture.TypeKey, posture.TypeQueue, posture.TypeTopic, posture.TypeFunction}

func contains(list []string, s string) bool {
	for _, item := range list {
		if item == s {
			return true
		}
	}
	return false
}

// watching are the analyzers that cover an account. Under working.
func (s *Store) watching(account string) []*Analyzer {
	var list []*Analyzer
	for owner, analyzers := range s.accounts {
		for _, a := range analyzers {
			if owner == account || a.Type == TypeOrganization {
				list = append(list, a)
			}
		}
	}
	return list
}

// covers are the accounts whose resources an analyzer analyzes.
func (s *Store) covers(a *Analyzer) []string {
	if a.Type == TypeOrganization {
		return s.config.Source.Accounts()
	}
	return []string{a.Account}
}

// rescan asks for an analysis of everything.
func (s *Store) rescan(w *work, a *Analyzer) error {
	next := *a
	next.Format, next.Scan = format, true
	if err := w.set(a.key(), &next); err != nil {
		return err
	}
	w.then = append(w.then, func() { a.Scan = true })
	w.poke = true
	return nil
}

func (w *work) set(key []byte, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.batch.Set(key, raw)
	return nil
}

// Work scans what is to be scanned until ctx ends.
func (s *Store) Work(ctx context.Context) {
	forgotten := time.Time{}
	for ctx.Err() == nil {
		err := s.scans(ctx)
		if now := s.now(); err == nil && now.Sub(forgotten) > time.Hour {
			forgotten, err = now, s.forget(ctx)
		}
		if err != nil && ctx.Err() == nil {
			s.config.Log.Error("analyzer: not everything was scanned; trying again", "err", err)
		}
		t := time.NewTimer(time.Second)
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-t.C:
		}
		t.Stop()
	}
}

func (s *Store) scans(ctx context.Context) error {
	s.mu.RLock()
	var wanted []*Analyzer
	for _, analyzers := range s.accounts {
		for _, a := range analyzers {
			if a.Scan {
				wanted = append(wanted, a)
			}
		}
	}
	s.mu.RUnlock()
	var errs []error
	for _, a := range wanted {
		errs = append(errs, s.scanAll(ctx, a))
	}
	return errors.Join(errs...)
}

// scanAll analyzes everything that an analyzer covers. A request for another scan that comes meanwhile
// is not lost: the mark is taken off before the scan begins, in memory, and on disk after it has ended.
func (s *Store) scanAll(ctx context.Context, a *Analyzer) error {
	s.working.Lock()
	s.mark(a, false, true)
	s.working.Unlock()
	err := s.scanEach(ctx, a)
	s.working.Lock()
	defer s.working.Unlock()
	s.mark(a, a.Scan || err != nil, false)
	if err != nil {
		return err
	}
	if !s.stands(a) {
		return nil
	}
	w := &work{}
	next := *a
	next.Format, next.Scanned = format, Analyzed
	if err := w.set(a.key(), &next); err != nil {
		return err
	}
	w.then = append(w.then, func() { a.Scanned = Analyzed })
	return s.commit(ctx, w)
}

// mark says whether an analyzer is to be scanned, and is being. Under working.
func (s *Store) mark(a *Analyzer, scan, scanning bool) {
	s.mu.Lock()
	a.Scan, a.scanning = scan, scanning
	s.mu.Unlock()
}

const chunk = 100

func (s *Store) scanEach(ctx context.Context, a *Analyzer) error {
	for _, account := range s.covers(a) {
		for _, typ := range Analyzed {
			ids, err := s.config.Source.IDs(ctx, account, typ)
			if err != nil {
				return err
			}
			for len(ids) > 0 {
				n := min(chunk, len(ids))
				if err := s.scanChunk(ctx, a, account, typ, ids[:n]); err != nil {
					return err
				}
				ids = ids[n:]
			}
		}
	}
	return s.sweep(ctx, a)
}

// stands tells whether a was not deleted meanwhile. Under working.
func (s *Store) stands(a *Analyzer) bool { return s.accounts[a.Account][a.Name] == a }

func (s *Store) scanChunk(ctx context.Context, a *Analyzer, account, typ string, ids []string) error {
	s.working.Lock()
	defer s.working.Unlock()
	if !s.stands(a) {
		return nil
	}
	w := &work{}
	for _, id := range ids {
		r, err := s.config.Source.Resource(ctx, account, typ, id)
		if err != nil {
			return err
		}
		if r == nil {
			continue
		}
		if err := s.analyze(ctx, w, a, r, r); err != nil {
			return err
		}
	}
	return s.commit(ctx, w)
}

// sweep resolves the findings of resources that are gone without the feed having told.
func (s *Store) sweep(ctx context.Context, a *Analyzer) error {
	s.working.Lock()
	defer s.working.Unlock()
	if !s.stands(a) {
		return nil
	}
	w := &work{}
	for arn, findings := range a.tuples {
		for _, f := range findings {
			id := idOf(f.ResourceType, arn)
			if f.ResourceType == posture.TypeRole {
				break // roles are found by unique ids, which findings do not have; the feed tells of them
			}
			r, err := s.config.Source.Resource(ctx, f.Owner, f.ResourceType, id)
			if err != nil {
				return err
			}
			if r == nil {
				gone := &posture.Resource{Type: f.ResourceType, ID: id, ARN: arn, Account: f.Owner}
				if err := s.analyze(ctx, w, a, gone, nil); err != nil {
					return err
				}
			}
			break
		}
	}
	return s.commit(ctx, w)
}

func idOf(typ, arn string) string {
	switch typ {
	case posture.TypeBucket:
		return strings.TrimPrefix(arn, "arn:aws:s3:::")
	case posture.TypeKey:
		return arn[strings.LastIndexByte(arn, '/')+1:]
	}
	return arn
}

// resolvedFor is how long resolved findings are kept.
const resolvedFor = 90 * 24 * time.Hour

func (s *Store) forget(ctx context.Context) error {
	s.working.Lock()
	defer s.working.Unlock()
	limit := s.now().Add(-resolvedFor)
	w := &work{}
	for _, analyzers := range s.accounts {
		for _, a := range analyzers {
			for _, f := range a.findings {
				if f.Status == Resolved && f.Updated.Before(limit) {
					w.batch.Delete(a.findingKey(f.ID))
					w.then = append(w.then, func() { a.hide(f) })
				}
			}
		}
	}
	return s.commit(ctx, w)
}
