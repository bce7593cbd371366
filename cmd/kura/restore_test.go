package main

import (
	"encoding/xml"
	"testing"
	"time"
)

func TestPlanKey(t *testing.T) {
	at := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	version := func(id string, age time.Duration) keyVersion {
		return keyVersion{Key: "k", VersionID: id, Modified: at.Add(age), ETag: "etag-" + id, Size: 1, Class: "STANDARD"}
	}
	marker := func(id string, age time.Duration) keyVersion {
		return keyVersion{Key: "k", VersionID: id, Modified: at.Add(age), Marker: true}
	}
	same := version("3", time.Hour)
	same.ETag = "etag-1"
	for name, c := range map[string]struct {
		versions []keyVersion
		action   string
		version  string
		current  string
	}{
		"not touched":            {[]keyVersion{version("1", -time.Hour)}, "", "", ""},
		"made at that moment":    {[]keyVersion{version("1", 0)}, "", "", ""},
		"overwritten":            {[]keyVersion{version("3", time.Hour), version("2", time.Minute), version("1", -time.Hour), version("0", -2*time.Hour)}, actionRestore, "1", "etag-3"},
		"deleted":                {[]keyVersion{marker("2", time.Minute), version("1", -time.Hour)}, actionRestore, "1", ""},
		"new":                    {[]keyVersion{version("2", time.Minute)}, actionHide, "", "etag-2"},
		"new and gone again":     {[]keyVersion{marker("3", time.Hour), version("2", time.Minute)}, "", "", ""},
		"was deleted, came back": {[]keyVersion{version("3", time.Hour), marker("2", -time.Minute), version("1", -time.Hour)}, actionHide, "", "etag-3"},
		"was deleted, still is":  {[]keyVersion{marker("2", -time.Minute), version("1", -time.Hour)}, "", "", ""},
		"deleted anew":           {[]keyVersion{marker("4", time.Hour), version("3", time.Minute), marker("2", -time.Minute)}, "", "", ""},
		"the same content":       {[]keyVersion{same, version("1", -time.Hour)}, actionRestore, "1", "etag-1"},
	} {
		s := planKey(c.versions, at)
		if s == nil {
			s = &step{}
		}
		if s.Action != c.action || s.VersionID != c.version || s.current != c.current || s.same != (name == "the same content") {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

// TestVersionsInOrder: markers and versions are put together whichever of them the answer lists first.
func TestVersionsInOrder(t *testing.T) {
	var page versionsPage
	err := xml.Unmarshal([]byte(`<ListVersionsResult>
<Version><Key>a%20b</Key><VersionId>1</VersionId><LastModified>2030-01-01T00:00:00.000Z</LastModified><ETag>"x"</ETag></Version>
<Version><Key>c</Key><VersionId>4</VersionId><IsLatest>true</IsLatest><LastModified>2030-01-01T00:00:00.000Z</LastModified></Version>
<DeleteMarker><Key>a%20b</Key><VersionId>2</VersionId><IsLatest>true</IsLatest><LastModified>2030-01-01T00:00:00.000Z</LastModified></DeleteMarker>
<DeleteMarker><Key>c</Key><VersionId>3</VersionId><LastModified>2029-01-01T00:00:00.000Z</LastModified></DeleteMarker>
</ListVersionsResult>`), &page)
	if err != nil {
		t.Fatal(err)
	}
	all, err := page.all()
	if err != nil || len(all) != 4 {
		t.Fatal(all, err)
	}
	for i, want := range []string{"2", "1", "4", "3"} {
		if all[i].VersionID != want {
			t.Errorf("%d: version %s, want %s", i, all[i].VersionID, want)
		}
	}
	if all[0].Key != "a b" || !all[0].Marker || all[1].ETag != "x" {
		t.Errorf("%+v", all)
	}
}

func TestPointInTime(t *testing.T) {
	now := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"90m": now.Add(-90 * time.Minute), "2030-01-01T11:00:00Z": now.Add(-time.Hour), "2030-01-01T12:00:00+01:00": now.Add(-time.Hour),
		"": {}, "-5m": {}, "yesterday": {}, "2030-01-02T00:00:00Z": {}, "2030-01-01": {},
	} {
		got, err := pointInTime(text, now)
		if want.IsZero() != (err != nil) || err == nil && !got.Equal(want) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

func TestS3Errors(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		want   string
	}{
		{200, "<CopyObjectResult/>", ""}, {204, "", ""},
		{200, "<Error><Code>InternalError</Code><Message>later</Message></Error>", "InternalError: later"},
		{403, "<Error><Code>AccessDenied</Code><Message>no</Message></Error>", "AccessDenied: no"},
		{404, "", "Not Found"},
	} {
		got := ""
		if err := readS3Error(c.status, []byte(c.body)); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%d %s: %q", c.status, c.body, got)
		}
	}
	if got := escapeKey("a b+c/ü"); got != "a%20b%2Bc/%C3%BC" {
		t.Error(got)
	}
}
