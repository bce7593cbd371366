package s3

import (
	"bytes"
	"context"
	"encoding/xml"
	"io"
	"net/http"
	"slices"
	"strconv"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/s3/sse"
	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/object"
)

// Replication has operations of its own, which no request of the network can name: what they are asked
// travels in the request's context, as a Go value, and is looked at only in requests that Kura makes
// itself (api.Server.OnBehalf). There is no header, path or parameter that stands for it. Everything else
// is as for any request: the role is the caller, the Guard is asked, the record is written.
var (
	replicateObject = &wire.Operation{
		Service: "s3", Name: "ReplicateObject", Protocol: wire.RestXML, Method: http.MethodPut, URI: "/{Bucket}/{Key+}",
		Status: http.StatusOK, StreamingInput: true,
	}
	readForReplication = &wire.Operation{
		Service: "s3", Name: "GetObjectVersionForReplication", Protocol: wire.RestXML, Method: http.MethodGet, URI: "/{Bucket}/{Key+}",
		Status: http.StatusOK, StreamingInput: true, StreamingOutput: true,
	}
)

// ReplicaRequest asks for one replica.
type ReplicaRequest struct {
	// Source with its version id, and the id of its bucket.
	Source   object.GetInput
	SourceID uint64
	Rule     *object.ReplicationRule
	// DeleteMarker says that the version is one.
	DeleteMarker bool
}

// replicaCall is a ReplicaRequest on its way through the staircase.
type replicaCall struct {
	ReplicaRequest
	elsewhere bool // the destination is not in this store: the bytes are answered
	source    *object.Bucket
	opened    *object.Info
}

type replicaKey struct{}

// replicaOf is what Kura itself asks for in c, nil for every request of the network.
func replicaOf(c *api.Call) *replicaCall {
	if !c.Inside() {
		return nil
	}
	r, _ := c.R.Context().Value(replicaKey{}).(*replicaCall)
	return r
}

// Replicas makes replicas in the name of roles.
type Replicas struct {
	// OnBehalf is api.Server's. Required.
	OnBehalf func(context.Context, *authz.Subject, *http.Request) (*http.Response, error)
}

// ReplicaError is a refused replication, in S3's words.
type ReplicaError struct {
	Status        int
	Code, Message string
}

// Error implements error.
func (e *ReplicaError) Error() string { return e.Code + ": " + e.Message }

// Replicate makes a replica in a bucket of this store.
func (r *Replicas) Replicate(ctx context.Context, as *authz.Subject, in ReplicaRequest) error {
	answer, err := r.send(ctx, as, http.MethodPut, &replicaCall{ReplicaRequest: in})
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	return err
}

// Open reads a version that is to be replicated to somewhere else. The body of a delete marker is
// empty. The caller closes it.
func (r *Replicas) Open(ctx context.Context, as *authz.Subject, in ReplicaRequest) (*object.Info, io.ReadCloser, error) {
	call := &replicaCall{ReplicaRequest: in, elsewhere: true}
	answer, err := r.send(ctx, as, http.MethodGet, call)
	if err != nil {
		return nil, nil, err
	}
	return call.opened, answer.Body, nil
}

func (r *Replicas) send(ctx context.Context, as *authz.Subject, method string, call *replicaCall) (*http.Response, error) {
	ctx = context.WithValue(ctx, replicaKey{}, call)
	request, err := http.NewRequestWithContext(ctx, method, "http://inside/", nil)
	if err != nil {
		return nil, err
	}
	answer, err := r.OnBehalf(ctx, as, request)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode == http.StatusOK {
		return answer, nil
	}
	defer answer.Body.Close()
	refused := &ReplicaError{Status: answer.StatusCode, Code: http.StatusText(answer.StatusCode)}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxErrorBody))
	if err != nil {
		return nil, err
	}
	_ = xml.Unmarshal(body, refused) // what does not read leaves the status to tell
	return nil, refused
}

const maxErrorBody = 64 << 10

