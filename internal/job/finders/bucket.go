package finders

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kura-s3/kura/internal/classification"
	"github.com/kura-s3/kura/internal/feed"
	"github.com/kura-s3/kura/internal/finding"
	"github.com/kura-s3/kura/internal/posture"
	"github.com/kura-s3/kura/policy"
)

// Policy:S3/BucketAnonymousAccessGranted, Policy:S3/BucketPublicAccessGranted,
// Policy:S3/BucketBlockPublicAccessDisabled, Policy:S3/AccountBlockPublicAccessDisabled,
// Stealth:S3/ServerAccessLoggingDisabled.
//
// What they find: a change that lets everybody, or everybody with an account, into a bucket who could not get
// in before; that takes Block Public Access off; that stops the log of who reads a bucket.
// Why it matters: this is how data comes to be on the internet, by mistake or as the thief's way out.
// The check: package policy compares who gets in before and after, with a request as proof. The severity of
// an empty bucket is the lowest of its level, that of one tagged classification=confidential is critical.

// settingLogging is the bucket setting of server access logs, as package accesslog stores it.
const settingLogging = "logging"

// critical is for what is open that must not be.
const critical = 9.0

// change tells what an entry of the feed gives away.
func (f *Finder) change(ctx context.Context, e *feed.Entry) ([]finding.Sighting, error) {
	switch e.Kind {
	case feed.Bucket:
		return f.bucketChange(ctx, e)
	case feed.Account:
		return f.accountChange(ctx, e)
	}
	return nil, nil
}

func (f *Finder) bucketChange(ctx context.Context, e *feed.Entry) ([]finding.Sighting, error) {
	if e.Gone || e.After == nil {
		return nil, nil
	}
	after, err := posture.From(e)
	if err != nil {
		return nil, err
	}
	var before *posture.Resource
	if e.Before != nil {
		if before, err = posture.BucketFrom(e.Before); err != nil {
			return nil, err
		}
	}
	block := f.config.Source.Block(e.Account)
	seen := f.opened(ctx, e, before, after, block, block)
	if before == nil || before.Broken != nil || after.Broken != nil {
		return seen, nil
	}
	if takenOff(before.Bucket.Block, after.Bucket.Block) {
		seen = append(seen, f.about(ctx, e, finding.BucketBlockDisabled, after, block, "Block Public Access was disabled for S3 bucket "+after.Name+".",
			"disabled Block Public Access for the bucket "+after.Name+"."))
	}
	if len(before.Bucket.Settings[settingLogging]) > 0 && len(after.Bucket.Settings[settingLogging]) == 0 {
		seen = append(seen, f.about(ctx, e, finding.AccessLoggingDisabled, after, block, "Server access logging for S3 bucket "+after.Name+" was disabled.",
			"disabled server access logging for the bucket "+after.Name+". This can be an attempt to hide what follows."))
	}
	return seen, nil
}

// takenOff tells whether a setting that was on is off.
func takenOff(was, is policy.PublicAccessBlock) bool { return was.Or(is) != is }

// accountChange looks at the account's Block Public Access, and when it is taken off, at what that opens.
func (f *Finder) accountChange(ctx context.Context, e *feed.Entry) ([]finding.Sighting, error) {
	var sides [2]posture.Block
	for i, raw := range [][]byte{e.Before, e.After} {
		if raw == nil {
			continue
		}
		r, err := posture.BlockFrom(e.Account, raw)
		if err != nil {
			return nil, err
		}
		if r.Broken != nil {
			return nil, nil
		}
		sides[i] = *r.Block
	}
	was, is := sides[0], sides[1]
	if !takenOff(was.PublicAccessBlock, is.PublicAccessBlock) {
		return nil, nil
	}
	who := whoChanged(e)
	seen := []finding.Sighting{{
		Account: e.Account, Type: finding.AccountBlockDisabled, Severity: finding.SeverityOf(finding.AccountBlockDisabled), Time: e.Time, Actor: actorOf(e),
		Title:       "Block Public Access was disabled for the account " + e.Account + ".",
		Description: who.Name() + " disabled Block Public Access for the account by calling " + e.Operation + ".",
		Resource:    finding.Resource{ResourceType: finding.AccessKey, AccessKeyDetails: who.Details()},
		Call:        who.Call("s3.amazonaws.com", e.Operation, ""),
	}}
	names, err := f.config.Source.IDs(ctx, e.Account, posture.TypeBucket)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	for _, name := range names {
		b, err := f.config.Source.Resource(ctx, e.Account, posture.TypeBucket, name)
		if err != nil {
			return nil, err
		}
		if b != nil && b.Broken == nil {
			seen = append(seen, f.opened(ctx, e, b, b, was, is)...)
		}
	}
	return seen, nil
}

