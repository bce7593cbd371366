package kms

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/policy"
)

// defaultPolicy is AWS's key policy for keys made without one: the account decides by its own policies.
const defaultPolicy = `{
  "Version" : "2012-10-17",
  "Id" : "key-default-1",
  "Statement" : [ {
    "Sid" : "Enable IAM User Permissions",
    "Effect" : "Allow",
    "Principal" : {
      "AWS" : "arn:aws:iam::ACCOUNT:root"
    },
    "Action" : "kms:*",
    "Resource" : "*"
  } ]
}`

// servicePolicy is AWS's policy for its own keys: everybody in the account through the service, and the
// account itself may look.
const servicePolicy = `{
  "Version" : "2012-10-17",
  "Id" : "auto-SERVICE-1",
  "Statement" : [ {
    "Sid" : "Allow access through NAME for all principals in the account that are authorized to use NAME",
    "Effect" : "Allow",
    "Principal" : {
      "AWS" : "*"
    },
    "Action" : [ "kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey" ],
    "Resource" : "*",
    "Condition" : {
      "StringEquals" : {
        "kms:CallerAccount" : "ACCOUNT",
        "kms:ViaService" : "SERVICE.REGION.amazonaws.com"
      }
    }
  }, {
    "Sid" : "Allow direct access to key metadata to the account",
    "Effect" : "Allow",
    "Principal" : {
      "AWS" : "arn:aws:iam::ACCOUNT:root"
    },
    "Action" : [ "kms:Describe*", "kms:Get*", "kms:List*" ],
    "Resource" : "*"
  } ]
}`

func fill(template, account, service, region string) string {
	return strings.NewReplacer("ACCOUNT", account, "SERVICE", service, "NAME", strings.ToUpper(service), "REGION", region).Replace(template)
}

// readPolicy reads a key policy strictly and pins the users and roles that it names.
func (s *Store) readPolicy(text string) (*policy.Document, error) {
	doc, err := policy.ParseString(text, policy.KeyPolicy)
	if err != nil {
		return nil, malformed(err)
	}
	pinned, err := doc.Resolve(s.principals.UniqueID)
	if err != nil {
		return nil, malformed(err)
	}
	return pinned, nil
}

// malformed is what is wrong with a policy in AWS's words, and where.
func malformed(err error) error {
	var syntax *policy.SyntaxError
	if !errors.As(err, &syntax) {
		return refuse(MalformedPolicy, "%s", err)
	}
	if syntax.Code == policy.CodePrincipal {
		return refuse(MalformedPolicy, "Policy contains a statement with one or more invalid principals.")
	}
	return refuse(MalformedPolicy, "%s", syntax.Error())
}

// leavesIn is the lock-out check: the caller must remain able to replace the policy.
func leavesIn(g authz.Grant, d authz.Demand) error {
	if !g.May(d) {
		return refuse(MalformedPolicy, "The new key policy will not allow you to update the key policy in the future.")
	}
	return nil
}

// PutPolicy replaces the key's policy. It needs kms:PutKeyPolicy. Unless bypass, it is refused when the
// caller would lose that permission by it.
func (s *Store) PutPolicy(ctx context.Context, g authz.Grant, id, text string, bypass bool) error {
	doc, err := s.readPolicy(text)
	if err != nil {
		return err
	}
	return s.edit(ctx, g, "kms:PutKeyPolicy", id, func(_ *change, k *Key) error {
		k.Policy, k.Written = doc, text
		if bypass {
			return nil
		}
		return leavesIn(g, s.replacing(g, k))
	})
}

// replacing is the demand to replace the policy of k, as k is.
func (s *Store) replacing(g authz.Grant, k *Key) authz.Demand {
	by := g.Principal()
	return s.Demand(k, "kms:PutKeyPolicy", nil, "", &by)
}

// PolicyText is the key's policy as it was put, with the names that its users and roles have now; ids
// of those that are gone stand bare. It needs kms:GetKeyPolicy.
func (s *Store) PolicyText(g authz.Grant, k *Key) (string, error) {
	if err := g.Require("kms:GetKeyPolicy", k.ARN); err != nil {
		return "", err
	}
	names := map[string]string{}
	same := true
	var written []string
	if doc, err := policy.ParseString(k.Written, policy.KeyPolicy); err == nil {
		written = doc.Principals()
	}
	for _, id := range k.Policy.UniqueIDs() {
		arn, ok := s.principals.ARNOf(id)
		if ok {
			names[id] = arn
		}
		same = same && ok && slices.Contains(written, arn)
	}
	if same {
		return k.Written, nil
	}
	return k.Policy.Render(names), nil
}
