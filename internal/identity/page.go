package identity

import "encoding/base64"

// markerOf hides a position in a list; positionOf reads it back.
func markerOf(position string) string { return base64.RawURLEncoding.EncodeToString([]byte(position)) }

func positionOf(marker string) (string, error) {
	raw, err := base64.RawURLEncoding.DecodeString(marker)
	if err != nil || len(raw) > 2048 {
		return "", refuse(ValidationError, "Invalid Marker.")
	}
	return string(raw), nil
}

// page lists what is indexed under prefix in order: those that keep accepts, as show shows them.
func page[E entity, T any](s *State, prefix string, p Page, keep func(E) bool, show func(E) T) (*Listed[T], error) {
	limit, err := p.limit()
	if err != nil {
		return nil, err
	}
	from, err := positionOf(p.Marker)
	if err != nil {
		return nil, err
	}
	out := &Listed[T]{Items: []T{}}
	each(s, prefix, from, func(key string, e E) bool {
		if keep != nil && !keep(e) {
			return true
		}
		if len(out.Items) == limit {
			out.IsTruncated, out.Marker = true, markerOf(key)
			return false
		}
		out.Items = append(out.Items, show(e))
		return true
	})
	return out, nil
}

// pageOf is one page of a short list that is already at hand.
func pageOf[F, T any](all []F, p Page, show func(F) T) (*Listed[T], error) {
	limit, err := p.limit()
	if err != nil {
		return nil, err
	}
	from, err := positionOf(p.Marker)
	if err != nil {
		return nil, err
	}
	start := len(from) // the position is told by length: lists of this kind are short
	out := &Listed[T]{Items: []T{}}
	for i := start; i < len(all); i++ {
		if len(out.Items) == limit {
			out.IsTruncated, out.Marker = true, markerOf(string(make([]byte, i)))
			break
		}
		out.Items = append(out.Items, show(all[i]))
	}
	return out, nil
}
