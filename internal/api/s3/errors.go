package s3

import (
	"errors"
	"net/http"
	"strings"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/object"
)

// Failures that only the S3 protocol knows.
const (
	invalidURI          fault.Kind = "s3.InvalidURI"
	methodNotAllowed    fault.Kind = "s3.MethodNotAllowed"
	invalidArgument     fault.Kind = "s3.InvalidArgument"
	invalidRequest      fault.Kind = "s3.InvalidRequest"
	malformedXML        fault.Kind = "s3.MalformedXML"
	missingBody         fault.Kind = "s3.MissingRequestBody"
	missingLength       fault.Kind = "s3.MissingContentLength"
	invalidDigest       fault.Kind = "s3.InvalidDigest"
	invalidTag          fault.Kind = "s3.InvalidTag"
	badTags             fault.Kind = "s3.BadRequest"
	noSuchTagSet        fault.Kind = "s3.NoSuchTagSet"
	metadataTooLarge    fault.Kind = "s3.MetadataTooLarge"
	invalidStorageClass fault.Kind = "s3.InvalidStorageClass"
	illegalVersioning   fault.Kind = "s3.IllegalVersioningConfiguration"
	invalidLocation     fault.Kind = "s3.InvalidLocationConstraint"
	illegalLocation     fault.Kind = "s3.IllegalLocationConstraint"
	unsupportedHeader   fault.Kind = "s3.UnsupportedHeader"
	unsupportedACL      fault.Kind = "s3.AccessControlListNotSupported"
	aclWithOwnership    fault.Kind = "s3.InvalidBucketAclWithObjectOwnership"
	notModified         fault.Kind = "s3.NotModified"
	malformedPost       fault.Kind = "s3.MalformedPOSTRequest"
	fieldMissing        fault.Kind = "s3.UserKeyMustBeSpecified"
	invalidOwnerID      fault.Kind = "s3.InvalidBucketOwnerAWSAccountID"
	wrongEnclosure      fault.Kind = "s3.WrongEnclosure"
	noSuchBucketPolicy  fault.Kind = "s3.NoSuchBucketPolicy"
	noSuchCORS          fault.Kind = "s3.NoSuchCORSConfiguration"
	noSuchWebsite       fault.Kind = "s3.NoSuchWebsiteConfiguration"
	noSuchLifecycle     fault.Kind = "s3.NoSuchLifecycleConfiguration"
	noSuchReplication   fault.Kind = "s3.ReplicationConfigurationNotFound"
	noSuchObjectLock    fault.Kind = "s3.ObjectLockConfigurationNotFound"
	noSuchKeyLock       fault.Kind = "s3.NoSuchObjectLockConfiguration"
	noSuchConfiguration fault.Kind = "s3.NoSuchConfiguration"
	accessDeniedOwner   fault.Kind = "s3.ExpectedOwner"

	badPolicy             fault.Kind = "s3.MalformedPolicy"
	noPublicAccessBlock   fault.Kind = "s3.NoSuchPublicAccessBlockConfiguration"
	noOwnershipControls   fault.Kind = "s3.OwnershipControlsNotFound"
	malformedACL          fault.Kind = "s3.MalformedACL"
	unresolvableGrant     fault.Kind = "s3.UnresolvableGrantByEmailAddress"
	missingSecurityHeader fault.Kind = "s3.MissingSecurityHeader"
	unexpectedContent     fault.Kind = "s3.UnexpectedContent"
	publicACLBlocked      fault.Kind = "s3.InvalidBucketAclWithBlockPublicAccess"

	accessForbidden       fault.Kind = "s3.AccessForbidden"
	badPreflight          fault.Kind = "s3.BadPreflight"
	invalidRedirect       fault.Kind = "s3.InvalidRedirectLocation"
	invalidConfiguration  fault.Kind = "s3.InvalidConfigurationId"
	tooManyConfigurations fault.Kind = "s3.TooManyConfigurations"
	invalidDestination    fault.Kind = "s3.InvalidS3DestinationBucket"
	// changedMeanwhile: an object is no longer what the decision was about. Asked again, it is decided anew.
	changedMeanwhile fault.Kind = "s3.ChangedMeanwhile"
)

