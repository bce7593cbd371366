package recorder

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/posture/rule"
)

// Pack is a conformance pack: rules that are made, changed and deleted together.
type Pack struct {
	Format               int
	Account, Name, ID    string
	ARN                  string
	Template             string            // as given; of a named document, its text
	Document             string            `json:",omitempty"` // the name of the document that it came from
	Input                map[string]string `json:",omitempty"` // parameters, as given
	Bucket, Prefix       string            `json:",omitempty"`
	Tags                 map[string]string `json:",omitempty"`
	Requested, Completed time.Time
}

const (
	maxPacks     = 50
	maxPackRules = 130
	maxTemplate  = 51200
)

var packName = regexp.MustCompile(`^[a-zA-Z][-a-zA-Z0-9]{0,255}$`)

// PackARN is the ARN of the account's pack of that name, or of none in particular.
func (s *Store) PackARN(account, name string) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if p := s.find(account).packs[name]; p != nil {
		return p.ARN
	}
	return s.packARN(account, name, "*")
}

func (s *Store) packARN(account, name, id string) string {
	return "arn:aws:config:" + s.region + ":" + account + ":conformance-pack/" + name + "/" + id
}

func noSuchPack(name string) error {
	return fault.New(NoSuchPack, "Cannot find the conformance pack with the specified name '"+name+"'.")
}

// PutPack makes or changes a conformance pack and needs config:PutConformancePack.
func (s *Store) PutPack(ctx context.Context, g authz.Grant, account string, in Pack) (arn string, err error) {
	if !packName.MatchString(in.Name) {
		return "", invalid("The conformance pack name '%s' is not valid.", in.Name)
	}
	if in.Document != "" {
		text, ok := Documents[in.Document]
		if !ok {
			return "", invalid("There is no document '%s'; this Kura has %s.", in.Document, strings.Join(slices.Sorted(maps.Keys(Documents)), ", "))
		}
		in.Template = text
	}
	wanted, err := expand(in.Template, in.Input)
	if err != nil {
		return "", err
	}
	if err := s.deliverTemplate(ctx, g, account, &in); err != nil {
		return "", err
	}
	s.judging.Lock()
	defer s.judging.Unlock()
	a := s.accounts[account]
	if a == nil || a.recorder == nil {
		return "", fault.New(NoRecorder, "Configuration recorder is not available to put conformance pack.")
	}
	w := s.begin()
	old := a.packs[in.Name]
	next := in
	next.Format, next.Account, next.Requested, next.Completed = format, account, w.invoked, w.invoked
	if old != nil {
		next.ID, next.ARN, next.Tags = old.ID, old.ARN, old.Tags
	} else {
		next.ID = ruleID("conformance-pack-")
		next.ARN = s.packARN(account, in.Name, next.ID)
	}
	if err := g.Require("config:PutConformancePack", next.requiredARN(s, old)); err != nil {
		return "", err
	}
	if old == nil && len(a.packs) >= maxPacks {
		return "", fault.New(MaxPacks, "You have reached the limit of the number of conformance packs.")
	}
	if err := s.putPackRules(w, a, &next, wanted); err != nil {
		return "", err
	}
	raw, err := encode(&next)
	if err != nil {
		return "", err
	}
	w.batch.Set([]byte(packPrefix+account+"/"+next.Name), raw)
	w.then = append(w.then, func() { a.packs[next.Name] = &next })
	return next.ARN, s.commit(ctx, w)
}

// deliverTemplate writes a pack's template into the bucket that it names, if it names one.
func (s *Store) deliverTemplate(ctx context.Context, g authz.Grant, account string, in *Pack) error {
	if in.Bucket == "" {
		if in.Prefix != "" {
			return invalid("A DeliveryS3KeyPrefix needs a DeliveryS3Bucket.")
		}
		return nil
	}
	if err := g.Require("config:PutConformancePack", s.PackARN(account, in.Name)); err != nil {
		return err
	}
	if s.deliver == nil || !s.deliver.Exists(in.Bucket) {
		return invalid("There is no bucket '%s'.", in.Bucket)
	}
	to := &Channel{Account: account, Bucket: in.Bucket, Prefix: in.Prefix}
	err := s.deliver.Put(ctx, to, s.roleOf(account), to.folder(account)+"ConformancePackTemplates/"+in.Name+".yaml", []byte(in.Template))
	if err != nil {
		f := fault.New(InsufficientPermissions, "The template of the conformance pack cannot be written to the bucket '"+in.Bucket+"'.")
		f.Cause = err
		return f
	}
	return nil
}

