package arch

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	testFunction = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	testName     = regexp.MustCompile(`\b(?:(?:Test|Fuzz)[A-Z]\w+|[\w-]+\.txtar)`)
)

// TestAdvisoriesHaveTheirTests: each row of docs/advisories.md names tests, and they exist.
func TestAdvisoriesHaveTheirTests(t *testing.T) {
	exist := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if strings.HasSuffix(path, ".txtar") {
			exist[filepath.Base(path)] = true
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		source, err := os.ReadFile(path)
		for _, m := range testFunction.FindAllStringSubmatch(string(source), -1) {
			exist[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile(filepath.Join(root, "docs", "advisories.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(string(doc)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if len(cells) != 3 || strings.HasPrefix(line, "| advisory") || strings.HasPrefix(line, "| ---") {
			continue
		}
		rows++
		names := testName.FindAllString(cells[2], -1)
		if len(names) == 0 && !strings.HasPrefix(strings.TrimSpace(cells[2]), "- ") {
			t.Errorf("%s has neither a test nor a reason", cells[0])
		}
		for _, name := range names {
			if !exist[name] {
				t.Errorf("%s: there is no %s", cells[0], name)
			}
		}
	}
	if rows < 50 {
		t.Errorf("only %d rows were read", rows)
	}
}

// TestNoPrivateKeyInTheSource (RustFS GHSA 923g): what is built into the binary opens nothing.
func TestNoPrivateKeyInTheSource(t *testing.T) {
	mark := "PRIVATE " + "KEY-----"
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if n := d.Name(); n == ".git" || n == "bin" || n == "testdata" {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		source, err := os.ReadFile(path)
		if strings.Contains(string(source), mark) {
			t.Errorf("%s holds a private key", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
