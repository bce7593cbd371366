package s3

import (
	"context"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/s3wire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/object"
	"github.com/kura-s3/kura/policy"
)

func (s *Service) bucketOps() []*api.Op {
	return []*api.Op{
		api.Declare(api.Decl[s3wire.ListBucketsInput, s3wire.ListBucketsOutput]{
			Wire: &s3wire.ListBuckets, Class: audit.Management, Access: api.List, Unsigned: true,
			Demands: func(c *api.Call, _ *s3wire.ListBucketsInput) ([]authz.Demand, error) {
				return c.Need("s3:ListAllMyBuckets", authz.Resource{ARN: "*"}, nil), nil
			},
			Do: s.listBuckets,
		}),
		api.Declare(api.Decl[s3wire.CreateBucketInput, created]{
			Wire: &s3wire.CreateBucket, Class: audit.Management, Access: api.Write, Unsigned: true,
			Demands: s.createBucketDemands, Do: s.createBucket,
		}),
		api.Declare(api.Decl[s3wire.HeadBucketInput, s3wire.HeadBucketOutput]{
			Wire: &s3wire.HeadBucket, Class: audit.Management, Access: api.Read, Unsigned: true,
			Demands: func(c *api.Call, _ *s3wire.HeadBucketInput) ([]authz.Demand, error) {
				b, err := s.bucket(c)
				if err != nil {
					return nil, err
				}
				c.W.Header().Set("X-Amz-Bucket-Region", b.Region)
				return c.Need("s3:ListBucket", s.bucketResource(caller(c), b, "s3:ListBucket"), nil), nil
			},
			Do: s.headBucket,
		}),
		api.Declare(api.Decl[s3wire.DeleteBucketInput, empty]{
			Wire: &s3wire.DeleteBucket, Class: audit.Management, Access: api.Write, Unsigned: true,
			Demands: onBucket[s3wire.DeleteBucketInput](s, "s3:DeleteBucket"),
			Do: func(ctx context.Context, g authz.Grant, c *api.Call, _ *s3wire.DeleteBucketInput) (*empty, error) {
				return &empty{}, s.config.Objects.DeleteBucket(ctx, g, at(c).bucket)
			},
		}),
		api.Declare(api.Decl[s3wire.GetBucketLocationInput, s3wire.GetBucketLocationOutput]{
			Wire: &s3wire.GetBucketLocation, Class: audit.Management, Access: api.Read, Unsigned: true,
			Demands: onBucket[s3wire.GetBucketLocationInput](s, "s3:GetBucketLocation"),
			Do: func(_ context.Context, _ authz.Grant, c *api.Call, _ *s3wire.GetBucketLocationInput) (*s3wire.GetBucketLocationOutput, error) {
				out := &s3wire.GetBucketLocationOutput{}
				if b := at(c).found; b.Region != "us-east-1" {
					out.LocationConstraint = s3wire.BucketLocationConstraint(b.Region)
				}
				return out, nil
			},
		}),
	}
}

// newBucketKeys are the condition keys that CreateBucket adds.
type newBucketKeys struct{ location string }

func (k newBucketKeys) Lookup(key string) (policy.Values, bool) {
	if key == "s3:locationconstraint" && k.location != "" {
		return policy.Values{One: k.location}, true
	}
	return policy.Values{}, false
}

func (s *Service) createBucketDemands(c *api.Call, in *s3wire.CreateBucketInput) ([]authz.Demand, error) {
	location := ""
	if in.CreateBucketConfiguration != nil {
		location = string(in.CreateBucketConfiguration.LocationConstraint)
	}
	arn := "arn:aws:s3:::" + at(c).bucket
	resource := authz.Resource{ARN: arn}
	demands := c.Need("s3:CreateBucket", resource, newBucketKeys{location})
	if in.CreateBucketConfiguration != nil && len(in.CreateBucketConfiguration.Tags) > 0 {
		demands = s.needFirstTags(c, resource, in)
	}
	if in.ObjectOwnership != "" {
		demands = c.Need("s3:PutBucketOwnershipControls", resource, nil)
	}
	if asksACL(c.R.Header) {
		demands = c.Need("s3:PutBucketAcl", resource, s.exposingNew(c, in))
	}
	if member.True(in.ObjectLockEnabledForBucket) {
		c.Need("s3:PutBucketObjectLockConfiguration", resource, nil)
		demands = c.Need("s3:PutBucketVersioning", resource, nil)
	}
	return demands, nil
}

