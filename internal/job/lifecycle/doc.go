// Package lifecycle makes objects expire and change their storage class by the rules of their bucket.
//
// What it promises. Each bucket with rules is walked once a day, and when its rules change, in slices
// that wait for their turn, so that requests hardly notice; memory does not grow with the bucket. A
// walk that a stop or a crash interrupts goes on where it was. What a walk decided about a version is
// done only while that version is what the walk saw; what Object Lock keeps stays. Everything is
// done under a grant that names the bucket.
package lifecycle
