package sns

import (
	"bytes"
	"encoding/json"
	"math"
	"mime"
	"time"
)

// Retries say when a delivery that failed is tried again (SNS Developer Guide, "Amazon SNS message delivery
// retries"): first at once, then after the least delay, then after growing ones, at last after the greatest.
type Retries struct {
	MinDelay     int     `json:"minDelayTarget"` // seconds
	MaxDelay     int     `json:"maxDelayTarget"` // seconds
	Number       int     `json:"numRetries"`
	AtMaxDelay   int     `json:"numMaxDelayRetries"`
	WithoutDelay int     `json:"numNoDelayRetries"`
	AtMinDelay   int     `json:"numMinDelayRetries"`
	Backoff      backoff `json:"backoffFunction"`
}

type backoff string

// curves give the part of the way from the least to the greatest delay after a part x of the steps.
var curves = map[backoff]func(x, low, high float64) float64{
	"linear":      func(x, low, high float64) float64 { return low + (high-low)*x },
	"arithmetic":  func(x, low, high float64) float64 { return low + (high-low)*x*x },
	"geometric":   func(x, low, high float64) float64 { return low * math.Pow(high/low, x) },
	"exponential": func(x, low, high float64) float64 { return low + (high-low)*(math.Exp2(8*x)-1)/(math.Exp2(8)-1) },
}

// defaultRetries are those of endpoints over HTTP.
var defaultRetries = Retries{MinDelay: 20, MaxDelay: 20, Number: 3, Backoff: "linear"}

// The retries of what is not reached over HTTP, which nobody can set.
var (
	serviceRetries = Retries{MinDelay: 1, MaxDelay: 20, Number: 100_015, WithoutDelay: 3, AtMinDelay: 2, AtMaxDelay: 100_000, Backoff: "exponential"}
	mailRetries    = Retries{MinDelay: 10, MaxDelay: 600, Number: 50, AtMinDelay: 2, AtMaxDelay: 38, Backoff: "exponential"}
)

// maxRetryTime bounds the time of a delivery policy's retries together.
const maxRetryTime = time.Hour

func (r *Retries) check() error {
	switch {
	case min(r.Number, r.AtMaxDelay, r.WithoutDelay, r.AtMinDelay) < 0 || max(r.Number, r.AtMaxDelay, r.WithoutDelay, r.AtMinDelay) > 100:
		return invalid("DeliveryPolicy: healthyRetryPolicy.numRetries must be between 0 and 100")
	case r.AtMaxDelay+r.WithoutDelay+r.AtMinDelay > r.Number:
		return invalid("DeliveryPolicy: healthyRetryPolicy.numRetries must be at least the sum of the other numbers of retries")
	case r.MinDelay < 1 || r.MaxDelay < r.MinDelay || r.MaxDelay > 3600:
		return invalid("DeliveryPolicy: healthyRetryPolicy.minDelayTarget must be at least 1 and at most maxDelayTarget, which is at most 3600")
	case curves[r.Backoff] == nil:
		return invalid("DeliveryPolicy: healthyRetryPolicy.backoffFunction is linear, arithmetic, geometric or exponential")
	}
	total := time.Duration(0)
	for try := 1; try <= r.Number; try++ {
		total += r.Wait(try)
	}
	if total > maxRetryTime {
		return invalid("DeliveryPolicy: the retries take longer than 3600 seconds")
	}
	return nil
}

// Wait is the pause after so many failures.
func (r *Retries) Wait(failures int) time.Duration {
	low, high := float64(r.MinDelay), float64(r.MaxDelay)
	growing := r.Number - r.AtMaxDelay - r.WithoutDelay - r.AtMinDelay
	n := failures - r.WithoutDelay
	var seconds float64
	switch {
	case n <= 0:
		return 0
	case n <= r.AtMinDelay:
		seconds = low
	case n-r.AtMinDelay > growing:
		seconds = high
	default:
		seconds = curves[r.Backoff](float64(n-r.AtMinDelay)/float64(growing), low, high)
	}
	return time.Duration(seconds * float64(time.Second))
}

type throttle struct {
	PerSecond int `json:"maxReceivesPerSecond"`
}

type requestPolicy struct {
	ContentType string `json:"headerContentType"`
}

// defaultContentType is what bodies over HTTP say that they are.
const defaultContentType = "text/plain; charset=UTF-8"

func checkRest(t *throttle, r *requestPolicy) error {
	if t != nil && (t.PerSecond < 1 || t.PerSecond > 100_000) {
		return invalid("DeliveryPolicy: throttlePolicy.maxReceivesPerSecond must be at least 1")
	}
	if r != nil {
		if _, _, err := mime.ParseMediaType(r.ContentType); err != nil || len(r.ContentType) > 100 {
			return invalid("DeliveryPolicy: requestPolicy.headerContentType is not a media type")
		}
	}
	return nil
}

// decode reads JSON of which nothing is unknown.
func decode(text string, to any) error {
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(to); err != nil {
		return err
	}
	if d.More() {
		return errFormat
	}
	return nil
}

// retriesIn reads a retry policy over the defaults.
func retriesIn(raw json.RawMessage) (*Retries, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	r := defaultRetries
	if err := decode(string(raw), &r); err != nil {
		return nil, invalid("DeliveryPolicy: %s", err)
	}
	return &r, r.check()
}

