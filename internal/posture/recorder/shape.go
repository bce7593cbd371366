package recorder

import (
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/posture"
	"github.com/kura-s3/kura/policy"
)

// The configurations of items, in the shapes that AWS Config gives them.

// describe fills in configuration and supplementary configuration.
func (it *Item) describe(r *posture.Resource) error {
	var configuration any
	supplementary := map[string]any{}
	switch {
	case r.Bucket != nil:
		configuration = describeBucket(r, supplementary)
	case r.Block != nil:
		configuration = blockShape(r.Block.PublicAccessBlock)
		supplementary["Configured"] = r.Block.Set
	case r.Entity != nil:
		configuration = describeEntity(r.Entity)
	case r.Key != nil:
		configuration = describeKey(r.Key, supplementary)
	case r.Trail != nil:
		configuration = describeTrail(r.Trail)
	}
	if r.Broken != nil {
		supplementary["Unreadable"] = r.Broken.Error()
	}
	raw, err := json.Marshal(configuration)
	if err != nil {
		return err
	}
	it.Configuration = string(raw)
	for name, value := range supplementary {
		raw, err := json.Marshal(value)
		if err != nil {
			return err
		}
		if it.Supplementary == nil {
			it.Supplementary = map[string]string{}
		}
		it.Supplementary[name] = string(raw)
	}
	return nil
}

type object = map[string]any

func blockShape(b policy.PublicAccessBlock) object {
	return object{
		"blockPublicAcls": b.BlockPublicACLs, "ignorePublicAcls": b.IgnorePublicACLs,
		"blockPublicPolicy": b.BlockPublicPolicy, "restrictPublicBuckets": b.RestrictPublicBuckets,
	}
}

// settingShapes are the names under which settings of a bucket that have no shape of their own are shown,
// as they are stored.
var settingShapes = map[string]string{
	"cors": "BucketCrossOriginConfiguration", "lifecycle": "BucketLifecycleConfiguration", "logging": "BucketLoggingConfiguration",
	"notification": "BucketNotificationConfiguration", "replication": "BucketReplicationConfiguration", "website": "BucketWebsiteConfiguration",
	"objectLock": "ObjectLockConfiguration", "ownershipControls": "OwnershipControls",
	"accelerate": "BucketAccelerateConfiguration", "requestPayment": "IsRequesterPaysEnabled",
}

func describeBucket(r *posture.Resource, supplementary object) object {
	b := r.Bucket
	owner := object{"displayName": nil, "id": b.Canonical}
	grants := make([]object, 0, len(b.ACL))
	for _, g := range b.ACL {
		grantee := any(object{"id": g.ID, "displayName": nil})
		if g.URI != "" {
			grantee = groupNames[g.URI]
		}
		grants = append(grants, object{"grantee": grantee, "permission": permissionNames[g.Permission]})
	}
	supplementary["AccessControlList"] = object{"grantSet": nil, "grantList": grants, "owner": owner, "isRequesterCharged": false}
	text := any(nil)
	if b.PolicyText != "" {
		text = b.PolicyText
	}
	supplementary["BucketPolicy"] = object{"policyText": text}
	supplementary["BucketVersioningConfiguration"] = object{"status": b.Versioning, "isMfaDeleteEnabled": nil}
	if b.BlockSet {
		supplementary["PublicAccessBlockConfiguration"] = blockShape(b.Block)
	}
	if len(r.Tags) > 0 {
		supplementary["BucketTaggingConfiguration"] = object{"tagSets": []object{{"tags": r.Tags}}}
	}
	supplementary["ServerSideEncryptionConfiguration"] = describeEncryption(b)
	for name, raw := range b.Settings {
		shape := settingShapes[name]
		if shape == "" {
			continue
		}
		if json.Valid(raw) {
			supplementary[shape] = json.RawMessage(raw)
		} else {
			supplementary[shape] = string(raw)
		}
	}
	return object{"name": b.Name, "owner": owner, "creationDate": moment(b.Created), "region": b.Region}
}

