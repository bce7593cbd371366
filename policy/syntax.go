package policy

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Position is a place in a document's source.
type Position struct {
	Line   int `json:"line"`   // from 1
	Column int `json:"column"` // from 1, in characters
	Offset int `json:"offset"` // from 0, in bytes
}

func positionOf(src string, offset int) Position {
	offset = max(0, min(offset, len(src)))
	before := src[:offset]
	line := strings.Count(before, "\n")
	start := strings.LastIndexByte(before, '\n') + 1
	return Position{Line: line + 1, Column: utf8.RuneCountInString(before[start:]) + 1, Offset: offset}
}

// Code is the closed kind of a SyntaxError.
type Code uint8

// What can be wrong with a document. The comments on the right name the trigger.
const (
	CodeFirstByte            Code = iota + 1 // the document does not begin with '{'
	CodeJSON                                 // not JSON, or a key twice in one object
	CodeEncoding                             // a character that this kind of policy may not contain
	CodeTooLarge                             // over the size quota
	CodeType                                 // a JSON type that the element cannot have
	CodeUnknownElement                       // an element that the language does not have
	CodeForbiddenElement                     // an element that this kind of policy may not have
	CodeMissingElement                       // a required element is absent
	CodeVersion                              // neither 2008-10-17 nor 2012-10-17
	CodeNoStatement                          // Statement is an empty list
	CodeSid                                  // characters that IAM does not accept in a Sid
	CodeDuplicateSid                         // a Sid twice in one IAM document
	CodeEffect                               // neither Allow nor Deny
	CodePrincipal                            // malformed, unknown or not allowed here
	CodeNoAction                             // an empty list of actions
	CodeAction                               // not service:Name, or no such action
	CodeActionColons                         // more than one colon in an action
	CodeActionVendor                         // the service part of an action is empty or has wildcards
	CodeTrustAction                          // a trust policy on something else than STS
	CodeNoResource                           // an empty list of resources
	CodeResource                             // neither an ARN nor "*", or not this bucket
	CodeResourcePartition                    // a partition that does not exist
	CodeResourceVendor                       // wildcards in the service part of a complete ARN
	CodeResourceRegion                       // an S3 ARN with a region
	CodeIAMResourceRegion                    // an IAM ARN with a region
	CodeIAMResourcePath                      // an IAM ARN of no kind that IAM has
	CodeVariable                             // a policy variable that is malformed or stands where none may
	CodeOperator                             // an unknown condition operator
	CodeConditionKey                         // an unknown or malformed condition key
	CodeIPAddress                            // an IP condition with something else than an address
	CodeActionResource                       // an action of the statement applies to none of its resources
	CodeConditionCombination                 // a key that no action of the statement has
)

// SyntaxError says why a document is no policy. Message is Kura's own sentence; the edges speak in
// S3's, IAM's or KMS's words through the methods.
type SyntaxError struct {
	Position
	Code    Code
	Kind    Kind
	Message string
	// Detail is the offending text: the element's name, the principal, the operator, the ARN.
	Detail string
	end    int // offset after the fault
}

// Error gives line, column and Message.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Message)
}

// sentences of one Code on the wire; %s stands for Detail.
type sentences struct{ s3, iam string }

const (
	syntaxErrors = "Syntax errors in policy."
	invalidJSON  = "This policy contains invalid Json"
)

