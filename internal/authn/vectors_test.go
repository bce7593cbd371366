package authn

import (
	"encoding/json"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"
)

// vector is a case of vectors/sigv4.json.
type vector struct {
	Name    string
	Context struct {
		Credentials struct {
			ID     string `json:"access_key_id"`
			Secret string `json:"secret_access_key"`
			Token  string `json:"token"`
		}
		Normalize bool
		Service   string
		Region    string
		Timestamp time.Time
	} `json:"context.json"`
	HeaderCanonical string `json:"header-canonical-request.txt"`
	HeaderToSign    string `json:"header-string-to-sign.txt"`
	HeaderRequest   string `json:"header-signed-request.txt"`
	QueryCanonical  string `json:"query-canonical-request.txt"`
	QueryToSign     string `json:"query-string-to-sign.txt"`
	QueryRequest    string `json:"query-signed-request.txt"`
}

func vectors(t *testing.T) []vector {
	const file = "../../../shared/vectors/sigv4.json"
	data, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		t.Skipf("SKIPPED: the signature vectors are not at %s", file)
	}
	if err != nil {
		t.Fatal(err)
	}
	var v struct{ Cases []vector }
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Cases) < 38 {
		t.Fatalf("%d cases, want 38 at least", len(v.Cases))
	}
	return v.Cases
}

// rawRequest reads the vectors' form of a request, which is not always HTTP: blanks and UTF-8 in
// the path, line ends without CR. It is what net/http would make of it.
func rawRequest(t *testing.T, text string) (*http.Request, string) {
	t.Helper()
	head, body, _ := strings.Cut(text, "\n\n")
	lines := strings.Split(head, "\n")
	method, target, _ := strings.Cut(lines[0], " ")
	target = strings.TrimSuffix(target, " HTTP/1.1")
	path, query, _ := strings.Cut(target, "?")
	r := &http.Request{
		Method: method, URL: &url.URL{Path: path, RawQuery: query}, Header: http.Header{},
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
	var last string
	for _, line := range lines[1:] {
		if strings.HasPrefix(line, " ") {
			values := r.Header[last]
			values[len(values)-1] += " " + strings.TrimSpace(line)
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		last = textproto.CanonicalMIMEHeaderKey(name)
		r.Header[last] = append(r.Header[last], strings.TrimSpace(value))
	}
	r.Host = r.Header.Get("Host")
	r.Header.Del("Host")
	return r, path
}

func TestVectors(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			if v.HeaderRequest == "" || v.QueryRequest == "" {
				t.Fatal("a vector without requests")
			}
			v.run(t, v.HeaderRequest, v.HeaderCanonical, v.HeaderToSign)
			v.run(t, v.QueryRequest, v.QueryCanonical, v.QueryToSign)
		})
	}
}

func (v *vector) run(t *testing.T, text, canonicalText, toSign string) {
	r, path := rawRequest(t, text)
	cred := person(v.Context.Credentials.ID, v.Context.Credentials.Secret)
	cred.SessionToken = v.Context.Credentials.Token
	a := New(Config{
		Credentials: people{cred.AccessKeyID: cred}, Services: []string{v.Context.Service},
		Region: v.Context.Region, Now: func() time.Time { return v.Context.Timestamp },
	})

	// The canonical request and the string to sign, to the byte.
	f := facts{r: r, host: r.Host, path: path, s3: !v.Context.Normalize}
	lines := strings.Split(canonicalText, "\n")
	f.signedHeaders, f.payloadHash = lines[len(lines)-2], lines[len(lines)-1]
	f.presigned = r.Header.Get("Authorization") == ""
	c := newCanonical()
	defer c.release()
	parts := strings.SplitN(toSign, "\n", 4)
	unsignedToken := !strings.Contains(canonicalText, "ecurity-") && strings.Contains(text, "X-Amz-Security-Token")
	if f.presigned && unsignedToken {
		return // a token that is put on a URL after it was signed: not of our services
	}
	complete, err := c.build(&f, parts[1], parts[2])
	if err != nil || !complete {
		t.Fatal(complete, err)
	}
	if string(c.request) != canonicalText {
		t.Errorf("canonical request\n%s\nwant\n%s", c.request, canonicalText)
	}
	if string(c.toSign) != toSign {
		t.Errorf("string to sign\n%s\nwant\n%s", c.toSign, toSign)
	}

	// The whole way; S3's rules for paths do not apply to the vectors' service.
	if !v.Context.Normalize {
		return
	}
	_, err = a.Request(r, Info{RawPath: path})
	if unsignedToken {
		wantKind(t, err, HeadersNotSigned)
		return
	}
	if err != nil {
		t.Error(err)
	}
}
