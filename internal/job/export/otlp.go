package export

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/kura-s3/kura/internal/audit"
)

// otlp posts records to an OpenTelemetry collector: OTLP/HTTP in JSON, a record's body is CloudTrail's
// JSON. An answer is an acknowledgement.
type otlp struct {
	client    *http.Client
	url, user string
	password  string
	tokenFile string
	stream    string
	resource  otlpResource
	version   string
	rejected  *atomic.Int64
	log       *slog.Logger
}

// maxAnswer is what is read of an answer.
const maxAnswer = 64 << 10

// logsPath is the protocol's, where the URL has none.
const logsPath = "/v1/logs"

func openOTLP(c *Config, u *url.URL, k *kind) (func(string, *atomic.Int64) sink, error) {
	security, err := k.security(u)
	if err != nil {
		return nil, err
	}
	client := &http.Client{
		Transport: &http.Transport{
			DialContext: c.Dial, TLSClientConfig: security, TLSHandshakeTimeout: tryTime, MaxIdleConns: len(audit.Streams),
			IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: maxAnswer, ForceAttemptHTTP2: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	at := url.URL{Scheme: strings.TrimPrefix(u.Scheme, "otlp+"), Host: k.address(u), Path: u.Path}
	if at.Path == "" || at.Path == "/" {
		at.Path = logsPath
	}
	host, _ := os.Hostname()
	password, _ := u.User.Password()
	return func(stream string, rejected *atomic.Int64) sink {
		return &otlp{
			client: client, url: at.String(), user: u.User.Username(), password: password, tokenFile: u.Query().Get("token"),
			stream: stream, version: c.Version, rejected: rejected, log: c.Log,
			resource: otlpResource{Attributes: attributes("service.name", "kura", "service.version", c.Version, "host.name", host)},
		}
	}, nil
}

// The parts of OTLP's ExportLogsServiceRequest that are used, in its JSON form.
type (
	otlpRequest struct {
		ResourceLogs []otlpResourceLogs `json:"resourceLogs"`
	}
	otlpResourceLogs struct {
		Resource  otlpResource    `json:"resource"`
		ScopeLogs []otlpScopeLogs `json:"scopeLogs"`
	}
	otlpResource struct {
		Attributes []otlpAttribute `json:"attributes"`
	}
	otlpScopeLogs struct {
		Scope      otlpScope    `json:"scope"`
		LogRecords []otlpRecord `json:"logRecords"`
	}
	otlpScope struct {
		Name    string `json:"name"`
		Version string `json:"version,omitempty"`
	}
	otlpRecord struct {
		Time       string          `json:"timeUnixNano"`
		Observed   string          `json:"observedTimeUnixNano"`
		Severity   int             `json:"severityNumber"`
		Text       string          `json:"severityText"`
		Body       otlpValue       `json:"body"`
		Attributes []otlpAttribute `json:"attributes"`
		EventName  string          `json:"eventName,omitempty"`
	}
	otlpAttribute struct {
		Key   string    `json:"key"`
		Value otlpValue `json:"value"`
	}
	otlpValue struct {
		String string `json:"stringValue"`
	}
	otlpAnswer struct {
		PartialSuccess struct {
			Rejected json.Number `json:"rejectedLogRecords"`
			Message  string      `json:"errorMessage"`
		} `json:"partialSuccess"`
	}
)

// attributes are those of pairs that have a value.
func attributes(pairs ...string) []otlpAttribute {
	var all []otlpAttribute
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			all = append(all, otlpAttribute{pairs[i], otlpValue{pairs[i+1]}})
		}
	}
	return all
}

