// Package sealer has what the drivers of key services have in common that are reached over HTTP.
package sealer

import (
	"errors"
	"io"
	"net/http"
	"net/netip"
	"net/url"
)

// ErrInTheClear says that keys would travel where others can read them.
var ErrInTheClear = errors.New("the address does not begin with https:// (http:// is taken for this machine alone): keys travel to it")

// Address reads the address of a key service: HTTPS, or plain HTTP on loopback.
func Address(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, err
	case u.Hostname() == "" || u.User != nil || u.Fragment != "":
		return nil, errors.New("not the URL of a service")
	case u.Scheme == "https" || u.Scheme == "http" && Loopback(u.Hostname()):
		return u, nil
	}
	return nil, ErrInTheClear
}

// Loopback tells whether a host is this machine by its address or as "localhost".
func Loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.Unmap().IsLoopback()
}

// maxAnswer bounds an answer.
const maxAnswer = 64 << 10

// Call sends r and reads the whole answer.
func Call(client *http.Client, r *http.Request) (status int, body []byte, err error) {
	answer, err := client.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	body, err = io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	return answer.StatusCode, body, err
}
