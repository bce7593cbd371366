package authz_test

import (
	"slices"
	"testing"

	"github.com/kura-s3/kura/internal/authz"
)

func TestTagsAsConditionKeys(t *testing.T) {
	keys := authz.Either{
		nil,
		authz.ResourceTags{"Team": "red", "team": "blue", "empty": ""},
		authz.RequestTags{"Stage": "prod", "cost": "1"},
	}
	for key, want := range map[string]string{
		"aws:resourcetag/team": "red", "aws:resourcetag/empty": "", "aws:requesttag/stage": "prod", "aws:requesttag/cost": "1",
	} {
		if v, ok := keys.Lookup(key); !ok || v.One != want {
			t.Errorf("%s = %q, %v, want %q", key, v.One, ok, want)
		}
	}
	for _, key := range []string{"aws:resourcetag/stage", "aws:requesttag/team", "aws:requesttag/", "aws:resourcetag/", "aws:sourceip", ""} {
		if v, ok := keys.Lookup(key); ok {
			t.Errorf("%s = %v, want none", key, v)
		}
	}
	if v, ok := keys.Lookup("aws:tagkeys"); !ok || !v.Multi || !slices.Equal(v.Many, []string{"Stage", "cost"}) {
		t.Errorf("aws:TagKeys = %v, %v", v, ok)
	}
}

func TestTagsTakenAwayAreKeysOnly(t *testing.T) {
	keys := authz.TagKeys{"Stage"}
	if v, ok := keys.Lookup("aws:tagkeys"); !ok || !v.Multi || !slices.Equal(v.Many, []string{"Stage"}) {
		t.Errorf("aws:TagKeys = %v, %v", v, ok)
	}
	if v, ok := keys.Lookup("aws:requesttag/stage"); ok {
		t.Errorf("aws:RequestTag/Stage = %v: nobody brings a value", v)
	}
	if v, ok := authz.TagKeys(nil).Lookup("aws:tagkeys"); ok {
		t.Errorf("aws:TagKeys of no tags = %v", v)
	}
	if v, ok := (authz.RequestTags{}).Lookup("aws:tagkeys"); ok {
		t.Errorf("aws:TagKeys of no tags = %v", v)
	}
}
