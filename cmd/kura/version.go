package main

import (
	"crypto/fips140"
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/kura-s3/kura/internal/app"
)

// Set by the linker (-X main.version=… -X main.commit=…); else what the Go tool noted.
var version, commit string

// build says which program this is.
func build() app.Build {
	b := app.Build{Version: version, Commit: commit, Go: runtime.Version(), FIPS140: fips140.Enabled()}
	info, ok := debug.ReadBuildInfo()
	if ok && b.Version == "" {
		b.Version = info.Main.Version
	}
	if ok && b.Commit == "" {
		b.Commit = noted(info, "vcs.revision")
		if b.Commit != "" && noted(info, "vcs.modified") == "true" {
			b.Commit += "+changes"
		}
	}
	if b.Version == "" || b.Version == "(devel)" {
		b.Version = "development"
	}
	if b.Commit == "" {
		b.Commit = "unknown"
	}
	return b
}

func noted(info *debug.BuildInfo, key string) string {
	for _, s := range info.Settings {
		if s.Key == key {
			return s.Value
		}
	}
	return ""
}

func versionCommand(p program) *cobra.Command {
	var output string
	c := &cobra.Command{Use: "version", Short: "Print version, commit and Go version", Args: noArguments}
	outputFlag(c, &output)
	c.RunE = func(*cobra.Command, []string) error {
		b := build()
		if output == "json" {
			return json.NewEncoder(p.stdout).Encode(b)
		}
		if output != "text" {
			return errUsage{fmt.Errorf("--output %q is not text or json", output)}
		}
		fips := ""
		if b.FIPS140 {
			fips = ", FIPS 140-3 mode"
		}
		fmt.Fprintf(p.stdout, "kura %s, commit %s, %s%s\n", b.Version, b.Commit, b.Go, fips)
		return nil
	}
	return c
}

// outputFlag adds --output to a command whose result is more than a line.
func outputFlag(c *cobra.Command, to *string) {
	c.Flags().StringVar(to, "output", "text", "text or json")
}
