package website

import (
	"bytes"
	"html"
	"net/http"
	"strconv"
)

// Item is a line of an error page.
type Item struct{ Name, Value string }

// Page is the page that tells of an error: its items, and where the website's own error document
// could not be read either, the items of that error.
func Page(status int, items, second []Item) []byte {
	title := strconv.Itoa(status) + " " + http.StatusText(status)
	var b bytes.Buffer
	b.WriteString("<html>\n<head><title>" + title + "</title></head>\n<body>\n<h1>" + title + "</h1>\n")
	list(&b, items)
	if second != nil {
		b.WriteString("<h3>An Error Occurred While Attempting to Retrieve a Custom Error Document</h3>\n")
		list(&b, second)
	}
	b.WriteString("<hr/>\n</body>\n</html>\n")
	return b.Bytes()
}

func list(b *bytes.Buffer, items []Item) {
	b.WriteString("<ul>\n")
	for _, i := range items {
		b.WriteString("<li>" + html.EscapeString(i.Name) + ": " + html.EscapeString(i.Value) + "</li>\n")
	}
	b.WriteString("</ul>\n")
}