// describeEncryption is the bucket's default encryption; a bucket without one has SSE-S3.
func describeEncryption(b *posture.Bucket) object {
	stored := struct {
		SSEAlgorithm, KMSMasterKeyID string
		BucketKeyEnabled             bool
	}{SSEAlgorithm: "AES256"}
	if _, err := b.Setting("encryption", &stored); err != nil {
		return object{"unreadable": err.Error()}
	}
	key := any(nil)
	if stored.KMSMasterKeyID != "" {
		key = stored.KMSMasterKeyID
	}
	return object{"rules": []object{{
		"applyServerSideEncryptionByDefault": object{"sseAlgorithm": stored.SSEAlgorithm, "kmsMasterKeyID": key}, "bucketKeyEnabled": stored.BucketKeyEnabled,
	}}}
}

var groupNames = map[string]string{
	posture.AllUsers: "AllUsers", posture.AuthenticatedUsers: "AuthenticatedUsers", "http://acs.amazonaws.com/groups/s3/LogDelivery": "LogDelivery",
}

var permissionNames = map[string]string{
	"READ": "Read", "WRITE": "Write", "READ_ACP": "ReadAcp", "WRITE_ACP": "WriteAcp", "FULL_CONTROL": "FullControl",
}

// escaped is how AWS Config shows policies of IAM.
func escaped(document string) string {
	return strings.ReplaceAll(url.QueryEscape(document), "+", "%20")
}

func moment(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func describeEntity(e *posture.Entity) object {
	inline := make([]object, 0, len(e.Inline))
	for _, p := range e.Inline {
		inline = append(inline, object{"policyName": p.Name, "policyDocument": escaped(p.Document)})
	}
	attached := make([]object, 0, len(e.Attached))
	for _, p := range e.Attached {
		attached = append(attached, object{"policyName": p.Name, "policyArn": p.ARN})
	}
	tags := make([]object, 0, len(e.Tags))
	for _, t := range e.Tags {
		tags = append(tags, object{"key": t.Key, "value": t.Value})
	}
	o := object{"path": e.Path, "arn": e.ARN, "createDate": moment(e.Created), "tags": tags}
	if e.Kind != posture.KindPolicy {
		o["attachedManagedPolicies"] = attached
		o["permissionsBoundary"] = nil
		if e.Boundary != "" {
			o["permissionsBoundary"] = object{"permissionsBoundaryType": "PermissionsBoundaryPolicy", "permissionsBoundaryArn": e.Boundary}
		}
	}
	switch e.Kind {
	case posture.KindUser:
		groups := make([]string, 0, len(e.Groups))
		for _, g := range e.Groups {
			groups = append(groups, g.Name)
		}
		o["userName"], o["userId"], o["userPolicyList"], o["groupList"] = e.Name, e.ID, inline, groups
	case posture.KindGroup:
		o["groupName"], o["groupId"], o["groupPolicyList"] = e.Name, e.ID, inline
	case posture.KindRole:
		o["roleName"], o["roleId"], o["rolePolicyList"], o["assumeRolePolicyDocument"] = e.Name, e.ID, inline, escaped(e.Trust)
		o["description"], o["maxSessionDuration"] = e.Description, e.MaxSession
	case posture.KindPolicy:
		versions := make([]object, 0, len(e.Versions))
		for i := range e.Versions {
			v := &e.Versions[i]
			versions = append(versions, object{"versionId": v.ID, "isDefaultVersion": v.ID == e.Default, "createDate": moment(v.Created), "document": escaped(v.Document)})
		}
		o["policyName"], o["policyId"], o["defaultVersionId"], o["policyVersionList"] = e.Name, e.ID, e.Default, versions
		o["updateDate"], o["description"], o["isAttachable"] = moment(e.Updated), e.Description, true
	}
	return o
}

func describeKey(k *posture.Key, supplementary object) object {
	supplementary["Policy"] = k.Policy
	supplementary["KeyRotationStatus"] = k.Rotation
	supplementary["Grants"] = k.Grants
	return object{
		"keyId": k.ID, "arn": k.ARN, "keyState": k.State, "keyManager": k.Manager, "keySpec": k.Spec, "origin": k.Origin, "keyUsage": k.Usage,
		"description": k.Description, "creationDate": moment(k.Created), "enabled": k.State == "Enabled",
	}
}

func describeTrail(t *posture.Trail) object {
	return object{
		"name": t.Name, "trailARN": t.ARN, "s3BucketName": t.Bucket, "s3KeyPrefix": t.Prefix, "kmsKeyId": t.KMSKey, "isLogging": t.Logging,
		"logFileValidationEnabled": t.Validated, "isMultiRegionTrail": t.MultiRegion, "includeGlobalServiceEvents": t.Global,
	}
}
