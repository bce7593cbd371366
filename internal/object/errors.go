package object

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strconv"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/seal"
)

func noSuchBucket(name string) error { return fault.New(NoSuchBucket, "", "BucketName", name) }

func noSuchKey(key string) error { return fault.New(NoSuchKey, "", "Key", key) }

func noSuchVersion(key, id string) error {
	return fault.New(NoSuchVersion, "", "Key", key, "VersionId", id)
}

func noSuchUpload(id string) error { return fault.New(NoSuchUpload, "", "UploadId", id) }

func preconditionFailed(condition string) error {
	return fault.New(PreconditionFailed, "", "Condition", condition)
}

func invalidRequest(message string) error { return fault.New(InvalidRequest, message) }

func tooLarge(size, limit int64) error {
	return fault.New(EntityTooLarge, "",
		"ProposedSize", strconv.FormatInt(size, 10), "MaxSizeAllowed", strconv.FormatInt(limit, 10))
}

func damaged(what string, cause error) error {
	if cause == nil {
		cause = errors.New(what)
	}
	return &fault.Error{Kind: Damaged, Cause: cause}
}

func badMD5(expected, calculated []byte) error {
	return fault.New(BadMD5, "",
		"ExpectedDigest", base64.StdEncoding.EncodeToString(expected),
		"CalculatedDigest", hex.EncodeToString(calculated))
}

// stored turns an engine's failure into ours where a client may hear more than "internal error".
func stored(err error) error {
	switch {
	case err == nil || fault.Of(err) != "":
		return err
	case errors.Is(err, engine.ErrNoSpace):
		return &fault.Error{Kind: OutOfSpace, Cause: err}
	case errors.Is(err, seal.ErrDamaged), errors.Is(err, engine.ErrDamaged), errors.Is(err, errRecord):
		return damaged("", err)
	}
	return err
}
