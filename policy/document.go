package policy

// Document is a parsed, compiled policy document.
type Document struct{}
