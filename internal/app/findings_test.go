package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestThreatListsHaveDifferentNames: a finding names the list, and the second of one name would hide the first.
func TestThreatListsHaveDifferentNames(t *testing.T) {
	dir := t.TempDir()
	list := func(path string) string {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("192.0.2.7\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	one, other, same := list("a/bad.txt"), list("b/worse.txt"), list("b/bad.txt")
	if lists, err := threatLists([]string{one, other}); err != nil || len(lists) != 2 {
		t.Error(lists, err)
	}
	if _, err := threatLists([]string{one, other, same}); err == nil || !strings.Contains(err.Error(), same) {
		t.Error(err)
	}
}