// answer is how a failure is told.
type answer struct {
	code    string
	status  int
	message string
}

const (
	errMalformedXML = "The XML you provided was not well-formed or did not validate against our published schema"
	errHeader       = "A header you provided implies functionality that is not implemented"
	errProtected    = "Access Denied because object protected by object lock."
	errInternal     = "We encountered an internal error. Please try again."
)

// answers is the whole vocabulary of refusal: kind → code, status, default message (Amazon S3 API
// Reference, "Error responses"). A kind that is not here is an internal error.
var answers = map[fault.Kind]answer{
	authz.Denied:     {"AccessDenied", 403, "Access Denied"},
	authz.Unrecorded: {"ServiceUnavailable", 503, "Please reduce your request rate."},

	api.NotImplemented:   {"NotImplemented", 501, errHeader},
	api.UnknownOperation: {"NotImplemented", 501, errHeader},
	api.BodyTooLarge:     {"MaxMessageLengthExceeded", 400, "Your request was too big."},
	api.MissingToken:     {"AccessDenied", 403, "Access Denied"},
	api.TooManyUploads:   {"SlowDown", 503, "Please reduce your request rate."},
	api.ClientGone:       {"RequestTimeout", 400, "Your socket connection to the server was not read from or written to within the timeout period."},

	object.NoSuchBucket:        {"NoSuchBucket", 404, "The specified bucket does not exist"},
	object.NoSuchKey:           {"NoSuchKey", 404, "The specified key does not exist."},
	object.NoSuchVersion:       {"NoSuchVersion", 404, "The specified version does not exist."},
	object.NoSuchUpload:        {"NoSuchUpload", 404, "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed."},
	object.InvalidVersionID:    {"InvalidArgument", 400, "Invalid version id specified"},
	object.InvalidBucketName:   {"InvalidBucketName", 400, "The specified bucket is not valid."},
	object.BucketExists:        {"BucketAlreadyExists", 409, "The requested bucket name is not available. The bucket namespace is shared by all users of the system. Please select a different name and try again."},
	object.BucketOwned:         {"BucketAlreadyOwnedByYou", 409, "Your previous request to create the named bucket succeeded and you already own it."},
	object.BucketNotEmpty:      {"BucketNotEmpty", 409, "The bucket you tried to delete is not empty"},
	object.TooManyBuckets:      {"TooManyBuckets", 400, "You have attempted to create more buckets than allowed"},
	object.KeyTooLong:          {"KeyTooLongError", 400, "Your key is too long"},
	object.IsDeleteMarker:      {"MethodNotAllowed", 405, "The specified method is not allowed against this resource."},
	object.PreconditionFailed:  {"PreconditionFailed", 412, "At least one of the pre-conditions you specified did not hold"},
	object.ConditionalConflict: {"ConditionalRequestConflict", 409, "The conditional request cannot succeed due to a conflicting operation against this resource."},
	object.BadMD5:              {"BadDigest", 400, "The Content-MD5 you specified did not match what we received."},
	object.BadChecksum:         {"BadDigest", 400, "The checksum you specified did not match the calculated checksum."},
	object.IncompleteBody:      {"IncompleteBody", 400, "You did not provide the number of bytes specified by the Content-Length HTTP header"},
	object.EntityTooLarge:      {"EntityTooLarge", 400, "Your proposed upload exceeds the maximum allowed size"},
	object.EntityTooSmall:      {"EntityTooSmall", 400, "Your proposed upload is smaller than the minimum allowed size"},
	object.InvalidPart:         {"InvalidPart", 400, "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified entity tag may not match the part's entity tag."},
	object.InvalidPartOrder:    {"InvalidPartOrder", 400, "The list of parts was not in ascending order. Parts must be ordered by part number."},
	object.InvalidRange:        {"InvalidRange", 416, "The requested range is not satisfiable"},
	object.InvalidPartNumber:   {"InvalidPartNumber", 416, "The requested partnumber is not satisfiable"},
	object.InvalidRequest:      {"InvalidRequest", 400, "Invalid Request"},
	object.InvalidBucketState:  {"InvalidBucketState", 409, "The request is not valid with the current state of the bucket."},
	object.KeyRequired:         {"InvalidRequest", 400, "The object was stored using a form of Server Side Encryption. The correct parameters must be provided to retrieve the object."},
	object.Protected:           {"AccessDenied", 403, errProtected},
	object.Governed:            {"AccessDenied", 403, errProtected},
	object.MFARequired:         {"AccessDenied", 403, "Mfa Authentication must be used for this request"},
	object.InvalidObjectState:  {"InvalidObjectState", 403, "The operation is not valid for the object's storage class"},
	object.MovedOn:             {"OperationAborted", 409, "A conflicting conditional operation is currently in progress against this resource. Please try again."},
	object.InvalidRetention:    {"InvalidArgument", 400, "Invalid Argument"},
	object.OutOfSpace:          {"ServiceUnavailable", 503, "The server is out of storage space."},
	object.Damaged:             {"InternalError", 500, errInternal},
	object.Busy:                {"OperationAborted", 409, "A conflicting conditional operation is currently in progress against this resource. Please try again."},

	invalidURI:          {"InvalidURI", 400, "Couldn't parse the specified URI."},
	methodNotAllowed:    {"MethodNotAllowed", 405, "The specified method is not allowed against this resource."},
	invalidArgument:     {"InvalidArgument", 400, "Invalid Argument"},
	invalidRequest:      {"InvalidRequest", 400, "Invalid Request"},
	malformedXML:        {"MalformedXML", 400, errMalformedXML},
	missingBody:         {"MissingRequestBodyError", 400, "Request Body is empty"},
	missingLength:       {"MissingContentLength", 411, "You must provide the Content-Length HTTP header."},
	invalidDigest:       {"InvalidDigest", 400, "The Content-MD5 you specified was invalid."},
	invalidTag:          {"InvalidTag", 400, "The tag provided was not a valid tag. This error can occur if the tag did not pass input validation."},
	badTags:             {"BadRequest", 400, "Object tags cannot be greater than 10"},
	noSuchTagSet:        {"NoSuchTagSet", 404, "The TagSet does not exist"},
	metadataTooLarge:    {"MetadataTooLarge", 400, "Your metadata headers exceed the maximum allowed metadata size"},
	invalidStorageClass: {"InvalidStorageClass", 400, "The storage class you specified is not valid"},
	illegalVersioning:   {"IllegalVersioningConfigurationException", 400, "The Versioning element must be specified"},
	invalidLocation:     {"InvalidLocationConstraint", 400, "The specified location-constraint is not valid"},
	illegalLocation:     {"IllegalLocationConstraintException", 400, "The location constraint is incompatible for the region specific endpoint this request was sent to."},
	unsupportedHeader:   {"NotImplemented", 501, errHeader},
	aclWithOwnership:    {"InvalidBucketAclWithObjectOwnership", 400, "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting"},
	badLogTarget:        {"InvalidTargetBucketForLogging", 400, "The target bucket for logging does not exist"},
	unsupportedACL:      {"AccessControlListNotSupported", 400, "The bucket does not allow ACLs"},
	notModified:         {"NotModified", 304, "Not Modified"},
	malformedPost:       {"MalformedPOSTRequest", 400, "The body of your POST request is not well-formed multipart/form-data."},
	fieldMissing:        {"UserKeyMustBeSpecified", 400, "The bucket POST must contain the specified field name.  If it is specified, please check the order of the fields."},
	invalidOwnerID:      {"InvalidBucketOwnerAWSAccountID", 400, "The value of the expected bucket owner parameter must be an AWS Account ID..."},
	wrongEnclosure:      {"PreconditionFailed", 412, "At least one of the pre-conditions you specified did not hold"},
	noSuchBucketPolicy:  {"NoSuchBucketPolicy", 404, "The bucket policy does not exist"},
	noSuchCORS:          {"NoSuchCORSConfiguration", 404, "The CORS configuration does not exist"},
	noSuchWebsite:       {"NoSuchWebsiteConfiguration", 404, "The specified bucket does not have a website configuration"},
	noSuchLifecycle:     {"NoSuchLifecycleConfiguration", 404, "The lifecycle configuration does not exist"},
	changedMeanwhile:    {"ServiceUnavailable", 503, "The object was changed meanwhile. Please try again."},
	noSuchReplication:   {"ReplicationConfigurationNotFoundError", 404, "The replication configuration was not found"},
	noSuchObjectLock:    {"ObjectLockConfigurationNotFoundError", 404, "Object Lock configuration does not exist for this bucket"},
	noSuchKeyLock:       {"NoSuchObjectLockConfiguration", 404, "The specified object does not have a ObjectLock configuration"},
	noSuchConfiguration: {"NoSuchConfiguration", 404, "The specified configuration does not exist."},
	accessDeniedOwner:   {"AccessDenied", 403, "Access Denied"},

	badPolicy:             {"MalformedPolicy", 400, "Invalid policy syntax."},
	noPublicAccessBlock:   {"NoSuchPublicAccessBlockConfiguration", 404, "The public access block configuration was not found"},
	noOwnershipControls:   {"OwnershipControlsNotFoundError", 404, "The bucket ownership controls were not found"},
	malformedACL:          {"MalformedACLError", 400, errMalformedXML},
	unresolvableGrant:     {"UnresolvableGrantByEmailAddress", 400, "The e-mail address you provided does not match any account on record"},
	missingSecurityHeader: {"MissingSecurityHeader", 400, "Your request was missing a required header"},
	unexpectedContent:     {"UnexpectedContent", 400, "This request does not support content"},
	publicACLBlocked:      {"InvalidBucketAclWithBlockPublicAccessError", 400, "Bucket cannot have public ACLs set with BlockPublicAccess enabled"},

	accessForbidden:       {"AccessForbidden", 403, "CORSResponse: This CORS request is not allowed. This is usually because the evalution of Origin, request method / Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the resource's CORS spec."},
	badPreflight:          {"BadRequest", 400, "Insufficient information. Origin request header needed."},
	invalidRedirect:       {"InvalidRedirectLocation", 400, "The website redirect location must have a prefix of 'http://' or 'https://' or '/'."},
	invalidConfiguration:  {"InvalidConfigurationId", 400, "The specified configuration id is not valid."},
	tooManyConfigurations: {"TooManyConfigurations", 400, "You are attempting to create a new configuration but have already reached the 1,000-configuration limit."},
	invalidDestination:    {"InvalidS3DestinationBucket", 400, "Invalid bucket ARN."},
}

