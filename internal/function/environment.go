package function

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/function/runner"
)

// checkEnvironment holds variables to what Lambda takes and gives them as JSON, whose size counts.
func checkEnvironment(variables map[string]string) ([]byte, error) {
	var taken []string
	for name := range variables {
		if runner.ReservedEnv(name) {
			taken = append(taken, name)
		}
	}
	if len(taken) > 0 {
		slices.Sort(taken)
		return nil, invalid("Lambda was unable to configure your environment variables because the environment variables you have provided contains reserved keys that are currently not supported for modification. Reserved keys used in this request: %s", strings.Join(taken, ", "))
	}
	for name, value := range variables {
		if !variableName.MatchString(name) {
			return nil, invalid("1 validation error detected: Value at 'environment.variables' failed to satisfy constraint: Map keys must satisfy constraint: [Member must satisfy regular expression pattern: [a-zA-Z]([a-zA-Z0-9_])+]")
		}
		if strings.ContainsRune(value, 0) || !utf8.ValidString(value) {
			return nil, invalid("Lambda was unable to configure your environment variables because the value of %s has characters that no variable can have.", name)
		}
	}
	raw, err := json.Marshal(variables)
	if err == nil && len(raw) > maxEnvironment {
		return nil, invalid("Lambda was unable to configure your environment variables because the environment variables you have provided exceeded the 4KB limit. String measured: %d bytes", len(raw))
	}
	return raw, err
}

// environmentContext binds a sealed environment to its function.
func environmentContext(id uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte("function environment\x00"), id)
}

// setEnvironment encrypts what in says of the variables, and under which key, into c.
func (s *Store) setEnvironment(ctx context.Context, g authz.Grant, f *Function, c *Configuration, in *Settings) error {
	key := c.Key
	if in.Key != nil {
		key = *in.Key
	}
	if key != "" && s.config.Keys == nil {
		return invalid("KMSKeyArn is not supported by this server.")
	}
	if in.Environment == nil && key == c.Key {
		return nil
	}
	variables := in.Environment
	had, err := s.Environment(ctx, g, f, c)
	switch {
	case variables == nil && err != nil:
		return err
	case variables == nil:
		variables = had
	case err == nil && key == c.Key && maps.Equal(had, variables):
		return nil // the same as before stays what it is
	}
	raw, err := checkEnvironment(variables)
	if err != nil {
		return err
	}
	c.Key, c.Environment = key, nil
	if len(variables) == 0 {
		return nil
	}
	if key != "" {
		if raw, err = s.config.Keys.Encrypt(ctx, g, key, s.arnOf(f), c.Role, raw); err != nil {
			return err
		}
	}
	c.Environment = s.config.Secrets.SealSecret(environmentContext(f.ID), raw)
	return nil
}

func (s *Store) arnOf(f *Function) string { return s.ARN(Ref{Account: f.Account, Name: f.Name}) }

// Environment are the variables of a configuration, for who may see it. Under a customer's key it needs the
// caller's permission to decrypt.
func (s *Store) Environment(ctx context.Context, g authz.Grant, f *Function, c *Configuration) (map[string]string, error) {
	return s.environment(ctx, f, c, func(raw []byte) ([]byte, error) {
		return s.config.Keys.Decrypt(ctx, g, c.Key, s.arnOf(f), raw)
	})
}

func (s *Store) environment(ctx context.Context, f *Function, c *Configuration, decrypt func([]byte) ([]byte, error)) (map[string]string, error) {
	variables := map[string]string{}
	if c.Environment == nil {
		return variables, nil
	}
	raw, err := s.config.Secrets.OpenSecret(ctx, environmentContext(f.ID), c.Environment)
	if err != nil {
		return nil, err
	}
	if c.Key != "" {
		if s.config.Keys == nil {
			return nil, refuse(KeyDenied, "Lambda was unable to decrypt the environment variables: this server has no keys.")
		}
		if raw, err = decrypt(raw); err != nil {
			return nil, err
		}
	}
	return variables, json.Unmarshal(raw, &variables)
}
