package notify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/event/queue"
	"github.com/kura-s3/kura/internal/job/delivery"
)

// A broker is a target to which a connection stays open. Safe for concurrent use.
type broker interface {
	// send returns nil when the broker has said that it keeps the message.
	send(ctx context.Context, d *queue.Delivery) error
	close()
}

// brokers make those of a URL, by its scheme. They do not dial yet.
var brokers = map[string]func(delivery.Dial, *url.URL) (broker, error){
	"kafka": newKafka, "tls+kafka": newKafka,
	"amqp": newAMQP, "amqps": newAMQP,
}

// sendTimeout bounds a try, dialling included.
const sendTimeout = 20 * time.Second

// checkParameters refuses what a URL's query must not hold.
func checkParameters(u *url.URL, secure bool, known ...string) error {
	if secure {
		known = append(known, "ca", "cert", "key")
	}
	for name, values := range u.Query() {
		if !slices.Contains(known, name) {
			return fmt.Errorf("%s takes no parameter %q", u.Scheme, name)
		}
		if name != "broker" && len(values) != 1 || values[0] == "" {
			return fmt.Errorf("%s takes one value of the parameter %q", u.Scheme, name)
		}
	}
	if q := u.Query(); q.Has("cert") != q.Has("key") {
		return errors.New("cert and key go together")
	}
	if _, inURL := u.User.Password(); inURL && u.Query().Has("password-file") {
		return errors.New("a password and a password-file")
	}
	return nil
}

// passwordOf is the password for u: in the URL, or in the file that its parameter password-file names,
// which is read each time somebody signs in.
func passwordOf(u *url.URL) (string, error) {
	name := u.Query().Get("password-file")
	if name == "" {
		password, _ := u.User.Password()
		return password, nil
	}
	raw, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	return strings.TrimRight(string(raw), "\r\n"), nil
}

// securityOf is how the broker of u has to prove itself, and how Kura does: the parameter ca is a file of
// authorities, cert and key are files of a client's certificate.
func securityOf(u *url.URL) (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	q := u.Query()
	if name := q.Get("ca"); name != "" {
		pem, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", name)
		}
	}
	if name := q.Get("cert"); name != "" {
		pair, err := tls.LoadX509KeyPair(name, q.Get("key"))
		if err != nil {
			return nil, err
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

// Close ends the connections to brokers. What is being sent then is tried again after the next start.
func (t *Targets) Close() {
	for _, b := range t.brokers {
		b.close()
	}
}
