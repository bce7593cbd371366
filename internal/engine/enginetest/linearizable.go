package enginetest

import (
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/kura-s3/kura/internal/engine"
)

// registerInput is an operation on one record: a read, a write on condition of a version, or a delete.
type registerInput struct {
	op     string // "get", "set", "delete", "cas"
	value  string
	expect engine.Version
}

type registerOutput struct {
	value    string
	version  engine.Version
	conflict bool
}

type registerState struct {
	value   string
	version engine.Version
}

// register is what one record promises.
var register = porcupine.Model{
	Init: func() any { return registerState{} },
	Step: func(state, input, output any) (bool, any) {
		s, in, out := state.(registerState), input.(registerInput), output.(registerOutput)
		switch in.op {
		case "get":
			return out.value == s.value && out.version == s.version, s
		case "delete":
			return true, registerState{}
		case "cas":
			if out.conflict {
				return s.version != in.expect, s
			}
			return s.version == in.expect, registerState{in.value, out.version}
		default:
			return true, registerState{in.value, out.version}
		}
	},
}

// testLinearizable checks that concurrent operations on one record have an order that explains what
// everyone saw.
func testLinearizable(t *testing.T, s MetaStore) {
	m := openMeta(t, s)
	var mu sync.Mutex
	var history []porcupine.Operation
	var wg sync.WaitGroup
	begin := time.Now()
	for client := range 6 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(31, uint64(client)))
			last := engine.Version(0)
			for i := range 40 {
				in := registerInput{value: strconv.Itoa(client*1000 + i), expect: last}
				in.op = []string{"get", "get", "cas", "cas", "set", "delete"}[rng.IntN(6)]
				call := time.Since(begin)
				out, err := register1(t, m, in)
				if err != nil {
					t.Error(err)
					return
				}
				last = out.version
				mu.Lock()
				history = append(history, porcupine.Operation{
					ClientId: client, Input: in, Output: out,
					Call: int64(call), Return: int64(time.Since(begin)),
				})
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if r := porcupine.CheckOperationsTimeout(register, history, 2*time.Minute); r != porcupine.Ok {
		t.Errorf("the history of %d operations has no order: %s", len(history), r)
	}
}

func register1(t *testing.T, m engine.Meta, in registerInput) (out registerOutput, err error) {
	key := []byte("register")
	var b engine.Batch
	switch in.op {
	case "get":
		value, v, err := m.Get(t.Context(), key, nil)
		return registerOutput{value: string(value), version: v}, err
	case "delete":
		b.Delete(key)
	case "cas":
		b.Require(key, in.expect)
		b.Set(key, []byte(in.value))
	default:
		b.Set(key, []byte(in.value))
	}
	err = m.Commit(t.Context(), &b)
	if errors.Is(err, engine.ErrConflict) {
		return registerOutput{conflict: true, version: in.expect}, nil
	}
	if in.op == "delete" {
		return registerOutput{}, err
	}
	return registerOutput{version: b.Version}, err
}
