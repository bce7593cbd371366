package lambda_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/kura-s3/kura/internal/api/lambda"
	"github.com/kura-s3/kura/internal/apitest"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/function"
	"github.com/kura-s3/kura/internal/function/runner"
	"github.com/kura-s3/kura/policy"
)

type m = apitest.M

const (
	owner = apitest.Owner
	arn   = "arn:aws:lambda:us-east-1:" + owner + ":function:f"
	role  = "arn:aws:iam::" + owner + ":role/worker"
)

// host is all that functions need beside their store: a runner that echoes, roles, a queue.
type host struct {
	mu      sync.Mutex
	ran     []*runner.Spec
	retired []string
	queued  []string
	fail    error
}

func (h *host) Invoke(_ context.Context, s *runner.Spec, in *runner.Invocation) (*runner.Result, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ran = append(h.ran, s)
	return &runner.Result{Payload: in.Payload, Log: []byte("START")}, h.fail
}

func (h *host) Retire(arn string) { h.retired = append(h.retired, arn) }

func (*host) Assume(_ context.Context, role, _ string) (c runner.Credentials, err error) {
	if strings.HasSuffix(role, "/stranger") {
		err = function.ErrRole(nil)
	}
	return c, err
}

func (h *host) Enqueue(_ context.Context, _, _, _, requestID string, _ []byte) error {
	h.queued = append(h.queued, requestID)
	return nil
}

type oneKey struct{ name, value string }

func (k oneKey) Lookup(key string) (policy.Values, bool) {
	return policy.Values{One: k.value}, key == k.name
}

func newHarness(t *testing.T) (*apitest.Harness, *host) {
	t.Helper()
	h, fake := apitest.New(t, "lambda"), &host{}
	store, err := function.Open(t.Context(), function.Config{
		Meta: h.Meta, Secrets: h.Ring, Principals: h.People, Region: apitest.Region, Roles: fake, Runner: fake, Queue: fake, Log: h.Log,
	})
	if err != nil {
		t.Fatal(err)
	}
	h.Serve(lambda.New(lambda.Config{
		Functions: store, Authn: h.Authn, Log: h.Log,
		PassRole: func(role, service string) authz.Demand {
			return authz.Demand{Action: "iam:PassRole", Resource: authz.Resource{ARN: role, Account: strings.Split(role+":::::", ":")[4]}, Keys: oneKey{"iam:passedtoservice", service}}
		},
		ReadObject: func(_ context.Context, as *authz.Subject, o lambda.Object, _ int64) ([]byte, error) {
			if as.Principal.Name != "admin" || o.Key != "code.zip" {
				return nil, fault.New(function.InvalidParameter, "Error occurred while GetObject.")
			}
			return zipped("a.py"), nil
		},
	}))
	return h, fake
}

func zipped(names ...string) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range names {
		w, _ := z.Create(name)
		fmt.Fprint(w, "code of ", name)
	}
	z.Close()
	return b.Bytes()
}

func rest(operation, method, path string, in any) apitest.Sample {
	return apitest.Sample{Operation: operation, Method: method, Path: path, In: in}
}

const functions = "/2015-03-31/functions"

func creation(name string, more ...m) m {
	in := m{"FunctionName": name, "Runtime": "python3.12", "Handler": "a.handler", "Role": role, "Code": m{"ZipFile": zipped("a.py")}}
	for _, x := range more {
		for k, v := range x {
			in[k] = v
		}
	}
	return in
}

func must(t *testing.T, h *apitest.Harness, s apitest.Sample) m {
	t.Helper()
	a := h.Do("admin", s)
	if a.Status/100 != 2 {
		t.Fatalf("%s: %d %s", s.Operation, a.Status, a.Body)
	}
	return a.JSON
}

