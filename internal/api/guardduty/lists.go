package guardduty

import (
	"net/url"
	"slices"
	"strings"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/guarddutywire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/finding"
)

func (e edge) ipSetOps() []*api.Op {
	arn := func(account string, detector, id *string) string {
		return e.findings.ARN(account, member.Text(detector), finding.KindTrusted, member.Text(id))
	}
	return []*api.Op{
		answer(e, &guarddutywire.CreateIPSet, api.Write, func(account string, in *guarddutywire.CreateIPSetInput) string {
			return e.findings.ARN(account, member.Text(in.DetectorId))
		}, func(in *guarddutywire.CreateIPSetInput) authz.Keys { return authz.RequestTags(in.Tags) },
			func(c call, in *guarddutywire.CreateIPSetInput) (*guarddutywire.CreateIPSetOutput, error) {
				id, err := e.createList(c, in.DetectorId, finding.List{
					Kind: finding.KindTrusted, Name: member.Text(in.Name), Format: string(in.Format), Location: member.Text(in.Location),
					Owner: member.Text(in.ExpectedBucketOwner), Active: member.True(in.Activate), Tags: in.Tags,
				})
				return &guarddutywire.CreateIPSetOutput{IpSetId: member.Given(id)}, err
			}),
		answer(e, &guarddutywire.GetIPSet, api.Read, func(account string, in *guarddutywire.GetIPSetInput) string {
			return arn(account, in.DetectorId, in.IpSetId)
		}, nil, func(c call, in *guarddutywire.GetIPSetInput) (*guarddutywire.GetIPSetOutput, error) {
			l, err := e.findings.List(c.grant, "guardduty:GetIPSet", c.account, member.Text(in.DetectorId), finding.KindTrusted, member.Text(in.IpSetId))
			if err != nil {
				return nil, err
			}
			return &guarddutywire.GetIPSetOutput{
				Name: &l.Name, Format: guarddutywire.IpSetFormat(l.Format), Location: &l.Location, Status: guarddutywire.IpSetStatus(l.Status()),
				Tags: l.Tags, ExpectedBucketOwner: member.Given(l.Owner),
			}, nil
		}),
		answer(e, &guarddutywire.ListIPSets, api.List, func(account string, in *guarddutywire.ListIPSetsInput) string {
			return e.findings.ARN(account, member.Text(in.DetectorId))
		}, nil, func(c call, in *guarddutywire.ListIPSetsInput) (*guarddutywire.ListIPSetsOutput, error) {
			ids, next, err := e.lists(c, "guardduty:ListIPSets", finding.KindTrusted, in.DetectorId, in.NextToken, in.MaxResults)
			return &guarddutywire.ListIPSetsOutput{IpSetIds: ids, NextToken: next}, err
		}),
		answer(e, &guarddutywire.UpdateIPSet, api.Write, func(account string, in *guarddutywire.UpdateIPSetInput) string {
			return arn(account, in.DetectorId, in.IpSetId)
		}, nil, func(c call, in *guarddutywire.UpdateIPSetInput) (*guarddutywire.UpdateIPSetOutput, error) {
			return &guarddutywire.UpdateIPSetOutput{}, e.updateList(c, "guardduty:UpdateIPSet", finding.KindTrusted, in.DetectorId, in.IpSetId, finding.ListChange{
				Name: member.Text(in.Name), Location: member.Text(in.Location), Owner: member.Text(in.ExpectedBucketOwner), Active: in.Activate,
			})
		}),
		answer(e, &guarddutywire.DeleteIPSet, api.Write, func(account string, in *guarddutywire.DeleteIPSetInput) string {
			return arn(account, in.DetectorId, in.IpSetId)
		}, nil, func(c call, in *guarddutywire.DeleteIPSetInput) (*guarddutywire.DeleteIPSetOutput, error) {
			return &guarddutywire.DeleteIPSetOutput{},
				e.findings.DeleteList(c, c.grant, "guardduty:DeleteIPSet", c.account, member.Text(in.DetectorId), finding.KindTrusted, member.Text(in.IpSetId))
		}),
	}
}