// needFirstTags adds the demand of the tags that a bucket is created with, which may classify it.
func (s *Service) needFirstTags(c *api.Call, resource authz.Resource, in *s3wire.CreateBucketInput) []authz.Demand {
	tags := plainTags(in.CreateBucketConfiguration.Tags)
	class := classOf(tags)
	if class == nil {
		return c.Need("s3:TagResource", resource, nil)
	}
	who := caller(c)
	resource.Account, resource.Controls = who.Account, class.Controls()
	b := &object.Bucket{Name: at(c).bucket, Owner: object.Owner{Account: who.Account, Canonical: who.CanonicalID}, Tags: tags}
	var err error
	if b.Settings, err = s.newBucketSettings(c.R.Header, in, who.CanonicalID); err != nil {
		return c.Need("s3:TagResource", resource, nil) // refused for what it says
	}
	return c.Need("s3:TagResource", resource, s.asClass(b, class, nil))
}

// created is the answer of CreateBucket.
type created struct{ location string }

// Respond sends the new bucket's place in a header.
func (o created) Respond(c *api.Call) error {
	c.W.Header().Set("Location", o.location)
	return c.W.Send(200, "", nil)
}

func (s *Service) createBucket(ctx context.Context, g authz.Grant, c *api.Call, in *s3wire.CreateBucketInput) (*created, error) {
	t := at(c)
	caller := g.Principal()
	if caller.Type == policy.Anonymous {
		return nil, denied()
	}
	if err := s.checkLocation(in); err != nil {
		return nil, err
	}
	if err := refuseNewBucketOptions(in); err != nil {
		return nil, err
	}
	settings, err := s.newBucketSettings(c.R.Header, in, caller.CanonicalID)
	if err != nil {
		return nil, err
	}
	made := object.CreateBucketInput{
		Name: t.bucket, Region: s.config.Region,
		Owner: object.Owner{Account: caller.Account, Canonical: caller.CanonicalID}, Settings: settings,
	}
	if in.CreateBucketConfiguration != nil {
		tags, err := bucketTags(in.CreateBucketConfiguration.Tags)
		if err != nil {
			return nil, err
		}
		made.Tags = tags
		raised, err := raiseEncryption(&object.Bucket{Tags: tags, Settings: settings})
		if err != nil {
			return nil, err
		}
		settings = raised.Settings
		made.Settings = settings
	}
	if member.True(in.ObjectLockEnabledForBucket) {
		made.Versioning, settings[object.SettingObjectLock] = object.VersioningEnabled, []byte("{}")
	}
	_, err = s.config.Objects.CreateBucket(ctx, g, made)
	if fault.Is(err, object.BucketOwned) && s.config.Region == "us-east-1" && len(made.Tags) == 0 && made.Versioning == object.Unversioned {
		err = nil // us-east-1 answers a repeated creation with success
	}
	if err != nil {
		return nil, err
	}
	return &created{"/" + t.bucket}, nil
}

// checkLocation compares the wanted region with the one that this server is.
func (s *Service) checkLocation(in *s3wire.CreateBucketInput) error {
	if in.CreateBucketConfiguration == nil {
		return nil
	}
	wanted := string(in.CreateBucketConfiguration.LocationConstraint)
	switch {
	case wanted == "" || wanted == s.config.Region:
		return nil
	case !regionName.MatchString(wanted) && wanted != "EU":
		return fault.New(invalidLocation, "", "LocationConstraint", wanted)
	}
	return fault.New(illegalLocation,
		"The "+wanted+" location constraint is incompatible for the region specific endpoint this request was sent to.")
}

