package topic

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"

	"github.com/kura-s3/kura/internal/job/delivery"
)

// SMTP sends e-mail by a server. It implements Mailer.
type SMTP struct{ config SMTPConfig }

// SMTPConfig of an SMTP.
type SMTPConfig struct {
	// Server is HOST:PORT. Required.
	Server string
	// From is the address in whose name is sent. Required.
	From string
	// User and Password, when there is one.
	User, Password string
	// TLS is TLSStart, TLSDirect or TLSNone.
	TLS string
	// Authorities sign the server's certificate; nil: the system's.
	Authorities *x509.CertPool
	// Dial makes the connection. Required.
	Dial delivery.Dial
}

// The ways of TLS: within the protocol, before it, or not at all.
const (
	TLSStart  = "starttls"
	TLSDirect = "tls"
	TLSNone   = "none"
)

// mailTimeout bounds a conversation with the server.
const mailTimeout = 20 * time.Second

// NewSMTP checks c and makes an SMTP.
func NewSMTP(c SMTPConfig) (*SMTP, error) {
	s := &SMTP{c}
	if _, err := s.client(c.Dial); err != nil {
		return nil, err
	}
	if err := CheckAddress(c.From); err != nil {
		return nil, fmt.Errorf("e-mail: from %q: %w", c.From, err)
	}
	return s, nil
}

// CheckAddress says what is wrong with an e-mail address.
func CheckAddress(address string) error {
	m := mail.NewMsg()
	if len(address) > 320 {
		return errors.New("too long")
	}
	for _, r := range address {
		if r <= 0x20 || r == 0x7f || r == '<' || r == '>' || r == ',' || r == '"' {
			return errors.New("not a plain address")
		}
	}
	return m.To(address)
}

// client speaks with the server over what connect dials.
func (s *SMTP) client(connect delivery.Dial) (*mail.Client, error) {
	c := &s.config
	host, portText, err := net.SplitHostPort(c.Server)
	if err != nil {
		return nil, fmt.Errorf("e-mail: %w", err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return nil, fmt.Errorf("e-mail: %w", err)
	}
	options := []mail.Option{
		mail.WithPort(port), mail.WithTimeout(mailTimeout), mail.WithoutNoop(),
		mail.WithTLSConfig(&tls.Config{ServerName: host, MinVersion: tls.VersionTLS12, RootCAs: c.Authorities}),
	}
	dial := mail.DialContextFunc(connect)
	switch c.TLS {
	case TLSStart:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	case TLSDirect:
		options = append(options, mail.WithSSL())
		dial = s.dialTLS(host, connect)
	case TLSNone:
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	default:
		return nil, fmt.Errorf("e-mail: TLS is %s, %s or %s", TLSStart, TLSDirect, TLSNone)
	}
	options = append(options, mail.WithDialContextFunc(dial))
	if c.User != "" {
		if c.TLS == TLSNone {
			return nil, errors.New("e-mail: a password needs TLS")
		}
		options = append(options, mail.WithOpportunisticSMTPAuth(mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthPlain, mail.SMTPAuthLogin), mail.WithUsername(c.User), mail.WithPassword(c.Password))
	}
	return mail.NewClient(host, options...)
}

func (s *SMTP) dialTLS(host string, connect delivery.Dial) mail.DialContextFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := connect(ctx, network, address)
		if err != nil {
			return nil, err
		}
		secure := tls.Client(conn, &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12, RootCAs: s.config.Authorities})
		if err := secure.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, err
		}
		return secure, nil
	}
}

// Send implements Mailer. A refusal for good (5xx) of the receiver is final.
func (s *SMTP) Send(ctx context.Context, to, from, subject, text string) error {
	m := mail.NewMsg(mail.WithNoDefaultUserAgent())
	// The library puts the name between quotes as it is: one with a quote or a backslash would make no address,
	// and no e-mail of its topic would ever be sent.
	if err := m.FromFormat(strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(oneLine(from)), s.config.From); err != nil {
		return &delivery.Refused{Reason: err.Error()}
	}
	if err := m.To(to); err != nil {
		return &delivery.Refused{Reason: err.Error()}
	}
	m.Subject(oneLine(subject))
	m.SetDate()
	m.SetMessageID()
	m.SetGenHeader("Auto-Submitted", "auto-generated")
	m.SetBodyString(mail.TypeTextPlain, text)
	// The library leaves a connection open on which the greeting, TLS or the login failed.
	var conn net.Conn
	defer func() {
		if conn != nil {
			conn.Close()
		}
	}()
	client, err := s.client(func(ctx context.Context, network, address string) (_ net.Conn, err error) {
		conn, err = s.config.Dial(ctx, network, address)
		return conn, err
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, mailTimeout)
	defer cancel()
	err = client.DialAndSendWithContext(ctx, m)
	var failed *mail.SendError
	if errors.As(err, &failed) && !failed.IsTemp() && failed.ErrorCode() >= 500 {
		return &delivery.Refused{Reason: err.Error()}
	}
	return err
}
