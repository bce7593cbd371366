// Package exposure raises the alarm: when a change of a bucket, or of its account's Block Public Access,
// lets strangers in, it publishes one event that says which bucket, by whose change and from where, who
// can now do what, and the command that undoes it; and one more when nobody is left.
//
// It decides nothing itself: who gets in is package policy's answer, with a request as proof. What it told
// is stored in the commit that moves its cursor and carries the event, so that nothing is told twice and
// nothing is left out, whatever crashes.
package exposure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/event"
	"github.com/kura-s3/kura/internal/feed"
	"github.com/kura-s3/kura/internal/posture"
	"github.com/kura-s3/kura/policy"
)

// Consumer is the name under which this package reads the feed.
const Consumer = "exposure"

// Source and DetailType of the events.
const (
	Source     = "kura"
	DetailType = "Data Exposure"
)

// Config of a Watch.
type Config struct {
	// Meta keeps what was told, Feed has the changes. Required.
	Meta engine.Meta
	Feed *feed.Feed
	// Source finds buckets and knows whom an account trusts. Required.
	Source posture.Source
	// Bus takes the events. Required.
	Bus event.Bus
	// Name is what people call an account, "" for nothing. Required.
	Name func(account string) string
	// Log is required.
	Log *slog.Logger
}

// Watch reads the feed.
type Watch struct {
	config Config
	// told has the names of all buckets of which something is told, once loaded: of most nothing is.
	told map[string]bool
}

// New makes a Watch.
func New(c Config) *Watch { return &Watch{config: c} }

const (
	slice  = 100
	hiccup = time.Second
	format = 1
	prefix = "ev/x/"
)

var errRecord = errors.New("exposure: a record does not decode")

// told is what was told of a bucket: what strangers can do, and since when.
type told struct {
	Account string
	Since   time.Time
	Access  []string
}

// Run works until ctx ends.
func (w *Watch) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := w.step(ctx); err != nil && ctx.Err() == nil {
			w.config.Log.Error("exposure", "err", err)
			select {
			case <-ctx.Done():
			case <-time.After(hiccup):
			}
		}
	}
}

// round is the work on some entries of the feed.
type round struct {
	w         *Watch
	batch     engine.Batch
	known     map[string]*told // by bucket; nil: nothing was told
	later     []feed.Entry     // than the one that is looked at
	committed []func()
}

// load reads the names of all buckets of which something is told.
func (w *Watch) load(ctx context.Context) error {
	if w.told != nil {
		return nil
	}
	told := map[string]bool{}
	if err := engine.Each(ctx, w.config.Meta, prefix, func(key, _ []byte, _ engine.Version) error {
		told[string(key[len(prefix):])] = true
		return nil
	}); err != nil {
		return err
	}
	w.told = told
	return nil
}

func (w *Watch) step(ctx context.Context) error {
	if err := w.load(ctx); err != nil {
		return err
	}
	entries, err := w.config.Feed.Next(ctx, Consumer, slice)
	if err != nil || len(entries) == 0 {
		return err
	}
	r := &round{w: w, known: map[string]*told{}}
	var weight feed.Weight
	last := uint64(0)
	for i := range entries {
		if weight.Full(&r.batch) {
			break
		}
		e := &entries[i]
		last, r.later = e.Seq, entries[i+1:]
		switch e.Kind {
		case feed.Bucket:
			err = r.bucket(ctx, e)
		case feed.Account:
			err = r.account(ctx, e)
		}
		if err != nil {
			return err
		}
	}
	if err := w.config.Feed.Done(ctx, Consumer, last, &r.batch); err != nil {
		w.told = nil // nobody knows what was written
		return err
	}
	for bucket, t := range r.known {
		if t == nil {
			delete(w.told, bucket)
		} else {
			w.told[bucket] = true
		}
	}
	for _, done := range r.committed {
		done()
	}
	return nil
}

func (r *round) bucket(ctx context.Context, e *feed.Entry) error {
	block := r.blockAt(e.Account)
	if e.Gone {
		return r.judge(ctx, e, side{e.Resource, nil, block}, side{})
	}
	b, err := posture.From(e)
	if err != nil {
		return err
	}
	was := side{block: block}
	if e.Before != nil {
		if was.bucket, err = posture.BucketFrom(e.Before); err != nil {
			return err
		}
	}
	return r.judge(ctx, e, side{e.Resource, b, block}, was)
}