// TestEveryOperationIsGuarded ranges over all operations: each refuses who is denied, from another account or
// nobody, and when the decision cannot be recorded, without touching storage; and serves who may.
func TestEveryOperationIsGuarded(t *testing.T) {
	h, _ := newHarness(t)
	must(t, h, rest("CreateFunction", "POST", functions, creation("f", m{"Publish": true})))
	own := func(s apitest.Sample) apitest.Sample { s.Own = true; return s }
	async := "/2019-09-25/functions/" + url.PathEscape(arn) + "/event-invoke-config"
	f, tags := functions+"/"+url.PathEscape(arn), "/2017-03-31/tags/"+url.PathEscape(arn)
	h.Guarded(
		apitest.Sample{Operation: "CreateFunction", Method: "POST", Path: functions, In: creation("arn:aws:lambda:us-east-1:" + owner + ":function:new")},
		rest("UpdateFunctionCode", "PUT", f+"/code", m{"ZipFile": zipped("b.py")}),
		rest("UpdateFunctionConfiguration", "PUT", f+"/configuration", m{"Timeout": 5}),
		rest("GetFunction", "GET", f, nil),
		rest("GetFunctionConfiguration", "GET", f+"/configuration", nil),
		own(rest("ListFunctions", "GET", functions, nil)),
		rest("PublishVersion", "POST", f+"/versions", m{}),
		rest("ListVersionsByFunction", "GET", f+"/versions", nil),
		rest("CreateAlias", "POST", f+"/aliases", m{"Name": "live", "FunctionVersion": "1"}),
		rest("UpdateAlias", "PUT", f+"/aliases/live", m{"FunctionVersion": "2"}),
		rest("GetAlias", "GET", f+"/aliases/live", nil),
		rest("ListAliases", "GET", f+"/aliases", nil),
		rest("DeleteAlias", "DELETE", f+"/aliases/live", nil),
		rest("Invoke", "POST", f+"/invocations", m{"a": 1}),
		rest("AddPermission", "POST", f+"/policy", m{"StatementId": "s", "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"}),
		rest("GetPolicy", "GET", f+"/policy", nil),
		rest("RemovePermission", "DELETE", f+"/policy/s", nil),
		rest("PutFunctionEventInvokeConfig", "PUT", async, m{"MaximumRetryAttempts": 1}),
		rest("UpdateFunctionEventInvokeConfig", "POST", async, m{"MaximumEventAgeInSeconds": 60}),
		rest("GetFunctionEventInvokeConfig", "GET", async, nil),
		rest("ListFunctionEventInvokeConfigs", "GET", async+"/list", nil),
		rest("DeleteFunctionEventInvokeConfig", "DELETE", async, nil),
		rest("PutFunctionConcurrency", "PUT", "/2017-10-31/functions/"+url.PathEscape(arn)+"/concurrency", m{"ReservedConcurrentExecutions": 3}),
		rest("GetFunctionConcurrency", "GET", "/2019-09-30/functions/"+url.PathEscape(arn)+"/concurrency", nil),
		rest("DeleteFunctionConcurrency", "DELETE", "/2017-10-31/functions/"+url.PathEscape(arn)+"/concurrency", nil),
		rest("GetFunctionCodeSigningConfig", "GET", "/2020-06-30/functions/"+url.PathEscape(arn)+"/code-signing-config", nil),
		rest("GetRuntimeManagementConfig", "GET", "/2021-07-20/functions/"+url.PathEscape(arn)+"/runtime-management-config", nil),
		rest("TagResource", "POST", tags, m{"Tags": m{"a": "b"}}),
		rest("ListTags", "GET", tags, nil),
		rest("UntagResource", "DELETE", tags+"?tagKeys=a", nil),
		own(rest("GetAccountSettings", "GET", "/2016-08-19/account-settings", nil)),
		rest("DeleteFunction", "DELETE", f, nil),
	)
}

