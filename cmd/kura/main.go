// Command kura is S3 that you run yourself, with AWS's own security model around it.
//
// Exit status: 0 done, 1 failed or denied, 2 wrong usage.
package main

import (
	"os"

	"github.com/kura-s3/kura/internal/function/runner"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == runner.SandboxArg {
		runner.SandboxMain()
	}
	os.Exit(run(program{args: os.Args[1:], environ: os.Environ(), stdout: os.Stdout, stderr: os.Stderr}))
}
