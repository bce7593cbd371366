package lambda

import (
	"context"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/api/wire/lambdawire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/function"
	"github.com/kura-s3/kura/internal/function/runner"
)

func (e edge) manageOps() []*api.Op {
	return []*api.Op{
		on(e, &lambdawire.PutFunctionConcurrency, api.Write, whole(func(in *lambdawire.PutFunctionConcurrencyInput) *string { return in.FunctionName }),
			func(c call, in *lambdawire.PutFunctionConcurrencyInput) (*lambdawire.PutFunctionConcurrencyOutput, error) {
				return &lambdawire.PutFunctionConcurrencyOutput{ReservedConcurrentExecutions: in.ReservedConcurrentExecutions},
					e.functions.Reserve(c, c.grant, c.ref, member.Number(in.ReservedConcurrentExecutions))
			}),
		on(e, &lambdawire.GetFunctionConcurrency, api.Read, whole(func(in *lambdawire.GetFunctionConcurrencyInput) *string { return in.FunctionName }),
			func(c call, _ *lambdawire.GetFunctionConcurrencyInput) (*lambdawire.GetFunctionConcurrencyOutput, error) {
				f, err := e.functions.Function(c.ref)
				if err != nil || f.Reserved == nil {
					return &lambdawire.GetFunctionConcurrencyOutput{}, err
				}
				return &lambdawire.GetFunctionConcurrencyOutput{ReservedConcurrentExecutions: new(int32(*f.Reserved))}, nil
			}),
		on(e, &lambdawire.DeleteFunctionConcurrency, api.Write, whole(func(in *lambdawire.DeleteFunctionConcurrencyInput) *string { return in.FunctionName }),
			func(c call, _ *lambdawire.DeleteFunctionConcurrencyInput) (*lambdawire.DeleteFunctionConcurrencyOutput, error) {
				return &lambdawire.DeleteFunctionConcurrencyOutput{}, e.functions.Unreserve(c, c.grant, c.ref)
			}),
		// There is no code signing, and a runtime is the host's: this is how AWS tells both.
		on(e, &lambdawire.GetFunctionCodeSigningConfig, api.Read, whole(func(in *lambdawire.GetFunctionCodeSigningConfigInput) *string { return in.FunctionName }),
			func(c call, _ *lambdawire.GetFunctionCodeSigningConfigInput) (*lambdawire.GetFunctionCodeSigningConfigOutput, error) {
				f, err := e.functions.Function(c.ref)
				if err != nil {
					return nil, err
				}
				return &lambdawire.GetFunctionCodeSigningConfigOutput{CodeSigningConfigArn: new(""), FunctionName: &f.Name}, nil
			}),
		on(e, &lambdawire.GetRuntimeManagementConfig, api.Read, func(in *lambdawire.GetRuntimeManagementConfigInput) (*string, *string) {
			return in.FunctionName, in.Qualifier
		},
			func(c call, _ *lambdawire.GetRuntimeManagementConfigInput) (*lambdawire.GetRuntimeManagementConfigOutput, error) {
				_, _, err := e.functions.Configuration(c.ref)
				return &lambdawire.GetRuntimeManagementConfigOutput{UpdateRuntimeOn: lambdawire.UpdateRuntimeOnAuto, FunctionArn: new(e.functions.ARN(c.ref))}, err
			}),
		tagging(e, &lambdawire.TagResource, api.Tagging, func(in *lambdawire.TagResourceInput) (*string, authz.Keys) {
			return in.Resource, authz.RequestTags(in.Tags)
		},
			func(c call, in *lambdawire.TagResourceInput) (*lambdawire.TagResourceOutput, error) {
				return &lambdawire.TagResourceOutput{}, e.functions.Tag(c, c.grant, c.ref, in.Tags)
			}),
		tagging(e, &lambdawire.UntagResource, api.Tagging, func(in *lambdawire.UntagResourceInput) (*string, authz.Keys) {
			return in.Resource, authz.TagKeys(in.TagKeys)
		}, func(c call, in *lambdawire.UntagResourceInput) (*lambdawire.UntagResourceOutput, error) {
			return &lambdawire.UntagResourceOutput{}, e.functions.Untag(c, c.grant, c.ref, in.TagKeys)
		}),
		tagging(e, &lambdawire.ListTags, api.Read, func(in *lambdawire.ListTagsInput) (*string, authz.Keys) { return in.Resource, nil },
			func(c call, _ *lambdawire.ListTagsInput) (*lambdawire.ListTagsOutput, error) {
				f, err := e.functions.Function(c.ref)
				if err != nil {
					return nil, err
				}
				out := &lambdawire.ListTagsOutput{Tags: f.Tags}
				if out.Tags == nil {
					out.Tags = map[string]string{}
				}
				return out, nil
			}),
		e.settings(),
	}
}

// tagging declares an operation on the tags of a function, which it names by its ARN.
func tagging[In, Out any](e edge, w *wire.Operation, access api.Access, of func(*In) (*string, authz.Keys), do func(call, *In) (*Out, error)) *api.Op {
	ref := func(c *api.Call, in *In) (function.Ref, authz.Keys, error) {
		arn, tags := of(in)
		r, err := e.functions.Parse(account(c), member.Text(arn), "")
		if err == nil && r.Qualifier != "" {
			err = invalid("Tags on function aliases and versions are not supported. Please specify either a function ARN or an event source mapping ARN")
		}
		return r, tags, err
	}
	return api.Declare(api.Decl[In, Out]{
		Wire: w, Class: audit.Management, Access: access,
		Demands: func(c *api.Call, in *In) ([]authz.Demand, error) {
			r, tags, err := ref(c, in)
			if err != nil {
				return nil, err
			}
			d := e.functions.TagDemand("lambda:"+w.Name, r, tags)
			return c.Need(d.Action, d.Resource, d.Keys), nil
		},
		Do: func(ctx context.Context, g authz.Grant, c *api.Call, in *In) (*Out, error) {
			r, _, err := ref(c, in)
			if err != nil {
				return nil, err
			}
			return do(call{ctx, c, g, r}, in)
		},
	})
}

func (e edge) settings() *api.Op {
	return api.Declare(api.Decl[lambdawire.GetAccountSettingsInput, lambdawire.GetAccountSettingsOutput]{
		Wire: &lambdawire.GetAccountSettings, Class: audit.Management, Access: api.Read,
		Demands: func(c *api.Call, _ *lambdawire.GetAccountSettingsInput) ([]authz.Demand, error) {
			return c.Need("lambda:GetAccountSettings", authz.Resource{ARN: "*", Account: account(c)}, nil), nil
		},
		Do: func(_ context.Context, g authz.Grant, c *api.Call, _ *lambdawire.GetAccountSettingsInput) (*lambdawire.GetAccountSettingsOutput, error) {
			t, err := e.functions.Totals(g, account(c))
			if err != nil {
				return nil, err
			}
			return &lambdawire.GetAccountSettingsOutput{
				AccountLimit: &lambdawire.AccountLimit{
					TotalCodeSize: new(int64(function.MaxCode)), CodeSizeUnzipped: new(int64(runner.MaxUnzipped)), CodeSizeZipped: new(int64(function.MaxZip)),
					ConcurrentExecutions: new(int32(function.Concurrency)), UnreservedConcurrentExecutions: new(int32(function.Concurrency - t.Reserved)),
				},
				AccountUsage: &lambdawire.AccountUsage{TotalCodeSize: &t.CodeBytes, FunctionCount: &t.Functions},
			}, nil
		},
	})
}
