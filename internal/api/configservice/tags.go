package configservice

import (
	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/configwire"
	"github.com/kura-s3/kura/internal/authz"
)

func (e edge) tags() []*api.Op {
	return []*api.Op{
		answer(e, &configwire.TagResource, api.Tagging, func(_ string, in *configwire.TagResourceInput) []string { return []string{member.Text(in.ResourceArn)} },
			func(in *configwire.TagResourceInput) authz.Keys { return authz.RequestTags(tagsOf(in.Tags)) },
			func(c call, in *configwire.TagResourceInput) (*configwire.TagResourceOutput, error) {
				return &configwire.TagResourceOutput{}, e.recorder.Tag(c, c.grant, "config:TagResource", c.account, member.Text(in.ResourceArn), tagsOf(in.Tags), nil)
			}),
		answer(e, &configwire.UntagResource, api.Tagging, func(_ string, in *configwire.UntagResourceInput) []string {
			return []string{member.Text(in.ResourceArn)}
		}, func(in *configwire.UntagResourceInput) authz.Keys { return authz.TagKeys(in.TagKeys) },
			func(c call, in *configwire.UntagResourceInput) (*configwire.UntagResourceOutput, error) {
				return &configwire.UntagResourceOutput{}, e.recorder.Tag(c, c.grant, "config:UntagResource", c.account, member.Text(in.ResourceArn), nil, in.TagKeys)
			}),
		answer(e, &configwire.ListTagsForResource, api.Read, func(_ string, in *configwire.ListTagsForResourceInput) []string {
			return []string{member.Text(in.ResourceArn)}
		}, nil, e.listTags),
	}
}

func (e edge) listTags(c call, in *configwire.ListTagsForResourceInput) (*configwire.ListTagsForResourceOutput, error) {
	tags, err := e.recorder.TagsOf(c.grant, c.account, member.Text(in.ResourceArn))
	if err != nil {
		return nil, err
	}
	names, next, err := page(sorted(tags), in.NextToken, in.Limit, 50, 100)
	show := func(name string) configwire.Tag { return configwire.Tag{Key: &name, Value: new(tags[name])} }
	return &configwire.ListTagsForResourceOutput{Tags: member.Every(names, show), NextToken: next}, err
}
