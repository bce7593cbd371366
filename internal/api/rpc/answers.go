package rpc

import (
	"maps"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
)

// queryAnswers are the failures that every service of the query protocol tells alike (IAM API
// Reference, "Common errors").
var queryAnswers = map[fault.Kind]Answer{
	authz.Denied:     {"AccessDenied", 403, "Access Denied"},
	authz.Unrecorded: {"ServiceUnavailable", 503, "The request has failed due to a temporary failure of the server."},
	authz.Changed:    {"ServiceUnavailable", 503, "The resource was changed by another request. Try again."},

	api.NotImplemented:   {"NotImplemented", 501, "This operation is not implemented."},
	api.UnknownOperation: {"InvalidAction", 400, "The action or operation requested is invalid."},
	api.BodyTooLarge:     {"RequestEntityTooLarge", 413, "The request is too large."},
	api.MissingToken:     {"MissingAuthenticationToken", 403, "Request is missing Authentication Token"},
	api.TooManyUploads:   {"Throttling", 503, "Rate exceeded"},
	api.ClientGone:       {"RequestTimeout", 400, "The request was not read within the timeout period."},

	Invalid:       {"ValidationError", 400, ""},
	Malformed:     {"MalformedInput", 400, "The request is not well-formed."},
	MissingAction: {"MissingAction", 400, "The request is missing an action or a required parameter."},

	authn.UnknownKey:            {"InvalidClientTokenId", 403, "The security token included in the request is invalid."},
	authn.InactiveKey:           {"InvalidClientTokenId", 403, "The security token included in the request is invalid."},
	authn.BadToken:              {"InvalidClientTokenId", 403, "The security token included in the request is invalid."},
	authn.ExpiredToken:          {"ExpiredToken", 403, "The security token included in the request is expired"},
	authn.SignatureDoesNotMatch: {"SignatureDoesNotMatch", 403, "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."},
	authn.HeadersNotSigned:      {"SignatureDoesNotMatch", 403, "There were headers present in the request which were not signed"},
	authn.InvalidHeader:         {"IncompleteSignature", 400, ""},
	authn.ContentSHA256Mismatch: {"SignatureDoesNotMatch", 403, "The provided 'x-amz-content-sha256' header does not match what was computed."},
	authn.TimeTooSkewed:         {"SignatureDoesNotMatch", 403, "Signature expired: the request time is too far from the current time."},
	authn.MissingDate:           {"IncompleteSignature", 400, "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."},
	authn.RequestExpired:        {"SignatureDoesNotMatch", 403, "Signature expired"},
	authn.NotYetValid:           {"SignatureDoesNotMatch", 403, "Signature not yet current"},
	authn.HeaderMalformed:       {"IncompleteSignature", 400, "The request signature does not conform to AWS standards."},
	authn.QueryMalformed:        {"IncompleteSignature", 400, "The request signature does not conform to AWS standards."},
	authn.UnsupportedMechanism:  {"IncompleteSignature", 400, "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."},
	authn.UnknownScheme:         {"IncompleteSignature", 400, "Unsupported Authorization Type"},
	authn.SeveralMechanisms:     {"IncompleteSignature", 400, "Only one auth mechanism allowed"},
	authn.NotImplemented:        {"NotImplemented", 501, "This signature algorithm is not implemented."},
	authn.InvalidURI:            {"MalformedQueryString", 400, "The query string contains a syntax error."},
	authn.IncompleteBody:        {"IncompleteSignature", 400, "The body is incomplete."},
	authn.PayloadTooLarge:       {"RequestEntityTooLarge", 413, "The request is too large."},
}

// jsonAnswers are the same failures in the words of the JSON services.
var jsonAnswers = func() map[fault.Kind]Answer {
	table := maps.Clone(queryAnswers)
	maps.Copy(table, map[fault.Kind]Answer{
		authz.Denied:         {"AccessDeniedException", 400, "Access Denied"},
		api.NotImplemented:   {"NotImplementedException", 501, "This operation is not implemented."},
		api.UnknownOperation: {"UnknownOperationException", 400, ""},
		api.MissingToken:     {"MissingAuthenticationTokenException", 400, "Missing Authentication Token"},
		Invalid:              {"ValidationException", 400, ""},
		Malformed:            {"SerializationException", 400, ""},
		MissingAction:        {"UnknownOperationException", 400, ""},

		authn.UnknownKey:            {"UnrecognizedClientException", 400, "The security token included in the request is invalid."},
		authn.InactiveKey:           {"UnrecognizedClientException", 400, "The security token included in the request is invalid."},
		authn.BadToken:              {"UnrecognizedClientException", 400, "The security token included in the request is invalid."},
		authn.ExpiredToken:          {"ExpiredTokenException", 400, "The security token included in the request is expired"},
		authn.SignatureDoesNotMatch: {"InvalidSignatureException", 400, "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."},
		authn.HeadersNotSigned:      {"InvalidSignatureException", 400, "There were headers present in the request which were not signed"},
		authn.TimeTooSkewed:         {"InvalidSignatureException", 400, "Signature expired: the request time is too far from the current time."},
		authn.HeaderMalformed:       {"IncompleteSignatureException", 400, "The request signature does not conform to AWS standards."},
	})
	return table
}()
