package s3

import (
	"context"
	"errors"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/s3/sse"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/object"
)

// unsealer opens the keys of what a request reads, with its caller's permission and the customer's key
// that it brings.
type unsealer struct {
	s      *Service
	c      *api.Call
	g      authz.Grant
	bucket *object.Bucket
	key    string
	// customer is the key of SSE-C that the request brings, or nil.
	customer *sse.Customer
	// upload: the key is that of a multipart upload, of which S3 speaks in other words.
	upload bool
	opened bool
}

// begin makes u ready for what the request reads of a key.
func (u *unsealer) begin(s *Service, g authz.Grant, c *api.Call, b *object.Bucket, key string) *unsealer {
	u.s, u.g, u.c, u.bucket, u.key = s, g, c, b, key
	return u
}

// Unseal implements object.Unsealer.
func (u *unsealer) Unseal(ctx context.Context, sealed *object.Sealed) (*object.Key, error) {
	if sealed.Encryption == object.SSEC {
		return u.openForCustomer(sealed)
	}
	if u.customer != nil {
		return nil, u.notApplicable()
	}
	if err := u.s.mayUseKMS(u.c); err != nil {
		return nil, err
	}
	w, err := u.s.keys.Unseal(ctx, u.g, u.bucket, u.key, sealed, caller(u.c))
	u.opened = err == nil
	return w, err
}

func (u *unsealer) openForCustomer(sealed *object.Sealed) (*object.Key, error) {
	if u.customer == nil {
		if u.upload {
			return nil, fault.New(object.KeyRequired, "The multipart upload initiate requested encryption. Subsequent part requests must include the appropriate encryption parameters.")
		}
		return nil, fault.New(object.KeyRequired, "")
	}
	w, err := u.customer.Open(sealed)
	if errors.Is(err, object.ErrOtherKey) {
		if u.upload {
			return nil, fault.New(sse.InvalidRequest, "The provided encryption parameters did not match the ones used originally.")
		}
		return nil, fault.New(sse.WrongKey, "")
	}
	u.opened = err == nil
	return w, err
}

func (u *unsealer) notApplicable() error {
	if u.upload {
		return fault.New(sse.InvalidRequest, "The multipart upload initiate did not request encryption. Please resend the request without sending encryption parameters.")
	}
	return fault.New(sse.InvalidRequest, "The encryption parameters are not applicable to this object.")
}

// admit holds what a request brings against an object whose bytes it does not, or not yet, give away, and that
// object against what was decided.
func (u *unsealer) admit(info *object.Info) error {
	if err := at(u.c).decidedOn(info); err != nil {
		return err
	}
	sealed := info.Sealed
	switch {
	case sealed == nil && u.customer == nil, u.opened, info.DeleteMarker:
		return nil
	case sealed != nil && sealed.Encryption == object.SSEC:
		_, err := u.openForCustomer(sealed)
		return err
	case u.customer != nil:
		return u.notApplicable()
	}
	return u.s.mayUseKMS(u.c)
}

// sealedFields are the members of many answers that tell how an object is sealed.
type sealedFields struct {
	keyID, algorithm, md5 **string
	bucketKey             **bool
}

// tell fills them in.
func (f sealedFields) tell(sealed *object.Sealed, customer *sse.Customer) {
	switch {
	case sealed == nil:
	case sealed.Encryption == object.SSEC:
		if customer != nil {
			name := "AES256"
			*f.algorithm, *f.md5 = &name, &customer.MD5
		}
	default:
		*f.keyID = &sealed.KeyARN
		if sealed.BucketKey && f.bucketKey != nil {
			*f.bucketKey = &sealed.BucketKey
		}
	}
}

// encryption writes the headers that tell how an object is sealed.
func (s *setter) encryption(name string, sealed *object.Sealed, customer *sse.Customer) {
	if name != "" {
		s.put(sse.HeaderAlgorithm, name)
	}
	switch {
	case sealed == nil:
	case sealed.Encryption == object.SSEC:
		if customer != nil {
			s.put(sse.HeaderCustomerAlgorithm, "AES256")
			s.put(sse.HeaderCustomerKeyMD5, customer.MD5)
		}
	default:
		s.put(sse.HeaderKeyID, sealed.KeyARN)
		if sealed.BucketKey {
			s.put(sse.HeaderBucketKey, "true")
		}
	}
}
