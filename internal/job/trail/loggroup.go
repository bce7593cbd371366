package trail

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/fault"
)

// LogGroups are where trails deliver to beside their buckets, in the name of a role.
type LogGroups interface {
	// Try finds out whether a trail may write into its group: InvalidLogGroup, InvalidLogRole.
	Try(ctx context.Context, t *Trail) error
	// Put writes events, in the order of their times, which are within 24 hours.
	Put(ctx context.Context, t *Trail, events []LogEvent) error
}

// LogEvent is one record for a log group.
type LogEvent struct {
	Timestamp int64  `json:"timestamp"` // milliseconds since 1970
	Message   string `json:"message"`
}

// LogState is how far the delivery into a trail's log group is. It is kept apart from State: a bucket that
// refuses does not hold up the group, nor the group the bucket.
type LogState struct {
	Format           int
	Management, Data uint64
	Delivered        time.Time `json:",omitzero"`
	Error            string    `json:",omitempty"`
}

// Bounds of one delivery into a group: AWS's limits of a batch.
const (
	logPrefix      = "t/l/"
	maxLogEvents   = 1000
	maxLogBytes    = 1<<20 - 64<<10
	logOverhead    = 26
	maxLogSpan     = 24 * time.Hour
	maxLogsAtATick = 100 // batches
)

// logWork is what one reads with, from which places on, and what was read that is delivered with what comes.
type logWork struct {
	management, data *audit.Reader
	from             [2]uint64
	pending          []LogEvent
}

func (w *logWork) close() {
	w.management.Close()
	w.data.Close()
}

// loadLogs reads how far the deliveries are.
func (s *Store) loadLogs(ctx context.Context) error {
	s.logStates, s.logWork = map[string]*LogState{}, map[string]*logWork{}
	return scan(ctx, s.config.Meta, logPrefix, func(arn string, raw []byte) error {
		st := &LogState{}
		if err := json.Unmarshal(raw, st); err != nil || st.Format != format {
			return fmt.Errorf("trail: the state of %s does not decode: %w", arn, err)
		}
		s.logStates[arn] = st
		return nil
	})
}

// checkLogs holds what a trail says of its group to AWS's rules, and tries it.
func (s *Store) checkLogs(ctx context.Context, t *Trail) error {
	switch {
	case t.LogGroup == "" && t.LogRole == "":
		return nil
	case t.LogGroup == "":
		return fault.New(InvalidLogGroup, "CloudTrail cannot validate the specified log group ARN: there is a role and no log group.")
	case t.LogRole == "":
		return fault.New(InvalidLogRole, "You must specify a role ARN as well as a log group.")
	case s.config.Logs == nil:
		return fault.New(Unsupported, "This server has no CloudWatch Logs.")
	}
	return s.config.Logs.Try(ctx, t)
}

// beginLogs lets the delivery into a group begin with what happens from now on, where it begins with this
// change of the trail; nil: it does not.
func (s *Store) beginLogs(b *engine.Batch, old, t *Trail) (*LogState, error) {
	if !t.Logging || t.LogGroup == "" || old != nil && old.Logging && old.LogGroup != "" {
		return nil, nil
	}
	st := &LogState{Format: format, Management: s.config.Record.Management().Last(), Data: s.config.Record.Data().Last()}
	raw, err := json.Marshal(st)
	if err != nil {
		return nil, err
	}
	b.Set([]byte(logPrefix+t.ARN()), raw)
	return st, nil
}

// LogState tells how far the delivery into the group is. The caller was granted cloudtrail:GetTrailStatus.
func (s *Store) LogState(t *Trail) LogState {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := s.logStates[t.ARN()]; st != nil {
		return *st
	}
	return LogState{}
}

// logs brings a trail's group up to date.
func (s *Store) logs(ctx context.Context, t *Trail) {
	arn := t.ARN()
	if t.LogGroup == "" || s.config.Logs == nil {
		return
	}
	unlock := s.lock(arn + "#logs")
	defer unlock()
	for range maxLogsAtATick {
		t, err := s.Find(arn)
		if err != nil || !t.Logging || t.LogGroup == "" {
			return
		}
		st := s.LogState(t)
		if st.Format == 0 {
			return // it was deleted at this moment
		}
		more, err := s.logBatch(ctx, t, &st)
		if err != nil && ctx.Err() == nil {
			s.dropLogWork(arn)
			s.config.Log.Warn("trail: events are not delivered to the log group", "trail", arn, "group", t.LogGroup, "err", err)
			was := s.LogState(t)
			was.Error = clip(err.Error(), maxError)
			if err := s.keepLogs(ctx, arn, &was); err != nil {
				s.config.Log.Error("trail: state not stored", "trail", arn, "err", err)
			}
		}
		if err != nil || !more {
			return
		}
	}
}

