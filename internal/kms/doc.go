// Package kms is what keys of the Key Management Service are and may be used for: their policies,
// grants, aliases, states and material, and the envelope that they put around data. It speaks no HTTP.
//
// Promises: every method that uses or changes a key requires of its Grant the action on the key's ARN;
// what decides about a key (policy, grants, context) is put into a demand by Demand and judged by the
// one policy engine; key material is stored only sealed by the root key's ring and leaves the package
// only as plaintext data keys that a caller with a Grant asked for; a ciphertext opens only under the
// key, the material and the encryption context that made it; material that was erased opens nothing
// ever again. A key is found by its id, its ARN, an alias or an alias's ARN, from memory.
package kms
