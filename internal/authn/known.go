package authn

import "net/http"

// Known tells whether the request names an access key that there is. It proves nothing: it is for services
// that must buffer a large body before they can know whether its signature is good, so that nobody who has
// not even the name of a key makes them do it.
func (a *Authenticator) Known(r *http.Request) bool {
	given, err := parseAuthorization(r.Header.Get("Authorization"))
	if err != nil {
		return false
	}
	s, err := parseScope(given.credential)
	if err != nil {
		return false
	}
	_, err = a.cfg.Credentials.Lookup(r.Context(), s.accessKeyID, r.Header.Get("X-Amz-Security-Token"))
	return err == nil
}
