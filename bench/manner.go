package main

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/kura-s3/kura/bench/internal/s3conn"
)

// manner is what a Kura is set to do beside serving, so that its price can be read off a run.
type manner struct {
	flag, name, help string
	// flags of the server.
	flags []string
	// prepare sets it to work once the buckets are there.
	prepare func(ctx context.Context, t *target) error
	// beforeRound gives it work for a round, outside the measured time; nil for none.
	beforeRound func(ctx context.Context, t *target) error
}

const (
	mannerAccount = "111122223333"
	logBucket     = "bench-logs"
	feedBucket    = "bench-feed"
	copyBucket    = "bench-copies"
	// feedRound is how many objects a round of a busy server has to replicate, and later to expire.
	feedRound = 4000
)

func manners() []manner {
	account := []string{"--account-id", mannerAccount}
	return []manner{
		{flag: "kura", name: "kura", help: "start this Kura binary", prepare: func(context.Context, *target) error { return nil }},
		{flag: "kms", name: "kura SSE-KMS", help: "with buckets that encrypt with SSE-KMS under a bucket key", prepare: encryptBuckets},
		{flag: "recorded", name: "kura recorded", help: "with a trail of all data events and access logs of all buckets",
			flags: append([]string{"--log-interval", "5s"}, account...), prepare: recordBuckets},
		{flag: "watched", name: "kura watched", help: "that looks for signs of an attack (a GuardDuty detector)", flags: account, prepare: watch},
		{flag: "busy", name: "kura busy", help: "that replicates, expires and scrubs all the while",
			flags:   append([]string{"--lifecycle-day", "3s", "--scrub-interval", "20s"}, account...),
			prepare: replicateAndExpire, beforeRound: feed},
	}
}

// put sends a sub-resource of a bucket.
func (t *target) put(ctx context.Context, bucket, query, body string) error {
	conn := t.endpoint.Conn()
	defer conn.Close()
	text := []byte(body)
	sum := md5.Sum(text)
	resp, err := conn.Do(ctx, &s3conn.Request{Method: "PUT", Path: "/" + bucket, Query: query, Body: text, PayloadHash: hashOf(text),
		Header: []s3conn.Header{{Name: "content-md5", Value: base64.StdEncoding.EncodeToString(sum[:])}}})
	if err == nil {
		err = resp.Err()
	}
	if err != nil {
		return fmt.Errorf("PUT %s?%s: %w", bucket, query, err)
	}
	return nil
}

func encryptBuckets(ctx context.Context, t *target) error {
	for _, bucket := range []string{objectBucket, listBucket} {
		err := t.put(ctx, bucket, "encryption=", `<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>`+
			`<SSEAlgorithm>aws:kms</SSEAlgorithm></ApplyServerSideEncryptionByDefault><BucketKeyEnabled>true</BucketKeyEnabled></Rule></ServerSideEncryptionConfiguration>`)
		if err != nil {
			return err
		}
	}
	return nil
}

// recordBuckets has every request of the workloads in a trail and in an access log.
func recordBuckets(ctx context.Context, t *target) error {
	policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"cloudtrail.amazonaws.com"},"Action":"s3:GetBucketAcl","Resource":"arn:aws:s3:::` + logBucket +
		`"},{"Effect":"Allow","Principal":{"Service":["cloudtrail.amazonaws.com","logging.s3.amazonaws.com"]},"Action":"s3:PutObject","Resource":"arn:aws:s3:::` + logBucket + `/*"}]}`
	steps := []func() error{
		func() error { return t.put(ctx, logBucket, "", "") },
		func() error { return t.put(ctx, logBucket, "policy=", policy) },
	}
	for _, bucket := range []string{objectBucket, listBucket} {
		steps = append(steps, func() error {
			return t.put(ctx, bucket, "logging=", `<BucketLoggingStatus><LoggingEnabled><TargetBucket>`+logBucket+`</TargetBucket><TargetPrefix>`+
				bucket+`/</TargetPrefix></LoggingEnabled></BucketLoggingStatus>`)
		})
	}
	for _, call := range [][2]string{
		{"CreateTrail", `{"Name":"bench","S3BucketName":"` + logBucket + `"}`},
		{"PutEventSelectors", `{"TrailName":"bench","EventSelectors":[{"ReadWriteType":"All","IncludeManagementEvents":true,"DataResources":[{"Type":"AWS::S3::Object","Values":["arn:aws:s3:::` +
			objectBucket + `/","arn:aws:s3:::` + listBucket + `/"]}]}]}`},
		{"StartLogging", `{"Name":"bench"}`},
	} {
		steps = append(steps, func() error {
			_, err := t.process.json(ctx, "cloudtrail", "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101."+call[0], call[1])
			return err
		})
	}
	return inOrder(steps)
}

