package wire

// AppendText appends s as XML character data, for answers that are written by hand.
func AppendText(b []byte, s string) []byte { return appendXMLString(b, s) }