func (o *otlp) record(e *audit.Entry) otlpRecord {
	at := strconv.FormatInt(e.Time().UnixNano(), 10)
	r := otlpRecord{Time: at, Observed: at, Severity: 9, Text: "INFO", Body: otlpValue{string(e.Record)}, EventName: "aws.cloudtrail", Attributes: attributes(
		"log.record.uid", e.Event, "kura.audit.stream", o.stream, "kura.audit.sequence", strconv.FormatUint(e.Seq, 10),
		"aws.event.name", e.Name, "aws.event.source", e.Source, "cloud.account.id", e.Account, "aws.user.arn", e.User,
		"aws.s3.bucket", e.Bucket, "aws.s3.key", e.Key, "error.type", e.Error, "client.address", e.IP)}
	if e.Error != "" {
		r.Severity, r.Text = 13, "WARN"
	}
	return r
}

// Send implements sink. What a collector calls too much is sent in halves; one record that it calls bad
// is given up, as the protocol has it: told in the log and counted.
func (o *otlp) Send(ctx context.Context, entries []audit.Entry) error {
	records := make([]otlpRecord, len(entries))
	for i := range entries {
		records[i] = o.record(&entries[i])
	}
	return o.send(ctx, entries, records)
}

func (o *otlp) send(ctx context.Context, entries []audit.Entry, records []otlpRecord) error {
	body, err := json.Marshal(otlpRequest{[]otlpResourceLogs{{o.resource, []otlpScopeLogs{{otlpScope{"kura/audit", o.version}, records}}}}})
	if err != nil {
		return err
	}
	err = o.post(ctx, body)
	var bad *badRecords
	if !errors.As(err, &bad) {
		return err
	}
	if len(records) == 1 {
		o.rejected.Add(1)
		o.log.Error("audit export: the collector will not take a record", "target", o.url, "stream", o.stream, "event", entries[0].Event, "err", err)
		return nil
	}
	half := len(records) / 2
	if err := o.send(ctx, entries[:half], records[:half]); err != nil {
		return err
	}
	return o.send(ctx, entries[half:], records[half:])
}

// badRecords is the answer that the same request will always get.
type badRecords struct{ answer string }

func (b *badRecords) Error() string { return b.answer }

func (o *otlp) post(ctx context.Context, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, o.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "kura/"+o.version)
	if err := o.authorize(request); err != nil {
		return err
	}
	response, err := o.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	switch status := response.StatusCode; {
	case status/100 == 2:
		if err != nil {
			return err
		}
		o.partly(answer)
		return nil
	case status == http.StatusBadRequest, status == http.StatusRequestEntityTooLarge, status == http.StatusUnprocessableEntity:
		return &badRecords{fmt.Sprintf("the collector answered %d %.200q", status, answer)}
	default:
		err = fmt.Errorf("the collector answered %d %.200q", status, answer)
		if seconds, bad := strconv.Atoi(response.Header.Get("Retry-After")); bad == nil && seconds > 0 {
			return &later{err, min(time.Duration(seconds), maxLater/time.Second) * time.Second}
		}
		return err
	}
}

func (o *otlp) authorize(r *http.Request) error {
	if o.user != "" {
		r.SetBasicAuth(o.user, o.password)
	}
	if o.tokenFile != "" {
		token, err := os.ReadFile(o.tokenFile)
		if err != nil {
			return err
		}
		r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	return nil
}

// partly tells of records that a collector took and threw away: they must not be sent again.
func (o *otlp) partly(answer []byte) {
	var a otlpAnswer
	if json.Unmarshal(answer, &a) != nil {
		return // some answer with an empty body
	}
	n, _ := a.PartialSuccess.Rejected.Int64()
	if n > 0 {
		o.rejected.Add(n)
	}
	if n > 0 || a.PartialSuccess.Message != "" {
		o.log.Error("audit export: the collector took not all", "target", o.url, "stream", o.stream, "rejected", n, "message", a.PartialSuccess.Message)
	}
}

// Flush implements sink.
func (o *otlp) Flush(context.Context) error { return nil }

// Close implements sink.
func (o *otlp) Close() { o.client.CloseIdleConnections() }
