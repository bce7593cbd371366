package runner

// NewExposed makes a runner that does not isolate, on a host that could.
func NewExposed(c Config) (*Runner, error) {
	r, err := New(c)
	if err != nil {
		return nil, err
	}
	r.exposed = true
	return r, r.emptyScratch()
}
