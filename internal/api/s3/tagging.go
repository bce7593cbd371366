package s3

import (
	"context"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/wire/s3wire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/object"
	"github.com/kura-s3/kura/policy"
)

const (
	maxObjectTags = 10
	maxBucketTags = 50
	maxTagKey     = 128
	maxTagValue   = 256
)

func (s *Service) bucketTaggingOps() []*api.Op {
	return []*api.Op{
		api.Declare(api.Decl[s3wire.GetBucketTaggingInput, s3wire.GetBucketTaggingOutput]{
			Wire: &s3wire.GetBucketTagging, Class: audit.Management, Access: api.Read, Unsigned: true,
			Demands: onBucket[s3wire.GetBucketTaggingInput](s, "s3:GetBucketTagging"),
			Do: func(_ context.Context, _ authz.Grant, c *api.Call, _ *s3wire.GetBucketTaggingInput) (*s3wire.GetBucketTaggingOutput, error) {
				b := at(c).found
				if len(b.Tags) == 0 {
					return nil, fault.New(noSuchTagSet, "", "BucketName", b.Name)
				}
				return &s3wire.GetBucketTaggingOutput{TagSet: wireTags(b.Tags)}, nil
			},
		}),
		api.Declare(api.Decl[s3wire.PutBucketTaggingInput, empty]{
			Wire: &s3wire.PutBucketTagging, Class: audit.Management, Access: api.Tagging, Unsigned: true,
			Demands: func(c *api.Call, in *s3wire.PutBucketTaggingInput) ([]authz.Demand, error) {
				var tags []object.Tag
				if in.Tagging != nil {
					tags = plainTags(in.Tagging.TagSet)
				}
				return s.needTags(c, tags)
			},
			Do: func(ctx context.Context, g authz.Grant, c *api.Call, in *s3wire.PutBucketTaggingInput) (*empty, error) {
				if in.Tagging == nil {
					return nil, fault.New(malformedXML, "")
				}
				tags, err := bucketTags(in.Tagging.TagSet)
				if err != nil {
					return nil, err
				}
				return s.setBucketTags(ctx, g, c, tags)
			},
		}),
		api.Declare(api.Decl[s3wire.DeleteBucketTaggingInput, empty]{
			Wire: &s3wire.DeleteBucketTagging, Class: audit.Management, Access: api.Tagging, Unsigned: true,
			Demands: func(c *api.Call, _ *s3wire.DeleteBucketTaggingInput) ([]authz.Demand, error) {
				return s.needTags(c, nil)
			},
			Do: func(ctx context.Context, g authz.Grant, c *api.Call, _ *s3wire.DeleteBucketTaggingInput) (*empty, error) {
				return s.setBucketTags(ctx, g, c, nil)
			},
		}),
	}
}

func (s *Service) setBucketTags(ctx context.Context, g authz.Grant, c *api.Call, tags []object.Tag) (*empty, error) {
	_, err := s.config.Objects.UpdateBucket(ctx, g, "s3:PutBucketTagging", at(c).bucket, func(b *object.Bucket) error {
		return SetTags(b, tags, at(c).found)
	})
	return &empty{}, err
}

func (s *Service) needTags(c *api.Call, tags []object.Tag) ([]authz.Demand, error) {
	b, err := s.bucket(c)
	if err != nil {
		return nil, err
	}
	return s.NeedTags(c, b, "s3:PutBucketTagging", nil, tags), nil
}

