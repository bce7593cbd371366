package logs

import (
	"context"
	"math"
	"strings"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/logswire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/logs"
	"github.com/kura-s3/kura/internal/logs/pattern"
)

func (e edge) eventOps() []*api.Op {
	return []*api.Op{
		on(e, &logswire.PutLogEvents, audit.Data, api.Write, "logs:PutLogEvents",
			func(_ edge, c *api.Call, in *logswire.PutLogEventsInput) (place, error) {
				return place{account(c), member.Text(in.LogGroupName), member.Text(in.LogStreamName)}, nil
			}, e.put),
		e.getEvents(), e.filterEvents(),
	}
}

func (e edge) put(ctx context.Context, g authz.Grant, at place, in *logswire.PutLogEventsInput) (*logswire.PutLogEventsOutput, error) {
	events := make([]logs.Input, len(in.LogEvents))
	for i, ev := range in.LogEvents {
		events[i] = logs.Input{Message: member.Text(ev.Message)}
		if ev.Timestamp != nil {
			events[i].Time = *ev.Timestamp
		}
	}
	r, sequence, err := e.logs.Put(ctx, g, at.account, at.group, at.stream, events)
	if err != nil {
		return nil, err
	}
	out := &logswire.PutLogEventsOutput{NextSequenceToken: sequenceToken(sequence)}
	if r != (logs.Rejected{}) {
		out.RejectedLogEventsInfo = &logswire.RejectedLogEventsInfo{
			TooNewLogEventStartIndex: r.TooNew, TooOldLogEventEndIndex: r.TooOldEnd, ExpiredLogEventEndIndex: r.ExpiredEnd,
		}
	}
	if in.Entity != nil { // what it is about would be shown by parts of CloudWatch that Kura does not have
		out.RejectedEntityInfo = &logswire.RejectedEntityInfo{ErrorType: logswire.EntityRejectionErrorTypeUnsupportedLogGroupType}
	}
	return out, nil
}

// unmask asks for the permission to see data that is masked. Nothing is, but who has no right to ask is refused.
func (e edge) unmask(c *api.Call, at place, asked *bool) {
	if member.True(asked) {
		d := e.logs.Demand(at.account, at.group, at.stream, "logs:Unmask")
		c.Need(d.Action, d.Resource, d.Keys)
	}
}

// within is the range of times; further is how much later than the last one a range ends.
func within(from, to *int64, further int64) (logs.Range, error) {
	r := logs.Always
	if from != nil {
		r.From = *from
	}
	if to != nil && *to < math.MaxInt64-further {
		r.To = *to + further
	}
	if r.To < r.From {
		return r, refuse(logs.Invalid, "The start time must not be later than the end time.")
	}
	return r, nil
}

// The tokens of GetLogEvents: which way, and from where.
const (
	forwardToken  = "f/"
	backwardToken = "b/"
)

func (e edge) getEvents() *api.Op {
	where := func(c *api.Call, in *logswire.GetLogEventsInput) (place, error) {
		at, err := e.identified(c, in.LogGroupName, in.LogGroupIdentifier)
		at.stream = member.Text(in.LogStreamName)
		return at, err
	}
	return api.Declare(api.Decl[logswire.GetLogEventsInput, logswire.GetLogEventsOutput]{
		Wire: &logswire.GetLogEvents, Class: audit.Data, Access: api.Read,
		Demands: func(c *api.Call, in *logswire.GetLogEventsInput) ([]authz.Demand, error) {
			at, err := where(c, in)
			if err != nil {
				return nil, err
			}
			e.unmask(c, at, in.Unmask)
			d := e.logs.Demand(at.account, at.group, at.stream, "logs:GetLogEvents")
			return c.Need(d.Action, d.Resource, d.Keys), nil
		},
		Do: func(ctx context.Context, g authz.Grant, c *api.Call, in *logswire.GetLogEventsInput) (*logswire.GetLogEventsOutput, error) {
			at, err := where(c, in)
			if err != nil {
				return nil, err
			}
			r, err := reading(in)
			if err != nil {
				return nil, err
			}
			page, err := e.logs.Read(ctx, g, at.account, at.group, at.stream, r)
			if err != nil {
				return nil, err
			}
			return &logswire.GetLogEventsOutput{
				Events: member.Every(page.Events, func(ev logs.Event) logswire.OutputLogEvent {
					return logswire.OutputLogEvent{Timestamp: &ev.Time, Message: &ev.Message, IngestionTime: &ev.Ingestion}
				}),
				NextForwardToken: new(forwardToken + positionText(page.Forward)), NextBackwardToken: new(backwardToken + positionText(page.Backward)),
			}, nil
		},
	})
}