// TestPassingRoles: a function gets a role only from who may pass it, to Lambda; a role that does not trust
// Lambda from nobody.
func TestPassingRoles(t *testing.T) {
	h, _ := newHarness(t)
	h.People.Add(t, owner, "maker", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"lambda:*","Resource":"*"}]}`)
	h.People.Add(t, owner, "passer", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"lambda:*","Resource":"*"},
		{"Effect":"Allow","Action":"iam:PassRole","Resource":"`+role+`","Condition":{"StringEquals":{"iam:PassedToService":"lambda.amazonaws.com"}}}]}`)
	h.People.Add(t, owner, "elsewhere", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"lambda:*","Resource":"*"},
		{"Effect":"Allow","Action":"iam:PassRole","Resource":"*","Condition":{"StringEquals":{"iam:PassedToService":"ec2.amazonaws.com"}}}]}`)
	for _, c := range []struct {
		who, role string
		status    int
	}{
		{"maker", role, 403}, {"elsewhere", role, 403}, {"passer", role + "2", 403}, {"passer", "arn:aws:iam::" + apitest.Other + ":role/worker", 403},
		{"admin", "arn:aws:iam::" + owner + ":role/stranger", 400}, {"passer", role, 201},
	} {
		if a := h.Do(c.who, rest("CreateFunction", "POST", functions, creation("f", m{"Role": c.role}))); a.Status != c.status {
			t.Errorf("%s passes %s: %d %s", c.who, c.role, a.Status, a.Body)
		}
	}
	for who, status := range map[string]int{"maker": 403, "passer": 200} {
		if a := h.Do(who, rest("UpdateFunctionConfiguration", "PUT", functions+"/f/configuration", m{"Role": role})); a.Status != status {
			t.Errorf("%s changes the role: %d %s", who, a.Status, a.Body)
		}
	}
	if a := h.Do("maker", rest("UpdateFunctionConfiguration", "PUT", functions+"/f/configuration", m{"Timeout": 7})); a.Status != 200 {
		t.Errorf("without a role there is nothing to pass: %s", a.Body)
	}
}

// TestPoliciesOfFunctions: who is let in by a function's, a version's and an alias's policy, and under which
// conditions.
func TestPoliciesOfFunctions(t *testing.T) {
	h, _ := newHarness(t)
	must(t, h, rest("CreateFunction", "POST", functions, creation("f", m{"Publish": true})))
	must(t, h, rest("CreateAlias", "POST", functions+"/f/aliases", m{"Name": "live", "FunctionVersion": "1"}))
	service := func(name, source, account string) *authz.Subject {
		return &authz.Subject{Principal: policy.Principal{Type: policy.Service, ARN: name}, Keys: causeKeys{"aws:sourcearn": source, "aws:sourceaccount": account}}
	}
	add := func(qualifier string, in m) {
		if qualifier != "" {
			qualifier = "?Qualifier=" + qualifier
		}
		must(t, h, rest("AddPermission", "POST", functions+"/f/policy"+qualifier, in))
	}
	bucket := "arn:aws:s3:::b"
	invoke := "lambda:InvokeFunction"
	add("", m{"StatementId": "s3", "Action": invoke, "Principal": "s3.amazonaws.com", "SourceArn": bucket, "SourceAccount": owner})
	add("live", m{"StatementId": "events", "Action": invoke, "Principal": "events.amazonaws.com"})
	add("1", m{"StatementId": "account", "Action": invoke, "Principal": apitest.Other})
	add("live", m{"StatementId": "org", "Action": invoke, "Principal": "*", "PrincipalOrgID": "o-abcdefghij"})
	for _, c := range []struct {
		name string
		as   *authz.Subject
		on   string
		want int
	}{
		{"the bucket", service("s3.amazonaws.com", bucket, owner), "f", 202},
		{"another bucket", service("s3.amazonaws.com", bucket+"b", owner), "f", 403},
		{"the bucket of another account", service("s3.amazonaws.com", bucket, apitest.Other), "f", 403},
		{"another service", service("sns.amazonaws.com", bucket, owner), "f", 403},
		{"the bucket, the alias", service("s3.amazonaws.com", bucket, owner), "f:live", 403},
		{"the bucket, $LATEST by name", service("s3.amazonaws.com", bucket, owner), "f:$LATEST", 403},
		{"events, the alias", service("events.amazonaws.com", "x", owner), "f:live", 202},
		{"events, its version", service("events.amazonaws.com", "x", owner), "f:1", 403},
		{"events, the function", service("events.amazonaws.com", "x", owner), "f", 403},
	} {
		r := httptest.NewRequest("POST", "https://lambda.inside"+functions+"/"+url.PathEscape("arn:aws:lambda:us-east-1:"+owner+":function:"+c.on)+"/invocations", strings.NewReader("{}"))
		r.Header.Set("X-Amz-Invocation-Type", "Event")
		answer, err := h.Server.OnBehalf(t.Context(), c.as, r)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, answer.Body) // to its end: then it is on record
		answer.Body.Close()
		if answer.StatusCode != c.want {
			t.Errorf("%s: %d", c.name, answer.StatusCode)
		}
	}
	for on, want := range map[string]int{arn: 403, arn + ":1": 200, arn + ":live": 403, arn + ":2": 403} {
		if a := h.Do("foreign", rest("Invoke", "POST", functions+"/"+url.PathEscape(on)+"/invocations", m{})); a.Status != want {
			t.Errorf("another account invokes %s: %d %s", on, a.Status, a.Body)
		}
	}
	// The rest of the function stays closed to it.
	for _, s := range []apitest.Sample{
		rest("GetFunction", "GET", functions+"/"+url.PathEscape(arn+":1"), nil), rest("DeleteFunction", "DELETE", functions+"/"+url.PathEscape(arn+":1"), nil),
		rest("GetPolicy", "GET", functions+"/"+url.PathEscape(arn)+"/policy?Qualifier=1", nil),
	} {
		if a := h.Do("foreign", s); a.Status != 403 {
			t.Errorf("%s: %d %s", s.Operation, a.Status, a.Body)
		}
	}
}

// TestAFunctionHasOneName: an operation on a function as a whole is decided on the function's own ARN, and a
// version has one number, however a request writes them. Otherwise a permission for an alias would reach the
// function, and a Deny of the function would not.
func TestAFunctionHasOneName(t *testing.T) {
	h, _ := newHarness(t)
	must(t, h, rest("CreateFunction", "POST", functions, creation("f", m{"Publish": true})))
	must(t, h, rest("CreateAlias", "POST", functions+"/f/aliases", m{"Name": "dev", "FunctionVersion": "1"}))
	h.People.Add(t, owner, "ofalias", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"lambda:*","Resource":["`+arn+`:*","arn:aws:lambda:us-east-1:`+owner+`:function:new:*"]}]}`)
	h.People.Add(t, owner, "denied", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"lambda:*","Resource":"*"},
		{"Effect":"Deny","Action":"lambda:*","Resource":["`+arn+`","`+arn+`:1","arn:aws:lambda:us-east-1:`+owner+`:function:new"]}]}`)
	for _, qualifier := range []string{"", ":dev", ":1", ":none", ":$LATEST"} {
		name := url.PathEscape("f" + qualifier)
		f := functions + "/" + name
		for _, s := range []apitest.Sample{
			rest("UpdateFunctionCode", "PUT", f+"/code", m{"ZipFile": zipped("b.py")}),
			rest("UpdateFunctionConfiguration", "PUT", f+"/configuration", m{"Timeout": 5}),
			rest("PublishVersion", "POST", f+"/versions", m{}),
			rest("ListVersionsByFunction", "GET", f+"/versions", nil),
			rest("CreateAlias", "POST", f+"/aliases", m{"Name": "live", "FunctionVersion": "1"}),
			rest("UpdateAlias", "PUT", f+"/aliases/dev", m{"FunctionVersion": "1"}),
			rest("ListAliases", "GET", f+"/aliases", nil),
			rest("DeleteAlias", "DELETE", f+"/aliases/dev", nil),
			rest("PutFunctionConcurrency", "PUT", "/2017-10-31/functions/"+name+"/concurrency", m{"ReservedConcurrentExecutions": 0}),
			rest("ListFunctionEventInvokeConfigs", "GET", "/2019-09-25/functions/"+name+"/event-invoke-config/list", nil),
			rest("CreateFunction", "POST", functions, creation("new"+qualifier)),
		} {
			want := 400
			if qualifier == "" || qualifier == ":$LATEST" {
				want = 403
			}
			for _, who := range []string{"ofalias", "denied"} {
				if a := h.Do(who, s); a.Status != want {
					t.Errorf("%s, %s of %s: %d %s", who, s.Operation, name, a.Status, a.Body)
				}
			}
		}
	}
	for _, s := range []apitest.Sample{
		rest("GetFunction", "GET", functions+"/f:01", nil), rest("Invoke", "POST", functions+"/f/invocations?Qualifier=001", m{}),
		rest("DeleteFunction", "DELETE", functions+"/f?Qualifier=01", nil), rest("CreateAlias", "POST", functions+"/f/aliases", m{"Name": "x", "FunctionVersion": "01"}),
	} {
		if a := h.Do("admin", s); a.Status != 404 {
			t.Errorf("%s of version 01: %d %s", s.Operation, a.Status, a.Body)
		}
	}
	must(t, h, rest("UpdateFunctionConfiguration", "PUT", functions+"/"+url.PathEscape("f:$LATEST")+"/configuration", m{"Timeout": 6}))
}

type causeKeys map[string]string

func (k causeKeys) Lookup(key string) (policy.Values, bool) {
	v, ok := k[key]
	return policy.Values{One: v}, ok
}

// TestNamesOfFunctions: every form that clients write, and those that are none.
func TestNamesOfFunctions(t *testing.T) {
	h, _ := newHarness(t)
	must(t, h, rest("CreateFunction", "POST", functions, creation("f", m{"Publish": true})))
	for name, want := range map[string]int{
		"f": 200, "f:1": 200, "f:$LATEST": 200, "function:f": 200, owner + ":function:f": 200, arn: 200, arn + ":1": 200,
		"f:2": 404, "g": 404, apitest.Other + ":function:f": 403, "arn:aws:lambda:us-east-1:" + apitest.Other + ":function:f": 403,
		"arn:aws:lambda:eu-west-1:" + owner + ":function:f": 404, "f:": 400, "f:1:2": 400, "arn:aws:s3:::f": 400, "f/../g": 400, "f g": 400, "": 200, // a list
		strings.Repeat("f", 65): 400, "f:" + strings.Repeat("q", 129): 400,
	} {
		if a := h.Do("admin", rest("GetFunction", "GET", functions+"/"+url.PathEscape(name), nil)); a.Status != want {
			t.Errorf("%q: %d %s", name, a.Status, a.Body)
		}
	}
	if a := h.Do("admin", rest("GetFunction", "GET", functions+"/f:1?Qualifier=2", nil)); a.Code() != "InvalidParameterValueException" {
		t.Errorf("two qualifiers: %d %s", a.Status, a.Body)
	}
}

// TestWhatIsRefused: inputs that are wrong or ask for what there is not, with AWS's codes.
func TestWhatIsRefused(t *testing.T) {
	h, fake := newHarness(t)
	must(t, h, rest("CreateFunction", "POST", functions, creation("f")))
	invalid := "InvalidParameterValueException"
	for name, in := range map[string]m{
		"no code": {"Code": m{}}, "no zip": {"Code": m{"ZipFile": []byte("PK")}}, "an empty zip": {"Code": m{"ZipFile": zipped()}},
		"zip and bucket": {"Code": m{"ZipFile": zipped("a"), "S3Bucket": "bbb"}}, "no object": {"Code": m{"S3Bucket": "bbb", "S3Key": "none"}},
		"image": {"PackageType": "Image"}, "runtime": {"Runtime": "java8"}, "memory": {"MemorySize": 20000}, "timeout": {"Timeout": 901},
		"network": {"VpcConfig": m{"SubnetIds": []string{"subnet-1"}}}, "snap": {"SnapStart": m{"ApplyOn": "PublishedVersions"}},
		"layers": {"Layers": []string{"arn:aws:lambda:us-east-1:111122223333:layer:a:1"}}, "tracing": {"TracingConfig": m{"Mode": "Active"}},
		"reserved variable": {"Environment": m{"Variables": m{"AWS_REGION": "x"}}}, "large environment": {"Environment": m{"Variables": m{"ABC": strings.Repeat("x", 4096)}}},
		"dead letters": {"DeadLetterConfig": m{"TargetArn": "arn:aws:lambda:us-east-1:111122223333:function:f"}}, "key": {"KMSKeyArn": "arn:aws:kms:us-east-1:111122223333:key/x"},
		"JSON output": {"LoggingConfig": m{"LogFormat": "JSON"}}, "architecture": {"Architectures": []string{"arm64", "x86_64"}},
	} {
		if a := h.Do("admin", rest("CreateFunction", "POST", functions, creation("g", in))); a.Status != 400 || a.Code() != invalid && a.Code() != "ValidationException" {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
	}
	for _, c := range []struct {
		sample apitest.Sample
		status int
		code   string
	}{
		{rest("CreateFunction", "POST", functions, creation("f")), 409, "ResourceConflictException"},
		{rest("UpdateFunctionConfiguration", "PUT", functions+"/f/configuration", m{"RevisionId": "x"}), 412, "PreconditionFailedException"},
		{rest("UpdateFunctionCode", "PUT", functions+"/f/code", m{"ZipFile": zipped("a"), "RevisionId": "x"}), 412, "PreconditionFailedException"},
		{rest("PublishVersion", "POST", functions+"/f/versions", m{"CodeSha256": "x"}), 400, invalid},
		{rest("CreateAlias", "POST", functions+"/f/aliases", m{"Name": "1", "FunctionVersion": "$LATEST"}), 400, invalid},
		{rest("CreateAlias", "POST", functions+"/f/aliases", m{"Name": strings.Repeat("1", 40), "FunctionVersion": "$LATEST"}), 400, invalid},
		{rest("CreateAlias", "POST", functions+"/f/aliases", m{"Name": "a", "FunctionVersion": "7"}), 404, "ResourceNotFoundException"},
		{rest("GetAlias", "GET", functions+"/f/aliases/none", nil), 404, "ResourceNotFoundException"},
		{rest("GetPolicy", "GET", functions+"/f/policy", nil), 404, "ResourceNotFoundException"},
		{rest("AddPermission", "POST", functions+"/f/policy", m{"StatementId": "s", "Action": "lambda:InvokeFunction", "Principal": "nobody"}), 400, invalid},
		{rest("AddPermission", "POST", functions+"/f/policy", m{"StatementId": "s", "Action": "s3:GetObject", "Principal": "s3.amazonaws.com"}), 400, "ValidationException"},
		{rest("AddPermission", "POST", functions+"/f/policy?Qualifier=$LATEST", m{"StatementId": "s", "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"}), 400, invalid},
		{rest("PutFunctionConcurrency", "PUT", "/2017-10-31/functions/f/concurrency", m{"ReservedConcurrentExecutions": 901}), 400, invalid},
		{rest("TagResource", "POST", "/2017-03-31/tags/"+url.PathEscape(arn+":1"), m{"Tags": m{"a": "b"}}), 400, invalid},
		{rest("TagResource", "POST", "/2017-03-31/tags/"+url.PathEscape(arn), m{"Tags": m{"aws:mine": "b"}}), 400, invalid},
		{rest("DeleteFunction", "DELETE", functions+"/f?Qualifier=$LATEST", nil), 400, invalid},
		{rest("CreateFunctionUrlConfig", "POST", "/2021-10-31/functions/f/url", m{"AuthType": "NONE"}), 501, "NotImplementedException"},
		{rest("CreateEventSourceMapping", "POST", "/2015-03-31/event-source-mappings", m{"FunctionName": "f"}), 501, "NotImplementedException"},
	} {
		if a := h.Do("admin", c.sample); a.Status != c.status || a.Code() != c.code {
			t.Errorf("%s %v: %d %s, want %d %s", c.sample.Operation, c.sample.In, a.Status, a.Body, c.status, c.code)
		}
	}
	for failure, want := range map[error]int{runner.ErrThrottled: 429, runner.ErrUnavailable: 500, fmt.Errorf("some secret"): 500} {
		fake.fail = failure
		a := h.Do("admin", rest("Invoke", "POST", functions+"/f/invocations", m{}))
		if a.Status != want || strings.Contains(string(a.Body), "secret") {
			t.Errorf("%v: %d %s", failure, a.Status, a.Body)
		}
	}
}

// TestInvoke: what is answered, in which headers.
func TestInvoke(t *testing.T) {
	h, fake := newHarness(t)
	must(t, h, rest("CreateFunction", "POST", functions, creation("f", m{"Environment": m{"Variables": m{"COLOR": "blue"}}})))
	invoke := func(kind, tail, body string) *apitest.Answer {
		r := httptest.NewRequest("POST", "http://lambda.local"+functions+"/f/invocations", strings.NewReader(body))
		r.Header.Set("X-Amz-Invocation-Type", kind)
		r.Header.Set("X-Amz-Log-Type", tail)
		return h.Send("admin", r, []byte(body))
	}
	a := invoke("RequestResponse", "Tail", `{"a":1}`)
	if a.Status != 200 || string(a.Body) != `{"a":1}` || a.Header.Get("X-Amz-Executed-Version") != "$LATEST" || a.Header.Get("X-Amz-Log-Result") != base64.StdEncoding.EncodeToString([]byte("START")) {
		t.Errorf("%d %s %v", a.Status, a.Body, a.Header)
	}
	if len(fake.ran) != 1 || fake.ran[0].Env["COLOR"] != "blue" || fake.ran[0].LogGroup != "/aws/lambda/f" || fake.ran[0].Reserved != -1 {
		t.Errorf("%+v", fake.ran)
	}
	if a := invoke("RequestResponse", "None", ""); string(a.Body) != "{}" || a.Header.Get("X-Amz-Log-Result") != "" {
		t.Errorf("an empty event: %s", a.Body)
	}
	if a := invoke("DryRun", "", "{}"); a.Status != 204 || len(fake.ran) != 2 {
		t.Errorf("dry: %d", a.Status)
	}
	if a := invoke("Event", "", "{}"); a.Status != 202 || len(fake.queued) != 1 || fake.queued[0] != a.Header.Get("X-Amzn-Requestid") {
		t.Errorf("later: %d %v", a.Status, fake.queued)
	}
	if a := invoke("Event", "", `"`+strings.Repeat("x", function.MaxAsyncPayload)+`"`); a.Status != 413 {
		t.Errorf("a large event: %d %s", a.Status, a.Body)
	}
	if a := invoke("RequestResponse", "", "{"); a.Code() != "InvalidRequestContentException" {
		t.Errorf("no JSON: %s", a.Body)
	}
	if a := invoke("Never", "", "{}"); a.Status != 400 {
		t.Errorf("a type that there is not: %s", a.Body)
	}
}

// TestNothingSecretIsOnRecord: code, variables and events show neither in parameters nor in answers.
func TestNothingSecretIsOnRecord(t *testing.T) {
	h, _ := newHarness(t)
	variables := m{"Environment": m{"Variables": m{"TOKEN": "canary-variable"}}}
	must(t, h, rest("CreateFunction", "POST", functions, creation("f", variables)))
	must(t, h, rest("UpdateFunctionConfiguration", "PUT", functions+"/f/configuration", variables))
	must(t, h, rest("UpdateFunctionCode", "PUT", functions+"/f/code", m{"ZipFile": zipped("b"), "Publish": true}))
	must(t, h, rest("Invoke", "POST", functions+"/f/invocations", m{"a": "canary-event"}))
	must(t, h, rest("AddPermission", "POST", functions+"/f/policy", m{"StatementId": "s", "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com", "EventSourceToken": "canary-token"}))
	text, _ := json.Marshal(h.Recorder.Events)
	if bytes.Contains(text, []byte("canary")) || bytes.Contains(text, []byte(base64.StdEncoding.EncodeToString(zipped("b"))[:40])) || !bytes.Contains(text, []byte("functionName")) {
		t.Errorf("%s", text)
	}
}

// TestPages: lists come in pages that meet.
func TestPages(t *testing.T) {
	h, _ := newHarness(t)
	for i := range 5 {
		must(t, h, rest("CreateFunction", "POST", functions, creation(fmt.Sprintf("f%d", i), m{"Publish": i == 2})))
	}
	for query, want := range map[string]string{"": "f0 f1 f2 f3 f4", "&FunctionVersion=ALL": "f0$LATEST f1$LATEST f2$LATEST f21 f3$LATEST f4$LATEST"} {
		var names []string
		marker := ""
		for range 10 {
			out := must(t, h, rest("ListFunctions", "GET", functions+"/?MaxItems=2&Marker="+marker+query, nil))
			for _, f := range out["Functions"].([]any) {
				name := f.(m)["FunctionName"].(string)
				if query != "" {
					name += f.(m)["Version"].(string)
				}
				names = append(names, name)
			}
			if out["NextMarker"] == nil {
				break
			}
			marker = out["NextMarker"].(string)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s: %s", query, got)
		}
	}
	if a := h.Do("admin", rest("ListFunctions", "GET", functions+"/?Marker=!", nil)); a.Status != 400 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}

// FuzzNames: no name of a function panics, and what is understood is the same when it is written out.
func FuzzNames(f *testing.F) {
	for _, name := range []string{"f", "f:1", arn, arn + ":$LATEST", owner + ":function:f", "function:f", "arn:aws:lambda:::", "::", "f:"} {
		f.Add(name, "")
		f.Add(name, "live")
	}
	store := &function.Store{}
	f.Fuzz(func(t *testing.T, name, qualifier string) {
		r, err := store.Parse(owner, name, qualifier)
		if err != nil {
			return
		}
		again, err := store.Parse("", "arn:aws:lambda::"+r.Account+":function:"+strings.TrimSuffix(r.Name+":"+r.Qualifier, ":"), "")
		if err != nil || again != r {
			t.Errorf("%q %q: %+v, again %+v %v", name, qualifier, r, again, err)
		}
	})
}

func TestTagsBind(t *testing.T) {
	h, _ := newHarness(t)
	must(t, h, rest("CreateFunction", "POST", functions, creation("f", m{})))
	tags := "/2017-03-31/tags/" + url.PathEscape(arn)
	h.TagsBind(rest("TagResource", "POST", tags, m{"Tags": m{"a": "b"}}), rest("UntagResource", "DELETE", tags+"?tagKeys=a", nil),
		rest("GetFunction", "GET", functions+"/f", nil))
}
