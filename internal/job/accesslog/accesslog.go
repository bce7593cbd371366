// Package accesslog is S3's server access logging: the line of a request in AWS's form, and the
// delivery of lines into target buckets as logging.s3.amazonaws.com.
//
// What it promises: one request is one line (a copy two), whatever its key, referer or user agent hold;
// no request waits for a delivery; a line that was taken survives the end of the process; a delivery that
// is repeated replaces the object that it made. A target that refuses gets its lines for a day, and then
// they are dropped, as AWS's best effort allows.
package accesslog

import (
	"encoding/json"
	"errors"

	"github.com/kura-s3/kura/internal/object"
)

// Setting is the name of a bucket's logging configuration in Bucket.Settings.
const Setting = "logging"

// Service is the principal that delivers.
const Service = "logging.s3.amazonaws.com"

// Sources of the date in the names of a partitioned target.
const (
	EventTime    = "EventTime"
	DeliveryTime = "DeliveryTime"
)

// Target is where the lines of a bucket go, as it is stored.
type Target struct {
	Format         int
	Bucket, Prefix string
	// Keys is "" where nothing was said, "Simple", or for partitioned names the source of their date.
	Keys   string  `json:",omitempty"`
	Grants []Grant `json:",omitempty"`
}

// Grant is what somebody gets on log objects.
type Grant struct {
	ID         string `json:",omitempty"`
	URI        string `json:",omitempty"`
	Permission string
}

const format = 1

// Encode gives the stored form.
func (t *Target) Encode() ([]byte, error) {
	t.Format = format
	return json.Marshal(t)
}

var errSetting = errors.New("accesslog: not a logging configuration of a known form")

// TargetOf reads a bucket's configuration; nil when it has none.
func TargetOf(b *object.Bucket) (*Target, error) {
	raw := b.Settings[Setting]
	if raw == nil {
		return nil, nil
	}
	t := &Target{}
	if err := json.Unmarshal(raw, t); err != nil || t.Format != format || t.Bucket == "" {
		return nil, errSetting
	}
	return t, nil
}
