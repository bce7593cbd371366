package lambda

import (
	"fmt"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/lambdawire"
	"github.com/kura-s3/kura/internal/function"
)

func (e edge) versionOps() []*api.Op {
	return []*api.Op{
		on(e, &lambdawire.PublishVersion, api.Write, whole(func(in *lambdawire.PublishVersionInput) *string { return in.FunctionName }),
			func(c call, in *lambdawire.PublishVersionInput) (*lambdawire.PublishVersionOutput, error) {
				if in.PublishTo != "" {
					return nil, invalid("PublishTo is not supported.")
				}
				f, conf, err := e.functions.Publish(c, c.grant, c.ref, member.Text(in.CodeSha256), member.Text(in.Description), in.RevisionId)
				if err != nil {
					return nil, err
				}
				return new(lambdawire.PublishVersionOutput(e.show(c, c.grant, f, conf, published(c.ref, conf)))), nil
			}),
		on(e, &lambdawire.ListVersionsByFunction, api.List, whole(func(in *lambdawire.ListVersionsByFunctionInput) *string { return in.FunctionName }), e.listVersions),
		on(e, &lambdawire.CreateAlias, api.Write, whole(func(in *lambdawire.CreateAliasInput) *string { return in.FunctionName }),
			func(c call, in *lambdawire.CreateAliasInput) (*lambdawire.CreateAliasOutput, error) {
				a, err := e.functions.CreateAlias(c, c.grant, c.ref, member.Text(in.Name), function.Aliased{
					Version: in.FunctionVersion, Description: in.Description, Weights: weights(in.RoutingConfig),
				})
				if err != nil {
					return nil, err
				}
				return new(lambdawire.CreateAliasOutput(e.showAlias(c.ref, *in.Name, a))), nil
			}),
		on(e, &lambdawire.UpdateAlias, api.Write, whole(func(in *lambdawire.UpdateAliasInput) *string { return in.FunctionName }),
			func(c call, in *lambdawire.UpdateAliasInput) (*lambdawire.UpdateAliasOutput, error) {
				a, err := e.functions.UpdateAlias(c, c.grant, c.ref, member.Text(in.Name), function.Aliased{
					Version: in.FunctionVersion, Description: in.Description, Weights: weights(in.RoutingConfig), Revision: in.RevisionId,
				})
				if err != nil {
					return nil, err
				}
				return new(lambdawire.UpdateAliasOutput(e.showAlias(c.ref, *in.Name, a))), nil
			}),
		on(e, &lambdawire.GetAlias, api.Read, whole(func(in *lambdawire.GetAliasInput) *string { return in.FunctionName }),
			func(c call, in *lambdawire.GetAliasInput) (*lambdawire.GetAliasOutput, error) {
				a, err := e.functions.Alias(c.grant, c.ref, member.Text(in.Name))
				if err != nil {
					return nil, err
				}
				return new(lambdawire.GetAliasOutput(e.showAlias(c.ref, *in.Name, a))), nil
			}),
		on(e, &lambdawire.ListAliases, api.List, whole(func(in *lambdawire.ListAliasesInput) *string { return in.FunctionName }),
			func(c call, in *lambdawire.ListAliasesInput) (*lambdawire.ListAliasesOutput, error) {
				all, err := e.functions.ListAliases(c.grant, c.ref, member.Text(in.FunctionVersion))
				if err != nil {
					return nil, err
				}
				some, next, err := page(all, func(a function.NamedAlias) string { return a.Name }, in.Marker, in.MaxItems, 50)
				show := func(a function.NamedAlias) lambdawire.AliasConfiguration {
					return e.showAlias(c.ref, a.Name, a.Alias)
				}
				return &lambdawire.ListAliasesOutput{Aliases: member.Every(some, show), NextMarker: next}, err
			}),
		on(e, &lambdawire.DeleteAlias, api.Write, whole(func(in *lambdawire.DeleteAliasInput) *string { return in.FunctionName }),
			func(c call, in *lambdawire.DeleteAliasInput) (*lambdawire.DeleteAliasOutput, error) {
				return &lambdawire.DeleteAliasOutput{}, e.functions.DeleteAlias(c, c.grant, c.ref, member.Text(in.Name))
			}),
	}
}

func (e edge) listVersions(c call, in *lambdawire.ListVersionsByFunctionInput) (*lambdawire.ListVersionsByFunctionOutput, error) {
	f, all, err := e.functions.ListVersions(c.grant, c.ref)
	if err != nil {
		return nil, err
	}
	some, next, err := page(all, func(v *function.Configuration) string { return fmt.Sprintf("%20s", versionOrder(v.Version)) }, in.Marker, in.MaxItems, 50)
	show := func(v *function.Configuration) lambdawire.FunctionConfiguration {
		return e.show(c, c.grant, f, v, function.Ref{Qualifier: v.Version})
	}
	return &lambdawire.ListVersionsByFunctionOutput{Versions: member.Every(some, show), NextMarker: next}, err
}

// weights are those of further versions; nil where nothing is said of them.
func weights(r *lambdawire.AliasRoutingConfiguration) map[string]float64 {
	if r == nil {
		return nil
	}
	if r.AdditionalVersionWeights == nil {
		return map[string]float64{}
	}
	return r.AdditionalVersionWeights
}

func (e edge) showAlias(r function.Ref, name string, a *function.Alias) lambdawire.AliasConfiguration {
	r.Qualifier = name
	out := lambdawire.AliasConfiguration{
		AliasArn: new(e.functions.ARN(r)), Name: &name, FunctionVersion: &a.Version, Description: &a.Description, RevisionId: &a.Revision,
	}
	if a.Also != "" {
		out.RoutingConfig = &lambdawire.AliasRoutingConfiguration{AdditionalVersionWeights: map[string]float64{a.Also: a.Weight}}
	}
	return out
}
