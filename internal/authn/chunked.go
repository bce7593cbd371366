package authn

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/kura-s3/kura/internal/fault"
)

const (
	// minChunk is the smallest chunk that may be followed by another one.
	minChunk = 8 << 10
	// maxChunkLine bounds a chunk header: 16 digits and a signature need 97 bytes.
	maxChunkLine = 128
	// maxTrailerLine bounds a trailer: its name and a checksum in base64.
	maxTrailerLine = 512
	// chunkBuffer holds the lines; data goes around it when the reader's buffer is larger.
	chunkBuffer = 16 << 10

	trailerSignature = "x-amz-trailer-signature"
)

// chunkSigner follows the chain of signatures of a body: each is made over the one before it.
type chunkSigner struct {
	key      *signingKey
	scope    string // "\n<time>\n<scope>\n", the middle of every string to sign
	previous [signatureLen]byte
	hash     hash.Hash // of the data of the chunk under way
	msg      []byte
}

func newChunkSigner(key *signingKey, amzDate, scopeText, seed string) *chunkSigner {
	s := &chunkSigner{key: key, scope: "\n" + amzDate + "\n" + scopeText + "\n", hash: hashes.Get().(hash.Hash)}
	s.hash.Reset()
	copy(s.previous[:], seed)
	return s
}

// chunk tells whether signature is that of the data hashed since the last one.
func (s *chunkSigner) chunk(signature string) bool {
	var sum [sha256.Size]byte
	s.start("AWS4-HMAC-SHA256-PAYLOAD")
	s.msg = append(s.msg, emptySHA256+"\n"...)
	s.msg = hex.AppendEncode(s.msg, s.hash.Sum(sum[:0]))
	s.hash.Reset()
	return s.check(signature)
}

// trailer tells whether signature is that of the trailer lines ("name:value\n").
func (s *chunkSigner) trailer(lines []byte, signature string) bool {
	sum := sha256.Sum256(lines)
	s.start("AWS4-HMAC-SHA256-TRAILER")
	s.msg = hex.AppendEncode(s.msg, sum[:])
	return s.check(signature)
}

func (s *chunkSigner) start(algorithm string) {
	s.msg = append(append(s.msg[:0], algorithm...), s.scope...)
	s.msg = append(append(s.msg, s.previous[:]...), '\n')
}

func (s *chunkSigner) check(signature string) bool {
	ok := s.key.verify(s.msg, signature)
	copy(s.previous[:], signature)
	return ok
}

// chunkReader takes an aws-chunked body out of its frames. It gives io.EOF only after the last
// chunk, the trailer and the end of the body were all as announced.
type chunkReader struct {
	src         *bufio.Reader
	sig         *chunkSigner // nil: chunks are not signed
	signature   string       // of the chunk under way
	remain      int64        // of the chunk under way
	left        int64        // decoded bytes not yet announced by a chunk
	chunk       int64        // number of the chunk under way, from 1
	small       int64        // size of a chunk that only the end may follow, else 0
	hasTrailer  bool
	trailerName string

	trailerValue string
	err          error
}

var chunkBuffers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, chunkBuffer) }}

func newChunkReader(body io.Reader, decoded int64, hasTrailer bool, trailerName string) *chunkReader {
	src := chunkBuffers.Get().(*bufio.Reader)
	src.Reset(body)
	return &chunkReader{src: src, left: decoded, hasTrailer: hasTrailer, trailerName: trailerName}
}

// Read gives the data of the chunks. Data of a chunk comes before its signature was compared: what
// is read counts only once io.EOF was seen.
func (c *chunkReader) Read(p []byte) (int, error) {
	if c.err != nil || len(p) == 0 {
		return 0, c.err
	}
	n, err := c.read(p)
	if err != nil {
		c.err = err
		c.src.Reset(nil)
		chunkBuffers.Put(c.src)
		c.src = nil
		if c.sig != nil {
			hashes.Put(c.sig.hash)
			c.sig = nil
		}
	}
	return n, err
}

