package policy

import (
	"slices"
	"testing"
)

func TestKurasOwnPermissions(t *testing.T) {
	if !KnownAction("Kura:declassifybucket") || AccessLevel("kura:DeclassifyBucket") != "Permissions management" || KnownAction("kura:Else") {
		t.Error("the action")
	}
	if got := Actions("kura:*"); !slices.Equal(got, []string{"kura:DeclassifyBucket"}) {
		t.Errorf("%v", got)
	}
	const doc = `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"kura:DeclassifyBucket","Resource":"arn:aws:s3:::b"},
		{"Effect":"Deny","Action":"s3:*","Resource":"*","Condition":{"Bool":{"kura:ExposesData":"true"}}},
		{"Effect":"Deny","Action":"s3:*","Resource":"*","Condition":{"ForAnyValue:StringEquals":{"kura:Contradicts":"EncryptWithKMS"}}}]}`
	if found := Validate([]byte(doc), Identity); len(found) != 0 {
		t.Errorf("%+v", found)
	}
	if found := Validate([]byte(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kura:DeclasifyBucket","Resource":"*"}}`), Identity); len(found) == 0 || found[0].IssueCode != "INVALID_ACTION" {
		t.Errorf("a misspelt action: %+v", found)
	}
}
