// Package export sends the record to where the operator wants a copy: a file, a syslog receiver, an
// OpenTelemetry collector.
//
// Each target has one place of its own in each journal, stored: a record is sent again until the target
// has it (at least once, in the order of its journal), across restarts of either side. What a target is
// too slow for stays in the journal and nowhere else: no request waits for a target, and memory holds
// one slice of records for each. A target that fails is tried again for ever, at growing intervals.
package export

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/engine"
)

// Config of an Exporter.
type Config struct {
	// Meta keeps the places. Required.
	Meta engine.Meta
	// Journals are what is exported, by stream. Required.
	Journals map[string]*audit.Journal
	// Targets are URLs that Check accepts.
	Targets []string
	// Dial makes every connection over a network. Required.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Version of the program, which OTLP tells.
	Version string
	// Log is required.
	Log *slog.Logger
	// Retry is the pause before the second try; it doubles up to RetryMax. Default 1 s and 30 s.
	Retry, RetryMax time.Duration
	// SaveEvery bounds how often a place is stored. Default 1 s.
	SaveEvery time.Duration
}

const (
	// slice is how many records are sent at once.
	slice = 100
	// tryTime bounds one try.
	tryTime = 30 * time.Second
	// complainEvery bounds how often a target's failure is logged.
	complainEvery = time.Minute
)

// sink takes records. Send gives them away, Flush returns once the other side has, as far as can be
// known, what Send gave: nothing of it comes again then.
type sink interface {
	Send(ctx context.Context, entries []audit.Entry) error
	Flush(ctx context.Context) error
	// Close gives up what the sink holds; Send opens it again.
	Close()
}

// Exporter sends the journals to all targets.
type Exporter struct{ pumps []*pump }

// Progress is how far a target is with a stream.
type Progress struct {
	// Target is its URL without credentials and parameters.
	Target, Stream string
	// Lag is the age of the oldest record that the target does not have.
	Lag time.Duration
	// Failing says that the last try failed.
	Failing bool
	// Sent counts records that were given away, Rejected those that the target will never take.
	Sent, Rejected int64
}

// New makes an Exporter. A target that was never there begins with what comes next.
func New(ctx context.Context, c Config) (*Exporter, error) {
	for _, d := range []struct {
		value *time.Duration
		def   time.Duration
	}{{&c.Retry, time.Second}, {&c.RetryMax, 30 * time.Second}, {&c.SaveEvery, time.Second}} {
		if *d.value <= 0 {
			*d.value = d.def
		}
	}
	e := &Exporter{}
	named := map[string]bool{}
	for _, target := range c.Targets {
		u, err := parse(target)
		if err != nil {
			return nil, fmt.Errorf("audit export: %w", err)
		}
		if named[shown(u)] {
			return nil, fmt.Errorf("audit export: %s is named twice", shown(u))
		}
		named[shown(u)] = true
		open, err := opener(&c, u)
		if err != nil {
			return nil, fmt.Errorf("audit export to %s: %w", shown(u), err)
		}
		for _, stream := range audit.Streams {
			journal := c.Journals[stream]
			if journal == nil {
				continue
			}
			p := &pump{config: &c, target: shown(u), stream: stream, journal: journal, key: placeKey(u, stream)}
			if err := p.load(ctx); err != nil {
				return nil, fmt.Errorf("audit export to %s: %w", p.target, err)
			}
			p.sink = open(stream, &p.rejected)
			e.pumps = append(e.pumps, p)
		}
	}
	return e, nil
}

