// Package identity is who there is: accounts, users, groups, roles, access keys, the policies that
// bind them, the organization above them, and the temporary sessions that STS gives out. It speaks
// no HTTP; the edges (IAM, STS, Organizations) turn their wire shapes into its methods.
//
// What it promises:
//
//   - Every exported method that reads or changes an entity takes an authz.Grant and requires of it
//     the IAM action and the ARN that it touches. Only what the pipeline needs before a decision
//     (Lookup, Subject of a caller, resolving names to ARNs and unique ids) goes without.
//   - A change holds for the next request: the in-memory State is replaced before the method returns.
//   - Secrets lie sealed in the store. No record, no index and no log line holds one in the clear.
//   - Unique ids are never reused; references between entities are by unique id, so that deleting and
//     re-creating a principal or a policy revives nothing.
//   - A request costs one hash lookup: the Subject of a caller is assembled once and kept until
//     something that it depends on changes.
//
// Everything durable is one JSON record per entity under "a/r/". A single revision record orders all
// changes: each commit requires the revision it was computed from and leaves a note of the records
// it wrote, so that another node follows by reading the notes it has not seen.
package identity
