package identity

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// The persistent maps agree with Go's own under random changes, and no change shows in an older version.
func TestPersistentMaps(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	o, tab, want := newOrdered[int](), newTable[int](), map[string]int{}
	type version struct {
		o    ordered[int]
		tab  table[int]
		want map[string]int
	}
	var old []version
	for i := range 5000 {
		key := fmt.Sprintf("%03d", r.IntN(400))
		if r.IntN(3) == 0 {
			o, tab = o.without(key), tab.without(key)
			delete(want, key)
		} else {
			own := i < 100
			o, tab = o.with(key, i, own), tab.with(key, i, own)
			want[key] = i
		}
		if i > 100 && i%500 == 0 {
			copied := map[string]int{}
			for k, v := range want {
				copied[k] = v
			}
			old = append(old, version{o, tab, copied})
		}
	}
	old = append(old, version{o, tab, want})
	for n, v := range old {
		var keys []string
		v.o.ascend("", "", func(key string, value int) bool {
			keys = append(keys, key)
			if w, ok := v.tab.get(key); !ok || w != value || v.want[key] != value {
				t.Fatalf("version %d: %s is %d, %d, %d", n, key, value, w, v.want[key])
			}
			return true
		})
		if len(keys) != len(v.want) || !slices.IsSorted(keys) {
			t.Fatalf("version %d: %d of %d keys, sorted %v", n, len(keys), len(v.want), slices.IsSorted(keys))
		}
	}
	var some []string
	o.ascend("1", "15", func(key string, _ int) bool { some = append(some, key); return true })
	if len(some) == 0 || some[0] < "15" || some[len(some)-1] >= "2" {
		t.Errorf("from 15 with prefix 1: %v", some)
	}
}
