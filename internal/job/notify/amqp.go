package notify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/kura-s3/kura/internal/event/queue"
	"github.com/kura-s3/kura/internal/job/delivery"
)

// rabbit publishes to an exchange of a broker that speaks AMQP 0-9-1: persistent messages, mandatory, with
// publisher confirms. A message has arrived when the broker has confirmed it and did not return it
// as one that no queue gets.
type rabbit struct {
	dial          delivery.Dial
	url           *url.URL
	exchange, key string
	number        atomic.Uint64 // of the newest message

	// turn is held by who looks at what follows.
	turn    chan struct{}
	line    *line
	failed  error // why there is no line
	pause   time.Duration
	notTill time.Time
	ended   bool
}

// Pauses between two tries to connect: every delivery that waits would try for itself otherwise.
const (
	firstRedial = 500 * time.Millisecond
	maxRedial   = 30 * time.Second
)

func newAMQP(dial delivery.Dial, u *url.URL) (broker, error) {
	if err := checkParameters(u, u.Scheme == "amqps", "exchange", "routing-key", "queue", "password-file"); err != nil {
		return nil, err
	}
	q := u.Query()
	r := &rabbit{dial: dial, url: u, exchange: q.Get("exchange"), key: q.Get("routing-key"), turn: make(chan struct{}, 1)}
	switch {
	case q.Has("queue") && (r.exchange != "" || r.key != ""), !q.Has("queue") && r.exchange == "":
		return nil, errors.New("the URL has neither queue= nor exchange= with routing-key=, or both")
	case q.Has("queue"):
		r.key = q.Get("queue") // the default exchange has a route of that name to each queue
	}
	if len(r.exchange) > 255 || len(r.key) > 255 {
		return nil, errors.New("a name has at most 255 bytes")
	}
	if u.Scheme == "amqps" {
		if _, err := securityOf(u); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *rabbit) send(ctx context.Context, d *queue.Delivery) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	l, err := r.connected(ctx)
	if err != nil {
		return err
	}
	return l.publish(ctx, r, d)
}

// connected gives the open line, or makes one.
func (r *rabbit) connected(ctx context.Context) (*line, error) {
	select {
	case r.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-r.turn }()
	switch {
	case r.ended:
		return nil, net.ErrClosed
	case r.line != nil && !r.line.conn.IsClosed() && !r.line.channel.IsClosed():
		return r.line, nil
	case time.Now().Before(r.notTill):
		return nil, &delivery.Later{Reason: r.failed.Error(), Wait: time.Until(r.notTill)}
	}
	if r.line != nil {
		r.line.drop()
	}
	r.line, r.failed = r.open(ctx)
	if r.failed != nil {
		r.pause = min(max(2*r.pause, firstRedial), maxRedial)
		r.notTill = time.Now().Add(r.pause)
		return nil, r.failed
	}
	r.pause = 0
	return r.line, nil
}

func (r *rabbit) close() {
	r.turn <- struct{}{}
	defer func() { <-r.turn }()
	r.ended = true
	if r.line != nil {
		r.line.drop()
	}
}

// line is an open channel. One goroutine takes what the broker returns, and tells whether it did: what a
// message is returned by comes before its confirmation.
type line struct {
	conn    *amqp.Connection
	channel *amqp.Channel
	asked   chan question
	blocked atomic.Bool
	done    chan struct{}
}

type question struct {
	id     string
	answer chan string
}

const (
	heartbeat = 10 * time.Second
	// maxFrame bounds what is read and written at once, maxReturned what is kept of messages that came back
	// and that nobody asked about.
	maxFrame    = 128 << 10
	maxReturned = 1000
)

