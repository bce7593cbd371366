package topic

import (
	"bufio"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	netmail "net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/authz/authztest"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/engine/memory"
	"github.com/kura-s3/kura/internal/event/pattern"
	"github.com/kura-s3/kura/internal/event/queue"
	"github.com/kura-s3/kura/internal/job/delivery"
	"github.com/kura-s3/kura/internal/sns"
	"github.com/kura-s3/kura/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	account = "111122223333"
	arn     = "arn:aws:sns:us-east-1:" + account + ":t"
	dead    = "arn:aws:sqs:us-east-1:" + account + ":dead"
	home    = "https://kura.example:9443"
)

type clear struct{}

func (clear) SealSecret(_, plain []byte) []byte { return plain }
func (clear) OpenSecret(_ context.Context, _, sealed []byte) ([]byte, error) {
	return sealed, nil
}
func (clear) UniqueID(string) (string, bool) { return "", false }

// inbox keeps what arrives inside or by e-mail.
type inbox struct {
	came chan queue.Delivery
}

func (i inbox) Carry(_ context.Context, d *queue.Delivery) error {
	i.came <- *d
	return nil
}

func (i inbox) Send(_ context.Context, to, from, subject, text string) error {
	i.came <- queue.Delivery{Target: to, Cause: from, EventID: subject, Payload: []byte(text)}
	return nil
}

type world struct {
	t      *testing.T
	meta   engine.Meta
	topics *sns.Store
	queue  *queue.Queue
	signer *sns.Signer
	grant  authz.Grant
	topic  *sns.Topic
	inside inbox
	mail   Mailer
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, meta: memory.NewMeta(), inside: inbox{make(chan queue.Delivery, 100)}}
	w.mail = w.inside
	w.open()
	guard := authz.New(authz.Config{Recorder: authztest.Forget{}})
	who := &authz.Subject{Principal: policy.Principal{Type: policy.RootUser, Account: account, ARN: "arn:aws:iam::" + account + ":root", UserID: account, UniqueID: account}}
	var demands []authz.Demand
	for _, action := range []string{"CreateTopic", "Subscribe", "Publish", "ConfirmSubscription", "SetTopicAttributes"} {
		demands = append(demands, authz.Demand{Action: "sns:" + action, Resource: authz.Resource{ARN: arn, Account: account}})
	}
	demands = append(demands, authz.Demand{Action: "sns:Unsubscribe", Resource: authz.Resource{ARN: "*", Account: account}})
	var err error
	if w.grant, err = guard.Decide(t.Context(), &authz.Inquiry{Subject: who, Event: &audit.Event{}}, demands...); err != nil {
		t.Fatal(err)
	}
	if w.topic, err = w.topics.Create(t.Context(), w.grant, account, "t", map[string]string{"DisplayName": "Alarms"}, nil); err != nil {
		t.Fatal(err)
	}
	return w
}

