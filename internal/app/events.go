package app

import (
	"context"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/event"
	"github.com/kura-s3/kura/internal/event/queue"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/job/calls"
	"github.com/kura-s3/kura/internal/job/delivery"
	"github.com/kura-s3/kura/internal/job/exposure"
	"github.com/kura-s3/kura/internal/job/invoke"
	"github.com/kura-s3/kura/internal/job/notify"
	"github.com/kura-s3/kura/internal/job/topic"
	"github.com/kura-s3/kura/internal/keys"
	"github.com/kura-s3/kura/internal/sealer"
)

// openEvents opens what is stored of EventBridge: rules, connections, and deliveries on their way.
func (s *server) openEvents(ctx context.Context, ring *keys.Ring) (err error) {
	s.queue, err = queue.Open(ctx, queue.Config{Meta: s.engines.Meta, Secrets: ring})
	if err != nil {
		return err
	}
	s.events, err = event.Open(ctx, event.Config{
		Meta: s.engines.Meta, Queue: s.queue, Secrets: ring, Principals: s.identities, Region: s.config.Region, Endpoint: s.mayCall, Log: s.log,
		Targets: ruleTargets(s.insideServices()),
	})
	return err
}

// mayCall says what is wrong with the URL of an API destination: it is HTTPS, or plain HTTP to this
// machine while nobody else can reach this server. Where it leads is judged when it is dialled.
func (s *server) mayCall(endpoint string) error {
	u, err := url.Parse(endpoint)
	if err == nil && u.Hostname() != "" && u.User == nil {
		if u.Scheme == "https" {
			return nil
		}
		if u.Scheme == "http" && s.config.AllowLoopbackTargets() && sealer.Loopback(u.Hostname()) {
			return nil
		}
	}
	return fault.New(event.Invalid, "Parameter InvocationEndpoint is not valid. Reason: it must be an HTTPS URL.")
}

// forgetInterval is how often archives look for what they need not keep any more.
const forgetInterval = time.Hour

// startEvents begins what EventBridge does by itself, and gives Kura's own services their bus.
func (s *server) startEvents(ctx context.Context, registry prometheus.Registerer) error {
	grant, err := s.guard.System(ctx, "events", authz.Demand{Action: "events:PutEvents", Resource: authz.Resource{ARN: "*"}})
	if err != nil {
		return err
	}
	if s.bus, err = s.events.Publisher(grant); err != nil {
		return err
	}
	targets, err := notify.NewTargets(s.config.Region, outbound(s.config), s.config.NotifyTargets)
	if err != nil {
		return err
	}
	s.notifier = notify.New(notify.Config{
		Feed: s.feed, Queue: s.queue, Objects: s.objects, Bus: s.bus, Targets: targets, Region: s.config.Region, Log: s.log,
	})
	s.background(s.notifier.Run)
	courier := delivery.New(delivery.Config{
		Queue: s.queue, Carriers: s.carriers(targets), Log: s.log, Count: deliveryCounter(registry, s.queue),
	})
	s.background(func(ctx context.Context) {
		courier.Run(ctx)
		targets.Close()
	})
	s.background(s.events.RunSchedules)
	s.background(s.events.RunReplays)
	s.background(func(ctx context.Context) {
		for tick := time.NewTicker(forgetInterval); ; {
			select {
			case <-ctx.Done():
				tick.Stop()
				return
			case <-tick.C:
			}
			if err := s.events.Forget(ctx); err != nil && ctx.Err() == nil {
				s.log.Error("event archives", "err", err)
			}
		}
	})
	return nil
}

// carriers are who carries deliveries, by kind.
func (s *server) carriers(targets *notify.Targets) map[string]delivery.Carrier {
	authority := eventAuthority{s}
	client := delivery.NewClient(outbound(s.config))
	inside := &insideCarrier{s: s, services: s.insideServices()}
	targets.Inside = inside
	carriers := map[string]delivery.Carrier{
		event.KindDestination: &delivery.Destinations{Events: s.events, Authority: authority, Client: client, Endpoint: s.mayCall},
		notify.Kind:           targets,
		event.KindBus:         &delivery.Buses{Events: s.events, Authority: authority},
		invoke.Kind:           &invoke.Carrier{Functions: s.functions, Deliveries: s.queue, Guard: s.guard},
	}
	for name := range inside.services {
		carriers[name] = inside
	}
	carriers[topic.Kind] = s.topicCarrier(inside)
	return carriers
}

// deliveryCounter registers the metrics of deliveries and gives what counts them.
func deliveryCounter(registry prometheus.Registerer, q *queue.Queue) func(string, delivery.Outcome) {
	tries := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "kura_deliveries_total", Help: "Tries to deliver an event or notification, by the kind of target and what became of them.",
	}, []string{"kind", "outcome"})
	registry.MustRegister(tries,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "kura_deliveries_waiting", Help: "Deliveries that have not arrived yet."},
			func() float64 { return float64(q.Waiting()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "kura_dead_letters", Help: "Deliveries that were given up and are kept."},
			func() float64 { return float64(q.DeadLetters()) }))
	return func(kind string, o delivery.Outcome) { tries.WithLabelValues(kind, string(o)).Inc() }
}

// startExposure begins to raise the alarm over buckets that strangers get into.
func (s *server) startExposure(context.Context) error {
	s.background(exposure.New(exposure.Config{
		Meta: s.engines.Meta, Feed: s.feed, Source: s.watched, Bus: s.bus, Name: s.nameOrAlias, Log: s.log,
	}).Run)
	return nil
}

// startCalls begins to tell EventBridge of management calls.
func (s *server) startCalls(ctx context.Context) error {
	teller, err := calls.New(ctx, calls.Config{Meta: s.engines.Meta, Journal: s.record.Management(), Bus: s.bus, Log: s.log})
	if err != nil {
		return err
	}
	s.background(teller.Run)
	return nil
}

// nameOrAlias is what people call an account: its alias, else its name.
func (s *server) nameOrAlias(id string) string {
	account, _ := s.identities.Account(id)
	if account.Alias != "" {
		return account.Alias
	}
	return account.Name
}
