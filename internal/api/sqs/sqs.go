// Package sqs is the edge of the Simple Queue Service, over the JSON protocol.
//
// It promises that every operation demands the action of its name on the queue, with the queue's policy,
// and that a queue of another account is told from one that does not exist only to callers whom the queue's
// policy lets in.
package sqs

import (
	"context"
	"encoding/base64"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/exposure"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/rpc"
	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/api/wire/sqswire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/sqs"
	"github.com/kura-s3/kura/policy"
)

// Config of the service.
type Config struct {
	// Queues has the queues. Required.
	Queues *sqs.Store
	// Exposes tells what a change of a queue's policy lets strangers do. Default: nothing is watched over.
	Exposes exposure.Judge
	// Authn finds out who signed. Required.
	Authn *authn.Authenticator
	// Log is required.
	Log *slog.Logger
}

// edge is what the operations have in common.
type edge struct {
	queues  *sqs.Store
	exposes exposure.Judge
}

// New makes the service.
func New(c Config) *rpc.Service {
	e := edge{c.Queues, c.Exposes}
	return rpc.New(rpc.Config{
		Name: "sqs", Protocol: wire.JSON10, Model: sqswire.Operations, Answers: answers, QueryCodes: queryCode, Authn: c.Authn, Log: c.Log,
		Ops: slices.Concat(e.queueOps(), e.messageOps()),
	})
}

// answers tell failures in AWS's codes (SQS API Reference).
var answers = map[fault.Kind]rpc.Answer{
	sqs.NoQueue:            {Code: "QueueDoesNotExist", Status: 400},
	sqs.QueueNameExists:    {Code: "QueueNameExists", Status: 400},
	sqs.InvalidName:        {Code: "InvalidParameterValue", Status: 400},
	sqs.InvalidAttribute:   {Code: "InvalidAttributeName", Status: 400},
	sqs.InvalidValue:       {Code: "InvalidAttributeValue", Status: 400},
	sqs.InvalidParameter:   {Code: "InvalidParameterValue", Status: 400},
	sqs.MissingParameter:   {Code: "MissingParameter", Status: 400},
	sqs.InvalidContents:    {Code: "InvalidMessageContents", Status: 400},
	sqs.InvalidReceipt:     {Code: "ReceiptHandleIsInvalid", Status: 400},
	sqs.NotInFlight:        {Code: "MessageNotInflight", Status: 400},
	sqs.Unsupported:        {Code: "UnsupportedOperation", Status: 400},
	sqs.PurgeInProgress:    {Code: "PurgeQueueInProgress", Status: 403},
	sqs.OverLimit:          {Code: "OverLimit", Status: 403},
	sqs.EmptyBatch:         {Code: "EmptyBatchRequest", Status: 400},
	sqs.TooManyEntries:     {Code: "TooManyEntriesInBatchRequest", Status: 400},
	sqs.EntriesNotDistinct: {Code: "BatchEntryIdsNotDistinct", Status: 400},
	sqs.BadEntryID:         {Code: "InvalidBatchEntryId", Status: 400},
	sqs.BatchTooLong:       {Code: "BatchRequestTooLong", Status: 400},
	sqs.Busy:               {Code: "RequestThrottled", Status: 400},
}

// queryCodes are those by which the query protocol of before 2023 told them, where they differ.
var queryCodes = map[string]string{
	"QueueDoesNotExist":            "AWS.SimpleQueueService.NonExistentQueue",
	"QueueNameExists":              "QueueAlreadyExists",
	"MessageNotInflight":           "AWS.SimpleQueueService.MessageNotInflight",
	"UnsupportedOperation":         "AWS.SimpleQueueService.UnsupportedOperation",
	"PurgeQueueInProgress":         "AWS.SimpleQueueService.PurgeQueueInProgress",
	"EmptyBatchRequest":            "AWS.SimpleQueueService.EmptyBatchRequest",
	"TooManyEntriesInBatchRequest": "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
	"BatchEntryIdsNotDistinct":     "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
	"InvalidBatchEntryId":          "AWS.SimpleQueueService.InvalidBatchEntryId",
	"BatchRequestTooLong":          "AWS.SimpleQueueService.BatchRequestTooLong",
}

