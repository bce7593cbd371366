package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kura-s3/kura/policy"
)

// simulation is one question, as the flags put it.
type simulation struct {
	identity, session, scps, rcps, context []string
	boundary, resource, endpoint           string
	principal, action, arn, account        string
}

func policySimulateCommand(p program) *cobra.Command {
	var s simulation
	var output string
	c := &cobra.Command{
		Use:   "simulate --principal ARN --action ACTION [--resource-arn ARN] [documents] [--context KEY=VALUE]",
		Short: "Decide one request against documents given as files, and name the deciding statement",
		Long: "Decide one request against documents given as files, and name the deciding statement.\n\n" +
			"--principal is the ARN of a user, role, session or root user, an account, the name of a service, or \"*\" for a request\n" +
			"without a signature. Condition keys that follow from it are set. The status is 1 when the request is denied.",
		Args: noArguments,
	}
	outputFlag(c, &output)
	f := c.Flags()
	f.StringArrayVar(&s.identity, "identity", nil, "file with an identity policy (repeatable)")
	f.StringVar(&s.boundary, "boundary", "", "file with the permissions boundary")
	f.StringArrayVar(&s.session, "session", nil, "file with a session policy (repeatable)")
	f.StringArrayVar(&s.scps, "scp", nil, "file with the service control policy of one level, root first (repeatable)")
	f.StringArrayVar(&s.rcps, "rcp", nil, "file with the resource control policy of one level, root first (repeatable)")
	f.StringVar(&s.endpoint, "endpoint", "", "file with the policy of the VPC endpoint")
	f.StringVar(&s.resource, "resource", "", "file with the resource's policy: of a bucket, a key or a role")
	f.StringVar(&s.principal, "principal", "", "who asks")
	f.StringVar(&s.action, "action", "", "what is asked for, as s3:GetObject")
	f.StringVar(&s.arn, "resource-arn", "*", "what it is asked of")
	f.StringVar(&s.account, "resource-account", "", "account that owns the resource (default: of its ARN, else the principal's)")
	f.StringArrayVar(&s.context, "context", nil, "condition key of the request, KEY=VALUE (repeatable)")
	c.RunE = func(c *cobra.Command, _ []string) error {
		asJSON, err := inJSON(output)
		if err != nil {
			return err
		}
		req, err := s.request()
		if err != nil {
			return err
		}
		in, err := s.inputs(c)
		if err != nil {
			return err
		}
		x := policy.Explain(req, in)
		if asJSON {
			_, err = fmt.Fprintf(p.stdout, "%s\n", x.JSON())
		} else {
			printExplanation(p.stdout, x)
		}
		if err == nil && x.Decision != policy.Allow.String() {
			return errReported
		}
		return err
	}
	return c
}

func (s *simulation) request() (*policy.Request, error) {
	if s.principal == "" || s.action == "" {
		return nil, errUsage{fmt.Errorf("--principal and --action are needed")}
	}
	principal, err := policy.ParseCaller(s.principal)
	if err != nil {
		return nil, errUsage{err}
	}
	if _, name, ok := strings.Cut(s.action, ":"); !ok || name == "" || strings.ContainsAny(s.action, "*? ") {
		return nil, errUsage{fmt.Errorf("--action %q is not of the form service:Name", s.action)}
	}
	req := &policy.Request{Principal: principal, Action: s.action, Resource: s.arn, ResourceAccount: s.account}
	if req.ResourceAccount == "" {
		if parts := strings.SplitN(s.arn, ":", 6); len(parts) == 6 {
			req.ResourceAccount = parts[4]
		}
	}
	if req.ResourceAccount == "" {
		req.ResourceAccount = principal.Account
	}
	keys := policy.CallerKeys(&principal)
	if req.ResourceAccount != "" {
		keys["aws:resourceaccount"] = policy.Values{One: req.ResourceAccount}
	}
	if err := s.keys(keys); err != nil {
		return nil, err
	}
	req.Context = keys
	return req, nil
}

// keys adds those that --context gives; a multivalued key takes several.
func (s *simulation) keys(keys policy.Keys) error {
	given := map[string]bool{}
	for _, pair := range s.context {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return errUsage{fmt.Errorf("--context %q is not of the form KEY=VALUE", pair)}
		}
		key = strings.ToLower(key)
		switch multi := strings.HasPrefix(policy.KeyType(key), "ArrayOf"); {
		case multi && given[key]:
			keys[key] = policy.Values{Multi: true, Many: append(keys[key].Many, value)}
		case multi:
			keys[key] = policy.Values{Multi: true, Many: []string{value}}
		case given[key]:
			return errUsage{fmt.Errorf("--context gives %s twice, but it has one value", key)}
		default:
			keys[key] = policy.Values{One: value}
		}
		given[key] = true
	}
	return nil
}

