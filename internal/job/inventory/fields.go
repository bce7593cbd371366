package inventory

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/object"
)

// Known tells whether a report can have the optional field.
func Known(field string) bool {
	for _, name := range order {
		if name == field {
			return true
		}
	}
	return false
}

// order of the optional columns.
var order = []string{
	"Size", "LastModifiedDate", "ETag", "StorageClass", "IsMultipartUploaded", "ReplicationStatus", "EncryptionStatus",
	"ObjectLockRetainUntilDate", "ObjectLockMode", "ObjectLockLegalHoldStatus", "IntelligentTieringAccessTier",
	"BucketKeyStatus", "ChecksumAlgorithm", "ObjectOwner",
}

const isoTime = "2006-01-02T15:04:05.000Z"

// columns tell what a report says of a version. A delete marker has what every version has.
var columns = map[string]func(*object.Info) string{
	"Bucket":         func(o *object.Info) string { return o.Bucket },
	"Key":            func(o *object.Info) string { return escapeKey(o.Key) },
	"VersionId":      versionID,
	"IsLatest":       func(o *object.Info) string { return strconv.FormatBool(o.Latest) },
	"IsDeleteMarker": func(o *object.Info) string { return strconv.FormatBool(o.DeleteMarker) },

	"LastModifiedDate": func(o *object.Info) string { return o.Modified.UTC().Format(isoTime) },
	"ObjectOwner":      func(o *object.Info) string { return o.Owner.Canonical },

	"Size":                         ofObject(func(o *object.Info) string { return strconv.FormatInt(o.Size, 10) }),
	"ETag":                         ofObject(func(o *object.Info) string { return o.ETag }),
	"StorageClass":                 ofObject(storageClass),
	"IsMultipartUploaded":          ofObject(func(o *object.Info) string { return strconv.FormatBool(o.Parts > 0) }),
	"ReplicationStatus":            ofObject(func(o *object.Info) string { return o.Replication.String() }),
	"EncryptionStatus":             ofObject(func(o *object.Info) string { return encryptions[o.Encryption] }),
	"ObjectLockRetainUntilDate":    ofObject(retainUntil),
	"ObjectLockMode":               ofObject(func(o *object.Info) string { return modes[o.Lock.Mode] }),
	"ObjectLockLegalHoldStatus":    ofObject(func(o *object.Info) string { return holds[o.Lock.Hold] }),
	"IntelligentTieringAccessTier": ofObject(tier),
	"BucketKeyStatus":              ofObject(bucketKey),
	"ChecksumAlgorithm":            ofObject(checksum),
}

func ofObject(tell func(*object.Info) string) func(*object.Info) string {
	return func(o *object.Info) string {
		if o.DeleteMarker {
			return ""
		}
		return tell(o)
	}
}

// escapeKey encodes a key as S3 does in reports: as in an address, with slashes left.
func escapeKey(key string) string {
	return strings.ReplaceAll(strings.ReplaceAll(url.QueryEscape(key), "%2F", "/"), "+", "%20")
}

func versionID(o *object.Info) string {
	if o.VersionID == "null" && !o.Versioned {
		return ""
	}
	return o.VersionID
}

func storageClass(o *object.Info) string {
	if o.Attributes.StorageClass == "" {
		return "STANDARD"
	}
	return o.Attributes.StorageClass
}

// tier: everything lies on the same media, so nothing ever left the first.
func tier(o *object.Info) string {
	if o.Attributes.StorageClass == "INTELLIGENT_TIERING" {
		return "FREQUENT"
	}
	return ""
}

func retainUntil(o *object.Info) string {
	if o.Lock.Mode == object.NoRetention {
		return ""
	}
	return o.Lock.Until.UTC().Format(isoTime)
}

func bucketKey(o *object.Info) string {
	switch {
	case o.Sealed == nil || encryptions[o.Encryption] != "SSE-KMS":
		return ""
	case o.Sealed.BucketKey:
		return "ENABLED"
	}
	return "DISABLED"
}

func checksum(o *object.Info) string {
	if o.Checksum.Algorithm == object.NoChecksum {
		return ""
	}
	return o.Checksum.Algorithm.String()
}

var (
	encryptions = map[string]string{"AES256": "SSE-S3", "aws:kms": "SSE-KMS", "aws:kms:dsse": "DSSE-KMS", "": "SSE-C"}
	modes       = map[object.RetentionMode]string{object.Governance: "GOVERNANCE", object.Compliance: "COMPLIANCE"}
	holds       = map[object.LegalHold]string{object.HoldOff: "Off", object.HoldOn: "On"}
)

// row appends a line of the report: every field in quotes.
func row(b []byte, names []string, o *object.Info) []byte {
	for i, name := range names {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '"')
		b = append(b, strings.ReplaceAll(columns[name](o), `"`, `""`)...)
		b = append(b, '"')
	}
	return append(b, '\n')
}

// stamp is a moment as it names a report; hive as it names the report's partition.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15-04Z") }
func hive(t time.Time) string  { return t.UTC().Format("2006-01-02-15-04") }
