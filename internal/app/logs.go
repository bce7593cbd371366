package app

import (
	"context"
	"time"

	"github.com/kura-s3/kura/internal/api"
	apilogs "github.com/kura-s3/kura/internal/api/logs"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/event"
	"github.com/kura-s3/kura/internal/keys"
	"github.com/kura-s3/kura/internal/kms"
	"github.com/kura-s3/kura/internal/logs"
)

// openLogs opens the log groups, whose events the ring seals.
func (s *server) openLogs(ctx context.Context, ring *keys.Ring) (err error) {
	s.logs, err = logs.Open(ctx, logs.Config{
		Meta: s.engines.Meta, Secrets: ring, Principals: s.identities, Keys: logKeys{s}, Region: s.config.Region, Log: s.log,
	})
	return err
}

func (s *server) logsService() api.Service {
	return apilogs.New(apilogs.Config{Logs: s.logs, Authn: s.authn, Log: s.log})
}

// logSweepInterval is how often log events are looked for whose retention has ended.
const logSweepInterval = time.Minute

// startLogSweep deletes them.
func (s *server) startLogSweep(context.Context) error {
	s.background(func(ctx context.Context) {
		for sleep(ctx, logSweepInterval) {
			if err := s.logs.Sweep(ctx); err != nil && ctx.Err() == nil {
				s.log.Error("logs: old events are not deleted", "err", err)
			}
		}
	})
	return nil
}

// logKeys uses KMS keys for log groups in the name of CloudWatch Logs. It implements logs.Keys.
type logKeys struct{ s *server }

// logContext is the encryption context by which policies of keys know the group.
func logContext(group string) map[string]string { return map[string]string{"aws:logs:arn": group} }

// decide asks the key's policy.
func (l logKeys) decide(ctx context.Context, action string, key *kms.Key, account, group string) (authz.Grant, error) {
	because := cause{group, account}
	as := servicePrincipal("logs."+l.s.config.Region+".amazonaws.com", because)
	return l.s.guard.Decide(ctx, &authz.Inquiry{Subject: as, Keys: withoutRequest{because}, Event: &audit.Event{
		ID: event.NewID(), RequestID: event.NewID(), Time: time.Now(), Service: "kms", Operation: action[len("kms:"):], Class: audit.Management,
		Principal: as.Principal, AuthType: "system", Region: l.s.config.Region, SourceIP: as.Principal.ARN, UserAgent: as.Principal.ARN,
	}}, l.s.kms.Demand(key, action, logContext(group), "", &as.Principal))
}

// dataKeySize is that of keys for AES-256.
const dataKeySize = 32

// NewDataKey implements logs.Keys. The key can be used for reading too: what nobody can read must not be sealed.
func (l logKeys) NewDataKey(ctx context.Context, account, ref, group string) (plain, wrapped []byte, err error) {
	key, err := l.s.kms.Find(ref, account, l.s.config.Region)
	if err != nil {
		return nil, nil, err
	}
	if _, err := l.decide(ctx, "kms:Decrypt", key, account, group); err != nil {
		return nil, nil, err
	}
	grant, err := l.decide(ctx, "kms:GenerateDataKey", key, account, group)
	if err != nil {
		return nil, nil, err
	}
	return l.s.kms.GenerateDataKey(ctx, grant, key, logContext(group), dataKeySize)
}

// OpenDataKey implements logs.Keys.
func (l logKeys) OpenDataKey(ctx context.Context, account, group string, wrapped []byte) ([]byte, error) {
	key, err := l.s.kms.KeyOf(wrapped)
	if err != nil {
		return nil, err
	}
	grant, err := l.decide(ctx, "kms:Decrypt", key, account, group)
	if err != nil {
		return nil, err
	}
	plain, _, err := l.s.kms.Decrypt(ctx, grant, wrapped, logContext(group))
	return plain, err
}
