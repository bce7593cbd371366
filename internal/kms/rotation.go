package kms

// defaultRotation is the period of automatic rotation in days, where none is given.
const defaultRotation = 365