func watch(ctx context.Context, t *target) error {
	_, err := t.process.call(ctx, "guardduty", "/detector", `{"enable":true}`, s3conn.Header{Name: "content-type", Value: "application/json"})
	return err
}

// replicateAndExpire has a bucket whose objects are copied to another one, and expire in both.
func replicateAndExpire(ctx context.Context, t *target) error {
	const role = "arn:aws:iam::" + mannerAccount + ":role/bench-replication"
	expire := `<LifecycleConfiguration><Rule><ID>all</ID><Status>Enabled</Status><Filter><Prefix></Prefix></Filter><Expiration><Days>1</Days></Expiration>` +
		`<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration></Rule></LifecycleConfiguration>`
	versions := `<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>`
	return inOrder([]func() error{
		func() error { return t.put(ctx, feedBucket, "", "") },
		func() error { return t.put(ctx, copyBucket, "", "") },
		func() error { return t.put(ctx, feedBucket, "versioning=", versions) },
		func() error { return t.put(ctx, copyBucket, "versioning=", versions) },
		func() error {
			return t.process.query(ctx, "iam", "2010-05-08", url.Values{"Action": {"CreateRole"}, "RoleName": {"bench-replication"}, "AssumeRolePolicyDocument": {
				`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"s3.amazonaws.com"},"Action":"sts:AssumeRole"}}`}})
		},
		func() error {
			return t.process.query(ctx, "iam", "2010-05-08", url.Values{"Action": {"PutRolePolicy"}, "RoleName": {"bench-replication"}, "PolicyName": {"all"}, "PolicyDocument": {
				`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}`}})
		},
		func() error {
			return t.put(ctx, feedBucket, "replication=", `<ReplicationConfiguration><Role>`+role+`</Role><Rule><ID>all</ID><Status>Enabled</Status><Priority>1</Priority><Filter></Filter>`+
				`<DeleteMarkerReplication><Status>Disabled</Status></DeleteMarkerReplication><Destination><Bucket>arn:aws:s3:::`+copyBucket+`</Bucket></Destination></Rule></ReplicationConfiguration>`)
		},
		func() error { return t.put(ctx, feedBucket, "lifecycle=", expire) },
		func() error { return t.put(ctx, copyBucket, "lifecycle=", expire) },
	})
}

// feed writes what a busy server then replicates and expires.
func feed(ctx context.Context, t *target) error {
	return t.each(ctx, feedRound, func(w *worker, i int) error {
		return w.put(ctx, "/"+feedBucket+"/"+strconv.Itoa(int(w.fresh.Add(1))), w.payloads.small)
	})
}

func inOrder(steps []func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// json is a call of a service that speaks JSON 1.1.
func (s *server) json(ctx context.Context, service, operation, input string) ([]byte, error) {
	return s.call(ctx, service, "/", input, s3conn.Header{Name: "content-type", Value: "application/x-amz-json-1.1"}, s3conn.Header{Name: "x-amz-target", Value: operation})
}

// query is a call of a service that speaks the query protocol.
func (s *server) query(ctx context.Context, service, version string, form url.Values) error {
	form.Set("Version", version)
	_, err := s.call(ctx, service, "/", form.Encode(), s3conn.Header{Name: "content-type", Value: "application/x-www-form-urlencoded"})
	return err
}

// callTimeout bounds a call that sets a server up.
const callTimeout = 30 * time.Second

func (s *server) call(ctx context.Context, service, path, body string, header ...s3conn.Header) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	cred := s.cred
	cred.Service = service
	conn := s3conn.NewEndpoint(s.addr, cred).Conn()
	defer conn.Close()
	resp, err := conn.Do(ctx, &s3conn.Request{Method: "POST", Path: path, Body: []byte(body), PayloadHash: hashOf([]byte(body)), Header: header})
	if err == nil && resp.Err() != nil {
		err = fmt.Errorf("%s %.60s: %s", service, strings.TrimSpace(body), resp.Body)
	}
	return resp.Body, err
}
