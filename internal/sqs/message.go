package sqs

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/fault"
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
// 1970); and an empty one under the time at which it is visible, by which receivers find it.

func about(space string, queue uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte(space), queue)
}

func bodyKey(queue uint64, sent int64) []byte {
	return binary.BigEndian.AppendUint64(about(bodyPrefix, queue), uint64(sent))
}

func turnKey(queue uint64, visible, sent int64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(about(turnPrefix, queue), uint64(visible)), uint64(sent))
}

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

// Sending is one message to send.
type Sending struct {
	Message Message
	Delay   *int32 // nil: the queue's
}

// Send sends messages, all or none, and needs sqs:SendMessage. It fills in their ids. It returns when they
// are durable.
func (s *Store) Send(ctx context.Context, g authz.Grant, q *Queue, sendings ...*Sending) error {
	if err := g.Require("sqs:SendMessage", s.ARN(q)); err != nil {
		return err
	}
	for _, x := range sendings {
		if err := x.check(q); err != nil {
			return err
		}
		x.Message.ID, x.Message.Sender = newID(), g.Principal().UserID
	}
	ctx = context.WithoutCancel(ctx)
	for range sendAttempts {
		err := s.send(ctx, q, sendings)
		if !errors.Is(err, engine.ErrConflict) {
			return err
		}
		// The queue was changed, or the clock gave a time that it had given before a restart.
		now, err := s.Queue(q.Account, q.Name)
		if err != nil {
			return err
		}
		if now.ID != q.ID {
			return refuse(NoQueue, "The specified queue does not exist.")
		}
		q = now
	}
	return refuse(Busy, "The queue is being changed by somebody else.")
}

const sendAttempts = 8

func (s *Store) send(ctx context.Context, q *Queue, sendings []*Sending) error {
	var b engine.Batch
	// The queue must not be deleted meanwhile: what is sent would never be found.
	b.Require(queueKey(q.Account, q.Name), q.version)
	for _, x := range sendings {
		sent := s.unique()
		sealed, err := s.seal(q.ID, sent, &x.Message)
		if err != nil {
			return err
		}
		r := stored{visible: sent + x.delay(q)*int64(time.Second), sealed: sealed}
		b.Require(bodyKey(q.ID, sent), 0)
		b.Set(bodyKey(q.ID, sent), r.encode())
		b.Set(turnKey(q.ID, r.visible, sent), nil)
	}
	if err := s.meta.Commit(ctx, &b); err != nil {
		return err
	}
	s.state(q.ID).wake()
	return nil
}

func (x *Sending) delay(q *Queue) int64 {
	if x.Delay != nil {
		return int64(*x.Delay)
	}
	return q.Delay
}

func (x *Sending) check(q *Queue) error {
	if d := x.delay(q); d < 0 || d > maxDelay {
		return refuse(InvalidParameter, "Value %d for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900.", d)
	}
	return x.Message.check(q)
}

// newID is a random UUID (RFC 9562, version 4).
func newID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Receiving is what a receiver asks for.
type Receiving struct {
	Max        int    // 1 to 10
	Visibility *int32 // seconds; nil: the queue's
	Wait       *int32 // seconds; nil: the queue's
}

const (
	maxWait       = 20
	maxVisibility = 43200
)

// Receive takes up to Max messages, which nobody else gets for the visibility timeout. It needs
// sqs:ReceiveMessage. Where there is none it waits.
func (s *Store) Receive(ctx context.Context, g authz.Grant, q *Queue, r Receiving) ([]*Message, error) {
	if err := g.Require("sqs:ReceiveMessage", s.ARN(q)); err != nil {
		return nil, err
	}
	visibility, wait := q.Visibility, q.Wait
	if r.Visibility != nil {
		visibility = int64(*r.Visibility)
	}
	if r.Wait != nil {
		wait = int64(*r.Wait)
	}
	switch {
	case r.Max < 1 || r.Max > maxBatch:
		return nil, refuse(InvalidParameter, "Value %d for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided.", r.Max)
	case visibility < 0 || visibility > maxVisibility:
		return nil, refuse(InvalidParameter, "Value %d for parameter VisibilityTimeout is invalid. Reason: Must be >= 0 and <= 43200, if provided.", visibility)
	case wait < 0 || wait > maxWait:
		return nil, refuse(InvalidParameter, "Value %d for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20, if provided.", wait)
	}
	end := time.NewTimer(time.Duration(wait) * time.Second)
	defer end.Stop()
	st := s.state(q.ID)
	for {
		came := st.waiting()
		got, next, err := s.receive(ctx, q, r.Max, time.Duration(visibility)*time.Second)
		if err != nil || len(got) > 0 || wait == 0 && next > 0 {
			return got, err
		}
		soon := time.NewTimer(next)
		select {
		case <-came:
		case <-soon.C:
		case <-end.C:
			wait = 0 // a last look
		case <-ctx.Done():
			soon.Stop()
			return nil, ctx.Err()
		}
		soon.Stop()
		if _, err := s.Queue(q.Account, q.Name); err != nil {
			return nil, err
		}
	}
}

