package topic

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"

	"github.com/kura-s3/kura/internal/sns"
)

// messageTime is the form of times in messages.
const messageTime = "2006-01-02T15:04:05.000Z"

// writer writes what receivers get.
type writer struct {
	signer *sns.Signer
	url    string
}

// letter is one message as it goes to several receivers.
type letter struct {
	*writer
	out    *sns.Outgoing
	signed map[string]signed // by the version that was asked for, and the body
}

type signed struct{ version, signature string }

func (w *writer) letter(o *sns.Outgoing) *letter {
	return &letter{writer: w, out: o, signed: map[string]signed{}}
}

func topicAccount(arn string) string {
	if f := strings.Split(arn, ":"); len(f) > 4 {
		return f[4]
	}
	return ""
}

// CertificatePath is where the server shows the certificate of that name.
func CertificatePath(name string) string { return "/-/sns/" + name }

func (w *writer) certificateURL() string {
	name, _ := w.signer.Certificate()
	return w.url + CertificatePath(name)
}

// link is a call that takes no signature.
func (w *writer) link(action string, parameters ...string) string {
	text := w.url + "/?Action=" + action
	for i := 0; i < len(parameters); i += 2 {
		text += "&" + parameters[i] + "=" + url.QueryEscape(parameters[i+1])
	}
	return text
}

// envelope is a message as SNS writes it ("Parsing message formats").
type envelope struct {
	Type, MessageID  string `json:"-"`
	Token            string `json:",omitempty"`
	TopicArn         string
	Subject          string `json:",omitempty"`
	Message          string
	SubscribeURL     string `json:",omitempty"`
	Timestamp        string
	SignatureVersion string
	Signature        string
	SigningCertURL   string
	UnsubscribeURL   string               `json:",omitempty"`
	Attributes       map[string]attribute `json:"MessageAttributes,omitempty"`
}

// first are the members that come first.
type first struct {
	Type      string
	MessageID string `json:"MessageId"`
	*envelope
}

type attribute struct {
	Type  string
	Value string
}

func shown(attributes map[string]sns.Attribute) map[string]attribute {
	out := map[string]attribute{}
	for name, a := range attributes {
		value := a.String
		if a.Binary != nil {
			value = base64.StdEncoding.EncodeToString(a.Binary)
		}
		out[name] = attribute{a.Type, value}
	}
	return out
}

// raw tells whether a receiver gets the message without an envelope; questions have one always.
func (l *letter) raw(to *sns.Receiver) bool { return to.Raw && l.out.Kind == sns.Notification }

// payload is what a receiver gets.
func (l *letter) payload(to *sns.Receiver) ([]byte, error) {
	if l.raw(to) {
		return []byte(l.out.Message.For(to.Protocol)), nil
	}
	e, err := l.envelope(to)
	if err != nil {
		return nil, err
	}
	switch to.Protocol {
	case "email":
		return []byte(e.mail()), nil
	case "lambda":
		return l.records(e, to)
	}
	return text(first{e.Type, e.MessageID, e})
}

