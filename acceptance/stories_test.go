package acceptance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// binary is the program under test, built once.
var binary string

func TestMain(m *testing.M) {
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "kura-acceptance-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "kura")
	build := exec.Command("go", "build", "-o", binary, "../cmd/kura")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

func TestStories(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "stories",
		Setup:               setup,
		Condition:           condition,
		RequireExplicitExec: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"kura-start": startCommand,
			"kura-stop":  stopCommand,
			"kura-kill":  killCommand,
			"http":       httpCommand,
			"random":     randomCommand,
			"nowhere":    nowhereCommand,
			"damage":     damageCommand,
		},
	})
}

// setup gives a story an environment of its own: nothing of the developer's AWS settings reaches
// the clients.
func setup(e *testscript.Env) error {
	home := filepath.Join(e.WorkDir, "home")
	if err := os.Mkdir(home, 0o700); err != nil {
		return err
	}
	e.Setenv("HOME", home)
	e.Setenv("PATH", filepath.Dir(binary)+string(os.PathListSeparator)+os.Getenv("PATH"))
	e.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	e.Setenv("AWS_PAGER", "")
	e.Setenv("PYTHONDONTWRITEBYTECODE", "1")
	e.Setenv("PYTHONWARNINGS", "ignore")
	e.Setenv("LC_ALL", "C.UTF-8")
	e.Setenv("DATA", filepath.Join(e.WorkDir, "data"))
	e.Setenv("TF_PLUGIN_DIR", os.Getenv("TF_PLUGIN_DIR"))
	e.Setenv("CHECKPOINT_DISABLE", "1")
	e.Setenv("CASES", casesDir())
	if root := pyenvRoot(); root != "" {
		e.Setenv("PYENV_ROOT", root)
	}
	return nil
}

// pyenvRoot lets pyenv's shims work under another HOME.
func pyenvRoot() string {
	if root := os.Getenv("PYENV_ROOT"); root != "" {
		return root
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	if _, err := os.Stat(filepath.Join(home, ".pyenv")); err != nil {
		return ""
	}
	return filepath.Join(home, ".pyenv")
}

var clients sync.Map // name → bool

func condition(name string) (bool, error) {
	if client, ok := strings.CutPrefix(name, "client:"); ok {
		return hasClient(client), nil
	}
	if name == "large" {
		return os.Getenv("KURA_TEST_LARGE") != "", nil
	}
	switch name {
	case "functions":
		return isolates(), nil
	case "cases":
		return casesDir() != "", nil
	}
	return false, fmt.Errorf("unknown condition %q", name)
}

// isolates tells whether this machine lets processes have namespaces of their own, which functions need.
var isolates = sync.OnceValue(func() bool {
	ok := exec.Command("unshare", "-Urmp", "--fork", "true").Run() == nil
	if !ok {
		fmt.Println("=== SKIPPED: this machine has no user namespaces; the stories of functions are not told ===")
	}
	return ok
})

// casesDir is where the inputs of the case studies are, as they were published; "" where they are not.
var casesDir = sync.OnceValue(func() string {
	dir, err := filepath.Abs("../../shared/cases")
	if err == nil {
		_, err = os.Stat(dir)
	}
	if err != nil {
		fmt.Println("=== SKIPPED: the inputs of the case studies are not here; the stories that use them word for word are not told ===")
		return ""
	}
	return dir
})

func hasClient(name string) bool {
	if known, ok := clients.Load(name); ok {
		return known.(bool)
	}
	probe := exec.Command(name, "--version")
	switch name {
	case "boto3":
		probe = exec.Command("python3", "-c", "import boto3")
	case "rclone", "restic":
		probe = exec.Command(name, "version")
	}
	ok := probe.Run() == nil
	if name == "terraform" {
		ok = ok && os.Getenv("TF_PLUGIN_DIR") != "" // stories fetch nothing: the provider must be there
	}
	if _, told := clients.LoadOrStore(name, ok); !told && !ok {
		fmt.Printf("=== SKIPPED: the client %s is not installed; its stories are not told ===\n", name)
	}
	return ok
}
