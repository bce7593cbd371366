// Package schedule reads EventBridge's schedule expressions, rate(…) and cron(…), and tells when they
// are due. All times are UTC.
package schedule

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// Schedule tells when it is due next.
type Schedule interface {
	// Next is the first time after t, for a schedule that began at since; zero when there is none.
	Next(t, since time.Time) time.Time
}

// ErrInvalid says that an expression is not one.
var ErrInvalid = errors.New("schedule: not a schedule expression")

// Parse reads an expression.
func Parse(s string) (Schedule, error) {
	kind, body, ok := strings.Cut(s, "(")
	body, closed := strings.CutSuffix(body, ")")
	if !ok || !closed {
		return nil, ErrInvalid
	}
	switch kind {
	case "rate":
		return parseRate(body)
	case "cron":
		return parseCron(body)
	}
	return nil, ErrInvalid
}

// rate is due each time that a period has passed.
type rate time.Duration

var units = map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}

// maxRate keeps a period from overflowing.
const maxRate = 100_000

func parseRate(body string) (Schedule, error) {
	number, unit, ok := strings.Cut(body, " ")
	n, err := strconv.Atoi(number)
	if !ok || err != nil || n < 1 || n > maxRate {
		return nil, ErrInvalid
	}
	singular, plural := strings.CutSuffix(unit, "s")
	period := units[singular]
	if period == 0 || plural != (n > 1) {
		return nil, ErrInvalid
	}
	return rate(time.Duration(n) * period), nil
}

func (r rate) Next(t, since time.Time) time.Time {
	if t.Before(since) {
		return since.Add(time.Duration(r))
	}
	return since.Add((t.Sub(since)/time.Duration(r) + 1) * time.Duration(r))
}

// cron is due in each minute that all its fields mean.
type cron struct {
	minutes, hours, months, weekdays uint64 // sets of bits
	days                             uint64
	years                            [4]uint64 // from firstYear on
	anyDay, anyWeekday               bool      // "?" or "*"
	lastDay                          bool      // L: the last day of the month
	weekdayNear                      int       // nW: the weekday nearest to day n; -1: LW
	lastWeekday                      int       // nL: the last such weekday, 1 to 7
	nth, nthWeekday                  int       // n#k: the kth such weekday
}

const (
	firstYear = 1970
	lastYear  = 2199
)

