package app

import (
	"context"
	"errors"
	"time"

	"github.com/kura-s3/kura/internal/api"
	apilogs "github.com/kura-s3/kura/internal/api/logs"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/identity"
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

// examineLogs has the log groups look at what is theirs, for the doctor.
func (s *server) examineLogs(ctx context.Context, ring *keys.Ring, people *identity.Store, report func(where, what string)) error {
	store, err := logs.Open(ctx, logs.Config{Meta: s.engines.Meta, Secrets: ring, Principals: people, Keys: logKeys{s}, Region: s.config.Region, Log: s.log})
	if err != nil {
		return err
	}
	_, err = store.Check(ctx, report)
	return err
}

func (s *server) logsService() api.Service {
	return apilogs.New(apilogs.Config{Logs: s.logs, Exposes: s.exposesPolicy, Authn: s.authn, Log: s.log})
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

// use asks the key's policy and lets do use the key. The use, or its refusal, is on record as KMS's.
func (l logKeys) use(ctx context.Context, action string, key *kms.Key, account, group string, do func(authz.Grant) error) error {
	because := cause{group, account}
	as := servicePrincipal("logs."+l.s.config.Region+".amazonaws.com", because)
	ev := l.s.recordOf(as.Principal.ARN, "logs:SealLogEvents", as.Principal)
	ev.Class = audit.Data
	grant, err := l.s.guard.Decide(ctx, &authz.Inquiry{Subject: as, Keys: withoutRequest{because}, Event: ev},
		l.s.kms.Demand(key, action, logContext(group), "", &as.Principal))
	if err == nil {
		err = do(grant)
	}
	return errors.Join(err, l.s.record.Complete(context.WithoutCancel(ctx), ev))
}

// dataKeySize is that of keys for AES-256.
const dataKeySize = 32

// NewDataKey implements logs.Keys. The key can be used for reading too: what nobody can read must not be sealed.
func (l logKeys) NewDataKey(ctx context.Context, account, ref, group string) (plain, wrapped []byte, err error) {
	key, err := l.s.kms.Find(ref, account, l.s.config.Region)
	if err != nil {
		return nil, nil, err
	}
	err = l.use(ctx, "kms:GenerateDataKey", key, account, group, func(g authz.Grant) (err error) {
		plain, wrapped, err = l.s.kms.GenerateDataKey(ctx, g, key, logContext(group), dataKeySize)
		return err
	})
	if err == nil {
		_, err = l.OpenDataKey(ctx, account, group, wrapped)
	}
	return plain, wrapped, err
}

// OpenDataKey implements logs.Keys.
func (l logKeys) OpenDataKey(ctx context.Context, account, group string, wrapped []byte) ([]byte, error) {
	key, err := l.s.kms.KeyOf(wrapped)
	if err != nil {
		return nil, err
	}
	var plain []byte
	err = l.use(ctx, "kms:Decrypt", key, account, group, func(g authz.Grant) (err error) {
		plain, _, err = l.s.kms.Decrypt(ctx, g, wrapped, logContext(group))
		return err
	})
	return plain, err
}