var regionName = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[0-9]$`)

// refuseNewBucketOptions names what a bucket cannot be created with yet.
func refuseNewBucketOptions(in *s3wire.CreateBucketInput) error {
	if conf := in.CreateBucketConfiguration; conf != nil && (conf.Location != nil || conf.Bucket != nil) {
		return unsupported("Location")
	}
	switch in.BucketNamespace {
	case "", s3wire.BucketNamespaceGlobal:
		return nil
	case s3wire.BucketNamespaceAccountRegional: // names here are everybody's
		return unsupported("x-amz-bucket-namespace")
	}
	return badArgument("Invalid bucket namespace", "x-amz-bucket-namespace", string(in.BucketNamespace))
}

// newBucketSettings are the ownership and the ACL that a new bucket is asked to have. Block Public
// Access is on for it, so that the ACL cannot be a public one.
func (s *Service) newBucketSettings(h http.Header, in *s3wire.CreateBucketInput, owner string) (map[string][]byte, error) {
	settings := map[string][]byte{}
	if err := s.beginEncryption(settings); err != nil {
		return nil, err
	}
	o := ownerEnforced
	if in.ObjectOwnership != "" {
		if o = ownership(in.ObjectOwnership); !configurable[o] {
			return nil, badArgument("Invalid x-amz-object-ownership header: "+string(o), "x-amz-object-ownership", string(o))
		}
		settings[settingOwnership] = []byte(o)
	}
	r := readACLRequest(h)
	if r.empty() {
		return settings, nil
	}
	list, err := r.list(s, bucketCanned, owner, owner)
	switch {
	case err != nil:
		return nil, err
	case list.isOwners(owner):
		return settings, nil
	case !o.hasACLs():
		return nil, fault.New(aclWithOwnership, "")
	case list.public():
		return nil, fault.New(publicACLBlocked, "")
	}
	settings[settingACL], err = list.encode()
	return settings, err
}

func unsupported(header string) error { return fault.New(unsupportedHeader, "", "Header", header) }

func (s *Service) headBucket(_ context.Context, _ authz.Grant, c *api.Call, _ *s3wire.HeadBucketInput) (*s3wire.HeadBucketOutput, error) {
	b := at(c).found
	no := false
	return &s3wire.HeadBucketOutput{BucketRegion: &b.Region, AccessPointAlias: &no}, nil
}

const maxBuckets = 10000

func (s *Service) listBuckets(ctx context.Context, g authz.Grant, c *api.Call, in *s3wire.ListBucketsInput) (*s3wire.ListBucketsOutput, error) {
	caller := g.Principal()
	buckets, err := s.config.Objects.ListBuckets(ctx, g, caller.Account)
	if err != nil {
		return nil, err
	}
	limit := maxBuckets
	if in.MaxBuckets != nil {
		if limit = int(*in.MaxBuckets); limit < 1 || limit > maxBuckets {
			return nil, badArgument("Argument max-buckets must be an integer between 1 and 10000", "max-buckets", strconv.Itoa(limit))
		}
	}
	after, err := decodeToken(in.ContinuationToken)
	if err != nil {
		return nil, err
	}
	out := &s3wire.ListBucketsOutput{
		Buckets: []s3wire.Bucket{}, Prefix: in.Prefix,
		Owner: s.wireOwner(object.Owner{Account: caller.Account, Canonical: caller.CanonicalID}),
	}
	for _, b := range buckets {
		if b.Name <= after || !hasPrefix(b.Name, in.Prefix) || in.BucketRegion != nil && *in.BucketRegion != b.Region {
			continue
		}
		if len(out.Buckets) == limit {
			token := encodeToken(*out.Buckets[limit-1].Name)
			out.ContinuationToken = &token
			break
		}
		when := b.Created.UTC().Truncate(time.Second)
		bucket := s3wire.Bucket{Name: &b.Name, CreationDate: &when}
		if in.MaxBuckets != nil || in.Prefix != nil || in.BucketRegion != nil {
			bucket.BucketRegion = &b.Region
		}
		out.Buckets = append(out.Buckets, bucket)
	}
	return out, nil
}

// checkExpectedOwner compares x-amz-expected-bucket-owner with the bucket's account.
func checkExpectedOwner(want string, b *object.Bucket) error {
	if want == "" || want == b.Owner.Account {
		return nil
	}
	if !accountID.MatchString(want) {
		return fault.New(invalidOwnerID, "The value of the expected bucket owner parameter must be an AWS Account ID... ["+want+"]")
	}
	return fault.New(accessDeniedOwner, "")
}

var accountID = regexp.MustCompile(`^[0-9]{12}$`)
