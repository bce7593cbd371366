package app

import (
	"context"
	"errors"
	"fmt"
	"os/user"
	"slices"
	"strconv"
	"strings"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/config"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/function/runner"
	"github.com/kura-s3/kura/internal/identity"
	"github.com/kura-s3/kura/internal/workload"
)

// startWorkloads begins to give local programs the credentials of roles.
func (s *server) startWorkloads(ctx context.Context) error {
	if s.config.WorkloadAddress == "" {
		return nil
	}
	rules, err := workloadRules(s.config.Workloads, s.operator())
	if err != nil {
		return err
	}
	if err := s.besideFunctions(rules); err != nil {
		return err
	}
	w, err := workload.New(workload.Config{
		Rules: rules, Region: s.config.Region, Log: s.log,
		Assume: s.workloadSession,
		Valid: func(ctx context.Context, c *workload.Credentials) bool {
			_, err := s.identities.Lookup(ctx, c.AccessKeyID, c.SessionToken)
			return err == nil
		},
	})
	if err != nil {
		return err
	}
	l, err := listen(ctx, "--workload-credentials", s.config.WorkloadAddress)
	if err != nil {
		return err
	}
	s.log.Info("workload credentials", "address", l.Addr(), "rules", len(rules))
	done := make(chan error, 1)
	go func() { done <- w.Serve(l) }()
	s.onClose(func() error { return errors.Join(w.Close(), <-done) })
	return nil
}

// besideFunctions refuses a rule for a user that functions, where they run, are to the kernel.
func (s *server) besideFunctions(rules []workload.Rule) error {
	for _, r := range rules {
		if s.config.Functions && r.User != nil && slices.Contains(runner.Users(), int(*r.User)) {
			return fmt.Errorf("--workload %s: functions run as the user %d and would have the role too: give the program another user, or a token", r.Role, *r.User)
		}
	}
	return nil
}

// workloadRules finds users and ARNs. A token that others can read is told at the start already.
func workloadRules(all []config.Workload, account string) (rules []workload.Rule, err error) {
	for _, w := range all {
		r := workload.Rule{Role: w.Role, TokenFile: w.TokenFile}
		if !strings.HasPrefix(r.Role, "arn:") {
			path, name := "/", strings.TrimPrefix(w.Role, "/")
			if i := strings.LastIndexByte(name, '/'); i >= 0 {
				path, name = "/"+name[:i+1], name[i+1:]
			}
			r.Role = identity.ARN(account, identity.KindRole, path, name)
		}
		if w.User == "" {
			if _, err := workload.ReadToken(w.TokenFile); err != nil {
				return nil, fmt.Errorf("--workload %s=token:%s: %w", w.Role, w.TokenFile, err)
			}
		} else if r.User, err = userNumber(w.User); err != nil {
			return nil, fmt.Errorf("--workload %s=user:%s: %w", w.Role, w.User, err)
		}
		rules = append(rules, r)
	}
	return rules, nil
}

func userNumber(name string) (*uint32, error) {
	number := name
	if _, err := strconv.ParseUint(name, 10, 32); err != nil {
		u, err := user.Lookup(name)
		if err != nil {
			return nil, err
		}
		number = u.Uid
	}
	n, err := strconv.ParseUint(number, 10, 32)
	return new(uint32(n)), err
}

// workloadSession begins a session of a role as EC2 or ECS does.
func (s *server) workloadSession(ctx context.Context, service, role, session string, seconds int) (*workload.Credentials, error) {
	account := accountIn(role)
	arn := "arn:aws:ec2:" + s.config.Region + ":" + account + ":instance/" + session
	if service == workload.ECS {
		arn = "arn:aws:ecs:" + s.config.Region + ":" + account + ":task/" + session
	}
	c, err := s.assume(ctx, servicePrincipal(service, cause{arn, account}), role, session, seconds)
	if fault.Is(err, authz.Denied) {
		return nil, fmt.Errorf("%w: %w", workload.ErrDenied, err)
	}
	if err != nil {
		return nil, err
	}
	return &workload.Credentials{
		AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken, Expiration: c.Expiration,
	}, nil
}