// account looks at all buckets of an account whose setting changed.
func (r *round) account(ctx context.Context, e *feed.Entry) error {
	names, err := r.w.config.Source.IDs(ctx, e.Account, posture.TypeBucket)
	if err != nil {
		return err
	}
	is, was := r.w.config.Source.Block(e.Account), posture.Block{}
	if e.After != nil {
		is = blockOf(e.Account, e.After)
	}
	if e.Before != nil {
		was = blockOf(e.Account, e.Before)
	}
	slices.Sort(names)
	for _, name := range names {
		b, err := r.bucketAt(ctx, e.Account, name)
		if err != nil {
			return err
		}
		if b == nil {
			continue // gone since; its own entry follows
		}
		before := side{}
		if e.Before != nil {
			before = side{name, b, was}
		}
		if err := r.judge(ctx, e, side{name, b, is}, before); err != nil {
			return err
		}
	}
	return nil
}

// blockAt is an account's block at the time of the entry that is looked at: who opens it, and closes it before anybody
// looks, has opened it.
func (r *round) blockAt(account string) posture.Block {
	for i := range r.later {
		if e := &r.later[i]; e.Kind == feed.Account && e.Account == account && e.Before != nil {
			return blockOf(account, e.Before)
		}
	}
	return r.w.config.Source.Block(account)
}

// bucketAt is a bucket at that time.
func (r *round) bucketAt(ctx context.Context, account, name string) (*posture.Resource, error) {
	for i := range r.later {
		if e := &r.later[i]; e.Kind == feed.Bucket && e.Resource == name {
			if e.Before == nil {
				return nil, nil // it was not there
			}
			return posture.BucketFrom(e.Before)
		}
	}
	return r.w.config.Source.Resource(ctx, account, posture.TypeBucket, name)
}

// blockOf is an account's block as it is stored. What does not decode blocks everything, as for S3.
func blockOf(account string, raw []byte) posture.Block {
	r, err := posture.BlockFrom(account, raw)
	if err != nil || r.Broken != nil {
		return posture.Block{Set: true, PublicAccessBlock: policy.PublicAccessBlock{BlockPublicACLs: true, IgnorePublicACLs: true, BlockPublicPolicy: true, RestrictPublicBuckets: true}}
	}
	return *r.Block
}

// side is a bucket before or after a change, with its account's block.
type side struct {
	name   string
	bucket *posture.Resource // nil: there is none, or it is not known
	block  posture.Block
}

// judge compares what strangers can do now with what was told, and tells the difference.
func (r *round) judge(ctx context.Context, e *feed.Entry, is, was side) error {
	before, err := r.before(ctx, is.name)
	if err != nil {
		return err
	}
	openings, err := r.openings(e.Account, is)
	if err != nil {
		r.w.config.Log.Warn("exposure: a bucket cannot be judged", "bucket", is.name, "err", err)
		return nil // then S3 lets no stranger in either
	}
	now := describe(openings)
	switch {
	case before == nil && len(now) == 0:
		return nil
	case len(now) == 0:
		return r.tell(ctx, e, is.name, "RESOLVED", opened{}, before.Access, nil)
	case before != nil && !slices.ContainsFunc(now, func(s string) bool { return !slices.Contains(before.Access, s) }) && !r.gains(e.Account, was, is):
		return nil // nothing that was not told
	}
	next := &told{Account: e.Account, Since: e.Time, Access: now}
	return r.tell(ctx, e, is.name, "EXPOSED", opened{is.bucket, openings}, now, next)
}

// gains tells whether a change lets in more, which the lines need not show: they are cut short, and say nothing of what
// is denied.
func (r *round) gains(account string, was, is side) bool {
	if was.bucket == nil {
		return false
	}
	gained, err := posture.Gains(was.bucket, is.bucket, was.block, is.block, r.trust(account))
	return err != nil || len(gained) > 0
}

func (r *round) before(ctx context.Context, bucket string) (*told, error) {
	if t, ok := r.known[bucket]; ok {
		return t, nil
	}
	if !r.w.told[bucket] {
		return nil, nil
	}
	raw, _, err := r.w.config.Meta.Get(ctx, []byte(prefix+bucket), nil)
	if err != nil || raw == nil {
		return nil, err
	}
	t := &told{}
	if raw[0] != format || json.Unmarshal(raw[1:], t) != nil {
		return nil, fmt.Errorf("%w: %s", errRecord, bucket)
	}
	return t, nil
}

