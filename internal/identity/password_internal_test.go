package identity

import (
	"errors"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// Signing in as nobody must cost what a wrong password costs: the hash has to be one that bcrypt works on.
func TestNobodysHashCostsTheSame(t *testing.T) {
	cost, err := bcrypt.Cost([]byte(nobodysHash))
	if err != nil || cost != bcryptCost {
		t.Errorf("cost %d, %v", cost, err)
	}
	if err := bcrypt.CompareHashAndPassword([]byte(nobodysHash), prehash("x")); !errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
		t.Errorf("got %v", err)
	}
}
