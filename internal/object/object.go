// Package object is what buckets and objects mean: names, versions, multipart uploads, listing,
// conditions, checksums. It speaks no HTTP and judges nobody: every method takes an authz.Grant
// and requires of it the action and resource that it touches.
package object

import (
	"io"
	"sync"
	"time"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/fault"
)

// Failures of this package. The S3 edge has a table of codes, statuses and default messages.
const (
	NoSuchBucket        fault.Kind = "object.NoSuchBucket"
	NoSuchKey           fault.Kind = "object.NoSuchKey"
	NoSuchVersion       fault.Kind = "object.NoSuchVersion"
	NoSuchUpload        fault.Kind = "object.NoSuchUpload"
	InvalidVersionID    fault.Kind = "object.InvalidVersionID"    // not of the form that we give out
	InvalidBucketName   fault.Kind = "object.InvalidBucketName"   //
	BucketExists        fault.Kind = "object.BucketExists"        // another account's
	BucketOwned         fault.Kind = "object.BucketOwned"         // the caller's own
	BucketNotEmpty      fault.Kind = "object.BucketNotEmpty"      //
	TooManyBuckets      fault.Kind = "object.TooManyBuckets"      //
	KeyTooLong          fault.Kind = "object.KeyTooLong"          // fields Size, MaxSizeAllowed
	IsDeleteMarker      fault.Kind = "object.IsDeleteMarker"      // addressed by its version id
	PreconditionFailed  fault.Kind = "object.PreconditionFailed"  // field Condition
	ConditionalConflict fault.Kind = "object.ConditionalConflict" //
	BadMD5              fault.Kind = "object.BadMD5"              // fields ExpectedDigest, CalculatedDigest
	BadChecksum         fault.Kind = "object.BadChecksum"         // message names the algorithm
	IncompleteBody      fault.Kind = "object.IncompleteBody"      // fewer or more bytes than announced
	EntityTooLarge      fault.Kind = "object.EntityTooLarge"      // fields ProposedSize, MaxSizeAllowed
	EntityTooSmall      fault.Kind = "object.EntityTooSmall"      // a part but the last one; ProposedSize, MinSizeAllowed, PartNumber, ETag
	InvalidPart         fault.Kind = "object.InvalidPart"         // UploadId, PartNumber, ETag
	InvalidPartOrder    fault.Kind = "object.InvalidPartOrder"    //
	InvalidRange        fault.Kind = "object.InvalidRange"        // RangeRequested, ActualObjectSize
	InvalidPartNumber   fault.Kind = "object.InvalidPartNumber"   // reading a part that is not there
	InvalidRequest      fault.Kind = "object.InvalidRequest"      // message says what
	InvalidBucketState  fault.Kind = "object.InvalidBucketState"  //
	KeyRequired         fault.Kind = "object.KeyRequired"         // sealed under a key that was not given
	OutOfSpace          fault.Kind = "object.OutOfSpace"          // device full; nothing was stored
	Damaged             fault.Kind = "object.Damaged"             // stored bytes do not authenticate
	Busy                fault.Kind = "object.Busy"                // lost too many races; ask again
)

// Limits of S3 (Amazon S3 User Guide, "multipart upload limits").
const (
	MaxKey        = 1024
	MaxObject     = 5 << 40
	MaxSingle     = 5 << 30 // one PUT, one part, one copy
	MinPart       = 5 << 20 // but the last
	MaxPartNumber = 10000
	MaxList       = 1000
)

// Versioning state of a bucket.
type Versioning uint8

// The states. A bucket never goes back to Unversioned.
const (
	Unversioned Versioning = iota
	VersioningEnabled
	VersioningSuspended
)

// MFADelete tells whether versions go, and versioning changes, only with a code of an MFA device.
type MFADelete uint8

// The states.
const (
	NoMFADelete MFADelete = iota // never asked for
	MFADeleteDisabled
	MFADeleteEnabled
)

// Tag is a key and a value.
type Tag struct{ Key, Value string }

// Owner of a bucket or an object: an account.
type Owner struct {
	Account   string // 12 digits
	Canonical string // 64 hex digits
}

// Bucket is one bucket with all its configuration, immutable once published: changes replace it.
type Bucket struct {
	Name       string
	ID         uint64 // never reused
	Owner      Owner
	Region     string
	Created    time.Time
	Versioning Versioning
	MFADelete  MFADelete `json:",omitempty"`
	Tags       []Tag
	// Settings are the sub-resources, each in the form that its service file stores ("policy",
	// "ownershipControls", "publicAccessBlock", "cors", …). Absent: never configured.
	Settings map[string][]byte
	// Revision is the record's version, for conditional updates.
	Revision engine.Version `json:"-"`

	// gate is held shared by whoever commits to the bucket, and alone by whoever must see it at rest.
	gate *sync.RWMutex
	memo *memo
	// replicas keeps the decoded replication configuration.
	replicas *memo
	lock     lockState // of the Settings that were published
}

