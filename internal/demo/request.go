package demo

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/kura-s3/kura/internal/authn"
)

// caller is who asks. Nil is anonymous.
type caller struct{ name, key, secret, token string }

func (c *caller) String() string {
	if c == nil {
		return "anonymous"
	}
	return c.name
}

// request is one that is shown.
type request struct {
	as                 *caller
	service, operation string
	command            string
	method, path       string // with the query
	header             map[string]string
	body               string
	plain              bool   // over HTTP without TLS
	want               string // AWS's code of a refusal; "" is success
	reason             string // part of the refusal's message
	shown              func(*answer) string
	hidden             bool // only the way to something that is shown
}

// answer is what came back.
type answer struct {
	status        int
	header        http.Header
	body          []byte
	code, message string
}

const (
	maxAnswer = 1 << 20
	patience  = time.Minute
)

// do makes a request, shows it with its answer, and holds the answer to what is wanted. After a failure
// nothing is done any more, and the answer is empty.
func (t *tour) do(q request) *answer {
	a := &answer{header: http.Header{}}
	if t.err != nil {
		return a
	}
	if err := t.send(&q, a); err != nil {
		t.fail("%s: %w", q.command, err)
		return a
	}
	if !q.hidden {
		t.tell(q.as.String(), q.command, q.told(a))
	}
	switch {
	case q.want == "" && a.status >= 300:
		t.fail("%s was refused: %d %s %s", q.operation, a.status, a.code, a.message)
	case q.want != "" && a.code != q.want:
		t.fail("%s: the answer is %d %s; it should be %s", q.operation, a.status, a.code, q.want)
	case !strings.Contains(a.message, q.reason):
		t.fail("%s: the reason is %q; it should say %q", q.operation, a.message, q.reason)
	}
	return a
}

func (t *tour) send(q *request, a *answer) error {
	endpoint := t.config.HTTPS
	if q.plain {
		endpoint = t.config.HTTP
	}
	r, err := http.NewRequestWithContext(t.ctx, q.method, endpoint+q.path, strings.NewReader(q.body))
	if err != nil {
		return err
	}
	for name, value := range q.header {
		r.Header.Set(name, value)
	}
	sum := sha256.Sum256([]byte(q.body))
	if q.service == "s3" && q.body != "" {
		r.Header.Set("X-Amz-Checksum-Sha256", base64.StdEncoding.EncodeToString(sum[:]))
	}
	if q.as != nil {
		if _, err := authn.Sign(r, t.signing(q.as, q.service, hex.EncodeToString(sum[:]))); err != nil {
			return err
		}
	}
	client := *t.config.Client
	client.Timeout = patience
	w, err := client.Do(r)
	if err != nil {
		return err
	}
	defer w.Body.Close()
	a.status, a.header = w.StatusCode, w.Header
	if a.body, err = io.ReadAll(io.LimitReader(w.Body, maxAnswer)); err != nil {
		return err
	}
	if a.status >= 300 {
		a.refusal()
	}
	return nil
}

func (t *tour) signing(as *caller, service, hash string) authn.Signing {
	return authn.Signing{AccessKeyID: as.key, Secret: as.secret, SessionToken: as.token, Region: t.config.Region, Service: service, Time: time.Now(), PayloadHash: hash}
}

// refusal reads code and message, in whatever form the service has them.
func (a *answer) refusal() {
	var told struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
		Upper   string `json:"Message"`
	}
	if json.Unmarshal(a.body, &told) == nil {
		a.code, a.message = told.Type[strings.LastIndexByte(told.Type, '#')+1:], told.Message
		if a.code == "" {
			a.code, _, _ = strings.Cut(a.header.Get("X-Amzn-Errortype"), ":")
		}
		if a.message == "" {
			a.message = told.Upper
		}
		return
	}
	a.code, a.message = a.element("Code"), a.element("Message")
}

// told is the answer in short: a refusal in the words of the AWS CLI.
func (q *request) told(a *answer) string {
	if a.status >= 300 {
		if a.code == "" {
			return http.StatusText(a.status)
		}
		if q.as == nil {
			return fmt.Sprintf("%d %s: %s", a.status, a.code, a.message)
		}
		return fmt.Sprintf("An error occurred (%s) when calling the %s operation: %s", a.code, q.operation, a.message)
	}
	if q.shown != nil {
		return q.shown(a)
	}
	return fmt.Sprintf("%d %s", a.status, http.StatusText(a.status))
}

