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

// alertOptions are the flags of `kura alert …`.
type alertOptions struct {
	endpoint, name, url string
	configRules         []string
	remove              bool
}

func alertCommand(p program) *cobra.Command {
	c := &cobra.Command{Use: "alert", Short: "Sends alerts of exposed data to people", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	c.AddCommand(alertTo(p, "slack", "an incoming webhook of Slack", "webhook-url", slackMessages), alertTo(p, "webhook", "any HTTPS endpoint, as EventBridge's JSON", "url", messages{}),
		alertEmail(p))
	return c
}

func alertTo(p program, kind, what, urlFlag string, told messages) *cobra.Command {
	o := alertOptions{}
	c := &cobra.Command{
		Use:   kind + " --" + urlFlag + " URL",
		Short: "Sends alerts to " + what,
		Long: "Makes, by EventBridge's API, a connection, an API destination and a rule in the caller's account, so that every bucket that a\n" +
			"change opens to strangers is told at once, and once more when it is closed again. Said again, it brings them up to date.\n" +
			"With --config-rule what those AWS Config rules find non-compliant is told as well. Endpoint and credentials come from the\n" +
			"environment, as client.env sets it.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			api, err := newClient(environment(p.environ), o.endpoint)
			if err != nil {
				return err
			}
			a := alert{api: api, o: o, told: told}
			if o.remove {
				return a.remove(c.Context(), p.stdout)
			}
			if u, err := url.Parse(o.url); err != nil || u.Host == "" {
				return errUsage{fmt.Errorf("--%s is required and must be a URL", urlFlag)}
			}
			return a.set(c.Context(), p.stdout)
		},
	}
	f := c.Flags()
	f.StringVar(&o.url, urlFlag, "", "where alerts go")
	f.StringVar(&o.endpoint, "endpoint", "", "the endpoint; default AWS_ENDPOINT_URL")
	f.StringVar(&o.name, "name", "kura-alert-"+kind, "name of what is made")
	f.StringArrayVar(&o.configRules, "config-rule", nil, "AWS Config rule whose findings are told too (repeatable)")
	f.BoolVar(&o.remove, "remove", false, "take everything of that name away")
	return c
}

// transformer is EventBridge's InputTransformer.
type transformer struct {
	InputPathsMap map[string]string
	InputTemplate string
}

// slackMessage is the message of an exposure, in Slack's Block Kit.
var slackMessage = &transformer{
	InputPathsMap: map[string]string{
		"title": "$.detail.slack.title", "access": "$.detail.slack.access", "change": "$.detail.slack.change", "where": "$.detail.slack.where", "undo": "$.detail.slack.undo",
	},
	InputTemplate: `{"text":"<title>","blocks":[` +
		`{"type":"header","text":{"type":"plain_text","text":"<title>"}},` +
		"{\"type\":\"section\",\"text\":{\"type\":\"mrkdwn\",\"text\":\"*Access*\\n```<access>```\"}}," +
		`{"type":"section","fields":[{"type":"mrkdwn","text":"*Changed*\n<change>"},{"type":"mrkdwn","text":"*Account*\n<where>"}]},` +
		"{\"type\":\"section\",\"text\":{\"type\":\"mrkdwn\",\"text\":\"*To undo*\\n```<undo>```\"}}]}",
}

// slackResult is the message of a result of AWS Config.
var slackResult = &transformer{
	InputPathsMap: map[string]string{
		"resource": "$.detail.resourceId", "rule": "$.detail.configRuleName", "result": "$.detail.newEvaluationResult.complianceType",
		"why": "$.detail.newEvaluationResult.annotation", "account": "$.account",
	},
	InputTemplate: `{"text":"<resource> is <result> with <rule> in account <account>. <why>"}`,
}

// slackFinding is the message of a finding of GuardDuty, slackLeak that of a leaked access key.
var (
	slackFinding = &transformer{
		InputPathsMap: map[string]string{
			"title": "$.detail.title", "text": "$.detail.description", "type": "$.detail.type", "severity": "$.detail.severity", "account": "$.account",
		},
		InputTemplate: `{"text":"<title> <text> (<type>, severity <severity>, account <account>)"}`,
	}
	slackLeak = &transformer{
		InputPathsMap: map[string]string{"text": "$.detail.eventDescription[0].latestDescription", "account": "$.account"},
		InputTemplate: `{"text":"Leaked credentials in account <account>: <text>"}`,
	}
)

// messages are what is told of each kind of event. Nil: the event as it is.
type messages struct{ exposure, result, finding, leak *transformer }

var slackMessages = messages{slackMessage, slackResult, slackFinding, slackLeak}

// alert makes and removes what an alert consists of.
type alert struct {
	api  *client
	o    alertOptions
	told messages
}

