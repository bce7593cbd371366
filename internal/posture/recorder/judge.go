package recorder

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/feed"
	"github.com/kura-s3/kura/internal/posture"
	"github.com/kura-s3/kura/internal/posture/rule"
)

// work is what one commit writes, and what later parts of the same commit must see of it.
type work struct {
	batch   engine.Batch
	invoked time.Time
	results map[*Rule]map[ref]*Result // nil: taken away
	hashes  map[string]string         // of items written, by account and resource
	blocks  map[string]posture.Block
	then    []func() // under mu, after the commit
	after   []func() // after that
	poke    bool
	// part says that a pass goes on after it: its answers are no end of an evaluation.
	part bool
}

func (s *Store) begin() *work {
	return &work{invoked: s.now().UTC(), results: map[*Rule]map[ref]*Result{}, hashes: map[string]string{}, blocks: map[string]posture.Block{}}
}

// apply makes visible what was committed.
func (s *Store) apply(w *work) {
	s.mu.Lock()
	for r, results := range w.results {
		for at, v := range results {
			if v == nil {
				delete(r.results, at)
				continue
			}
			r.results[at] = v
			if !w.part && v.Recorded.After(r.Status.Last) {
				r.Status.Last = v.Recorded
			}
		}
	}
	for _, f := range w.then {
		f()
	}
	s.mu.Unlock()
	for _, f := range w.after {
		f()
	}
	if w.poke {
		s.poke()
	}
}

// commit writes w by itself.
func (s *Store) commit(ctx context.Context, w *work) error {
	var err error
	if len(w.batch.Writes) > 0 {
		err = s.meta.Commit(ctx, &w.batch)
	}
	return s.ended(w, err)
}

// ended makes visible what was committed. After a failure nobody knows what was.
func (s *Store) ended(w *work, err error) error {
	if err != nil {
		clear(s.hashes)
		return err
	}
	for of, hash := range w.hashes {
		s.remember(of, hash)
	}
	s.apply(w)
	return nil
}

// maxHashes bounds the resources of which the newest item need not be read to tell whether they changed.
const maxHashes = 20_000

func (s *Store) remember(of, hash string) {
	if _, known := s.hashes[of]; !known && len(s.hashes) >= maxHashes {
		for any := range s.hashes {
			delete(s.hashes, any)
			break
		}
	}
	s.hashes[of] = hash
}

// note records and judges what one entry of the change feed tells. Under judging.
func (s *Store) note(ctx context.Context, w *work, e *feed.Entry) error {
	a := s.accounts[e.Account]
	if !a.recording() {
		return nil
	}
	r, err := posture.From(e)
	if err != nil {
		s.log.Error("recorder: a change cannot be read", "kind", e.Kind, "resource", e.Resource, "err", err)
		return nil
	}
	if r == nil {
		return nil
	}
	if err := s.record(ctx, w, a, r, e); err != nil {
		return err
	}
	for _, ru := range a.rules {
		if err := s.react(ctx, w, ru, r, e); err != nil {
			return err
		}
	}
	return nil
}

// react judges a changed resource by one rule.
func (s *Store) react(ctx context.Context, w *work, ru *Rule, r *posture.Resource, e *feed.Entry) error {
	m := rule.All[ru.Identifier]
	if m == nil {
		return nil
	}
	if r.Type == posture.TypeBlock && m.ReadsBlock {
		// All buckets of the account are concerned. AWS waits for the next period; Kura does not.
		return s.request(w, ru, w.invoked)
	}
	if !contains(m.Types, r.Type) {
		return nil
	}
	at := ref{r.Type, r.ID}
	if e.Gone {
		return s.settle(ctx, w, ru, at, rule.Result{Compliance: rule.NotApplicable}, e.Time)
	}
	if !m.OnChange {
		return nil
	}
	return s.judge(ctx, w, ru, m, r, e.Time)
}

// judge asks a rule about a resource and settles the answer.
func (s *Store) judge(ctx context.Context, w *work, ru *Rule, m *rule.Rule, r *posture.Resource, ordering time.Time) error {
	answer, err := s.ask(ctx, w, ru, m, r)
	if err != nil {
		return err
	}
	return s.settle(ctx, w, ru, ref{r.Type, r.ID}, answer, ordering)
}

// ask gets a rule's answer about a resource. It changes nothing but the blocks that w has looked up.
func (s *Store) ask(ctx context.Context, w *work, ru *Rule, m *rule.Rule, r *posture.Resource) (rule.Result, error) {
	if !ru.Scope.covers(r) {
		return rule.Result{Compliance: rule.NotApplicable}, nil
	}
	in, err := s.input(ctx, w, ru, m, r)
	if err != nil {
		return rule.Result{}, err
	}
	answer, err := m.Judge(in)
	if err != nil {
		return rule.Result{}, fmt.Errorf("rule %s on %s: %w", ru.Name, r.ID, err)
	}
	return answer, nil
}

