package notify

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/event/queue"
	"github.com/kura-s3/kura/internal/feed"
	"github.com/kura-s3/kura/internal/job/delivery"
	"github.com/kura-s3/kura/internal/object"
	"github.com/kura-s3/kura/policy"
)

var bucket = &object.Bucket{Name: "b", ID: 1, Owner: object.Owner{Account: "111122223333"}}

func entry() *feed.Entry {
	return &feed.Entry{
		Kind: feed.Object, Time: time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC), RequestID: "REQ", SourceIP: "198.51.100.7",
		Actor: policy.Principal{Type: policy.IAMUser, Account: "111122223333", UserID: "AIDAEXAMPLE"},
	}
}

func TestTheMessageIsS3s(t *testing.T) {
	raw, err := message("us-east-1", bucket, "cfg", entry(), &object.Change{Event: "ObjectCreated:Put", Bucket: "b", Key: "red flower/ü+.jpg", Size: 1024, ETag: "e", Sequencer: "01", VersionID: "null"})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"us-east-1","eventTime":"2026-01-02T03:04:05.678Z",` +
		`"eventName":"ObjectCreated:Put","userIdentity":{"principalId":"AWS:AIDAEXAMPLE"},"requestParameters":{"sourceIPAddress":"198.51.100.7"},` +
		`"responseElements":{"x-amz-request-id":"REQ"},"s3":{"s3SchemaVersion":"1.0","configurationId":"cfg","bucket":{"name":"b",` +
		`"ownerIdentity":{"principalId":"111122223333"},"arn":"arn:aws:s3:::b"},"object":{"key":"red+flower/%C3%BC%2B.jpg","size":1024,"eTag":"e","sequencer":"01"}}}]}`
	if string(raw) != want {
		t.Errorf("%s\nwant\n%s", raw, want)
	}
}

func TestWhatEachEventTells(t *testing.T) {
	for _, c := range []struct{ event, version, object string }{
		{"ObjectCreated:Put", "2.1", `{"key":"k","size":0,"eTag":"e","versionId":"v","sequencer":"01"}`},
		{"ObjectRemoved:Delete", "2.1", `{"key":"k","versionId":"v","sequencer":"01"}`},
		{"ObjectRemoved:DeleteMarkerCreated", "2.1", `{"key":"k","eTag":"d41d8cd98f00b204e9800998ecf8427e","versionId":"v","sequencer":"01"}`},
		{"LifecycleExpiration:Delete", "2.3", `{"key":"k","versionId":"v","sequencer":"01"}`},
		{"ObjectTagging:Put", "2.3", `{"key":"k","eTag":"e","versionId":"v"}`},
		{"Replication:OperationFailedReplication", "2.2", `{"key":"k","size":0,"eTag":"e","versionId":"v","sequencer":"01"}`},
	} {
		marker := strings.HasSuffix(c.event, "DeleteMarkerCreated")
		raw, err := message("us-east-1", bucket, "cfg", entry(), &object.Change{Event: c.event, Bucket: "b", Key: "k", ETag: "e", Sequencer: "01", VersionID: "v", Versioned: true, DeleteMarker: marker})
		var m messages
		if err := errors.Join(err, json.Unmarshal(raw, &m)); err != nil {
			t.Fatal(err)
		}
		got, _ := json.Marshal(m.Records[0].S3.Object)
		if m.Records[0].EventVersion != c.version || string(got) != c.object {
			t.Errorf("%s: %s %s", c.event, m.Records[0].EventVersion, got)
		}
	}
}

func TestTheEventOfEventBridge(t *testing.T) {
	ev, ok := bridged("us-east-1", bucket, entry(), &object.Change{Event: "ObjectRemoved:Delete", Bucket: "b", Key: "a b", Sequencer: "01", VersionID: "v", Versioned: true})
	want := `{"version":"0","bucket":{"name":"b"},"object":{"key":"a b","version-id":"v","sequencer":"01"},"request-id":"REQ","requester":"111122223333","source-ip-address":"198.51.100.7","reason":"DeleteObject","deletion-type":"Permanently Deleted"}`
	if !ok || ev.DetailType != "Object Deleted" || ev.Source != "aws.s3" || string(ev.Detail) != want {
		t.Errorf("%v %+v %s", ok, ev, ev.Detail)
	}
	if _, ok := bridged("us-east-1", bucket, entry(), &object.Change{Event: "ObjectLock:Put"}); ok {
		t.Error("S3 has no event for a changed lock")
	}
}

// served is a server of one conversation.
func served(t *testing.T, talk func(net.Conn, *bufio.Reader) string) (address string, said chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	said = make(chan string, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		said <- talk(conn, bufio.NewReader(conn))
	}()
	return l.Addr().String(), said
}

// carry sends a payload to the target with that URL.
func carry(t *testing.T, url, payload string) error {
	t.Helper()
	targets, err := NewTargets("us-east-1", (&net.Dialer{}).DialContext, map[string]string{"hook": url})
	if err != nil {
		t.Fatal(err)
	}
	return targets.Carry(t.Context(), &queue.Delivery{Target: "arn:aws:sns:us-east-1:111122223333:hook", Account: "111122223333", Payload: []byte(payload)})
}

func TestNATS(t *testing.T) {
	address, said := served(t, func(conn net.Conn, in *bufio.Reader) string {
		fmt.Fprint(conn, "INFO {\"server_id\":\"x\"}\r\n")
		connect, _ := in.ReadString('\n')
		pub, _ := in.ReadString('\n')
		var n int
		fmt.Sscanf(pub, "PUB s3.events %d", &n)
		body := make([]byte, n+2)
		io.ReadFull(in, body)
		if ping, _ := in.ReadString('\n'); ping == "PING\r\n" {
			fmt.Fprint(conn, "PONG\r\n")
		}
		return connect + string(body)
	})
	if err := carry(t, "nats://me:secret@"+address+"/s3.events", "hello"); err != nil {
		t.Fatal(err)
	}
	if got := <-said; !strings.Contains(got, `"user":"me"`) || !strings.HasSuffix(got, "hello\r\n") {
		t.Errorf("%q", got)
	}
	address, _ = served(t, func(conn net.Conn, in *bufio.Reader) string {
		fmt.Fprint(conn, "INFO {}\r\n")
		in.ReadString('\n')
		fmt.Fprint(conn, "-ERR 'Authorization Violation'\r\n")
		io.Copy(io.Discard, in)
		return ""
	})
	if err := carry(t, "nats://"+address+"/s", "x"); err == nil || !strings.Contains(err.Error(), "Authorization") {
		t.Errorf("a refusal: %v", err)
	}
}

func TestRedis(t *testing.T) {
	address, said := served(t, func(conn net.Conn, in *bufio.Reader) string {
		var all []string
		for range 3 {
			line, _ := in.ReadString('\n')
			n, _ := strconv.Atoi(strings.TrimSpace(line[1:]))
			var words []string
			for range n {
				size, _ := in.ReadString('\n')
				length, _ := strconv.Atoi(strings.TrimSpace(size[1:]))
				word := make([]byte, length+2)
				io.ReadFull(in, word)
				words = append(words, string(word[:length]))
			}
			all = append(all, strings.Join(words, " "))
			fmt.Fprint(conn, "+OK\r\n")
		}
		return strings.Join(all, "|")
	})
	if err := carry(t, "redis://:secret@"+address+"/2?list=events", "hello\r\n there"); err != nil {
		t.Fatal(err)
	}
	if got := <-said; got != "AUTH secret|SELECT 2|RPUSH events hello\r\n there" {
		t.Errorf("%q", got)
	}
	address, _ = served(t, func(conn net.Conn, in *bufio.Reader) string {
		in.ReadString('\n')
		fmt.Fprint(conn, "-NOAUTH Authentication required.\r\n")
		io.Copy(io.Discard, in)
		return ""
	})
	if err := carry(t, "redis://"+address+"?list=x", "x"); err == nil || !strings.Contains(err.Error(), "NOAUTH") {
		t.Errorf("a refusal: %v", err)
	}
}

func TestWebhook(t *testing.T) {
	status := http.StatusOK
	var body string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		body = string(raw)
		w.WriteHeader(status)
	}))
	defer s.Close()
	if err := carry(t, s.URL, "hello"); err != nil || body != "hello" {
		t.Errorf("%q %v", body, err)
	}
	status = http.StatusNotFound
	var refused *delivery.Refused
	if err := carry(t, s.URL, "hello"); !errors.As(err, &refused) {
		t.Errorf("404: %v", err)
	}
	status = http.StatusBadGateway
	if err := carry(t, s.URL, "hello"); err == nil || errors.As(err, &refused) {
		t.Errorf("502: %v", err)
	}
}

func TestWhoMaySendWhere(t *testing.T) {
	targets, err := NewTargets("us-east-1", (&net.Dialer{}).DialContext, map[string]string{"hook": "https://example.com"})
	if err != nil {
		t.Fatal(err)
	}
	for arn, want := range map[string]string{
		"arn:aws:sns:us-east-1:111122223333:hook":             "",
		"arn:aws:lambda:us-east-1:111122223333:function:hook": "",
		"arn:aws:sns:us-east-1:111122223333:other":            "The destination topic does not exist",
		"arn:aws:sns:us-east-1:999999999999:hook":             "The destination topic does not exist",
		"arn:aws:sns:eu-west-1:111122223333:hook":             "The notification destination service region is not valid for the bucket location constraint",
	} {
		if got := targets.check(t.Context(), bucket, &object.NotificationRule{Kind: object.NotifyTopic, ARN: arn}); got != want {
			t.Errorf("%s: %q", arn, got)
		}
	}
	var refused *delivery.Refused
	err = targets.Carry(context.Background(), &queue.Delivery{Target: "arn:aws:sns:us-east-1:111122223333:hook", Account: "999999999999"})
	if !errors.As(err, &refused) {
		t.Errorf("another account's delivery: %v", err)
	}
	for _, bad := range []string{"ftp://x", "hook", "https://", "kafka://x", "amqp://x"} {
		if _, err := NewTargets("us-east-1", nil, map[string]string{"x": bad}); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
}
