package logs

import (
	"context"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/logswire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/logs"
)

func (e edge) streamOps() []*api.Op {
	return []*api.Op{
		on(e, &logswire.CreateLogStream, audit.Management, api.Write, "logs:CreateLogStream",
			func(_ edge, c *api.Call, in *logswire.CreateLogStreamInput) (place, error) {
				return place{account(c), member.Text(in.LogGroupName), member.Text(in.LogStreamName)}, nil
			},
			func(ctx context.Context, g authz.Grant, at place, _ *logswire.CreateLogStreamInput) (*logswire.CreateLogStreamOutput, error) {
				return &logswire.CreateLogStreamOutput{}, e.logs.CreateStream(ctx, g, at.account, at.group, at.stream)
			}),
		on(e, &logswire.DeleteLogStream, audit.Management, api.Write, "logs:DeleteLogStream",
			func(_ edge, c *api.Call, in *logswire.DeleteLogStreamInput) (place, error) {
				return place{account(c), member.Text(in.LogGroupName), member.Text(in.LogStreamName)}, nil
			},
			func(ctx context.Context, g authz.Grant, at place, _ *logswire.DeleteLogStreamInput) (*logswire.DeleteLogStreamOutput, error) {
				return &logswire.DeleteLogStreamOutput{}, e.logs.DeleteStream(ctx, g, at.account, at.group, at.stream)
			}),
		on(e, &logswire.DescribeLogStreams, audit.Management, api.List, "logs:DescribeLogStreams",
			func(e edge, c *api.Call, in *logswire.DescribeLogStreamsInput) (place, error) {
				return e.identified(c, in.LogGroupName, in.LogGroupIdentifier)
			}, e.describeStreams),
	}
}

func (e edge) describeStreams(ctx context.Context, g authz.Grant, at place, in *logswire.DescribeLogStreamsInput) (*logswire.DescribeLogStreamsOutput, error) {
	after, err := afterToken(in.NextToken)
	if err != nil {
		return nil, err
	}
	streams, next, err := e.logs.Streams(ctx, g, at.account, at.group, logs.StreamsWanted{
		Prefix: member.Text(in.LogStreamNamePrefix), ByTime: in.OrderBy == logswire.OrderByLastEventTime, Descending: member.True(in.Descending),
		After: after, Most: pageSize(in.Limit),
	})
	if err != nil {
		return nil, err
	}
	return &logswire.DescribeLogStreamsOutput{NextToken: tokenAfter(next), LogStreams: member.Every(streams, func(s logs.Stream) logswire.LogStream {
		return logswire.LogStream{
			LogStreamName: &s.Name, CreationTime: &s.Created, Arn: new(e.logs.StreamARN(at.account, at.group, s.Name)), UploadSequenceToken: sequenceToken(s.Sequence),
			FirstEventTimestamp: at0(s.First), LastEventTimestamp: at0(s.Last), LastIngestionTime: at0(s.LastIngest),
			StoredBytes: new(int64(0)), // as at AWS since 2019: groups count them
		}
	})}, nil
}

// at0 is a time that is left out when there is none.
func at0(t int64) *int64 {
	if t == 0 {
		return nil
	}
	return &t
}

// sequenceToken is what clients of before 2023 want to see; nobody asks for it any more.
func sequenceToken(n uint64) *string { return new(positionText(logs.Position{Sequence: n})) }
