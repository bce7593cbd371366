package recorder

import (
	"context"
	"maps"
	"regexp"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/posture"
)

// RecorderARN is the ARN of an account's recorder.
func (s *Store) RecorderARN(account, name string) string {
	return "arn:aws:config:" + s.region + ":" + account + ":configuration-recorder/" + name
}

// putRecorder writes a recorder by itself. Under judging.
func (s *Store) putRecorder(ctx context.Context, r *Recorder) error {
	r.Format = format
	raw, err := encode(r)
	if err != nil {
		return err
	}
	w := s.begin()
	w.batch.Set([]byte(recorderPrefix+r.Account), raw)
	w.then = append(w.then, func() { s.of(r.Account).recorder = r })
	w.poke = true
	return s.commit(ctx, w)
}

// PutRecorder makes or changes the account's one recorder and needs config:PutConfigurationRecorder.
func (s *Store) PutRecorder(ctx context.Context, g authz.Grant, account string, in Recorder) error {
	if in.Name == "" {
		in.Name = "default"
	}
	if err := g.Require("config:PutConfigurationRecorder", s.RecorderARN(account, in.Name)); err != nil {
		return err
	}
	if len(in.Name) > 256 || strings.HasPrefix(in.Name, "AWSConfigurationRecorderFor") {
		return fault.New(InvalidRecorderName, "The configuration recorder name '"+in.Name+"' is not valid.")
	}
	if !rolePattern.MatchString(in.RoleARN) || !strings.HasPrefix(in.RoleARN, "arn:aws:iam::"+account+":") {
		return fault.New(InvalidRole, "You have provided a null or empty string for the role, or one of another account.")
	}
	if err := in.Group.check(); err != nil {
		return err
	}
	s.judging.Lock()
	defer s.judging.Unlock()
	next := in
	if a := s.accounts[account]; a != nil && a.recorder != nil {
		old := a.recorder
		if old.Name != in.Name {
			return fault.New(MaxRecorders, "Failed to put configuration recorder '"+in.Name+"' because the maximum number of configuration recorders: 1 is reached.")
		}
		next.Recording, next.Started, next.Stopped, next.Changed, next.Tags = old.Recording, old.Started, old.Stopped, old.Changed, old.Tags
		next.Baseline = old.Recording // what is recorded now and was not before
	}
	next.Account = account
	return s.putRecorder(ctx, &next)
}

var rolePattern = regexp.MustCompile(`^arn:aws:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+$`)

// check holds a recording group against AWS's rules and fills in what follows.
func (g *Group) check() error {
	for _, typ := range append(append([]string(nil), g.Types...), g.Except...) {
		if !contains(posture.Types, typ) && !strings.HasPrefix(typ, "AWS::") {
			return fault.New(InvalidGroup, "The recording group has a resource type that is not valid: "+typ)
		}
	}
	if g.Strategy == "" {
		g.Strategy = "ALL_SUPPORTED_RESOURCE_TYPES"
		if !g.AllSupported {
			g.Strategy = "INCLUSION_BY_RESOURCE_TYPES"
		}
		if len(g.Except) > 0 {
			g.Strategy = "EXCLUSION_BY_RESOURCE_TYPES"
		}
	}
	switch {
	case g.AllSupported && len(g.Types) > 0, g.AllSupported && g.Strategy != "ALL_SUPPORTED_RESOURCE_TYPES":
		return fault.New(InvalidGroup, "The recording group provided is not valid: allSupported excludes lists of resource types.")
	case g.IncludeGlobal && !g.AllSupported:
		return fault.New(InvalidGroup, "The recording group provided is not valid: includeGlobalResourceTypes needs allSupported.")
	case g.Strategy == "INCLUSION_BY_RESOURCE_TYPES" && len(g.Types) == 0:
		return fault.New(InvalidGroup, "The recording group provided is not valid: no resource types.")
	case g.Strategy == "EXCLUSION_BY_RESOURCE_TYPES" && len(g.Except) == 0:
		return fault.New(InvalidGroup, "The recording group provided is not valid: no resource types to exclude.")
	}
	return nil
}

