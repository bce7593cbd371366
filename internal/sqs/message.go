package sqs

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/kura-s3/kura/internal/engine"
)

// Attribute of a message that its sender set.
type Attribute struct {
	Type   string // "String", "Number", "Binary", with or without a label behind a dot
	String string `json:",omitempty"`
	Binary []byte `json:",omitempty"`
}

// Message is one message.
type Message struct {
	ID         string
	Body       string
	Attributes map[string]Attribute `json:",omitempty"`
	Trace      string               `json:",omitempty"` // AWSTraceHeader
	Sender     string               // the sender's unique id
	// Source is the queue whose dead letter it is.
	Source string `json:",omitempty"`

	// Sent and First are when it was sent and first received, in milliseconds since 1970; Count is how often
	// it was received; Receipt proves the last time.
	Sent, First int64  `json:"-"`
	Count       int64  `json:"-"`
	Receipt     string `json:"-"`
}

// A message is two records: what it is, under its time of sending, which is its own (nanoseconds since
// 1970); and one under the time at which it is visible, by which receivers find it, that says whether
// somebody received it before.

func about(space string, queue uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte(space), queue)
}

func bodyKey(queue uint64, sent int64) []byte {
	return binary.BigEndian.AppendUint64(about(bodyPrefix, queue), uint64(sent))
}

func turnKey(queue uint64, visible, sent int64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(about(turnPrefix, queue), uint64(visible)), uint64(sent))
}

// turn is the value under turnKey.
func (r *stored) turn() []byte {
	if r.count > 0 {
		return turnReceived
	}
	return nil
}

var turnReceived = []byte{1}

// turnOf reads a key of turnKey.
func turnOf(key []byte) (visible, sent int64, ok bool) {
	if len(key) != len(turnPrefix)+24 {
		return 0, 0, false
	}
	key = key[len(turnPrefix)+8:]
	return int64(binary.BigEndian.Uint64(key)), int64(binary.BigEndian.Uint64(key[8:])), true
}

// stored is the first of the records: a header that changes, and the sealed message that does not.
type stored struct {
	visible int64 // nanoseconds since 1970
	first   int64 // milliseconds since 1970, 0: never received
	count   int64
	sealed  []byte
}

const headerSize = 1 + 3*8

func (r *stored) encode() []byte {
	b := make([]byte, 0, headerSize+len(r.sealed))
	b = append(b, format)
	for _, n := range []int64{r.visible, r.first, r.count} {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	return append(b, r.sealed...)
}

func decodeStored(b []byte) (*stored, error) {
	if len(b) < headerSize || b[0] != format {
		return nil, errors.New("sqs: a message of unknown format")
	}
	n := func(i int) int64 { return int64(binary.BigEndian.Uint64(b[1+8*i:])) }
	return &stored{visible: n(0), first: n(1), count: n(2), sealed: b[headerSize:]}, nil
}

// messageContext binds a sealed message to its queue and time of sending.
func messageContext(queue uint64, sent int64) []byte {
	return binary.BigEndian.AppendUint64(about("sqs message\x00", queue), uint64(sent))
}

func (s *Store) seal(queue uint64, sent int64, m *Message) ([]byte, error) {
	raw, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	return s.secrets.SealSecret(messageContext(queue, sent), raw), nil
}

func (s *Store) open(ctx context.Context, queue uint64, sent int64, r *stored) (*Message, error) {
	raw, err := s.secrets.OpenSecret(ctx, messageContext(queue, sent), r.sealed)
	if err != nil {
		return nil, err
	}
	m := new(Message)
	if err := json.Unmarshal(raw, m); err != nil {
		return nil, err
	}
	m.Sent, m.First, m.Count = sent/int64(time.Millisecond), r.first, r.count
	return m, nil
}

// receipt names a message and one time that it was received.
func receipt(queue uint64, sent, count int64) string {
	b := about("", queue)
	b = binary.BigEndian.AppendUint64(b, uint64(sent))
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint64(b, uint64(count)))
}

