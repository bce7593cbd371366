package cloudtrail

import (
	"context"
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/cloudtrailwire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/job/trail"
)

func (e edge) historyOps() []*api.Op {
	return []*api.Op{
		answer(e, &cloudtrailwire.LookupEvents, api.List, nil, nil, e.lookupEvents),
		answer(e, &cloudtrailwire.ListPublicKeys, api.Read, nil, nil, e.listPublicKeys),
	}
}

// listTagsOp demands the action on every trail that is named.
func (e edge) listTagsOp() *api.Op {
	return api.Declare(api.Decl[cloudtrailwire.ListTagsInput, cloudtrailwire.ListTagsOutput]{
		Wire: &cloudtrailwire.ListTags, Class: audit.Management, Access: api.Read,
		Demands: func(c *api.Call, in *cloudtrailwire.ListTagsInput) ([]authz.Demand, error) {
			var demands []authz.Demand
			for _, id := range in.ResourceIdList {
				arn, err := e.arn(c.Caller.Subject.Principal.Account, &id)
				if err != nil {
					return nil, err
				}
				demands = c.Need("cloudtrail:ListTags", authz.Resource{ARN: arn, Account: strings.Split(arn, ":")[4]}, nil)
			}
			if demands == nil {
				return nil, fault.New(notProvided, "")
			}
			return demands, nil
		},
		Do: func(_ context.Context, g authz.Grant, _ *api.Call, in *cloudtrailwire.ListTagsInput) (*cloudtrailwire.ListTagsOutput, error) {
			out := &cloudtrailwire.ListTagsOutput{ResourceTagList: []cloudtrailwire.ResourceTag{}}
			for _, id := range in.ResourceIdList {
				t, err := e.trailOf(g, &id)
				if err != nil {
					return nil, fault.New(resourceNotFound, "The resource was not found: "+id)
				}
				if err := g.Require("cloudtrail:ListTags", t.ARN()); err != nil {
					return nil, err
				}
				out.ResourceTagList = append(out.ResourceTagList, cloudtrailwire.ResourceTag{
					ResourceId: new(id), TagsList: member.Every(t.Tags, func(tag trail.Tag) cloudtrailwire.Tag {
						return cloudtrailwire.Tag{Key: new(tag.Key), Value: new(tag.Value)}
					}),
				})
			}
			return out, nil
		},
	})
}

// attributes are what events can be looked up by.
var attributes = map[cloudtrailwire.LookupAttributeKey]func(q *audit.Query, value string) error{
	"EventId":      func(q *audit.Query, v string) error { q.Event = v; return nil },
	"EventName":    func(q *audit.Query, v string) error { q.Name = v; return nil },
	"Username":     func(q *audit.Query, v string) error { q.UserName = v; return nil },
	"ResourceType": func(q *audit.Query, v string) error { q.Type = v; return nil },
	"ResourceName": func(q *audit.Query, v string) error { q.Resource = v; return nil },
	"EventSource":  func(q *audit.Query, v string) error { q.Source = v; return nil },
	"AccessKeyId":  func(q *audit.Query, v string) error { q.KeyID = v; return nil },
	"ReadOnly": func(q *audit.Query, v string) error {
		read, err := strconv.ParseBool(v)
		if err != nil {
			return fault.New(badAttributes, "ReadOnly is true or false.")
		}
		q.ReadOnly = &read
		return nil
	},
}

// history is how far back LookupEvents looks.
const history = 90 * 24 * time.Hour

const maxEvents = 50

