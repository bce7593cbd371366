package lifecycle

import (
	"slices"
	"time"

	"github.com/kura-s3/kura/internal/object"
)

// Day is how long a day is unless configured.
const Day = 24 * time.Hour

// maxDays keeps times where they can be counted in nanoseconds: two hundred years.
const maxDays = 73_000

// Due is the moment so many days after since, moved on to the end of that day: midnight UTC, for days
// of a real day's length.
func Due(since time.Time, days int, day time.Duration) time.Time {
	at := since.Add(time.Duration(min(days, maxDays)) * day)
	if over := time.Duration(at.UnixNano() % int64(day)); over > 0 {
		at = at.Add(day - over)
	}
	return at.UTC().Round(0)
}

// Judge says what is to become of a version. It is made of the enabled rules of one configuration.
type Judge struct {
	rules  []judged
	day    time.Duration
	always bool // transitions are for small objects, too, where the class allows it
}

type judged struct {
	*Rule
	scope Scope
}

// Judge makes a Judge. Day is the length of a day.
func (c *Config) Judge(day time.Duration) *Judge {
	j := &Judge{day: day, always: c.MinimumSize == MinimumByClass}
	for i := range c.Rules {
		if r := &c.Rules[i]; r.Enabled {
			j.rules = append(j.rules, judged{r, r.Scope()})
		}
	}
	return j
}

// action is what is to become of a version.
type action uint8

const (
	keep       action = iota
	expire            // a current version: removed, or hidden under a delete marker
	remove            // this version, for good
	transition        // to another class
)

// verdict is an action with its reason.
type verdict struct {
	action action
	class  string // of a transition
}

// Expiry is when the current version expires by its age or a date, and the rule that says so.
func (j *Judge) Expiry(v *object.Info, day time.Duration) (at time.Time, rule string, ok bool) {
	if v.DeleteMarker {
		return at, "", false
	}
	for i := range j.rules {
		r := &j.rules[i]
		if when, expires := r.expiry(v, day); expires && r.scope.covers(v) && (!ok || when.Before(at)) {
			at, rule, ok = when, r.ID, true
		}
	}
	return at, rule, ok
}

func (r *judged) expiry(v *object.Info, day time.Duration) (time.Time, bool) {
	e := r.Expiration
	switch {
	case e == nil:
	case e.Days > 0:
		return Due(v.Modified, e.Days, day), true
	case !e.Date.IsZero():
		return e.Date, true
	}
	return time.Time{}, false
}

// current judges the current version of a key; alone tells that it has no older ones.
func (j *Judge) current(v *object.Info, alone bool, now time.Time) verdict {
	if v.DeleteMarker {
		if alone && j.markerGoes(v, now) {
			return verdict{action: remove}
		}
		return verdict{}
	}
	if at, _, ok := j.Expiry(v, j.day); ok && !now.Before(at) {
		return verdict{action: expire}
	}
	class := ""
	for i := range j.rules {
		r := &j.rules[i]
		for k := range r.Transitions {
			t := &r.Transitions[k]
			due := t.Date
			if t.Days != nil {
				due = Due(v.Modified, *t.Days, j.day)
			}
			if !now.Before(due) && r.scope.covers(v) && j.largeEnough(v, &r.scope, t.Class) {
				class = colder(class, t.Class)
			}
		}
	}
	return moved(v, class)
}

// markerGoes tells whether a delete marker under which nothing is left is to go: a rule asks for it, or
// expires by age and the marker has come to it.
func (j *Judge) markerGoes(v *object.Info, now time.Time) bool {
	for i := range j.rules {
		r := &j.rules[i]
		if r.Expiration == nil || !r.scope.covers(v) {
			continue
		}
		asked := r.Expiration.Markers != nil && *r.Expiration.Markers
		if asked || r.Expiration.Days > 0 && !now.Before(Due(v.Modified, r.Expiration.Days, j.day)) {
			return true
		}
	}
	return false
}

// noncurrent judges an older version that was superseded at since and has so many newer ones among
// those that are not current.
func (j *Judge) noncurrent(v *object.Info, since time.Time, newer int, now time.Time) verdict {
	class := ""
	for i := range j.rules {
		r := &j.rules[i]
		if !r.scope.covers(v) {
			continue
		}
		if e := r.NoncurrentExpiration; e != nil && newer >= e.Newer && !now.Before(Due(since, e.Days, j.day)) {
			return verdict{action: remove}
		}
		for k := range r.NoncurrentTransitions {
			t := &r.NoncurrentTransitions[k]
			if newer >= t.Newer && !now.Before(Due(since, t.Days, j.day)) && j.largeEnough(v, &r.scope, t.Class) {
				class = colder(class, t.Class)
			}
		}
	}
	if v.DeleteMarker {
		return verdict{}
	}
	return moved(v, class)
}

// abandoned tells whether an upload is to be given up.
func (j *Judge) abandoned(u *object.Upload, now time.Time) bool {
	as := &object.Info{Key: u.Key}
	for i := range j.rules {
		r := &j.rules[i]
		if r.AbortDays > 0 && r.scope.covers(as) && !now.Before(Due(u.Initiated, r.AbortDays, j.day)) {
			return true
		}
	}
	return false
}

// abandons tells whether any rule is about uploads.
func (j *Judge) abandons() bool {
	return slices.ContainsFunc(j.rules, func(r judged) bool { return r.AbortDays > 0 })
}

// largeEnough: S3 moves no object of less than 128 KiB, unless the rule is about sizes or the bucket
// asks for it and the class is an archive.
func (j *Judge) largeEnough(v *object.Info, s *Scope, class string) bool {
	return v.Size >= minimumSize || s.Greater != nil || s.Less != nil || j.always && object.Archived(class)
}

// classes from the warmest to the coldest: versions only go down.
var classes = []string{
	"REDUCED_REDUNDANCY", "STANDARD", "STANDARD_IA", "INTELLIGENT_TIERING", "ONEZONE_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE",
}

func colder(a, b string) string {
	if slices.Index(classes, b) > slices.Index(classes, a) {
		return b
	}
	return a
}

func moved(v *object.Info, class string) verdict {
	now := v.Attributes.StorageClass
	if now == "" {
		now = "STANDARD"
	}
	if class == "" || colder(now, class) == now {
		return verdict{}
	}
	return verdict{action: transition, class: class}
}