// wireKinds tells what the generated decoder refuses in S3's words.
var wireKinds = map[wire.ErrorKind]fault.Kind{
	wire.Malformed: malformedXML, wire.MissingBody: missingBody, wire.MissingHeader: invalidRequest,
	wire.MissingElement: malformedXML, wire.MissingMember: invalidArgument, wire.BadValue: invalidArgument, wire.BadEnum: malformedXML,
	wire.Duplicate: malformedXML, wire.UnknownField: malformedXML, wire.TooLarge: malformedXML,
}

// Fail writes err as S3's error document; a HEAD request and a 304 get no body.
func (s *Service) Fail(c *api.Call, err error) (int, string) {
	if c.Op == s.preflight && fault.Is(err, authz.Denied) {
		err = s.refusedPreflight(c)
	}
	f, a := explain(err)
	message := a.message
	if f.Message != "" {
		message = f.Message
	}
	h := c.W.Header()
	clearFailed(h)
	if extra := failureHeaders[f.Kind]; extra != nil {
		extra(h, f)
	}
	if a.status == http.StatusNotModified || c.R.Method == http.MethodHead {
		c.W.WriteHeader(a.status)
		return a.status, a.code
	}
	body, contentType := wire.EncodeError(wire.RestXML, a.code, message, f.Fields, resourceOf(c), c.Peer.RequestID, c.Peer.HostID)
	if err := c.W.Send(a.status, contentType, body); err != nil {
		s.config.Log.Debug("error answer not delivered", "requestId", c.Peer.RequestID, "err", err)
	}
	return a.status, a.code
}

