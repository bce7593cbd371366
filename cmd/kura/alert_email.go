package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
)

// mailMessage is the text of an e-mail about an exposure. Its first line is what the mail is about.
var mailMessage = &transformer{
	InputPathsMap: map[string]string{
		"title": "$.detail.text.title", "access": "$.detail.text.access", "change": "$.detail.text.change", "where": "$.detail.text.where", "undo": "$.detail.text.undo",
	},
	InputTemplate: `"<title>\n\nAccess:\n<access>\n\nChanged: <change>\nAccount: <where>\n\nTo undo:\n<undo>"`,
}

// mailResult is that about a result of AWS Config.
var mailResult = &transformer{
	InputPathsMap: slackResult.InputPathsMap,
	InputTemplate: `"<resource> is <result> with <rule>\n\nAccount: <account>\n<why>"`,
}

// mailFinding is that about a finding of GuardDuty, mailLeak that about a leaked access key.
var (
	mailFinding = &transformer{InputPathsMap: slackFinding.InputPathsMap, InputTemplate: `"<title>\n\n<text>\n\nType: <type>\nSeverity: <severity>\nAccount: <account>"`}
	mailLeak    = &transformer{InputPathsMap: slackLeak.InputPathsMap, InputTemplate: `"Leaked credentials in account <account>\n\n<text>"`}
)

var mailMessages = messages{mailMessage, mailResult, mailFinding, mailLeak}

func alertEmail(p program) *cobra.Command {
	o := alertOptions{}
	var to []string
	c := &cobra.Command{
		Use:   "email --to ADDRESS",
		Short: "Sends alerts by e-mail",
		Long: "Makes, by the APIs of SNS and EventBridge, a topic, its subscriptions by e-mail and a rule in the caller's account, so that every\n" +
			"bucket that a change opens to strangers is told at once, and once more when it is closed again. Each address gets a mail with a\n" +
			"link that confirms it; findings of severity 4 and more and leaked access keys are told too. The server needs --smtp-server. Said again, it brings them up to date. With --config-rule what\n" +
			"those AWS Config rules find non-compliant is told as well. Endpoint and credentials come from the environment, as client.env sets it.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			api, err := newClient(environment(p.environ), o.endpoint)
			if err != nil {
				return err
			}
			a := mailAlert{alert: alert{api: api, o: o, told: mailMessages}, to: to}
			if o.remove {
				return a.remove(c.Context(), p.stdout)
			}
			if len(to) == 0 {
				return errUsage{errors.New("--to is required")}
			}
			return a.set(c.Context(), p.stdout)
		},
	}
	f := c.Flags()
	f.StringArrayVar(&to, "to", nil, "address that alerts go to (repeatable)")
	f.StringVar(&o.endpoint, "endpoint", "", "the endpoint; default AWS_ENDPOINT_URL")
	f.StringVar(&o.name, "name", "kura-alert-email", "name of what is made")
	f.StringArrayVar(&o.configRules, "config-rule", nil, "AWS Config rule whose findings are told too (repeatable)")
	f.BoolVar(&o.remove, "remove", false, "take everything of that name away")
	return c
}

// mailAlert is an alert by a topic.
type mailAlert struct {
	alert
	to []string
}

func (a *mailAlert) set(ctx context.Context, out io.Writer) error {
	arn, err := a.sns(ctx, "CreateTopic", "Name", a.o.name)
	if err != nil {
		return err
	}
	if err := a.open(ctx, arn); err != nil {
		return err
	}
	if err := a.tell(ctx, arn); err != nil {
		return err
	}
	for _, address := range a.to {
		state, err := a.sns(ctx, "Subscribe", "TopicArn", arn, "Protocol", "email", "Endpoint", address)
		if err != nil {
			return err
		}
		if strings.HasPrefix(state, "arn:") {
			fmt.Fprintf(out, "Alerts of exposed buckets go to %s (rule %s).\n", address, a.o.name)
			continue
		}
		fmt.Fprintf(out, "%s gets a mail with a link: once it is visited, alerts of exposed buckets go there (rule %s).\n", address, a.o.name)
	}
	return nil
}

// open lets the rules publish.
func (a *mailAlert) open(ctx context.Context, arn string) error {
	f := strings.Split(arn, ":")
	if len(f) != 6 {
		return fmt.Errorf("%q is not the ARN of a topic", arn)
	}
	if _, err := a.sns(ctx, "SetTopicAttributes", "TopicArn", arn, "AttributeName", "DisplayName", "AttributeValue", "Kura alerts"); err != nil {
		return err
	}
	var rules []string
	for _, r := range a.rules() {
		rules = append(rules, "arn:aws:events:"+f[3]+":"+f[4]+":rule/"+r.name)
	}
	policy, err := json.Marshal(object{"Version": "2012-10-17", "Statement": object{
		"Effect": "Allow", "Principal": object{"Service": "events.amazonaws.com"}, "Action": "sns:Publish", "Resource": arn,
		"Condition": object{"ArnEquals": object{"aws:SourceArn": rules}},
	}})
	if err != nil {
		return err
	}
	_, err = a.sns(ctx, "SetTopicAttributes", "TopicArn", arn, "AttributeName", "Policy", "AttributeValue", string(policy))
	return err
}

// remove takes everything away; what is not there is no failure.
func (a *mailAlert) remove(ctx context.Context, out io.Writer) error {
	arn, err := a.sns(ctx, "CreateTopic", "Name", a.o.name)
	if err == nil {
		_, err = a.sns(ctx, "DeleteTopic", "TopicArn", arn)
	}
	if err != nil {
		return err
	}
	return a.alert.remove(ctx, out)
}

// sns asks the Simple Notification Service for something, by names and values in turn. The answer is what its
// answer says in one place, if anything.
func (a *mailAlert) sns(ctx context.Context, action string, pairs ...string) (string, error) {
	parameters := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		parameters.Set(pairs[i], pairs[i+1])
	}
	var told struct {
		Topic        string `xml:"CreateTopicResult>TopicArn"`
		Subscription string `xml:"SubscribeResult>SubscriptionArn"`
	}
	err := a.api.query(ctx, "sns", "2010-03-31", action, parameters, &told)
	return told.Topic + told.Subscription, err
}