func (c *chunkReader) read(p []byte) (int, error) {
	if c.remain == 0 {
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	n, err := c.src.Read(p[:min(int64(len(p)), c.remain)])
	c.remain -= int64(n)
	if c.sig != nil {
		c.sig.hash.Write(p[:n])
	}
	if err != nil {
		return n, ended(err)
	}
	if c.remain == 0 {
		err = c.endOfChunk()
	}
	return n, err
}

// next reads a chunk header. At the last chunk it reads all that follows too, and gives io.EOF.
func (c *chunkReader) next() error {
	line, err := c.line(maxChunkLine)
	if err != nil {
		return err
	}
	size, ok := c.header(line)
	if !ok {
		return errIncompleteBody()
	}
	c.chunk++
	if size == 0 {
		return c.finish()
	}
	if c.small > 0 {
		return fault.New(InvalidChunkSize, "Only the last chunk is allowed to have a size less than 8192 bytes",
			"Chunk", strconv.FormatInt(c.chunk-1, 10), "BadChunkSize", strconv.FormatInt(c.small, 10))
	}
	if size < minChunk {
		c.small = size
	}
	if size > c.left {
		return errIncompleteBody()
	}
	c.left -= size
	c.remain = size
	return nil
}

// header reads "size" or, where chunks are signed, "size;chunk-signature=…".
func (c *chunkReader) header(line []byte) (size int64, ok bool) {
	if !bytes.HasSuffix(line, []byte("\r\n")) {
		return 0, false
	}
	digits, extension, extended := bytes.Cut(line[:len(line)-2], []byte(";"))
	if extended != (c.sig != nil) {
		return 0, false
	}
	if extended {
		signature, ok := bytes.CutPrefix(extension, []byte("chunk-signature="))
		if !ok || len(signature) != signatureLen {
			return 0, false
		}
		c.signature = string(signature)
	}
	if len(digits) == 0 || len(digits) > 16 {
		return 0, false
	}
	for _, d := range digits {
		v, ok := unhex(d)
		if !ok || size > 1<<58 {
			return 0, false
		}
		size = size<<4 | int64(v)
	}
	return size, true
}

// endOfChunk reads the line end behind the data and compares the chunk's signature.
func (c *chunkReader) endOfChunk() error {
	if err := c.crlf(); err != nil {
		return err
	}
	return c.verifyChunk()
}

func (c *chunkReader) verifyChunk() error {
	if c.sig != nil && !c.sig.chunk(c.signature) {
		return errChunkSignature()
	}
	return nil
}

// finish reads what follows the header of the last chunk.
func (c *chunkReader) finish() error {
	if err := c.verifyChunk(); err != nil {
		return err
	}
	if c.left != 0 {
		return errIncompleteBody()
	}
	if !c.hasTrailer {
		if err := c.crlf(); err != nil {
			return err
		}
		return c.end(errIncompleteBody)
	}
	if err := c.trailers(); err != nil {
		return err
	}
	// Some clients end the trailer by one more line end than others.
	if b, err := c.src.Peek(2); err == nil && string(b) == "\r\n" {
		if _, err := c.src.Discard(2); err != nil {
			return err
		}
	}
	return c.end(errMalformedTrailer)
}

// trailers reads the announced trailer, its signature where chunks are signed, and the empty line.
func (c *chunkReader) trailers() error {
	var lines []byte // as they are signed
	blanks, proved := 0, c.sig == nil
	for {
		line, err := c.line(maxTrailerLine)
		if err != nil {
			return asTrailer(err)
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			// The documented form has an empty line between the trailer and its signature.
			if blanks++; proved || blanks > 1 {
				break
			}
			continue
		}
		name, value, ok := strings.Cut(string(line), ":")
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		switch {
		case !ok || value == "" || proved && c.sig != nil:
			return errMalformedTrailer()
		case name == trailerSignature && c.sig != nil:
			if !c.sig.trailer(lines, value) {
				return errChunkSignature()
			}
			proved = true
		case name != c.trailerName || c.trailerValue != "":
			return errMalformedTrailer()
		default:
			c.trailerValue = value
			lines = append(append(append(append(lines, name...), ':'), value...), '\n')
		}
	}
	if !proved || (c.trailerName != "") != (c.trailerValue != "") {
		return errMalformedTrailer()
	}
	return nil
}

// line reads a line with its end.
func (c *chunkReader) line(limit int) ([]byte, error) {
	line, err := c.src.ReadSlice('\n')
	switch {
	case len(line) > limit || errors.Is(err, bufio.ErrBufferFull):
		return nil, errIncompleteBody()
	case err != nil:
		return nil, ended(err)
	}
	return line, nil
}

func (c *chunkReader) crlf() error {
	var b [2]byte
	for i := range b {
		var err error
		if b[i], err = c.src.ReadByte(); err != nil {
			return ended(err)
		}
	}
	if b != [2]byte{'\r', '\n'} {
		return errIncompleteBody()
	}
	return nil
}

// end gives io.EOF if nothing follows, else the error that garbage makes.
func (c *chunkReader) end(garbage func() error) error {
	_, err := c.src.ReadByte()
	if err == nil {
		return garbage()
	}
	return bodyError(err)
}

// ended turns the end of the body into an error where more was to come.
func ended(err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return bodyError(err)
}

// asTrailer names a framing error in the trailer as such.
func asTrailer(err error) error {
	if fault.Is(err, IncompleteBody) {
		return errMalformedTrailer()
	}
	return err
}

func errChunkSignature() error { return fault.New(SignatureDoesNotMatch, mismatchText) }

func errMalformedTrailer() error {
	return fault.New(MalformedTrailer, "The request contained trailing data that was not well-formed or did not conform to our published schema.")
}
