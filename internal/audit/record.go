package audit

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kura-s3/kura/policy"
)

// Line is one record on its way into a Journal: what happened in the form of a CloudTrail record, and
// a Note that says in Kura's own words where it belongs and how it was decided.
type Line struct {
	Record, Note []byte
	// data, of a data event of S3, is in place of both.
	data   []byte
	millis int64
	tokens []uint64
}

// Note is what the journal keeps beside a record, and what one is looked up by.
type Note struct {
	// ID is the decision id, which answers name too; Event the record's eventID.
	ID       string `json:"id"`
	Event    string `json:"event"`
	Millis   int64  `json:"t"`
	Account  string `json:"account,omitempty"` // whose record it is
	Category string `json:"category"`          // Management or Data
	ReadOnly bool   `json:"read,omitempty"`
	Source   string `json:"source"`
	Name     string `json:"name"`
	// User is the ARN of who asked (the name of a service), UserName what CloudTrail shows.
	User     string     `json:"user,omitempty"`
	UserName string     `json:"userName,omitempty"`
	KeyID    string     `json:"accessKey,omitempty"`
	IP       string     `json:"ip,omitempty"`
	Bucket   string     `json:"bucket,omitempty"`
	Key      string     `json:"key,omitempty"`
	ARN      string     `json:"arn,omitempty"` // of the first resource
	Type     string     `json:"type,omitempty"`
	Status   int        `json:"status,omitempty"`
	Error    string     `json:"error,omitempty"`
	Auth     string     `json:"auth,omitempty"`
	Method   string     `json:"method,omitempty"`
	URI      string     `json:"uri,omitempty"`
	Micros   int64      `json:"us,omitempty"`
	Verdicts []Decision `json:"decisions,omitempty"`
}

// Time of the event.
func (n *Note) Time() time.Time { return time.UnixMilli(n.Millis).UTC() }

// Resource is the name of the first resource, as LookupEvents tells it: of a bucket its name, of a
// key its ARN, of others what stands last in the ARN.
func (n *Note) Resource() string {
	switch {
	case n.Type == "AWS::S3::Bucket":
		return n.Bucket
	case strings.HasPrefix(n.Type, "AWS::S3::"), strings.HasPrefix(n.Type, "AWS::KMS::"), strings.HasPrefix(n.Type, "AWS::CloudTrail::"):
		return n.ARN
	}
	return n.ARN[strings.LastIndexAny(n.ARN, "/:")+1:]
}

// Decision is the verdict of a Note in one word.
func (n *Note) Decision() string {
	for i := range n.Verdicts {
		if !n.Verdicts[i].Allowed {
			return "denied"
		}
	}
	return "allowed"
}

// The categories.
const (
	CategoryManagement = "Management"
	CategoryData       = "Data"
)

// Bounds of what a record repeats of a request (CloudTrail: 1 KB and 100 KB).
const (
	maxText       = 1 << 10
	maxParameters = 100 << 10
	MaxVerdicts   = 64 // decisions; more are left out
)

// eventNames are the operations that CloudTrail calls otherwise (User Guide, "Amazon S3 information in
// CloudTrail").
var eventNames = map[string]string{
	"s3:PutPublicAccessBlock": "PutBucketPublicAccessBlock", "s3:GetPublicAccessBlock": "GetBucketPublicAccessBlock",
	"s3:DeletePublicAccessBlock":         "DeleteBucketPublicAccessBlock",
	"s3control:PutPublicAccessBlock":     "PutAccountPublicAccessBlock",
	"s3control:GetPublicAccessBlock":     "GetAccountPublicAccessBlock",
	"s3control:DeletePublicAccessBlock":  "DeleteAccountPublicAccessBlock",
	"s3:ListObjectsV2":                   "ListObjects",
	"s3:GetWebsite":                      "GetObject",
	"s3:PutBucketLifecycleConfiguration": "PutBucketLifecycle", "s3:GetBucketLifecycleConfiguration": "GetBucketLifecycle",
	"s3:PutBucketNotificationConfiguration": "PutBucketNotification", "s3:GetBucketNotificationConfiguration": "GetBucketNotification",
	"s3:PutObjectLockConfiguration": "PutBucketObjectLockConfiguration", "s3:GetObjectLockConfiguration": "GetBucketObjectLockConfiguration",
}

// globalServices have their records in us-east-1.
var globalServices = map[string]bool{"iam": true, "organizations": true}

// Lines are the records of an event: one for the caller's account, and one more for an account that
// owns what a stranger asked for.
func Lines(ev *Event, category string) []Line { return new(encoder).lines(ev, category) }