// requiredARN is what the Grant must be for: the ARN of a new pack is not known before it is made.
func (p *Pack) requiredARN(s *Store, old *Pack) string {
	if old != nil {
		return old.ARN
	}
	return s.packARN(p.Account, p.Name, "*")
}

// putPackRules makes the pack's rules what the template says.
func (s *Store) putPackRules(w *work, a *accountState, p *Pack, wanted []Rule) error {
	keep := map[string]bool{}
	suffix := "-" + p.ID
	for _, r := range wanted {
		r.Name += suffix
		if err := s.check(&r); err != nil {
			return err
		}
		if keep[r.Name] {
			return fault.New(InvalidTemplate, "The template has two rules that are named "+strings.TrimSuffix(r.Name, suffix)+".")
		}
		keep[r.Name], r.Pack = true, p.Name
		old := a.rules[r.Name]
		if old == nil && len(a.rules)+len(keep) > maxRules {
			return fault.New(MaxRules, "The maximum number of config rules: 1000 is reached.")
		}
		if err := s.putRule(w, a, p.Account, old, r); err != nil {
			return err
		}
	}
	for _, r := range a.rules {
		if r.Pack == p.Name && !keep[r.Name] {
			w.drop(a, r)
		}
	}
	return nil
}

// DeletePack takes a pack away with its rules. It needs config:DeleteConformancePack.
func (s *Store) DeletePack(ctx context.Context, g authz.Grant, account, name string) error {
	if err := g.Require("config:DeleteConformancePack", s.PackARN(account, name)); err != nil {
		return err
	}
	s.judging.Lock()
	defer s.judging.Unlock()
	a := s.accounts[account]
	if a == nil || a.packs[name] == nil {
		return noSuchPack(name)
	}
	w := s.begin()
	for _, r := range a.rules {
		if r.Pack == name {
			w.drop(a, r)
		}
	}
	w.batch.Delete([]byte(packPrefix + account + "/" + name))
	w.then = append(w.then, func() { delete(a.packs, name) })
	return s.commit(ctx, w)
}

// Packs gives packs by name; all when names is empty. It needs action on "*".
func (s *Store) Packs(g authz.Grant, action, account string, names []string) ([]*Pack, error) {
	if err := g.Require(action, "*"); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	packs := s.find(account).packs
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(packs))
	}
	shown := make([]*Pack, 0, len(names))
	for _, name := range names {
		p := packs[name]
		if p == nil {
			return nil, noSuchPack(name)
		}
		c := *p
		shown = append(shown, &c)
	}
	return shown, nil
}

// PackCompliance is what a pack's rules found.
type PackCompliance struct {
	Pack  *Pack
	Rules []RuleCompliance
}

// Compliance of the pack: NON_COMPLIANT if a rule is, COMPLIANT if one is and none is not.
func (p *PackCompliance) Compliance() rule.Compliance {
	all := rule.InsufficientData
	for _, r := range p.Rules {
		switch r.Compliance {
		case rule.NonCompliant:
			return rule.NonCompliant
		case rule.Compliant:
			all = rule.Compliant
		}
	}
	return all
}

// PackCompliance tells what the rules of packs found; action is needed on each pack.
func (s *Store) PackCompliance(g authz.Grant, action, account string, names []string) ([]PackCompliance, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	a := s.find(account)
	out := make([]PackCompliance, 0, len(names))
	for _, name := range names {
		p := a.packs[name]
		if p == nil {
			return nil, noSuchPack(name)
		}
		if err := g.Require(action, p.ARN); err != nil {
			return nil, err
		}
		c := *p
		pc := PackCompliance{Pack: &c}
		for _, n := range slices.Sorted(maps.Keys(a.rules)) {
			if r := a.rules[n]; r.Pack == name {
				pc.Rules = append(pc.Rules, r.compliance())
			}
		}
		out = append(out, pc)
	}
	return out, nil
}
