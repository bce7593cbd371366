package classification

import (
	"testing"

	"github.com/kura-s3/kura/policy"
)

type keys map[string]string

func (k keys) Lookup(key string) (policy.Values, bool) {
	v, ok := k[key]
	if key == ContradictsKey {
		return policy.Values{Many: []string{v}, Multi: true}, ok
	}
	return policy.Values{One: v}, ok
}

const (
	own   = "111122223333"
	other = "444455556666"
)

func user(account string) policy.Principal {
	return policy.Principal{Type: policy.IAMUser, Account: account, ARN: "arn:aws:iam::" + account + ":user/u", UniqueID: "AIDAU"}
}

func TestGuardrailsDeny(t *testing.T) {
	all, err := policy.ParseString(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"*"}}`, policy.Resource)
	if err != nil {
		t.Fatal(err)
	}
	identity, err := policy.ParseString(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`, policy.Identity)
	if err != nil {
		t.Fatal(err)
	}
	insider, outsider := keys{"aws:principalaccount": own, "aws:principalisawsservice": "false"}, keys{"aws:principalaccount": other, "aws:principalisawsservice": "false"}
	with := func(k keys, more keys) keys {
		out := keys{"aws:resourceaccount": own}
		for _, m := range []keys{k, more} {
			for name, v := range m {
				out[name] = v
			}
		}
		return out
	}
	service := policy.Principal{Type: policy.Service, ARN: "logging.s3.amazonaws.com"}
	for _, c := range []struct {
		name   string
		who    policy.Principal
		action string
		keys   keys
		want   bool
	}{
		{"a reader of the account", user(own), "s3:GetObject", with(insider, nil), true},
		{"another account", user(other), "s3:GetObject", with(outsider, nil), false},
		{"nobody", policy.Principal{Type: policy.Anonymous}, "s3:GetObject", with(keys{"aws:principalaccount": "anonymous"}, nil), false},
		{"another account's root", policy.Principal{Type: policy.RootUser, Account: other, ARN: "arn:aws:iam::" + other + ":root"}, "s3:ListBucket", with(outsider, nil), false},
		{"a service for the account", service, "s3:PutObject", with(keys{"aws:principalisawsservice": "true", "aws:sourceaccount": own}, nil), true},
		{"a service for another", service, "s3:PutObject", with(keys{"aws:principalisawsservice": "true", "aws:sourceaccount": other}, nil), false},
		{"a service for it knows not whom", service, "s3:PutObject", with(keys{"aws:principalisawsservice": "true"}, nil), false},
		{"the default", user(own), "s3:PutObject", with(insider, nil), true},
		{"KMS", user(own), "s3:PutObject", with(insider, keys{"s3:x-amz-server-side-encryption": "aws:kms"}), true},
		{"DSSE", user(own), "s3:PutObject", with(insider, keys{"s3:x-amz-server-side-encryption": "aws:kms:dsse"}), true},
		{"SSE-S3", user(own), "s3:PutObject", with(insider, keys{"s3:x-amz-server-side-encryption": "AES256"}), false},
		{"SSE-C", user(own), "s3:PutObject", with(insider, keys{"s3:x-amz-server-side-encryption-customer-algorithm": "AES256"}), false},
		{"a replica under SSE-S3", user(own), "s3:ReplicateObject", with(insider, keys{"s3:x-amz-server-side-encryption": "AES256"}), false},
		{"a read of SSE-C", user(own), "s3:GetObject", with(insider, keys{"s3:x-amz-server-side-encryption-customer-algorithm": "AES256"}), true},
		{"a contradiction", user(own), "s3:PutBucketPublicAccessBlock", with(insider, keys{ContradictsKey: "BlockPublicAccess"}), false},
		{"root contradicts", policy.Principal{Type: policy.RootUser, Account: own, ARN: "arn:aws:iam::" + own + ":root"}, "s3:PutBucketPolicy", with(insider, keys{ContradictsKey: "NoOtherAccounts"}), false},
		{"a guardrail that there is not", user(own), "s3:PutBucketPolicy", with(insider, keys{ContradictsKey: "Else"}), true},
	} {
		req := policy.Request{Principal: c.who, Action: c.action, Resource: "arn:aws:s3:::b/k", ResourceAccount: own, Context: c.keys}
		in := policy.Inputs{Resource: all, Identity: []*policy.Document{identity}, RCPs: Find(Key, " Confidential").Controls()}
		if d := policy.Evaluate(&req, &in); d.Allowed() != c.want {
			t.Errorf("%s: %v %v", c.name, d.Effect, d.Layer)
		} else if !c.want && d.Layer != policy.LayerRCP {
			t.Errorf("%s: denied by %v", c.name, d.Layer)
		}
	}
}

func TestFind(t *testing.T) {
	if Find(Key, "confidential") == nil || Find(Key, "CONFIDENTIAL ") == nil || Find(Key, "public") != nil || Find(Key, "") != nil {
		t.Error("Find")
	}
	var none *Class
	if none.Holds(EncryptWithKMS) || none.Controls() != nil || none.Name() != "" {
		t.Error("no class demands something")
	}
}
