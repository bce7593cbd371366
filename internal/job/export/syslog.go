package export

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/kura-s3/kura/internal/audit"
)

// syslog sends RFC 5424 messages. Syslog has no acknowledgement: over TCP, Flush waits until the other
// machine has taken everything in; what its program then loses is lost. Datagrams are sent once.
type syslog struct {
	dial    func(ctx context.Context) (net.Conn, error)
	framing framing
	header  string // between time and stream
	stream  string

	conn   net.Conn
	gone   chan struct{} // closed when the other side has hung up
	owing  bool          // something was sent that Flush did not make sure of
	frame  bytes.Buffer
	buffer bytes.Buffer
}

// framing of messages on a connection.
type framing uint8

const (
	counted  framing = iota // octet counting of RFC 6587
	lines                   // a local stream socket
	datagram                // one each
)

// maxDatagram is what receivers take; a longer message is cut.
const maxDatagram = 8 << 10

// Facility "log audit", severities "informational" and, for what was refused or failed, "warning".
const (
	priority        = 13<<3 | 6
	priorityRefused = 13<<3 | 4
)

func openSyslog(c *Config, u *url.URL, k *kind) (func(string, *atomic.Int64) sink, error) {
	security, err := k.security(u)
	if err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil || !printable(host) {
		host = "-"
	}
	return func(stream string, _ *atomic.Int64) sink {
		s := &syslog{stream: stream, header: " " + host + " kura " + strconv.Itoa(os.Getpid()) + " "}
		switch {
		case k.local:
			s.dial = s.local(u.Path)
		case u.Scheme == "syslog+udp":
			s.framing = datagram
			s.dial = func(ctx context.Context) (net.Conn, error) { return c.Dial(ctx, "udp", k.address(u)) }
		default:
			s.dial = func(ctx context.Context) (net.Conn, error) { return dialStream(ctx, c, k.address(u), security) }
		}
		return s
	}, nil
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != "" && len(s) <= 255
}

func dialStream(ctx context.Context, c *Config, address string, security *tls.Config) (net.Conn, error) {
	conn, err := c.Dial(ctx, "tcp", address)
	if err != nil || security == nil {
		return conn, err
	}
	secure := tls.Client(conn, security)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return secure, nil
}

// local dials a socket of this machine, of either sort.
func (s *syslog) local(path string) func(ctx context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		s.framing = datagram
		conn, err := d.DialContext(ctx, "unixgram", path)
		if errors.Is(err, syscall.EPROTOTYPE) {
			s.framing = lines
			conn, err = d.DialContext(ctx, "unix", path)
		}
		return conn, err
	}
}

// Send implements sink.
func (s *syslog) Send(ctx context.Context, entries []audit.Entry) error {
	if err := s.open(ctx); err != nil {
		return err
	}
	s.owing = true
	if err := s.conn.SetWriteDeadline(deadline(ctx)); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { s.conn.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	s.buffer.Reset()
	for i := range entries {
		message := s.message(&entries[i])
		switch s.framing {
		case datagram:
			if _, err := s.conn.Write(cut(message, maxDatagram)); err != nil {
				return err
			}
		case lines:
			s.buffer.Write(message)
			s.buffer.WriteByte('\n')
		case counted:
			s.buffer.WriteString(strconv.Itoa(len(message)))
			s.buffer.WriteByte(' ')
			s.buffer.Write(message)
		}
	}
	if s.buffer.Len() == 0 {
		return nil
	}
	_, err := s.conn.Write(s.buffer.Bytes())
	return err
}

// message is good until the next one.
func (s *syslog) message(e *audit.Entry) []byte {
	p := priority
	if e.Error != "" {
		p = priorityRefused
	}
	s.frame.Reset()
	// sequenceId is at most 2^31-1 and begins again at 1.
	fmt.Fprintf(&s.frame, "<%d>1 %s%s%s [meta sequenceId=\"%d\"] ", p, e.Time().Format("2006-01-02T15:04:05.000Z"), s.header, s.stream, (e.Seq-1)%(1<<31-1)+1)
	s.frame.Write(e.Record)
	return s.frame.Bytes()
}

// cut shortens a message to at most n bytes of whole characters.
func cut(message []byte, n int) []byte {
	if len(message) <= n {
		return message
	}
	for n > 0 && !utf8.RuneStart(message[n]) {
		n--
	}
	return message[:n]
}

func (s *syslog) open(ctx context.Context) error {
	if s.conn != nil {
		select {
		case <-s.gone:
			if s.owing {
				return errHungUp
			}
			s.Close()
		default:
			return nil
		}
	}
	conn, err := s.dial(ctx)
	if err != nil {
		return err
	}
	s.conn, s.gone = conn, make(chan struct{})
	if s.framing != counted {
		return nil
	}
	go func(gone chan struct{}) {
		defer close(gone)
		io.Copy(io.Discard, conn) // until the other side hangs up, or Close
	}(s.gone)
	return nil
}

var errHungUp = errors.New("the syslog receiver hung up")

// Flush implements sink.
func (s *syslog) Flush(ctx context.Context) error {
	if s.conn == nil || !s.owing {
		return nil
	}
	if s.framing == counted {
		if err := s.taken(ctx); err != nil {
			return err
		}
	}
	s.owing = false
	return nil
}

// taken waits until the other machine has everything.
func (s *syslog) taken(ctx context.Context) error {
	wait := time.NewTicker(2 * time.Millisecond)
	defer wait.Stop()
	for {
		left, err := unsent(s.conn)
		if err != nil {
			return err
		}
		select {
		case <-s.gone:
			return errHungUp
		default:
		}
		if left == 0 {
			return nil
		}
		select {
		case <-wait.C:
		case <-ctx.Done():
			return fmt.Errorf("the syslog receiver's machine does not take %d bytes: %w", left, ctx.Err())
		}
	}
}

// unsent is how many bytes the other machine has not acknowledged.
func unsent(conn net.Conn) (left int, err error) {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	sys, ok := conn.(syscall.Conn)
	if !ok {
		return 0, nil
	}
	raw, err := sys.SyscallConn()
	if err != nil {
		return 0, err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { left, failed = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
	return left, errors.Join(err, failed)
}

// Close implements sink.
func (s *syslog) Close() {
	if s.conn != nil {
		s.conn.Close()
		s.conn, s.owing = nil, false
	}
}
