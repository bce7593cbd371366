package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Pace is how background work gets on.
type Pace struct {
	// Width is how many units of it may run at a time; below 1, the share of the time in which one may.
	Width            float64
	Running, Waiting int
	// Jobs by name: their units, and the time that these waited for their turns.
	Jobs map[string]PaceJob
}

// PaceJob is one job's part since the start.
type PaceJob struct {
	Turns  int64
	Waited time.Duration
}

// paced collects what read tells.
type paced struct {
	read                                   func() Pace
	width, running, waiting, turns, waited *prometheus.Desc
}

func newPaced(read func() Pace) paced {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("kura_background_"+name, help, labels, nil)
	}
	return paced{
		read:    read,
		width:   desc("width", "Units of background work that may run at a time; below 1, the share of the time in which one may."),
		running: desc("running", "Units of background work that run."),
		waiting: desc("waiting", "Units of background work that wait for requests to leave them room."),
		turns:   desc("turns_total", "Units of background work that ran.", "job"),
		waited:  desc("waited_seconds_total", "Time that units of background work waited for requests to leave them room.", "job"),
	}
}

func (p paced) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{p.width, p.running, p.waiting, p.turns, p.waited} {
		ch <- d
	}
}

func (p paced) Collect(ch chan<- prometheus.Metric) {
	s := p.read()
	ch <- prometheus.MustNewConstMetric(p.width, prometheus.GaugeValue, s.Width)
	ch <- prometheus.MustNewConstMetric(p.running, prometheus.GaugeValue, float64(s.Running))
	ch <- prometheus.MustNewConstMetric(p.waiting, prometheus.GaugeValue, float64(s.Waiting))
	for name, job := range s.Jobs {
		ch <- prometheus.MustNewConstMetric(p.turns, prometheus.CounterValue, float64(job.Turns), name)
		ch <- prometheus.MustNewConstMetric(p.waited, prometheus.CounterValue, job.Waited.Seconds(), name)
	}
}