// opened tells who gets into the bucket by a change that did not before.
func (f *Finder) opened(ctx context.Context, e *feed.Entry, before, after *posture.Resource, was, is posture.Block) []finding.Sighting {
	gained, err := posture.Gains(before, after, was, is, func(unique, canonical []string) policy.Zone {
		return f.config.Source.Zone(e.Account, true, unique, canonical)
	})
	if err != nil {
		f.config.Log.Warn("finders: a bucket cannot be judged", "bucket", after.Name, "err", err)
		return nil // then S3 lets no stranger in either
	}
	var anonymous, public []string
	for i := range gained {
		o := &gained[i]
		switch {
		case o.Principal != "*" && o.Principal != posture.AllUsers && o.Principal != posture.AuthenticatedUsers:
		case o.Witness != nil && o.Witness.Type == "Anonymous":
			anonymous = append(anonymous, o.Actions...)
		default:
			public = append(public, o.Actions...)
		}
	}
	var seen []finding.Sighting
	if len(anonymous) > 0 {
		seen = append(seen, f.about(ctx, e, finding.BucketAnonymousAccess, after, is, "Anonymous access was granted to S3 bucket "+after.Name+".",
			"let everybody on the internet "+did(anonymous)+" in the bucket "+after.Name+"."))
	}
	if len(public) > 0 {
		seen = append(seen, f.about(ctx, e, finding.BucketPublicAccess, after, is, "Public access was granted to S3 bucket "+after.Name+".",
			"let everybody with an account "+did(public)+" in the bucket "+after.Name+"."))
	}
	return seen
}

// did names a few actions.
func did(actions []string) string {
	slices.Sort(actions)
	actions = slices.Compact(actions)
	const few = 4
	if n := len(actions) - few; n > 0 {
		return strings.Join(actions[:few], ", ") + fmt.Sprintf(" and %d more actions", n)
	}
	return strings.Join(actions, ", ")
}

func whoChanged(e *feed.Entry) *finding.Who {
	return &finding.Who{Principal: e.Actor, AccessKey: e.AccessKey, IP: e.SourceIP, UserAgent: e.UserAgent, Account: e.Account}
}

func actorOf(e *feed.Entry) string {
	if e.Actor.UniqueID != "" {
		return e.Actor.UniqueID
	}
	return e.Actor.ARN
}

// about is a finding about a bucket by a change of it.
func (f *Finder) about(ctx context.Context, e *feed.Entry, typ string, b *posture.Resource, block posture.Block, title, what string) finding.Sighting {
	who := whoChanged(e)
	return finding.Sighting{
		Account: e.Account, Type: typ, Severity: f.severity(ctx, typ, b), Time: e.Time, Actor: actorOf(e), Title: title,
		Description: who.Name() + " called " + e.Operation + " and thereby " + what,
		Resource:    finding.Resource{ResourceType: finding.S3Bucket, S3BucketDetails: []finding.Bucket{show(b, block)}, AccessKeyDetails: who.Details()},
		Call:        who.Call("s3.amazonaws.com", e.Operation, ""),
	}
}

// severity weighs what there is to lose.
func (f *Finder) severity(ctx context.Context, typ string, b *posture.Resource) float64 {
	base := finding.SeverityOf(typ)
	switch {
	case base < finding.High:
		return base
	case confidential(b):
		return critical
	case f.config.Empty(ctx, b.Name):
		return base - 1
	}
	return base
}

// confidential tells whether a bucket is classified as one that nobody outside gets into.
func confidential(b *posture.Resource) bool {
	for key, value := range b.Tags {
		if classification.Find(key, value).Holds(classification.NoOtherAccounts) {
			return true
		}
	}
	return false
}

// show gives a bucket the form of findings.
func show(r *posture.Resource, account posture.Block) finding.Bucket {
	b := finding.Bucket{ARN: r.ARN, Name: r.Name, Type: "Destination", CreatedAt: &finding.Stamp{Time: r.Created}}
	for _, key := range slices.Sorted(maps.Keys(r.Tags)) {
		b.Tags = append(b.Tags, finding.Tag{Key: finding.Clean(key), Value: finding.Clean(r.Tags[key])})
	}
	if r.Bucket == nil || r.Broken != nil {
		return b
	}
	b.Owner = &finding.Owner{ID: r.Bucket.Canonical}
	pr, pw, lr, lw := r.Bucket.PublicAccess(account)
	access := &finding.PublicAccess{EffectivePermission: "NOT_PUBLIC"}
	if pr || pw || lr || lw {
		access.EffectivePermission = "PUBLIC"
	}
	levels := &access.PermissionConfiguration
	levels.BucketLevelPermissions = finding.BucketPermissions{
		AccessControlList: finding.Public{AllowsPublicReadAccess: lr, AllowsPublicWriteAccess: lw},
		BucketPolicy:      finding.Public{AllowsPublicReadAccess: pr, AllowsPublicWriteAccess: pw}, BlockPublicAccess: showBlock(r.Bucket.Block),
	}
	levels.AccountLevelPermissions.BlockPublicAccess = showBlock(account.PublicAccessBlock)
	b.PublicAccess = access
	return b
}

func showBlock(b policy.PublicAccessBlock) finding.Block {
	return finding.Block{
		IgnorePublicACLs: b.IgnorePublicACLs, RestrictPublicBuckets: b.RestrictPublicBuckets, BlockPublicACLs: b.BlockPublicACLs, BlockPublicPolicy: b.BlockPublicPolicy,
	}
}