// logBatch delivers one batch; more says that there may be another.
func (s *Store) logBatch(ctx context.Context, t *Trail, st *LogState) (more bool, err error) {
	arn := t.ARN()
	w := s.logWork[arn] // under the lock of this trail's logs, as is all of it
	if w != nil && w.from != [2]uint64{st.Management, st.Data} {
		s.dropLogWork(arn)
		w = nil
	}
	if w == nil {
		w = &logWork{
			management: s.config.Record.Management().Reader(st.Management), data: s.config.Record.Data().Reader(st.Data), from: [2]uint64{st.Management, st.Data},
		}
		s.setLogWork(arn, w)
	}
	events, others := w.pending, len(w.pending) >= maxLogEvents
	for _, r := range []*audit.Reader{w.management, w.data} {
		entries, err := r.Ready(maxLogEvents / 2)
		if err != nil {
			return false, err
		}
		more = more || len(entries) > 0
		for i := range entries {
			if t.takes(&entries[i].Note) {
				events = append(events, LogEvent{entries[i].Time().UnixMilli(), string(entries[i].Record)})
				others = others || !ownUse(entries[i].User)
			}
		}
	}
	if w.pending = nil; len(events) > 0 && !others {
		w.pending = events // see ownUse
		return more, nil
	}
	if err := s.putLogs(ctx, t, events); err != nil {
		return false, err
	}
	moved := st.Management != w.management.Position() || st.Data != w.data.Position()
	st.Management, st.Data = w.management.Position(), w.data.Position()
	w.from = [2]uint64{st.Management, st.Data}
	if len(events) > 0 {
		st.Delivered, st.Error = s.config.Now().UTC(), ""
		return more, s.keepLogs(ctx, arn, st)
	}
	if moved {
		s.rememberLogs(arn, st) // what nobody wants is read again after a restart
	}
	return more, nil
}

// putLogs writes events in as many requests as AWS's limits ask for.
func (s *Store) putLogs(ctx context.Context, t *Trail, events []LogEvent) error {
	slices.SortStableFunc(events, func(a, b LogEvent) int { return cmp.Compare(a.Timestamp, b.Timestamp) })
	for len(events) > 0 {
		n, size := 0, 0
		for n < len(events) && (n == 0 || size+len(events[n].Message)+logOverhead <= maxLogBytes) && events[n].Timestamp-events[0].Timestamp < maxLogSpan.Milliseconds() {
			size += len(events[n].Message) + logOverhead
			n++
		}
		if err := s.config.Logs.Put(ctx, t, events[:n]); err != nil {
			return err
		}
		events = events[n:]
	}
	return nil
}

func (s *Store) keepLogs(ctx context.Context, arn string, st *LogState) error {
	raw, err := json.Marshal(st)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.logStates[arn] == nil {
		return nil
	}
	var b engine.Batch
	b.Set([]byte(logPrefix+arn), raw)
	if err := s.config.Meta.Commit(ctx, &b); err != nil {
		return err
	}
	kept := *st
	s.logStates[arn] = &kept
	return nil
}

func (s *Store) rememberLogs(arn string, st *LogState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.logStates[arn] != nil {
		kept := *st
		s.logStates[arn] = &kept
	}
}

// setLogWork and dropLogWork are called under the lock of a trail's logs; the map is shared.
func (s *Store) setLogWork(arn string, w *logWork) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logWork[arn] = w
}

func (s *Store) dropLogWork(arn string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.logWork[arn]; w != nil {
		w.close()
		delete(s.logWork, arn)
	}
}

// LogStream is the stream in its group that a trail writes.
func (t *Trail) LogStream() string { return t.Account + "_CloudTrail_" + t.Region }

// LogGroupName is the name in LogGroup, which is an ARN that ends in ":*".
func (t *Trail) LogGroupName() string {
	_, name, _ := strings.Cut(t.LogGroup, ":log-group:")
	return strings.TrimSuffix(name, ":*")
}
