package rpc

import (
	"encoding/base64"
	"strconv"
)

// Page cuts the part out of a list that a request asks for: from the token's place on, at most size. next is the
// token of what follows; not ok: the token is none of ours.
func Page[T any](all []T, token *string, size int) (part []T, next *string, ok bool) {
	from := 0
	if token != nil && *token != "" {
		raw, err := base64.RawURLEncoding.DecodeString(*token)
		if err == nil {
			from, err = strconv.Atoi(string(raw))
		}
		if err != nil || from < 0 {
			return nil, nil, false
		}
	}
	from = min(from, len(all))
	to := from + min(size, len(all)-from)
	if to < len(all) {
		following := base64.RawURLEncoding.EncodeToString([]byte(strconv.Itoa(to)))
		next = &following
	}
	return all[from:to], next, true
}
