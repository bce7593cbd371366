package main

import (
	"flag"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "rewrite the expected outputs of the scripts")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"kura": func() {
		os.Exit(run(program{args: os.Args[1:], environ: os.Environ(), stdout: os.Stdout, stderr: os.Stderr}))
	}})
}

// The scripts run the program and compare all that it prints.
func TestPolicyCommands(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/policy", UpdateScripts: *update, RequireExplicitExec: true})
}
