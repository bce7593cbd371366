package recorder

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/posture"
)

// DeliverSnapshot writes the configuration of everything into the delivery channel's bucket and tells
// the snapshot's id. It needs config:DeliverConfigSnapshot.
func (s *Store) DeliverSnapshot(ctx context.Context, g authz.Grant, account, channel string) (id string, err error) {
	if err := g.Require("config:DeliverConfigSnapshot", "*"); err != nil {
		return "", err
	}
	s.mu.RLock()
	a := s.find(account)
	c, recorder, running := a.channel, a.recorder, a.recording()
	s.mu.RUnlock()
	switch {
	case c == nil || c.Name != channel:
		return "", noSuchChannel(channel)
	case recorder == nil:
		return "", fault.New(NoRecorder, "Configuration recorder is not available to deliver configuration snapshot.")
	case !running:
		return "", fault.New(NotRunning, "There is no configuration recorder running.")
	}
	id = uuid.NewString()
	if err := s.snapshot(ctx, c, id); err != nil {
		// AWS answers before it delivers; the channel's status tells how it went.
		s.log.Warn("recorder: snapshot not delivered", "account", account, "bucket", c.Bucket, "err", err)
	}
	return id, nil
}

// snapshotDue delivers a snapshot when the channel's frequency says so.
func (s *Store) snapshotDue(ctx context.Context, account string) error {
	s.mu.RLock()
	c := s.find(account).channel
	s.mu.RUnlock()
	if c == nil || c.Frequency == "" || s.now().Sub(later(c.Attempted, c.Delivered)) < frequencies[c.Frequency] {
		return nil
	}
	return s.snapshot(ctx, c, uuid.NewString())
}

// snapshot writes one and notes on the channel how it went.
func (s *Store) snapshot(ctx context.Context, c *Channel, id string) error {
	now := s.now().UTC()
	key := c.folder(c.Account) + s.region + "/" + now.Format("2006/1/2") + "/ConfigSnapshot/" +
		c.Account + "_Config_" + s.region + "_ConfigSnapshot_" + now.Format("20060102T150405Z") + "_" + id + ".json.gz"
	body, err := s.snapshotBody(ctx, c.Account, id)
	if err == nil {
		err = s.deliver.Put(ctx, c, s.roleOf(c.Account), key, body)
	}
	next := *c
	next.Attempted = now
	if err != nil {
		next.ErrorCode, next.ErrorText = "AccessDenied", err.Error()
		return errors.Join(s.noteChannel(ctx, c, &next), err)
	}
	next.Delivered, next.ErrorCode, next.ErrorText = now, "", ""
	return s.noteChannel(ctx, c, &next)
}

// noteChannel stores what became of a delivery, unless the channel was changed or deleted meanwhile.
func (s *Store) noteChannel(ctx context.Context, old, next *Channel) error {
	s.judging.Lock()
	defer s.judging.Unlock()
	if a := s.accounts[old.Account]; a == nil || a.channel != old {
		return nil
	}
	return s.storeChannel(ctx, next)
}

func (s *Store) snapshotBody(ctx context.Context, account, id string) ([]byte, error) {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	head, err := json.Marshal(object{"fileVersion": "1.0", "configSnapshotId": id})
	if err != nil {
		return nil, err
	}
	// The items one by one behind the head: the file's size is the only bound.
	if _, err := z.Write(append(head[:len(head)-1], `,"configurationItems":[`...)); err != nil {
		return nil, err
	}
	first := true
	for _, typ := range posture.Types {
		list, err := s.discovered(ctx, account, DiscoveredInput{Type: typ})
		if err != nil {
			return nil, err
		}
		for _, d := range list {
			it, err := s.newest(ctx, account, ref{d.Type, d.ID})
			if err != nil {
				return nil, err
			}
			if it == nil {
				continue
			}
			raw, err := json.Marshal(it.Shape())
			if err != nil {
				return nil, err
			}
			if !first {
				raw = append([]byte{','}, raw...)
			}
			first = false
			if _, err := z.Write(raw); err != nil {
				return nil, err
			}
		}
	}
	if _, err := z.Write([]byte("]}")); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// SnapshotTime is when the channel's frequency asks for the next snapshot; zero for never.
func (c *Channel) SnapshotTime() time.Time {
	if c.Frequency == "" {
		return time.Time{}
	}
	return c.Next()
}

// roleOf is the role of the account's recorder, "" when there is none.
func (s *Store) roleOf(account string) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if r := s.find(account).recorder; r != nil {
		return r.RoleARN
	}
	return ""
}