func queryCode(code string) string {
	if old := queryCodes[code]; old != "" {
		return old
	}
	return code
}

// on declares an operation on the queue whose URL the input names.
func on[In, Out any](e edge, w *wire.Operation, class audit.Class, access api.Access, action string, of func(*In) *string, do func(context.Context, authz.Grant, *sqs.Queue, *In) (*Out, error)) *api.Op {
	return api.Declare(api.Decl[In, Out]{
		Wire: w, Class: class, Access: access,
		Demands: func(c *api.Call, in *In) ([]authz.Demand, error) {
			return e.demand(c, member.Text(of(in)), action, func(q *sqs.Queue) authz.Demand {
				d := e.queues.Demand(q, action)
				if set, ok := any(in).(*sqswire.SetQueueAttributesInput); ok {
					e.guard(&d, set.Attributes)
				}
				return d
			})
		},
		Do: func(ctx context.Context, g authz.Grant, _ *api.Call, in *In) (*Out, error) {
			q, err := e.addressed(member.Text(of(in)))
			if err != nil {
				return nil, err
			}
			return do(ctx, g, q, in)
		},
	})
}

// demand is what of asks for on the queue with that URL. A queue of another account that does not exist is
// refused as one whose policy lets nobody in.
func (e edge) demand(c *api.Call, address, action string, of func(*sqs.Queue) authz.Demand) ([]authz.Demand, error) {
	owner, name, err := named(address)
	if err != nil {
		return nil, err
	}
	q, err := e.queues.Queue(owner, name)
	var d authz.Demand
	switch {
	case err == nil:
		d = of(q)
	case owner == account(c):
		return nil, err
	default:
		d = e.queues.NewDemand(owner, name, action, nil)
	}
	// What a queue's policy cannot give away to other accounts is refused whatever it says.
	d.Resource.Restricted = ownerOnly[action] && owner != account(c)
	return c.Need(d.Action, d.Resource, d.Keys), nil
}

// ownerOnly are actions for which cross-account permissions do not apply (SQS Developer Guide, "Limitations of
// Amazon SQS custom policies").
var ownerOnly = map[string]bool{
	"sqs:DeleteQueue": true, "sqs:SetQueueAttributes": true, "sqs:TagQueue": true, "sqs:UntagQueue": true, "sqs:ListQueueTags": true,
}

// named reads a queue's URL; only its path counts, as clients reach a server by several names.
func named(address string) (account, name string, err error) {
	if address == "" {
		return "", "", fault.New(sqs.MissingParameter, "The request must contain the parameter QueueUrl.")
	}
	u, err := url.Parse(address)
	if err == nil {
		var ok bool
		if account, name, ok = strings.Cut(strings.Trim(u.Path, "/"), "/"); ok && !strings.Contains(name, "/") {
			return account, name, nil
		}
	}
	return "", "", fault.New(sqs.InvalidParameter, "The address "+address+" is not valid for this endpoint.")
}

// addressed resolves a queue's URL.
func (e edge) addressed(address string) (*sqs.Queue, error) {
	account, name, err := named(address)
	if err != nil {
		return nil, err
	}
	return e.queues.Queue(account, name)
}

// address of a queue, by the name under which the client reached the server.
func address(c *api.Call, q *sqs.Queue) *string {
	scheme := "http"
	if c.Peer.Secure {
		scheme = "https"
	}
	return new(scheme + "://" + c.R.Host + "/" + q.Account + "/" + q.Name)
}

func account(c *api.Call) string { return c.Caller.Subject.Principal.Account }

