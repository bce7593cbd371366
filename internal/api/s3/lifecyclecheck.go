package s3

import (
	"time"

	"github.com/kura-s3/kura/internal/api/wire/s3wire"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/job/lifecycle"
)

// What S3 says of lifecycle rules that it does not take (Amazon S3 API Reference,
// "PutBucketLifecycleConfiguration", and the service's own answers).

const (
	maxLifecycleRules   = 1000
	maxLifecycleID      = 255
	maxNewerVersions    = 100
	minInfrequentAccess = 30 // days before STANDARD_IA and ONEZONE_IA
)

// checkLifecycleRule looks at a rule as it came, and as it was taken over.
func checkLifecycleRule(r *s3wire.LifecycleRule, rule *lifecycle.Rule) error {
	scope := rule.Scope()
	for _, check := range [...]func(*s3wire.LifecycleRule, *lifecycle.Scope) error{
		checkRuleHead, checkRuleFilter, checkRuleScope, checkExpiration, checkNoncurrent, checkAbort, checkTransitions, checkNoncurrentTransitions,
	} {
		if err := check(r, &scope); err != nil {
			return err
		}
	}
	return nil
}

func checkRuleHead(r *s3wire.LifecycleRule, _ *lifecycle.Scope) error {
	switch {
	case r.ID != nil && len(*r.ID) > maxLifecycleID:
		return badArgument("ID length should not exceed allowed limit of 255", "ID", *r.ID)
	case !r.Status.Valid(), (r.Prefix == nil) == (r.Filter == nil):
		return fault.New(malformedXML, "")
	case r.Expiration == nil && len(r.Transitions) == 0 && r.NoncurrentVersionExpiration == nil &&
		len(r.NoncurrentVersionTransitions) == 0 && r.AbortIncompleteMultipartUpload == nil:
		return fault.New(invalidRequest, "At least one action needs to be specified in a rule")
	}
	return nil
}

// checkRuleFilter counts: a filter has one condition at most, and And is for several.
func checkRuleFilter(r *s3wire.LifecycleRule, _ *lifecycle.Scope) error {
	f := r.Filter
	if f == nil {
		return nil
	}
	if given(f.Prefix != nil, f.Tag != nil, f.ObjectSizeGreaterThan != nil, f.ObjectSizeLessThan != nil, f.And != nil) > 1 {
		return fault.New(malformedXML, "")
	}
	if a := f.And; a != nil && given(a.Prefix != nil, a.ObjectSizeGreaterThan != nil, a.ObjectSizeLessThan != nil)+len(a.Tags) < 2 {
		return fault.New(malformedXML, "")
	}
	return nil
}

func given(conditions ...bool) (n int) {
	for _, c := range conditions {
		if c {
			n++
		}
	}
	return n
}

func checkRuleScope(_ *s3wire.LifecycleRule, s *lifecycle.Scope) error {
	if err := checkKey(s.Prefix); err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, t := range s.Tags {
		if seen[t.Key] {
			return fault.New(invalidRequest, "Duplicate Tag Keys are not allowed.")
		}
		seen[t.Key] = true
	}
	if err := checkTags(s.Tags); err != nil {
		return err
	}
	switch {
	case s.Greater != nil && *s.Greater < 0:
		return badArgument("'ObjectSizeGreaterThan' must be nonnegative", "ObjectSizeGreaterThan", "")
	case s.Less != nil && *s.Less < 1:
		return badArgument("'ObjectSizeLessThan' must be a positive integer", "ObjectSizeLessThan", "")
	case s.Greater != nil && s.Less != nil && *s.Less <= *s.Greater:
		return fault.New(invalidRequest, "'ObjectSizeLessThan' has to be a value greater than 'ObjectSizeGreaterThan'.")
	}
	return nil
}

