package configservice

import (
	"slices"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/configwire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/posture/recorder"
	"github.com/kura-s3/kura/internal/posture/rule"
)

func (e edge) packs() []*api.Op {
	one := func(account string, name *string) []string {
		return []string{e.recorder.PackARN(account, member.Text(name))}
	}
	return []*api.Op{
		answer(e, &configwire.PutConformancePack, api.Write, func(account string, in *configwire.PutConformancePackInput) []string {
			return one(account, in.ConformancePackName)
		}, func(in *configwire.PutConformancePackInput) authz.Keys { return authz.RequestTags(tagsOf(in.Tags)) }, e.putPack),
		answer(e, &configwire.DescribeConformancePacks, api.List, nil, nil, e.describePacks),
		answer(e, &configwire.DescribeConformancePackStatus, api.List, nil, nil, e.packStatus),
		answer(e, &configwire.DescribeConformancePackCompliance, api.Read, func(account string, in *configwire.DescribeConformancePackComplianceInput) []string {
			return one(account, in.ConformancePackName)
		}, nil, e.packCompliance),
		answer(e, &configwire.GetConformancePackComplianceDetails, api.Read, func(account string, in *configwire.GetConformancePackComplianceDetailsInput) []string {
			return one(account, in.ConformancePackName)
		}, nil, e.packDetails),
		answer(e, &configwire.GetConformancePackComplianceSummary, api.Read, func(account string, in *configwire.GetConformancePackComplianceSummaryInput) []string {
			var arns []string
			for _, name := range in.ConformancePackNames {
				arns = append(arns, e.recorder.PackARN(account, name))
			}
			return arns
		}, nil, e.packSummary),
		answer(e, &configwire.DeleteConformancePack, api.Write, func(account string, in *configwire.DeleteConformancePackInput) []string {
			return one(account, in.ConformancePackName)
		}, nil, func(c call, in *configwire.DeleteConformancePackInput) (*configwire.DeleteConformancePackOutput, error) {
			return &configwire.DeleteConformancePackOutput{}, e.recorder.DeletePack(c, c.grant, c.account, member.Text(in.ConformancePackName))
		}),
	}
}

func (e edge) putPack(c call, in *configwire.PutConformancePackInput) (*configwire.PutConformancePackOutput, error) {
	p := recorder.Pack{
		Name: member.Text(in.ConformancePackName), Template: member.Text(in.TemplateBody), Bucket: member.Text(in.DeliveryS3Bucket), Prefix: member.Text(in.DeliveryS3KeyPrefix),
		Input: map[string]string{}, Tags: tagsOf(in.Tags),
	}
	if in.TemplateSSMDocumentDetails != nil {
		p.Document = member.Text(in.TemplateSSMDocumentDetails.DocumentName)
	}
	switch {
	case member.Text(in.TemplateS3Uri) != "":
		return nil, badRule("TemplateS3Uri is not supported: give the template's text as TemplateBody.")
	case (p.Template == "") == (p.Document == ""):
		return nil, badRule("A conformance pack needs a TemplateBody, or the name of a document, and not both.")
	}
	for _, param := range in.ConformancePackInputParameters {
		p.Input[member.Text(param.ParameterName)] = member.Text(param.ParameterValue)
	}
	arn, err := e.recorder.PutPack(c, c.grant, c.account, p)
	return &configwire.PutConformancePackOutput{ConformancePackArn: member.Given(arn)}, err
}

func (e edge) describePacks(c call, in *configwire.DescribeConformancePacksInput) (*configwire.DescribeConformancePacksOutput, error) {
	packs, err := e.recorder.Packs(c.grant, "config:DescribeConformancePacks", c.account, in.ConformancePackNames)
	if err != nil {
		return nil, err
	}
	packs, next, err := page(packs, in.NextToken, in.Limit, 20, 20)
	show := func(p *recorder.Pack) configwire.ConformancePackDetail {
		w := configwire.ConformancePackDetail{
			ConformancePackName: &p.Name, ConformancePackArn: &p.ARN, ConformancePackId: &p.ID, DeliveryS3Bucket: member.Given(p.Bucket),
			DeliveryS3KeyPrefix: member.Given(p.Prefix), LastUpdateRequestedTime: member.At(p.Requested), ConformancePackInputParameters: []configwire.ConformancePackInputParameter{},
		}
		for _, name := range sorted(p.Input) {
			w.ConformancePackInputParameters = append(w.ConformancePackInputParameters, configwire.ConformancePackInputParameter{ParameterName: &name, ParameterValue: new(p.Input[name])})
		}
		if p.Document != "" {
			w.TemplateSSMDocumentDetails = &configwire.TemplateSSMDocumentDetails{DocumentName: &p.Document}
		}
		return w
	}
	return &configwire.DescribeConformancePacksOutput{ConformancePackDetails: member.Every(packs, show), NextToken: next}, err
}

