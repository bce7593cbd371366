package s3

import (
	"context"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/wire/s3wire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/object"
	"github.com/kura-s3/kura/policy"
)

// Object Lock. What a lock means stands in package object; here are the requests that set it, and the
// permission to overrule a governance retention, which is asked for when one is in the way.

const (
	headerLockMode  = "X-Amz-Object-Lock-Mode"
	headerLockUntil = "X-Amz-Object-Lock-Retain-Until-Date"
	headerLockHold  = "X-Amz-Object-Lock-Legal-Hold"
	headerBypass    = "X-Amz-Bypass-Governance-Retention"
)

var retentionModes = map[string]object.RetentionMode{"GOVERNANCE": object.Governance, "COMPLIANCE": object.Compliance}

var retentionNames = map[object.RetentionMode]string{object.Governance: "GOVERNANCE", object.Compliance: "COMPLIANCE"}

var holdNames = map[object.LegalHold]string{object.HoldOff: "OFF", object.HoldOn: "ON"}

func (s *Service) objectLockOps() []*api.Op {
	return []*api.Op{
		api.Declare(api.Decl[s3wire.GetObjectLockConfigurationInput, s3wire.GetObjectLockConfigurationOutput]{
			Wire: &s3wire.GetObjectLockConfiguration, Class: audit.Management, Access: api.Read, Unsigned: true,
			Demands: onBucket[s3wire.GetObjectLockConfigurationInput](s, "s3:GetBucketObjectLockConfiguration"),
			Do:      getLockConfiguration,
		}),
		api.Declare(api.Decl[s3wire.PutObjectLockConfigurationInput, s3wire.PutObjectLockConfigurationOutput]{
			Wire: &s3wire.PutObjectLockConfiguration, Class: audit.Management, Access: api.Write, Unsigned: true,
			Demands: onBucket[s3wire.PutObjectLockConfigurationInput](s, "s3:PutBucketObjectLockConfiguration"),
			Do:      s.putLockConfiguration,
		}),
		api.Declare(api.Decl[s3wire.GetObjectRetentionInput, s3wire.GetObjectRetentionOutput]{
			Wire: &s3wire.GetObjectRetention, Class: audit.Data, Access: api.Read, Unsigned: true,
			Demands: func(c *api.Call, _ *s3wire.GetObjectRetentionInput) ([]authz.Demand, error) {
				return s.needKey(c, "s3:GetObjectRetention")
			},
			Do: s.getRetention,
		}),
		api.Declare(api.Decl[s3wire.PutObjectRetentionInput, s3wire.PutObjectRetentionOutput]{
			Wire: &s3wire.PutObjectRetention, Class: audit.Data, Access: api.Write, Unsigned: true,
			Demands: func(c *api.Call, in *s3wire.PutObjectRetentionInput) ([]authz.Demand, error) {
				return s.needKeyWith(c, "s3:PutObjectRetention", lockKeys{wantedRetention(in.Retention)})
			},
			Do: s.putRetention,
		}),
		api.Declare(api.Decl[s3wire.GetObjectLegalHoldInput, s3wire.GetObjectLegalHoldOutput]{
			Wire: &s3wire.GetObjectLegalHold, Class: audit.Data, Access: api.Read, Unsigned: true,
			Demands: func(c *api.Call, _ *s3wire.GetObjectLegalHoldInput) ([]authz.Demand, error) {
				return s.needKey(c, "s3:GetObjectLegalHold")
			},
			Do: s.getLegalHold,
		}),
		api.Declare(api.Decl[s3wire.PutObjectLegalHoldInput, s3wire.PutObjectLegalHoldOutput]{
			Wire: &s3wire.PutObjectLegalHold, Class: audit.Data, Access: api.Write, Unsigned: true,
			Demands: func(c *api.Call, in *s3wire.PutObjectLegalHoldInput) ([]authz.Demand, error) {
				return s.needKeyWith(c, "s3:PutObjectLegalHold", lockKeys{&object.Lock{Hold: wantedHold(in.LegalHold)}})
			},
			Do: s.putLegalHold,
		}),
	}
}

