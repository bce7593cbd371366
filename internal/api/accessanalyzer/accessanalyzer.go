// Package accessanalyzer is the edge of IAM Access Analyzer over rest-json: analyzers, archive rules,
// findings, and checks of policies before they are put anywhere.
//
// It promises that every operation demands the action of its name on the analyzer or archive rule that it
// names. What a finding is, and when it is resolved, is the affair of package analyzer.
package accessanalyzer

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/restjson"
	"github.com/kura-s3/kura/internal/api/rpc"
	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/api/wire/accessanalyzerwire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/posture/analyzer"
	"github.com/kura-s3/kura/internal/posture/generation"
)

// Config of the service.
type Config struct {
	// Analyzer is Access Analyzer. Required.
	Analyzer *analyzer.Store
	// Generation writes policies from the record. Required.
	Generation *generation.Store
	// PassRole gives the demand iam:PassRole on a role, with the service that gets it. Required.
	PassRole func(role, service string) authz.Demand
	// Authn finds out who signed. Required.
	Authn *authn.Authenticator
	// Log is required.
	Log *slog.Logger
}

// edge is what the operations have in common.
type edge struct {
	analyzer   *analyzer.Store
	generation *generation.Store
	passRole   func(role, service string) authz.Demand
}

// New makes the service.
func New(c Config) *restjson.Service {
	e := edge{c.Analyzer, c.Generation, c.PassRole}
	return restjson.New(restjson.Config{
		Name: "access-analyzer", Model: accessanalyzerwire.Operations, Answers: answers, Authn: c.Authn, Log: c.Log,
		Ops: slices.Concat(e.analyzers(), e.findings(), e.checks(), e.generations()),
	})
}

var answers = map[fault.Kind]rpc.Answer{
	analyzer.NotFound:      {Code: "ResourceNotFoundException", Status: http.StatusNotFound},
	analyzer.Conflict:      {Code: "ConflictException", Status: http.StatusConflict},
	analyzer.Invalid:       {Code: "ValidationException", Status: http.StatusBadRequest},
	analyzer.QuotaExceeded: {Code: "ServiceQuotaExceededException", Status: http.StatusPaymentRequired},
	analyzer.Unprocessable: {Code: "UnprocessableEntityException", Status: http.StatusUnprocessableEntity},

	generation.NotFound:      {Code: "ResourceNotFoundException", Status: http.StatusNotFound},
	generation.Conflict:      {Code: "ConflictException", Status: http.StatusConflict},
	generation.Invalid:       {Code: "ValidationException", Status: http.StatusBadRequest},
	generation.QuotaExceeded: {Code: "ServiceQuotaExceededException", Status: http.StatusPaymentRequired},

	analyzer.BadParameter: {Code: "InvalidParameterException", Status: http.StatusBadRequest},
}

// call is one request to the service.
type call struct {
	context.Context
	header  http.Header // of the answer
	grant   authz.Grant
	account string
}

// answer declares an operation: it demands the action of its name on what about names; nil: on "*".
func answer[In, Out any](e edge, w *wire.Operation, access api.Access, about func(account string, in *In) string, tags func(*In) authz.Keys, do func(call, *In) (*Out, error)) *api.Op {
	// The second versions of operations have no permission of their own.
	action := "access-analyzer:" + strings.TrimSuffix(w.Name, "V2")
	return api.Declare(api.Decl[In, Out]{
		Wire: w, Class: audit.Management, Access: access,
		Demands: func(c *api.Call, in *In) ([]authz.Demand, error) {
			account, arn := c.Caller.Subject.Principal.Account, "*"
			if about != nil {
				arn = about(account, in)
			}
			keys := authz.Either{e.analyzer.ResourceTags(account, arn)}
			if tags != nil {
				keys = append(keys, tags(in))
			}
			return c.Need(action, authz.Resource{ARN: arn, Account: account}, keys), nil
		},
		Do: func(ctx context.Context, g authz.Grant, c *api.Call, in *In) (*Out, error) {
			return do(call{ctx, c.W.Header(), g, g.Principal().Account}, in)
		},
	})
}

// page cuts the part out of a list that a request asks for.
func page[T any](all []T, token *string, limit *int32) ([]T, *string, error) {
	size := 100
	if limit != nil {
		if size = int(*limit); size < 1 || size > 1000 {
			return nil, nil, fault.New(analyzer.Invalid, "maxResults must be from 1 to 1000.")
		}
	}
	part, next, ok := rpc.Page(all, token, size)
	if !ok {
		return nil, nil, fault.New(analyzer.Invalid, "The next token is not valid.")
	}
	return part, next, nil
}
