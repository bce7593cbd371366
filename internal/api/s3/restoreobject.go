package s3

import (
	"context"
	"net/http"
	"time"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/wire/s3wire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/job/lifecycle"
	"github.com/kura-s3/kura/internal/object"
)

// Archived versions (GLACIER, DEEP_ARCHIVE) lie on the same media as all others, so restoring one takes
// no time: the answer is S3's all the same, and reads are refused before it and after its end.

func (s *Service) restoreOps() []*api.Op {
	return []*api.Op{
		api.Declare(api.Decl[s3wire.RestoreObjectInput, restoreOutput]{
			Wire: &s3wire.RestoreObject, Class: audit.Data, Access: api.Write, Unsigned: true,
			Demands: func(c *api.Call, _ *s3wire.RestoreObjectInput) ([]authz.Demand, error) {
				return s.needKey(c, "s3:RestoreObject")
			},
			Do: s.restore,
		}),
	}
}

// restoreOutput is the answer of RestoreObject.
type restoreOutput struct{ again bool }

// Respond says 202 for a new restore and 200 for a longer one.
func (o *restoreOutput) Respond(c *api.Call) error {
	if o.again {
		return c.W.Send(http.StatusOK, "", nil)
	}
	return c.W.Send(http.StatusAccepted, "", nil)
}

func (s *Service) restore(ctx context.Context, g authz.Grant, c *api.Call, in *s3wire.RestoreObjectInput) (*restoreOutput, error) {
	r := in.RestoreRequest
	switch {
	case r == nil:
		return nil, fault.New(malformedXML, "")
	case r.Type != "" || r.SelectParameters != nil || r.OutputLocation != nil:
		return nil, fault.New(api.NotImplemented, "")
	case r.Days == nil:
		return nil, fault.New(malformedXML, "")
	case *r.Days < 1:
		return nil, fault.New(invalidArgument, "'Days' for RestoreObject must be a positive integer", "ArgumentName", "Days")
	}
	if err := at(c).undecided(); err != nil {
		return nil, err
	}
	key := addressed(c)
	until := lifecycle.Due(time.Now(), int(*r.Days), s.config.LifecycleDay)
	_, again, err := s.config.Objects.Restore(ctx, g, key, until)
	if err != nil {
		return nil, s.hide(g, at(c).found, key.Key, err)
	}
	return &restoreOutput{again}, nil
}

// tellRestore says on the answer about an archived version until when it can be read.
func tellRestore(h http.Header, info *object.Info) {
	if readable(info) {
		h.Set("X-Amz-Restore", `ongoing-request="false", expiry-date="`+info.Restored.Format(http.TimeFormat)+`"`)
	}
}

// readable tells whether an archived version was restored, and is still.
func readable(info *object.Info) bool { return time.Now().Before(info.Restored) }