// KeyLines are the records of KMS for the uses of keys that a service made, or was refused, on the
// caller's behalf.
func KeyLines(ev *Event) []Line {
	var lines []Line
	for i := range ev.KMS {
		lines = append(lines, Lines(keyEvent(ev, &ev.KMS[i]), CategoryManagement)...)
	}
	for i := range ev.Decisions {
		d := &ev.Decisions[i]
		if d.Allowed || !refusedKey(ev, d) {
			continue
		}
		use := keyEvent(ev, &KeyUse{Action: d.Action, KeyARN: d.Resource, Account: d.Account})
		use.Decisions = []Decision{*d}
		use.ErrorCode, use.ErrorText = "AccessDenied", d.Reason
		lines = append(lines, Lines(use, CategoryManagement)...)
	}
	return lines
}

// refusedKey tells of a decision about a key that was asked for on behalf of the caller of another
// service.
func refusedKey(ev *Event, d *Decision) bool {
	return !d.Allowed && ev.Service != "kms" && strings.HasPrefix(d.Action, "kms:")
}

// usesKeys tells whether KeyLines has any.
func usesKeys(ev *Event) bool {
	if len(ev.KMS) > 0 {
		return true
	}
	for i := range ev.Decisions {
		if refusedKey(ev, &ev.Decisions[i]) {
			return true
		}
	}
	return false
}

// keyEvent is the call of KMS that the service made.
func keyEvent(ev *Event, use *KeyUse) *Event {
	via := ev.Service + ".amazonaws.com"
	k := &Event{
		ID: ev.ID, RequestID: newUUID(), Time: ev.Time, Service: "kms", Operation: strings.TrimPrefix(use.Action, "kms:"),
		Class: Management, ReadOnly: true, Principal: ev.Principal, AccessKey: ev.AccessKey, AuthType: ev.AuthType, Session: ev.Session,
		SourceIP: via, UserAgent: via, Region: ev.Region, InvokedBy: via, Status: 200, Bucket: ev.Bucket, Key: ev.Key,
		Decisions: []Decision{{Action: use.Action, Resource: use.KeyARN, Account: use.Account, Allowed: true}},
	}
	w := &writer{}
	w.open('{')
	w.text("keyId", use.KeyARN)
	if len(use.Context) > 0 {
		w.object("encryptionContext", func() {
			for _, name := range slices.Sorted(maps.Keys(use.Context)) {
				w.b = append(appendQuoted(comma(w), name), ':')
				w.b = appendQuoted(w.b, use.Context[name])
				w.more = true
			}
		})
	}
	w.close('}')
	k.Parameters = w.b
	return k
}

func comma(w *writer) []byte {
	if w.more {
		return append(w.b, ',')
	}
	return w.b
}

// recipients are the accounts whose record the event belongs to, the caller's first; other is "" for
// none.
func recipients(ev *Event) (account, other string) {
	var owner string
	for i := range ev.Decisions {
		if owner = ev.Decisions[i].Account; owner != "" {
			break
		}
	}
	caller := ev.Principal.Account
	switch {
	case caller == "" || caller == owner:
		return owner, ""
	case owner == "" || owner == "anonymous":
		return caller, ""
	}
	return caller, owner
}

// record writes an event as CloudTrail does.
func (e *encoder) record(w *writer, ev *Event, note *Note, shared string) {
	w.open('{')
	e.part(w, partWho, func() {
		w.text("eventVersion", "1.11")
		e.identify(w, ev)
	})
	w.text("eventTime", e.stamp(ev.Time))
	e.part(w, partWhat, func() {
		w.text("eventSource", note.Source)
		w.text("eventName", note.Name)
		w.text("awsRegion", regionOf(ev))
		w.text("sourceIPAddress", sourceOf(ev))
		agent(w, ev)
	})
	if ev.ErrorCode != "" {
		w.text("errorCode", codeOf(ev.ErrorCode))
		w.some("errorMessage", clip(ev.ErrorText, maxText))
	}
	if ev.Bare {
		e.bare(w, ev)
	} else {
		w.raw("requestParameters", bounded(ev.Parameters))
	}
	w.raw("responseElements", bounded(ev.Response))
	e.additional(w, ev)
	w.text("requestID", ev.RequestID)
	w.text("eventID", note.Event)
	w.truth("readOnly", ev.ReadOnly)
	resources(w, ev, note)
	e.part(w, partKind, func() {
		w.text("eventType", "AwsApiCall")
		w.truth("managementEvent", note.Category == CategoryManagement)
		w.text("recipientAccountId", note.Account)
		w.some("sharedEventID", shared)
	})
	w.some("vpcEndpointId", ev.Endpoint)
	e.part(w, partEnd, func() {
		w.text("eventCategory", note.Category)
		if ev.TLS != "" {
			w.object("tlsDetails", func() {
				w.joined("tlsVersion", "TLSv", ev.TLS)
				w.some("cipherSuite", ev.Cipher)
				w.some("clientProvidedHostHeader", clip(ev.Host, maxText))
			})
		}
	})
	w.close('}')
}

