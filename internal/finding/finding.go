package finding

import (
	"encoding/json"
	"strconv"
	"time"
)

// Stamp is a time as findings write it.
type Stamp struct{ time.Time }

const stampForm = "2006-01-02T15:04:05.000Z"

// MarshalText implements encoding.TextMarshaler.
func (s Stamp) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalJSON overrides that of time.Time.
func (s Stamp) MarshalJSON() ([]byte, error) { return []byte(strconv.Quote(s.String())), nil }

func (s Stamp) String() string { return s.UTC().Format(stampForm) }

// Finding is one thing found. Its JSON is that of GuardDuty's API and events.
type Finding struct {
	SchemaVersion string   `json:"schemaVersion"`
	AccountID     string   `json:"accountId"`
	Region        string   `json:"region"`
	Partition     string   `json:"partition"`
	ID            string   `json:"id"`
	ARN           string   `json:"arn"`
	Type          string   `json:"type"`
	Resource      Resource `json:"resource"`
	Service       Service  `json:"service"`
	Severity      float64  `json:"severity"`
	CreatedAt     Stamp    `json:"createdAt"`
	UpdatedAt     Stamp    `json:"updatedAt"`
	Title         string   `json:"title"`
	Description   string   `json:"description"`
}

// Types of resources.
const (
	S3Bucket  = "S3Bucket"
	AccessKey = "AccessKey"
	Server    = "Server" // Kura's own: the server itself
)

// Resource is what a finding is about.
type Resource struct {
	ResourceType     string            `json:"resourceType"`
	AccessKeyDetails *AccessKeyDetails `json:"accessKeyDetails,omitempty"`
	S3BucketDetails  []Bucket          `json:"s3BucketDetails,omitempty"`
}

// AccessKeyDetails say who acted.
type AccessKeyDetails struct {
	AccessKeyID string `json:"accessKeyId"`
	PrincipalID string `json:"principalId"`
	UserName    string `json:"userName"`
	UserType    string `json:"userType"`
}

// Bucket is a bucket as it was when it was last seen.
type Bucket struct {
	ARN          string        `json:"arn"`
	Name         string        `json:"name"`
	Type         string        `json:"type"`
	CreatedAt    *Stamp        `json:"createdAt,omitempty"`
	Owner        *Owner        `json:"owner,omitempty"`
	Tags         []Tag         `json:"tags,omitempty"`
	PublicAccess *PublicAccess `json:"publicAccess,omitempty"`
}

// Owner is a canonical user id.
type Owner struct {
	ID string `json:"id"`
}

// Tag of a bucket.
type Tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// PublicAccess says whether strangers get in, and what decides about it.
type PublicAccess struct {
	PermissionConfiguration Permissions `json:"permissionConfiguration"`
	EffectivePermission     string      `json:"effectivePermission"`
}

// Permissions are what decides about public access.
type Permissions struct {
	BucketLevelPermissions  BucketPermissions  `json:"bucketLevelPermissions"`
	AccountLevelPermissions AccountPermissions `json:"accountLevelPermissions"`
}

// BucketPermissions are those of the bucket itself.
type BucketPermissions struct {
	AccessControlList Public `json:"accessControlList"`
	BucketPolicy      Public `json:"bucketPolicy"`
	BlockPublicAccess Block  `json:"blockPublicAccess"`
}

// AccountPermissions are those of the account.
type AccountPermissions struct {
	BlockPublicAccess Block `json:"blockPublicAccess"`
}

// Public is what everybody may.
type Public struct {
	AllowsPublicReadAccess  bool `json:"allowsPublicReadAccess"`
	AllowsPublicWriteAccess bool `json:"allowsPublicWriteAccess"`
}

// Block is Block Public Access.
type Block struct {
	IgnorePublicACLs      bool `json:"ignorePublicAcls"`
	RestrictPublicBuckets bool `json:"restrictPublicBuckets"`
	BlockPublicACLs       bool `json:"blockPublicAcls"`
	BlockPublicPolicy     bool `json:"blockPublicPolicy"`
}

