package audit

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/kura-s3/kura/policy"
)

// made is an event of a population: a thousand people, a hundred buckets, a million keys, one in a
// hundred refused, a minute of history each thousand events.
func made(i int) *Event {
	user := "user" + strconv.Itoa(i%997)
	ev := &Event{
		ID: fmt.Sprintf("%016X", i), RequestID: fmt.Sprintf("%016X", i), Time: time.Unix(1_760_000_000, 0).Add(time.Duration(i) * 600 * time.Millisecond),
		Service: "s3", Operation: "GetObject", Class: Data, ReadOnly: true, Method: "GET", Region: "us-east-1", TLS: "1.3", Cipher: "TLS_AES_128_GCM_SHA256",
		Bucket: "bucket" + strconv.Itoa(i%101), Key: "dir/" + strconv.Itoa(i%1_000_003), Host: "s3.example.test", Status: 200, BytesOut: 4096, ObjectSize: 4096,
		SourceIP: fmt.Sprintf("198.51.%d.%d", i/7%256, i%251), UserAgent: "aws-sdk-go-v2/1.30 os/linux lang/go#1.26", AuthType: "header", SignatureVersion: "SigV4",
		AccessKey: "AKIA" + user, HostID: "s9lzHYrFp76ZVxRcpX9+5cjAnEH2ROuNkd2BHfIa6UkFVdtjf5mKR3/eTPFvsiP/XV/VLi31234=",
		Principal: policy.Principal{Type: policy.IAMUser, Account: "111122223333", ARN: "arn:aws:iam::111122223333:user/" + user, UserID: "AIDA" + user, Name: user},
		Bare:      true, Duration: 300 * time.Microsecond,
	}
	ev.Decisions = []Decision{{Action: "s3:GetObject", Resource: "arn:aws:s3:::" + ev.Bucket + "/" + ev.Key, Account: "111122223333", Allowed: i%100 != 0}}
	if i%100 == 0 {
		ev.Decisions[0].Reason, ev.ErrorCode, ev.Status = "no identity-based policy allows the s3:GetObject action", "AccessDenied", 403
	}
	return ev
}

func BenchmarkLines(b *testing.B) {
	b.ReportAllocs()
	ev := made(1)
	e := &encoder{}
	for b.Loop() {
		e.lines(ev, CategoryData)
	}
}

func BenchmarkAppend(b *testing.B) {
	j := open(b, JournalConfig{})
	b.ReportAllocs()
	ev, e := made(1), &encoder{}
	for b.Loop() {
		if err := j.Append(false, e.lines(ev, CategoryData)...); err != nil {
			time.Sleep(time.Millisecond)
		}
	}
}

// BenchmarkEvent is what a data event costs from the request to a reader of the journal: made, chained, written,
// sealed and read, in processor time of this process.
func BenchmarkEvent(b *testing.B) {
	for name, parameters := range map[string][]byte{"data": nil, "record": []byte(`{"Host":"s3.example.test","bucketName":"bucket1","key":"dir/1"}`)} {
		b.Run(name, func(b *testing.B) {
			j := open(b, JournalConfig{})
			e, ev := &encoder{}, made(1)
			ev.Parameters, ev.Bare = parameters, parameters == nil
			r := j.Reader(0)
			defer r.Close()
			b.ReportAllocs()
			b.ResetTimer()
			started := processorTime(b)
			for i := range b.N {
				ev.Key = keys[i%len(keys)]
				if err := j.Append(i%2000 == 1999, e.lines(ev, CategoryData)...); err != nil {
					b.Fatal(err)
				}
				if i%2000 == 1999 {
					if _, err := r.Ready(2000); err != nil {
						b.Fatal(err)
					}
				}
			}
			if err := j.Close(); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(processorTime(b)-started)/float64(b.N), "cpu-ns/op")
		})
	}
}

var keys = func() (all [1000]string) {
	for i := range all {
		all[i] = "dir/" + strconv.Itoa(i*7919)
	}
	return all
}()

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkPopulation fills a journal with KURA_BENCH_EVENTS events (default 200,000) in KURA_BENCH_DIR
// and measures what an auditor does. The figures of docs/audit.md are of 10,000,000.
func BenchmarkPopulation(b *testing.B) {
	total := 200_000
	if n, err := strconv.Atoi(os.Getenv("KURA_BENCH_EVENTS")); err == nil {
		total = n
	}
	dir := os.Getenv("KURA_BENCH_DIR")
	if dir == "" {
		dir = b.TempDir()
	}
	if all, err := segments(dir, StreamData); err != nil || len(all) == 0 {
		fill(b, dir, total)
	}
	run := func(name string, f func(b *testing.B)) { b.Run(name, f) }
	run("verify", func(b *testing.B) {
		for b.Loop() {
			r, err := Verify(context.Background(), VerifyConfig{Dir: dir, Key: testKey.Public().(ed25519.PublicKey)}, StreamData)
			if err != nil || !r.Sound() || r.Events != uint64(total) {
				b.Fatal(err, r)
			}
		}
	})
	mid := total / 2
	for name, q := range map[string]Query{
		"one key":               {Bucket: made(mid).Bucket, Key: made(mid).Key},
		"one key in three days": {Bucket: made(mid).Bucket, Key: made(mid).Key, Since: made(mid).Time.Add(-36 * time.Hour), Until: made(mid).Time.Add(36 * time.Hour)},
		"decision id":           {ID: made(mid).ID},
		"last 50 of a user":     {User: made(mid).Principal.ARN, Newest: true},
		"refusals of a day":     {Decision: "denied", Since: made(mid).Time, Until: made(mid).Time.Add(24 * time.Hour)},
		"nobody":                {User: "nobody"},
	} {
		run(name, func(b *testing.B) {
			for b.Loop() {
				n := 0
				if err := Find(context.Background(), dir, StreamData, &q, func(*Entry) bool { n++; return !q.Newest || n < 50 }); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(n), "found")
			}
		})
	}
}

func fill(b *testing.B, dir string, total int) {
	b.Helper()
	started := time.Now()
	j, err := OpenJournal(JournalConfig{Dir: dir, Stream: StreamData, Key: testKey, Log: slog.New(slog.DiscardHandler), Node: "n"})
	if err != nil {
		b.Fatal(err)
	}
	for i := range total {
		for j.Append(false, Lines(made(i), CategoryData)...) != nil {
			b.Fatal("a line was lost")
		}
		if i%2000 == 1999 {
			if err := j.Append(true); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := j.Close(); err != nil {
		b.Fatal(err)
	}
	size := int64(0)
	all, err := segments(dir, StreamData)
	if err != nil {
		b.Fatal(err)
	}
	for _, s := range all {
		size += s.size
	}
	b.Logf("%d events in %v, %d segments, %d MiB", total, time.Since(started).Round(time.Millisecond), len(all), size>>20)
}
