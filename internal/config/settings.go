package config

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Kind is the shape of a setting's value.
type Kind uint8

// The shapes.
const (
	Text   Kind = iota
	Switch      // true or false; as a flag it needs no value
	List        // repeatable flag; comma-separated in the environment; a sequence in the file
)

// Setting is one row of the table.
type Setting struct {
	Name    string // flag and file key
	Kind    Kind
	Default string
	Usage   string
	set     func(c *Config, value string) error // once, or once per element of a List
}

// Env is the setting's environment variable.
func (s Setting) Env() string {
	return "KURA_" + strings.ToUpper(strings.ReplaceAll(s.Name, "-", "_"))
}

// Settings is the table, in the order of the help.
func Settings() []Setting {
	return append([]Setting(nil), settings...)
}

var settings = []Setting{
	{"data", Text, "./kura-data", "directory that holds everything durable", func(c *Config, v string) error {
		c.Data = v
		return nonEmpty(v)
	}},
	{"root-key", Text, "", "file of the root key, made at the first start; empty: DATA/root.key", func(c *Config, v string) error {
		c.RootKey = v
		return nil
	}},
	{"seal", Text, "", "what seals the store: file:PATH, passphrase:terminal|fd=N|credential=NAME, vault:URL, awskms:ARN, pkcs11:URI (docs/seal.md); empty: the file of --root-key", func(c *Config, v string) error {
		c.Seal = v
		return nil
	}},
	{"listen", Text, "127.0.0.1:9000", "address of plain HTTP; empty: off", func(c *Config, v string) error {
		c.Listen = v
		return address(v)
	}},
	{"listen-tls", Text, "127.0.0.1:9443", "address of HTTPS; empty: off", func(c *Config, v string) error {
		c.ListenTLS = v
		return address(v)
	}},
	{"endpoint", List, "", "further listener vpce-ID[/vpc-ID]=ADDR, named in aws:SourceVpce and aws:SourceVpc (repeatable)", func(c *Config, v string) error {
		return endpoint(&c.Endpoints, v)
	}},
	{"network", Text, "", "file of the network rules: who may connect where (docs/network.md); read again when it changes", func(c *Config, v string) error {
		c.Network = v
		return nil
	}},
	{"tls-cert", Text, "", "PEM file of the certificate chain; without one a local CA in DATA/tls signs one", func(c *Config, v string) error {
		c.TLSCert = v
		return nil
	}},
	{"tls-key", Text, "", "PEM file of the certificate's key", func(c *Config, v string) error {
		c.TLSKey = v
		return nil
	}},
	{"insecure-http", Switch, "false", "allow plain HTTP on an address that others can reach", func(c *Config, v string) error {
		return truth(&c.InsecureHTTP, v)
	}},
	{"region", Text, "us-east-1", "AWS region that the server says it is in", func(c *Config, v string) error {
		c.Region = v
		return match(regionName, v, "an AWS region name, such as ap-northeast-1")
	}},
	{"account-id", Text, "", "12-digit number of the first account, at the first start; empty: random", func(c *Config, v string) error {
		c.AccountID = v
		if v == "" {
			return nil
		}
		return match(accountNumber, v, "12 digits")
	}},
	{"domain", List, "", "name under which BUCKET.NAME addresses a bucket (repeatable)", func(c *Config, v string) error {
		v = strings.ToLower(strings.TrimSuffix(v, "."))
		c.Domains = append(c.Domains, v)
		return match(domainName, v, "a DNS name, such as s3.example.com")
	}},
	{"trusted-proxy", List, "", "network from which X-Forwarded-For and X-Forwarded-Proto count (repeatable)", func(c *Config, v string) error {
		return network(&c.TrustedProxies, v)
	}},
	{"allow-target", List, "", "network that outbound requests may reach beside public addresses (repeatable)", func(c *Config, v string) error {
		return network(&c.AllowTargets, v)
	}},
	{"replication-target", List, "", "bucket of another S3 endpoint to replicate to, NAME=https://HOST[/BUCKET][?region=REGION][&account=ID…] (repeatable)", func(c *Config, v string) error {
		return replicationTarget(&c.ReplicationTargets, v)
	}},
	{"allow-sse-c", Switch, "false", "new buckets take SSE-C; otherwise, as at AWS, each must be told to (BlockedEncryptionTypes)", func(c *Config, v string) error {
		return truth(&c.AllowSSEC, v)
	}},
	{"notify-target", List, "", "NAME=URL of a place for event notifications of buckets: https, http, nats, redis, amqp, kafka (repeatable)", func(c *Config, v string) error {
		return named(&c.NotifyTargets, v)
	}},
	{"functions", Switch, "false", "run functions (AWS Lambda) as isolated processes of this machine (docs/functions.md)", func(c *Config, v string) error {
		return truth(&c.Functions, v)
	}},
	{"functions-unsafe", Switch, "false", "run functions also where the host cannot isolate them: they may do what this server may", func(c *Config, v string) error {
		return truth(&c.FunctionsUnsafe, v)
	}},
	{"functions-network", Text, "host", "what functions reach: host (whatever this machine reaches) or none (this server alone)", func(c *Config, v string) error {
		c.FunctionsNetwork = v
		return match(functionsNetwork, v, "host or none")
	}},
	{"functions-retry", Text, "1m", "pause before the first retry of an asynchronous invocation, the second is twice as long; for tests", func(c *Config, v string) error {
		return interval(&c.FunctionsRetry, v)
	}},
	{"workload-credentials", Text, "", "loopback address at which programs of this machine get credentials of roles, as from EC2's metadata service and in ECS; empty: off (docs/workload-credentials.md)", func(c *Config, v string) error {
		c.WorkloadAddress = v
		return address(v)
	}},
	{"workload", List, "", "ROLE=user:USER or ROLE=token:FILE: whom --workload-credentials gives which role (repeatable)", func(c *Config, v string) error {
		return workload(&c.Workloads, v)
	}},
	{"public-url", Text, "", "URL by which others reach this server, for links in messages and e-mail; empty: that of the HTTPS listener, else of the plain one", func(c *Config, v string) error {
		c.PublicURL = strings.TrimSuffix(v, "/")
		return webURL(v)
	}},
	{"smtp-server", Text, "", "HOST:PORT of the server that takes e-mail, for subscriptions of topics by e-mail; empty: there are none (docs/topics.md)", func(c *Config, v string) error {
		c.SMTP.Server = v
		return hostPort(v)
	}},
	{"smtp-from", Text, "", "address in whose name e-mail is sent", func(c *Config, v string) error {
		c.SMTP.From = v
		return nil
	}},
	{"smtp-user", Text, "", "user of the SMTP server", func(c *Config, v string) error {
		c.SMTP.User = v
		return nil
	}},
	{"smtp-password-file", Text, "", "file of that user's password", func(c *Config, v string) error {
		c.SMTP.PasswordFile = v
		return nil
	}},
	{"smtp-tls", Text, "starttls", "starttls, tls (before anything is said), or none, which takes no password", func(c *Config, v string) error {
		c.SMTP.TLS = v
		return match(smtpTLS, v, "starttls, tls or none")
	}},
	{"smtp-ca", Text, "", "PEM file of the authorities that sign the SMTP server's certificate; empty: the system's", func(c *Config, v string) error {
		c.SMTP.CA = v
		return nil
	}},
	{"log-format", Text, "text", "text or json", func(c *Config, v string) error {
		c.LogJSON = v == "json"
		return match(logFormat, v, "text or json")
	}},
	{"log-level", Text, "info", "debug, info, warn or error", func(c *Config, v string) error {
		return level(&c.LogLevel, v)
	}},
	{"max-connections", Text, "8192", "open connections, both listeners together", func(c *Config, v string) error {
		return count(&c.MaxConnections, v, 1)
	}},
	{"max-connections-per-ip", Text, "1024", "open connections of one address; trusted proxies are exempt", func(c *Config, v string) error {
		return count(&c.MaxConnectionsPerIP, v, 1)
	}},
	{"max-unauthenticated", Text, "1024", "connections that have not authenticated yet; a further one closes the oldest idle of them", func(c *Config, v string) error {
		return count(&c.MaxUnauthenticated, v, 1)
	}},
	{"max-uploads", Text, "512", "requests that are sending a body at the same time; a further one is answered 503 SlowDown", func(c *Config, v string) error {
		return count(&c.MaxUploads, v, 1)
	}},
	{"stop-timeout", Text, "30s", "how long a stop waits for requests in flight", func(c *Config, v string) error {
		return duration(&c.StopTimeout, v)
	}},
	{"lifecycle-day", Text, "24h", "how long a day of lifecycle rules is, for tests", func(c *Config, v string) error {
		return interval(&c.LifecycleDay, v)
	}},
	{"scrub-interval", Text, "168h", "time in which every stored byte is read again and checked; 0: never", func(c *Config, v string) error {
		return duration(&c.ScrubInterval, v)
	}},
	{"audit", Text, "on", "on: what changes something is refused while it cannot be recorded; strict: so is all that is to be recorded", func(c *Config, v string) error {
		c.AuditStrict = v == "strict"
		return match(auditMode, v, "on or strict")
	}},
	{"audit-retention", Text, "9600h", "how long the record of management events is kept; 0: for ever", func(c *Config, v string) error {
		return duration(&c.AuditRetention, v)
	}},
	{"audit-max-size", Text, "16GiB", "space for it; the oldest goes first. 0: no bound", func(c *Config, v string) error {
		return size(&c.AuditMaxSize, v)
	}},
	{"audit-data-retention", Text, "2160h", "how long the record of data events is kept; 0: for ever", func(c *Config, v string) error {
		return duration(&c.AuditDataRetention, v)
	}},
	{"audit-data-max-size", Text, "16GiB", "space for it; the oldest goes first. 0: no bound", func(c *Config, v string) error {
		return size(&c.AuditDataMaxSize, v)
	}},
	{"quarantine", Text, "on", "on, or off: whether an access key that is found with its secret in an uploaded object is taken out of use (docs/findings.md)", func(c *Config, v string) error {
		c.Quarantine = v == "on"
		return match(onOrOff, v, "on or off")
	}},
	{"threat-list", List, "", "FILE with addresses and CIDR blocks, one a line: calls from there are findings (docs/findings.md; repeatable)", func(c *Config, v string) error {
		c.ThreatLists = append(c.ThreatLists, v)
		return nonEmpty(v)
	}},
	{"audit-export", List, "", "URL that gets a copy of the record: file:///PATH, syslog://HOST[:PORT], syslog+tls, syslog+udp, syslog+unix:///dev/log, otlp+http, otlp+https (docs/audit.md; repeatable)", func(c *Config, v string) error {
		c.AuditExports = append(c.AuditExports, v)
		return nonEmpty(v)
	}},
	{"log-interval", Text, "15s", "how often CloudTrail files and server access logs are delivered, while there is something to deliver", func(c *Config, v string) error {
		return interval(&c.LogInterval, v)
	}},
	{"digest-interval", Text, "1h", "how often CloudTrail digest files are delivered", func(c *Config, v string) error {
		return interval(&c.DigestInterval, v)
	}},
}