func (r *rabbit) open(ctx context.Context) (*line, error) {
	c := amqp.Config{
		Vhost: strings.TrimPrefix(r.url.Path, "/"), Heartbeat: heartbeat, FrameSize: maxFrame, ChannelMax: 1,
		Properties: amqp.Table{"product": "kura", "connection_name": "kura"},
		Dial: func(network, address string) (net.Conn, error) {
			conn, err := r.dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			deadline, _ := ctx.Deadline()
			return patient{conn}, conn.SetDeadline(deadline) // of the handshakes; the client takes it away after them
		},
	}
	if c.Vhost == "" {
		c.Vhost = "/"
	}
	if err := r.identify(&c); err != nil {
		return nil, err
	}
	bare := url.URL{Scheme: r.url.Scheme, Host: r.url.Host}
	conn, err := amqp.DialConfig(bare.String(), c)
	if err != nil {
		return nil, err
	}
	channel, err := conn.Channel()
	if err == nil {
		err = channel.Confirm(false)
	}
	if err != nil {
		conn.CloseDeadline(time.Now().Add(time.Second))
		return nil, err
	}
	l := &line{conn: conn, channel: channel, asked: make(chan question), done: make(chan struct{})}
	go l.watch(channel.NotifyReturn(make(chan amqp.Return)), conn.NotifyBlocked(make(chan amqp.Blocking, 1)))
	return l, nil
}

// identify fills in how both sides prove who they are.
func (r *rabbit) identify(c *amqp.Config) (err error) {
	if r.url.Scheme == "amqps" {
		if c.TLSClientConfig, err = securityOf(r.url); err != nil {
			return err
		}
	}
	if r.url.User.Username() == "" && r.url.Query().Has("cert") {
		c.SASL = []amqp.Authentication{&amqp.ExternalAuth{}}
		return nil
	}
	password, err := passwordOf(r.url)
	c.SASL = []amqp.Authentication{&amqp.PlainAuth{Username: r.url.User.Username(), Password: password}}
	return err
}

// patient bounds how long a broker may leave a write waiting.
type patient struct{ net.Conn }

func (p patient) Write(b []byte) (int, error) {
	if err := p.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
		return 0, err
	}
	return p.Conn.Write(b)
}

// watch ends when the connection does.
func (l *line) watch(returns chan amqp.Return, blocks chan amqp.Blocking) {
	defer close(l.done)
	returned := map[string]string{}
	for returns != nil {
		select {
		case back, ok := <-returns:
			if !ok {
				returns = nil
			} else if len(returned) < maxReturned {
				returned[back.MessageId] = back.ReplyText
			}
		case b, ok := <-blocks:
			if !ok {
				blocks = nil
			} else {
				l.blocked.Store(b.Active)
			}
		case q := <-l.asked:
			q.answer <- returned[q.id]
			delete(returned, q.id)
		}
	}
}

// whyReturned is "" for a message that was not.
func (l *line) whyReturned(id string) (string, error) {
	q := question{id, make(chan string, 1)}
	select {
	case l.asked <- q:
		return <-q.answer, nil
	case <-l.done:
		return "", amqp.ErrClosed
	}
}

func (l *line) drop() { l.conn.CloseDeadline(time.Now().Add(time.Second)) }

var errBlocked = errors.New("AMQP: the broker takes no messages now")

func (l *line) publish(ctx context.Context, r *rabbit, d *queue.Delivery) error {
	if l.blocked.Load() {
		return errBlocked
	}
	id := fmt.Sprintf("%s.%d", d.EventID, r.number.Add(1))
	id = id[max(0, len(id)-255):] // as long as AMQP takes; returned messages are found by it
	confirmed, err := l.channel.PublishWithDeferredConfirm(r.exchange, r.key, true, false, amqp.Publishing{
		ContentType: "application/json", DeliveryMode: amqp.Persistent, MessageId: id, Timestamp: d.Created.UTC(), AppId: "kura", Body: d.Payload,
	})
	if err != nil {
		l.drop()
		return err
	}
	ack, err := confirmed.WaitContext(ctx)
	if err != nil {
		l.drop() // whether it arrived, nobody knows
		return err
	}
	why, err := l.whyReturned(id)
	switch {
	case err != nil:
		return err
	case !ack:
		return errors.New("AMQP: the broker did not keep the message")
	case why != "":
		return fmt.Errorf("AMQP: no queue gets the message: %.200s", why)
	}
	return nil
}