// bare writes the parameters of a data event of S3.
func (e *encoder) bare(w *writer, ev *Event) {
	if len(ev.Members) > maxParameters {
		w.raw("requestParameters", omitted)
		return
	}
	e.part(w, partTarget, func() {
		w.name("requestParameters")
		w.open('{')
		w.text("Host", clip(ev.Host, maxText))
		w.some("bucketName", ev.Bucket)
	})
	w.some("key", ev.Key)
	w.b = append(w.b, ev.Members...)
	w.close('}')
}

var omitted = []byte(`{"omitted":true,"reason":"larger than a record may be"}`)

func bounded(raw []byte) []byte {
	if len(raw) > maxParameters {
		return omitted
	}
	if bytes.ContainsAny(raw, "\n\r\t") { // a record is one line
		var compact bytes.Buffer
		if json.Compact(&compact, raw) != nil {
			return nil
		}
		return compact.Bytes()
	}
	return raw
}

// codeOf is AccessDenied wherever a service calls it by the name of its exception.
func codeOf(code string) string {
	if code == "AccessDeniedException" {
		return "AccessDenied"
	}
	return code
}

func regionOf(ev *Event) string {
	if globalServices[ev.Service] {
		return "us-east-1"
	}
	return ev.Region
}

func sourceOf(ev *Event) string {
	if ev.SourceIP == "" && ev.Principal.Type == policy.Service {
		return ev.Principal.ARN
	}
	return ev.SourceIP
}

func agent(w *writer, ev *Event) {
	switch {
	case ev.UserAgent == "" && ev.Principal.Type == policy.Service:
		w.text("userAgent", ev.Principal.ARN)
	case ev.Service == "s3":
		w.joined("userAgent", "[", clip(ev.UserAgent, maxText), "]")
	default:
		w.text("userAgent", clip(ev.UserAgent, maxText))
	}
}

// identityTypes are userIdentity.type of CloudTrail.
var identityTypes = map[policy.PrincipalType]string{
	policy.Nobody: "Unknown", policy.Anonymous: "AWSAccount", policy.RootUser: "Root", policy.IAMUser: "IAMUser",
	policy.AssumedRole: "AssumedRole", policy.FederatedUser: "FederatedUser", policy.Service: "AWSService", policy.WebIdentity: "WebIdentityUser",
}

func identify(w *writer, ev *Event) {
	p := &ev.Principal
	w.text("type", identityTypes[p.Type])
	switch p.Type {
	case policy.Service:
		w.text("invokedBy", p.ARN)
		return
	case policy.Anonymous:
		w.text("principalId", "")
		w.text("accountId", "anonymous")
		return
	case policy.WebIdentity:
		w.text("principalId", p.UserID)
		w.some("userName", p.Name)
		w.some("identityProvider", p.ARN)
		return
	}
	w.text("principalId", p.UserID)
	w.some("arn", p.ARN)
	w.some("accountId", p.Account)
	w.some("accessKeyId", ev.AccessKey)
	w.some("userName", p.Name)
	if !ev.Session.Issued.IsZero() {
		w.object("sessionContext", func() { session(w, ev) })
	}
	w.some("invokedBy", ev.InvokedBy)
}

func session(w *writer, ev *Event) {
	p, s := &ev.Principal, &ev.Session
	if p.IssuerARN != "" {
		w.object("sessionIssuer", func() {
			kind := "Role"
			switch {
			case strings.HasSuffix(p.IssuerARN, ":root"):
				kind = "Root"
			case p.Type == policy.FederatedUser:
				kind = "IAMUser"
			}
			w.text("type", kind)
			w.some("principalId", p.UniqueID)
			w.text("arn", p.IssuerARN)
			w.text("accountId", p.Account)
			if kind != "Root" {
				w.text("userName", p.IssuerARN[strings.LastIndexByte(p.IssuerARN, '/')+1:])
			}
		})
	}
	w.object("attributes", func() {
		w.text("creationDate", s.Issued.UTC().Format("2006-01-02T15:04:05Z"))
		mfa := "false"
		if s.MFA {
			mfa = "true"
		}
		w.text("mfaAuthenticated", mfa)
	})
	w.some("sourceIdentity", s.SourceIdentity)
	if s.Provider != "" {
		w.object("webIdFederationData", func() {
			w.text("federatedProvider", s.Provider)
			w.object("attributes", func() {})
		})
	}
}

