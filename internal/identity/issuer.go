package identity

import (
	"context"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	// keysLife is how long an issuer's keys are used without asking again; a token with an unknown
	// key id makes Kura ask earlier, but not more often than keysPause.
	keysLife  = time.Hour
	keysPause = time.Minute
	// maxIssuerAnswer bounds what an issuer may send, maxIssuerKeys how many keys it may have.
	maxIssuerAnswer = 256 << 10
	maxIssuerKeys   = 64
	issuerTimeout   = 5 * time.Second
	// maxIssuersKept bounds the issuers whose keys are remembered.
	maxIssuersKept = 1000
)

var errNoDialing = errors.New("identity: no way to reach identity providers is configured")

// issuers fetches and remembers the signing keys of OIDC issuers. It asks only issuers that an
// account registered, over TLS, without following redirects, through the dialer of the Config.
type issuers struct {
	dial      func(ctx context.Context, network, address string) (net.Conn, error)
	transport http.RoundTripper
	now       func() time.Time

	mu   sync.Mutex
	kept map[string]*issuerKeys
}

// issuerKeys are the keys of one issuer.
type issuerKeys struct {
	mu      sync.Mutex // held while asking, so that one request asks for all
	set     jose.JSONWebKeySet
	fetched time.Time
	tried   time.Time
}

// keys gives the issuer's keys that may have signed with the key id ("" for any).
func (i *issuers) keys(ctx context.Context, p *provider, kid string) ([]jose.JSONWebKey, error) {
	k := i.issuer(p)
	k.mu.Lock()
	defer k.mu.Unlock()
	now := i.now()
	found := k.matching(kid)
	fresh := now.Sub(k.fetched) < keysLife
	if (len(found) > 0 && fresh) || (!k.tried.IsZero() && now.Sub(k.tried) < keysPause) {
		if !fresh {
			return nil, nil
		}
		return found, nil
	}
	k.tried = now
	set, err := i.fetch(ctx, p)
	if err != nil {
		if fresh {
			return found, nil
		}
		return nil, err
	}
	k.set, k.fetched = set, now
	return k.matching(kid), nil
}

// issuer finds what is remembered of p's issuer. Thumbprints and account are part of the key, so that
// one account's trust in a certificate is not another's.
func (i *issuers) issuer(p *provider) *issuerKeys {
	at := p.ID + "\x00" + strings.Join(p.Thumbprints, ",")
	i.mu.Lock()
	defer i.mu.Unlock()
	if k, ok := i.kept[at]; ok {
		return k
	}
	if i.kept == nil || len(i.kept) >= maxIssuersKept {
		i.kept = map[string]*issuerKeys{}
	}
	k := new(issuerKeys)
	i.kept[at] = k
	return k
}

func (k *issuerKeys) matching(kid string) []jose.JSONWebKey {
	var list []jose.JSONWebKey
	for _, key := range k.set.Keys {
		if (kid == "" || key.KeyID == kid) && key.Use != "enc" && key.IsPublic() && key.Valid() {
			list = append(list, key)
		}
	}
	return list
}

// fetch asks the issuer for its configuration and then for its keys.
func (i *issuers) fetch(ctx context.Context, p *provider) (set jose.JSONWebKeySet, err error) {
	ctx, cancel := context.WithTimeout(ctx, issuerTimeout)
	defer cancel()
	client, err := i.client(p)
	if err != nil {
		return set, err
	}
	defer client.CloseIdleConnections()
	var configuration struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	base := "https://" + p.issuer()
	if err := get(ctx, client, base+"/.well-known/openid-configuration", &configuration); err != nil {
		return set, err
	}
	if strings.TrimSuffix(configuration.Issuer, "/") != base {
		return set, fmt.Errorf("identity: the configuration at %s is of the issuer %q", base, configuration.Issuer)
	}
	where, err := url.Parse(configuration.Keys)
	if err != nil || where.Scheme != "https" || where.User != nil {
		return set, fmt.Errorf("identity: the issuer %s has its keys at no https address", base)
	}
	if err := get(ctx, client, where.String(), &set); err != nil {
		return set, err
	}
	if len(set.Keys) > maxIssuerKeys {
		return set, fmt.Errorf("identity: the issuer %s has %d keys", base, len(set.Keys))
	}
	return set, nil
}

func (i *issuers) client(p *provider) (*http.Client, error) {
	transport := i.transport
	if transport == nil {
		if i.dial == nil {
			return nil, errNoDialing
		}
		transport = &http.Transport{
			DialContext: i.dial, ForceAttemptHTTP2: true, TLSHandshakeTimeout: issuerTimeout, MaxResponseHeaderBytes: 64 << 10,
			TLSClientConfig: &tls.Config{
				MinVersion: tls.VersionTLS12,
				// VerifyConnection verifies instead, because an issuer may also be known by thumbprint.
				InsecureSkipVerify: true, //nolint:gosec
				VerifyConnection:   func(c tls.ConnectionState) error { return verifyIssuer(c, p.Thumbprints) },
			},
		}
	}
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// verifyIssuer accepts a certificate chain that ends in one of the system's authorities or, as AWS does,
// in a certificate that the provider's thumbprints name.
func verifyIssuer(c tls.ConnectionState, thumbprints []string) error {
	if len(c.PeerCertificates) == 0 {
		return errors.New("identity: the issuer shows no certificate")
	}
	leaf := c.PeerCertificates[0]
	among := x509.NewCertPool()
	pinned := x509.NewCertPool()
	some := false
	for _, cert := range c.PeerCertificates {
		among.AddCert(cert)
		sum := sha1.Sum(cert.Raw)
		if slices.ContainsFunc(thumbprints, func(t string) bool { return strings.EqualFold(t, hex.EncodeToString(sum[:])) }) {
			pinned.AddCert(cert)
			some = true
		}
	}
	_, err := leaf.Verify(x509.VerifyOptions{DNSName: c.ServerName, Intermediates: among})
	if err == nil || !some {
		return err
	}
	_, err = leaf.Verify(x509.VerifyOptions{DNSName: c.ServerName, Intermediates: among, Roots: pinned})
	return err
}

func get(ctx context.Context, client *http.Client, address string, to any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	answer, err := client.Do(req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("identity: %s answers %s", address, answer.Status)
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxIssuerAnswer+1))
	if err != nil {
		return err
	}
	if len(text) > maxIssuerAnswer {
		return fmt.Errorf("identity: %s answers more than %d bytes", address, maxIssuerAnswer)
	}
	return json.Unmarshal(text, to)
}
