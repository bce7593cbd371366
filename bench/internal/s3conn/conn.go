// Package s3conn is an S3 client that costs next to nothing: one HTTP/1.1 connection, one request
// at a time, SigV4 in the header. It exists so that a load generator that shares its cores with
// the server under test measures the server. It follows no redirects, retries nothing and keeps
// no cookies; it is not a client for anything but measuring.
package s3conn

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"strconv"
	"time"
)

const (
	readBuffer = 64 << 10
	// maxKept bounds the bytes of one answer that Do hands back; an answer to a listing of 1,000
	// long keys fits many times over.
	maxKept = 32 << 20
	// maxHeaders bounds the header lines of one answer.
	maxHeaders = 256
	// requestTimeout is a deadline for a whole exchange: a server that hangs ends the run.
	requestTimeout = 60 * time.Second
)

// Header is one header. Name is in lower case, Value has no surplus spaces: both are signed as
// they stand.
type Header struct{ Name, Value string }

// Request is one S3 request. Path and Query are canonical already: percent-encoded as SigV4 wants,
// Query sorted by name, every name with its '='.
type Request struct {
	Method string
	Path   string
	Query  string
	Header []Header
	Body   []byte
	// PayloadHash is the body's SHA-256 in hexadecimal or UnsignedPayload; empty means no body.
	PayloadHash string
	// Discard drops the body of the answer, counting its bytes only.
	Discard bool
}

// Response is what came back. Body and ETag are valid until the connection's next Do.
type Response struct {
	Status int
	ETag   string
	Body   []byte
	// Size counts the body's bytes, kept or discarded.
	Size int64
}

// Err is nil for a 2xx, else an error that names the status and the beginning of the body.
func (r *Response) Err() error {
	if r.Status >= 200 && r.Status < 300 {
		return nil
	}
	return &StatusError{Status: r.Status, Code: errorCode(r.Body)}
}

// StatusError is an answer other than 2xx.
type StatusError struct {
	Status int
	// Code is S3's error code, if the body had one.
	Code string
}

func (e *StatusError) Error() string {
	if e.Code == "" {
		return "status " + strconv.Itoa(e.Status)
	}
	return "status " + strconv.Itoa(e.Status) + " " + e.Code
}

func errorCode(body []byte) string {
	_, rest, ok := bytes.Cut(body, []byte("<Code>"))
	if !ok {
		return ""
	}
	code, _, _ := bytes.Cut(rest, []byte("</Code>"))
	return string(code[:min(len(code), 64)])
}

// Endpoint is one server as one signer sees it. Safe for concurrent use; its connections are not.
type Endpoint struct {
	addr string
	sign signer
	said []byte
}

// Say adds an unsigned header to every request of connections that are made from now on.
func (e *Endpoint) Say(h Header) {
	e.said = append(e.said, h.Name+": "+h.Value+"\r\n"...)
}

// NewEndpoint names a server by host and port; plain HTTP only.
func NewEndpoint(addr string, cred Credentials) *Endpoint {
	return &Endpoint{addr: addr, sign: signer{cred: cred}}
}

// Addr is the host and port that the endpoint dials.
func (e *Endpoint) Addr() string { return e.addr }

// Conn returns a connection that dials on first use, and again after the server closed it.
func (e *Endpoint) Conn() *Conn {
	return &Conn{endpoint: e, br: bufio.NewReaderSize(nil, readBuffer)}
}

// Conn is one keep-alive connection. Not safe for concurrent use.
type Conn struct {
	endpoint *Endpoint
	nc       net.Conn
	br       *bufio.Reader
	head     []byte
	scratch  []byte
	body     []byte
	bulk     []byte
}

// Close ends the connection.
func (c *Conn) Close() {
	if c.nc != nil {
		c.nc.Close()
		c.nc = nil
	}
}

// Do sends r and reads the whole answer. After an error the connection is closed; the next Do
// dials anew.
func (c *Conn) Do(ctx context.Context, r *Request) (Response, error) {
	resp, err := c.exchange(ctx, r)
	if err != nil {
		c.Close()
		return Response{}, fmt.Errorf("%s %s: %w", r.Method, r.Path, err)
	}
	return resp, nil
}

