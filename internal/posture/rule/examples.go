package rule

import (
	"encoding/json"
	"time"

	"github.com/kura-s3/kura/internal/posture"
)

// What the examples are made of.

const (
	exampleAccount   = "111122223333"
	exampleCanonical = "1111222233334444555566667777888899990000aaaabbbbccccddddeeeeffff"

	publicRead  = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::example/*"}]}`
	publicWrite = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::example/*"}]}`
	shared      = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"444455556666"},"Action":"s3:*","Resource":["arn:aws:s3:::example","arn:aws:s3:::example/*"]}]}`
	openBlock   = `{"BlockPublicACLs":false,"IgnorePublicACLs":false,"BlockPublicPolicy":false,"RestrictPublicBuckets":false}`
	listRead    = `{"Format":1,"Grants":[{"ID":"` + exampleCanonical + `","P":"FULL_CONTROL"},{"URI":"` + posture.AllUsers + `","P":"READ"}]}`
	listWrite   = `{"Format":1,"Grants":[{"URI":"` + posture.AllUsers + `","P":"WRITE"}]}`
)

// exampleNow is the time of all examples.
var exampleNow = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)

// bucketOf is an example bucket with settings, given as names and values.
func bucketOf(versioning int, settings ...string) Input {
	stored := map[string]any{"Name": "example", "Versioning": versioning, "Owner": map[string]string{"Account": exampleAccount, "Canonical": exampleCanonical}}
	all := map[string][]byte{}
	for i := 0; i+1 < len(settings); i += 2 {
		all[settings[i]] = []byte(settings[i+1])
	}
	stored["Settings"] = all
	raw, err := json.Marshal(stored)
	if err != nil {
		return Input{}
	}
	r, err := posture.BucketFrom(raw)
	if err != nil {
		return Input{}
	}
	return Input{Resource: r}
}

// entityOf is an example of a user, role, group or policy, given as package identity tells of one.
func entityOf(text string) Input {
	r, err := posture.EntityFrom([]byte(text))
	if err != nil {
		return Input{}
	}
	return Input{Resource: r}
}

// accountOf is an example of an account with a root user.
func accountOf(root posture.Entity) Input {
	root.Kind, root.Account = posture.KindRoot, exampleAccount
	return Input{Resource: &posture.Resource{Type: posture.TypeAccount, ID: exampleAccount, Account: exampleAccount}, Root: &root}
}

// keyOf is an example of a KMS key.
func keyOf(k posture.Key) Input {
	return Input{Resource: &posture.Resource{Type: posture.TypeKey, ID: k.ID, Key: &k}}
}

// with gives an example parameters.
func (in Input) with(pairs ...string) Input {
	in.Parameters = map[string]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		in.Parameters[pairs[i]] = pairs[i+1]
	}
	return in
}

// used gives an example the last use of its keys and passwords.
func (in Input) used(at time.Time) Input {
	in.LastUse = func(string) (time.Time, error) { return at, nil }
	return in
}

// trailsOf is an example of an account with trails.
func trailsOf(trails ...*posture.Trail) Input {
	in := accountOf(posture.Entity{})
	in.Trails = trails
	return in
}
