package finders

import (
	"context"
	"encoding/binary"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/finding"
	"github.com/kura-s3/kura/policy"
)

// Policy:IAMUser/RootCredentialUsage, Stealth:IAMUser/CloudTrailLoggingDisabled.
//
// What they find: a management call with the root user's credentials; a trail that was stopped or deleted.
// Why it matters: nobody's daily work needs root, which no policy holds back; and who wants to leave no traces
// stops the trail first.
// The check: the record of management calls says who called what, and how it was answered.

var cursorKey = []byte("finders/cursor")

// idle is how often the finder looks whether anybody wants findings.
const idle = 100 * time.Millisecond

// calls follows the record while any account has a detector. What was called before is not looked at.
func (f *Finder) calls(ctx context.Context) error {
	raw, _, err := f.config.Meta.Get(ctx, cursorKey, nil)
	if err != nil {
		return err
	}
	after := f.config.Journal.Last()
	if len(raw) == 8 && len(f.config.Findings.Watches()) > 0 {
		after = binary.BigEndian.Uint64(raw)
	}
	for len(f.config.Findings.Watches()) == 0 {
		if pause(ctx, idle); ctx.Err() != nil {
			return nil
		}
		after = f.config.Journal.Last()
	}
	reader := f.config.Journal.Reader(after)
	defer reader.Close()
	saved := f.now()
	for len(f.config.Findings.Watches()) > 0 {
		entries, err := reader.Next(ctx, slice)
		if err != nil || len(entries) == 0 {
			return err
		}
		watches := f.config.Findings.Watches()
		var seen []finding.Sighting
		for i := range entries {
			if watches[entries[i].Account] != nil {
				seen = append(seen, called(&entries[i])...)
			}
		}
		if len(seen) == 0 && f.now().Sub(saved) < saveEvery {
			continue
		}
		last := entries[len(entries)-1].Seq
		if err := f.config.Findings.Report(ctx, func(b *engine.Batch) error {
			b.Set(cursorKey, binary.BigEndian.AppendUint64(nil, last))
			return f.config.Meta.Commit(ctx, b)
		}, seen...); err != nil {
			return err
		}
		saved = f.now()
	}
	return nil
}

// saveEvery bounds how often the cursor alone is written.
const saveEvery = 5 * time.Second

// stops are the calls that stop a trail.
var stops = map[string]bool{"StopLogging": true, "DeleteTrail": true}

func called(e *audit.Entry) []finding.Sighting {
	var seen []finding.Sighting
	if e.User == "arn:aws:iam::"+e.Account+":root" {
		seen = append(seen, byCall(e, finding.RootUsed, "API "+e.Name+" was invoked using root credentials.",
			"called "+e.Name+" with the credentials of the account's root user."))
	}
	if e.Source == "cloudtrail.amazonaws.com" && stops[e.Name] && e.Error == "" {
		seen = append(seen, byCall(e, finding.TrailDisabled, "The CloudTrail trail "+finding.Clean(e.Resource())+" was disabled.",
			"called "+e.Name+": the trail "+finding.Clean(e.Resource())+" records nothing any more. This can be an attempt to hide what follows."))
	}
	return seen
}

// byCall is a finding about who made a recorded call.
func byCall(e *audit.Entry, typ, title, what string) finding.Sighting {
	p := policy.Principal{ARN: e.User, Name: e.UserName, UserID: e.User, Account: e.Account}
	switch parts := strings.Split(e.User, ":"); {
	case strings.HasSuffix(e.User, ":root"):
		p.Type, p.UserID = policy.RootUser, e.Account
	case strings.Contains(e.User, ":user/"):
		p.Type = policy.IAMUser
	case strings.Contains(e.User, ":assumed-role/"):
		p.Type = policy.AssumedRole
	case len(parts) == 1:
		p.Type, p.Account = policy.Service, ""
	}
	who := finding.Who{Principal: p, AccessKey: e.KeyID, IP: e.IP, Account: e.Account}
	return finding.Sighting{
		Account: e.Account, Type: typ, Severity: finding.SeverityOf(typ), Time: e.Time(), Actor: e.User, Title: title,
		Description: who.Name() + " " + what,
		Resource:    finding.Resource{ResourceType: finding.AccessKey, AccessKeyDetails: who.Details()},
		Call:        who.Call(e.Source, e.Name, e.Error),
	}
}
