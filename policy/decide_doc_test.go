package policy

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

var writeDoc = flag.Bool("write-doc", false, "rewrite docs/decisions.md")

// TestDecisionsAreDocumented keeps docs/decisions.md what the table of decisions says.
func TestDecisionsAreDocumented(t *testing.T) {
	const file = "../docs/decisions.md"
	text := decisionsDoc(t)
	if *writeDoc {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != text {
		t.Error("docs/decisions.md is out of date: go test ./policy -run Documented -write-doc")
	}
}

func decisionsDoc(t *testing.T) string {
	var b strings.Builder
	b.WriteString(`# Decisions

What the policy engine answers, case by case, against what AWS documents (IAM User Guide, "Policy evaluation logic", "JSON
policy elements", "Condition operators"; S3 User Guide). The table is made of policy/testdata/decisions.json, which the
tests run: each row is evaluated, explained, and compared with a second, naive evaluator.

Unless a row says otherwise the request is ` + "`s3:GetObject`" + ` on an object of the caller's own account. Documents are
given by their statements.

| case | caller | request | documents | decision |
| --- | --- | --- | --- | --- |
`)
	for _, c := range decisions(t) {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", cell(c.Name), c.Caller, c.asked(), c.documents(), c.Want)
	}
	return b.String()
}

func (c *decisionCase) asked() string {
	var parts []string
	if c.Action != "" {
		parts = append(parts, "`"+c.Action+"`")
	}
	if c.Resource != "" {
		parts = append(parts, "on `"+cell(c.Resource)+"`")
	}
	if c.Owner == "other" {
		parts = append(parts, "another account's")
	}
	for key, value := range c.Context {
		text, _ := json.Marshal(value)
		parts = append(parts, "`"+cell(key+"="+string(text))+"`")
	}
	slices.Sort(parts)
	return strings.Join(parts, " ")
}

func (c *decisionCase) documents() string {
	var parts []string
	for _, d := range []struct {
		name string
		raw  json.RawMessage
	}{
		{"identity", c.Identity}, {"boundary", c.Boundary}, {"session", c.Session}, {"SCP", c.SCP}, {"RCP", c.RCP},
		{"endpoint", c.Endpoint}, {"resource", c.Policy},
	} {
		if len(d.raw) > 0 && string(d.raw) != "null" {
			parts = append(parts, d.name+" `"+cell(string(d.raw))+"`")
		}
	}
	for _, flag := range []struct {
		on   bool
		name string
	}{
		{c.HasSession, "has session policies"}, {c.MustAllow, "the resource's policy must allow"},
		{c.Granted, "granted by an ACL or a KMS grant"}, {c.Restricted, "RestrictPublicBuckets"},
	} {
		if flag.on {
			parts = append(parts, flag.name)
		}
	}
	return strings.Join(parts, "<br>")
}

// cell keeps text inside its cell of a table.
func cell(s string) string { return strings.NewReplacer("|", `\|`, "\n", " ").Replace(s) }
