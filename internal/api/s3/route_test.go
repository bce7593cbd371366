package s3

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestTargets: bucket and key come out of the path as they went in, decoded once.
func TestTargets(t *testing.T) {
	s := &Service{config: Config{Domains: []string{"s3.test"}}}
	for _, c := range []struct{ host, path, bucket, key string }{
		{"x", "/", "", ""},
		{"x", "/b", "b", ""},
		{"x", "/b/", "b", ""},
		{"x", "/b/k", "b", "k"},
		{"x", "/b//k", "b", "/k"},
		{"x", "/b/a//b/../c/./d", "b", "a//b/../c/./d"},
		{"x", "/b/..", "b", ".."},
		{"x", "/b/../c/k", "b", "../c/k"},
		{"x", "/b/%2e%2e/c/k", "b", "../c/k"},
		{"x", "/b/a%2Fb", "b", "a/b"},
		{"x", "/b/a%252Fb", "b", "a%2Fb"},
		{"x", "/b/%00%01%7F", "b", "\x00\x01\x7f"},
		{"x", "/b/%E6%97%A5", "b", "日"},
		{"x", "/b/a+b%20c", "b", "a+b c"},
		{"b.s3.test", "/k/l", "b", "k/l"},
		{"b.c.s3.test:9000", "/", "b.c", ""},
		{"S3.TEST", "/b/k", "b", "k"},
	} {
		r := httptest.NewRequest("GET", "http://x/", nil)
		r.Host = c.host
		r.URL = &url.URL{}
		if u, err := url.ParseRequestURI(c.path); err != nil {
			t.Fatal(err)
		} else {
			r.URL = u
		}
		got, err := s.parseTarget(r)
		if err != nil || got.bucket != c.bucket || got.key != c.key {
			t.Errorf("%s%s: bucket %q key %q %v", c.host, c.path, got.bucket, got.key, err)
		}
	}
}

func FuzzTarget(f *testing.F) {
	for _, seed := range []string{"/b/k?x=1", "/b/../c", "/b/%2e%2e%2fc", "//", "/b/%ff", "/b?versionId&versionId=2", "/%00/%00", "/b/k?%zz=1&&=&a=b=c"} {
		f.Add(seed, "b.s3.test")
	}
	s := &Service{config: Config{Domains: []string{"s3.test"}}}
	f.Fuzz(func(t *testing.T, uri, host string) {
		u, err := url.ParseRequestURI(uri)
		if err != nil {
			t.Skip()
		}
		r := httptest.NewRequest("GET", "http://x/", nil)
		r.URL, r.Host = u, host
		got, err := s.parseTarget(r)
		if err != nil {
			return
		}
		if !utf8.ValidString(got.key) || !utf8.ValidString(got.bucket) {
			t.Fatalf("not text: %q %q", got.bucket, got.key)
		}
		if !got.virtual && strings.Contains(got.bucket, "/") && !strings.Contains(strings.ToLower(u.EscapedPath()), "%2f") {
			t.Fatalf("bucket %q crosses a slash", got.bucket)
		}
		if (got.level == levelKey) != (got.key != "" && got.bucket != "") {
			t.Fatalf("level %d of %q/%q", got.level, got.bucket, got.key)
		}
	})
}

func FuzzCopySource(f *testing.F) {
	for _, seed := range []string{"/b/k", "b/k?versionId=1", "b", "/", "b/..%2f..%2fc/k", "b/%00", "b/k?versionId=", "b/k?acl", "%2fb%2fk", "b%2Fk"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		in, err := parseCopySource(text)
		if err != nil {
			return
		}
		if in.Bucket == "" || in.Key == "" || strings.Contains(in.Bucket, "/") || len(in.Key) > 1024 || !utf8.ValidString(in.Key) {
			t.Fatalf("%q: %+v", text, in)
		}
	})
}