// receiveSlice bounds the messages that one commit takes out of turn, dead letters and expired ones too.
const receiveSlice = 64

// receive takes what is visible; next is how long it is until something may be, 0 when there was more to
// look at.
func (s *Store) receive(ctx context.Context, q *Queue, most int, visibility time.Duration) (got []*Message, next time.Duration, err error) {
	st := s.state(q.ID)
	st.receiving.Lock()
	defer st.receiving.Unlock()
	lo := about(turnPrefix, q.ID)
	it, err := s.meta.Scan(ctx, lo, engine.PrefixEnd(lo))
	if err != nil {
		return nil, 0, err
	}
	defer it.Close()
	next = maxWait * time.Second
	now := s.now().UnixNano()
	b := engine.Batch{Lazy: true} // what a crash takes back is received again
	looked := 0
	for ; len(got) < most && looked < receiveSlice && it.Next(); looked++ {
		visible, sent, ok := turnOf(it.Key())
		if !ok {
			return nil, 0, fmt.Errorf("sqs: record %q", it.Key())
		}
		if visible > now {
			next = min(next, time.Duration(visible-now))
			break
		}
		b.Delete(bytes.Clone(it.Key()))
		m, err := s.take(ctx, &b, q, sent, now, visibility)
		if err != nil {
			return nil, 0, err
		}
		if m != nil {
			got = append(got, m)
		}
	}
	if err := it.Err(); err != nil {
		return nil, 0, err
	}
	if len(b.Writes) == 0 {
		return nil, next, nil
	}
	err = s.meta.Commit(context.WithoutCancel(ctx), &b)
	if errors.Is(err, engine.ErrConflict) { // one of them was deleted meanwhile
		return nil, time.Millisecond, nil
	}
	if looked == receiveSlice {
		next = 0
	}
	return got, next, err
}

// take gives the message to its receiver until the timeout, or moves it to the dead-letter queue, or deletes
// it when its time has ended; then nil is returned.
func (s *Store) take(ctx context.Context, b *engine.Batch, q *Queue, sent, now int64, visibility time.Duration) (*Message, error) {
	key := bodyKey(q.ID, sent)
	value, version, err := s.meta.Get(ctx, key, nil)
	if err != nil || version == 0 {
		return nil, err
	}
	r, err := decodeStored(value)
	if err != nil {
		return nil, err
	}
	b.Require(key, version)
	if sent+q.Retention*int64(time.Second) <= now {
		b.Delete(key)
		return nil, nil
	}
	r.visible = now + int64(visibility)
	r.count++
	if r.first == 0 {
		r.first = now / int64(time.Millisecond)
	}
	m, err := s.open(ctx, q.ID, sent, r)
	if err != nil {
		return nil, err
	}
	if dead := s.deadLetters(q, m); dead != nil {
		b.Delete(key)
		return nil, s.bury(b, q, dead, sent, now, m)
	}
	b.Set(key, r.encode())
	b.Set(turnKey(q.ID, r.visible, sent), nil)
	m.Receipt = receipt(q.ID, sent, r.count)
	return m, nil
}

// bury puts m of q into its dead-letter queue. It keeps its time of sending, by which it will be deleted.
func (s *Store) bury(b *engine.Batch, q, dead *Queue, sent, now int64, m *Message) error {
	m.Source = s.ARN(q)
	sealed, err := s.seal(dead.ID, sent, m)
	if err != nil {
		return err
	}
	r := stored{visible: now, sealed: sealed}
	b.Require(queueKey(dead.Account, dead.Name), dead.version) // or nobody would ever find it
	b.Set(bodyKey(dead.ID, sent), r.encode())
	b.Set(turnKey(dead.ID, now, sent), nil)
	b.Lazy = false
	s.state(dead.ID).wake()
	return nil
}

// deadLetters is the queue that m goes to because it was received too often; nil when it does not.
func (s *Store) deadLetters(q *Queue, m *Message) *Queue {
	if q.DeadLetter == "" || m.Count <= q.MaxReceives {
		return nil
	}
	dead, err := s.ByARN(q.DeadLetter)
	if err != nil {
		return nil
	}
	return dead
}

// Remove deletes a received message and needs sqs:DeleteMessage. One that is gone is no error; one that was
// received again by somebody else stays theirs.
func (s *Store) Remove(ctx context.Context, g authz.Grant, q *Queue, receipt string) error {
	if err := g.Require("sqs:DeleteMessage", s.ARN(q)); err != nil {
		return err
	}
	sent, r, version, err := s.received(ctx, q, receipt)
	if err != nil || r == nil {
		return err
	}
	var b engine.Batch
	b.Require(bodyKey(q.ID, sent), version)
	b.Delete(bodyKey(q.ID, sent))
	b.Delete(turnKey(q.ID, r.visible, sent))
	err = s.commit(ctx, &b)
	if fault.Is(err, Busy) { // received by somebody else at this moment
		return nil
	}
	return err
}

