package events

import (
	"context"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/eventswire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/event"
)

func (e edge) archives() []*api.Op {
	return []*api.Op{
		answer(&eventswire.CreateArchive, api.Write, func(account string, in *eventswire.CreateArchiveInput) ([]authz.Demand, error) {
			return append(on("CreateArchive", account, e.events.ArchiveARN(account, member.Text(in.ArchiveName)), nil),
				on("CreateArchive", account, member.Text(in.EventSourceArn), nil)...), nil
		}, e.createArchive),
		answer(&eventswire.UpdateArchive, api.Write, func(account string, in *eventswire.UpdateArchiveInput) ([]authz.Demand, error) {
			return on("UpdateArchive", account, e.events.ArchiveARN(account, member.Text(in.ArchiveName)), nil), nil
		}, e.updateArchive),
		answer(&eventswire.DeleteArchive, api.Write, func(account string, in *eventswire.DeleteArchiveInput) ([]authz.Demand, error) {
			return on("DeleteArchive", account, e.events.ArchiveARN(account, member.Text(in.ArchiveName)), nil), nil
		}, e.deleteArchive),
		answer(&eventswire.DescribeArchive, api.Read, func(account string, in *eventswire.DescribeArchiveInput) ([]authz.Demand, error) {
			return on("DescribeArchive", account, e.events.ArchiveARN(account, member.Text(in.ArchiveName)), nil), nil
		}, e.describeArchive),
		answer(&eventswire.ListArchives, api.List, everywhere[eventswire.ListArchivesInput]("ListArchives"), e.listArchives),
	}
}

func (e edge) createArchive(ctx context.Context, g authz.Grant, account string, in *eventswire.CreateArchiveInput) (*eventswire.CreateArchiveOutput, error) {
	if err := unsupported(map[string]bool{"KmsKeyIdentifier": member.Text(in.KmsKeyIdentifier) != ""}); err != nil {
		return nil, err
	}
	a, err := e.events.CreateArchive(ctx, g, account, member.Text(in.ArchiveName), member.Text(in.EventSourceArn), event.ArchiveSpec{Description: in.Description, Pattern: in.EventPattern, RetentionDays: in.RetentionDays})
	if err != nil {
		return nil, err
	}
	return &eventswire.CreateArchiveOutput{ArchiveArn: &a.ARN, State: "ENABLED", CreationTime: &a.Created}, nil
}

func (e edge) updateArchive(ctx context.Context, g authz.Grant, account string, in *eventswire.UpdateArchiveInput) (*eventswire.UpdateArchiveOutput, error) {
	if err := unsupported(map[string]bool{"KmsKeyIdentifier": member.Text(in.KmsKeyIdentifier) != ""}); err != nil {
		return nil, err
	}
	a, err := e.events.UpdateArchive(ctx, g, account, member.Text(in.ArchiveName), event.ArchiveSpec{Description: in.Description, Pattern: in.EventPattern, RetentionDays: in.RetentionDays})
	if err != nil {
		return nil, err
	}
	return &eventswire.UpdateArchiveOutput{ArchiveArn: &a.ARN, State: "ENABLED", CreationTime: &a.Created}, nil
}

func (e edge) deleteArchive(ctx context.Context, g authz.Grant, account string, in *eventswire.DeleteArchiveInput) (*eventswire.DeleteArchiveOutput, error) {
	return &eventswire.DeleteArchiveOutput{}, e.events.DeleteArchive(ctx, g, account, member.Text(in.ArchiveName))
}

func (e edge) describeArchive(ctx context.Context, g authz.Grant, account string, in *eventswire.DescribeArchiveInput) (*eventswire.DescribeArchiveOutput, error) {
	a, err := e.events.DescribeArchive(ctx, g, account, member.Text(in.ArchiveName))
	if err != nil {
		return nil, err
	}
	events, bytes := e.events.ArchiveSize(a)
	return &eventswire.DescribeArchiveOutput{
		ArchiveArn: &a.ARN, ArchiveName: &a.Name, EventSourceArn: &a.Source, Description: member.Given(a.Description), EventPattern: member.Given(a.Pattern),
		State: "ENABLED", RetentionDays: new(int32(a.RetentionDays)), SizeBytes: &bytes, EventCount: &events, CreationTime: &a.Created,
	}, nil
}

func (e edge) listArchives(ctx context.Context, g authz.Grant, account string, in *eventswire.ListArchivesInput) (*eventswire.ListArchivesOutput, error) {
	if source := member.Text(in.EventSourceArn); source != "" {
		if err := e.events.BusExists(account, source); err != nil {
			return nil, err
		}
	}
	l, err := e.events.ListArchives(ctx, g, account, member.Text(in.EventSourceArn), page(in.NamePrefix, in.NextToken, in.Limit))
	if err != nil {
		return nil, err
	}
	if in.State != "" && in.State != "ENABLED" {
		l.Items = nil
	}
	return &eventswire.ListArchivesOutput{NextToken: member.Given(l.Next), Archives: member.Every(l.Items, func(a *event.Archive) eventswire.Archive {
		events, bytes := e.events.ArchiveSize(a)
		return eventswire.Archive{
			ArchiveName: &a.Name, EventSourceArn: &a.Source, State: "ENABLED", RetentionDays: new(int32(a.RetentionDays)),
			SizeBytes: &bytes, EventCount: &events, CreationTime: &a.Created,
		}
	})}, nil
}

