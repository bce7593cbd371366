// Package finding keeps what Kura found that looks like an attack, in the shape of Amazon GuardDuty:
// detectors, findings, suppression filters, lists of trusted and of dangerous addresses.
//
// What it promises: findings are kept where a detector is enabled, and nowhere else. The same thing seen
// again counts in the finding that tells of it; a new finding is stored in the same commit that puts its
// event on the bus, later sightings are told at the detector's publishing frequency. A finding that
// somebody archived stays as it is: what happens after that is a new one, so that archiving silences
// nothing to come. What is kept is bounded per account. Switching detection off is itself told.
//
// What looks for these things is package finders; who is asked about permission is the Guard: every
// method that answers a request takes a Grant.
package finding
