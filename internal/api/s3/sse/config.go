package sse

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/object"
)

// Setting is the name under which a bucket keeps its Config.
const Setting = "encryption"

// Config is a bucket's default encryption. Its JSON is the stored form.
type Config struct {
	// SSEAlgorithm of objects that ask for none: "AES256", "aws:kms" or "aws:kms:dsse".
	SSEAlgorithm string
	// KMSMasterKeyID as it was written; "": the key that AWS manages.
	KMSMasterKeyID string `json:",omitempty"`
	// BucketKeyEnabled: objects under a KMS key use a key of the bucket.
	BucketKeyEnabled bool `json:",omitempty"`
	// BlockedEncryptionTypes: "SSE-C" refuses it for new objects, "NONE" takes it. Empty: nothing was
	// ever said, and it is taken.
	BlockedEncryptionTypes []string `json:",omitempty"`
}

// Kind of objects that ask for none.
func (c *Config) Kind() object.Encryption { return algorithms[c.SSEAlgorithm] }

// BlocksSSEC tells whether new objects may not be encrypted with SSE-C.
func (c *Config) BlocksSSEC() bool { return slices.Contains(c.BlockedEncryptionTypes, "SSE-C") }

// standard is the default of a bucket that has none of its own.
var standard = Config{SSEAlgorithm: "AES256"}

// Check refuses what S3 does not take. A key is not looked for: that it is not there shows when an
// object is written.
func (c *Config) Check() error {
	if !c.Kind().KMS() && c.KMSMasterKeyID != "" {
		return fault.New(InvalidArgument, "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse",
			"ArgumentName", "ApplyServerSideEncryptionByDefault")
	}
	if len(c.BlockedEncryptionTypes) > 1 {
		return fault.New(InvalidArgument, "BlockedEncryptionTypes takes one of NONE and SSE-C", "ArgumentName", "BlockedEncryptionTypes")
	}
	return nil
}

// Decode reads the stored form; nil is the default of a bucket on which nothing was configured.
func Decode(raw []byte) (*Config, error) {
	if raw == nil {
		return &standard, nil
	}
	c := &Config{}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(c); err != nil {
		return nil, err
	}
	if _, known := algorithms[c.SSEAlgorithm]; !known {
		return nil, fault.New(InvalidAlgorithm, "", "ArgumentValue", c.SSEAlgorithm)
	}
	return c, nil
}

// Encode is the stored form.
func (c *Config) Encode() ([]byte, error) { return json.Marshal(c) }

// NewBucket is what a new bucket begins with where SSE-C is blocked until somebody asks for it, as AWS
// does since April 2026.
func NewBucket() ([]byte, error) {
	c := standard
	c.BlockedEncryptionTypes = []string{"SSE-C"}
	return c.Encode()
}
