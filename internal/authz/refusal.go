package authz

import (
	"sync"
	"time"

	"github.com/kura-s3/kura/policy"
)

// Refusal is a decision that went against its caller, explained: what the administrator of an
// account asks for afterwards (`kura why`). The caller itself heard AWS's sentence and no more.
type Refusal struct {
	ID   string // of the decision: the request's id
	Time time.Time
	// Accounts that may look it up: the caller's and the resource's owner's.
	Accounts [2]string
	// Explanation is policy.Explanation as JSON: every layer, the deciding statement, the failing
	// condition with actual and expected value, the smallest allow that would pass.
	Explanation []byte
}

const (
	// maxRefusals are kept, the newest.
	maxRefusals = 512
	// maxExplanation bounds one; a larger one is not kept.
	maxExplanation = 16 << 10
	// maxExplained per second: explaining costs more than refusing, and a flood of refused requests
	// must not buy it.
	maxExplained = 200
)

// refusals keeps the newest refusals. Safe for concurrent use.
type refusals struct {
	mu     sync.Mutex
	ring   []Refusal
	next   int
	second int64
	spent  int
}

// admit tells whether another explanation may be made in this second.
func (r *refusals) admit(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := now.Unix(); s != r.second {
		r.second, r.spent = s, 0
	}
	r.spent++
	return r.spent <= maxExplained
}

func (r *refusals) add(one Refusal) {
	if len(one.Explanation) > maxExplanation {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.ring) < maxRefusals {
		r.ring = append(r.ring, one)
		return
	}
	r.ring[r.next] = one
	r.next = (r.next + 1) % maxRefusals
}

func (r *refusals) find(id, account string) (Refusal, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.ring {
		one := &r.ring[i]
		if one.ID == id && account != "" && (one.Accounts[0] == account || one.Accounts[1] == account) {
			return *one, true
		}
	}
	return Refusal{}, false
}

// explain keeps why a demand was refused. The same evaluator explains that decided.
func (s *sheet) explain(d *Demand, req *policy.Request, inputs *policy.Inputs) {
	now := s.guard.now()
	if s.inquiry.Event.RequestID == "" || !s.guard.refused.admit(now) {
		return
	}
	s.guard.refused.add(Refusal{
		ID: s.inquiry.Event.RequestID, Time: now,
		Accounts:    [2]string{req.Principal.Account, d.Resource.Account},
		Explanation: policy.Explain(req, inputs).JSON(),
	})
}

// Why finds a refusal by its decision id, for an administrator of account.
func (g *Guard) Why(id, account string) (Refusal, bool) { return g.refused.find(id, account) }

// Refusals is the number of refusals that are kept.
func (g *Guard) Refusals() int {
	g.refused.mu.Lock()
	defer g.refused.mu.Unlock()
	return len(g.refused.ring)
}
