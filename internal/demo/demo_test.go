package demo

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// pretender answers everything with success.
func pretender(t *testing.T) Config {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "<Result><Account>111122223333</Account><RestrictPublicBuckets>true</RestrictPublicBuckets></Result>")
	}))
	t.Cleanup(server.Close)
	return Config{
		HTTP: server.URL, HTTPS: server.URL, Client: server.Client(), Region: "us-east-1", AccessKeyID: "AKIDEXAMPLE", Secret: "secret",
		Begin: func(Case) error { return nil }, Report: func(Step) error { return nil },
	}
}

// TestAServerThatRefusesNothingFails: no case study is content with it.
func TestAServerThatRefusesNothingFails(t *testing.T) {
	for _, study := range Cases() {
		c := pretender(t)
		var told []Step
		c.Report = func(s Step) error { told = append(told, s); return nil }
		if study.Name == "S3" {
			continue // waits for a message that does not come; its first wrong answer is late
		}
		_, err := Run(t.Context(), c, []Case{study})
		if err == nil || len(told) == 0 || told[len(told)-1].OK || told[len(told)-1].Problem != err.Error() {
			t.Errorf("%s: %v, %+v", study.Name, err, told)
		}
		for _, s := range told[:len(told)-1] {
			if !s.OK || len(s.Exchanges) == 0 {
				t.Errorf("%s: %+v", study.Name, s)
			}
		}
	}
}

// TestWhoeverWatchesMayStop: nothing is done after that.
func TestWhoeverWatchesMayStop(t *testing.T) {
	c := pretender(t)
	steps := 0
	c.Report = func(Step) error { steps++; return ErrStopped }
	if _, err := Run(t.Context(), c, Cases()[4:]); !errors.Is(err, ErrStopped) || steps != 1 {
		t.Errorf("%v after %d steps", err, steps)
	}
}

// TestCommandsAreTheCLIs: names and words are as the AWS CLI takes them.
func TestCommandsAreTheCLIs(t *testing.T) {
	for name, want := range map[string]string{
		"PutBucketPolicy": "put-bucket-policy", "ListObjectsV2": "list-objects-v2", "EnableMFADevice": "enable-mfa-device",
		"VirtualMFADeviceName": "virtual-mfa-device-name", "AuthenticationCode1": "authentication-code1", "configRule": "config-rule",
	} {
		if got := dashed(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if got := quoted(`it's {"a":1}`); got != `'it'\''s {"a":1}'` {
		t.Error(got)
	}
	if got := document(object{"Resource": "*", "Effect": "Deny", "Sid": "s"}); got != `{"Version":"2012-10-17","Statement":[{"Sid":"s","Effect":"Deny","Resource":"*"}]}` {
		t.Error(got)
	}
}

// TestRefusalsAreRead in every form that services have.
func TestRefusalsAreRead(t *testing.T) {
	for body, want := range map[string]string{
		`<Error><Code>AccessDenied</Code><Message>No.</Message></Error>`:                                                   "AccessDenied No.",
		`<ErrorResponse><Error><Type>Sender</Type><Code>NoSuchEntity</Code><Message>No.</Message></Error></ErrorResponse>`: "NoSuchEntity No.",
		`{"__type":"com.amazon#ValidationException","message":"No."}`:                                                      "ValidationException No.",
		`{"Message":"No."}`: "Told No.",
		``:                  " ",
	} {
		a := &answer{header: http.Header{"X-Amzn-Errortype": {"Told:http://x"}}, body: []byte(body)}
		a.refusal()
		if got := a.code + " " + a.message; got != want {
			t.Errorf("%s: %q", strings.TrimSpace(body), got)
		}
	}
}