// open opens what is stored, as after a crash.
func (w *world) open() {
	w.t.Helper()
	var err error
	w.topics, err = sns.Open(w.t.Context(), sns.Config{
		Meta: w.meta, Secrets: clear{}, Principals: clear{}, Region: "us-east-1",
		Filters: sns.Filters{Compile: func(text []byte) (sns.Filter, error) { return pattern.Compile(text) }, Decode: pattern.Decode},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if w.queue, err = queue.Open(w.t.Context(), queue.Config{Meta: w.meta, Secrets: clear{}}); err != nil {
		w.t.Fatal(err)
	}
	if w.signer, err = w.topics.Signer(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// run works until stop.
func (w *world) run() (stop func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	log := slog.New(slog.DiscardHandler)
	client := delivery.NewClient((&net.Dialer{}).DialContext)
	var work sync.WaitGroup
	fanOut := NewFanOut(Config{Meta: w.meta, Topics: w.topics, Queue: w.queue, Signer: w.signer, URL: home, Log: log})
	work.Go(func() { fanOut.Run(ctx) })
	courier := delivery.New(delivery.Config{Queue: w.queue, Log: log, Carriers: map[string]delivery.Carrier{
		Kind:  &Carrier{Topics: w.topics, Client: client, Endpoint: func(string, string) error { return nil }, Mail: w.mail, Inside: w.inside},
		"sqs": w.inside,
	}})
	work.Go(func() { courier.Run(ctx) })
	return func() { cancel(); work.Wait(); client.CloseIdleConnections() }
}

func (w *world) subscribe(protocol, endpoint string, owned bool, attributes map[string]string) *sns.Subscription {
	w.t.Helper()
	sub, err := w.topics.Subscribe(w.t.Context(), w.grant, w.topic, sns.Subscribing{
		Account: account, Protocol: protocol, Endpoint: endpoint, Owned: owned, Attributes: attributes,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return sub
}

func (w *world) publish(m *sns.Message) {
	w.t.Helper()
	if err := w.topics.Publish(w.t.Context(), w.grant, w.topic, m); err != nil {
		w.t.Fatal(err)
	}
}

func next[T any](t *testing.T, from chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(time.Minute):
		t.Fatal("nothing came")
	}
	return v
}

// request is what an endpoint got.
type request struct {
	header http.Header
	body   string
}

func endpoint(t *testing.T, status ...int) (url string, got chan request) {
	t.Helper()
	got = make(chan request, 100)
	n := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		answer := 200
		if n < len(status) {
			answer = status[n]
		}
		n++
		w.WriteHeader(answer)
		got <- request{r.Header, string(raw)}
	}))
	t.Cleanup(s.Close)
	return s.URL, got
}

// verify checks a message as AWS tells receivers to ("Verifying the signatures of Amazon SNS messages").
func verify(t *testing.T, w *world, body string) map[string]string {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	names := []string{"Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"}
	if m["Type"] != "Notification" {
		names = []string{"Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"}
	}
	text := ""
	for _, name := range names {
		if v, ok := m[name].(string); ok {
			text += name + "\n" + v + "\n"
		}
	}
	name, raw := w.signer.Certificate()
	if m["SigningCertURL"] != home+CertificatePath(name) {
		t.Errorf("%v", m["SigningCertURL"])
	}
	block, _ := pem.Decode(raw)
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := base64.StdEncoding.DecodeString(m["Signature"].(string))
	if err != nil {
		t.Fatal(err)
	}
	hash, sum := crypto.SHA1, sha1.New()
	if m["SignatureVersion"] == "2" {
		hash, sum = crypto.SHA256, sha256.New()
	}
	io.WriteString(sum, text)
	if err := rsa.VerifyPKCS1v15(certificate.PublicKey.(*rsa.PublicKey), hash, sum.Sum(nil), signature); err != nil {
		t.Errorf("%s: %v", body, err)
	}
	out := map[string]string{}
	for k, v := range m {
		if s, ok := v.(string); ok {
			out[k] = s
		}
	}
	return out
}

// TestHTTP is the life of a subscription by HTTP.
func TestHTTP(t *testing.T) {
	w := newWorld(t)
	url, got := endpoint(t)
	defer w.run()()
	sub := w.subscribe("http", url, false, nil)
	r := next(t, got)
	m := verify(t, w, r.body)
	if r.header.Get("X-Amz-Sns-Message-Type") != "SubscriptionConfirmation" || r.header.Get("Content-Type") != "text/plain; charset=UTF-8" ||
		r.header.Get("X-Amz-Sns-Subscription-Arn") != "" || m["SubscribeURL"] != home+"/?Action=ConfirmSubscription&TopicArn=arn%3Aaws%3Asns%3Aus-east-1%3A111122223333%3At&Token="+m["Token"] {
		t.Errorf("%v %v", r.header, m)
	}
	if _, err := w.topics.Confirm(t.Context(), w.grant, w.topic, m["Token"], false, false); err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"1", "2"} {
		if err := w.topics.SetAttribute(t.Context(), w.grant, w.topic, "SignatureVersion", version); err != nil {
			t.Fatal(err)
		}
		message := &sns.Message{Body: "hello <b> & \"ü\"\n", Subject: "S", Attributes: map[string]sns.Attribute{"n": {Type: "Number", String: "5"}, "b": {Type: "Binary", Binary: []byte{1}}}}
		w.publish(message)
		r = next(t, got)
		m = verify(t, w, r.body)
		h := r.header
		if m["SignatureVersion"] != version || m["Message"] != message.Body || m["MessageId"] != message.ID || h.Get("X-Amz-Sns-Message-Id") != message.ID ||
			h.Get("X-Amz-Sns-Topic-Arn") != arn || h.Get("X-Amz-Sns-Subscription-Arn") != sub.ARN() || !strings.Contains(r.body, `"Value": "AQ=="`) ||
			!strings.HasPrefix(m["UnsubscribeURL"], home+"/?Action=Unsubscribe&SubscriptionArn=arn%3A") {
			t.Errorf("%v %s", h, r.body)
		}
	}
	w.publish(&sns.Message{Body: "no subject"})
	if m = verify(t, w, next(t, got).body); m["Subject"] != "" {
		t.Errorf("%v", m)
	}
}

func TestRawAndItsDeadLetter(t *testing.T) {
	w := newWorld(t)
	url, got := endpoint(t, 200, 200, 500, 404)
	defer w.run()()
	w.subscribe("http", url, false, map[string]string{
		"RawMessageDelivery": "true", "RedrivePolicy": `{"deadLetterTargetArn":"` + dead + `"}`,
		"DeliveryPolicy": `{"healthyRetryPolicy":{"numRetries":3,"numNoDelayRetries":3},"requestPolicy":{"headerContentType":"application/json"}}`,
	})
	m := verify(t, w, next(t, got).body) // a question has its envelope
	if _, err := w.topics.Confirm(t.Context(), w.grant, w.topic, m["Token"], false, false); err != nil {
		t.Fatal(err)
	}
	w.publish(&sns.Message{Body: `{"default":"all","http":"{\"for\":\"http\"}"}`, Structure: map[string]string{"http": `{"for":"http"}`}})
	if r := next(t, got); r.body != `{"for":"http"}` || r.header.Get("X-Amz-Sns-Rawdelivery") != "true" || r.header.Get("Content-Type") != "application/json" {
		t.Errorf("%+v", r)
	}
	w.publish(&sns.Message{Body: "lost"})
	next(t, got) // 500: at once again
	next(t, got) // 404: final
	letter := next(t, w.inside.came)
	if letter.Target != dead || string(letter.Payload) != "lost" || letter.Cause != arn || letter.Account != account {
		t.Errorf("%+v", letter)
	}
}

// TestQueuesAndFunctions: what goes inside goes in the topic's name.
func TestQueuesAndFunctions(t *testing.T) {
	w := newWorld(t)
	queueARN, functionARN := "arn:aws:sqs:us-east-1:"+account+":q", "arn:aws:lambda:us-east-1:"+account+":function:f"
	w.subscribe("sqs", queueARN, true, map[string]string{"RawMessageDelivery": "true"})
	w.subscribe("lambda", functionARN, true, nil)
	defer w.run()()
	w.publish(&sns.Message{Body: "x", Attributes: map[string]sns.Attribute{"a": {Type: "String", String: "v"}}})
	for range 2 {
		d := next(t, w.inside.came)
		switch d.Target {
		case queueARN:
			if string(d.Payload) != "x" || d.Cause != arn || string(d.Options) != `{"MessageAttributes":{"a":{"DataType":"String","StringValue":"v"}}}` {
				t.Errorf("%+v %s", d, d.Options)
			}
		case functionARN:
			var e struct {
				Records []struct {
					EventSource string
					Sns         struct {
						Message           string
						MessageAttributes map[string]struct{ Type, Value string }
					}
				}
			}
			if err := json.Unmarshal(d.Payload, &e); err != nil || len(e.Records) != 1 || e.Records[0].EventSource != "aws:sns" ||
				e.Records[0].Sns.Message != "x" || e.Records[0].Sns.MessageAttributes["a"].Value != "v" {
				t.Errorf("%s %v", d.Payload, err)
			}
		default:
			t.Errorf("%+v", d)
		}
	}
}

// TestWhatWaitsArrivesAfterACrash: published and not handed on; handed on and not delivered.
func TestWhatWaitsArrivesAfterACrash(t *testing.T) {
	w := newWorld(t)
	w.subscribe("sqs", "arn:aws:sqs:us-east-1:"+account+":q", true, map[string]string{"RawMessageDelivery": "true"})
	for i := range 50 {
		w.publish(&sns.Message{Body: fmt.Sprint(i)})
	}
	f := NewFanOut(Config{Meta: w.meta, Topics: w.topics, Queue: w.queue, Signer: w.signer, URL: home, Log: slog.New(slog.DiscardHandler)})
	if _, err := f.step(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.open()
	if waiting := w.topics.Count().Waiting; waiting != 30 || w.queue.Waiting() != 20 {
		t.Fatalf("%d, %d", waiting, w.queue.Waiting())
	}
	defer w.run()()
	seen := map[string]bool{}
	for range 50 {
		seen[string(next(t, w.inside.came).Payload)] = true
	}
	if len(seen) != 50 {
		t.Errorf("%d of 50", len(seen))
	}
}

// TestWhoEndedGetsNothing: not even what was on its way.
func TestWhoEndedGetsNothing(t *testing.T) {
	w := newWorld(t)
	gone := w.subscribe("sqs", "arn:aws:sqs:us-east-1:"+account+":gone", true, nil)
	w.publish(&sns.Message{Body: "x"})
	f := NewFanOut(Config{Meta: w.meta, Topics: w.topics, Queue: w.queue, Signer: w.signer, URL: home, Log: slog.New(slog.DiscardHandler)})
	if _, err := f.step(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := w.topics.Unsubscribe(t.Context(), w.grant, gone.ARN()); err != nil {
		t.Fatal(err)
	}
	w.subscribe("sqs", "arn:aws:sqs:us-east-1:"+account+":there", true, nil)
	defer w.run()()
	w.publish(&sns.Message{Body: "y"})
	if d := next(t, w.inside.came); !strings.HasSuffix(d.Target, ":there") {
		t.Errorf("%+v", d)
	}
}

func TestMailTexts(t *testing.T) {
	w := newWorld(t)
	defer w.run()()
	w.subscribe("email", "me@example.com", false, nil)
	d := next(t, w.inside.came)
	link := home + "/?Action=ConfirmSubscription&TopicArn="
	if d.Target != "me@example.com" || d.Cause != "Alarms" || d.EventID != "AWS Notification - Subscription Confirmation" || !strings.Contains(string(d.Payload), link) {
		t.Errorf("%+v %s", d, d.Payload)
	}
	_, token, _ := strings.Cut(string(d.Payload), "&Token=")
	token, _, _ = strings.Cut(token, "\n")
	if _, err := w.topics.Confirm(t.Context(), w.grant, w.topic, token, false, false); err != nil {
		t.Fatal(err)
	}
	w.publish(&sns.Message{Body: "the disk is full", Subject: "Alarm"})
	if d = next(t, w.inside.came); d.EventID != "Alarm" || !strings.HasPrefix(string(d.Payload), "the disk is full\n") || !strings.Contains(string(d.Payload), "Action=Unsubscribe") {
		t.Errorf("%+v %s", d, d.Payload)
	}
}

// mailServer takes mails as RFC 5321 has it, and tells of each.
func mailServer(t *testing.T, answer string) (address string, mails chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return mailServerOn(t, l, answer)
}

func mailServerOn(t *testing.T, l net.Listener, answer string) (address string, mails chan string) {
	t.Helper()
	mails = make(chan string, 10)
	var serving sync.WaitGroup
	t.Cleanup(func() { l.Close(); serving.Wait() })
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { converse(conn, answer, mails) })
		}
	})
	return l.Addr().String(), mails
}

