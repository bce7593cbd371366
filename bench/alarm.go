package main

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kura-s3/kura/bench/internal/s3conn"
	"github.com/kura-s3/kura/bench/internal/stat"
)

const (
	// alarmWorkload is the name under which --only knows the alarm.
	alarmWorkload = "alarm"
	// alarmRules is how many event rules the bus has; one of them hears.
	alarmRules = 100
	// alarmChanges is how many buckets become public, one after the other and then side by side.
	alarmChanges = 200
	// alarmWait bounds the wait for one message.
	alarmWait = time.Minute
	// alarmConns is how many callers make buckets public side by side.
	alarmConns = 8
	// In the flood, so many changes a second for so long are made to buckets that stay closed, by so many callers, while
	// so many others become public.
	floodRate   = 1000
	floodTime   = 5 * time.Second
	floodConns  = 32
	floodAlarms = 20
	// leastBuckets is how many buckets all of this takes.
	leastBuckets = 2*alarmChanges + floodAlarms + floodConns + 1
	// alarmLogs is the bucket of the delivery channel; it comes after the others.
	alarmLogs = "config-logs"
	// alarmGoal is the 99th percentile that Kura wants, in milliseconds.
	alarmGoal = 1000

	alarmAccount = "111122223333"
	alarmRegion  = "us-east-1"
)

// configRules are managed rules that judge every bucket; a public bucket turns the first of them only.
var configRules = []string{
	"S3_BUCKET_PUBLIC_READ_PROHIBITED", "S3_BUCKET_PUBLIC_WRITE_PROHIBITED", "S3_BUCKET_LEVEL_PUBLIC_ACCESS_PROHIBITED",
	"S3_BUCKET_SSL_REQUESTS_ONLY", "S3_BUCKET_SERVER_SIDE_ENCRYPTION_ENABLED", "S3_DEFAULT_ENCRYPTION_KMS",
	"S3_BUCKET_VERSIONING_ENABLED", "S3_BUCKET_LOGGING_ENABLED", "S3_BUCKET_ACL_PROHIBITED", "S3_BUCKET_REPLICATION_ENABLED",
}

// AlarmResult is the time from the 200 of the call that makes a bucket public to the message about it.
// Times in milliseconds.
type AlarmResult struct {
	Target      string `json:"target"`
	Buckets     int    `json:"buckets"`
	EventRules  int    `json:"event_rules"`
	ConfigRules int    `json:"config_rules"`
	// Judged is how long the first evaluation of all buckets by all rules took.
	Judged float64 `json:"first_evaluation_ms"`
	// One change after the other; and side by side, as fast as the server answers.
	Alone   AlarmFigure `json:"alone"`
	Abreast AlarmFigure `json:"abreast"`
	// Flood is one by one, under so many changes a second to other buckets: how far detection falls behind.
	Flood     AlarmFigure `json:"flood"`
	FloodRate float64     `json:"flood_changes_per_s"`
	// FloodCPU is what one of these changes costs the server, with all that is made of it; FloodClientCPU what it costs
	// who makes it.
	FloodCPU       float64 `json:"flood_cpu_ms_per_change"`
	FloodClientCPU float64 `json:"flood_client_cpu_ms_per_change"`
}

// AlarmFigure is one way to make the changes.
type AlarmFigure struct {
	Changes uint64  `json:"changes"`
	P50     float64 `json:"p50_ms"`
	P99     float64 `json:"p99_ms"`
}

// alarms measures each Kura on an empty store of its own.
func (b *bench) alarms(ctx context.Context) (results []AlarmResult, err error) {
	if b.cfg.AlarmBuckets == 0 || len(b.cfg.Only) > 0 && !slices.Contains(b.cfg.Only, alarmWorkload) {
		return nil, nil
	}
	for i, t := range b.targets {
		if t.process == nil || t.manner.flag != manners()[0].flag {
			continue
		}
		r, err := b.alarm(ctx, t.process.binary, filepath.Join(b.dir, "alarm-"+strconv.Itoa(i)))
		if err != nil {
			return nil, fmt.Errorf("%s: alarm: %w", t.name, err)
		}
		r.Target = t.name
		results = append(results, r)
	}
	return results, nil
}