func (e edge) queueOps() []*api.Op {
	return []*api.Op{
		e.createQueue(), e.getQueueURL(), e.listQueues(),
		on(e, &sqswire.DeleteQueue, audit.Management, api.Write, "sqs:DeleteQueue", func(in *sqswire.DeleteQueueInput) *string { return in.QueueUrl },
			func(ctx context.Context, g authz.Grant, q *sqs.Queue, _ *sqswire.DeleteQueueInput) (*sqswire.DeleteQueueOutput, error) {
				return &sqswire.DeleteQueueOutput{}, e.queues.Delete(ctx, g, q)
			}),
		on(e, &sqswire.PurgeQueue, audit.Management, api.Write, "sqs:PurgeQueue", func(in *sqswire.PurgeQueueInput) *string { return in.QueueUrl },
			func(ctx context.Context, g authz.Grant, q *sqs.Queue, _ *sqswire.PurgeQueueInput) (*sqswire.PurgeQueueOutput, error) {
				return &sqswire.PurgeQueueOutput{}, e.queues.Purge(ctx, g, q)
			}),
		on(e, &sqswire.GetQueueAttributes, audit.Management, api.Read, "sqs:GetQueueAttributes", func(in *sqswire.GetQueueAttributesInput) *string { return in.QueueUrl }, e.getQueueAttributes),
		on(e, &sqswire.SetQueueAttributes, audit.Management, api.Permissions, "sqs:SetQueueAttributes", func(in *sqswire.SetQueueAttributesInput) *string { return in.QueueUrl },
			func(ctx context.Context, g authz.Grant, q *sqs.Queue, in *sqswire.SetQueueAttributesInput) (*sqswire.SetQueueAttributesOutput, error) {
				return &sqswire.SetQueueAttributesOutput{}, e.queues.SetAttributes(ctx, g, q, in.Attributes)
			}),
		on(e, &sqswire.ListQueueTags, audit.Management, api.Read, "sqs:ListQueueTags", func(in *sqswire.ListQueueTagsInput) *string { return in.QueueUrl },
			func(_ context.Context, _ authz.Grant, q *sqs.Queue, _ *sqswire.ListQueueTagsInput) (*sqswire.ListQueueTagsOutput, error) {
				return &sqswire.ListQueueTagsOutput{Tags: maps.Clone(q.Tags)}, nil
			}),
		e.tagQueue(),
		e.untagQueue(),
		e.listSources(),
	}
}

// guard watches over a change that sets the queue's policy.
func (e edge) guard(d *authz.Demand, attributes map[string]string) {
	if text, ok := attributes["Policy"]; ok {
		e.exposes.Guard(d, policy.Resource, text)
	}
}

func (e edge) createQueue() *api.Op {
	return api.Declare(api.Decl[sqswire.CreateQueueInput, sqswire.CreateQueueOutput]{
		Wire: &sqswire.CreateQueue, Class: audit.Management, Access: api.Write,
		Demands: func(c *api.Call, in *sqswire.CreateQueueInput) ([]authz.Demand, error) {
			d := e.queues.NewDemand(account(c), member.Text(in.QueueName), "sqs:CreateQueue", authz.RequestTags(in.Tags))
			if len(in.Tags) > 0 {
				c.Need("sqs:TagQueue", d.Resource, d.Keys)
			}
			e.guard(&d, in.Attributes)
			return c.Need(d.Action, d.Resource, d.Keys), nil
		},
		Do: func(ctx context.Context, g authz.Grant, c *api.Call, in *sqswire.CreateQueueInput) (*sqswire.CreateQueueOutput, error) {
			q, err := e.queues.Create(ctx, g, account(c), member.Text(in.QueueName), in.Attributes, in.Tags)
			if err != nil {
				return nil, err
			}
			return &sqswire.CreateQueueOutput{QueueUrl: address(c, q)}, nil
		},
	})
}

func (e edge) tagQueue() *api.Op {
	return api.Declare(api.Decl[sqswire.TagQueueInput, sqswire.TagQueueOutput]{
		Wire: &sqswire.TagQueue, Class: audit.Management, Access: api.Tagging,
		Demands: func(c *api.Call, in *sqswire.TagQueueInput) ([]authz.Demand, error) {
			return e.demand(c, member.Text(in.QueueUrl), "sqs:TagQueue", func(q *sqs.Queue) authz.Demand {
				return e.queues.TagDemand(q, "sqs:TagQueue", authz.RequestTags(in.Tags))
			})
		},
		Do: func(ctx context.Context, g authz.Grant, _ *api.Call, in *sqswire.TagQueueInput) (*sqswire.TagQueueOutput, error) {
			q, err := e.addressed(member.Text(in.QueueUrl))
			if err != nil {
				return nil, err
			}
			return &sqswire.TagQueueOutput{}, e.queues.Tag(ctx, g, q, in.Tags)
		},
	})
}

