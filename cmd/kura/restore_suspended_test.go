package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestRestoreKeepsWhatIsCurrent: only where a copy makes a version of its own is anything changed.
func TestRestoreKeepsWhatIsCurrent(t *testing.T) {
	for status, want := range map[string]struct{ tell, apply bool }{"Enabled": {true, true}, "Suspended": {true, false}, "": {false, false}} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet {
				t.Errorf("%q: %s %s", status, r.Method, r.URL)
			}
			fmt.Fprintf(w, "<VersioningConfiguration><Status>%s</Status></VersioningConfiguration>", status)
		}))
		client, err := newClient(map[string]string{"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}, server.URL)
		if err != nil {
			t.Fatal(err)
		}
		for apply, allowed := range map[bool]bool{false: want.tell, true: want.apply} {
			r := &restoring{restoreOptions: restoreOptions{bucket: "b", apply: apply}, client: client}
			if err := r.checkVersioned(t.Context()); (err == nil) != allowed {
				t.Errorf("versioning %q, apply %t: %v", status, apply, err)
			}
		}
		server.Close()
	}
}
