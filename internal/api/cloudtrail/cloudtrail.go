// Package cloudtrail is the edge of AWS CloudTrail: trails, event selectors, the history of events and
// the public keys of digests, over the JSON protocol.
//
// It promises that every operation demands the action of its name on the trail that it names. Insights,
// event data stores, queries, channels, dashboards and imports are not there and say so.
package cloudtrail

import (
	"context"
	"log/slog"
	"regexp"
	"slices"
	"strings"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/rpc"
	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/api/wire/cloudtrailwire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/job/trail"
)

// Config of the service.
type Config struct {
	// Trails keeps trails. Required.
	Trails *trail.Store
	// AuditDir holds the journals that LookupEvents reads. Required.
	AuditDir string
	// PassRole gives the demand iam:PassRole on a role, with the service that gets it. Required.
	PassRole func(role, service string) authz.Demand
	// Region of this server.
	Region string
	// Authn finds out who signed. Required.
	Authn *authn.Authenticator
	// Log is required.
	Log *slog.Logger
}

// edge is what the operations have in common.
type edge struct {
	trails   *trail.Store
	auditDir string
	region   string
	passRole func(role, service string) authz.Demand
}

// New makes the service.
func New(c Config) *rpc.Service {
	e := edge{trails: c.Trails, auditDir: c.AuditDir, region: c.Region, passRole: c.PassRole}
	return rpc.New(rpc.Config{
		Name: "cloudtrail", Protocol: wire.JSON11, Model: cloudtrailwire.Operations, Answers: answers, Authn: c.Authn, Log: c.Log,
		Ops: slices.Concat(e.trailOps(), e.statusOps(), e.selectorOps(), e.tagOps(), e.historyOps()),
	})
}

// Failures that this package finds itself.
const (
	notProvided        fault.Kind = "cloudtrail.TrailNotProvided"
	badARN             fault.Kind = "cloudtrail.ARNInvalid"
	badToken           fault.Kind = "cloudtrail.InvalidNextToken"
	badTimeRange       fault.Kind = "cloudtrail.InvalidTimeRange"
	badMaxResults      fault.Kind = "cloudtrail.InvalidMaxResults"
	badAttributes      fault.Kind = "cloudtrail.InvalidLookupAttributes"
	noInsights         fault.Kind = "cloudtrail.InsightNotEnabled"
	resourceNotFound   fault.Kind = "cloudtrail.ResourceNotFound"
	badParameter       fault.Kind = "cloudtrail.InvalidParameterCombination"
	resourceTypeNotFit fault.Kind = "cloudtrail.ResourceTypeNotSupported"
)

// answers tell failures in CloudTrail's codes, all with status 400.
var answers = map[fault.Kind]rpc.Answer{
	trail.NotFound:            {Code: "TrailNotFoundException", Status: 400},
	trail.Exists:              {Code: "TrailAlreadyExistsException", Status: 400},
	trail.TooMany:             {Code: "MaximumNumberOfTrailsExceededException", Status: 400},
	trail.InvalidName:         {Code: "InvalidTrailNameException", Status: 400},
	trail.InvalidBucket:       {Code: "InvalidS3BucketNameException", Status: 400},
	trail.InvalidPrefix:       {Code: "InvalidS3PrefixException", Status: 400},
	trail.NoBucket:            {Code: "S3BucketDoesNotExistException", Status: 400},
	trail.InsufficientPolicy:  {Code: "InsufficientS3BucketPolicyException", Status: 400},
	trail.InsufficientKey:     {Code: "InsufficientEncryptionPolicyException", Status: 400},
	trail.KeyNotFound:         {Code: "KmsKeyNotFoundException", Status: 400},
	trail.InvalidKey:          {Code: "InvalidKmsKeyIdException", Status: 400},
	trail.InvalidSelectors:    {Code: "InvalidEventSelectorsException", Status: 400},
	trail.InvalidCombination:  {Code: "InvalidParameterCombinationException", Status: 400},
	trail.Unsupported:         {Code: "UnsupportedOperationException", Status: 400},
	trail.TooManyTags:         {Code: "TagsLimitExceededException", Status: 400},
	trail.InvalidTag:          {Code: "InvalidTagParameterException", Status: 400},
	trail.Busy:                {Code: "ConcurrentModificationException", Status: 400, Message: "The trail is being changed by another request."},
	trail.InvalidLogGroup:     {Code: "InvalidCloudWatchLogsLogGroupArnException", Status: 400},
	trail.InvalidLogRole:      {Code: "InvalidCloudWatchLogsRoleArnException", Status: 400},
	trail.InvalidTopic:        {Code: "InvalidSnsTopicNameException", Status: 400},
	trail.InsufficientTopic:   {Code: "InsufficientSnsTopicPolicyException", Status: 400},
	trail.DeliveryUnavailable: {Code: "InsufficientS3BucketPolicyException", Status: 400},
	notProvided:               {Code: "InvalidTrailNameException", Status: 400, Message: "Trail name cannot be blank!"},
	badARN:                    {Code: "CloudTrailARNInvalidException", Status: 400},
	badToken:                  {Code: "InvalidNextTokenException", Status: 400, Message: "Invalid nextToken"},
	badTimeRange:              {Code: "InvalidTimeRangeException", Status: 400, Message: "The specified time range is not valid: the start time is after the end time."},
	badMaxResults:             {Code: "InvalidMaxResultsException", Status: 400, Message: "MaxResults must be between 1 and 50"},
	badAttributes:             {Code: "InvalidLookupAttributesException", Status: 400},
	noInsights:                {Code: "InsightNotEnabledException", Status: 400},
	resourceNotFound:          {Code: "ResourceNotFoundException", Status: 400},
	badParameter:              {Code: "InvalidParameterCombinationException", Status: 400},
	resourceTypeNotFit:        {Code: "ResourceTypeNotSupportedException", Status: 400},
}

