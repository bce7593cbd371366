package wire

import (
	"encoding/base64"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// structOf is the struct that x points to, checked to be the one generated for sh.
func structOf(op *Operation, sh *Shape, x any) (reflect.Value, error) {
	v := reflect.ValueOf(x)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct ||
		v.Elem().Type().Name() != sh.GoType || !strings.HasSuffix(v.Elem().Type().PkgPath(), op.Model.Package) {
		return v, &Error{Kind: Unsupported, Detail: op.Service + ":" + op.Name + " takes *" + sh.GoType}
	}
	return v.Elem(), nil
}

// present gives what a member holds, behind its pointer; false for an absent one.
func present(v reflect.Value) (reflect.Value, bool) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return v, false
		}
		return v.Elem(), true
	case reflect.Slice, reflect.Map:
		return v, !v.IsNil()
	case reflect.String:
		return v, v.Len() > 0
	}
	return v, true
}

// target is where the value of a member or element goes: behind its pointer, which is made here.
func target(v reflect.Value) reflect.Value {
	if v.Kind() != reflect.Pointer {
		return v
	}
	if v.IsNil() {
		v.Set(reflect.New(v.Type().Elem()))
	}
	return v.Elem()
}

// isScalar tells whether values of kind k are one piece of text in XML and in parameters.
func isScalar(k Kind) bool { return k < List }

// setScalar parses s into v, a member or element of shape sh.
func setScalar(sh *Shape, v reflect.Value, s string, f TimeFormat) error {
	t := target(v)
	if sh.Kind != String {
		s = strings.TrimSpace(s)
	}
	ok := true
	switch sh.Kind {
	case String, Enum:
		t.SetString(s)
		ok = sh.Kind == String || sh.Open || s != ""
	case Boolean:
		// AWS's own examples write TRUE; there is nothing else that it could mean.
		yes := strings.EqualFold(s, "true")
		ok = yes || strings.EqualFold(s, "false")
		t.SetBool(yes)
	case Integer:
		ok = setInt(t, s, 32)
	case Long:
		ok = setInt(t, s, 64)
	case Double:
		ok = setDouble(t, s)
	case Timestamp:
		var at time.Time
		at, ok = parseTime(s, f)
		if ok {
			*(t.Addr().Interface().(*time.Time)) = at
		}
	case Blob:
		data, err := base64.StdEncoding.DecodeString(s)
		ok = err == nil
		t.SetBytes(data)
	default:
		return &Error{Kind: Malformed, Detail: "a value where members are expected"}
	}
	if !ok {
		return &Error{Kind: BadValue, Value: shown(sh, s), Detail: "not a valid " + kindWords[sh.Kind]}
	}
	return nil
}

var kindWords = [...]string{
	String: "string", Enum: "value", Boolean: "boolean", Integer: "integer", Long: "integer",
	Double: "number", Timestamp: "timestamp", Blob: "base64 string", List: "list", Map: "map",
	Structure: "structure",
}

func setInt(t reflect.Value, s string, bits int) bool {
	n, err := strconv.ParseInt(s, 10, bits)
	if err != nil {
		return false
	}
	t.SetInt(n)
	return true
}

func setDouble(t reflect.Value, s string) bool {
	x, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
		return false
	}
	t.SetFloat(x)
	return true
}

// enumError refuses a value outside of a closed enum.
func enumError(sh *Shape, v reflect.Value) error {
	if sh.Kind != Enum || sh.Open {
		return nil
	}
	if s := v.String(); !sh.Allows(s) {
		return &Error{Kind: BadEnum, Value: shown(sh, s), Detail: "not one of " + strings.Join(sh.Values, ", ")}
	}
	return nil
}

// appendScalar writes the text of a scalar, not escaped.
func appendScalar(b []byte, sh *Shape, v reflect.Value, f TimeFormat) []byte {
	switch sh.Kind {
	case String, Enum:
		return append(b, v.String()...)
	case Boolean:
		return strconv.AppendBool(b, v.Bool())
	case Integer, Long:
		return strconv.AppendInt(b, v.Int(), 10)
	case Double:
		return strconv.AppendFloat(b, v.Float(), 'g', -1, 64)
	case Timestamp:
		return appendTime(b, timeOf(v), f)
	case Blob:
		return base64.StdEncoding.AppendEncode(b, v.Bytes())
	}
	return b
}

func timeOf(v reflect.Value) time.Time {
	if v.CanAddr() {
		return *(v.Addr().Interface().(*time.Time))
	}
	return v.Interface().(time.Time)
}