func (e edge) threatOps() []*api.Op {
	arn := func(account string, detector, id *string) string {
		return e.findings.ARN(account, member.Text(detector), finding.KindThreat, member.Text(id))
	}
	return []*api.Op{
		answer(e, &guarddutywire.CreateThreatIntelSet, api.Write, func(account string, in *guarddutywire.CreateThreatIntelSetInput) string {
			return e.findings.ARN(account, member.Text(in.DetectorId))
		}, func(in *guarddutywire.CreateThreatIntelSetInput) authz.Keys { return authz.RequestTags(in.Tags) },
			func(c call, in *guarddutywire.CreateThreatIntelSetInput) (*guarddutywire.CreateThreatIntelSetOutput, error) {
				id, err := e.createList(c, in.DetectorId, finding.List{
					Kind: finding.KindThreat, Name: member.Text(in.Name), Format: string(in.Format), Location: member.Text(in.Location),
					Owner: member.Text(in.ExpectedBucketOwner), Active: member.True(in.Activate), Tags: in.Tags,
				})
				return &guarddutywire.CreateThreatIntelSetOutput{ThreatIntelSetId: member.Given(id)}, err
			}),
		answer(e, &guarddutywire.GetThreatIntelSet, api.Read, func(account string, in *guarddutywire.GetThreatIntelSetInput) string {
			return arn(account, in.DetectorId, in.ThreatIntelSetId)
		}, nil, func(c call, in *guarddutywire.GetThreatIntelSetInput) (*guarddutywire.GetThreatIntelSetOutput, error) {
			l, err := e.findings.List(c.grant, "guardduty:GetThreatIntelSet", c.account, member.Text(in.DetectorId), finding.KindThreat, member.Text(in.ThreatIntelSetId))
			if err != nil {
				return nil, err
			}
			return &guarddutywire.GetThreatIntelSetOutput{
				Name: &l.Name, Format: guarddutywire.ThreatIntelSetFormat(l.Format), Location: &l.Location, Status: guarddutywire.ThreatIntelSetStatus(l.Status()),
				Tags: l.Tags, ExpectedBucketOwner: member.Given(l.Owner),
			}, nil
		}),
		answer(e, &guarddutywire.ListThreatIntelSets, api.List, func(account string, in *guarddutywire.ListThreatIntelSetsInput) string {
			return e.findings.ARN(account, member.Text(in.DetectorId))
		}, nil, func(c call, in *guarddutywire.ListThreatIntelSetsInput) (*guarddutywire.ListThreatIntelSetsOutput, error) {
			ids, next, err := e.lists(c, "guardduty:ListThreatIntelSets", finding.KindThreat, in.DetectorId, in.NextToken, in.MaxResults)
			return &guarddutywire.ListThreatIntelSetsOutput{ThreatIntelSetIds: ids, NextToken: next}, err
		}),
		answer(e, &guarddutywire.UpdateThreatIntelSet, api.Write, func(account string, in *guarddutywire.UpdateThreatIntelSetInput) string {
			return arn(account, in.DetectorId, in.ThreatIntelSetId)
		}, nil, func(c call, in *guarddutywire.UpdateThreatIntelSetInput) (*guarddutywire.UpdateThreatIntelSetOutput, error) {
			change := finding.ListChange{
				Name: member.Text(in.Name), Location: member.Text(in.Location), Owner: member.Text(in.ExpectedBucketOwner), Active: in.Activate,
			}
			return &guarddutywire.UpdateThreatIntelSetOutput{}, e.updateList(c, "guardduty:UpdateThreatIntelSet", finding.KindThreat, in.DetectorId, in.ThreatIntelSetId, change)
		}),
		answer(e, &guarddutywire.DeleteThreatIntelSet, api.Write, func(account string, in *guarddutywire.DeleteThreatIntelSetInput) string {
			return arn(account, in.DetectorId, in.ThreatIntelSetId)
		}, nil, func(c call, in *guarddutywire.DeleteThreatIntelSetInput) (*guarddutywire.DeleteThreatIntelSetOutput, error) {
			return &guarddutywire.DeleteThreatIntelSetOutput{},
				e.findings.DeleteList(c, c.grant, "guardduty:DeleteThreatIntelSet", c.account, member.Text(in.DetectorId), finding.KindThreat, member.Text(in.ThreatIntelSetId))
		}),
	}
}

func (e edge) createList(c call, detector *string, l finding.List) (string, error) {
	text, err := e.content(c, l.Location, l.Owner)
	if err != nil {
		return "", err
	}
	action := "guardduty:" + c.api.Op.Name()
	return e.findings.CreateList(c, c.grant, action, c.account, member.Text(detector), l, text, c.switchedOff(c.api.Op.Name()))
}

// updateList changes a list. Its object is read again when it is another one, and when the list is
// activated.
func (e edge) updateList(c call, action, kind string, detector, id *string, in finding.ListChange) error {
	d, err := e.findings.Detector(c.grant, action, e.findings.ARN(c.account, member.Text(detector), kind, member.Text(id)), c.account, member.Text(detector))
	if err != nil {
		return err
	}
	if old := d.Lists[member.Text(id)]; old != nil && old.Kind == kind && (in.Location != "" || member.True(in.Active)) {
		location, owner := in.Location, in.Owner
		if location == "" {
			location, owner = old.Location, old.Owner
		}
		if in.Text, err = e.content(c, location, owner); err != nil {
			return err
		}
	}
	return e.findings.UpdateList(c, c.grant, action, c.account, member.Text(detector), kind, member.Text(id), in, c.switchedOff(c.api.Op.Name()))
}

// content reads a list's object as its caller may read it: nobody comes to know by a list what he could not
// read himself.
func (e edge) content(c call, location, owner string) ([]byte, error) {
	bucket, key, ok := place(location)
	if !ok {
		return nil, invalid("location")
	}
	text, err := e.read(c, &c.api.Caller.Subject, bucket, key, owner, finding.MaxListBytes)
	if err != nil {
		return nil, refused("the list cannot be read from its location: " + finding.Clean(err.Error()) + ".")
	}
	if text == nil {
		text = []byte{}
	}
	return text, nil
}

// place takes apart the location of an object: s3://BUCKET/KEY, or a URL of S3 in either style.
func place(location string) (bucket, key string, ok bool) {
	u, err := url.Parse(location)
	if err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", "", false
	}
	path := strings.TrimPrefix(u.Path, "/")
	switch u.Scheme {
	case "s3":
		bucket, key = u.Host, path
	case "https", "http":
		if strings.HasPrefix(u.Host, "s3.") || strings.HasPrefix(u.Host, "s3-") {
			bucket, key, _ = strings.Cut(path, "/")
		} else {
			i := strings.Index(u.Host, ".s3")
			if i < 0 {
				return "", "", false
			}
			bucket, key = u.Host[:i], path
		}
	}
	return bucket, key, bucket != "" && key != ""
}

func (e edge) lists(c call, action, kind string, detector, token *string, most *int32) ([]string, *string, error) {
	id := member.Text(detector)
	d, err := e.findings.Detector(c.grant, action, e.findings.ARN(c.account, id), c.account, id)
	if err != nil {
		return nil, nil, err
	}
	ids := []string{}
	for _, l := range d.Lists {
		if l.Kind == kind && l.Deleted.IsZero() {
			ids = append(ids, l.ID)
		}
	}
	slices.Sort(ids)
	return page(ids, token, most)
}