// on names the trail that a request is about, by name or ARN; nil for operations without one.
type on[In any] func(in *In) *string

// tagsIn are the condition keys of the tags that a request brings or takes.
type tagsIn[In any] func(in *In) authz.Keys

// answer declares an operation: it demands the action of its name on the trail that the request names. One that is
// about more than tags demands cloudtrail:AddTags for those that it brings (Service Authorization Reference, CreateTrail).
func answer[In, Out any](e edge, w *wire.Operation, access api.Access, of on[In], tags tagsIn[In], do func(context.Context, authz.Grant, *In) (*Out, error)) *api.Op {
	action := "cloudtrail:" + w.Name
	return api.Declare(api.Decl[In, Out]{
		Wire: w, Class: audit.Management, Access: access,
		Demands: func(c *api.Call, in *In) ([]authz.Demand, error) {
			account := c.Caller.Subject.Principal.Account
			if of == nil {
				return c.Need(action, authz.Resource{ARN: "*", Account: account}, nil), nil
			}
			arn, err := e.arn(account, of(in))
			if err != nil {
				return nil, err
			}
			keys, resource := authz.Either{e.trails.ResourceTags(arn)}, authz.Resource{ARN: arn, Account: strings.Split(arn, ":")[4]}
			if tags != nil {
				keys = append(keys, tags(in))
			}
			demands := c.Need(action, resource, keys)
			if _, some := keys.Lookup("aws:tagkeys"); some && access != api.Tagging {
				demands = c.Need("cloudtrail:AddTags", resource, keys)
			}
			return demands, nil
		},
		Do: func(ctx context.Context, g authz.Grant, _ *api.Call, in *In) (*Out, error) { return do(ctx, g, in) },
	})
}

var arnPattern = regexp.MustCompile(`^arn:aws:cloudtrail:[a-z0-9-]+:[0-9]{12}:trail/(.+)$`)

// arn of the trail that a request names. Trails of other regions are not here.
func (e edge) arn(account string, name *string) (string, error) {
	n := member.Text(name)
	switch {
	case n == "":
		return "", fault.New(notProvided, "")
	case strings.HasPrefix(n, "arn:"):
		m := arnPattern.FindStringSubmatch(n)
		if m == nil {
			return "", fault.New(badARN, "Invalid ARN: "+n)
		}
		return n, trail.CheckName(m[1])
	}
	return trail.ARN(e.region, account, n), trail.CheckName(n)
}

// trailOf is the trail that a granted request names.
func (e edge) trailOf(g authz.Grant, name *string) (*trail.Trail, error) {
	arn, err := e.arn(g.Principal().Account, name)
	if err != nil {
		return nil, err
	}
	t, err := e.trails.Find(arn)
	if err != nil {
		return nil, fault.New(trail.NotFound, "Unknown trail: "+arn+" for the user: "+g.Principal().Account)
	}
	return t, nil
}

// bringing are the condition keys of tags that a request brings.
func bringing(list []cloudtrailwire.Tag) authz.Keys {
	return authz.RequestTags(member.Tags(list, func(t cloudtrailwire.Tag) (key, value *string) { return t.Key, t.Value }))
}

// taking is the condition key of tags that a request takes, whose values do not matter.
func taking(list []cloudtrailwire.Tag) authz.Keys {
	return authz.TagKeys(member.Every(list, func(t cloudtrailwire.Tag) string { return member.Text(t.Key) }))
}
