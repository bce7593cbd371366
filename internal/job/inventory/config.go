package inventory

// Setting is the prefix of the bucket settings that are inventory configurations: Setting/ID.
const Setting = "inventory"

// Config is an inventory configuration as it is stored: the members of AWS's shape
// InventoryConfiguration that the job acts upon.
type Config struct {
	ID                     string `json:"Id"`
	IsEnabled              bool
	IncludedObjectVersions string
	OptionalFields         []string
	Schedule               struct{ Frequency string }
	Filter                 *struct{ Prefix string }
	Destination            struct{ S3BucketDestination Destination }
}

// Destination is where reports go.
type Destination struct {
	AccountID  string `json:"AccountId"`
	Bucket     string // ARN
	Prefix     string
	Encryption *struct {
		SSES3  *struct{}
		SSEKMS *struct {
			KeyID string `json:"KeyId"`
		}
	}
}