// element is the text of the first XML element of that name.
func (a *answer) element(name string) string {
	d := xml.NewDecoder(bytes.NewReader(a.body))
	for {
		token, err := d.Token()
		if err != nil {
			return ""
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == name {
			var text string
			if d.DecodeElement(&text, &start) != nil {
				return ""
			}
			return text
		}
	}
}

// member is the text of a member of a JSON object, by its path.
func (a *answer) member(path ...string) string {
	var v any
	if json.Unmarshal(a.body, &v) != nil {
		return ""
	}
	for _, name := range path {
		switch at := v.(type) {
		case map[string]any:
			v = at[name]
		case []any:
			if len(at) == 0 {
				return ""
			}
			v = at[0]
		}
	}
	if s, ok := v.(string); ok {
		return s
	}
	if v == nil {
		return ""
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(raw)
}

// object is a JSON object.
type object = map[string]any

// text is v as JSON.
func text(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(v) != nil {
		return "" // strings, lists and objects always encode
	}
	return strings.TrimSpace(b.String())
}

// document is a policy, its elements in the order in which people write them.
func document(statements ...object) string {
	var all []string
	for _, st := range statements {
		var elements []string
		for _, name := range []string{"Sid", "Effect", "Principal", "Action", "NotAction", "Resource", "Condition"} {
			if v, ok := st[name]; ok {
				elements = append(elements, text(name)+":"+text(v))
			}
		}
		all = append(all, "{"+strings.Join(elements, ",")+"}")
	}
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(all, ",") + "]}"
}

// query calls IAM or STS.
func (t *tour) query(as *caller, service, operation string, in map[string]string, change ...func(*request)) *answer {
	form := url.Values{"Action": {operation}, "Version": {versions[service]}}
	command := "aws " + service + " " + dashed(operation)
	for _, name := range slices.Sorted(maps.Keys(in)) {
		form.Set(name, in[name])
		command += " --" + dashed(name) + " " + quoted(in[name])
	}
	q := request{
		as: as, service: service, operation: operation, command: command, method: http.MethodPost, path: "/", body: form.Encode(),
		header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"},
	}
	return t.do(changed(q, change))
}

var versions = map[string]string{"iam": "2010-05-08", "sts": "2011-06-15"}

// targets are how the JSON services are addressed, and what the AWS CLI calls them.
var targets = map[string]struct{ prefix, cli string }{
	"kms":        {"TrentService.", "kms"},
	"config":     {"StarlingDoveService.", "configservice"},
	"events":     {"AWSEvents.", "events"},
	"cloudtrail": {"com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.", "cloudtrail"},
}

// json calls a JSON service.
func (t *tour) json(as *caller, service, operation string, in object, change ...func(*request)) *answer {
	to := targets[service]
	command := "aws " + to.cli + " " + dashed(operation)
	for _, name := range slices.Sorted(maps.Keys(in)) {
		value, ok := in[name].(string)
		if !ok {
			value = text(in[name])
		}
		command += " --" + dashed(name) + " " + quoted(value)
	}
	q := request{
		as: as, service: service, operation: operation, command: command, method: http.MethodPost, path: "/", body: text(in),
		header: map[string]string{"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": to.prefix + operation},
	}
	return t.do(changed(q, change))
}

// s3 calls S3; command is what follows "aws s3api".
func (t *tour) s3(as *caller, operation, method, path, body, command string, change ...func(*request)) *answer {
	q := request{as: as, service: "s3", operation: operation, command: "aws s3api " + dashed(operation) + " " + command, method: method, path: path, body: body}
	if as == nil {
		q.command = "curl " + t.config.HTTPS + path
	}
	return t.do(changed(q, change))
}

func changed(q request, change []func(*request)) request {
	for _, f := range change {
		f(&q)
	}
	return q
}

// refused says that the request is to be refused with code, for a reason.
func refused(code, reason string) func(*request) {
	return func(q *request) { q.want, q.reason = code, reason }
}

// with sends headers.
func with(pairs ...string) func(*request) {
	return func(q *request) {
		if q.header == nil {
			q.header = map[string]string{}
		}
		for i := 0; i+1 < len(pairs); i += 2 {
			q.header[pairs[i]] = pairs[i+1]
		}
	}
}

// showing tells what of the answer is shown.
func showing(f func(*answer) string) func(*request) { return func(q *request) { q.shown = f } }

// quietly does what leads to something that is shown.
func quietly(q *request) { q.hidden = true }

// plainly goes without TLS.
func plainly(q *request) { q.plain = true; q.command += " --endpoint-url http://…" }

func body(a *answer) string { return string(a.body) }

// dashed is a name as the AWS CLI has it: "PutBucketPolicy" is "put-bucket-policy".
func dashed(name string) string {
	var b strings.Builder
	letters := []rune(name)
	for i, c := range letters {
		if unicode.IsUpper(c) && i > 0 && (!unicode.IsUpper(letters[i-1]) || i+1 < len(letters) && unicode.IsLower(letters[i+1])) {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(c))
	}
	return b.String()
}

// quoted makes one word of s for a shell.
func quoted(s string) string {
	plain := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-_./:@%+=,", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
