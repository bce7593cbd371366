package config

import "testing"

func TestReplicationTargets(t *testing.T) {
	for v, want := range map[string]ReplicationTarget{
		"offsite=https://s3.example":                                       {Name: "offsite", Bucket: "offsite", Region: "us-east-1"},
		"offsite=https://s3.example/":                                      {Name: "offsite", Bucket: "offsite", Region: "us-east-1"},
		"off.site=https://s3.example:9443/my-bucket?region=eu-west-1":      {Name: "off.site", Bucket: "my-bucket", Region: "eu-west-1"},
		"offsite=http://127.0.0.1:9000/b-1?account=111122223333&account=4": {Name: "offsite", Bucket: "b-1", Region: "us-east-1", Accounts: []string{"111122223333", "4"}},
	} {
		c, err := Load(map[string][]string{"replication-target": {v}}, nil)
		if err != nil || len(c.ReplicationTargets) != 1 {
			t.Errorf("%s: %v", v, err)
			continue
		}
		got := c.ReplicationTargets[0]
		if got.Name != want.Name || got.Bucket != want.Bucket || got.Region != want.Region || len(got.Accounts) != len(want.Accounts) || got.URL.Path != "" {
			t.Errorf("%s: %+v", v, got)
		}
	}
	for _, v := range []string{
		"offsite", "=https://s3.example", "Offsite=https://s3.example", "offsite=ftp://s3.example", "offsite=https://", "offsite=https://key:secret@s3.example",
		"offsite=https://s3.example/a/b", "offsite=https://s3.example?secret=x", "offsite=https://s3.example#x", "offsite=https://s3.example/UPPER",
	} {
		if _, err := Load(map[string][]string{"replication-target": {v}}, nil); err == nil {
			t.Errorf("%s is accepted", v)
		}
	}
	if _, err := Load(map[string][]string{"replication-target": {"offsite=https://a.example", "offsite=https://b.example"}}, nil); err == nil {
		t.Error("one name for two targets is accepted")
	}
}
