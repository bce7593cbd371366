package audit

import "strings"

// scan reads a note as encode writes it, without its verdicts. False: it is of another form, and
// encoding/json has to read it.
func (n *Note) scan(note []byte) bool {
	raw := string(note) // all fields lie in it
	if len(raw) < 2 || raw[0] != '{' {
		return false
	}
	raw = raw[1:]
	for {
		if len(raw) < 4 || raw[0] != '"' {
			return false
		}
		end := strings.IndexByte(raw[1:], '"')
		if end < 0 || len(raw) < end+4 || raw[end+2] != ':' {
			return false
		}
		name, value := raw[1:end+1], raw[end+3:]
		if name == "decisions" {
			return true
		}
		var size int
		if value[0] == '"' {
			if size = strings.IndexByte(value[1:], '"'); size < 0 || strings.IndexByte(value[1:size+1], '\\') >= 0 {
				return false
			}
			if to := n.text(name); to != nil {
				*to = value[1 : size+1]
			}
			size += 2
		} else {
			if size = strings.IndexAny(value, ",}"); size < 0 {
				return false
			}
			n.other(name, value[:size])
		}
		switch {
		case len(value) > size && value[size] == ',':
			raw = value[size+1:]
		case len(value) == size+1 && value[size] == '}':
			return true
		default:
			return false
		}
	}
}

// text is the field of a member that holds a text; nil for the rest.
func (n *Note) text(name string) *string {
	switch name {
	case "id":
		return &n.ID
	case "event":
		return &n.Event
	case "account":
		return &n.Account
	case "category":
		return &n.Category
	case "source":
		return &n.Source
	case "name":
		return &n.Name
	case "user":
		return &n.User
	case "userName":
		return &n.UserName
	case "accessKey":
		return &n.KeyID
	case "ip":
		return &n.IP
	case "bucket":
		return &n.Bucket
	case "key":
		return &n.Key
	case "arn":
		return &n.ARN
	case "type":
		return &n.Type
	case "error":
		return &n.Error
	case "auth":
		return &n.Auth
	case "method":
		return &n.Method
	case "uri":
		return &n.URI
	}
	return nil
}

// other reads a member that holds a number or a truth.
func (n *Note) other(name string, value string) {
	number := int64(0)
	for _, c := range []byte(value) {
		if c >= '0' && c <= '9' {
			number = number*10 + int64(c-'0')
		}
	}
	switch name {
	case "t":
		n.Millis = number
	case "status":
		n.Status = int(number)
	case "us":
		n.Micros = number
	case "read":
		n.ReadOnly = value == "true"
	}
}
