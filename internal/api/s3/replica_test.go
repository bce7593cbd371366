package s3

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/object"
	"github.com/kura-s3/kura/policy"
)

// sendReplica asks for an operation of replication in the name of u.
func (h *harness) sendReplica(u user, op *api.Op) *httptest.ResponseRecorder {
	h.t.Helper()
	as := &authz.Subject{Principal: policy.Principal{Type: policy.Anonymous}}
	if c, ok := h.users[u.key]; ok {
		as = &c.Subject
	}
	call := &replicaCall{elsewhere: op == h.service.replicas[1], ReplicaRequest: ReplicaRequest{
		Source: object.GetInput{Bucket: "bucket", Key: "key", VersionID: "null"},
		Rule:   &object.ReplicationRule{Destination: object.ReplicationDestination{Bucket: "arn:aws:s3:::bucket"}},
	}}
	ctx := context.WithValue(context.WithValue(h.t.Context(), byRequest{}, true), replicaKey{}, call)
	r := httptest.NewRequest(op.Wire().Method, "http://inside/", nil)
	answer, err := h.server.OnBehalf(ctx, as, r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	w := httptest.NewRecorder()
	w.Code = answer.StatusCode
	_, _ = w.Body.Write(body)
	return w
}

// replicator is the role that replicates in these tests, with the policy that the User Guide gives it.
var replicator = user{"AKIAREPLICATORREPLI1", "replicator-secret"}

const replicatorPolicy = `{"Version":"2012-10-17","Statement":[
	{"Effect":"Allow","Action":["s3:GetObjectVersionForReplication","s3:GetObjectVersionAcl","s3:GetObjectVersionTagging"],"Resource":"arn:aws:s3:::source/*"},
	{"Effect":"Allow","Action":["s3:ReplicateObject","s3:ReplicateDelete","s3:ReplicateTags","s3:ObjectOwnerOverrideToBucketOwner"],"Resource":"arn:aws:s3:::copies/*"}]}`

const copiesAccount = "444455556666"

var copier = user{"AKIAOTHEROTHEROTHER1", "other-secret"}

// replication makes "source", and "copies" of another account.
func (h *harness) replication() {
	h.t.Helper()
	h.addUser(replicator, "replicator", replicatorPolicy)
	h.addUserOf(copiesAccount, copier, "copier", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`)
	const versioning = `<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>`
	for bucket, owner := range map[string]user{"source": admin, "copies": copier} {
		h.must(owner, "PUT", "/"+bucket, "")
		h.must(owner, "PUT", "/"+bucket+"?versioning", versioning, "Content-Md5", checksumOfBody(versioning))
	}
}

func (h *harness) configureReplication(body string) *httptest.ResponseRecorder {
	h.t.Helper()
	return h.do(admin, "PUT", "/source?replication", body, "Content-Md5", checksumOfBody(body))
}

// letIn is the policy of a destination that accepts the role's replicas.
func (h *harness) letIn(actions string) {
	h.t.Helper()
	doc := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:user/replicator"},
		"Action":[` + actions + `],"Resource":"arn:aws:s3:::copies/*"}}`
	h.must(copier, "PUT", "/copies?policy", doc, "Content-Md5", checksumOfBody(doc))
}

// carry makes the replica of a version.
func (h *harness) carry(key, version string, marker bool) error {
	h.t.Helper()
	source, err := h.objects.Bucket("source")
	if err != nil {
		h.t.Fatal(err)
	}
	replicas := &Replicas{OnBehalf: h.server.OnBehalf}
	return replicas.Replicate(h.t.Context(), &h.users[replicator.key].Subject, ReplicaRequest{
		Source: object.GetInput{Bucket: "source", Key: key, VersionID: version}, SourceID: source.ID, DeleteMarker: marker,
		Rule: &source.Replication().Rules[0],
	})
}

func refusedWith(t *testing.T, err error, code string) {
	t.Helper()
	if e, ok := err.(*ReplicaError); !ok || e.Code != code {
		t.Errorf("%v, want %s", err, code)
	}
}

func TestReplicasNeedBothSides(t *testing.T) {
	h := newHarness(t)
	h.replication()
	want(t, h.configureReplication(replicationSample), 200, "")
	put := h.must(admin, "PUT", "/source/key", "content", "X-Amz-Tagging", "a=b", "X-Amz-Meta-Color", "red")
	version := put.Header().Get("X-Amz-Version-Id")
	if got := h.must(admin, "HEAD", "/source/key", "").Header().Get("X-Amz-Replication-Status"); got != "PENDING" {
		t.Errorf("status %q", got)
	}
	refusedWith(t, h.carry("key", version, false), "AccessDenied")
	h.letIn(`"s3:PutObject"`) // which is something else
	refusedWith(t, h.carry("key", version, false), "AccessDenied")
	h.letIn(`"s3:ReplicateObject"`)
	if err := h.carry("key", version, false); err != nil {
		t.Fatal(err)
	}
	got := h.must(copier, "GET", "/copies/key", "")
	colour := got.Header()[strings.ToLower("X-Amz-Meta-Color")] // as it is spelt on the wire
	if got.Body.String() != "content" || got.Header().Get("X-Amz-Replication-Status") != "REPLICA" || got.Header().Get("X-Amz-Version-Id") != version ||
		got.Header().Get("ETag") != put.Header().Get("ETag") || len(colour) != 1 || colour[0] != "red" {
		t.Errorf("replica: %v %s", got.Header(), got.Body)
	}
	if tags := h.must(copier, "GET", "/copies/key?tagging", "").Body.String(); strings.Contains(tags, "<Key>a</Key>") {
		t.Errorf("tags came without s3:ReplicateTags: %s", tags)
	}
	h.letIn(`"s3:ReplicateObject","s3:ReplicateTags"`)
	if err := h.carry("key", version, false); err != nil {
		t.Fatal(err)
	}
	if tags := h.must(copier, "GET", "/copies/key?tagging", "").Body.String(); !strings.Contains(tags, "<Key>a</Key>") {
		t.Errorf("no tags: %s", tags)
	}
	marker := h.must(admin, "DELETE", "/source/key", "").Header().Get("X-Amz-Version-Id")
	refusedWith(t, h.carry("key", marker, true), "AccessDenied")
	h.letIn(`"s3:ReplicateDelete"`)
	if err := h.carry("key", marker, true); err != nil {
		t.Fatal(err)
	}
	if w := h.do(copier, "GET", "/copies/key", ""); w.Code != 404 || w.Header().Get("X-Amz-Version-Id") != marker {
		t.Errorf("behind the marker: %d %v", w.Code, w.Header())
	}
	h.must(admin, "DELETE", "/source/key?versionId="+version, "")
	h.must(copier, "GET", "/copies/key?versionId="+version, "")
	h.letIn(`"s3:ReplicateObject"`)
	refusedWith(t, h.carry("key", version, false), "NoSuchVersion")
}

func TestNoRequestOfTheNetworkReplicates(t *testing.T) {
	h := newHarness(t)
	h.replication()
	want(t, h.configureReplication(replicationSample), 200, "")
	version := h.must(admin, "PUT", "/source/key", "content").Header().Get("X-Amz-Version-Id")
	// Even with the value in its context, a request from outside is what its method and path say.
	call := &replicaCall{ReplicaRequest: ReplicaRequest{Source: object.GetInput{Bucket: "source", Key: "key", VersionID: version},
		Rule: &object.ReplicationRule{Destination: object.ReplicationDestination{Bucket: "arn:aws:s3:::copies"}}}}
	r := h.request(admin, "PUT", "/source/other", "mine")
	w := httptest.NewRecorder()
	h.serve(w, r.WithContext(context.WithValue(r.Context(), replicaKey{}, call)))
	if w.Code != http.StatusOK || h.recorder.events[len(h.recorder.events)-1].Operation != "PutObject" {
		t.Errorf("%d %s", w.Code, h.recorder.events[len(h.recorder.events)-1].Operation)
	}
	// Nor does any header make a replica of an upload.
	for _, header := range []string{"X-Amz-Replication-Status", "X-Amz-Meta-X-Amz-Replication-Status", "X-Kura-Replica", "X-Amz-Version-Id"} {
		h.must(admin, "PUT", "/source/forged", "x", header, "REPLICA")
		if got := h.must(admin, "HEAD", "/source/forged", "").Header().Get("X-Amz-Replication-Status"); got != "PENDING" {
			t.Errorf("%s: status %q", header, got)
		}
	}
}

func TestReplicationConfigurations(t *testing.T) {
	h := newHarness(t)
	h.replication()
	with := func(old, replacement string) string {
		if !strings.Contains(replicationSample, old) {
			t.Fatalf("no %q in the sample", old)
		}
		return strings.Replace(replicationSample, old, replacement, 1)
	}
	const filter, markers = "<Filter><Prefix></Prefix></Filter>", "<DeleteMarkerReplication><Status>Enabled</Status></DeleteMarkerReplication>"
	for name, c := range map[string]struct {
		body, code, message string
	}{
		"no priority":           {with("<Priority>1</Priority>", ""), "InvalidRequest", "Priority must be specified"},
		"no marker element":     {with(markers, ""), "InvalidRequest", "DeleteMarkerReplication must be specified"},
		"markers by tag":        {with(filter, "<Filter><Tag><Key>a</Key><Value>b</Value></Tag></Filter>"), "InvalidRequest", "Delete marker replication is not supported"},
		"two forms":             {with(filter, filter+"<Prefix></Prefix>"), "MalformedXML", ""},
		"neither form":          {with(filter, ""), "MalformedXML", ""},
		"unknown destination":   {with(":::copies", ":::nowhere"), "InvalidRequest", "Destination bucket must exist."},
		"itself":                {with(":::copies", ":::source"), "InvalidRequest", "cannot be the same"},
		"no bucket":             {with("arn:aws:s3:::copies", "copies"), "InvalidArgument", ""},
		"no role":               {with("arn:aws:iam::111122223333:role/copier", "copier"), "InvalidArgument", "Invalid IAM role"},
		"another's role":        {with("111122223333", copiesAccount), "InvalidArgument", "Invalid IAM role"},
		"owner without account": {with("</Destination>", "<AccessControlTranslation><Owner>Destination</Owner></AccessControlTranslation></Destination>"), "InvalidRequest", ""},
		"kms without key": {with("<Destination>", "<SourceSelectionCriteria><SseKmsEncryptedObjects><Status>Enabled</Status></SseKmsEncryptedObjects></SourceSelectionCriteria><Destination>"),
			"InvalidRequest", "EncryptionConfiguration must be specified"},
		"time without metrics": {with("</Destination>", "<ReplicationTime><Status>Enabled</Status><Time><Minutes>15</Minutes></Time></ReplicationTime></Destination>"), "InvalidRequest", ""},
		"status":               {with("<Status>Enabled</Status><Del", "<Status>On</Status><Del"), "MalformedXML", ""},
		"no rules":             {`<ReplicationConfiguration><Role>arn:aws:iam::111122223333:role/copier</Role></ReplicationConfiguration>`, "MalformedXML", ""},
		"another service":      {with("</Destination>", "<StorageClass>OUTPOSTS</StorageClass></Destination>"), "InvalidStorageClass", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := h.configureReplication(c.body)
			if code(w) != c.code || !strings.Contains(w.Body.String(), c.message) {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	want(t, h.do(admin, "GET", "/source?replication", ""), 404, "ReplicationConfigurationNotFoundError")
	body := with("</Destination>", `<Account>444455556666</Account><StorageClass>STANDARD_IA</StorageClass><AccessControlTranslation><Owner>Destination</Owner></AccessControlTranslation>`+
		`<ReplicationTime><Status>Enabled</Status><Time><Minutes>15</Minutes></Time></ReplicationTime><Metrics><Status>Enabled</Status><EventThreshold><Minutes>15</Minutes></EventThreshold></Metrics></Destination>`)
	want(t, h.configureReplication(body), 200, "")
	got := h.must(admin, "GET", "/source?replication", "").Body.String()
	for _, element := range []string{"<Role>arn:aws:iam::111122223333:role/copier</Role>", "<ID>all</ID>", "<Priority>1</Priority>", "<Filter><Prefix></Prefix></Filter>",
		"<Account>444455556666</Account>", "<StorageClass>STANDARD_IA</StorageClass>", "<Owner>Destination</Owner>", "<Time><Minutes>15</Minutes></Time>",
		"<EventThreshold><Minutes>15</Minutes></EventThreshold>", markers} {
		if !strings.Contains(got, element) {
			t.Errorf("no %s in %s", element, got)
		}
	}
	const suspended = `<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>`
	want(t, h.do(admin, "PUT", "/source?versioning", suspended, "Content-Md5", checksumOfBody(suspended)), 409, "InvalidBucketState")
	want(t, h.do(admin, "DELETE", "/source?replication", ""), 204, "")
	want(t, h.do(admin, "GET", "/source?replication", ""), 404, "ReplicationConfigurationNotFoundError")
	h.must(copier, "PUT", "/copies?versioning", suspended, "Content-Md5", checksumOfBody(suspended))
	want(t, h.configureReplication(replicationSample), 400, "InvalidRequest")
}

func TestConfiguringReplicationPassesARole(t *testing.T) {
	h := newHarness(t)
	h.replication()
	operator := user{"AKIAOPERATOROPERATO1", "operator-secret"}
	for document, status := range map[string]int{
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}`:                                                                                                403,
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"},{"Effect":"Allow","Action":"iam:PassRole","Resource":"arn:aws:iam::111122223333:role/other"}]}`: 403,
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"},{"Effect":"Allow","Action":"iam:PassRole","Resource":"arn:aws:iam::111122223333:role/copier",
			"Condition":{"StringEquals":{"iam:PassedToService":"s3.amazonaws.com"}}}]}`: 200,
	} {
		h.addUser(operator, "operator", document)
		w := h.do(operator, "PUT", "/source?replication", replicationSample, "Content-Md5", checksumOfBody(replicationSample))
		if w.Code != status {
			t.Errorf("%s\nanswered %d %s", document, w.Code, w.Body)
		}
	}
}
