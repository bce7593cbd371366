// Package guardduty is the edge of Amazon GuardDuty over rest-json: detectors, findings, filters, and lists
// of trusted and dangerous addresses.
//
// It promises that every operation demands the action of its name on the detector, filter or list that it
// names, and that a list's object is read with the caller's own permission. What a finding is, is the affair
// of package finding.
package guardduty

import (
	"context"
	"log/slog"
	"net/http"
	"slices"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/restjson"
	"github.com/kura-s3/kura/internal/api/rpc"
	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/api/wire/guarddutywire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/finding"
)

// Config of the service.
type Config struct {
	// Findings is GuardDuty. Required.
	Findings *finding.Store
	// Read gives the content of an object, at most most bytes, as the subject may read it. Owner, when it is
	// not empty, is the account that the bucket must belong to. Required.
	Read func(ctx context.Context, as *authz.Subject, bucket, key, owner string, most int64) ([]byte, error)
	// Authn finds out who signed. Required.
	Authn *authn.Authenticator
	// Log is required.
	Log *slog.Logger
}

// edge is what the operations have in common.
type edge struct {
	findings *finding.Store
	read     func(ctx context.Context, as *authz.Subject, bucket, key, owner string, most int64) ([]byte, error)
}

// New makes the service.
func New(c Config) *restjson.Service {
	e := edge{c.Findings, c.Read}
	return restjson.New(restjson.Config{
		Name: "guardduty", Model: guarddutywire.Operations, Answers: answers, Authn: c.Authn, Log: c.Log,
		Ops: slices.Concat(e.detectorOps(), e.findingOps(), e.filterOps(), e.ipSetOps(), e.threatOps(), e.tagOps()),
	})
}

var answers = map[fault.Kind]rpc.Answer{
	finding.BadRequest: {Code: "BadRequestException", Status: http.StatusBadRequest},
}

// call is one request to the service.
type call struct {
	context.Context
	api     *api.Call
	grant   authz.Grant
	account string
}

// answer declares an operation: it demands the action of its name on what about names; nil: on "*".
func answer[In, Out any](e edge, w *wire.Operation, access api.Access, about func(account string, in *In) string, tags func(*In) authz.Keys, do func(call, *In) (*Out, error)) *api.Op {
	return api.Declare(api.Decl[In, Out]{
		Wire: w, Class: audit.Management, Access: access,
		Demands: func(c *api.Call, in *In) ([]authz.Demand, error) {
			account, arn := c.Caller.Subject.Principal.Account, "*"
			if about != nil {
				arn = about(account, in)
			}
			keys := authz.Either{e.findings.ResourceTags(account, arn)}
			if tags != nil {
				keys = append(keys, tags(in))
			}
			return c.Need("guardduty:"+w.Name, authz.Resource{ARN: arn, Account: account}, keys), nil
		},
		Do: func(ctx context.Context, g authz.Grant, c *api.Call, in *In) (*Out, error) {
			return do(call{ctx, c, g, g.Principal().Account}, in)
		},
	})
}

// page cuts the part out of a list that a request asks for.
func page[T any](all []T, token *string, limit *int32) ([]T, *string, error) {
	n := 50
	if limit != nil {
		if *limit < 1 || *limit > 50 {
			return nil, nil, invalid("maxResults")
		}
		n = int(*limit)
	}
	part, next, ok := rpc.Page(all, token, n)
	if !ok {
		return nil, nil, invalid("nextToken")
	}
	return part, next, nil
}

func invalid(parameter string) error {
	return fault.New(finding.BadRequest, "The request is rejected because the parameter "+parameter+" has an invalid value.")
}

func refused(why string) error {
	return fault.New(finding.BadRequest, "The request is rejected because "+why)
}

func (e edge) tagOps() []*api.Op {
	return []*api.Op{
		answer(e, &guarddutywire.TagResource, api.Tagging, func(_ string, in *guarddutywire.TagResourceInput) string { return member.Text(in.ResourceArn) },
			func(in *guarddutywire.TagResourceInput) authz.Keys { return authz.RequestTags(in.Tags) },
			func(c call, in *guarddutywire.TagResourceInput) (*guarddutywire.TagResourceOutput, error) {
				return &guarddutywire.TagResourceOutput{}, e.findings.Tag(c, c.grant, "guardduty:TagResource", c.account, member.Text(in.ResourceArn), in.Tags, nil)
			}),
		answer(e, &guarddutywire.UntagResource, api.Tagging, func(_ string, in *guarddutywire.UntagResourceInput) string { return member.Text(in.ResourceArn) },
			func(in *guarddutywire.UntagResourceInput) authz.Keys { return authz.TagKeys(in.TagKeys) },
			func(c call, in *guarddutywire.UntagResourceInput) (*guarddutywire.UntagResourceOutput, error) {
				return &guarddutywire.UntagResourceOutput{}, e.findings.Tag(c, c.grant, "guardduty:UntagResource", c.account, member.Text(in.ResourceArn), nil, in.TagKeys)
			}),
		answer(e, &guarddutywire.ListTagsForResource, api.Read, func(_ string, in *guarddutywire.ListTagsForResourceInput) string {
			return member.Text(in.ResourceArn)
		}, nil,
			func(c call, in *guarddutywire.ListTagsForResourceInput) (*guarddutywire.ListTagsForResourceOutput, error) {
				tags, err := e.findings.Tags(c.grant, c.account, member.Text(in.ResourceArn))
				return &guarddutywire.ListTagsForResourceOutput{Tags: tags}, err
			}),
	}
}
