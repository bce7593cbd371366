package s3

import (
	"strings"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/wire/s3wire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/job/inventory"
	"github.com/kura-s3/kura/policy"
)

// Inventory configurations. What they ask for is made by the job of that name, which reads the stored form.

func (s *Service) inventoryOps() []*api.Op {
	all := configurations[
		s3wire.PutBucketInventoryConfigurationInput, s3wire.GetBucketInventoryConfigurationInput,
		s3wire.DeleteBucketInventoryConfigurationInput, s3wire.ListBucketInventoryConfigurationsInput,
		s3wire.GetBucketInventoryConfigurationOutput, s3wire.ListBucketInventoryConfigurationsOutput, s3wire.InventoryConfiguration,
	]{
		setting: inventory.Setting, readAction: "s3:GetInventoryConfiguration", writeAction: "s3:PutInventoryConfiguration",
		put: &s3wire.PutBucketInventoryConfiguration, get: &s3wire.GetBucketInventoryConfiguration,
		delete: &s3wire.DeleteBucketInventoryConfiguration, list: &s3wire.ListBucketInventoryConfigurations,
		of: func(in *s3wire.PutBucketInventoryConfigurationInput) *s3wire.InventoryConfiguration {
			return in.InventoryConfiguration
		},
		id:    func(c *s3wire.InventoryConfiguration) *string { return c.Id },
		check: checkInventory,
		keys:  func(c *s3wire.InventoryConfiguration) authz.Keys { return inventoryKeys{c.OptionalFields} },
		got: func(c *s3wire.InventoryConfiguration) *s3wire.GetBucketInventoryConfigurationOutput {
			return &s3wire.GetBucketInventoryConfigurationOutput{InventoryConfiguration: c}
		},
		listed: func(all []s3wire.InventoryConfiguration, token, next *string, truncated *bool) *s3wire.ListBucketInventoryConfigurationsOutput {
			return &s3wire.ListBucketInventoryConfigurationsOutput{InventoryConfigurationList: all, ContinuationToken: token, NextContinuationToken: next, IsTruncated: truncated}
		},
	}
	return all.ops(s)
}

// inventoryKeys is the condition key of the optional fields that a configuration asks for.
type inventoryKeys struct {
	fields []s3wire.InventoryOptionalField
}

func (k inventoryKeys) Lookup(key string) (policy.Values, bool) {
	if key != "s3:inventoryaccessibleoptionalfields" || len(k.fields) == 0 {
		return policy.Values{}, false
	}
	names := make([]string, len(k.fields))
	for i, f := range k.fields {
		names[i] = string(f)
	}
	return policy.Values{Many: names, Multi: true}, true
}

func checkInventory(c *s3wire.InventoryConfiguration) error {
	if c.IsEnabled == nil || c.IncludedObjectVersions == "" || c.Schedule == nil || c.Schedule.Frequency == "" ||
		c.Destination == nil || c.Destination.S3BucketDestination == nil || c.Filter != nil && c.Filter.Prefix == nil {
		return fault.New(malformedXML, "")
	}
	to := c.Destination.S3BucketDestination
	if to.Bucket == nil || to.Format == "" {
		return fault.New(malformedXML, "")
	}
	if name, ok := strings.CutPrefix(*to.Bucket, "arn:aws:s3:::"); !ok || name == "" || strings.ContainsAny(name, "/*?") {
		return fault.New(invalidDestination, "", "DestinationBucket", *to.Bucket)
	}
	if to.AccountId != nil && !accountID.MatchString(*to.AccountId) {
		return badArgument("The account id is not valid.", "AccountId", *to.AccountId)
	}
	if to.Format != "CSV" {
		return fault.New(api.NotImplemented, "Inventory reports are made in the format CSV only.")
	}
	if e := to.Encryption; e != nil && (e.SSES3 == nil) == (e.SSEKMS == nil) {
		return fault.New(malformedXML, "")
	}
	for _, f := range c.OptionalFields {
		if !inventory.Known(string(f)) {
			return fault.New(api.NotImplemented, "The inventory field "+string(f)+" is not implemented.")
		}
	}
	return nil
}