func sorted(m map[string]string) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (e edge) packStatus(c call, in *configwire.DescribeConformancePackStatusInput) (*configwire.DescribeConformancePackStatusOutput, error) {
	packs, err := e.recorder.Packs(c.grant, "config:DescribeConformancePackStatus", c.account, nil)
	if err != nil {
		return nil, err
	}
	// As at AWS, a pack that is not there has no status, and that is no error.
	packs = slices.DeleteFunc(packs, func(p *recorder.Pack) bool {
		return len(in.ConformancePackNames) > 0 && !slices.Contains(in.ConformancePackNames, p.Name)
	})
	packs, next, err := page(packs, in.NextToken, in.Limit, 20, 20)
	show := func(p *recorder.Pack) configwire.ConformancePackStatusDetail {
		return configwire.ConformancePackStatusDetail{
			ConformancePackName: &p.Name, ConformancePackId: &p.ID, ConformancePackArn: &p.ARN, ConformancePackState: "CREATE_COMPLETE",
			StackArn: &p.ARN, LastUpdateRequestedTime: member.At(p.Requested), LastUpdateCompletedTime: member.At(p.Completed),
		}
	}
	return &configwire.DescribeConformancePackStatusOutput{ConformancePackStatusDetails: member.Every(packs, show), NextToken: next}, err
}

func (e edge) packCompliance(c call, in *configwire.DescribeConformancePackComplianceInput) (*configwire.DescribeConformancePackComplianceOutput, error) {
	found, err := e.recorder.PackCompliance(c.grant, "config:DescribeConformancePackCompliance", c.account, []string{member.Text(in.ConformancePackName)})
	if err != nil {
		return nil, err
	}
	rules := found[0].Rules
	if f := in.Filters; f != nil {
		rules = slices.DeleteFunc(rules, func(r recorder.RuleCompliance) bool {
			return len(f.ConfigRuleNames) > 0 && !slices.Contains(f.ConfigRuleNames, r.Name) || f.ComplianceType != "" && string(f.ComplianceType) != string(r.Compliance)
		})
	}
	rules, next, err := page(rules, in.NextToken, in.Limit, 100, 1000)
	show := func(r recorder.RuleCompliance) configwire.ConformancePackRuleCompliance {
		return configwire.ConformancePackRuleCompliance{ConfigRuleName: &r.Name, ComplianceType: configwire.ConformancePackComplianceType(r.Compliance), Controls: []string{}}
	}
	return &configwire.DescribeConformancePackComplianceOutput{ConformancePackName: in.ConformancePackName, ConformancePackRuleComplianceList: member.Every(rules, show), NextToken: next}, err
}

func (e edge) packDetails(c call, in *configwire.GetConformancePackComplianceDetailsInput) (*configwire.GetConformancePackComplianceDetailsOutput, error) {
	all, err := e.recorder.PackDetails(c.grant, "config:GetConformancePackComplianceDetails", c.account, member.Text(in.ConformancePackName))
	if err != nil {
		return nil, err
	}
	if f := in.Filters; f != nil {
		if len(f.ResourceIds) > 0 && member.Text(f.ResourceType) == "" {
			return nil, fault.New(recorder.InvalidParameter, "A filter of resource ids needs a resource type.")
		}
		all = slices.DeleteFunc(all, func(v recorder.Evaluation) bool { return !passes(f, &v) })
	}
	all, next, err := page(all, in.NextToken, in.Limit, 10, 100)
	show := func(v recorder.Evaluation) configwire.ConformancePackEvaluationResult {
		return configwire.ConformancePackEvaluationResult{
			ComplianceType: configwire.ConformancePackComplianceType(v.Compliance), EvaluationResultIdentifier: identifier(&v),
			ConfigRuleInvokedTime: member.At(v.Invoked), ResultRecordedTime: member.At(v.Recorded), Annotation: member.Given(v.Annotation),
		}
	}
	return &configwire.GetConformancePackComplianceDetailsOutput{ConformancePackName: in.ConformancePackName, ConformancePackRuleEvaluationResults: member.Every(all, show), NextToken: next}, err
}

func passes(f *configwire.ConformancePackEvaluationFilters, v *recorder.Evaluation) bool {
	return (len(f.ConfigRuleNames) == 0 || slices.Contains(f.ConfigRuleNames, v.Rule)) &&
		(f.ComplianceType == "" || string(f.ComplianceType) == string(v.Compliance)) &&
		(member.Text(f.ResourceType) == "" || *f.ResourceType == v.Type) &&
		(len(f.ResourceIds) == 0 || slices.Contains(f.ResourceIds, v.ID))
}

func (e edge) packSummary(c call, in *configwire.GetConformancePackComplianceSummaryInput) (*configwire.GetConformancePackComplianceSummaryOutput, error) {
	found, err := e.recorder.PackCompliance(c.grant, "config:GetConformancePackComplianceSummary", c.account, in.ConformancePackNames)
	if err != nil {
		return nil, err
	}
	found, next, err := page(found, in.NextToken, in.Limit, 20, 20)
	show := func(p recorder.PackCompliance) configwire.ConformancePackComplianceSummary {
		all := p.Compliance()
		if all == rule.NotApplicable {
			all = rule.InsufficientData
		}
		return configwire.ConformancePackComplianceSummary{ConformancePackName: &p.Pack.Name, ConformancePackComplianceStatus: configwire.ConformancePackComplianceType(all)}
	}
	return &configwire.GetConformancePackComplianceSummaryOutput{ConformancePackComplianceSummaryList: member.Every(found, show), NextToken: next}, err
}
