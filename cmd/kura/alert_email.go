package main

import (
	"context"
	"encoding/json"
	"encoding/xml"
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
			env := environment(p.environ)
			api, err := newEventsClient(env, o.endpoint)
			if err != nil {
				return err
			}
			topics, err := newTopicsClient(env, o.endpoint)
			if err != nil {
				return err
			}
			a := mailAlert{alert: alert{api: api, o: o, message: mailMessage}, topics: topics, to: to}
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
	topics *topicsClient
	to     []string
}

func (a *mailAlert) set(ctx context.Context, out io.Writer) error {
	arn, err := a.topics.call(ctx, "CreateTopic", "TopicArn", "Name", a.o.name)
	if err != nil {
		return err
	}
	if err := a.open(ctx, arn); err != nil {
		return err
	}
	if err := a.rule(ctx, a.o.name, exposures, arn, a.message); err != nil {
		return err
	}
	if err := a.findings(ctx, arn); err != nil {
		return err
	}
	if len(a.o.configRules) > 0 {
		if err := a.rule(ctx, a.o.name+"-config", resultsOf(a.o.configRules), arn, mailResult); err != nil {
			return err
		}
	}
	for _, address := range a.to {
		state, err := a.topics.call(ctx, "Subscribe", "SubscriptionArn", "TopicArn", arn, "Protocol", "email", "Endpoint", address)
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
	if _, err := a.topics.call(ctx, "SetTopicAttributes", "", "TopicArn", arn, "AttributeName", "DisplayName", "AttributeValue", "Kura alerts"); err != nil {
		return err
	}
	rules := "arn:aws:events:" + f[3] + ":" + f[4] + ":rule/" + a.o.name
	policy, err := json.Marshal(object{"Version": "2012-10-17", "Statement": object{
		"Effect": "Allow", "Principal": object{"Service": "events.amazonaws.com"}, "Action": "sns:Publish", "Resource": arn,
		"Condition": object{"ArnEquals": object{"aws:SourceArn": []string{rules, rules + "-config", rules + "-findings", rules + "-leaks"}}},
	}})
	if err != nil {
		return err
	}
	_, err = a.topics.call(ctx, "SetTopicAttributes", "", "TopicArn", arn, "AttributeName", "Policy", "AttributeValue", string(policy))
	return err
}

// remove takes everything away; what is not there is no failure.
func (a *mailAlert) remove(ctx context.Context, out io.Writer) error {
	arn, err := a.topics.call(ctx, "CreateTopic", "TopicArn", "Name", a.o.name)
	if err == nil {
		_, err = a.topics.call(ctx, "DeleteTopic", "", "TopicArn", arn)
	}
	if err != nil {
		return err
	}
	return a.alert.remove(ctx, out)
}

// topicsClient speaks SNS's protocol, signed with the environment's credentials.
type topicsClient struct{ s3 *s3Client }

func newTopicsClient(env map[string]string, endpoint string) (*topicsClient, error) {
	c, err := newS3Client(env, endpoint)
	if err != nil {
		return nil, err
	}
	c.signing.Service = "sns"
	return &topicsClient{c}, nil
}

// call makes a request of names and values in turn, and gives what the answer says in member.
func (c *topicsClient) call(ctx context.Context, action, member string, pairs ...string) (string, error) {
	form := url.Values{"Action": {action}, "Version": {"2010-03-31"}}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	body := form.Encode()
	ctx, cancel := context.WithTimeout(ctx, eventsPatience)
	defer cancel()
	u := *c.s3.endpoint
	u.Path = "/"
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), strings.NewReader(body))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	s := c.s3.signing
	s.Time, s.PayloadHash = time.Now(), hashOf([]byte(body))
	if _, err := authn.Sign(r, s); err != nil {
		return "", err
	}
	w, err := c.s3.client.Do(r)
	if err != nil {
		return "", err
	}
	defer w.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(w.Body, maxS3Answer))
	if err != nil {
		return "", err
	}
	return readAnswer(w.StatusCode, raw, member)
}

// readAnswer finds a member in an answer, or the error that it tells.
func readAnswer(status int, raw []byte, member string) (string, error) {
	told := map[string]string{}
	d := xml.NewDecoder(strings.NewReader(string(raw)))
	name := ""
	for {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			return "", fmt.Errorf("the answer %d is not XML: %w", status, err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			name = t.Name.Local
		case xml.CharData:
			if name != "" {
				told[name] += string(t)
			}
		case xml.EndElement:
			name = ""
		}
	}
	if status >= http.StatusMultipleChoices {
		return "", &eventsError{told["Code"], told["Message"]}
	}
	return told[member], nil
}
