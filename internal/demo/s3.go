package demo

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// s3: AWS Config's rules, the article's event pattern, and a message, with an API destination where the article
// has a function; then the guard that refuses such a change before it happens.
func s3(t *tour) {
	const bucket, read, write = "salaries", "s3-bucket-public-read-prohibited", "s3-bucket-public-write-prohibited"
	t.show("AWS Config watches over the buckets, by two managed rules")
	t.bucket("config-logs")
	role := t.role("config", object{"Service": "config.amazonaws.com"}, document(allow("s3:*", []string{"arn:aws:s3:::config-logs", "arn:aws:s3:::config-logs/*"})))
	t.json(t.admin, "config", "PutConfigurationRecorder", object{"ConfigurationRecorder": object{"name": "default", "roleARN": role}})
	t.json(t.admin, "config", "PutDeliveryChannel", object{"DeliveryChannel": object{"name": "default", "s3BucketName": "config-logs"}})
	t.json(t.admin, "config", "StartConfigurationRecorder", object{"ConfigurationRecorderName": "default"})
	for _, rule := range []string{read, write} {
		t.json(t.admin, "config", "PutConfigRule", object{"ConfigRule": object{"ConfigRuleName": rule, "Source": object{
			"Owner": "AWS", "SourceIdentifier": strings.ToUpper(strings.ReplaceAll(rule, "-", "_")),
		}}})
	}

	t.show("What they find goes to Slack (here: a receiver on this machine)")
	slack := t.listen()
	defer slack.close()
	connection := t.json(t.admin, "events", "CreateConnection", object{
		"Name": "slack", "AuthorizationType": "API_KEY", "AuthParameters": object{"ApiKeyAuthParameters": object{"ApiKeyName": "X-Demo", "ApiKeyValue": "the address is the secret"}},
	}, showing(func(a *answer) string { return a.member("ConnectionArn") }))
	destination := t.json(t.admin, "events", "CreateApiDestination", object{
		"Name": "slack", "ConnectionArn": connection.member("ConnectionArn"), "HttpMethod": "POST", "InvocationEndpoint": slack.url, "InvocationRateLimitPerSecond": 10,
	}, showing(func(a *answer) string { return a.member("ApiDestinationArn") }))
	t.json(t.admin, "events", "PutRule", object{"Name": "s3-public", "EventPattern": text(object{
		"source": []string{"aws.config"}, "detail-type": []string{"Config Rules Compliance Change"},
		"detail": object{"configRuleName": []string{write, read}, "newEvaluationResult": object{"complianceType": []string{"NON_COMPLIANT"}}},
	})})
	t.json(t.admin, "events", "PutTargets", object{"Rule": "s3-public", "Targets": []object{{
		"Id": "slack", "Arn": destination.member("ApiDestinationArn"), "InputTransformer": object{
			"InputPathsMap": object{"account": "$.account", "bucket": "$.detail.resourceId", "why": "$.detail.newEvaluationResult.annotation"},
			"InputTemplate": `{"username":"demo <account>","text":"<bucket> is public. <why>"}`,
		},
	}}})

	t.show("Somebody makes a bucket public, while it is still empty")
	t.bucket(bucket)
	t.unblock(bucket)
	t.bucketPolicy(bucket, readAll(bucket))
	opened := time.Now()
	var message string
	t.until("Slack hears of it", func() bool { message = slack.heard(bucket); return message != "" })
	t.tell("slack", fmt.Sprintf("← POST %s, after %d ms", slack.url, time.Since(opened).Milliseconds()), message)
	t.json(t.admin, "config", "GetComplianceDetailsByConfigRule", object{"ConfigRuleName": read, "ComplianceTypes": []string{"NON_COMPLIANT"}}, showing(func(a *answer) string {
		return a.member("EvaluationResults", "", "EvaluationResultIdentifier", "EvaluationResultQualifier", "ResourceId") + ": " + a.member("EvaluationResults", "", "Annotation")
	}))

	t.show("The bucket is closed again, and the rule says so")
	t.s3(t.admin, "DeleteBucketPolicy", "DELETE", "/"+bucket+"?policy", "", "--bucket "+bucket)
	compliance := func(a *answer) string { return a.member("ComplianceByConfigRules", "", "Compliance", "ComplianceType") }
	t.until("the rule is met again", func() bool {
		return compliance(t.json(t.admin, "config", "DescribeComplianceByConfigRule", object{"ConfigRuleNames": []string{read}}, quietly)) == "COMPLIANT"
	})
	t.json(t.admin, "config", "DescribeComplianceByConfigRule", object{"ConfigRuleNames": []string{read}}, showing(compliance))

	t.show("Better than to hear of it: a guard refuses the change before it happens, and says whom it would have let in")
	t.query(t.admin, "iam", "PutUserPolicy", map[string]string{"UserName": "admin", "PolicyName": "guard", "PolicyDocument": document(object{
		"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": object{"Bool": object{"kura:ExposesData": "true"}},
	})})
	t.bucketPolicy(bucket, readAll(bucket), refused("AccessDenied", "The change would expose data to *"))
	t.query(t.admin, "iam", "DeleteUserPolicy", map[string]string{"UserName": "admin", "PolicyName": "guard"})
}

// receiver is a Slack on this machine.
type receiver struct {
	url   string
	close func()

	mu    sync.Mutex
	posts []string
}

// listen begins to receive.
func (t *tour) listen() *receiver {
	r := &receiver{close: func() {}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.fail("a receiver for messages: %w", err)
		return r
	}
	r.url = "http://" + listener.Addr().String() + "/services/demo"
	server := &http.Server{Handler: r, ReadTimeout: patience}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // until it is closed
	}()
	r.close = func() {
		server.Close()
		<-done
	}
	return r
}

// ServeHTTP takes a message.
func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	raw, err := io.ReadAll(io.LimitReader(q.Body, maxAnswer))
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	var message struct{ Username, Text string }
	if json.Unmarshal(raw, &message) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.posts = append(r.posts, message.Username+": "+message.Text)
}

// heard is the message that names a bucket, "" before it came.
func (r *receiver) heard(bucket string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.posts {
		if strings.Contains(p, bucket) {
			return p
		}
	}
	return ""
}