func (s *Service) replicaOps() (replicate, read *api.Op) {
	decode := func(c *api.Call, in *replicaCall) error {
		r := replicaOf(c)
		if r == nil {
			return fault.New(api.NotImplemented, "")
		}
		*in = *r
		return nil
	}
	replicate = api.Declare(api.Decl[replicaCall, empty]{
		Wire: replicateObject, Class: audit.Data, Access: api.Write, Decode: decode, Demands: s.replicaDemands, Do: s.replicate,
	})
	read = api.Declare(api.Decl[replicaCall, replicaOutput]{
		Wire: readForReplication, Class: audit.Data, Access: api.Read, Decode: decode, Demands: s.replicaDemands, Do: s.readReplica,
	})
	return replicate, read
}

// routeReplica addresses the operation that Kura itself asks for.
func (s *Service) routeReplica(c *api.Call, r *replicaCall) *api.Op {
	bucket, op := r.Rule.Destination.BucketName(), s.replicas[0]
	if r.elsewhere {
		bucket, op = r.Source.Bucket, s.replicas[1]
	}
	c.Target = &target{level: levelKey, bucket: bucket, key: r.Source.Key}
	c.Event.Bucket, c.Event.Key, c.Event.VersionID = bucket, r.Source.Key, r.Source.VersionID
	return op
}

// replicaDemands are what the role must be allowed: to read the source for this purpose, and to make a
// replica at the destination, by the policies of both sides. The policy of a destination elsewhere is
// judged there.
func (s *Service) replicaDemands(c *api.Call, in *replicaCall) ([]authz.Demand, error) {
	source, err := s.config.Objects.Bucket(in.Source.Bucket)
	if err != nil {
		return nil, err
	}
	in.source = source
	key, dest := in.Source.Key, &in.Rule.Destination
	own := false // the replica stays with the source's account
	to := authz.Resource{ARN: dest.Bucket + "/" + key, Account: source.Owner.Account}
	if !in.elsewhere {
		b, err := s.bucket(c)
		if err != nil {
			return nil, err
		}
		if dest.Account != "" && dest.Account != b.Owner.Account {
			return nil, fault.New(accessDeniedOwner, "The destination bucket is not of account "+dest.Account+".")
		}
		to, own = s.newKeyResource(caller(c), b, key), b.Owner.Account == source.Owner.Account
	}
	read, err := s.keyDemand(c, source, &in.Source, "s3:GetObjectVersionForReplication", leavesWith(source, own, dest.BucketName()))
	if err != nil {
		return nil, err
	}
	action := "s3:ReplicateObject"
	if in.DeleteMarker {
		action = "s3:ReplicateDelete"
	}
	demands := append(c.Need(action, to, s.sealedAsSource(c.R.Context(), &in.Source)), read)
	if dest.Owner != "" && !in.elsewhere && !in.DeleteMarker {
		demands = append(demands, authz.Demand{Action: "s3:ObjectOwnerOverrideToBucketOwner", Resource: to})
	}
	return demands, nil
}

func (s *Service) replicate(ctx context.Context, g authz.Grant, c *api.Call, in *replicaCall) (*empty, error) {
	if err := at(c).undecided(); err != nil {
		return nil, err
	}
	info, err := s.config.Objects.Source(ctx, g, &in.Source)
	if err != nil {
		return nil, err
	}
	u := &unsealer{}
	in.Source.Unsealer = u.begin(s, g, c, in.source, in.Source.Key)
	r := object.ReplicaInput{Source: in.Source, SourceID: in.SourceID, Bucket: at(c).bucket, StorageClass: in.Rule.Destination.StorageClass}
	if !info.DeleteMarker {
		if g, err = s.replicaRights(ctx, g, c, in, info, &r); err != nil {
			return nil, err
		}
	}
	r.Seal = func(ctx context.Context, source *object.Info) (*object.Sealing, error) {
		return s.sealReplica(ctx, g, c, in, source)
	}
	r.Check = func(now *object.Info) error {
		if !slices.Equal(now.Tags, info.Tags) || !bytes.Equal(now.ACL, info.ACL) {
			return fault.New(changedMeanwhile, "") // others than those that were asked about
		}
		return nil
	}
	made, err := s.config.Objects.Replicate(ctx, g, &r)
	if err != nil {
		return nil, err
	}
	c.Event.ObjectSize = made.Size
	return &empty{}, nil
}

