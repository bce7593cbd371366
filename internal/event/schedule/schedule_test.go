package schedule

import (
	"testing"
	"time"
)

func TestNext(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse("2006-01-02 15:04", s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	since := at("2026-01-01 00:00")
	for _, c := range []struct{ expression, after, want string }{
		{"rate(1 minute)", "2026-01-01 00:00", "2026-01-01 00:01"},
		{"rate(5 minutes)", "2026-01-01 00:07", "2026-01-01 00:10"},
		{"rate(2 days)", "2026-01-02 10:00", "2026-01-03 00:00"},
		{"cron(0 10 * * ? *)", "2026-11-22 10:00", "2026-11-23 10:00"},
		{"cron(15 12 * * ? *)", "2026-11-22 10:00", "2026-11-22 12:15"},
		{"cron(0 18 ? * MON-FRI *)", "2026-11-20 18:00", "2026-11-23 18:00"},
		{"cron(0 8 1 * ? *)", "2026-11-22 10:00", "2026-12-01 08:00"},
		{"cron(0/15 * * * ? *)", "2026-11-22 10:01", "2026-11-22 10:15"},
		{"cron(0/30 20-23 ? * MON-FRI *)", "2026-11-20 23:45", "2026-11-23 20:00"},
		{"cron(0 0 L * ? *)", "2028-02-10 00:00", "2028-02-29 00:00"},
		{"cron(0 0 LW * ? *)", "2026-01-01 00:00", "2026-01-30 00:00"},
		{"cron(0 0 15W * ? *)", "2026-11-01 00:00", "2026-11-16 00:00"},
		{"cron(0 0 1W * ? *)", "2026-07-31 00:00", "2026-08-03 00:00"},
		{"cron(0 9 ? * 2#1 *)", "2026-11-22 00:00", "2026-12-07 09:00"},
		{"cron(0 9 ? * 6L *)", "2026-11-01 00:00", "2026-11-27 09:00"},
		{"cron(0 9 ? JAN,JUN SAT 2027-2028)", "2026-11-01 00:00", "2027-01-02 09:00"},
		{"cron(0 0 29 2 ? *)", "2026-03-01 00:00", "2028-02-29 00:00"},
		{"cron(5 4 ? * L *)", "2026-11-22 00:00", "2026-11-28 04:05"},
	} {
		s, err := Parse(c.expression)
		if err != nil {
			t.Errorf("%s: %v", c.expression, err)
			continue
		}
		if got := s.Next(at(c.after), since); !got.Equal(at(c.want)) {
			t.Errorf("%s after %s: %s, want %s", c.expression, c.after, got.Format("2006-01-02 15:04"), c.want)
		}
	}
	never, err := Parse("cron(0 0 31 2 ? *)")
	if err != nil || !never.Next(since, since).IsZero() {
		t.Errorf("the 31st of February is due: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	for _, s := range []string{
		"", "rate()", "rate(0 minutes)", "rate(1 minutes)", "rate(2 minute)", "rate(-1 hours)", "rate(5 weeks)", "rate(99999999999 days)",
		"cron(* * * * * *)", "cron(0 0 ? * ? *)", "cron(60 0 * * ? *)", "cron(0 24 * * ? *)", "cron(0 0 32 * ? *)", "cron(0 0 * 13 ? *)",
		"cron(0 0 ? * 8 *)", "cron(0 0 * * ? 1969)", "cron(0 0 * * ?)", "cron(5-1 0 * * ? *)", "cron(*/0 0 * * ? *)", "cron(0 0 * * ? *", "at(now)",
	} {
		if _, err := Parse(s); err == nil {
			t.Errorf("%q is accepted", s)
		}
	}
}
