package stat

import (
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestBucketsMeetWithoutGaps(t *testing.T) {
	for i := range octaves*subBuckets - 1 {
		low, next := lowerBound(i), lowerBound(i+1)
		if next <= low {
			t.Fatalf("bucket %d: %v to %v", i, low, next)
		}
		if bucketOf(low) != i || bucketOf(next-1) != i {
			t.Fatalf("bucket %d holds %v to %v, but they fall into %d and %d", i, low, next-1, bucketOf(low), bucketOf(next-1))
		}
	}
	if got := bucketOf(1 << 62); got != octaves*subBuckets-1 {
		t.Errorf("the longest duration falls into %d", got)
	}
	if bucketOf(-time.Second) != 0 {
		t.Error("a negative duration is not in the first bucket")
	}
}

func TestQuantilesOfKnownSamples(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var one, two Histogram
	var all []time.Duration
	for i := range 20_000 {
		d := time.Duration(rng.ExpFloat64() * float64(time.Millisecond))
		all = append(all, d)
		if i%2 == 0 {
			one.Record(d)
		} else {
			two.Record(d)
		}
	}
	one.Add(&two)
	slices.Sort(all)
	for _, q := range []float64{0, 0.1, 0.5, 0.9, 0.99, 0.999, 1} {
		want := all[min(int(q*float64(len(all))), len(all)-1)]
		got := one.Quantile(q)
		if diff := (got - want).Abs(); diff > want/25+2*unit {
			t.Errorf("quantile %v: %v, want %v", q, got, want)
		}
	}
	if one.Count() != 20_000 {
		t.Errorf("count %d", one.Count())
	}
	var none Histogram
	if none.Quantile(0.5) != 0 {
		t.Error("a quantile of nothing")
	}
}

func TestParseCPUTime(t *testing.T) {
	got, err := parseCPUTime([]byte("12 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 25 0 0"))
	if want := 1750 * time.Millisecond; err != nil || got != want {
		t.Errorf("%v %v, want %v", got, err, want)
	}
	for _, bad := range []string{"", "12 (a S 1", "12 (a) S 1 2", "12 (a) S 1 2 3 4 5 6 7 8 9 10 x 25"} {
		if _, err := parseCPUTime([]byte(bad)); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestParseMemory(t *testing.T) {
	got, err := parseMemory("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n")
	if want := (Memory{Resident: 1 << 20, Peak: 2 << 20}); err != nil || got != want {
		t.Errorf("%+v %v", got, err)
	}
	for _, bad := range []string{"", "VmRSS: much kB\n"} {
		if _, err := parseMemory(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestCPUTimeGrowsWithWork(t *testing.T) {
	before, err := CPUTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	own, err := OwnCPUTime()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for deadline := own + 60*time.Millisecond; own < deadline; {
		text.Reset()
		for range 1000 {
			text.WriteString("work")
		}
		if own, err = OwnCPUTime(); err != nil {
			t.Fatal(err)
		}
	}
	after, err := CPUTime(os.Getpid())
	if err != nil || after-before < 30*time.Millisecond {
		t.Errorf("%v after 60 ms of work, %v", after-before, err)
	}
	if _, err := CPUTime(1 << 30); err == nil {
		t.Error("a processor time of nobody")
	}
}
