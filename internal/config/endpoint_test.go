package config

import (
	"reflect"
	"testing"
)

func TestEndpoints(t *testing.T) {
	var got []Endpoint
	for _, v := range []string{"vpce-app=127.0.0.1:9100", "vpce-db/vpc-main=[::1]:9101"} {
		if err := endpoint(&got, v); err != nil {
			t.Fatal(err)
		}
	}
	want := []Endpoint{{"vpce-app", "", "127.0.0.1:9100"}, {"vpce-db", "vpc-main", "[::1]:9101"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	for _, v := range []string{"", "app=127.0.0.1:1", "vpce-app=127.0.0.1:1", "vpce-x=", "vpce-x=nowhere", "vpce-x/main=127.0.0.1:1", "vpce-X=127.0.0.1:1", "vpce-x/=127.0.0.1:1"} {
		if err := endpoint(&got, v); err == nil {
			t.Errorf("%q was taken", v)
		}
	}
	c := &Config{Listen: "127.0.0.1:0", Endpoints: []Endpoint{{ID: "vpce-x", Address: "0.0.0.0:1"}}}
	if c.check() == nil {
		t.Error("an endpoint in the clear is open to others")
	}
}
