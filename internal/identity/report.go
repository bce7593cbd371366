package identity

import (
	"bytes"
	"context"
	"encoding/csv"
	"strconv"
	"sync"
	"time"

	"github.com/kura-s3/kura/internal/authz"
)

// reportLife is how long a credential report is served before a new one may be made.
const reportLife = 4 * time.Hour

// CredentialReport is the table of all users and their credentials, as CSV.
type CredentialReport struct {
	Content   []byte
	Generated time.Time
}

// reports keeps the last credential report of each account, in memory: any node can make it anew.
type reports struct {
	mu   sync.Mutex
	last map[string]*CredentialReport
}

var reportColumns = []string{
	"user", "arn", "user_creation_time", "password_enabled", "password_last_used", "password_last_changed", "password_next_rotation", "mfa_active",
	"access_key_1_active", "access_key_1_last_rotated", "access_key_1_last_used_date", "access_key_1_last_used_region", "access_key_1_last_used_service",
	"access_key_2_active", "access_key_2_last_rotated", "access_key_2_last_used_date", "access_key_2_last_used_region", "access_key_2_last_used_service",
	"cert_1_active", "cert_1_last_rotated", "cert_2_active", "cert_2_last_rotated",
}

// GenerateCredentialReport makes the account's report, unless there is one of the last four hours. It
// is complete when the call returns; made tells whether it is new.
func (s *Store) GenerateCredentialReport(ctx context.Context, g authz.Grant, accountID string) (made bool, err error) {
	state, a, err := s.readAccount(g, "iam:GenerateCredentialReport", accountID)
	if err != nil {
		return false, err
	}
	s.reports.mu.Lock()
	defer s.reports.mu.Unlock()
	if r := s.reports.last[accountID]; r != nil && s.now().Sub(r.Generated) < reportLife {
		return false, nil
	}
	text, err := s.writeReport(ctx, state, a)
	if err != nil {
		return false, err
	}
	if s.reports.last == nil {
		s.reports.last = map[string]*CredentialReport{}
	}
	s.reports.last[accountID] = &CredentialReport{Content: text, Generated: s.moment()}
	return true, nil
}

// GetCredentialReport gives the report that was made last.
func (s *Store) GetCredentialReport(_ context.Context, g authz.Grant, accountID string) (*CredentialReport, error) {
	if _, _, err := s.readAccount(g, "iam:GetCredentialReport", accountID); err != nil {
		return nil, err
	}
	s.reports.mu.Lock()
	defer s.reports.mu.Unlock()
	switch r := s.reports.last[accountID]; {
	case r == nil:
		return nil, refuse(ReportNotPresent, "No report is present. Use GenerateCredentialReport to make one.")
	case s.now().Sub(r.Generated) >= reportLife:
		return nil, refuse(ReportExpired, "The most recent credential report has expired. Use GenerateCredentialReport to make a new one.")
	default:
		return r, nil
	}
}

func (s *Store) writeReport(ctx context.Context, state *State, a *account) ([]byte, error) {
	var file bytes.Buffer
	table := csv.NewWriter(&file)
	rows := [][]string{reportColumns}
	root := []string{
		"<root_account>", RootARN(a.ID), reportTime(a.Created), "not_supported", "no_information", "not_supported", "not_supported",
		strconv.FormatBool(state.count(deviceIndex(a.ID), 1) > 0),
	}
	root, err := s.keyColumns(ctx, state, root, a.ID)
	if err != nil {
		return nil, err
	}
	rows = append(rows, root)
	each(state, nameIndex(a.ID, KindUser, ""), "", func(_ string, u *user) bool {
		var row []string
		if row, err = s.userRow(ctx, state, a, u); err != nil {
			return false
		}
		rows = append(rows, row)
		return true
	})
	if err != nil {
		return nil, err
	}
	err = table.WriteAll(rows)
	return file.Bytes(), err
}

func (s *Store) userRow(ctx context.Context, state *State, a *account, u *user) ([]string, error) {
	row := []string{u.Name, arnOf(u), reportTime(u.Created)}
	if u.Login == nil {
		row = append(row, "false", "N/A", "N/A", "N/A")
	} else {
		use, err := s.lastUse(ctx, u.ID)
		if err != nil {
			return nil, err
		}
		used, next := "no_information", "N/A"
		if !use.At.IsZero() {
			used = reportTime(use.At)
		}
		if a.Password != nil && a.Password.MaxPasswordAge > 0 {
			next = reportTime(u.Login.Changed.AddDate(0, 0, a.Password.MaxPasswordAge))
		}
		row = append(row, "true", used, reportTime(u.Login.Changed), next)
	}
	row = append(row, strconv.FormatBool(state.count(deviceIndex(u.ID), 1) > 0))
	return s.keyColumns(ctx, state, row, u.ID)
}

// keyColumns appends what the report says of the owner's two access keys and two certificates.
func (s *Store) keyColumns(ctx context.Context, state *State, row []string, owner string) ([]string, error) {
	var keys []*accessKey
	each(state, ownedIndex(owner), "", func(_ string, k *accessKey) bool {
		keys = append(keys, k)
		return len(keys) < maxKeys
	})
	for i := range maxKeys {
		if i >= len(keys) {
			row = append(row, "false", "N/A", "N/A", "N/A", "N/A")
			continue
		}
		k := keys[i]
		row = append(row, strconv.FormatBool(k.Active), reportTime(k.Created))
		use, err := s.lastUse(ctx, k.ID)
		if err != nil {
			return nil, err
		}
		if use.At.IsZero() {
			row = append(row, "N/A", "N/A", "N/A")
		} else {
			row = append(row, reportTime(use.At), use.Region, use.Service)
		}
	}
	return append(row, "false", "N/A", "false", "N/A"), nil
}

func reportTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05-07:00") }
