package runner

import "context"

// NewExposed makes a runner that does not isolate, on a host that could.
func NewExposed(c Config) (*Runner, error) {
	r, err := New(c)
	if err != nil {
		return nil, err
	}
	r.exposed = true
	return r, r.emptyScratch()
}

// NodePrefixes are the directories that functions see for the sake of a Node interpreter.
func NodePrefixes(ctx context.Context, path string) ([]string, error) {
	it, err := askNode(ctx, path)
	if err != nil {
		return nil, err
	}
	return it.prefixes, nil
}
