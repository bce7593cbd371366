// Package authn says who calls: AWS Signature Version 4 as S3 and the other AWS services check it,
// in the Authorization header, in the query (presigned URLs) and in POST forms, and the bodies that
// such requests carry (hashed, aws-chunked with or without signatures, with or without trailer).
//
// It promises:
//
//   - Every request leaves with a Caller or an error. Whoever shows no sign of authentication is the
//     anonymous caller; whoever shows a sign that is not exactly right is refused, never anonymous.
//   - What changes a request's meaning was signed: method, path, query, host and every x-amz-*
//     header that was sent. A header that was added on the way refuses the request.
//   - No byte of a body is read before the headers were verified, except where the signature itself
//     is made over the body (services other than S3), and then at most Config.MaxPayload.
//   - Caller.Body gives io.EOF only when all that the client said about the body is proved: length,
//     hash, signature of each chunk and of the trailer. Any other end is an error.
//   - Memory is bounded, whatever arrives; comparisons of secrets take constant time; a key that
//     does not exist learns nothing about the signature that was expected.
//
// What a caller may do is decided elsewhere (package authz).
package authn
