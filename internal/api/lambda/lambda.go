// Package lambda is the edge of AWS Lambda over rest-json: functions, versions, aliases, permissions, and
// invocations.
//
// It promises that every operation demands the action of its name on the function, version or alias that it
// names; that a role is given to a function only by who may pass it; and that code is read from a bucket with
// the caller's own permission. What a function is, is the affair of package function.
package lambda

import (
	"cmp"
	"context"
	"encoding/base64"
	"log/slog"
	"net/http"
	"slices"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/exposure"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/restjson"
	"github.com/kura-s3/kura/internal/api/rpc"
	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/api/wire/lambdawire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/function"
)

// Config of the service.
type Config struct {
	// Functions has the functions. Required.
	Functions *function.Store
	// PassRole gives the demand iam:PassRole on a role, with the service that gets it. Required.
	PassRole func(role, service string) authz.Demand
	// ReadObject reads an object of at most so many bytes as somebody. Its errors are told to the client.
	// Required.
	ReadObject func(ctx context.Context, as *authz.Subject, o Object, most int64) ([]byte, error)
	// Exposes tells what a new permission lets strangers do. Default: nothing is watched over.
	Exposes exposure.Judge
	// Authn finds out who signed. Required.
	Authn *authn.Authenticator
	// Log is required.
	Log *slog.Logger
}

// Object is one in a bucket. Version may be empty.
type Object struct{ Bucket, Key, Version string }

// Principal is Lambda as roles have to trust it.
const Principal = "lambda.amazonaws.com"

// edge is what the operations have in common.
type edge struct {
	Config
	functions *function.Store
	fetched   chan struct{} // has room for the zips from buckets that are in memory
}

// maxFetched is how many zips from buckets are in memory at a time. Those in requests are bounded by restjson's room.
const maxFetched = 3

// New makes the service.
func New(c Config) *restjson.Service {
	e := edge{c, c.Functions, make(chan struct{}, maxFetched)}
	return restjson.New(restjson.Config{
		Name: "lambda", Model: lambdawire.Operations, Errors: lambdawire.Errors, Answers: answers, Authn: c.Authn, Log: c.Log,
		Ops: slices.Concat(e.functionOps(), e.versionOps(), e.permissionOps(), e.asyncOps(), e.manageOps(), []*api.Op{e.invoke()}),
	})
}

// answers tell failures in AWS's codes (Lambda API Reference).
var answers = map[fault.Kind]rpc.Answer{
	function.NotFound:           {Code: "ResourceNotFoundException", Status: http.StatusNotFound},
	function.Conflict:           {Code: "ResourceConflictException", Status: http.StatusConflict},
	function.InvalidParameter:   {Code: "InvalidParameterValueException", Status: http.StatusBadRequest},
	function.InvalidContent:     {Code: "InvalidRequestContentException", Status: http.StatusBadRequest},
	function.TooLarge:           {Code: "RequestTooLargeException", Status: http.StatusRequestEntityTooLarge},
	function.Throttled:          {Code: "TooManyRequestsException", Status: http.StatusTooManyRequests},
	function.PreconditionFailed: {Code: "PreconditionFailedException", Status: http.StatusPreconditionFailed},
	function.PolicyTooLong:      {Code: "PolicyLengthExceededException", Status: http.StatusBadRequest},
	function.CodeStorage:        {Code: "CodeStorageExceededException", Status: http.StatusBadRequest},
	function.KeyDenied:          {Code: "KMSAccessDeniedException", Status: http.StatusBadGateway},
	function.Unavailable:        {Code: "ServiceException", Status: http.StatusInternalServerError},
	function.Off:                {Code: "NotImplementedException", Status: http.StatusNotImplemented},
	api.BodyTooLarge:            {Code: "RequestTooLargeException", Status: http.StatusRequestEntityTooLarge, Message: "The request is too large."},
	api.TooManyUploads:          {Code: "TooManyRequestsException", Status: http.StatusTooManyRequests, Message: "Rate exceeded"},
}