func getLockConfiguration(_ context.Context, _ authz.Grant, c *api.Call, _ *s3wire.GetObjectLockConfigurationInput) (*s3wire.GetObjectLockConfigurationOutput, error) {
	b := at(c).found
	config, err := b.ObjectLock()
	if err != nil {
		return nil, err
	}
	if config == nil {
		return nil, fault.New(noSuchObjectLock, "", "BucketName", b.Name)
	}
	out := &s3wire.ObjectLockConfiguration{ObjectLockEnabled: "Enabled"}
	if config.Mode != object.NoRetention {
		out.Rule = &s3wire.ObjectLockRule{DefaultRetention: &s3wire.DefaultRetention{
			Mode: s3wire.ObjectLockRetentionMode(retentionNames[config.Mode]), Days: positive(config.Days), Years: positive(config.Years),
		}}
	}
	return &s3wire.GetObjectLockConfigurationOutput{ObjectLockConfiguration: out}, nil
}

// positive is a number that is left out where there is none.
func positive(n int) *int32 {
	if n == 0 {
		return nil
	}
	v := int32(n)
	return &v
}

func (s *Service) putLockConfiguration(ctx context.Context, g authz.Grant, c *api.Call, in *s3wire.PutObjectLockConfigurationInput) (*s3wire.PutObjectLockConfigurationOutput, error) {
	config, err := lockConfiguration(in.ObjectLockConfiguration)
	if err != nil {
		return nil, err
	}
	raw, err := config.Encode()
	if err != nil {
		return nil, err
	}
	_, err = s.config.Objects.UpdateBucket(ctx, g, "s3:PutBucketObjectLockConfiguration", at(c).bucket, func(b *object.Bucket) error {
		b.Settings[object.SettingObjectLock] = raw
		return nil
	})
	return &s3wire.PutObjectLockConfigurationOutput{}, err
}

func lockConfiguration(in *s3wire.ObjectLockConfiguration) (*object.ObjectLock, error) {
	if in == nil || in.ObjectLockEnabled != "Enabled" {
		return nil, fault.New(malformedXML, "")
	}
	config := &object.ObjectLock{}
	if in.Rule == nil {
		return config, nil
	}
	d := in.Rule.DefaultRetention
	if d == nil || (d.Days == nil) == (d.Years == nil) {
		return nil, fault.New(malformedXML, "")
	}
	var known bool
	if config.Mode, known = retentionModes[string(d.Mode)]; !known {
		return nil, fault.New(malformedXML, "")
	}
	period, most, name := &config.Days, object.MaxRetentionDays, "Days"
	given := d.Days
	if given == nil {
		period, most, name, given = &config.Years, object.MaxRetentionYears, "Years", d.Years
	}
	*period = int(*given)
	switch {
	case *period <= 0:
		return nil, fault.New(invalidArgument, "Default retention period must be a positive integer value.", "ArgumentName", name)
	case *period > most:
		return nil, fault.New(invalidArgument, "Default retention period too large", "ArgumentName", name)
	}
	return config, nil
}

// lockOf reads what an operation tells of a version's lock.
func (s *Service) lockOf(ctx context.Context, g authz.Grant, c *api.Call, action string) (*object.Lock, error) {
	config, err := at(c).found.ObjectLock()
	if err != nil {
		return nil, err
	}
	if config == nil {
		return nil, fault.New(invalidRequest, "Bucket is missing Object Lock Configuration")
	}
	if err := at(c).undecided(); err != nil {
		return nil, err
	}
	in := addressed(c)
	info, err := s.config.Objects.Describe(ctx, g, action, in)
	if err != nil {
		return nil, s.hide(g, at(c).found, in.Key, err)
	}
	return &info.Lock, nil
}

func (s *Service) getRetention(ctx context.Context, g authz.Grant, c *api.Call, _ *s3wire.GetObjectRetentionInput) (*s3wire.GetObjectRetentionOutput, error) {
	lock, err := s.lockOf(ctx, g, c, "s3:GetObjectRetention")
	if err != nil {
		return nil, err
	}
	if lock.Mode == object.NoRetention {
		return nil, fault.New(noSuchKeyLock, "")
	}
	return &s3wire.GetObjectRetentionOutput{Retention: &s3wire.ObjectLockRetention{
		Mode: s3wire.ObjectLockRetentionMode(retentionNames[lock.Mode]), RetainUntilDate: &lock.Until,
	}}, nil
}