func (b *bench) alarm(ctx context.Context, binary, dir string) (AlarmResult, error) {
	r := AlarmResult{Buckets: b.cfg.AlarmBuckets, EventRules: alarmRules, ConfigRules: len(configRules)}
	process, err := newServer(binary, dir, alarmRegion)
	if err != nil {
		return r, err
	}
	process.flags = []string{"--account-id", alarmAccount}
	if _, err := process.start(ctx); err != nil {
		return r, err
	}
	defer process.kill()
	heard, err := hear()
	if err != nil {
		return r, err
	}
	defer heard.close()
	a := &alarm{site: site{endpoint: s3conn.NewEndpoint(process.addr, process.cred), payloads: b.payloads}, process: process, heard: heard}
	if err := a.prepare(ctx, &r); err != nil {
		return r, err
	}
	if r.Alone, err = a.changes(ctx, 0, 1); err != nil {
		return r, err
	}
	if r.Abreast, err = a.changes(ctx, alarmChanges, alarmConns); err != nil {
		return r, err
	}
	return r, a.flood(ctx, &r)
}

// alarm is one server, watched over, and who is told.
type alarm struct {
	site
	process *server
	heard   *receiver
}

// prepare makes the buckets, lets AWS Config judge them, and then lets the bus tell of what changes.
func (a *alarm) prepare(ctx context.Context, r *AlarmResult) error {
	err := a.each(ctx, r.Buckets-1, func(w *worker, i int) error { return makeBucket(ctx, w, alarmBucket(i)) })
	if err != nil {
		return err
	}
	began := time.Now()
	if err := a.configure(ctx); err != nil {
		return err
	}
	if err := a.judged(ctx, alarmLogs); err != nil {
		return err
	}
	r.Judged = milliseconds(time.Since(began))
	return a.listen(ctx)
}

func alarmBucket(i int) string { return fmt.Sprintf("bucket-%06d", i) }

// makeBucket makes a bucket without a block of its own.
func makeBucket(ctx context.Context, w *worker, name string) error {
	if _, err := w.do(ctx, &s3conn.Request{Method: "PUT", Path: "/" + name}); err != nil {
		return err
	}
	_, err := w.do(ctx, &s3conn.Request{Method: "DELETE", Path: "/" + name, Query: "publicAccessBlock="})
	return err
}

func (a *alarm) configure(ctx context.Context) error {
	w := &worker{site: &a.site, conn: a.endpoint.Conn()}
	defer w.conn.Close()
	if _, err := w.do(ctx, &s3conn.Request{Method: "PUT", Path: "/" + alarmLogs}); err != nil {
		return err
	}
	if err := putPolicy(ctx, w, alarmLogs, `{"Service":"config.amazonaws.com"}`, "s3:PutObject"); err != nil {
		return err
	}
	const role = "arn:aws:iam::" + alarmAccount + ":role/config"
	calls := []struct{ operation, input string }{
		{"PutConfigurationRecorder", `{"ConfigurationRecorder":{"name":"default","roleARN":"` + role + `"}}`},
		{"PutDeliveryChannel", `{"DeliveryChannel":{"name":"default","s3BucketName":"` + alarmLogs + `"}}`},
		{"StartConfigurationRecorder", `{"ConfigurationRecorderName":"default"}`},
	}
	for _, rule := range configRules {
		calls = append(calls, struct{ operation, input string }{"PutConfigRule",
			`{"ConfigRule":{"ConfigRuleName":"` + ruleName(rule) + `","Source":{"Owner":"AWS","SourceIdentifier":"` + rule + `"}}}`})
	}
	for _, c := range calls {
		if _, err := a.config(ctx, c.operation, c.input); err != nil {
			return err
		}
	}
	return nil
}

// ruleName is the name that AWS's console gives a managed rule.
func ruleName(identifier string) string {
	return strings.ToLower(strings.ReplaceAll(identifier, "_", "-"))
}

