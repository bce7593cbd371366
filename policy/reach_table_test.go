package policy

import (
	"slices"
	"strings"
	"testing"
)

// summary is the openings, one to a line: who, statement, actions in short, proven or not.
func summary(openings []Opening) string {
	var lines []string
	for i := range openings {
		o := &openings[i]
		text := o.Type + " " + o.Principal + " " + itoa(o.Statement) + " " + strings.Join(o.Actions[:min(2, len(o.Actions))], ",")
		if !o.Proven {
			text += " ?"
		}
		lines = append(lines, text)
	}
	return strings.Join(lines, "\n")
}

// TestReachOfAResource: where it is known what carries a policy, that is all that it is about.
func TestReachOfAResource(t *testing.T) {
	const here = ":us-east-1:111122223333:"
	them := `"Principal":{"AWS":"444455556666"}`
	for _, c := range []struct{ resource, statement, want string }{
		{"arn:aws:sqs" + here + "q", `"Action":"*","Resource":"*"`, "sqs:AddPermission sqs:CancelMessageMoveTask sqs:ChangeMessageVisibility sqs:CreateQueue sqs:DeleteMessage sqs:DeleteQueue sqs:GetQueueAttributes sqs:GetQueueUrl sqs:ListDeadLetterSourceQueues sqs:ListMessageMoveTasks sqs:ListQueueTags sqs:PurgeQueue sqs:ReceiveMessage sqs:RemovePermission sqs:SendMessage sqs:SetQueueAttributes sqs:StartMessageMoveTask sqs:TagQueue sqs:UntagQueue"},
		{"arn:aws:sqs" + here + "q", `"Action":"sqs:L*","Resource":"*"`, "sqs:ListDeadLetterSourceQueues sqs:ListMessageMoveTasks sqs:ListQueueTags"},
		{"arn:aws:sqs" + here + "q", `"Action":"sqs:SendMessage","Resource":"arn:aws:sqs` + here + `r"`, ""},
		{"arn:aws:sqs" + here + "q", `"Action":["s3:ListAllMyBuckets","s3:GetObject"],"Resource":"*"`, ""},
		{"arn:aws:sqs" + here + "q", `"NotAction":["sqs:[!S]*","sqs:A*","sqs:C*","sqs:D*","sqs:G*","sqs:L*","sqs:P*","sqs:R*","sqs:St*","sqs:T*","sqs:U*"],"Resource":"*"`, "sqs:SendMessage sqs:SetQueueAttributes"},
		{"arn:aws:lambda" + here + "function:f:live", `"Action":"lambda:InvokeF*","Resource":"arn:aws:lambda` + here + `function:f:live"`, "lambda:InvokeFunction lambda:InvokeFunctionUrl"},
		{"arn:aws:events" + here + "event-bus/b", `"Action":["events:PutEvents","events:PutRule"],"Resource":"*"`, "events:PutEvents events:PutRule"},
		{"arn:aws:events" + here + "event-bus/b", `"Action":"events:PutRule","Resource":"arn:aws:events` + here + `rule/b/*"`, "events:PutRule"},
		{"arn:aws:events" + here + "event-bus/b", `"Action":"events:PutRule","Resource":"arn:aws:events` + here + `rule/c/*"`, ""},
		{"arn:aws:events" + here + "event-bus/default", `"Action":"events:PutRule","Resource":"arn:aws:events` + here + `rule/r"`, "events:PutRule"},
		{"arn:aws:events" + here + "event-bus/default", `"Action":"events:PutRule","Resource":"arn:aws:events` + here + `rule/c/r"`, ""},
	} {
		d := parsed(t, Resource, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow",`+them+`,`+c.statement+`}]}`)
		zone := Zone{Accounts: []string{account}, Resource: c.resource}
		openings := Reach(d, zone)
		var actions []string
		for i := range openings {
			actions = append(actions, openings[i].Actions...)
			checkWitness(t, &openings[i], zone, d, nil)
		}
		if got := strings.Join(actions, " "); got != c.want {
			t.Errorf("%s: %s:\n%s\nwant\n%s", c.resource, c.statement, got, c.want)
		}
	}
}

// Policies as people write them, and who outside account 111122223333 of organization o-home gains what.
func TestReach(t *testing.T) {
	objects := `"Resource":"arn:aws:s3:::tsuchi/*"`
	get := `"Action":"s3:GetObject",` + objects
	for _, c := range []struct {
		name       string
		kind       Kind
		statements string
		want       string
	}{
		{"nobody", Bucket, `{"Effect":"Allow","Principal":{"AWS":"111122223333"},` + get + `}`, ""},
		{"a user inside", Bucket, `{"Effect":"Allow","Principal":{"AWS":"` + alice + `"},` + get + `}`, ""},
		{"everyone", Bucket, `{"Effect":"Allow","Principal":"*",` + get + `}`, "Anonymous * 0 s3:GetObject"},
		{"another account", Bucket, `{"Effect":"Allow","Principal":{"AWS":"444455556666"},` + get + `}`, "AWS account arn:aws:iam::444455556666:root 0 s3:GetObject"},
		{"a service for anybody", Bucket, `{"Effect":"Allow","Principal":{"Service":"logging.s3.amazonaws.com"},"Action":"s3:PutObject",` + objects + `}`, "Service logging.s3.amazonaws.com 0 s3:PutObject"},
		{"a service for this account", Bucket, `{"Effect":"Allow","Principal":{"Service":"logging.s3.amazonaws.com"},"Action":"s3:PutObject",` + objects + `,"Condition":{"StringEquals":{"aws:SourceAccount":"111122223333"}}}`, ""},
		{"a service for a topic of this account", Bucket, `{"Effect":"Allow","Principal":{"Service":"sns.amazonaws.com"},"Action":"s3:PutObject",` + objects + `,"Condition":{"ArnLike":{"aws:SourceArn":"arn:aws:sns:*:111122223333:*"}}}`, ""},
		{"the organization", Bucket, `{"Effect":"Allow","Principal":"*",` + get + `,"Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-home"}}}`, ""},
		{"another organization", Bucket, `{"Effect":"Allow","Principal":"*",` + get + `,"Condition":{"StringEquals":{"aws:PrincipalOrgID":["o-home","o-other"]}}}`, "AWS account * 0 s3:GetObject"},
		{"a part of the organization", Bucket, `{"Effect":"Allow","Principal":"*",` + get + `,"Condition":{"ForAnyValue:StringLike":{"aws:PrincipalOrgPaths":"o-home/*"}}}`, ""},
		{"a part of another organization", Bucket, `{"Effect":"Allow","Principal":"*",` + get + `,"Condition":{"ForAnyValue:StringLike":{"aws:PrincipalOrgPaths":"o-*/r-1/*"}}}`, "AWS account * 0 s3:GetObject"},
		{"all paths, also none", Bucket, `{"Effect":"Allow","Principal":"*",` + get + `,"Condition":{"ForAllValues:StringLike":{"aws:PrincipalOrgPaths":"o-home/*"}}}`, "Anonymous * 0 s3:GetObject"},
		{"own principals by variable", Bucket, `{"Effect":"Allow","Principal":"*",` + get + `,"Condition":{"StringEquals":{"aws:PrincipalAccount":"${aws:ResourceAccount}"}}}`, ""},
		{"accounts by pattern", Bucket, `{"Effect":"Allow","Principal":"*",` + get + `,"Condition":{"StringLike":{"aws:PrincipalAccount":"1111*"}}}`, "AWS account * 0 s3:GetObject"},
		{"own account by pattern", Bucket, `{"Effect":"Allow","Principal":"*",` + get + `,"Condition":{"StringLike":{"aws:PrincipalAccount":"11112222333?"},"StringNotLike":{"aws:PrincipalAccount":"???????????[!3]"}}}`, "AWS account * 0 s3:GetObject"},
		{"a role name in any account", Bucket, `{"Effect":"Allow","Principal":"*",` + get + `,"Condition":{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/ci-*"}}}`, "AWS account * 0 s3:GetObject"},
		{"a role name in this account", Bucket, `{"Effect":"Allow","Principal":"*",` + get + `,"Condition":{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::111122223333:role/ci-*"}}}`, ""},
		{"root users", Bucket, `{"Effect":"Allow","Principal":"*",` + get + `,"Condition":{"StringLike":{"aws:PrincipalArn":"arn:aws:iam::*:root"}}}`, "AWS account * 0 s3:GetObject"},
		{"a user name", Bucket, `{"Effect":"Allow","Principal":"*",` + get + `,"Condition":{"StringEquals":{"aws:username":"deploy"}}}`, "AWS account * 0 s3:GetObject"},
		{"a user id", Bucket, `{"Effect":"Allow","Principal":"*",` + get + `,"Condition":{"StringLike":{"aws:userid":"AROAEXAMPLE:*"}}}`, "AWS account * 0 s3:GetObject"},
		{"name and ARN that differ", Bucket, `{"Effect":"Allow","Principal":"*",` + get + `,"Condition":{"StringEquals":{"aws:username":"a"},"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:user/b"}}}`, "AWS account * 0 s3:GetObject ?"},
		{"home of each user", Bucket, `{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::tsuchi/${aws:username}/*"}`, "AWS account * 0 s3:GetObject"},
		{"tag of each user", Bucket, `{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::tsuchi/${aws:PrincipalTag/team}/*"}`, "AWS account * 0 s3:GetObject"},
		{"denied outside", Bucket, `{"Effect":"Allow","Principal":"*",` + get + `},{"Effect":"Deny","Principal":"*",` + get + `,"Condition":{"StringNotEquals":{"aws:PrincipalOrgID":"o-home"}}}`, ""},
		{"denied to some", Bucket, `{"Effect":"Allow","Principal":"*",` + get + `},{"Effect":"Deny","Principal":"*",` + get + `,"Condition":{"StringNotEquals":{"aws:PrincipalOrgID":"o-other"}}}`, "AWS account * 0 s3:GetObject"},
		{"denied if the key is there", Bucket, `{"Effect":"Allow","Principal":"*",` + get + `},{"Effect":"Deny","Principal":"*",` + get + `,"Condition":{"StringNotEqualsIfExists":{"aws:PrincipalOrgID":"o-home"}}}`, ""},
		{"denied to who has the key", Bucket, `{"Effect":"Allow","Principal":"*",` + get + `},{"Effect":"Deny","Principal":"*",` + get + `,"Condition":{"Null":{"aws:PrincipalOrgID":"false"}}}`, "Anonymous * 0 s3:GetObject"},
		{"with and without TLS", Bucket, `{"Effect":"Allow","Principal":"*",` + get + `},{"Effect":"Deny","Principal":"*",` + get + `,"Condition":{"Bool":{"aws:SecureTransport":["true","false"]}}}`, ""},
		{"all addresses in two halves", Bucket, `{"Effect":"Allow","Principal":"*",` + get + `},{"Effect":"Deny","Principal":"*",` + get + `,"Condition":{"IpAddressIfExists":{"aws:SourceIp":["0.0.0.0/1","128.0.0.0/1","::/0"]}}}`, ""},
		{"all addresses but one", Bucket, `{"Effect":"Allow","Principal":"*",` + get + `},{"Effect":"Deny","Principal":"*",` + get + `,"Condition":{"IpAddressIfExists":{"aws:SourceIp":["0.0.0.0/1","192.0.0.0/2","128.0.0.1/32","128.0.0.2/31","128.0.0.4/30","128.0.0.8/29","128.0.0.16/28","128.0.0.32/27","128.0.0.64/26","128.0.0.128/25","128.0.1.0/24","128.0.2.0/23","128.0.4.0/22","128.0.8.0/21","128.0.16.0/20","128.0.32.0/19","128.0.64.0/18","128.0.128.0/17","128.1.0.0/16","128.2.0.0/15","128.4.0.0/14","128.8.0.0/13","128.16.0.0/12","128.32.0.0/11","128.64.0.0/10","128.128.0.0/9","::/0"]}}}`, "Anonymous * 0 s3:GetObject"},
		{"denied keys", Bucket, `{"Effect":"Allow","Principal":"*",` + get + `},{"Effect":"Deny","Principal":"*","Action":"s3:*","NotResource":"arn:aws:s3:::tsuchi/public/?"}`, "Anonymous * 0 s3:GetObject"},
		{"all keys denied", Bucket, `{"Effect":"Allow","Principal":"*",` + get + `},{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::tsuchi/?","arn:aws:s3:::tsuchi/??*"]}`, ""},
		{"all keys denied but the longer", Bucket, `{"Effect":"Allow","Principal":"*",` + get + `},{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::tsuchi/?","arn:aws:s3:::tsuchi/a*","arn:aws:s3:::tsuchi/*a"]}`, "Anonymous * 0 s3:GetObject"},
		{"NotAction", Bucket, `{"Effect":"Allow","Principal":"*","NotAction":["s3:Get*","s3:L*","s3:P*","s3:D*","s3:R*","s3:B*","s3:O*","s3:I*","s3:C*","s3:T*","s3:U*","s3:S*"],` + objects + `}`, "Anonymous * 0 s3:AbortMultipartUpload"},
		{"NotPrincipal", Bucket, `{"Effect":"Allow","NotPrincipal":{"AWS":"444455556666"},` + get + `}`, "Anonymous * 0 s3:GetObject"},
		{"denied but to one", Bucket, `{"Effect":"Allow","Principal":"*",` + get + `},{"Effect":"Deny","NotPrincipal":{"AWS":["arn:aws:iam::444455556666:user/bob","arn:aws:iam::444455556666:root"]},` + get + `}`, "User arn:aws:iam::444455556666:user/bob 0 s3:GetObject\nAWS account arn:aws:iam::444455556666:root 0 s3:GetObject"},
		{"bucket action on objects", Bucket, `{"Effect":"Allow","Principal":"*","Action":"s3:ListBucket",` + objects + `}`, ""},
		{"dates", Bucket, `{"Effect":"Allow","Principal":"*",` + get + `,"Condition":{"DateGreaterThan":{"aws:CurrentTime":"2026-01-01"},"DateLessThan":{"aws:CurrentTime":"2026-01-01T00:00:00.5Z"}}}`, "Anonymous * 0 s3:GetObject"},
		{"no dates", Bucket, `{"Effect":"Allow","Principal":"*",` + get + `,"Condition":{"DateGreaterThan":{"aws:CurrentTime":"2026-01-02"},"DateLessThanEquals":{"aws:CurrentTime":"2026-01-02"}}}`, ""},
		{"numbers", Bucket, `{"Effect":"Allow","Principal":"*",` + get + `,"Condition":{"NumericGreaterThan":{"s3:signatureAge":"10"},"NumericLessThan":{"s3:signatureAge":"10.01"}}}`, "Anonymous * 0 s3:GetObject"},
		{"no numbers", Bucket, `{"Effect":"Allow","Principal":"*",` + get + `,"Condition":{"NumericGreaterThan":{"s3:signatureAge":"10"},"NumericLessThan":{"s3:signatureAge":"10.0"}}}`, ""},
		{"text and number", Bucket, `{"Effect":"Allow","Principal":"*",` + get + `,"Condition":{"NumericGreaterThan":{"s3:signatureAge":"10"},"StringLike":{"s3:signatureAge":"5?*7"}}}`, "Anonymous * 0 s3:GetObject ?\nAWS account * 0 s3:GetObject ?\nService * 0 s3:GetObject ?"},
		{"any case but this", Bucket, `{"Effect":"Allow","Principal":"*",` + get + `,"Condition":{"StringEqualsIgnoreCase":{"aws:referer":"ab"},"StringNotEquals":{"aws:referer":["ab","Ab","aB"]}}}`, "Anonymous * 0 s3:GetObject"},
		{"no case", Bucket, `{"Effect":"Allow","Principal":"*",` + get + `,"Condition":{"StringEqualsIgnoreCase":{"aws:referer":"ab"},"StringNotEquals":{"aws:referer":["ab","Ab","aB","AB"]}}}`, ""},
		{"replacement characters", Bucket, `{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::tsuchi/` + "\uFFFD" + `?"}`, "Anonymous * 0 s3:GetObject"},
		{"a session", Bucket, `{"Effect":"Allow","Principal":{"AWS":"arn:aws:sts::444455556666:assumed-role/x/s"},` + get + `,"Condition":{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::444455556666:role/path/*"}}}`, "Role arn:aws:sts::444455556666:assumed-role/x/s 0 s3:GetObject"},
		{"a user who federates", Bucket, `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::444455556666:user/bob"},` + get + `,"Condition":{"StringEquals":{"aws:PrincipalType":"FederatedUser"}}}`, "User arn:aws:iam::444455556666:user/bob 0 s3:GetObject"},
		{"a unique id", Bucket, `{"Effect":"Allow","Principal":{"AWS":["AIDABOBBOBBOBBOBBOB0","AROABOBBOBBOBBOBBOB0"]},` + get + `}`, "User AIDABOBBOBBOBBOBBOB0 0 s3:GetObject\nRole AROABOBBOBBOBBOBBOB0 0 s3:GetObject"},
		{"a unique id inside", Bucket, `{"Effect":"Allow","Principal":{"AWS":"AIDAALICEALICEALICE0"},` + get + `}`, ""},
		{"a canonical id", Bucket, `{"Effect":"Allow","Principal":{"CanonicalUser":"` + strings.Repeat("b", 64) + `"},` + get + `}`, "AWS account " + strings.Repeat("b", 64) + " 0 s3:GetObject"},
		{"a canonical id inside", Bucket, `{"Effect":"Allow","Principal":{"CanonicalUser":"` + strings.Repeat("a", 64) + `"},` + get + `}`, ""},
		{"a federated session", Bucket, `{"Effect":"Allow","Principal":{"AWS":"arn:aws:sts::444455556666:federated-user/fed"},` + get + `}`, "Federated user arn:aws:sts::444455556666:federated-user/fed 0 s3:GetObject"},
		{"named services", Bucket, `{"Effect":"Allow","Principal":"*",` + get + `,"Condition":{"StringLike":{"aws:PrincipalServiceName":"*.amazonaws.com"}}}`, "Service * 0 s3:GetObject"},
		{"services", Bucket, `{"Effect":"Allow","Principal":"*",` + get + `,"Condition":{"Bool":{"aws:PrincipalIsAWSService":"true"}}}`, "Service * 0 s3:GetObject"},
		{"services and accounts", Bucket, `{"Effect":"Allow","Principal":"*",` + get + `,"Condition":{"Null":{"aws:PrincipalIsAWSService":"false"}}}`, "AWS account * 0 s3:GetObject\nService * 0 s3:GetObject"},
		{"endpoint", Bucket, `{"Effect":"Allow","Principal":"*",` + get + `,"Condition":{"StringEquals":{"aws:SourceVpce":"vpce-1"}}}`, "Anonymous * 0 s3:GetObject"},
		{"key", KeyPolicy, `{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"kms:Decrypt","Resource":"*"}`, "AWS account * 0 kms:Decrypt\nService * 0 kms:Decrypt"},
		{"a named user and its id", Bucket, `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::444455556666:user/bob"},` + get + `,"Condition":{"StringEquals":{"aws:userid":"AIDAREALREALREALREAL"}}}`, "User arn:aws:iam::444455556666:user/bob 0 s3:GetObject"},
		{"a named role and its id", Bucket, `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::444455556666:role/x"},` + get + `,"Condition":{"StringLike":{"aws:userid":"AROAREALREALREALREAL:deploy-*"}}}`, "Role arn:aws:iam::444455556666:role/x 0 s3:GetObject"},
		{"a session and another id", Bucket, `{"Effect":"Allow","Principal":{"AWS":"arn:aws:sts::444455556666:assumed-role/x/s"},` + get + `,"Condition":{"StringLike":{"aws:userid":"AROA*:t"}}}`, ""},
		{"a unique id and its session", Bucket, `{"Effect":"Allow","Principal":{"AWS":"AROABOBBOBBOBBOBBOB0"},` + get + `,"Condition":{"StringEquals":{"aws:userid":"AROABOBBOBBOBBOBBOB0:t"}}}`, "Role AROABOBBOBBOBBOBBOB0 0 s3:GetObject"},
		{"a unique id and another", Bucket, `{"Effect":"Allow","Principal":{"AWS":"AROABOBBOBBOBBOBBOB0"},` + get + `,"Condition":{"StringLike":{"aws:userid":"AROAA*"}}}`, ""},
		{"key for the account's callers", KeyPolicy, `{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"kms:Decrypt","Resource":"*","Condition":{"StringEquals":{"kms:CallerAccount":"111122223333","kms:ViaService":"s3.us-east-1.amazonaws.com"}}}`, ""},
		{"key for another account's callers", KeyPolicy, `{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"kms:Decrypt","Resource":"*","Condition":{"StringEquals":{"kms:CallerAccount":"444455556666"}}}`, "AWS account * 0 kms:Decrypt"},
		{"key through S3 here", KeyPolicy, `{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"kms:*","Resource":"*","Condition":{"StringEquals":{"kms:CallerAccount":"111122223333","aws:PrincipalAccount":"111122223333"}}}`, ""},
		{"role", Trust, `{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"x"}}}`, "AWS account * 0 sts:AssumeRole\nWeb identity * 0 sts:AssumeRole\nService * 0 sts:AssumeRole"},
		{"role of a provider", Trust, `{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::444455556666:oidc-provider/x.example"},"Action":"sts:AssumeRoleWithWebIdentity"}`, "Web identity arn:aws:iam::444455556666:oidc-provider/x.example 0 sts:AssumeRoleWithWebIdentity"},
		{"role of an own provider", Trust, `{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::111122223333:oidc-provider/x.example"},"Action":"sts:AssumeRoleWithWebIdentity"}`, ""},
		{"unknown service", Resource, `{"Effect":"Allow","Principal":"*","Action":"nosuch:Do*","Resource":"arn:aws:nosuch:::x"}`, "Anonymous * 0 nosuch:DoExample"},
		{"everything", Resource, `{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}`, "Anonymous * 0 s3:AbortMultipartUpload,s3:AssociateAccessGrantsIdentityCenter"},
	} {
		d := parsed(t, c.kind, `{"Version":"2012-10-17","Statement":[`+c.statements+`]}`)
		zone := home
		zone.Organization = "o-home"
		openings := Reach(d, zone)
		if got := summary(openings); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, c.want)
		}
		for i := range openings {
			checkWitness(t, &openings[i], zone, d, nil)
		}
		zone.TrustServices = true
		if slices.ContainsFunc(Reach(d, zone), func(o Opening) bool { return o.Type == CallerService }) {
			t.Errorf("%s: services are trusted, but found", c.name)
		}
	}
}