// The tagging operations of objects: the action has a Version form where a version is named, the
// input names bucket, key and version alike.
func (s *Service) objectTaggingOps() []*api.Op {
	return []*api.Op{
		api.Declare(api.Decl[s3wire.GetObjectTaggingInput, s3wire.GetObjectTaggingOutput]{
			Wire: &s3wire.GetObjectTagging, Class: audit.Data, Access: api.Read, Unsigned: true,
			Demands: func(c *api.Call, _ *s3wire.GetObjectTaggingInput) ([]authz.Demand, error) {
				return s.needKey(c, versioned(c, "s3:GetObjectTagging", "s3:GetObjectVersionTagging"))
			},
			Do: s.getObjectTagging,
		}),
		api.Declare(api.Decl[s3wire.PutObjectTaggingInput, s3wire.PutObjectTaggingOutput]{
			Wire: &s3wire.PutObjectTagging, Class: audit.Data, Access: api.Tagging, Unsigned: true,
			Demands: s.putObjectTaggingDemands, Do: s.putObjectTagging,
		}),
		api.Declare(api.Decl[s3wire.DeleteObjectTaggingInput, s3wire.DeleteObjectTaggingOutput]{
			Wire: &s3wire.DeleteObjectTagging, Class: audit.Data, Access: api.Tagging, Unsigned: true,
			Demands: func(c *api.Call, _ *s3wire.DeleteObjectTaggingInput) ([]authz.Demand, error) {
				return s.needKey(c, versioned(c, "s3:DeleteObjectTagging", "s3:DeleteObjectVersionTagging"))
			},
			Do: s.deleteObjectTagging,
		}),
	}
}

func (s *Service) getObjectTagging(ctx context.Context, g authz.Grant, c *api.Call, _ *s3wire.GetObjectTaggingInput) (*s3wire.GetObjectTaggingOutput, error) {
	if err := at(c).undecided(); err != nil {
		return nil, err
	}
	in := addressed(c)
	tags, info, err := s.config.Objects.Tags(ctx, g, in)
	if err != nil {
		return nil, s.hide(g, at(c).found, in.Key, err)
	}
	return &s3wire.GetObjectTaggingOutput{TagSet: wireTags(tags), VersionId: versionOf(info)}, nil
}

func (s *Service) putObjectTaggingDemands(c *api.Call, in *s3wire.PutObjectTaggingInput) ([]authz.Demand, error) {
	if in.Tagging == nil {
		return nil, fault.New(malformedXML, "")
	}
	action := versioned(c, "s3:PutObjectTagging", "s3:PutObjectVersionTagging")
	return s.needKeyWith(c, action, tagKeys{plainTags(in.Tagging.TagSet)})
}

func (s *Service) putObjectTagging(ctx context.Context, g authz.Grant, c *api.Call, in *s3wire.PutObjectTaggingInput) (*s3wire.PutObjectTaggingOutput, error) {
	tags := plainTags(in.Tagging.TagSet)
	if err := checkObjectTags(tags); err != nil {
		return nil, err
	}
	info, err := s.setObjectTags(ctx, g, c, versioned(c, "s3:PutObjectTagging", "s3:PutObjectVersionTagging"), tags)
	if err != nil {
		return nil, err
	}
	return &s3wire.PutObjectTaggingOutput{VersionId: versionOf(info)}, nil
}

func (s *Service) deleteObjectTagging(ctx context.Context, g authz.Grant, c *api.Call, _ *s3wire.DeleteObjectTaggingInput) (*s3wire.DeleteObjectTaggingOutput, error) {
	info, err := s.setObjectTags(ctx, g, c, versioned(c, "s3:DeleteObjectTagging", "s3:DeleteObjectVersionTagging"), nil)
	if err != nil {
		return nil, err
	}
	return &s3wire.DeleteObjectTaggingOutput{VersionId: versionOf(info)}, nil
}

func (s *Service) setObjectTags(ctx context.Context, g authz.Grant, c *api.Call, action string, tags []object.Tag) (*object.Info, error) {
	if err := at(c).undecided(); err != nil {
		return nil, err
	}
	in := addressed(c)
	info, err := s.config.Objects.SetTags(ctx, g, action, in, tags)
	if err != nil {
		return nil, s.hide(g, at(c).found, in.Key, err)
	}
	return info, nil
}

// addressed is the object version that the request line names.
func addressed(c *api.Call) *object.GetInput {
	t := at(c)
	return &object.GetInput{Bucket: t.bucket, Key: t.key, VersionID: t.query.get("versionId")}
}