func checkExpiration(r *s3wire.LifecycleRule, s *lifecycle.Scope) error {
	e := r.Expiration
	switch {
	case e == nil:
		return nil
	case given(e.Days != nil, e.Date != nil, e.ExpiredObjectDeleteMarker != nil) != 1:
		return fault.New(malformedXML, "")
	case e.Days != nil && *e.Days < 1:
		return fault.New(invalidArgument, "'Days' for Expiration action must be a positive integer", "ArgumentName", "Days")
	case e.ExpiredObjectDeleteMarker != nil && len(s.Tags) > 0:
		return fault.New(invalidRequest, "ExpiredObjectDeleteMarker cannot be specified with Tags.")
	}
	return checkMidnight(e.Date)
}

func checkMidnight(t *time.Time) error {
	if t == nil || t.UTC().Truncate(24*time.Hour).Equal(*t) {
		return nil
	}
	return badArgument("'Date' must be at midnight GMT", "Date", t.UTC().Format(time.RFC3339))
}

func checkNoncurrent(r *s3wire.LifecycleRule, _ *lifecycle.Scope) error {
	e := r.NoncurrentVersionExpiration
	switch {
	case e == nil:
		return nil
	case e.NoncurrentDays == nil:
		return fault.New(malformedXML, "")
	case *e.NoncurrentDays < 1:
		return fault.New(invalidArgument, "'NoncurrentDays' for NoncurrentVersionExpiration action must be a positive integer", "ArgumentName", "NoncurrentDays")
	}
	return checkNewer(r, e.NewerNoncurrentVersions, "NoncurrentVersionExpiration")
}

func checkNewer(r *s3wire.LifecycleRule, n *int32, action string) error {
	switch {
	case n == nil:
		return nil
	case *n < 1 || *n > maxNewerVersions:
		return fault.New(invalidArgument, "'NewerNoncurrentVersions' for "+action+" action must be between 1 and 100", "ArgumentName", "NewerNoncurrentVersions")
	case r.Filter == nil:
		return fault.New(invalidRequest, "'NewerNoncurrentVersions' can only be specified in rules with a Filter element.")
	}
	return nil
}

func checkAbort(r *s3wire.LifecycleRule, s *lifecycle.Scope) error {
	a := r.AbortIncompleteMultipartUpload
	switch {
	case a == nil:
		return nil
	case a.DaysAfterInitiation == nil:
		return fault.New(malformedXML, "")
	case *a.DaysAfterInitiation < 1:
		return fault.New(invalidArgument, "'DaysAfterInitiation' for AbortIncompleteMultipartUpload action must be a positive integer", "ArgumentName", "DaysAfterInitiation")
	case len(s.Tags) > 0:
		return fault.New(invalidRequest, "AbortIncompleteMultipartUpload cannot be specified with Tags.")
	case s.Greater != nil || s.Less != nil:
		return fault.New(invalidRequest, "AbortIncompleteMultipartUpload cannot be specified with Object Size.")
	}
	return nil
}

func checkTransitions(r *s3wire.LifecycleRule, s *lifecycle.Scope) error {
	filter := "for filter '(prefix=" + s.Prefix + ")'"
	seen := map[s3wire.TransitionStorageClass]bool{}
	for i := range r.Transitions {
		t := &r.Transitions[i]
		switch {
		case (t.Days == nil) == (t.Date == nil) || !isTransitionClass(string(t.StorageClass)):
			return fault.New(malformedXML, "")
		case seen[t.StorageClass]:
			return fault.New(invalidRequest, "'StorageClass' must be different for 'Transition' actions in same 'Rule' "+filter)
		case mixesDates(r, t):
			return fault.New(invalidRequest, "Found mixed 'Date' and 'Days' based Expiration and Transition actions in lifecycle rule "+filter)
		}
		seen[t.StorageClass] = true
		if err := checkTransitionDays(t.Days, t.StorageClass, "Days", "Transition"); err != nil {
			return err
		}
		if err := checkMidnight(t.Date); err != nil {
			return err
		}
		e := r.Expiration
		if e == nil {
			continue
		}
		if e.Days != nil && t.Days != nil && *e.Days <= *t.Days {
			return fault.New(invalidArgument, "'Days' in the Expiration action "+filter+" must be greater than 'Days' in the Transition action", "ArgumentName", "Days")
		}
		if e.Date != nil && t.Date != nil && !e.Date.After(*t.Date) {
			return fault.New(invalidArgument, "'Date' in the Expiration action "+filter+" must be later than 'Date' in the Transition action", "ArgumentName", "Date")
		}
	}
	return checkTransitionOrder(r.Transitions, filter)
}