// judged waits until every rule has judged all there is, whose last in order is the given bucket.
func (a *alarm) judged(ctx context.Context, last string) error {
	for end := time.Now().Add(10 * alarmWait); time.Now().Before(end); {
		answer, err := a.config(ctx, "GetComplianceDetailsByResource", `{"ResourceType":"AWS::S3::Bucket","ResourceId":"`+last+`"}`)
		if err != nil {
			return err
		}
		if strings.Count(string(answer), `"ComplianceType"`) == len(configRules) {
			return nil
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	return errors.New("the rules did not judge all buckets in time")
}

// listen makes the event rules: one for the public buckets, the others for what does not happen.
func (a *alarm) listen(ctx context.Context) error {
	connection, err := a.events(ctx, "CreateConnection", `{"Name":"slack","AuthorizationType":"API_KEY","AuthParameters":{"ApiKeyAuthParameters":{"ApiKeyName":"x-key","ApiKeyValue":"secret"}}}`)
	if err != nil {
		return err
	}
	destination, err := a.events(ctx, "CreateApiDestination", `{"Name":"slack","ConnectionArn":"`+textOf(connection, "ConnectionArn")+
		`","HttpMethod":"POST","InvocationRateLimitPerSecond":300,"InvocationEndpoint":"`+a.heard.url+`"}`)
	if err != nil {
		return err
	}
	for i := range alarmRules {
		rule := ruleName(configRules[0])
		if i > 0 {
			rule += "-" + strconv.Itoa(i)
		}
		pattern := quote(`{"source":["aws.config"],"detail-type":["Config Rules Compliance Change"],"detail":{"configRuleName":["` + rule + `"],"newEvaluationResult":{"complianceType":["NON_COMPLIANT"]}}}`)
		if _, err := a.events(ctx, "PutRule", `{"Name":"rule-`+strconv.Itoa(i)+`","EventPattern":`+pattern+`}`); err != nil {
			return err
		}
		target := `{"Id":"slack","Arn":"` + textOf(destination, "ApiDestinationArn") + `","InputTransformer":{"InputPathsMap":{"bucket":"$.detail.resourceId"},"InputTemplate":"{\"bucket\": <bucket>}"}}`
		answer, err := a.events(ctx, "PutTargets", `{"Rule":"rule-`+strconv.Itoa(i)+`","Targets":[`+target+`]}`)
		if err == nil && !strings.Contains(string(answer), `"FailedEntryCount":0`) {
			err = fmt.Errorf("PutTargets: %s", answer)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// changes makes buckets public, from the given one on, and waits for the message about each.
func (a *alarm) changes(ctx context.Context, from, conns int) (AlarmFigure, error) {
	var mu sync.Mutex
	var times stat.Histogram
	var group sync.WaitGroup
	fails := make([]error, conns)
	for id := range conns {
		group.Go(func() {
			w := &worker{site: &a.site, id: id, conn: a.endpoint.Conn()}
			defer w.conn.Close()
			for i := id; i < alarmChanges && fails[id] == nil; i += conns {
				var took time.Duration
				if took, fails[id] = a.change(ctx, w, alarmBucket(from+i)); fails[id] == nil {
					mu.Lock()
					times.Record(took)
					mu.Unlock()
				}
			}
		})
	}
	group.Wait()
	if err := errors.Join(fails...); err != nil {
		return AlarmFigure{}, err
	}
	if more := a.heard.repeated(); len(more) > 0 {
		return AlarmFigure{}, fmt.Errorf("told more than once: %s", strings.Join(more, ", "))
	}
	return AlarmFigure{times.Count(), milliseconds(times.Quantile(0.5)), milliseconds(times.Quantile(0.99))}, nil
}

// flood changes quiet buckets at floodRate, and makes some others public meanwhile.
func (a *alarm) flood(ctx context.Context, r *AlarmResult) error {
	buckets := r.Buckets
	watched := &target{process: a.process, pid: a.process.cmd.Process.Pid}
	before := watched.counters()
	var group sync.WaitGroup
	var next atomic.Int64
	fails := make([]error, floodConns+floodAlarms)
	began := time.Now()
	const all = int64(floodRate * floodTime / time.Second)
	for id := range floodConns {
		group.Go(func() {
			w := &worker{site: &a.site, id: id, conn: a.endpoint.Conn()}
			defer w.conn.Close()
			quiet := 2*alarmChanges + floodAlarms
			for i := next.Add(1) - 1; i < all && fails[id] == nil; i = next.Add(1) - 1 {
				if fails[id] = sleep(ctx, time.Until(began.Add(time.Duration(i)*time.Second/floodRate))); fails[id] != nil {
					return
				}
				bucket := alarmBucket(quiet + int(i)%(buckets-1-quiet))
				action := [...]string{"s3:GetObject", "s3:PutObject"}[int(i)/(buckets-1-quiet)%2]
				fails[id] = putPolicy(ctx, w, bucket, `{"AWS":"arn:aws:iam::`+alarmAccount+`:root"}`, action)
			}
		})
	}
	var mu sync.Mutex
	var times stat.Histogram
	for i := range floodAlarms {
		group.Go(func() {
			w := &worker{site: &a.site, id: floodConns + i, conn: a.endpoint.Conn()}
			defer w.conn.Close()
			err := sleep(ctx, time.Until(began.Add(time.Duration(i)*floodTime/floodAlarms)))
			var took time.Duration
			if err == nil {
				took, err = a.change(ctx, w, alarmBucket(2*alarmChanges+i))
			}
			mu.Lock()
			defer mu.Unlock()
			if fails[floodConns+i] = err; err == nil {
				times.Record(took)
			}
		})
	}
	group.Wait()
	took := time.Since(began)
	after := watched.counters()
	err := errors.Join(append(fails, settled(ctx, watched))...)
	r.Flood = AlarmFigure{times.Count(), milliseconds(times.Quantile(0.5)), milliseconds(times.Quantile(0.99))}
	r.FloodRate = float64(all) / took.Seconds()
	r.FloodClientCPU = milliseconds(after.client-before.client) / float64(all)
	r.FloodCPU = milliseconds(watched.counters().server-before.server) / float64(all)
	return err
}

// settled waits until a server does next to nothing any more.
func settled(ctx context.Context, t *target) error {
	const step = 200 * time.Millisecond
	last := t.counters().server
	for end := time.Now().Add(alarmWait); time.Now().Before(end); {
		if err := sleep(ctx, step); err != nil {
			return err
		}
		now := t.counters().server
		if now-last < step/10 {
			return nil
		}
		last = now
	}
	return errors.New("the server does not come to rest")
}

// change makes one bucket public, and gives the time from the answer to the message.
func (a *alarm) change(ctx context.Context, w *worker, bucket string) (time.Duration, error) {
	message := a.heard.expect(bucket)
	if err := putPolicy(ctx, w, bucket, `"*"`, "s3:GetObject"); err != nil {
		return 0, err
	}
	answered := time.Now()
	select {
	case at := <-message:
		return max(at.Sub(answered), 0), nil
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(alarmWait):
		return 0, fmt.Errorf("nobody was told of %s", bucket)
	}
}

func putPolicy(ctx context.Context, w *worker, bucket, principal, action string) error {
	body := []byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":` + principal + `,"Action":["` + action + `","s3:GetBucketAcl"],"Resource":["arn:aws:s3:::` + bucket + `","arn:aws:s3:::` + bucket + `/*"]}]}`)
	sum := md5.Sum(body)
	_, err := w.do(ctx, &s3conn.Request{Method: "PUT", Path: "/" + bucket, Query: "policy=", Body: body, PayloadHash: hashOf(body),
		Header: []s3conn.Header{{Name: "content-md5", Value: base64.StdEncoding.EncodeToString(sum[:])}}})
	return err
}

func (a *alarm) config(ctx context.Context, operation, input string) ([]byte, error) {
	return a.process.json(ctx, "config", "StarlingDoveService."+operation, input)
}

func (a *alarm) events(ctx context.Context, operation, input string) ([]byte, error) {
	return a.process.json(ctx, "events", "AWSEvents."+operation, input)
}

// textOf is a member of an answer.
func textOf(answer []byte, name string) string {
	var members map[string]any
	// What is not there is "", which the next call refuses.
	_ = json.Unmarshal(answer, &members)
	text, _ := members[name].(string)
	return text
}

func quote(s string) string {
	raw, _ := json.Marshal(s) // of a string: no error
	return string(raw)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// receiver is who is told.
type receiver struct {
	url   string
	close func() error

	mu    sync.Mutex
	first map[string]chan time.Time // by bucket
	count map[string]int
}

func hear() (*receiver, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	h := &receiver{url: "http://" + l.Addr().String() + "/hook", first: map[string]chan time.Time{}, count: map[string]int{}}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	go srv.Serve(l)
	h.close = srv.Close
	return h, nil
}

// expect gives the time of the first message about a bucket.
func (h *receiver) expect(bucket string) <-chan time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.first[bucket] = make(chan time.Time, 1)
	return h.first[bucket]
}

func (h *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	at := time.Now()
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<16))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	bucket := textOf(body, "bucket")
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.count[bucket]++; h.count[bucket] == 1 && h.first[bucket] != nil {
		h.first[bucket] <- at
	}
}

// repeated are the buckets of which more than one message told.
func (h *receiver) repeated() (buckets []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, bucket := range slices.Sorted(maps.Keys(h.count)) {
		if h.count[bucket] > 1 {
			buckets = append(buckets, bucket)
		}
	}
	return buckets
}

func printAlarms(out io.Writer, results []AlarmResult) {
	for _, r := range results {
		fmt.Fprintf(out, "%s: a bucket becomes public, with %s buckets, %d event rules, %d Config rules (first evaluation of all: %s ms); from the answer to the message:\n",
			r.Target, count(float64(r.Buckets)), r.EventRules, r.ConfigRules, count(r.Judged))
		for _, f := range []struct {
			how string
			AlarmFigure
		}{{"one by one", r.Alone}, {strconv.Itoa(alarmConns) + " at a time", r.Abreast}, {"under " + count(r.FloodRate) + " other changes a second", r.Flood}} {
			fmt.Fprintf(out, "  %-12s p50 %.1f ms, p99 %.1f ms of %d  goal: p99 %d ms\n", f.how, f.P50, f.P99, f.Changes, alarmGoal)
		}
		fmt.Fprintf(out, "  each of these other changes: CPU %.3f ms, client %.3f ms\n", r.FloodCPU, r.FloodClientCPU)
	}
}