var monthNames = []string{"", "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}
var dayNames = []string{"", "SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}

func parseCron(body string) (Schedule, error) {
	fields := strings.Fields(body)
	if len(fields) != 6 || (fields[2] == "?") == (fields[4] == "?") {
		return nil, ErrInvalid
	}
	c := &cron{}
	var err error
	if c.minutes, err = bits(fields[0], 0, 59, nil); err != nil {
		return nil, err
	}
	if c.hours, err = bits(fields[1], 0, 23, nil); err != nil {
		return nil, err
	}
	if err := c.parseDays(fields[2]); err != nil {
		return nil, err
	}
	if c.months, err = bits(fields[3], 1, 12, monthNames); err != nil {
		return nil, err
	}
	if err := c.parseWeekdays(fields[4]); err != nil {
		return nil, err
	}
	return c, c.parseYears(fields[5])
}

func (c *cron) parseDays(s string) (err error) {
	switch {
	case s == "?" || s == "*":
		c.anyDay = true
	case s == "L":
		c.lastDay = true
	case s == "LW":
		c.weekdayNear = -1
	case strings.HasSuffix(s, "W"):
		c.weekdayNear, err = number(strings.TrimSuffix(s, "W"), 1, 31, nil)
	default:
		c.days, err = bits(s, 1, 31, nil)
	}
	return err
}

func (c *cron) parseWeekdays(s string) (err error) {
	day, nth, isNth := strings.Cut(s, "#")
	switch {
	case s == "?" || s == "*":
		c.anyWeekday = true
	case s == "L":
		c.weekdays = 1 << 7
	case isNth:
		if c.nth, err = number(nth, 1, 5, nil); err == nil {
			c.nthWeekday, err = number(day, 1, 7, dayNames)
		}
	case strings.HasSuffix(s, "L"):
		c.lastWeekday, err = number(strings.TrimSuffix(s, "L"), 1, 7, dayNames)
	default:
		c.weekdays, err = bits(s, 1, 7, dayNames)
	}
	return err
}

func (c *cron) parseYears(s string) error {
	return each(s, firstYear, lastYear, nil, func(y int) {
		y -= firstYear
		c.years[y/64] |= 1 << (y % 64)
	})
}

// bits is the set that a field means.
func bits(s string, low, high int, names []string) (set uint64, err error) {
	err = each(s, low, high, names, func(n int) { set |= 1 << n })
	return set, err
}

// each calls add for every value of a field: lists of *, values, ranges, and steps.
func each(s string, low, high int, names []string, add func(int)) error {
	for part := range strings.SplitSeq(s, ",") {
		span, stepText, stepped := strings.Cut(part, "/")
		step := 1
		if stepped {
			var err error
			if step, err = number(stepText, 1, high, nil); err != nil {
				return err
			}
		}
		from, to, err := parseSpan(span, low, high, names, stepped)
		if err != nil {
			return err
		}
		for n := from; n <= to; n += step {
			add(n)
		}
	}
	return nil
}

func parseSpan(s string, low, high int, names []string, stepped bool) (from, to int, err error) {
	if s == "*" {
		return low, high, nil
	}
	first, last, isRange := strings.Cut(s, "-")
	if from, err = number(first, low, high, names); err != nil {
		return 0, 0, err
	}
	switch {
	case isRange:
		to, err = number(last, low, high, names)
	case stepped:
		to = high
	default:
		to = from
	}
	if err == nil && to < from {
		err = ErrInvalid
	}
	return from, to, err
}

func number(s string, low, high int, names []string) (int, error) {
	for i, name := range names {
		if name != "" && strings.EqualFold(name, s) {
			return i, nil
		}
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < low || n > high {
		return 0, ErrInvalid
	}
	return n, nil
}

func has(set uint64, n int) bool { return set&(1<<n) != 0 }

// Next looks day by day, then for the first hour and minute.
func (c *cron) Next(t, _ time.Time) time.Time {
	t = t.UTC().Truncate(time.Minute).Add(time.Minute)
	for t.Year() <= lastYear {
		y, m, d := t.Date()
		switch {
		case y < firstYear || !has(c.years[(y-firstYear)/64], (y-firstYear)%64):
			t = time.Date(y+1, 1, 1, 0, 0, 0, 0, time.UTC)
		case !has(c.months, int(m)):
			t = time.Date(y, m+1, 1, 0, 0, 0, 0, time.UTC)
		default:
			if c.onDay(t) {
				if at, ok := c.within(t); ok {
					return at
				}
			}
			t = time.Date(y, m, d+1, 0, 0, 0, 0, time.UTC)
		}
	}
	return time.Time{}
}

// within finds the first minute of t's day that is not before t.
func (c *cron) within(t time.Time) (time.Time, bool) {
	y, m, d := t.Date()
	for hour := t.Hour(); hour < 24; hour++ {
		if !has(c.hours, hour) {
			continue
		}
		first := 0
		if hour == t.Hour() {
			first = t.Minute()
		}
		for minute := first; minute < 60; minute++ {
			if has(c.minutes, minute) {
				return time.Date(y, m, d, hour, minute, 0, 0, time.UTC), true
			}
		}
	}
	return time.Time{}, false
}

func (c *cron) onDay(t time.Time) bool {
	last := time.Date(t.Year(), t.Month()+1, 0, 0, 0, 0, 0, time.UTC)
	weekday := int(t.Weekday()) + 1
	switch {
	case c.lastDay:
		return t.Day() == last.Day()
	case c.weekdayNear != 0:
		return t.Day() == c.nearest(last)
	case c.lastWeekday != 0:
		return weekday == c.lastWeekday && t.Day() > last.Day()-7
	case c.nth != 0:
		return weekday == c.nthWeekday && (t.Day()-1)/7+1 == c.nth
	}
	return (c.anyDay || has(c.days, t.Day())) && (c.anyWeekday || has(c.weekdays, weekday))
}

// nearest is the weekday of the month that is nearest to the day asked for, without leaving the month.
func (c *cron) nearest(last time.Time) int {
	day := c.weekdayNear
	if day == -1 {
		day = last.Day()
	}
	if day > last.Day() {
		return 0
	}
	switch time.Date(last.Year(), last.Month(), day, 0, 0, 0, 0, time.UTC).Weekday() {
	case time.Saturday:
		if day == 1 {
			return 3
		}
		return day - 1
	case time.Sunday:
		if day == last.Day() {
			return day - 2
		}
		return day + 1
	}
	return day
}
