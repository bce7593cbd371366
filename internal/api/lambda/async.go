package lambda

import (
	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/lambdawire"
	"github.com/kura-s3/kura/internal/function"
)

func (e edge) asyncOps() []*api.Op {
	return []*api.Op{
		on(e, &lambdawire.PutFunctionEventInvokeConfig, api.Write, func(in *lambdawire.PutFunctionEventInvokeConfigInput) (*string, *string) {
			return in.FunctionName, in.Qualifier
		}, func(c call, in *lambdawire.PutFunctionEventInvokeConfigInput) (*lambdawire.PutFunctionEventInvokeConfigOutput, error) {
			a, err := e.functions.PutAsync(c, c.grant, c.ref, asyncConfig(in.MaximumRetryAttempts, in.MaximumEventAgeInSeconds, in.DestinationConfig), false)
			if err != nil {
				return nil, err
			}
			return new(lambdawire.PutFunctionEventInvokeConfigOutput(e.showAsync(c.ref, a))), nil
		}),
		on(e, &lambdawire.UpdateFunctionEventInvokeConfig, api.Write, func(in *lambdawire.UpdateFunctionEventInvokeConfigInput) (*string, *string) {
			return in.FunctionName, in.Qualifier
		}, func(c call, in *lambdawire.UpdateFunctionEventInvokeConfigInput) (*lambdawire.UpdateFunctionEventInvokeConfigOutput, error) {
			a, err := e.functions.PutAsync(c, c.grant, c.ref, asyncConfig(in.MaximumRetryAttempts, in.MaximumEventAgeInSeconds, in.DestinationConfig), true)
			if err != nil {
				return nil, err
			}
			return new(lambdawire.UpdateFunctionEventInvokeConfigOutput(e.showAsync(c.ref, a))), nil
		}),
		on(e, &lambdawire.GetFunctionEventInvokeConfig, api.Read, func(in *lambdawire.GetFunctionEventInvokeConfigInput) (*string, *string) {
			return in.FunctionName, in.Qualifier
		}, func(c call, _ *lambdawire.GetFunctionEventInvokeConfigInput) (*lambdawire.GetFunctionEventInvokeConfigOutput, error) {
			a, err := e.functions.AsyncOf(c.grant, c.ref)
			if err != nil {
				return nil, err
			}
			return new(lambdawire.GetFunctionEventInvokeConfigOutput(e.showAsync(c.ref, a))), nil
		}),
		on(e, &lambdawire.DeleteFunctionEventInvokeConfig, api.Write, func(in *lambdawire.DeleteFunctionEventInvokeConfigInput) (*string, *string) {
			return in.FunctionName, in.Qualifier
		}, func(c call, _ *lambdawire.DeleteFunctionEventInvokeConfigInput) (*lambdawire.DeleteFunctionEventInvokeConfigOutput, error) {
			return &lambdawire.DeleteFunctionEventInvokeConfigOutput{}, e.functions.DeleteAsync(c, c.grant, c.ref)
		}),
		on(e, &lambdawire.ListFunctionEventInvokeConfigs, api.List, whole(func(in *lambdawire.ListFunctionEventInvokeConfigsInput) *string { return in.FunctionName }),
			func(c call, in *lambdawire.ListFunctionEventInvokeConfigsInput) (*lambdawire.ListFunctionEventInvokeConfigsOutput, error) {
				all, err := e.functions.ListAsync(c.grant, c.ref)
				if err != nil {
					return nil, err
				}
				some, next, err := page(all, func(a function.QualifiedAsync) string { return a.Of.Qualifier }, in.Marker, in.MaxItems, 50)
				show := func(a function.QualifiedAsync) lambdawire.FunctionEventInvokeConfig {
					return e.showAsync(a.Of, a.AsyncConfig)
				}
				return &lambdawire.ListFunctionEventInvokeConfigsOutput{FunctionEventInvokeConfigs: member.Every(some, show), NextMarker: next}, err
			}),
	}
}

func asyncConfig(retries, age *int32, d *lambdawire.DestinationConfig) function.AsyncConfig {
	a := function.AsyncConfig{MaxRetries: number(retries), MaxAge: number(age)}
	if d != nil && d.OnSuccess != nil {
		a.OnSuccess = member.Text(d.OnSuccess.Destination)
	}
	if d != nil && d.OnFailure != nil {
		a.OnFailure = member.Text(d.OnFailure.Destination)
	}
	return a
}

func (e edge) showAsync(r function.Ref, a *function.AsyncConfig) lambdawire.FunctionEventInvokeConfig {
	if r.Qualifier == "" {
		r.Qualifier = "$LATEST"
	}
	out := lambdawire.FunctionEventInvokeConfig{
		LastModified: member.At(a.Modified), FunctionArn: new(e.functions.ARN(r)),
		DestinationConfig: &lambdawire.DestinationConfig{
			OnSuccess: &lambdawire.OnSuccess{Destination: member.Given(a.OnSuccess)}, OnFailure: &lambdawire.OnFailure{Destination: member.Given(a.OnFailure)},
		},
	}
	if a.MaxRetries != nil {
		out.MaximumRetryAttempts = new(int32(*a.MaxRetries))
	}
	if a.MaxAge != nil {
		out.MaximumEventAgeInSeconds = new(int32(*a.MaxAge))
	}
	return out
}
