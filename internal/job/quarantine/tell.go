package quarantine

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/kura-s3/kura/internal/event"
	"github.com/kura-s3/kura/internal/finding"
)

// exposed is the detail of the event, as AWS Health tells of exposed credentials.
type exposed struct {
	EventARN         string        `json:"eventArn"`
	Service          string        `json:"service"`
	TypeCode         string        `json:"eventTypeCode"`
	Category         string        `json:"eventTypeCategory"`
	Scope            string        `json:"eventScopeCode"`
	Communication    string        `json:"communicationId"`
	StartTime        string        `json:"startTime"`
	LastUpdatedTime  string        `json:"lastUpdatedTime"`
	Status           string        `json:"statusCode"`
	Region           string        `json:"eventRegion"`
	Description      []description `json:"eventDescription"`
	AffectedEntities []entity      `json:"affectedEntities"`
	AffectedAccount  string        `json:"affectedAccount"`
	Page             string        `json:"page"`
	TotalPages       string        `json:"totalPages"`
	BackupEvent      string        `json:"backupEvent"`
	EventMetadata    metadata      `json:"eventMetadata"`
}

type description struct {
	Language string `json:"language"`
	Latest   string `json:"latestDescription"`
}

type entity struct {
	Value string `json:"entityValue"`
}

// metadata says in single members what the description says in a sentence.
type metadata struct {
	UserName    string `json:"userName"`
	Bucket      string `json:"bucket"`
	Key         string `json:"key"`
	Uploader    string `json:"uploader"`
	Quarantined bool   `json:"quarantined"`
}

// announce tells of a key that leaked.
func (q *Quarantine) announce(ctx context.Context, l *Leak, contained bool) error {
	p, now := &l.Credential.Subject.Principal, q.now().UTC()
	uploader := finding.WhoCalled(l.Event, p.Account)
	leaked := finding.Who{Principal: *p, AccessKey: l.KeyID}
	details, place := leaked.Details(), finding.Clean(l.Event.Bucket+"/"+l.Event.Key)
	text := "The access key " + l.KeyID + " of " + details.UserName + " stands, with its secret, in the object " + place + ", which " + uploader.Name() + " uploaded."
	if contained {
		text += " It is quarantined: everything that is asked with it is denied. Make a new key, delete this one, then detach AWSDenyAll."
	} else {
		text += " It could NOT be quarantined. Make it inactive at once."
	}
	raw, err := json.Marshal(exposed{
		EventARN: "arn:aws:health:global::event/RISK/AWS_RISK_CREDENTIALS_EXPOSED/" + newID(), Service: "RISK", TypeCode: "AWS_RISK_CREDENTIALS_EXPOSED",
		Category: "issue", Scope: "ACCOUNT_SPECIFIC", Communication: newID(), StartTime: now.Format(time.RFC1123), LastUpdatedTime: now.Format(time.RFC1123),
		Status: "open", Region: q.config.Region, Description: []description{{"en_US", text}}, AffectedEntities: []entity{{l.KeyID}}, AffectedAccount: p.Account,
		Page: "1", TotalPages: "1", BackupEvent: "false",
		EventMetadata: metadata{UserName: details.UserName, Bucket: l.Event.Bucket, Key: finding.Clean(l.Event.Key), Uploader: uploader.Name(), Quarantined: contained},
	})
	if err != nil {
		return err
	}
	_, err = q.config.Bus.Publish(ctx, nil, event.Event{
		Source: "aws.health", DetailType: "AWS Health Event", Account: p.Account, Time: now, Resources: []string{l.KeyID}, Detail: raw,
	})
	return errors.Join(err, q.report(ctx, l, finding.CredentialsExposed, "The access key "+l.KeyID+" was exposed in an object.", text, details, &uploader))
}

// mention tells of a key's id in an object.
func (q *Quarantine) mention(ctx context.Context, l *Leak) error {
	account, user, ok := q.config.Identities.KeyOwner(l.KeyID)
	if !ok || !q.first(l.KeyID+" "+l.Event.Bucket) {
		return nil
	}
	details := &finding.AccessKeyDetails{AccessKeyID: l.KeyID, UserName: user, UserType: "IAMUser"}
	if user == "" {
		user = "the root user"
		details.UserName, details.UserType = "Root", "Root"
	}
	uploader := finding.WhoCalled(l.Event, account)
	text := "The id of the access key " + l.KeyID + " of " + finding.Clean(user) + " stands, without its secret, in the object " +
		finding.Clean(l.Event.Bucket+"/"+l.Event.Key) + ", which " + uploader.Name() + " uploaded."
	return q.report(ctx, l, finding.KeyIDExposed, "The id of the access key "+l.KeyID+" stands in an object.", text, details, &uploader)
}

func (q *Quarantine) report(ctx context.Context, l *Leak, typ, title, text string, details *finding.AccessKeyDetails, uploader *finding.Who) error {
	return q.config.Findings.Report(ctx, nil, finding.Sighting{
		Account: uploader.Account, Type: typ, Severity: finding.SeverityOf(typ), Actor: l.KeyID, Title: title, Description: text,
		Resource: finding.Resource{ResourceType: finding.AccessKey, AccessKeyDetails: details},
		Call:     uploader.Call("s3.amazonaws.com", l.Event.Operation, ""),
		Info:     finding.InfoOf(map[string]string{"bucket": l.Event.Bucket, "key": finding.Clean(l.Event.Key), "uploader": uploader.Name()}),
	})
}
