package app

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/kura-s3/kura/internal/config"
	"github.com/kura-s3/kura/internal/job/replication"
	"github.com/kura-s3/kura/internal/keys"
)

// target is a destination of replication at another S3 endpoint.
type target struct {
	config   config.ReplicationTarget
	endpoint *replication.Endpoint
}

// credentialsVariable gives the keys of replication targets, NAME=KEY:SECRET[:TOKEN], separated by commas
// or spaces. They are sealed into the store; later starts need them no more.
const credentialsVariable = "KURA_REPLICATION_CREDENTIALS"

// openTargets connects the configured targets with their stored credentials.
func (s *server) openTargets(ctx context.Context, ring *keys.Ring) error {
	given, err := targetCredentials(s.options.Environ)
	if err != nil {
		return err
	}
	s.targets = map[string]target{}
	for _, t := range s.config.ReplicationTargets {
		if err := s.mayCall(t.URL.String()); err != nil {
			return fmt.Errorf("--replication-target %s: it must be HTTPS, or plain HTTP to this machine while nobody else reaches this server", t.Name)
		}
		c, ok := given[t.Name]
		if delete(given, t.Name); ok {
			err = replication.StoreCredentials(ctx, s.engines.Meta, ring, t.Name, c)
		} else {
			c, ok, err = replication.LoadCredentials(ctx, s.engines.Meta, ring, t.Name)
		}
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("--replication-target %s has no credentials: give them once in %s, as %s=KEY:SECRET", t.Name, credentialsVariable, t.Name)
		}
		s.targets[t.Name] = target{t, replication.NewEndpoint(replication.EndpointConfig{
			URL: t.URL, Bucket: t.Bucket, Region: t.Region, Credentials: c, Dial: outbound(s.config),
		})}
	}
	for name := range given {
		return fmt.Errorf("%s: there is no --replication-target %s", credentialsVariable, name)
	}
	return nil
}

func targetCredentials(environ []string) (map[string]replication.Credentials, error) {
	all := map[string]replication.Credentials{}
	for _, variable := range environ {
		text, ok := strings.CutPrefix(variable, credentialsVariable+"=")
		if !ok {
			continue
		}
		for _, one := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' }) {
			name, pair, _ := strings.Cut(one, "=")
			key, rest, ok := strings.Cut(pair, ":")
			secret, token, _ := strings.Cut(rest, ":")
			if !ok || name == "" || key == "" || secret == "" {
				return nil, fmt.Errorf("%s is not NAME=KEY:SECRET[:TOKEN], separated by commas", credentialsVariable)
			}
			all[name] = replication.Credentials{AccessKeyID: key, Secret: secret, SessionToken: token}
		}
	}
	return all, nil
}

// replicatesTo tells whether the buckets of an account may replicate to a target.
func (s *server) replicatesTo(bucket, account string) bool {
	t, ok := s.targets[bucket]
	if !ok {
		return false
	}
	if len(t.config.Accounts) > 0 {
		return slices.Contains(t.config.Accounts, account)
	}
	return s.identities.ManagesOrganization(account)
}

func (s *server) elsewhere(bucket, account string) replication.Elsewhere {
	if !s.replicatesTo(bucket, account) {
		return nil
	}
	return s.targets[bucket].endpoint
}
