package quarantine

import (
	"context"
	"errors"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/identity"
)

// Recover gives a user who is quarantined a new key in place of all that he had, and lifts the quarantine. It
// is for the first administrator, when nobody else could: whoever starts the server gives the key. A user who
// is not quarantined, and a key that exists already, change nothing.
func (q *Quarantine) Recover(ctx context.Context, account, name string, key identity.AccessKeyPair) (done bool, err error) {
	user := identity.Ref{Kind: identity.KindUser, Account: account, Name: name}
	if _, _, exists := q.config.Identities.KeyOwner(key.ID); exists || !q.denied(ctx, user) {
		return false, nil
	}
	ids := q.config.Identities
	old, err := q.keys(ctx, user)
	if err != nil {
		return false, err
	}
	for _, id := range old {
		if err := q.change(ctx, "DeleteAccessKey", account, map[string]string{"userName": name, "accessKeyId": id}, func(g authz.Grant) error {
			return ids.DeleteAccessKey(ctx, g, account, name, id)
		}); err != nil {
			return false, err
		}
	}
	if err := q.change(ctx, "CreateAccessKey", account, map[string]string{"userName": name, "accessKeyId": key.ID}, func(g authz.Grant) error {
		_, err := ids.ImportAccessKey(ctx, g, account, name, key)
		return err
	}); err != nil {
		return false, err
	}
	err = q.change(ctx, "DetachUserPolicy", account, map[string]string{"userName": name, "policyArn": DenyAll}, func(g authz.Grant) error {
		return ids.DetachPolicy(ctx, g, user, DenyAll)
	})
	return err == nil, err
}

// denied tells whether a user has AWSDenyAll.
func (q *Quarantine) denied(ctx context.Context, user identity.Ref) bool {
	g, err := q.config.Guard.System(ctx, Service, authz.Demand{Action: "iam:ListAttachedUserPolicies", Resource: authz.Resource{ARN: "arn:aws:iam::" + user.Account + ":*"}})
	if err != nil {
		return false
	}
	attached, err := q.config.Identities.ListAttachedPolicies(ctx, g, user, "/", identity.Page{})
	if err != nil {
		return false
	}
	for _, p := range attached.Items {
		if p.ARN == DenyAll {
			return true
		}
	}
	return false
}

func (q *Quarantine) keys(ctx context.Context, user identity.Ref) (ids []string, err error) {
	g, err := q.config.Guard.System(ctx, Service, authz.Demand{Action: "iam:ListAccessKeys", Resource: authz.Resource{ARN: "arn:aws:iam::" + user.Account + ":*"}})
	if err != nil {
		return nil, err
	}
	list, err := q.config.Identities.ListAccessKeys(ctx, g, user.Account, user.Name, identity.Page{})
	if fault.Is(err, identity.NoSuchEntity) {
		return nil, errors.New("quarantine: " + user.Name + " is gone")
	}
	if err != nil {
		return nil, err
	}
	for _, k := range list.Items {
		ids = append(ids, k.AccessKeyID)
	}
	return ids, nil
}
