package accessanalyzer

import (
	"context"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/accessanalyzerwire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/posture/generation"
)

func (e edge) generations() []*api.Op {
	return []*api.Op{
		e.startGeneration(),
		answer(e, &accessanalyzerwire.GetGeneratedPolicy, api.Read, nil, nil, e.getGenerated),
		answer(e, &accessanalyzerwire.ListPolicyGenerations, api.Read, nil, nil, e.listGenerations),
		answer(e, &accessanalyzerwire.CancelPolicyGeneration, api.Write, nil, nil,
			func(c call, in *accessanalyzerwire.CancelPolicyGenerationInput) (*accessanalyzerwire.CancelPolicyGenerationOutput, error) {
				return &accessanalyzerwire.CancelPolicyGenerationOutput{}, e.generation.Cancel(c, c.grant, c.account, member.Text(in.JobId))
			}),
	}
}

// Service is the principal that access roles have to trust.
const Service = "access-analyzer.amazonaws.com"

// startGeneration hands the access role to the service. Without one the record is read on the caller's
// own behalf, who needs the permission to look events up.
func (e edge) startGeneration() *api.Op {
	return api.Declare(api.Decl[accessanalyzerwire.StartPolicyGenerationInput, accessanalyzerwire.StartPolicyGenerationOutput]{
		Wire: &accessanalyzerwire.StartPolicyGeneration, Class: audit.Management, Access: api.Write,
		Demands: func(c *api.Call, in *accessanalyzerwire.StartPolicyGenerationInput) ([]authz.Demand, error) {
			account := c.Caller.Subject.Principal.Account
			demands := c.Need("access-analyzer:StartPolicyGeneration", authz.Resource{ARN: "*", Account: account}, nil)
			if in.CloudTrailDetails != nil {
				return append(demands, e.passRole(member.Text(in.CloudTrailDetails.AccessRole), Service)), nil
			}
			return c.Need("cloudtrail:LookupEvents", authz.Resource{ARN: "*", Account: account}, nil), nil
		},
		Do: func(ctx context.Context, g authz.Grant, _ *api.Call, in *accessanalyzerwire.StartPolicyGenerationInput) (*accessanalyzerwire.StartPolicyGenerationOutput, error) {
			job := generation.Job{Account: g.Principal().Account, Token: member.Text(in.ClientToken)}
			if in.PolicyGenerationDetails != nil {
				job.Principal = member.Text(in.PolicyGenerationDetails.PrincipalArn)
			}
			if d := in.CloudTrailDetails; d != nil {
				if len(d.Trails) == 0 || d.StartTime == nil {
					return nil, fault.New(generation.Invalid, "cloudTrailDetails need a trail and a start time.")
				}
				job.Role, job.Since = member.Text(d.AccessRole), d.StartTime.UTC()
				if d.EndTime != nil {
					job.Until = d.EndTime.UTC()
				}
				for _, t := range d.Trails {
					job.Trails = append(job.Trails, generation.Trail{ARN: member.Text(t.CloudTrailArn), Regions: t.Regions, AllRegions: t.AllRegions})
				}
			}
			id, err := e.generation.Start(ctx, g, job)
			return &accessanalyzerwire.StartPolicyGenerationOutput{JobId: member.Given(id)}, err
		},
	})
}

func (e edge) getGenerated(c call, in *accessanalyzerwire.GetGeneratedPolicyInput) (*accessanalyzerwire.GetGeneratedPolicyOutput, error) {
	j, err := e.generation.Get(c, c.grant, c.account, member.Text(in.JobId))
	if err != nil {
		return nil, err
	}
	details := &accessanalyzerwire.JobDetails{
		JobId: &j.ID, Status: accessanalyzerwire.JobStatus(j.Status), StartedOn: member.At(j.Started), CompletedOn: member.At(j.Completed),
	}
	if j.ErrorCode != "" {
		details.JobError = &accessanalyzerwire.JobError{Code: accessanalyzerwire.JobErrorCode(j.ErrorCode), Message: &j.Error}
	}
	properties := &accessanalyzerwire.GeneratedPolicyProperties{PrincipalArn: &j.Principal, IsComplete: &j.Complete}
	if len(j.Trails) > 0 {
		properties.CloudTrailProperties = &accessanalyzerwire.CloudTrailProperties{
			StartTime: member.At(j.Since), EndTime: member.At(j.Until),
			TrailProperties: member.Every(j.Trails, func(t generation.Trail) accessanalyzerwire.TrailProperties {
				return accessanalyzerwire.TrailProperties{CloudTrailArn: &t.ARN, Regions: t.Regions, AllRegions: t.AllRegions}
			}),
		}
	}
	return &accessanalyzerwire.GetGeneratedPolicyOutput{JobDetails: details, GeneratedPolicyResult: &accessanalyzerwire.GeneratedPolicyResult{
		Properties: properties,
		GeneratedPolicies: member.Every(j.Policies, func(p string) accessanalyzerwire.GeneratedPolicy {
			return accessanalyzerwire.GeneratedPolicy{Policy: &p}
		}),
	}}, nil
}

func (e edge) listGenerations(c call, in *accessanalyzerwire.ListPolicyGenerationsInput) (*accessanalyzerwire.ListPolicyGenerationsOutput, error) {
	list, err := e.generation.List(c, c.grant, c.account, member.Text(in.PrincipalArn))
	if err != nil {
		return nil, err
	}
	list, next, err := page(list, in.NextToken, in.MaxResults)
	return &accessanalyzerwire.ListPolicyGenerationsOutput{NextToken: next, PolicyGenerations: member.Every(list, func(j *generation.Job) accessanalyzerwire.PolicyGeneration {
		return accessanalyzerwire.PolicyGeneration{
			JobId: &j.ID, PrincipalArn: &j.Principal, Status: accessanalyzerwire.JobStatus(j.Status), StartedOn: member.At(j.Started), CompletedOn: member.At(j.Completed),
		}
	})}, err
}
