package policy

import (
	"strings"
)

// CheckBucket holds a bucket policy to what PutBucketPolicy demands beyond the language: actions,
// resources and condition keys that S3 has, resources of this bucket, and actions that apply to
// them. The error is a *SyntaxError at the first fault.
func (d *Document) CheckBucket(bucketARN string) error {
	for i := range d.statements {
		c := bucketCheck{doc: d, statement: &d.statements[i], bucket: bucketARN, reach: reach{resources: d.statements[i].resources}}
		if err := c.run(); err != nil {
			return err
		}
	}
	return nil
}

type bucketCheck struct {
	doc       *Document
	statement *statement
	bucket    string
	reach     reach
}

func (c *bucketCheck) fail(offset int, text string, code Code, detail, message string) error {
	return &SyntaxError{
		Position: positionOf(c.doc.source, offset), Code: code, Kind: c.doc.kind, Message: message,
		Detail: detail, end: offset + len(text) + 2,
	}
}

func (c *bucketCheck) run() error {
	for _, check := range [...]func() error{c.principals, c.actions, c.resources, c.conditions} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// principals refuses unique ids: they are how a policy shows that an entity is gone.
func (c *bucketCheck) principals() error {
	for _, p := range c.statement.principals {
		if p.kind == uniqueIDPrincipal {
			return c.fail(p.offset, p.written, CodePrincipal, quote(p.element)+":"+quote(p.written), "the principal does not exist")
		}
	}
	return nil
}

func (c *bucketCheck) actions() error {
	for i := range c.statement.actions {
		a := &c.statement.actions[i]
		known := a.service == "*"
		if a.service == "s3" {
			eachAction(a.written, func(*serviceRow, *actionRow) bool { known = true; return false })
		}
		if !known {
			return c.fail(a.offset, a.written, CodeAction, a.written, "S3 has no action "+quote(a.written))
		}
	}
	return nil
}

func (c *bucketCheck) resources() error {
	for _, r := range c.statement.resources {
		if !c.names(r.written) {
			return c.fail(r.offset, r.written, CodeResource, r.written, "the resource is not of this bucket")
		}
	}
	if c.statement.notAction || c.statement.notResource {
		return nil
	}
	for i := range c.statement.actions {
		a := &c.statement.actions[i]
		if !c.applicable(a, "") {
			return c.fail(a.offset, a.written, CodeActionResource, a.written, "the action applies to none of the statement's resources")
		}
	}
	return nil
}

// names tells whether the resource is the bucket, something in it, or an access point.
func (c *bucketCheck) names(resource string) bool {
	if rest, ok := strings.CutPrefix(resource, c.bucket); ok {
		return rest == "" || rest[0] == '/' || rest[0] == '*' || rest[0] == '?'
	}
	return strings.HasPrefix(resource, "arn:") && arnPart(resource, 2) == "s3" &&
		arnPart(resource, 4) != "" && strings.HasPrefix(arnPart(resource, 5), "accesspoint/")
}

// applicable tells whether some action that a means applies to a resource of the statement and,
// unless key is empty, has the condition key.
func (c *bucketCheck) applicable(a *actionPattern, key string) bool {
	found := false
	eachAction(a.written, func(s *serviceRow, row *actionRow) bool {
		if s.prefix == "s3" && (key == "" || s.hasKey(row, key)) {
			found = c.statement.notResource || c.reach.fits(s, row)
		}
		return !found
	})
	return found
}

func (c *bucketCheck) conditions() error {
	for i := range c.statement.conditions {
		cond := &c.statement.conditions[i]
		if err := c.key(cond); err != nil {
			return err
		}
		for _, v := range cond.values {
			if m, ok := v.matcher.(addressMatcher); ok && !m.prefix.IsValid() {
				return c.fail(cond.offset, cond.written, CodeIPAddress, v.text, quote(v.text)+" is no IP address or range")
			}
		}
	}
	return nil
}

func (c *bucketCheck) key(cond *condition) error {
	if strings.HasPrefix(cond.key, "aws:") || isDelegationKey(cond.key) {
		return nil
	}
	if !strings.HasPrefix(cond.key, "s3:") || KeyType(cond.key) == "" {
		return c.fail(cond.offset, cond.written, CodeConditionKey, cond.written, "S3 has no condition key "+quote(cond.written))
	}
	for i := range c.statement.actions {
		a := &c.statement.actions[i]
		if !c.statement.notAction && !c.applicable(a, cond.key) {
			return c.fail(cond.offset, cond.written, CodeConditionCombination, cond.written,
				quote(a.written)+" on these resources has no condition key "+quote(cond.written))
		}
	}
	return nil
}

func isDelegationKey(key string) bool {
	for _, k := range delegationKeys {
		if k == key {
			return true
		}
	}
	return false
}
