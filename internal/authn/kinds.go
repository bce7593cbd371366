package authn

import "github.com/kura-s3/kura/internal/fault"

// Failures of this package. The comment says how S3 tells each: status, code, and the message
// where the error itself carries none. Fields of the error are further elements of the answer.
const (
	// UnknownKey: 403 InvalidAccessKeyId "The AWS Access Key Id you provided does not exist in our
	// records." Field AWSAccessKeyId. Other services: 403 InvalidClientTokenId "The security token
	// included in the request is invalid."
	UnknownKey fault.Kind = "authn.UnknownKey"
	// InactiveKey is told like UnknownKey: whoever holds an inactive key learns nothing more.
	InactiveKey fault.Kind = "authn.InactiveKey"
	// BadToken: 400 InvalidToken "The provided token is malformed or otherwise invalid." Other
	// services: 403 InvalidClientTokenId.
	BadToken fault.Kind = "authn.BadToken"
	// ExpiredToken: 400 ExpiredToken "The provided token has expired." Other services: 403
	// ExpiredToken "The security token included in the request is expired".
	ExpiredToken fault.Kind = "authn.ExpiredToken"
	// SignatureDoesNotMatch: 403 SignatureDoesNotMatch "The request signature we calculated does
	// not match the signature you provided. Check your key and signing method." Fields
	// AWSAccessKeyId, StringToSign, SignatureProvided, StringToSignBytes, CanonicalRequest,
	// CanonicalRequestBytes; none of them for a chunk or a trailer of a body.
	SignatureDoesNotMatch fault.Kind = "authn.SignatureDoesNotMatch"
	// HeadersNotSigned: 403 AccessDenied "There were headers present in the request which were not
	// signed". Field HeadersNotSigned.
	HeadersNotSigned fault.Kind = "authn.HeadersNotSigned"
	// MissingContentSHA256: 400 InvalidRequest "Missing required header for this request:
	// x-amz-content-sha256".
	MissingContentSHA256 fault.Kind = "authn.MissingContentSHA256"
	// InvalidHeader: 400 InvalidArgument; the message says what is wrong. Fields ArgumentName,
	// ArgumentValue. (x-amz-content-sha256 of no known form; a header sent twice)
	InvalidHeader fault.Kind = "authn.InvalidHeader"
	// ContentSHA256Mismatch: 400 XAmzContentSHA256Mismatch "The provided 'x-amz-content-sha256'
	// header does not match what was computed." Fields ClientComputedContentSHA256,
	// S3ComputedContentSHA256.
	ContentSHA256Mismatch fault.Kind = "authn.ContentSHA256Mismatch"
	// TimeTooSkewed: 403 RequestTimeTooSkewed "The difference between the request time and the
	// current time is too large." Fields RequestTime, ServerTime, MaxAllowedSkewMilliseconds.
	TimeTooSkewed fault.Kind = "authn.TimeTooSkewed"
	// MissingDate: 403 AccessDenied "AWS authentication requires a valid Date or x-amz-date header".
	MissingDate fault.Kind = "authn.MissingDate"
	// RequestExpired: 403 AccessDenied "Request has expired". Fields X-Amz-Expires, Expires,
	// ServerTime.
	RequestExpired fault.Kind = "authn.RequestExpired"
	// NotYetValid: 403 AccessDenied "Request is not yet valid". Fields X-Amz-Date, ServerTime.
	NotYetValid fault.Kind = "authn.NotYetValid"
	// HeaderMalformed: 400 AuthorizationHeaderMalformed; the message says what. Field Region when
	// the region was wrong.
	HeaderMalformed fault.Kind = "authn.HeaderMalformed"
	// QueryMalformed: 400 AuthorizationQueryParametersError; the message says what. Field Region
	// when the region was wrong.
	QueryMalformed fault.Kind = "authn.QueryMalformed"
	// UnsupportedMechanism: 400 InvalidRequest "The authorization mechanism you have provided is
	// not supported. Please use AWS4-HMAC-SHA256." (signature version 2, in any place)
	UnsupportedMechanism fault.Kind = "authn.UnsupportedMechanism"
	// UnknownScheme: 400 InvalidArgument "Unsupported Authorization Type". Fields ArgumentName,
	// ArgumentValue (the scheme only: what follows may be a secret).
	UnknownScheme fault.Kind = "authn.UnknownScheme"
	// SeveralMechanisms: 400 InvalidArgument "Only one auth mechanism allowed; only the
	// X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header
	// should be specified". Fields ArgumentName, ArgumentValue.
	SeveralMechanisms fault.Kind = "authn.SeveralMechanisms"
	// NotImplemented: 501 NotImplemented "A header you provided implies functionality that is not
	// implemented". Field Header. (ECDSA signatures of multi-region access points)
	NotImplemented fault.Kind = "authn.NotImplemented"
	// InvalidURI: 400 InvalidURI "Couldn't parse the specified URI." Field URI.
	InvalidURI fault.Kind = "authn.InvalidURI"
	// IncompleteBody: 400 IncompleteBody "You did not provide the number of bytes specified by the
	// Content-Length HTTP header". Also: chunk framing that is broken or goes on after its end.
	IncompleteBody fault.Kind = "authn.IncompleteBody"
	// InvalidChunkSize: 400 InvalidChunkSizeError "Only the last chunk is allowed to have a size
	// less than 8192 bytes". Fields Chunk, BadChunkSize.
	InvalidChunkSize fault.Kind = "authn.InvalidChunkSize"
	// MalformedTrailer: 400 MalformedTrailerError "The request contained trailing data that was not
	// well-formed or did not conform to our published schema."
	MalformedTrailer fault.Kind = "authn.MalformedTrailer"
	// UnsupportedTrailer: 400 InvalidRequest "The value specified in the x-amz-trailer header is
	// not supported".
	UnsupportedTrailer fault.Kind = "authn.UnsupportedTrailer"
	// MissingLength: 411 MissingContentLength "You must provide the Content-Length HTTP header."
	// (x-amz-decoded-content-length is not there or not a length)
	MissingLength fault.Kind = "authn.MissingLength"
	// PayloadTooLarge: 413 RequestEntityTooLarge; services other than S3 only. Field MaxSizeAllowed.
	PayloadTooLarge fault.Kind = "authn.PayloadTooLarge"
	// PolicyDenied: 403 AccessDenied; the message says which condition of a POST policy failed.
	PolicyDenied fault.Kind = "authn.PolicyDenied"
	// InvalidPolicyDocument: 400 InvalidPolicyDocument; the message says why a POST policy is none.
	InvalidPolicyDocument fault.Kind = "authn.InvalidPolicyDocument"
	// EntityTooLarge: 400 EntityTooLarge "Your proposed upload exceeds the maximum allowed size".
	// Fields ProposedSize, MaxSizeAllowed. (content-length-range of a POST policy)
	EntityTooLarge fault.Kind = "authn.EntityTooLarge"
	// EntityTooSmall: 400 EntityTooSmall "Your proposed upload is smaller than the minimum allowed
	// size". Fields ProposedSize, MinSizeAllowed. (content-length-range of a POST policy)
	EntityTooSmall fault.Kind = "authn.EntityTooSmall"
	// InvalidFormField: 400 InvalidArgument; the message says what. Fields ArgumentName,
	// ArgumentValue.
	InvalidFormField fault.Kind = "authn.InvalidFormField"
)
