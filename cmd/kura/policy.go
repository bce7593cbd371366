package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kura-s3/kura/policy"
)

// policyCommand works on policy documents in files. It needs no server.
func policyCommand(p program) *cobra.Command {
	c := &cobra.Command{
		Use:   "policy",
		Short: "Check, simulate and compare policy documents, offline",
		Args:  noArguments,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(policyCheckCommand(p), policySimulateCommand(p), policyPublicCommand(p), policyDiffCommand(p))
	return c
}

// policyKinds are the names of --kind.
var policyKinds = map[string]policy.Kind{
	"identity": policy.Identity, "boundary": policy.Boundary, "session": policy.Session, "scp": policy.SCP, "rcp": policy.RCP,
	"bucket": policy.Bucket, "trust": policy.Trust, "key": policy.KeyPolicy, "resource": policy.Resource,
}

const kindUsage = "kind of document: identity, boundary, session, scp, rcp, bucket, trust, key or resource (default: told from its text)"

// kindNamed reads --kind; without it, the document tells: whoever names a principal is about a resource.
func kindNamed(name string, src []byte) (policy.Kind, error) {
	if kind, ok := policyKinds[name]; ok {
		return kind, nil
	}
	if name != "" {
		return 0, errUsage{fmt.Errorf("--kind %q is none of identity, boundary, session, scp, rcp, bucket, trust, key, resource", name)}
	}
	text := string(src)
	has := func(part string) bool { return strings.Contains(text, part) }
	switch {
	case !has(`"Principal"`) && !has(`"NotPrincipal"`):
		return policy.Identity, nil
	case !has(`"Resource"`) && !has(`"NotResource"`) && has(`"sts:`):
		return policy.Trust, nil
	case has(`"kms:`):
		return policy.KeyPolicy, nil
	}
	return policy.Bucket, nil
}

// readPolicy reads a file, "-" for standard input, within the bounds of any document.
func readPolicy(c *cobra.Command, name string) ([]byte, error) {
	in := c.InOrStdin()
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	src, err := io.ReadAll(io.LimitReader(in, policy.MaxSource+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(src) > policy.MaxSource {
		return nil, fmt.Errorf("%s: larger than any policy", name)
	}
	return src, nil
}

// parsePolicy reads and compiles a file; the error says where the fault is.
func parsePolicy(c *cobra.Command, name string, kind policy.Kind) (*policy.Document, error) {
	src, err := readPolicy(c, name)
	if err != nil {
		return nil, err
	}
	return compilePolicy(src, name, kind)
}

func compilePolicy(src []byte, name string, kind policy.Kind) (*policy.Document, error) {
	d, err := policy.Parse(src, kind)
	var fault *policy.SyntaxError
	if errors.As(err, &fault) {
		return nil, fmt.Errorf("%s:%d:%d: %s", name, fault.Line, fault.Column, fault.Message)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return d.Named(name), nil
}

func exactly(n int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != n {
			return errUsage{fmt.Errorf("needs %s", what)}
		}
		return nil
	}
}

// inJSON tells whether --output asks for JSON.
func inJSON(output string) (bool, error) {
	if output != "text" && output != "json" {
		return false, errUsage{fmt.Errorf("--output %q is not text or json", output)}
	}
	return output == "json", nil
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// checkReport is the result of policy check.
type checkReport struct {
	File     string           `json:"file"`
	Kind     string           `json:"kind"`
	Valid    bool             `json:"valid"`
	Findings []policy.Finding `json:"findings"`
}

func policyCheckCommand(p program) *cobra.Command {
	var output, kindName, bucket string
	c := &cobra.Command{
		Use:   "check FILE",
		Short: "Validate a policy document: errors and warnings, with line and column",
		Args:  exactly(1, "one argument: FILE"),
	}
	outputFlag(c, &output)
	c.Flags().StringVar(&kindName, "kind", "", kindUsage)
	c.Flags().StringVar(&bucket, "bucket", "", "hold a bucket policy to this bucket's name, as PutBucketPolicy does")
	c.RunE = func(c *cobra.Command, args []string) error {
		asJSON, err := inJSON(output)
		if err != nil {
			return err
		}
		src, err := readPolicy(c, args[0])
		if err != nil {
			return err
		}
		kind, err := kindNamed(kindName, src)
		if err != nil {
			return err
		}
		r := checkReport{File: args[0], Kind: kind.String(), Valid: true, Findings: policy.Validate(src, kind)}
		for i := range r.Findings {
			r.Valid = r.Valid && r.Findings[i].FindingType != policy.FindingError
		}
		var refused error
		if d, err := policy.Parse(src, kind); err == nil && bucket != "" {
			refused = d.CheckBucket("arn:aws:s3:::" + strings.TrimPrefix(bucket, "arn:aws:s3:::"))
			r.Valid = r.Valid && refused == nil
		}
		if asJSON {
			if err := printJSON(p.stdout, r); err != nil {
				return err
			}
		} else {
			r.print(p.stdout)
		}
		if refused != nil {
			return fmt.Errorf("PutBucketPolicy refuses it: %w", refused)
		}
		if !r.Valid {
			return errReported
		}
		return nil
	}
	return c
}

// findingWords are the types for people, who read them behind a place.
var findingWords = map[policy.FindingType]string{
	policy.FindingError: "error", policy.FindingSecurityWarning: "security warning",
	policy.FindingWarning: "warning", policy.FindingSuggestion: "suggestion",
}

func (r *checkReport) print(w io.Writer) {
	counts := map[policy.FindingType]int{}
	for _, f := range r.Findings {
		counts[f.FindingType]++
		at := f.Locations[0].Span.Start
		fmt.Fprintf(w, "%s:%d:%d: %s: %s [%s]\n", r.File, at.Line, at.Column+1, findingWords[f.FindingType], f.FindingDetails, f.IssueCode)
	}
	summary := ""
	for _, t := range [...]policy.FindingType{policy.FindingError, policy.FindingSecurityWarning, policy.FindingWarning, policy.FindingSuggestion} {
		if n := counts[t]; n > 0 {
			summary += ", " + plural(n, findingWords[t])
		}
	}
	if summary == "" {
		summary = ", nothing to report"
	}
	fmt.Fprintf(w, "%s: %s%s\n", r.File, r.Kind, summary)
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