var wireSentences = [...]sentences{
	CodeFirstByte:            {"Policies must be valid JSON and the first byte must be '{'", syntaxErrors},
	CodeJSON:                 {invalidJSON, invalidJSON},
	CodeEncoding:             {invalidJSON, syntaxErrors},
	CodeTooLarge:             {"Normalized policy document exceeds the maximum allowed size of 20480 bytes", "Cannot exceed quota for PolicySize: %s"},
	CodeType:                 {"Invalid policy syntax.", syntaxErrors},
	CodeUnknownElement:       {"Unknown field %s", syntaxErrors},
	CodeForbiddenElement:     {"Unknown field %s", "Has prohibited field %s."},
	CodeMissingElement:       {"Missing required field %s", "Missing required field %s"},
	CodeVersion:              {"The policy must contain a valid version string", "Policy document must be version 2012-10-17 or greater."},
	CodeNoStatement:          {"Could not parse the policy: Statement is empty!", syntaxErrors},
	CodeSid:                  {"Invalid policy syntax.", "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*"},
	CodeDuplicateSid:         {"Invalid policy syntax.", "Statement IDs (SID) in a single policy must be unique."},
	CodeEffect:               {"Invalid effect: %s", syntaxErrors},
	CodePrincipal:            {"Invalid principal in policy", "Invalid principal in policy: %s"},
	CodeNoAction:             {"Statement is missing required element", "Policy statement must contain actions."},
	CodeAction:               {"Policy has invalid action", "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."},
	CodeActionColons:         {"Policy has invalid action", "Actions/Condition can contain only one colon."},
	CodeActionVendor:         {"Policy has invalid action", "Vendor %s is not valid"},
	CodeTrustAction:          {"Policy has invalid action", "Trust Policy statement actions can only be sts:AssumeRole, sts:AssumeRoleWithSAML,  and sts:AssumeRoleWithWebIdentity"},
	CodeNoResource:           {"Statement is missing required element", "Policy statement must contain resources."},
	CodeResource:             {"Policy has invalid resource", `Resource %s must be in ARN format or "*".`},
	CodeResourcePartition:    {"Policy has invalid resource", `Partition "%s" is not valid for resource "%s".`},
	CodeResourceVendor:       {"Policy has invalid resource", "Resource vendor must be fully qualified and cannot contain regexes."},
	CodeResourceRegion:       {"Policy has invalid resource", "Resource %s can not contain region information."},
	CodeIAMResourceRegion:    {"Policy has invalid resource", "IAM resource %s cannot contain region information."},
	CodeIAMResourcePath:      {"Policy has invalid resource", iamPathSentence},
	CodeVariable:             {"Invalid policy syntax.", syntaxErrors},
	CodeOperator:             {"Invalid Condition type : %s", "Invalid Condition type : %s"},
	CodeConditionKey:         {"Policy has an invalid condition key", "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."},
	CodeIPAddress:            {"Invalid IP address in Conditions", "The policy failed legacy parsing"},
	CodeActionResource:       {"Action does not apply to any resource(s) in statement", syntaxErrors},
	CodeConditionCombination: {"Conditions do not apply to combination of actions and resources in statement", syntaxErrors},
}

// iamPaths begin the sixth part of the ARNs that IAM has.
var iamPaths = [...]string{"user/", "federated-user/", "role/", "group/", "instance-profile/", "mfa/", "server-certificate/",
	"policy/", "sms-mfa/", "saml-provider/", "oidc-provider/", "report/", "access-report/", "assumed-role/", "delegation-request/"}

const iamPathSentence = `IAM resource path must either be "*" or start with user/, federated-user/, role/, group/, instance-profile/, ` +
	`mfa/, server-certificate/, policy/, sms-mfa/, saml-provider/, oidc-provider/, report/, access-report/.`

// S3Message is what PutBucketPolicy answers beside 400 MalformedPolicy.
func (e *SyntaxError) S3Message() string { return e.fill(wireSentences[e.Code].s3) }

// IAMMessage is what IAM and STS answer beside 400 MalformedPolicyDocument.
func (e *SyntaxError) IAMMessage() string { return e.fill(wireSentences[e.Code].iam) }

// KMSMessage is what PutKeyPolicy answers beside 400 MalformedPolicyDocumentException.
func (e *SyntaxError) KMSMessage() string {
	if e.Code == CodePrincipal {
		return "Policy contains a statement with one or more invalid principals."
	}
	return e.IAMMessage()
}

func (e *SyntaxError) fill(sentence string) string {
	if e.Code == CodeResourcePartition && strings.Contains(sentence, "%s") {
		return fmt.Sprintf(sentence, arnPart(e.Detail, 1), e.Detail)
	}
	return strings.Replace(sentence, "%s", e.Detail, 1)
}
