package event

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"github.com/kura-s3/kura/internal/engine"
)

// Event is one event, as the pattern language and targets see it.
type Event struct {
	// ID is given by Publish when it is empty: 36 characters of a UUID.
	ID string
	// Source and DetailType say who tells and what: "aws.s3", "Object Created". Required.
	Source, DetailType string
	// Account and Region that the event is about. Account is required; Region is the store's when empty.
	Account, Region string
	// Time of what is told. Now when zero.
	Time time.Time
	// Resources are ARNs. Detail is a JSON object. Required.
	Resources []string
	Detail    json.RawMessage
	// ReadOnly marks calls that changed nothing: only rules that ask for all management events get them.
	ReadOnly bool
	// Replay names the replay that tells the event again.
	Replay string
	// hops counts the buses that sent the event on.
	hops int
}

// Bus takes the events of Kura's own services. They go to the default bus of their account.
type Bus interface {
	// Publish routes events to the rules' targets. With a batch, everything is written by the commit
	// that the caller makes of it, and the caller calls committed once that commit has succeeded (for
	// a consumer of the change feed: after feed.Done with the batch as extra). Without one Publish
	// commits by itself and calls committed.
	Publish(ctx context.Context, b *engine.Batch, events ...Event) (committed func(), err error)
}

// document is the form that travels.
type document struct {
	Version    string          `json:"version"`
	ID         string          `json:"id"`
	DetailType string          `json:"detail-type"`
	Source     string          `json:"source"`
	Account    string          `json:"account"`
	Time       string          `json:"time"`
	Region     string          `json:"region"`
	Resources  []string        `json:"resources"`
	Detail     json.RawMessage `json:"detail"`
	Replay     string          `json:"replay-name,omitempty"`
}

const eventTime = "2006-01-02T15:04:05Z"

// raw is the event as JSON.
func (e *Event) raw() ([]byte, error) {
	resources := e.Resources
	if resources == nil {
		resources = []string{}
	}
	return compactJSON(document{
		Version: "0", ID: e.ID, DetailType: e.DetailType, Source: e.Source, Account: e.Account,
		Time: e.Time.UTC().Format(eventTime), Region: e.Region, Resources: resources, Detail: e.Detail, Replay: e.Replay,
	})
}

// parseEvent reads what raw made.
func parseEvent(raw []byte) (Event, error) {
	var d document
	if err := json.Unmarshal(raw, &d); err != nil {
		return Event{}, err
	}
	at, err := time.Parse(eventTime, d.Time)
	if err != nil {
		return Event{}, err
	}
	return Event{
		ID: d.ID, Source: d.Source, DetailType: d.DetailType, Account: d.Account, Region: d.Region, Time: at,
		Resources: d.Resources, Detail: d.Detail, Replay: d.Replay,
	}, nil
}

// compactJSON is the JSON of v with &, < and > as they are.
func compactJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
