package wire_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/api/wire/iamwire"
	"github.com/kura-s3/kura/internal/api/wire/kmswire"
	"github.com/kura-s3/kura/internal/api/wire/organizationswire"
	"github.com/kura-s3/kura/internal/api/wire/s3controlwire"
	"github.com/kura-s3/kura/internal/api/wire/s3wire"
	"github.com/kura-s3/kura/internal/api/wire/stswire"
)

var update = flag.Bool("update", false, "write the stored answers anew; check them with testdata/vectors.py")

var services = map[string]map[string]*wire.Operation{
	"s3": s3wire.Operations, "s3control": s3controlwire.Operations, "iam": iamwire.Operations,
	"sts": stswire.Operations, "kms": kmswire.Operations, "organizations": organizationswire.Operations,
}

// vector is a request or answer with what it says.
type vector struct {
	Service   string              `json:"service"`
	Operation string              `json:"operation"`
	Labels    map[string]string   `json:"labels,omitempty"`
	Query     map[string][]string `json:"query,omitempty"`
	Status    int                 `json:"status,omitempty"`
	Header    map[string]string   `json:"header,omitempty"`
	Body      string              `json:"body"`
	Params    any                 `json:"params"`
}

func readVectors(t *testing.T, name string) []vector {
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var vs []vector
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var v vector
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		vs = append(vs, v)
	}
	if len(vs) < 100 {
		t.Fatalf("only %d vectors in %s", len(vs), name)
	}
	return vs
}

// sampled lists the operations that have vectors: of the big services every nth.
func sampled() [][2]string {
	every := map[string]int{"iam": 4, "kms": 3, "organizations": 4}
	var out [][2]string
	for _, service := range slices.Sorted(maps.Keys(services)) {
		for i, name := range slices.Sorted(maps.Keys(services[service])) {
			if i%max(1, every[service]) == 0 {
				out = append(out, [2]string{service, name})
			}
		}
	}
	return out
}

