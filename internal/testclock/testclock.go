// Package testclock is the time of tests: it stands still until they move it.
package testclock

import (
	"sync"
	"time"
)

// Clock is safe for concurrent use: what runs beside a test reads it too.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// New makes a Clock that shows a time.
func New(now time.Time) *Clock { return &Clock{now: now} }

// Now is the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Forward lets time pass.
func (c *Clock) Forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}