// Recorder gives the account's recorder; nil when there is none. It needs action.
func (s *Store) Recorder(g authz.Grant, action, account string) (*Recorder, error) {
	if err := g.Require(action, "*"); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	r := s.find(account).recorder
	if r == nil {
		return nil, nil
	}
	shown := *r
	return &shown, nil
}

func noSuchRecorder(name string) error {
	return fault.New(NoSuchRecorder, "Cannot find configuration recorder with the specified name '"+name+"'.")
}

// changeRecorder changes the recorder of that name, which must exist.
func (s *Store) changeRecorder(ctx context.Context, account, name string, change func(*accountState, *Recorder) error) error {
	s.judging.Lock()
	defer s.judging.Unlock()
	a := s.accounts[account]
	if a == nil || a.recorder == nil || a.recorder.Name != name {
		return noSuchRecorder(name)
	}
	next := *a.recorder
	next.Tags = maps.Clone(next.Tags)
	if err := change(a, &next); err != nil {
		return err
	}
	return s.putRecorder(ctx, &next)
}

// StartRecorder needs config:StartConfigurationRecorder.
func (s *Store) StartRecorder(ctx context.Context, g authz.Grant, account, name string) error {
	if err := g.Require("config:StartConfigurationRecorder", s.RecorderARN(account, name)); err != nil {
		return err
	}
	return s.changeRecorder(ctx, account, name, func(a *accountState, r *Recorder) error {
		if a.channel == nil {
			return fault.New(NoChannel, "Delivery channel is not available to start configuration recorder.")
		}
		if r.Recording {
			return nil
		}
		r.Recording, r.Baseline, r.Started, r.Changed = true, true, s.now().UTC(), s.now().UTC()
		return nil
	})
}

// StopRecorder needs config:StopConfigurationRecorder.
func (s *Store) StopRecorder(ctx context.Context, g authz.Grant, account, name string) error {
	if err := g.Require("config:StopConfigurationRecorder", s.RecorderARN(account, name)); err != nil {
		return err
	}
	return s.changeRecorder(ctx, account, name, func(_ *accountState, r *Recorder) error {
		if r.Recording {
			r.Recording, r.Baseline, r.Stopped, r.Changed = false, false, s.now().UTC(), s.now().UTC()
		}
		return nil
	})
}

// DeleteRecorder needs config:DeleteConfigurationRecorder. What was recorded stays.
func (s *Store) DeleteRecorder(ctx context.Context, g authz.Grant, account, name string) error {
	if err := g.Require("config:DeleteConfigurationRecorder", s.RecorderARN(account, name)); err != nil {
		return err
	}
	s.judging.Lock()
	defer s.judging.Unlock()
	a := s.accounts[account]
	if a == nil || a.recorder == nil || a.recorder.Name != name {
		return noSuchRecorder(name)
	}
	w := s.begin()
	w.batch.Delete([]byte(recorderPrefix + account))
	w.then = append(w.then, func() { a.recorder = nil })
	return s.commit(ctx, w)
}

// PutChannel makes or changes the account's one delivery channel and needs config:PutDeliveryChannel. It
// proves that files can be delivered by delivering one.
func (s *Store) PutChannel(ctx context.Context, g authz.Grant, account string, in Channel) error {
	if err := g.Require("config:PutDeliveryChannel", "*"); err != nil {
		return err
	}
	if in.Name == "" {
		in.Name = "default"
	}
	switch {
	case len(in.Name) > 256:
		return fault.New(InvalidChannelName, "The delivery channel name is not valid.")
	case in.Frequency != "" && frequencies[in.Frequency] == 0:
		return fault.New(InvalidParameter, "The delivery frequency '"+in.Frequency+"' is not valid.")
	case len(in.Prefix) > 512 || strings.HasPrefix(in.Prefix, "/") || strings.HasPrefix(in.Prefix, "AWSLogs/"):
		return fault.New(InvalidPrefix, "The s3 key prefix '"+in.Prefix+"' is not valid.")
	}
	s.mu.RLock()
	a := s.find(account)
	recorder, old := a.recorder, a.channel
	s.mu.RUnlock()
	if recorder == nil {
		return fault.New(NoRecorder, "Configuration recorder is not available to put delivery channel.")
	}
	if old != nil && old.Name != in.Name {
		return fault.New(MaxChannels, "Failed to put delivery channel '"+in.Name+"' because the maximum number of delivery channels: 1 is reached.")
	}
	if s.deliver == nil || !s.deliver.Exists(in.Bucket) {
		return fault.New(NoSuchBucket, "Cannot find a S3 bucket with an empty bucket name or with the name '"+in.Bucket+"'.")
	}
	if err := s.mayPublish(ctx, account, in.Topic); err != nil {
		return err
	}
	in.Account = account
	if err := s.deliver.Put(ctx, &in, recorder.RoleARN, in.folder(account)+"ConfigWritabilityCheckFile", nil); err != nil {
		f := fault.New(InsufficientDelivery, "Insufficient delivery policy to s3 bucket: "+in.Bucket+", unable to write to bucket, provided s3 key prefix is '"+in.Prefix+"', provided kms key is '"+in.KMSKey+"'.")
		f.Cause = err
		return f
	}
	if old != nil {
		in.Attempted, in.Delivered, in.ErrorCode, in.ErrorText = old.Attempted, old.Delivered, old.ErrorCode, old.ErrorText
	}
	s.judging.Lock()
	defer s.judging.Unlock()
	return s.storeChannel(ctx, &in)
}

