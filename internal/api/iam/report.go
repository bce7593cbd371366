package iam

import (
	"context"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/iamwire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/identity"
)

// reports are the operations on the credential report.
type reports struct{ edge }

func (e reports) ops() []*api.Op {
	return []*api.Op{
		answer(e.edge, &iamwire.GenerateCredentialReport, api.Read, anything, e.generateCredentialReport),
		answer(e.edge, &iamwire.GetCredentialReport, api.Read, anything, e.getCredentialReport),
	}
}

// generateCredentialReport answers STARTED for a new report, as AWS's tools expect, and COMPLETE while
// the last one serves. Either is there for GetCredentialReport at once.
func (e reports) generateCredentialReport(ctx context.Context, g authz.Grant, on identity.Ref, _ *iamwire.GenerateCredentialReportInput) (*iamwire.GenerateCredentialReportOutput, error) {
	made, err := e.identities.GenerateCredentialReport(ctx, g, on.Account)
	if err != nil {
		return nil, err
	}
	if made {
		return &iamwire.GenerateCredentialReportOutput{State: "STARTED", Description: new("No report exists. Starting a new report generation task")}, nil
	}
	return &iamwire.GenerateCredentialReportOutput{State: "COMPLETE"}, nil
}

func (e reports) getCredentialReport(ctx context.Context, g authz.Grant, on identity.Ref, _ *iamwire.GetCredentialReportInput) (*iamwire.GetCredentialReportOutput, error) {
	r, err := e.identities.GetCredentialReport(ctx, g, on.Account)
	if err != nil {
		return nil, err
	}
	return &iamwire.GetCredentialReportOutput{Content: r.Content, ReportFormat: "text/csv", GeneratedTime: member.At(r.Generated)}, nil
}