// block is the account's Block Public Access, looked up once.
func (s *Store) block(w *work, account string) posture.Block {
	block, ok := w.blocks[account]
	if !ok {
		block = s.source.Block(account)
		w.blocks[account] = block
	}
	return block
}

func (s *Store) input(ctx context.Context, w *work, ru *Rule, m *rule.Rule, r *posture.Resource) (*rule.Input, error) {
	in := &rule.Input{
		Resource: r, Parameters: ru.Parameters, Block: s.block(w, ru.Account), Now: w.invoked,
		LastUse: func(id string) (time.Time, error) { return s.source.LastUse(ctx, id) },
	}
	if r.Type != posture.TypeAccount {
		return in, nil
	}
	in.Root = s.source.Root(ru.Account)
	if in.Root == nil {
		return nil, fmt.Errorf("account %s has no root user", ru.Account)
	}
	if m.Needs != posture.TypeTrail {
		return in, nil
	}
	ids, err := s.source.IDs(ctx, ru.Account, posture.TypeTrail)
	for _, id := range ids {
		t, err := s.source.Resource(ctx, ru.Account, posture.TypeTrail, id)
		if err != nil {
			return nil, err
		}
		if t != nil && t.Trail != nil {
			in.Trails = append(in.Trails, t.Trail)
		}
	}
	return in, err
}

// covers tells whether a resource is in scope. A nil scope covers everything.
func (sc *Scope) covers(r *posture.Resource) bool {
	switch {
	case sc == nil || r.Type == posture.TypeAccount:
		return true
	case len(sc.Types) > 0 && !contains(sc.Types, r.Type):
		return false
	case sc.ResourceID != "" && sc.ResourceID != r.ID:
		return false
	case sc.TagKey == "":
		return true
	}
	value, ok := r.Tags[sc.TagKey]
	return ok && (sc.TagValue == "" || sc.TagValue == value)
}

// settle writes an answer when it is another one than before, and tells of it when the compliance
// changed. An answer that does not apply takes the earlier one away.
func (s *Store) settle(ctx context.Context, w *work, ru *Rule, at ref, answer rule.Result, ordering time.Time) error {
	old := ru.results[at]
	if changed, ok := w.results[ru]; ok {
		if v, ok := changed[at]; ok {
			old = v
		}
	}
	next := &Result{Format: format, Compliance: answer.Compliance, Annotation: answer.Annotation, Ordering: ordering.UTC(), Invoked: w.invoked, Recorded: s.now().UTC()}
	gone := answer.Compliance == rule.NotApplicable || answer.Compliance == rule.InsufficientData
	switch {
	case gone && old == nil:
		return nil
	case !gone && old != nil && old.Compliance == next.Compliance && old.Annotation == next.Annotation:
		return nil
	}
	if w.results[ru] == nil {
		w.results[ru] = map[ref]*Result{}
	}
	if gone {
		w.results[ru][at] = nil
		w.batch.Delete(ru.resultKey(at))
	} else {
		raw, err := encode(next)
		if err != nil {
			return err
		}
		w.results[ru][at] = next
		w.batch.Set(ru.resultKey(at), raw)
	}
	if old != nil && old.Compliance == next.Compliance {
		return nil
	}
	if !s.hears(ru.Account, complianceChange, map[string]string{
		"detail.configRuleName": ru.Name, "detail.resourceType": at.typ, "detail.resourceId": at.id, "detail.newEvaluationResult.complianceType": string(next.Compliance),
	}) {
		return nil
	}
	return s.tell(ctx, w, s.complianceChange(ru, at, old, next))
}

// hears tells whether anybody may want an event of a kind with what is known of it. Most have nobody, and there are
// as many as answers.
func (s *Store) hears(account, kind string, known map[string]string) bool {
	if s.publish == nil || s.heard == nil {
		return s.publish != nil
	}
	known["source"], known["detail-type"], known["account"] = source, kind, account
	return s.heard(account, known)
}

func (s *Store) tell(ctx context.Context, w *work, e posture.Event) error {
	if s.publish == nil {
		return nil
	}
	committed, err := s.publish(ctx, &w.batch, e)
	if err == nil {
		w.after = append(w.after, committed)
	}
	return err
}

// request asks for a full pass of a rule.
func (s *Store) request(w *work, ru *Rule, at time.Time) error {
	status := ru.Status
	status.Format, status.Requested = format, at
	raw, err := encode(&status)
	if err != nil {
		return err
	}
	w.batch.Set(ru.statusKey(), raw)
	w.then = append(w.then, func() { ru.Status.Requested = at })
	w.poke = true
	return nil
}

// chunk is how many items or answers one commit of a baseline or a pass writes, or little more: changes
// wait for no more than that.
const chunk = 400

// pass judges all resources of the account by rules.
func (s *Store) pass(ctx context.Context, account string, rules []*Rule) error {
	if len(rules) == 0 {
		return nil
	}
	started := s.now().UTC()
	types := map[string]bool{}
	for _, ru := range rules {
		if m := rule.All[ru.Identifier]; m != nil {
			for _, typ := range m.Types {
				types[typ] = true
			}
		}
	}
	var failed error
	for typ := range types {
		if err := s.passType(ctx, account, typ, rules); err != nil {
			if ctx.Err() != nil {
				return err
			}
			failed = err
		}
	}
	return s.passed(ctx, account, rules, started, failed)
}

