package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kura-s3/kura/internal/authn"
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
	c.AddCommand(alertTo(p, "slack", "an incoming webhook of Slack", "webhook-url", slackMessage), alertTo(p, "webhook", "any HTTPS endpoint, as EventBridge's JSON", "url", nil),
		alertEmail(p))
	return c
}

func alertTo(p program, kind, what, urlFlag string, message *transformer) *cobra.Command {
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
			env := environment(p.environ)
			api, err := newEventsClient(env, o.endpoint)
			if err != nil {
				return err
			}
			a := alert{api: api, o: o, message: message}
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
		`{"type":"section","text":{"type":"mrkdwn","text":"*Access*\n<access>"}},` +
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

// alert makes and removes what an alert consists of.
type alert struct {
	api     *eventsClient
	o       alertOptions
	message *transformer
}

type object = map[string]any

// exposures is the pattern of the events of exposed buckets, resultsOf that of the results of AWS Config rules.
var exposures = object{"source": []string{"kura"}, "detail-type": []string{"Data Exposure"}}

// that are bad news, or the end of one. That a new bucket is in order is no alert, nor are ten thousand of them.
func resultsOf(rules []string) object {
	bad := object{"complianceType": []string{"NON_COMPLIANT"}}
	return object{"source": []string{"aws.config"}, "detail-type": []string{"Config Rules Compliance Change"}, "detail": object{
		"configRuleName": rules,
		"$or":            []object{{"newEvaluationResult": bad}, {"oldEvaluationResult": bad}},
	}}
}

func (a *alert) set(ctx context.Context, out io.Writer) error {
	auth := object{"ApiKeyAuthParameters": object{"ApiKeyName": "X-Kura-Alert", "ApiKeyValue": a.o.name}}
	connection, err := a.put(ctx, "Connection", "ConnectionArn", object{"Name": a.o.name, "AuthorizationType": "API_KEY", "AuthParameters": auth})
	if err != nil {
		return err
	}
	rate := 1 // what Slack takes of a webhook
	if a.message == nil {
		rate = 50
	}
	destination, err := a.put(ctx, "ApiDestination", "ApiDestinationArn", object{
		"Name": a.o.name, "ConnectionArn": connection, "InvocationEndpoint": a.o.url, "HttpMethod": "POST", "InvocationRateLimitPerSecond": rate,
	})
	if err != nil {
		return err
	}
	if err := a.rule(ctx, a.o.name, exposures, destination, a.message); err != nil {
		return err
	}
	fmt.Fprintf(out, "Alerts of exposed buckets go to %s (rule %s).\n", host(a.o.url), a.o.name)
	if err := a.findings(ctx, destination); err != nil {
		return err
	}
	fmt.Fprintf(out, "Findings of severity %d and more, and leaked access keys, go there too (rules %s-findings, %s-leaks).\n", severe, a.o.name, a.o.name)
	if len(a.o.configRules) == 0 {
		return nil
	}
	results := a.message
	if results != nil {
		results = slackResult
	}
	if err := a.rule(ctx, a.o.name+"-config", resultsOf(a.o.configRules), destination, results); err != nil {
		return err
	}
	fmt.Fprintf(out, "Results of %s go there too (rule %s-config).\n", strings.Join(a.o.configRules, ", "), a.o.name)
	return nil
}

// severe is how severe a finding must be to be told.
const severe = 4

// findings tells of what GuardDuty finds, and of leaked access keys. That a bucket was opened is told
// already, and a leaked key need not be told twice.
func (a *alert) findings(ctx context.Context, destination string) error {
	found, leaked := slackFinding, slackLeak
	switch a.message {
	case nil:
		found, leaked = nil, nil
	case mailMessage:
		found, leaked = mailFinding, mailLeak
	}
	pattern := object{"source": []string{"aws.guardduty"}, "detail-type": []string{"GuardDuty Finding"}, "detail": object{
		"severity": []object{{"numeric": []any{">=", severe}}},
		"type": []object{{"anything-but": []string{
			"Policy:S3/BucketAnonymousAccessGranted", "Policy:S3/BucketPublicAccessGranted", "Kura:IAMUser/CredentialsExposed",
		}}},
	}}
	if err := a.rule(ctx, a.o.name+"-findings", pattern, destination, found); err != nil {
		return err
	}
	pattern = object{"source": []string{"aws.health"}, "detail": object{"eventTypeCode": []string{"AWS_RISK_CREDENTIALS_EXPOSED"}}}
	return a.rule(ctx, a.o.name+"-leaks", pattern, destination, leaked)
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
	out, err := a.api.call(ctx, "Create"+what, in)
	var refused *eventsError
	if errors.As(err, &refused) && refused.Code == "ResourceAlreadyExistsException" {
		out, err = a.api.call(ctx, "Update"+what, in)
	}
	if err != nil {
		return "", err
	}
	s, _ := out[arn].(string)
	return s, nil
}

func (a *alert) rule(ctx context.Context, name string, pattern object, destination string, message *transformer) error {
	raw, err := json.Marshal(pattern)
	if err != nil {
		return err
	}
	if _, err := a.api.call(ctx, "PutRule", object{"Name": name, "EventPattern": string(raw), "State": "ENABLED", "Description": "made by kura alert"}); err != nil {
		return err
	}
	target := object{"Id": "alert", "Arn": destination}
	if message != nil {
		target["InputTransformer"] = message
	}
	_, err = a.api.call(ctx, "PutTargets", object{"Rule": name, "Targets": []object{target}})
	return err
}

// remove takes everything away; what is not there is no failure.
func (a *alert) remove(ctx context.Context, out io.Writer) error {
	for _, step := range []struct {
		operation string
		in        object
	}{
		{"RemoveTargets", object{"Rule": a.o.name, "Ids": []string{"alert"}}}, {"DeleteRule", object{"Name": a.o.name}},
		{"RemoveTargets", object{"Rule": a.o.name + "-config", "Ids": []string{"alert"}}}, {"DeleteRule", object{"Name": a.o.name + "-config"}},
		{"RemoveTargets", object{"Rule": a.o.name + "-findings", "Ids": []string{"alert"}}}, {"DeleteRule", object{"Name": a.o.name + "-findings"}},
		{"RemoveTargets", object{"Rule": a.o.name + "-leaks", "Ids": []string{"alert"}}}, {"DeleteRule", object{"Name": a.o.name + "-leaks"}},
		{"DeleteApiDestination", object{"Name": a.o.name}}, {"DeleteConnection", object{"Name": a.o.name}},
	} {
		_, err := a.api.call(ctx, step.operation, step.in)
		var refused *eventsError
		if err != nil && !(errors.As(err, &refused) && refused.Code == "ResourceNotFoundException") {
			return err
		}
	}
	fmt.Fprintf(out, "%s is gone.\n", a.o.name)
	return nil
}

// eventsClient speaks EventBridge's protocol, signed with the environment's credentials.
type eventsClient struct{ s3 *s3Client }

func newEventsClient(env map[string]string, endpoint string) (*eventsClient, error) {
	c, err := newS3Client(env, endpoint)
	if err != nil {
		return nil, err
	}
	c.signing.Service = "events"
	return &eventsClient{c}, nil
}

// eventsError is a refusal.
type eventsError struct{ Code, Message string }

func (e *eventsError) Error() string { return e.Code + ": " + e.Message }

func hashOf(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

const eventsPatience = 30 * time.Second

func (c *eventsClient) call(ctx context.Context, operation string, in object) (object, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, eventsPatience)
	defer cancel()
	u := *c.s3.endpoint
	u.Path = "/"
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "AWSEvents."+operation)
	s := c.s3.signing
	s.Time, s.PayloadHash = time.Now(), hashOf(body)
	if _, err := authn.Sign(r, s); err != nil {
		return nil, err
	}
	w, err := c.s3.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer w.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(w.Body, maxS3Answer))
	if err != nil {
		return nil, err
	}
	out := object{}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &out); err != nil {
			return nil, fmt.Errorf("%s answered %d with something else than JSON", host(u.String()), w.StatusCode)
		}
	}
	if w.StatusCode >= 300 {
		code, _ := out["__type"].(string)
		message, _ := out["message"].(string)
		return nil, &eventsError{code[strings.LastIndex(code, "#")+1:], message}
	}
	return out, nil
}