// Service is how it came to light.
type Service struct {
	ServiceName    string    `json:"serviceName"`
	DetectorID     string    `json:"detectorId"`
	Action         *Action   `json:"action,omitempty"`
	ResourceRole   string    `json:"resourceRole"`
	AdditionalInfo *Info     `json:"additionalInfo,omitempty"`
	Evidence       *Evidence `json:"evidence,omitempty"`
	EventFirstSeen Stamp     `json:"eventFirstSeen"`
	EventLastSeen  Stamp     `json:"eventLastSeen"`
	Archived       bool      `json:"archived"`
	Count          int       `json:"count"`
	UserFeedback   string    `json:"userFeedback,omitempty"`
	FeatureName    string    `json:"featureName,omitempty"`
}

// Info is what else is known, as a JSON text.
type Info struct {
	Value string `json:"value"`
	Type  string `json:"type"`
}

// InfoOf makes an Info of something.
func InfoOf(v any) *Info {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	return &Info{string(raw), "default"}
}

// Evidence names the list that an address stands on.
type Evidence struct {
	ThreatIntelligenceDetails []Threat `json:"threatIntelligenceDetails"`
}

// Threat is a list of addresses.
type Threat struct {
	ThreatListName string   `json:"threatListName"`
	ThreatNames    []string `json:"threatNames"`
}

// Action is what was done.
type Action struct {
	ActionType       string   `json:"actionType"`
	AWSAPICallAction *APICall `json:"awsApiCallAction,omitempty"`
}

// APICall is a call of an API.
type APICall struct {
	API                  string            `json:"api"`
	ServiceName          string            `json:"serviceName"`
	CallerType           string            `json:"callerType"`
	UserAgent            string            `json:"userAgent,omitempty"`
	ErrorCode            string            `json:"errorCode,omitempty"`
	RemoteIPDetails      *RemoteIP         `json:"remoteIpDetails,omitempty"`
	RemoteAccountDetails *RemoteAccount    `json:"remoteAccountDetails,omitempty"`
	AffectedResources    map[string]string `json:"affectedResources"`
}

// RemoteIP is where a call came from.
type RemoteIP struct {
	V4 string `json:"ipAddressV4,omitempty"`
	V6 string `json:"ipAddressV6,omitempty"`
}

// RemoteAccount is whose principal called.
type RemoteAccount struct {
	AccountID  string `json:"accountId"`
	Affiliated bool   `json:"affiliated"`
}

// Sighting is one thing seen, on its way to be a finding or to count in one.
type Sighting struct {
	// Account whose detector is told. Required, as are Type, Severity, Title and Description.
	Account            string
	Type               string
	Severity           float64
	Title, Description string
	// Time and Count of what was seen. Now and 1 when zero.
	Time  time.Time
	Count int
	// Actor tells sightings of one type about one bucket apart: the principal's id, an address.
	Actor    string
	Resource Resource
	Call     *APICall
	Info     *Info
	Evidence *Evidence
	Feature  string
}

// subject is what sightings of the same thing have in common.
func (s *Sighting) subject() string {
	bucket := ""
	if len(s.Resource.S3BucketDetails) > 0 {
		bucket = s.Resource.S3BucketDetails[0].Name
	}
	return s.Type + "\x00" + bucket + "\x00" + s.Actor
}

// Clean is a text from outside (a key, a name) as findings show it: bounded, on one line, and with nothing
// in it that a chat or a terminal takes for more than text.
func Clean(s string) string {
	const most = 200
	b := make([]byte, 0, min(len(s), most))
	for i := range len(s) {
		if i == most {
			return string(b) + "..."
		}
		c := s[i]
		if c < ' ' || c > '~' || c == '<' || c == '>' || c == '&' || c == '`' || c == '"' || c == '\\' {
			c = '?'
		}
		b = append(b, c)
	}
	return string(b)
}