// SetVisibility sets how long from now a received message stays with its receiver, in seconds. It needs
// sqs:ChangeMessageVisibility.
func (s *Store) SetVisibility(ctx context.Context, g authz.Grant, q *Queue, receipt string, seconds int32) error {
	if err := g.Require("sqs:ChangeMessageVisibility", s.ARN(q)); err != nil {
		return err
	}
	if seconds < 0 || seconds > maxVisibility {
		return refuse(InvalidParameter, "Value %d for parameter VisibilityTimeout is invalid. Reason: VisibilityTimeout must be an integer between 0 and 43200.", seconds)
	}
	sent, r, version, err := s.received(ctx, q, receipt)
	if err != nil {
		return err
	}
	now := s.now().UnixNano()
	if r == nil || r.visible <= now {
		return refuse(NotInFlight, "The message referred to isn't in flight.")
	}
	var b engine.Batch
	b.Require(bodyKey(q.ID, sent), version)
	b.Delete(turnKey(q.ID, r.visible, sent))
	r.visible = now + int64(seconds)*int64(time.Second)
	b.Set(bodyKey(q.ID, sent), r.encode())
	b.Set(turnKey(q.ID, r.visible, sent), nil)
	if err := s.commit(ctx, &b); err != nil {
		return err
	}
	s.state(q.ID).wake()
	return nil
}

// Purge deletes all messages of a queue and needs sqs:PurgeQueue.
func (s *Store) Purge(ctx context.Context, g authz.Grant, q *Queue) error {
	if err := g.Require("sqs:PurgeQueue", s.ARN(q)); err != nil {
		return err
	}
	st := s.state(q.ID)
	st.mu.Lock()
	recent := !st.purged.IsZero() && s.now().Sub(st.purged) < purgePause
	if !recent {
		st.purged = s.now()
	}
	st.mu.Unlock()
	if recent {
		return refuse(PurgeInProgress, "Only one PurgeQueue operation on %s is allowed every 60 seconds.", q.Name)
	}
	var b engine.Batch
	empty(&b, q.ID)
	return s.commit(ctx, &b)
}

// empty deletes every message of a queue with b.
func empty(b *engine.Batch, queue uint64) {
	for _, space := range []string{bodyPrefix, turnPrefix} {
		lo := about(space, queue)
		b.DeleteRange(lo, engine.PrefixEnd(lo))
	}
}

// Counts of a queue, approximately: messages that can be received, that are with a receiver, and that are
// not visible yet for the first time. It needs sqs:GetQueueAttributes.
type Counts struct{ Visible, InFlight, Delayed int64 }

// maxCounted bounds what is looked at to count.
const maxCounted = 200000

// Count needs sqs:GetQueueAttributes.
func (s *Store) Count(ctx context.Context, g authz.Grant, q *Queue) (c Counts, err error) {
	if err := g.Require("sqs:GetQueueAttributes", s.ARN(q)); err != nil {
		return c, err
	}
	lo := about(bodyPrefix, q.ID)
	it, err := s.meta.Scan(ctx, lo, engine.PrefixEnd(lo))
	if err != nil {
		return c, err
	}
	defer it.Close()
	now := s.now().UnixNano()
	for n := 0; n < maxCounted && it.Next(); n++ {
		r, err := decodeStored(it.Value())
		switch {
		case err != nil:
			return c, err
		case r.visible <= now:
			c.Visible++
		case r.count > 0:
			c.InFlight++
		default:
			c.Delayed++
		}
	}
	return c, it.Err()
}

// sweepSlice is how many messages are deleted in one commit.
const sweepSlice = 1000

// Sweep deletes messages whose time of retention has ended. The app calls it now and then: nobody may be
// receiving.
func (s *Store) Sweep(ctx context.Context) error {
	for _, q := range *s.queues.Load() {
		for {
			more, err := s.sweep(ctx, q)
			if err != nil {
				return err
			}
			if !more {
				break
			}
		}
	}
	return nil
}

func (s *Store) sweep(ctx context.Context, q *Queue) (more bool, err error) {
	end := s.now().UnixNano() - q.Retention*int64(time.Second)
	it, err := s.meta.Scan(ctx, about(bodyPrefix, q.ID), bodyKey(q.ID, end))
	if err != nil {
		return false, err
	}
	defer it.Close()
	var b engine.Batch
	for n := 0; n < sweepSlice && it.Next(); n++ {
		key := bytes.Clone(it.Key())
		r, err := decodeStored(it.Value())
		if err != nil {
			return false, err
		}
		b.Require(key, it.Version())
		b.Delete(key)
		b.Delete(turnKey(q.ID, r.visible, int64(binary.BigEndian.Uint64(key[len(key)-8:]))))
		more = n == sweepSlice-1
	}
	if err := it.Err(); err != nil || len(b.Writes) == 0 {
		return false, err
	}
	err = s.meta.Commit(ctx, &b)
	if errors.Is(err, engine.ErrConflict) {
		return false, nil // the next time
	}
	return more, err
}