// lookupEvents finds management events of the caller's account, the newest first.
func (e edge) lookupEvents(ctx context.Context, g authz.Grant, in *cloudtrailwire.LookupEventsInput) (*cloudtrailwire.LookupEventsOutput, error) {
	if err := g.Require("cloudtrail:LookupEvents", "*"); err != nil {
		return nil, err
	}
	q, most, err := queryOf(g.Principal().Account, in)
	if err != nil {
		return nil, err
	}
	out := &cloudtrailwire.LookupEventsOutput{Events: []cloudtrailwire.Event{}}
	if in.EventCategory != "" { // there are no Insights events
		return out, nil
	}
	last := uint64(0)
	err = audit.Find(ctx, e.auditDir, audit.StreamManagement, q, func(entry *audit.Entry) bool {
		if len(out.Events) == most {
			out.NextToken = new(base64.RawURLEncoding.EncodeToString([]byte("1." + strconv.FormatUint(last, 10))))
			return false
		}
		last = entry.Seq
		out.Events = append(out.Events, showEvent(entry))
		return true
	})
	return out, err
}

func queryOf(account string, in *cloudtrailwire.LookupEventsInput) (*audit.Query, int, error) {
	q := &audit.Query{Account: account, Category: audit.CategoryManagement, Newest: true, Since: time.Now().Add(-history)}
	if in.StartTime != nil && in.EndTime != nil && in.StartTime.After(*in.EndTime) {
		return nil, 0, fault.New(badTimeRange, "")
	}
	if in.StartTime != nil && in.StartTime.After(q.Since) {
		q.Since = *in.StartTime
	}
	if in.EndTime != nil {
		q.Until = in.EndTime.Add(time.Second) // included, to the second
	}
	most := maxEvents
	if in.MaxResults != nil {
		if most = int(*in.MaxResults); most < 1 || most > maxEvents {
			return nil, 0, fault.New(badMaxResults, "")
		}
	}
	if len(in.LookupAttributes) > 1 {
		return nil, 0, fault.New(badAttributes, "Only one lookup attribute can be given.")
	}
	for _, a := range in.LookupAttributes {
		set := attributes[a.AttributeKey]
		if set == nil || member.Text(a.AttributeValue) == "" {
			return nil, 0, fault.New(badAttributes, "Not a lookup attribute with a value: "+string(a.AttributeKey))
		}
		if err := set(q, member.Text(a.AttributeValue)); err != nil {
			return nil, 0, err
		}
	}
	if token := member.Text(in.NextToken); token != "" {
		raw, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil {
			return nil, 0, fault.New(badToken, "")
		}
		place, ok := strings.CutPrefix(string(raw), "1.")
		if q.Before, err = strconv.ParseUint(place, 10, 64); err != nil || !ok {
			return nil, 0, fault.New(badToken, "")
		}
	}
	return q, most, nil
}

func showEvent(e *audit.Entry) cloudtrailwire.Event {
	shown := cloudtrailwire.Event{
		EventId: new(e.Event), EventName: new(e.Name), ReadOnly: new(strconv.FormatBool(e.ReadOnly)), AccessKeyId: member.Given(e.KeyID),
		EventTime: new(e.Time().Truncate(time.Second)), EventSource: new(e.Source), Username: member.Given(e.UserName),
		Resources: []cloudtrailwire.Resource{}, CloudTrailEvent: new(string(e.Record)),
	}
	if e.ARN != "" {
		shown.Resources = append(shown.Resources, cloudtrailwire.Resource{ResourceType: new(e.Type), ResourceName: new(e.Resource())})
	}
	return shown
}

func (e edge) listPublicKeys(ctx context.Context, g authz.Grant, in *cloudtrailwire.ListPublicKeysInput) (*cloudtrailwire.ListPublicKeysOutput, error) {
	until := time.Now()
	if in.EndTime != nil {
		until = *in.EndTime
	}
	since := until
	if in.StartTime != nil {
		since = *in.StartTime
	}
	if since.After(until) {
		return nil, fault.New(badTimeRange, "")
	}
	found, err := e.trails.PublicKeys(ctx, g, since, until)
	if err != nil {
		return nil, err
	}
	return &cloudtrailwire.ListPublicKeysOutput{PublicKeyList: member.Every(found, func(k trail.PublicKey) cloudtrailwire.PublicKey {
		return cloudtrailwire.PublicKey{Value: k.DER, ValidityStartTime: new(k.From), ValidityEndTime: new(k.Until), Fingerprint: new(k.Fingerprint)}
	})}, nil
}
