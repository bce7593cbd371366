package faulty_test

import (
	"errors"
	"testing"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/engine/enginetest"
	"github.com/kura-s3/kura/internal/engine/faulty"
	"github.com/kura-s3/kura/internal/engine/memory"
)

func TestTransparentWithoutRules(t *testing.T) {
	enginetest.TestMeta(t, enginetest.MetaDriver{Volatile: true, New: func(t *testing.T) enginetest.MetaStore {
		return func() (engine.Meta, error) { return faulty.Meta{Meta: memory.NewMeta(), Plan: new(faulty.Plan)}, nil }
	}})
	enginetest.TestBlob(t, enginetest.BlobDriver{Volatile: true, New: func(t *testing.T) enginetest.BlobStore {
		return func() (engine.Blob, error) { return faulty.Blob{Blob: memory.NewBlob(), Plan: new(faulty.Plan)}, nil }
	}})
}

var errFault = errors.New("fault")

func TestFailsOnDemand(t *testing.T) {
	plan := new(faulty.Plan)
	m := faulty.Meta{Meta: memory.NewMeta(), Plan: plan}
	commit := func(key string) error {
		var b engine.Batch
		b.Set([]byte(key), []byte("v"))
		return m.Commit(t.Context(), &b)
	}
	version := func(key string) engine.Version {
		_, v, err := m.Get(t.Context(), []byte(key), nil)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	plan.Set(faulty.FailNth(faulty.Commit, 2, engine.ErrConflict), nil)
	for i, want := range []error{nil, engine.ErrConflict, nil} {
		key := string(rune('a' + i))
		if err := commit(key); !errors.Is(err, want) || (version(key) == 0) != (want != nil) {
			t.Errorf("commit %d: %v, want %v", i+1, err, want)
		}
	}
	plan.Set(nil, faulty.FailNth(faulty.Commit, 1, errFault))
	if err := commit("lost answer"); !errors.Is(err, errFault) || version("lost answer") == 0 {
		t.Errorf("a lost answer: %v", err)
	}
	plan.Set(faulty.FailNth(faulty.Get, 1, errFault), nil)
	if _, _, err := m.Get(t.Context(), []byte("a"), nil); !errors.Is(err, errFault) {
		t.Errorf("Get: %v", err)
	}

	b := faulty.Blob{Blob: memory.NewBlob(), Plan: plan}
	for _, op := range []faulty.Op{faulty.Create, faulty.Write, faulty.Finish} {
		plan.Set(faulty.FailNth(op, 1, errFault), nil)
		if _, err := enginetest.WriteBlob(t.Context(), b, []byte("data"), 2); !errors.Is(err, errFault) {
			t.Errorf("%s: %v", op, err)
		}
	}
	if n := b.Usage().Records; n != 0 {
		t.Errorf("%d blobs were left by failed writes", n)
	}
	plan.Set(nil, nil)
	ref, err := enginetest.WriteBlob(t.Context(), b, []byte("data"), 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range []faulty.Op{faulty.Open, faulty.ReadAt} {
		plan.Set(faulty.FailNth(op, 1, errFault), nil)
		if _, err := enginetest.ReadBlob(t.Context(), b, ref); !errors.Is(err, errFault) {
			t.Errorf("%s: %v", op, err)
		}
	}
}