// methods are AuthenticationMethod of CloudTrail, and AuthTypes those of the access log.
var methods = map[string]string{"header": "AuthHeader", "query": "QueryString", "form": "HtmlForm"}

func (e *encoder) additional(w *writer, ev *Event) {
	if ev.Service != "s3" {
		return
	}
	e.part(w, partHow, func() {
		w.name("additionalEventData")
		w.open('{')
		w.some("SignatureVersion", ev.SignatureVersion)
		w.some("CipherSuite", ev.Cipher)
	})
	w.number("bytesTransferredIn", ev.BytesIn)
	w.some("AuthenticationMethod", methods[ev.AuthType])
	w.some("x-amz-id-2", ev.HostID)
	w.number("bytesTransferredOut", ev.BytesOut)
	if ev.ACLRequired {
		w.text("aclRequired", "Yes")
	}
	w.close('}')
}

// resources are the ARNs that were decided about.
func resources(w *writer, ev *Event, note *Note) {
	if ev.Service == "s3" {
		if ev.Bucket == "" {
			return
		}
		w.name("resources")
		w.open('[')
		if ev.Key != "" {
			resource(w, "", "AWS::S3::Object", note.ARN)
		}
		resource(w, ownerOf(ev), "AWS::S3::Bucket", bucketARN, ev.Bucket)
		w.close(']')
		return
	}
	begun := false
	for i := range ev.Decisions {
		d := &ev.Decisions[i]
		kind := typeOf(d.Resource)
		if kind == "" || i > 0 && d.Resource == ev.Decisions[i-1].Resource || i >= MaxVerdicts {
			continue
		}
		if !begun {
			w.name("resources")
			w.open('[')
			begun = true
		}
		resource(w, d.Account, kind, d.Resource)
	}
	if begun {
		w.close(']')
	}
}

func ownerOf(ev *Event) string {
	if len(ev.Decisions) == 0 {
		return ""
	}
	return ev.Decisions[0].Account
}

// bucketARN is how the ARNs of buckets and objects begin.
const bucketARN = "arn:aws:s3:::"

// resource writes one whose ARN is put together of parts.
func resource(w *writer, account, kind string, arn ...string) {
	if w.more {
		w.b = append(w.b, ',')
	}
	w.open('{')
	w.some("accountId", account)
	w.text("type", kind)
	w.joined("ARN", arn...)
	w.close('}')
}

// resourceTypes tell the type of a resource from the service and the kind in its ARN.
var resourceTypes = map[string]string{
	"iam:user": "AWS::IAM::User", "iam:role": "AWS::IAM::Role", "iam:group": "AWS::IAM::Group", "iam:policy": "AWS::IAM::Policy",
	"iam:instance-profile": "AWS::IAM::InstanceProfile", "iam:oidc-provider": "AWS::IAM::OIDCProvider", "iam:mfa": "AWS::IAM::MFADevice",
	"kms:key": "AWS::KMS::Key", "kms:alias": "AWS::KMS::Alias", "cloudtrail:trail": "AWS::CloudTrail::Trail",
	"config:config-rule": "AWS::Config::ConfigRule", "events:rule": "AWS::Events::Rule", "events:event-bus": "AWS::Events::EventBus",
	"access-analyzer:analyzer": "AWS::AccessAnalyzer::Analyzer", "organizations:account": "AWS::Organizations::Account",
	"organizations:policy": "AWS::Organizations::Policy", "organizations:ou": "AWS::Organizations::OrganizationalUnit",
	"lambda:function": "AWS::Lambda::Function",
}

func typeOf(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 || parts[0] != "arn" {
		return ""
	}
	if parts[2] == "s3" {
		if strings.Contains(parts[5], "/") {
			return "AWS::S3::Object"
		}
		return "AWS::S3::Bucket"
	}
	end := strings.IndexAny(parts[5], "/:")
	if end < 0 {
		end = len(parts[5])
	}
	return resourceTypes[parts[2]+":"+parts[5][:end]]
}

// EventName is what CloudTrail calls the event's operation.
func EventName(ev *Event) string {
	if ev.Class == Data && ev.Service == "s3" {
		switch ev.Operation {
		case "GetObject", "PutObject", "HeadObject": // most of what there is; called as they are
			return ev.Operation
		}
	}
	api := ev.API
	if api == "" {
		api = ev.Service
	}
	if other := eventNames[api+":"+ev.Operation]; other != "" {
		return other
	}
	return ev.Operation
}

