package accesslog

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

// ruled gives the lines of what rules did to the bucket "source", as they are delivered.
func ruled(t *testing.T, did ...Ruled) []string {
	t.Helper()
	s := spool(t, t.TempDir(), logged(t, Target{Bucket: "logs"}), func() time.Time { return time.Date(2026, 2, 6, 0, 0, 38, 0, time.UTC) })
	for i := range did {
		s.TakeRuled("source", &did[i])
	}
	to := &store{}
	if err := NewDeliverer(DelivererConfig{Spool: s, S3: to.OnBehalf, Region: "us-east-1"}).Deliver(t.Context()); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, body := range to.objects {
		all = append(all, strings.Split(strings.TrimSuffix(body, "\n"), "\n")...)
	}
	if len(all) != len(did) {
		t.Fatalf("%d lines for %d actions: %q", len(all), len(did), all)
	}
	return all
}

func TestTheLineOfARuleIsAWSs(t *testing.T) {
	line := ruled(t, Ruled{Operation: ExpireObject, Key: "a/b c", VersionID: "v1", Size: 440561})[0]
	want := regexp.MustCompile(`^79a59df9 source \[06/Feb/2026:00:00:38 \+0000\] - AmazonS3 [0-9A-F]{16} S3\.EXPIRE\.OBJECT a/b%2520c "-" - - - 440561 - - "-" "-" v1 - - - - - - - -$`)
	if !want.MatchString(line) || !published.MatchString(line) {
		t.Errorf("got  %s\nwant %s", line, want)
	}
}

func TestTheOperationsOfRules(t *testing.T) {
	for _, c := range []struct {
		did  Ruled
		want string
	}{
		{Ruled{Operation: ExpireObject}, "S3.EXPIRE.OBJECT"},
		{Ruled{Operation: CreateDeleteMarker}, "S3.CREATE.DELETEMARKER"},
		{Ruled{Operation: DeleteUpload}, "S3.DELETE.UPLOAD"},
		{Ruled{Operation: TransitionObject, Class: "STANDARD_IA"}, "S3.TRANSITION_SIA.OBJECT"},
		{Ruled{Operation: TransitionObject, Class: "ONEZONE_IA"}, "S3.TRANSITION_ZIA.OBJECT"},
		{Ruled{Operation: TransitionObject, Class: "INTELLIGENT_TIERING"}, "S3.TRANSITION_INT.OBJECT"},
		{Ruled{Operation: TransitionObject, Class: "GLACIER_IR"}, "S3.TRANSITION_GIR.OBJECT"},
		{Ruled{Operation: TransitionObject, Class: "GLACIER"}, "S3.TRANSITION.OBJECT"},
		{Ruled{Operation: TransitionObject, Class: "DEEP_ARCHIVE"}, "S3.TRANSITION_GDA.OBJECT"},
	} {
		c.did.Key = "k"
		m := published.FindStringSubmatch(ruled(t, c.did)[0])
		if m == nil || m[7] != c.want || m[5] != "AmazonS3" || m[9] != `"-"` || m[13] != "-" || m[18] != "-" {
			t.Errorf("%+v: %q", c.did, m)
		}
	}
}

func TestNoKeyOfARuleMakesAnotherLineOrField(t *testing.T) {
	for _, key := range []string{"a\r\nb", `quote"quote`, "ünïcödé 蔵", "\x00\x1b[31m", "\xff", "k \"-\" - - -\n79a59df9 source"} {
		m := published.FindStringSubmatch(ruled(t, Ruled{Operation: ExpireObject, Key: key, Size: 7})[0])
		if m == nil || m[7] != ExpireObject || m[9] != `"-"` || m[13] != "7" || m[26] != "-" {
			t.Errorf("%q: %q", key, m)
		}
	}
}

func TestRulesOfOtherBucketsHaveNoLines(t *testing.T) {
	s := spool(t, t.TempDir(), logged(t, Target{Bucket: "logs"}), nil)
	did := &Ruled{Operation: ExpireObject, Key: "k"}
	for _, name := range []string{"logs", "none"} {
		s.TakeRuled(name, did)
	}
	if len(s.buffer) != 0 {
		t.Errorf("%s", s.buffer)
	}
	if n := testing.AllocsPerRun(100, func() { s.TakeRuled("logs", did) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// What rules do faster than a disk takes is dropped by number, and memory is bounded.
func TestTooManyLinesOfRulesAreDropped(t *testing.T) {
	s := spool(t, t.TempDir(), logged(t, Target{Bucket: "logs"}), nil)
	did := &Ruled{Operation: ExpireObject, Key: strings.Repeat("k", 1024)}
	for range 20_000 {
		s.TakeRuled("source", did)
	}
	if s.dropped == 0 || len(s.buffer) > maxBuffer+4<<10 {
		t.Errorf("%d bytes are held, %d lines were dropped", len(s.buffer), s.dropped)
	}
}

// BenchmarkTakeRuled is what an action of a rule pays for its line.
func BenchmarkTakeRuled(b *testing.B) {
	s := spool(b, b.TempDir(), logged(b, Target{Bucket: "logs"}), nil)
	var did [256]Ruled
	for i := range did {
		did[i] = Ruled{Operation: ExpireObject, Key: fmt.Sprintf("some/prefix/%08d", i), Size: 4096}
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s.TakeRuled("source", &did[i%len(did)])
		if i%4096 == 0 {
			s.buffer = s.buffer[:0]
		}
	}
}
