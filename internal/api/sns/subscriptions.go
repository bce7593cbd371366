package sns

import (
	"context"
	"strings"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/snswire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/sns"
)

func (e edge) subscriptionOps() []*api.Op {
	return []*api.Op{
		e.subscribe(), e.confirm(), e.unsubscribe(), e.listSubscriptions(), e.listByTopic(),
		api.Declare(api.Decl[snswire.GetSubscriptionAttributesInput, snswire.GetSubscriptionAttributesOutput]{
			Wire: &snswire.GetSubscriptionAttributes, Class: audit.Management, Access: api.Read,
			Demands: func(c *api.Call, _ *snswire.GetSubscriptionAttributesInput) ([]authz.Demand, error) {
				return nowhere("sns:GetSubscriptionAttributes")(c), nil
			},
			Do: func(_ context.Context, g authz.Grant, _ *api.Call, in *snswire.GetSubscriptionAttributesInput) (*snswire.GetSubscriptionAttributesOutput, error) {
				all, err := e.topics.SubscriptionAttributes(g, member.Text(in.SubscriptionArn))
				return &snswire.GetSubscriptionAttributesOutput{Attributes: all}, err
			},
		}),
		api.Declare(api.Decl[snswire.SetSubscriptionAttributesInput, snswire.SetSubscriptionAttributesOutput]{
			Wire: &snswire.SetSubscriptionAttributes, Class: audit.Management, Access: api.Write,
			Demands: func(c *api.Call, _ *snswire.SetSubscriptionAttributesInput) ([]authz.Demand, error) {
				return nowhere("sns:SetSubscriptionAttributes")(c), nil
			},
			Do: func(ctx context.Context, g authz.Grant, _ *api.Call, in *snswire.SetSubscriptionAttributesInput) (*snswire.SetSubscriptionAttributesOutput, error) {
				return &snswire.SetSubscriptionAttributesOutput{}, e.topics.SetSubscriptionAttribute(ctx, g, member.Text(in.SubscriptionArn), member.Text(in.AttributeName), member.Text(in.AttributeValue))
			},
		}),
	}
}

const pending = "pending confirmation"

func (e edge) subscribe() *api.Op {
	return api.Declare(api.Decl[snswire.SubscribeInput, snswire.SubscribeOutput]{
		Wire: &snswire.Subscribe, Class: audit.Management, Access: api.Write,
		Demands: func(c *api.Call, in *snswire.SubscribeInput) ([]authz.Demand, error) {
			return e.demand(c, member.Text(in.TopicArn), "sns:Subscribe", sns.SubscribeKeys{Protocol: member.Text(in.Protocol), Endpoint: member.Text(in.Endpoint)})
		},
		Do: func(ctx context.Context, g authz.Grant, c *api.Call, in *snswire.SubscribeInput) (*snswire.SubscribeOutput, error) {
			t, err := e.topics.Topic(member.Text(in.TopicArn))
			if err != nil {
				return nil, err
			}
			owner, err := e.endpoint(member.Text(in.Protocol), member.Text(in.Endpoint))
			if err != nil {
				return nil, err
			}
			sub, err := e.topics.Subscribe(ctx, g, t, sns.Subscribing{
				Account: account(c), Protocol: member.Text(in.Protocol), Endpoint: member.Text(in.Endpoint), Attributes: in.Attributes,
				Owned: owner != "" && owner == account(c),
			})
			if err != nil {
				return nil, err
			}
			arn := sub.ARN()
			if !sub.Confirmed && !member.True(in.ReturnSubscriptionArn) {
				arn = pending
			}
			return &snswire.SubscribeOutput{SubscriptionArn: &arn}, nil
		},
	})
}

func signed(c *api.Call) bool { return c.Caller.AuthType != authn.Anonymous }

