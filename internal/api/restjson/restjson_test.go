package restjson

import (
	"maps"
	"net/url"
	"testing"

	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/api/wire/accessanalyzerwire"
)

func TestRoutes(t *testing.T) {
	s := New(Config{Name: "access-analyzer", Model: accessanalyzerwire.Operations})
	for _, c := range []struct {
		method, path, want string
		labels             map[string]string
	}{
		{"PUT", "/analyzer", "CreateAnalyzer", nil},
		{"GET", "/analyzer/", "ListAnalyzers", nil},
		{"GET", "/analyzer/a", "GetAnalyzer", map[string]string{"analyzerName": "a"}},
		{"GET", "/analyzer/a/archive-rule/r", "GetArchiveRule", map[string]string{"analyzerName": "a", "ruleName": "r"}},
		{"POST", "/analyzer/findings/statistics", "GetFindingsStatistics", nil},
		{"GET", "/tags/arn%3Aaws%3Aaccess-analyzer%3Aus-east-1%3A1%3Aanalyzer%2Fa", "ListTagsForResource",
			map[string]string{"resourceArn": "arn:aws:access-analyzer:us-east-1:1:analyzer/a"}},
		{"POST", "/policy/validation", "ValidatePolicy", nil},
		{"GET", "/tags/arn:aws:x/a", "", nil}, // a separator that was not escaped is one
		{"DELETE", "/analyzer", "", nil},
		{"GET", "/analyzer/%zz", "", nil},
		{"GET", "/", "", nil},
	} {
		op, labels := s.find(c.method, c.path, nil)
		name := ""
		if op != nil {
			name = op.Name
		}
		if name != c.want || !maps.Equal(labels, c.labels) {
			t.Errorf("%s %s: %q %v, want %q %v", c.method, c.path, name, labels, c.want, c.labels)
		}
	}
}

// TestGreedyAndLiteral: labels that take the rest of a path, and parameters that tell operations apart.
func TestGreedyAndLiteral(t *testing.T) {
	model := map[string]*wire.Operation{
		"Rest":  {Name: "Rest", Method: "GET", URI: "/things/{Key+}"},
		"Exact": {Name: "Exact", Method: "GET", URI: "/things/all"},
		"Told":  {Name: "Told", Method: "GET", URI: "/things/{Key+}", Query: []wire.Pair{{Name: "tags"}}},
	}
	s := New(Config{Name: "x", Model: model})
	for _, c := range []struct{ path, query, want, key string }{
		{"/things/a/b%2Fc", "", "Rest", "a/b/c"},
		{"/things/all", "", "Exact", ""},
		{"/things/a", "tags", "Told", "a"},
	} {
		query, _ := url.ParseQuery(c.query)
		op, labels := s.find("GET", c.path, query)
		if op == nil || op.Name != c.want || labels["Key"] != c.key {
			t.Errorf("%s?%s: %v %v", c.path, c.query, op, labels)
		}
	}
}
