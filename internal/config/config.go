// Package config holds the settings of one server: where each comes from, what it is when nobody
// says, and which values are refused.
//
// A setting is a row of the table in settings.go and nowhere else: its command line flag, its
// environment variable, its key in the configuration file, its default, its help and its check all
// derive from that row. A flag wins over the environment, the environment over the file, the file
// over the default. Unknown keys of the file are errors; unknown KURA_ variables are warned of.
package config

import (
	"log/slog"
	"net/netip"
	"net/url"
	"time"
)

// Config is one server's settings. Load makes it; every field of the result was checked.
type Config struct {
	// Data is the directory that holds everything durable.
	Data string
	// RootKey names the file of the key that wraps all others, "" for one in Data.
	RootKey string
	// Seal names what seals the store, "" for the file of RootKey.
	Seal string
	// Listen is the address of the plain HTTP listener, "" for none. Without InsecureHTTP it is a
	// loopback address.
	Listen string
	// ListenTLS is the address of the HTTPS listener, "" for none.
	ListenTLS string
	// Endpoints are further listeners, by which policies can tell where a request came in.
	Endpoints []Endpoint
	// Network names the file of the network rules, "" for none.
	Network string
	// TLSCert and TLSKey name PEM files of a certificate chain and its key. Both or neither; with
	// neither a local CA signs one.
	TLSCert, TLSKey string
	// InsecureHTTP allows the plain listener on an address that others can reach.
	InsecureHTTP bool
	// Region that the server says it is in.
	Region string
	// AccountID of the first account, "" for a random one.
	AccountID string
	// TrustedProxies are the networks whose X-Forwarded- headers count.
	TrustedProxies []netip.Prefix
	// Domains under which BUCKET.DOMAIN addresses a bucket; lower case, without a final dot.
	Domains []string
	// AllowTargets are networks that outbound requests may reach beside public addresses.
	AllowTargets []netip.Prefix
	// ReplicationTargets are buckets of other S3 endpoints that this store's buckets can replicate to.
	ReplicationTargets []ReplicationTarget
	// NotifyTargets are URLs for event notifications of buckets, by name.
	NotifyTargets map[string]string
	// PublicURL is that by which others reach this server, without a slash at its end; "" for a listener's.
	PublicURL string
	// SMTP is what sends e-mail.
	SMTP SMTP
	// LogJSON selects JSON lines over text.
	LogJSON bool
	// LogLevel is the least severe level that is logged.
	LogLevel slog.Level
	// MaxConnections bounds the open connections of both listeners together.
	MaxConnections int
	// MaxConnectionsPerIP bounds those of one address. Trusted proxies are exempt.
	MaxConnectionsPerIP int
	// MaxUnauthenticated bounds the connections on which nothing was authenticated yet.
	MaxUnauthenticated int
	// AllowSSEC lets new buckets take SSE-C.
	AllowSSEC bool
	// MaxUploads bounds the requests that are sending a body at the same time.
	MaxUploads int
	// StopTimeout is how long a stop waits for requests in flight.
	StopTimeout time.Duration
	// ScrubInterval is the time in which every stored byte is read again once; 0 is never.
	ScrubInterval time.Duration
	// Quarantine takes access keys out of use that stand, with their secrets, in what is uploaded.
	Quarantine bool
	// ThreatLists are files with addresses that nobody should call from.
	ThreatLists []string
	// AuditStrict refuses every request that is to be recorded while it cannot be.
	AuditStrict bool
	// AuditRetention and AuditMaxSize bound the record of management events, AuditDataRetention and
	// AuditDataMaxSize that of data events; 0 does not.
	AuditRetention, AuditDataRetention time.Duration
	AuditMaxSize, AuditDataMaxSize     int64
	// AuditExports are URLs of what gets a copy of the record.
	AuditExports []string
	// LogInterval and DigestInterval are how often logs and CloudTrail digests are delivered.
	LogInterval, DigestInterval time.Duration
	// LifecycleDay is how long a day of lifecycle rules is.
	LifecycleDay time.Duration
	// Functions lets functions run as processes of this machine; FunctionsUnsafe also where they cannot be
	// isolated. FunctionsNetwork is what they reach: "host" or "none". FunctionsRetry is the pause before the
	// first retry of an asynchronous invocation.
	Functions, FunctionsUnsafe bool
	FunctionsNetwork           string
	FunctionsRetry             time.Duration
	// WorkloadAddress is a loopback address at which local programs get credentials of roles, "" for none;
	// Workloads say which.
	WorkloadAddress string
	Workloads       []Workload
	// File is the configuration file that was read, "" for none.
	File string
	// UnknownVariables are KURA_ variables that mean nothing, to be warned of at start.
	UnknownVariables []string
}

// ReplicationTarget is a bucket of another S3 endpoint.
type ReplicationTarget struct {
	// Name is the bucket name under which replication configurations know it; Bucket its name there.
	Name, Bucket string
	// URL of the endpoint: scheme and host. Region that signatures name.
	URL    *url.URL
	Region string
	// Accounts whose buckets may replicate to it; none: the first account's.
	Accounts []string
}

// SMTP is a server that takes e-mail.
type SMTP struct {
	// Server is HOST:PORT, "" for none. From is the address in whose name is sent.
	Server, From string
	// User, "" for none, and the file of the password.
	User, PasswordFile string
	// TLS is "starttls", "tls" or "none"; CA a file of authorities, "" for the system's.
	TLS, CA string
}

// Endpoint is a named listener, the counterpart of a VPC endpoint: requests through it have
// aws:SourceVpce and, when VPC is set, aws:SourceVpc. It speaks what the HTTPS listener speaks, or
// plain HTTP on loopback where there is none.
type Endpoint struct {
	ID      string // "vpce-…"
	VPC     string // "vpc-…", or ""
	Address string
}

// AllowLoopbackTargets tells whether outbound requests may reach this machine over plain HTTP:
// only while nobody else can reach this server.
func (c *Config) AllowLoopbackTargets() bool {
	return (c.Listen == "" || loopback(c.Listen)) && (c.ListenTLS == "" || loopback(c.ListenTLS))
}
