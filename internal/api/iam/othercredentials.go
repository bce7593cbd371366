package iam

import (
	"context"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/wire/iamwire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/identity"
)

// otherCredentials are the lists of what users can have in AWS and not in Kura: SSH keys, signing
// certificates and credentials of single services. Tools that take a user away ask for them. They are
// empty for every user that exists; nothing can be put there.
type otherCredentials struct{ edge }

func (e otherCredentials) ops() []*api.Op {
	return []*api.Op{
		answer(e.edge, &iamwire.ListSSHPublicKeys, api.List, userOrCaller,
			func(_ context.Context, _ authz.Grant, on identity.Ref, _ *iamwire.ListSSHPublicKeysInput) (*iamwire.ListSSHPublicKeysOutput, error) {
				return &iamwire.ListSSHPublicKeysOutput{SSHPublicKeys: []iamwire.SSHPublicKeyMetadata{}, IsTruncated: new(false)}, e.exists(on)
			}),
		answer(e.edge, &iamwire.ListSigningCertificates, api.List, userOrCaller,
			func(_ context.Context, _ authz.Grant, on identity.Ref, _ *iamwire.ListSigningCertificatesInput) (*iamwire.ListSigningCertificatesOutput, error) {
				return &iamwire.ListSigningCertificatesOutput{Certificates: []iamwire.SigningCertificate{}, IsTruncated: new(false)}, e.exists(on)
			}),
		answer(e.edge, &iamwire.ListServiceSpecificCredentials, api.List, userOrCaller,
			func(_ context.Context, _ authz.Grant, on identity.Ref, _ *iamwire.ListServiceSpecificCredentialsInput) (*iamwire.ListServiceSpecificCredentialsOutput, error) {
				return &iamwire.ListServiceSpecificCredentialsOutput{ServiceSpecificCredentials: []iamwire.ServiceSpecificCredentialMetadata{}}, e.exists(on)
			}),
	}
}

// exists errs with NoSuchEntity for a user that is not there.
func (e otherCredentials) exists(on identity.Ref) error {
	if _, err := e.identities.PrincipalSubject(e.identities.ResourceARN(on)); err != nil {
		return fault.New(identity.NoSuchEntity, "The user with name "+on.Name+" cannot be found.")
	}
	return nil
}