func (e edge) untagQueue() *api.Op {
	return api.Declare(api.Decl[sqswire.UntagQueueInput, sqswire.UntagQueueOutput]{
		Wire: &sqswire.UntagQueue, Class: audit.Management, Access: api.Tagging,
		Demands: func(c *api.Call, in *sqswire.UntagQueueInput) ([]authz.Demand, error) {
			return e.demand(c, member.Text(in.QueueUrl), "sqs:UntagQueue", func(q *sqs.Queue) authz.Demand {
				return e.queues.TagDemand(q, "sqs:UntagQueue", authz.TagKeys(in.TagKeys))
			})
		},
		Do: func(ctx context.Context, g authz.Grant, _ *api.Call, in *sqswire.UntagQueueInput) (*sqswire.UntagQueueOutput, error) {
			q, err := e.addressed(member.Text(in.QueueUrl))
			if err != nil {
				return nil, err
			}
			return &sqswire.UntagQueueOutput{}, e.queues.Untag(ctx, g, q, in.TagKeys)
		},
	})
}

func (e edge) getQueueURL() *api.Op {
	owner := func(c *api.Call, in *sqswire.GetQueueUrlInput) string {
		if in.QueueOwnerAWSAccountId != nil {
			return *in.QueueOwnerAWSAccountId
		}
		return account(c)
	}
	return api.Declare(api.Decl[sqswire.GetQueueUrlInput, sqswire.GetQueueUrlOutput]{
		Wire: &sqswire.GetQueueUrl, Class: audit.Management, Access: api.Read,
		Demands: func(c *api.Call, in *sqswire.GetQueueUrlInput) ([]authz.Demand, error) {
			d := e.queues.NewDemand(owner(c, in), member.Text(in.QueueName), "sqs:GetQueueUrl", nil)
			if q, err := e.queues.Queue(owner(c, in), member.Text(in.QueueName)); err == nil {
				d = e.queues.Demand(q, "sqs:GetQueueUrl")
			}
			return c.Need(d.Action, d.Resource, d.Keys), nil
		},
		Do: func(_ context.Context, _ authz.Grant, c *api.Call, in *sqswire.GetQueueUrlInput) (*sqswire.GetQueueUrlOutput, error) {
			q, err := e.queues.Queue(owner(c, in), member.Text(in.QueueName))
			if err != nil {
				return nil, err
			}
			return &sqswire.GetQueueUrlOutput{QueueUrl: address(c, q)}, nil
		},
	})
}

const maxPage = 1000

// page reads the size and the place of a page.
func page(most *int32, token *string) (int, string, error) {
	n := maxPage
	if most != nil {
		if *most < 1 || *most > maxPage {
			return 0, "", fault.New(sqs.InvalidParameter, "Value for parameter MaxResults is invalid. Reason: MaxResults must be an integer between 1 and 1000.")
		}
		n = int(*most)
	}
	after, err := base64.RawURLEncoding.DecodeString(member.Text(token))
	if err != nil {
		return 0, "", fault.New(sqs.InvalidParameter, "Invalid or expired next token.")
	}
	return n, string(after), nil
}

// told gives the addresses of a page and the token of the next.
func told(c *api.Call, queues []*sqs.Queue, more bool) (urls []string, token *string) {
	for _, q := range queues {
		urls = append(urls, *address(c, q))
	}
	if more {
		token = new(base64.RawURLEncoding.EncodeToString([]byte(queues[len(queues)-1].Name)))
	}
	return urls, token
}

