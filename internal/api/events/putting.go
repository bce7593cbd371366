package events

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"

	"github.com/google/uuid"
	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/eventswire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/event"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/policy"
)

func (e edge) putting() []*api.Op {
	return []*api.Op{answer(&eventswire.PutEvents, api.Write, e.putEventsDemands, e.putEvents)}
}

// putEventsDemands asks for each entry: bus, source and type of the event are its own.
func (e edge) putEventsDemands(account string, in *eventswire.PutEventsInput) ([]authz.Demand, error) {
	var demands []authz.Demand
	for i := range in.Entries {
		entry := &in.Entries[i]
		owner, name, err := e.events.BusName(account, member.Text(entry.EventBusName))
		if err != nil {
			return nil, err
		}
		k := keys{"events:eventbusinvocation": policy.Values{One: "false"}}
		k.many("events:source", one(entry.Source)).many("events:detail-type", one(entry.DetailType))
		demands = append(demands, authz.Demand{Action: "events:PutEvents", Resource: e.events.BusResource(owner, name), Keys: k})
	}
	return demands, nil
}

func one(s *string) []string {
	if s == nil {
		return nil
	}
	return []string{*s}
}

func (e edge) putEvents(ctx context.Context, g authz.Grant, account string, in *eventswire.PutEventsInput) (*eventswire.PutEventsOutput, error) {
	if in.EndpointId != nil {
		return nil, fault.New(event.Invalid, "Parameter EndpointId is not supported by this server.")
	}
	size := 0
	for i := range in.Entries {
		size += entrySize(&in.Entries[i])
	}
	if size > event.MaxEvent {
		return nil, fault.New(event.Invalid, "Total size of the entries in the request is over the limit.")
	}
	out := &eventswire.PutEventsOutput{FailedEntryCount: new(int32)}
	for i := range in.Entries {
		result, err := e.putEntry(ctx, g, account, &in.Entries[i])
		if err != nil {
			return nil, err
		}
		if result.ErrorCode != nil {
			*out.FailedEntryCount++
		}
		out.Entries = append(out.Entries, result)
	}
	return out, nil
}

// entrySize is what an entry counts (EventBridge User Guide, "Calculating event entry size").
func entrySize(entry *eventswire.PutEventsRequestEntry) int {
	n := len(member.Text(entry.Source)) + len(member.Text(entry.DetailType)) + len(member.Text(entry.Detail))
	if entry.Time != nil {
		n += 14
	}
	for _, r := range entry.Resources {
		n += len(r)
	}
	return n
}

func failed(code, message string) eventswire.PutEventsResultEntry {
	return eventswire.PutEventsResultEntry{ErrorCode: &code, ErrorMessage: &message}
}

func (e edge) putEntry(ctx context.Context, g authz.Grant, account string, entry *eventswire.PutEventsRequestEntry) (eventswire.PutEventsResultEntry, error) {
	for _, needed := range []struct {
		name  string
		value *string
	}{{"Source", entry.Source}, {"DetailType", entry.DetailType}, {"Detail", entry.Detail}} {
		if member.Text(needed.value) == "" {
			return failed("InvalidArgument", "Parameter "+needed.name+" is not valid. Reason: "+needed.name+" is a required argument."), nil
		}
	}
	if strings.HasPrefix(*entry.Source, "aws.") || *entry.Source == "kura" {
		return failed("NotAuthorizedForSourceException", "Not authorized for the source."), nil
	}
	detail, ok := objectOf(*entry.Detail)
	if !ok {
		return failed("MalformedDetail", "Detail is malformed."), nil
	}
	owner, bus, err := e.events.BusName(account, member.Text(entry.EventBusName))
	if err != nil {
		return eventswire.PutEventsResultEntry{}, err
	}
	in := event.Entry{Account: owner, Bus: bus, Source: *entry.Source, DetailType: *entry.DetailType, Detail: detail, Resources: entry.Resources}
	if entry.Time != nil {
		in.Time = *entry.Time
	}
	id, err := e.events.PutEntry(ctx, g, in)
	if fault.Is(err, event.NotFound) {
		// AWS accepts events for a bus that is not there, and drops them.
		return eventswire.PutEventsResultEntry{EventId: new(uuid.NewString())}, nil
	}
	return eventswire.PutEventsResultEntry{EventId: &id}, err
}

// objectOf is a JSON object without the blanks around it.
func objectOf(s string) (string, bool) {
	raw := bytes.TrimSpace([]byte(s))
	if len(raw) == 0 || raw[0] != '{' || !json.Valid(raw) {
		return "", false
	}
	return string(raw), true
}