// sealReplica gives what the replica of an object under SSE-KMS is sealed with, by the rule.
func (s *Service) sealReplica(ctx context.Context, g authz.Grant, c *api.Call, in *replicaCall, source *object.Info) (*object.Sealing, error) {
	dest := &in.Rule.Destination
	if !source.Sealed.Encryption.KMS() || dest.KMSKey == "" {
		return nil, fault.New(object.KeyRequired, "")
	}
	if err := s.mayUseKMS(c); err != nil {
		return nil, err
	}
	return s.keys.SealReplica(ctx, g, &sse.Want{
		Bucket: at(c).found, Key: in.Source.Key, Kind: source.Sealed.Encryption, KeyID: dest.KMSKey, By: caller(c),
		BucketKey: accessOf(at(c).found).encryption.BucketKeyEnabled,
	})
}

// replicaRights asks for what depends on the source: its ACL must be allowed to be read where it goes
// along; tags without the permission for them stay behind, as on AWS.
func (s *Service) replicaRights(ctx context.Context, g authz.Grant, c *api.Call, in *replicaCall, info *object.Info, r *object.ReplicaInput) (authz.Grant, error) {
	to := at(c).found
	if in.Rule.Destination.Owner != "" || !accessOf(to).ownership.hasACLs() {
		r.Own = func(*object.Info) (object.Owner, []byte) { return to.Owner, nil }
	} else {
		r.Own = func(source *object.Info) (object.Owner, []byte) { return source.Owner, source.ACL }
		if info.ACL != nil {
			d, err := s.keyDemand(c, in.source, &in.Source, "s3:GetObjectVersionAcl", nil)
			if err != nil {
				return g, err
			}
			if g, err = g.Ask(ctx, d); err != nil {
				return g, err
			}
		}
	}
	// Without tags there is nothing to read; taking a replica's own away is writing all the same.
	write := authz.Demand{Action: "s3:ReplicateTags", Resource: s.newKeyResource(caller(c), to, in.Source.Key), Keys: tagKeys{info.Tags}}
	write.Resource.Granted = false // ACLs say nothing about tags
	if r.WithoutTags = !g.May(write); r.WithoutTags || len(info.Tags) == 0 {
		return g, at(c).undecided()
	}
	read, err := s.keyDemand(c, in.source, &in.Source, "s3:GetObjectVersionTagging", nil)
	if err != nil {
		return g, err
	}
	if r.WithoutTags = !g.May(read); r.WithoutTags {
		return g, at(c).undecided()
	}
	if g, err = g.Ask(ctx, read, write); err != nil {
		return g, err
	}
	return g, at(c).undecided()
}

// replicaOutput is a version on its way to somewhere else.
type replicaOutput struct{ object *object.Object }

// Respond streams it.
func (o *replicaOutput) Respond(c *api.Call) error {
	if o.object.Body == nil {
		return c.W.Send(http.StatusOK, "", nil)
	}
	defer o.object.Body.Close()
	c.W.Header().Set("Content-Length", strconv.FormatInt(o.object.Size, 10))
	c.W.WriteHeader(http.StatusOK)
	_, err := io.Copy(&c.W, o.object.Body)
	return err
}

func (s *Service) readReplica(ctx context.Context, g authz.Grant, c *api.Call, in *replicaCall) (*replicaOutput, error) {
	if err := at(c).undecided(); err != nil {
		return nil, err
	}
	u := &unsealer{}
	in.Source.Unsealer = u.begin(s, g, c, in.source, in.Source.Key)
	opened, err := s.config.Objects.OpenSource(ctx, g, &in.Source)
	if err != nil {
		return nil, err
	}
	info := opened.Info
	if len(info.Tags) > 0 {
		read, err := s.keyDemand(c, in.source, &in.Source, "s3:GetObjectVersionTagging", nil)
		if err != nil || !g.May(read) {
			info.Tags = nil
		}
	}
	replicaOf(c).opened = &info
	c.Event.ObjectSize = info.Size
	return &replicaOutput{opened}, nil
}