func converse(conn net.Conn, answer string, mails chan string) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	var said strings.Builder
	fmt.Fprint(conn, "220 mail.example\r\n")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		word, _, _ := strings.Cut(strings.TrimSpace(strings.ToUpper(line)), " ")
		switch word {
		case "EHLO", "HELO":
			fmt.Fprint(conn, "250-mail.example\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN\r\n")
		case "AUTH":
			if line != "AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00u\x00p"))+"\r\n" {
				fmt.Fprint(conn, "535 no\r\n")
				continue
			}
			fmt.Fprint(conn, "235 welcome\r\n")
		case "DATA":
			fmt.Fprint(conn, "354 go on\r\n")
			for {
				line, err := in.ReadString('\n')
				if err != nil || line == ".\r\n" {
					break
				}
				said.WriteString(line)
			}
			mails <- said.String()
			fmt.Fprint(conn, "250 taken\r\n")
		case "RCPT":
			said.WriteString(line)
			fmt.Fprint(conn, answer+"\r\n")
		case "QUIT":
			fmt.Fprint(conn, "221 bye\r\n")
			return
		default:
			said.WriteString(line)
			fmt.Fprint(conn, "250 ok\r\n")
		}
	}
}

func smtp(t *testing.T, server string) *SMTP {
	t.Helper()
	s, err := NewSMTP(SMTPConfig{Server: server, From: "kura@example.com", TLS: TLSNone, Dial: (&net.Dialer{}).DialContext})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestMailsHaveTheHeadersThatWeGaveThem: no text makes another header or another receiver.
func TestMailsHaveTheHeadersThatWeGaveThem(t *testing.T) {
	address, mails := mailServer(t, "250 ok")
	evil := "x\r\nBcc: victim@example.com\r\n\r\nbody"
	if err := smtp(t, address).Send(t.Context(), "me@example.com", evil, evil, "a\r\n.\r\nRCPT TO:<victim@example.com>\r\nüber\r\n"); err != nil {
		t.Fatal(err)
	}
	text := next(t, mails)
	head, body, _ := strings.Cut(text, "\r\n\r\n")
	for line := range strings.Lines(head) {
		if upper := strings.ToUpper(line); strings.HasPrefix(upper, "BCC:") || strings.HasPrefix(upper, "RCPT") && !strings.Contains(line, "me@example.com") {
			t.Errorf("%q", line)
		}
	}
	if !strings.Contains(head, "To: <me@example.com>") || !strings.Contains(head, "Auto-Submitted: auto-generated") || !strings.Contains(body, "RCPT TO") {
		t.Errorf("%s", text)
	}
	// What a topic calls itself is a name, whatever it says.
	for _, name := range []string{`Build "prod"`, `a\`, `x" <boss@example.com>, "y`} {
		if err := smtp(t, address).Send(t.Context(), "me@example.com", name, "s", "b"); err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		head, _, _ := strings.Cut(next(t, mails), "\r\n\r\n")
		_, line, _ := strings.Cut(head, "From: ")
		line, _, _ = strings.Cut(line, "\r\n")
		if from, err := netmail.ParseAddress(line); err != nil || from.Name != name || from.Address != "kura@example.com" {
			t.Errorf("%q: %q, %v", name, line, err)
		}
	}
	for _, bad := range []string{"", "me", "a@b\r\nBcc: c@d", "a@b, c@d", "Me <me@example.com>", `"a b"@example.com`, strings.Repeat("a", 400) + "@example.com"} {
		if CheckAddress(bad) == nil {
			t.Errorf("%q is an address", bad)
		}
	}
}

func TestWhatAMailServerRefuses(t *testing.T) {
	var refused *delivery.Refused
	address, _ := mailServer(t, "550 no such user")
	if err := smtp(t, address).Send(t.Context(), "me@example.com", "Kura", "s", "b"); !errors.As(err, &refused) {
		t.Errorf("550: %v", err)
	}
	address, _ = mailServer(t, "451 come again")
	if err := smtp(t, address).Send(t.Context(), "me@example.com", "Kura", "s", "b"); err == nil || errors.As(err, &refused) {
		t.Errorf("451: %v", err)
	}
	// A server that does not speak TLS gets nothing where TLS is asked for.
	address, mails := mailServer(t, "250 ok")
	s, err := NewSMTP(SMTPConfig{Server: address, From: "kura@example.com", TLS: TLSStart, User: "u", Password: "p", Dial: (&net.Dialer{}).DialContext})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Send(t.Context(), "me@example.com", "Kura", "s", "b"); err == nil || len(mails) > 0 {
		t.Errorf("without TLS: %v", err)
	}
	if _, err := NewSMTP(SMTPConfig{Server: address, From: "kura@example.com", TLS: TLSNone, User: "u", Password: "p"}); err == nil {
		t.Error("a password in the clear")
	}
}

func TestMailUnderTLSWithAPassword(t *testing.T) {
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	certificates, pool := s.TLS.Certificates, x509.NewCertPool()
	pool.AddCert(s.Certificate())
	s.Close()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: certificates})
	if err != nil {
		t.Fatal(err)
	}
	address, mails := mailServerOn(t, l, "250 ok")
	c := SMTPConfig{Server: address, From: "kura@example.com", TLS: TLSDirect, User: "u", Password: "p", Authorities: pool, Dial: (&net.Dialer{}).DialContext}
	sender, err := NewSMTP(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := sender.Send(t.Context(), "me@example.com", "Kura", "s", "b"); err != nil {
		t.Fatal(err)
	}
	next(t, mails)
	c.Authorities = x509.NewCertPool()
	if sender, err = NewSMTP(c); err != nil {
		t.Fatal(err)
	}
	if err := sender.Send(t.Context(), "me@example.com", "Kura", "s", "b"); err == nil || len(mails) > 0 {
		t.Errorf("to anybody: %v", err)
	}
}

func TestWhichAnswersAreFinal(t *testing.T) {
	for status, final := range map[int]bool{200: false, 204: false, 302: false, 400: true, 401: true, 403: true, 404: true, 408: false, 410: true, 429: false, 500: false, 503: false} {
		r := httptest.NewRecorder()
		r.WriteHeader(status)
		err := delivery.JudgeBy(r.Result(), again)
		var refused *delivery.Refused
		if (err == nil) != (status < 300) || errors.As(err, &refused) != final {
			t.Errorf("%d: %v", status, err)
		}
	}
}
