package app

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/kura-s3/kura/internal/config"
	"github.com/kura-s3/kura/internal/function/runner"
	"github.com/kura-s3/kura/internal/workload"
)

const workloadAccount = "111122223333"

func TestWorkloadRules(t *testing.T) {
	good, open := filepath.Join(t.TempDir(), "good"), filepath.Join(t.TempDir(), "open")
	for path, mode := range map[string]os.FileMode{good: 0o600, open: 0o644} {
		if err := os.WriteFile(path, []byte("0123456789abcdef0123456789abcdef"), mode); err != nil {
			t.Fatal(err)
		}
	}
	rules, err := workloadRules([]config.Workload{
		{Role: "a", User: "4711"}, {Role: "x/y/b", User: "root"}, {Role: "arn:aws:iam::444455556666:role/c", TokenFile: good},
	}, workloadAccount)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"arn:aws:iam::" + workloadAccount + ":role/a", "arn:aws:iam::" + workloadAccount + ":role/x/y/b", "arn:aws:iam::444455556666:role/c"} {
		if rules[i].Role != want {
			t.Errorf("%s instead of %s", rules[i].Role, want)
		}
	}
	if *rules[0].User != 4711 || *rules[1].User != 0 || rules[2].User != nil || rules[2].TokenFile != good {
		t.Errorf("%+v", rules)
	}
	for _, w := range []config.Workload{{Role: "a", User: "no such user"}, {Role: "a", User: "-1"}, {Role: "a", TokenFile: open}, {Role: "a", TokenFile: good + "x"}} {
		if _, err := workloadRules([]config.Workload{w}, workloadAccount); err == nil {
			t.Errorf("%+v was taken", w)
		}
	}
}

// TestFunctionsHaveNoWorkloadsRole: to the kernel functions are the server's own user, or the one that root's become.
func TestFunctionsHaveNoWorkloadsRole(t *testing.T) {
	users := runner.Users()
	if want := 1 + map[bool]int{true: 1}[os.Geteuid() == 0]; users[0] != os.Geteuid() || len(users) != want {
		t.Fatalf("functions are %v", users)
	}
	for _, user := range users {
		for functions, refused := range map[bool]bool{true: true, false: false} {
			s := &server{config: &config.Config{Functions: functions}}
			if err := s.besideFunctions([]workload.Rule{{Role: "r", User: new(uint32(user))}}); (err != nil) != refused {
				t.Errorf("functions %v, user %d: %v", functions, user, err)
			}
		}
	}
	s := &server{config: &config.Config{Functions: true}}
	if err := s.besideFunctions([]workload.Rule{{Role: "r", User: new(uint32(os.Geteuid() + 1))}, {Role: "r", TokenFile: "x"}}); err != nil {
		t.Error(err)
	}
}
