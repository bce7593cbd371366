// Package app puts a server together: settings, data directory, engines, keys, identities, objects,
// services, listeners. It is the only package that knows them all, and it knows nothing else: what
// stands here is wiring, and what a first start tells a person.
//
// What it promises: a data directory is served by one process at a time; everything durable is
// recovered before the first request is let in; a stop lets requests in flight end, and closes in
// the reverse order of opening.
package app

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/config"
	"github.com/kura-s3/kura/internal/engine/embedded"
	"github.com/kura-s3/kura/internal/event"
	"github.com/kura-s3/kura/internal/event/queue"
	"github.com/kura-s3/kura/internal/feed"
	"github.com/kura-s3/kura/internal/finding"
	"github.com/kura-s3/kura/internal/front"
	"github.com/kura-s3/kura/internal/function"
	"github.com/kura-s3/kura/internal/function/runner"
	"github.com/kura-s3/kura/internal/identity"
	"github.com/kura-s3/kura/internal/job/accesslog"
	"github.com/kura-s3/kura/internal/job/export"
	"github.com/kura-s3/kura/internal/job/exposure"
	"github.com/kura-s3/kura/internal/job/finders"
	"github.com/kura-s3/kura/internal/job/notify"
	"github.com/kura-s3/kura/internal/job/output"
	"github.com/kura-s3/kura/internal/job/replication"
	"github.com/kura-s3/kura/internal/job/trail"
	"github.com/kura-s3/kura/internal/keys"
	"github.com/kura-s3/kura/internal/kms"
	"github.com/kura-s3/kura/internal/logs"
	"github.com/kura-s3/kura/internal/network"
	"github.com/kura-s3/kura/internal/object"
	"github.com/kura-s3/kura/internal/pace"
	"github.com/kura-s3/kura/internal/posture/analyzer"
	"github.com/kura-s3/kura/internal/posture/generation"
	"github.com/kura-s3/kura/internal/posture/recorder"
	"github.com/kura-s3/kura/internal/sqs"
)

// Build says which program this is.
type Build struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
	// FIPS140 says that Go's cryptographic module is in FIPS 140-3 mode.
	FIPS140 bool `json:"fips140"`
}

// Options of Serve.
type Options struct {
	// Config is the checked settings. Required.
	Config *config.Config
	// Environ is the environment, for the keys of the first start.
	Environ []string
	// Notices is told what a person wants to know at start. Required.
	Notices io.Writer
	// Terminal says that a person reads Notices: then the first start shows the secret.
	Terminal bool
	// Log gets log lines. Required.
	Log io.Writer
	// Build says which program this is.
	Build Build
	// Reload asks to read the network rules again. Optional.
	Reload <-chan os.Signal
}

// Serve opens the data directory, serves until ctx is done, and stops cleanly.
func Serve(ctx context.Context, o Options) (err error) {
	log := newLog(o.Log, o.Config)
	for _, name := range o.Config.UnknownVariables {
		log.Warn("environment variable means nothing to Kura", "name", name)
	}
	s := &server{options: o, config: o.Config, log: log, piped: make(chan struct{})}
	s.pacer = s.newPacer()
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.open(ctx); err != nil {
		if errors.Is(err, context.Canceled) && ctx.Err() != nil {
			log.Info("stopped while starting")
			return nil
		}
		return err
	}
	return s.serve(ctx)
}

// server is what is open, in the order of opening.
type server struct {
	options Options
	config  *config.Config
	log     *slog.Logger
	closers []func() error

	pacer      *pace.Pacer // of background work
	engines    *embedded.Store
	feed       *feed.Feed
	pipeline   *api.Server
	piped      chan struct{} // closed when pipeline is there
	identities *identity.Store
	kms        *kms.Store
	queues     *sqs.Store
	functions  *function.Store
	runner     *runner.Runner
	output     *output.Shipper
	logs       *logs.Store
	topics     topics
	queue      *queue.Queue
	events     *event.Store
	bus        event.Bus // of Kura's own services
	notifier   *notify.Notifier
	objects    *object.Store
	watched    *watched
	recorder   *recorder.Store
	analyzer   *analyzer.Store
	generation *generation.Store
	findings   *finding.Store
	finder     *finders.Finder
	authn      *authn.Authenticator
	guard      *authz.Guard
	record     *audit.Log
	trails     *trail.Store
	accessLog  *accesslog.Spool
	exporter   *export.Exporter
	replicator *replication.Replicator
	sessions   sessions          // of services, as roles
	targets    map[string]target // of replication, by name
	front      *front.Server
	network    *network.Guardrails
	listeners  []*bound
}