func (r *round) openings(account string, s side) ([]posture.Opening, error) {
	if s.bucket == nil {
		return nil, nil
	}
	return posture.Openings(s.bucket, s.block, r.trust(account))
}

func (r *round) trust(account string) posture.Trust {
	return func(unique, canonical []string) policy.Zone {
		return r.w.config.Source.Zone(account, true, unique, canonical)
	}
}

const (
	maxOpenings = 10
	maxActions  = 6
)

// describe is what strangers can do, a line each.
func describe(openings []posture.Opening) []string {
	var lines []string
	for _, o := range openings {
		actions := o.Actions
		more := ""
		if n := len(actions) - maxActions; n > 0 {
			actions, more = actions[:maxActions], fmt.Sprintf(" and %d more actions", n)
		}
		line := who(&o) + " can " + strings.Join(actions, ", ") + more
		if len(o.Resources) > 0 {
			line += " on " + strings.Join(o.Resources[:min(3, len(o.Resources))], ", ")
		}
		if o.ACL {
			line += " (by ACL)"
		}
		if len(o.Conditions) > 0 {
			line += " if " + strings.Join(o.Conditions[:min(3, len(o.Conditions))], " and ")
		}
		if line = printable(line); !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	if n := len(lines) - maxOpenings; n > 0 {
		lines = append(lines[:maxOpenings], fmt.Sprintf("and %d more", n))
	}
	return lines
}

// printable keeps what a policy says from being more than a part of a line.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// opened is a bucket that strangers get into, and what they can do there.
type opened struct {
	bucket   *posture.Resource
	openings []posture.Opening
}

// public tells whether anybody is among them, from wherever he likes: a policy that lets everybody in from a few addresses
// is not public in the eyes of Block Public Access either, which does not stop it.
func (x opened) public() bool {
	return slices.ContainsFunc(x.openings, func(o posture.Opening) bool {
		switch o.Principal {
		case posture.AllUsers, posture.AuthenticatedUsers:
			return true
		case "*":
			return o.ACL || x.bucket.Bucket.Policy.IsPublic()
		}
		return false
	})
}

// byPolicy tells whether a policy lets some of them in.
func (x opened) byPolicy() bool {
	return slices.ContainsFunc(x.openings, func(o posture.Opening) bool { return !o.ACL })
}

func who(o *posture.Opening) string {
	switch o.Principal {
	case "*", posture.AllUsers:
		return "Anybody"
	case posture.AuthenticatedUsers:
		return "Anybody with an AWS account"
	}
	return o.Principal
}

// detail is that of the event. Text has the texts that a message needs, Slack the same escaped as Slack wants it.
type detail struct {
	Status      string   `json:"status"`  // EXPOSED, RESOLVED
	Verdict     string   `json:"verdict"` // public, shared, private
	Bucket      string   `json:"bucketName"`
	Account     string   `json:"accountId"`
	AccountName string   `json:"accountName,omitempty"`
	Access      []string `json:"access"`
	Change      change   `json:"change"`
	Undo        string   `json:"undo,omitempty"`
	Text        texts    `json:"text"`
	Slack       texts    `json:"slack"`
}

type change struct {
	Operation string `json:"operation"`
	Actor     string `json:"actor"`
	AccessKey string `json:"accessKeyId,omitempty"`
	SourceIP  string `json:"sourceIPAddress,omitempty"`
	UserAgent string `json:"userAgent,omitempty"`
	RequestID string `json:"requestID,omitempty"`
	Time      string `json:"time"`
}

type texts struct {
	Title  string `json:"title"`
	Access string `json:"access"`
	Change string `json:"change"`
	Where  string `json:"where"`
	Undo   string `json:"undo"`
}

func (r *round) tell(ctx context.Context, e *feed.Entry, bucket, status string, x opened, access []string, next *told) error {
	account := e.Account
	d := r.detail(e, bucket, account, status, x, access)
	raw, err := json.Marshal(d)
	if err != nil {
		return err
	}
	done, err := r.w.config.Bus.Publish(ctx, &r.batch, event.Event{
		Source: Source, DetailType: DetailType, Account: account, Time: e.Time, Resources: []string{"arn:aws:s3:::" + bucket}, Detail: raw,
	})
	if err != nil {
		return err
	}
	r.committed = append(r.committed, done)
	r.known[bucket] = next
	if next == nil {
		r.batch.Delete([]byte(prefix + bucket))
		return nil
	}
	if raw, err = json.Marshal(next); err != nil {
		return err
	}
	r.batch.Set([]byte(prefix+bucket), append([]byte{format}, raw...))
	return nil
}

func (r *round) detail(e *feed.Entry, bucket, account, status string, x opened, access []string) *detail {
	d := &detail{
		Status: status, Verdict: "private", Bucket: bucket, Account: account, AccountName: r.w.config.Name(account), Access: access,
		Change: change{
			Operation: e.Operation, Actor: e.Actor.ARN, AccessKey: e.AccessKey, SourceIP: e.SourceIP, UserAgent: e.UserAgent,
			RequestID: e.RequestID, Time: e.Time.UTC().Format("2006-01-02T15:04:05.000Z"),
		},
	}
	if e.Actor.Type == policy.Anonymous {
		d.Change.Actor = "anonymous"
	}
	if status == "EXPOSED" {
		d.Verdict = "shared"
		if x.public() {
			d.Verdict = "public"
		}
		d.Undo = undo(e, d, x)
	}
	d.Text = d.texts()
	d.Slack = d.Text.escaped()
	return d
}

const allOn = "BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true"

// undo is a command that lets the strangers out again.
func undo(e *feed.Entry, d *detail, x opened) string {
	switch {
	case d.Verdict == "public" && e.Kind == feed.Account:
		return "aws s3control put-public-access-block --account-id " + d.Account + " --public-access-block-configuration " + allOn
	case d.Verdict == "public":
		return "aws s3api put-public-access-block --bucket " + d.Bucket + " --public-access-block-configuration " + allOn
	case x.byPolicy():
		return "aws s3api delete-bucket-policy --bucket " + d.Bucket
	}
	return "aws s3api put-bucket-acl --bucket " + d.Bucket + " --acl private"
}

var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "`", "'")