func invalid(message string) error { return fault.New(function.InvalidParameter, message) }

// call is one request about a function.
type call struct {
	context.Context
	*api.Call
	grant authz.Grant
	ref   function.Ref
}

func account(c *api.Call) string { return c.Caller.Subject.Principal.Account }

// about reads which function, and what of it, an input names; qualifier may be nil.
type about[In any] func(in *In) (name, qualifier *string)

// on declares an operation on what the input names: it demands the action of its name. More adds demands, or
// condition keys to that one.
func on[In, Out any](e edge, w *wire.Operation, access api.Access, of about[In], do func(call, *In) (*Out, error), more ...func(*api.Call, *authz.Demand, *In)) *api.Op {
	return declare(e, operation{wire: w, class: audit.Management, access: access, action: "lambda:" + w.Name}, of, do, more...)
}

// operation is what is told of one beside what it does.
type operation struct {
	wire    *wire.Operation
	class   audit.Class
	access  api.Access
	action  string
	maxBody int64 // 0: as usual
}

func declare[In, Out any](e edge, o operation, of about[In], do func(call, *In) (*Out, error), more ...func(*api.Call, *authz.Demand, *In)) *api.Op {
	ref := func(c *api.Call, in *In) (function.Ref, error) {
		name, qualifier := of(in)
		if qualifier == ofWhole {
			return e.whole(account(c), name)
		}
		return e.functions.Parse(account(c), member.Text(name), member.Text(qualifier))
	}
	return api.Declare(api.Decl[In, Out]{
		Wire: o.wire, Class: o.class, Access: o.access, MaxBody: o.maxBody,
		Demands: func(c *api.Call, in *In) ([]authz.Demand, error) {
			r, err := ref(c, in)
			if err != nil {
				return nil, err
			}
			d := e.functions.Demand(o.action, r)
			for _, need := range more {
				need(c, &d, in)
			}
			return c.Need(d.Action, d.Resource, d.Keys), nil
		},
		Do: func(ctx context.Context, g authz.Grant, c *api.Call, in *In) (*Out, error) {
			r, err := ref(c, in)
			if err != nil {
				return nil, err
			}
			return do(call{ctx, c, g, r}, in)
		},
	})
}

// ofWhole stands for the qualifier where an operation is on a function as a whole.
var ofWhole = new(string)

// whole is an operation on a function as a whole. A qualifier is no part of what it is about: what is decided
// on is always the ARN of the function, however the request writes its name.
func whole[In any](of func(in *In) *string) about[In] {
	return func(in *In) (*string, *string) { return of(in), ofWhole }
}

// whole reads the name of a function as a whole, which may say that it means $LATEST.
func (e edge) whole(account string, name *string) (function.Ref, error) {
	r, err := e.functions.Parse(account, member.Text(name), "")
	if err == nil && r.Qualifier != "" && r.Qualifier != "$LATEST" {
		err = invalid("This operation is on the function as a whole: its name cannot have the qualifier " + r.Qualifier + ".")
	}
	return r.Unqualified(), err
}

// page gives the items behind a marker, at most most of them, and the marker of the next page. Items are in
// the order of their keys.
func page[T any](items []T, key func(T) string, marker *string, most *int32, usual int) ([]T, *string, error) {
	n := usual
	if most != nil {
		n = min(int(*most), usual)
	}
	after, err := base64.RawURLEncoding.DecodeString(member.Text(marker))
	if err != nil || n < 1 {
		return nil, nil, invalid("Invalid Marker or MaxItems.")
	}
	at := 0
	if len(after) > 0 {
		at, _ = slices.BinarySearchFunc(items, string(after)+"\x00", func(item T, k string) int { return cmp.Compare(key(item), k) })
	}
	items = items[at:]
	if len(items) <= n {
		return items, nil, nil
	}
	return items[:n], new(base64.RawURLEncoding.EncodeToString([]byte(key(items[n-1])))), nil
}