// describe fills in a note but for its Event.
func (n *Note) describe(ev *Event, category, account string) {
	*n = Note{
		ID: ev.ID, Millis: ev.Time.UnixMilli(), Account: account, Category: category, ReadOnly: ev.ReadOnly,
		Source: sourceName(ev.Service), Name: EventName(ev), User: ev.Principal.ARN, UserName: userName(&ev.Principal),
		KeyID: ev.AccessKey, IP: ev.SourceIP, Bucket: ev.Bucket, Key: clip(ev.Key, maxText), Status: ev.Status, Error: ev.ErrorCode,
		Auth: ev.AuthType, Method: ev.Method, URI: clip(ev.URI, 2*maxText), Micros: ev.Duration.Microseconds(),
		Verdicts: ev.Decisions[:min(len(ev.Decisions), MaxVerdicts)],
	}
	n.about(ev)
}

// readable makes the texts that an event is looked up by what is read back of them: JSON has nothing that is not UTF-8.
func (n *Note) readable() {
	for _, s := range []*string{&n.ID, &n.Account, &n.Name, &n.User, &n.UserName, &n.KeyID, &n.IP, &n.Bucket, &n.Key, &n.ARN, &n.Type, &n.Error} {
		*s = strings.ToValidUTF8(*s, "\ufffd")
	}
}

// about says what the event was about.
func (n *Note) about(ev *Event) {
	switch {
	case ev.Service == "s3" && ev.Key != "":
		n.ARN, n.Type = bucketARN+ev.Bucket+"/"+n.Key, "AWS::S3::Object"
	case ev.Service == "s3" && ev.Bucket != "":
		n.ARN, n.Type = bucketARN+ev.Bucket, "AWS::S3::Bucket"
	default:
		for i := range ev.Decisions {
			if n.Type = typeOf(ev.Decisions[i].Resource); n.Type != "" {
				n.ARN = ev.Decisions[i].Resource
				break
			}
		}
	}
}

// sourceName is what CloudTrail calls a service.
func sourceName(service string) string {
	if service == "s3" {
		return "s3.amazonaws.com"
	}
	return service + ".amazonaws.com"
}

// userName is what LookupEvents calls Username.
func userName(p *policy.Principal) string {
	switch p.Type {
	case policy.RootUser:
		return "root"
	case policy.AssumedRole, policy.FederatedUser:
		return p.ARN[strings.LastIndexByte(p.ARN, '/')+1:]
	case policy.Service:
		return p.ARN
	}
	return p.Name
}

func (n *Note) encode(w *writer) {
	w.open('{')
	w.text("id", n.ID)
	w.text("event", n.Event)
	w.number("t", n.Millis)
	w.some("account", n.Account)
	w.text("category", n.Category)
	if n.ReadOnly {
		w.truth("read", true)
	}
	w.text("source", n.Source)
	w.text("name", n.Name)
	w.some("user", n.User)
	w.some("userName", n.UserName)
	w.some("accessKey", n.KeyID)
	w.some("ip", n.IP)
	w.some("bucket", n.Bucket)
	w.some("key", n.Key)
	w.some("arn", n.ARN)
	w.some("type", n.Type)
	w.number("status", int64(n.Status))
	w.some("error", n.Error)
	w.some("auth", n.Auth)
	w.some("method", n.Method)
	w.some("uri", n.URI)
	w.number("us", n.Micros)
	if len(n.Verdicts) > 0 {
		w.name("decisions")
		w.open('[')
		for i := range n.Verdicts {
			d := &n.Verdicts[i]
			if i > 0 {
				w.b = append(w.b, ',')
			}
			w.open('{')
			w.text("action", d.Action)
			w.text("resource", clip(d.Resource, 2*maxText))
			w.truth("allowed", d.Allowed)
			w.some("reason", clip(d.Reason, 2*maxText))
			w.close('}')
		}
		w.close(']')
	}
	w.close('}')
}

func newUUID() string {
	var b [16]byte
	rand.Read(b[:])
	return uuidOf(b)
}

// uuidOf makes one of random bytes.
func uuidOf(b [16]byte) string {
	s := uuidText(b)
	return string(s[:])
}

func uuidText(b [16]byte) (s [36]byte) {
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	hex.Encode(s[0:8], b[0:4])
	hex.Encode(s[9:13], b[4:6])
	hex.Encode(s[14:18], b[6:8])
	hex.Encode(s[19:23], b[8:10])
	hex.Encode(s[24:36], b[10:16])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	return s
}
