package inventory

import (
	"strconv"
	"time"

	"github.com/kura-s3/kura/internal/object"
)

// fields are the optional columns that a report can have, and what they say of a version.
var fields = map[string]func(*object.Info) string{
	"Size": func(o *object.Info) string { return strconv.FormatInt(o.Size, 10) },
	"LastModifiedDate": func(o *object.Info) string {
		return o.Modified.UTC().Format("2006-01-02T15:04:05.000Z")
	},
	"StorageClass": func(o *object.Info) string {
		if o.Attributes.StorageClass == "" {
			return "STANDARD"
		}
		return o.Attributes.StorageClass
	},
	"ETag":                func(o *object.Info) string { return o.ETag },
	"IsMultipartUploaded": func(o *object.Info) string { return strconv.FormatBool(o.Parts > 0) },
	"EncryptionStatus":    func(o *object.Info) string { return encryptionStatus(o.Encryption) },
	"ChecksumAlgorithm":   func(o *object.Info) string { return checksumName(o.Checksum) },
	"ObjectOwner":         func(o *object.Info) string { return o.Owner.Canonical },
	// Everything lies on the same media: no tier was ever left.
	"IntelligentTieringAccessTier": func(o *object.Info) string {
		if o.Attributes.StorageClass == "INTELLIGENT_TIERING" {
			return "FREQUENT"
		}
		return ""
	},
}

// Known tells whether a report can have the optional field.
func Known(field string) bool { return fields[field] != nil }

var encryptions = map[string]string{"AES256": "SSE-S3", "aws:kms": "SSE-KMS", "aws:kms:dsse": "DSSE-KMS", "": "SSE-C"}

func encryptionStatus(e string) string { return encryptions[e] }

func checksumName(c object.Checksum) string {
	if c.Algorithm == object.NoChecksum {
		return ""
	}
	return c.Algorithm.String()
}

// stamp is a moment as it names a report.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15-04Z") }
