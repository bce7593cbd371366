package sse

import (
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/object"
)

// TestMemoryForgets: what is remembered ends with its time, and there is never more of it than the bound.
func TestMemoryForgets(t *testing.T) {
	var m memory[int, int]
	now := time.Unix(1700000000, 0)
	m.put(1, 10, now)
	if v, ok := m.get(1, now.Add(bucketKeyLife-1)); !ok || v != 10 {
		t.Error("forgot too early")
	}
	if _, ok := m.get(1, now.Add(bucketKeyLife)); ok {
		t.Error("remembers too long")
	}
	for i := range 3 * maxRemembered {
		m.put(i, i, now)
		if len(m.kept) > maxRemembered {
			t.Fatalf("remembers %d", len(m.kept))
		}
	}
	m.put(-1, 1, now.Add(time.Hour))
	if len(m.kept) > maxRemembered {
		t.Errorf("remembers %d", len(m.kept))
	}
}

func TestFlatContextsDiffer(t *testing.T) {
	seen := map[string]int{}
	for i, c := range [][]object.Tag{nil, {{Key: "a", Value: "b"}}, {{Key: "ab", Value: ""}}, {{Key: "a", Value: `b"c"d`}}, {{Key: "a", Value: "b"}, {Key: "c", Value: "d"}}, {{Key: `a"b`, Value: ""}}} {
		f := flat(c)
		if j, twice := seen[f]; twice {
			t.Errorf("contexts %d and %d are the same", i, j)
		}
		seen[f] = i
	}
}

func TestPairsOf(t *testing.T) {
	b := &object.Bucket{Name: "b"}
	for _, c := range []struct {
		sealed object.Sealed
		want   string
		bad    bool
	}{
		{object.Sealed{}, "arn:aws:s3:::b/k", false},
		{object.Sealed{BucketKey: true}, "arn:aws:s3:::b", false},
		{object.Sealed{Context: []object.Tag{{Key: ContextName, Value: "arn:aws:s3:::b/k"}}}, "arn:aws:s3:::b/k", false},
		{object.Sealed{Context: []object.Tag{{Key: ContextName, Value: "arn:aws:s3:::b"}}}, "", true},
		{object.Sealed{BucketKey: true, Context: []object.Tag{{Key: ContextName, Value: "arn:aws:s3:::b/k"}}}, "", true},
		{object.Sealed{Context: []object.Tag{{Key: "AWS:S3:ARN", Value: "arn:aws:s3:::b/k"}}}, "", true},
	} {
		pairs, err := pairsOf(b, "k", &c.sealed)
		if c.bad != (err != nil) || err == nil && pairs[ContextName] != c.want {
			t.Errorf("%+v: %v, %v", c.sealed, pairs, err)
		}
	}
}

// FuzzParse: no header makes a request that holds less than it says, and no error tells a key.
func FuzzParse(f *testing.F) {
	key := strings.Repeat("k", 32)
	sum := md5.Sum([]byte(key))
	f.Add("aws:kms", "alias/x", "e30=", "true", "", "", "", true)
	f.Add("", "", "", "", "AES256", base64.StdEncoding.EncodeToString([]byte(key)), base64.StdEncoding.EncodeToString(sum[:]), true)
	f.Fuzz(func(t *testing.T, algorithm, id, context, bucketKey, customer, key, sum string, secure bool) {
		h := http.Header{}
		for name, v := range map[string]string{HeaderAlgorithm: algorithm, HeaderKeyID: id, HeaderContext: context, HeaderBucketKey: bucketKey,
			HeaderCustomerAlgorithm: customer, HeaderCustomerKey: key, HeaderCustomerKeyMD5: sum} {
			if v != "" {
				h[name] = []string{v}
			}
		}
		r, err := Parse(h, secure)
		if err != nil {
			if fault.Of(err) == "" {
				t.Errorf("an error without a kind: %v", err)
			}
			if len(key) > 16 && strings.Contains(fmt.Sprintf("%+v", err), key) {
				t.Errorf("the error tells the key: %v", err)
			}
			return
		}
		if r == nil != (len(h) == 0) {
			t.Errorf("%v is %v", h, r)
		}
		if r != nil && r.Customer != nil && (!secure || r.Algorithm != "" || len(r.Context) > 0) {
			t.Errorf("%v is %+v", h, r)
		}
	})
}

// TestSizeOfContexts: what callers choose does not decide how much memory bucket keys hold.
func TestSizeOfContexts(t *testing.T) {
	if n := size([]object.Tag{{Key: "ab", Value: "cde"}, {Key: "f"}}); n != 6 {
		t.Errorf("%d bytes", n)
	}
}