// Bounds of texts: a section of a message in Slack holds 3,000 characters, one of its fields 2,000. What is longer
// Slack refuses, for good.
const (
	maxText  = 2500
	maxField = 1900
)

func short(s string) string {
	if len(s) > maxText {
		return strings.ToValidUTF8(s[:maxText], "") + "…"
	}
	return s
}

// slackText is a text escaped for Slack, within a bound as it is sent.
func slackText(s string, most int) string {
	text := escaper.Replace(s)
	if len(text) <= most {
		return text
	}
	text = strings.ToValidUTF8(text[:most], "")
	if at := strings.LastIndexByte(text, '&'); at >= 0 && !strings.Contains(text[at:], ";") {
		text = text[:at] // half of an escape
	}
	return text + "…"
}

func (t *texts) escaped() texts {
	return texts{
		Title: slackText(t.Title, maxField), Access: slackText(t.Access, maxText), Change: slackText(t.Change, maxField), Where: slackText(t.Where, maxField),
		Undo: slackText(t.Undo, maxText),
	}
}

func (d *detail) texts() texts {
	name := d.Account
	if d.AccountName != "" {
		name = d.AccountName + " (" + d.Account + ")"
	}
	s := texts{
		Access: short("• " + strings.Join(d.Access, "\n• ")),
		Change: short(d.Change.Operation + " by " + d.Change.Actor + from(d.Change.SourceIP) + " at " + d.Change.Time),
		Where:  short(name),
		Undo:   short(d.Undo),
	}
	switch {
	case d.Status == "RESOLVED":
		s.Title, s.Undo = short("Resolved: bucket "+d.Bucket+" is private again"), "nothing left to undo"
		s.Access = "No stranger any more. It was:\n" + s.Access
	case d.Verdict == "public":
		s.Title = short("Bucket " + d.Bucket + " is PUBLIC")
	default:
		s.Title = short("Bucket " + d.Bucket + " is open to strangers")
	}
	return s
}

func from(ip string) string {
	if ip == "" {
		return ""
	}
	return " from " + ip
}
