// Package finders looks for signs of an attack that no configuration shows, and reports them to package
// finding, in the accounts that have a detector:
//
//   - in the change feed: what opens data to strangers or switches protection off (bucket.go);
//   - in the record of management calls: root's credentials in use, trails stopped (calls.go);
//   - in the requests themselves, as they end (notes.go and one file for each finder): reading or deleting
//     far beyond what a principal did before, refusal after refusal, one credential from many networks, calls
//     from listed addresses, strangers who read what is confidential.
//
// What it promises: changes and management calls are looked at once each, whatever crashes. A request costs a
// note: constant time, no allocation, no lock that is held while anything is written; what a note makes
// somebody think is worked out elsewhere. What is remembered of principals is bounded, however many there
// are, and what they did before survives a restart.
package finders

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/feed"
	"github.com/kura-s3/kura/internal/finding"
	"github.com/kura-s3/kura/internal/posture"
)

// Consumer is the name under which this package reads the feed.
const Consumer = "guardduty"

// Config of a Finder.
type Config struct {
	// Meta keeps cursors and what principals did before. Required. The Finder owns the keys that begin with
	// "finders/".
	Meta engine.Meta
	// Feed has the changes, Journal the management calls. Required.
	Feed    *feed.Feed
	Journal *audit.Journal
	// Findings takes what is found. Required.
	Findings *finding.Store
	// Source finds buckets and knows whom an account trusts. Required.
	Source posture.Source
	// Bucket finds a bucket and its owner; nil when there is none. Required.
	Bucket func(ctx context.Context, name string) (*posture.Resource, error)
	// Empty tells whether a bucket holds nothing. Required.
	Empty func(ctx context.Context, bucket string) bool
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Log is required.
	Log *slog.Logger
}

// Finder looks.
type Finder struct {
	config Config
	now    func() time.Time
	notes  notes
	alarms chan alarm
	lost   atomic.Int64
}

// New makes a Finder that knows what principals did before.
func New(ctx context.Context, c Config) (*Finder, error) {
	f := &Finder{config: c, now: c.Now, alarms: make(chan alarm, maxAlarms)}
	if f.now == nil {
		f.now = time.Now
	}
	f.notes.open()
	return f, f.recall(ctx)
}

// maxAlarms are those that wait to be worked out. Each principal raises few: see notes.go.
const maxAlarms = 1024

const (
	slice  = 100
	hiccup = time.Second
)

// Run works until ctx ends.
func (f *Finder) Run(ctx context.Context) {
	done := make(chan struct{}, 3)
	for _, work := range []func(context.Context) error{f.changes, f.calls, f.work} {
		go func() {
			defer func() { done <- struct{}{} }()
			for ctx.Err() == nil {
				if err := work(ctx); err != nil && ctx.Err() == nil {
					f.config.Log.Error("finders", "err", err)
					pause(ctx, hiccup)
				}
			}
		}()
	}
	for range cap(done) {
		<-done
	}
	f.rememberLast()
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// changes is one round over the change feed.
func (f *Finder) changes(ctx context.Context) error {
	entries, err := f.config.Feed.Next(ctx, Consumer, slice)
	if err != nil || len(entries) == 0 {
		return err
	}
	watches := f.config.Findings.Watches()
	var seen []finding.Sighting
	for i := range entries {
		e := &entries[i]
		if watches[e.Account] == nil {
			continue
		}
		found, err := f.change(ctx, e)
		if err != nil {
			return err
		}
		seen = append(seen, found...)
	}
	last := entries[len(entries)-1].Seq
	return f.config.Findings.Report(ctx, func(b *engine.Batch) error { return f.config.Feed.Done(ctx, Consumer, last, b) }, seen...)
}

// work takes alarms, and remembers.
func (f *Finder) work(ctx context.Context) error {
	remember := time.NewTicker(rememberEvery)
	defer remember.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-remember.C:
			if n := f.lost.Swap(0); n > 0 {
				f.config.Log.Warn("more was found than could be looked at", "lost", n)
			}
			if err := f.remember(ctx); err != nil {
				return err
			}
		case a := <-f.alarms:
			seen, err := f.judge(ctx, &a)
			if err != nil {
				return err
			}
			if err := f.config.Findings.Report(ctx, nil, seen...); err != nil {
				return err
			}
		}
	}
}