func (e edge) confirm() *api.Op {
	return api.Declare(api.Decl[snswire.ConfirmSubscriptionInput, snswire.ConfirmSubscriptionOutput]{
		Wire: &snswire.ConfirmSubscription, Class: audit.Management, Access: api.Write, Unsigned: true,
		Demands: func(c *api.Call, in *snswire.ConfirmSubscriptionInput) ([]authz.Demand, error) {
			const action = "sns:ConfirmSubscription"
			if signed(c) {
				return e.demand(c, member.Text(in.TopicArn), action, nil)
			}
			owner, name, err := e.topics.Address(member.Text(in.TopicArn))
			if err != nil {
				return nil, err
			}
			d := e.topics.NewDemand(owner, name, action, nil)
			if e.topics.Proves(member.Text(in.TopicArn), member.Text(in.Token)) != nil {
				d.Resource.Policy = holder
			}
			return c.Need(d.Action, d.Resource, d.Keys), nil
		},
		Do: func(ctx context.Context, g authz.Grant, c *api.Call, in *snswire.ConfirmSubscriptionInput) (*snswire.ConfirmSubscriptionOutput, error) {
			t, err := e.topics.Topic(member.Text(in.TopicArn))
			if err != nil {
				return nil, err
			}
			keep := strings.EqualFold(member.Text(in.AuthenticateOnUnsubscribe), "true")
			if keep && !signed(c) {
				return nil, fault.New(sns.InvalidParameter, "Invalid parameter: AuthenticateOnUnsubscribe Reason: the request is not signed")
			}
			sub, err := e.topics.Confirm(ctx, g, t, member.Text(in.Token), signed(c), keep)
			if err != nil {
				return nil, err
			}
			return &snswire.ConfirmSubscriptionOutput{SubscriptionArn: new(sub.ARN())}, nil
		},
	})
}

func (e edge) unsubscribe() *api.Op {
	return api.Declare(api.Decl[snswire.UnsubscribeInput, snswire.UnsubscribeOutput]{
		Wire: &snswire.Unsubscribe, Class: audit.Management, Access: api.Write, Unsigned: true,
		Demands: func(c *api.Call, in *snswire.UnsubscribeInput) ([]authz.Demand, error) {
			if signed(c) {
				return nowhere("sns:Unsubscribe")(c), nil
			}
			r := authz.Resource{ARN: "*"}
			if sub, _, err := e.topics.Subscription(member.Text(in.SubscriptionArn)); err == nil && sub.ByLink() {
				r.Policy, r.Account = holder, sub.Account
			}
			return c.Need("sns:Unsubscribe", r, nil), nil
		},
		Do: func(ctx context.Context, g authz.Grant, _ *api.Call, in *snswire.UnsubscribeInput) (*snswire.UnsubscribeOutput, error) {
			return &snswire.UnsubscribeOutput{}, e.topics.Unsubscribe(ctx, g, member.Text(in.SubscriptionArn))
		},
	})
}

func shown(sub *sns.Subscription) snswire.Subscription {
	arn := sub.ARN()
	switch {
	case sub.Ended:
		arn = "Deleted"
	case !sub.Confirmed:
		arn = "PendingConfirmation"
	}
	return snswire.Subscription{SubscriptionArn: &arn, Owner: &sub.Account, Protocol: &sub.Protocol, Endpoint: &sub.Endpoint, TopicArn: &sub.Topic}
}

func lastOf(subs []*sns.Subscription) string {
	if len(subs) == 0 {
		return ""
	}
	return subs[len(subs)-1].ARN()
}

func (e edge) listSubscriptions() *api.Op {
	return api.Declare(api.Decl[snswire.ListSubscriptionsInput, snswire.ListSubscriptionsOutput]{
		Wire: &snswire.ListSubscriptions, Class: audit.Management, Access: api.List,
		Demands: func(c *api.Call, _ *snswire.ListSubscriptionsInput) ([]authz.Demand, error) {
			return nowhere("sns:ListSubscriptions")(c), nil
		},
		Do: func(_ context.Context, g authz.Grant, c *api.Call, in *snswire.ListSubscriptionsInput) (*snswire.ListSubscriptionsOutput, error) {
			at, err := after(in.NextToken)
			if err != nil {
				return nil, err
			}
			subs, more, err := e.topics.ListSubscriptions(g, account(c), at)
			if err != nil {
				return nil, err
			}
			return &snswire.ListSubscriptionsOutput{Subscriptions: member.Every(subs, shown), NextToken: next(more, lastOf(subs))}, nil
		},
	})
}

func (e edge) listByTopic() *api.Op {
	return on(e, &snswire.ListSubscriptionsByTopic, audit.Management, api.List, func(in *snswire.ListSubscriptionsByTopicInput) *string { return in.TopicArn },
		func(_ context.Context, g authz.Grant, t *sns.Topic, in *snswire.ListSubscriptionsByTopicInput) (*snswire.ListSubscriptionsByTopicOutput, error) {
			at, err := after(in.NextToken)
			if err != nil {
				return nil, err
			}
			subs, more, err := e.topics.ListByTopic(g, t, at)
			if err != nil {
				return nil, err
			}
			return &snswire.ListSubscriptionsByTopicOutput{Subscriptions: member.Every(subs, shown), NextToken: next(more, lastOf(subs))}, nil
		})
}
