// Package classification is what a bucket's classification demands: the tag "classification" with a value
// of the table here holds the bucket to guardrails. They are enforced where everything is, by the policy
// engine: each is a resource control policy that binds every request about the bucket, from whomever and
// through whatever, in front of what any other policy allows.
//
// What a change of the bucket would contradict is a condition key of the request that makes it,
// kura:Contradicts, which those policies deny. Nobody is exempt; who may take a classification off is
// a permission, kura:DeclassifyBucket.
package classification

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/kura-s3/kura/policy"
)

// Key is the tag that classifies a bucket, in any case.
const Key = "classification"

// ContradictsKey is the condition key, in lower case: the guardrails that a change would contradict.
const ContradictsKey = "kura:contradicts"

// Declassify is the permission to take a classification off, or to change it.
const Declassify = "kura:DeclassifyBucket"

// Guardrail is one demand.
type Guardrail string

// The guardrails.
const (
	// BlockPublicAccess: all four settings of the bucket's Block Public Access stay on.
	BlockPublicAccess Guardrail = "BlockPublicAccess"
	// EncryptWithKMS: the default encryption is SSE-KMS or DSSE-KMS, and no object is written without.
	EncryptWithKMS Guardrail = "EncryptWithKMS"
	// NoOtherAccounts: no caller of another account and nobody anonymous, whatever lets them; no ACLs,
	// no policy that would let them, no replication to others.
	NoOtherAccounts Guardrail = "NoOtherAccounts"
	// RecordDataEvents: every request about an object is on record, whatever the trails want.
	RecordDataEvents Guardrail = "RecordDataEvents"
)

// classes is the table: what each value of the tag holds a bucket to. Values are in lower case.
var classes = compile(map[string][]Guardrail{
	"confidential": {BlockPublicAccess, EncryptWithKMS, NoOtherAccounts, RecordDataEvents},
})

// statements deny what a guardrail is about, beside changes that contradict it.
var statements = map[Guardrail][]statement{
	EncryptWithKMS: {
		// What names no encryption gets the bucket's default.
		{Sid: "NotWithoutKMS", Action: written, Condition: conditions{
			"Null": {"s3:x-amz-server-side-encryption": {"false"}}, "StringNotEquals": {"s3:x-amz-server-side-encryption": {"aws:kms", "aws:kms:dsse"}},
		}},
		{Sid: "NotWithCustomerKeys", Action: written, Condition: conditions{"Null": {"s3:x-amz-server-side-encryption-customer-algorithm": {"false"}}}},
	},
	NoOtherAccounts: {
		{Sid: "NotOtherAccounts", Action: []string{"s3:*"}, Condition: conditions{
			"StringNotEquals": {"aws:PrincipalAccount": {"${aws:ResourceAccount}"}}, "BoolIfExists": {"aws:PrincipalIsAWSService": {"false"}},
		}},
		// A service acts for somebody: for this account, or not at all.
		{Sid: "NotForOtherAccounts", Action: []string{"s3:*"}, Condition: conditions{
			"StringNotEquals": {"aws:SourceAccount": {"${aws:ResourceAccount}"}}, "Bool": {"aws:PrincipalIsAWSService": {"true"}},
		}},
	},
}

var written = []string{"s3:PutObject", "s3:ReplicateObject"}

type conditions map[string]map[string][]string

type statement struct {
	Sid, Effect, Principal string
	Action                 []string
	Resource               string
	Condition              conditions `json:",omitempty"`
}

// Class is a classification. The nil Class demands nothing.
type Class struct {
	name       string
	guardrails []Guardrail
	controls   [][]*policy.Document
}

// Find is the class that a tag gives, nil when it gives none.
func Find(key, value string) *Class {
	if !strings.EqualFold(key, Key) {
		return nil
	}
	return classes[strings.ToLower(strings.TrimSpace(value))]
}

// Name is the value of the tag.
func (c *Class) Name() string {
	if c == nil {
		return ""
	}
	return c.name
}

// Holds tells whether the class has a guardrail.
func (c *Class) Holds(g Guardrail) bool { return c != nil && slices.Contains(c.guardrails, g) }

// Controls are the resource control policies of the class: one level, beside the policy that allows all.
func (c *Class) Controls() [][]*policy.Document {
	if c == nil {
		return nil
	}
	return c.controls
}

// arn names the policies in denials, as AWS names those that are its own.
const arn = "arn:aws:organizations::aws:policy/resource_control_policy/p-"

func compile(table map[string][]Guardrail) map[string]*Class {
	all := map[string]*Class{}
	for name, guardrails := range table {
		c := &Class{name: name, guardrails: guardrails}
		level := []*policy.Document{parse("RCPFullAWSAccess", []statement{{Effect: "Allow", Action: []string{"*"}}})}
		for _, g := range guardrails {
			denied := append([]statement{{
				Sid: "NoContradiction", Action: []string{"s3:*"}, Condition: conditions{"ForAnyValue:StringEquals": {ContradictsKey: {string(g)}}},
			}}, statements[g]...)
			level = append(level, parse(strings.ToUpper(name[:1])+name[1:]+"-"+string(g), denied))
		}
		c.controls = [][]*policy.Document{level}
		all[name] = c
	}
	return all
}

// parse panics on what the policy language does not take: the table is wrong, and no server must start.
func parse(name string, list []statement) *policy.Document {
	for i := range list {
		list[i].Principal, list[i].Resource = "*", "*"
		if list[i].Effect == "" {
			list[i].Effect = "Deny"
		}
		if list[i].Sid == "" {
			list[i].Sid = "All"
		}
	}
	text, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": list})
	if err == nil {
		var doc *policy.Document
		if doc, err = policy.Parse(text, policy.RCP); err == nil {
			return doc.Named(arn + name)
		}
	}
	panic(fmt.Sprintf("classification: %s: %v", name, err))
}
