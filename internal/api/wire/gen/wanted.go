package main

import (
	"fmt"
	"strings"
)

// wanted is a list file: what to take from a service's model, and what the model does not say.
//
//	service NAME            folder in botocore's data
//	package NAME            Go package to write
//	operation NAME|*        an operation wanted; * for all
//	except NAME             an operation not wanted after all
//	root OPERATION NAME     XML root of the answer, where the service does not use the shape's name
//	roottext OPERATION      the answer is the text of its root element
//	status OPERATION CODE   HTTP status of success, where the model has another
//	open SHAPE              an enum whose values the decoder leaves to the handler
//	rename SHAPE NAME       another Go name for a shape
//	namespace URI           XML namespace of answers, where the metadata has none
type wanted struct {
	Service, Package, Namespace string
	All                         bool
	Operations, Except          map[string]bool
	Root, Status                map[string]string
	RootText, Open              map[string]bool
	Rename                      map[string]string
}

func parseWanted(text string) (*wanted, error) {
	w := &wanted{
		Operations: map[string]bool{}, Except: map[string]bool{}, Root: map[string]string{}, Status: map[string]string{},
		RootText: map[string]bool{}, Open: map[string]bool{}, Rename: map[string]string{},
	}
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if err := w.directive(fields); err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	if w.Service == "" || w.Package == "" {
		return nil, fmt.Errorf("no service or no package")
	}
	return w, nil
}

func (w *wanted) directive(f []string) error {
	sets := map[string]map[string]bool{
		"operation": w.Operations, "except": w.Except, "roottext": w.RootText, "open": w.Open,
	}
	texts := map[string]*string{"service": &w.Service, "package": &w.Package, "namespace": &w.Namespace}
	pairs := map[string]map[string]string{"root": w.Root, "status": w.Status, "rename": w.Rename}
	switch {
	case len(f) == 2 && f[0] == "operation" && f[1] == "*":
		w.All = true
	case len(f) == 2 && sets[f[0]] != nil:
		sets[f[0]][f[1]] = true
	case len(f) == 2 && texts[f[0]] != nil:
		*texts[f[0]] = f[1]
	case len(f) == 3 && pairs[f[0]] != nil:
		pairs[f[0]][f[1]] = f[2]
	default:
		return fmt.Errorf("not a directive: %s", strings.Join(f, " "))
	}
	return nil
}

func (w *wanted) has(op string) bool { return (w.All || w.Operations[op]) && !w.Except[op] }