// TestInputs decodes requests that botocore wrote.
func TestInputs(t *testing.T) {
	for _, v := range readVectors(t, "testdata/inputs.jsonl") {
		t.Run(v.Service+"."+v.Operation, func(t *testing.T) {
			op := services[v.Service][v.Operation]
			if op == nil {
				t.Fatal("no such operation")
			}
			req := &wire.Request{
				Path: func(label string) string { return v.Labels[label] }, Query: v.Query,
				Header: http.Header{}, Body: []byte(v.Body),
			}
			for name, value := range v.Header {
				req.Header.Set(name, value)
			}
			in := op.NewInput()
			if err := wire.Decode(op, req, in); err != nil {
				t.Fatalf("%v\n%s", err, v.Body)
			}
			got := told(op.Model, op.Input, reflect.ValueOf(in).Elem())
			if diff := cmp.Diff(v.Params, throughJSON(t, got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestOutputs holds the encoder to stored answers that botocore has read (testdata/vectors.py check).
func TestOutputs(t *testing.T) {
	var got []vector
	for _, name := range sampled() {
		op := services[name[0]][name[1]]
		h := fnv.New64a()
		fmt.Fprint(h, name)
		out := op.NewOutput()
		v := reflect.ValueOf(out).Elem()
		filler{op.Model, rand.New(rand.NewPCG(h.Sum64(), 1))}.structure(&op.Model.Shapes[op.Output], v, 0)
		header := http.Header{"X-Amzn-Requestid": {"req-1"}}
		body, err := wire.Encode(op, out, header)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		vec := vector{Service: name[0], Operation: name[1], Status: op.Status, Header: map[string]string{}, Body: string(body), Params: told(op.Model, op.Output, v)}
		for k := range header {
			vec.Header[k] = strings.Join(header[k], "|")
		}
		got = append(got, vec)
	}
	const file = "testdata/outputs.jsonl"
	if *update {
		writeVectors(t, file, got)
	}
	want := readVectors(t, file)
	if len(want) != len(got) {
		t.Fatalf("%d stored answers for %d operations", len(want), len(got))
	}
	for i := range got {
		got[i].Params = throughJSON(t, got[i].Params)
		if diff := cmp.Diff(want[i], got[i]); diff != "" {
			t.Errorf("%s.%s: %s", got[i].Service, got[i].Operation, diff)
		}
	}
}

func writeVectors(t *testing.T, file string, vs []vector) {
	var b, names strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	for _, v := range vs {
		if err := e.Encode(v); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&names, v.Service, v.Operation)
	}
	if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("testdata/operations.txt", []byte(names.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func throughJSON(t *testing.T, x any) any {
	b, err := json.Marshal(x)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// told gives a value as plain maps and lists by the model's names.
func told(m *wire.Model, id wire.ShapeID, v reflect.Value) any {
	sh := &m.Shapes[id]
	switch sh.Kind {
	case wire.Structure:
		out := map[string]any{}
		for i, member := range sh.Members {
			f := v.Field(i)
			if f.IsZero() {
				continue
			}
			if f.Kind() == reflect.Pointer {
				f = f.Elem()
			}
			out[member.Name] = told(m, member.Shape, f)
		}
		return out
	case wire.List:
		out := []any{}
		for i := range v.Len() {
			out = append(out, told(m, sh.Elem, v.Index(i)))
		}
		return out
	case wire.Map:
		out := map[string]any{}
		for _, k := range v.MapKeys() {
			out[k.String()] = told(m, sh.Elem, v.MapIndex(k))
		}
		return out
	case wire.Timestamp:
		return v.Interface().(time.Time).Format("2006-01-02T15:04:05Z")
	case wire.Blob:
		return base64.StdEncoding.EncodeToString(v.Bytes())
	}
	return v.Interface()
}

// filler fills structs with values that depend on nothing but the seed.
type filler struct {
	m *wire.Model
	r *rand.Rand
}

func (f filler) structure(sh *wire.Shape, v reflect.Value, depth int) {
	for i, member := range sh.Members {
		if member.In != wire.InPayload && (f.r.Float64() < 0.25 || depth > 3) || member.In == wire.InStatus {
			continue
		}
		to := v.Field(i)
		if to.Kind() == reflect.Pointer {
			to.Set(reflect.New(to.Type().Elem()))
			to = to.Elem()
		}
		f.value(&f.m.Shapes[member.Shape], to, depth+1, member.In == wire.InHeader || member.In == wire.InHeaders)
	}
}

func (f filler) value(sh *wire.Shape, v reflect.Value, depth int, inHeader bool) {
	texts := []string{"a", "a b", `<&>"'`, "é世😀", "line\nfeed", "cr\rlf\r\n", " lead", "]]>"}
	if inHeader {
		texts = []string{"abc", "a/b", "2"}
	}
	switch sh.Kind {
	case wire.Structure:
		f.structure(sh, v, depth)
	case wire.List:
		n := 1 + f.r.IntN(2)
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			f.value(&f.m.Shapes[sh.Elem], v.Index(i), depth+1, inHeader)
		}
	case wire.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for _, k := range []string{"k1", "k-2"} {
			e := reflect.New(v.Type().Elem()).Elem()
			f.value(&f.m.Shapes[sh.Elem], e, depth+1, inHeader)
			v.SetMapIndex(reflect.ValueOf(k), e)
		}
	case wire.Enum:
		v.SetString(sh.Values[f.r.IntN(len(sh.Values))])
	case wire.String:
		v.SetString(texts[f.r.IntN(len(texts))])
	case wire.Boolean:
		v.SetBool(f.r.IntN(2) == 0)
	case wire.Integer, wire.Long:
		v.SetInt(f.r.Int64N(1 << 31))
	case wire.Double:
		v.SetFloat(float64(f.r.IntN(400)) / 4)
	case wire.Timestamp:
		v.Set(reflect.ValueOf(time.Unix(f.r.Int64N(2e9), 0).UTC()))
	case wire.Blob:
		v.SetBytes([]byte{0, 255, byte(f.r.IntN(256))})
	}
}
