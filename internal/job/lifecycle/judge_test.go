package lifecycle

import (
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/object"
)

func ptr[T any](v T) *T { return &v }

var noon = time.Date(2030, 5, 10, 12, 30, 0, 0, time.UTC)

func date(day int) time.Time { return time.Date(2030, 5, day, 0, 0, 0, 0, time.UTC) }

func TestDue(t *testing.T) {
	for _, c := range []struct {
		since time.Time
		days  int
		day   time.Duration
		want  time.Time
	}{
		{noon, 1, Day, date(12)},
		{date(10), 1, Day, date(11)},
		{noon, 0, Day, date(11)},
		{noon, 3, time.Hour, time.Date(2030, 5, 10, 16, 0, 0, 0, time.UTC)},
		{noon, 1 << 31, Day, Due(noon, maxDays, Day)},
	} {
		if got := Due(c.since, c.days, c.day); !got.Equal(c.want) {
			t.Errorf("%d days of %v after %v: %v, want %v", c.days, c.day, c.since, got, c.want)
		}
	}
}

func judge(rules ...Rule) *Judge {
	for i := range rules {
		rules[i].Enabled = true
		if rules[i].ID == "" {
			rules[i].ID = "r"
		}
	}
	return (&Config{Rules: rules}).Judge(Day)
}

