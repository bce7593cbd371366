package s3

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/wire/s3wire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/object"
)

func (s *Service) deleteOps() []*api.Op {
	return []*api.Op{
		api.Declare(api.Decl[object.DeleteInput, deleteOutput]{
			Wire: &s3wire.DeleteObject, Class: audit.Data, Access: api.Write, Unsigned: true,
			Decode: decodeDelete,
			Demands: func(c *api.Call, _ *object.DeleteInput) ([]authz.Demand, error) {
				demands, err := s.needKey(c, versioned(c, "s3:DeleteObject", "s3:DeleteObjectVersion"))
				if err != nil {
					return nil, err
				}
				return s.needMatch(c, c.R.Header, demands)
			},
			Do: s.delete,
		}),
		api.Declare(api.Decl[s3wire.DeleteObjectsInput, s3wire.DeleteObjectsOutput]{
			Wire: &s3wire.DeleteObjects, Class: audit.Data, Access: api.Write, Unsigned: true,
			MaxBody: maxDeleteBody, Each: true, Demands: s.deleteManyDemands, Do: s.deleteMany,
		}),
	}
}

// maxDeleteBody holds 1,000 keys of 1,024 bytes, each escaped, with room for their elements.
const maxDeleteBody = 8 << 20

func decodeDelete(c *api.Call, in *object.DeleteInput) error {
	t, h := at(c), c.R.Header
	in.Bucket, in.Key = t.bucket, t.key
	version, named := t.query.lookup("versionId")
	if named && version == "" {
		return badArgument("Version id cannot be the empty string", "versionId", "")
	}
	in.VersionID = version
	in.If.IfMatch = strings.Trim(first(h, "If-Match"), `"`)
	if text := first(h, "X-Amz-If-Match-Size"); text != "" {
		size, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return badArgument("Invalid value for x-amz-if-match-size", "x-amz-if-match-size", text)
		}
		in.If.IfSize = &size
	}
	if text := first(h, "X-Amz-If-Match-Last-Modified-Time"); text != "" {
		when, err := http.ParseTime(text)
		if err != nil {
			return badArgument("Invalid value for x-amz-if-match-last-modified-time", "x-amz-if-match-last-modified-time", text)
		}
		in.If.IfModified = &when
	}
	return nil
}

func (s *Service) delete(ctx context.Context, g authz.Grant, c *api.Call, in *object.DeleteInput) (*deleteOutput, error) {
	config, err := at(c).found.ObjectLock()
	if err != nil {
		return nil, err
	}
	if config == nil && bypasses(c.R.Header) {
		return nil, fault.New(invalidArgument, "x-amz-bypass-governance-retention is only applicable to Object Lock enabled buckets.", "ArgumentName", "x-amz-bypass-governance-retention")
	}
	if in.MFA, err = s.showMFA(ctx, c); err != nil {
		return nil, err
	}
	result, err := s.config.Objects.Delete(ctx, g, in)
	if fault.Is(err, object.Governed) && bypasses(c.R.Header) {
		if g, err = s.askBypass(ctx, g, c, addressed(c), nil); err != nil {
			return nil, err
		}
		in.BypassGovernance = true
		result, err = s.config.Objects.Delete(ctx, g, in)
	}
	return &deleteOutput{result}, err
}

// deleteOutput is the answer of DeleteObject: headers only.
type deleteOutput struct{ result *object.DeleteResult }

// Respond tells which version or marker it was.
func (o *deleteOutput) Respond(c *api.Call) error {
	h := c.W.Header()
	if o.result.VersionID != "" {
		h["X-Amz-Version-Id"] = []string{o.result.VersionID}
	}
	if o.result.DeleteMarker {
		h["X-Amz-Delete-Marker"] = []string{"true"}
	}
	return c.W.Send(http.StatusNoContent, "", nil)
}

// deleteManyDemands: DeleteObjects has no permission of its own; each key needs its own, and a
// refused key becomes an entry of the answer.
func (s *Service) deleteManyDemands(c *api.Call, in *s3wire.DeleteObjectsInput) ([]authz.Demand, error) {
	b, err := s.bucket(c)
	if err != nil {
		return nil, err
	}
	if in.Delete == nil || len(in.Delete.Objects) == 0 || len(in.Delete.Objects) > object.MaxList {
		return nil, fault.New(malformedXML, "")
	}
	demands := make([]authz.Demand, len(in.Delete.Objects))
	for i := range in.Delete.Objects {
		o := &in.Delete.Objects[i]
		if o.Key == nil || *o.Key == "" {
			return nil, fault.New(malformedXML, "")
		}
		demands[i], err = s.deleteDemand(c, b, o)
		if err != nil {
			return nil, err
		}
	}
	return demands, nil
}

func (s *Service) deleteDemand(c *api.Call, b *object.Bucket, o *s3wire.ObjectIdentifier) (authz.Demand, error) {
	in := &object.GetInput{Bucket: b.Name, Key: *o.Key}
	action := "s3:DeleteObject"
	if o.VersionId != nil && *o.VersionId != "" {
		action, in.VersionID = "s3:DeleteObjectVersion", *o.VersionId
	}
	return s.keyDemand(c, b, in, action, nil)
}

