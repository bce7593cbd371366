package trail

import (
	"context"
	"reflect"
	"time"

	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
)

// Conclusion delivers, after a trail was stopped or deleted, what happened up to the record of the request that did it,
// which is not written before the request has ended. Nil: there is nothing to deliver.
type Conclusion func(ctx context.Context)

// conclusion is that of t, which logs and whose last files were delivered. Under mu.
func (s *Store) conclusion(g authz.Grant, t *Trail) Conclusion {
	request := g.Event()
	if request == nil {
		return nil
	}
	e := &ending{s: s, trail: *t, request: request, ended: s.config.Now()}
	if st := s.states[t.ARN()]; st != nil {
		e.state = *st
	}
	if st := s.logStates[t.ARN()]; st != nil {
		e.logs = *st
	}
	return e.conclude
}

// ending is the end of a trail's logging.
type ending struct {
	s       *Store
	trail   Trail // as it was
	state   State
	logs    LogState
	request *audit.Event
	ended   time.Time
}

func (e *ending) conclude(ctx context.Context) {
	ctx, t := context.WithoutCancel(ctx), &e.trail
	unlock := e.s.lock(t.ARN())
	defer unlock()
	if now, err := e.s.Find(t.ARN()); err == nil && now.Logging {
		return // it was started again meanwhile
	}
	if err := e.file(ctx); err != nil {
		e.s.config.Log.Warn("trail: the record of its end is not delivered", "trail", t.ARN(), "bucket", t.Bucket, "err", err)
	}
	if t.LogGroup == "" || e.s.config.Logs == nil {
		return
	}
	if err := e.group(ctx); err != nil {
		e.s.config.Log.Warn("trail: the record of its end is not delivered", "trail", t.ARN(), "group", t.LogGroup, "err", err)
	}
}

// file puts a log file, and a digest that has it.
func (e *ending) file(ctx context.Context) error {
	f := newFile(e.trail.Validation)
	if err := e.entries(e.state.Management, e.state.Data, f.add); err != nil || f.records == 0 {
		return err
	}
	if err := f.end(); err != nil {
		return err
	}
	if err := e.s.putFile(ctx, &e.trail, &e.state, f); err != nil || !e.trail.Validation {
		return err
	}
	return e.s.digest(ctx, &e.trail, &e.state, true)
}

func (e *ending) group(ctx context.Context) error {
	var events []LogEvent
	err := e.entries(e.logs.Management, e.logs.Data, func(entry *audit.Entry) {
		events = append(events, LogEvent{entry.Time().UnixMilli(), string(entry.Record)})
	})
	if err != nil {
		return err
	}
	return e.s.putLogs(ctx, &e.trail, events)
}

// entries gives what the trail takes of both journals from two places on, up to the record of the request.
func (e *ending) entries(management, data uint64, take func(*audit.Entry)) error {
	for _, from := range []*audit.Reader{e.s.config.Record.Management().Reader(management), e.s.config.Record.Data().Reader(data)} {
		defer from.Close()
		for taken, ended := 0, false; !ended && taken < maxRecords; {
			entries, err := from.Ready(readAtOnce)
			if err != nil {
				return err
			}
			ended = len(entries) == 0
			for i := range entries {
				entry := &entries[i]
				ended = entry.ID == e.request.ID && entry.Category == audit.CategoryManagement
				if (ended || !entry.Time().After(e.ended)) && e.trail.takes(&entry.Note) {
					take(entry)
					taken++
				}
				if ended {
					break
				}
			}
		}
	}
	return nil
}

// before delivers, before a trail is changed, what it was to have as it was. What comes next is delivered after the call of
// unlock.
func (s *Store) before(ctx context.Context, old, next *Trail) (unlock func()) {
	if !old.Logging || old.Bucket == next.Bucket && old.Prefix == next.Prefix && old.GlobalEvents == next.GlobalEvents && old.LogGroup == next.LogGroup &&
		reflect.DeepEqual(old.Selectors, next.Selectors) && reflect.DeepEqual(old.Advanced, next.Advanced) {
		return func() {}
	}
	ctx = context.WithoutCancel(ctx)
	s.settle(old)
	unlock = s.lock(old.ARN())
	s.bring(ctx, old.ARN(), false)
	s.logs(ctx, old)
	return unlock
}

// settle has what happened before on disk, where deliveries read it.
func (s *Store) settle(t *Trail) {
	if err := s.config.Record.Settle(); err != nil {
		s.config.Log.Warn("trail: data events of before a change are not durable", "trail", t.ARN(), "err", err)
	}
}

// endings are the requests that may end, or narrow, what a trail gets: it gets these whatever its selectors say.
var endings = map[string]bool{"StopLogging": true, "DeleteTrail": true, "UpdateTrail": true, "PutEventSelectors": true}

// ends tells whether a record is of such a request.
func (t *Trail) ends(n *audit.Note) bool {
	return n.Source == Service && endings[n.Name] && n.ARN == t.ARN()
}