// Explain is what S3 answers for err: S3 Control speaks the same words in another envelope.
func Explain(err error) (status int, code, message string, fields []fault.Field) {
	f, a := explain(err)
	if f.Message != "" {
		a.message = f.Message
	}
	return a.status, a.code, a.message, f.Fields
}

// explain finds what to tell of err.
func explain(err error) (*fault.Error, answer) {
	var w *wire.Error
	if errors.As(err, &w) {
		err = wireFault(w)
	}
	var f *fault.Error
	if errors.As(err, &f) {
		if a, ok := answers[f.Kind]; ok {
			return f, a
		}
		if a, ok := authnAnswers[f.Kind]; ok {
			return f, a
		}
		if a, ok := kmsAnswers[f.Kind]; ok {
			return f, a
		}
	}
	return &fault.Error{}, answer{"InternalError", 500, errInternal}
}

func wireFault(w *wire.Error) *fault.Error {
	kind, ok := wireKinds[w.Kind]
	if !ok {
		return &fault.Error{Cause: w}
	}
	f := &fault.Error{Kind: kind, Cause: w}
	if kind == invalidArgument && w.Member != "" {
		f.Fields = []fault.Field{{Name: "ArgumentName", Value: w.Member}, {Name: "ArgumentValue", Value: w.Value}}
	}
	if kind == invalidRequest && w.Member != "" {
		f.Message = "Missing required header for this request: " + w.Member
	}
	return f
}

