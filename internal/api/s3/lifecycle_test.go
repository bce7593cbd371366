package s3

import (
	"strings"
	"testing"
	"time"
)

func lifecycleOf(rules ...string) string {
	return `<LifecycleConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Rule>` + strings.Join(rules, "</Rule><Rule>") + "</Rule></LifecycleConfiguration>"
}

// TestLifecycleRules: what AWS does not take, and why.
func TestLifecycleRules(t *testing.T) {
	const on, all, days = "<Status>Enabled</Status>", "<Filter/>", "<Expiration><Days>1</Days></Expiration>"
	expire := func(inner string) string { return lifecycleOf(on + all + "<Expiration>" + inner + "</Expiration>") }
	filter := func(inner, action string) string { return lifecycleOf(on + "<Filter>" + inner + "</Filter>" + action) }
	move := func(inner string) string { return lifecycleOf(on + all + inner) }
	const tag = "<Tag><Key>a</Key><Value>b</Value></Tag>"
	const abort = "<AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload>"
	h := newHarness(t)
	h.must(admin, "PUT", "/bucket", "")
	for name, c := range map[string]struct{ body, code, message string }{
		"no rules":               {"<LifecycleConfiguration/>", "MalformedXML", ""},
		"no status":              {lifecycleOf(all + days), "MalformedXML", ""},
		"status in lower case":   {lifecycleOf("<Status>enabled</Status>" + all + days), "MalformedXML", ""},
		"no filter, no prefix":   {lifecycleOf(on + days), "MalformedXML", ""},
		"filter and prefix":      {lifecycleOf(on + all + "<Prefix>a</Prefix>" + days), "MalformedXML", ""},
		"no action":              {lifecycleOf(on + all), "InvalidRequest", "At least one action"},
		"long id":                {lifecycleOf("<ID>" + strings.Repeat("x", 256) + "</ID>" + on + all + days), "InvalidArgument", "255"},
		"one id twice":           {lifecycleOf("<ID>a</ID>"+on+all+days, "<ID>a</ID>"+on+all+days), "InvalidArgument", "Rule ID must be unique"},
		"two conditions":         {filter("<Prefix>a</Prefix>"+tag, days), "MalformedXML", ""},
		"And of one":             {filter("<And><Prefix>a</Prefix></And>", days), "MalformedXML", ""},
		"a tag twice":            {filter("<And>"+tag+tag+"</And>", days), "InvalidRequest", "Duplicate Tag Keys are not allowed."},
		"sizes that exclude":     {filter("<And><ObjectSizeGreaterThan>5</ObjectSizeGreaterThan><ObjectSizeLessThan>5</ObjectSizeLessThan></And>", days), "InvalidRequest", "ObjectSizeLessThan"},
		"days 0":                 {expire("<Days>0</Days>"), "InvalidArgument", "'Days' for Expiration action must be a positive integer"},
		"days and date":          {expire("<Days>1</Days><Date>2030-01-01T00:00:00Z</Date>"), "MalformedXML", ""},
		"days and markers":       {expire("<Days>1</Days><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker>"), "MalformedXML", ""},
		"nothing":                {expire(""), "MalformedXML", ""},
		"not midnight":           {expire("<Date>2030-01-01T00:00:01Z</Date>"), "InvalidArgument", "'Date' must be at midnight GMT"},
		"markers with tags":      {filter(tag, "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>"), "InvalidRequest", "ExpiredObjectDeleteMarker cannot be specified with Tags."},
		"uploads with tags":      {filter(tag, abort), "InvalidRequest", "AbortIncompleteMultipartUpload cannot be specified with Tags."},
		"uploads with sizes":     {filter("<ObjectSizeGreaterThan>5</ObjectSizeGreaterThan>", abort), "InvalidRequest", "AbortIncompleteMultipartUpload cannot be specified with Object Size."},
		"uploads, no days":       {move("<AbortIncompleteMultipartUpload/>"), "MalformedXML", ""},
		"noncurrent, no days":    {move("<NoncurrentVersionExpiration><NewerNoncurrentVersions>1</NewerNoncurrentVersions></NoncurrentVersionExpiration>"), "MalformedXML", ""},
		"too many newer":         {move("<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays><NewerNoncurrentVersions>101</NewerNoncurrentVersions></NoncurrentVersionExpiration>"), "InvalidArgument", "NewerNoncurrentVersions"},
		"unknown class":          {move("<Transition><Days>1</Days><StorageClass>STANDARD</StorageClass></Transition>"), "MalformedXML", ""},
		"transition, no days":    {move("<Transition><StorageClass>GLACIER</StorageClass></Transition>"), "MalformedXML", ""},
		"too soon":               {move("<Transition><Days>29</Days><StorageClass>ONEZONE_IA</StorageClass></Transition>"), "InvalidArgument", "greater than or equal to 30 for storageClass 'ONEZONE_IA'"},
		"negative":               {move("<Transition><Days>-1</Days><StorageClass>GLACIER</StorageClass></Transition>"), "InvalidArgument", "nonnegative"},
		"a class twice":          {move("<Transition><Days>1</Days><StorageClass>GLACIER</StorageClass></Transition><Transition><Days>2</Days><StorageClass>GLACIER</StorageClass></Transition>"), "InvalidRequest", "'StorageClass' must be different"},
		"colder before warmer":   {move("<Transition><Days>40</Days><StorageClass>STANDARD_IA</StorageClass></Transition><Transition><Days>40</Days><StorageClass>GLACIER</StorageClass></Transition>"), "InvalidArgument", "'Days' in the Transition action for StorageClass 'GLACIER' for filter '(prefix=)' must be greater than 'Days' in the Transition action for StorageClass 'STANDARD_IA'"},
		"colder on that day":     {move("<Transition><Date>2030-01-01T00:00:00Z</Date><StorageClass>DEEP_ARCHIVE</StorageClass></Transition><Transition><Date>2030-01-01T00:00:00Z</Date><StorageClass>GLACIER</StorageClass></Transition>"), "InvalidArgument", "must be later than 'Date'"},
		"noncurrent, colder":     {move("<NoncurrentVersionTransition><NoncurrentDays>5</NoncurrentDays><StorageClass>DEEP_ARCHIVE</StorageClass></NoncurrentVersionTransition><NoncurrentVersionTransition><NoncurrentDays>9</NoncurrentDays><StorageClass>GLACIER</StorageClass></NoncurrentVersionTransition>"), "InvalidArgument", "must be greater than 'NoncurrentDays'"},
		"expires before it goes": {move("<Transition><Days>1</Days><StorageClass>GLACIER</StorageClass></Transition>" + days), "InvalidArgument", "must be greater than 'Days' in the Transition action"},
		"days and dates":         {move("<Transition><Date>2030-01-01T00:00:00Z</Date><StorageClass>GLACIER</StorageClass></Transition>" + days), "InvalidRequest", "Found mixed 'Date' and 'Days'"},
		"noncurrent, the same":   {move("<NoncurrentVersionTransition><NoncurrentDays>5</NoncurrentDays><StorageClass>GLACIER</StorageClass></NoncurrentVersionTransition><NoncurrentVersionExpiration><NoncurrentDays>5</NoncurrentDays></NoncurrentVersionExpiration>"), "InvalidArgument", "NoncurrentVersionExpiration"},
		"too many":               {lifecycleOf(strings.Split(strings.Repeat("|"+on+all+days, maxLifecycleRules+1), "|")[1:]...), "MalformedXML", ""},
	} {
		w := h.putXML(admin, "/bucket?lifecycle", c.body)
		if w.Code != 400 || code(w) != c.code || !strings.Contains(w.Body.String(), c.message) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	h.answered(h.do(admin, "GET", "/bucket?lifecycle", ""), 404, "NoSuchLifecycleConfiguration")
}

// TestLifecycleKeepsItsShape: clients compare what they wrote with what they read.
func TestLifecycleKeepsItsShape(t *testing.T) {
	h := newHarness(t)
	h.must(admin, "PUT", "/bucket", "")
	body := lifecycleOf(
		"<ID>old</ID><Prefix>a</Prefix><Status>Disabled</Status><Transition><Date>2030-01-01T00:00:00Z</Date><StorageClass>GLACIER</StorageClass></Transition>",
		"<ID>all</ID><Filter></Filter><Status>Enabled</Status><Transition><Days>0</Days><StorageClass>GLACIER_IR</StorageClass></Transition>",
		"<ID>and</ID><Filter><And><Prefix></Prefix><Tag><Key>a</Key><Value>b</Value></Tag><ObjectSizeGreaterThan>0</ObjectSizeGreaterThan></And></Filter><Status>Enabled</Status><NoncurrentVersionExpiration><NoncurrentDays>3</NoncurrentDays><NewerNoncurrentVersions>2</NewerNoncurrentVersions></NoncurrentVersionExpiration>",
		"<Filter><Prefix>x</Prefix></Filter><Status>Enabled</Status><Expiration><ExpiredObjectDeleteMarker>false</ExpiredObjectDeleteMarker></Expiration>",
	)
	h.answered(h.putXML(admin, "/bucket?lifecycle", body, "X-Amz-Transition-Default-Minimum-Object-Size", "value"), 400, "InvalidRequest")
	w := h.putXML(admin, "/bucket?lifecycle", body, "X-Amz-Transition-Default-Minimum-Object-Size", "varies_by_storage_class")
	if w.Code != 200 || w.Header().Get("X-Amz-Transition-Default-Minimum-Object-Size") != "varies_by_storage_class" {
		t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	w = h.must(admin, "GET", "/bucket?lifecycle", "")
	if w.Header().Get("X-Amz-Transition-Default-Minimum-Object-Size") != "varies_by_storage_class" {
		t.Errorf("%v", w.Header())
	}
	got := w.Body.String()
	for _, want := range []string{
		"<ID>old</ID><Prefix>a</Prefix><Status>Disabled</Status>", "<Date>2030-01-01T00:00:00.000Z</Date>", "<ID>all</ID><Filter></Filter>", "<Days>0</Days>",
		"<And><Prefix></Prefix><Tag><Key>a</Key><Value>b</Value></Tag><ObjectSizeGreaterThan>0</ObjectSizeGreaterThan></And>",
		"<NoncurrentDays>3</NoncurrentDays><NewerNoncurrentVersions>2</NewerNoncurrentVersions>", "<ExpiredObjectDeleteMarker>false</ExpiredObjectDeleteMarker>",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is not in\n%s", want, got)
		}
	}
	if strings.Count(got, "<ID>") != 4 {
		t.Errorf("a rule without an id gets one: %s", got)
	}
	h.answered(h.do(admin, "DELETE", "/bucket?lifecycle", ""), 204, "")
	h.answered(h.do(admin, "GET", "/bucket?lifecycle", ""), 404, "NoSuchLifecycleConfiguration")
}

func TestExpirationHeader(t *testing.T) {
	h := newHarness(t)
	h.must(admin, "PUT", "/bucket", "")
	h.answered(h.putXML(admin, "/bucket?lifecycle", lifecycleOf(
		"<ID>late &amp; large</ID><Filter/><Status>Enabled</Status><Expiration><Days>9</Days></Expiration>",
		"<ID>tmp</ID><Filter><Prefix>tmp/</Prefix></Filter><Status>Enabled</Status><Expiration><Days>2</Days></Expiration>",
		"<ID>off</ID><Filter/><Status>Disabled</Status><Expiration><Days>1</Days></Expiration>",
	)), 200, "")
	midnight := time.Now().UTC().Truncate(24 * time.Hour)
	for key, want := range map[string]string{
		"k":     `expiry-date="` + midnight.AddDate(0, 0, 10).Format(time.RFC1123) + `", rule-id="late+%26+large"`,
		"tmp/k": `expiry-date="` + midnight.AddDate(0, 0, 3).Format(time.RFC1123) + `", rule-id="tmp"`,
	} {
		want = strings.ReplaceAll(want, "UTC", "GMT")
		for _, w := range []string{
			h.must(admin, "PUT", "/bucket/"+key, "x").Header().Get("X-Amz-Expiration"),
			h.must(admin, "GET", "/bucket/"+key, "").Header().Get("X-Amz-Expiration"),
			h.must(admin, "HEAD", "/bucket/"+key, "").Header().Get("X-Amz-Expiration"),
			h.must(admin, "PUT", "/bucket/"+key, "", "X-Amz-Copy-Source", "/bucket/"+key, "X-Amz-Metadata-Directive", "REPLACE").Header().Get("X-Amz-Expiration"),
		} {
			if w != want {
				t.Errorf("%s: %s, want %s", key, w, want)
			}
		}
	}
}

func TestArchive(t *testing.T) {
	h := newHarness(t)
	h.must(admin, "PUT", "/bucket", "")
	h.must(admin, "PUT", "/bucket/k", "x", "X-Amz-Storage-Class", "DEEP_ARCHIVE")
	restore := func(body string) int {
		t.Helper()
		return h.do(admin, "POST", "/bucket/k?restore", body, "Content-Md5", checksumOfBody(body)).Code
	}
	w := h.do(admin, "GET", "/bucket/k", "")
	if h.answered(w, 403, "InvalidObjectState"); !strings.Contains(w.Body.String(), "<StorageClass>DEEP_ARCHIVE</StorageClass>") {
		t.Errorf("%s", w.Body)
	}
	h.must(admin, "HEAD", "/bucket/k", "")
	h.answered(h.do(admin, "PUT", "/bucket/copy", "", "X-Amz-Copy-Source", "/bucket/k"), 403, "InvalidObjectState")
	const days = "<RestoreRequest><Days>1</Days></RestoreRequest>"
	for _, c := range []struct {
		body string
		want int
	}{
		{"<RestoreRequest/>", 400}, {"<RestoreRequest><Days>0</Days></RestoreRequest>", 400},
		{"<RestoreRequest><Type>SELECT</Type></RestoreRequest>", 501}, {days, 202}, {days, 200},
	} {
		if got := restore(c.body); got != c.want {
			t.Errorf("%s: %d, want %d", c.body, got, c.want)
		}
	}
	if w := h.must(admin, "GET", "/bucket/k", ""); w.Body.String() != "x" || !strings.HasPrefix(w.Header().Get("X-Amz-Restore"), `ongoing-request="false", expiry-date="`) {
		t.Errorf("%s %v", w.Body, w.Header())
	}
	h.must(admin, "PUT", "/bucket/warm", "x")
	for _, query := range []string{"list-type=2", "", "versions"} {
		const asked, told = "X-Amz-Optional-Object-Attributes", "<RestoreStatus><IsRestoreInProgress>false</IsRestoreInProgress><RestoreExpiryDate>20"
		if got := h.do(admin, "GET", "/bucket?"+query, "", asked, "RestoreStatus"); got.Code != 200 || strings.Count(got.Body.String(), told) != 1 {
			t.Errorf("%s: %d %s", query, got.Code, got.Body)
		}
		if got := h.do(admin, "GET", "/bucket?"+query, ""); strings.Contains(got.Body.String(), "RestoreStatus") {
			t.Errorf("%s: nobody asked: %s", query, got.Body)
		}
		h.answered(h.do(admin, "GET", "/bucket?"+query, "", asked, "RestoreStatus, Colour"), 400, "InvalidArgument")
	}
	h.must(admin, "PUT", "/bucket/copy", "", "X-Amz-Copy-Source", "/bucket/k")
	if w := h.must(admin, "GET", "/bucket/copy", ""); w.Header().Get("X-Amz-Storage-Class") != "" {
		t.Errorf("%v", w.Header())
	}
}