// onClose adds what close undoes, last opened first closed.
func (s *server) onClose(f func() error) { s.closers = append(s.closers, f) }

// background runs work until the server closes, and closing waits for its end. What work uses must be
// open before.
func (s *server) background(work func(context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		work(ctx)
	}()
	s.onClose(func() error {
		cancel()
		<-done
		return nil
	})
}

func (s *server) close() error {
	var errs []error
	for i := len(s.closers) - 1; i >= 0; i-- {
		errs = append(errs, s.closers[i]())
	}
	s.closers = nil
	return errors.Join(errs...)
}

// open opens everything up to the listeners' sockets.
func (s *server) open(ctx context.Context) error {
	started := time.Now()
	steps := []func(context.Context) error{
		s.openEngines, s.openNetwork, s.openListeners, s.openStores, s.openServices, s.startFunctions, s.startReplication, s.startScrub, s.startKeyTimes, s.startSweep, s.startTopics,
		s.startInventory, s.startTrails, s.startPosture, s.startFindings, s.startExposure, s.startCalls, s.startExport, s.startNetwork,
		s.startLogSweep,
		s.startWorkloads,
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	s.log.Info("ready", "data", s.config.Data, "took", time.Since(started).Round(time.Millisecond))
	return nil
}

// consumers of the change feed.
var consumers = []string{notify.Consumer, exposure.Consumer, replication.Consumer, recorder.Consumer, analyzer.Consumer, finders.Consumer}

// openStores opens what is durable on top of the engines: keys, identities, objects, the journal.
func (s *server) openStores(ctx context.Context) error {
	sealer, err := configuredSealer(s.config)
	if err != nil {
		return err
	}
	ring, err := keys.Open(ctx, s.engines.Meta, sealer)
	if err != nil {
		return err
	}
	s.feed, err = feed.Open(ctx, s.engines.Meta, consumers...)
	if err != nil {
		return err
	}
	admin, root, err := firstKeys(s.options.Environ)
	if err != nil {
		return err
	}
	if admin, err = s.firstAdmin(ctx, admin); err != nil {
		return err
	}
	s.identities, err = identity.Open(ctx, identity.Config{
		Meta: s.engines.Meta, Secrets: ring, Feed: s.feed, Log: s.log, AccountID: s.config.AccountID, Dial: outbound(s.config), Admin: admin, Root: root,
	})
	if err != nil {
		return err
	}
	s.onClose(s.identities.Close)
	if err := s.openKMS(ctx, ring); err != nil {
		return err
	}
	if err := s.openQueues(ctx, ring); err != nil {
		return err
	}
	if err := s.openLogs(ctx, ring); err != nil {
		return err
	}
	if err := s.openTopics(ctx, ring); err != nil {
		return err
	}
	if err := s.openTargets(ctx, ring); err != nil {
		return err
	}
	if err := s.openEvents(ctx, ring); err != nil {
		return err
	}
	if err := s.openFunctions(ctx, ring); err != nil {
		return err
	}
	s.objects, err = object.Open(ctx, object.Config{Meta: s.engines.Meta, Blob: s.engines.Blob, Keys: ring, Feed: s.feed, Log: s.log})
	if err != nil {
		return err
	}
	s.onClose(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), s.config.StopTimeout+time.Second)
		defer cancel()
		return s.objects.Close(ctx)
	})
	if err := s.openRecord(ctx, ring); err != nil {
		return err
	}
	return s.openExport(ctx)
}

func rootKeyPath(c *config.Config) string {
	if c.RootKey != "" {
		return c.RootKey
	}
	return filepath.Join(c.Data, "root.key")
}

// serve lets requests in until ctx is done, then lets those in flight end.
func (s *server) serve(ctx context.Context) error {
	done := make(chan error, len(s.listeners))
	for _, l := range s.listeners {
		go func() { done <- s.front.Serve(l.Listener, l.label(), l.tls) }()
	}
	s.log.Info("serving", "endpoints", endpoints(s.listeners))
	var failed error
	running := len(s.listeners)
	select {
	case <-ctx.Done():
		s.log.Info("stopping", "timeout", s.config.StopTimeout)
	case failed = <-done:
		running--
	}
	stop, cancel := context.WithTimeout(context.Background(), s.config.StopTimeout)
	defer cancel()
	errs := []error{failed, s.front.Shutdown(stop)}
	for range running {
		errs = append(errs, <-done)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	s.log.Info("stopped")
	return nil
}