// mayPublish says why a topic cannot be told; "" is none.
func (s *Store) mayPublish(ctx context.Context, account, topic string) error {
	if topic == "" {
		return nil
	}
	exists, err := false, error(nil)
	if s.checkTopic != nil {
		exists, err = s.checkTopic(ctx, account, topic)
	}
	switch {
	case !exists:
		return fault.New(InvalidTopic, "The sns topic arn '"+topic+"' is not valid.")
	case err != nil:
		f := fault.New(InsufficientDelivery, "Insufficient delivery policy to sns topic: "+topic+", unable to write to topic.")
		f.Cause = err
		return f
	}
	return nil
}

// Topic is that of the account's delivery channel, "" for none. It decides nothing.
func (s *Store) Topic(account string) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if c := s.find(account).channel; c != nil {
		return c.Topic
	}
	return ""
}

// folder is where the account's files go.
func (c *Channel) folder(account string) string {
	prefix := strings.TrimSuffix(c.Prefix, "/")
	if prefix != "" {
		prefix += "/"
	}
	return prefix + "AWSLogs/" + account + "/Config/"
}

// storeChannel under judging.
func (s *Store) storeChannel(ctx context.Context, c *Channel) error {
	c.Format = format
	raw, err := encode(c)
	if err != nil {
		return err
	}
	w := s.begin()
	w.batch.Set([]byte(channelPrefix+c.Account), raw)
	w.then = append(w.then, func() { s.of(c.Account).channel = c })
	return s.commit(ctx, w)
}

// Channel gives the account's delivery channel; nil when there is none. It needs action.
func (s *Store) Channel(g authz.Grant, action, account string) (*Channel, error) {
	if err := g.Require(action, "*"); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	c := s.find(account).channel
	if c == nil {
		return nil, nil
	}
	shown := *c
	return &shown, nil
}

// Next is when the next snapshot is due; zero for never.
func (c *Channel) Next() time.Time {
	every := frequencies[c.Frequency]
	if every == 0 {
		every = 24 * time.Hour
	}
	if c.Delivered.IsZero() {
		return time.Time{}
	}
	return c.Delivered.Add(every)
}

func noSuchChannel(name string) error {
	return fault.New(NoSuchChannel, "Cannot find delivery channel with specified name '"+name+"'.")
}

// DeleteChannel needs config:DeleteDeliveryChannel.
func (s *Store) DeleteChannel(ctx context.Context, g authz.Grant, account, name string) error {
	if err := g.Require("config:DeleteDeliveryChannel", "*"); err != nil {
		return err
	}
	s.judging.Lock()
	defer s.judging.Unlock()
	a := s.accounts[account]
	switch {
	case a == nil || a.channel == nil || a.channel.Name != name:
		return noSuchChannel(name)
	case a.recording():
		return fault.New(LastChannel, "Failed to delete last specified delivery channel with name '"+name+"', because there is a running configuration recorder.")
	}
	w := s.begin()
	w.batch.Delete([]byte(channelPrefix + account))
	w.then = append(w.then, func() { a.channel = nil })
	return s.commit(ctx, w)
}
