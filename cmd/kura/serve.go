package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kura-s3/kura/internal/app"
	"github.com/kura-s3/kura/internal/config"
)

func serveCommand(p program) *cobra.Command {
	c := &cobra.Command{
		Use:   "serve",
		Short: "Serve a data directory until SIGTERM or SIGINT",
		Long: `Serve a data directory until SIGTERM or SIGINT. Logs go to standard error. SIGHUP reads the rules of
--network again.

A setting is taken from its flag, else from the environment (--stop-timeout is KURA_STOP_TIMEOUT),
else from the file that --config names (YAML or JSON; its keys are the names of the flags), else
it has its default.

The first start on an empty directory makes an account, in it the IAM user "admin", and one access
key: KURA_ADMIN_ACCESS_KEY_ID and KURA_ADMIN_SECRET_ACCESS_KEY when both are set, else a random one.`,
		Args: noArguments,
	}
	c.Flags().String(config.FileFlag, "", "configuration file, YAML or JSON")
	settingFlags(c.Flags(), config.Settings())
	c.RunE = func(c *cobra.Command, _ []string) error {
		settings, err := config.Load(givenFlags(c.Flags()), p.environ)
		if err != nil {
			return errUsage{err}
		}
		ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGTERM, syscall.SIGINT)
		defer stop()
		reload := make(chan os.Signal, 1)
		if settings.Network != "" { // else a terminal that hangs up ends the server, as it always did
			signal.Notify(reload, syscall.SIGHUP)
			defer signal.Stop(reload)
		}
		// A second signal is not ours any more: it ends the process at once.
		context.AfterFunc(ctx, stop)
		return app.Serve(ctx, app.Options{
			Config: settings, Environ: p.environ, Notices: p.stdout, Log: p.stderr, Terminal: terminal(p.stdout), Build: build(), Reload: reload,
		})
	}
	return c
}

// settingFlags gives every setting its flag.
func settingFlags(flags *pflag.FlagSet, settings []config.Setting) {
	flags.SortFlags = false
	for _, s := range settings {
		switch s.Kind {
		case config.List:
			flags.StringArray(s.Name, nil, s.Usage)
		case config.Switch:
			flags.Bool(s.Name, s.Default == "true", s.Usage)
		case config.Text:
			flags.String(s.Name, s.Default, s.Usage)
		}
	}
}

// givenFlags are the flags that stand on the command line.
func givenFlags(flags *pflag.FlagSet) map[string][]string {
	given := map[string][]string{}
	flags.Visit(func(f *pflag.Flag) {
		if list, ok := f.Value.(pflag.SliceValue); ok {
			given[f.Name] = list.GetSlice()
			return
		}
		given[f.Name] = []string{f.Value.String()}
	})
	return given
}

// terminal tells whether a person reads w.
func terminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	fi, err := f.Stat()
	return err == nil && fi.Mode()&os.ModeCharDevice != 0 && f.Name() != os.DevNull
}