func (a *alert) set(ctx context.Context, out io.Writer) error {
	auth := object{"ApiKeyAuthParameters": object{"ApiKeyName": "X-Kura-Alert", "ApiKeyValue": a.o.name}}
	connection, err := a.put(ctx, "Connection", "ConnectionArn", object{"Name": a.o.name, "AuthorizationType": "API_KEY", "AuthParameters": auth})
	if err != nil {
		return err
	}
	rate := 1 // what Slack takes of a webhook
	if a.told.exposure == nil {
		rate = 50
	}
	destination, err := a.put(ctx, "ApiDestination", "ApiDestinationArn", object{
		"Name": a.o.name, "ConnectionArn": connection, "InvocationEndpoint": a.o.url, "HttpMethod": "POST", "InvocationRateLimitPerSecond": rate,
	})
	if err != nil {
		return err
	}
	if err := a.tell(ctx, destination); err != nil {
		return err
	}
	fmt.Fprintf(out, "Alerts of exposed buckets go to %s (rule %s).\n", host(a.o.url), a.o.name)
	fmt.Fprintf(out, "Findings of severity %d and more, and leaked access keys, go there too (rules %s-findings, %s-leaks).\n", severe, a.o.name, a.o.name)
	if len(a.o.configRules) > 0 {
		fmt.Fprintf(out, "What %s find non-compliant, and its end, go there too (rule %s-config).\n", strings.Join(a.o.configRules, ", "), a.o.name)
	}
	return nil
}

// severe is how severe a finding must be to be told.
const severe = 4

// alertRule is a rule of an alert: which events it has told, and as what.
type alertRule struct {
	name    string
	pattern object // nil: the rule is not wanted
	told    *transformer
}

// rules are all that an alert may have. That a bucket was opened is told by the first, and a leaked key by the
// third: findings of either are not told once more.
func (a *alert) rules() []alertRule {
	rules := []alertRule{
		{a.o.name, object{"source": []string{"kura"}, "detail-type": []string{"Data Exposure"}}, a.told.exposure},
		{a.o.name + "-findings", object{"source": []string{"aws.guardduty"}, "detail-type": []string{"GuardDuty Finding"}, "detail": object{
			"severity": []object{{"numeric": []any{">=", severe}}},
			"type": []object{{"anything-but": []string{
				"Policy:S3/BucketAnonymousAccessGranted", "Policy:S3/BucketPublicAccessGranted", "Kura:IAMUser/CredentialsExposed",
			}}},
		}}, a.told.finding},
		{a.o.name + "-leaks", object{"source": []string{"aws.health"}, "detail": object{"eventTypeCode": []string{"AWS_RISK_CREDENTIALS_EXPOSED"}}}, a.told.leak},
		{a.o.name + "-config", nil, a.told.result},
	}
	if len(a.o.configRules) > 0 {
		// Bad news, or the end of it: that a new bucket is in order is no alert, nor are ten thousand of them.
		bad := object{"complianceType": []string{"NON_COMPLIANT"}}
		rules[3].pattern = object{"source": []string{"aws.config"}, "detail-type": []string{"Config Rules Compliance Change"}, "detail": object{
			"configRuleName": a.o.configRules,
			"$or":            []object{{"newEvaluationResult": bad}, {"oldEvaluationResult": bad}},
		}}
	}
	return rules
}

// tell makes the rules that are wanted, each with a destination, and takes away the one that is not any more.
func (a *alert) tell(ctx context.Context, destination string) error {
	for _, r := range a.rules() {
		step := func() error { return a.putRule(ctx, r, destination) }
		if r.pattern == nil {
			step = func() error { return a.dropRule(ctx, r.name) }
		}
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// host is a URL without what may be secret of it.
func host(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw
	}
	return u.Scheme + "://" + u.Host
}

// put creates something, or updates it when it is there.
func (a *alert) put(ctx context.Context, what, arn string, in object) (string, error) {
	out, err := a.api.events(ctx, "Create"+what, in)
	var refused *refusal
	if errors.As(err, &refused) && refused.Code == "ResourceAlreadyExistsException" {
		out, err = a.api.events(ctx, "Update"+what, in)
	}
	if err != nil {
		return "", err
	}
	s, _ := out[arn].(string)
	return s, nil
}

func (a *alert) putRule(ctx context.Context, r alertRule, destination string) error {
	raw, err := json.Marshal(r.pattern)
	if err != nil {
		return err
	}
	if _, err := a.api.events(ctx, "PutRule", object{"Name": r.name, "EventPattern": string(raw), "State": "ENABLED", "Description": "made by kura alert"}); err != nil {
		return err
	}
	target := object{"Id": "alert", "Arn": destination}
	if r.told != nil {
		target["InputTransformer"] = r.told
	}
	_, err = a.api.events(ctx, "PutTargets", object{"Rule": r.name, "Targets": []object{target}})
	return err
}

func (a *alert) dropRule(ctx context.Context, name string) error {
	if err := a.drop(ctx, "RemoveTargets", object{"Rule": name, "Ids": []string{"alert"}}); err != nil {
		return err
	}
	return a.drop(ctx, "DeleteRule", object{"Name": name})
}

// drop takes something away; what is not there is no failure.
func (a *alert) drop(ctx context.Context, operation string, in object) error {
	_, err := a.api.events(ctx, operation, in)
	var refused *refusal
	if errors.As(err, &refused) && refused.Code == "ResourceNotFoundException" {
		return nil
	}
	return err
}

// remove takes everything away.
func (a *alert) remove(ctx context.Context, out io.Writer) error {
	for _, r := range a.rules() {
		if err := a.dropRule(ctx, r.name); err != nil {
			return err
		}
	}
	for _, what := range []string{"ApiDestination", "Connection"} {
		if err := a.drop(ctx, "Delete"+what, object{"Name": a.o.name}); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "%s is gone.\n", a.o.name)
	return nil
}