// text is v as JSON, with its lines indented and < and > as they are.
func text(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

func (l *letter) envelope(to *sns.Receiver) (*envelope, error) {
	m := &l.out.Message
	e := &envelope{
		Type: l.out.Kind, MessageID: m.ID, TopicArn: l.out.Topic, Subject: m.Subject, Message: m.For(to.Protocol),
		Timestamp: m.Time.UTC().Format(messageTime), SignatureVersion: to.SignatureVersion, SigningCertURL: l.certificateURL(),
	}
	if l.out.Kind == sns.Notification {
		e.UnsubscribeURL = l.link("Unsubscribe", "SubscriptionArn", to.ARN())
		if len(m.Attributes) > 0 {
			e.Attributes = shown(m.Attributes)
		}
	} else {
		e.Token = m.Token
		e.SubscribeURL = l.link("ConfirmSubscription", "TopicArn", l.out.Topic, "Token", m.Token)
	}
	return e, l.sign(e)
}

// sign signs e, once for all receivers of the same body. Where SHA-1 is forbidden (FIPS 140-3), by version 2.
func (l *letter) sign(e *envelope) (err error) {
	id := e.SignatureVersion + "\x00" + e.Message
	if s, ok := l.signed[id]; ok {
		e.SignatureVersion, e.Signature = s.version, s.signature
		return nil
	}
	e.Signature, err = l.signer.Sign(e.SignatureVersion, e.signedFields()...)
	if err != nil && e.SignatureVersion == "1" {
		e.SignatureVersion = "2"
		e.Signature, err = l.signer.Sign(e.SignatureVersion, e.signedFields()...)
	}
	l.signed[id] = signed{e.SignatureVersion, e.Signature}
	return err
}

// signedFields are the names and values that a signature covers.
func (e *envelope) signedFields() []string {
	fields := []string{"Message", e.Message, "MessageId", e.MessageID}
	if e.Type == sns.Notification {
		if e.Subject != "" {
			fields = append(fields, "Subject", e.Subject)
		}
	} else {
		fields = append(fields, "SubscribeURL", e.SubscribeURL)
	}
	fields = append(fields, "Timestamp", e.Timestamp)
	if e.Type != sns.Notification {
		fields = append(fields, "Token", e.Token)
	}
	return append(fields, "TopicArn", e.TopicArn, "Type", e.Type)
}

// records is the event of functions (Lambda Developer Guide, "Using AWS Lambda with Amazon SNS").
func (l *letter) records(e *envelope, to *sns.Receiver) ([]byte, error) {
	type message struct {
		Type              string
		MessageID         string `json:"MessageId"`
		Token             string `json:",omitempty"`
		TopicArn          string
		Subject           *string
		Message           string
		SubscribeURL      string `json:"SubscribeUrl,omitempty"`
		Timestamp         string
		SignatureVersion  string
		Signature         string
		SigningCertURL    string `json:"SigningCertUrl"`
		UnsubscribeURL    string `json:"UnsubscribeUrl"`
		MessageAttributes map[string]attribute
	}
	type record struct {
		EventSource, EventVersion, EventSubscriptionArn string
		Sns                                             message
	}
	var subject *string
	if e.Subject != "" {
		subject = &e.Subject
	}
	return text(struct{ Records []record }{[]record{{
		EventSource: "aws:sns", EventVersion: "1.0", EventSubscriptionArn: to.ARN(),
		Sns: message{
			Type: e.Type, MessageID: e.MessageID, Token: e.Token, TopicArn: e.TopicArn, Subject: subject, Message: e.Message, SubscribeURL: e.SubscribeURL,
			Timestamp: e.Timestamp, SignatureVersion: e.SignatureVersion, Signature: e.Signature, SigningCertURL: e.SigningCertURL,
			UnsubscribeURL: e.UnsubscribeURL, MessageAttributes: shown(l.out.Message.Attributes),
		},
	}}})
}

// mail is the text of an e-mail.
func (e *envelope) mail() string {
	switch e.Type {
	case sns.Confirmation:
		return "You have chosen to subscribe to the topic:\n" + e.TopicArn + "\n\nTo confirm this subscription, visit the link below. If you do not want it, ignore this message: " +
			"nothing will be sent to you.\n" + e.SubscribeURL + "\n"
	case sns.End:
		return "Your subscription to the topic below has been deactivated:\n" + e.TopicArn + "\n\nIf that was not you, visit this link to subscribe again:\n" + e.SubscribeURL + "\n"
	}
	return plain(e.Message) + "\n\n--\nIf you wish to stop receiving notifications from this topic, visit the link below.\n" + e.UnsubscribeURL + "\n"
}

// plain is a message as people read it: a rule's input transformer makes of a text a JSON string.
func plain(message string) string {
	var s string
	if strings.HasPrefix(message, `"`) && json.Unmarshal([]byte(message), &s) == nil {
		return s
	}
	return message
}

// subject of an e-mail whose message has none: of a text that a rule made its first line.
func subject(message string) string {
	if s := plain(message); s != message {
		line, _, _ := strings.Cut(s, "\n")
		if r := []rune(line); len(r) > maxSubject {
			line = string(r[:maxSubject])
		}
		return line
	}
	return ""
}

const maxSubject = 100

// subjects of e-mails that have none.
var subjects = map[string]string{
	sns.Notification: "AWS Notification Message", sns.Confirmation: "AWS Notification - Subscription Confirmation",
	sns.End: "AWS Notification - Unsubscribe Confirmation",
}