func reading(in *logswire.GetLogEventsInput) (logs.Reading, error) {
	r := logs.Reading{Limit: member.Number(in.Limit), FromHead: member.True(in.StartFromHead)}
	var err error
	if r.Range, err = within(in.StartTime, in.EndTime, 0); err != nil || in.NextToken == nil {
		return r, err
	}
	text, forward := strings.CutPrefix(*in.NextToken, forwardToken)
	backward := false
	if !forward {
		text, backward = strings.CutPrefix(text, backwardToken)
	}
	p, ok := parsePosition(text)
	if !ok || !forward && !backward {
		return r, refuse(logs.Invalid, "The specified nextToken is invalid.")
	}
	r.At, r.Forward = &p, forward
	return r, nil
}

func (e edge) filterEvents() *api.Op {
	return api.Declare(api.Decl[logswire.FilterLogEventsInput, logswire.FilterLogEventsOutput]{
		Wire: &logswire.FilterLogEvents, Class: audit.Data, Access: api.List,
		Demands: func(c *api.Call, in *logswire.FilterLogEventsInput) ([]authz.Demand, error) {
			at, err := e.identified(c, in.LogGroupName, in.LogGroupIdentifier)
			if err != nil {
				return nil, err
			}
			e.unmask(c, at, in.Unmask)
			d := e.logs.Demand(at.account, at.group, "", "logs:FilterLogEvents")
			return c.Need(d.Action, d.Resource, d.Keys), nil
		},
		Do: func(ctx context.Context, g authz.Grant, c *api.Call, in *logswire.FilterLogEventsInput) (*logswire.FilterLogEventsOutput, error) {
			at, err := e.identified(c, in.LogGroupName, in.LogGroupIdentifier)
			if err != nil {
				return nil, err
			}
			f, err := filtering(in)
			if err != nil {
				return nil, err
			}
			events, next, err := e.logs.Filter(ctx, g, at.account, at.group, f)
			if err != nil {
				return nil, err
			}
			out := &logswire.FilterLogEventsOutput{
				SearchedLogStreams: []logswire.SearchedLogStream{}, // as at AWS since 2020
				Events: member.Every(events, func(ev logs.Event) logswire.FilteredLogEvent {
					return logswire.FilteredLogEvent{
						LogStreamName: &ev.Stream, Timestamp: &ev.Time, Message: &ev.Message, IngestionTime: &ev.Ingestion, EventId: new(positionText(ev.Position)),
					}
				}),
			}
			if next != nil {
				out.NextToken = new(positionText(*next))
			}
			return out, nil
		},
	})
}

func filtering(in *logswire.FilterLogEventsInput) (f logs.Filtering, err error) {
	f = logs.Filtering{Limit: member.Number(in.Limit), Streams: in.LogStreamNames, Prefix: member.Text(in.LogStreamNamePrefix)}
	if len(f.Streams) > 0 && f.Prefix != "" {
		return f, refuse(logs.Invalid, "logStreamNames and logStreamNamePrefix are mutually exclusive.")
	}
	if f.Range, err = within(in.StartTime, in.EndTime, 1); err != nil {
		return f, err
	}
	if in.NextToken != nil {
		var ok bool
		if f.At, ok = parsePosition(*in.NextToken); !ok {
			return f, refuse(logs.Invalid, "The specified nextToken is invalid.")
		}
	}
	if text := member.Text(in.FilterPattern); strings.TrimSpace(text) != "" {
		p, err := parse(text)
		if err != nil {
			return f, err
		}
		f.Match = func(message []byte) bool { return p.Match(string(message)) }
	}
	return f, nil
}

func (e edge) testFilter(_ context.Context, _ authz.Grant, _ *api.Call, in *logswire.TestMetricFilterInput) (*logswire.TestMetricFilterOutput, error) {
	p, err := parse(member.Text(in.FilterPattern))
	if err != nil {
		return nil, err
	}
	out := &logswire.TestMetricFilterOutput{Matches: []logswire.MetricFilterMatchRecord{}}
	for i, message := range in.LogEventMessages {
		if values, ok := p.Extract(message); ok {
			out.Matches = append(out.Matches, logswire.MetricFilterMatchRecord{EventNumber: new(int64(i + 1)), EventMessage: &message, ExtractedValues: given(values)})
		}
	}
	return out, nil
}

func parse(text string) (*pattern.Pattern, error) {
	p, err := pattern.Parse(text)
	if err != nil {
		reason := err.Error()
		return nil, refuse(logs.Invalid, "%s%s", strings.ToUpper(reason[:1]), reason[1:])
	}
	return p, nil
}