func (s *Store) passType(ctx context.Context, account, typ string, rules []*Rule) error {
	var concerned []*Rule
	for _, ru := range rules {
		if m := rule.All[ru.Identifier]; m != nil && contains(m.Types, typ) {
			concerned = append(concerned, ru)
		}
	}
	ids := []string{account}
	if typ != posture.TypeAccount {
		var err error
		if ids, err = s.source.IDs(ctx, account, typ); err != nil {
			return err
		}
	}
	judged := make(map[string]bool, len(ids))
	each := max(1, chunk/max(1, len(concerned)))
	for len(ids) > 0 {
		n := min(each, len(ids))
		if err := s.passChunk(ctx, account, typ, ids[:n], concerned); err != nil {
			return err
		}
		for _, id := range ids[:n] {
			judged[id] = true
		}
		ids = ids[n:]
	}
	return s.sweep(ctx, account, typ, concerned, judged)
}

func (s *Store) passChunk(ctx context.Context, account, typ string, ids []string, rules []*Rule) error {
	s.judging.Lock()
	defer s.judging.Unlock()
	rules = slices.DeleteFunc(slices.Clone(rules), func(ru *Rule) bool { return !s.stands(ru) })
	w := s.begin()
	w.part = true
	s.block(w, account) // from here on w is read only, until all have answered
	answers := make([][]rule.Result, len(ids))
	err := abreast(len(ids), func(i int) error {
		r, err := s.current(ctx, account, typ, ids[i])
		if err != nil || r == nil {
			return err // gone meanwhile; the feed tells
		}
		answers[i] = make([]rule.Result, len(rules))
		for k, ru := range rules {
			if answers[i][k], err = s.ask(ctx, w, ru, rule.All[ru.Identifier], r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, id := range ids {
		for k := range answers[i] {
			if err := s.settle(ctx, w, rules[k], ref{typ, id}, answers[i][k], w.invoked); err != nil {
				return err
			}
		}
	}
	return s.commit(ctx, w)
}

// abreast does n things, as many at a time as there are processors.
func abreast(n int, do func(i int) error) error {
	var next atomic.Int64
	var wait sync.WaitGroup
	failed := make([]error, min(n, runtime.GOMAXPROCS(0)))
	for k := range failed {
		wait.Go(func() {
			for failed[k] == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				failed[k] = do(i)
			}
		})
	}
	wait.Wait()
	return errors.Join(failed...)
}

// current is a resource as it is now.
func (s *Store) current(ctx context.Context, account, typ, id string) (*posture.Resource, error) {
	if typ == posture.TypeAccount {
		return &posture.Resource{Type: typ, ID: id, Name: id, Account: account}, nil
	}
	return s.source.Resource(ctx, account, typ, id)
}

// stands tells whether ru is still the account's rule: it may have been deleted or replaced. Under judging.
func (s *Store) stands(ru *Rule) bool {
	a := s.accounts[ru.Account]
	return a != nil && a.rules[ru.Name] == ru
}

// sweep takes away the results of resources that are gone without the feed having told: those that went
// while no recorder was recording, and are not among those that the pass judged.
func (s *Store) sweep(ctx context.Context, account, typ string, rules []*Rule, judged map[string]bool) error {
	s.judging.Lock()
	defer s.judging.Unlock()
	w := s.begin()
	for _, ru := range rules {
		if !s.stands(ru) {
			continue
		}
		for at := range ru.results {
			if at.typ != typ || judged[at.id] {
				continue
			}
			r, err := s.current(ctx, account, typ, at.id)
			if err != nil {
				return err
			}
			if r == nil {
				if err := s.settle(ctx, w, ru, at, rule.Result{Compliance: rule.NotApplicable}, w.invoked); err != nil {
					return err
				}
			}
		}
	}
	return s.commit(ctx, w)
}

// passed notes the end of a full pass.
func (s *Store) passed(ctx context.Context, account string, rules []*Rule, started time.Time, failed error) error {
	s.judging.Lock()
	defer s.judging.Unlock()
	w := s.begin()
	for _, ru := range rules {
		if !s.stands(ru) {
			continue
		}
		status := ru.Status
		status.Format, status.LastPass, status.ErrorText = format, started, ""
		if failed != nil {
			status.Failed, status.ErrorText = s.now().UTC(), failed.Error()
		} else {
			status.Last = s.now().UTC()
		}
		raw, err := encode(&status)
		if err != nil {
			return err
		}
		w.batch.Set(ru.statusKey(), raw)
		w.then = append(w.then, func() { ru.Status = status })
	}
	if failed != nil {
		s.log.Error("recorder: rules could not judge everything", "account", account, "err", failed)
	}
	return s.commit(ctx, w)
}