// topicDelivery is a topic's delivery policy.
type topicDelivery struct {
	retries  Retries
	fixed    bool // subscriptions have no say
	throttle *throttle
	request  *requestPolicy
}

func readTopicDelivery(text string) (*topicDelivery, error) {
	t := &topicDelivery{retries: defaultRetries}
	if text == "" {
		return t, nil
	}
	var in struct {
		HTTP *struct {
			Retries  json.RawMessage `json:"defaultHealthyRetryPolicy"`
			Sickly   json.RawMessage `json:"defaultSicklyRetryPolicy"`
			Fixed    bool            `json:"disableSubscriptionOverrides"`
			Throttle *throttle       `json:"defaultThrottlePolicy"`
			Request  *requestPolicy  `json:"defaultRequestPolicy"`
		} `json:"http"`
	}
	if err := decode(text, &in); err != nil {
		return nil, invalid("DeliveryPolicy: %s", err)
	}
	if in.HTTP == nil {
		return t, nil
	}
	if len(in.HTTP.Sickly) > 0 && string(in.HTTP.Sickly) != "null" {
		return nil, invalid("DeliveryPolicy: defaultSicklyRetryPolicy is not supported")
	}
	r, err := retriesIn(in.HTTP.Retries)
	if err != nil {
		return nil, err
	}
	if r != nil {
		t.retries = *r
	}
	t.fixed, t.throttle, t.request = in.HTTP.Fixed, in.HTTP.Throttle, in.HTTP.Request
	return t, checkRest(t.throttle, t.request)
}

// effective is EffectiveDeliveryPolicy of the topic.
func (t *topicDelivery) effective() string {
	http := map[string]any{"defaultHealthyRetryPolicy": t.retries, "disableSubscriptionOverrides": t.fixed, "defaultRequestPolicy": t.contentType()}
	if t.throttle != nil {
		http["defaultThrottlePolicy"] = t.throttle
	}
	raw, _ := json.Marshal(map[string]any{"http": http})
	return string(raw)
}

func (t *topicDelivery) contentType() requestPolicy {
	if t.request != nil {
		return *t.request
	}
	return requestPolicy{defaultContentType}
}

// subscriptionDelivery is a subscription's delivery policy; what is nil is the topic's.
type subscriptionDelivery struct {
	retries  *Retries
	throttle *throttle
	request  *requestPolicy
}

func readSubscriptionDelivery(text string) (*subscriptionDelivery, error) {
	if text == "" {
		return &subscriptionDelivery{}, nil
	}
	var in struct {
		Retries    json.RawMessage `json:"healthyRetryPolicy"`
		Sickly     json.RawMessage `json:"sicklyRetryPolicy"`
		Throttle   *throttle       `json:"throttlePolicy"`
		Request    *requestPolicy  `json:"requestPolicy"`
		Guaranteed bool            `json:"guaranteed"`
	}
	if err := decode(text, &in); err != nil {
		return nil, invalid("DeliveryPolicy: %s", err)
	}
	if in.Guaranteed || len(in.Sickly) > 0 && string(in.Sickly) != "null" {
		return nil, invalid("DeliveryPolicy: sicklyRetryPolicy and guaranteed are not supported")
	}
	r, err := retriesIn(in.Retries)
	if err != nil {
		return nil, err
	}
	return &subscriptionDelivery{r, in.Throttle, in.Request}, checkRest(in.Throttle, in.Request)
}

// Manner is how messages are delivered to a subscription.
type Manner struct {
	Retries Retries
	// PerSecond bounds the deliveries; 0 does not.
	PerSecond int
	// ContentType of what is sent over HTTP.
	ContentType string
	// Life is how long a delivery is tried at most.
	Life time.Duration
}

// lives are how long deliveries are tried: as long as the retries last, and some time for the tries.
const (
	serviceLife = 23 * 24 * time.Hour
	mailLife    = 7 * time.Hour
	httpLife    = 2 * time.Hour
)

// manner of deliveries by the policies of topic and subscription.
func manner(t *Topic, sub *Subscription) Manner {
	m := Manner{ContentType: t.delivery.contentType().ContentType}
	switch sub.Protocol {
	case "email", "email-json":
		m.Retries, m.Life = mailRetries, mailLife
		return m
	case "http", "https":
	default:
		m.Retries, m.Life = serviceRetries, serviceLife
		return m
	}
	m.Retries, m.Life = t.delivery.retries, httpLife
	limit := t.delivery.throttle
	if !t.delivery.fixed {
		if sub.delivery.retries != nil {
			m.Retries = *sub.delivery.retries
		}
		if sub.delivery.throttle != nil {
			limit = sub.delivery.throttle
		}
		if sub.delivery.request != nil {
			m.ContentType = sub.delivery.request.ContentType
		}
	}
	if limit != nil {
		m.PerSecond = limit.PerSecond
	}
	return m
}

// effective is EffectiveDeliveryPolicy of a subscription.
func (m *Manner) effective() string {
	out := map[string]any{
		"healthyRetryPolicy": m.Retries, "sicklyRetryPolicy": nil, "throttlePolicy": nil, "guaranteed": false, "requestPolicy": requestPolicy{m.ContentType},
	}
	if m.PerSecond > 0 {
		out["throttlePolicy"] = throttle{m.PerSecond}
	}
	raw, _ := json.Marshal(out)
	return string(raw)
}
