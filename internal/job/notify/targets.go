package notify

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/event/queue"
	"github.com/kura-s3/kura/internal/job/delivery"
	"github.com/kura-s3/kura/internal/object"
)

// Targets are the places that the operator opened for notifications, each under a name: a rule names it
// by an ARN of a topic, queue or function with that name in the bucket's own account. It implements
// delivery.Carrier.
type Targets struct {
	// Inside are queues, topics and functions of this server, for rules that name one. Optional.
	Inside Inside

	region string
	dial   delivery.Dial
	client *http.Client
	urls   map[string]*url.URL
	// brokers of those URLs that lead to one, by name.
	brokers map[string]broker
}

// Inside are the queues, topics and functions of this server.
type Inside interface {
	delivery.Carrier
	// Has tells whether there is such a one, MaySend whether it lets S3 send because of a bucket.
	Has(arn string) bool
	MaySend(ctx context.Context, account, bucketARN, arn string) error
}

// senders by the scheme of the URL.
var senders = map[string]func(*Targets, context.Context, *url.URL, []byte) error{
	"http": (*Targets).webhook, "https": (*Targets).webhook,
	"nats": (*Targets).nats, "tls+nats": (*Targets).nats,
	"redis": (*Targets).redis, "rediss": (*Targets).redis,
}

// NewTargets checks the URLs of targets by name.
func NewTargets(region string, dial delivery.Dial, named map[string]string) (*Targets, error) {
	t := &Targets{region: region, dial: dial, client: delivery.NewClient(dial), urls: map[string]*url.URL{}, brokers: map[string]broker{}}
	for name, raw := range named {
		u, err := url.Parse(raw)
		if err != nil || u.Hostname() == "" {
			return nil, fmt.Errorf("notification target %s: not a URL", name)
		}
		if open := brokers[u.Scheme]; open != nil {
			if t.brokers[name], err = open(dial, u); err != nil {
				return nil, fmt.Errorf("notification target %s: %w", name, err)
			}
		} else if senders[u.Scheme] == nil {
			return nil, fmt.Errorf("notification target %s: %s is not one of https, http, nats, tls+nats, redis, rediss, kafka, tls+kafka, amqp, amqps", name, u.Scheme)
		}
		t.urls[name] = u
	}
	return t, nil
}

// nameOf is the name in an ARN: that of a function stands behind its type.
func nameOf(arn string) (account, region, name string) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 {
		return "", "", ""
	}
	return parts[4], parts[3], strings.TrimPrefix(parts[5], "function:")
}

// words are how S3 names what is missing.
var words = map[string]string{object.NotifyTopic: "topic", object.NotifyQueue: "queue", object.NotifyFunction: "Lambda"}

// refusals are how S3 says that a destination does not let it send.
var refusals = map[string]string{
	object.NotifyTopic:    "Permissions on the destination topic do not allow S3 to publish notifications from this bucket",
	object.NotifyQueue:    "Permissions on the destination queue do not allow S3 to publish notifications from this bucket",
	object.NotifyFunction: "Not authorized to invoke function",
}

func (t *Targets) check(ctx context.Context, b *object.Bucket, r *object.NotificationRule) string {
	account := b.Owner.Account
	owner, region, name := nameOf(r.ARN)
	if region != t.region {
		return "The notification destination service region is not valid for the bucket location constraint"
	}
	if t.isInside(r.ARN) {
		if err := t.Inside.MaySend(ctx, account, b.ARN(), r.ARN); err != nil {
			return refusals[r.Kind]
		}
		return ""
	}
	if owner != account || t.urls[name] == nil {
		return "The destination " + words[r.Kind] + " does not exist"
	}
	return ""
}

// isInside tells whether arn is of this server. A name that the operator opened comes first.
func (t *Targets) isInside(arn string) bool {
	_, _, name := nameOf(arn)
	return t.Inside != nil && t.urls[name] == nil && t.Inside.Has(arn)
}

// Carry implements delivery.Carrier.
func (t *Targets) Carry(ctx context.Context, d *queue.Delivery) error {
	if t.isInside(d.Target) {
		return t.Inside.Carry(ctx, d)
	}
	account, _, name := nameOf(d.Target)
	u := t.urls[name]
	if u == nil || account != d.Account {
		return &delivery.Refused{Reason: errNoTarget.Error()}
	}
	if b := t.brokers[name]; b != nil {
		return b.send(ctx, d)
	}
	return senders[u.Scheme](t, ctx, u, d.Payload)
}

func (t *Targets) webhook(ctx context.Context, u *url.URL, payload []byte) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(payload))
	if err != nil {
		return &delivery.Refused{Reason: "the request cannot be made"}
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "Amazon Simple Notification Service Agent")
	answer, err := t.client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	return delivery.Judge(answer)
}