func (c *Conn) exchange(ctx context.Context, r *Request) (Response, error) {
	if c.nc == nil {
		var d net.Dialer
		nc, err := d.DialContext(ctx, "tcp", c.endpoint.addr)
		if err != nil {
			return Response{}, err
		}
		c.nc = nc
		c.br.Reset(nc)
	}
	now := time.Now()
	if err := c.nc.SetDeadline(now.Add(requestTimeout)); err != nil {
		return Response{}, err
	}
	c.head, c.scratch = c.endpoint.sign.appendSigned(c.head[:0], c.scratch, c.endpoint.addr, r, now)
	c.head = append(c.head, c.endpoint.said...)
	if len(r.Body) > 0 || r.Method == "PUT" || r.Method == "POST" {
		c.head = append(c.head, "content-length: "...)
		c.head = strconv.AppendInt(c.head, int64(len(r.Body)), 10)
		c.head = append(c.head, "\r\n"...)
	}
	c.head = append(c.head, "\r\n"...)
	buffers := net.Buffers{c.head, r.Body}
	if _, err := buffers.WriteTo(c.nc); err != nil {
		return Response{}, err
	}
	return c.answer(r)
}

// framing is what the headers of an answer say about its body.
type framing struct {
	length  int64 // -1: not stated
	chunked bool
	close   bool
	etag    string
}

func (c *Conn) answer(r *Request) (Response, error) {
	status, frame, err := c.readHead()
	for err == nil && status >= 100 && status < 200 {
		status, frame, err = c.readHead()
	}
	if err != nil {
		return Response{}, err
	}
	resp := Response{Status: status, ETag: frame.etag}
	switch {
	case r.Method == "HEAD" || status == 204 || status == 304:
	case frame.chunked:
		err = c.readBody(&resp, httputil.NewChunkedReader(c.br), r.Discard)
		if err == nil {
			err = c.skipTrailer()
		}
	case frame.length >= 0:
		err = c.readBody(&resp, &io.LimitedReader{R: c.br, N: frame.length}, r.Discard)
		if err == nil && resp.Size != frame.length {
			err = io.ErrUnexpectedEOF
		}
	default:
		frame.close = true
		err = c.readBody(&resp, c.br, r.Discard)
	}
	if err == nil && frame.close {
		c.Close()
	}
	return resp, err
}

var errHead = errors.New("malformed answer")

func (c *Conn) readHead() (status int, frame framing, err error) {
	frame.length = -1
	line, err := c.br.ReadSlice('\n')
	if err != nil {
		return 0, frame, err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.")) {
		return 0, frame, errHead
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, frame, errHead
	}
	frame.close = line[7] == '0'
	for range maxHeaders {
		line, err = c.br.ReadSlice('\n')
		if err != nil {
			return 0, frame, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			return status, frame, nil
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			return 0, frame, errHead
		}
		if err = frame.note(name, bytes.TrimSpace(value)); err != nil {
			return 0, frame, err
		}
	}
	return 0, frame, errHead
}

func (f *framing) note(name, value []byte) error {
	switch len(name) {
	case len("etag"):
		if bytes.EqualFold(name, []byte("etag")) {
			f.etag = string(value)
		}
	case len("connection"):
		if bytes.EqualFold(name, []byte("connection")) && bytes.EqualFold(value, []byte("close")) {
			f.close = true
		}
	case len("content-length"):
		if bytes.EqualFold(name, []byte("content-length")) {
			n, err := strconv.ParseInt(string(value), 10, 64)
			if err != nil || n < 0 {
				return errHead
			}
			f.length = n
		}
	case len("transfer-encoding"):
		if bytes.EqualFold(name, []byte("transfer-encoding")) {
			f.chunked = bytes.EqualFold(value, []byte("chunked"))
		}
	}
	return nil
}

func (c *Conn) readBody(resp *Response, body io.Reader, discard bool) error {
	// The body of a refusal is always kept: it says why.
	if discard && resp.Status < 300 {
		return c.drain(resp, body)
	}
	c.body = c.body[:0]
	for len(c.body) < maxKept {
		if cap(c.body)-len(c.body) < 4096 {
			c.body = append(c.body, make([]byte, max(64<<10, len(c.body)))...)[:len(c.body)]
		}
		n, err := body.Read(c.body[len(c.body):cap(c.body)])
		c.body = c.body[:len(c.body)+n]
		if err == io.EOF {
			resp.Body, resp.Size = c.body, int64(len(c.body))
			return nil
		}
		if err != nil {
			return err
		}
	}
	return fmt.Errorf("answer over %d bytes", maxKept)
}

func (c *Conn) drain(resp *Response, body io.Reader) error {
	if c.bulk == nil {
		c.bulk = make([]byte, 256<<10)
	}
	for {
		n, err := body.Read(c.bulk)
		resp.Size += int64(n)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (c *Conn) skipTrailer() error {
	for range maxHeaders {
		line, err := c.br.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(bytes.TrimRight(line, "\r\n")) == 0 {
			return nil
		}
	}
	return errHead
}