func (s *Service) deleteMany(ctx context.Context, g authz.Grant, c *api.Call, in *s3wire.DeleteObjectsInput) (*s3wire.DeleteObjectsOutput, error) {
	out := &s3wire.DeleteObjectsOutput{}
	shown, err := s.showMFA(ctx, c)
	if err != nil {
		return nil, err
	}
	inputs := make([]*object.DeleteInput, 0, len(in.Delete.Objects))
	grants := make([]authz.Grant, 0, len(in.Delete.Objects))
	asked := make([]*audit.Part, 0, len(in.Delete.Objects)) // of inputs
	c.Event.Parts = make([]audit.Part, len(in.Delete.Objects))
	for i := range in.Delete.Objects {
		o, part := &in.Delete.Objects[i], &c.Event.Parts[i]
		*part = audit.Part{Operation: "DeleteObject", Bucket: at(c).bucket, Key: *o.Key, Status: http.StatusNoContent}
		if o.VersionId != nil {
			part.VersionID = *o.VersionId
		}
		one, err := s.deleteOne(ctx, g, c, o, c.Refused[i])
		if err != nil {
			out.Errors = append(out.Errors, deleteError(o, part, err))
			continue
		}
		one.MFA = shown
		inputs, grants, asked = append(inputs, one), append(grants, g), append(asked, part)
	}
	quiet := in.Delete.Quiet != nil && *in.Delete.Quiet
	outcomes := s.config.Objects.DeleteMany(ctx, grants, inputs)
	if bypasses(c.R.Header) {
		s.bypassMany(ctx, c, grants, inputs, outcomes)
	}
	for i, outcome := range outcomes {
		o := &s3wire.ObjectIdentifier{Key: &inputs[i].Key}
		if inputs[i].VersionID != "" {
			o.VersionId = &inputs[i].VersionID
		}
		switch {
		case outcome.Err != nil:
			out.Errors = append(out.Errors, deleteError(o, asked[i], outcome.Err))
		case !quiet:
			out.Deleted = append(out.Deleted, deletedEntry(o, outcome.Result))
		}
	}
	return out, nil
}

// deleteOne is one deletion of many, if it may be tried.
func (s *Service) deleteOne(ctx context.Context, g authz.Grant, c *api.Call, o *s3wire.ObjectIdentifier, refused error) (*object.DeleteInput, error) {
	if refused != nil {
		return nil, refused
	}
	one, err := deleteInput(at(c).bucket, o)
	if err != nil {
		return nil, err
	}
	return one, s.askMatch(ctx, g, c, o)
}

// bypassMany tries those again that a governance retention kept, as far as the caller may overrule it.
func (s *Service) bypassMany(ctx context.Context, c *api.Call, grants []authz.Grant, inputs []*object.DeleteInput, outcomes []object.DeleteOutcome) {
	var kept []int
	var granted []authz.Grant
	var again []*object.DeleteInput
	for i := range outcomes {
		if !fault.Is(outcomes[i].Err, object.Governed) {
			continue
		}
		in := inputs[i]
		g, err := s.askBypass(ctx, grants[i], c, &object.GetInput{Bucket: in.Bucket, Key: in.Key, VersionID: in.VersionID}, nil)
		if err != nil {
			outcomes[i].Err = err
			continue
		}
		in.BypassGovernance = true
		kept, granted, again = append(kept, i), append(granted, g), append(again, in)
	}
	if len(again) == 0 {
		return
	}
	for i, outcome := range s.config.Objects.DeleteMany(ctx, granted, again) {
		outcomes[kept[i]] = outcome
	}
}

// askMatch asks what a condition on a key of a multi-delete needs: see needMatch.
func (s *Service) askMatch(ctx context.Context, g authz.Grant, c *api.Call, o *s3wire.ObjectIdentifier) error {
	if o.ETag == nil && o.Size == nil && o.LastModifiedTime == nil {
		return nil
	}
	b := at(c).found
	d, err := s.keyDemand(c, b, &object.GetInput{Bucket: b.Name, Key: *o.Key}, "s3:GetObject", nil)
	if err != nil {
		return err
	}
	_, err = g.Ask(ctx, d)
	return err
}

func deleteInput(bucket string, o *s3wire.ObjectIdentifier) (*object.DeleteInput, error) {
	in := &object.DeleteInput{Bucket: bucket, Key: *o.Key}
	if err := checkKey(in.Key); err != nil {
		return nil, err
	}
	if o.VersionId != nil {
		in.VersionID = *o.VersionId
	}
	if o.ETag != nil {
		in.If.IfMatch = strings.Trim(*o.ETag, `"`)
	}
	in.If.IfSize = o.Size
	if o.LastModifiedTime != nil {
		when := o.LastModifiedTime.Truncate(time.Second)
		in.If.IfModified = &when
	}
	return in, nil
}

func deletedEntry(o *s3wire.ObjectIdentifier, r *object.DeleteResult) s3wire.DeletedObject {
	entry := s3wire.DeletedObject{Key: o.Key, VersionId: o.VersionId}
	if r.DeleteMarker {
		yes := true
		entry.DeleteMarker = &yes
		entry.DeleteMarkerVersionId = &r.VersionID
	}
	return entry
}

// deleteError is the answer's entry for a key that was not deleted; its record says so too.
func deleteError(o *s3wire.ObjectIdentifier, part *audit.Part, err error) s3wire.Error {
	f, a := explain(err)
	message := a.message
	if f.Message != "" {
		message = f.Message
	}
	part.Status, part.ErrorCode, part.ErrorText = a.status, a.code, message
	return s3wire.Error{Key: o.Key, VersionId: o.VersionId, Code: &a.code, Message: &message}
}