// received finds the message of q that a receipt is of; nil when it is gone, or somebody else received it
// since.
func (s *Store) received(ctx context.Context, q *Queue, receipt string) (sent int64, r *stored, version engine.Version, err error) {
	raw, err := base64.RawURLEncoding.DecodeString(receipt)
	if err != nil || len(raw) != 24 || binary.BigEndian.Uint64(raw) != q.ID {
		return 0, nil, 0, refuse(InvalidReceipt, "The input receipt handle is invalid.")
	}
	sent = int64(binary.BigEndian.Uint64(raw[8:]))
	value, version, err := s.meta.Get(ctx, bodyKey(q.ID, sent), nil)
	if err != nil || version == 0 {
		return 0, nil, 0, err
	}
	if r, err = decodeStored(value); err != nil {
		return 0, nil, 0, err
	}
	if r.count != int64(binary.BigEndian.Uint64(raw[16:])) {
		return 0, nil, 0, nil
	}
	return sent, r, version, nil
}

var (
	attributeName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,256}$`)
	attributeType = regexp.MustCompile(`^(String|Number|Binary)(\.[A-Za-z0-9_.-]+)?$`)
)

const maxAttributes = 10

// check holds a message to what queues take (SQS API Reference, SendMessage).
func (m *Message) check(q *Queue) error {
	if m.Body == "" {
		return refuse(MissingParameter, "The request must contain the parameter MessageBody.")
	}
	if !utf8.ValidString(m.Body) || strings.ContainsFunc(m.Body, forbidden) {
		return refuse(InvalidContents, "Invalid binary character was found in the message body, the set of allowed characters is #x9 | #xA | #xD | [#x20 to #xD7FF] | [#xE000 to #xFFFD] | [#x10000 to #x10FFFF]")
	}
	if len(m.Attributes) > maxAttributes {
		return refuse(InvalidParameter, "Number of message attributes [%d] exceeds the allowed maximum [%d].", len(m.Attributes), maxAttributes)
	}
	for name, a := range m.Attributes {
		lower := strings.ToLower(name)
		if !attributeName.MatchString(name) || strings.HasPrefix(lower, "aws.") || strings.HasPrefix(lower, "amazon.") || strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".") {
			return refuse(InvalidParameter, "The message attribute name '%s' is invalid.", name)
		}
		if !attributeType.MatchString(a.Type) {
			return refuse(InvalidParameter, "The type of message attribute '%s' is invalid. You must use only the following supported type prefixes: Binary, Number, String.", name)
		}
		if strings.HasPrefix(a.Type, "Binary") && len(a.Binary) == 0 || !strings.HasPrefix(a.Type, "Binary") && a.String == "" {
			return refuse(InvalidParameter, "The message attribute '%s' must contain a non-empty message attribute value.", name)
		}
	}
	if n := int64(m.size()); n > q.MaxSize {
		return refuse(InvalidParameter, "One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", q.MaxSize)
	}
	return nil
}

// forbidden are the characters that XML 1.0 cannot carry.
func forbidden(r rune) bool {
	return r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF
}

func (m *Message) size() int {
	n := len(m.Body)
	for name, a := range m.Attributes {
		n += len(name) + len(a.Type) + len(a.String) + len(a.Binary)
	}
	return n
}

// BodyMD5 is what clients compare.
func (m *Message) BodyMD5() string {
	sum := md5.Sum([]byte(m.Body))
	return hex.EncodeToString(sum[:])
}

// AttributesMD5 is the digest of attributes as the SQS Developer Guide has it ("Calculating the MD5
// message digest for message attributes"), "" for none.
func AttributesMD5(attributes map[string]Attribute) string {
	if len(attributes) == 0 {
		return ""
	}
	var b bytes.Buffer
	field := func(v []byte) {
		b.Write(binary.BigEndian.AppendUint32(nil, uint32(len(v))))
		b.Write(v)
	}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		a := attributes[name]
		field([]byte(name))
		field([]byte(a.Type))
		if strings.HasPrefix(a.Type, "Binary") {
			b.WriteByte(2)
			field(a.Binary)
		} else {
			b.WriteByte(1)
			field([]byte(a.String))
		}
	}
	sum := md5.Sum(b.Bytes())
	return hex.EncodeToString(sum[:])
}

const (
	maxDelay = 900
	maxBatch = 10
)
