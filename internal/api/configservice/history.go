package configservice

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/configwire"
	"github.com/kura-s3/kura/internal/posture/recorder"
)

func (e edge) history() []*api.Op {
	return []*api.Op{
		answer(e, &configwire.GetResourceConfigHistory, api.Read, nil, nil, e.resourceHistory),
		answer(e, &configwire.ListDiscoveredResources, api.List, nil, nil, e.listDiscovered),
		answer(e, &configwire.GetDiscoveredResourceCounts, api.Read, nil, nil, e.counts),
		answer(e, &configwire.BatchGetResourceConfig, api.Read, nil, nil, e.batchGet),
	}
}

func (e edge) resourceHistory(c call, in *configwire.GetResourceConfigHistoryInput) (*configwire.GetResourceConfigHistoryOutput, error) {
	q := recorder.HistoryInput{Type: string(in.ResourceType), ID: member.Text(in.ResourceId), Forward: in.ChronologicalOrder == "Forward", Limit: 10, Token: member.Text(in.NextToken)}
	if in.Limit != nil && *in.Limit != 0 {
		q.Limit = int(*in.Limit)
	}
	if q.Limit < 0 || q.Limit > 100 {
		return nil, badRule("The limit must be from 0 to 100.")
	}
	for _, bound := range []struct {
		from *time.Time
		to   *time.Time
	}{{in.EarlierTime, &q.Earlier}, {in.LaterTime, &q.Later}} {
		if bound.from != nil {
			*bound.to = *bound.from
		}
	}
	items, token, err := e.recorder.History(c, c.grant, c.account, q)
	return &configwire.GetResourceConfigHistoryOutput{ConfigurationItems: member.Every(items, showItem), NextToken: member.Given(token)}, err
}

func showItem(it *recorder.Item) configwire.ConfigurationItem {
	return configwire.ConfigurationItem{
		Version: new("1.3"), AccountId: &it.Account, ConfigurationItemCaptureTime: &it.Captured, ConfigurationItemStatus: configwire.ConfigurationItemStatus(it.Status),
		ConfigurationStateId: &it.State, ConfigurationItemMD5Hash: new(""), Arn: member.Given(it.ARN), ResourceType: configwire.ResourceType(it.Type), ResourceId: &it.ID,
		ResourceName: member.Given(it.Name), AwsRegion: &it.Region, AvailabilityZone: new("Regional"), ResourceCreationTime: member.At(it.Created), Tags: it.Tags,
		RelatedEvents: it.Related(), Relationships: []configwire.Relationship{}, Configuration: member.Given(it.Configuration),
		SupplementaryConfiguration: supplementary(it), RecordingFrequency: "CONTINUOUS", ConfigurationItemDeliveryTime: &it.Captured,
	}
}

// supplementary is what the item has beside its configuration, and who made the change.
func supplementary(it *recorder.Item) map[string]string {
	m := maps.Clone(it.Supplementary)
	if it.Change != nil {
		if raw, err := json.Marshal(it.Change); err == nil {
			if m == nil {
				m = map[string]string{}
			}
			m["Change"] = string(raw)
		}
	}
	return m
}

func (e edge) listDiscovered(c call, in *configwire.ListDiscoveredResourcesInput) (*configwire.ListDiscoveredResourcesOutput, error) {
	all, err := e.recorder.ListDiscovered(c, c.grant, c.account, recorder.DiscoveredInput{
		Type: string(in.ResourceType), IDs: in.ResourceIds, Name: member.Text(in.ResourceName), Deleted: member.True(in.IncludeDeletedResources),
	})
	if err != nil {
		return nil, err
	}
	all, next, err := page(all, in.NextToken, in.Limit, 100, 100)
	show := func(d recorder.Discovered) configwire.ResourceIdentifier {
		return configwire.ResourceIdentifier{ResourceType: configwire.ResourceType(d.Type), ResourceId: &d.ID, ResourceName: member.Given(d.Name), ResourceDeletionTime: member.At(d.Deleted)}
	}
	return &configwire.ListDiscoveredResourcesOutput{ResourceIdentifiers: member.Every(all, show), NextToken: next}, err
}

func (e edge) counts(c call, in *configwire.GetDiscoveredResourceCountsInput) (*configwire.GetDiscoveredResourceCountsOutput, error) {
	counts, err := e.recorder.Counts(c, c.grant, c.account, in.ResourceTypes)
	if err != nil {
		return nil, err
	}
	total := 0
	for _, n := range counts {
		total += n
	}
	types, next, err := page(slices.Sorted(maps.Keys(counts)), in.NextToken, in.Limit, 100, 100)
	show := func(typ string) configwire.ResourceCount {
		return configwire.ResourceCount{ResourceType: configwire.ResourceType(typ), Count: new(int64(counts[typ]))}
	}
	return &configwire.GetDiscoveredResourceCountsOutput{TotalDiscoveredResources: new(int64(total)), ResourceCounts: member.Every(types, show), NextToken: next}, err
}

func (e edge) batchGet(c call, in *configwire.BatchGetResourceConfigInput) (*configwire.BatchGetResourceConfigOutput, error) {
	out := &configwire.BatchGetResourceConfigOutput{BaseConfigurationItems: []configwire.BaseConfigurationItem{}, UnprocessedResourceKeys: []configwire.ResourceKey{}}
	for _, k := range in.ResourceKeys {
		it, err := e.recorder.Latest(c, c.grant, c.account, string(k.ResourceType), member.Text(k.ResourceId))
		if err != nil {
			return nil, err
		}
		if it == nil {
			continue
		}
		w := showItem(it)
		out.BaseConfigurationItems = append(out.BaseConfigurationItems, configwire.BaseConfigurationItem{
			Version: w.Version, AccountId: w.AccountId, ConfigurationItemCaptureTime: w.ConfigurationItemCaptureTime, ConfigurationItemStatus: w.ConfigurationItemStatus,
			ConfigurationStateId: w.ConfigurationStateId, Arn: w.Arn, ResourceType: w.ResourceType, ResourceId: w.ResourceId, ResourceName: w.ResourceName,
			AwsRegion: w.AwsRegion, AvailabilityZone: w.AvailabilityZone, ResourceCreationTime: w.ResourceCreationTime, Configuration: w.Configuration,
			SupplementaryConfiguration: w.SupplementaryConfiguration, RecordingFrequency: w.RecordingFrequency, ConfigurationItemDeliveryTime: w.ConfigurationItemDeliveryTime,
		})
	}
	return out, nil
}
