package recorder

import (
	"errors"
	"fmt"
	"testing"
)

// TestHashesAreRememberedWithinBounds: and not at all once a commit has failed, because nobody knows what it wrote.
func TestHashesAreRememberedWithinBounds(t *testing.T) {
	s := &Store{hashes: map[string]string{}}
	for i := range maxHashes + 100 {
		s.remember(fmt.Sprint(i), "hash")
	}
	s.remember("newest", "one")
	s.remember("newest", "another")
	if n := len(s.hashes); n != maxHashes || s.hashes["newest"] != "another" {
		t.Errorf("%d hashes of %d, newest %q", n, maxHashes, s.hashes["newest"])
	}
	w := &work{hashes: map[string]string{}}
	w.hashes["written"] = "perhaps"
	if err := s.ended(w, errors.New("disk")); err == nil || len(s.hashes) != 0 {
		t.Errorf("%v, %d hashes after a failure", err, len(s.hashes))
	}
}