// clearFailed takes away the headers that only a success carries.
func clearFailed(h http.Header) {
	for name := range h {
		if cleared(name) {
			delete(h, name)
		}
	}
}

// cleared tells whether a header that a success would have carried must not stand on an error.
func cleared(name string) bool {
	switch name {
	case "Server", "X-Amz-Request-Id", "X-Amz-Id-2", "X-Amz-Bucket-Region", "X-Amz-Delete-Marker", "X-Amz-Version-Id",
		"Last-Modified", "Etag", "Vary", "Allow", "Connection", "X-Kura-Decision-Id":
		return false
	}
	return !strings.HasPrefix(name, "Access-Control-")
}

// failureHeaders are headers that belong to a failure.
var failureHeaders = map[fault.Kind]func(http.Header, *fault.Error){
	methodNotAllowed: func(h http.Header, _ *fault.Error) { h.Set("Allow", "GET, HEAD, PUT, POST, DELETE") },
	object.InvalidRange: func(h http.Header, f *fault.Error) {
		for _, field := range f.Fields {
			if field.Name == "ActualObjectSize" {
				h.Set("Content-Range", "bytes */"+field.Value)
			}
		}
	},
}

func resourceOf(c *api.Call) string {
	t, ok := c.Target.(*target)
	if !ok || t.bucket == "" {
		return "/"
	}
	if t.key == "" {
		return "/" + t.bucket
	}
	return "/" + t.bucket + "/" + t.key
}

func denied() error { return fault.New(authz.Denied, "") }

func missing(err error) bool {
	k := fault.Of(err)
	return k == object.NoSuchKey || k == object.NoSuchVersion || k == object.IsDeleteMarker
}

