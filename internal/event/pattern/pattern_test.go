package pattern

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/kura-s3/kura/internal/fault"
)

// matches compiles and matches, as TestEventPattern does.
func matches(t testing.TB, pattern, event string) (bool, error) {
	t.Helper()
	p, err := Compile([]byte(pattern))
	if err != nil {
		if !fault.Is(err, Invalid) {
			t.Fatalf("%s: an error without a kind: %v", pattern, err)
		}
		return false, err
	}
	e, err := Decode([]byte(event))
	if err != nil {
		t.Fatalf("event %s: %v", event, err)
	}
	matched := p.Matches(e.(map[string]any))
	// What texts of the event are known excludes no pattern that matches it.
	if known := texts(e.(map[string]any), "", map[string]string{}); matched && p.Excludes(known) {
		t.Errorf("%s matches %s, and is excluded by %v", pattern, event, known)
	}
	return matched, nil
}

// texts are those of an event by their paths, but for those in lists.
func texts(o map[string]any, prefix string, known map[string]string) map[string]string {
	for name, v := range o {
		switch v := v.(type) {
		case string:
			known[prefix+name] = v
		case map[string]any:
			texts(v, prefix+name+".", known)
		}
	}
	return known
}

func TestExcludes(t *testing.T) {
	p, err := Compile([]byte(`{"source":["aws.s3","aws.config"],"detail":{"rule":["a"],"n":[1],"any":[{"prefix":"x"},"y"]},"$or":[{"a":["1"]},{"b":["2"]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		known map[string]string
		want  bool
	}{
		{nil, false}, {map[string]string{"source": "aws.config"}, false}, {map[string]string{"source": "aws.kms"}, true},
		{map[string]string{"source": "aws.s3", "detail.rule": "b"}, true}, {map[string]string{"detail.any": "z"}, false}, {map[string]string{"a": "3", "b": "3"}, false},
	} {
		if got := p.Excludes(c.known); got != c.want {
			t.Errorf("%v: %v", c.known, got)
		}
	}
}

func vectors(t *testing.T, name string, into any) {
	file := "../../../../shared/vectors/" + name
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Skipf("SKIPPED: the event pattern vectors are not at %s", file)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		t.Fatal(err)
	}
}

func TestVectorsOfTheService(t *testing.T) {
	var file struct {
		Cases []struct {
			Name, Expect   string
			Event, Pattern json.RawMessage
		}
	}
	vectors(t, "event-patterns.json", &file)
	ran := 0
	for _, c := range file.Cases {
		if len(c.Pattern) == 0 || string(c.Pattern) == "null" {
			continue // two rows came without their pair
		}
		ran++
		got := "no-match"
		ok, err := matches(t, string(c.Pattern), string(c.Event))
		if err != nil {
			got = "invalid"
		} else if ok {
			got = "match"
		}
		if got != c.Expect {
			t.Errorf("%s: got %s (%v), want %s", c.Name, got, err, c.Expect)
		}
	}
	if ran < 150 {
		t.Errorf("only %d cases ran", ran)
	}
}

// TestCasesOfTheReferenceEngine has no verdicts in its file: what stands here was read off the names.
func TestCasesOfTheReferenceEngine(t *testing.T) {
	var cases []struct {
		Name        string
		Rule, Event json.RawMessage
	}
	vectors(t, "event-ruler-cases.json", &cases)
	no := []string{"one missing", "exact mismatch", "split", "no match", "exists-false: present", "empty object", "empty array", "fail", "empty prim array", "objarray: 3-field, split"}
	for _, c := range cases {
		want := true
		for _, word := range no {
			if strings.Contains(c.Name, word) {
				want = false
			}
		}
		if got, err := matches(t, string(c.Rule), string(c.Event)); err != nil || got != want {
			t.Errorf("%s: %v %v, want %v", c.Name, got, err, want)
		}
	}
}

func TestPatterns(t *testing.T) {
	config := `{"source":"aws.config","detail-type":"Config Rules Compliance Change","detail":{"resourceId":"b","configRuleName":"s3-bucket-public-read-prohibited","newEvaluationResult":{"complianceType":"NON_COMPLIANT"}}}`
	for _, c := range []struct {
		name, pattern, event string
		want                 bool
	}{
		{"two rules of one source", `{"source":["aws.config"],"detail-type":["Config Rules Compliance Change"],"detail":{"configRuleName":["s3-bucket-public-write-prohibited","s3-bucket-public-read-prohibited"]}}`, config, true},
		{"another rule", `{"source":["aws.config"],"detail":{"configRuleName":["x"]}}`, config, false},
		{"anything but, not compliant", `{"detail":{"newEvaluationResult":{"complianceType":[{"anything-but":["COMPLIANT","NOT_APPLICABLE"]}]}}}`, config, true},
		{"escaped star", `{"a":[{"wildcard":"x\\**"}]}`, `{"a":"x*yz"}`, true},
		{"escaped star is no star", `{"a":[{"wildcard":"x\\*"}]}`, `{"a":"xy"}`, false},
		{"stars take turns", `{"a":[{"wildcard":"a*b*c"}]}`, `{"a":"a-bb-c-b-c"}`, true},
		{"literal at both ends overlaps", `{"a":[{"wildcard":"ab*ba"}]}`, `{"a":"aba"}`, false},
		{"$or beside fields", `{"s":["x"],"$or":[{"a":[1]},{"b":[2]}]}`, `{"s":"x","b":2}`, true},
		{"$or nested in $or", `{"$or":[{"$or":[{"a":[1]},{"a":[2]}]},{"b":[2]}]}`, `{"a":2}`, true},
		{"$or of match types is a field", `{"$or":[{"prefix":"x"},{"prefix":"y"}]}`, `{"$or":"yy"}`, true},
		{"exists false on an object", `{"a":[{"exists":false}]}`, `{"a":{"b":1}}`, true},
		{"exists false below a value", `{"a":{"b":[{"exists":false}]}}`, `{"a":1}`, true},
		{"last of duplicate keys", `{"a":[1],"a":[2]}`, `{"a":2}`, true},
		{"numbers by value", `{"a":[3.0e2]}`, `{"a":300}`, true},
		{"below zero", `{"a":[{"numeric":["<",0]}]}`, `{"a":-1}`, true},
		{"v4 address is not in a v6 network", `{"a":[{"cidr":"::/0"}]}`, `{"a":"10.0.0.1"}`, false},
		{"dots on both sides", `{"a.b.c":["x"]}`, `{"a":{"b.c":"x"}}`, true},
		{"dotted beside nested", `{"a":{"b":["y"]}}`, `{"a":{"b":"x"},"a.b":"y"}`, true},
		{"fold is not for bytes alone", `{"a":[{"equals-ignore-case":"ÄÖ"}]}`, `{"a":"äö"}`, true},
	} {
		if got, err := matches(t, c.pattern, c.event); err != nil || got != c.want {
			t.Errorf("%s: %v %v, want %v", c.name, got, err, c.want)
		}
	}
}

func TestRefusals(t *testing.T) {
	for pattern, reason := range map[string]string{
		`{"int":42}`:                                            `"int" must be an object or an array`,
		`{"a":[]}`:                                              `Empty arrays are not allowed`,
		`["a"]`:                                                 `Filter is not an object`,
		`{"a":[{"EXISTS":true}]}`:                               `Unrecognized match type EXISTS`,
		`{"a":[{"prefix":1}]}`:                                  `prefix match pattern must be a string`,
		`{"a":[{"suffix":["x"]}]}`:                              `suffix match pattern must be a string`,
		`{"a":[{"anything-but":{"prefix":1}}]}`:                 `prefix/suffix match pattern must be a string`,
		`{"a":[{"anything-but":{"suffix":""}}]}`:                `Null prefix/suffix not allowed`,
		`{"a":[{"anything-but":null}]}`:                         `Value of anything-but must be an array or single string/number value.`,
		`{"a":[{"anything-but":["x",null]}]}`:                   `Inside anything but list, start|null|boolean is not supported.`,
		`{"a":[{"equals-ignore-case":["x"]}]}`:                  `equals-ignore-case match pattern must be a string`,
		`{"a":[{"wildcard":1}]}`:                                `wildcard match pattern must be a string`,
		`{"a":[{"wildcard":"arn:aws:x:y:**:e"}]}`:               `Consecutive wildcard characters at pos 13`,
		`{"a":[{"numeric":10}]}`:                                `Value of numeric must be an array.`,
		`{"a":[{"numeric":[">",0,">",0]}]}`:                     `Bad numeric range operator: >`,
		`{"a":[{"numeric":[">",0,"<"]}]}`:                       `Value of < must be numeric`,
		`{"a":[{"cidr":"bad"}]}`:                                `Malformed CIDR, one '/' required`,
		`{"a":[{"cidr":"1.2.3.4/x"}]}`:                          `Malformed CIDR, mask bits must be an integer`,
		`{"a":[{"cidr":"xx.11.xx/8"}]}`:                         `Nonstandard IP address: xx.11.xx`,
		`{"a":[{"anything-but":{"equals-ignore-case":[123]}}]}`: `Inside anything-but/equals-ignore-case list, number|start|null|boolean is not supported.`,
	} {
		_, err := Compile([]byte(pattern))
		if err == nil || !strings.HasSuffix(err.Error(), "Event pattern is not valid. Reason: "+reason) {
			t.Errorf("%s: %v, want %s", pattern, err, reason)
		}
	}
	alternatives := `[{"a":[1]},{"a":[2]}]`
	deep := strings.Repeat(`{"a":`, 200) + "[1]" + strings.Repeat("}", 200)
	many := `{"x":{"$or":` + strings.ReplaceAll(`[{"a":[1],"$or":O},{"a":[2],"$or":O},{"a":[3],"$or":O},{"a":[3],"$or":O}]`, "O", `[{"a":[1],"$or":P},{"a":[2],"$or":P}]`) + `}}`
	many = strings.ReplaceAll(many, "P", alternatives)
	for _, p := range []string{"", "null", "{", `{"a":["b"]} x`, "{}", `{"a":{}}`, deep, many} {
		if _, err := Compile([]byte(p)); !fault.Is(err, Invalid) {
			t.Errorf("%.40s is accepted: %v", p, err)
		}
	}
}

func FuzzCompileAndMatch(f *testing.F) {
	f.Add(`{"a":[{"prefix":"x"}],"$or":[{"b":[1]},{"c":[{"exists":false}]}]}`, `{"a":"xy","b":[1,{"c":2}],"d.e":{}}`)
	f.Add(`{"a.b":[{"anything-but":{"wildcard":"a*b"}}]}`, `{"a":[{"b":"x"}],"a.b":"y"}`)
	f.Fuzz(func(t *testing.T, pattern, event string) {
		p, err := Compile([]byte(pattern))
		if err != nil {
			if !fault.Is(err, Invalid) {
				t.Fatal(err)
			}
			return
		}
		e, err := Decode([]byte(event))
		if err != nil {
			return
		}
		if m, ok := e.(map[string]any); ok {
			p.Matches(m)
		}
	})
}

func BenchmarkMatchHundredRules(b *testing.B) {
	var all []*Pattern
	for i := range 100 {
		p, err := Compile(fmt.Appendf(nil, `{"source":["aws.config"],"detail-type":["Config Rules Compliance Change"],"detail":{"configRuleName":["rule-%d"],"newEvaluationResult":{"complianceType":[{"anything-but":"COMPLIANT"}]}}}`, i))
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, p)
	}
	raw := []byte(`{"source":"aws.config","detail-type":"Config Rules Compliance Change","resources":[],"detail":{"resourceId":"b","configRuleName":"rule-99","newEvaluationResult":{"complianceType":"NON_COMPLIANT"}}}`)
	b.ReportAllocs()
	for b.Loop() {
		e, _ := Decode(raw)
		n := 0
		for _, p := range all {
			if p.Matches(e.(map[string]any)) {
				n++
			}
		}
		if n != 1 {
			b.Fatal(n)
		}
	}
}