// ARN of the bucket.
func (b *Bucket) ARN() string { return "arn:aws:s3:::" + b.Name }

// KeyARN is the ARN of an object in the bucket.
func (b *Bucket) KeyARN(key string) string { return "arn:aws:s3:::" + b.Name + "/" + key }

// Algorithm of a checksum.
type Algorithm uint8

// The algorithms that S3 knows and Kura computes.
const (
	NoChecksum Algorithm = iota
	CRC32
	CRC32C
	CRC64NVME
	SHA1
	SHA256
)

// Checksum of an object or a part.
type Checksum struct {
	Algorithm Algorithm
	Composite bool   // of the parts' checksums, not of the bytes
	Value     []byte // raw, big-endian for CRCs
}

// Attributes are what a client says about its object and gets back unchanged.
type Attributes struct {
	ContentType, ContentEncoding, ContentDisposition, ContentLanguage, CacheControl, Expires string
	WebsiteRedirect                                                                          string
	StorageClass                                                                             string // "" = STANDARD
	// User metadata, names in lower case without "x-amz-meta-", sorted by name.
	User []Tag
}

// Info describes one version of an object.
type Info struct {
	Bucket, Key  string
	VersionID    string // "null" for the null version
	Versioned    bool   // the bucket has (had) versioning: the answer names the version
	Latest       bool
	DeleteMarker bool
	Size         int64
	ETag         string // without quotes
	Modified     time.Time
	Owner        Owner
	Checksum     Checksum
	Parts        int // number of parts of a multipart object, else 0
	Attributes   Attributes
	Tags         []Tag
	// ACL as the service stored it; nil: none of its own, the owner has full control.
	ACL []byte
	// Encryption is the value of x-amz-server-side-encryption, "" for SSE-C. Sealed tells more, of all
	// but SSE-S3. The value of a sealed object's Checksum is known only to who wrote it or asked for it
	// (GetInput.Checksum).
	Encryption string
	Sealed     *Sealed
	Lock       Lock
	// Restored: an archived version can be read until then; zero: never restored.
	Restored time.Time
	seq      uint64
	// Replication is what became of the version's replicas, or that it is one.
	Replication ReplicationStatus
}

// Precondition of a write, decided and applied atomically with it.
type Precondition struct {
	IfMatch     string // ETag without quotes, or "*"; "" none
	IfNoneMatch bool   // If-None-Match: *
	// More than ETag, for DELETE (x-amz-if-match-size, x-amz-if-match-last-modified-time).
	IfSize     *int64
	IfModified *time.Time
}

// Expected is the checksum that the client says the body has. Value is called after the last byte
// was read (a trailer is known only then) and returns nil when the client named none.
type Expected struct {
	MD5       []byte // from Content-MD5, or nil
	Algorithm Algorithm
	Value     func() ([]byte, error)
}

// PutInput is one object to store.
type PutInput struct {
	Bucket, Key string
	Body        io.Reader
	Size        int64 // exact; -1 when unknown: then at most MaxSize
	MaxSize     int64
	Attributes  Attributes
	Tags        []Tag
	If          Precondition
	Expect      Expected // Algorithm NoChecksum: CRC64NVME is computed and stored, as S3 does
	Owner       Owner
	ACL         []byte
	// Lock asked for; nil, or without a mode: the bucket's default retention.
	Lock *Lock
	Seal *Sealing // nil: SSE-S3
}

// GetInput addresses one version of an object, or a part or range of it.
type GetInput struct {
	Bucket, Key string
	VersionID   string // "": current
	// Range as in RFC 9110, at most one of Range and PartNumber.
	Range      *Range
	PartNumber int
	// Unsealer is asked for the key of an object that is not sealed by the store alone, by whatever
	// reads its bytes, or its checksums where Checksum says that they are wanted.
	Unsealer Unsealer
	Checksum bool
}

// Range of bytes asked for: First >= 0: bytes=First-Last (Last -1: to the end); First < 0: the last
// -First bytes... Suffix counts then.
type Range struct {
	First, Last int64
	Suffix      int64 // > 0: the last Suffix bytes; First and Last do not count
	Header      string
}

// Object is an object opened for reading. Close it. Body streams decrypted, authenticated bytes; an
// error from it means that the stored bytes are damaged, and no wrong byte was given out.
type Object struct {
	Info
	Body io.ReadCloser // implements io.WriterTo
	// Offset and Length of what Body gives; Partial when that is not the whole object.
	Offset, Length int64
	Partial        bool
}

