package wire

// AppendText appends s as XML character data, for answers that are written by hand.
func AppendText(b []byte, s string) []byte { return appendXMLString(b, s) }

// Told is what a client may hear of the error.
func (e *Error) Told() string {
	switch {
	case e.Member != "" && e.Detail != "":
		return e.Member + ": " + e.Detail
	case e.Detail != "":
		return e.Detail
	}
	return e.Member
}
