package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const tinyModel = `{
 "metadata": {"apiVersion": "2020-01-01", "protocol": "rest-xml"},
 "operations": {
  "PutThing": {"name": "PutThing", "http": {"method": "PUT", "requestUri": "/{Name+}?thing&v=2", "responseCode": 201},
   "input": {"shape": "PutThingRequest"}, "httpChecksumRequired": true},
  "GetThing": {"name": "GetThing", "http": {"method": "GET", "requestUri": "/{Name+}"}, "output": {"shape": "thing"}},
  "Other": {"name": "Other", "http": {"method": "GET", "requestUri": "/"}}
 },
 "shapes": {
  "PutThingRequest": {"type": "structure", "required": ["Name"], "payload": "Thing", "members": {
   "Name": {"shape": "Name", "location": "uri", "locationName": "Name"},
   "Zeal": {"shape": "Color", "location": "header", "locationName": "x-amz-zeal"},
   "Body": {"shape": "Stream", "streaming": true},
   "Thing": {"shape": "thing", "locationName": "TheThing"}}},
  "thing": {"type": "structure", "members": {
   "Zebra": {"shape": "Name"}, "Apple": {"shape": "Colors"}, "Parent": {"shape": "thing"}, "When": {"shape": "When"}}},
  "Colors": {"type": "list", "member": {"shape": "Color", "locationName": "Color"}, "flattened": true, "min": 1},
  "Color": {"type": "string", "enum": ["RED", "light-blue", "s3:*"]},
  "Name": {"type": "string", "pattern": "(?!a)\\w+", "max": 5},
  "When": {"type": "timestamp", "timestampFormat": "iso8601"},
  "Stream": {"type": "blob"},
  "NoThing": {"type": "structure", "members": {}, "exception": true, "error": {"code": "NoSuchThing", "httpStatusCode": 404}}
 }
}`

const tinyList = `
service tiny            # with a comment
package tinywire
operation PutThing
operation GetThing
root GetThing TheThing
open Color
`

// generated writes the package of a list for the tiny model and gives its files.
func generated(t *testing.T, list string) (map[string]string, error) {
	dir := t.TempDir()
	at := filepath.Join(dir, "tiny", "2020-01-01")
	if err := os.MkdirAll(at, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(at, "service-2.json"), []byte(tinyModel), 0o644); err != nil {
		t.Fatal(err)
	}
	w, err := parseWanted(list)
	if err != nil {
		return nil, err
	}
	if err := generate(dir, dir, w); err != nil {
		return nil, err
	}
	files := map[string]string{}
	names, _ := filepath.Glob(filepath.Join(dir, "tinywire", "*.go"))
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		// Blanks are gofmt's affair.
		files[filepath.Base(name)] = strings.Join(strings.Fields(string(text)), " ")
		if _, err := parser.ParseFile(token.NewFileSet(), name, text, 0); err != nil {
			t.Error(err)
		}
	}
	return files, nil
}

func TestGenerate(t *testing.T) {
	files, err := generated(t, tinyList)
	if err != nil {
		t.Fatal(err)
	}
	for file, wants := range map[string][]string{
		"types.go": {
			"type PutThingInput struct { Name *string Zeal Color Thing *Thing }",
			"type Thing struct { Zebra *string Apple []Color Parent *Thing When *time.Time }",
			"type GetThingOutput struct { Zebra *string Apple []Color Parent *Thing When *time.Time }",
			"type GetThingInput struct { }",
		},
		"enums.go": {`ColorRed Color = "RED" ColorLightBlue Color = "light-blue" ColorS3All Color = "s3:*"`},
		"operations.go": {
			`Method: "PUT", URI: "/{Name+}", Status: 201, Query: []wire.Pair{{Name: "thing", Value: ""}, {Name: "v", Value: "2"}},`,
			`ChecksumRequired: true, StreamingInput: true,`, `OutputRoot: "TheThing",`,
		},
		"model.go": {
			`{Name: "Apple", Wire: "Color", Tags: "<Color></Color>", Shape: idColors}`,
			`{Name: "Zeal", Wire: "X-Amz-Zeal", In: wire.InHeader, Shape: idColor}`,
			`{Name: "Thing", Wire: "TheThing", In: wire.InPayload, Shape: idThing}`,
			`Open: true, Values: []string{"RED", "light-blue", "s3:*"}`,
			`Limits: &wire.Limits{HasMax: true, Max: 5, Pattern: "(?!a)\\w+"}`,
			`Kind: wire.Timestamp, Format: wire.ISO8601Millis`,
		},
		"errors.go": {`"NoThing": {Name: "NoThing", Code: "NoSuchThing", Status: 404, Sender: true, MessageMember: "message"}`},
	} {
		for _, want := range wants {
			if !strings.Contains(files[file], want) {
				t.Errorf("%s lacks %s\n%s", file, want, files[file])
			}
		}
	}
	if strings.Contains(files["operations.go"], "Other") {
		t.Error("an operation that nobody wanted")
	}
}

func TestListsRefused(t *testing.T) {
	for list, want := range map[string]string{
		"service tiny":                                   "no service or no package",
		tinyList + "oops":                                "not a directive: oops",
		tinyList + "operation Missing":                   "no operation Missing",
		tinyList + "status PutThing ok":                  "invalid syntax",
		tinyList + "rename thing PutThingInput":          "name PutThingInput is that of",
		strings.Replace(tinyList, "e tiny", "e gone", 1): "no model of gone",
	} {
		if _, err := generated(t, list); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
}

func TestGoPattern(t *testing.T) {
	for pattern, want := range map[string]string{
		"":                                      "",
		`[\w+=,.@-]*`:                           `[\w+=,.@-]*`,
		`[\u0009\u0020-\u00FF]+`:                `[\x{0009}\x{0020}-\x{00FF}]+`,
		`a{1,2048}b{0,131072}c{20,2048}d{1,64}`: `a+b*c{20,}d{1,64}`,
		`(?!x)y`:                                ``,
		`a++`:                                   `a+`,
	} {
		if got := goPattern(pattern); got != want {
			t.Errorf("%s became %s, not %s", pattern, got, want)
		}
	}
}

// TestGeneratedPackagesAreCurrent: each list has its package, with the operations that it names.
func TestGeneratedPackagesAreCurrent(t *testing.T) {
	names, err := filepath.Glob("lists/*.txt")
	if err != nil || len(names) < 6 {
		t.Fatalf("%v %v", names, err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		w, err := parseWanted(string(text))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", w.Package, "operations.go"), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		var have []string
		for _, d := range f.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.VAR {
				have = append(have, g.Specs[0].(*ast.ValueSpec).Names[0].Name)
			}
		}
		for op := range w.Operations {
			if !slices.Contains(have, op) {
				t.Errorf("%s lacks %s", w.Package, op)
			}
		}
		for op := range w.Except {
			if slices.Contains(have, op) {
				t.Errorf("%s has %s", w.Package, op)
			}
		}
	}
}
