package finders

import (
	"context"
	"fmt"
	"time"

	"github.com/kura-s3/kura/internal/finding"
	"github.com/kura-s3/kura/internal/posture"
)

// Impact:S3/AnomalousBehavior.Delete, Exfiltration:S3/AnomalousBehavior, Discovery:S3/AnomalousBehavior,
// Discovery:IAMUser/AnomalousBehavior.
//
// What they find: a principal that within ten minutes deletes, reads, or is refused, far more than it ever did
// in ten minutes before.
// Why it matters: who has stolen a credential copies or destroys what it reaches, quickly, and before that
// tries what it reaches.
// The check: counts of the last five to ten minutes against four times the most of the past, of which five
// percent are forgotten a day, and against a floor below which nothing is unusual (notes.go). Objects
// that one DeleteObjects names count one by one; bytes that were read count too.

// unusual are the findings by metric.
var unusual = [metrics]struct{ typ, title, did string }{
	reads:     {finding.MassRead, "An unusual number of objects was read", "objects were read"},
	bytesRead: {finding.MassRead, "An unusual amount of data was read", "MiB were read"},
	deletes:   {finding.MassDelete, "An unusual number of objects was deleted", "objects were deleted"},
	denials:   {finding.DeniedS3, "An unusual number of requests was refused", "requests were refused"},
}

// judge makes an alarm a sighting, or nothing.
func (f *Finder) judge(ctx context.Context, a *alarm) ([]finding.Sighting, error) {
	s := finding.Sighting{
		Account: a.account, Time: time.Unix(0, a.time), Count: 1, Actor: a.who.Principal.UniqueID,
		Resource: finding.Resource{ResourceType: finding.AccessKey, AccessKeyDetails: a.who.Details()},
		Call:     a.who.Call(a.service+".amazonaws.com", a.call, a.code),
	}
	var b *posture.Resource
	if a.bucket != "" && a.service == "s3" {
		var err error
		if b, err = f.config.Bucket(ctx, a.bucket); err != nil {
			return nil, err
		}
	}
	if b != nil && b.Account == a.account {
		s.Resource.ResourceType = finding.S3Bucket
		s.Resource.S3BucketDetails = []finding.Bucket{show(b, f.config.Source.Block(b.Account))}
		s.Feature = "S3_DATA_EVENTS"
	}
	if !f.name(a, b, &s) {
		return nil, nil
	}
	s.Severity = finding.SeverityOf(s.Type)
	if b != nil && s.Severity >= finding.High && confidential(b) {
		s.Severity = critical
	}
	return []finding.Sighting{s}, nil
}

// name says what an alarm is; not, when it is nothing.
func (f *Finder) name(a *alarm, b *posture.Resource, s *finding.Sighting) bool {
	who := a.who.Name()
	switch a.kind {
	case listedAddress:
		s.Type, s.Actor = typeOfListed(a), a.who.IP
		s.Title = "API " + a.call + " was invoked from an address on the threat list " + finding.Clean(a.list) + "."
		s.Description = who + " called " + a.call + where(a) + ". The address is on the threat list " + finding.Clean(a.list) + "."
		s.Evidence = &finding.Evidence{ThreatIntelligenceDetails: []finding.Threat{{ThreatListName: finding.Clean(a.list), ThreatNames: []string{}}}}
	case manyNetworks:
		s.Type, s.Actor = finding.SharedCredential, a.who.AccessKey
		s.Resource.ResourceType, s.Resource.S3BucketDetails = finding.AccessKey, nil
		s.Title = "The access key " + a.who.AccessKey + " is used from many networks."
		s.Description = fmt.Sprintf("%s: the access key %s was used from %d networks within an hour. It is shared, or stolen.", who, a.who.AccessKey, a.count)
		s.Info = finding.InfoOf(map[string]uint32{"networks": a.count})
	case readByStranger:
		if b == nil || !confidential(b) {
			return false
		}
		s.Type, s.Actor = finding.ConfidentialReadAnonymous, "anonymous"
		s.Title = "A stranger read from the confidential S3 bucket " + b.Name + "."
		s.Description = who + " called " + a.call + where(a) + " without a signature, and was let. The bucket is tagged as confidential."
	default:
		u := &unusual[a.kind]
		s.Type = u.typ
		if a.kind == denials && a.service != "s3" {
			s.Type = finding.DeniedIAM
			s.Resource.ResourceType, s.Resource.S3BucketDetails = finding.AccessKey, nil
		}
		s.Title = u.title + " by " + finding.Clean(a.who.Principal.ARN) + "."
		s.Description = fmt.Sprintf("%s: within ten minutes %d %s, last%s. The most in ten minutes was %d before.", who, a.count, u.did, where(a), a.usual)
		s.Info = finding.InfoOf(map[string]uint32{"counted": a.count, "usual": a.usual})
	}
	return true
}

// where is the object or bucket of a call.
func where(a *alarm) string {
	switch {
	case a.bucket == "":
		return ""
	case a.key == "":
		return " in the bucket " + finding.Clean(a.bucket)
	}
	return " on " + finding.Clean(a.bucket+"/"+a.key)
}