// checkTransitionOrder: versions only go down, so a colder class comes later.
func checkTransitionOrder(all []s3wire.Transition, filter string) error {
	for i := range all {
		for j := range all {
			warm, cold := &all[i], &all[j]
			if !isColder(cold.StorageClass, warm.StorageClass) {
				continue
			}
			if warm.Days != nil && *cold.Days <= *warm.Days {
				return orderFault("Days", "Transition", cold.StorageClass, warm.StorageClass, filter, "greater")
			}
			if warm.Date != nil && !cold.Date.After(*warm.Date) {
				return orderFault("Date", "Transition", cold.StorageClass, warm.StorageClass, filter, "later")
			}
		}
	}
	return nil
}

func checkNoncurrentOrder(all []s3wire.NoncurrentVersionTransition, filter string) error {
	for i := range all {
		for j := range all {
			warm, cold := &all[i], &all[j]
			if isColder(cold.StorageClass, warm.StorageClass) && *cold.NoncurrentDays <= *warm.NoncurrentDays {
				return orderFault("NoncurrentDays", "NoncurrentVersionTransition", cold.StorageClass, warm.StorageClass, filter, "greater")
			}
		}
	}
	return nil
}

func orderFault(name, action string, cold, warm s3wire.TransitionStorageClass, filter, order string) error {
	return fault.New(invalidArgument, "'"+name+"' in the "+action+" action for StorageClass '"+string(cold)+"' "+filter+" must be "+order+
		" than '"+name+"' in the "+action+" action for StorageClass '"+string(warm)+"' "+filter, "ArgumentName", name)
}

// mixesDates tells whether a rule counts days here and names a date there.
func mixesDates(r *s3wire.LifecycleRule, t *s3wire.Transition) bool {
	first, e := &r.Transitions[0], r.Expiration
	return (first.Days == nil) != (t.Days == nil) || e != nil && (e.Days != nil && t.Days == nil || e.Date != nil && t.Date == nil)
}

func checkTransitionDays(days *int32, class s3wire.TransitionStorageClass, name, action string) error {
	switch {
	case days == nil:
		return nil
	case *days < 0:
		return fault.New(invalidArgument, "'"+name+"' in "+action+" action must be nonnegative", "ArgumentName", name)
	case *days < minInfrequentAccess && (class == "STANDARD_IA" || class == "ONEZONE_IA"):
		return fault.New(invalidArgument, "'"+name+"' in "+action+" action must be greater than or equal to 30 for storageClass '"+string(class)+"'", "ArgumentName", name)
	}
	return nil
}

func checkNoncurrentTransitions(r *s3wire.LifecycleRule, s *lifecycle.Scope) error {
	filter := "for filter '(prefix=" + s.Prefix + ")'"
	for i := range r.NoncurrentVersionTransitions {
		t := &r.NoncurrentVersionTransitions[i]
		if t.NoncurrentDays == nil || !isTransitionClass(string(t.StorageClass)) {
			return fault.New(malformedXML, "")
		}
		if err := checkTransitionDays(t.NoncurrentDays, t.StorageClass, "NoncurrentDays", "NoncurrentVersionTransition"); err != nil {
			return err
		}
		if err := checkNewer(r, t.NewerNoncurrentVersions, "NoncurrentVersionTransition"); err != nil {
			return err
		}
		if e := r.NoncurrentVersionExpiration; e != nil && *e.NoncurrentDays <= *t.NoncurrentDays {
			return fault.New(invalidArgument, "'NoncurrentDays' in the NoncurrentVersionExpiration action "+filter+" must be greater than 'NoncurrentDays' in the NoncurrentVersionTransition action", "ArgumentName", "NoncurrentDays")
		}
	}
	return checkNoncurrentOrder(r.NoncurrentVersionTransitions, filter)
}