func (s *simulation) inputs(c *cobra.Command) (*policy.Inputs, error) {
	in := &policy.Inputs{HasSession: len(s.session) > 0}
	var err error
	list := func(names []string, kind policy.Kind) (docs []*policy.Document) {
		for _, name := range names {
			if err == nil {
				var d *policy.Document
				d, err = parsePolicy(c, name, kind)
				docs = append(docs, d)
			}
		}
		return docs
	}
	levels := func(names []string, kind policy.Kind) (tree [][]*policy.Document) {
		for _, d := range list(names, kind) {
			tree = append(tree, []*policy.Document{d})
		}
		return tree
	}
	one := func(name string, kind policy.Kind) *policy.Document {
		if docs := list(slices.DeleteFunc([]string{name}, func(s string) bool { return s == "" }), kind); len(docs) > 0 {
			return docs[0]
		}
		return nil
	}
	in.Identity, in.Session = list(s.identity, policy.Identity), list(s.session, policy.Session)
	in.SCPs, in.RCPs = levels(s.scps, policy.SCP), levels(s.rcps, policy.RCP)
	in.Boundary, in.Endpoint = one(s.boundary, policy.Boundary), one(s.endpoint, policy.Resource)
	kind := s.resourceKind()
	in.Resource = one(s.resource, kind)
	in.ResourceMustAllow = kind == policy.KeyPolicy || kind == policy.Trust
	return in, err
}

// resourceKind follows from what is asked for: keys and roles decide by their own policy.
func (s *simulation) resourceKind() policy.Kind {
	service, name, _ := strings.Cut(strings.ToLower(s.action), ":")
	switch {
	case service == "s3":
		return policy.Bucket
	case service == "kms" && strings.Contains(s.arn, ":key/"):
		return policy.KeyPolicy
	case service == "sts" && strings.HasPrefix(name, "assumerole"):
		return policy.Trust
	}
	return policy.Resource
}

func printExplanation(w io.Writer, x *policy.Explanation) {
	fmt.Fprintf(w, "%s\n  principal  %s\n  action     %s\n  resource   %s\n  reason     %s\n", decisionWords[x.Decision], cmp.Or(x.Principal, "*"), x.Action, x.Resource, x.Reason)
	if d := x.Deciding; d != nil {
		fmt.Fprintf(w, "  decided by %s:%d:%d: statement %d", d.Document, d.Start.Line, d.Start.Column, d.Index)
		if d.Sid != "" {
			fmt.Fprintf(w, " (%s)", d.Sid)
		}
		fmt.Fprintf(w, ", %s\n", d.Effect)
		printConditions(w, d)
	}
	for _, layer := range x.Layers {
		fmt.Fprintf(w, "  %s: %s\n", layer.Layer, decisionWords[layer.Effect])
		for _, document := range layer.Documents {
			for i := range document.Statements {
				printStatement(w, &document.Statements[i])
			}
		}
	}
	if x.Suggestion != nil {
		fmt.Fprintf(w, "  an Allow for %s on %s in the %s would be needed\n", x.Suggestion.Statement.Action, x.Resource, x.Suggestion.Layer)
	}
}

var decisionWords = map[string]string{
	policy.Allow.String(): "allowed", policy.ExplicitDeny.String(): "denied explicitly", policy.ImplicitDeny.String(): "denied: nothing allows it",
}

// printStatement shows a statement that is about the action, and what kept it from applying.
func printStatement(w io.Writer, s *policy.StatementReport) {
	if s.Deciding {
		return
	}
	verdict := "applies"
	if !s.Matched {
		verdict = "does not apply: " + strings.Join(s.Misses, ", ")
	}
	sid := ""
	if s.Sid != "" {
		sid = " (" + s.Sid + ")"
	}
	fmt.Fprintf(w, "    %s:%d:%d: statement %d%s, %s, %s\n", s.Document, s.Start.Line, s.Start.Column, s.Index, sid, s.Effect, verdict)
	if slices.Contains(s.Misses, "Condition") {
		printConditions(w, s)
	}
}

func printConditions(w io.Writer, s *policy.StatementReport) {
	for _, c := range s.Conditions {
		actual, held := "absent", "does not hold"
		if c.Present {
			actual = strings.Join(c.Actual, ", ")
		}
		if c.Held {
			held = "holds"
		}
		fmt.Fprintf(w, "      %s %s %s: %s (is %s)\n", c.Operator, c.Key, strings.Join(c.Expected, ", "), held, actual)
	}
}
