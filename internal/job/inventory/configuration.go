package inventory

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/object"
)

// Setting is the prefix of the bucket settings that are inventory configurations: Setting/ID.
const Setting = "inventory"

// configuration is an inventory configuration as it is stored: the members of AWS's shape
// InventoryConfiguration.
type configuration struct {
	ID                     string `json:"Id"`
	IsEnabled              bool
	IncludedObjectVersions string // All, Current
	OptionalFields         []string
	Schedule               struct{ Frequency string }
	Filter                 struct{ Prefix string }
	Destination            struct{ S3BucketDestination destination }
}

// destination is where reports go.
type destination struct {
	AccountID  string `json:"AccountId"` // who must own the bucket, "" whoever does
	Bucket     string // ARN
	Prefix     string
	Encryption *struct {
		SSES3  *struct{}
		SSEKMS *struct {
			KeyID string `json:"KeyId"`
		}
	}
}

// configurations of a bucket that are switched on, by id.
func configurations(b *object.Bucket) (map[string]*configuration, error) {
	var all map[string]*configuration
	for name, raw := range b.Settings {
		id, ok := strings.CutPrefix(name, Setting+"/")
		if !ok {
			continue
		}
		c := &configuration{}
		if err := json.Unmarshal(raw, c); err != nil {
			return nil, err
		}
		if all == nil {
			all = map[string]*configuration{}
		}
		if c.IsEnabled {
			all[id] = c
		}
	}
	return all, nil
}

// every is the time between two reports, in days of the given length.
func (c *configuration) every(day time.Duration) time.Duration {
	if c.Schedule.Frequency == "Weekly" {
		return 7 * day
	}
	return day
}

func (c *configuration) allVersions() bool { return c.IncludedObjectVersions == "All" }

// columns of the report, in the order in which S3 has them.
func (c *configuration) columns() []string {
	names := []string{"Bucket", "Key"}
	if c.allVersions() {
		names = append(names, "VersionId", "IsLatest", "IsDeleteMarker")
	}
	wanted := map[string]bool{}
	for _, f := range c.OptionalFields {
		wanted[f] = true
	}
	for _, f := range order {
		if wanted[f] {
			names = append(names, f)
		}
	}
	return names
}

// bucket is the name of the destination.
func (d *destination) bucket() string { return strings.TrimPrefix(d.Bucket, "arn:aws:s3:::") }

// path is a key below the destination's prefix.
func (d *destination) path(parts ...string) string {
	path := strings.Join(parts, "/")
	if d.Prefix == "" {
		return path
	}
	return strings.TrimSuffix(d.Prefix, "/") + "/" + path
}
