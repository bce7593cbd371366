package policy

import (
	"encoding/json"
	"slices"
	"strings"
)

// order of members in the normalized document.
var (
	documentOrder  = []string{"Version", "Id", "Statement"}
	statementOrder = []string{"Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"}
)

// Normalized is the document without white space and with its members in AWS's order: what S3
// measures, stores and gives back. Account principals are shown as the ARN of the account.
func (d *Document) Normalized() string {
	return d.render(func(p *principal) string {
		if p.kind == accountPrincipal && p.written == p.value {
			return "arn:aws:iam::" + p.value + ":root"
		}
		return p.written
	})
}

// Principals lists the ARNs of the users and roles that the document names, each once, in order:
// what has to exist, and what Resolve asks the unique ids of.
func (d *Document) Principals() []string { return d.listPrincipals(entityPrincipal) }

// UniqueIDs lists the unique ids that the document names: what Render wants the ARNs of.
func (d *Document) UniqueIDs() []string { return d.listPrincipals(uniqueIDPrincipal) }

func (d *Document) listPrincipals(kind principalKind) []string {
	var list []string
	for i := range d.statements {
		for _, p := range d.statements[i].principals {
			if p.kind == kind && arnPart(p.value, 4) != "cloudfront" && !slices.Contains(list, p.value) {
				list = append(list, p.value)
			}
		}
	}
	return list
}

// Resolve pins the document to entities: every user and role ARN becomes the unique id that idOf
// gives for it, so that an entity made later under the same name gains nothing. An ARN without an id
// names nobody: that is a *SyntaxError with CodePrincipal. The result's Source is what to store.
func (d *Document) Resolve(idOf func(arn string) (id string, ok bool)) (*Document, error) {
	ids := map[string]string{}
	for _, arn := range d.Principals() {
		if id, ok := idOf(arn); ok {
			ids[arn] = id
		}
	}
	for i := range d.statements {
		for _, p := range d.statements[i].principals {
			if p.kind != entityPrincipal || arnPart(p.value, 4) == "cloudfront" || isUniqueID(ids[p.value]) {
				continue
			}
			return nil, &SyntaxError{
				Position: positionOf(d.source, p.offset), Code: CodePrincipal, Kind: d.kind,
				Message: "the principal does not exist", Detail: quote(p.element) + ":" + quote(p.written), end: p.offset + len(p.written) + 2,
			}
		}
	}
	pinned, err := ParseString(d.render(func(p *principal) string {
		if id := ids[p.value]; id != "" && p.kind == entityPrincipal {
			return id
		}
		return p.written
	}), d.kind)
	if err != nil {
		return nil, err
	}
	pinned.name = d.name
	return pinned, nil
}

// Render is the text to show: unique ids appear as the ARNs that arns has for them, and bare when
// their entity is gone.
func (d *Document) Render(arns map[string]string) string {
	return d.render(func(p *principal) string {
		switch {
		case p.kind == accountPrincipal && p.written == p.value:
			return "arn:aws:iam::" + p.value + ":root"
		case p.kind == uniqueIDPrincipal && arns[p.value] != "":
			return arns[p.value]
		}
		return p.written
	})
}

// render writes the document anew; the source is decoded again, as the tree is not kept.
func (d *Document) render(show func(*principal) string) string {
	root, _ := decode(d.source)
	w := writer{show: show}
	w.document(&root)
	return w.String()
}

type writer struct {
	strings.Builder
	show func(*principal) string
}

func (w *writer) document(n *node) {
	w.object(n, documentOrder, func(m *member) {
		if m.name.text != "Statement" {
			w.value(&m.value)
			return
		}
		w.list(&m.value, func(s *node) { w.object(s, statementOrder, w.element) })
	})
}

func (w *writer) element(m *member) {
	if m.value.kind != objectNode || m.name.text != "Principal" && m.name.text != "NotPrincipal" {
		w.value(&m.value)
		return
	}
	w.object(&m.value, nil, func(e *member) {
		w.list(&e.value, func(n *node) {
			text := n.text
			if p, ok := parsePrincipal(e.name.text, n.text); ok {
				text = w.show(&p)
			}
			w.text(text)
		})
	})
}

// object writes the members in the given order, then the rest as they came.
func (w *writer) object(n *node, order []string, value func(*member)) {
	separator := byte('{')
	write := func(m *member) {
		w.WriteByte(separator)
		separator = ','
		w.text(m.name.text)
		w.WriteByte(':')
		value(m)
	}
	for _, name := range order {
		if m := n.member(name); m != nil {
			write(m)
		}
	}
	for i := range n.members {
		if !slices.Contains(order, n.members[i].name.text) {
			write(&n.members[i])
		}
	}
	if separator == '{' {
		w.WriteByte('{')
	}
	w.WriteByte('}')
}

// list writes one value or a list of them, as it was written.
func (w *writer) list(n *node, value func(*node)) {
	if n.kind != arrayNode {
		value(n)
		return
	}
	w.WriteByte('[')
	for i := range n.items {
		if i > 0 {
			w.WriteByte(',')
		}
		value(&n.items[i])
	}
	w.WriteByte(']')
}

func (w *writer) value(n *node) {
	switch n.kind {
	case objectNode:
		w.object(n, nil, func(m *member) { w.value(&m.value) })
	case arrayNode:
		w.list(n, w.value)
	case stringNode:
		w.text(n.text)
	default:
		w.WriteString(n.text)
	}
}

func (w *writer) text(s string) {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= 0x7F {
			encoder := json.NewEncoder(trimNewline{&w.Builder})
			encoder.SetEscapeHTML(false)
			_ = encoder.Encode(s) // a Builder does not fail
			return
		}
	}
	w.WriteByte('"')
	w.WriteString(s)
	w.WriteByte('"')
}

// trimNewline drops the newline that json.Encoder adds.
type trimNewline struct{ b *strings.Builder }

func (t trimNewline) Write(p []byte) (int, error) {
	t.b.WriteString(strings.TrimSuffix(string(p), "\n"))
	return len(p), nil
}