// exchangeTimeout bounds a conversation with a broker.
const exchangeTimeout = 5 * time.Second

// exchange dials and lets talk speak.
func (t *Targets) exchange(ctx context.Context, u *url.URL, port string, secure bool, talk func(net.Conn, *bufio.Reader) error) error {
	ctx, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	if u.Port() != "" {
		port = u.Port()
	}
	conn, err := t.dial(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	if secure {
		conn = tls.Client(conn, &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12})
	}
	return talk(conn, bufio.NewReader(conn))
}

// subject is what the path of a URL names.
func subjectOf(u *url.URL) string { return strings.Trim(u.Path, "/") }

// nats publishes on the subject that the URL's path names, and waits until the server has taken it:
// the server answers a ping after what came before it.
func (t *Targets) nats(ctx context.Context, u *url.URL, payload []byte) error {
	subject := subjectOf(u)
	if subject == "" || strings.ContainsAny(subject, " \t\r\n") {
		return &delivery.Refused{Reason: "the URL names no subject"}
	}
	return t.exchange(ctx, u, "4222", u.Scheme == "tls+nats", func(conn net.Conn, in *bufio.Reader) error {
		if line, err := in.ReadString('\n'); err != nil || !strings.HasPrefix(line, "INFO ") {
			return fmt.Errorf("no NATS server: %.100q %w", line, err)
		}
		password, _ := u.User.Password()
		connect := map[string]any{"verbose": false, "pedantic": false, "name": "kura", "lang": "go", "version": "1", "protocol": 0}
		if user := u.User.Username(); user != "" && password == "" {
			connect["auth_token"] = user
		} else if user != "" {
			connect["user"], connect["pass"] = user, password
		}
		hello, err := jsonText(connect)
		if err != nil {
			return err
		}
		var out bytes.Buffer
		fmt.Fprintf(&out, "CONNECT %s\r\nPUB %s %d\r\n", hello, subject, len(payload))
		out.Write(payload)
		out.WriteString("\r\nPING\r\n")
		if _, err := conn.Write(out.Bytes()); err != nil {
			return err
		}
		for {
			line, err := in.ReadString('\n')
			switch {
			case err != nil:
				return err
			case strings.HasPrefix(line, "PONG"):
				return nil
			case strings.HasPrefix(line, "-ERR"):
				return fmt.Errorf("NATS: %.200s", strings.TrimSpace(line))
			}
		}
	})
}

// redis appends to the list that the URL's query names (list=), to a stream (stream=), or publishes on a
// channel (channel=). The path is the number of the database.
func (t *Targets) redis(ctx context.Context, u *url.URL, payload []byte) error {
	var commands [][]string
	if password, ok := u.User.Password(); ok {
		auth := []string{"AUTH", password}
		if user := u.User.Username(); user != "" {
			auth = []string{"AUTH", user, password}
		}
		commands = append(commands, auth)
	}
	if db := subjectOf(u); db != "" {
		commands = append(commands, []string{"SELECT", db})
	}
	q := u.Query()
	switch {
	case q.Get("list") != "":
		commands = append(commands, []string{"RPUSH", q.Get("list"), string(payload)})
	case q.Get("stream") != "":
		commands = append(commands, []string{"XADD", q.Get("stream"), "*", "message", string(payload)})
	case q.Get("channel") != "":
		commands = append(commands, []string{"PUBLISH", q.Get("channel"), string(payload)})
	default:
		return &delivery.Refused{Reason: "the URL has none of list=, stream=, channel="}
	}
	return t.exchange(ctx, u, "6379", u.Scheme == "rediss", func(conn net.Conn, in *bufio.Reader) error {
		for _, command := range commands {
			if err := respond(conn, in, command); err != nil {
				return err
			}
		}
		return nil
	})
}

// respond sends a command of Redis and reads its answer.
func respond(conn io.Writer, in *bufio.Reader, command []string) error {
	var out bytes.Buffer
	fmt.Fprintf(&out, "*%d\r\n", len(command))
	for _, word := range command {
		fmt.Fprintf(&out, "$%d\r\n%s\r\n", len(word), word)
	}
	if _, err := conn.Write(out.Bytes()); err != nil {
		return err
	}
	line, err := in.ReadString('\n')
	if err != nil {
		return err
	}
	line = strings.TrimSpace(line)
	switch {
	case strings.HasPrefix(line, "-"):
		return fmt.Errorf("redis: %.200s", line[1:])
	case strings.HasPrefix(line, "$"):
		n, err := strconv.Atoi(line[1:])
		if err != nil || n < 0 || n > 1<<10 {
			return fmt.Errorf("redis: answer %.100q", line)
		}
		_, err = in.Discard(n + 2)
		return err
	}
	return nil
}

func jsonText(v any) (string, error) {
	raw, err := json.Marshal(v)
	return string(raw), err
}
