package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// payload is a body with the hash that its signature covers, made once: hashing is the server's
// work to be measured, not the client's.
type payload struct {
	body []byte
	hash string
}

type payloads struct{ tiny, small, part, large payload }

func hashOf(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

func newPayloads() *payloads {
	random := make([]byte, largeSize)
	// crypto/rand.Read never fails.
	_, _ = rand.Read(random)
	of := func(n int) payload { return payload{random[:n], hashOf(random[:n])} }
	return &payloads{tiny: of(16), small: of(smallSize), part: of(partSize), large: of(largeSize)}
}

// escapeQuery percent-encodes as SigV4 wants it: everything but the unreserved characters.
func escapeQuery(s string) string {
	var b []byte
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.', c == '~':
			b = append(b, c)
		default:
			b = fmt.Appendf(b, "%%%02X", c)
		}
	}
	return string(b)
}