// shown is a URL as it may stand in logs and metrics.
func shown(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// Run works until ctx ends.
func (e *Exporter) Run(ctx context.Context) {
	done := make(chan struct{})
	for _, p := range e.pumps {
		go func() {
			defer func() { done <- struct{}{} }()
			p.run(ctx)
		}()
	}
	for range e.pumps {
		<-done
	}
}

// Progress of every target and stream.
func (e *Exporter) Progress() []Progress {
	all := make([]Progress, 0, len(e.pumps))
	for _, p := range e.pumps {
		g := Progress{Target: p.target, Stream: p.stream, Failing: p.failing.Load(), Sent: p.sent.Load(), Rejected: p.rejected.Load()}
		if oldest := p.oldest.Load(); oldest != 0 {
			g.Lag = max(0, time.Since(time.UnixMilli(oldest)))
		}
		all = append(all, g)
	}
	return all
}

// pump brings one journal to one target.
type pump struct {
	config         *Config
	target, stream string
	journal        *audit.Journal
	sink           sink
	key            []byte
	place          uint64 // the target has everything up to here
	stored         uint64 // place, as it is stored
	saved          time.Time
	complained     time.Time

	oldest         atomic.Int64 // time of the oldest record after place, Unix milliseconds; 0: there is none
	failing        atomic.Bool
	sent, rejected atomic.Int64
}

// placeKey is where the place of a target is stored. Credentials and parameters may change without the
// target being another one.
func placeKey(u *url.URL, stream string) []byte {
	sum := sha256.Sum256([]byte(shown(u)))
	return []byte("au/x/" + hex.EncodeToString(sum[:16]) + "/" + stream)
}

const format = 1

var errPlace = errors.New("export: a stored place does not decode")

// load finds the place. A new one is stored at once: from then on nothing is missed.
func (p *pump) load(ctx context.Context) error {
	raw, _, err := p.config.Meta.Get(ctx, p.key, nil)
	last := p.journal.Last()
	switch {
	case err != nil:
		return err
	case raw == nil:
		p.place = last
		return p.save(ctx)
	case len(raw) != 9 || raw[0] != format:
		return errPlace
	}
	p.place = binary.BigEndian.Uint64(raw[1:])
	p.stored = p.place
	if p.place > last {
		p.config.Log.Error("the journal ends before what was exported of it", "target", p.target, "stream", p.stream, "exported", p.place, "end", last)
		p.place = last
	}
	return nil
}

func (p *pump) save(ctx context.Context) error {
	var b engine.Batch
	b.Set(p.key, binary.BigEndian.AppendUint64([]byte{format}, p.place))
	if err := p.config.Meta.Commit(ctx, &b); err != nil {
		return err
	}
	p.stored, p.saved = p.place, time.Now()
	return nil
}

// run works until ctx ends. After a failure it begins again at the place.
func (p *pump) run(ctx context.Context) {
	pause := p.config.Retry
	for ctx.Err() == nil {
		before := p.place
		err := p.follow(ctx)
		p.sink.Close()
		if ctx.Err() != nil {
			break
		}
		if p.place != before {
			pause = p.config.Retry
		}
		p.complain(err)
		select {
		case <-ctx.Done():
		case <-time.After(max(pause, askedFor(err))):
		}
		pause = min(2*pause, p.config.RetryMax)
	}
	if p.stored != p.place {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if err := p.save(last); err != nil {
			p.config.Log.Warn("place of an audit export not stored: some records will be sent again", "target", p.target, "err", err)
		}
	}
}

func (p *pump) complain(err error) {
	if !p.failing.Swap(true) || time.Since(p.complained) > complainEvery {
		p.complained = time.Now()
		p.config.Log.Error("audit export waits", "target", p.target, "stream", p.stream, "err", err)
	}
}

// follow sends what comes after the place until something fails.
func (p *pump) follow(ctx context.Context) error {
	reader := p.journal.Reader(p.place)
	defer reader.Close()
	flushed := time.Now()
	for {
		entries, err := reader.Ready(slice)
		if err != nil {
			return errors.Join(err, p.upTo(ctx, entries))
		}
		if len(entries) == 0 || time.Since(flushed) > p.config.SaveEvery {
			if err := p.settle(ctx, reader.Position(), entries); err != nil {
				return err
			}
			flushed = time.Now()
		}
		if len(entries) == 0 {
			if entries, err = reader.Next(ctx, slice); err != nil {
				return err
			}
		}
		if err := p.send(ctx, entries); err != nil {
			return err
		}
	}
}

// upTo brings what is sound before a place of the journal that is not.
func (p *pump) upTo(ctx context.Context, entries []audit.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	if err := p.send(ctx, entries); err != nil {
		return err
	}
	return p.settle(ctx, entries[len(entries)-1].Seq, nil)
}

// send gives entries away in time.
func (p *pump) send(ctx context.Context, entries []audit.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	p.oldest.CompareAndSwap(0, entries[0].Millis)
	try, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	if err := p.sink.Send(try, entries); err != nil {
		return err
	}
	p.sent.Add(int64(len(entries)))
	return nil
}

// settle makes sure of what was sent, and moves the place behind it: up to position, but not over
// entries, which were read and not sent.
func (p *pump) settle(ctx context.Context, position uint64, unsent []audit.Entry) error {
	try, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	if err := p.sink.Flush(try); err != nil {
		return err
	}
	if p.failing.Swap(false) {
		p.config.Log.Info("audit export goes on", "target", p.target, "stream", p.stream)
	}
	p.oldest.Store(0)
	if len(unsent) > 0 {
		position = unsent[0].Seq - 1
	}
	p.place = position
	if p.place == p.stored || time.Since(p.saved) < p.config.SaveEvery {
		return nil
	}
	return p.save(ctx)
}
