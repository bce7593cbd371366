package app

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kura-s3/kura/internal/api"
	apisns "github.com/kura-s3/kura/internal/api/sns"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/event"
	"github.com/kura-s3/kura/internal/event/pattern"
	"github.com/kura-s3/kura/internal/event/queue"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/identity"
	"github.com/kura-s3/kura/internal/job/delivery"
	"github.com/kura-s3/kura/internal/job/topic"
	"github.com/kura-s3/kura/internal/keys"
	"github.com/kura-s3/kura/internal/sns"
)

// snsPrincipal sends because of topics.
const snsPrincipal = "sns.amazonaws.com"

// topics are what there is of the Simple Notification Service.
type topics struct {
	store  *sns.Store
	signer *sns.Signer
	mail   topic.Mailer // nil: none
}

// openTopics opens topics and subscriptions, whose messages the ring seals.
func (s *server) openTopics(ctx context.Context, ring *keys.Ring) (err error) {
	if s.topics.store, err = s.topicStore(ctx, ring, s.identities); err != nil {
		return err
	}
	if s.topics.signer, err = s.topics.store.Signer(ctx); err != nil {
		return err
	}
	return s.openMail()
}

func (s *server) topicStore(ctx context.Context, ring *keys.Ring, people *identity.Store) (*sns.Store, error) {
	return sns.Open(ctx, sns.Config{
		Meta: s.engines.Meta, Secrets: ring, Principals: people, Feed: s.feed, Region: s.config.Region, Log: s.log,
		Filters: sns.Filters{
			Compile: func(text []byte) (sns.Filter, error) { return pattern.Compile(text) },
			Decode:  pattern.Decode,
		},
	})
}

// examineTopics has the topics look at what is theirs, for the doctor.
func (s *server) examineTopics(ctx context.Context, ring *keys.Ring, people *identity.Store) error {
	store, err := s.topicStore(ctx, ring, people)
	if err != nil {
		return err
	}
	return store.Check(ctx)
}

// openMail gets ready to send e-mail, where there is a server for it.
func (s *server) openMail() error {
	c := &s.config.SMTP
	if c.Server == "" {
		return nil
	}
	var password string
	if c.PasswordFile != "" {
		raw, err := os.ReadFile(c.PasswordFile)
		if err != nil {
			return fmt.Errorf("--smtp-password-file: %w", err)
		}
		password = strings.TrimRight(string(raw), "\r\n")
	}
	var authorities *x509.CertPool
	if c.CA != "" {
		raw, err := os.ReadFile(c.CA)
		if err != nil {
			return fmt.Errorf("--smtp-ca: %w", err)
		}
		if authorities = x509.NewCertPool(); !authorities.AppendCertsFromPEM(raw) {
			return fmt.Errorf("--smtp-ca: %s has no certificate", c.CA)
		}
	}
	mail, err := topic.NewSMTP(topic.SMTPConfig{
		Server: c.Server, From: c.From, User: c.User, Password: password, TLS: c.TLS, Authorities: authorities, Dial: outbound(s.config),
	})
	if err != nil {
		return err
	}
	s.topics.mail = mail
	return nil
}

// publicURL is that by which others reach this server.
func (s *server) publicURL() string {
	if s.config.PublicURL != "" {
		return s.config.PublicURL
	}
	for _, name := range []string{"https", "http"} {
		for _, l := range s.listeners {
			if l.name == name && l.id == "" {
				return l.endpoint()
			}
		}
	}
	return ""
}

// sns is the service.
func (s *server) sns() api.Service {
	return apisns.New(apisns.Config{
		Exposes: s.exposesPolicy,
		Topics:  s.topics.store, Keys: s.kms, Endpoint: s.subscriber, Region: s.config.Region, Authn: s.authn, Log: s.log,
	})
}

// certificate shows what signed messages are checked with, to anybody.
func (s *server) certificate(path string) (contentType string, body []byte, ok bool) {
	name, pem := s.topics.signer.Certificate()
	return "application/x-pem-file", pem, path == topic.CertificatePath(name)
}

// subscribers say what is wrong with the endpoint of a protocol, and whose it is; "" for what has to confirm.
var subscribers = map[string]func(s *server, endpoint string) (account string, err error){
	"http":       func(_ *server, endpoint string) (string, error) { return "", webEndpoint("http", endpoint) },
	"https":      func(_ *server, endpoint string) (string, error) { return "", webEndpoint("https", endpoint) },
	"email":      (*server).mailbox,
	"email-json": (*server).mailbox,
	"sqs":        func(s *server, endpoint string) (string, error) { return s.ownARN("sqs", endpoint) },
	"lambda":     func(s *server, endpoint string) (string, error) { return s.ownARN("lambda", endpoint) },
}

func (s *server) subscriber(protocol, endpoint string) (account string, err error) {
	check, ok := subscribers[protocol]
	if !ok {
		return "", fault.New(sns.InvalidParameter, "Invalid parameter: Protocol Reason: protocols are http, https, email, email-json, sqs and lambda")
	}
	return check(s, endpoint)
}