// DeleteInput addresses what to delete.
type DeleteInput struct {
	Bucket, Key string
	VersionID   string
	If          Precondition
	// BypassGovernance overrules a governance retention and needs s3:BypassGovernanceRetention.
	BypassGovernance bool
	// Still, when not nil, is the version that is to go, or to be current, with its tags: where it is not any
	// more, nothing is deleted (MovedOn). Nor is a current delete marker that hides anything.
	Still *Info
	// MFA: the caller has shown a valid code, for buckets with MFA delete.
	MFA bool
}

// DeleteResult tells what a delete did.
type DeleteResult struct {
	VersionID    string // of the removed version or the marker made; "" in unversioned buckets
	DeleteMarker bool   // a marker was made, or the removed version was one
}

// CopyInput copies one object version onto a key.
type CopyInput struct {
	Source GetInput
	Dest   PutInput // Body, Size ignored; Expect.Algorithm: wanted checksum, else the source's
	// ReplaceAttributes and ReplaceTags: take Dest's, not the source's.
	ReplaceAttributes, ReplaceTags bool
	// Check is called with the source before anything is written (copy-source conditions).
	Check func(*Info) error
}

// UploadInput starts a multipart upload.
type UploadInput struct {
	Bucket, Key string
	Attributes  Attributes
	Tags        []Tag
	Checksum    Algorithm
	FullObject  bool
	Owner       Owner
	ACL         []byte
	Lock        *Lock // as in PutInput
	Initiator   Initiator
	Seal        *Sealing // nil: SSE-S3
}

// Initiator of an upload.
type Initiator struct{ ID, DisplayName string }

// Upload is a multipart upload under way.
type Upload struct {
	Bucket, Key, UploadID string
	Initiated             time.Time
	StorageClass          string
	Owner                 Owner
	Initiator             Initiator
	Checksum              Algorithm
	FullObject            bool
	Sealed                *Sealed // nil: SSE-S3
}

// PartInput is one part to store. With Source set, its bytes come from there and Body is ignored.
type PartInput struct {
	Bucket, Key, UploadID string
	Number                int
	Body                  io.Reader
	Size                  int64
	Expect                Expected
	Source                *GetInput
	Check                 func(*Info) error
	Unsealer              Unsealer // of the upload's key
}

// Part of an upload or of a finished object.
type Part struct {
	Number   int
	Size     int64
	ETag     string
	Modified time.Time
	Checksum Checksum
	Sealed   *Sealed // of its upload; PutPart tells it
}

// CompleteInput ends an upload. Each part's checksum is compared where it is given.
type CompleteInput struct {
	Bucket, Key, UploadID string
	Parts                 []Part
	If                    Precondition
	Expect                *Checksum // of the whole object, when the client states it
	Size                  *int64    // x-amz-mp-object-size
	// Unsealer is asked for the key of an upload that is not sealed by the store alone, to put the
	// parts' checksums together. An SSE-C upload whose client named no checksum can do without: then
	// the object has none.
	Unsealer Unsealer
}

// ListInput asks for a page of current objects.
type ListInput struct {
	Bucket, Prefix, Delimiter string
	After                     string // keys (and common prefixes) strictly after it
	Max                       int
}

// ListPage is a page of keys, in byte order; Prefixes are the common prefixes of the page.
type ListPage struct {
	Objects   []Info // without Attributes and Tags
	Prefixes  []string
	Truncated bool
	Next      string // pass as After for the next page
}

// ListVersionsInput asks for a page of versions, newest first within a key.
type ListVersionsInput struct {
	Bucket, Prefix, Delimiter  string
	KeyMarker, VersionIDMarker string
	Max                        int
	// Whole fills in attributes and tags, which S3's listings do not show.
	Whole bool
}

// VersionsPage is a page of versions and delete markers.
type VersionsPage struct {
	Versions                           []Info
	Prefixes                           []string
	Truncated                          bool
	NextKeyMarker, NextVersionIDMarker string
}

// ListUploadsInput asks for a page of uploads under way.
type ListUploadsInput struct {
	Bucket, Prefix, Delimiter string
	KeyMarker, UploadIDMarker string
	Max                       int
}

// UploadsPage is a page of uploads.
type UploadsPage struct {
	Uploads                           []Upload
	Prefixes                          []string
	Truncated                         bool
	NextKeyMarker, NextUploadIDMarker string
}

// PartsPage is a page of parts.
type PartsPage struct {
	Upload    Upload
	Parts     []Part
	Truncated bool
	Next      int
}
