package identity

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"crypto/sha256"
)

//go:generate go run ./gen -from ../../../shared/vectors/managed-policies.json -to managed.json.gz

// providedPolicies are the AWS managed policies, packed by gen.
//
//go:embed managed.json.gz
var providedPolicies []byte

// provided is when all AWS managed policies are said to have been made: the date of
// AdministratorAccess. AWS's own dates are not part of the data.
var provided = time.Date(2015, 2, 6, 18, 39, 46, 0, time.UTC)

// provideManaged puts the AWS managed policies into an empty State. They are part of the program and
// never stored, so that a new Kura brings their new versions.
func provideManaged(state *State) error {
	zip, err := gzip.NewReader(bytes.NewReader(providedPolicies))
	if err != nil {
		return fmt.Errorf("identity: managed policies: %w", err)
	}
	var list []struct{ ARN, Version, Document string }
	if err := json.NewDecoder(zip).Decode(&list); err != nil {
		return fmt.Errorf("identity: managed policies: %w", err)
	}
	for _, p := range list {
		account, kind, path, name, ok := splitARN(p.ARN)
		if !ok || account != awsAccount || kind != KindPolicy {
			return fmt.Errorf("identity: managed policy %q has no usable ARN", p.ARN)
		}
		issued, err := strconv.Atoi(strings.TrimPrefix(p.Version, "v"))
		if err != nil {
			return fmt.Errorf("identity: managed policy %q: version %q", p.ARN, p.Version)
		}
		state.put(&managed{
			header:   header{Format: recordFormat, ID: providedID(p.ARN), Account: awsAccount, Path: path, Name: name, Created: provided},
			Updated:  provided,
			Versions: []policyVersion{{ID: p.Version, Created: provided, Document: p.Document}},
			Default:  p.Version,
			Issued:   issued,
		}, true)
	}
	return nil
}

// providedID is the unique id of an AWS managed policy: the same in every store, because stored
// attachments name it.
func providedID(arn string) string {
	sum := sha256.Sum256([]byte(arn))
	return idPrefixes[KindPolicy] + digitsOf(sum[:])[:17]
}