var errEndpoint = fault.New(sns.InvalidParameter, "Invalid parameter: Endpoint")

// webEndpoint says what is wrong with a URL. Where it leads is judged when it is dialled.
func webEndpoint(protocol, endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil || u.Hostname() == "" || u.Fragment != "" {
		return errEndpoint
	}
	if u.Scheme != protocol {
		return fault.New(sns.InvalidParameter, "Invalid parameter: Endpoint must match the specified protocol")
	}
	return nil
}

func (s *server) mailbox(address string) (string, error) {
	if s.topics.mail == nil {
		return "", fault.New(sns.InvalidParameter, "Invalid parameter: Protocol Reason: this server sends no e-mail: --smtp-server is not set")
	}
	if topic.CheckAddress(address) != nil {
		return "", fault.New(sns.InvalidParameter, "Invalid parameter: Email address")
	}
	return "", nil
}

// ownARN is the account of a queue or a function, of this server's region.
func (s *server) ownARN(service, arn string) (string, error) {
	f := strings.Split(arn, ":")
	if len(f) < 6 || f[0] != "arn" || f[2] != service || f[3] != s.config.Region || len(f[4]) != 12 {
		return "", fault.New(sns.InvalidParameter, "Invalid parameter: "+strings.ToUpper(service)+" endpoint ARN")
	}
	if service == "sqs" && (len(f) != 6 || strings.HasSuffix(arn, ".fifo")) {
		return "", fault.New(sns.InvalidParameter, "Invalid parameter: Endpoint Reason: FIFO SQS Queues can not be subscribed to standard SNS topics")
	}
	return f[4], nil
}

// topicCarrier carries to subscriptions, inside to queues and functions.
func (s *server) topicCarrier(inside delivery.Carrier) delivery.Carrier {
	client := delivery.NewClient(outbound(s.config))
	client.Timeout = topic.Timeout
	return &topic.Carrier{Topics: s.topics.store, Client: client, Endpoint: webEndpoint, Mail: s.topics.mail, Inside: inside}
}

// startTopics begins to hand messages on, and to forget subscriptions that nobody confirmed.
func (s *server) startTopics(context.Context) error {
	s.background(topic.NewFanOut(topic.Config{
		Meta: s.engines.Meta, Topics: s.topics.store, Queue: s.queue, Signer: s.topics.signer, URL: s.publicURL(), Log: s.log,
	}).Run)
	s.background(func(ctx context.Context) {
		for sleep(ctx, sweepInterval) {
			if err := s.topics.store.Forget(ctx); err != nil && ctx.Err() == nil {
				s.log.Error("topics: old subscriptions are not forgotten", "err", err)
			}
		}
	})
	return nil
}

// topicMetrics are how much there is.
func (s *server) topicMetrics(registry prometheus.Registerer) {
	gauge := func(name, help string, of func(sns.Counts) int) {
		registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(of(s.topics.store.Count())) }))
	}
	gauge("kura_sns_topics", "Topics.", func(c sns.Counts) int { return c.Topics })
	gauge("kura_sns_subscriptions", "Subscriptions of topics.", func(c sns.Counts) int { return c.Subscriptions })
	gauge("kura_sns_messages_waiting", "Messages that have no deliveries yet.", func(c sns.Counts) int { return c.Waiting })
}

// topicTargets are topics as receivers.
func (s *server) topicTargets() insideService {
	return insideService{
		check: func(t *event.RuleTarget) string {
			if _, err := s.topics.store.Topic(t.ARN); err != nil {
				return "The topic does not exist."
			}
			return ""
		},
		demand: func(arn string) (authz.Demand, error) {
			t, err := s.topics.store.Topic(arn)
			if err != nil {
				return authz.Demand{}, err
			}
			return s.topics.store.Demand(t, "sns:Publish", nil), nil
		},
		request: publish,
	}
}

// publishSubjects are those of messages that services publish, by the service of what caused them.
var publishSubjects = map[string]string{"s3": "Amazon S3 Notification"}

// publishOptions are what a sender says beside the message.
type publishOptions struct{ Subject string }

func publish(ctx context.Context, d *queue.Delivery) (*http.Request, error) {
	if len(d.Payload) == 0 {
		return nil, errors.New("an empty message")
	}
	var with publishOptions
	if len(d.Options) > 0 {
		if err := json.Unmarshal(d.Options, &with); err != nil {
			return nil, err
		}
	}
	form := url.Values{"Action": {"Publish"}, "Version": {"2010-03-31"}, "TopicArn": {d.Target}, "Message": {string(d.Payload)}}
	if f := strings.SplitN(d.Cause, ":", 4); with.Subject == "" && len(f) == 4 {
		with.Subject = publishSubjects[f[2]]
	}
	if with.Subject != "" {
		form.Set("Subject", with.Subject)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://sns.inside/", strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r, nil
}
