package app

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/authz/authztest"
	"github.com/kura-s3/kura/internal/engine/pebblemeta"
	"github.com/kura-s3/kura/internal/event"
	"github.com/kura-s3/kura/internal/event/queue"
	"github.com/kura-s3/kura/internal/posture"
	"github.com/kura-s3/kura/internal/posture/recorder"
	"github.com/kura-s3/kura/policy"
)

// manyBuckets is a Source of buckets, each read anew whenever it is asked for.
type manyBuckets struct {
	posture.Source
	names []string
}

const benchAccount = "111122223333"

func (b *manyBuckets) Accounts() []string { return []string{benchAccount} }
func (b *manyBuckets) Has(string) bool    { return true }
func (b *manyBuckets) IDs(_ context.Context, _, typ string) ([]string, error) {
	if typ == posture.TypeBucket {
		return b.names, nil
	}
	return nil, nil
}
func (b *manyBuckets) Resource(_ context.Context, _, typ, id string) (*posture.Resource, error) {
	if typ != posture.TypeBucket {
		return nil, nil
	}
	raw, err := json.Marshal(map[string]any{
		"Name": id, "Owner": map[string]string{"Account": benchAccount, "Canonical": strings.Repeat("a", 64)}, "Created": time.Unix(1, 0),
		"Settings": map[string][]byte{"policy": fmt.Appendf(nil, `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::%s","arn:aws:s3:::%s/*"],"Condition":{"Bool":{"aws:SecureTransport":"false"}}}]}`, id, id)},
	})
	if err != nil {
		return nil, err
	}
	return posture.BucketFrom(raw)
}
func (b *manyBuckets) Block(string) posture.Block { return posture.Block{} }
func (b *manyBuckets) Zone(account string, _ bool, _, _ []string) policy.Zone {
	return policy.Zone{Accounts: []string{account}}
}

// anyBucket takes what AWS Config delivers.
type anyBucket struct{}

func (anyBucket) Exists(string) bool                                                   { return true }
func (anyBucket) Put(context.Context, *recorder.Channel, string, string, []byte) error { return nil }

// bucketRules are the managed rules about buckets, as often as it takes to be twenty.
var bucketRules = strings.Fields(`S3_BUCKET_PUBLIC_READ_PROHIBITED S3_BUCKET_PUBLIC_WRITE_PROHIBITED S3_BUCKET_LEVEL_PUBLIC_ACCESS_PROHIBITED
	S3_BUCKET_SSL_REQUESTS_ONLY S3_BUCKET_SERVER_SIDE_ENCRYPTION_ENABLED S3_DEFAULT_ENCRYPTION_KMS S3_BUCKET_VERSIONING_ENABLED S3_BUCKET_LOGGING_ENABLED
	S3_BUCKET_ACL_PROHIBITED S3_BUCKET_REPLICATION_ENABLED S3_BUCKET_DEFAULT_LOCK_ENABLED`)

// BenchmarkFirstEvaluation judges 10,000 buckets by 20 rules, for the first time.
func BenchmarkFirstEvaluation(b *testing.B) {
	for _, pattern := range []string{"", `{"source":["aws.config"],"detail-type":["Config Rules Compliance Change"],"detail":{"configRuleName":["r0"],"newEvaluationResult":{"complianceType":["NON_COMPLIANT"]}}}`} {
		name := "unheard"
		if pattern != "" {
			name = "heard"
		}
		b.Run(name, func(b *testing.B) {
			for range b.N {
				firstEvaluation(b, pattern, 10_000, 20)
			}
		})
	}
}

func firstEvaluation(b *testing.B, pattern string, buckets, rules int) {
	b.StopTimer()
	ctx, log := b.Context(), slog.New(slog.DiscardHandler)
	meta, err := pebblemeta.Open(pebblemeta.Config{Dir: b.TempDir()})
	check := func(err error) {
		if err != nil {
			b.Helper()
			b.Fatal(err)
		}
	}
	check(err)
	defer meta.Close()
	grant := authztest.Grant(b, "*", "*")
	deliveries, err := queue.Open(ctx, queue.Config{Meta: meta})
	check(err)
	s := &server{log: log}
	events, err := event.Open(ctx, event.Config{Meta: meta, Queue: deliveries, Region: "us-east-1", Log: log})
	check(err)
	s.bus, err = events.Publisher(grant)
	check(err)
	if pattern != "" {
		_, err = events.PutRule(ctx, grant, event.RuleSpec{Account: benchAccount, Bus: event.DefaultBus, Name: "r", State: event.Enabled, Pattern: pattern})
		check(err)
	}
	source := &manyBuckets{}
	for i := range buckets {
		source.names = append(source.names, fmt.Sprintf("bucket-%05d", i))
	}
	r, err := recorder.Open(ctx, recorder.Config{Meta: meta, Source: source, Region: "us-east-1", Publish: s.publishPosture, Heard: events.Heard, Deliver: anyBucket{}, Log: log})
	check(err)
	check(r.PutRecorder(ctx, grant, benchAccount, recorder.Recorder{RoleARN: "arn:aws:iam::" + benchAccount + ":role/config", Group: recorder.Group{AllSupported: true}}))
	check(r.PutChannel(ctx, grant, benchAccount, recorder.Channel{Bucket: "logs"}))
	check(r.StartRecorder(ctx, grant, benchAccount, "default"))
	for i := range rules {
		check(r.PutRule(ctx, grant, benchAccount, recorder.Rule{Name: fmt.Sprint("r", i), Identifier: bucketRules[i%len(bucketRules)]}))
	}
	b.StartTimer()
	work, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); r.Work(work) }()
	for {
		all, err := r.Rules(grant, "config:DescribeConfigRules", benchAccount, nil)
		check(err)
		left := 0
		for _, ru := range all {
			if ru.Status.LastPass.IsZero() {
				left++
			}
		}
		if left == 0 {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	cancel()
	<-done
}
