package notify

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// certificate is one of 127.0.0.1, and the file of who signed it.
func certificate(t *testing.T) (pair tls.Certificate, ca string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, ca
}

// fakeBroker speaks as much of AMQP 0-9-1 as a publisher hears. What a message says is what happens to it:
// return, nack, silence, close.
type fakeBroker struct {
	address string
	mu      sync.Mutex
	heard   []string
}

func newBroker(t *testing.T, security *tls.Config) *fakeBroker {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	f := &fakeBroker{address: l.Addr().String()}
	if security != nil {
		l = tls.NewListener(l, security)
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				f.serve(&amqpConn{conn, bufio.NewReader(conn)})
			}()
		}
	}()
	return f
}

func (f *fakeBroker) hear(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.heard = append(f.heard, what)
}

func (f *fakeBroker) log() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.heard, "|")
}

type amqpConn struct {
	net.Conn
	in *bufio.Reader
}

// frame reads one; false at the end.
func (c *amqpConn) frame() (kind byte, body []byte, ok bool) {
	var head [7]byte
	if _, err := io.ReadFull(c.in, head[:]); err != nil {
		return 0, nil, false
	}
	body = make([]byte, binary.BigEndian.Uint32(head[3:])+1)
	_, err := io.ReadFull(c.in, body)
	return head[0], body[:len(body)-1], err == nil
}

// method sends one on a channel.
func (c *amqpConn) method(channel uint16, class, method uint16, arguments ...[]byte) {
	body := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, class), method)
	c.put(1, channel, append(body, bytes.Join(arguments, nil)...))
}

func (c *amqpConn) put(kind byte, channel uint16, body []byte) {
	out := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16([]byte{kind}, channel), uint32(len(body)))
	c.Write(append(append(out, body...), 0xce))
}

func shortText(s string) []byte { return append([]byte{byte(len(s))}, s...) }

func longText(s string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(s))), s...)
}

// cutShort takes a short text off.
func cutShort(b []byte) (string, []byte) { return string(b[1 : 1+b[0]]), b[1+b[0]:] }

func (f *fakeBroker) serve(c *amqpConn) {
	if hello, err := c.in.Peek(8); err != nil || string(hello) != "AMQP\x00\x00\x09\x01" {
		return
	}
	c.in.Discard(8)
	c.method(0, 10, 10, []byte{0, 9}, longText(""), longText("PLAIN EXTERNAL"), longText("en_US"))
	tag := uint64(0)
	var exchange, key, mode string
	var properties []byte
	for {
		kind, b, ok := c.frame()
		switch {
		case !ok:
			return
		case kind == 2: // the header of a message: class, weight, size, properties
			properties = b[12:]
			mode = "transient"
			if binary.BigEndian.Uint16(properties)&(1<<12) != 0 && bytes.Contains(properties, []byte("application/json\x02")) {
				mode = "persistent"
			}
			if binary.BigEndian.Uint64(b[4:]) == 0 {
				tag++
				f.message(c, tag, exchange, key, mode, "", properties)
			}
		case kind == 3:
			tag++
			f.message(c, tag, exchange, key, mode, string(b), properties)
		case kind == 1 && binary.BigEndian.Uint16(b) == 60: // basic.publish
			exchange, b = cutShort(b[6:])
			key, b = cutShort(b)
			if b[0] == 1 {
				key += " mandatory"
			}
		case kind == 1:
			if !f.handshake(c, binary.BigEndian.Uint32(b), b[4:]) {
				return
			}
		}
	}
}

// handshake answers what is not about messages.
func (f *fakeBroker) handshake(c *amqpConn, method uint32, b []byte) bool {
	switch method {
	case 10<<16 | 11: // start-ok
		b = b[4+binary.BigEndian.Uint32(b):]
		mechanism, rest := cutShort(b)
		f.hear(mechanism + " " + string(rest[4:4+binary.BigEndian.Uint32(rest)]))
		c.method(0, 10, 30, []byte{0, 10, 0, 2, 0, 0, 0, 10})
	case 10<<16 | 40: // open
		vhost, _ := cutShort(b)
		f.hear(vhost)
		c.method(0, 10, 41, shortText(""))
	case 20<<16 | 10: // channel.open
		c.method(1, 20, 11, longText(""))
	case 85<<16 | 10: // confirm.select
		c.method(1, 85, 11)
	case 10<<16 | 50: // close
		c.method(0, 10, 51)
		return false
	}
	return true
}

func (f *fakeBroker) message(c *amqpConn, tag uint64, exchange, key, mode, body string, properties []byte) {
	f.hear(exchange + " " + key + " " + mode + " " + body)
	number := binary.BigEndian.AppendUint64(nil, tag)
	switch body {
	case "silence":
		return
	case "close":
		c.method(1, 20, 40, []byte{1, 148}, shortText("NOT_FOUND - no exchange"), []byte{0, 60, 0, 40})
		return
	case "nack":
		c.method(1, 60, 120, number, []byte{0})
		return
	case "return":
		c.method(1, 60, 50, []byte{1, 56}, shortText("NO_ROUTE"), shortText(exchange), shortText(key))
		head := binary.BigEndian.AppendUint64([]byte{0, 60, 0, 0}, uint64(len(body)))
		c.put(2, 1, append(head, properties...))
		c.put(3, 1, []byte(body))
	}
	c.method(1, 60, 80, number, []byte{0})
}