func (s *Service) getLegalHold(ctx context.Context, g authz.Grant, c *api.Call, _ *s3wire.GetObjectLegalHoldInput) (*s3wire.GetObjectLegalHoldOutput, error) {
	lock, err := s.lockOf(ctx, g, c, "s3:GetObjectLegalHold")
	if err != nil {
		return nil, err
	}
	if lock.Hold == object.NoHold {
		return nil, fault.New(noSuchKeyLock, "")
	}
	return &s3wire.GetObjectLegalHoldOutput{LegalHold: &s3wire.ObjectLockLegalHold{
		Status: s3wire.ObjectLockLegalHoldStatus(holdNames[lock.Hold]),
	}}, nil
}

// wantedRetention is what a request asks for, as far as it can be read.
func wantedRetention(in *s3wire.ObjectLockRetention) *object.Lock {
	lock := &object.Lock{}
	if in != nil && in.RetainUntilDate != nil {
		lock.Mode, lock.Until = retentionModes[string(in.Mode)], *in.RetainUntilDate
	}
	return lock
}

func (s *Service) putRetention(ctx context.Context, g authz.Grant, c *api.Call, in *s3wire.PutObjectRetentionInput) (*s3wire.PutObjectRetentionOutput, error) {
	if in.Retention == nil || (in.Retention.Mode == "") != (in.Retention.RetainUntilDate == nil) {
		return nil, fault.New(malformedXML, "")
	}
	if err := at(c).undecided(); err != nil {
		return nil, err
	}
	want := wantedRetention(in.Retention)
	wanted := object.RetentionInput{GetInput: *addressed(c), Mode: want.Mode, Until: want.Until}
	_, err := s.config.Objects.SetRetention(ctx, g, &wanted)
	if fault.Is(err, object.Governed) && bypasses(c.R.Header) {
		if g, err = s.askBypass(ctx, g, c, &wanted.GetInput, want); err != nil {
			return nil, err
		}
		wanted.Bypass = true
		_, err = s.config.Objects.SetRetention(ctx, g, &wanted)
	}
	return &s3wire.PutObjectRetentionOutput{}, s.hide(g, at(c).found, wanted.Key, err)
}

// bypasses tells whether the request wants governance retentions overruled.
func bypasses(h http.Header) bool { return strings.EqualFold(first(h, headerBypass), "true") }

// askBypass asks for the permission to overrule a governance retention, which only those need who
// have one in the way.
func (s *Service) askBypass(ctx context.Context, g authz.Grant, c *api.Call, in *object.GetInput, want *object.Lock) (authz.Grant, error) {
	d, err := s.keyDemand(c, at(c).found, in, "s3:BypassGovernanceRetention", lockKeys{want})
	if err != nil {
		return g, err
	}
	return g.Ask(ctx, d)
}

func wantedHold(in *s3wire.ObjectLockLegalHold) object.LegalHold {
	if in == nil {
		return object.NoHold
	}
	return holdOf(string(in.Status))
}

func holdOf(name string) object.LegalHold {
	for hold, n := range holdNames {
		if n == name {
			return hold
		}
	}
	return object.NoHold
}

func (s *Service) putLegalHold(ctx context.Context, g authz.Grant, c *api.Call, in *s3wire.PutObjectLegalHoldInput) (*s3wire.PutObjectLegalHoldOutput, error) {
	hold := wantedHold(in.LegalHold)
	if hold == object.NoHold {
		return nil, fault.New(malformedXML, "")
	}
	if err := at(c).undecided(); err != nil {
		return nil, err
	}
	key := addressed(c)
	_, err := s.config.Objects.SetLegalHold(ctx, g, key, hold)
	return &s3wire.PutObjectLegalHoldOutput{}, s.hide(g, at(c).found, key.Key, err)
}

