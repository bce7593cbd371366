package main

import (
	"fmt"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/kura-s3/kura/internal/app"
	"github.com/kura-s3/kura/internal/config"
)

func doctorCommand(p program) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Check a data directory offline",
		Long: `Check a data directory offline: every record decodes, every block authenticates, nothing is left
over. Names what is wrong and exits 1. The directory must not be served meanwhile.`,
		Args: noArguments,
	}
	sealFlags(c)
	outputFlag(c, &output)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if output != "text" && output != "json" {
			return errUsage{fmt.Errorf("--output %q is not text or json", output)}
		}
		flags := givenFlags(c.Flags())
		delete(flags, "output")
		settings, err := config.Load(flags, p.environ)
		if err != nil {
			return errUsage{err}
		}
		ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGTERM, syscall.SIGINT)
		defer stop()
		sound, err := app.Doctor(ctx, settings, p.stdout, output == "json")
		if err != nil {
			return err
		}
		if !sound {
			return errReported
		}
		return nil
	}
	return c
}
