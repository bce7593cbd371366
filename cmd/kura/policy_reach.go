package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kura-s3/kura/policy"
)

// zoneFlags are whom the reader trusts.
type zoneFlags struct {
	zone policy.Zone
	kind string
}

func (z *zoneFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringSliceVar(&z.zone.Accounts, "account", nil, "account that is trusted (repeatable); the first one owns the resource")
	f.StringVar(&z.zone.Organization, "organization", "", "organization (o-…) that is trusted")
	f.BoolVar(&z.zone.TrustServices, "trust-services", false, "trust AWS services, whomever they act for")
	f.StringVar(&z.zone.Resource, "resource-arn", "", "ARN of what carries the policy (default: the bucket that it names)")
	f.StringVar(&z.kind, "kind", "", kindUsage)
}

func (z *zoneFlags) given() bool { return len(z.zone.Accounts) > 0 || z.zone.Organization != "" }

// read compiles a file of the kind that the flags or its text say; an empty file is no policy.
func (z *zoneFlags) read(c *cobra.Command, name string) (*policy.Document, error) {
	src, err := readPolicy(c, name)
	if err != nil || strings.TrimSpace(string(src)) == "" {
		return nil, err
	}
	kind, err := kindNamed(z.kind, src)
	if err != nil {
		return nil, err
	}
	if z.kind == "" && kind == policy.Identity {
		kind = policy.Bucket // which misses its principals, and says so
	}
	return compilePolicy(src, name, kind)
}

// publicReport is the result of policy public.
type publicReport struct {
	File string `json:"file"`
	policy.Verdict
	// Openings is what principals outside the zone gain; absent when no zone is given.
	Openings []policy.Opening `json:"openings,omitempty"`
}

func policyPublicCommand(p program) *cobra.Command {
	var output string
	var fail bool
	var z zoneFlags
	c := &cobra.Command{
		Use:   "public FILE",
		Short: "Tell whether a bucket policy is public, with an example request as proof",
		Long: "Tell whether a bucket policy is public in the sense of Block Public Access, with an example request as proof.\n" +
			"With --account or --organization, tell as well who outside of them gains what.",
		Args: exactly(1, "one argument: FILE"),
	}
	outputFlag(c, &output)
	c.Flags().BoolVar(&fail, "fail", false, "exit with status 1 when the policy is public")
	z.add(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		asJSON, err := inJSON(output)
		if err != nil {
			return err
		}
		d, err := z.read(c, args[0])
		if err != nil {
			return err
		}
		if d == nil {
			return fmt.Errorf("%s: there is no policy in it", args[0])
		}
		r := publicReport{File: args[0], Verdict: d.Public()}
		if z.given() {
			r.Openings = policy.Reach(d, z.zone)
		}
		if asJSON {
			err = printJSON(p.stdout, r)
		} else {
			r.print(p.stdout, z.given())
		}
		if err == nil && fail && r.Public {
			return errReported
		}
		return err
	}
	return c
}

func (r *publicReport) print(w io.Writer, zoned bool) {
	switch {
	case !r.Public:
		fmt.Fprintf(w, "%s: not public\n", r.File)
	case r.Witness == nil:
		fmt.Fprintf(w, "%s: public by AWS's rules, though the policy's own conditions leave no request of a stranger\n", r.File)
	default:
		fmt.Fprintf(w, "%s: public\n", r.File)
	}
	for _, reason := range r.Reasons {
		fmt.Fprintf(w, "  %s\n", reason)
	}
	if r.Witness != nil {
		fmt.Fprintf(w, "  proof: %s\n", r.Witness)
	}
	if !zoned {
		return
	}
	if len(r.Openings) == 0 {
		fmt.Fprintln(w, "nobody outside gains anything")
	}
	for i := range r.Openings {
		printOpening(w, "", "gains", &r.Openings[i])
	}
}

// callerName says whom an opening is about.
func callerName(o *policy.Opening) string {
	switch {
	case o.Type == policy.CallerAnonymous:
		return "anybody, without a signature,"
	case o.Principal == "*" && o.Type == policy.CallerAccount:
		return "any AWS account"
	case o.Principal == "*" && o.Type == policy.CallerService:
		return "any AWS service, for any account,"
	case o.Principal == "*":
		return "any user of any identity provider"
	}
	return o.Principal
}

// shownActions is how many actions of an opening people are shown.
const shownActions = 6

func printOpening(w io.Writer, sign, verb string, o *policy.Opening) {
	actions := strings.Join(o.Actions[:min(len(o.Actions), shownActions)], ", ")
	if more := len(o.Actions) - shownActions; more > 0 {
		actions += fmt.Sprintf(" and %d more", more)
	}
	if !o.Proven {
		verb = "may " + strings.TrimSuffix(verb, "s")
		if verb == "may lose" || verb == "may gain" {
			verb += " (not excluded)"
		}
	}
	fmt.Fprintf(w, "%s%s %s %s\n", sign, callerName(o), verb, actions)
	if len(o.Resources) > 0 {
		fmt.Fprintf(w, "    on %s\n", strings.Join(o.Resources, ", "))
	}
	for _, condition := range o.Conditions {
		fmt.Fprintf(w, "    if %s\n", condition)
	}
	fmt.Fprintf(w, "    by statement %d", o.Statement)
	if o.Sid != "" {
		fmt.Fprintf(w, " (%s)", o.Sid)
	}
	fmt.Fprintf(w, ", line %d\n", o.Line)
	if o.Witness != nil {
		fmt.Fprintf(w, "    proof: %s\n", o.Witness)
	}
}

// diffReport is the result of policy diff.
type diffReport struct {
	Old     string          `json:"old"`
	New     string          `json:"new"`
	Changes []policy.Change `json:"changes"`
}

func policyDiffCommand(p program) *cobra.Command {
	var output string
	var fail bool
	var z zoneFlags
	c := &cobra.Command{
		Use:   "diff OLD NEW",
		Short: "Tell who gains and who loses by a new resource policy, with example requests as proof",
		Long: "Tell who gains and who loses by a new resource policy, with example requests as proof. Principals of --account and\n" +
			"--organization are trusted and left out; without these flags nobody is. An empty file stands for no policy.",
		Args: exactly(2, "two arguments: OLD NEW"),
	}
	outputFlag(c, &output)
	c.Flags().BoolVar(&fail, "fail", false, "exit with status 1 when somebody gains, or may gain, something")
	z.add(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		asJSON, err := inJSON(output)
		if err != nil {
			return err
		}
		before, err := z.read(c, args[0])
		if err != nil {
			return err
		}
		after, err := z.read(c, args[1])
		if err != nil {
			return err
		}
		r := diffReport{Old: args[0], New: args[1], Changes: policy.Diff(before, after, z.zone)}
		if asJSON {
			err = printJSON(p.stdout, r)
		} else {
			r.print(p.stdout)
		}
		if err == nil && fail && r.gains() {
			return errReported
		}
		return err
	}
	return c
}

func (r *diffReport) gains() bool {
	for i := range r.Changes {
		if r.Changes[i].Gained {
			return true
		}
	}
	return false
}

func (r *diffReport) print(w io.Writer) {
	if len(r.Changes) == 0 {
		fmt.Fprintln(w, "nobody gains or loses anything")
	}
	for i := range r.Changes {
		change := &r.Changes[i]
		if change.Gained {
			printOpening(w, "+ ", "gains", &change.Opening)
		} else {
			printOpening(w, "- ", "loses", &change.Opening)
		}
	}
}