// headerLock reads the lock that a write asks for; nil when it asks for none.
func headerLock(h http.Header) (*object.Lock, error) {
	mode, until, hold := first(h, headerLockMode), first(h, headerLockUntil), first(h, headerLockHold)
	if mode == "" && until == "" && hold == "" {
		return nil, nil
	}
	lock := &object.Lock{}
	if mode == "" != (until == "") {
		missing := headerLockMode
		if until == "" {
			missing = headerLockUntil
		}
		return nil, badArgument("x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied", strings.ToLower(missing), "")
	}
	if mode != "" {
		var known bool
		if lock.Mode, known = retentionModes[mode]; !known {
			return nil, badArgument("Unknown wormMode directive.", strings.ToLower(headerLockMode), mode)
		}
		var err error
		if lock.Until, err = time.Parse(time.RFC3339, until); err != nil {
			return nil, badArgument("The retain until date must be provided in ISO 8601 format", strings.ToLower(headerLockUntil), until)
		}
		lock.Until = lock.Until.UTC()
	}
	if hold != "" {
		if lock.Hold = holdOf(hold); lock.Hold == object.NoHold {
			return nil, badArgument("Legal Hold must be either of 'ON' or 'OFF'", strings.ToLower(headerLockHold), hold)
		}
	}
	return lock, nil
}

// bodyLock is headerLock for uploads, whose body must then be proved.
func bodyLock(h http.Header, e *object.Expected) (*object.Lock, error) {
	lock, err := headerLock(h)
	if err == nil && lock != nil && e.MD5 == nil && e.Value == nil {
		err = fault.New(invalidRequest, "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters")
	}
	return lock, err
}

// needLock adds what a write that asks for a lock needs beside s3:PutObject.
func needLock(c *api.Call, resource authz.Resource, h http.Header, keys authz.Keys, demands []authz.Demand) []authz.Demand {
	resource.Granted = false // ACLs say nothing about locks
	if first(h, headerLockMode) != "" {
		demands = c.Need("s3:PutObjectRetention", resource, keys)
	}
	if first(h, headerLockHold) != "" {
		demands = c.Need("s3:PutObjectLegalHold", resource, keys)
	}
	return demands
}

// lockKeys are the condition keys of a lock that a request asks for.
type lockKeys struct{ lock *object.Lock }

// Lookup implements authz.Keys.
func (k lockKeys) Lookup(key string) (policy.Values, bool) {
	name, ok := strings.CutPrefix(key, "s3:object-lock-")
	if !ok || k.lock == nil {
		return policy.Values{}, false
	}
	has := k.lock.Mode != object.NoRetention
	switch name {
	case "mode":
		return policy.Values{One: retentionNames[k.lock.Mode]}, has
	case "legal-hold":
		return policy.Values{One: holdNames[k.lock.Hold]}, k.lock.Hold != object.NoHold
	case "retain-until-date":
		return policy.Values{One: k.lock.Until.Format(time.RFC3339)}, has
	case "remaining-retention-days":
		// A day that has begun counts, so that a bound on days bounds the time.
		days := math.Ceil(time.Until(k.lock.Until).Hours() / 24)
		return policy.Values{One: strconv.FormatInt(int64(days), 10)}, has
	}
	return policy.Values{}, false
}

// headerLockKeys are lockKeys of a write's headers. What cannot be read is refused later.
func headerLockKeys(h http.Header) lockKeys {
	lock, err := headerLock(h)
	if err != nil {
		return lockKeys{}
	}
	return lockKeys{lock}
}

// tellLock puts a version's lock on the answer to those who may know of it.
func (s *Service) tellLock(g authz.Grant, c *api.Call, lock *object.Lock, h http.Header) {
	may := func(action string) bool {
		d, err := s.keyDemand(c, at(c).found, addressed(c), action, nil)
		return err == nil && g.May(d)
	}
	if lock.Mode != object.NoRetention && may("s3:GetObjectRetention") {
		h.Set(headerLockMode, retentionNames[lock.Mode])
		h.Set(headerLockUntil, lock.Until.Format("2006-01-02T15:04:05.000Z"))
	}
	if lock.Hold != object.NoHold && may("s3:GetObjectLegalHold") {
		h.Set(headerLockHold, holdNames[lock.Hold])
	}
}
