// Package logs is the edge of CloudWatch Logs, over the JSON protocol.
//
// It promises that every operation demands the action of its name on the group or the stream, with the
// resource policies of their account, whether they exist or not: who may not ask is not told.
package logs

import (
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"math/big"
	"slices"
	"strings"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/exposure"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/rpc"
	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/api/wire/logswire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/logs"
	"github.com/kura-s3/kura/policy"
)

// Config of the service.
type Config struct {
	// Logs has the groups. Required.
	Logs *logs.Store
	// Exposes tells what a change of the resource policies lets strangers do. Default: nothing is watched over.
	Exposes exposure.Judge
	// Authn finds out who signed. Required.
	Authn *authn.Authenticator
	// Log is required.
	Log *slog.Logger
}

// edge is what the operations have in common.
type edge struct {
	logs    *logs.Store
	exposes exposure.Judge
}

// maxPayload bounds a request: a batch of 1 MiB, most characters of it escaped, and the rest of the JSON.
const maxPayload = 4 << 20

// New makes the service.
func New(c Config) *rpc.Service {
	e := edge{c.Logs, c.Exposes}
	return rpc.New(rpc.Config{
		Name: "logs", Protocol: wire.JSON11, Model: logswire.Operations, Answers: answers, MaxPayload: maxPayload, Authn: c.Authn, Log: c.Log,
		Ops: slices.Concat(e.groupOps(), e.tagOps(), e.streamOps(), e.eventOps(), e.policyOps()),
	})
}

// answers tell failures in AWS's codes (CloudWatch Logs API Reference).
var answers = map[fault.Kind]rpc.Answer{
	rpc.Invalid:      {Code: "InvalidParameterException", Status: 400},
	logs.NotFound:    {Code: "ResourceNotFoundException", Status: 400},
	logs.Exists:      {Code: "ResourceAlreadyExistsException", Status: 400},
	logs.Invalid:     {Code: "InvalidParameterException", Status: 400},
	logs.Limit:       {Code: "LimitExceededException", Status: 400},
	logs.TooManyTags: {Code: "TooManyTagsException", Status: 400},
	logs.Protected:   {Code: "ValidationException", Status: 400},
	logs.Busy:        {Code: "OperationAbortedException", Status: 400},
	logs.Unsupported: {Code: "InvalidParameterException", Status: 400},
}

func refuse(kind fault.Kind, format string, args ...any) error {
	return fault.New(kind, fmt.Sprintf(format, args...))
}

// place is what an operation is about: a group, or a stream in it.
type place struct{ account, group, stream string }

// on declares an operation on the place that the input names.
func on[In, Out any](e edge, w *wire.Operation, class audit.Class, access api.Access, action string, of func(e edge, c *api.Call, in *In) (place, error), do func(context.Context, authz.Grant, place, *In) (*Out, error)) *api.Op {
	return api.Declare(api.Decl[In, Out]{
		Wire: w, Class: class, Access: access,
		Demands: func(c *api.Call, in *In) ([]authz.Demand, error) {
			at, err := of(e, c, in)
			if err != nil {
				return nil, err
			}
			d := e.logs.Demand(at.account, at.group, at.stream, action)
			return c.Need(d.Action, d.Resource, d.Keys), nil
		},
		Do: func(ctx context.Context, g authz.Grant, c *api.Call, in *In) (*Out, error) {
			at, err := of(e, c, in)
			if err != nil {
				return nil, err
			}
			return do(ctx, g, at, in)
		},
	})
}

// account that a request is about: the caller's, or of a service that of the resource because of which it acts.
func account(c *api.Call) string {
	subject := &c.Caller.Subject
	if subject.Principal.Type == policy.Service && c.Inside() && subject.Keys != nil {
		if of, ok := subject.Keys.Lookup("aws:sourceaccount"); ok {
			return of.One
		}
	}
	return subject.Principal.Account
}

// group of the caller's account by its name.
func group(c *api.Call, name *string) (place, error) {
	return place{account: account(c), group: member.Text(name)}, nil
}

// identified is a group by its name, or by a name or an ARN: exactly one of both.
func (e edge) identified(c *api.Call, name, identifier *string) (place, error) {
	if (name == nil) == (identifier == nil) {
		return place{}, refuse(logs.Invalid, "Exactly one of logGroupName and logGroupIdentifier must be given.")
	}
	if name != nil {
		return group(c, name)
	}
	if !strings.HasPrefix(*identifier, "arn:") {
		return group(c, identifier)
	}
	owner, of, ok := e.logs.ParseARN(*identifier)
	if !ok || strings.HasSuffix(*identifier, ":*") {
		return place{}, refuse(logs.Invalid, "The log group identifier is not valid: %s", *identifier)
	}
	return place{account: owner, group: of}, nil
}

// resource is the group that an ARN names, for operations on its tags.
func (e edge) resource(arn *string) (place, error) {
	owner, of, ok := e.logs.ParseARN(member.Text(arn))
	if !ok || strings.Contains(member.Text(arn), ":log-stream:") {
		return place{}, refuse(logs.Invalid, "The resource ARN is not that of a log group of this server: %s", member.Text(arn))
	}
	return place{account: owner, group: of}, nil
}

// pageSize of a listing; maxPage is also the default.
func pageSize(n *int32) int {
	if n == nil {
		return maxPage
	}
	return int(*n) // within the constraints of the model
}

const maxPage = 50

// afterToken and tokenAfter hide where a page ended.
func afterToken(token *string) (string, error) {
	at, err := base64.RawURLEncoding.DecodeString(member.Text(token))
	if err != nil {
		return "", refuse(logs.Invalid, "The specified nextToken is invalid.")
	}
	return string(at), nil
}

func tokenAfter(at string) *string {
	if at == "" {
		return nil
	}
	return new(base64.RawURLEncoding.EncodeToString([]byte(at)))
}

// positionDigits is how many digits AWS writes where Kura has a position: ids of events, tokens.
const positionDigits = 56

func positionText(p logs.Position) string {
	n := new(big.Int).SetInt64(p.Time)
	n.Lsh(n, 64).Or(n, new(big.Int).SetUint64(p.Sequence))
	n.Lsh(n, 32).Or(n, new(big.Int).SetUint64(uint64(p.Index)))
	return fmt.Sprintf("%0*s", positionDigits, n)
}

func parsePosition(text string) (p logs.Position, ok bool) {
	if len(text) != positionDigits || strings.Trim(text, "0123456789") != "" {
		return p, false
	}
	n, ok := new(big.Int).SetString(text, 10)
	if !ok || n.BitLen() > 63+64+32 {
		return p, false
	}
	var b [20]byte
	n.FillBytes(b[:])
	low := new(big.Int).SetBytes(b[16:]).Uint64()
	p.Time, p.Sequence, p.Index = new(big.Int).SetBytes(b[:8]).Int64(), new(big.Int).SetBytes(b[8:16]).Uint64(), uint32(low)
	return p, true
}
