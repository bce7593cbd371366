//go:build kafka

package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kura-s3/kura/internal/event/queue"
	"github.com/kura-s3/kura/internal/job/delivery"
)

func cluster(t *testing.T, options ...kfake.Opt) (*kfake.Cluster, string) {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(3), kfake.SeedTopics(4, "events")}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, c.ListenAddrs()[0]
}

func kafkaTarget(t *testing.T, url string, dial delivery.Dial) *Targets {
	t.Helper()
	targets, err := NewTargets("us-east-1", dial, map[string]string{"hook": url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(targets.Close)
	return targets
}

func sendTo(t *testing.T, targets *Targets, order, payload string) error {
	t.Helper()
	return targets.Carry(t.Context(), &queue.Delivery{
		Target: "arn:aws:sns:us-east-1:111122223333:hook", Account: "111122223333", Order: order, Payload: []byte(payload),
	})
}

// read gives n records of the topic as KEY=VALUE by partition.
func read(t *testing.T, n int, options ...kgo.Opt) map[int32][]string {
	t.Helper()
	client, err := kgo.NewClient(append(options, kgo.ConsumeTopics("events"))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	got := map[int32][]string{}
	for n > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		for _, r := range fetches.Records() {
			got[r.Partition] = append(got[r.Partition], string(r.Key)+"="+string(r.Value))
			n--
		}
	}
	return got
}

func TestKafkaKeepsTheOrderOfAKey(t *testing.T) {
	_, seed := cluster(t)
	targets := kafkaTarget(t, "kafka://"+seed+"/events", (&net.Dialer{}).DialContext)
	for _, m := range []string{"1", "2", "3"} {
		for _, key := range []string{"b/x", "b/y"} {
			if err := sendTo(t, targets, key, m); err != nil {
				t.Fatal(err)
			}
		}
	}
	var all []string
	for _, records := range read(t, 6, kgo.SeedBrokers(seed)) {
		all = append(all, records...)
	}
	for _, key := range []string{"b/x", "b/y"} {
		order := ""
		for _, r := range all {
			if value, ok := strings.CutPrefix(r, key+"="); ok {
				order += value
			}
		}
		if order != "123" {
			t.Errorf("%s: %s", key, order)
		}
	}
}

func TestKafkaOverTLSWithAPassword(t *testing.T) {
	pair, ca := certificate(t)
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		_, seed := cluster(t, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pair}}), kfake.EnableSASL(), kfake.Superuser(mechanism, "me", "secret"))
		password := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(password, []byte("secret\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		url := "tls+kafka://me@" + seed + "/events?sasl=" + mechanism + "&password-file=" + password
		if err := sendTo(t, kafkaTarget(t, url+"&ca="+ca, (&net.Dialer{}).DialContext), "k", "hello"); err != nil {
			t.Errorf("%s: %v", mechanism, err)
		}
	}
}

// A broker that cannot prove who it is, or does not know the password, gets nothing, and the delivery is
// tried again.
func TestKafkaRefusals(t *testing.T) {
	pair, ca := certificate(t)
	c, seed := cluster(t, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pair}}), kfake.EnableSASL(), kfake.Superuser("PLAIN", "me", "secret"))
	produced := false
	c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		produced = true
		return nil, nil, false
	})
	short := func(targets *Targets) error {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		return targets.brokers["hook"].send(ctx, &queue.Delivery{Payload: []byte("x")})
	}
	var refused *delivery.Refused
	for _, url := range []string{
		"tls+kafka://me:secret@" + seed + "/events?sasl=plain",
		"tls+kafka://me:wrong@" + seed + "/events?sasl=plain&ca=" + ca,
		"tls+kafka://" + seed + "/events?ca=" + ca,
		"kafka://" + seed + "/events",
	} {
		if err := short(kafkaTarget(t, url, (&net.Dialer{}).DialContext)); err == nil || errors.As(err, &refused) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", url, err)
		}
	}
	closed := errors.New("no --allow-target holds it")
	err := short(kafkaTarget(t, "tls+kafka://me:secret@"+seed+"/events?sasl=plain&ca="+ca, func(context.Context, string, string) (net.Conn, error) { return nil, closed }))
	if err == nil || produced {
		t.Errorf("around the dialler: %v %v", err, produced)
	}
}

func TestKafkaGivesUpOnlyWhatNeverFits(t *testing.T) {
	c, seed := cluster(t)
	answer := func(code int16) {
		c.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
			request, _ := r.(*kmsg.ProduceRequest)
			response, _ := request.ResponseKind().(*kmsg.ProduceResponse)
			for _, topic := range request.Topics {
				rt := kmsg.NewProduceResponseTopic()
				rt.Topic, rt.TopicID = topic.Topic, topic.TopicID
				for _, p := range topic.Partitions {
					rp := kmsg.NewProduceResponseTopicPartition()
					rp.Partition, rp.ErrorCode = p.Partition, code
					rt.Partitions = append(rt.Partitions, rp)
				}
				response.Topics = append(response.Topics, rt)
			}
			return response, nil, true
		})
	}
	targets := kafkaTarget(t, "kafka://"+seed+"/events", (&net.Dialer{}).DialContext)
	var refused *delivery.Refused
	answer(kerr.MessageTooLarge.Code)
	if err := sendTo(t, targets, "k", "x"); !errors.As(err, &refused) {
		t.Errorf("too large: %v", err)
	}
	answer(kerr.TopicAuthorizationFailed.Code)
	if err := sendTo(t, targets, "k", "x"); err == nil || errors.As(err, &refused) {
		t.Errorf("no right yet: %v", err)
	}
	answer(kerr.NotEnoughReplicas.Code) // and then they are there: the client itself tries again
	if err := sendTo(t, targets, "k", "x"); err != nil {
		t.Errorf("a replica that was away: %v", err)
	}
	if err := sendTo(t, kafkaTarget(t, "kafka://"+seed+"/nothere", (&net.Dialer{}).DialContext), "k", "x"); err == nil || errors.As(err, &refused) {
		t.Errorf("a topic that is not there: %v", err)
	}
}

func TestKafkaURLs(t *testing.T) {
	for _, bad := range []string{
		"kafka://h", "kafka://h/a/b", "kafka://h/t?x=1", "kafka://me:p@h/t?sasl=PLAIN", "kafka://me:p@h/t?sasl=GSSAPI", "kafka://h/t?sasl=PLAIN",
		"kafka://h/t?ca=/x", "tls+kafka://h/t?ca=/nothere", "tls+kafka://h/t?cert=/x", "tls+kafka://me:p@h/t?password-file=/x",
	} {
		if _, err := NewTargets("us-east-1", nil, map[string]string{"x": bad}); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
}