func (e edge) replays() []*api.Op {
	return []*api.Op{
		answer(&eventswire.StartReplay, api.Write, func(account string, in *eventswire.StartReplayInput) ([]authz.Demand, error) {
			return append(on("StartReplay", account, e.events.ReplayARN(account, member.Text(in.ReplayName)), nil), on("StartReplay", account, member.Text(in.EventSourceArn), nil)...), nil
		}, e.startReplay),
		answer(&eventswire.CancelReplay, api.Write, func(account string, in *eventswire.CancelReplayInput) ([]authz.Demand, error) {
			return on("CancelReplay", account, e.events.ReplayARN(account, member.Text(in.ReplayName)), nil), nil
		}, e.cancelReplay),
		answer(&eventswire.DescribeReplay, api.Read, func(account string, in *eventswire.DescribeReplayInput) ([]authz.Demand, error) {
			return on("DescribeReplay", account, e.events.ReplayARN(account, member.Text(in.ReplayName)), nil), nil
		}, e.describeReplay),
		answer(&eventswire.ListReplays, api.List, everywhere[eventswire.ListReplaysInput]("ListReplays"), e.listReplays),
	}
}

func (e edge) startReplay(ctx context.Context, g authz.Grant, account string, in *eventswire.StartReplayInput) (*eventswire.StartReplayOutput, error) {
	spec := event.ReplaySpec{Description: member.Text(in.Description), Archive: member.Text(in.EventSourceArn)}
	if in.Destination != nil {
		spec.Destination, spec.Rules = member.Text(in.Destination.Arn), in.Destination.FilterArns
	}
	if in.EventStartTime != nil && in.EventEndTime != nil {
		spec.From, spec.Until = *in.EventStartTime, *in.EventEndTime
	}
	r, err := e.events.StartReplay(ctx, g, account, member.Text(in.ReplayName), spec)
	if err != nil {
		return nil, err
	}
	return &eventswire.StartReplayOutput{ReplayArn: &r.ARN, State: "STARTING", ReplayStartTime: &r.Started}, nil
}

func (e edge) cancelReplay(ctx context.Context, g authz.Grant, account string, in *eventswire.CancelReplayInput) (*eventswire.CancelReplayOutput, error) {
	r, err := e.events.CancelReplay(ctx, g, account, member.Text(in.ReplayName))
	if err != nil {
		return nil, err
	}
	return &eventswire.CancelReplayOutput{ReplayArn: &r.ARN, State: "CANCELLING"}, nil
}

func (e edge) describeReplay(ctx context.Context, g authz.Grant, account string, in *eventswire.DescribeReplayInput) (*eventswire.DescribeReplayOutput, error) {
	r, err := e.events.DescribeReplay(ctx, g, account, member.Text(in.ReplayName))
	if err != nil {
		return nil, err
	}
	return &eventswire.DescribeReplayOutput{
		ReplayName: &r.Name, ReplayArn: &r.ARN, Description: member.Given(r.Description), State: eventswire.ReplayState(r.State), StateReason: member.Given(r.Reason),
		EventSourceArn: &r.Archive, Destination: &eventswire.ReplayDestination{Arn: new(e.events.BusARN(account, r.Bus)), FilterArns: r.Rules},
		EventStartTime: &r.From, EventEndTime: &r.Until, EventLastReplayedTime: member.At(r.Last), ReplayStartTime: &r.Started, ReplayEndTime: member.At(r.End),
	}, nil
}

func (e edge) listReplays(ctx context.Context, g authz.Grant, account string, in *eventswire.ListReplaysInput) (*eventswire.ListReplaysOutput, error) {
	l, err := e.events.ListReplays(ctx, g, account, member.Text(in.EventSourceArn), string(in.State), page(in.NamePrefix, in.NextToken, in.Limit))
	if err != nil {
		return nil, err
	}
	return &eventswire.ListReplaysOutput{NextToken: member.Given(l.Next), Replays: member.Every(l.Items, func(r *event.Replay) eventswire.Replay {
		return eventswire.Replay{
			ReplayName: &r.Name, EventSourceArn: &r.Archive, State: eventswire.ReplayState(r.State), StateReason: member.Given(r.Reason),
			EventStartTime: &r.From, EventEndTime: &r.Until, EventLastReplayedTime: member.At(r.Last), ReplayStartTime: &r.Started, ReplayEndTime: member.At(r.End),
		}
	})}, nil
}
