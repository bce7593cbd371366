package recorder

import (
	"encoding/json"
	"time"

	"github.com/kura-s3/kura/internal/posture"
)

// The events that AWS Config sends.

// Their source, and their kinds.
const (
	source           = "aws.config"
	complianceChange = "Config Rules Compliance Change"
	itemChange       = "Config Configuration Item Change"
)

// stamp is the form of times in events.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func (s *Store) event(account, kind string, detail object) posture.Event {
	return posture.Event{
		Source: source, DetailType: kind, Account: account, Region: s.region, Time: s.now().UTC(), Resources: []string{}, Detail: detail,
	}
}

func (s *Store) complianceChange(ru *Rule, at ref, old, next *Result) posture.Event {
	detail := object{
		"resourceId": at.id, "awsRegion": s.region, "awsAccountId": ru.Account, "configRuleName": ru.Name, "recordVersion": "1.0",
		"configRuleARN": ru.ARN, "messageType": "ComplianceChangeNotification", "newEvaluationResult": resultShape(ru, at, next),
		"notificationCreationTime": stamp(s.now()), "resourceType": at.typ,
	}
	if old != nil {
		detail["oldEvaluationResult"] = resultShape(ru, at, old)
	}
	return s.event(ru.Account, complianceChange, detail)
}

func resultShape(ru *Rule, at ref, r *Result) object {
	o := object{
		"evaluationResultIdentifier": object{
			"evaluationResultQualifier": object{"configRuleName": ru.Name, "resourceType": at.typ, "resourceId": at.id, "evaluationMode": "DETECTIVE"},
			"orderingTimestamp":         stamp(r.Ordering),
		},
		"complianceType": r.Compliance, "resultRecordedTime": stamp(r.Recorded), "configRuleInvokedTime": stamp(r.Invoked),
	}
	if r.Annotation != "" {
		o["annotation"] = r.Annotation
	}
	return o
}

// changeTypes say what an item means.
var changeTypes = map[string]string{statusOK: "UPDATE", statusDiscovered: "CREATE", statusDeleted: "DELETE"}

func (s *Store) itemChange(it *Item) posture.Event {
	e := s.event(it.Account, itemChange, object{
		"recordVersion": "1.3", "messageType": "ConfigurationItemChangeNotification", "notificationCreationTime": stamp(s.now()),
		"configurationItemDiff": object{"changedProperties": object{}, "changeType": changeTypes[it.Status]},
		"configurationItem":     it.Shape(),
	})
	e.Resources = []string{it.ARN}
	if it.ARN == "" {
		e.Resources = []string{}
	}
	return e
}

// Shape is the item as snapshots and events show it.
func (it *Item) Shape() map[string]any {
	supplementary := map[string]json.RawMessage{}
	for name, raw := range it.Supplementary {
		supplementary[name] = json.RawMessage(raw)
	}
	if it.Change != nil {
		if raw, err := json.Marshal(it.Change); err == nil {
			supplementary["Change"] = raw
		}
	}
	o := object{
		"configurationItemVersion": "1.3", "configurationItemCaptureTime": stamp(it.Captured), "configurationStateId": it.State,
		"awsAccountId": it.Account, "configurationItemStatus": it.Status, "resourceType": it.Type, "resourceId": it.ID, "resourceName": it.Name,
		"ARN": it.ARN, "awsRegion": it.Region, "availabilityZone": "Regional", "configurationStateMd5Hash": "", "tags": it.Tags,
		"relatedEvents": it.Related(), "relationships": []any{}, "supplementaryConfiguration": supplementary,
	}
	if it.Tags == nil {
		o["tags"] = object{}
	}
	if !it.Created.IsZero() {
		o["resourceCreationTime"] = stamp(it.Created)
	}
	if it.Configuration != "" {
		o["configuration"] = json.RawMessage(it.Configuration)
	}
	return o
}

// Related are the requests that made the change.
func (it *Item) Related() []string {
	if it.Change == nil || it.Change.RequestID == "" {
		return []string{}
	}
	return []string{it.Change.RequestID}
}