func TestFilters(t *testing.T) {
	v := &object.Info{Key: "logs/a", Size: 100, Tags: []object.Tag{{Key: "a", Value: "1"}, {Key: "b", Value: "2"}}, Modified: noon}
	expires := func(r Rule) bool {
		r.Expiration = &Expiration{Days: 1}
		_, _, ok := judge(r).Expiry(v, Day)
		return ok
	}
	for name, c := range map[string]struct {
		rule Rule
		want bool
	}{
		"everything":      {Rule{Filter: &Filter{}}, true},
		"old prefix":      {Rule{Prefix: ptr("logs/")}, true},
		"another prefix":  {Rule{Prefix: ptr("tmp/")}, false},
		"filter's prefix": {Rule{Filter: &Filter{Prefix: ptr("log")}}, true},
		"tag":             {Rule{Filter: &Filter{Tag: &object.Tag{Key: "a", Value: "1"}}}, true},
		"tag's value":     {Rule{Filter: &Filter{Tag: &object.Tag{Key: "a", Value: "2"}}}, false},
		"both tags":       {Rule{Filter: &Filter{And: &And{Tags: []object.Tag{{Key: "b", Value: "2"}, {Key: "a", Value: "1"}}}}}, true},
		"one tag is not":  {Rule{Filter: &Filter{And: &And{Tags: []object.Tag{{Key: "b", Value: "2"}, {Key: "c", Value: "1"}}}}}, false},
		"greater":         {Rule{Filter: &Filter{Greater: ptr(int64(99))}}, true},
		"not greater":     {Rule{Filter: &Filter{Greater: ptr(int64(100))}}, false},
		"less":            {Rule{Filter: &Filter{Less: ptr(int64(101))}}, true},
		"not less":        {Rule{Filter: &Filter{Less: ptr(int64(100))}}, false},
		"between":         {Rule{Filter: &Filter{And: &And{Prefix: ptr("logs"), Greater: ptr(int64(1)), Less: ptr(int64(1000))}}}, true},
	} {
		if got := expires(c.rule); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestCurrent(t *testing.T) {
	object1 := object.Info{Key: "k", Size: 1 << 20, Modified: noon, Latest: true}
	small := object1
	small.Size = 10
	cold := object1
	cold.Attributes.StorageClass = "GLACIER"
	marker := object.Info{Key: "k", DeleteMarker: true, Modified: noon, Latest: true}
	days1 := Rule{Filter: &Filter{}, Expiration: &Expiration{Days: 1}}
	byDate := Rule{Filter: &Filter{}, Expiration: &Expiration{Date: date(20)}}
	markers := Rule{Filter: &Filter{}, Expiration: &Expiration{Markers: ptr(true)}}
	noMarkers := Rule{Filter: &Filter{}, Expiration: &Expiration{Markers: ptr(false)}}
	tagged := Rule{Filter: &Filter{Tag: &object.Tag{Key: "a", Value: "b"}}, Expiration: &Expiration{Days: 1}}
	move := Rule{Filter: &Filter{}, Transitions: []Transition{{Days: ptr(1), Class: "STANDARD_IA"}, {Days: ptr(3), Class: "GLACIER"}}}
	byClass := (&Config{MinimumSize: MinimumByClass, Rules: []Rule{{Enabled: true, Filter: &Filter{}, Transitions: []Transition{{Days: ptr(1), Class: "STANDARD_IA"}, {Days: ptr(1), Class: "GLACIER"}}}}}).Judge(Day)
	off := (&Config{Rules: []Rule{{Filter: &Filter{}, Expiration: &Expiration{Days: 1}}}}).Judge(Day)
	for name, c := range map[string]struct {
		j     *Judge
		v     object.Info
		alone bool
		now   time.Time
		want  verdict
	}{
		"not yet":                         {judge(days1), object1, true, date(12).Add(-1), verdict{}},
		"due":                             {judge(days1), object1, true, date(12), verdict{action: expire}},
		"disabled":                        {off, object1, true, date(30), verdict{}},
		"before the date":                 {judge(byDate), object1, true, date(20).Add(-1), verdict{}},
		"on the date":                     {judge(byDate), object1, true, date(20), verdict{action: expire}},
		"lone marker":                     {judge(markers), marker, true, noon, verdict{action: remove}},
		"marker with versions":            {judge(markers), marker, false, noon, verdict{}},
		"marker that is not asked about":  {judge(noMarkers), marker, true, date(30), verdict{}},
		"marker by days, young":           {judge(days1), marker, true, noon, verdict{}},
		"marker by days":                  {judge(days1), marker, true, date(12), verdict{action: remove}},
		"marker and a rule about tags":    {judge(tagged), marker, true, date(30), verdict{}},
		"marker and a rule with a date":   {judge(byDate), marker, true, date(30), verdict{}},
		"first transition":                {judge(move), object1, true, date(12), verdict{transition, "STANDARD_IA"}},
		"second transition":               {judge(move), object1, true, date(14), verdict{transition, "GLACIER"}},
		"never warmer":                    {judge(move), cold, true, date(12), verdict{}},
		"there already":                   {judge(move), cold, true, date(14), verdict{}},
		"too small":                       {judge(move), small, true, date(14), verdict{}},
		"small, by class, to the archive": {byClass, small, true, date(14), verdict{transition, "GLACIER"}},
		"expiry before transition":        {judge(move, days1), object1, true, date(14), verdict{action: expire}},
	} {
		if got := c.j.current(&c.v, c.alone, c.now); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestNoncurrent(t *testing.T) {
	v := &object.Info{Key: "k", Size: 1 << 20, Modified: date(1)}
	j := judge(Rule{Filter: &Filter{}, NoncurrentExpiration: &NoncurrentExpiration{Days: 5, Newer: 2},
		NoncurrentTransitions: []NoncurrentTransition{{Days: 1, Class: "GLACIER_IR"}}})
	for _, c := range []struct {
		newer int
		now   time.Time
		want  verdict
	}{
		{2, date(12).Add(-1), verdict{}},
		{2, date(12), verdict{transition, "GLACIER_IR"}},
		{2, date(16), verdict{action: remove}},
		{1, date(30), verdict{transition, "GLACIER_IR"}},
	} {
		if got := j.noncurrent(v, noon, c.newer, c.now); got != c.want {
			t.Errorf("%d newer at %v: %+v, want %+v", c.newer, c.now, got, c.want)
		}
	}
	marker := &object.Info{Key: "k", DeleteMarker: true, Modified: date(1)}
	if got := j.noncurrent(marker, noon, 5, date(13)); got.action != keep {
		t.Errorf("a marker moves to %+v", got)
	}
	if got := j.noncurrent(marker, noon, 5, date(30)); got.action != remove {
		t.Errorf("an older marker stays: %+v", got)
	}
}

func TestConfigKeepsItsForm(t *testing.T) {
	c := &Config{MinimumSize: MinimumByClass, Rules: []Rule{{ID: "a", Enabled: true, Prefix: ptr(""), Expiration: &Expiration{Date: date(1)}}}}
	raw, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := Decode(raw)
	if err != nil || back.Rules[0].Prefix == nil || !back.Rules[0].Expiration.Date.Equal(date(1)) || back.MinimumSize != MinimumByClass {
		t.Errorf("%+v, %v", back, err)
	}
	for _, bad := range []string{"", "{}", `{"Format":2}`, `{"Format":1,"Surprise":1}`, "null"} {
		if _, err := Decode([]byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
