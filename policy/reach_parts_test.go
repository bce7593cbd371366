package policy

import (
	"testing"
)

// conditionsOf parses one statement with the given conditions.
func conditionsOf(t *testing.T, conditions string) []condition {
	t.Helper()
	d, err := ParseString(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":`+conditions+`}}`, Identity)
	if err != nil {
		t.Fatal(err)
	}
	return d.statements[0].conditions
}

func TestOnlyBucketOfNoResources(t *testing.T) {
	if got := onlyBucket(nil); got != "" {
		t.Errorf("%q", got)
	}
}

func TestServiceNameFollowsOnlyForServices(t *testing.T) {
	for principal, want := range map[PrincipalType]bool{Service: true, IAMUser: false} {
		c := &caller{principal: Principal{Type: principal}, openName: true}
		i := &identification{model: &model{q: &query{caller: c}}}
		if got := i.follows("aws:principalservicename"); got != want {
			t.Errorf("type %d: %v", principal, got)
		}
	}
}

func TestIDsOfAFederatedUserNameIt(t *testing.T) {
	c := &caller{principal: Principal{Type: FederatedUser}}
	i := &identification{model: &model{q: &query{caller: c}}, account: "111122223333", name: "bob"}
	var d domain
	i.ids(&d)
	if len(d.shape) != 1 || !d.shape[0].accepts("111122223333:bob") || d.shape[0].accepts("111122223333:eve") {
		t.Errorf("%+v", d.shape)
	}
}

func TestNothingIsInAnEmptySetOfValues(t *testing.T) {
	c := conditionsOf(t, `{"ForAnyValue:StringEquals":{"aws:TagKeys":[]}}`)
	p := &keyProblem{literals: []literal{{&c[0], false}}}
	if every, some, ok := p.wishes(); !ok || len(every)+len(some) != 0 {
		t.Errorf("wanted to fail: %v %v %v", every, some, ok)
	}
	p.literals[0].want = true
	if _, _, ok := p.wishes(); ok {
		t.Error("an empty list was met")
	}
}

// TestAWordThatAnotherWishRefuses: what text alone allows is not called possible when a number refuses it.
func TestAWordThatAnotherWishRefuses(t *testing.T) {
	c := conditionsOf(t, `{"StringLike":{"s3:x":"a*"},"NumericEquals":{"s3:x":"5"}}`)
	work := 1 << 16
	p := &keyProblem{work: &work}
	wishes := []wish{{&c[0], true}, {&c[1], true}}
	if s, result := p.word(wishes, false); result != possible || s == "" {
		t.Errorf("text alone: %q %v", s, result)
	}
	if s, result := p.word(wishes, true); result != unsure || s != "" {
		t.Errorf("with the number: %q %v", s, result)
	}
}

func TestAGlobThatMatchesNothing(t *testing.T) {
	g := glob{never: true}
	if g.accepts("") || g.accepts("a") {
		t.Error("it accepts")
	}
	work := 1 << 10
	p := &wordProblem{work: &work}
	if s, ok := p.guess(&g); ok {
		t.Errorf("guessed %q", s)
	}
}
