package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// Exit statuses.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// program is what the commands know of the process that they run in.
type program struct {
	args           []string
	environ        []string
	stdout, stderr io.Writer
}

// errUsage marks errors of the command line, for the exit status.
type errUsage struct{ error }

func (e errUsage) Unwrap() error { return e.error }

// errReported is an outcome that was told already; only the exit status is left to say.
var errReported = errors.New("reported")

// run executes one command line and returns the exit status.
func run(p program) int {
	root := &cobra.Command{
		Use:           "kura",
		Short:         "S3 that you run yourself, with AWS's own security model around it",
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return errUsage{fmt.Errorf("unknown command %q; see kura --help", args[0])}
			}
			return c.Help()
		},
		Args: cobra.ArbitraryArgs,
	}
	root.SetArgs(p.args)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return errUsage{err} })
	root.AddCommand(serveCommand(p), demoCommand(p), alertCommand(p), versionCommand(p), doctorCommand(p), whyCommand(p), policyCommand(p), restoreCommand(p), auditCommand(p), sealCommand(p))
	err := root.Execute()
	var usage errUsage
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errReported):
		return exitFailed
	case errors.As(err, &usage):
		fmt.Fprintf(p.stderr, "kura: %v\n", err)
		return exitUsage
	default:
		fmt.Fprintf(p.stderr, "kura: %v\n", err)
		return exitFailed
	}
}

// noArguments refuses words after the flags.
func noArguments(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return errUsage{fmt.Errorf("%s takes no argument; %q is one", c.CommandPath(), args[0])}
	}
	return nil
}