var (
	regionName    = regexp.MustCompile(`^[a-z]{2,}(-[a-z0-9]+)+-[0-9]{1,2}$`)
	accountNumber = regexp.MustCompile(`^[0-9]{12}$`)
	domainName    = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`)
	auditMode     = regexp.MustCompile(`^(on|strict)$`)
	targetName    = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)
	logFormat     = regexp.MustCompile(`^(text|json)$`)
	onOrOff       = regexp.MustCompile(`^(on|off)$`)

	functionsNetwork = regexp.MustCompile(`^(host|none)$`)
	smtpTLS          = regexp.MustCompile(`^(starttls|tls|none)$`)
)

// named adds NAME=VALUE.
func named(to *map[string]string, v string) error {
	name, value, ok := strings.Cut(v, "=")
	if !ok || value == "" || !targetName.MatchString(name) {
		return fmt.Errorf("%q is not NAME=URL", name)
	}
	if *to == nil {
		*to = map[string]string{}
	}
	(*to)[name] = value
	return nil
}

// webURL accepts nothing, or http:// or https:// and a host.
func webURL(v string) error {
	u, err := url.Parse(v)
	if v != "" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "") {
		return fmt.Errorf("%q is not https://HOST[:PORT]", v)
	}
	return nil
}

// hostPort accepts nothing, or HOST:PORT.
func hostPort(v string) error {
	host, port, err := net.SplitHostPort(v)
	if n, wrong := strconv.ParseUint(port, 10, 16); v != "" && (err != nil || host == "" || wrong != nil || n == 0) {
		return fmt.Errorf("%q is not HOST:PORT", v)
	}
	return nil
}

func nonEmpty(v string) error {
	if v == "" {
		return fmt.Errorf("must not be empty")
	}
	return nil
}

func match(re *regexp.Regexp, v, want string) error {
	if len(v) > 253 || !re.MatchString(v) {
		return fmt.Errorf("%q is not %s", v, want)
	}
	return nil
}

// address accepts HOST:PORT with an IP address, "localhost" or nothing as the host, so that what
// a listener is open to never hangs on a name server's answer.
func address(v string) error {
	if v == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(v)
	if err != nil {
		return fmt.Errorf("%q is not HOST:PORT", v)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return fmt.Errorf("%q has no port number from 0 to 65535", v)
	}
	if host == "" || host == "localhost" {
		return nil
	}
	if _, err := netip.ParseAddr(host); err != nil {
		return fmt.Errorf("%q: the host must be an IP address, localhost, or nothing for every address", v)
	}
	return nil
}

var (
	endpointID = regexp.MustCompile(`^vpce-[0-9a-z-]{1,58}$`)
	vpcID      = regexp.MustCompile(`^vpc-[0-9a-z-]{1,59}$`)
)

// endpoint accepts vpce-ID[/vpc-ID]=HOST:PORT, each id once.
func endpoint(to *[]Endpoint, v string) error {
	name, addr, ok := strings.Cut(v, "=")
	id, vpc, hasVPC := strings.Cut(name, "/")
	if !ok || !endpointID.MatchString(id) || hasVPC && !vpcID.MatchString(vpc) {
		return fmt.Errorf("%q is not vpce-ID=HOST:PORT or vpce-ID/vpc-ID=HOST:PORT", v)
	}
	for _, e := range *to {
		if e.ID == id {
			return fmt.Errorf("%s is named twice", id)
		}
	}
	if err := nonEmpty(addr); err != nil {
		return err
	}
	*to = append(*to, Endpoint{ID: id, VPC: vpc, Address: addr})
	return address(addr)
}

// loopback tells whether only this machine can reach the listen address v.
func loopback(v string) bool {
	host, _, err := net.SplitHostPort(v)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

func truth(to *bool, v string) (err error) {
	if *to, err = strconv.ParseBool(v); err != nil {
		return fmt.Errorf("%q is neither true nor false", v)
	}
	return nil
}

func count(to *int, v string, least int) error {
	n, err := strconv.Atoi(v)
	if err != nil || n < least || n > 1<<20 {
		return fmt.Errorf("%q is not a number from %d to %d", v, least, 1<<20)
	}
	*to = n
	return nil
}

func duration(to *time.Duration, v string) error {
	d, err := time.ParseDuration(v)
	if err != nil || d < 0 {
		return fmt.Errorf("%q is not a duration, such as 30s, 15m or 24h", v)
	}
	*to = d
	return nil
}

// interval is a duration of at least 100 ms.
func interval(to *time.Duration, v string) error {
	if err := duration(to, v); err != nil {
		return err
	}
	if *to < 100*time.Millisecond {
		return fmt.Errorf("%q is shorter than 100ms", v)
	}
	return nil
}

var sizes = regexp.MustCompile(`^([0-9]{1,9})(|KiB|MiB|GiB|TiB)$`)

// size accepts a number of bytes, with a unit or without.
func size(to *int64, v string) error {
	m := sizes.FindStringSubmatch(v)
	if m == nil {
		return fmt.Errorf("%q is not a size, such as 512MiB or 16GiB", v)
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil {
		return err
	}
	shift := map[string]uint{"": 0, "KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40}[m[2]]
	if n > 1<<(62-shift) {
		return fmt.Errorf("%q is too large", v)
	}
	*to = n << shift
	return nil
}

// replicationTarget accepts NAME=URL, with the bucket's name there as the path, and region and accounts
// as the query.
func replicationTarget(to *[]ReplicationTarget, v string) error {
	const want = "%q is not NAME=https://HOST[/BUCKET][?region=REGION][&account=ID], NAME being a bucket name"
	name, text, _ := strings.Cut(v, "=")
	u, err := url.Parse(text)
	if err != nil || !bucketName.MatchString(name) || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.Fragment != "" {
		return fmt.Errorf(want, v)
	}
	t := ReplicationTarget{Name: name, Bucket: strings.Trim(u.Path, "/"), URL: &url.URL{Scheme: u.Scheme, Host: u.Host}, Region: "us-east-1"}
	if t.Bucket == "" {
		t.Bucket = name
	}
	if !bucketName.MatchString(t.Bucket) {
		return fmt.Errorf(want, v)
	}
	for key, values := range u.Query() {
		switch key {
		case "region":
			t.Region = values[0]
		case "account":
			t.Accounts = values
		default:
			return fmt.Errorf(want, v)
		}
	}
	for _, other := range *to {
		if other.Name == name {
			return fmt.Errorf("%q is named twice", name)
		}
	}
	*to = append(*to, t)
	return nil
}

var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

func level(to *slog.Level, v string) error {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	l, ok := levels[v]
	if !ok {
		return fmt.Errorf("%q is not debug, info, warn or error", v)
	}
	*to = l
	return nil
}

// network accepts a CIDR block without host bits, or one address.
func network(to *[]netip.Prefix, v string) error {
	p, err := netip.ParsePrefix(v)
	if err != nil {
		a, err := netip.ParseAddr(v)
		if err != nil || a.Zone() != "" {
			return fmt.Errorf("%q is neither an address nor a CIDR block", v)
		}
		a = a.Unmap()
		p = netip.PrefixFrom(a, a.BitLen())
	}
	if p != p.Masked() {
		return fmt.Errorf("%q has bits outside its mask; did you mean %s?", v, p.Masked())
	}
	*to = append(*to, p)
	return nil
}
