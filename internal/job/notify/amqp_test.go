package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/kura-s3/kura/internal/event/queue"
	"github.com/kura-s3/kura/internal/job/delivery"
)

func amqpTarget(t *testing.T, url string) broker {
	t.Helper()
	targets, err := NewTargets("us-east-1", (&net.Dialer{}).DialContext, map[string]string{"hook": url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(targets.Close)
	return targets.brokers["hook"]
}

func message1(payload string) *queue.Delivery {
	return &queue.Delivery{EventID: "REQ", Payload: []byte(payload), Created: time.Unix(1_700_000_000, 0)}
}

func TestAMQP(t *testing.T) {
	f := newBroker(t, nil)
	b := amqpTarget(t, "amqp://me:secret@"+f.address+"/house?exchange=events&routing-key=s3")
	for _, m := range []string{"one", "two", ""} {
		if err := b.send(t.Context(), message1(m)); err != nil {
			t.Fatal(err)
		}
	}
	got := f.log()
	want := "PLAIN \x00me\x00secret|house|events s3 mandatory persistent one|events s3 mandatory persistent two|events s3 mandatory persistent "
	if got != want {
		t.Errorf("%q\nwant\n%q", got, want)
	}
}

func TestAMQPWhatTheBrokerDoesNotKeep(t *testing.T) {
	f := newBroker(t, nil)
	b := amqpTarget(t, "amqp://"+f.address+"?queue=jobs")
	var refused *delivery.Refused
	for payload, want := range map[string]string{"return": "NO_ROUTE", "nack": "did not keep"} {
		if err := b.send(t.Context(), message1(payload)); err == nil || !strings.Contains(err.Error(), want) || errors.As(err, &refused) {
			t.Errorf("%s: %v", payload, err)
		}
	}
	// What came back of one message says nothing of the next.
	if err := b.send(t.Context(), message1("x")); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := b.send(ctx, message1("silence")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("no confirmation: %v", err)
	}
	if err := b.send(t.Context(), message1("x")); err != nil {
		t.Errorf("a new connection: %v", err)
	}
	if err := b.send(t.Context(), message1("close")); err == nil {
		t.Error("a channel that the broker closed (no such exchange)")
	}
	if err := b.send(t.Context(), message1("x")); err != nil {
		t.Errorf("after it: %v", err)
	}
}

// Who cannot be reached is not dialled by each delivery that waits.
func TestAMQPPausesBetweenDials(t *testing.T) {
	dials := 0
	targets, err := NewTargets("us-east-1", func(context.Context, string, string) (net.Conn, error) {
		dials++
		return nil, errors.New("no --allow-target holds it")
	}, map[string]string{"hook": "amqp://me:secret@198.51.100.1?queue=q"})
	if err != nil {
		t.Fatal(err)
	}
	var later *delivery.Later
	for i := range 20 {
		err := targets.brokers["hook"].send(t.Context(), message1("x"))
		if err == nil || !strings.Contains(err.Error(), "allow-target") || strings.Contains(err.Error(), "secret") || i > 0 && !errors.As(err, &later) {
			t.Fatal(err)
		}
	}
	if dials != 1 {
		t.Errorf("%d dials", dials)
	}
	targets.Close()
	if err := targets.brokers["hook"].send(t.Context(), message1("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestAMQPOverTLS(t *testing.T) {
	pair, ca := certificate(t)
	f := newBroker(t, &tls.Config{Certificates: []tls.Certificate{pair}})
	if err := amqpTarget(t, "amqps://me:secret@"+f.address+"?queue=q&ca="+ca).send(t.Context(), message1("x")); err != nil {
		t.Error(err)
	}
	f = newBroker(t, &tls.Config{Certificates: []tls.Certificate{pair}})
	if err := amqpTarget(t, "amqps://me:secret@"+f.address+"?queue=q").send(t.Context(), message1("x")); err == nil || f.log() != "" {
		t.Errorf("a broker that nobody knows: %v", err)
	}
	f = newBroker(t, &tls.Config{Certificates: []tls.Certificate{pair}})
	_, port, _ := net.SplitHostPort(f.address)
	if err := amqpTarget(t, "amqps://me:secret@localhost:"+port+"?queue=q&ca="+ca).send(t.Context(), message1("x")); err == nil || f.log() != "" {
		t.Errorf("another name than the certificate's: %v", err)
	}
}

func TestAMQPURLs(t *testing.T) {
	for _, bad := range []string{
		"amqp://h", "amqp://h?exchange=e&queue=q", "amqp://h?routing-key=k", "amqp://h?queue=", "amqp://h?queue=q&x=1", "amqp://h?queue=q&ca=/x",
		"amqps://h?queue=q&ca=/nothere", "amqp://h?queue=q&queue=r", "amqp://h?queue=" + strings.Repeat("q", 256),
	} {
		if _, err := NewTargets("us-east-1", nil, map[string]string{"x": bad}); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
}

// TestRabbitMQ publishes to a real broker, with the management of its default virtual host in this test's
// hands: KURA_TEST_AMQP=amqp://guest:guest@127.0.0.1:5672.
func TestRabbitMQ(t *testing.T) {
	at := os.Getenv("KURA_TEST_AMQP")
	if at == "" {
		t.Skip("=== SKIPPED: KURA_TEST_AMQP names no RabbitMQ; the fake broker above has to do")
	}
	conn, err := amqp.Dial(at)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	channel, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	const name = "kura-test"
	b := amqpTarget(t, at+"?queue="+name)
	channel.QueueDelete(name, false, false, false)
	if err := b.send(t.Context(), message1("x")); err == nil || !strings.Contains(err.Error(), "NO_ROUTE") {
		t.Errorf("no queue: %v", err)
	}
	if _, err := channel.QueueDeclare(name, true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	defer channel.QueueDelete(name, false, false, false)
	for i := range 100 {
		if err := b.send(t.Context(), message1(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 100 {
		m, ok, err := channel.Get(name, true)
		if err != nil || !ok || string(m.Body) != fmt.Sprint(i) || m.DeliveryMode != amqp.Persistent {
			t.Fatalf("%d: %q %v %v", i, m.Body, ok, err)
		}
	}
	if err := amqpTarget(t, at+"?exchange=not-there&routing-key=k").send(t.Context(), message1("x")); err == nil {
		t.Error("no such exchange")
	}
	if err := amqpTarget(t, strings.Replace(at, "guest@", "wrong@", 1)+"?queue=q").send(t.Context(), message1("x")); err == nil {
		t.Error("a wrong password")
	}
}
