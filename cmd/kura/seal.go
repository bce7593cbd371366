package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/kura-s3/kura/internal/app"
	"github.com/kura-s3/kura/internal/config"
)

func sealCommand(p program) *cobra.Command {
	c := &cobra.Command{
		Use:   "seal",
		Short: "Show, rotate or move what seals a store",
		Long: `The root key seals the keys of a store, which seal everything else. These commands work on a data
directory that nobody serves, and re-wrap a few short records: no data is written again.`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(sealStatusCommand(p), sealRotateCommand(p), sealMoveCommand(p))
	return c
}

// sealFlags adds the settings that say where the store is and what seals it.
func sealFlags(c *cobra.Command) {
	var settings []config.Setting
	for _, s := range config.Settings() {
		if s.Name == "data" || s.Name == "root-key" || s.Name == "seal" {
			settings = append(settings, s)
		}
	}
	settingFlags(c.Flags(), settings)
}

// sealSettings loads what the flags of sealFlags say.
func sealSettings(c *cobra.Command, p program, others ...string) (*config.Config, error) {
	flags := givenFlags(c.Flags())
	for _, name := range others {
		delete(flags, name)
	}
	settings, err := config.Load(flags, p.environ)
	if err != nil {
		return nil, errUsage{err}
	}
	return settings, nil
}

func sealStatusCommand(p program) *cobra.Command {
	var output string
	c := &cobra.Command{Use: "status", Short: "Tell how a store is sealed; needs no root key", Args: noArguments}
	sealFlags(c)
	outputFlag(c, &output)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if output != "text" && output != "json" {
			return errUsage{fmt.Errorf("--output %q is not text or json", output)}
		}
		settings, err := sealSettings(c, p, "output")
		if err != nil {
			return err
		}
		status, err := app.SealStatus(c.Context(), settings)
		if err != nil {
			return err
		}
		if output == "json" {
			return json.NewEncoder(p.stdout).Encode(status)
		}
		for _, s := range status {
			current := ""
			if s.Current {
				current = ", current"
			}
			root := ""
			if s.RootKey != "" {
				root = ", root key " + s.RootKey
			}
			fmt.Fprintf(p.stdout, "store key %d: sealed by %s%s%s\n", s.StoreKey, s.By, root, current)
		}
		return nil
	}
	return c
}

func sealRotateCommand(p program) *cobra.Command {
	c := &cobra.Command{Use: "rotate", Short: "Make a new root key and seal the store by it", Args: noArguments}
	sealFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		settings, err := sealSettings(c, p)
		if err != nil {
			return err
		}
		name, err := app.SealRotate(c.Context(), settings)
		if err != nil {
			return err
		}
		fmt.Fprintf(p.stdout, "rotated: %s\n", name)
		return nil
	}
	return c
}

func sealMoveCommand(p program) *cobra.Command {
	var to string
	c := &cobra.Command{Use: "move --to SEAL", Short: "Seal the store by something else", Args: noArguments}
	sealFlags(c)
	c.Flags().StringVar(&to, "to", "", "what shall seal the store, as in serve --seal")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if to == "" {
			return errUsage{fmt.Errorf("seal move needs --to")}
		}
		settings, err := sealSettings(c, p, "to")
		if err != nil {
			return err
		}
		before, after, err := app.SealMove(c.Context(), settings, to)
		if err != nil {
			return err
		}
		fmt.Fprintf(p.stdout, "moved from %s to %s\nStart with: kura serve --seal %s\nWhat sealed it before opens only copies of the directory that are older than this.\n", before, after, to)
		return nil
	}
	return c
}
