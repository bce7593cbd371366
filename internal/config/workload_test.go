package config

import (
	"slices"
	"testing"
)

func TestWorkloads(t *testing.T) {
	var got []Workload
	for _, v := range []string{"app=user:www-data", "path/x=token:/run/a=b", "arn:aws:iam::111122223333:role/a/b=user:1000", "a=b=user:7"} {
		if err := workload(&got, v); err != nil {
			t.Errorf("%s: %v", v, err)
		}
	}
	want := []Workload{
		{Role: "app", User: "www-data"}, {Role: "path/x", TokenFile: "/run/a=b"},
		{Role: "arn:aws:iam::111122223333:role/a/b", User: "1000"}, {Role: "a=b", User: "7"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
	for _, v := range []string{"", "app", "app=", "app=user:", "=user:x", "app=uid:1", "arn:aws:iam::1:user/x=user:1", "a b=user:1", "other=user:www-data"} {
		if err := workload(&got, v); err == nil {
			t.Errorf("%s was taken", v)
		}
	}
	for _, c := range []Config{
		{Listen: "127.0.0.1:1", WorkloadAddress: "0.0.0.0:1338", Workloads: want},
		{Listen: "127.0.0.1:1", WorkloadAddress: ":1338", Workloads: want},
		{Listen: "127.0.0.1:1", WorkloadAddress: "169.254.169.254:80", Workloads: want},
		{Listen: "127.0.0.1:1", WorkloadAddress: "127.0.0.1:1338"},
		{Listen: "127.0.0.1:1", Workloads: want},
	} {
		if c.check() == nil {
			t.Errorf("%s with %d rules was taken", c.WorkloadAddress, len(c.Workloads))
		}
	}
	if err := (&Config{Listen: "127.0.0.1:1", WorkloadAddress: "[::1]:1338", Workloads: want}).check(); err != nil {
		t.Error(err)
	}
}