func badArgument(message, name, value string) error {
	return fault.New(invalidArgument, message, "ArgumentName", name, "ArgumentValue", value)
}

// authnAnswers tells what authentication refuses.
var authnAnswers = map[fault.Kind]answer{
	authn.UnknownKey:            {"InvalidAccessKeyId", 403, "The AWS Access Key Id you provided does not exist in our records."},
	authn.InactiveKey:           {"InvalidAccessKeyId", 403, "The AWS Access Key Id you provided does not exist in our records."},
	authn.BadToken:              {"InvalidToken", 400, "The provided token is malformed or otherwise invalid."},
	authn.ExpiredToken:          {"ExpiredToken", 400, "The provided token has expired."},
	authn.SignatureDoesNotMatch: {"SignatureDoesNotMatch", 403, "The request signature we calculated does not match the signature you provided. Check your key and signing method."},
	authn.HeadersNotSigned:      {"AccessDenied", 403, "There were headers present in the request which were not signed"},
	authn.MissingContentSHA256:  {"InvalidRequest", 400, "Missing required header for this request: x-amz-content-sha256"},
	authn.InvalidHeader:         {"InvalidArgument", 400, "Invalid Argument"},
	authn.ContentSHA256Mismatch: {"XAmzContentSHA256Mismatch", 400, "The provided 'x-amz-content-sha256' header does not match what was computed."},
	authn.TimeTooSkewed:         {"RequestTimeTooSkewed", 403, "The difference between the request time and the current time is too large."},
	authn.MissingDate:           {"AccessDenied", 403, "AWS authentication requires a valid Date or x-amz-date header"},
	authn.RequestExpired:        {"AccessDenied", 403, "Request has expired"},
	authn.NotYetValid:           {"AccessDenied", 403, "Request is not yet valid"},
	authn.HeaderMalformed:       {"AuthorizationHeaderMalformed", 400, "The authorization header that you provided is not valid."},
	authn.QueryMalformed:        {"AuthorizationQueryParametersError", 400, "The authorization query parameters that you provided are not valid."},
	authn.UnsupportedMechanism:  {"InvalidRequest", 400, "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."},
	authn.UnknownScheme:         {"InvalidArgument", 400, "Unsupported Authorization Type"},
	authn.SeveralMechanisms:     {"InvalidArgument", 400, "Only one auth mechanism allowed"},
	authn.NotImplemented:        {"NotImplemented", 501, errHeader},
	authn.InvalidURI:            {"InvalidURI", 400, "Couldn't parse the specified URI."},
	authn.IncompleteBody:        {"IncompleteBody", 400, "You did not provide the number of bytes specified by the Content-Length HTTP header"},
	authn.InvalidChunkSize:      {"InvalidChunkSizeError", 400, "Only the last chunk is allowed to have a size less than 8192 bytes"},
	authn.MalformedTrailer:      {"MalformedTrailerError", 400, "The request contained trailing data that was not well-formed or did not conform to our published schema."},
	authn.UnsupportedTrailer:    {"InvalidRequest", 400, "The value specified in the x-amz-trailer header is not supported"},
	authn.MissingLength:         {"MissingContentLength", 411, "You must provide the Content-Length HTTP header."},
	authn.PayloadTooLarge:       {"MaxMessageLengthExceeded", 400, "Your request was too big."},
	authn.PolicyDenied:          {"AccessDenied", 403, "Access Denied"},
	authn.InvalidPolicyDocument: {"InvalidPolicyDocument", 400, "The content of the form does not meet the conditions specified in the policy document."},
	authn.EntityTooLarge:        {"EntityTooLarge", 400, "Your proposed upload exceeds the maximum allowed size"},
	authn.EntityTooSmall:        {"EntityTooSmall", 400, "Your proposed upload is smaller than the minimum allowed size"},
	authn.InvalidFormField:      {"InvalidArgument", 400, "Invalid Argument"},
}
