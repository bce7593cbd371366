package lambda

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"regexp"

	"github.com/google/uuid"
	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/wire/lambdawire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/function"
)

// invoke is the operation Invoke, whose permission is called lambda:InvokeFunction.
func (e edge) invoke() *api.Op {
	return declare(e, operation{&lambdawire.Invoke, audit.Data, api.Write, "lambda:InvokeFunction", function.MaxPayload},
		func(in *lambdawire.InvokeInput) (*string, *string) { return in.FunctionName, in.Qualifier }, e.run)
}

// maxClientContext bounds X-Amz-Client-Context in base64 (Lambda API Reference, Invoke).
const maxClientContext = 3583

// traceHeader is X-Ray's header as it may be passed on.
var traceHeader = regexp.MustCompile(`^[A-Za-z0-9=;:.\-]{1,512}$`)

func (e edge) run(c call, in *lambdawire.InvokeInput) (*answer, error) {
	if in.DurableExecutionName != nil || in.TenantId != nil {
		return nil, invalid("Durable executions and tenants are not supported.")
	}
	event := &function.Invocation{RequestID: uuid.NewString(), Payload: in.Payload}
	if t := c.R.Header.Get("X-Amzn-Trace-Id"); traceHeader.MatchString(t) {
		event.TraceID = t
	}
	if in.ClientContext != nil && *in.ClientContext != "" {
		raw, err := base64.StdEncoding.DecodeString(*in.ClientContext)
		if err != nil || len(*in.ClientContext) > maxClientContext || !json.Valid(raw) {
			return nil, fault.New(function.InvalidContent, "Client context must be a valid Base64-encoded JSON object.")
		}
		event.ClientContext = string(raw)
	}
	switch in.InvocationType {
	case lambdawire.InvocationTypeDryRun:
		return &answer{status: http.StatusNoContent, request: event.RequestID}, e.functions.Try(c.grant, c.ref, event)
	case lambdawire.InvocationTypeEvent:
		return &answer{status: http.StatusAccepted, request: event.RequestID}, e.functions.InvokeLater(c, c.grant, c.ref, event)
	}
	out, err := e.functions.Invoke(c, c.grant, c.ref, event)
	if err != nil {
		return nil, err
	}
	return &answer{status: http.StatusOK, request: event.RequestID, out: out, tail: in.LogType == lambdawire.LogTypeTail}, nil
}

// answer is what Invoke answers. It implements api.Responder.
type answer struct {
	status  int
	request string
	out     *function.Outcome // nil: nothing came of it yet
	tail    bool
}

// Respond implements api.Responder.
func (a *answer) Respond(c *api.Call) error {
	h := c.W.Header()
	h.Set("X-Amzn-Requestid", a.request)
	if a.out == nil {
		return c.W.Send(a.status, "", nil)
	}
	h.Set("X-Amz-Executed-Version", a.out.Version)
	if a.out.FunctionError != "" {
		h.Set("X-Amz-Function-Error", a.out.FunctionError)
	}
	if a.tail {
		h.Set("X-Amz-Log-Result", base64.StdEncoding.EncodeToString(a.out.Log))
	}
	return c.W.Send(a.status, "application/json", a.out.Payload)
}
