package invoke_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/authz/authztest"
	"github.com/kura-s3/kura/internal/engine/memory"
	"github.com/kura-s3/kura/internal/event/queue"
	"github.com/kura-s3/kura/internal/function"
	"github.com/kura-s3/kura/internal/function/runner"
	"github.com/kura-s3/kura/internal/job/delivery"
	"github.com/kura-s3/kura/internal/job/invoke"
	"github.com/kura-s3/kura/internal/keys"
)

// host runs nothing: it answers what the test says, in order.
type host struct{ answers []any }

func (h *host) Invoke(context.Context, *runner.Spec, *runner.Invocation) (*runner.Result, error) {
	next := h.answers[0]
	h.answers = h.answers[1:]
	if err, ok := next.(error); ok {
		return nil, err
	}
	return next.(*runner.Result), nil
}
func (*host) Retire(string)                               {}
func (*host) UniqueID(string) (string, bool)              { return "", false }
func (*host) Check(context.Context, string, string) error { return nil }
func (*host) Assume(context.Context, string, string) (runner.Credentials, error) {
	return runner.Credentials{}, nil
}

// letters are what destinations get.
type letters struct{ got chan *queue.Delivery }

func (l letters) Carry(_ context.Context, d *queue.Delivery) error { l.got <- d; return nil }

// TestAnInvocationsWay: accepted, throttled, failed, tried again after a restart of all but the storage, and its
// end told to a destination and a dead-letter queue.
func TestAnInvocationsWay(t *testing.T) {
	ctx, meta := t.Context(), memory.NewMeta()
	ring, err := keys.Open(ctx, meta, keys.NewKeyFile(filepath.Join(t.TempDir(), "root.key")))
	if err != nil {
		t.Fatal(err)
	}
	fake := &host{}
	open := func() (*function.Store, *queue.Queue) {
		q, err := queue.Open(ctx, queue.Config{Meta: meta})
		if err != nil {
			t.Fatal(err)
		}
		s, err := function.Open(ctx, function.Config{
			Meta: meta, Secrets: ring, Principals: fake, Region: "us-east-1", Roles: fake, Runner: fake, Queue: invoke.Queue{Deliveries: q}, Retry: time.Millisecond,
		})
		if err != nil {
			t.Fatal(err)
		}
		return s, q
	}
	store, _ := open()
	g, r := authztest.Grant(t, "lambda:*", "*"), function.Ref{Account: "111122223333", Name: "f"}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	z.Create("a.py")
	z.Close()
	const arn = "arn:aws:sqs:us-east-1:111122223333:"
	_, _, err = store.Create(ctx, g, r, function.Creation{Zip: b.Bytes(), Settings: function.Settings{
		Runtime: new("python3.12"), Handler: new("a.b"), Role: new("arn:aws:iam::111122223333:role/r"), DeadLetter: new(arn + "dead"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.PutAsync(ctx, g, r, function.AsyncConfig{MaxRetries: new(1), OnFailure: arn + "failed"}, false); err != nil {
		t.Fatal(err)
	}
	if err := store.InvokeLater(ctx, g, r, &function.Invocation{RequestID: "id-1", Payload: []byte(`"event"`)}); err != nil {
		t.Fatal(err)
	}
	failed := &runner.Result{Payload: []byte(`{"errorMessage":"why"}`), FunctionError: "Unhandled"}
	fake.answers = []any{runner.ErrThrottled, errors.New("closed"), failed, failed}

	var q *queue.Queue
	store, q = open()
	told := letters{make(chan *queue.Delivery, 4)}
	guard := authz.New(authz.Config{Recorder: authztest.Forget{}})
	courier := delivery.New(delivery.Config{
		Queue: q, Log: slog.New(slog.DiscardHandler), FirstPause: time.Millisecond,
		Carriers: map[string]delivery.Carrier{invoke.Kind: &invoke.Carrier{Functions: store, Deliveries: q, Guard: guard}, "sqs": told},
	})
	run, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); courier.Run(run) }()
	seen := map[string]*queue.Delivery{}
	for range 2 {
		select {
		case d := <-told.got:
			seen[d.Target] = d
		case <-time.After(time.Minute):
			t.Fatalf("only %v were told", seen)
		}
	}
	stop()
	<-done
	var record struct {
		Request struct {
			Count int `json:"approximateInvokeCount"`
		} `json:"requestContext"`
	}
	d := seen[arn+"failed"]
	if d == nil || json.Unmarshal(d.Payload, &record) != nil || record.Request.Count != 2 || d.Role != "arn:aws:iam::111122223333:role/r" || d.Cause != "arn:aws:lambda:us-east-1:111122223333:function:f:$LATEST" {
		t.Errorf("%+v", d)
	}
	var o invoke.Options
	d = seen[arn+"dead"]
	if d == nil || string(d.Payload) != `"event"` || json.Unmarshal(d.Options, &o) != nil || o.MessageAttributes["ErrorMessage"].StringValue != "why" || o.MessageAttributes["RequestID"].StringValue != "id-1" {
		t.Errorf("%+v %+v", d, o)
	}
}
