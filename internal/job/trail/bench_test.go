package trail

import (
	"fmt"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/policy"
)

// BenchmarkDelivery is what a data event costs from the end of its request to the log file, in processor time of
// this process: asked about, recorded, and delivered in files as a server does every 15 s. It has a file of
// the last 10,000 events at the end.
func BenchmarkDelivery(b *testing.B) {
	for _, validated := range []bool{false, true} {
		b.Run("validated="+strconv.FormatBool(validated), func(b *testing.B) {
			h := newHarness(b)
			tr := h.trail(b)
			if _, err := h.Update(b.Context(), h.grant, "cloudtrail:UpdateTrail", tr.ARN(), func(t *Trail) error {
				t.Validation = validated
				t.Selectors = []Selector{{ReadWriteType: "All", Management: true, Data: []DataResource{{Type: objectType, Values: []string{"arn:aws:s3:::bench-objects/"}}}}}
				return nil
			}); err != nil {
				b.Fatal(err)
			}
			ev := &audit.Event{
				Service: "s3", Operation: "GetObject", Class: audit.Data, ReadOnly: true, Method: "GET", Region: "us-east-1", Bucket: "bench-objects", Host: "127.0.0.1:9000",
				SourceIP: "127.0.0.1", UserAgent: "kura-bench", AuthType: "header", SignatureVersion: "SigV4", Status: 200, BytesOut: 4096, ObjectSize: 4096, AccessKey: "AKIAIOSFODNN7EXAMPLE",
				Principal: policy.Principal{Type: policy.RootUser, Account: account, ARN: "arn:aws:iam::111122223333:root", UserID: account}, Bare: true, Duration: 300 * time.Microsecond,
				Decisions: []audit.Decision{{Action: "s3:GetObject", Account: account, Allowed: true}},
			}
			events := make([]audit.Event, 1000)
			for i := range events {
				e := *ev
				e.Key = fmt.Sprintf("4096/%08d", i)
				e.URI = "/bench-objects/" + e.Key
				e.ID = fmt.Sprintf("%016X", uint64(i)*0x9e3779b97f4a7c15)
				e.RequestID, e.HostID = e.ID, fmt.Sprintf("%076x", uint64(i)*0x9e3779b97f4a7c15)
				e.Decisions = []audit.Decision{{Action: "s3:GetObject", Resource: "arn:aws:s3:::bench-objects/" + e.Key, Account: account, Allowed: true}}
				e.Time = time.Unix(1_760_000_000, 0).Add(time.Duration(i) * time.Millisecond)
				events[i] = e
			}
			b.ReportAllocs()
			b.ResetTimer()
			started := processorTime(b)
			for i := range b.N {
				e := events[i%len(events)]
				if !h.record.Wants(&e) {
					b.Fatal("not wanted")
				}
				if err := h.record.Complete(b.Context(), &e); err != nil {
					b.Fatal(err)
				}
				if i%10_000 == 9_999 || i == b.N-1 {
					for last := h.record.Data().Last(); ; {
						time.Sleep(300 * time.Millisecond) // the journal's time to fsync
						if next := h.record.Data().Last(); next == last {
							break
						} else {
							last = next
						}
					}
					h.deliver(b.Context(), tr)
				}
			}
			b.ReportMetric(float64(processorTime(b)-started)/float64(b.N), "cpu-ns/op")
		})
	}
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
