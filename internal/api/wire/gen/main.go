// Command gen writes the shapes and operations of AWS services as Go, from the API models that ship
// with botocore.
//
//	gen -models <botocore>/data -out internal/api/wire
//
// What it takes from a model is told by a list per service beside this file (lists/*.txt): see
// wanted.go for its directives. Only facts are taken (names, types, places, constraints), never the
// documentation.
package main

import (
	"embed"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

//go:embed lists/*.txt
var lists embed.FS

func main() {
	models := flag.String("models", "", "botocore's data folder")
	out := flag.String("out", ".", "folder of the packages to write")
	only := flag.String("only", "", "one list to read, by the name of its file without .txt (default: all)")
	flag.Parse()
	if err := run(*models, *out, *only); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(models, out, only string) error {
	if models == "" {
		return fmt.Errorf("-models names no folder")
	}
	names, err := fs.Glob(lists, "lists/*.txt")
	if err != nil {
		return err
	}
	for _, name := range names {
		if only != "" && strings.TrimSuffix(filepath.Base(name), ".txt") != only {
			continue
		}
		text, err := lists.ReadFile(name)
		if err != nil {
			return err
		}
		w, err := parseWanted(string(text))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := generate(models, out, w); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// generate writes the package of one list.
func generate(models, out string, w *wanted) error {
	m, err := readModel(models, w.Service)
	if err != nil {
		return err
	}
	s, err := resolve(m, w)
	if err != nil {
		return err
	}
	files, err := emit(s)
	if err != nil {
		return err
	}
	dir := filepath.Join(out, w.Package)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
