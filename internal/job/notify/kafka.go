//go:build kafka

package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/kura-s3/kura/internal/event/queue"
	"github.com/kura-s3/kura/internal/job/delivery"
)

// kafka writes into a topic: the record's key is bucket and key of the object, so that what is told of
// one lies in one partition in its order. A message has arrived when all replicas in sync have it.
type kafka struct{ client *kgo.Client }

// Bounds of what a Kafka client keeps and waits for.
const (
	kafkaRecords = 1000
	kafkaBytes   = 32 << 20
	kafkaRequest = 8 * time.Second
)

func newKafka(dial delivery.Dial, u *url.URL) (broker, error) {
	secure := u.Scheme == "tls+kafka"
	if err := checkParameters(u, secure, "broker", "sasl", "password-file"); err != nil {
		return nil, err
	}
	topic := subjectOf(u)
	if topic == "" || strings.ContainsAny(topic, "/ \t\r\n") {
		return nil, errors.New("the URL's path is not a topic")
	}
	mechanism, err := signIn(u, secure)
	if err != nil {
		return nil, err
	}
	var security *tls.Config
	if secure {
		if security, err = securityOf(u); err != nil {
			return nil, err
		}
	}
	options := []kgo.Opt{
		kgo.SeedBrokers(seeds(u)...), kgo.ClientID("kura"), kgo.DefaultProduceTopic(topic), kgo.DisableClientMetrics(),
		kgo.Dialer(kafkaDial(dial, security)),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		// The courier sends what belongs in order one after the other, and again what failed: numbers of
		// the producer would protect nothing, and ask for a right.
		kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(1),
		kgo.ProducerLinger(0), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.MaxBufferedRecords(kafkaRecords), kgo.MaxBufferedBytes(kafkaBytes),
		kgo.RecordDeliveryTimeout(sendTimeout), kgo.ProduceRequestTimeout(kafkaRequest), kgo.RequestTimeoutOverhead(kafkaRequest),
		kgo.UnknownTopicRetries(1),
	}
	if mechanism != nil {
		options = append(options, kgo.SASL(mechanism))
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return nil, err
	}
	return &kafka{client}, nil
}

// seeds are the brokers that are asked first: the URL's host, and what its parameters broker name.
func seeds(u *url.URL) []string {
	port := u.Port()
	if port == "" {
		port = "9092"
	}
	return append([]string{net.JoinHostPort(u.Hostname(), port)}, u.Query()["broker"]...)
}

// kafkaDial dials every broker of the cluster, those too that the first one names, as all that Kura dials.
func kafkaDial(dial delivery.Dial, security *tls.Config) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil || security == nil {
			return conn, err
		}
		own := security.Clone()
		if own.ServerName, _, err = net.SplitHostPort(address); err != nil {
			conn.Close()
			return nil, err
		}
		client := tls.Client(conn, own)
		if err := client.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, err
		}
		return client, nil
	}
}

// signIn is the SASL mechanism; nil where the URL names nobody.
func signIn(u *url.URL, secure bool) (sasl.Mechanism, error) {
	name := u.Query().Get("sasl")
	if u.User.Username() == "" {
		if name != "" || u.Query().Has("password-file") {
			return nil, errors.New("the URL names no user")
		}
		return nil, nil
	}
	shake := func(context.Context) (scram.Auth, error) {
		password, err := passwordOf(u)
		return scram.Auth{User: u.User.Username(), Pass: password}, err
	}
	switch strings.ToUpper(name) {
	case "", "SCRAM-SHA-512":
		return scram.Sha512(shake), nil
	case "SCRAM-SHA-256":
		return scram.Sha256(shake), nil
	case "PLAIN":
		if !secure {
			return nil, errors.New("PLAIN shows the password to the network: it goes with tls+kafka only")
		}
		return plain.Plain(func(context.Context) (plain.Auth, error) {
			password, err := passwordOf(u)
			return plain.Auth{User: u.User.Username(), Pass: password}, err
		}), nil
	}
	return nil, fmt.Errorf("%q is not one of SCRAM-SHA-512, SCRAM-SHA-256, PLAIN", name)
}

func (k *kafka) send(ctx context.Context, d *queue.Delivery) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	r := &kgo.Record{Value: d.Payload}
	if d.Order != "" {
		r.Key = []byte(d.Order)
	}
	err := k.client.ProduceSync(ctx, r).FirstErr()
	if errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.InvalidRecord) {
		return &delivery.Refused{Reason: err.Error()}
	}
	return err
}

func (k *kafka) close() { k.client.Close() }
