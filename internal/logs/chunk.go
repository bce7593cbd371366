package logs

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/seal"
)

// A chunk is what one request put into a stream, within one span of time. Its times are in its key, so that
// a search opens none in vain.
type chunk struct {
	stream      uint64
	first, last int64
	sequence    uint64
}

func (c *chunk) bodyKey(group uint64) []byte {
	return key(bodyPrefix, group, uint64(c.first), c.sequence, c.stream, uint64(c.last))
}

func (c *chunk) forthKey(group uint64) []byte {
	return key(forthPrefix, group, c.stream, uint64(c.first), c.sequence, uint64(c.last))
}

func (c *chunk) backKey(group uint64) []byte {
	return key(backPrefix, group, c.stream, ^uint64(c.last), ^c.sequence, uint64(c.first))
}

func (c *chunk) add(b *engine.Batch, group uint64, body []byte) {
	b.Require(c.bodyKey(group), 0)
	b.Set(c.bodyKey(group), body)
	b.Set(c.forthKey(group), nil)
	b.Set(c.backKey(group), nil)
}

func (c *chunk) remove(b *engine.Batch, group uint64) {
	b.Delete(c.bodyKey(group))
	b.Delete(c.forthKey(group))
	b.Delete(c.backKey(group))
}

var errChunk = errors.New("logs: a chunk of unknown form")

func bodyChunk(k []byte) (chunk, error) {
	n, ok := numbersOf(k, bodyPrefix, 5)
	if !ok {
		return chunk{}, errChunk
	}
	return chunk{first: int64(n[1]), sequence: n[2], stream: n[3], last: int64(n[4])}, nil
}

func forthChunk(k []byte) (chunk, error) {
	n, ok := numbersOf(k, forthPrefix, 5)
	if !ok {
		return chunk{}, errChunk
	}
	return chunk{stream: n[1], first: int64(n[2]), sequence: n[3], last: int64(n[4])}, nil
}

func backChunk(k []byte) (chunk, error) {
	n, ok := numbersOf(k, backPrefix, 5)
	if !ok {
		return chunk{}, errChunk
	}
	return chunk{stream: n[1], last: int64(^n[2]), sequence: ^n[3], first: int64(n[4])}, nil
}

// The body of a chunk: format (1 byte), the number of the group's data key that seals it (4 bytes, 0: the
// store's own), the bytes that its events count for (8), their number (4), when they came in (8, milliseconds),
// the length of the text that is compressed (4), then that, sealed.
const bodyHead = 1 + 4 + 8 + 4 + 8 + 4

type body struct {
	key       uint32
	bytes     int64
	count     uint32
	ingestion int64
	length    uint32
	sealed    []byte
}

func decodeBody(b []byte) (*body, error) {
	if len(b) < bodyHead || b[0] != format {
		return nil, errChunk
	}
	u32, u64 := binary.BigEndian.Uint32, binary.BigEndian.Uint64
	return &body{
		key: u32(b[1:]), bytes: int64(u64(b[5:])), count: u32(b[13:]), ingestion: int64(u64(b[17:])), length: u32(b[25:]), sealed: b[bodyHead:],
	}, nil
}

// chunkContext binds a sealed chunk to its place.
func (c *chunk) context(group uint64) []byte {
	return append([]byte("logs chunk\x00"), c.bodyKey(group)...)
}

var deflaters = sync.Pool{New: func() any {
	w, _ := flate.NewWriter(io.Discard, flate.BestSpeed)
	return w
}}

// pack writes the events of one span.
func (s *Store) pack(ctx context.Context, in *Group, c *chunk, events []Input, now int64) ([]byte, error) {
	var text []byte
	for i := range events {
		text = binary.AppendUvarint(text, uint64(events[i].Time-c.first))
		text = binary.AppendUvarint(text, uint64(len(events[i].Message)))
		text = append(text, events[i].Message...)
	}
	var small bytes.Buffer
	w := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(w)
	w.Reset(&small)
	w.Write(text)
	w.Close()

	number := uint32(0)
	if in.Key != "" {
		number = uint32(len(in.DataKeys))
	}
	head := append(make([]byte, 0, bodyHead+small.Len()+128), format)
	head = binary.BigEndian.AppendUint32(head, number)
	head = binary.BigEndian.AppendUint64(head, uint64(sizeOf(events)))
	head = binary.BigEndian.AppendUint32(head, uint32(len(events)))
	head = binary.BigEndian.AppendUint64(head, uint64(now))
	head = binary.BigEndian.AppendUint32(head, uint32(len(text)))
	about := append(c.context(in.ID), head...)
	if number == 0 {
		return append(head, s.secrets.SealSecret(about, small.Bytes())...), nil
	}
	w2, err := s.dataKey(ctx, in, number)
	if err != nil {
		return nil, err
	}
	return w2.Wrap(head, about, small.Bytes()), nil
}

// unpack tells do of every event of a chunk. The message is valid during the call alone.
func (s *Store) unpack(ctx context.Context, in *Group, c *chunk, raw []byte, do func(at Position, ingestion int64, message []byte)) error {
	b, err := decodeBody(raw)
	if err != nil {
		return err
	}
	about := append(c.context(in.ID), raw[:bodyHead]...)
	var small []byte
	if b.key == 0 {
		small, err = s.secrets.OpenSecret(ctx, about, b.sealed)
	} else {
		var w *seal.Wrapper
		if w, err = s.dataKey(ctx, in, b.key); err == nil {
			small, err = w.Unwrap(nil, about, b.sealed)
		}
	}
	if err != nil {
		return err
	}
	text := make([]byte, b.length)
	if _, err := io.ReadFull(flate.NewReader(bytes.NewReader(small)), text); err != nil {
		return errChunk
	}
	for i := range b.count {
		after, n := binary.Uvarint(text)
		if n <= 0 {
			return errChunk
		}
		size, m := binary.Uvarint(text[n:])
		if m <= 0 || size > uint64(len(text)-n-m) {
			return errChunk
		}
		message := text[n+m:][:size]
		text = text[n+m+int(size):]
		do(Position{c.first + int64(after), c.sequence, i}, b.ingestion, message)
	}
	return nil
}
