package generation

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/kura-s3/kura/internal/audit"
)

// usage is what was done: actions, and of each the resources, by groups that are widened when they
// have too many. What it holds is bounded whatever was done.
type usage struct {
	actions map[string]groups
	cut     bool // the record did not have all resources of a request
}

// groups are the resources of an action by what they have in common: objects by bucket, others by
// the part of their ARN before the name.
type groups map[string]map[string]bool

// Bounds of what is told apart: resources of a group, groups of an action.
const (
	maxFolders = 8
	maxNames   = 16
	maxGroups  = 200
	maxActions = 2000
)

// free are the actions that need no permission.
var free = map[string]bool{"sts:GetCallerIdentity": true, "sts:GetSessionToken": true}

func (u *usage) add(n *audit.Note) {
	if len(n.Verdicts) >= audit.MaxVerdicts {
		u.cut = true
	}
	for i := range n.Verdicts {
		if d := &n.Verdicts[i]; d.Allowed && !free[d.Action] {
			u.use(d.Action, d.Resource)
		}
	}
}

func (u *usage) use(action, resource string) {
	g := u.actions[action]
	if g == nil {
		if u.actions == nil {
			u.actions = map[string]groups{}
		}
		if len(u.actions) >= maxActions {
			u.cut = true
			return
		}
		g = groups{}
		u.actions[action] = g
	}
	group, pattern := place(resource)
	if len(g) >= maxGroups && g[group] == nil || g["*"] != nil {
		clear(g)
		g["*"] = map[string]bool{"*": true}
		return
	}
	members := g[group]
	if members == nil {
		members = map[string]bool{}
		g[group] = members
	}
	members[pattern] = true
	g[group] = narrow(group, members)
}

const objectARN = "arn:aws:s3:::"

// escaped is a resource as a pattern that matches nothing else.
var escaped = strings.NewReplacer("*", "${*}", "?", "${?}", "$", "${$}")

// place is where a resource belongs. An object stands for the folder that it lies in.
func place(resource string) (group, pattern string) {
	if resource == "*" {
		return "*", "*"
	}
	if rest, ok := strings.CutPrefix(resource, objectARN); ok {
		if bucket, key, isObject := strings.Cut(rest, "/"); isObject {
			group = objectARN + bucket + "/"
			return group, group + escaped.Replace(key[:strings.LastIndexByte(key, '/')+1]) + "*"
		}
	}
	parts := strings.SplitN(resource, ":", 6)
	if len(parts) < 6 {
		return resource, escaped.Replace(resource)
	}
	name := parts[5]
	group = strings.Join(parts[:5], ":") + ":" + name[:strings.IndexAny(name, "/:")+1]
	return group, escaped.Replace(resource)
}

// narrow drops what another member covers, and widens members while there are too many: folders become
// the folders that they lie in, the deepest first; names all names.
func narrow(group string, members map[string]bool) map[string]bool {
	if !isFolders(group) {
		if len(members) > maxNames || members[group+"*"] {
			return map[string]bool{group + "*": true}
		}
		return members
	}
	members = uncovered(members)
	for len(members) > maxFolders {
		deepest := 0
		for m := range members {
			deepest = max(deepest, strings.Count(m, "/"))
		}
		wider := map[string]bool{}
		for m := range members {
			if folder := strings.TrimSuffix(m, "/*"); strings.Count(m, "/") == deepest && len(folder) > len(group) {
				m = folder[:strings.LastIndexByte(folder, '/')+1] + "*"
			}
			wider[m] = true
		}
		members = uncovered(wider)
	}
	return members
}

func isFolders(group string) bool {
	return strings.HasPrefix(group, objectARN) && strings.HasSuffix(group, "/")
}

func uncovered(members map[string]bool) map[string]bool {
	kept := map[string]bool{}
	for m := range members {
		covered := false
		for other := range members {
			covered = covered || other != m && strings.HasPrefix(m, strings.TrimSuffix(other, "*"))
		}
		if !covered {
			kept[m] = true
		}
	}
	return kept
}

// statement and document are what is written.
type statement struct {
	Effect   string
	Action   []string
	Resource []string
}

type document struct {
	Version   string
	Statement []statement
}

// maxPolicy is how long a managed policy may be.
const maxPolicy = 6144

// policies are documents that together allow what was done, each short enough for a managed policy.
// None when nothing was done.
func (u *usage) policies() []string {
	var all []string
	var current []statement
	size := 0
	flush := func() {
		if len(current) > 0 {
			all = append(all, encode(document{"2012-10-17", current}))
		}
		current, size = nil, len(encode(document{Version: "2012-10-17"}))
	}
	flush()
	for _, st := range u.statements() {
		n := len(encode(st)) + 1
		if size+n > maxPolicy {
			flush()
		}
		current, size = append(current, st), size+n
	}
	flush()
	return all
}

// statements join the actions of a service that were used on the same resources, split so that each fits.
func (u *usage) statements() []statement {
	same := map[string]*statement{}
	for action, g := range u.actions {
		service, _, _ := strings.Cut(action, ":")
		resources := g.patterns()
		key := service + encode(resources)
		if same[key] == nil {
			same[key] = &statement{Resource: resources}
		}
		same[key].Action = append(same[key].Action, action)
	}
	var all []statement
	for _, key := range slices.Sorted(maps.Keys(same)) {
		st := same[key]
		slices.Sort(st.Action)
		for _, some := range pieces(st.Action, maxPolicy/3) {
			for _, on := range pieces(st.Resource, maxPolicy/3) {
				all = append(all, statement{"Allow", some, on})
			}
		}
	}
	return all
}

func (g groups) patterns() []string {
	var all []string
	for _, members := range g {
		all = slices.AppendSeq(all, maps.Keys(members))
	}
	slices.Sort(all)
	return all
}

// pieces cuts a list so that the texts of each part are together not longer than size, where they can be.
func pieces(list []string, size int) [][]string {
	var parts [][]string
	from, n := 0, 0
	for i, text := range list {
		if n += len(text) + 3; n > size && i > from {
			parts, from, n = append(parts, list[from:i]), i, len(text)+3
		}
	}
	return append(parts, list[from:])
}

func encode(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(v) != nil {
		return "" // strings always encode
	}
	return strings.TrimSuffix(b.String(), "\n")
}
