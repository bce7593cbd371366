// Bench measures S3 servers side by side: throughput, latency and, steadier than both, the
// processor time that the server took per operation. It starts Kura itself, drives any number of
// other endpoints beside it, and alternates between them (A-B-A-B) within each workload, so that
// what the machine does meanwhile falls on all alike. Two references say what the machine can do
// at best: a bare net/http server, and append + fdatasync on the same disk. A server that the bench
// started stands still while another one is measured.
// At the end it times the alarm: on a store with 10,000 buckets, from the answer to the call that makes
// one public to the message that EventBridge sends about it.
//
//	go run ./bench --kura bin/kura
//	go run ./bench --kura bin/kura --kms bin/kura --only put-4k,get-4k
//	go run ./bench --kura bin/kura --recorded bin/kura --busy bin/kura --only put-4k,get-4k
//	go run ./bench --kura bin/kura --only alarm --references=false --restarts=false
//	go run ./bench --kura new=bin/kura --kura old=/elsewhere/kura --only put-4k,get-4k
//	go run ./bench --kura bin/kura --target other=127.0.0.1:9100,ACCESSKEY,SECRETKEY,PID
//
// Clients and servers share the machine's processors, as the numbers of the goals do.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Config is what the command line says.
type Config struct {
	// Kura lists binaries to start by their manner's flag, each "PATH" or "NAME=PATH".
	Kura map[string][]string
	// Targets lists running servers, each "NAME=HOST:PORT,ACCESSKEY,SECRETKEY[,PID]". Without a PID
	// neither processor time nor memory is known.
	Targets []string
	// Region is signed into every request.
	Region string
	// Only keeps the workloads of these names; empty means all.
	Only []string
	// Duration is that of one round of one workload on one target.
	Duration time.Duration
	// Rounds is how often each workload alternates between the targets.
	Rounds int
	// Objects is the size of the bucket that is listed, and that a restart finds.
	Objects int
	// Dir holds data directories and the fdatasync reference; on the disk to be measured.
	Dir string
	// References adds the bare net/http server and the fdatasync figures.
	References bool
	// Restarts measures start to ready, after a clean stop and after kill -9.
	Restarts bool
	// AlarmBuckets is how many buckets there are when one becomes public and somebody is told; 0 leaves that out.
	AlarmBuckets int
	// JSON is a file for the results, "-" for standard output; empty for none.
	JSON string
}

// mannerFlag adds to the binaries of a manner.
type mannerFlag struct {
	to   map[string][]string
	flag string
}

func (f mannerFlag) String() string { return "" }

func (f mannerFlag) Set(v string) error {
	f.to[f.flag] = append(f.to[f.flag], v)
	return nil
}

type listFlag struct{ values *[]string }

func (f listFlag) String() string { return "" }

func (f listFlag) Set(v string) error {
	*f.values = append(*f.values, v)
	return nil
}

func parseFlags(args []string, errOut io.Writer) (Config, error) {
	c := Config{Kura: map[string][]string{}}
	var only string
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(errOut)
	for i, m := range manners() {
		help := m.help
		if i > 0 {
			help = manners()[0].help + " " + help
		}
		fs.Var(mannerFlag{c.Kura, m.flag}, m.flag, help+", `[NAME=]PATH` (repeatable)")
	}
	fs.Var(listFlag{&c.Targets}, "target", "measure a running server, `NAME=HOST:PORT,ACCESSKEY,SECRETKEY[,PID]` (repeatable)")
	fs.StringVar(&c.Region, "region", "us-east-1", "region to sign for")
	fs.StringVar(&only, "only", "", "run only these workloads, comma separated; of "+strings.Join(measurable(), ", "))
	fs.DurationVar(&c.Duration, "duration", 2*time.Second, "length of one round of one workload on one target")
	fs.IntVar(&c.Rounds, "rounds", 3, "rounds of each workload, alternating between the targets")
	fs.IntVar(&c.Objects, "objects", 100_000, "objects in the listed bucket, 1,000 under each prefix")
	fs.StringVar(&c.Dir, "dir", os.TempDir(), "where data directories are made; choose the disk to be measured")
	fs.BoolVar(&c.References, "references", true, "measure also a bare net/http server and fdatasync")
	fs.BoolVar(&c.Restarts, "restarts", true, "measure start to ready of each Kura, after a stop and after kill -9")
	fs.IntVar(&c.AlarmBuckets, "alarm-buckets", 10_000, "buckets on the server whose alarm is timed; 0 leaves that out")
	fs.StringVar(&c.JSON, "json", "", "write the results to this `FILE`, - for standard output")
	if err := fs.Parse(args); err != nil {
		return c, err
	}
	if only != "" {
		c.Only = strings.Split(only, ",")
	}
	return c, c.check(fs.NArg())
}

func (c *Config) check(extra int) error {
	switch {
	case extra > 0:
		return errors.New("bench takes flags only")
	case len(c.Kura)+len(c.Targets) == 0:
		return errors.New("nothing to measure: give --kura or --target")
	case c.Duration < 10*time.Millisecond || c.Duration > time.Minute:
		return errors.New("--duration must be between 10ms and 1m")
	case c.Rounds < 1 || c.Rounds > 100:
		return errors.New("--rounds must be between 1 and 100")
	case c.Objects < 1000 || c.Objects > 10_000_000:
		return errors.New("--objects must be between 1,000 and 10,000,000")
	case c.AlarmBuckets != 0 && (c.AlarmBuckets < leastBuckets || c.AlarmBuckets > 10_000):
		return fmt.Errorf("--alarm-buckets must be 0 or between %d and 10,000", leastBuckets)
	}
	known := measurable()
	for _, name := range c.Only {
		if !slices.Contains(known, name) {
			return fmt.Errorf("--only: no workload %q; there are %s", name, strings.Join(known, ", "))
		}
	}
	return nil
}

// measurable are the names that --only knows.
func measurable() []string { return append(workloadNames(), alarmWorkload) }

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, out, errOut io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(args) == 1 && args[0] == referenceCommand {
		if err := serveReference(ctx, out); err != nil {
			fmt.Fprintln(errOut, "bench:", err)
			return 1
		}
		return 0
	}
	cfg, err := parseFlags(args, errOut)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(errOut, "bench:", err)
		return 2
	}
	text := out
	if cfg.JSON == "-" {
		text = errOut
	}
	result, err := measure(ctx, cfg, text)
	if err == nil {
		err = writeJSON(cfg.JSON, result, out)
	}
	if err != nil {
		fmt.Fprintln(errOut, "bench:", err)
		return 1
	}
	return 0
}

func writeJSON(file string, result *Result, out io.Writer) error {
	if file == "" {
		return nil
	}
	text, err := json.MarshalIndent(result, "", "  ")
	if err != nil {
		return err
	}
	text = append(text, '\n')
	if file == "-" {
		_, err = out.Write(text)
		return err
	}
	return os.WriteFile(file, text, 0o644)
}