func (e edge) listQueues() *api.Op {
	return api.Declare(api.Decl[sqswire.ListQueuesInput, sqswire.ListQueuesOutput]{
		Wire: &sqswire.ListQueues, Class: audit.Management, Access: api.List,
		Demands: func(c *api.Call, _ *sqswire.ListQueuesInput) ([]authz.Demand, error) {
			return c.Need("sqs:ListQueues", authz.Resource{ARN: "*", Account: account(c)}, nil), nil
		},
		Do: func(_ context.Context, g authz.Grant, c *api.Call, in *sqswire.ListQueuesInput) (*sqswire.ListQueuesOutput, error) {
			n, after, err := page(in.MaxResults, in.NextToken)
			if err != nil {
				return nil, err
			}
			queues, more, err := e.queues.List(g, account(c), member.Text(in.QueueNamePrefix), after, n)
			if err != nil {
				return nil, err
			}
			urls, token := told(c, queues, more && in.MaxResults != nil) // without a size AWS tells of no further page
			return &sqswire.ListQueuesOutput{QueueUrls: urls, NextToken: token}, nil
		},
	})
}

func (e edge) listSources() *api.Op {
	return api.Declare(api.Decl[sqswire.ListDeadLetterSourceQueuesInput, sqswire.ListDeadLetterSourceQueuesOutput]{
		Wire: &sqswire.ListDeadLetterSourceQueues, Class: audit.Management, Access: api.Read,
		Demands: func(c *api.Call, in *sqswire.ListDeadLetterSourceQueuesInput) ([]authz.Demand, error) {
			const action = "sqs:ListDeadLetterSourceQueues"
			return e.demand(c, member.Text(in.QueueUrl), action, func(q *sqs.Queue) authz.Demand { return e.queues.Demand(q, action) })
		},
		Do: func(_ context.Context, g authz.Grant, c *api.Call, in *sqswire.ListDeadLetterSourceQueuesInput) (*sqswire.ListDeadLetterSourceQueuesOutput, error) {
			q, err := e.addressed(member.Text(in.QueueUrl))
			if err != nil {
				return nil, err
			}
			n, after, err := page(in.MaxResults, in.NextToken)
			if err != nil {
				return nil, err
			}
			queues, more, err := e.queues.Sources(g, q, after, n)
			if err != nil {
				return nil, err
			}
			urls, token := told(c, queues, more)
			return &sqswire.ListDeadLetterSourceQueuesOutput{QueueUrls: urls, NextToken: token}, nil
		},
	})
}

// counted are the attributes that are counted when they are asked for.
var counted = map[string]func(sqs.Counts) int64{
	"ApproximateNumberOfMessages":           func(c sqs.Counts) int64 { return c.Visible },
	"ApproximateNumberOfMessagesNotVisible": func(c sqs.Counts) int64 { return c.InFlight },
	"ApproximateNumberOfMessagesDelayed":    func(c sqs.Counts) int64 { return c.Delayed },
}

func (e edge) getQueueAttributes(ctx context.Context, g authz.Grant, q *sqs.Queue, in *sqswire.GetQueueAttributesInput) (*sqswire.GetQueueAttributesOutput, error) {
	if len(in.AttributeNames) == 0 {
		return &sqswire.GetQueueAttributesOutput{}, nil
	}
	all := map[string]string{
		"QueueArn": e.queues.ARN(q), "CreatedTimestamp": strconv.FormatInt(q.Created.Unix(), 10),
		"LastModifiedTimestamp": strconv.FormatInt(q.Modified.Unix(), 10),
	}
	maps.Copy(all, q.Attributes())
	everything := slices.Contains(in.AttributeNames, "All")
	wanted := map[string]string{}
	if everything {
		wanted = all
	}
	count := everything
	for _, name := range in.AttributeNames {
		if v, ok := all[string(name)]; ok {
			wanted[string(name)] = v
		}
		count = count || counted[string(name)] != nil
	}
	if !count {
		return &sqswire.GetQueueAttributesOutput{Attributes: wanted}, nil
	}
	c, err := e.queues.Count(ctx, g, q)
	if err != nil {
		return nil, err
	}
	for name, of := range counted {
		if everything || slices.Contains(in.AttributeNames, sqswire.QueueAttributeName(name)) {
			wanted[name] = strconv.FormatInt(of(c), 10)
		}
	}
	return &sqswire.GetQueueAttributesOutput{Attributes: wanted}, nil
}