// versionOf names the version in answers of buckets that have (had) versioning.
func versionOf(info *object.Info) *string {
	if info == nil || !info.Versioned {
		return nil
	}
	return &info.VersionID
}

// newVersionOf names the version that a write made: none where versioning is suspended, as the write
// made the null version.
func newVersionOf(info *object.Info) *string {
	if info.VersionID == "null" {
		return nil
	}
	return versionOf(info)
}

func wireTags(tags []object.Tag) []s3wire.Tag {
	out := make([]s3wire.Tag, len(tags))
	for i := range tags {
		out[i] = s3wire.Tag{Key: &tags[i].Key, Value: &tags[i].Value}
	}
	return out
}

func plainTags(tags []s3wire.Tag) []object.Tag {
	out := make([]object.Tag, 0, len(tags))
	for _, t := range tags {
		var tag object.Tag
		if t.Key != nil {
			tag.Key = *t.Key
		}
		if t.Value != nil {
			tag.Value = *t.Value
		}
		out = append(out, tag)
	}
	return out
}

func bucketTags(set []s3wire.Tag) ([]object.Tag, error) {
	return BucketTags(plainTags(set))
}

// BucketTags checks and orders the tags of a bucket.
func BucketTags(tags []object.Tag) ([]object.Tag, error) {
	if len(tags) > maxBucketTags {
		return nil, fault.New(badTags, "Bucket tag count cannot be greater than 50")
	}
	if err := checkTags(tags); err != nil {
		return nil, err
	}
	sort.SliceStable(tags, func(i, j int) bool { return tags[i].Key < tags[j].Key })
	return tags, nil
}

func checkObjectTags(tags []object.Tag) error {
	if len(tags) > maxObjectTags {
		return fault.New(badTags, "")
	}
	return checkTags(tags)
}

// checkTags applies S3's rules for tags (S3 User Guide, "Object tags").
func checkTags(tags []object.Tag) error {
	seen := make(map[string]bool, len(tags))
	for _, t := range tags {
		switch {
		case seen[t.Key]:
			return fault.New(invalidTag, "Cannot provide multiple Tags with the same key", "TagKey", t.Key)
		case t.Key == "" || utf8.RuneCountInString(t.Key) > maxTagKey || !tagText(t.Key):
			return fault.New(invalidTag, "The TagKey you have provided is invalid", "TagKey", t.Key)
		case strings.HasPrefix(strings.ToLower(t.Key), "aws:"):
			return fault.New(invalidTag, "Your TagKey cannot be prefixed with aws:", "TagKey", t.Key)
		case utf8.RuneCountInString(t.Value) > maxTagValue || !tagText(t.Value):
			return fault.New(invalidTag, "The TagValue you have provided is invalid", "TagKey", t.Key, "TagValue", t.Value)
		}
		seen[t.Key] = true
	}
	return nil
}

// tagText tells whether all characters are letters, digits, spaces or one of _ . : / = + - @.
func tagText(s string) bool {
	for _, r := range s {
		if !isTagRune(r) {
			return false
		}
	}
	return utf8.ValidString(s)
}

// tagKeys are the condition keys of tags in a request.
type tagKeys struct{ tags []object.Tag }

const requestTag = "s3:requestobjecttag/"

func (k tagKeys) Lookup(key string) (policy.Values, bool) {
	if key == "s3:requestobjecttagkeys" {
		names := make([]string, len(k.tags))
		for i := range k.tags {
			names[i] = k.tags[i].Key
		}
		return policy.Values{Many: names, Multi: true}, len(names) > 0
	}
	name, ok := strings.CutPrefix(key, requestTag)
	if !ok {
		return policy.Values{}, false
	}
	for i := range k.tags {
		if strings.EqualFold(k.tags[i].Key, name) {
			return policy.Values{One: k.tags[i].Value}, true
		}
	}
	return policy.Values{}, false
}

// isTagRune tells whether S3 allows the character in a tag's key or value.
func isTagRune(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsSpace(r) || strings.ContainsRune("_.:/=+-@", r)
}
